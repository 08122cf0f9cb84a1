/* driver.h - inside of the block room: what an image format or protocol is, and a node's fields.
 *
 * A driver is a const BlockDriver in a file of its own and one row of formats.def.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_DRIVER_H
#define KILN_BLOCK_DRIVER_H

#include "block/block.h"
#include "block/image.h"
#include "block/options.h"

typedef struct BlockDriver BlockDriver;
typedef struct BlockSnapshotDriver BlockSnapshotDriver;
typedef struct BlockBitmapDriver BlockBitmapDriver;

typedef enum { DETECT_ZEROES_OFF, DETECT_ZEROES_ON, DETECT_ZEROES_UNMAP } BlockDetectZeroes;
typedef enum { BLOCK_LOCKING_AUTO, BLOCK_LOCKING_ON, BLOCK_LOCKING_OFF } BlockLocking;

/* What a request may do with the bytes from some offset of a node without asking the format again.
 */
typedef enum {
    BLOCK_EXTENT_DATA, /* read or written in @fd at @offset, straight by the queue's engine */
    BLOCK_EXTENT_ZERO, /* read as zeroes (reads only) */
    BLOCK_EXTENT_SLOW, /* by the driver's blocking calls, in a thread that may wait */
} BlockExtentKind;

typedef enum {
    BLOCK_MAP_READ,
    BLOCK_MAP_WRITE,
    BLOCK_MAP_ZERO, /* zeroes or discard: DATA only where fallocate(2) on the file does it */
} BlockMapFor;

typedef struct {
    BlockExtentKind kind;
    BlockNode *protocol; /* DATA: whose fd and alignment it is */
    int fd;
    uint64_t offset, length; /* length: bytes of which all this holds */
    BlockNode *holder;       /* whose unmap() lets it go, NULL for none */
    unsigned hold;           /* the holder's own */
} BlockExtent;

typedef enum {
    BLOCK_FAULT_READ,
    BLOCK_FAULT_WRITE,
    BLOCK_FAULT_ZERO,
    BLOCK_FAULT_DISCARD,
    BLOCK_FAULT_FLUSH,
} BlockFaultKind;

/* What opening knows beyond a node's own options; see open.c. */
typedef struct BlockOpening BlockOpening;

struct BlockNode {
    gint refs; /* atomic */
    const BlockDriver *driver;
    char *name;
    BlockNode *file;    /* the node below; NULL for a protocol */
    BlockNode *backing; /* what is not in this image; NULL without one */
    GPtrArray
        *extents; /* further files of the image (data-file, extents of vmdk), owned; or NULL */
    void *state;  /* driver->state_size bytes, zeroed, the driver's own */
    char *backing_filename, *backing_format; /* as the image names them, or NULL */
    uint64_t size;                           /* bytes, rounded up to BLOCK_SECTOR */

    /* options every node has; a format takes cache and filename from the node below */
    bool read_only, direct, no_flush, discard, use_threads;
    BlockDetectZeroes detect_zeroes;
    bool inactive; /* another process has the image (handover.c) */

    /* protocol nodes */
    char *filename;
    int fd;
    bool is_device; /* a block device, not a regular file */
    bool fixed;     /* cannot grow by writing past its end */
    bool ahead;     /* space for fresh data is best asked for in one call, ahead of them; atomic */
    bool probed;    /* the format was guessed: a guest must not make another of it (raw.c) */
    BlockLocking locking;
    unsigned mem_align, request_align; /* what O_DIRECT asks for; 1 and BLOCK_SECTOR otherwise */

    uint64_t written_end; /* where the write that reached furthest ended; atomic */
    struct {
        uint64_t bytes; /* atomic; 0: none */
        BlockThresholdHook hook;
        void *opaque;
    } threshold;
    struct {
        GMutex lock; /* all below */
        int error;   /* of the last call that failed; 0: none did */
        BlockFaultKind kind;
        uint64_t offset, length;
    } fault;

    /* format nodes: window on the node below */
    uint64_t window_offset;

    /* claims by devices, main thread */
    unsigned claims, writers;
    bool claims_share;
    unsigned locks_used, locks_refused; /* permission bits as lock.c took them */

    /* Requests smaller than request_align read, change and write whole units, and no other write
     * may run meanwhile. Only used when request_align > BLOCK_SECTOR. */
    struct {
        GMutex lock;
        unsigned writers; /* writes in flight, the exclusive one included */
        bool exclusive;
        GQueue waiting;    /* of BlockRequest, in order */
        GPtrArray *queues; /* of BlockQueue, all of this node */
        GCond left;        /* for threads that wait (gate.c) */
    } gate;

    struct BlockThrottle *throttle; /* how fast requests on it begin; NULL: no limits */

