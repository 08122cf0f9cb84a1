/* flush.c - the order in which metadata go to stable storage; see qcow2.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/refcount.h"
#include "block/qcow2/tables.h"

/* Data and refcounts before what leads to them. With cache.no-flush the order is the host's. */
static int
barrier(Qcow2 *q)
{
    int r = q->has_data_file ? block_node_flush(q->data) : 0;

    return r < 0 ? r : block_node_flush(q->node->file);
}

static int
write_l1(Qcow2 *q)
{
    uint32_t first = q->l1_dirty_first, n;
    g_autofree uint8_t *bytes = NULL;
    int r;

    if (!q->l1_dirty)
        return 0;
    n = q->l1_dirty_last - first + 1;
    bytes = g_try_malloc((size_t)n * 8);
    if (!bytes)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        put_be64(bytes + (size_t)i * 8, q->l1[first + i]);
    r = block_node_pwrite(q->node->file, q->header.l1_offset + (uint64_t)first * 8, bytes,
                          (size_t)n * 8, 0);
    if (r == 0)
        q->l1_dirty = false;
    return r;
}

void
qcow2_l1_touch(Qcow2 *q, uint32_t index)
{
    q->l1_dirty_first = q->l1_dirty ? MIN(q->l1_dirty_first, index) : index;
    q->l1_dirty_last = q->l1_dirty ? MAX(q->l1_dirty_last, index) : index;
    q->l1_dirty = true;
    g_atomic_int_set(&q->dirty, 1);
}

int
qcow2_write_tables(Qcow2 *q)
{
    int r = qcow2_cache_write(q->refcount_cache);

    if (r < 0 || !(qcow2_cache_is_dirty(q->l2_cache) || q->l1_dirty))
        return r;
    r = barrier(q);
    if (r == 0)
        r = qcow2_cache_write(q->l2_cache);
    return r < 0 ? r : write_l1(q);
}

int
qcow2_write_refcounts(Qcow2 *q)
{
    return qcow2_cache_write(q->refcount_cache);
}

/* What was freed before the sync is settled, and waits for the extents given out until now. */
static void
settle_freed(Qcow2 *q)
{
    if (q->settled_freed > 0 || q->freed->len == 0)
        return;
    g_mutex_lock(&q->table_lock);
    if (q->holds.count[q->holds.current ^ 1] == 0) {
        q->holds.current ^= 1;
        q->settled_freed = q->freed->len;
    }
    g_mutex_unlock(&q->table_lock);
}

int
qcow2_flush_locked(Qcow2 *q)
{
    int r;

    if (g_atomic_int_get(&q->corrupt))
        return -EIO;
    r = qcow2_write_tables(q);
    if (r == 0)
        r = barrier(q);
    if (r == 0) {
        /* only now: until then a flush that does not wait for the lock would promise too much */
        g_atomic_int_set(&q->dirty, 0);
        settle_freed(q);
        r = qcow2_apply_freed(q);
    }
    if (r < 0 || q->freed->len > 0)
        g_atomic_int_set(&q->dirty, 1);
    return r;
}

int
qcow2_flush(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);
    int r;

    g_mutex_lock(&q->lock);
    r = qcow2_flush_locked(q);
    g_mutex_unlock(&q->lock);
    return r;
}

bool
qcow2_is_clean(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);

    return !q->has_data_file && !g_atomic_int_get(&q->dirty) && !g_atomic_int_get(&q->corrupt);
}
