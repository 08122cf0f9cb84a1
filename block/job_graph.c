/* job_graph.c - how the images under a device change while it runs: filters come and go, overlays
 * are put on, sizes change.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/job_private.h"
#include "block/slow.h"
#include "util/error.h"

bool
job_chain_has(BlockNode *top, const BlockNode *node)
{
    for (; top; top = top->backing)
        if (top == node || block_node_protocol(top) == block_node_protocol(node))
            return true;
    return false;
}

char *
job_backing_name(BlockNode *chain, BlockNode *base, const char *given, char **ret_format)
{
    const char *name = given;

    *ret_format = NULL;
    if (!base)
        return NULL;
    *ret_format = g_strdup(base->driver->name);
    for (BlockNode *n = chain; n && !name; n = n->backing)
        if (n->backing == base)
            name = n->backing_filename;
    return g_strdup(name ? name : block_node_filename(base));
}

void
job_install_filter(BlockJob *job)
{
    BlockPause *pause = block_pause_begin(&job->root, 1);

    block_pause_switch(pause, job->root, job->filter);
    block_pause_end(pause);
    job->installed = true;
}

void
job_remove_filter(BlockJob *job)
{
    BlockPause *pause;

    if (!job->installed)
        return;
    pause = block_pause_begin(&job->root, 1);
    block_pause_switch(pause, job->root, job->root);
    block_pause_end(pause);
    job->installed = false;
}

bool
job_set_access(BlockJob *job, BlockNode *node, bool writable, GError **err)
{
    const BlockOpenOps ops = { .opaque = job->jobs->ops.opaque,
                               .open_file = job->jobs->ops.open_file };
    BlockPause *pause = block_pause_begin(&job->root, 1);
    bool ok = block_node_set_access(node, writable, &ops, err);

    block_pause_end(pause);
    return ok;
}

/* ---- snapshots ---- */

static bool
overlay_check(BlockJobs *jobs, BlockNode *root, BlockNode *overlay, GError **err)
{
    if (overlay->claims > 0 || block_node_protocol(overlay)->claims > 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "The overlay '%s' is already in use",
                              overlay->name);
    if (!overlay->driver->has_backing)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "The overlay '%s' does not support backing images", overlay->name);
    if (overlay->backing)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "The overlay '%s' already has a backing image", overlay->name);
    if (block_node_read_only(overlay))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "The overlay '%s' is read-only",
                              overlay->name);
    if (overlay->size != root->size)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "The overlay '%s' has %" G_GUINT64_FORMAT
                              " bytes, the disk %" G_GUINT64_FORMAT "; make it as large",
                              overlay->name, overlay->size, root->size);
    return block_jobs_check_free(jobs, root, err) && block_slow_prepare(overlay, err);
}

static bool
overlay_put(BlockNode *root, BlockNode *overlay, GError **err)
{
    const BlockNode *protocol = block_node_protocol(root);
    bool claimed = protocol->claims > 0, share = protocol->claims_share;
    bool wrote = protocol->writers > 0;
    int r = block_node_flush(root);

    if (r < 0)
        return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, root, "flushing image '%s'",
                               block_node_filename(root));
    overlay->backing = block_node_ref(root);
    if (!claimed)
        return true;
    block_node_release(root);
    if (block_node_claim(overlay, wrote, share, err))
        return true;
    g_clear_pointer(&overlay->backing, block_node_unref);
    block_node_claim(root, wrote, share, NULL);
    return false;
}

static void
overlay_take_off(BlockNode *root, BlockNode *overlay)
{
    const BlockNode *protocol = block_node_protocol(overlay);
    bool claimed = protocol->claims > 0, share = protocol->claims_share;
    bool wrote = protocol->writers > 0;

    if (claimed)
        block_node_release(overlay);
    g_clear_pointer(&overlay->backing, block_node_unref);
    if (claimed)
        block_node_claim(root, wrote, share, NULL);
}

bool
block_jobs_snapshot(BlockJobs *jobs, BlockNode *const *roots, BlockNode *const *overlays, size_t n,
                    GError **err)
{
    BlockPause *pause;
    size_t done = 0;
    bool ok;

    for (size_t i = 0; i < n; i++)
        if (!overlay_check(jobs, roots[i], overlays[i], err))
            return false;
    pause = block_pause_begin(roots, n);
    while (done < n && overlay_put(roots[done], overlays[done], err))
        done++;
    ok = done == n;
    while (!ok && done-- > 0)
        overlay_take_off(roots[done], overlays[done]);
    for (size_t i = 0; ok && i < n; i++) {
        block_pause_switch(pause, roots[i], overlays[i]);
        if (jobs->ops.root_changed)
            jobs->ops.root_changed(jobs->ops.opaque, roots[i], overlays[i]);
    }
    block_pause_end(pause);
    return ok;
}

bool
block_jobs_snapshot_internal(BlockJobs *jobs, BlockNode *root, const char *name, bool remove,
                             GError **err)
{
    gint64 now = g_get_real_time();
    const BlockSnapshot snapshot = {
        .id = (char *)"", /* the format numbers them */
        .name = (char *)name,
        .date_sec = now / G_USEC_PER_SEC,
        .date_nsec = (uint32_t)(now % G_USEC_PER_SEC * 1000),
        .icount = UINT64_MAX,
    };
    BlockPause *pause;
    bool ok;

    if (!block_jobs_check_free(jobs, root, err))
        return false;
    pause = block_pause_begin(&root, 1);
    ok = remove ? block_image_snapshot_delete(root, name, err)
                : block_image_snapshot_create(root, &snapshot, err);
    block_pause_end(pause);
    return ok;
}

/* ---- sizes ---- */

bool
block_jobs_resize(BlockJobs *jobs, BlockNode *root, uint64_t size, GError **err)
{
    BlockPause *pause;
    bool ok;

    if (size % BLOCK_SECTOR != 0)
        size += BLOCK_SECTOR - size % BLOCK_SECTOR;
    if (!block_jobs_check_free(jobs, root, err))
        return false;
    pause = block_pause_begin(&root, 1);
    ok = block_image_resize(root, size, BLOCK_PREALLOC_OFF, true, err);
    if (ok && jobs->ops.root_changed)
        jobs->ops.root_changed(jobs->ops.opaque, root, root);
    block_pause_end(pause);
    return ok;
}
