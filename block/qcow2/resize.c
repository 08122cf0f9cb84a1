/* resize.c - another size for the disk of a qcow2 image.
 *
 * What lies in the L1 table behind the end of the disk is a machine's state: it goes before the
 * disk grows over it. New space reads as zeroes, also where a backing file is longer than the disk
 * was.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/bitmap.h"
#include "block/qcow2/layout.h"
#include "block/qcow2/refcount.h"
#include "block/qcow2/tables.h"
#include "block/qcow2/upkeep.h"
#include "util/error.h"

enum {
    FREED_PER_FLUSH = 65536, /* freed places that wait in memory */
    ZERO_CHUNK = 1 << 20,
};

static uint64_t
clusters_of(const Qcow2 *q, uint64_t bytes)
{
    return qcow2_layout_div(bytes, q->cluster_size);
}

static void
size_set(BlockNode *node, uint64_t size)
{
    Qcow2 *q = qcow2_of(node);

    g_mutex_lock(&q->table_lock);
    q->header.size = size;
    node->size = qcow2_layout_div(size, BLOCK_SECTOR) * BLOCK_SECTOR;
    g_mutex_unlock(&q->table_lock);
}

/* Gives up a whole L2 table and what it refers to. */
static int
table_drop(Qcow2 *q, uint32_t index)
{
    uint64_t first = (uint64_t)index << q->l2_bits, host = q->l1[index] & QCOW2_OFFSET_MASK;
    bool own = q->l1[index] & QCOW2_COPIED;
    guint before = q->freed->len;

    for (uint64_t c = first; c < first + (UINT64_C(1) << q->l2_bits); c++) {
        Qcow2Entry e;
        int r = qcow2_entry_get(q, c, &e);

        if (r < 0) {
            /* the table stays, and all that it refers to */
            g_array_set_size(q->freed, before);
            return r;
        }
        qcow2_free_entry(q, e, own);
    }
    g_mutex_lock(&q->table_lock);
    q->l1[index] = 0;
    g_mutex_unlock(&q->table_lock);
    qcow2_l1_touch(q, index);
    if (own)
        qcow2_free_metadata(q, host, q->cluster_size);
    else
        qcow2_free(q, host, q->cluster_size, false);
    return 0;
}

/* Gives up clusters [first, end) of the guest; they are unallocated then. */
static int
clusters_drop(Qcow2 *q, uint64_t first, uint64_t end)
{
    uint64_t per = UINT64_C(1) << q->l2_bits;
    int r = 0;

    end = MIN(end, (uint64_t)q->header.l1_size << q->l2_bits);
    while (first < end && r == 0) {
        uint32_t index = first >> q->l2_bits;
        uint64_t next = MIN((index + UINT64_C(1)) * per, end);

        if (!(q->l1[index] & QCOW2_OFFSET_MASK)) {
            first = next;
            continue;
        }
        if (next - first == per) {
            r = table_drop(q, index);
            first = next;
        }
        for (; first < next && r == 0; first++) {
            Qcow2Entry e;

            r = qcow2_entry_get(q, first, &e);
            if (r < 0 || (e.entry == 0 && e.bitmap == 0))
                continue;
            r = qcow2_entry_set(q, first, (Qcow2Entry){ 0 });
            if (r == 0)
                qcow2_free_entry(q, e, true);
        }
        if (r == 0 && q->freed->len > FREED_PER_FLUSH)
            r = qcow2_flush_locked(q);
    }
    return r;
}

/* Takes what is free at the file's end off it. What cannot be taken off stays: no harm. */
static void
file_trim(Qcow2 *q)
{
    BlockNode *file = q->node->file;
    uint64_t end = clusters_of(q, file->size), n = 0;

    if (file->is_device || file->fixed)
        return;
    while (end > 1 && qcow2_refcount_get(q, (end - 1) << q->header.cluster_bits, &n) == 0 && n == 0)
        end--;
    if (end << q->header.cluster_bits < file->size)
        block_image_resize(file, end << q->header.cluster_bits, BLOCK_PREALLOC_OFF, true, NULL);
}

