/* manager.c - the registry of secrets: defining, finding, values.
 *
 * What is refused, and with which code, is what libvirt 9.0 refuses.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/secret/private.h"
#include "util/error.h"
#include "util/file.h"

static guint
uuid_hash(gconstpointer key)
{
    guint hash;

    memcpy(&hash, key, sizeof(hash));
    return hash;
}

static gboolean
uuid_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, 16) == 0;
}

/* --- values ----------------------------------------------------------------------------------- */

typedef struct {
    size_t length;
    uint8_t data[];
} Value;

static void
value_wipe(gpointer data)
{
    Value *value = data;

    explicit_bzero(value->data, value->length);
    g_free(value);
}

GBytes *
secret_value_new(const void *data, size_t length)
{
    Value *value = g_malloc(sizeof(*value) + length);

    value->length = length;
    if (length)
        memcpy(value->data, data, length);
    return g_bytes_new_with_free_func(value->data, length, value_wipe, value);
}

/* --- the manager ------------------------------------------------------------------------------ */

SecretManager *
secret_manager_new(const char *config_dir, const SecretOps *ops, void *opaque)
{
    SecretManager *m = g_new0(SecretManager, 1);

    g_atomic_ref_count_init(&m->refs);
    m->config_dir = g_strdup(config_dir);
    m->ops = ops;
    m->opaque = opaque;
    g_mutex_init(&m->change);
    g_mutex_init(&m->lock);
    m->by_uuid = g_hash_table_new_full(uuid_hash, uuid_equal, NULL, (GDestroyNotify)secret_unref);
    return m;
}

static void
manager_unref(SecretManager *m)
{
    if (!g_atomic_ref_count_dec(&m->refs))
        return;
    g_hash_table_unref(m->by_uuid);
    g_mutex_clear(&m->change);
    g_mutex_clear(&m->lock);
    g_free(m->config_dir);
    g_free(m);
}

void
secret_manager_free(SecretManager *m)
{
    if (!m)
        return;
    /* Secrets refer to the manager: let go of them, so that the last reference can go. */
    g_mutex_lock(&m->change);
    g_hash_table_remove_all(m->by_uuid);
    g_mutex_unlock(&m->change);
    manager_unref(m);
}

void
secret_manager_warn(const SecretManager *m, const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list args;

    if (!m->ops || !m->ops->warn)
        return;
    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    m->ops->warn(m->opaque, message);
}

static SecretName
name_of(const Secret *secret)
{
    return (SecretName){ secret->uuid, secret->usage_type, secret->usage_id };
}

static void
tell_lifecycle(const Secret *secret, int event)
{
    const SecretManager *m = secret->manager;
    SecretName name = name_of(secret);

    if (m->ops && m->ops->lifecycle)
        m->ops->lifecycle(m->opaque, &name, event);
}

/* --- secrets ---------------------------------------------------------------------------------- */

Secret *
secret_ref(Secret *secret)
{
    g_atomic_ref_count_inc(&secret->refs);
    return secret;
}

void
secret_unref(Secret *secret)
{
    if (!secret || !g_atomic_ref_count_dec(&secret->refs))
        return;
    secret_def_free(secret->def);
    g_clear_pointer(&secret->value, g_bytes_unref);
    g_free(secret->usage_id);
    manager_unref(secret->manager);
    g_free(secret);
}

/* With `change` held; takes @def. */
static Secret *
manager_add(SecretManager *m, SecretDef *def)
{
    const char *id = secret_def_usage_id(def);
    Secret *secret = g_new0(Secret, 1);

    g_atomic_ref_count_init(&secret->refs);
    g_atomic_ref_count_inc(&m->refs);
    secret->manager = m;
    xml_uuid_parse(def->uuid, secret->uuid);
    secret->usage_type = secret_def_usage_type(def);
    secret->usage_id = g_strdup(id ? id : "");
    secret->def = def;
    secret->registered = true;
    g_mutex_lock(&m->lock);
    g_hash_table_insert(m->by_uuid, secret->uuid, secret);
    g_mutex_unlock(&m->lock);
    return secret;
}

/* With a lock held; borrowed. Secrets for nothing in particular are not found by it. */
static Secret *
peek_usage(const SecretManager *m, int type, const char *id)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, m->by_uuid);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Secret *secret = value;

        if (type != VIR_SECRET_USAGE_TYPE_NONE && secret->usage_type == type &&
            strcmp(secret->usage_id, id) == 0)
            return secret;
    }
    return NULL;
}

Secret *
secret_manager_lookup_uuid(SecretManager *m, const uint8_t uuid[16], GError **err)
{
    g_autofree char *text = NULL;
    Secret *secret;

    g_mutex_lock(&m->lock);
    secret = g_hash_table_lookup(m->by_uuid, uuid);
    if (secret)
        secret_ref(secret);
    g_mutex_unlock(&m->lock);
    if (secret)
        return secret;
    text = xml_uuid_format(uuid);
    kiln_error_set(err, VIR_ERR_NO_SECRET, "no secret with matching uuid '%s'", text);
    return NULL;
}

