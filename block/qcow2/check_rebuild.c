/* check_rebuild.c - makes a new refcount table and blocks from the references that were found.
 *
 * They are written behind everything else and used from the moment the header names them, in one
 * write: until then the image is as it was. What the old ones took becomes free.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/check.h"
#include "block/qcow2/refcount_word.h"

/* The old structures no longer count as references. */
static void
forget_old(Qcow2Checker *c)
{
    uint64_t at = c->h->refcount_table_offset / c->cluster;

    for (uint64_t i = 0; i < c->n_refcount_table; i++)
        if (c->refcount_table[i])
            qcow2_counts_take(c->counts, c->refcount_table[i] / c->cluster);
    for (uint64_t i = 0; c->refcount_table && i < c->h->refcount_table_clusters; i++)
        qcow2_counts_take(c->counts, at + i);
}

/* Writes the block of clusters from @first on; the new structures lie at [own, own_end). */
static int
block_write(Qcow2Checker *c, uint8_t *block, uint64_t first, uint64_t offset, uint64_t own,
            uint64_t own_end)
{
    uint64_t n = qcow2_layout_block_entries(&c->g), max = qcow2_refcount_max(c->g.refcount_order);

    memset(block, 0, c->cluster);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t cluster = first + i;
        uint64_t found =
            cluster >= own && cluster < own_end ? 1 : qcow2_counts_get(c->counts, cluster);

        if (found > max) {
            check_report(c, FINDING_CORRUPTION, false,
                         "ERROR cluster %" G_GUINT64_FORMAT " has %" G_GUINT64_FORMAT
                         " references, more than its refcount can say",
                         cluster, found);
            found = max;
        }
        if (found)
            qcow2_refcount_put(block, i, c->g.refcount_order, found);
    }
    return check_write(c, offset, block, c->cluster);
}

/* Blocks needed so that each cluster in use, [own, own_end) included, has its refcount. */
static uint64_t
blocks_needed(Qcow2Checker *c, uint64_t own, uint64_t own_end, uint8_t *wanted, uint64_t n_wanted)
{
    uint64_t n = qcow2_layout_block_entries(&c->g), sum = 0;

    for (uint64_t b = 0; b < n_wanted; b++) {
        bool has_own = own < (b + 1) * n && own_end > b * n;

        wanted[b] = has_own || qcow2_counts_any(c->counts, b * n, n);
        sum += wanted[b];
    }
    return sum;
}

int
check_write_refcounts(Qcow2Checker *c, uint64_t own, uint64_t room)
{
    uint64_t n = qcow2_layout_block_entries(&c->g), blocks = 0, table = 0, before, n_wanted;
    g_autofree uint8_t *wanted = NULL, *block = g_malloc(c->cluster);
    g_autofree uint64_t *words = NULL;
    uint64_t next;
    int r = 0;

    do {
        before = blocks + table;
        n_wanted = qcow2_layout_div(MAX(own + before, qcow2_counts_end(c->counts)), n);
        g_free(wanted);
        wanted = g_malloc0(n_wanted);
        blocks = blocks_needed(c, own, own + before, wanted, n_wanted);
        table = qcow2_layout_div(n_wanted * 8, c->cluster);
    } while (blocks + table != before);
    if (table << c->g.cluster_bits > QCOW2_REFTABLE_BYTES_MAX || before > room)
        return -EFBIG;
    words = g_malloc0(table << c->g.cluster_bits);
    next = own + table;
    for (uint64_t b = 0; b < n_wanted && r == 0; b++)
        if (wanted[b]) {
            words[b] = GUINT64_TO_BE(next << c->g.cluster_bits);
            r = block_write(c, block, b * n, next++ << c->g.cluster_bits, own,
                            own + table + blocks);
        }
    if (r == 0)
        r = check_write(c, own << c->g.cluster_bits, words, table << c->g.cluster_bits);
    if (r == 0)
        r = block_node_flush(c->file);
    if (r < 0)
        return r;
    c->h->refcount_table_offset = own << c->g.cluster_bits;
    c->h->refcount_table_clusters = table;
    c->ret->image_end_offset = MAX(own + table + blocks, qcow2_counts_end(c->counts))
                               << c->g.cluster_bits;
    return 0;
}

/* Refcounts that can say how often each cluster is referred to; version 2 has one width only. */
static void
widen(Qcow2Checker *c)
{
    uint64_t end = qcow2_counts_end(c->counts);
    unsigned order = c->g.refcount_order;

    for (uint64_t i = 0; i < end && c->h->version >= 3; i++)
        while (qcow2_counts_get(c->counts, i) > qcow2_refcount_max(order))
            order++;
    c->g.refcount_order = c->h->refcount_order = order;
}

int
check_rebuild(Qcow2Checker *c)
{
    uint64_t own;
    int r;

    forget_old(c);
    widen(c);
    own = c->n_clusters;
    /* a device does not grow, and behind a hole of any length no refcount table reaches */
    if (c->file->is_device ||
        own / qcow2_layout_block_entries(&c->g) >= QCOW2_REFTABLE_BYTES_MAX / 16)
        own = qcow2_counts_end(c->counts);
    r = check_write_refcounts(c, own, UINT64_MAX);
    if (r == 0)
        r = qcow2_header_store(c->file, c->h);
    if (r == 0)
        r = block_node_flush(c->file);
    c->must_mistrust = false;
    return r;
}
