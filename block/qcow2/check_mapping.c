/* check_mapping.c - what the L1 and L2 tables of an image refer to.
 *
 * Snapshots share most of their L2 tables. So the tables are listed first, each once with the
 * number of L1 entries that refer to it, and then read in the order of their offsets, long runs at
 * a time, by as many threads as there are processors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/check.h"
#include "block/qcow2/snapshot_table.h"

enum {
    RUN_BYTES = 2 << 20, /* read at once; a multiple of every cluster size */
    THREADS_MAX = 8,
    TABLES_PER_THREAD = 64,   /* below it a thread costs more than it gains */
    L2_TABLES_MAX = 32 << 20, /* listed at once: 1 GiB of memory */
};

/* One thread's share: sums that need no lock. */
typedef struct {
    Qcow2Checker *c;
    gint *next; /* shared: first table of the list that nobody took */
    uint8_t *run;
    uint64_t allocated, compressed, fragmented;
    bool uncopied;
} Walk;

static bool
entry_mend(Qcow2Checker *c, uint64_t at, uint64_t entry, const uint64_t *bitmap)
{
    uint64_t pair[2] = { GUINT64_TO_BE(entry), bitmap ? GUINT64_TO_BE(*bitmap) : 0 };
    size_t length = c->g.extended_l2 ? 16 : 8;

    return check_mends(c) && check_write(c, at, pair, length) == 0;
}

/* What an entry whose data is lost becomes: it reads as zeroes. */
static bool
entry_forget(Qcow2Checker *c, uint64_t at)
{
    uint64_t zeroes = (uint64_t)UINT32_MAX << 32;

    if (c->g.extended_l2)
        return entry_mend(c, at, 0, &zeroes);
    return entry_mend(c, at, c->h->version >= 3 ? QCOW2_ZERO : 0, NULL);
}

static void
check_compressed(Walk *w, const CheckL2 *t, uint64_t at, uint64_t entry, uint64_t bitmap)
{
    Qcow2Checker *c = w->c;
    unsigned x = 62 - (c->g.cluster_bits - 8);
    uint64_t offset = entry & ((UINT64_C(1) << x) - 1);
    uint64_t sectors = ((entry & ~(QCOW2_COPIED | QCOW2_COMPRESSED)) >> x) + 1;
    uint64_t end = offset / 512 * 512 + sectors * 512, none = 0;

    if (entry & QCOW2_COPIED) {
        entry &= ~QCOW2_COPIED;
        check_report(
            c, FINDING_CORRUPTION, entry_mend(c, at, entry, &bitmap),
            "ERROR: the copied flag is set for the compressed cluster at 0x%" G_GINT64_MODIFIER "x",
            offset);
    }
    if (c->g.extended_l2 && bitmap != 0)
        check_report(c, FINDING_CORRUPTION, entry_mend(c, at, entry, &none),
                     "ERROR: the compressed cluster at 0x%" G_GINT64_MODIFIER
                     "x has an allocation bitmap",
                     offset);
    if (c->has_data_file || offset < c->cluster ||
        !check_count(c, offset / c->cluster * c->cluster, end - offset / c->cluster * c->cluster,
                     t->weight)) {
        check_report(c, FINDING_CORRUPTION, entry_forget(c, at),
                     "ERROR: compressed cluster at 0x%" G_GINT64_MODIFIER "x of %" G_GUINT64_FORMAT
                     " sectors: %s",
                     offset, sectors,
                     c->has_data_file ? "the image has a data file" : "not in the file");
        return;
    }
    w->allocated += t->active;
    w->compressed += t->active;
    w->fragmented += t->active;
}

/* A subcluster cannot be allocated and zero at once, nor allocated without a place. */
static uint64_t
check_subclusters(Walk *w, uint64_t at, uint64_t entry, uint64_t bitmap)
{
    uint64_t allocated = bitmap & UINT32_MAX, zero = bitmap >> 32, good;

    if (!(entry & QCOW2_OFFSET_MASK) && !(w->c->has_data_file && entry & QCOW2_COPIED))
        allocated = 0;
    zero &= ~allocated;
    good = zero << 32 | allocated;
    if (good == bitmap)
        return bitmap;
    check_report(w->c, FINDING_CORRUPTION, entry_mend(w->c, at, entry, &good),
                 "ERROR: subclusters 0x%016" G_GINT64_MODIFIER
                 "x of the L2 entry at 0x%" G_GINT64_MODIFIER "x contradict themselves",
                 bitmap, at);
    return good;
}

