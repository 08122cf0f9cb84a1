/* qcow2.h - inside of the qcow2 driver: an open image, its tables, and who may touch what.
 *
 * Source: QEMU's docs/interop/qcow2.txt, versions 2 and 3.
 *
 * Locks, taken in this order:
 *   lock        held by whoever changes metadata, over the metadata's I/O as well
 *   table_lock  short, never over I/O: guards what map() reads (L1, contents of the L2 cache,
 * holds) L1 and cached tables are changed with both held, so either is enough to read them.
 *
 * Order of writes, so that any moment may be the last one:
 *   1 refcounts that grow, and data      2 fdatasync      3 L2 entries and L1 entries
 *   4 fdatasync      5 refcounts that shrink: only now may a cluster be given to something else
 * A crash leaves clusters that are counted and not used, never used and not counted.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_QCOW2_H
#define KILN_BLOCK_QCOW2_QCOW2_H

#include "block/driver.h"
#include "block/numbers.h"

#define QCOW2_MAGIC 0x514649fbu /* "QFI\xfb" */

enum {
    QCOW2_CLUSTER_BITS_MIN = 9,
    QCOW2_CLUSTER_BITS_MAX = 21,
    QCOW2_HEADER_V2 = 72,
    QCOW2_HEADER_V3 = 104,
    QCOW2_L1_BYTES_MAX = 32 << 20,
    QCOW2_REFTABLE_BYTES_MAX = 8 << 20,
    QCOW2_SNAPSHOTS_MAX = 65536,
    QCOW2_SNAPSHOT_TABLE_MAX = 64 << 20,
    QCOW2_BACKING_NAME_MAX = 1023,
    QCOW2_EXTENSIONS_MAX = 64,
    QCOW2_LUKS_BYTES_MAX = 64 << 20, /* of the header of encryption; 2 MiB are usual */
    QCOW2_SUBCLUSTERS = 32,          /* of a cluster with extended L2 entries */
    QCOW2_DISTRUSTED = 2,            /* Qcow2.corrupt after qcow2_distrust() */
};

/* Bits of the header's feature words. */
#define QCOW2_INCOMPAT_DIRTY UINT64_C(1)
#define QCOW2_INCOMPAT_CORRUPT UINT64_C(2)
#define QCOW2_INCOMPAT_DATA_FILE UINT64_C(4)
#define QCOW2_INCOMPAT_COMPRESSION UINT64_C(8)
#define QCOW2_INCOMPAT_EXTENDED_L2 UINT64_C(16)
#define QCOW2_INCOMPAT_KNOWN UINT64_C(31)
#define QCOW2_COMPAT_LAZY_REFCOUNTS UINT64_C(1)
#define QCOW2_AUTOCLEAR_BITMAPS UINT64_C(1)
#define QCOW2_AUTOCLEAR_RAW_DATA_FILE UINT64_C(2)
#define QCOW2_AUTOCLEAR_KNOWN UINT64_C(3)

enum { QCOW2_COMPRESSION_ZLIB = 0, QCOW2_COMPRESSION_ZSTD = 1 };
enum { QCOW2_CRYPT_NONE = 0, QCOW2_CRYPT_AES = 1, QCOW2_CRYPT_LUKS = 2 };

/* L1 and L2 entries. */
#define QCOW2_COPIED (UINT64_C(1) << 63)
#define QCOW2_COMPRESSED (UINT64_C(1) << 62)
#define QCOW2_ZERO UINT64_C(1) /* without extended L2 entries */
#define QCOW2_OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define QCOW2_L1_RESERVED UINT64_C(0x7f000000000001ff)
#define QCOW2_L2_RESERVED UINT64_C(0x3f000000000001fe)

/* A header extension that is not understood: kept as it was. */
typedef struct {
    uint32_t type, length;
    uint8_t data[];
} Qcow2Extension;

