/* tables.h - inside of the qcow2 driver: looking up guest clusters, changes under way, holds.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_TABLES_H
#define KILN_BLOCK_QCOW2_TABLES_H

#include "block/qcow2/cache.h"

typedef enum {
    QCOW2_UNALLOCATED,        /* the backing file's */
    QCOW2_ZERO_PLAIN,         /* zeroes, no cluster */
    QCOW2_ZERO_ALLOCATED,     /* zeroes, with a cluster that may be used */
    QCOW2_NORMAL,             /* at the cluster's place */
    QCOW2_UNALLOCATED_WITHIN, /* a subcluster of the backing file's in a cluster that is there */
    QCOW2_COMPRESSED_DATA,
    QCOW2_INVALID,
} Qcow2Kind;

Qcow2Kind qcow2_entry_kind(const Qcow2 *q, Qcow2Entry e, unsigned subcluster);
static inline bool
qcow2_kind_is_zero(Qcow2Kind kind)
{
    return kind == QCOW2_ZERO_PLAIN || kind == QCOW2_ZERO_ALLOCATED;
}
static inline bool
qcow2_kind_is_backing(Qcow2Kind kind)
{
    return kind == QCOW2_UNALLOCATED || kind == QCOW2_UNALLOCATED_WITHIN;
}

/* Whether the entry has a cluster of its own; its place. */
bool qcow2_entry_has_cluster(const Qcow2 *q, Qcow2Entry e);
static inline uint64_t
qcow2_entry_place(Qcow2Entry e)
{
    return e.entry & QCOW2_OFFSET_MASK;
}
/* Place and bytes of compressed data. */
void qcow2_entry_compressed(const Qcow2 *q, Qcow2Entry e, uint64_t *ret_offset,
                            uint64_t *ret_bytes);

/* Bytes of one kind from some offset, in one piece of the file where they have a place. */
typedef struct {
    Qcow2Kind kind;
    Qcow2Entry entry;      /* of the first cluster */
    bool copied;           /* may be written in place */
    uint64_t host, length; /* host: NORMAL and ZERO_ALLOCATED */
} Qcow2Run;

/* The run at @offset, at most @length bytes. @peek: only what is cached, under either lock
 * (-EAGAIN else); otherwise with the lock held. -EIO where entries are damaged. */
int qcow2_run_find(Qcow2 *q, uint64_t offset, uint64_t length, bool peek, Qcow2Run *ret);

/* Makes sure that the L2 table of @cluster is there and may be changed. Lock held. */
int qcow2_table_need(Qcow2 *q, uint64_t cluster);
void qcow2_l1_touch(Qcow2 *q, uint32_t index);

/* Holds: while one is held, what is freed now is not given to other data. table_lock held for the
 * first. */
unsigned qcow2_hold(Qcow2 *q);
void qcow2_hold_release(Qcow2 *q, unsigned hold);

/* Changes of guest clusters without the lock: waits for those that touch [first, end), then notes
 * this one. Lock held. */
void qcow2_change_wait(Qcow2 *q, uint64_t first, uint64_t end);
void qcow2_change_begin(Qcow2 *q, Qcow2Change *change);
void qcow2_change_end(Qcow2 *q, Qcow2Change *change);

/* Gives up what the entry refers to. Lock held. */
void qcow2_free_entry(Qcow2 *q, Qcow2Entry e, bool discard);

/* The driver's callback. */
bool qcow2_make_empty(BlockNode *node, GError **err);

int qcow2_write_refcounts(Qcow2 *q);
int qcow2_flush(BlockNode *node);
bool qcow2_is_clean(BlockNode *node);
int qcow2_map(BlockNode *node, uint64_t offset, uint64_t length, BlockMapFor what,
              BlockExtent *ret);
void qcow2_unmap(BlockNode *node, const BlockExtent *extent);
int qcow2_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret);

/* compress.c: into @out of @room bytes; bytes used, or -E2BIG when it does not become smaller. */
int qcow2_compress(unsigned type, const uint8_t *in, size_t length, uint8_t *out, size_t room);
/* Exactly @length bytes, or -EIO. */
int qcow2_decompress(unsigned type, const uint8_t *in, size_t in_length, uint8_t *out,
                     size_t length);
int qcow2_pwrite_compressed(BlockNode *node, uint64_t offset, const void *buf, size_t length);

#endif
