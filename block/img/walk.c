/* walk.c - what the bytes of a chain of images are, from its start to its end.
 *
 * Each layer is asked once for what it has: what it said of bytes further on is kept until the walk
 * comes there, since a layer's emptiness may reach far beyond what those below it end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/driver.h"
#include "block/img/img.h"

/* What a layer said of [from, end). */
typedef struct {
    uint64_t from, end;
    BlockStatus status;
} Layer;

void
img_walk_begin(ImgWalk *walk, BlockNode *node, BlockNode *base)
{
    *walk =
        (ImgWalk){ .node = node, .base = base, .layers = g_array_new(false, true, sizeof(Layer)) };
}

void
img_walk_end(ImgWalk *walk)
{
    g_clear_pointer(&walk->layers, g_array_unref);
}

static int
layer_status(ImgWalk *walk, unsigned depth, BlockNode *node, uint64_t offset, uint64_t length,
             BlockStatus *ret)
{
    Layer *layer;

    if (depth >= walk->layers->len)
        g_array_set_size(walk->layers, depth + 1);
    layer = &g_array_index(walk->layers, Layer, depth);
    if (offset < layer->from || offset >= layer->end) {
        int r;

        layer->status = (BlockStatus){ 0 };
        r = block_node_status(node, offset, length, &layer->status);
        layer->from = offset;
        layer->end = r < 0 ? offset : offset + layer->status.length;
        if (r < 0)
            return r;
    }
    *ret = layer->status;
    ret->length = MIN(length, layer->end - offset);
    ret->host_offset += offset - layer->from;
    return 0;
}

int
img_walk_range(ImgWalk *walk, uint64_t offset, uint64_t length, ImgRange *ret)
{
    unsigned depth = 0;

    for (BlockNode *n = walk->node; n && n != walk->base; n = block_node_backing(n), depth++) {
        BlockNode *below = block_node_backing(n);
        BlockStatus status = { 0 };
        uint64_t size = block_node_size(n);
        int r;

        if (offset >= size) {
            *ret = (ImgRange){ .kind = IMG_COPY_ZERO, .length = length };
            ret->status =
                (BlockStatus){ .flags = BLOCK_STATUS_ZERO, .length = length, .depth = depth };
            return 0;
        }
        length = MIN(length, size - offset);
        r = layer_status(walk, depth, n, offset, length, &status);
        if (r < 0)
            return r;
        length = status.length;
        if (!(status.flags & (BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA | BLOCK_STATUS_ZERO))) {
            if (below && offset < block_node_size(below)) {
                length = MIN(length, block_node_size(below) - offset);
                continue;
            }
            status.flags |= BLOCK_STATUS_ZERO;
        }
        status.length = length;
        status.layer = n;
        status.depth = depth;
        *ret = (ImgRange){
            .kind = status.flags & BLOCK_STATUS_ZERO ? IMG_COPY_ZERO : IMG_COPY_DATA,
            .length = length,
            .status = status,
        };
        return 0;
    }
    *ret = (ImgRange){ .kind = IMG_COPY_SKIP, .length = length };
    return 0;
}
