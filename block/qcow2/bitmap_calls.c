/* bitmap_calls.c - what users do with the dirty bitmaps of a qcow2 image.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/bitmap.h"
#include "block/qcow2/upkeep.h"
#include "util/error.h"

enum {
    GRANULARITY_DEFAULT_MIN = 4096, /* without one given: the cluster size, within these */
    GRANULARITY_DEFAULT_MAX = 65536,
};

static bool
refuse_unready(BlockNode *node, GError **err)
{
    if (block_node_read_only(node))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "image '%s' is open for reading only",
                              block_node_filename(node));
    if (!qcow2_of(node)->upkeep)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "image '%s' is open to be checked; its bitmaps are not at hand",
                              block_node_filename(node));
    if (qcow2_of(node)->header.version < 3)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "image '%s' has version 2 of qcow2, which has no bitmaps; amend it "
                              "to compat=1.1",
                              block_node_filename(node));
    return true;
}

/* The bitmap @name that can be worked with, or NULL with @err set. */
static Qcow2Bitmap *
find_usable(BlockNode *node, const char *name, GError **err)
{
    Qcow2Bitmaps *all = qcow2_of(node)->upkeep;
    Qcow2Bitmap *b = all ? qcow2_bitmap_find(all, name) : NULL;

    if (!b)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "image '%s' has no bitmap '%s'",
                       block_node_filename(node), name);
    else if (b->inconsistent)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "bitmap '%s' of image '%s' was not put away by its last user and says "
                       "nothing; remove it",
                       name, block_node_filename(node));
    else
        return b;
    return NULL;
}

static bool
fail(BlockNode *node, const char *name, const char *what, int r, GError **err)
{
    return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node, "%s bitmap '%s' of image '%s'",
                           what, name, block_node_filename(node));
}

/* After a change to the list or the flags: the file and the hooks follow. */
static int
settle(BlockNode *node)
{
    qcow2_bitmaps_track(node);
    return qcow2_bitmaps_store(node, false);
}

static GPtrArray *
bitmap_list(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)block_bitmap_free);
    Qcow2Bitmaps *all;

    g_mutex_lock(&q->lock);
    all = q->upkeep;
    for (guint i = 0; all && i < all->list->len; i++) {
        const Qcow2Bitmap *b = all->list->pdata[i];
        BlockBitmap *out = g_new0(BlockBitmap, 1);

        out->name = g_strdup(b->entry->name);
        out->granularity = UINT64_C(1) << b->entry->granularity_bits;
        out->persistent = true;
        out->enabled = b->entry->flags & QCOW2_BITMAP_AUTO;
        out->inconsistent = b->inconsistent;
        g_ptr_array_add(list, out);
    }
    g_mutex_unlock(&q->lock);
    return list;
}

static bool
check_new(BlockNode *node, const char *name, uint64_t granularity, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;
    size_t length = strlen(name);

    if (length == 0 || length > QCOW2_BITMAP_NAME_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "a bitmap's name has 1 to %d bytes, not %zu", QCOW2_BITMAP_NAME_MAX,
                              length);
    if (qcow2_bitmap_find(all, name))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "image '%s' has a bitmap '%s' already",
                              block_node_filename(node), name);
    if (granularity & (granularity - 1) ||
        granularity < UINT64_C(1) << QCOW2_BITMAP_GRANULARITY_BITS_MIN ||
        granularity > UINT64_C(1) << QCOW2_BITMAP_GRANULARITY_BITS_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "a bitmap's granularity is a power of two from %u to %u, not "
                              "%" G_GUINT64_FORMAT,
                              1u << QCOW2_BITMAP_GRANULARITY_BITS_MIN,
                              1u << QCOW2_BITMAP_GRANULARITY_BITS_MAX, granularity);
    if (qcow2_bitmap_bytes(q->header.size, g_bit_storage(granularity) - 1) > QCOW2_BITMAP_BYTES_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "a bitmap with granularity %" G_GUINT64_FORMAT
                              " of %" G_GUINT64_FORMAT
                              " bytes takes more than %d bytes; give a coarser one",
                              granularity, q->header.size, QCOW2_BITMAP_BYTES_MAX);
    if (all->list->len >= QCOW2_BITMAPS_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "image '%s' has %d bitmaps, the most there can be; remove one",
                              block_node_filename(node), QCOW2_BITMAPS_MAX);
    return true;
}

