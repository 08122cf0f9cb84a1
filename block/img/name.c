/* name.c - the name that qemu-img prints for an image which no file name says: json:{…}.
 *
 * A file name stands for an image as long as opening it by that name alone, as the format that it
 * has, gives the same data. Windows, keys and drivers between a format and its file do not come
 * back that way; then the options that change what is read are written out. Options that change
 * only how it is read (caches, discard) do not count.
 *
 * Source: QEMU's documented json: file names; what qemu-img 7.2 prints.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <string.h>

enum { KEYS_MAX = 11 };

/* The options of a driver that change what is read. */
typedef struct {
    const char *driver, *keys[KEYS_MAX];
} Telling;

static const Telling tellings[] = {
    { "raw", { "offset", "size" } },
    { "qcow2", { "encrypt.key-secret" } },
    { "qcow", { "encrypt.key-secret" } },
    { "luks", { "key-secret" } },
    { "nbd",
      { "path", "host", "port", "export", "tls-creds", "tls-hostname", "server.type", "server.path",
        "server.host", "server.port" } },
};

/* What @object has at the dotted @path, whether it is nested or its keys are dotted; or NULL. */
static JsonNode *
option_find(JsonObject *object, const char *path)
{
    JsonNode *node = json_object_get_member(object, path);

    for (const char *dot = strchr(path, '.'); dot && !node; dot = strchr(dot + 1, '.')) {
        g_autofree char *head = g_strndup(path, dot - path);
        JsonNode *below = json_object_get_member(object, head);

        if (below && JSON_NODE_HOLDS_OBJECT(below))
            node = option_find(json_node_get_object(below), dot + 1);
    }
    return node;
}

static bool
tellings_copy(const BlockNode *node, JsonObject *options, const char *prefix, JsonObject *into)
{
    bool any = false;

    for (unsigned i = 0; i < G_N_ELEMENTS(tellings); i++) {
        if (strcmp(tellings[i].driver, block_node_driver(node)) != 0)
            continue;
        for (const char *const *key = tellings[i].keys; *key; key++) {
            g_autofree char *path = g_strconcat(prefix, *key, NULL);
            JsonNode *value = option_find(options, path);

            if (!value)
                continue;
            json_object_set_member(into, *key, json_node_copy(value));
            any = true;
        }
    }
    return any;
}

/* The options of @node in full; @ret_plain: its file name says as much. */
static JsonObject *
describe(const BlockNode *node, JsonObject *options, const char *prefix, bool *ret_plain)
{
    JsonObject *object = json_object_new();
    const BlockNode *file = block_node_file(node);
    g_autofree char *below = g_strconcat(prefix, "file.", NULL);
    bool told = tellings_copy(node, options, prefix, object), file_is_plain;

    json_object_set_string_member(object, "driver", block_node_driver(node));
    if (file) {
        json_object_set_object_member(object, "file",
                                      describe(file, options, below, &file_is_plain));
        *ret_plain = !told && !block_node_file(file);
    } else {
        if (!told)
            json_object_set_string_member(object, "filename", block_node_filename(node));
        *ret_plain = true;
    }
    return object;
}

char *
img_name(const BlockNode *node, JsonObject *options)
{
    JsonObject *object;
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    g_autofree char *text = NULL;
    bool plain;

    if (!options)
        return g_strdup(block_node_filename(node));
    object = describe(node, options, "", &plain);
    json_node_take_object(root, object);
    text = img_json_text(root);
    return plain ? g_strdup(block_node_filename(node)) : g_strconcat("json:", text, NULL);
}