/* The first cluster, in host byte order. Strings are owned; NULL where absent. */
typedef struct {
    unsigned version, cluster_bits, refcount_order, header_length;
    uint64_t size;
    uint32_t crypt_method; /* QCOW2_CRYPT_… */
    uint32_t l1_size;      /* entries */
    uint64_t l1_offset, refcount_table_offset;
    uint32_t refcount_table_clusters, snapshots;
    uint64_t snapshots_offset;
    uint64_t incompatible, compatible, autoclear;
    unsigned compression_type;
    char *backing_file, *backing_format, *data_file;
    struct {
        uint32_t count; /* 0: no extension */
        uint64_t directory_size, directory_offset;
    } bitmaps;
    struct {
        uint64_t offset, length;
    } luks;
    GPtrArray *unknown; /* of Qcow2Extension, g_free'd; may be NULL */
} Qcow2Header;

/* header.c. Parses @head, the first @length bytes (the whole first cluster, or as much of it as the
 * file has), bounding each number; @file_size bounds places. VIR_ERR_CONFIG_UNSUPPORTED for what is
 * not offered, VIR_ERR_INTERNAL_ERROR for what is damaged. @ret is to be cleared in any case. */
bool qcow2_header_parse(const uint8_t *head, size_t length, const char *filename, Qcow2Header *ret,
                        GError **err);
/* Bytes of the first cluster, zero-filled up to @length (the cluster size); -ENOSPC when the names
 * do not fit. Pure. The bitmaps extension is left out when its count is 0. */
int qcow2_header_format(const Qcow2Header *header, uint8_t *buf, size_t length);
void qcow2_header_clear(Qcow2Header *header);
/* Cluster size of a header by its first bytes, 0 when it is none. */
uint32_t qcow2_header_cluster_size(const uint8_t *head, size_t length);

typedef struct Qcow2Cache Qcow2Cache;
typedef struct Qcow2Crypt Qcow2Crypt;

/* A change of [first, end) clusters of the guest under way without the lock. */
typedef struct Qcow2Change {
    uint64_t first, end;
    struct Qcow2Change *next;
} Qcow2Change;

/* Clusters that are free once the metadata that gave them up is on stable storage and no request
 * that was mapped before holds them. */
typedef struct {
    uint64_t offset, bytes;
    bool discard; /* give the space back to the host */
} Qcow2Freed;

typedef struct {
    BlockNode *node; /* whose state this is */
    BlockNode *data; /* where guest data lie: the data file, or node->file */
    bool has_data_file;
    Qcow2Crypt *crypt; /* of encrypted images, else NULL */
    Qcow2Header header;

    uint64_t cluster_size;
    unsigned l2_entry_size, l2_bits; /* 8 or 16 bytes; log2 of entries of a table */
    uint64_t subcluster_size;        /* cluster_size without extended L2 entries */
    bool extended_l2;

    GMutex lock;
    GMutex table_lock;
    GCond settled; /* with lock: a change is over */

    uint64_t *l1; /* header.l1_size entries, host order */
    bool l1_dirty;
    uint32_t l1_dirty_first, l1_dirty_last;
    uint64_t *refcount_table; /* host order */
    uint64_t refcount_entries;
    Qcow2Cache *l2_cache, *refcount_cache;
    GHashTable *metadata; /* set of cluster numbers that hold metadata: guests never write there */

    Qcow2Change *changes;
    uint64_t free_hint;  /* no cluster below is free */
    uint64_t fresh_from; /* from here on the file reads as zeroes and was never used */
    uint64_t bytes_at;   /* where compressed data may go on within a cluster, 0 for nowhere */

    /* Requests under way that were given extents, in two generations: a freed cluster waits until
     * the generation of its freeing and the one before are gone. table_lock, cond holds_gone. */
    struct {
        unsigned count[2], current;
        bool closed; /* map() gives nothing but SLOW */
        GCond gone;
    } holds;
    GArray *freed;       /* of Qcow2Freed */
    guint settled_freed; /* of these, the first so many only wait for holds; others for a flush */
    gint dirty;          /* atomic: metadata waits to be written or synced */
    gint corrupt; /* atomic: 1 found damaged, or QCOW2_DISTRUSTED; nothing is written any more */
    void *upkeep; /* of upkeep.h's functions */
    bool preallocation_known, preallocated; /* of a read-only node: see qcow2_status() */
} Qcow2;

static inline Qcow2 *
qcow2_of(const BlockNode *node)
{
    return node->state;
}

