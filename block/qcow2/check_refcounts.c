/* check_refcounts.c - the refcounts on disk against the references that were found.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/check.h"
#include "block/qcow2/refcount_word.h"

enum { RUN_BYTES = 2 << 20 };

static int
table_read(Qcow2Checker *c)
{
    uint64_t bytes = (uint64_t)c->h->refcount_table_clusters << c->g.cluster_bits;
    int r;

    if (bytes == 0 || bytes > QCOW2_REFTABLE_BYTES_MAX ||
        !check_in_file(c, c->h->refcount_table_offset, bytes)) {
        check_report(c, FINDING_CORRUPTION, check_mends(c),
                     "ERROR: the refcount table of %u clusters at 0x%" G_GINT64_MODIFIER
                     "x is not in the file",
                     c->h->refcount_table_clusters, c->h->refcount_table_offset);
        c->must_rebuild = true;
        return 0;
    }
    c->n_refcount_table = bytes / 8;
    c->refcount_table = g_malloc(bytes);
    r = check_read(c, c->h->refcount_table_offset, c->refcount_table, bytes);
    for (uint64_t i = 0; i < c->n_refcount_table; i++)
        c->refcount_table[i] = GUINT64_FROM_BE(c->refcount_table[i]);
    check_count(c, c->h->refcount_table_offset, bytes, 1);
    return r;
}

int
check_refcount_table(Qcow2Checker *c)
{
    int r = table_read(c);

    for (uint64_t i = 0; i < c->n_refcount_table && r == 0; i++) {
        uint64_t block = c->refcount_table[i];

        if (block == 0)
            continue;
        if (block & 511 || block < c->cluster || !check_in_file(c, block, c->cluster)) {
            check_report(c, FINDING_CORRUPTION, check_mends(c),
                         "ERROR: refcount block %" G_GUINT64_FORMAT " at 0x%" G_GINT64_MODIFIER
                         "x is not a cluster of the file",
                         i, block);
            c->refcount_table[i] = 0;
            c->must_rebuild = true;
            continue;
        }
        check_count(c, block, c->cluster, 1);
    }
    /* a block or table that something else refers to as well cannot be written without harm */
    for (uint64_t i = 0; i < c->n_refcount_table && r == 0; i++) {
        uint64_t n = c->refcount_table[i]
                         ? qcow2_counts_get(c->counts, c->refcount_table[i] / c->cluster)
                         : 1;

        if (n != 1) {
            check_report(c, FINDING_CORRUPTION, check_mends(c),
                         "ERROR: refcount block %" G_GUINT64_FORMAT
                         " is referred to %" G_GUINT64_FORMAT " times",
                         i, n);
            c->must_rebuild = true;
        }
    }
    for (uint64_t i = 0; c->refcount_table && i < c->h->refcount_table_clusters; i++)
        if (qcow2_counts_get(c->counts, c->h->refcount_table_offset / c->cluster + i) != 1) {
            check_report(c, FINDING_CORRUPTION, check_mends(c),
                         "ERROR: the refcount table is referred to as something else too");
            c->must_rebuild = true;
            break;
        }
    return r;
}

/* Compares one cluster; true when @block was changed. */
static bool
compare_one(Qcow2Checker *c, uint8_t *block, uint64_t i, uint64_t cluster, uint64_t on_disk,
            uint64_t found)
{
    bool leak = on_disk > found, fits = found <= qcow2_refcount_max(c->g.refcount_order);
    bool fix = c->fix & (leak ? BLOCK_CHECK_LEAKS : BLOCK_CHECK_ERRORS);

    c->look_at_copied = true;
    if (c->must_rebuild && check_mends(c))
        return false; /* all of them are written anew */
    if (!fits && fix && c->h->version >= 3) {
        /* wider refcounts can say it: made anew like that */
        c->must_rebuild = true;
        fits = true;
    }
    fix &= fits;
    check_report(c, leak ? FINDING_LEAK : FINDING_CORRUPTION, fix,
                 "%s cluster %" G_GUINT64_FORMAT " refcount=%" G_GUINT64_FORMAT
                 " reference=%" G_GUINT64_FORMAT,
                 leak ? "Leaked" : "ERROR", cluster, on_disk, found);
    c->must_mistrust |= !fix;
    if (fix && found <= qcow2_refcount_max(c->g.refcount_order))
        qcow2_refcount_put(block, i, c->g.refcount_order, found);
    return fix;
}

/* Whether all counts of a block are as the references: the usual case, at full speed. */
static bool
block_is_plain(Qcow2Checker *c, const uint8_t *block, uint64_t first, uint64_t n, uint64_t *end)
{
    const uint16_t *words = (const uint16_t *)(const void *)block;

    if (c->g.refcount_order != 4)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t found = first + i < c->n_clusters ? qcow2_counts_get(c->counts, first + i) : 0;

        if (GUINT16_FROM_BE(words[i]) != found)
            return false;
        c->look_at_copied |= found > 1;
        if (found)
            *end = first + i + 1;
    }
    return true;
}

static int
compare_block(Qcow2Checker *c, uint64_t index, uint64_t *end)
{
    uint64_t n = qcow2_layout_block_entries(&c->g), first = index * n;
    g_autofree uint8_t *block = g_malloc(c->cluster);
    bool changed = false;
    int r = check_read(c, c->refcount_table[index], block, c->cluster);

    if (r < 0 || block_is_plain(c, block, first, n, end))
        return r;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t on_disk = qcow2_refcount_word(block, i, c->g.refcount_order);
        uint64_t found = qcow2_counts_get(c->counts, first + i);

        c->look_at_copied |= found > 1;
        if (on_disk != found)
            changed |= compare_one(c, block, i, first + i, on_disk, found);
        if (found || qcow2_refcount_word(block, i, c->g.refcount_order))
            *end = first + i + 1;
    }
    return changed ? check_write(c, c->refcount_table[index], block, c->cluster) : 0;
}

/* Clusters in use without a refcount block. */
static void
compare_absent(Qcow2Checker *c, uint64_t first, uint64_t n, uint64_t *end)
{
    if (!qcow2_counts_any(c->counts, first, n))
        return;
    for (uint64_t i = first; i < MIN(first + n, c->n_clusters); i++) {
        uint64_t found = qcow2_counts_get(c->counts, i);

        if (found == 0)
            continue;
        check_report(c, FINDING_CORRUPTION, check_mends(c),
                     "ERROR cluster %" G_GUINT64_FORMAT " refcount=0 reference=%" G_GUINT64_FORMAT,
                     i, found);
        *end = i + 1;
    }
    c->must_mistrust = true;
    c->must_rebuild = true;
}

int
check_compare(Qcow2Checker *c)
{
    uint64_t n = qcow2_layout_block_entries(&c->g), end = 0;
    uint64_t blocks = MAX(c->n_refcount_table, qcow2_layout_div(qcow2_counts_end(c->counts), n));
    int r = 0;

    /* what must be rebuilt is known before the first block is mended in place */
    for (uint64_t i = 0; i < blocks; i++)
        if (i >= c->n_refcount_table || c->refcount_table[i] == 0)
            compare_absent(c, i * n, n, &end);
    for (uint64_t i = 0; i < c->n_refcount_table && r == 0; i++)
        if (c->refcount_table[i])
            r = compare_block(c, i, &end);
    c->ret->image_end_offset = end << c->g.cluster_bits;
    return r;
}
