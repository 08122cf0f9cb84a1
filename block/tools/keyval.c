/* keyval.c - "name=value,name=value" as the tools' options have it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/tools/keyval.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/error.h"

GHashTable *
tool_keyval_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

static bool
short_take(const char *word, ToolShort lone, GHashTable *into, GError **err)
{
    bool no = g_str_has_prefix(word, "no");
    const char *name = no ? word + 2 : word, *value = no ? "off" : "on";

    if (lone == TOOL_SHORT_REFUSE)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "'%s' has no value; write %s=VALUE", word,
                              word);
    if (lone == TOOL_SHORT_WARN)
        fprintf(stderr, "%s: warning: write '%s=%s' for '%s': QEMU is giving up the short form\n",
                program_invocation_short_name, name, value, word);
    g_hash_table_replace(into, g_strdup(name), g_strdup(value));
    return true;
}

bool
tool_keyval_parse(const char *text, ToolShort lone, GHashTable *into, GError **err)
{
    while (*text) {
        g_autoptr(GString) word = g_string_new(NULL);
        const char *equals;

        for (; *text; text++) {
            if (*text == ',') {
                text++;
                if (*text != ',')
                    break;
            }
            g_string_append_c(word, *text);
        }
        if (word->len == 0)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "an option without a name; write NAME=VALUE,NAME=VALUE");
        equals = strchr(word->str, '=');
        if (equals == word->str)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "'%s' has no name before '='",
                                  word->str);
        if (equals)
            g_hash_table_replace(into, g_strndup(word->str, equals - word->str),
                                 g_strdup(equals + 1));
        else if (!short_take(word->str, lone, into, err))
            return false;
    }
    return true;
}

JsonObject *
tool_keyval_object(const char *text, ToolShort lone, GError **err)
{
    g_autoptr(GHashTable) keys = tool_keyval_new();
    g_autoptr(JsonObject) object = json_object_new();
    GHashTableIter it;
    gpointer key, value;

    if (*text && strcspn(text, ",") <= strcspn(text, "=")) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "'%.*s' is no option; an image by options is KEY=VALUE,…, the least of it "
                       "file.filename=NAME",
                       (int)strcspn(text, ","), text);
        return NULL;
    }
    if (!tool_keyval_parse(text, lone, keys, err))
        return NULL;
    g_hash_table_iter_init(&it, keys);
    while (g_hash_table_iter_next(&it, &key, &value))
        json_object_set_string_member(object, key, value);
    return g_steal_pointer(&object);
}