/* ---- qcow2.c, open.c: for upkeep ---- */

/* Takes the image for itself: waits until no extent is held and no change is under way, and map()
 * gives none until qcow2_unlock_alone(). For the calls marked (alone), and for snapshots. */
void qcow2_lock_alone(Qcow2 *q);
void qcow2_unlock_alone(Qcow2 *q);

/* Drops all caches and reads header and tables again: after the file was changed directly. Lock
 * held (alone). What was dirty is lost: flush before. */
bool qcow2_reload(Qcow2 *q, GError **err);

/* Rewrites the first cluster from q->header and syncs it. Lock held. */
int qcow2_header_update(Qcow2 *q);

/* A failure left the image in one of two states, and nobody knows in which: nothing is written any
 * more, until it is opened again. Any thread. */
void qcow2_distrust(Qcow2 *q);

/* Damage was found: says so in the header, and every later write is -EIO. Any thread; lock held or
 * not. Returns -EIO. */
int qcow2_mark_corrupt(Qcow2 *q);

/* ---- flush.c ---- */

/* Writes everything in legal order and syncs the file; freed clusters become free. Lock held. */
int qcow2_flush_locked(Qcow2 *q);
/* The barrier between step 1 and step 3 and all of both, without the sync at the end. Lock held. */
int qcow2_write_tables(Qcow2 *q);

/* ---- refcount.c, alloc.c; lock held ---- */

int qcow2_refcount_get(Qcow2 *q, uint64_t offset, uint64_t *ret);
/* Adds @delta (1 or -1) to all clusters that [offset, offset + bytes) touches: -ERANGE at the
 * greatest refcount (nothing is changed then), -EIO at 0. Shrinking is at once: use qcow2_free()
 * for what the image on disk may still refer to. */
int qcow2_refcount_add(Qcow2 *q, uint64_t offset, uint64_t bytes, int delta);
/* Contiguous clusters with refcount 1; their content is undefined. */
int qcow2_alloc(Qcow2 *q, uint64_t bytes, uint64_t *ret_offset);
/* As qcow2_alloc(), for metadata: noted so that no guest data are written there. */
int qcow2_alloc_metadata(Qcow2 *q, uint64_t bytes, uint64_t *ret_offset);
/* Gives back one reference of each cluster touched, after the next flush. */
void qcow2_free(Qcow2 *q, uint64_t offset, uint64_t bytes, bool discard);
void qcow2_free_metadata(Qcow2 *q, uint64_t offset, uint64_t bytes);

/* Notes metadata that is in the image already (an inactive L1 table, a bitmap). */
void qcow2_metadata_add(Qcow2 *q, uint64_t offset, uint64_t bytes);
void qcow2_metadata_remove(Qcow2 *q, uint64_t offset, uint64_t bytes);
/* Whether [offset, offset + bytes) touches none; what guest data are written to must not. */
bool qcow2_is_data(const Qcow2 *q, uint64_t offset, uint64_t bytes);

/* ---- l2.c; lock held ---- */

/* Makes the L1 table at least @entries long (moved when it does not fit where it is). */
int qcow2_l1_grow(Qcow2 *q, uint64_t entries);

/* One L2 entry; bitmap is 0 without extended L2 entries. */
typedef struct {
    uint64_t entry, bitmap;
} Qcow2Entry;

/* Entry of guest cluster @cluster; all zero where there is no L2 table. */
int qcow2_entry_get(Qcow2 *q, uint64_t cluster, Qcow2Entry *ret);
/* Sets it in the cache, making (or copying, when shared) the L2 table. */
int qcow2_entry_set(Qcow2 *q, uint64_t cluster, Qcow2Entry entry);

/* ---- read.c, write.c: blocking, without the lock, for any offset that L1 may cover (the state of
 * a machine lies behind the end of the disk) ---- */
int qcow2_pread(BlockNode *node, uint64_t offset, void *buf, size_t length);
int qcow2_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length,
                 BlockFlags flags);
int qcow2_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags);
int qcow2_discard(BlockNode *node, uint64_t offset, uint64_t length);
int qcow2_reflink(BlockNode *node, uint64_t offset, int fd, uint64_t from, uint64_t length);

#endif