static bool
bitmap_add(BlockNode *node, const char *name, uint64_t granularity, bool enabled, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmap *b = NULL;
    Qcow2Bitmaps *all;
    bool ok = false;
    int r;

    if (!refuse_unready(node, err))
        return false;
    if (granularity == 0)
        granularity = CLAMP(q->cluster_size, (uint64_t)GRANULARITY_DEFAULT_MIN,
                            (uint64_t)GRANULARITY_DEFAULT_MAX);
    qcow2_lock_alone(q);
    all = q->upkeep;
    if (check_new(node, name, granularity, err)) {
        b = g_new0(Qcow2Bitmap, 1);
        b->entry = g_new0(Qcow2BitmapEntry, 1);
        b->entry->name = g_strdup(name);
        b->entry->type = QCOW2_BITMAP_TYPE_DIRTY;
        b->entry->granularity_bits = g_bit_storage(granularity) - 1;
        b->entry->flags = enabled ? QCOW2_BITMAP_AUTO : 0;
        g_ptr_array_add(all->list, b);
        r = qcow2_bitmap_load(node, b, true);
        if (r == 0)
            r = settle(node);
        ok = r == 0;
        if (!ok) {
            g_ptr_array_remove(all->list, b);
            qcow2_bitmaps_track(node);
            fail(node, name, "adding", r, err);
        }
    }
    qcow2_unlock_alone(q);
    return ok;
}

static bool
bitmap_remove(BlockNode *node, const char *name, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all;
    Qcow2Bitmap *b;
    guint index;
    int r = 0;

    if (!refuse_unready(node, err))
        return false;
    qcow2_lock_alone(q);
    all = q->upkeep;
    b = qcow2_bitmap_find(all, name);
    if (b && g_ptr_array_find(all->list, b, &index)) {
        b = g_ptr_array_steal_index(all->list, index);
        r = settle(node);
        if (r == 0) {
            r = qcow2_bitmap_release(node, b->entry);
            if (b->words)
                all->words_bytes -= (b->n_bits + 63) / 64 * 8;
            qcow2_bitmap_free(b);
        } else {
            g_ptr_array_insert(all->list, index, b);
            qcow2_bitmaps_track(node);
        }
        if (r < 0)
            fail(node, name, "removing", r, err);
    } else {
        r = -ENOENT;
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "image '%s' has no bitmap '%s'",
                       block_node_filename(node), name);
    }
    qcow2_unlock_alone(q);
    return r == 0;
}

static bool
bitmap_clear(BlockNode *node, const char *name, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmap *b;
    int r = -EINVAL;

    if (!refuse_unready(node, err))
        return false;
    qcow2_lock_alone(q);
    b = find_usable(node, name, err);
    if (b) {
        r = qcow2_bitmap_load(node, b, true);
        if (r == 0) {
            memset(b->words, 0, (b->n_bits + 63) / 64 * 8);
            b->changed = true;
            r = settle(node);
        }
        if (r < 0)
            fail(node, name, "clearing", r, err);
    }
    qcow2_unlock_alone(q);
    return r == 0;
}

static bool
bitmap_enable(BlockNode *node, const char *name, bool enable, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmap *b;
    int r = -EINVAL;

    if (!refuse_unready(node, err))
        return false;
    qcow2_lock_alone(q);
    b = find_usable(node, name, err);
    if (b) {
        r = qcow2_bitmap_load(node, b, false);
        if (r == 0) {
            if (enable)
                b->entry->flags |= QCOW2_BITMAP_AUTO;
            else
                b->entry->flags &= ~(uint32_t)QCOW2_BITMAP_AUTO;
            b->changed = true;
            r = settle(node);
        }
        if (r < 0)
            fail(node, name, enable ? "enabling" : "disabling", r, err);
    }
    qcow2_unlock_alone(q);
    return r == 0;
}

