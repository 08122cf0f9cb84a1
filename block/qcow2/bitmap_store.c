/* bitmap_store.c - puts the bitmaps of an open qcow2 image into the file.
 *
 * New bits, tables and directory are written where nothing was, and on disk before the header names
 * them; only then the old ones go. A crash leaves one of the two, and clusters that a check frees.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/bitmap.h"
#include "block/numbers.h"
#include "block/qcow2/layout.h"

/* Old tables and directory, to be freed when the new ones are in force. */
typedef struct {
    GPtrArray *entries; /* of Qcow2BitmapEntry */
    uint64_t directory_offset, directory_size;
} Old;

int
qcow2_bitmap_release(BlockNode *node, const Qcow2BitmapEntry *e)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t cluster = UINT64_C(1) << q->header.cluster_bits, bytes = (uint64_t)e->table_size * 8;
    g_autofree uint8_t *table = g_malloc(bytes + 1);
    int r = 0;

    if (e->table_size == 0 || e->table_offset == 0)
        return 0;
    r = block_node_pread(node->file, e->table_offset, table, bytes);
    for (uint32_t i = 0; i < e->table_size && r == 0; i++) {
        uint64_t host = be64(table + i * 8) & QCOW2_BITMAP_TABLE_OFFSET;

        if (host && host % cluster == 0)
            qcow2_free_metadata(q, host, cluster);
    }
    qcow2_free_metadata(q, e->table_offset, bytes);
    return r;
}

static bool
bytes_are(const uint8_t *p, size_t length, uint8_t value)
{
    return length == 0 || (p[0] == value && memcmp(p, p + 1, length - 1) == 0);
}

/* Writes the bits of one cluster; *ret is its entry of the table. */
static int
cluster_store(BlockNode *node, const uint8_t *bits, size_t length, uint64_t *ret)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t cluster = UINT64_C(1) << q->header.cluster_bits, at;
    g_autofree uint8_t *padded = NULL;
    int r;

    *ret = 0;
    if (bytes_are(bits, length, 0))
        return 0;
    if (length == cluster && bytes_are(bits, length, 0xff)) {
        *ret = QCOW2_BITMAP_TABLE_ONES;
        return 0;
    }
    r = qcow2_alloc_metadata(q, cluster, &at);
    if (r < 0)
        return r;
    padded = g_malloc0(cluster);
    memcpy(padded, bits, length);
    r = block_node_pwrite(node->file, at, padded, cluster, 0);
    if (r < 0) {
        qcow2_free_metadata(q, at, cluster);
        return r;
    }
    *ret = at;
    return 0;
}

/* Writes the words of @b to new clusters, and its entry says so; *old gets the entry before. */
static int
bitmap_store(BlockNode *node, Qcow2Bitmap *b, Old *old)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t cluster = UINT64_C(1) << q->header.cluster_bits;
    uint64_t bytes = qcow2_bitmap_bytes(q->header.size, b->entry->granularity_bits);
    uint64_t n = qcow2_layout_div(bytes, cluster), at = 0;
    uint64_t tail = q->header.size >> b->entry->granularity_bits; /* whole bits */
    g_autofree uint8_t *table = g_malloc0(n * 8 + 1);
    g_autofree uint64_t *bits = g_malloc(MIN(bytes + 8, cluster));
    Qcow2BitmapEntry *before;
    int r = 0;

    tail += q->header.size % (UINT64_C(1) << b->entry->granularity_bits) != 0;
    if (tail % 64)
        b->words[tail / 64] &= (UINT64_C(1) << tail % 64) - 1;
    for (uint64_t i = 0; i < n && r == 0; i++) {
        size_t length = MIN(bytes - i * cluster, cluster), words = (length + 7) / 8;
        uint64_t entry;

        for (size_t w = 0; w < words; w++)
            bits[w] = GUINT64_TO_LE(b->words[i * cluster / 8 + w]);
        r = cluster_store(node, (const uint8_t *)bits, length, &entry);
        if (r == 0)
            put_be64(table + i * 8, entry);
    }
    if (r == 0 && n > 0)
        r = qcow2_alloc_metadata(q, n * 8, &at);
    if (r == 0 && n > 0)
        r = block_node_pwrite(node->file, at, table, n * 8, 0);
    if (r < 0)
        return r; /* clusters taken so far are leaked; a check frees them */
    before = g_new0(Qcow2BitmapEntry, 1);
    before->table_offset = b->entry->table_offset;
    before->table_size = b->entry->table_size;
    g_ptr_array_add(old->entries, before);
    b->entry->table_offset = at;
    b->entry->table_size = n;
    b->changed = false;
    return 0;
}

