/* tables.c - where a guest's clusters are: L1 and L2 tables, and runs of clusters of one kind.
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Cluster mapping", "Extended L2 Entries".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/tables.h"

#include <errno.h>
#include <string.h>

/* ---- entries ---- */

bool
qcow2_entry_has_cluster(const Qcow2 *q, Qcow2Entry e)
{
    if (e.entry & QCOW2_COMPRESSED)
        return false;
    /* in a data file a cluster may well be the first */
    return qcow2_entry_place(e) != 0 || (q->has_data_file && e.entry & QCOW2_COPIED);
}

Qcow2Kind
qcow2_entry_kind(const Qcow2 *q, Qcow2Entry e, unsigned sub)
{
    bool own = qcow2_entry_has_cluster(q, e);
    bool data = e.bitmap >> sub & 1, zero = e.bitmap >> (sub + QCOW2_SUBCLUSTERS) & 1;

    if (e.entry & QCOW2_COMPRESSED)
        return QCOW2_COMPRESSED_DATA;
    if (e.entry & QCOW2_OFFSET_MASK & (q->cluster_size - 1))
        return QCOW2_INVALID;
    if (!q->extended_l2) {
        if (e.entry & QCOW2_ZERO)
            return q->header.version < 3 ? QCOW2_INVALID
                   : own                 ? QCOW2_ZERO_ALLOCATED
                                         : QCOW2_ZERO_PLAIN;
        return own ? QCOW2_NORMAL : QCOW2_UNALLOCATED;
    }
    if ((data && zero) || (data && !own))
        return QCOW2_INVALID;
    if (zero)
        return own ? QCOW2_ZERO_ALLOCATED : QCOW2_ZERO_PLAIN;
    if (data)
        return QCOW2_NORMAL;
    return own ? QCOW2_UNALLOCATED_WITHIN : QCOW2_UNALLOCATED;
}

void
qcow2_entry_compressed(const Qcow2 *q, Qcow2Entry e, uint64_t *ret_offset, uint64_t *ret_bytes)
{
    unsigned shift = 62 - (q->header.cluster_bits - 8);
    uint64_t offset = e.entry & ((UINT64_C(1) << shift) - 1);
    uint64_t sectors = (e.entry >> shift & ((UINT64_C(1) << (q->header.cluster_bits - 8)) - 1)) + 1;

    *ret_offset = offset;
    *ret_bytes = sectors * 512 - offset % 512;
}

/* ---- tables ---- */

/* Entries that lie one behind the other in a slice of the cache: those of @n clusters from @cluster
 * on. They stay there until the cache is asked for another slice. */
typedef struct {
    uint64_t cluster, n, slice;
    uint8_t *at; /* NULL: there is no table, and nothing is mapped */
} Entries;

/* The entry of @cluster and those behind it. */
static int
entries_find(Qcow2 *q, uint64_t cluster, bool peek, Entries *ret)
{
    uint64_t index = cluster >> q->l2_bits, at, slice;
    uint64_t in_table = cluster & ((UINT64_C(1) << q->l2_bits) - 1);
    uint32_t bytes = qcow2_cache_slice(q->l2_cache);
    uint8_t *data = NULL;
    int r;

    *ret = (Entries){ .cluster = cluster, .n = (UINT64_C(1) << q->l2_bits) - in_table };
    if (index >= q->header.l1_size || !(at = q->l1[index] & QCOW2_OFFSET_MASK))
        return 0;
    if (at & (q->cluster_size - 1))
        return -EUCLEAN;
    at += in_table * q->l2_entry_size;
    slice = at / bytes * bytes;
    if (peek)
        data = qcow2_cache_peek(q->l2_cache, slice);
    r = peek ? (data ? 0 : -EAGAIN) : qcow2_cache_get(q->l2_cache, slice, &data);
    if (r < 0)
        return r;
    ret->at = data + (at - slice);
    ret->n = (slice + bytes - at) / q->l2_entry_size;
    ret->slice = slice;
    return 0;
}

/* @entries is what was found last, all zeros at first, and saves the search. */
static int
entry_read(Qcow2 *q, uint64_t cluster, bool peek, Entries *entries, Qcow2Entry *ret)
{
    const uint8_t *p;
    int r = 0;

    *ret = (Qcow2Entry){ 0 };
    if (cluster - entries->cluster >= entries->n)
        r = entries_find(q, cluster, peek, entries);
    if (r < 0 || !entries->at)
        return r;
    p = entries->at + (cluster - entries->cluster) * q->l2_entry_size;
    ret->entry = be64(p);
    ret->bitmap = q->extended_l2 ? be64(p + 8) : 0;
    return 0;
}

int
qcow2_entry_get(Qcow2 *q, uint64_t cluster, Qcow2Entry *ret)
{
    Entries entries = { 0 };
    int r = entry_read(q, cluster, false, &entries, ret);

    return r == -EUCLEAN ? qcow2_mark_corrupt(q) : r;
}

/* A new table for L1 entry @index: empty, or a copy of one that snapshots share. It is in the file,
 * and on stable storage before the L1 entry is, as data are. */
static int
table_make(Qcow2 *q, uint64_t index)
{
    uint64_t old = q->l1[index] & QCOW2_OFFSET_MASK, at;
    g_autofree uint8_t *table = g_try_malloc0(q->cluster_size);
    int r = 0;

    if (!table)
        return -ENOMEM;
    if (old != 0) {
        /* the cache may know better than the file */
        r = qcow2_write_tables(q);
        if (r == 0)
            r = block_node_pread(q->node->file, old, table, q->cluster_size);
    }
    if (r == 0)
        r = qcow2_alloc_metadata(q, q->cluster_size, &at);
    if (r < 0)
        return r;
    r = block_node_pwrite(q->node->file, at, table, q->cluster_size, 0);
    if (r < 0) {
        qcow2_free_metadata(q, at, q->cluster_size);
        return r;
    }
    g_mutex_lock(&q->table_lock);
    q->l1[index] = at | QCOW2_COPIED;
    g_mutex_unlock(&q->table_lock);
    qcow2_l1_touch(q, index);
    if (old != 0)
        /* a snapshot's: it stays metadata */
        qcow2_free(q, old, q->cluster_size, false);
    return 0;
}