static int
bitmap_status(BlockNode *node, const char *name, uint64_t offset, uint64_t *length, bool *ret_dirty)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmap *b;
    uint64_t bit, n, last;
    bool dirty;
    int r;

    g_mutex_lock(&q->lock);
    b = find_usable(node, name, NULL);
    r = b ? qcow2_bitmap_load(node, b, false) : -ENOENT;
    if (r == 0 && (offset >= q->header.size || *length == 0))
        r = -EIO;
    if (r == 0) {
        uint64_t end = MIN(q->header.size, offset + MIN(*length, G_MAXINT64 - offset));

        bit = offset >> b->entry->granularity_bits;
        last = (end - 1) >> b->entry->granularity_bits;
        dirty = __atomic_load_n(&b->words[bit / 64], __ATOMIC_RELAXED) >> bit % 64 & 1;
        for (n = bit + 1; n <= last;) {
            uint64_t word = __atomic_load_n(&b->words[n / 64], __ATOMIC_RELAXED);

            if (n % 64 == 0 && word == (dirty ? UINT64_MAX : 0)) {
                n += 64;
                continue;
            }
            if ((word >> n % 64 & 1) != dirty)
                break;
            n++;
        }
        *ret_dirty = dirty;
        *length = n > last ? end - offset : (n << b->entry->granularity_bits) - offset;
    }
    g_mutex_unlock(&q->lock);
    return r;
}

/* Sets in @b what is set in the other bitmap. */
static int
merge_bits(Qcow2Bitmap *b, uint64_t size, BlockNode *from, const char *from_name)
{
    uint64_t at = 0;

    while (at < size) {
        uint64_t length = size - at;
        bool dirty;
        int r = from->driver->bitmaps->status(from, from_name, at, &length, &dirty);

        if (r < 0)
            return r;
        if (dirty)
            qcow2_bitmap_set(b, at, length);
        at += length;
    }
    return 0;
}

static bool
bitmap_merge(BlockNode *to, const char *to_name, BlockNode *from, const char *from_name,
             GError **err)
{
    Qcow2 *q = qcow2_of(to);
    Qcow2Bitmap *b;
    int r = -EINVAL;

    if (!refuse_unready(to, err))
        return false;
    if (!from->driver->bitmaps || block_node_size(from) != block_node_size(to))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "bitmap '%s' of image '%s' is not one of a disk of %" G_GUINT64_FORMAT
                              " bytes",
                              from_name, block_node_filename(from), block_node_size(to));
    g_mutex_lock(&q->lock);
    b = find_usable(to, to_name, err);
    if (b)
        r = qcow2_bitmap_load(to, b, false);
    g_mutex_unlock(&q->lock);
    if (!b)
        return false;
    /* without the lock: the other may be of the same image; bits are set as a guest's writes do */
    if (r == 0)
        r = merge_bits(b, q->header.size, from, from_name);
    if (r == -ENOENT)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "image '%s' has no bitmap '%s' that can be used",
                              block_node_filename(from), from_name);
    if (r == 0) {
        qcow2_lock_alone(q);
        b->changed = true;
        r = settle(to);
        qcow2_unlock_alone(q);
    }
    return r == 0 ? true : fail(to, to_name, "merging into", r, err);
}

const BlockBitmapDriver qcow2_bitmap_driver = {
    .list = bitmap_list,
    .add = bitmap_add,
    .remove = bitmap_remove,
    .clear = bitmap_clear,
    .enable = bitmap_enable,
    .merge = bitmap_merge,
    .status = bitmap_status,
};
