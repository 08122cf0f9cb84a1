/* handover.c - an image that goes over from one process to another while both have it open: that of
 * a guest on its way to another host.
 *
 * What the first keeps of it in memory goes into the file before the locks do, and what the second
 * had read is read anew once it has them. Left out: formats other than raw and qcow2 that can be
 * written.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/stat.h>

#include "block/driver.h"
#include "util/error.h"

static bool
handover_is_possible(const BlockNode *node, GError **err)
{
    return node->read_only || node->driver->is_plain || node->driver->activate ||
           kiln_error_set(
               err, VIR_ERR_OPERATION_UNSUPPORTED,
               "image '%s' of format %s cannot go over to another process; convert it to "
               "raw or qcow2",
               block_node_filename(node) ? block_node_filename(node) : "", node->driver->name);
}

static bool
others_do(BlockNode *node, bool (*call)(BlockNode *node, GError **err), GError **err)
{
    if ((node->file && !call(node->file, err)) || (node->backing && !call(node->backing, err)))
        return false;
    for (guint i = 0; node->extents && i < node->extents->len; i++)
        if (!call(node->extents->pdata[i], err))
            return false;
    return true;
}

bool
block_node_deactivate(BlockNode *node, GError **err)
{
    int r;

    if (node->inactive)
        return true;
    if (node->driver->is_protocol) {
        r = block_node_flush(node);
        if (r < 0)
            return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r, "cannot flush image '%s'",
                                        block_node_filename(node));
        block_unlock_image(node);
        node->inactive = true;
        return true;
    }
    if (!handover_is_possible(node, err) ||
        (!node->read_only && node->driver->deactivate && !node->driver->deactivate(node, err)))
        return false;
    node->inactive = true;
    return others_do(node, block_node_deactivate, err);
}

static bool
protocol_activate(BlockNode *node, GError **err)
{
    struct stat st;

    if (!node->fixed && node->fd >= 0 && fstat(node->fd, &st) == 0 && S_ISREG(st.st_mode))
        node->size = ((uint64_t)st.st_size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    node->inactive = false;
    if (node->claims == 0 || block_lock_image(node, node->writers > 0, node->claims_share, err))
        return true;
    node->inactive = true;
    return false;
}

bool
block_node_activate(BlockNode *node, GError **err)
{
    if (!node->inactive)
        return true;
    if (node->driver->is_protocol)
        return protocol_activate(node, err);
    if (!handover_is_possible(node, err) || !others_do(node, block_node_activate, err))
        return false;
    node->inactive = false;
    if (node->read_only || !node->driver->activate || node->driver->activate(node, err))
        return true;
    node->inactive = true;
    return false;
}