    GThreadPool *slow; /* runs SLOW parts of queues' requests; formats that have such */
};

/* A format or protocol. What is NULL the format does not have: the calls of image.h then say so by
 * name. Calls on one node may come from several threads at once, but for open, close and those
 * marked (alone), during which no other call is made. The run-time calls return 0 or -errno. */
struct BlockDriver {
    const char *name;
    bool is_protocol;
    bool has_backing; /* takes the option 'backing' */
    bool is_plain;    /* keeps nothing in memory of what changes in the image */
    size_t state_size;
    const BlockCreateOption *create_options; /* ended by a NULL name; NULL: cannot be created */
    /* How sure it is, 0 to 100, that an image with these first bytes has this format. */
    int (*probe)(const uint8_t *head, size_t length, const char *filename);
    /* Fills the node from @opts, taking each option that it knows; sets backing_filename and
     * backing_format. The core then opens node->backing, and calls opened() when all is there. */
    bool (*open)(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err);
    bool (*opened)(BlockNode *node, BlockOpening *opening, GError **err); /* may be NULL */
    void (*close)(BlockNode *node); /* writes what must be written; for half-opened nodes too */
    /* The open node is written, or only read, from now on: sets node->read_only, and puts away what
     * must be before. The node below can be written. NULL: nothing but the flag. (alone) */
    bool (*set_access)(BlockNode *node, bool writable, GError **err);

    /* The open node, which can be written, is another process's from now on, or again this one's
     * and may have changed meanwhile. NULL: needs nothing (is_plain), or cannot be done. (alone) */
    bool (*deactivate)(BlockNode *node, GError **err);
    bool (*activate)(BlockNode *node, GError **err);

    /* The fast path: what [offset, offset + length), inside the node, is. Never waits for I/O;
     * called in the threads of queues. With an extent that has a holder the place is not given to
     * other data until the holder's unmap() is called with it. NULL: all of it is SLOW. */
    int (*map)(BlockNode *node, uint64_t offset, uint64_t length, BlockMapFor what,
               BlockExtent *ret);
    void (*unmap)(BlockNode *node, const BlockExtent *extent);

    /* The slow path: any alignment, inside the node, backing files included. Protocols are asked
     * beyond their size too: they read zeroes there, and grow when written. */
    int (*pread)(BlockNode *node, uint64_t offset, void *buf, size_t length);
    int (*pwrite)(BlockNode *node, uint64_t offset, const void *buf, size_t length,
                  BlockFlags flags);
    int (*write_zeroes)(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags);
    int (*discard)(BlockNode *node, uint64_t offset, uint64_t length);
    /* NULL: -EOPNOTSUPP. With @length 0 it tells whether files like @fd can be shared from. */
    int (*reflink)(BlockNode *node, uint64_t offset, int fd, uint64_t from, uint64_t length);
    /* Metadata and data, down to stable storage, other files of the image too. NULL: the core
     * flushes the node below. */
    int (*flush)(BlockNode *node);
    /* No metadata waits: flushing the protocol node below is enough. NULL: always so when flush is
     * NULL, never otherwise. Any thread, does not wait. */
    bool (*is_clean)(BlockNode *node);
    int (*pwrite_compressed)(BlockNode *node, uint64_t offset, const void *buf, size_t length);
    int (*status)(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret);
    uint32_t (*cluster_size)(const BlockNode *node);
    bool (*needs_zstd)(const BlockNode *node);

    /* Upkeep; see image.h. @file: an empty writable protocol node. */
    bool (*create)(BlockNode *file, GHashTable *options, const BlockImageOptions *image,
                   GError **err);
    bool (*resize)(BlockNode *node, uint64_t size, BlockPrealloc prealloc,
                   GError **err);                                                /* alone */
    bool (*check)(BlockNode *node, unsigned fix, BlockCheck *ret, GError **err); /* alone */
    JsonObject *(*specific)(BlockNode *node);
    bool (*is_encrypted)(const BlockNode *node);
    bool (*is_dirty)(const BlockNode *node);
    const BlockSnapshotDriver *snapshots;
    const BlockBitmapDriver *bitmaps;
    /* Gives up all clusters: the image reads as its backing file again. */
    bool (*make_empty)(BlockNode *node, GError **err); /* alone */
    bool (*change_backing)(BlockNode *node, const char *filename, const char *format, GError **err);
    bool (*amend)(BlockNode *node, GHashTable *options, BlockProgress progress, void *opaque,
                  GError **err);
    bool (*measure)(GHashTable *options, BlockNode *source, BlockMeasure *ret, GError **err);
};

