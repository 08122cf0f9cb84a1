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
#include "util/uuid.h"

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

static void
secret_free(RegistryObject *object)
{
    Secret *secret = (Secret *)object;

    secret_def_free(secret->def);
    g_clear_pointer(&secret->value, g_bytes_unref);
    g_free(secret->usage_id);
    g_free(secret);
}

static const RegistryClass secret_class = {
    .what = "secret",
    .brief = "secret",
    .edit = "virsh secret-define FILE",
    .missing = VIR_ERR_NO_SECRET,
    .unnamed = true,
    .parse = (void *(*)(const char *, unsigned, GError **))secret_def_parse,
    .format = (char *(*)(const void *))secret_def_format,
    .free = (GDestroyNotify)secret_def_free,
    .def_name = offsetof(SecretDef, uuid),
    .def_uuid = offsetof(SecretDef, uuid),
    .object_free = secret_free,
    .registry_free = (void (*)(Registry *))g_free,
};

SecretManager *
secret_manager_new(const char *config_dir, const SecretOps *ops, void *opaque)
{
    SecretManager *m = g_new0(SecretManager, 1);

    registry_init(&m->registry, &secret_class, config_dir, NULL, ops ? ops->warn : NULL, opaque);
    m->ops = ops;
    m->opaque = opaque;
    return m;
}

void
secret_manager_free(SecretManager *m)
{
    if (m)
        registry_close(&m->registry);
}

static SecretName
name_of(const Secret *secret)
{
    return (SecretName){ secret->object.uuid, secret->usage_type, secret->usage_id };
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
    return registry_ref(secret);
}

void
secret_unref(Secret *secret)
{
    registry_unref(secret);
}

/* With `change` held; takes @def. */
static Secret *
manager_add(SecretManager *m, SecretDef *def)
{
    const char *id = secret_def_usage_id(def);
    Secret *secret = g_new0(Secret, 1);

    secret->manager = m;
    secret->usage_type = secret_def_usage_type(def);
    secret->usage_id = g_strdup(id ? id : "");
    secret->def = def;
    registry_object_init(&m->registry, &secret->object, def);
    registry_enter(&secret->object);
    return secret;
}

typedef struct {
    int type; /* virSecretUsageType */
    const char *id;
} Usage;

/* Secrets for nothing in particular are not found by it. */
static bool
match_usage(const void *object, const void *what)
{
    const Secret *secret = object;
    const Usage *usage = what;

    return usage->type != VIR_SECRET_USAGE_TYPE_NONE && secret->usage_type == usage->type &&
           strcmp(secret->usage_id, usage->id) == 0;
}

Secret *
secret_manager_lookup_uuid(SecretManager *m, const uint8_t uuid[16], GError **err)
{
    return registry_lookup_uuid(&m->registry, uuid, err);
}

Secret *
secret_manager_lookup_usage(SecretManager *m, int type, const char *id, GError **err)
{
    Secret *secret = registry_find(&m->registry, match_usage, &(Usage){ type, id });

    if (!secret)
        kiln_error_set(err, VIR_ERR_NO_SECRET, "no secret with matching usage '%s'", id);
    return secret;
}

static bool
matches(const void *object, const void *what)
{
    const SecretDef *def = ((const Secret *)object)->def;
    unsigned flags = *(const unsigned *)what;

    return registry_allows(flags, VIR_CONNECT_LIST_SECRETS_EPHEMERAL,
                           VIR_CONNECT_LIST_SECRETS_NO_EPHEMERAL, def->ephemeral == TRISTATE_ON) &&
           registry_allows(flags, VIR_CONNECT_LIST_SECRETS_PRIVATE,
                           VIR_CONNECT_LIST_SECRETS_NO_PRIVATE, def->is_private == TRISTATE_ON);
}

GPtrArray *
secret_manager_list(SecretManager *m, unsigned flags)
{
    return registry_list(&m->registry, matches, &flags);
}

const uint8_t *
secret_uuid(const Secret *secret)
{
    return secret->object.uuid;
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

    g_mutex_lock(&secret->manager->registry.lock);
    def = secret_def_copy(secret->def);
    g_mutex_unlock(&secret->manager->registry.lock);
    return secret_def_format(def);
}

/* --- values ----------------------------------------------------------------------------------- */

