/* image.h - images as tools and jobs see them: blocking I/O, status, creation, upkeep.
 *
 * The queues of block.h serve guests. What reads or changes an image outside a guest's data path
 * (kiln-img, kiln-nbd, block jobs, the slow path of a queue itself) uses the calls below. They
 * block, may be called in any thread, and several at once on one node: what must not run together
 * is kept apart by the node's own lock. Offsets and lengths are bytes, of any alignment unless said
 * otherwise. Run-time calls return 0 or -errno; calls that people configure set a GError.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_IMAGE_H
#define KILN_BLOCK_IMAGE_H

#include "block/block.h"

/* Blocking I/O on a node with all that lies behind it (backing files, zeroes). A range that leaves
 * the node is -EIO; writing to a read-only node is -EROFS. @flags: BLOCK_FUA, BLOCK_UNMAP. */
int block_node_pread(BlockNode *node, uint64_t offset, void *buf, size_t length);
int block_node_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length,
                      BlockFlags flags);
int block_node_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags);
int block_node_discard(BlockNode *node, uint64_t offset, uint64_t length);
/* As writing what @fd, a file, has from @from on, but by sharing its blocks (FICLONERANGE) where
 * file system, format and alignment allow it; elsewhere -errno, nothing is changed then and the
 * bytes have to be copied. */
int block_node_reflink(BlockNode *node, uint64_t offset, int fd, uint64_t from, uint64_t length);
/* @offset is a multiple of the node's cluster size and @length one cluster (the last may be
 * shorter); -ENOTSUP where the format has no compression, -EINVAL where the cluster is taken. */
int block_node_pwrite_compressed(BlockNode *node, uint64_t offset, const void *buf, size_t length);

/* As kiln_error_set_errno(), for what failed with @r (-errno) on @node: also says which call on
 * which file below it, or behind it, failed where. @node may be NULL. */
bool block_error_set(GError **err, int code, int r, BlockNode *node, const char *format, ...)
    G_GNUC_PRINTF(5, 6);

/* What is known about the bytes from some offset. */
typedef enum {
    BLOCK_STATUS_ALLOCATED = 1 << 0, /* this node says what they are, not its backing file */
    BLOCK_STATUS_DATA = 1 << 1,      /* they take space: may be anything */
    BLOCK_STATUS_ZERO = 1 << 2,      /* they read as zeroes */
    BLOCK_STATUS_OFFSET = 1 << 3,    /* they lie as they are at @host_offset of @file */
    BLOCK_STATUS_COMPRESSED = 1 << 4,
    BLOCK_STATUS_EOF = 1 << 5,      /* the node ends with them */
    BLOCK_STATUS_RECURSED = 1 << 6, /* the file they lie in was asked which of them are zero */
} BlockStatusFlags;

typedef struct {
    unsigned flags;       /* of BlockStatusFlags */
    uint64_t length;      /* bytes of which all this holds, at least 1 */
    uint64_t host_offset; /* with BLOCK_STATUS_OFFSET */
    BlockNode *file;      /* with BLOCK_STATUS_OFFSET: the protocol node; not referenced */
    BlockNode *layer;     /* whose bytes they are: the node or one of its backing files */
    unsigned depth;       /* 0 for the node itself, 1 for its backing file, … */
} BlockStatus;

/* Status of [offset, offset + length) of @node alone, or, by _above, of the chain down to but not
 * including @base (NULL: the whole chain). @ret->length is at most @length. */
int block_node_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret);
int block_node_status_above(BlockNode *node, BlockNode *base, uint64_t offset, uint64_t length,
                            BlockStatus *ret);

/* The graph. Not referenced for the caller. */
BlockNode *block_node_file(const BlockNode *node);    /* the node below, NULL for a protocol */
BlockNode *block_node_backing(const BlockNode *node); /* NULL without one */
/* As the image's header has it, NULL when it names none; and the format named with it, or NULL. */
const char *block_node_backing_filename(const BlockNode *node);
const char *block_node_backing_format(const BlockNode *node);
uint32_t block_node_cluster_size(const BlockNode *node); /* bytes; 0 where the format has none */
uint64_t block_node_host_bytes(const BlockNode *node);   /* space that the host's file takes */

