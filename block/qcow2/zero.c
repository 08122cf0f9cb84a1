/* zero.c - zeroes and discards: clusters that are marked, not written.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/qcow2/refcount.h"
#include "block/qcow2/tables.h"
#include "block/qcow2/upkeep.h"
#include "util/error.h"

enum { ZERO_CLUSTERS = 1024 }; /* done before others get the lock */

#define ALL_SUBCLUSTERS UINT64_C(0xffffffff)

/* Whether what is not in the image may be another's, now or when it is opened with the backing file
 * that its header names: zeroes have to be entered then. */
static bool
lies_on_another(const BlockNode *node)
{
    return node->backing || node->backing_filename;
}

static bool
entry_is_invalid(const Qcow2 *q, Qcow2Entry e)
{
    for (unsigned s = 0; s < (q->extended_l2 ? QCOW2_SUBCLUSTERS : 1); s++)
        if (qcow2_entry_kind(q, e, s) == QCOW2_INVALID)
            return true;
    return false;
}

/* A cluster that reads as zeroes, without a place. */
static Qcow2Entry
entry_zero(const Qcow2 *q, bool unallocated)
{
    if (unallocated)
        return (Qcow2Entry){ 0 };
    if (q->extended_l2)
        return (Qcow2Entry){ .bitmap = ALL_SUBCLUSTERS << QCOW2_SUBCLUSTERS };
    return (Qcow2Entry){ .entry = QCOW2_ZERO };
}

/* Replaces the entry of a whole cluster by zeroes; @keep: its place stays taken. Lock held. */
static int
cluster_zero(Qcow2 *q, uint64_t cluster, bool keep, bool discard)
{
    bool own;
    Qcow2Entry e, zero;
    int r = qcow2_entry_get(q, cluster, &e);

    if (r < 0)
        return r;
    if (entry_is_invalid(q, e))
        return qcow2_mark_corrupt(q);
    if (e.entry == 0 && e.bitmap == 0 && !lies_on_another(q->node))
        return 0;
    own = qcow2_entry_has_cluster(q, e) && e.entry & QCOW2_COPIED;
    zero = entry_zero(q, q->header.version < 3);
    if (q->has_data_file || (keep && own)) {
        /* with a data file the place is the guest's for ever */
        keep = qcow2_entry_has_cluster(q, e);
        zero.entry |= keep ? e.entry : 0;
    } else {
        keep = false;
    }
    if (zero.entry == e.entry && zero.bitmap == e.bitmap)
        return 0;
    r = qcow2_entry_set(q, cluster, zero);
    if (r == 0 && !keep)
        qcow2_free_entry(q, e, discard);
    return r;
}

/* Subclusters [first, end) of one cluster. Lock held. */
static int
subclusters_zero(Qcow2 *q, uint64_t cluster, unsigned first, unsigned end)
{
    uint64_t mask = (UINT64_C(1) << end) - (UINT64_C(1) << first);
    Qcow2Entry e;
    int r = qcow2_entry_get(q, cluster, &e);

    if (r < 0)
        return r;
    if (e.entry & QCOW2_COMPRESSED)
        return -ENOTSUP;
    if (entry_is_invalid(q, e))
        return qcow2_mark_corrupt(q);
    e.bitmap = (e.bitmap & ~mask) | mask << QCOW2_SUBCLUSTERS;
    return qcow2_entry_set(q, cluster, e);
}

/* A part of a subcluster or cluster: written, unless it is zero already. */
static int
part_zero(BlockNode *node, uint64_t offset, uint64_t length)
{
    g_autofree uint8_t *zeroes = NULL;
    BlockStatus s;
    int r = length > 0 ? qcow2_status(node, offset, length, &s) : 0;

    if (r < 0 || length == 0)
        return r;
    if (s.flags & BLOCK_STATUS_ZERO && s.length == length &&
        (s.flags & BLOCK_STATUS_ALLOCATED || node->backing || !lies_on_another(node)))
        return 0;
    zeroes = g_try_malloc0(length);
    return zeroes ? qcow2_pwrite(node, offset, zeroes, length, 0) : -ENOMEM;
}