static void
check_entry(Walk *w, const CheckL2 *t, uint64_t index, const uint8_t *bytes, uint64_t *next_host)
{
    Qcow2Checker *c = w->c;
    size_t width = c->g.extended_l2 ? 16 : 8;
    uint64_t at = t->offset + index * width, entry = be64(bytes + index * width);
    uint64_t bitmap = width == 16 ? be64(bytes + index * width + 8) : 0, reserved, host;

    if (entry & QCOW2_COMPRESSED) {
        check_compressed(w, t, at, entry, bitmap);
        return;
    }
    reserved = entry & ~(QCOW2_OFFSET_MASK | QCOW2_COPIED |
                         (c->g.extended_l2 || c->h->version < 3 ? 0 : QCOW2_ZERO));
    if (reserved) {
        entry &= ~reserved;
        check_report(c, FINDING_CORRUPTION, entry_mend(c, at, entry, &bitmap),
                     "ERROR: reserved bits 0x%" G_GINT64_MODIFIER
                     "x in the L2 entry at 0x%" G_GINT64_MODIFIER "x",
                     reserved, at);
    }
    if (c->g.extended_l2)
        bitmap = check_subclusters(w, at, entry, bitmap);
    host = entry & QCOW2_OFFSET_MASK;
    if (host == 0 && !(c->has_data_file && entry & QCOW2_COPIED))
        return;
    if (c->has_data_file) {
        uint64_t guest = (t->l1_index * qcow2_layout_l2_entries(&c->g) + index)
                         << c->g.cluster_bits;

        if (host != guest && t->active)
            check_report(c, FINDING_CORRUPTION,
                         entry_mend(c, at, QCOW2_COPIED | guest | (entry & QCOW2_ZERO), &bitmap),
                         "ERROR: guest offset 0x%" G_GINT64_MODIFIER
                         "x is mapped to offset 0x%" G_GINT64_MODIFIER "x of the data file",
                         guest, host);
    } else if (!check_in_file(c, host, c->cluster) ||
               !check_count(c, host, c->cluster, t->weight)) {
        bool keeps_zero = entry & QCOW2_ZERO && !c->g.extended_l2;

        check_report(c, FINDING_CORRUPTION, entry_forget(c, at),
                     "ERROR: %s offset 0x%" G_GINT64_MODIFIER
                     "x in the L2 entry at 0x%" G_GINT64_MODIFIER "x is not a cluster of the file",
                     keeps_zero ? "preallocated" : "data", host, at);
        return;
    }
    if (t->active) {
        w->allocated++;
        w->fragmented += *next_host && host != *next_host;
        *next_host = host + c->cluster;
        w->uncopied |= !(entry & QCOW2_COPIED);
    }
}

static void
check_l2(Walk *w, const CheckL2 *t, const uint8_t *bytes)
{
    uint64_t n = qcow2_layout_l2_entries(&w->c->g), next_host = 0;
    size_t width = w->c->g.extended_l2 ? 16 : 8;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t word;

        memcpy(&word, bytes + i * width, sizeof(word));
        /* most of a young image's entries: nothing there */
        if (word || (width == 16 && be64(bytes + i * width + 8)))
            check_entry(w, t, i, bytes, &next_host);
    }
}

/* Tables of the list that lie one after the other are read at once. */
static guint
run_length(const Qcow2Checker *c, guint first)
{
    const CheckL2 *l2 = (const CheckL2 *)(void *)c->l2->data;
    guint n = 1;

    while (first + n < c->l2->len && n * c->cluster < RUN_BYTES &&
           l2[first + n].offset == l2[first].offset + n * c->cluster)
        n++;
    return n;
}

static void *
walk_thread(void *opaque)
{
    Walk *w = opaque;
    Qcow2Checker *c = w->c;
    const CheckL2 *l2 = (const CheckL2 *)(void *)c->l2->data;
    guint batch = MAX(RUN_BYTES >> c->g.cluster_bits, 1);
    guint first;

    while ((first = g_atomic_int_add(w->next, batch)) < c->l2->len) {
        guint end = MIN(first + batch, c->l2->len);

        while (first < end) {
            guint n = MIN(run_length(c, first), end - first);
            int r = check_read(c, l2[first].offset, w->run, n * c->cluster);

            if (r < 0) {
                g_mutex_lock(&c->lock);
                c->failed = r;
                g_mutex_unlock(&c->lock);
                return NULL;
            }
            for (guint i = 0; i < n; i++)
                check_l2(w, &l2[first + i], w->run + i * c->cluster);
            first += n;
        }
    }
    return NULL;
}

static int
walk_all(Qcow2Checker *c)
{
    guint n = CLAMP(c->l2->len / TABLES_PER_THREAD, 1, MIN(g_get_num_processors(), THREADS_MAX));
    Walk walks[THREADS_MAX] = { 0 };
    GThread *threads[THREADS_MAX] = { NULL };
    gint next = 0;

    for (guint i = 0; i < n; i++) {
        walks[i] = (Walk){ .c = c, .next = &next, .run = g_malloc(RUN_BYTES) };
        /* the first runs in this thread, and so do those that cannot be made */
        if (i > 0)
            threads[i] = g_thread_try_new("check", walk_thread, &walks[i], NULL);
    }
    walk_thread(&walks[0]);
    for (guint i = 0; i < n; i++) {
        if (threads[i])
            g_thread_join(threads[i]);
        c->ret->allocated_clusters += walks[i].allocated;
        c->ret->compressed_clusters += walks[i].compressed;
        c->ret->fragmented_clusters += walks[i].fragmented;
        c->look_at_copied |= walks[i].uncopied;
        g_free(walks[i].run);
    }
    return c->failed;
}

