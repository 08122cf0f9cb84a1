/* objects.c - what --object describes: TLS credentials, secrets.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "block/secrets.h"
#include "block/tools/keyval.h"
#include "block/tools/objects.h"
#include "util/error.h"

typedef struct {
    bool psk, verify_peer;
    char *endpoint, *dir, *username; /* endpoint: "server", "client" or NULL */
} Object;

struct ToolObjects {
    GHashTable *by_id; /* of Object */
    BlockSecrets *secrets;
};

static void
object_free(void *opaque)
{
    Object *object = opaque;

    g_free(object->endpoint);
    g_free(object->dir);
    g_free(object->username);
    g_free(object);
}

ToolObjects *
tool_objects_new(void)
{
    ToolObjects *objects = g_new0(ToolObjects, 1);

    objects->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, object_free);
    objects->secrets = block_secrets_new();
    return objects;
}

void
tool_objects_free(ToolObjects *objects)
{
    block_secrets_free(objects->secrets);
    g_hash_table_unref(objects->by_id);
    g_free(objects);
}

static bool
object_set(Object *object, const char *key, const char *value, GError **err)
{
    static const char *const yes[] = { "on", "yes", "true", NULL };
    static const char *const no[] = { "off", "no", "false", NULL };

    if (strcmp(key, "id") == 0) {
        return true;
    } else if (strcmp(key, "dir") == 0) {
        object->dir = g_strdup(value);
    } else if (strcmp(key, "endpoint") == 0 &&
               (strcmp(value, "server") == 0 || strcmp(value, "client") == 0)) {
        object->endpoint = g_strdup(value);
    } else if (strcmp(key, "username") == 0 && object->psk) {
        object->username = g_strdup(value);
    } else if (strcmp(key, "verify-peer") == 0 &&
               (g_strv_contains(yes, value) || g_strv_contains(no, value))) {
        object->verify_peer = g_strv_contains(yes, value);
    } else {
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "--object: '%s=%s' is not known; there are id, dir, endpoint=server|"
                              "client, verify-peer=on|off and, for keys, username",
                              key, value);
    }
    return true;
}

uint8_t *
tool_objects_secret(const ToolObjects *objects, const char *id, size_t *ret_len, GError **err)
{
    return block_secrets_get(objects->secrets, id, ret_len, err);
}

static bool
tls_add(ToolObjects *objects, const char *kind, GHashTable *keys, GError **err)
{
    const char *id = g_hash_table_lookup(keys, "id");
    Object *object = g_new0(Object, 1);
    GHashTableIter iter;
    gpointer key, value;
    bool fine = true;

    object->verify_peer = true;
    object->psk = strcmp(kind, "tls-creds-psk") == 0;
    g_hash_table_iter_init(&iter, keys);
    while (fine && g_hash_table_iter_next(&iter, &key, &value))
        fine = object_set(object, key, value, err);
    if (fine && (!id || !object->dir))
        fine =
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "--object %s needs id= and dir=", kind);
    if (fine)
        g_hash_table_replace(objects->by_id, g_strdup(id), object);
    else
        object_free(object);
    return fine;
}

/* {"qom-type": "secret", "id": …} as libvirt writes it, into @keys; returns the type. */
static char *
object_from_json(const char *text, GHashTable *keys, GError **err)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GList) names = NULL;
    JsonObject *object;
    char *kind;

    if (!json_parser_load_from_data(parser, text, -1, err) ||
        !JSON_NODE_HOLDS_OBJECT(json_parser_get_root(parser))) {
        g_clear_error(err);
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "--object is not JSON of the form {\"qom-type\": …, \"id\": …}");
        return NULL;
    }
    object = json_node_get_object(json_parser_get_root(parser));
    names = json_object_get_members(object);
    for (const GList *l = names; l; l = l->next) {
        JsonNode *node = json_object_get_member(object, l->data);

        if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING)
            g_hash_table_replace(keys, g_strdup(l->data), g_strdup(json_node_get_string(node)));
        else if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN)
            g_hash_table_replace(keys, g_strdup(l->data),
                                 g_strdup(json_node_get_boolean(node) ? "on" : "off"));
        else {
            kiln_error_set(err, VIR_ERR_INVALID_ARG,
                           "--object: the member '%s' is neither a text nor true or false",
                           (const char *)l->data);
            return NULL;
        }
    }
    kind = g_strdup(g_hash_table_lookup(keys, "qom-type"));
    if (!kind)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "--object: the JSON has no member 'qom-type'");
    g_hash_table_remove(keys, "qom-type");
    return kind;
}