static int
write_zeroes_whole(Qcow2 *q, uint64_t offset, uint64_t length, bool keep)
{
    unsigned bits = q->header.cluster_bits;
    uint64_t end = offset + length;
    int r = 0;

    while (r == 0 && offset < end) {
        g_mutex_lock(&q->lock);
        if (g_atomic_int_get(&q->corrupt))
            r = -EIO;
        for (unsigned n = 0; r == 0 && n < ZERO_CLUSTERS && offset < end; n++) {
            uint64_t c = offset >> bits, within = offset & (q->cluster_size - 1);
            uint64_t part = MIN(end - offset, q->cluster_size - within);

            qcow2_change_wait(q, c, c + 1);
            qcow2_bitmaps_dirty(q->node, offset, part);
            if (part == q->cluster_size)
                r = cluster_zero(q, c, keep, !keep);
            else
                r = subclusters_zero(q, c, within / q->subcluster_size,
                                     (within + part) / q->subcluster_size);
            if (r == -ENOTSUP) {
                g_mutex_unlock(&q->lock);
                r = part_zero(q->node, offset, part);
                g_mutex_lock(&q->lock);
            }
            offset += part;
        }
        g_mutex_unlock(&q->lock);
    }
    return r;
}

/* Zeroes in the data file, whose places are those of the disk. */
static int
data_file_zero(Qcow2 *q, uint64_t offset, uint64_t length, BlockFlags flags)
{
    unsigned bits = q->header.cluster_bits;
    Qcow2Change change = { .first = offset >> bits, .end = ((offset + length - 1) >> bits) + 1 };
    int r;

    g_mutex_lock(&q->lock);
    qcow2_change_wait(q, change.first, change.end);
    qcow2_change_begin(q, &change);
    qcow2_bitmaps_dirty(q->node, offset, length);
    g_mutex_unlock(&q->lock);
    r = block_node_write_zeroes(q->data, offset, length, flags);
    g_mutex_lock(&q->lock);
    qcow2_change_end(q, &change);
    g_mutex_unlock(&q->lock);
    return r;
}

/* The rest of the last cluster, behind the end of the disk, is nobody's. */
static uint64_t
whole_end(const Qcow2 *q, uint64_t end, uint64_t unit)
{
    return end == q->node->size ? (end + unit - 1) / unit * unit : end / unit * unit;
}

int
qcow2_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t unit = q->subcluster_size, end = offset + length;
    uint64_t first = (offset + unit - 1) / unit * unit, last = whole_end(q, end, unit);
    int r;

    /* version 2 has no zero clusters: only what has no backing file can be given up */
    if (q->header.version < 3 && (lies_on_another(node) || !(flags & BLOCK_UNMAP)))
        return -ENOTSUP;
    if (q->header.autoclear & QCOW2_AUTOCLEAR_RAW_DATA_FILE) {
        /* whoever reads the data file as a raw image sees them too */
        r = data_file_zero(q, offset, length, flags);
        if (r < 0)
            return r;
    }
    if (first >= last)
        return part_zero(node, offset, length);
    r = part_zero(node, offset, first - offset);
    if (r == 0)
        r = write_zeroes_whole(q, first, last - first, !(flags & BLOCK_UNMAP));
    return r == 0 && end > last ? part_zero(node, last, end - last) : r;
}

int
qcow2_discard(BlockNode *node, uint64_t offset, uint64_t length)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t unit = q->cluster_size;
    uint64_t first = (offset + unit - 1) / unit * unit, last = whole_end(q, offset + length, unit);

    /* version 2 would show what the backing file has */
    if (first >= last || (q->header.version < 3 && lies_on_another(node)))
        return 0;
    if (q->has_data_file) {
        int r = data_file_zero(q, first, MIN(last, node->size) - first, BLOCK_UNMAP);

        if (r < 0)
            return r;
    }
    return write_zeroes_whole(q, first, last - first, false);
}

bool
qcow2_make_empty(BlockNode *node, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t end = (node->size + q->cluster_size - 1) >> q->header.cluster_bits;
    int r = 0;

    qcow2_lock_alone(q);
    for (uint64_t c = 0; r == 0 && c < end; c++) {
        Qcow2Entry e;

        if (!(q->l1[c >> q->l2_bits] & QCOW2_OFFSET_MASK)) {
            c |= (UINT64_C(1) << q->l2_bits) - 1;
            continue;
        }
        r = qcow2_entry_get(q, c, &e);
        if (r < 0 || (e.entry == 0 && e.bitmap == 0))
            continue;
        r = qcow2_entry_set(q, c, (Qcow2Entry){ 0 });
        if (r == 0)
            qcow2_free_entry(q, e, true);
    }
    if (r == 0)
        r = qcow2_flush_locked(q);
    qcow2_bitmaps_dirty(node, 0, node->size);
    qcow2_unlock_alone(q);
    return r == 0 || block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, node,
                                     "image '%s' cannot be emptied", block_node_filename(node));
}
