/* check.c - finds and mends what is wrong in a qcow2 image's metadata: the run as a whole.
 *
 * All references are counted (check_mapping.c, check_tables.c), the refcounts on disk are compared
 * with them (check_refcounts.c) or made anew (check_rebuild.c), and at last the COPIED flags
 * (check_copied.c). Content is not looked at. Memory: two bytes for each cluster in use, 1 GiB at
 * most, and 32 for each L2 table; to mend snapshots and bitmaps half as much again.
 *
 * Mending works on the file; whoever has tables of the image in memory reads them again after it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/check.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "util/error.h"

void
check_report(Qcow2Checker *c, CheckFinding kind, bool fixed, const char *format, ...)
{
    g_autofree char *text = NULL, *line = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    line = fixed ? g_strdup_printf("Repaired: %s", text) : g_steal_pointer(&text);
    g_mutex_lock(&c->lock);
    if (kind == FINDING_CORRUPTION)
        *(fixed ? &c->ret->corruptions_fixed : &c->ret->corruptions) += 1;
    else
        *(fixed ? &c->ret->leaks_fixed : &c->ret->leaks) += 1;
    if (c->ret->report)
        c->ret->report(c->ret->opaque, line);
    g_mutex_unlock(&c->lock);
}

int
check_read(Qcow2Checker *c, uint64_t offset, void *buf, size_t length)
{
    uint64_t end = c->file->size, inside = offset < end ? MIN(end - offset, length) : 0;

    memset((uint8_t *)buf + inside, 0, length - inside);
    return inside ? block_node_pread(c->file, offset, buf, inside) : 0;
}

int
check_write(Qcow2Checker *c, uint64_t offset, const void *buf, size_t length)
{
    int r = block_node_pwrite(c->file, offset, buf, length, 0);

    if (r < 0) {
        g_mutex_lock(&c->lock);
        c->failed = r;
        g_mutex_unlock(&c->lock);
        return r;
    }
    __atomic_store_n(&c->wrote, true, __ATOMIC_RELAXED);
    return 0;
}

bool
check_in_file(const Qcow2Checker *c, uint64_t offset, uint64_t length)
{
    uint64_t first = offset / c->cluster;

    return offset % c->cluster == 0 && first <= c->n_clusters &&
           qcow2_layout_div(length, c->cluster) <= c->n_clusters - first;
}

bool
check_count(Qcow2Checker *c, uint64_t offset, uint64_t length, uint64_t weight)
{
    if (!check_in_file(c, offset, length))
        return false;
    if (!qcow2_counts_add(c->counts, offset / c->cluster, qcow2_layout_div(length, c->cluster),
                          weight)) {
        g_mutex_lock(&c->lock);
        c->failed = -ENOMEM;
        g_mutex_unlock(&c->lock);
    }
    return true;
}

void
check_list_l1(Qcow2Checker *c, uint64_t offset, uint32_t entries, bool active)
{
    CheckL1 l1 = { .offset = offset, .entries = entries, .weight = 1, .active = active };

    if (entries > 0)
        g_array_append_val(c->l1, l1);
}

int
check_header(Qcow2Checker *c)
{
    Qcow2Header *h = c->h;

    check_count(c, 0, c->cluster, 1);
    if (h->luks.length > 0 && !check_count(c, h->luks.offset, h->luks.length, 1))
        check_report(c, FINDING_CORRUPTION, false,
                     "ERROR: the encryption header at 0x%" G_GINT64_MODIFIER "x is not in the file",
                     h->luks.offset);
    return 0;
}

static int
list_active_l1(Qcow2Checker *c)
{
    const Qcow2Header *h = c->h;

    if (check_in_file(c, h->l1_offset, (uint64_t)h->l1_size * 8))
        check_list_l1(c, h->l1_offset, h->l1_size, true);
    else
        check_report(c, FINDING_CORRUPTION, false,
                     "ERROR: the L1 table of %u entries at 0x%" G_GINT64_MODIFIER
                     "x is not in the file",
                     h->l1_size, h->l1_offset);
    return 0;
}

static int
run_stages(Qcow2Checker *c)
{
    int (*const stages[])(Qcow2Checker *) = { check_header,  list_active_l1, check_snapshot_table,
                                              check_bitmaps, check_mapping,  check_refcount_table,
                                              check_compare };
    int r = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(stages) && r == 0; i++) {
        r = stages[i](c);
        if (r == 0)
            r = c->failed;
    }
    if (r == 0 && c->must_rebuild && check_mends(c))
        r = check_rebuild(c);
    if (r == 0)
        r = check_copied(c);
    return r ? r : c->failed;
}

/* A check that mended everything, or found nothing to mend, says so in the header. */
static int
mark_clean(Qcow2Checker *c)
{
    uint64_t marks = QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT;
    int r = c->wrote ? block_node_flush(c->file) : 0;

    if (r < 0 || c->ret->corruptions > 0 || c->h->version < 3 || !(c->h->incompatible & marks))
        return r;
    c->h->incompatible &= ~marks;
    c->wrote = true; /* an image that is not corrupt any more is opened as such */
    r = qcow2_header_store(c->file, c->h);
    return r ? r : block_node_flush(c->file);
}

