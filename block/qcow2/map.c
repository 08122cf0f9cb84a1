/* map.c - the fast path: what a queue may do with a range by itself; and the status of a range.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/qcow2/tables.h"
#include "block/qcow2/upkeep.h"

static int
map_slow(uint64_t length, BlockExtent *ret)
{
    *ret = (BlockExtent){ .kind = BLOCK_EXTENT_SLOW, .length = length };
    return 0;
}

static int
map_zero(uint64_t length, BlockExtent *ret)
{
    *ret = (BlockExtent){ .kind = BLOCK_EXTENT_ZERO, .length = length };
    return 0;
}

static int
map_backing(BlockNode *node, uint64_t offset, uint64_t length, BlockExtent *ret)
{
    BlockNode *backing = node->backing;

    if (!backing || offset >= backing->size)
        return map_zero(length, ret);
    return block_node_map(backing, offset, MIN(length, backing->size - offset), BLOCK_MAP_READ,
                          ret);
}

int
qcow2_map(BlockNode *node, uint64_t offset, uint64_t length, BlockMapFor what, BlockExtent *ret)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Run run;
    bool data;
    unsigned hold = 0;
    int r;

    if (what == BLOCK_MAP_ZERO || (what == BLOCK_MAP_WRITE && g_atomic_int_get(&q->corrupt)))
        return map_slow(length, ret);
    g_mutex_lock(&q->table_lock);
    r = q->holds.closed ? -EAGAIN : qcow2_run_find(q, offset, length, true, &run);
    data = r == 0 && run.kind == QCOW2_NORMAL && !q->crypt &&
           (what == BLOCK_MAP_READ || (run.copied && qcow2_is_data(q, run.host, run.length)));
    if (data)
        hold = qcow2_hold(q);
    if (data && what == BLOCK_MAP_WRITE)
        qcow2_bitmaps_dirty(node, offset, run.length);
    g_mutex_unlock(&q->table_lock);
    if (data) {
        r = block_node_map(q->data, run.host, run.length, what, ret);
        if (r == 0 && ret->kind == BLOCK_EXTENT_DATA && !ret->holder) {
            ret->holder = node;
            ret->hold = hold;
            return 0;
        }
        qcow2_hold_release(q, hold);
        if (r == 0)
            block_extent_release(ret);
        return r < 0 ? r : map_slow(length, ret);
    }
    if (r == 0 && what == BLOCK_MAP_READ && qcow2_kind_is_zero(run.kind))
        return map_zero(run.length, ret);
    if (r == 0 && what == BLOCK_MAP_READ && qcow2_kind_is_backing(run.kind))
        return map_backing(node, offset, run.length, ret);
    return map_slow(length, ret);
}

void
qcow2_unmap(BlockNode *node, const BlockExtent *extent)
{
    qcow2_hold_release(qcow2_of(node), extent->hold);
}

/* Whether clusters are counted as used that take no space: then many were allocated beforehand, and
 * the file knows which of them nobody has written. Lock held. */
static int
find_preallocated(Qcow2 *q, bool *ret)
{
    uint64_t end = (block_node_size(q->node->file) + q->cluster_size - 1) / q->cluster_size;
    uint64_t real = block_node_host_bytes(q->node->file) / q->cluster_size;
    uint64_t many = MAX(real * 10 / 9, real + 2), used = 0;

    for (uint64_t i = 0; i < end && used < many; i++) {
        uint64_t count;
        int r = qcow2_refcount_get(q, i * q->cluster_size, &count);

        if (r < 0)
            return r;
        used += count > 0;
    }
    *ret = used >= many;
    return 0;
}

/* Zeroes of the file are zeroes of the disk. */
static int
status_below(Qcow2 *q, BlockStatus *ret)
{
    BlockStatus below;
    uint64_t size = block_node_size(q->data);
    int r = 0;

    ret->flags |= BLOCK_STATUS_RECURSED;
    if (ret->host_offset >= size)
        ret->flags |= BLOCK_STATUS_ZERO;
    else
        r = block_node_status(q->data, ret->host_offset, MIN(ret->length, size - ret->host_offset),
                              &below);
    if (r < 0 || ret->host_offset >= size)
        return r;
    ret->flags |= below.flags & BLOCK_STATUS_ZERO;
    if (!(below.flags & BLOCK_STATUS_ZERO && below.flags & BLOCK_STATUS_EOF))
        ret->length = below.length;
    return 0;
}

int
qcow2_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Run run;
    int r;

    g_mutex_lock(&q->lock);
    r = qcow2_run_find(q, offset, length, false, &run);
    /* guests' images are not searched: what they write changes it */
    if (r == 0 && node->read_only && !q->preallocation_known) {
        r = find_preallocated(q, &q->preallocated);
        q->preallocation_known = true;
    }
    g_mutex_unlock(&q->lock);
    if (r < 0)
        return r;
    ret->length = run.length;
    ret->host_offset = run.host;
    ret->file = block_node_protocol(q->data);
    switch (run.kind) {
    case QCOW2_NORMAL:
        ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA | BLOCK_STATUS_OFFSET;
        break;
    case QCOW2_ZERO_ALLOCATED:
        ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_ZERO | BLOCK_STATUS_OFFSET;
        break;
    case QCOW2_ZERO_PLAIN:
        ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_ZERO;
        break;
    case QCOW2_COMPRESSED_DATA:
        ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA | BLOCK_STATUS_COMPRESSED;
        break;
    case QCOW2_UNALLOCATED_WITHIN:
        ret->flags = BLOCK_STATUS_OFFSET | (node->backing ? 0 : BLOCK_STATUS_ZERO);
        break;
    default:
        ret->flags = node->backing ? 0 : BLOCK_STATUS_ZERO;
        break;
    }
    /* a window between this node and its file moves places; encrypted bytes are not these */
    if (q->data->file || q->crypt)
        ret->flags &= ~(unsigned)BLOCK_STATUS_OFFSET;
    return run.kind == QCOW2_NORMAL && q->preallocated && ret->flags & BLOCK_STATUS_OFFSET
               ? status_below(q, ret)
               : 0;
}