/* Writes the directory to a new place and lets the header name it. */
static int
directory_switch(BlockNode *node, Old *old)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;
    Qcow2Header *h = &q->header;
    g_autoptr(GPtrArray) directory = g_ptr_array_new();
    g_autoptr(GByteArray) bytes = NULL;
    uint64_t at = 0;
    int r = 0;

    for (guint i = 0; i < all->list->len; i++)
        g_ptr_array_add(directory, ((Qcow2Bitmap *)all->list->pdata[i])->entry);
    bytes = qcow2_bitmap_directory_format(directory);
    if (bytes->len > QCOW2_BITMAP_DIRECTORY_MAX)
        return -EFBIG;
    if (bytes->len > 0) {
        r = qcow2_alloc_metadata(q, bytes->len, &at);
        if (r == 0)
            r = block_node_pwrite(node->file, at, bytes->data, bytes->len, 0);
    }
    if (r == 0)
        r = qcow2_flush_locked(q);
    if (r < 0)
        return r;
    old->directory_offset = h->bitmaps.directory_offset;
    old->directory_size = h->bitmaps.directory_size;
    h->bitmaps.count = directory->len;
    h->bitmaps.directory_offset = at;
    h->bitmaps.directory_size = bytes->len;
    if (directory->len > 0)
        h->autoclear |= QCOW2_AUTOCLEAR_BITMAPS;
    else
        h->autoclear &= ~(uint64_t)QCOW2_AUTOCLEAR_BITMAPS;
    return qcow2_header_update(q);
}

int
qcow2_bitmaps_store(BlockNode *node, bool closing)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;
    Old old = { 0 };
    int r = 0;

    if (closing && all->list->len == 0)
        return 0;
    old.entries = g_ptr_array_new_with_free_func((GDestroyNotify)qcow2_bitmap_entry_free);
    for (guint i = 0; i < all->list->len && r == 0; i++) {
        Qcow2Bitmap *b = all->list->pdata[i];
        bool follows = b->entry->flags & QCOW2_BITMAP_AUTO && b->words && !b->inconsistent;

        if (b->words && (b->changed || (closing && follows) || b->entry->table_offset == 0))
            r = bitmap_store(node, b, &old);
        if (b->inconsistent || (follows && !closing))
            b->entry->flags |= QCOW2_BITMAP_IN_USE;
        else
            b->entry->flags &= ~(uint32_t)QCOW2_BITMAP_IN_USE;
    }
    if (r == 0)
        r = directory_switch(node, &old);
    for (guint i = 0; i < old.entries->len && r == 0; i++)
        r = qcow2_bitmap_release(node, old.entries->pdata[i]);
    if (r == 0 && old.directory_size > 0)
        qcow2_free_metadata(q, old.directory_offset, old.directory_size);
    g_ptr_array_unref(old.entries);
    return r;
}

int
qcow2_bitmaps_mark_in_use(BlockNode *node, bool all_of_them)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;
    g_autoptr(GPtrArray) directory = g_ptr_array_new();
    g_autoptr(GByteArray) bytes = NULL;
    bool changed = false;
    int r;

    for (guint i = 0; i < all->list->len; i++) {
        Qcow2Bitmap *b = all->list->pdata[i];

        if ((all_of_them || b->entry->flags & QCOW2_BITMAP_AUTO) &&
            !(b->entry->flags & QCOW2_BITMAP_IN_USE)) {
            b->entry->flags |= QCOW2_BITMAP_IN_USE;
            changed = true;
        }
        g_ptr_array_add(directory, b->entry);
    }
    if (!changed)
        return 0;
    /* only flags differ: in place, each of them right whether it got there or not */
    bytes = qcow2_bitmap_directory_format(directory);
    if (bytes->len != q->header.bitmaps.directory_size)
        return -EUCLEAN;
    r = block_node_pwrite(node->file, q->header.bitmaps.directory_offset, bytes->data, bytes->len,
                          0);
    return r ? r : block_node_flush(node->file);
}

int
qcow2_bitmaps_resize_begin(BlockNode *node)
{
    Qcow2Bitmaps *all = qcow2_of(node)->upkeep;
    int r = 0;

    for (guint i = 0; all && i < all->list->len && r == 0; i++) {
        Qcow2Bitmap *b = all->list->pdata[i];

        if (b->inconsistent)
            continue;
        r = qcow2_bitmap_load(node, b, false);
        b->inconsistent = r == -EUCLEAN;
        r = r == -EUCLEAN ? 0 : r;
    }
    return r == 0 && all ? qcow2_bitmaps_mark_in_use(node, true) : r;
}

int
qcow2_bitmaps_resize_end(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;

    if (!all || all->list->len == 0)
        return 0;
    for (guint i = 0; i < all->list->len; i++) {
        Qcow2Bitmap *b = all->list->pdata[i];
        uint64_t bytes, *words;
        size_t n, old;

        if (!b->words || b->inconsistent)
            continue;
        bytes = qcow2_bitmap_bytes(q->header.size, b->entry->granularity_bits);
        n = (bytes + 7) / 8;
        old = (b->n_bits + 63) / 64;
        words = g_try_new0(uint64_t, MAX(n, 1));
        if (!words || bytes > QCOW2_BITMAP_BYTES_MAX) {
            /* marked so in the file already */
            b->inconsistent = true;
            g_free(words);
            continue;
        }
        memcpy(words, b->words, MIN(n, old) * 8);
        g_free(b->words);
        b->words = words;
        b->n_bits = bytes * 8;
        b->changed = true;
        all->words_bytes += n * 8 - old * 8;
    }
    qcow2_bitmaps_track(node);
    return qcow2_bitmaps_store(node, false);
}
