/* alloc.c - free clusters: finding, taking and giving them back, and what holds metadata.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/qcow2/refcount.h"
#include "block/qcow2/refcount_word.h"

enum { FREED_MAX = 4096 }; /* waiting for a flush before one is made for them */

/* ---- metadata ---- */

void
qcow2_metadata_add(Qcow2 *q, uint64_t offset, uint64_t bytes)
{
    unsigned bits = q->header.cluster_bits;

    if (bytes == 0)
        return;
    g_mutex_lock(&q->table_lock);
    for (uint64_t c = offset >> bits; c <= (offset + bytes - 1) >> bits; c++)
        g_hash_table_add(q->metadata, GSIZE_TO_POINTER(c));
    g_mutex_unlock(&q->table_lock);
}

void
qcow2_metadata_remove(Qcow2 *q, uint64_t offset, uint64_t bytes)
{
    unsigned bits = q->header.cluster_bits;

    if (bytes == 0)
        return;
    g_mutex_lock(&q->table_lock);
    for (uint64_t c = offset >> bits; c <= (offset + bytes - 1) >> bits; c++)
        g_hash_table_remove(q->metadata, GSIZE_TO_POINTER(c));
    g_mutex_unlock(&q->table_lock);
}

bool
qcow2_is_data(const Qcow2 *q, uint64_t offset, uint64_t bytes)
{
    unsigned bits = q->header.cluster_bits;

    if (q->has_data_file)
        return true;
    for (uint64_t c = offset >> bits; c <= (offset + bytes - 1) >> bits; c++)
        if (g_hash_table_contains(q->metadata, GSIZE_TO_POINTER(c)))
            return false;
    return true;
}

/* ---- taking ---- */

int
qcow2_find_free(Qcow2 *q, uint64_t n, uint64_t *ret_cluster)
{
    unsigned order = q->header.refcount_order;
    uint64_t limit = (QCOW2_OFFSET_MASK + 1) >> 1 >> q->header.cluster_bits;
    uint64_t at = q->free_hint, start = at;

    while (at - start < n) {
        Qcow2RefcountSlice s;
        int r = qcow2_refcount_slice(q, at, &s);

        if (r < 0)
            return r;
        if (start + n > limit)
            return -EFBIG;
        if (!s.data) {
            at = MIN(s.end, start + n);
            continue;
        }
        for (; at < s.end && at - start < n; at++)
            if (qcow2_refcount_word(s.data, at - s.first, order) != 0)
                start = at + 1;
    }
    *ret_cluster = start;
    return 0;
}

void
qcow2_note_used(Qcow2 *q, uint64_t cluster, uint64_t n)
{
    uint64_t end = (cluster + n) << q->header.cluster_bits;

    q->free_hint = MAX(q->free_hint, cluster + n);
    if (q->fresh_from < end)
        q->fresh_from = end;
}

void
qcow2_note_unused(Qcow2 *q, uint64_t cluster)
{
    q->free_hint = MIN(q->free_hint, cluster);
    qcow2_metadata_remove(q, cluster << q->header.cluster_bits, 1);
    if (q->bytes_at >> q->header.cluster_bits == cluster)
        q->bytes_at = 0;
}

int
qcow2_alloc_data(Qcow2 *q, uint64_t bytes, uint64_t *ret_offset, bool *ret_zero)
{
    unsigned bits = q->header.cluster_bits;
    uint64_t n = (bytes + q->cluster_size - 1) >> bits, at = 0;
    int r;

    do {
        r = q->freed->len > FREED_MAX ? qcow2_flush_locked(q) : qcow2_apply_freed(q);
        if (r == 0)
            r = qcow2_find_free(q, n, &at);
        /* making a refcount block may take what was found */
        for (uint64_t c = at; r == 0 && c < at + n; c++)
            r = qcow2_refcount_need(q, c);
    } while (r > 0);
    /* refcounts that are damaged may call metadata free */
    if (r == 0 && !q->has_data_file && !qcow2_is_data(q, at << bits, n << bits))
        return qcow2_mark_corrupt(q);
    if (r == 0)
        r = qcow2_refcount_add(q, at << bits, n << bits, 1);
    if (r < 0)
        return r;
    *ret_offset = at << bits;
    *ret_zero = at << bits >= q->fresh_from;
    qcow2_note_used(q, at, n);
    return 0;
}

