/* refcount.c - how often each cluster of the file is used: the refcount table, its blocks, and
 * making more of them.
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Host cluster management".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/refcount.h"

#include <errno.h>
#include <string.h>

#include "block/qcow2/refcount_word.h"

#define REFCOUNT_OFFSET_MASK UINT64_C(0xfffffffffffffe00)

static unsigned
block_bits(const Qcow2 *q)
{
    return q->header.cluster_bits + 3 - q->header.refcount_order;
}

/* Place of the block at @index of the table, 0 when there is none. */
static int
block_place(Qcow2 *q, uint64_t index, uint64_t *ret)
{
    uint64_t at = index < q->refcount_entries ? q->refcount_table[index] : 0;

    *ret = at & REFCOUNT_OFFSET_MASK;
    return at & (q->cluster_size - 1) || at > QCOW2_OFFSET_MASK ? qcow2_mark_corrupt(q) : 0;
}

int
qcow2_refcount_slice(Qcow2 *q, uint64_t cluster, Qcow2RefcountSlice *ret)
{
    unsigned order = q->header.refcount_order, bits = block_bits(q);
    uint32_t bytes = qcow2_cache_slice(q->refcount_cache);
    uint64_t per_slice = ((uint64_t)bytes * 8) >> order, block, in_block, part;
    int r = block_place(q, cluster >> bits, &block);

    if (r < 0)
        return r;
    in_block = cluster & ((UINT64_C(1) << bits) - 1);
    if (block == 0) {
        *ret = (Qcow2RefcountSlice){ .first = cluster - in_block,
                                     .end = cluster - in_block + (UINT64_C(1) << bits) };
        return 0;
    }
    part = in_block / per_slice;
    ret->offset = block + part * bytes;
    ret->first = cluster - in_block + part * per_slice;
    ret->end = ret->first + per_slice;
    return qcow2_cache_get(q->refcount_cache, ret->offset, &ret->data);
}

int
qcow2_refcount_get(Qcow2 *q, uint64_t offset, uint64_t *ret)
{
    uint64_t cluster = offset >> q->header.cluster_bits;
    Qcow2RefcountSlice s;
    int r = qcow2_refcount_slice(q, cluster, &s);

    if (r == 0)
        *ret =
            s.data ? qcow2_refcount_word(s.data, cluster - s.first, q->header.refcount_order) : 0;
    return r;
}

static int
refcount_set(Qcow2 *q, uint64_t cluster, uint64_t n)
{
    Qcow2RefcountSlice s;
    int r = qcow2_refcount_slice(q, cluster, &s);

    if (r < 0)
        return r;
    if (!s.data)
        return -EIO;
    qcow2_refcount_put(s.data, cluster - s.first, q->header.refcount_order, n);
    qcow2_cache_dirty(q->refcount_cache, s.offset);
    return 0;
}

/* ---- more blocks, a larger table ---- */

static int
write_table_entry(Qcow2 *q, uint64_t index, uint64_t block)
{
    uint8_t entry[8];
    int r;

    put_be64(entry, block);
    r = block_node_pwrite(q->node->file, q->header.refcount_table_offset + index * 8, entry,
                          sizeof(entry), 0);
    if (r < 0)
        return r;
    q->refcount_table[index] = block;
    g_atomic_int_set(&q->dirty, 1);
    return 0;
}

/* A block at @cluster for entry @index; counts itself when it lies in what it counts. The block has
 * to be on stable storage before the table says where it is. */
static int
block_write(Qcow2 *q, uint64_t index, uint64_t cluster)
{
    g_autofree uint8_t *block = g_try_malloc0(q->cluster_size);
    uint64_t offset = cluster << q->header.cluster_bits;
    unsigned bits = block_bits(q);
    int r;

    if (!block)
        return -ENOMEM;
    if (cluster >> bits == index)
        qcow2_refcount_put(block, cluster & ((UINT64_C(1) << bits) - 1), q->header.refcount_order,
                           1);
    qcow2_cache_forget(q->refcount_cache, offset, q->cluster_size);
    r = block_node_pwrite(q->node->file, offset, block, q->cluster_size, 0);
    if (r == 0)
        r = qcow2_cache_write(q->refcount_cache);
    if (r == 0)
        r = block_node_flush(q->node->file);
    if (r == 0)
        r = write_table_entry(q, index, offset);
    if (r == 0)
        qcow2_metadata_add(q, offset, q->cluster_size);
    return r;
}

/* Writes the header's place of the refcount table; what it points to is on stable storage. */
static int
table_switch(Qcow2 *q, uint64_t offset, uint32_t clusters)
{
    uint8_t place[12];
    int r;

    put_be64(place, offset);
    put_be32(place + 8, clusters);
    r = block_node_pwrite(q->node->file, 48, place, sizeof(place), 0);
    if (r == 0)
        r = block_node_flush(q->node->file);
    if (r < 0)
        qcow2_distrust(q);
    return r;
}

/* A table that has an entry @index. It and the blocks that count it go where the old one's blocks
 * end: there everything is free. */
