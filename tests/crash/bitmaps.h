/* bitmaps.h - what the dirty bitmaps of an image have to say after a crash.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_CRASH_BITMAPS_H
#define KILN_TESTS_CRASH_BITMAPS_H

#include "block/image.h"

typedef struct Bitmaps Bitmaps;

Bitmaps *bitmaps_new(void);
void bitmaps_free(Bitmaps *bitmaps);

/* What was done; names are given once. */
void bitmaps_add(Bitmaps *bitmaps, const char *name);
void bitmaps_enable(Bitmaps *bitmaps, const char *name, bool enable);
/* It counts from anew from the moment @begin on, or is gone. */
void bitmaps_clear(Bitmaps *bitmaps, const char *name, uint64_t begin);
/* Sectors [first, first + n) were given @stamp, @stamp + 1 … */
void bitmaps_write(Bitmaps *bitmaps, uint64_t first, uint64_t n, uint64_t stamp, uint64_t begin);

/* NULL when the bitmaps of @image, which reads as @content, may be so after a crash at @time; else
 * what is wrong, which the caller frees. *ret_checked grows by those that call themselves whole. */
char *bitmaps_check(const Bitmaps *bitmaps, BlockNode *image, const uint8_t *content, uint64_t size,
                    uint64_t time, unsigned *ret_checked);

#endif