/* How names become images. Names found inside an image are followed only if @backing says so. */
typedef struct {
    BlockOpenOps ops; /* open_file and find_node may be NULL: open(2), and no named nodes */
    bool read_only;
    bool follow_backing;   /* open the chain of backing files by the names in the images */
    bool force_share;      /* take no locks and ask none (qemu-img -U) */
    bool no_flush, direct; /* cache modes: unsafe; none */
    bool check;            /* open also what is marked corrupt or dirty, without mending it */
    bool no_io;            /* only headers are looked at: encrypted images need no secret then */
    /* Asked before a name found inside an image is opened; NULL allows. */
    bool (*allow)(void *opaque, const char *filename, GError **err);
    /* Told what was asked for and cannot be had, though the image can; NULL: nobody is. */
    void (*warn)(void *opaque, const char *message);
} BlockImageOptions;

/* Opens @filename: a path, "json:{…}", "nbd://…", "nbd+unix://…", "file:…" or a host device.
 * @format NULL probes the first bytes. A relative backing name is taken from the directory of the
 * image that names it. Chains deeper than BLOCK_CHAIN_MAX, or with a file twice, are refused.
 * The image is locked as QEMU locks it until it is freed. The caller owns the result. */
enum { BLOCK_CHAIN_MAX = 200 };
BlockNode *block_image_open(const char *filename, const char *format,
                            const BlockImageOptions *options, GError **err);
/* The same from -blockdev options (--image-opts), where "driver" may be absent. */
BlockNode *block_image_open_options(JsonObject *object, const BlockImageOptions *options,
                                    GError **err);
/* Options of the protocol node for @filename as people type it: a path, file:PATH, nbd://…,
 * json:{…}. The caller owns the object. */
JsonObject *block_filename_options(const char *filename, GError **err);
/* The format of an image by its first bytes, "raw" when no other knows it. A const string. */
const char *block_image_probe(const uint8_t *head, size_t length, const char *filename);

/* What `create -o` and `amend -o` take: rows of a format, ended by a NULL name. */
typedef enum {
    BLOCK_OPTION_SIZE,
    BLOCK_OPTION_BOOL,
    BLOCK_OPTION_NUMBER,
    BLOCK_OPTION_STRING
} BlockOptionKind;
typedef struct {
    const char *name, *help, *fallback; /* fallback: its default as text, NULL for none */
    BlockOptionKind kind;
    bool amend;      /* may be changed later */
    bool only_amend; /* and not be said when the image is made */
    bool of_file;    /* concerns the file that the image lies in, not the format */
} BlockCreateOption;

/* Rows that every format has: block_image_create() carries them out. */
#define BLOCK_CREATE_OPTIONS_FILE                                                                  \
    { .name = "extent_size_hint",                                                                  \
      .help = "Bytes that the file system allocates at once, 0: as it likes (XFS)",                \
      .kind = BLOCK_OPTION_SIZE,                                                                   \
      .of_file = true },                                                                           \
    {                                                                                              \
        .name = "nocow", .help = "No copy-on-write by the file system (btrfs)",                    \
        .kind = BLOCK_OPTION_BOOL, .of_file = true                                                 \
    }

/* Every format's rows; NULL for an unknown format, an empty list for one that cannot be created. */
const BlockCreateOption *block_format_create_options(const char *format);
char **block_format_names(void); /* NULL-terminated, sorted; for g_strfreev() */
bool block_format_can_compress(const char *format);

/* Makes an image. @options maps names (of the rows above, "size" among them in bytes,
 * "backing_file", "backing_fmt") to texts; what is not known is refused by name. An existing file
 * is overwritten; one that could not be made whole is removed. */
bool block_image_create(const char *filename, const char *format, GHashTable *options,
                        const BlockImageOptions *image, GError **err);

/* Progress of a long call, 0 to 1; returning false ends it with -ECANCELED. NULL: not wanted. */
typedef bool (*BlockProgress)(void *opaque, double part);

typedef enum {
    BLOCK_PREALLOC_OFF,
    BLOCK_PREALLOC_METADATA,
    BLOCK_PREALLOC_FALLOC,
    BLOCK_PREALLOC_FULL
} BlockPrealloc;
bool block_image_resize(BlockNode *node, uint64_t size, BlockPrealloc prealloc, bool shrink,
                        GError **err);

