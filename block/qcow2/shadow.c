/* shadow.c - a change of a whole qcow2 image, made beside it and put in force by one write.
 *
 * A snapshot changes refcounts and COPIED flags all over an image, and both must be right together.
 * No order of writes in place does that. So what changes is written to clusters that are free - L2
 * tables whose flags change, the L1 table, the snapshot table, all refcounts - and then the header,
 * whose first sector names all of them, is written once. A crash before leaves leaked clusters, a
 * crash after the new image. It costs what has to be read and written anyway.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/shadow.h"

#include <errno.h>
#include <string.h>

#include "block/qcow2/check.h"
#include "block/qcow2/refcount_word.h"
#include "block/qcow2/upkeep.h"
#include "util/error.h"

typedef struct {
    uint64_t offset, bytes;
} Taken;

typedef struct {
    Qcow2Shadow *s;
    Qcow2 *q;
    Qcow2Checker c;
    BlockCheck found;
    uint64_t *copies; /* new place of each table of c.l2, 0 for those that stay */
    GArray *taken;    /* of Taken: to be given back on failure */
} Work;

bool
qcow2_shadow_init(Qcow2Shadow *s, BlockNode *node, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t bytes;
    int r = qcow2_flush_locked(q);

    *s = (Qcow2Shadow){ .node = node };
    if (r == 0)
        r = qcow2_snapshot_table_read(node->file, q->header.snapshots_offset, q->header.snapshots,
                                      q->header.size, &s->snapshots, &bytes);
    if (r < 0) {
        qcow2_shadow_clear(s);
        return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node,
                               "the snapshot table of image '%s' cannot be read",
                               block_node_filename(node));
    }
    s->next = q->header;
    s->l1_from = q->header.l1_offset;
    s->l1_entries = s->l1_room = q->header.l1_size;
    return true;
}

void
qcow2_shadow_clear(Qcow2Shadow *s)
{
    g_clear_pointer(&s->snapshots, g_ptr_array_unref);
}

static int
take(Work *w, uint64_t bytes, uint64_t *ret)
{
    Taken t = { .bytes = bytes };
    int r = qcow2_alloc_metadata(w->q, bytes, &t.offset);

    if (r < 0)
        return r;
    g_array_append_val(w->taken, t);
    *ret = t.offset;
    /* what was taken may lie behind the file's end */
    w->c.n_clusters = MAX(w->c.n_clusters, qcow2_layout_div(t.offset + bytes, w->c.cluster));
    return qcow2_counts_grow(w->c.counts, w->c.n_clusters) ? 0 : -ENOMEM;
}

/* All references of the image to be, new tables not yet among them. */
static int
count_all(Work *w)
{
    Qcow2Shadow *s = w->s;
    CheckL1 active = { .offset = s->l1_from,
                       .weight = 1,
                       .entries = MIN(s->l1_entries, s->l1_room),
                       .active = true,
                       .is_source = true };
    int r = check_header(&w->c);

    if (active.entries > 0)
        g_array_append_val(w->c.l1, active);
    if (!check_in_file(&w->c, s->l1_from, (uint64_t)active.entries * 8))
        w->found.corruptions++;
    for (guint i = 0; i < s->snapshots->len; i++) {
        const Qcow2Snapshot *sn = s->snapshots->pdata[i];

        if (check_in_file(&w->c, sn->l1_offset, (uint64_t)sn->l1_size * 8))
            check_list_l1(&w->c, sn->l1_offset, sn->l1_size, false);
        else
            w->found.corruptions++;
    }
    if (r == 0)
        r = check_bitmaps(&w->c);
    if (r == 0)
        r = check_mapping(&w->c);
    return r ? r : w->c.failed;
}

/* Puts the flags of a table's entries right; true when some were not. */
static bool
flags_set(Work *w, uint8_t *table)
{
    size_t width = w->c.g.extended_l2 ? 16 : 8;
    bool changed = false;

    for (uint64_t i = 0; i < w->c.cluster; i += width) {
        uint64_t entry = be64(table + i), host = entry & QCOW2_OFFSET_MASK;

        if (host == 0 || entry & QCOW2_COMPRESSED || w->c.has_data_file)
            continue;
        if ((qcow2_counts_get(w->c.counts, host / w->c.cluster) == 1) != !!(entry & QCOW2_COPIED)) {
            put_be64(table + i, entry ^ QCOW2_COPIED);
            changed = true;
        }
    }
    return changed;
}

static int
copy_tables(Work *w)
{
    const CheckL2 *l2 = (const CheckL2 *)(void *)w->c.l2->data;
    g_autofree uint8_t *table = g_malloc(w->c.cluster);
    int r = 0;

    w->copies = g_new0(uint64_t, MAX(w->c.l2->len, 1));
    for (guint i = 0; i < w->c.l2->len && r == 0; i++) {
        if (!l2[i].active)
            continue;
        r = check_read(&w->c, l2[i].offset, table, w->c.cluster);
        if (r < 0 || !flags_set(w, table))
            continue;
        r = take(w, w->c.cluster, &w->copies[i]);
        if (r == 0)
            r = check_write(&w->c, w->copies[i], table, w->c.cluster);
    }
    /* only now: the counts of tables must not change under the eyes of flags_set() */
    for (guint i = 0; i < w->c.l2->len && r == 0; i++)
        if (w->copies[i]) {
            qcow2_counts_take(w->c.counts, l2[i].offset / w->c.cluster);
            check_count(&w->c, w->copies[i], w->c.cluster, 1);
        }
    return r;
}