static int
l2_compare(const void *a, const void *b)
{
    const CheckL2 *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Sorts the list and makes one of those with the same offset. */
static void
l2_merge(Qcow2Checker *c)
{
    CheckL2 *l2 = (CheckL2 *)(void *)c->l2->data;
    guint out = 0;

    if (c->l2->len > 1)
        qsort(l2, c->l2->len, sizeof(*l2), l2_compare);
    for (guint i = 0; i < c->l2->len; i++) {
        if (out > 0 && l2[out - 1].offset == l2[i].offset) {
            l2[out - 1].weight += l2[i].weight;
            if (l2[i].active)
                l2[out - 1].l1_index = l2[i].l1_index;
            l2[out - 1].active |= l2[i].active;
        } else {
            l2[out++] = l2[i];
        }
    }
    g_array_set_size(c->l2, out);
}

static int
l1_entry(Qcow2Checker *c, const CheckL1 *l1, uint64_t index, uint64_t entry)
{
    uint64_t at = l1->offset + index * 8, host = entry & QCOW2_OFFSET_MASK;
    uint64_t reserved = entry & ~(QCOW2_OFFSET_MASK | QCOW2_COPIED), none = 0;
    CheckL2 l2 = { .offset = host, .weight = l1->weight, .active = l1->active };

    if (reserved) {
        uint64_t clean = GUINT64_TO_BE(entry & ~reserved);

        check_report(c, FINDING_CORRUPTION,
                     check_mends(c) && check_write(c, at, &clean, sizeof(clean)) == 0,
                     "ERROR: reserved bits 0x%" G_GINT64_MODIFIER
                     "x in the L1 entry at 0x%" G_GINT64_MODIFIER "x",
                     reserved, at);
    }
    if (host == 0)
        return 0;
    if (host < c->cluster || !check_in_file(c, host, c->cluster) ||
        !check_l2_fits(c, host, l1->active) || !check_count(c, host, c->cluster, l1->weight)) {
        check_report(c, FINDING_CORRUPTION,
                     check_mends(c) && check_write(c, at, &none, sizeof(none)) == 0,
                     "ERROR: the L2 table at 0x%" G_GINT64_MODIFIER
                     "x of the L1 entry at 0x%" G_GINT64_MODIFIER
                     "x is not a cluster of the file, or something else is there",
                     host, at);
        return 0;
    }
    l2.l1_index = index;
    c->look_at_copied |= l1->active && !(entry & QCOW2_COPIED);
    g_array_append_val(c->l2, l2);
    return 0;
}

static int
l1_walk(Qcow2Checker *c, const CheckL1 *l1)
{
    g_autofree uint8_t *run = g_malloc(RUN_BYTES);

    if (!l1->is_source && !check_count(c, l1->offset, (uint64_t)l1->entries * 8, l1->weight))
        return 0; /* said where the table is read */
    for (uint64_t i = 0; i < l1->entries;) {
        uint64_t n = MIN(l1->entries - i, (uint64_t)RUN_BYTES / 8);
        int r = check_read(c, l1->offset + i * 8, run, n * 8);

        for (uint64_t k = 0; k < n && r == 0; k++)
            r = l1_entry(c, l1, i + k, be64(run + k * 8));
        if (r < 0)
            return r;
        i += n;
        /* what snapshots share is there many times: make room before more comes */
        if (c->l2->len > L2_TABLES_MAX / 2)
            l2_merge(c);
        if (c->l2->len > L2_TABLES_MAX)
            return -ENOMEM;
    }
    return 0;
}

static int
l1_compare(const void *a, const void *b)
{
    const CheckL1 *x = a, *y = b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->is_source != y->is_source)
        return x->is_source ? 1 : -1;
    return x->entries < y->entries ? -1 : x->entries > y->entries;
}

int
check_mapping(Qcow2Checker *c)
{
    CheckL1 *l1 = (CheckL1 *)(void *)c->l1->data;
    int r = 0;

    /* tables that several snapshots claim as their own are walked once */
    if (c->l1->len > 1)
        qsort(l1, c->l1->len, sizeof(*l1), l1_compare);
    for (guint i = 0; i < c->l1->len && r == 0; i++) {
        CheckL1 one = l1[i];

        while (i + 1 < c->l1->len && l1_compare(&l1[i], &l1[i + 1]) == 0) {
            one.weight += l1[++i].weight;
            one.active |= l1[i].active;
        }
        r = l1_walk(c, &one);
    }
    if (r < 0)
        return r;
    l2_merge(c);
    return walk_all(c);
}
