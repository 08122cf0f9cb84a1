/* check_copied.c - whether the active tables' COPIED flags say what the refcounts say.
 *
 * The flag is set exactly where a refcount is 1. A guest writes in place where it is set: wrongly
 * set it destroys what a snapshot holds.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "block/qcow2/check.h"
#include "block/qcow2/refcount_word.h"

enum { RUN_BYTES = 2 << 20, BLOCKS_KEPT = 64 };

typedef struct {
    Qcow2Checker *c;
    bool mend;
    /* refcount blocks as they are on disk, when they were not made right before */
    uint8_t *blocks[BLOCKS_KEPT];
    uint64_t block_at[BLOCKS_KEPT];
} Copied;

static uint64_t
refcount_on_disk(Copied *k, uint64_t cluster)
{
    Qcow2Checker *c = k->c;
    uint64_t n = qcow2_layout_block_entries(&c->g), index = cluster / n;
    unsigned slot = index % BLOCKS_KEPT;
    uint64_t at = index < c->n_refcount_table ? c->refcount_table[index] : 0;

    if (at == 0)
        return 0;
    if (!k->blocks[slot])
        k->blocks[slot] = g_malloc(c->cluster);
    if (k->block_at[slot] != at) {
        if (check_read(c, at, k->blocks[slot], c->cluster) < 0)
            memset(k->blocks[slot], 0, c->cluster);
        k->block_at[slot] = at;
    }
    return qcow2_refcount_word(k->blocks[slot], cluster % n, c->g.refcount_order);
}

/* Sets or clears the flag of @entry; true when it was wrong. */
static bool
flag_check(Copied *k, uint64_t *entry, bool is_table)
{
    Qcow2Checker *c = k->c;
    uint64_t host = *entry & QCOW2_OFFSET_MASK, n = 1;

    if (!is_table && (*entry & QCOW2_COMPRESSED || c->has_data_file))
        return false;
    if (host == 0 || !check_in_file(c, host, c->cluster))
        return false;
    n = c->must_mistrust ? refcount_on_disk(k, host / c->cluster)
                         : qcow2_counts_get(c->counts, host / c->cluster);
    if ((n == 1) == !!(*entry & QCOW2_COPIED))
        return false;
    check_report(c, FINDING_CORRUPTION, k->mend,
                 "ERROR OFLAG_COPIED %s: entry=0x%" G_GINT64_MODIFIER
                 "x refcount=%" G_GUINT64_FORMAT,
                 is_table ? "L2 table" : "data cluster", *entry, n);
    *entry ^= QCOW2_COPIED;
    return true;
}

/* Checks @n entries of @width bytes at @offset of the file. */
static int
check_entries(Copied *k, uint64_t offset, uint64_t n, size_t width, uint8_t *run, bool is_table)
{
    Qcow2Checker *c = k->c;

    for (uint64_t i = 0; i < n;) {
        uint64_t part = MIN(n - i, RUN_BYTES / width);
        bool changed = false;
        int r = check_read(c, offset + i * width, run, part * width);

        if (r < 0)
            return r;
        for (uint64_t e = 0; e < part; e++) {
            uint64_t entry = be64(run + e * width);

            if (flag_check(k, &entry, is_table)) {
                put_be64(run + e * width, entry);
                changed = true;
            }
        }
        if (changed && k->mend)
            r = check_write(c, offset + i * width, run, part * width);
        if (r < 0)
            return r;
        i += part;
    }
    return 0;
}

int
check_copied(Qcow2Checker *c)
{
    const CheckL2 *l2 = (const CheckL2 *)(void *)c->l2->data;
    g_autofree uint8_t *run = NULL;
    Copied k = { .c = c };
    int r = 0;

    if (!c->look_at_copied)
        return 0;
    run = g_malloc(RUN_BYTES);
    /* with leaks alone to mend, flags follow once nothing else is wrong */
    k.mend =
        check_mends(c) || (c->fix & BLOCK_CHECK_LEAKS && !c->ret->corruptions && !c->ret->leaks);
    if (check_in_file(c, c->h->l1_offset, (uint64_t)c->h->l1_size * 8))
        r = check_entries(&k, c->h->l1_offset, c->h->l1_size, 8, run, true);
    for (guint i = 0; i < c->l2->len && r == 0; i++)
        if (l2[i].active)
            r = check_entries(&k, l2[i].offset, qcow2_layout_l2_entries(&c->g),
                              c->g.extended_l2 ? 16 : 8, run, false);
    for (unsigned i = 0; i < BLOCKS_KEPT; i++)
        g_free(k.blocks[i]);
    return r;
}