int
qcow2_header_store(BlockNode *file, const Qcow2Header *h)
{
    size_t cluster = (size_t)1 << h->cluster_bits;
    g_autofree uint8_t *first = g_malloc(cluster);
    int r = qcow2_header_format(h, first, cluster);

    /* Sectors behind the end of the header stay what they were: should the first one not make it,
     * the old header still needs them. */
    while (cluster > BLOCK_SECTOR && first[cluster - BLOCK_SECTOR] == 0 &&
           memcmp(first + cluster - BLOCK_SECTOR, first + cluster - BLOCK_SECTOR + 1,
                  BLOCK_SECTOR - 1) == 0)
        cluster -= BLOCK_SECTOR;
    return r ? r : block_node_pwrite(file, 0, first, cluster, 0);
}

bool
qcow2_checker_init(Qcow2Checker *c, BlockNode *file, Qcow2Header *h, bool has_data_file,
                   unsigned fix, BlockCheck *ret)
{
    uint64_t cluster = UINT64_C(1) << h->cluster_bits;

    *c = (Qcow2Checker){
        .file = file,
        .h = h,
        .g = { h->cluster_bits, h->refcount_order, h->incompatible & QCOW2_INCOMPAT_EXTENDED_L2 },
        .cluster = cluster,
        .n_clusters = qcow2_layout_div(file->size, cluster),
        .has_data_file = has_data_file,
        .fix = fix,
        .ret = ret,
    };
    g_mutex_init(&c->lock);
    c->l1 = g_array_new(FALSE, FALSE, sizeof(CheckL1));
    c->l2 = g_array_new(FALSE, FALSE, sizeof(CheckL2));
    c->counts = qcow2_counts_new(c->n_clusters);
    return c->counts;
}

void
qcow2_checker_clear(Qcow2Checker *c)
{
    qcow2_counts_free(c->counts);
    check_claims_free(c->claims);
    g_array_unref(c->l1);
    g_array_unref(c->l2);
    g_free(c->refcount_table);
    g_mutex_clear(&c->lock);
}

int
qcow2_check_file(BlockNode *file, Qcow2Header *h, bool has_data_file, unsigned fix, BlockCheck *ret,
                 bool *ret_changed)
{
    Qcow2Checker c;
    int r;

    r = qcow2_checker_init(&c, file, h, has_data_file, fix, ret) ? 0 : -ENOMEM;
    ret->has_clusters = true;
    ret->total_clusters = qcow2_layout_div(h->size, c.cluster);
    if (r == 0)
        r = run_stages(&c);
    if (r == 0 && fix)
        r = mark_clean(&c);
    *ret_changed = c.wrote;
    qcow2_checker_clear(&c);
    return r;
}

bool
qcow2_check(BlockNode *node, unsigned fix, BlockCheck *ret, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    bool changed = false, again = true, had_upkeep;
    /* what was found damaged is not written any more: the file is what counts */
    bool may_flush = !block_node_read_only(node) && !g_atomic_int_get(&q->corrupt);
    int r = 0;

    if (fix && block_node_read_only(node))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "image '%s' is open for reading only; mending needs to write it",
                              block_node_filename(node));
    qcow2_lock_alone(q);
    had_upkeep = q->upkeep != NULL;
    /* what is in memory goes to the file first, and is read again from what is there then */
    if (fix)
        r = qcow2_upkeep_end(node);
    /* one flush settles what was freed, the next writes its refcounts */
    for (unsigned i = 0; i < 2 && r == 0 && may_flush; i++)
        r = qcow2_flush_locked(q);
    if (r == 0)
        r = qcow2_check_file(node->file, &q->header, q->has_data_file, fix, ret, &changed);
    if (fix) {
        again = !changed || qcow2_reload(q, r < 0 ? NULL : err);
        again = again && (!had_upkeep || qcow2_upkeep_begin(node, r < 0 ? NULL : err));
    }
    qcow2_unlock_alone(q);
    if (r == -ENOMEM)
        return kiln_error_set(err, VIR_ERR_NO_MEMORY,
                              "checking image '%s' needs more than the 1 GiB that a check may take",
                              block_node_filename(node));
    if (r < 0)
        return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node, "checking image '%s'",
                               block_node_filename(node));
    return again;
}