static int
shrink(BlockNode *node, uint64_t size)
{
    Qcow2 *q = qcow2_of(node);
    int r;

    /* first nobody can see it any more, then it is given up */
    size_set(node, size);
    r = qcow2_header_update(q);
    if (r == 0)
        r = clusters_drop(q, clusters_of(q, size), UINT64_MAX);
    /* one flush settles what was freed, the next writes the refcounts */
    if (r == 0)
        r = qcow2_flush_locked(q);
    if (r == 0)
        r = qcow2_flush_locked(q);
    if (r == 0)
        file_trim(q);
    /* a device keeps its length; what is mapped again there is zeroed then */
    if (r == 0 && q->has_data_file && !q->data->is_device && !q->data->fixed &&
        !block_image_resize(q->data, size, BLOCK_PREALLOC_OFF, true, NULL))
        r = -EIO;
    return r;
}

static int
write_zero_buffers(BlockNode *node, uint64_t offset, uint64_t length)
{
    g_autofree uint8_t *zeroes = g_malloc0(ZERO_CHUNK);
    int r = 0;

    for (uint64_t at = 0; at < length && r == 0; at += ZERO_CHUNK)
        r = block_node_pwrite(node, offset + at, zeroes, MIN(length - at, (uint64_t)ZERO_CHUNK), 0);
    return r;
}

/* Zeroes in [offset, offset + bytes) of @node, with or without space, as @prealloc says. */
static int
space_zero(BlockNode *node, uint64_t offset, uint64_t bytes, BlockPrealloc prealloc)
{
    if (prealloc == BLOCK_PREALLOC_FULL)
        return write_zero_buffers(node, offset, bytes);
    return block_node_write_zeroes(node, offset, bytes,
                                   prealloc == BLOCK_PREALLOC_METADATA ? BLOCK_UNMAP : 0);
}

/* Fresh space of the file for guest clusters. */
static int
space_take(Qcow2 *q, uint64_t bytes, BlockPrealloc prealloc, uint64_t *ret)
{
    BlockNode *file = q->node->file;
    bool zero;
    int r = qcow2_alloc_data(q, bytes, ret, &zero);

    if (r < 0)
        return r;
    if (prealloc == BLOCK_PREALLOC_METADATA && zero) {
        if (*ret + bytes <= file->size || file->is_device)
            return 0;
        return block_image_resize(file, *ret + bytes, BLOCK_PREALLOC_OFF, false, NULL) ? 0 : -EIO;
    }
    return space_zero(file, *ret, bytes, prealloc);
}

/* Maps guest clusters [first, end), none of which is mapped. */
static int
preallocate(Qcow2 *q, uint64_t first, uint64_t end, BlockPrealloc prealloc)
{
    uint64_t per = UINT64_C(1) << q->l2_bits;
    unsigned bits = q->header.cluster_bits;
    int r = 0;

    while (first < end && r == 0) {
        uint64_t n = MIN(end - first, per - first % per), at = first << bits;

        if (q->has_data_file)
            r = space_zero(q->data, at, MIN(n << bits, MAX(q->data->size, at) - at), prealloc);
        else
            r = space_take(q, n << bits, prealloc, &at);
        for (uint64_t i = 0; i < n && r == 0; i++)
            r = qcow2_entry_set(q, first + i,
                                (Qcow2Entry){ .entry = QCOW2_COPIED | (at + (i << bits)),
                                              .bitmap = q->extended_l2 ? UINT32_MAX : 0 });
        first += n;
    }
    return r;
}

/* What is behind the old end in its last cluster, and what a longer backing file has, must not come
 * up. Without the lock; the disk is still as short as it was. */
