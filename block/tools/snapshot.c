/* snapshot.c - the snapshot inside an image that -l of the tools names.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/tools/snapshot.h"

#include <string.h>

#include "block/tools/keyval.h"
#include "util/error.h"

static bool
snapshot_fits(const BlockSnapshot *snapshot, const char *id, const char *name)
{
    return (!id || strcmp(snapshot->id, id) == 0) && (!name || strcmp(snapshot->name, name) == 0);
}

bool
tool_snapshot_show(BlockNode *node, const char *text, GError **err)
{
    g_autoptr(GHashTable) keys = tool_keyval_new();
    g_autoptr(GPtrArray) list = NULL;
    const char *id, *name;

    if (!g_str_has_prefix(text, "snapshot."))
        return block_image_snapshot_show(node, text, err);
    if (!tool_keyval_parse(text, TOOL_SHORT_WARN, keys, err))
        return false;
    id = g_hash_table_lookup(keys, "snapshot.id");
    name = g_hash_table_lookup(keys, "snapshot.name");
    if (g_hash_table_size(keys) != (guint)(!!id + !!name))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "Failed in parsing snapshot param '%s'; there are snapshot.id and "
                              "snapshot.name",
                              text);
    list = block_image_snapshots(node, err);
    if (!list)
        return false;
    for (guint i = 0; i < list->len; i++) {
        const BlockSnapshot *snapshot = list->pdata[i];

        if (snapshot_fits(snapshot, id, name))
            return block_image_snapshot_show(node, snapshot->id, err);
    }
    return kiln_error_set(err, VIR_ERR_INVALID_ARG, "image '%s' has no snapshot with '%s'",
                          block_node_filename(node), text);
}
