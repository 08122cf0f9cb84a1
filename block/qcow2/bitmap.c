/* bitmap.c - dirty bitmaps of an open qcow2 image: loading, and following the guest's writes.
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Bitmaps". While an image is open for writing the bits of
 * enabled bitmaps live in memory and the file says in_use: a user that dies leaves bitmaps that
 * nobody trusts. The set of bitmaps that follow, and what was written so far, are looked at by
 * whoever has the image alone: so a request sets its bits when nobody can have that before its
 * bytes are there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/bitmap.h"

#include <errno.h>
#include <string.h>

#include "block/numbers.h"
#include "block/qcow2/upkeep.h"
#include "util/error.h"

#define WORDS_BYTES_MAX (UINT64_C(1) << 30) /* of all bitmaps of an image in memory */

void
qcow2_bitmap_free(Qcow2Bitmap *b)
{
    if (!b)
        return;
    qcow2_bitmap_entry_free(b->entry);
    g_free(b->words);
    g_free(b);
}

Qcow2Bitmap *
qcow2_bitmap_find(Qcow2Bitmaps *all, const char *name)
{
    for (guint i = 0; i < all->list->len; i++) {
        Qcow2Bitmap *b = all->list->pdata[i];

        if (strcmp(b->entry->name, name) == 0)
            return b;
    }
    return NULL;
}

static int
load_bits(BlockNode *node, Qcow2Bitmap *b, uint64_t bytes)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t cluster = UINT64_C(1) << q->header.cluster_bits;
    const Qcow2BitmapEntry *e = b->entry;
    g_autofree uint8_t *table = g_malloc((uint64_t)e->table_size * 8 + 1);
    int r = block_node_pread(node->file, e->table_offset, table, (uint64_t)e->table_size * 8);

    for (uint64_t i = 0, at = 0; at < bytes && r == 0; i++, at += cluster) {
        uint64_t entry = be64(table + i * 8), host = entry & QCOW2_BITMAP_TABLE_OFFSET;
        size_t part = MIN(bytes - at, cluster);

        if (entry & ~(QCOW2_BITMAP_TABLE_OFFSET | (host ? 0 : QCOW2_BITMAP_TABLE_ONES)) ||
            host & (cluster - 1))
            return -EUCLEAN;
        if (host)
            r = block_node_pread(node->file, host, (uint8_t *)b->words + at, part);
        else if (entry & QCOW2_BITMAP_TABLE_ONES)
            memset((uint8_t *)b->words + at, 0xff, part);
    }
    return r;
}

int
qcow2_bitmap_load(BlockNode *node, Qcow2Bitmap *b, bool fresh)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;
    uint64_t bytes = qcow2_bitmap_bytes(q->header.size, b->entry->granularity_bits);
    uint64_t n_words = (bytes + 7) / 8;
    int r;

    if (b->words)
        return 0;
    if (!fresh && b->entry->table_size != qcow2_bitmap_table_entries(q->header.size,
                                                                     b->entry->granularity_bits,
                                                                     q->header.cluster_bits))
        return -EUCLEAN;
    if (n_words * 8 > WORDS_BYTES_MAX - MIN(all->words_bytes, WORDS_BYTES_MAX))
        return -ENOMEM;
    b->words = g_try_new0(uint64_t, MAX(n_words, 1));
    if (!b->words)
        return -ENOMEM;
    b->n_bits = bytes * 8;
    r = fresh ? 0 : load_bits(node, b, bytes);
    if (r < 0) {
        g_clear_pointer(&b->words, g_free);
        return r;
    }
    for (uint64_t i = 0; i < n_words && !fresh; i++)
        b->words[i] = GUINT64_FROM_LE(b->words[i]);
    all->words_bytes += n_words * 8;
    return 0;
}

