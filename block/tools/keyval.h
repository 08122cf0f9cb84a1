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
/* What a lone name is: with QEMU "name" is "name=on" and "noname" is "name=off". */
typedef enum {
    TOOL_SHORT_TAKE,
    TOOL_SHORT_WARN, /* the same, and standard error says how it is to be written */
    TOOL_SHORT_REFUSE,
} ToolShort;

/* "a=b,c=d" with ",," for a comma, into @into. */
bool tool_keyval_parse(const char *text, ToolShort lone, GHashTable *into, GError **err);
/* The same as an object of texts, for images given by --image-opts. The caller owns it. */
JsonObject *tool_keyval_object(const char *text, ToolShort lone, GError **err);

#endif
