/* options.c - the options of one -blockdev object, taken one by one.
 *
 * Source: QEMU's documented -blockdev syntax (JSON objects or dotted key=value pairs).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/options.h"

#include <string.h>

#include "util/error.h"

enum { OPTIONS_DEPTH_MAX = 16 }; /* of nested objects */

struct BlockOptions {
    GHashTable *values; /* dotted key → text */
};

static BlockOptions *
options_empty(void)
{
    BlockOptions *opts = g_new0(BlockOptions, 1);

    opts->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return opts;
}

static char *
scalar_text(JsonNode *node)
{
    if (JSON_NODE_HOLDS_NULL(node))
        return g_strdup("");
    if (!JSON_NODE_HOLDS_VALUE(node))
        return NULL;
    switch (json_node_get_value_type(node)) {
    case G_TYPE_STRING:
        return g_strdup(json_node_get_string(node));
    case G_TYPE_BOOLEAN:
        return g_strdup(json_node_get_boolean(node) ? "on" : "off");
    case G_TYPE_INT64:
        return g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node));
    default:
        return NULL;
    }
}

static bool options_flatten(BlockOptions *opts, JsonObject *object, const char *prefix,
                            unsigned depth, GError **err);

static bool
options_flatten_node(BlockOptions *opts, JsonNode *node, const char *prefix, const char *name,
                     unsigned depth, GError **err)
{
    g_autofree char *key = g_strconcat(prefix, name, NULL);
    g_autofree char *below = g_strconcat(key, ".", NULL);
    char *text;

    if (depth > OPTIONS_DEPTH_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "block options are nested deeper than %d levels", OPTIONS_DEPTH_MAX);
    if (JSON_NODE_HOLDS_OBJECT(node))
        return options_flatten(opts, json_node_get_object(node), below, depth + 1, err);
    if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);

        for (guint i = 0; i < json_array_get_length(array); i++) {
            g_autofree char *number = g_strdup_printf("%u", i);

            if (!options_flatten_node(opts, json_array_get_element(array, i), below, number,
                                      depth + 1, err))
                return false;
        }
        return true;
    }
    text = scalar_text(node);
    if (!text)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "block option '%s' is neither a string, a whole number nor a boolean",
                              key);
    g_hash_table_replace(opts->values, g_steal_pointer(&key), text);
    return true;
}

static bool
options_flatten(BlockOptions *opts, JsonObject *object, const char *prefix, unsigned depth,
                GError **err)
{
    JsonObjectIter it;
    const char *name;
    JsonNode *node;

    json_object_iter_init(&it, object);
    while (json_object_iter_next(&it, &name, &node))
        if (!options_flatten_node(opts, node, prefix, name, depth, err))
            return false;
    return true;
}

BlockOptions *
block_options_new(JsonObject *object, GError **err)
{
    g_autoptr(BlockOptions) opts = options_empty();

    return options_flatten(opts, object, "", 0, err) ? g_steal_pointer(&opts) : NULL;
}

void
block_options_free(BlockOptions *opts)
{
    if (!opts)
        return;
    g_hash_table_unref(opts->values);
    g_free(opts);
}

char *
block_options_take(BlockOptions *opts, const char *key)
{
    gpointer stored, value;

    if (!g_hash_table_steal_extended(opts->values, key, &stored, &value))
        return NULL;
    g_free(stored);
    return value;
}

bool
block_options_has(const BlockOptions *opts, const char *key)
{
    return g_hash_table_contains(opts->values, key);
}

void
block_options_default(BlockOptions *opts, const char *key, const char *value)
{
    if (!block_options_has(opts, key))
        g_hash_table_insert(opts->values, g_strdup(key), g_strdup(value));
}

bool
block_options_take_bool(BlockOptions *opts, const char *key, bool *ret, GError **err)
{
    g_autofree char *text = block_options_take(opts, key);

    if (!text)
        return true;
    if (strcmp(text, "on") == 0 || strcmp(text, "true") == 0 || strcmp(text, "yes") == 0)
        *ret = true;
    else if (strcmp(text, "off") == 0 || strcmp(text, "false") == 0 || strcmp(text, "no") == 0)
        *ret = false;
    else
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "block option '%s' is 'on' or 'off', not '%s'", key, text);
    return true;
}

bool
block_options_take_size(BlockOptions *opts, const char *key, uint64_t *ret, GError **err)
{
    static const char units[] = "bkmgtpe";
    g_autofree char *text = block_options_take(opts, key);
    size_t length = text ? strlen(text) : 0;
    const char *unit = length > 1 ? strchr(units, g_ascii_tolower(text[length - 1])) : NULL;
    unsigned shift = unit ? (unsigned)(unit - units) * 10 : 0;
    char last = unit ? text[length - 1] : '\0';
    guint64 n;

    if (!text)
        return true;
    if (unit)
        text[length - 1] = '\0';
    if (!g_ascii_string_to_unsigned(text, 10, 0, (guint64)G_MAXINT64 >> shift, &n, NULL))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "block option '%s' is a number of bytes up to %" G_GINT64_FORMAT
                              " or one with k, M, G, T, P or E, not '%s%s'",
                              key, G_MAXINT64, text, unit ? (char[]){ last, '\0' } : "");
    *ret = n << shift;
    return true;
}

bool
block_options_take_enum(BlockOptions *opts, const char *key, const char *const *names, int *ret,
                        GError **err)
{
    g_autofree char *text = block_options_take(opts, key);
    g_autofree char *all = NULL;

    if (!text)
        return true;
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], text) == 0) {
            *ret = i;
            return true;
        }
    all = g_strjoinv(", ", (char **)names);
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "block option '%s' cannot be '%s'; it is one of %s", key, text, all);
}

BlockOptions *
block_options_take_sub(BlockOptions *opts, const char *prefix)
{
    g_autoptr(BlockOptions) sub = options_empty();
    g_autofree char *dotted = g_strconcat(prefix, ".", NULL);
    GHashTableIter it;
    gpointer key, value;

    g_hash_table_iter_init(&it, opts->values);
    while (g_hash_table_iter_next(&it, &key, &value))
        if (g_str_has_prefix(key, dotted)) {
            g_hash_table_insert(sub->values, g_strdup((char *)key + strlen(dotted)),
                                g_strdup(value));
            g_hash_table_iter_remove(&it);
        }
    return g_hash_table_size(sub->values) > 0 ? g_steal_pointer(&sub) : NULL;
}

bool
block_options_finish(const BlockOptions *opts, const char *driver, GError **err)
{
    GHashTableIter it;
    gpointer key;

    g_hash_table_iter_init(&it, opts->values);
    if (!g_hash_table_iter_next(&it, &key, NULL))
        return true;
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "block driver '%s' has no option '%s'",
                          driver, (char *)key);
}
