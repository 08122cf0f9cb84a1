/* bitmap.h - inside of the dirty bitmaps of an open qcow2 image.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_BITMAP_H
#define KILN_BLOCK_QCOW2_BITMAP_H

#include "block/qcow2/bitmap_directory.h"
#include "block/qcow2/qcow2.h"

typedef struct {
    Qcow2BitmapEntry *entry; /* as in the directory; in_use as it is on disk */
    bool inconsistent;       /* was not put away by its last user, or does not fit the disk */
    bool changed;            /* words are newer than the file */
    uint64_t n_bits;
    uint64_t *words; /* bit n is bit n % 64 of word n / 64; NULL while not needed */
} Qcow2Bitmap;

/* Bitmaps that follow the guest's writes; replaced as a whole under the exclusive lock. */
typedef struct {
    guint n;
    Qcow2Bitmap *bitmaps[];
} Qcow2Tracking;

typedef struct {
    GMutex lock;            /* of list; taken before the image's own */
    GPtrArray *list;        /* of Qcow2Bitmap, in the directory's order */
    Qcow2Tracking *tracked; /* NULL when there is none; atomic */
    uint64_t words_bytes;   /* memory of all words */
    bool writable;
} Qcow2Bitmaps;

void qcow2_bitmap_free(Qcow2Bitmap *b);
Qcow2Bitmap *qcow2_bitmap_find(Qcow2Bitmaps *all, const char *name);
/* Makes the words of @b, from the file or zeroes when @fresh. 0, -ENOMEM beyond the limit of all
 * bitmaps together, -EUCLEAN for a table that makes no sense, or the read error. */
int qcow2_bitmap_load(BlockNode *node, Qcow2Bitmap *b, bool fresh);
/* Sets the bits of [offset, offset + length); any thread, but for the making of the words. */
void qcow2_bitmap_set(Qcow2Bitmap *b, uint64_t offset, uint64_t length);
/* bitmap_store.c: writes what changed, and a new directory. Those that follow the guest stay marked
 * in_use unless @closing. */
int qcow2_bitmaps_store(BlockNode *node, bool closing);
/* Marks those in the file that follow the guest, or all, as in use: before the first change. */
int qcow2_bitmaps_mark_in_use(BlockNode *node, bool all_of_them);
/* Around a change of the disk's size, lock held: loads all, marks them in use; gives them their new
 * length and stores them. */
int qcow2_bitmaps_resize_begin(BlockNode *node);
int qcow2_bitmaps_resize_end(BlockNode *node);
/* Gives up the clusters of a bitmap's bits and table. */
int qcow2_bitmap_release(BlockNode *node, const Qcow2BitmapEntry *e);
/* Lets the bitmaps follow that should; under the exclusive lock. */
void qcow2_bitmaps_track(BlockNode *node);

#endif