Secret *
secret_manager_lookup_usage(SecretManager *m, int type, const char *id, GError **err)
{
    Secret *secret;

    g_mutex_lock(&m->lock);
    secret = peek_usage(m, type, id);
    if (secret)
        secret_ref(secret);
    g_mutex_unlock(&m->lock);
    if (!secret)
        kiln_error_set(err, VIR_ERR_NO_SECRET, "no secret with matching usage '%s'", id);
    return secret;
}

static bool
group_allows(unsigned flags, unsigned yes, unsigned no, bool is)
{
    return !(flags & (yes | no)) || (flags & (is ? yes : no));
}

static int
compare_uuids(gconstpointer a, gconstpointer b)
{
    const Secret *x = *(Secret *const *)a, *y = *(Secret *const *)b;

    return memcmp(x->uuid, y->uuid, sizeof x->uuid);
}

GPtrArray *
secret_manager_list(SecretManager *m, unsigned flags)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)secret_unref);
    GHashTableIter iter;
    gpointer value;

    g_mutex_lock(&m->lock);
    g_hash_table_iter_init(&iter, m->by_uuid);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Secret *secret = value;

        if (group_allows(flags, VIR_CONNECT_LIST_SECRETS_EPHEMERAL,
                         VIR_CONNECT_LIST_SECRETS_NO_EPHEMERAL,
                         secret->def->ephemeral == TRISTATE_ON) &&
            group_allows(flags, VIR_CONNECT_LIST_SECRETS_PRIVATE,
                         VIR_CONNECT_LIST_SECRETS_NO_PRIVATE,
                         secret->def->is_private == TRISTATE_ON))
            g_ptr_array_add(list, secret_ref(secret));
    }
    g_mutex_unlock(&m->lock);
    g_ptr_array_sort(list, compare_uuids);
    return list;
}

const uint8_t *
secret_uuid(const Secret *secret)
{
    return secret->uuid;
}

int
secret_usage_type(const Secret *secret)
{
    return secret->usage_type;
}

const char *
secret_usage_id(const Secret *secret)
{
    return secret->usage_id;
}

char *
secret_xml(Secret *secret)
{
    g_autoptr(SecretDef) def = NULL;

    g_mutex_lock(&secret->manager->lock);
    def = secret_def_copy(secret->def);
    g_mutex_unlock(&secret->manager->lock);
    return secret_def_format(def);
}

/* --- values ----------------------------------------------------------------------------------- */

static GBytes *
value_of(Secret *secret, bool for_client, GError **err)
{
    GBytes *value;
    bool refused;

    g_mutex_lock(&secret->manager->lock);
    refused = for_client && secret->def->is_private == TRISTATE_ON;
    value = secret->value && !refused ? g_bytes_ref(secret->value) : NULL;
    g_mutex_unlock(&secret->manager->lock);
    if (refused) {
        kiln_error_set(err, VIR_ERR_INVALID_SECRET, "secret is private");
    } else if (!value) {
        g_autofree char *text = xml_uuid_format(secret->uuid);

        kiln_error_set(err, VIR_ERR_NO_SECRET, "secret '%s' does not have a value", text);
    }
    return value;
}

GBytes *
secret_get_value(Secret *secret, GError **err)
{
    return value_of(secret, true, err);
}

GBytes *
secret_manager_get_value(SecretManager *m, const char *uuid, int type, const char *id, GError **err)
{
    g_autoptr(Secret) secret = NULL;
    uint8_t bytes[16];

    if (uuid && !xml_uuid_parse(uuid, bytes)) {
        kiln_error_set(err, VIR_ERR_XML_ERROR, "malformed secret uuid '%s'", uuid);
        return NULL;
    }
    secret = uuid ? secret_manager_lookup_uuid(m, bytes, err)
                  : secret_manager_lookup_usage(m, type, id, err);
    return secret ? value_of(secret, false, err) : NULL;
}

static bool
check_registered(const Secret *secret, GError **err)
{
    g_autofree char *text = NULL;

    if (secret->registered)
        return true;
    text = xml_uuid_format(secret->uuid);
    return kiln_error_set(err, VIR_ERR_NO_SECRET, "no secret with matching uuid '%s'", text);
}