static int
table_grow(Qcow2 *q, uint64_t index)
{
    unsigned bits = block_bits(q), cluster_bits = q->header.cluster_bits;
    uint64_t per_cluster = q->cluster_size / 8, start = q->refcount_entries << bits;
    uint64_t entries, table_clusters, blocks = 0, need, bytes, table_at;
    g_autofree uint8_t *area = NULL;
    uint64_t *table, old_at = q->header.refcount_table_offset;
    uint32_t old_clusters = q->header.refcount_table_clusters;
    int r;

    entries = MAX(index + 1, q->refcount_entries) + q->refcount_entries / 2 + 1;
    for (;;) {
        table_clusters = (entries + per_cluster - 1) / per_cluster;
        blocks = 1;
        while ((blocks << bits) < blocks + table_clusters)
            blocks++;
        need = (start >> bits) + blocks;
        if (need <= table_clusters * per_cluster)
            break;
        entries = need;
    }
    if (table_clusters << cluster_bits > QCOW2_REFTABLE_BYTES_MAX)
        return -EFBIG;
    bytes = (blocks + table_clusters) << cluster_bits;
    area = g_try_malloc0(bytes);
    table = g_try_malloc0(table_clusters << cluster_bits);
    if (!area || !table) {
        g_free(table);
        return -ENOMEM;
    }
    memcpy(table, q->refcount_table, q->refcount_entries * 8);
    for (uint64_t i = 0; i < blocks; i++)
        table[(start >> bits) + i] = (start + i) << cluster_bits;
    for (uint64_t i = 0; i < blocks + table_clusters; i++)
        qcow2_refcount_put(area, i, q->header.refcount_order, 1);
    table_at = (start + blocks) << cluster_bits;
    for (uint64_t i = 0; i < table_clusters * per_cluster; i++)
        put_be64(area + (blocks << cluster_bits) + i * 8, table[i]);
    qcow2_cache_forget(q->refcount_cache, start << cluster_bits, bytes);
    r = block_node_pwrite(q->node->file, start << cluster_bits, area, bytes, 0);
    if (r == 0)
        r = qcow2_cache_write(q->refcount_cache);
    if (r == 0)
        r = block_node_flush(q->node->file);
    if (r == 0)
        r = table_switch(q, table_at, table_clusters);
    if (r < 0) {
        g_free(table);
        return r;
    }
    g_free(q->refcount_table);
    q->refcount_table = table;
    q->refcount_entries = table_clusters * per_cluster;
    q->header.refcount_table_offset = table_at;
    q->header.refcount_table_clusters = table_clusters;
    if (q->fresh_from < (start << cluster_bits) + bytes)
        q->fresh_from = (start << cluster_bits) + bytes;
    qcow2_metadata_add(q, start << cluster_bits, bytes);
    qcow2_free_metadata(q, old_at, (uint64_t)old_clusters << cluster_bits);
    return 0;
}

int
qcow2_refcount_need(Qcow2 *q, uint64_t cluster)
{
    uint64_t index = cluster >> block_bits(q), place, at, at_index;
    int r;

    if (index >= q->refcount_entries) {
        r = table_grow(q, index);
        return r < 0 ? r : 1;
    }
    r = block_place(q, index, &place);
    if (r < 0 || place != 0)
        return r;
    r = qcow2_find_free(q, 1, &at);
    if (r < 0)
        return r;
    at_index = at >> block_bits(q);
    if (at_index != index) {
        r = qcow2_refcount_need(q, at);
        if (r != 0)
            return r;
        r = refcount_set(q, at, 1);
    }
    if (r == 0)
        r = block_write(q, index, at);
    if (r == 0)
        qcow2_note_used(q, at, 1);
    return r < 0 ? r : 1;
}

/* ---- changing ---- */

int
qcow2_refcount_add(Qcow2 *q, uint64_t offset, uint64_t bytes, int delta)
{
    uint64_t max = qcow2_refcount_max(q->header.refcount_order);
    uint64_t first = offset >> q->header.cluster_bits;
    uint64_t last = (offset + bytes - 1) >> q->header.cluster_bits, n;
    int r = 0;

    if (bytes == 0)
        return 0;
    for (uint64_t c = first; c <= last; c++) {
        while (delta > 0 && (r = qcow2_refcount_need(q, c)) > 0)
            ;
        if (r == 0)
            r = qcow2_refcount_get(q, c << q->header.cluster_bits, &n);
        if (r < 0)
            return r;
        if (delta > 0 && n >= max)
            return -ERANGE;
        if (delta < 0 && n == 0)
            return qcow2_mark_corrupt(q);
    }
    for (uint64_t c = first; c <= last; c++) {
        r = qcow2_refcount_get(q, c << q->header.cluster_bits, &n);
        if (r == 0)
            r = refcount_set(q, c, n + delta);
        if (r < 0)
            return r;
        if (delta < 0 && n == 1)
            qcow2_note_unused(q, c);
    }
    return 0;
}
