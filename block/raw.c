/* raw.c - the raw format: the node below as it is, or a window of it (options offset and size).
 *
 * A guest that owns all bytes of an image whose format is guessed could make another format of it,
 * one that names files of the host. So where raw was guessed, first bytes that would be taken for
 * another format are not written.
 *
 * A window may begin anywhere. Its size is in whole sectors, the last of which may then be only
 * partly there: the rest reads as zeroes and cannot be written.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/open.h"
#include "util/error.h"

static bool
raw_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    uint64_t below = node->file->size, size = UINT64_MAX;

    (void)opening;
    if (!block_options_take_size(opts, "offset", &node->window_offset, err) ||
        !block_options_take_size(opts, "size", &size, err))
        return false;
    if (node->window_offset > below)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "raw: offset %" G_GUINT64_FORMAT " lies behind the %" G_GUINT64_FORMAT
                              " bytes of '%s'",
                              node->window_offset, below, block_node_filename(node));
    if (size == UINT64_MAX)
        size = (below - node->window_offset + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    else if (size % BLOCK_SECTOR != 0 || size > below - node->window_offset)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "raw: size %" G_GUINT64_FORMAT " is not a multiple of %d within the "
                              "%" G_GUINT64_FORMAT " bytes after the offset",
                              size, BLOCK_SECTOR, below - node->window_offset);
    node->size = size;
    return true;
}

static bool
raw_is_guarded(const BlockNode *node, uint64_t offset)
{
    return node->probed && offset < BLOCK_PROBE_HEAD;
}

/* How many of @length bytes at @offset the node below has. */
static uint64_t
raw_inside(const BlockNode *node, uint64_t offset, uint64_t length)
{
    uint64_t at = node->window_offset + offset, size = node->file->size;

    return at >= size ? 0 : MIN(length, size - at);
}

static int
raw_map(BlockNode *node, uint64_t offset, uint64_t length, BlockMapFor what, BlockExtent *ret)
{
    if (node->window_offset % BLOCK_SECTOR != 0 ||
        (what == BLOCK_MAP_WRITE && raw_is_guarded(node, offset))) {
        *ret = (BlockExtent){ .kind = BLOCK_EXTENT_SLOW, .length = length };
        return 0;
    }
    return block_node_map(node->file, node->window_offset + offset, length, what, ret);
}

static int
raw_pread(BlockNode *node, uint64_t offset, void *buf, size_t length)
{
    size_t inside = (size_t)raw_inside(node, offset, length);

    memset((char *)buf + inside, 0, length - inside);
    return inside > 0 ? block_node_pread(node->file, node->window_offset + offset, buf, inside) : 0;
}

/* 0 when the first bytes still look like nothing with @buf at @offset. */
static int
raw_guard(BlockNode *node, uint64_t offset, const void *buf, size_t length)
{
    uint8_t head[BLOCK_PROBE_HEAD] = { 0 };
    size_t size = MIN(node->size, sizeof(head));
    int r = raw_pread(node, 0, head, size);

    if (r < 0)
        return r;
    memcpy(head + offset, buf, MIN(length, size - offset));
    return strcmp(block_image_probe(head, size, block_node_filename(node)), "raw") ? -EPERM : 0;
}

static int
raw_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length, BlockFlags flags)
{
    int r = raw_is_guarded(node, offset) ? raw_guard(node, offset, buf, length) : 0;

    if (raw_inside(node, offset, length) < length)
        return -ENOSPC;
    return r < 0 ? r
                 : block_node_pwrite(node->file, node->window_offset + offset, buf, length, flags);
}

static int
raw_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags)
{
    length = raw_inside(node, offset, length); /* what is not there is zero */
    return length > 0
               ? block_node_write_zeroes(node->file, node->window_offset + offset, length, flags)
               : 0;
}

static int
raw_discard(BlockNode *node, uint64_t offset, uint64_t length)
{
    length = raw_inside(node, offset, length);
    return length > 0 ? block_node_discard(node->file, node->window_offset + offset, length) : 0;
}

static int
raw_reflink(BlockNode *node, uint64_t offset, int fd, uint64_t from, uint64_t length)
{
    if (raw_inside(node, offset, length) < length || raw_is_guarded(node, offset))
        return -EOPNOTSUPP;
    return block_node_reflink(node->file, node->window_offset + offset, fd, from, length);
}

static int
raw_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret)
{
    uint64_t inside = raw_inside(node, offset, length);
    int r;

    if (inside > 0) {
        r = block_node_status(node->file, node->window_offset + offset, inside, ret);
        if (r < 0)
            return r;
        if (ret->length == inside)
            ret->length = length; /* with what is missing of the last sector */
        if (ret->length == length || node->window_offset % BLOCK_SECTOR == 0)
            return 0;
        /* in whole sectors of the window, as those who ask count on: the one in between is data */
        ret->length -= (offset + ret->length) % BLOCK_SECTOR;
        if ((int64_t)ret->length <= 0)
            *ret = (BlockStatus){ .flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA,
                                  .length = MIN(inside, BLOCK_SECTOR - offset % BLOCK_SECTOR) };
        return 0;
    }
    *ret = (BlockStatus){ .flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_ZERO, .length = length };
    return 0;
}

static uint64_t
raw_options_size(GHashTable *options)
{
    const char *text = g_hash_table_lookup(options, "size");

    return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

static bool
raw_create(BlockNode *file, GHashTable *options, const BlockImageOptions *image, GError **err)
{
    BlockPrealloc prealloc = BLOCK_PREALLOC_OFF;

    (void)image;
    return block_prealloc_parse(g_hash_table_lookup(options, "preallocation"), &prealloc, err) &&
           file->driver->resize &&
           file->driver->resize(file, raw_options_size(options), prealloc, err);
}

static bool
raw_resize(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **err)
{
    if (node->window_offset > 0 || !node->file->driver->resize)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "image '%s': a window of a larger image is not resized",
                              block_node_filename(node));
    if (!node->file->driver->resize(node->file, size, prealloc, err))
        return false;
    node->size = node->file->fixed ? node->file->size
                                   : (size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    return true;
}

static bool
raw_measure(GHashTable *options, BlockNode *source, BlockMeasure *ret, GError **err)
{
    uint64_t size = source ? source->size : raw_options_size(options);

    (void)err;
    size = (size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    *ret = (BlockMeasure){ .required = size, .fully_allocated = size };
    return true;
}

static const BlockCreateOption raw_create_options[] = {
    { "size", "Virtual disk size", NULL, BLOCK_OPTION_SIZE, false },
    BLOCK_CREATE_OPTIONS_FILE,
    { .name = "preallocation",
      .help = "Preallocation mode (allowed values: off, falloc, full)",
      .kind = BLOCK_OPTION_STRING,
      .of_file = true },
    { 0 },
};

const BlockDriver block_raw_driver = {
    .name = "raw",
    .is_plain = true,
    .create_options = raw_create_options,
    .open = raw_open,
    .map = raw_map,
    .pread = raw_pread,
    .pwrite = raw_pwrite,
    .write_zeroes = raw_write_zeroes,
    .discard = raw_discard,
    .reflink = raw_reflink,
    .status = raw_status,
    .create = raw_create,
    .resize = raw_resize,
    .measure = raw_measure,
};
