/* limits.c - other limits for images that are in use: what waits for the old ones goes by the new.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/driver.h"
#include "block/job_pause.h"
#include "block/throttle.h"

/* The node whose limits hold for @node. */
static BlockNode *
limited_node(BlockNode *node)
{
    BlockNode *at = node;

    while (at && !at->throttle)
        at = at->file;
    return at ? at : node;
}

BlockThrottle *
block_node_throttle(BlockNode *node)
{
    return limited_node(node)->throttle;
}

void
block_node_limit(BlockNode *node, BlockThrottle *throttle, const BlockLimits *limits,
                 BlockNode *const *all, size_t n)
{
    BlockNode *limited = limited_node(node);
    BlockThrottle *before = limited->throttle;
    g_autoptr(GPtrArray) held = g_ptr_array_new();
    BlockPause *pause;

    g_ptr_array_add(held, node);
    for (size_t i = 0; i < n; i++) {
        const BlockThrottle *theirs = block_node_throttle(all[i]);

        if (all[i] != node && theirs && (theirs == before || theirs == throttle))
            g_ptr_array_add(held, all[i]);
    }
    pause = block_pause_begin((BlockNode **)held->pdata, held->len);
    if (throttle != before) {
        limited->throttle = throttle ? block_throttle_ref(throttle) : NULL;
        block_throttle_unref(before);
    }
    if (throttle)
        block_throttle_set(throttle, limits);
    block_pause_end(pause);
}
