/* cloop.c - Linux compressed loop images, version 2.0, read only.
 *
 * Source: the head of the cloop module's sources: a shell script in the first 128 bytes, then the
 * block size and the number of blocks (32 bit), then the offset of each block and of the end (64
 * bit), all big endian; each block is a zlib stream.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/inflate.h"
#include "block/mapped.h"
#include "block/numbers.h"

enum {
    HEAD = 136,
    AT_BLOCK = 128,
    AT_COUNT = 132,
    BLOCK_MAX = 64 << 20,
    PACKED_EXTRA = 4096, /* deflate makes data that does not pack a little larger */
};

typedef struct {
    Mapped mapped;
    uint64_t *offsets; /* big endian; one more than blocks */
    uint32_t blocks;
} Cloop;

static int
cloop_probe(const uint8_t *head, size_t length, const char *filename)
{
    static const char magic[] = "#!/bin/sh\n#V2.0 Format\nmodprobe cloop";

    (void)filename;
    return length >= HEAD && memcmp(head, magic, sizeof(magic) - 1) == 0 ? 100 : 0;
}

static int
cloop_find(BlockNode *node, uint64_t offset, MappedRun *ret)
{
    const Cloop *c = node->state;
    uint64_t index = offset / c->mapped.block;
    uint64_t from = GUINT64_FROM_BE(c->offsets[index]), to = GUINT64_FROM_BE(c->offsets[index + 1]);

    if (to < from || to - from > c->mapped.block + (uint64_t)c->mapped.block / 16 + PACKED_EXTRA)
        return -EUCLEAN;
    ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA | BLOCK_STATUS_COMPRESSED;
    ret->file = node->file;
    ret->offset = from;
    ret->packed = to - from;
    return 0;
}

static int
cloop_unpack(BlockNode *node, uint64_t start, const MappedRun *run, uint8_t *buf)
{
    const Cloop *c = node->state;
    g_autofree uint8_t *packed = g_try_malloc(MAX(run->packed, 1u));
    int r = packed ? mapped_file_read(run->file, run->offset, packed, run->packed) : -ENOMEM;

    (void)start;
    return r < 0 ? r : inflate_bytes(true, packed, run->packed, buf, c->mapped.block);
}

static const MappedOps cloop_ops = { .find = cloop_find, .unpack = cloop_unpack };

static bool
cloop_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    Cloop *c = node->state;
    uint8_t h[HEAD];
    uint32_t block;

    (void)opts;
    (void)opening;
    if (!mapped_head(node, 0, h, sizeof(h), err))
        return false;
    block = be32(h + AT_BLOCK);
    c->blocks = be32(h + AT_COUNT);
    if (block == 0 || block % BLOCK_SECTOR != 0 || block > BLOCK_MAX)
        return mapped_refuse(node, err, "blocks of %u bytes are not whole sectors up to %d", block,
                             BLOCK_MAX);
    if (c->blocks == UINT32_MAX)
        return mapped_refuse(node, err, "%u blocks are too many", c->blocks);
    mapped_init(node, &cloop_ops, block);
    c->offsets = mapped_load(node, HEAD, c->blocks + 1ull, sizeof(*c->offsets), err);
    if (!c->offsets)
        return false;
    node->size = (uint64_t)c->blocks * block;
    return true;
}

static void
cloop_close(BlockNode *node)
{
    Cloop *c = node->state;

    mapped_close(node);
    g_clear_pointer(&c->offsets, g_free);
}

const BlockDriver block_cloop_driver = {
    .name = "cloop",
    .state_size = sizeof(Cloop),
    .probe = cloop_probe,
    .open = cloop_open,
    .close = cloop_close,
    .pread = mapped_pread,
    .status = mapped_status,
};
