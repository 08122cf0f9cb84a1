/* raw.c - the raw format: the node below as it is, or a window of it (options offset and size).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/driver.h"

#include "util/error.h"

static bool
raw_open(BlockNode *node, BlockOptions *opts, const BlockOpenOps *ops, GError **err)
{
    uint64_t below = node->file->size, size = UINT64_MAX;

    (void)ops;
    if (!block_options_take_size(opts, "offset", &node->window_offset, err) ||
        !block_options_take_size(opts, "size", &size, err))
        return false;
    if (node->window_offset % BLOCK_SECTOR != 0 || node->window_offset > below)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "raw: offset %" G_GUINT64_FORMAT
                              " is not a multiple of %d inside the "
                              "%" G_GUINT64_FORMAT " bytes of '%s'",
                              node->window_offset, BLOCK_SECTOR, below, block_node_filename(node));
    if (size == UINT64_MAX)
        size = below - node->window_offset;
    if (size % BLOCK_SECTOR != 0 || size > below - node->window_offset)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "raw: size %" G_GUINT64_FORMAT " is not a multiple of %d within the "
                              "%" G_GUINT64_FORMAT " bytes after the offset",
                              size, BLOCK_SECTOR, below - node->window_offset);
    node->size = size;
    return true;
}

static int
raw_map(const BlockNode *node, uint64_t offset, BlockExtent *ret)
{
    int r = node->file->driver->map(node->file, node->window_offset + offset, ret);

    if (r == 0)
        ret->length = MIN(ret->length, node->size - offset);
    return r;
}

const BlockDriver block_raw_driver = {
    .name = "raw",
    .open = raw_open,
    .map = raw_map,
};