bool
secret_set_value(Secret *secret, const void *data, size_t length, GError **err)
{
    SecretManager *m = secret->manager;
    g_autoptr(GBytes) value = NULL;
    SecretName name = name_of(secret);
    GBytes *old;
    bool ok;

    if (length > SECRET_VALUE_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "a value of %zu bytes, limit is %d", length,
                              SECRET_VALUE_MAX);
    value = secret_value_new(data, length);
    g_mutex_lock(&m->change);
    ok = check_registered(secret, err) &&
         (secret->def->ephemeral == TRISTATE_ON || secret_store_value(m, secret->def, value, err));
    if (ok) {
        g_mutex_lock(&m->lock);
        old = secret->value;
        secret->value = g_bytes_ref(value);
        g_mutex_unlock(&m->lock);
        g_clear_pointer(&old, g_bytes_unref);
        if (m->ops && m->ops->value_changed)
            m->ops->value_changed(m->opaque, &name);
    }
    g_mutex_unlock(&m->change);
    return ok;
}

/* --- define and undefine ---------------------------------------------------------------------- */

/* Whether @def may stand where @old is, which may be NULL. With `change` held. */
static bool
check_define(const SecretManager *m, const Secret *old, const SecretDef *def, GError **err)
{
    int type = secret_def_usage_type(def);
    const char *id = secret_def_usage_id(def);
    const Secret *same;

    if (old) {
        if (old->usage_type != type || strcmp(old->usage_id, id ? id : "") != 0)
            return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                                  "a secret with UUID %s is already defined for use with %s",
                                  def->uuid, old->usage_id);
        if (old->def->is_private == TRISTATE_ON && def->is_private != TRISTATE_ON)
            return kiln_error_set(err, VIR_ERR_OPERATION_DENIED,
                                  "cannot change private flag on existing secret");
        return true;
    }
    same = id ? peek_usage(m, type, id) : NULL;
    return !same || kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                                   "a secret with UUID %s already defined for use with %s",
                                   same->def->uuid, id);
}

/* Brings the files to what @def says; @old is NULL for a new secret. */
static bool
store_change(const SecretManager *m, const Secret *old, const SecretDef *def, GError **err)
{
    if (def->ephemeral == TRISTATE_ON)
        return !old || old->def->ephemeral == TRISTATE_ON || secret_store_remove(m, def, err);
    if (old && old->def->ephemeral == TRISTATE_ON && old->value &&
        !secret_store_value(m, def, old->value, err))
        return false;
    return secret_store_def(m, def, err);
}

Secret *
secret_manager_define(SecretManager *m, const char *xml, unsigned flags, GError **err)
{
    g_autoptr(SecretDef) def =
        secret_def_parse(xml, flags & VIR_SECRET_DEFINE_VALIDATE ? SECRET_DEF_VALIDATE : 0, err);
    Secret *secret = NULL;
    uint8_t uuid[16];

    if (!def)
        return NULL;
    xml_uuid_parse(def->uuid, uuid);
    g_mutex_lock(&m->change);
    secret = g_hash_table_lookup(m->by_uuid, uuid);
    if (!check_define(m, secret, def, err) || !store_change(m, secret, def, err)) {
        g_mutex_unlock(&m->change);
        return NULL;
    }
    if (secret) {
        SecretDef *old = secret->def;

        g_mutex_lock(&m->lock);
        secret->def = g_steal_pointer(&def);
        g_mutex_unlock(&m->lock);
        secret_def_free(old);
    } else {
        secret = manager_add(m, g_steal_pointer(&def));
    }
    secret_ref(secret);
    tell_lifecycle(secret, VIR_SECRET_EVENT_DEFINED);
    g_mutex_unlock(&m->change);
    return secret;
}

bool
secret_undefine(Secret *secret, GError **err)
{
    SecretManager *m = secret->manager;
    bool ok;

    g_mutex_lock(&m->change);
    ok = check_registered(secret, err) &&
         (secret->def->ephemeral == TRISTATE_ON || secret_store_remove(m, secret->def, err));
    if (ok) {
        g_mutex_lock(&m->lock);
        secret->registered = false;
        g_hash_table_remove(m->by_uuid, secret->uuid);
        g_mutex_unlock(&m->lock);
        tell_lifecycle(secret, VIR_SECRET_EVENT_UNDEFINED);
    }
    g_mutex_unlock(&m->change);
    return ok;
}

bool
secret_manager_load(SecretManager *m, GError **err)
{
    g_autoptr(GPtrArray) defs = NULL;

    if (!file_make_dirs(m->config_dir, 0700, err))
        return false;
    g_mutex_lock(&m->change);
    defs = secret_store_load(m, err);
    for (guint i = 0; defs && i < defs->len; i++) {
        SecretDef *def = defs->pdata[i];
        g_autoptr(GError) bad = NULL;
        Secret *secret;

        if (!check_define(m, NULL, def, &bad)) {
            secret_manager_warn(m, "secret '%s' is passed over: %s", def->uuid, bad->message);
            continue;
        }
        secret = manager_add(m, secret_def_copy(def));
        secret->value = secret_store_read_value(m, def, &bad);
        if (bad)
            secret_manager_warn(m, "secret '%s' has no value: %s", def->uuid, bad->message);
    }
    g_mutex_unlock(&m->change);
    return defs != NULL;
}
