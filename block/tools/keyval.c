/* keyval.c - "name=value,name=value" as the tools' options have it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/tools/keyval.h"

#include <string.h>

#include "util/error.h"

GHashTable *
tool_keyval_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

bool
tool_keyval_parse(const char *text, GHashTable *into, GError **err)
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
        else
            g_hash_table_replace(into, g_strdup(word->str), g_strdup("on"));
    }
    return true;
}

JsonObject *
tool_keyval_object(const char *text, GError **err)
{
    g_autoptr(GHashTable) keys = tool_keyval_new();
    g_autoptr(JsonObject) object = json_object_new();
    GHashTableIter it;
    gpointer key, value;

    if (!tool_keyval_parse(text, keys, err))
        return NULL;
    g_hash_table_iter_init(&it, keys);
    while (g_hash_table_iter_next(&it, &key, &value))
        json_object_set_string_member(object, key, value);
    return g_steal_pointer(&object);
}