void
qcow2_bitmap_set(Qcow2Bitmap *b, uint64_t offset, uint64_t length)
{
    uint64_t bit = offset >> b->entry->granularity_bits;
    uint64_t last = (offset + length - 1) >> b->entry->granularity_bits;

    if (length == 0)
        return;
    while (bit <= last && bit < b->n_bits) {
        uint64_t *word = &b->words[bit / 64], mask = ~UINT64_C(0) << bit % 64;

        if (last / 64 == bit / 64 && last % 64 < 63)
            mask &= (UINT64_C(1) << (last % 64 + 1)) - 1;
        /* most writes go where writes went before: no store, no cache line taken */
        if ((__atomic_load_n(word, __ATOMIC_RELAXED) & mask) != mask)
            __atomic_fetch_or(word, mask, __ATOMIC_RELAXED);
        bit = (bit / 64 + 1) * 64;
    }
}

void
qcow2_bitmaps_dirty(BlockNode *node, uint64_t offset, uint64_t length)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;
    const Qcow2Tracking *t = all ? __atomic_load_n(&all->tracked, __ATOMIC_ACQUIRE) : NULL;

    for (guint i = 0; t && i < t->n; i++)
        qcow2_bitmap_set(t->bitmaps[i], offset, length);
}

void
qcow2_bitmaps_track(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;
    Qcow2Tracking *old = all->tracked, *t = NULL;
    guint n = 0;

    for (guint i = 0; all->writable && i < all->list->len; i++) {
        Qcow2Bitmap *b = all->list->pdata[i];

        n += b->entry->flags & QCOW2_BITMAP_AUTO && b->words && !b->inconsistent;
    }
    if (n > 0) {
        t = g_malloc(sizeof(*t) + n * sizeof(t->bitmaps[0]));
        t->n = 0;
        for (guint i = 0; i < all->list->len; i++) {
            Qcow2Bitmap *b = all->list->pdata[i];

            if (b->entry->flags & QCOW2_BITMAP_AUTO && b->words && !b->inconsistent)
                t->bitmaps[t->n++] = b;
        }
    }
    __atomic_store_n(&all->tracked, t, __ATOMIC_RELEASE);
    g_free(old);
}

/* Takes what the directory says into the list. */
static bool
list_fill(BlockNode *node, GPtrArray *directory, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;

    g_ptr_array_set_free_func(directory, NULL);
    for (guint i = 0; i < directory->len; i++) {
        Qcow2Bitmap *b = g_new0(Qcow2Bitmap, 1);

        b->entry = directory->pdata[i];
        b->inconsistent = b->entry->flags & QCOW2_BITMAP_IN_USE ||
                          (b->entry->extra && !(b->entry->flags & QCOW2_BITMAP_EXTRA_COMPATIBLE));
        g_ptr_array_add(all->list, b);
    }
    for (guint i = 0; all->writable && i < all->list->len; i++) {
        Qcow2Bitmap *b = all->list->pdata[i];
        int r;

        if (b->inconsistent || !(b->entry->flags & QCOW2_BITMAP_AUTO))
            continue;
        r = qcow2_bitmap_load(node, b, false);
        if (r == -EUCLEAN)
            b->inconsistent = true; /* said so in the file with the others, below */
        else if (r < 0)
            return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node,
                                   "loading bitmap '%s' of image '%s'; all bitmaps of an "
                                   "image may take %" G_GUINT64_FORMAT " bytes of memory",
                                   b->entry->name, block_node_filename(node),
                                   (uint64_t)WORDS_BYTES_MAX);
    }
    return true;
}

