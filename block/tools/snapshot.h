/* snapshot.h - the snapshot inside an image that -l of the tools names.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_TOOLS_SNAPSHOT_H
#define KILN_BLOCK_TOOLS_SNAPSHOT_H

#include <glib.h>
#include <stdbool.h>

#include "block/image.h"

/* Makes @node show the snapshot that @text names: by an id or a name, or by
 * "snapshot.id=1,snapshot.name=x", of which both have to be true. */
bool tool_snapshot_show(BlockNode *node, const char *text, GError **err);

#endif
