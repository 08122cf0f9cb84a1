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
    if (what == BLOCK_MAP_WRITE)
        qcow2_bitmaps_dirty(node, offset, length);
    g_mutex_lock(&q->table_lock);
    r = q->holds.closed ? -EAGAIN : qcow2_run_find(q, offset, length, true, &run);
    data = r == 0 && run.kind == QCOW2_NORMAL && !q->crypt &&
           (what == BLOCK_MAP_READ || (run.copied && qcow2_is_data(q, run.host, run.length)));
    if (data)
        hold = qcow2_hold(q);
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

int
qcow2_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Run run;
    int r;

    g_mutex_lock(&q->lock);
    r = qcow2_run_find(q, offset, length, false, &run);
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
    default:
        ret->flags = node->backing ? 0 : BLOCK_STATUS_ZERO;
        break;
    }
    /* a window between this node and its file moves places; encrypted bytes are not these */
    if (q->data->file || q->crypt)
        ret->flags &= ~(unsigned)BLOCK_STATUS_OFFSET;
    return 0;
}