static int
offset_compare(const void *a, const void *b)
{
    const CheckL2 *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int
write_l1(Work *w)
{
    Qcow2Shadow *s = w->s;
    uint64_t n = MIN(s->l1_entries, s->l1_room), bytes = (uint64_t)s->l1_room * 8, at = 0;
    const CheckL2 *l2 = (const CheckL2 *)(void *)w->c.l2->data;
    g_autofree uint64_t *l1 = g_malloc0(bytes + 8);
    int r = bytes ? check_read(&w->c, s->l1_from, l1, n * 8) : 0;

    for (uint64_t i = 0; i < n && r == 0; i++) {
        CheckL2 key = { .offset = GUINT64_FROM_BE(l1[i]) & QCOW2_OFFSET_MASK };
        const CheckL2 *found =
            key.offset ? bsearch(&key, l2, w->c.l2->len, sizeof(key), offset_compare) : NULL;
        uint64_t host = found && w->copies[found - l2] ? w->copies[found - l2] : key.offset;
        bool own = host && qcow2_counts_get(w->c.counts, host / w->c.cluster) == 1;

        l1[i] = GUINT64_TO_BE(host | (own ? QCOW2_COPIED : 0));
    }
    if (r == 0 && bytes)
        r = take(w, bytes, &at);
    if (r == 0 && bytes)
        r = check_write(&w->c, at, l1, bytes);
    if (r == 0 && bytes)
        check_count(&w->c, at, bytes, 1);
    s->next.l1_offset = at;
    s->next.l1_size = s->l1_room;
    return r;
}

static int
write_snapshot_table(Work *w)
{
    Qcow2Shadow *s = w->s;
    g_autoptr(GByteArray) bytes = qcow2_snapshot_table_format(s->snapshots);
    uint64_t at = 0;
    int r = 0;

    if (bytes->len > QCOW2_SNAPSHOT_TABLE_MAX || s->snapshots->len > QCOW2_SNAPSHOTS_MAX)
        return -EFBIG;
    if (bytes->len > 0) {
        r = take(w, bytes->len, &at);
        if (r == 0)
            r = check_write(&w->c, at, bytes->data, bytes->len);
        if (r == 0)
            check_count(&w->c, at, bytes->len, 1);
    }
    s->next.snapshots = s->snapshots->len;
    s->next.snapshots_offset = at;
    return r;
}

/* Clusters that refcount structures may take: a block for each range in use and for their own
 * place, and a table that reaches as far. A long file that is mostly holes needs few blocks. */
static uint64_t
refcount_room(Work *w)
{
    uint64_t per = qcow2_layout_block_entries(&w->c.g), span = w->c.n_clusters;
    uint64_t in_use = 0, room = 0, before;

    for (uint64_t first = 0; first < span; first += per)
        in_use += qcow2_counts_any(w->c.counts, first, per);
    do {
        before = room;
        room = in_use + qcow2_layout_div(qcow2_layout_div(span + before, per) * 8, w->c.cluster) +
               qcow2_layout_div(before, per) + 2;
    } while (room != before);
    return room;
}

static int
write_refcounts(Work *w)
{
    uint64_t per = qcow2_layout_block_entries(&w->c.g), room, at;
    int r;

    if (w->c.n_clusters / per > QCOW2_REFTABLE_BYTES_MAX / 8)
        return -EFBIG;
    room = refcount_room(w);
    r = take(w, room * w->c.cluster, &at);
    if (r < 0)
        return r;
    r = check_write_refcounts(&w->c, at / w->c.cluster, room);
    return r == 0 && w->found.corruptions ? -ERANGE : r;
}

static bool
fail(Work *w, int r, GError **err)
{
    const char *name = block_node_filename(w->s->node);

    for (guint i = 0; i < w->taken->len; i++) {
        const Taken *t = &g_array_index(w->taken, Taken, i);

        qcow2_free_metadata(w->q, t->offset, t->bytes);
    }
    if (r == -ERANGE)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "clusters of image '%s' would be used more often than its %u "
                              "refcount_bits can count; amend refcount_bits to more",
                              name, 1u << w->s->next.refcount_order);
    return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, w->q->node,
                           "changing the tables of image "
                           "'%s'",
                           name);
}

bool
qcow2_shadow_commit(Qcow2Shadow *s, GError **err)
{
    Work w = { .s = s, .q = qcow2_of(s->node) };
    bool ok = false;
    int r;

    w.taken = g_array_new(FALSE, FALSE, sizeof(Taken));
    r = qcow2_checker_init(&w.c, s->node->file, &s->next, w.q->has_data_file, 0, &w.found)
            ? count_all(&w)
            : -ENOMEM;
    if (r == 0 && w.found.corruptions) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "image '%s' is damaged; repair it first with 'check -r all'",
                       block_node_filename(s->node));
        goto out;
    }
    if (r == 0)
        r = copy_tables(&w);
    if (r == 0)
        r = write_l1(&w);
    if (r == 0)
        r = write_snapshot_table(&w);
    if (r == 0)
        r = write_refcounts(&w);
    if (r == 0)
        r = w.c.failed;
    if (r < 0) {
        fail(&w, r, err);
        goto out;
    }
    /* check_write_refcounts() synced all of it */
    r = qcow2_header_store(s->node->file, &s->next);
    if (r == 0)
        r = block_node_flush(s->node->file);
    if (r < 0) {
        qcow2_distrust(w.q);
        block_error_set(err, VIR_ERR_OPERATION_FAILED, r, s->node,
                        "writing the header of image '%s'", block_node_filename(s->node));
    } else {
        ok = qcow2_reload(w.q, err) && qcow2_upkeep_note(s->node, err);
    }
    if (ok)
        s->node->size = qcow2_layout_div(w.q->header.size, BLOCK_SECTOR) * BLOCK_SECTOR;
out:
    qcow2_checker_clear(&w.c);
    g_free(w.copies);
    g_array_unref(w.taken);
    return ok;
}
