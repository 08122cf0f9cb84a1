/* keyval.c - QEMU's "key=value,list" and JSON option arguments.
 *
 * The flat form of qemu(1): dotted keys stay as they are, what reads them knows their nesting.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/keyval.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "util/error.h"

enum { NEAR_ENOUGH = 3, LONGEST_WORD = 63 };

/* Levenshtein distance; words longer than any option's name are far from everything. */
static unsigned
keyval_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned row[LONGEST_WORD + 1];

    if (n > LONGEST_WORD || m > LONGEST_WORD)
        return UINT_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            unsigned above = row[j];

            row[j] = MIN(MIN(row[j] + 1, row[j - 1] + 1), diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[m];
}

const char *
keyval_nearest(const char *word, const char *const *words)
{
    const char *best = NULL;
    unsigned least = NEAR_ENOUGH;

    for (; *words; words++) {
        unsigned d = keyval_distance(word, *words);

        /* a short word of which half is other letters is another word */
        if (d < least && d < strlen(*words) && 2 * d < strlen(word)) {
            least = d;
            best = *words;
        }
    }
    return best;
}

char *
keyval_escape(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);

    return g_strjoinv(",,", parts);
}

static JsonObject *
keyval_parse_json(const char *what, const char *text, GError **err)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) why = NULL;
    JsonNode *root;

    if (!json_parser_load_from_data(parser, text, -1, &why)) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: not JSON: %s", what, why->message);
        return NULL;
    }
    root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: the JSON text is not an object", what);
        return NULL;
    }
    return json_node_dup_object(root);
}

/* Takes the next item off *text, up to a single comma; ",," stands for one. */
static char *
keyval_item(const char **text)
{
    GString *item = g_string_new(NULL);
    const char *p = *text;

    while (*p && (*p != ',' || p[1] == ',')) {
        if (*p == ',')
            p++;
        g_string_append_c(item, *p++);
    }
    *text = *p ? p + 1 : p;
    return g_string_free(item, FALSE);
}

static void
keyval_set(JsonObject *obj, const char *key, const char *value)
{
    const char *old = keyval_text(obj, key);
    g_autofree char *both = NULL;

    if (old && (!strcmp(key, "hostfwd") || !strcmp(key, "guestfwd") || !strcmp(key, "value")))
        value = both = g_strconcat(old, "\n", value, NULL);
    json_object_set_string_member(obj, key, value);
}

JsonObject *
keyval_parse(const char *what, const char *text, const char *implied_key, GError **err)
{
    g_autoptr(JsonObject) obj = NULL;
    bool first = true;

    if (*text == '{')
        return keyval_parse_json(what, text, err);
    obj = json_object_new();
    while (*text) {
        g_autofree char *item = keyval_item(&text);
        char *eq = strchr(item, '=');

        if (eq) {
            *eq = '\0';
            if (eq == item) {
                kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: '=%s' has no name before '='",
                               what, eq + 1);
                return NULL;
            }
            keyval_set(obj, item, eq + 1);
        } else if (first && implied_key) {
            json_object_set_string_member(obj, implied_key, item);
        } else if (!*item) {
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: empty item between commas", what);
            return NULL;
        } else if (!strcmp(item, "nowait") || !strcmp(item, "nodelay")) {
            json_object_set_string_member(obj, item + 2, "off");
        } else {
            json_object_set_string_member(obj, item, "on");
        }
        first = false;
    }
    return g_steal_pointer(&obj);
}

bool
keyval_check(const char *what, JsonObject *obj, const char *const *legal, GError **err)
{
    g_autoptr(GList) members = json_object_get_members(obj);

    for (GList *l = members; l; l = l->next) {
        const char *near;

        if (g_strv_contains(legal, l->data))
            continue;
        near = keyval_nearest(l->data, legal);
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: no parameter '%s'%s%s%s", what,
                              (const char *)l->data, near ? "; did you mean '" : "",
                              near ? near : "", near ? "'?" : "");
    }
    return true;
}

static JsonNode *
keyval_scalar(JsonObject *obj, const char *key)
{
    JsonNode *node = json_object_get_member(obj, key);

    return node && JSON_NODE_HOLDS_VALUE(node) ? node : NULL;
}

const char *
keyval_text(JsonObject *obj, const char *key)
{
    JsonNode *node = keyval_scalar(obj, key);

    return node && json_node_get_value_type(node) == G_TYPE_STRING ? json_node_get_string(node)
                                                                   : NULL;
}

static char *
keyval_scalar_text(JsonNode *node)
{
    if (!node || !JSON_NODE_HOLDS_VALUE(node))
        return NULL;
    switch (json_node_get_value_type(node)) {
    case G_TYPE_STRING:
        return json_node_dup_string(node);
    case G_TYPE_INT64:
        return g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node));
    case G_TYPE_BOOLEAN:
        return g_strdup(json_node_get_boolean(node) ? "on" : "off");
    default:
        return NULL;
    }
}