static int
hide_new_space(BlockNode *node, uint64_t old, uint64_t size)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t tail = MIN(clusters_of(q, old) * q->cluster_size, size), until = tail;
    g_autofree uint8_t *zeroes = NULL;
    bool mapped = true;
    int r = 0;

    if (tail > old) {
        Qcow2Entry e;

        g_mutex_lock(&q->lock);
        r = qcow2_entry_get(q, old >> q->header.cluster_bits, &e);
        g_mutex_unlock(&q->lock);
        mapped = e.entry & ~(q->extended_l2 ? 0 : QCOW2_ZERO) || node->backing;
        zeroes = g_malloc0(tail - old);
        if (r == 0 && mapped)
            r = qcow2_pwrite(node, old, zeroes, tail - old, 0);
    }
    if (node->backing)
        until = MIN(size, block_node_size(node->backing));
    if (r < 0 || until <= tail)
        return r;
    until = clusters_of(q, until) * q->cluster_size;
    r = qcow2_write_zeroes(node, tail, until - tail, 0);
    return r == -ENOTSUP ? write_zero_buffers(node, tail, until - tail) : r;
}

static int
grow_tables(BlockNode *node, uint64_t size)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t clusters = clusters_of(q, size);
    int r = clusters_drop(q, clusters_of(q, q->header.size), UINT64_MAX);

    if (r == 0)
        r = qcow2_l1_grow(q, qcow2_layout_div(clusters, UINT64_C(1) << q->l2_bits));
    return r;
}

static bool
grow_data_file(Qcow2 *q, uint64_t size, BlockPrealloc prealloc, GError **err)
{
    if (!q->has_data_file || q->data->size >= size)
        return true;
    return block_image_resize(q->data, size,
                              prealloc == BLOCK_PREALLOC_METADATA ? BLOCK_PREALLOC_OFF : prealloc,
                              false, err);
}

static bool
refuse(BlockNode *node, uint64_t size, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t limit = (uint64_t)(QCOW2_L1_BYTES_MAX / 8) << q->l2_bits;
    const char *name = block_node_filename(node);

    if (block_node_read_only(node))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "image '%s' is open for reading only",
                              name);
    if (size % BLOCK_SECTOR != 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "%" G_GUINT64_FORMAT
                              " bytes are no size for image '%s': the new size "
                              "must be a multiple of %d",
                              size, name, BLOCK_SECTOR);
    if (clusters_of(q, size) > limit || size > G_MAXINT64)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "%" G_GUINT64_FORMAT " bytes are more than image '%s' can have with "
                              "clusters of %" G_GUINT64_FORMAT " bytes",
                              size, name, q->cluster_size);
    if (q->header.version < 3 && q->header.snapshots > 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "image '%s' has snapshots, and version 2 of qcow2 does not keep "
                              "their sizes; amend it to compat=1.1",
                              name);
    return true;
}

bool
qcow2_resize(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t old = q->header.size;
    int r;

    if (!refuse(node, size, err))
        return false;
    if (size == old)
        return true;
    if (size > old && prealloc != BLOCK_PREALLOC_OFF && q->crypt)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "image '%s' is encrypted: space that is preallocated would not read "
                              "as zeroes; resize it with preallocation=off",
                              block_node_filename(node));
    if (size > old && !grow_data_file(q, size, prealloc, err))
        return false;
    qcow2_lock_alone(q);
    r = qcow2_bitmaps_resize_begin(node);
    if (r == 0 && size < old) {
        r = shrink(node, size);
    } else if (r == 0) {
        r = grow_tables(node, size);
        qcow2_unlock_alone(q);
        if (r == 0)
            r = hide_new_space(node, old, size);
        qcow2_lock_alone(q);
        if (r == 0 && prealloc != BLOCK_PREALLOC_OFF) {
            /* zero clusters that hid a backing file go again: data take their place */
            r = clusters_drop(q, clusters_of(q, old), UINT64_MAX);
            if (r == 0)
                r = preallocate(q, clusters_of(q, old), clusters_of(q, size), prealloc);
        }
        if (r == 0)
            r = qcow2_flush_locked(q);
        if (r == 0) {
            size_set(node, size);
            r = qcow2_header_update(q);
        }
        if (r < 0)
            size_set(node, old);
    }
    if (r == 0)
        r = qcow2_bitmaps_resize_end(node);
    qcow2_unlock_alone(q);
    if (r < 0)
        return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node,
                               "changing the size of image '%s' from %" G_GUINT64_FORMAT
                               " to %" G_GUINT64_FORMAT " bytes",
                               block_node_filename(node), old, size);
    return true;
}