int
qcow2_alloc(Qcow2 *q, uint64_t bytes, uint64_t *ret_offset)
{
    bool zero;

    return qcow2_alloc_data(q, bytes, ret_offset, &zero);
}

int
qcow2_alloc_metadata(Qcow2 *q, uint64_t bytes, uint64_t *ret_offset)
{
    int r = qcow2_alloc(q, bytes, ret_offset);

    if (r < 0)
        return r;
    qcow2_cache_forget(q->l2_cache, *ret_offset, bytes);
    qcow2_cache_forget(q->refcount_cache, *ret_offset, bytes);
    qcow2_metadata_add(q, *ret_offset, bytes);
    return 0;
}

int
qcow2_alloc_bytes(Qcow2 *q, uint64_t bytes, uint64_t *ret_offset)
{
    uint64_t size = q->cluster_size, at = q->bytes_at;
    uint64_t room = at ? size - at % size : 0, fresh;
    int r;

    if (at && bytes <= room && qcow2_refcount_add(q, at, bytes, 1) == 0) {
        *ret_offset = at;
    } else {
        /* at most one cluster more, as compressed data are less than a cluster */
        r = qcow2_alloc(q, size, &fresh);
        if (r < 0)
            return r;
        *ret_offset = fresh;
        if (at && fresh == at + room && bytes < room + size && qcow2_refcount_add(q, at, 1, 1) == 0)
            *ret_offset = at;
    }
    at = *ret_offset + bytes;
    q->bytes_at = at % size ? at : 0;
    return 0;
}

/* ---- giving back ---- */

void
qcow2_free(Qcow2 *q, uint64_t offset, uint64_t bytes, bool discard)
{
    Qcow2Freed freed = { .offset = offset, .bytes = bytes, .discard = discard };

    if (bytes == 0)
        return;
    g_array_append_val(q->freed, freed);
    g_atomic_int_set(&q->dirty, 1);
}

void
qcow2_free_metadata(Qcow2 *q, uint64_t offset, uint64_t bytes)
{
    if (bytes == 0)
        return;
    qcow2_metadata_remove(q, offset, bytes);
    qcow2_cache_forget(q->l2_cache, offset, bytes);
    qcow2_cache_forget(q->refcount_cache, offset, bytes);
    qcow2_free(q, offset, bytes, false);
}

static int
freed_apply_one(Qcow2 *q, const Qcow2Freed *f)
{
    uint64_t n = 0;
    int r = qcow2_refcount_add(q, f->offset, f->bytes, -1);

    /* holes only in whole clusters that nobody else refers to */
    if (r == 0 && f->discard && f->offset % q->cluster_size == 0 &&
        f->bytes % q->cluster_size == 0) {
        for (uint64_t at = 0; r == 0 && n == 0 && at < f->bytes; at += q->cluster_size)
            r = qcow2_refcount_get(q, f->offset + at, &n);
        if (r == 0 && n == 0)
            block_node_discard(q->node->file, f->offset, f->bytes);
    }
    return r;
}

int
qcow2_apply_freed(Qcow2 *q)
{
    bool ready;

    if (q->settled_freed == 0)
        return 0;
    g_mutex_lock(&q->table_lock);
    ready = q->holds.count[q->holds.current ^ 1] == 0;
    g_mutex_unlock(&q->table_lock);
    if (!ready)
        return 0;
    for (guint i = 0; i < q->settled_freed; i++) {
        int r = freed_apply_one(q, &g_array_index(q->freed, Qcow2Freed, i));

        if (r < 0) {
            g_array_remove_range(q->freed, 0, i + 1);
            q->settled_freed = 0;
            return r;
        }
    }
    g_array_remove_range(q->freed, 0, q->settled_freed);
    q->settled_freed = 0;
    return 0;
}
