/* objects.c - what --object describes: TLS credentials, secrets.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "block/nbd/tls.h"
#include "block/nbd/tool.h"
#include "block/secrets.h"
#include "block/tools/keyval.h"
#include "util/error.h"

typedef struct {
    bool psk, verify_peer;
    char *endpoint, *dir, *username; /* endpoint: "server", "client" or NULL */
} Object;

struct NbdObjects {
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

NbdObjects *
nbd_objects_new(void)
{
    NbdObjects *objects = g_new0(NbdObjects, 1);

    objects->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, object_free);
    objects->secrets = block_secrets_new();
    return objects;
}

void
nbd_objects_free(NbdObjects *objects)
{
    block_secrets_free(objects->secrets);
    g_hash_table_unref(objects->by_id);
    g_free(objects);
}

static bool
object_set(Object *object, char **id, const char *key, const char *value, GError **err)
{
    static const char *const yes[] = { "on", "yes", "true", NULL };
    static const char *const no[] = { "off", "no", "false", NULL };

    if (strcmp(key, "id") == 0) {
        g_free(*id);
        *id = g_strdup(value);
    } else if (strcmp(key, "dir") == 0) {
        g_free(object->dir);
        object->dir = g_strdup(value);
    } else if (strcmp(key, "endpoint") == 0 &&
               (strcmp(value, "server") == 0 || strcmp(value, "client") == 0)) {
        g_free(object->endpoint);
        object->endpoint = g_strdup(value);
    } else if (strcmp(key, "username") == 0 && object->psk) {
        g_free(object->username);
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

static bool
secret_add(NbdObjects *objects, const char *text, GError **err)
{
    static const BlockOpenOps ops = { 0 };
    g_autoptr(GHashTable) keys = tool_keyval_new();

    return tool_keyval_parse(text, keys, err) &&
           block_secrets_add(objects->secrets, keys, &ops, err);
}

uint8_t *
nbd_objects_secret(const NbdObjects *objects, const char *id, size_t *ret_len, GError **err)
{
    return block_secrets_get(objects->secrets, id, ret_len, err);
}

bool
nbd_objects_add(NbdObjects *objects, const char *text, GError **err)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    g_autofree char *id = NULL;
    Object *object;
    bool fine = true;

    if (g_str_has_prefix(text, "secret,"))
        return secret_add(objects, text + strlen("secret,"), err);
    object = g_new0(Object, 1);
    object->verify_peer = true;
    object->psk = words[0] && strcmp(words[0], "tls-creds-psk") == 0;
    if (!words[0] || (!object->psk && strcmp(words[0], "tls-creds-x509") != 0))
        fine =
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                           "--object %s: there are tls-creds-x509, tls-creds-psk and secret", text);
    for (char **word = words + 1; fine && words[0] && *word; word++) {
        char *equals = strchr(*word, '=');

        if (equals)
            *equals = '\0';
        fine = object_set(object, &id, *word, equals ? equals + 1 : "", err);
    }
    if (fine && (!id || !object->dir))
        fine =
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "--object %s needs id= and dir=", text);
    if (fine)
        g_hash_table_replace(objects->by_id, g_steal_pointer(&id), g_steal_pointer(&object));
    else
        object_free(object);
    return fine;
}

NbdTls *
nbd_objects_tls(const NbdObjects *objects, const char *id, bool server, const char *hostname,
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
