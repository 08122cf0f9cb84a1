/* bochs.c - Bochs growing disk images ("Redolog", "Growing"), read only.
 *
 * Source: the Bochs user manual, appendix on the disk image format. A header, a catalog of 32 bit
 * extent numbers, then extents: each a bitmap of its sectors, in whole sectors, and the sectors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/mapped.h"
#include "block/numbers.h"

enum {
    HEAD = 96,
    AT_TYPE = 32,
    AT_SUBTYPE = 48,
    AT_VERSION = 64,
    AT_HEADER = 68,
    AT_CATALOG = 72,
    AT_BITMAP = 76,
    AT_EXTENT = 80,
    AT_DISK_V1 = 84,
    AT_DISK_V2 = 88,
    EXTENT_MAX = 8 << 20,
};
#define BOCHS_V1 0x00010000u
#define BOCHS_V2 0x00020000u
#define BOCHS_FREE 0xffffffffu

typedef struct {
    Mapped mapped;
    uint32_t *catalog;
    uint64_t data_at, step; /* step: bytes of an extent with its bitmap */
    uint32_t bitmap;        /* bytes, in whole sectors */
} Bochs;

static int
bochs_probe(const uint8_t *head, size_t length, const char *filename)
{
    (void)filename;
    return length >= HEAD && strncmp((const char *)head, "Bochs Virtual HD Image", 32) == 0 &&
                   strncmp((const char *)head + AT_TYPE, "Redolog", 16) == 0 &&
                   strncmp((const char *)head + AT_SUBTYPE, "Growing", 16) == 0 &&
                   (le32(head + AT_VERSION) == BOCHS_V1 || le32(head + AT_VERSION) == BOCHS_V2)
               ? 100
               : 0;
}

static int
bochs_find(BlockNode *node, uint64_t offset, MappedRun *ret)
{
    const Bochs *b = node->state;
    uint32_t at = GUINT32_FROM_LE(b->catalog[offset / b->mapped.block]);
    uint64_t within = offset % b->mapped.block, sector = within / BLOCK_SECTOR, base;
    uint8_t *bitmap;
    bool present;
    int r = 0;

    ret->flags = BLOCK_STATUS_ZERO;
    if (at == BOCHS_FREE)
        return 0;
    base = b->data_at + at * b->step;
    bitmap = mapped_table(node, node->file, base, b->bitmap, &r);
    if (!bitmap)
        return r;
    present = bitmap[sector / 8] & 1u << sector % 8;
    /* as far as the following sectors are alike */
    ret->length = BLOCK_SECTOR - within % BLOCK_SECTOR;
    for (sector++; sector * BLOCK_SECTOR < b->mapped.block &&
                   !(bitmap[sector / 8] & 1u << sector % 8) == !present;
         sector++)
        ret->length += BLOCK_SECTOR;
    if (!present)
        return 0;
    ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA;
    ret->file = node->file;
    ret->offset = base + b->bitmap + within;
    return 0;
}

static const MappedOps bochs_ops = { .find = bochs_find };

static bool
bochs_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    Bochs *b = node->state;
    uint8_t h[HEAD];
    uint32_t extent, entries;

    (void)opts;
    (void)opening;
    if (!mapped_head(node, 0, h, sizeof(h), err))
        return false;
    if (!bochs_probe(h, sizeof(h), NULL))
        return mapped_refuse(node, err, "no header of a growing image of version 1 or 2");
    extent = le32(h + AT_EXTENT);
    entries = le32(h + AT_CATALOG);
    node->size = le64(h + (le32(h + AT_VERSION) == BOCHS_V1 ? AT_DISK_V1 : AT_DISK_V2));
    if (extent < BLOCK_SECTOR || extent > EXTENT_MAX || (extent & (extent - 1)) != 0)
        return mapped_refuse(node, err, "extents of %u bytes are not a power of 2 from %d to %d",
                             extent, BLOCK_SECTOR, EXTENT_MAX);
    if (node->size > (uint64_t)entries * extent || node->size % BLOCK_SECTOR != 0)
        return mapped_refuse(node, err,
                             "%" G_GUINT64_FORMAT " bytes are no whole sectors in %u extents of %u",
                             node->size, entries, extent);
    if (le32(h + AT_BITMAP) < extent / BLOCK_SECTOR / 8 || le32(h + AT_BITMAP) > EXTENT_MAX)
        return mapped_refuse(node, err, "bitmaps of %u bytes do not go with extents of %u",
                             le32(h + AT_BITMAP), extent);
    mapped_init(node, &bochs_ops, extent);
    b->bitmap = (MAX(le32(h + AT_BITMAP), 1u) + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    b->step = (uint64_t)b->bitmap + extent;
    b->data_at = le32(h + AT_HEADER) + 4ull * entries;
    b->catalog = mapped_load(node, le32(h + AT_HEADER), entries, sizeof(*b->catalog), err);
    return b->catalog != NULL;
}

static void
bochs_close(BlockNode *node)
{
    Bochs *b = node->state;

    mapped_close(node);
    g_clear_pointer(&b->catalog, g_free);
}

const BlockDriver block_bochs_driver = {
    .name = "bochs",
    .state_size = sizeof(Bochs),
    .probe = bochs_probe,
    .open = bochs_open,
    .close = bochs_close,
    .pread = mapped_pread,
    .status = mapped_status,
};
