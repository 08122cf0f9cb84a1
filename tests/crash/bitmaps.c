/* bitmaps.c - what a dirty bitmap has to say after a crash: one that is whole tells of each write
 * that is there and came after it began to count.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/crash/bitmaps.h"

#include <inttypes.h>
#include <string.h>

#include "tests/crash/model.h"

/* A write that a bitmap has to have counted, in a crash between the two moments. */
typedef struct {
    uint64_t first, n, stamp, begin, end;
} Counted;

typedef struct {
    char *name;
    bool enabled;
    GArray *counted;
} Bitmap;

struct Bitmaps {
    GPtrArray *all; /* of Bitmap */
};

static void
bitmap_free(void *data)
{
    Bitmap *b = data;

    g_array_unref(b->counted);
    g_free(b->name);
    g_free(b);
}

Bitmaps *
bitmaps_new(void)
{
    Bitmaps *bitmaps = g_new0(Bitmaps, 1);

    bitmaps->all = g_ptr_array_new_with_free_func(bitmap_free);
    return bitmaps;
}

void
bitmaps_free(Bitmaps *bitmaps)
{
    g_ptr_array_unref(bitmaps->all);
    g_free(bitmaps);
}

static Bitmap *
find(const Bitmaps *bitmaps, const char *name)
{
    for (guint i = 0; i < bitmaps->all->len; i++)
        if (strcmp(((Bitmap *)bitmaps->all->pdata[i])->name, name) == 0)
            return bitmaps->all->pdata[i];
    return NULL;
}

void
bitmaps_add(Bitmaps *bitmaps, const char *name)
{
    Bitmap *b = g_new0(Bitmap, 1);

    b->name = g_strdup(name);
    b->enabled = true;
    b->counted = g_array_new(FALSE, FALSE, sizeof(Counted));
    g_ptr_array_add(bitmaps->all, b);
}

void
bitmaps_enable(Bitmaps *bitmaps, const char *name, bool enable)
{
    Bitmap *b = find(bitmaps, name);

    if (b)
        b->enabled = enable;
}

void
bitmaps_clear(Bitmaps *bitmaps, const char *name, uint64_t begin)
{
    Bitmap *b = find(bitmaps, name);

    for (guint i = 0; b && i < b->counted->len; i++) {
        Counted *c = &g_array_index(b->counted, Counted, i);

        c->end = MIN(c->end, begin);
    }
}

void
bitmaps_write(Bitmaps *bitmaps, uint64_t first, uint64_t n, uint64_t stamp, uint64_t begin)
{
    Counted c = { first, n, stamp, begin, UINT64_MAX };

    for (guint i = 0; i < bitmaps->all->len; i++) {
        Bitmap *b = bitmaps->all->pdata[i];

        if (b->enabled)
            g_array_append_val(b->counted, c);
    }
}

/* Whether the sector is dirty in the image's bitmap; negative when it cannot be told. */
static int
sector_is_dirty(BlockNode *image, const char *name, uint64_t sector)
{
    uint64_t length = MODEL_SECTOR;
    bool dirty = false;
    int r = block_image_bitmap_status(image, name, sector * MODEL_SECTOR, &length, &dirty);

    return r < 0 ? r : dirty;
}

static char *
check_write(BlockNode *image, const char *name, const Counted *c, const uint8_t *content,
            uint64_t size)
{
    for (uint64_t i = 0; i < c->n && (c->first + i + 1) * MODEL_SECTOR <= size; i++) {
        uint64_t stamp;
        int dirty;

        if (!model_stamp_of(content + (c->first + i) * MODEL_SECTOR, &stamp) ||
            stamp != c->stamp + i)
            continue;
        dirty = sector_is_dirty(image, name, c->first + i);
        if (dirty <= 0)
            return g_strdup_printf("bitmap '%s' calls itself whole, and does not have sector "
                                   "%" PRIu64 " (%d), written at moment %" PRIu64,
                                   name, c->first + i, dirty, c->begin);
    }
    return NULL;
}

char *
bitmaps_check(const Bitmaps *bitmaps, BlockNode *image, const uint8_t *content, uint64_t size,
              uint64_t time, unsigned *ret_checked)
{
    g_autoptr(GPtrArray) list = block_image_bitmaps(image);
    char *wrong = NULL;

    for (guint i = 0; i < list->len && !wrong; i++) {
        const BlockBitmap *found = list->pdata[i];
        const Bitmap *b = found->inconsistent ? NULL : find(bitmaps, found->name);

        *ret_checked += b != NULL;
        for (guint j = 0; b && j < b->counted->len && !wrong; j++) {
            const Counted *c = &g_array_index(b->counted, Counted, j);

            if (c->begin <= time && time < c->end)
                wrong = check_write(image, b->name, c, content, size);
        }
    }
    return wrong;
}
