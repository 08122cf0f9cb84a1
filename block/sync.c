/* sync.c - blocking I/O on nodes, in any thread: ranges, read-only nodes, and what is asked of the
 * drivers; status of a node and of a chain.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/driver.h"

/* Protocols read zeroes past their end and grow when written there; other nodes have an end. */
static int
sync_check(const BlockNode *node, uint64_t offset, uint64_t length)
{
    uint64_t end = node->driver->is_protocol ? (uint64_t)G_MAXINT64 - BLOCK_SECTOR : node->size;

    return offset > end || length > end - offset ? -EIO : 0;
}

static int
sync_check_write(const BlockNode *node, uint64_t offset, uint64_t length)
{
    return block_node_read_only(node) ? -EROFS : sync_check(node, offset, length);
}

int
block_node_pread(BlockNode *node, uint64_t offset, void *buf, size_t length)
{
    int r = sync_check(node, offset, length);

    if (r < 0 || length == 0)
        return r;
    r = node->driver->pread ? node->driver->pread(node, offset, buf, length) : -ENOTSUP;
    return block_fault_note(node, BLOCK_FAULT_READ, offset, length, r);
}

/* What was written has to be durable: metadata that leads to it as well. */
static int
sync_finish(BlockNode *node, int r, BlockFlags flags)
{
    return r == 0 && flags & BLOCK_FUA ? block_node_flush(node) : r;
}

int
block_node_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length,
                  BlockFlags flags)
{
    int r = sync_check_write(node, offset, length);

    if (r < 0 || length == 0)
        return r;
    if (!node->driver->pwrite)
        return -ENOTSUP;
    block_note_write(node, offset + length);
    r = node->driver->pwrite(node, offset, buf, length, flags & ~(unsigned)BLOCK_FUA);
    block_fault_note(node, BLOCK_FAULT_WRITE, offset, length, r);
    return sync_finish(node, r, flags);
}

/* Zeroes for drivers that have no better way. */
static int
sync_write_zero_bytes(BlockNode *node, uint64_t offset, uint64_t length)
{
    uint64_t part = MIN(length, (uint64_t)1 << 20);
    g_autofree uint8_t *zeroes = g_try_malloc0(part);
    int r = zeroes ? 0 : -ENOMEM;

    while (r == 0 && length > 0) {
        size_t n = MIN(length, part);

        r = node->driver->pwrite(node, offset, zeroes, n, 0);
        offset += n;
        length -= n;
    }
    return r;
}

int
block_node_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags)
{
    int r = sync_check_write(node, offset, length);

    if (r < 0 || length == 0)
        return r;
    if (!node->driver->pwrite)
        return -ENOTSUP;
    if (!block_node_can_discard(node))
        flags &= ~(unsigned)BLOCK_UNMAP;
    block_note_write(node, offset + length);
    r = node->driver->write_zeroes
            ? node->driver->write_zeroes(node, offset, length, flags & ~(unsigned)BLOCK_FUA)
            : -ENOTSUP;
    if (r == -ENOTSUP)
        r = sync_write_zero_bytes(node, offset, length);
    block_fault_note(node, BLOCK_FAULT_ZERO, offset, length, r);
    return sync_finish(node, r, flags);
}

int
block_node_discard(BlockNode *node, uint64_t offset, uint64_t length)
{
    int r = sync_check_write(node, offset, length);

    if (r < 0 || length == 0 || !node->driver->discard || !block_node_can_discard(node))
        return r;
    r = node->driver->discard(node, offset, length);
    block_fault_note(node, BLOCK_FAULT_DISCARD, offset, length, r);
    return r == -ENOTSUP ? 0 : r; /* advisory */
}

int
block_node_reflink(BlockNode *node, uint64_t offset, int fd, uint64_t from, uint64_t length)
{
    int r = sync_check_write(node, offset, length);

    if (r < 0)
        return r;
    if (!node->driver->reflink)
        return -EOPNOTSUPP;
    block_note_write(node, offset + length);
    return node->driver->reflink(node, offset, fd, from, length);
}

int
block_node_pwrite_compressed(BlockNode *node, uint64_t offset, const void *buf, size_t length)
{
    uint32_t cluster = block_node_cluster_size(node);
    int r = sync_check_write(node, offset, length);

    if (r < 0)
        return r;
    if (!node->driver->pwrite_compressed)
        return -ENOTSUP;
    if (cluster == 0 || offset % cluster != 0 || length == 0 || length > cluster ||
        (length < cluster && offset + length != node->size))
        return -EINVAL;
    return node->driver->pwrite_compressed(node, offset, buf, length);
}

int
block_node_flush(const BlockNode *node)
{
    if (block_node_read_only(node) || node->inactive ||
        (node->driver->is_protocol && block_node_no_flush(node)))
        return 0;
    if (node->driver->flush) {
        int r = node->driver->flush((BlockNode *)node);

        return block_fault_note((BlockNode *)node, BLOCK_FAULT_FLUSH, 0, 0, r);
    }
    return node->file ? block_node_flush(node->file) : 0;
}

bool
block_node_is_clean(BlockNode *node)
{
    if (node->driver->is_clean)
        return node->driver->is_clean(node);
    return !node->driver->flush && (!node->file || block_node_is_clean(node->file));
}

/* ---- status ---- */

int
block_node_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret)
{
    BlockStatus s = { .length = length };
    int r = sync_check(node, offset, length);

    if (r < 0)
        return r;
    if (length == 0)
        return -EINVAL;
    if (node->driver->status)
        r = node->driver->status(node, offset, length, &s);
    else
        s.flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA;
    if (r < 0)
        return r;
    s.length = CLAMP(s.length, 1, length);
    s.layer = node;
    s.depth = 0;
    s.flags &= ~(unsigned)BLOCK_STATUS_EOF;
    if (offset + s.length >= node->size)
        s.flags |= BLOCK_STATUS_EOF;
    *ret = s;
    return 0;
}

int
block_node_status_above(BlockNode *node, BlockNode *base, uint64_t offset, uint64_t length,
                        BlockStatus *ret)
{
    BlockNode *layer = node;
    uint64_t at = length;
    unsigned depth = 0;
    BlockStatus s;

    for (;;) {
        int r = block_node_status(layer, offset, at, &s);

        if (r < 0)
            return r;
        at = s.length;
        if (s.flags & BLOCK_STATUS_ALLOCATED || !layer->backing || layer->backing == base)
            break;
        if (offset >= layer->backing->size) {
            /* a backing file that is shorter: what is beyond its end is zero, and this layer's */
            s.flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_ZERO;
            break;
        }
        layer = layer->backing;
        depth++;
        at = MIN(at, layer->size - offset);
    }
    s.layer = layer;
    s.depth = depth;
    s.flags &= ~(unsigned)BLOCK_STATUS_EOF;
    if (offset + s.length >= node->size)
        s.flags |= BLOCK_STATUS_EOF;
    *ret = s;
    return 0;
}