static char *
keyval_array_text(JsonArray *array)
{
    g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *node = json_array_get_element(array, i);
        char *text;

        if (JSON_NODE_HOLDS_OBJECT(node))
            node = json_object_get_member(json_node_get_object(node), "str");
        text = keyval_scalar_text(node);
        if (!text)
            return NULL;
        g_ptr_array_add(parts, text);
    }
    g_ptr_array_add(parts, NULL);
    return g_strjoinv("\n", (char **)parts->pdata);
}

GHashTable *
keyval_table(const char *what, JsonObject *obj, GError **err)
{
    g_autoptr(GHashTable) table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    JsonObjectIter iter;
    const char *key;
    JsonNode *node;

    json_object_iter_init(&iter, obj);
    while (json_object_iter_next(&iter, &key, &node)) {
        char *text = JSON_NODE_HOLDS_ARRAY(node) ? keyval_array_text(json_node_get_array(node))
                                                 : keyval_scalar_text(node);

        if (!text) {
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                           "%s: '%s' is neither a text, a whole number nor a boolean", what, key);
            return NULL;
        }
        g_hash_table_insert(table, g_strdup(key), text);
    }
    return g_steal_pointer(&table);
}

bool
keyval_bool(const char *what, JsonObject *obj, const char *key, bool *ret, GError **err)
{
    static const char *const yes[] = { "on", "yes", "true", "y", NULL };
    static const char *const no[] = { "off", "no", "false", "n", NULL };
    JsonNode *node = keyval_scalar(obj, key);
    const char *text = keyval_text(obj, key);

    if (!json_object_has_member(obj, key))
        return true;
    if (node && json_node_get_value_type(node) == G_TYPE_BOOLEAN) {
        *ret = json_node_get_boolean(node);
        return true;
    }
    if (text && g_strv_contains(yes, text)) {
        *ret = true;
        return true;
    }
    if (text && g_strv_contains(no, text)) {
        *ret = false;
        return true;
    }
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: %s=%s is neither 'on' nor 'off'",
                          what, key, text ? text : "(not a word)");
}

bool
keyval_uint(const char *what, JsonObject *obj, const char *key, uint64_t min, uint64_t max,
            uint64_t *ret, GError **err)
{
    JsonNode *node = keyval_scalar(obj, key);
    const char *text = keyval_text(obj, key);
    g_autofree char *number = NULL;
    guint64 value;
    char *end;

    if (!json_object_has_member(obj, key))
        return true;
    if (!text && node && json_node_get_value_type(node) == G_TYPE_INT64)
        text = number = g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node));
    if (!text || !g_ascii_isdigit(*text))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: %s=%s is not a number", what,
                              key, text ? text : "(not a number)");
    errno = 0;
    value = g_ascii_strtoull(text, &end, g_str_has_prefix(text, "0x") ? 16 : 10);
    if (*end)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: %s=%s is not a number", what,
                              key, text);
    if (errno || value < min || value > max)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s: %s=%s is outside %" PRIu64 "…%" PRIu64, what, key, text, min,
                              max);
    *ret = value;
    return true;
}

bool
keyval_size(const char *what, JsonObject *obj, const char *key, uint64_t unit, uint64_t *ret,
            GError **err)
{
    static const char suffixes[] = "BKMGTP";
    JsonNode *node = keyval_scalar(obj, key);
    const char *text = keyval_text(obj, key), *suffix;
    g_autofree char *number = NULL;
    guint64 value;
    char *end;

    if (!json_object_has_member(obj, key))
        return true;
    if (!text && node && json_node_get_value_type(node) == G_TYPE_INT64) {
        text = number = g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node));
        unit = 1;
    }
    if (!text || !g_ascii_isdigit(*text))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: %s=%s is not a size", what, key,
                              text ? text : "(not a number)");
    errno = 0;
    value = g_ascii_strtoull(text, &end, 10);
    if (*end && (suffix = strchr(suffixes, g_ascii_toupper(*end))) && !end[1]) {
        unit = UINT64_C(1) << (10 * (suffix - suffixes));
        end++;
    }
    if (*end)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s: %s=%s is not a size; write a number and one of B K M G T P",
                              what, key, text);
    if (errno || __builtin_mul_overflow(value, unit, &value) || value > INT64_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: %s=%s is too large", what, key,
                              text);
    *ret = value;
    return true;
}

bool
keyval_enum(const char *what, JsonObject *obj, const char *key, const char *const *names, int *ret,
            GError **err)
{
    const char *text = keyval_text(obj, key);
    g_autofree char *legal = NULL;

    if (!json_object_has_member(obj, key))
        return true;
    for (int i = 0; text && names[i]; i++) {
        if (!strcmp(names[i], text)) {
            *ret = i;
            return true;
        }
    }
    legal = g_strjoinv(", ", (char **)names);
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: %s=%s; it can be: %s", what, key,
                          text ? text : "(not a word)", legal);
}
