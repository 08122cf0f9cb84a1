/* parallels.c - Parallels expandable disk images, read only.
 *
 * Source: QEMU's docs/interop/parallels.txt. A header of 64 bytes, little endian, then a table of
 * one 32 bit number for each block: where it lies, in sectors (magic "WithoutFreeSpace") or in
 * blocks ("WithouFreSpacExt"). Not here: writing, the format extension with dirty bitmaps.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/mapped.h"
#include "block/numbers.h"

enum {
    HEAD = 64,
    MAGIC = 16,
    VERSION = 2,
    AT_VERSION = 16,
    AT_TRACKS = 28,
    AT_ENTRIES = 32,
    AT_SECTORS = 36,
    BLOCK_SECTORS_MAX = 1 << 21, /* 1 GiB */
};

typedef struct {
    Mapped mapped;
    uint32_t *table;
    uint32_t unit; /* bytes that a table entry counts */
} Parallels;

static int
parallels_probe(const uint8_t *head, size_t length, const char *filename)
{
    (void)filename;
    return length >= HEAD && le32(head + AT_VERSION) == VERSION &&
                   (memcmp(head, "WithoutFreeSpace", MAGIC) == 0 ||
                    memcmp(head, "WithouFreSpacExt", MAGIC) == 0)
               ? 100
               : 0;
}

static int
parallels_find(BlockNode *node, uint64_t offset, MappedRun *ret)
{
    const Parallels *p = node->state;
    uint32_t at = GUINT32_FROM_LE(p->table[offset / p->mapped.block]);

    if (at == 0) {
        ret->flags = BLOCK_STATUS_ZERO;
        return 0;
    }
    ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA;
    ret->file = node->file;
    ret->offset = (uint64_t)at * p->unit + offset % p->mapped.block;
    return 0;
}

static const MappedOps parallels_ops = { .find = parallels_find };

static bool
parallels_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    Parallels *p = node->state;
    uint8_t h[HEAD];
    uint32_t tracks, entries;
    uint64_t sectors;
    bool counts_blocks;

    (void)opts;
    (void)opening;
    if (!mapped_head(node, 0, h, sizeof(h), err))
        return false;
    if (!parallels_probe(h, sizeof(h), NULL))
        return mapped_refuse(node, err, "no header of version %d", VERSION);
    counts_blocks = memcmp(h, "WithouFreSpacExt", MAGIC) == 0;
    tracks = le32(h + AT_TRACKS);
    entries = le32(h + AT_ENTRIES);
    sectors = counts_blocks ? le64(h + AT_SECTORS) : le32(h + AT_SECTORS);
    if (tracks == 0 || tracks > BLOCK_SECTORS_MAX)
        return mapped_refuse(node, err, "blocks of %u sectors are not from 1 to %d", tracks,
                             BLOCK_SECTORS_MAX);
    if (sectors > (uint64_t)entries * tracks)
        return mapped_refuse(node, err,
                             "%" G_GUINT64_FORMAT " sectors do not fit in %u blocks of %u sectors",
                             sectors, entries, tracks);
    mapped_init(node, &parallels_ops, tracks * BLOCK_SECTOR);
    p->unit = counts_blocks ? p->mapped.block : BLOCK_SECTOR;
    node->size = sectors * BLOCK_SECTOR;
    p->table = mapped_load(node, HEAD, entries, sizeof(*p->table), err);
    return p->table != NULL;
}

static void
parallels_close(BlockNode *node)
{
    Parallels *p = node->state;

    mapped_close(node);
    g_clear_pointer(&p->table, g_free);
}

const BlockDriver block_parallels_driver = {
    .name = "parallels",
    .state_size = sizeof(Parallels),
    .probe = parallels_probe,
    .open = parallels_open,
    .close = parallels_close,
    .pread = mapped_pread,
    .status = mapped_status,
    .cluster_size = mapped_cluster_size,
};
