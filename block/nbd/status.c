/* status.c - what NBD_CMD_BLOCK_STATUS tells of an export.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/nbd/server_private.h"

#include <errno.h>

static int
extent_of_allocation(BlockNode *node, uint64_t offset, uint64_t *length, uint32_t *ret_flags)
{
    BlockStatus status;
    int r = block_node_status_above(node, NULL, offset, *length, &status);

    if (r < 0)
        return r;
    *length = status.length;
    *ret_flags = (status.flags & BLOCK_STATUS_DATA ? 0 : NBD_STATE_HOLE) |
                 (status.flags & BLOCK_STATUS_ZERO ? NBD_STATE_ZERO : 0);
    return 0;
}

/* 0: no image of the chain has the bytes, 1: the first, 2: the second … */
static int
extent_of_depth(BlockNode *node, uint64_t offset, uint64_t *length, uint32_t *ret_flags)
{
    BlockStatus status;
    int r = block_node_status_above(node, NULL, offset, *length, &status);

    if (r < 0)
        return r;
    *length = status.length;
    *ret_flags = status.flags & BLOCK_STATUS_ALLOCATED ? status.depth + 1 : 0;
    return 0;
}

static int
extent_of_bitmap(BlockNode *holder, const char *bitmap, uint64_t offset, uint64_t *length,
                 uint32_t *ret_flags)
{
    uint64_t size = block_node_size(holder);
    bool dirty = false;
    int r = 0;

    /* an image below may be shorter: what it does not have did not change there */
    if (offset < size) {
        *length = MIN(*length, size - offset);
        r = block_image_bitmap_status(holder, bitmap, offset, length, &dirty);
    }

    *ret_flags = dirty ? NBD_STATE_DIRTY : 0;
    return r;
}

static int
extent_at(const NbdExport *export_, const NbdContext *context, uint64_t offset, uint64_t *length,
          uint32_t *ret_flags)
{
    switch (context->kind) {
    case NBD_CONTEXT_IS_ALLOCATION:
        return extent_of_allocation(export_->node, offset, length, ret_flags);
    case NBD_CONTEXT_IS_DEPTH:
        return extent_of_depth(export_->node, offset, length, ret_flags);
    case NBD_CONTEXT_IS_BITMAP:
        return extent_of_bitmap(export_->holders[context->bitmap],
                                export_->bitmaps[context->bitmap], offset, length, ret_flags);
    }
    return -EINVAL;
}

int
nbd_status_extents(const NbdExport *export_, const NbdContext *context, uint64_t offset,
                   uint64_t length, unsigned max, GArray *ret_words)
{
    uint32_t words[2] = { 0, 0 }; /* the extent being gathered; neighbours alike are one */
    unsigned n = 0;

    while (length > 0) {
        uint64_t part = length;
        uint32_t flags;
        int r = extent_at(export_, context, offset, &part, &flags);

        if (r < 0)
            return r;
        if (part == 0)
            return -EIO;
        if (words[0] > 0 && words[1] != flags) {
            uint32_t wire[2] = { GUINT32_TO_BE(words[0]), GUINT32_TO_BE(words[1]) };

            g_array_append_vals(ret_words, wire, 2);
            words[0] = 0;
            if (++n == max)
                return 0;
        }
        words[0] += (uint32_t)part; /* a command's length has 32 bits, so has the sum */
        words[1] = flags;
        offset += part;
        length -= part;
    }
    if (words[0] > 0) {
        uint32_t wire[2] = { GUINT32_TO_BE(words[0]), GUINT32_TO_BE(words[1]) };

        g_array_append_vals(ret_words, wire, 2);
    }
    return 0;
}