/* An identifier of QEMU's, which no other object has; NULL is left to those who need one. */
static bool
id_check(const ToolObjects *objects, const char *id, GError **err)
{
    static const char letters[] = G_CSET_A_2_Z G_CSET_a_2_z;

    if (!id)
        return true;
    if (!*id || !strchr(letters, *id) ||
        id[strspn(id, G_CSET_DIGITS "-._" G_CSET_A_2_Z G_CSET_a_2_z)])
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "--object: id '%s' is no identifier: a letter, then letters, digits, "
                              "'-', '.' and '_'",
                              id);
    return (!g_hash_table_contains(objects->by_id, id) &&
            !block_secrets_has(objects->secrets, id)) ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG, "--object: there are two with id '%s'", id);
}

static bool
is_help(char *const *words, unsigned i)
{
    /* after an empty word it is part of a value with a comma */
    return (strcmp(words[i], "help") == 0 || strcmp(words[i], "?") == 0) &&
           (i == 0 || *words[i - 1]);
}

/* "TYPE,id=…" or "qom-type=TYPE,id=…", into @keys; returns the type. *ret_help: that was asked for,
 * and the type may be NULL. */
static char *
object_from_words(const char *text, GHashTable *keys, bool *ret_help, GError **err)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    g_autofree char *first = NULL, *rest = NULL;
    char *kind;

    for (unsigned i = 0; words[i]; i++)
        if (is_help(words, i))
            *ret_help = true;
        else if (i == 0 && *words[i] && !strchr(words[i], '='))
            g_ptr_array_add(kept, first = g_strconcat("qom-type=", words[i], NULL));
        else
            g_ptr_array_add(kept, words[i]);
    g_ptr_array_add(kept, NULL);
    rest = g_strjoinv(",", (char **)kept->pdata);
    if (!tool_keyval_parse(rest, TOOL_SHORT_REFUSE, keys, err)) {
        g_prefix_error(err, "--object %s: ", text);
        return NULL;
    }
    kind = g_strdup(g_hash_table_lookup(keys, "qom-type"));
    if (!kind && !*ret_help)
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "--object %s: it begins with no type; there are secret, tls-creds-psk and "
                       "tls-creds-x509",
                       text);
    g_hash_table_remove(keys, "qom-type");
    return kind;
}

static const struct {
    const char *kind, *options[6];
} kinds[] = {
    { "secret",
      { "data=<text>", "file=<path>", "format=<raw|base64>", "iv=<text>", "keyid=<id>" } },
    { "tls-creds-psk",
      { "dir=<path>", "endpoint=<client|server>", "username=<name>", "verify-peer=<on|off>" } },
    { "tls-creds-x509", { "dir=<path>", "endpoint=<client|server>", "verify-peer=<on|off>" } },
};

static void
help_print(const char *kind)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (g_strcmp0(kinds[i].kind, kind) == 0) {
            printf("%s options:\n", kind);
            for (const char *const *o = kinds[i].options; *o; o++)
                printf("  %s\n", *o);
            return;
        }
    puts("Objects that can be made (TYPE,help tells their options):");
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        printf("  %s\n", kinds[i].kind);
}

bool
tool_objects_add(ToolObjects *objects, const char *text, bool *ret_told, GError **err)
{
    static const BlockOpenOps ops = { 0 };
    g_autoptr(GHashTable) keys = tool_keyval_new();
    g_autoptr(GError) why = NULL;
    bool help = false;
    g_autofree char *kind = *text == '{' ? object_from_json(text, keys, &why)
                                         : object_from_words(text, keys, &help, &why);

    if (why) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (help) {
        help_print(kind);
        *ret_told = true;
        return true;
    }
    if (!id_check(objects, g_hash_table_lookup(keys, "id"), err))
        return false;
    if (strcmp(kind, "secret") == 0)
        return block_secrets_add(objects->secrets, keys, &ops, err);
    if (strcmp(kind, "tls-creds-x509") == 0 || strcmp(kind, "tls-creds-psk") == 0)
        return tls_add(objects, kind, keys, err);
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "--object %s: there are tls-creds-x509, tls-creds-psk and secret", kind);
}

NbdTls *
tool_objects_tls(const ToolObjects *objects, const char *id, bool server, const char *hostname,
                 GError **err)
{
    const Object *object = g_hash_table_lookup(objects->by_id, id);

    if (!object) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "there is no --object with id=%s", id);
        return NULL;
    }
    if (object->endpoint && (strcmp(object->endpoint, "server") == 0) != server) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "--object %s is for a %s, here a %s needs it; change its endpoint", id,
                       object->endpoint, server ? "server" : "client");
        return NULL;
    }
    return object->psk ? nbd_tls_new_psk(object->dir, server, object->username, err)
                       : nbd_tls_new_x509(object->dir, server, object->verify_peer, hostname, err);
}