static GBytes *
value_of(Secret *secret, bool for_client, GError **err)
{
    GBytes *value;
    bool refused;

    g_mutex_lock(&secret->manager->registry.lock);
    refused = for_client && secret->def->is_private == TRISTATE_ON;
    value = secret->value && !refused ? g_bytes_ref(secret->value) : NULL;
    g_mutex_unlock(&secret->manager->registry.lock);
    if (refused) {
        kiln_error_set(err, VIR_ERR_INVALID_SECRET, "secret is private");
    } else if (!value) {
        kiln_error_set(err, VIR_ERR_NO_SECRET, "secret '%s' does not have a value",
                       secret->object.name);
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

    if (uuid && !kiln_uuid_parse(uuid, bytes)) {
        kiln_error_set(err, VIR_ERR_XML_ERROR, "malformed secret uuid '%s'", uuid);
        return NULL;
    }
    secret = uuid ? secret_manager_lookup_uuid(m, bytes, err)
                  : secret_manager_lookup_usage(m, type, id, err);
    return secret ? value_of(secret, false, err) : NULL;
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
    g_mutex_lock(&m->registry.change);
    ok = registry_check(&secret->object, err) &&
         (secret->def->ephemeral == TRISTATE_ON || secret_store_value(m, secret->def, value, err));
    if (ok) {
        g_mutex_lock(&m->registry.lock);
        old = secret->value;
        secret->value = g_bytes_ref(value);
        g_mutex_unlock(&m->registry.lock);
        g_clear_pointer(&old, g_bytes_unref);
        if (m->ops && m->ops->value_changed)
            m->ops->value_changed(m->opaque, &name);
    }
    g_mutex_unlock(&m->registry.change);
    return ok;
}

/* --- define and undefine ---------------------------------------------------------------------- */

/* Whether @def may stand where @old is, which may be NULL. With `change` held. */
static bool
check_define(SecretManager *m, const Secret *old, const SecretDef *def, GError **err)
{
    int type = secret_def_usage_type(def);
    const char *id = secret_def_usage_id(def);
    g_autoptr(Secret) same = NULL;

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
    same = id ? registry_find(&m->registry, match_usage, &(Usage){ type, id }) : NULL;
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
    return registry_store(&m->registry, def, err);
}

Secret *
secret_manager_define(SecretManager *m, const char *xml, unsigned flags, GError **err)
{
    g_autoptr(SecretDef) def =
        secret_def_parse(xml, flags & VIR_SECRET_DEFINE_VALIDATE ? SECRET_DEF_VALIDATE : 0, err);
    Secret *secret = NULL;

    if (!def)
        return NULL;
    g_mutex_lock(&m->registry.change);
    secret = registry_peek(&m->registry, def->uuid);
    if (!check_define(m, secret, def, err) || !store_change(m, secret, def, err)) {
        g_mutex_unlock(&m->registry.change);
        return NULL;
    }
    if (secret) {
        registry_replace(&secret->object, &secret->def, g_steal_pointer(&def));
    } else {
        secret = manager_add(m, g_steal_pointer(&def));
    }
    secret_ref(secret);
    tell_lifecycle(secret, VIR_SECRET_EVENT_DEFINED);
    g_mutex_unlock(&m->registry.change);
    return secret;
}

bool
secret_undefine(Secret *secret, GError **err)
{
    SecretManager *m = secret->manager;
    bool ok;

    g_mutex_lock(&m->registry.change);
    ok = registry_check(&secret->object, err) &&
         (secret->def->ephemeral == TRISTATE_ON || secret_store_remove(m, secret->def, err));
    if (ok) {
        registry_drop(&secret->object);
        tell_lifecycle(secret, VIR_SECRET_EVENT_UNDEFINED);
    }
    g_mutex_unlock(&m->registry.change);
    return ok;
}

bool
secret_manager_load(SecretManager *m, GError **err)
{
    g_autoptr(GPtrArray) defs = NULL;

    if (!file_make_dirs(m->registry.config_dir, 0700, err))
        return false;
    g_mutex_lock(&m->registry.change);
    defs = registry_load(&m->registry, m->registry.config_dir, err);
    for (guint i = 0; defs && i < defs->len; i++) {
        SecretDef *def = defs->pdata[i];
        g_autoptr(GError) bad = NULL;
        Secret *secret;

        if (!check_define(m, NULL, def, &bad)) {
            registry_warn(&m->registry, "secret '%s' is passed over: %s", def->uuid, bad->message);
            continue;
        }
        secret = manager_add(m, secret_def_copy(def));
        secret->value = secret_store_read_value(m, def, &bad);
        if (bad)
            registry_warn(&m->registry, "secret '%s' has no value: %s", def->uuid, bad->message);
    }
    g_mutex_unlock(&m->registry.change);
    return defs != NULL;
}
