/* check_claims.c - which clusters belong to the disk as it is now, and to the tables that lead to
 * it.
 *
 * A snapshot whose damaged entry says that its tables are there would have them mended, and the
 * disk written over. So this is asked before a snapshot's tables are mended.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/qcow2/check.h"

enum { RUN = 64 << 10 }; /* bytes of a table read at once */

static bool
is_marked(const Qcow2Checker *c, const uint64_t *bits, uint64_t offset)
{
    uint64_t i = offset / c->cluster;

    return bits[i / 64] >> i % 64 & 1;
}

static void
mark(const Qcow2Checker *c, uint64_t *bits, uint64_t offset, uint64_t bytes)
{
    uint64_t first = offset / c->cluster, end = qcow2_layout_div(offset + bytes, c->cluster);

    if (offset + bytes < offset || end > c->n_clusters)
        return;
    for (uint64_t i = first; i < end; i++)
        bits[i / 64] |= UINT64_C(1) << i % 64;
}

typedef int (*ClaimWord)(Qcow2Checker *c, uint64_t word);

/* Calls @claim for what is in a table of @n words, each the first of @width bytes. */
static int
table_walk(Qcow2Checker *c, uint64_t offset, uint64_t n, size_t width, ClaimWord claim)
{
    g_autofree uint8_t *run = g_malloc(RUN);
    int r = 0;

    for (uint64_t at = 0, left; r == 0 && at < n * width; at += left) {
        left = MIN(n * width - at, (uint64_t)RUN);
        r = check_read(c, offset + at, run, left);
        for (uint64_t i = 0; r == 0 && i < left; i += width)
            r = claim(c, be64(run + i));
    }
    return r;
}

static int
claim_block(Qcow2Checker *c, uint64_t word)
{
    if (word && check_in_file(c, word, c->cluster))
        mark(c, c->claims, word, c->cluster);
    return 0;
}

static int
claim_data(Qcow2Checker *c, uint64_t word)
{
    unsigned x = 62 - (c->g.cluster_bits - 8);

    if (word & QCOW2_COMPRESSED) {
        uint64_t sectors = ((word & ~(QCOW2_COPIED | QCOW2_COMPRESSED)) >> x) + 1;

        mark(c, c->claims, (word & ((UINT64_C(1) << x) - 1)) / 512 * 512, sectors * 512);
    } else if (word & QCOW2_OFFSET_MASK && !c->has_data_file) {
        mark(c, c->claims, word & QCOW2_OFFSET_MASK, c->cluster);
    }
    return 0;
}

static int
claim_l2(Qcow2Checker *c, uint64_t word)
{
    uint64_t host = word & QCOW2_OFFSET_MASK;

    /* each table once: a damaged L1 table may name one of them as often as it has entries */
    if (host == 0 || !check_in_file(c, host, c->cluster) || is_marked(c, c->claimed_tables, host))
        return 0;
    mark(c, c->claims, host, c->cluster);
    mark(c, c->claimed_tables, host, c->cluster);
    return table_walk(c, host, qcow2_layout_l2_entries(&c->g), c->g.extended_l2 ? 16 : 8,
                      claim_data);
}

int
check_claim(Qcow2Checker *c, uint64_t snapshot_table_bytes)
{
    const Qcow2Header *h = c->h;
    uint64_t blocks = h->refcount_table_clusters * c->cluster, l1 = (uint64_t)h->l1_size * 8;
    int r = 0;

    c->claims = g_try_new0(uint64_t, c->n_clusters / 64 + 1);
    c->claimed_tables = g_try_new0(uint64_t, c->n_clusters / 64 + 1);
    if (!c->claims || !c->claimed_tables)
        return -ENOMEM;
    mark(c, c->claims, 0, c->cluster);
    mark(c, c->claims, h->snapshots_offset, snapshot_table_bytes);
    mark(c, c->claims, h->bitmaps.directory_offset, h->bitmaps.directory_size);
    mark(c, c->claims, h->l1_offset, l1);
    mark(c, c->claims, h->refcount_table_offset, blocks);
    if (check_in_file(c, h->refcount_table_offset, blocks))
        r = table_walk(c, h->refcount_table_offset, blocks / 8, 8, claim_block);
    if (r == 0 && check_in_file(c, h->l1_offset, l1))
        r = table_walk(c, h->l1_offset, h->l1_size, 8, claim_l2);
    return r;
}

bool
check_is_claimed(const Qcow2Checker *c, uint64_t offset, uint64_t bytes)
{
    uint64_t end = MIN(offset + bytes, c->n_clusters * c->cluster);

    for (uint64_t at = offset; c->claims && at < end; at += c->cluster)
        if (is_marked(c, c->claims, at))
            return true;
    return false;
}

bool
check_is_no_table(const Qcow2Checker *c, uint64_t offset)
{
    return check_is_claimed(c, offset, c->cluster) && !is_marked(c, c->claimed_tables, offset);
}