typedef enum { BLOCK_CHECK_LEAKS = 1 << 0, BLOCK_CHECK_ERRORS = 1 << 1 } BlockCheckFix;
typedef struct {
    uint64_t corruptions, leaks, errors; /* errors: of the check itself */
    uint64_t corruptions_fixed, leaks_fixed;
    uint64_t image_end_offset;
    uint64_t total_clusters, allocated_clusters, compressed_clusters, fragmented_clusters;
    bool has_clusters;
    void (*report)(void *opaque, const char *line); /* one finding, as text; set by the caller */
    void *opaque;
} BlockCheck;
/* False with @err set when the format has no check (VIR_ERR_NO_SUPPORT) or it could not be done. */
bool block_image_check(BlockNode *node, unsigned fix, BlockCheck *ret, GError **err);

/* The "format-specific" object of `info --output=json` (QEMU's names), or NULL. Caller frees. */
JsonObject *block_image_specific(BlockNode *node);
bool block_image_is_encrypted(const BlockNode *node);
bool block_image_is_dirty(const BlockNode *node);

typedef struct {
    char *id, *name;
    uint64_t vm_state_size, disk_size;
    uint64_t icount; /* instructions run, UINT64_MAX when not known */
    int64_t date_sec;
    uint32_t date_nsec;
    uint64_t vm_clock_nsec;
} BlockSnapshot;
void block_snapshot_free(BlockSnapshot *snapshot);
/* A GPtrArray of BlockSnapshot, empty for formats without snapshots. The caller owns it. NULL with
 * @err when they cannot be read. */
GPtrArray *block_image_snapshots(BlockNode *node, GError **err);
bool block_image_snapshot_create(BlockNode *node, const BlockSnapshot *snapshot, GError **err);
bool block_image_snapshot_apply(BlockNode *node, const char *id_or_name, GError **err);
bool block_image_snapshot_delete(BlockNode *node, const char *id_or_name, GError **err);
/* From now on the node reads as the snapshot was (qemu-img -l); it must be read-only. */
bool block_image_snapshot_show(BlockNode *node, const char *id_or_name, GError **err);
/* State of the machine kept beside the guest's data, behind the end of the virtual disk. */
int block_image_vmstate_read(BlockNode *node, uint64_t offset, void *buf, size_t length);
int block_image_vmstate_write(BlockNode *node, uint64_t offset, const void *buf, size_t length);

typedef struct {
    char *name;
    uint64_t granularity;
    bool persistent, enabled, inconsistent;
} BlockBitmap;
void block_bitmap_free(BlockBitmap *bitmap);
GPtrArray *block_image_bitmaps(BlockNode *node); /* of BlockBitmap; the caller owns it */
bool block_image_bitmap_add(BlockNode *node, const char *name, uint64_t granularity, bool enabled,
                            GError **err);
bool block_image_bitmap_remove(BlockNode *node, const char *name, GError **err);
bool block_image_bitmap_clear(BlockNode *node, const char *name, GError **err);
bool block_image_bitmap_enable(BlockNode *node, const char *name, bool enable, GError **err);
bool block_image_bitmap_merge(BlockNode *to, const char *to_name, BlockNode *from,
                              const char *from_name, GError **err);
/* Whether [offset, offset + *length) is dirty; *length is cut to what is all the same. */
int block_image_bitmap_status(BlockNode *node, const char *name, uint64_t offset, uint64_t *length,
                              bool *ret_dirty);

/* The image loses all its own data and reads as its backing file again. */
bool block_image_make_empty(BlockNode *node, GError **err);
bool block_image_change_backing(BlockNode *node, const char *filename, const char *format,
                                GError **err);
bool block_image_amend(BlockNode *node, GHashTable *options, BlockProgress progress, void *opaque,
                       GError **err);
/* Bytes that an image of @format with @options needs for @size bytes of data as @source has them
 * (NULL: none of it), and when all of it is allocated. */
typedef struct {
    uint64_t required, fully_allocated, bitmaps;
    bool has_bitmaps;
} BlockMeasure;
bool block_image_measure(const char *format, GHashTable *options, BlockNode *source,
                         BlockMeasure *ret, GError **err);

#endif
