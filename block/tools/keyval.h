/* keyval.h - "name=value,name=value" as the tools' options have it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_TOOLS_KEYVAL_H
#define KILN_BLOCK_TOOLS_KEYVAL_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

/* Texts by name, both owned. */
GHashTable *tool_keyval_new(void);
/* "a=b,c=d" with ",," for a comma, into @into; a lone name is "on". */
bool tool_keyval_parse(const char *text, GHashTable *into, GError **err);
/* The same as an object of texts, for images given by --image-opts. The caller owns it. */
JsonObject *tool_keyval_object(const char *text, GError **err);

#endif