int
qcow2_table_need(Qcow2 *q, uint64_t cluster)
{
    uint64_t index = cluster >> q->l2_bits, at;

    if (index >= q->header.l1_size) {
        int r = qcow2_l1_grow(q, index + 1);

        if (r < 0)
            return r;
    }
    at = q->l1[index];
    if (at & QCOW2_OFFSET_MASK & (q->cluster_size - 1))
        return qcow2_mark_corrupt(q);
    return at & QCOW2_OFFSET_MASK && at & QCOW2_COPIED ? 0 : table_make(q, index);
}

int
qcow2_entry_set(Qcow2 *q, uint64_t cluster, Qcow2Entry e)
{
    Entries entries;
    int r = qcow2_table_need(q, cluster);

    if (r == 0)
        r = entries_find(q, cluster, false, &entries);
    if (r < 0)
        return r;
    g_mutex_lock(&q->table_lock);
    put_be64(entries.at, e.entry);
    if (q->extended_l2)
        put_be64(entries.at + 8, e.bitmap);
    g_mutex_unlock(&q->table_lock);
    qcow2_cache_dirty(q->l2_cache, entries.slice);
    return 0;
}

/* ---- runs ---- */

static bool
run_has_place(Qcow2Kind kind)
{
    return kind == QCOW2_NORMAL || kind == QCOW2_ZERO_ALLOCATED || kind == QCOW2_UNALLOCATED_WITHIN;
}

/* Kind, place and end (within the cluster) of what is at @offset. */
static int
run_one(Qcow2 *q, uint64_t offset, bool peek, Entries *entries, Qcow2Run *ret)
{
    uint64_t within = offset & (q->cluster_size - 1);
    unsigned sub = within / q->subcluster_size, last = q->extended_l2 ? QCOW2_SUBCLUSTERS : 1;
    Qcow2Entry e;
    int r = entry_read(q, offset >> q->header.cluster_bits, peek, entries, &e);

    if (r < 0)
        return r;
    *ret = (Qcow2Run){ .kind = qcow2_entry_kind(q, e, sub),
                       .entry = e,
                       .copied = e.entry & QCOW2_COPIED };
    if (ret->kind == QCOW2_INVALID)
        return -EUCLEAN;
    if (run_has_place(ret->kind))
        ret->host = qcow2_entry_place(e) + within;
    ret->length = q->cluster_size - within;
    if (ret->kind == QCOW2_COMPRESSED_DATA)
        return 0;
    while (++sub < last)
        if (qcow2_entry_kind(q, e, sub) != ret->kind) {
            ret->length = sub * q->subcluster_size - within;
            break;
        }
    return 0;
}

int
qcow2_run_find(Qcow2 *q, uint64_t offset, uint64_t length, bool peek, Qcow2Run *ret)
{
    Entries entries = { 0 };
    Qcow2Run run, next;
    int r = run_one(q, offset, peek, &entries, &run);

    if (r < 0)
        return r == -EUCLEAN ? (peek ? -EAGAIN : qcow2_mark_corrupt(q)) : r;
    while (run.length < length && run.kind != QCOW2_COMPRESSED_DATA) {
        uint64_t at = offset + run.length;
        uint64_t index = at >> q->header.cluster_bits >> q->l2_bits;

        if (qcow2_kind_is_backing(run.kind) && !(at & (q->cluster_size - 1)) &&
            (index >= q->header.l1_size || !(q->l1[index] & QCOW2_OFFSET_MASK))) {
            /* no table: all that it would map */
            if (run.kind != QCOW2_UNALLOCATED)
                break;
            run.length = ((index + 1) << q->l2_bits << q->header.cluster_bits) - offset;
            continue;
        }
        r = run_one(q, at, peek, &entries, &next);
        if (r < 0 || next.kind != run.kind || next.copied != run.copied ||
            (run_has_place(run.kind) && next.host != run.host + run.length))
            break;
        run.length += next.length;
    }
    run.length = MIN(run.length, length);
    *ret = run;
    return 0;
}

/* ---- holds and changes ---- */

unsigned
qcow2_hold(Qcow2 *q)
{
    q->holds.count[q->holds.current]++;
    return q->holds.current;
}

void
qcow2_hold_release(Qcow2 *q, unsigned hold)
{
    g_mutex_lock(&q->table_lock);
    if (--q->holds.count[hold] == 0)
        g_cond_broadcast(&q->holds.gone);
    g_mutex_unlock(&q->table_lock);
}

void
qcow2_change_wait(Qcow2 *q, uint64_t first, uint64_t end)
{
    Qcow2Change *c = q->changes;

    while (c) {
        if (c->first < end && first < c->end) {
            g_cond_wait(&q->settled, &q->lock);
            c = q->changes;
        } else {
            c = c->next;
        }
    }
}

void
qcow2_change_begin(Qcow2 *q, Qcow2Change *change)
{
    change->next = q->changes;
    q->changes = change;
}

void
qcow2_change_end(Qcow2 *q, Qcow2Change *change)
{
    Qcow2Change **at = &q->changes;

    while (*at != change)
        at = &(*at)->next;
    *at = change->next;
    g_cond_broadcast(&q->settled);
}