struct BlockSnapshotDriver {
    GPtrArray *(*list)(BlockNode *node, GError **err);
    bool (*create)(BlockNode *node, const BlockSnapshot *snapshot, GError **err);
    bool (*apply)(BlockNode *node, const char *id_or_name, GError **err);
    bool (*remove)(BlockNode *node, const char *id_or_name, GError **err);
    bool (*show)(BlockNode *node, const char *id_or_name, GError **err);
    int (*vmstate_read)(BlockNode *node, uint64_t offset, void *buf, size_t length);
    int (*vmstate_write)(BlockNode *node, uint64_t offset, const void *buf, size_t length);
};

struct BlockBitmapDriver {
    GPtrArray *(*list)(BlockNode *node);
    bool (*add)(BlockNode *node, const char *name, uint64_t granularity, bool enabled,
                GError **err);
    bool (*remove)(BlockNode *node, const char *name, GError **err);
    bool (*clear)(BlockNode *node, const char *name, GError **err);
    bool (*enable)(BlockNode *node, const char *name, bool enable, GError **err);
    bool (*merge)(BlockNode *to, const char *to_name, BlockNode *from, const char *from_name,
                  GError **err);
    int (*status)(BlockNode *node, const char *name, uint64_t offset, uint64_t *length,
                  bool *ret_dirty);
};

/* The protocol node at the bottom. */
static inline BlockNode *
block_node_protocol(const BlockNode *node)
{
    while (node->file)
        node = node->file;
    return (BlockNode *)node;
}

/* For open() of drivers: the caller's wishes (never NULL), and a further file that the image names
 * (its data file, an extent), opened as the caller's policy allows: relative to the image's
 * directory, with a driver by the name's kind (file, host_device, a protocol of a URL). */
const BlockImageOptions *block_opening_image(const BlockOpening *opening);
BlockNode *block_opening_extent(BlockOpening *opening, BlockNode *image, const char *filename,
                                bool read_only, GError **err);
/* The same for the name @path as it is, from the directory of the process. */
BlockNode *block_opening_path(BlockOpening *opening, BlockNode *image, const char *path,
                              bool read_only, GError **err);
/* Node of a -blockdev option @key (a node's name or an object), NULL without @err when absent. */
BlockNode *block_opening_option(BlockOpening *opening, BlockOptions *opts, const char *key,
                                bool read_only, GError **err);

/* map() of @node, SLOW where it has none. */
static inline int
block_node_map(BlockNode *node, uint64_t offset, uint64_t length, BlockMapFor what,
               BlockExtent *ret)
{
    if (node->driver->map)
        return node->driver->map(node, offset, length, what, ret);
    *ret = (BlockExtent){ .kind = BLOCK_EXTENT_SLOW, .length = length };
    return 0;
}

/* Lets go what map() gave. */
static inline void
block_extent_release(const BlockExtent *extent)
{
    if (extent->holder)
        extent->holder->driver->unmap(extent->holder, extent);
}

void block_threshold_reached(BlockNode *protocol, uint64_t end);

/* A write to @node ends at @end. */
static inline void
block_note_write(BlockNode *node, uint64_t end)
{
    uint64_t bytes = __atomic_load_n(&node->threshold.bytes, __ATOMIC_ACQUIRE);
    uint64_t furthest = __atomic_load_n(&node->written_end, __ATOMIC_RELAXED);

    while (G_UNLIKELY(end > furthest) &&
           !__atomic_compare_exchange_n(&node->written_end, &furthest, end, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
    if (G_UNLIKELY(bytes > 0 && end > bytes))
        block_threshold_reached(node, end); /* of a protocol */
}

/* Keeps for block_error_set() that a call on protocol @node failed, if it did. Returns @r. */
int block_fault_note(BlockNode *node, BlockFaultKind kind, uint64_t offset, uint64_t length, int r);

/* Whether flushing the protocol node at the bottom makes all of @node durable. */
bool block_node_is_clean(BlockNode *node);

/* "off", "metadata", "falloc", "full"; NULL is off. */
bool block_prealloc_parse(const char *text, BlockPrealloc *ret, GError **err);

/* For a driver that writes a protocol's file itself where the O_DIRECT unit is larger than a
 * sector: keeps writes of parts of units apart from all others (gate.c). Waits. */
void block_gate_enter_wait(BlockNode *protocol, bool exclusive);
void block_gate_leave_wait(BlockNode *protocol);

/* Lets go of the claim on the node, but not of those on what lies behind it. */
void block_node_release_alone(BlockNode *node);

/* Locks the image of a protocol node as QEMU does; see lock.c. */
bool block_lock_image(BlockNode *protocol, bool writable, bool share_rw, GError **err);
void block_unlock_image(BlockNode *protocol);

#endif