static bool
directory_load(BlockNode *node, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Header *h = &q->header;
    g_autoptr(GPtrArray) directory = NULL;
    int r;

    if (h->bitmaps.count == 0)
        return true;
    if (!(h->autoclear & QCOW2_AUTOCLEAR_BITMAPS)) {
        /* someone who does not know bitmaps wrote to the image: they are worth nothing, and go with
         * the next header that is written */
        h->bitmaps.count = 0;
        h->bitmaps.directory_offset = h->bitmaps.directory_size = 0;
        return true;
    }
    r = qcow2_bitmap_directory_read(node->file, h->cluster_bits, h->bitmaps.directory_offset,
                                    h->bitmaps.directory_size, h->bitmaps.count, &directory);
    if (r < 0)
        return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node,
                               "the bitmap directory of image '%s' cannot be read; repair it "
                               "with 'check -r all'",
                               block_node_filename(node));
    return list_fill(node, directory, err);
}

/* Where bits and tables lie no guest data are written. */
static int
bitmap_note(BlockNode *node, const Qcow2BitmapEntry *e)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t bytes = (uint64_t)e->table_size * 8;
    g_autofree uint8_t *table = g_malloc(bytes + 1);
    int r = bytes ? block_node_pread(node->file, e->table_offset, table, bytes) : 0;

    if (r < 0 || bytes == 0)
        return r;
    qcow2_metadata_add(q, e->table_offset, bytes);
    for (uint32_t i = 0; i < e->table_size; i++) {
        uint64_t host = be64(table + i * 8) & QCOW2_BITMAP_TABLE_OFFSET;

        if (host)
            qcow2_metadata_add(q, host, q->cluster_size);
    }
    return 0;
}

bool
qcow2_upkeep_note(BlockNode *node, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;
    int r = 0;

    if (!qcow2_snapshots_note(node, err))
        return false;
    if (!all || !all->writable)
        return true;
    if (q->header.bitmaps.count > 0)
        qcow2_metadata_add(q, q->header.bitmaps.directory_offset, q->header.bitmaps.directory_size);
    for (guint i = 0; i < all->list->len && r == 0; i++)
        r = bitmap_note(node, ((Qcow2Bitmap *)all->list->pdata[i])->entry);
    return r == 0 ? true
                  : block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node,
                                    "the tables of the bitmaps of image '%s' cannot be read",
                                    block_node_filename(node));
}

static bool
begin(BlockNode *node, GError **err)
{
    Qcow2Bitmaps *all = qcow2_of(node)->upkeep;
    int r;

    if (!directory_load(node, err) || !qcow2_upkeep_note(node, err))
        return false;
    r = all->writable ? qcow2_bitmaps_mark_in_use(node, false) : 0;
    if (r < 0)
        return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node,
                               "marking the bitmaps of image '%s' as in use",
                               block_node_filename(node));
    qcow2_bitmaps_track(node);
    return true;
}

bool
qcow2_upkeep_begin(BlockNode *node, GError **err)
{
    Qcow2Bitmaps *all = g_new0(Qcow2Bitmaps, 1);

    g_mutex_init(&all->lock);
    all->list = g_ptr_array_new_with_free_func((GDestroyNotify)qcow2_bitmap_free);
    all->writable = !block_node_read_only(node);
    qcow2_of(node)->upkeep = all;
    if (begin(node, err))
        return true;
    all->writable = false; /* what was not read whole is not put away */
    return false;
}

int
qcow2_upkeep_end(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;
    int r = 0;

    if (!all)
        return 0;
    if (all->writable && !g_atomic_int_get(&q->corrupt))
        r = qcow2_bitmaps_store(node, true);
    q->upkeep = NULL;
    g_ptr_array_unref(all->list);
    g_free(all->tracked);
    g_mutex_clear(&all->lock);
    g_free(all);
    return r;
}

bool
qcow2_upkeep_open(BlockNode *node, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    bool ok;

    g_mutex_lock(&q->lock);
    ok = qcow2_upkeep_begin(node, err);
    g_mutex_unlock(&q->lock);
    return ok;
}

int
qcow2_upkeep_close(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);
    int r;

    g_mutex_lock(&q->lock);
    r = qcow2_upkeep_end(node);
    g_mutex_unlock(&q->lock);
    return r;
}
