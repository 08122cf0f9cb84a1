/* secret.c - the calls of secrets.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/secret/secret.h"
#include "util/uuid.h"

enum {
    LIST_FLAGS = VIR_CONNECT_LIST_SECRETS_EPHEMERAL | VIR_CONNECT_LIST_SECRETS_NO_EPHEMERAL |
                 VIR_CONNECT_LIST_SECRETS_PRIVATE | VIR_CONNECT_LIST_SECRETS_NO_PRIVATE,
};

static void
wire_set(WireSecret *wire, const Secret *secret)
{
    wire_secret_set(wire, secret_uuid(secret), secret_usage_type(secret), secret_usage_id(secret));
}

/* Fills the result with @secret and lets go of it; false for NULL. */
static bool
reply_secret(Secret *secret, SecretRet *ret)
{
    if (!secret)
        return false;
    wire_set(&ret->secret, secret);
    secret_unref(secret);
    return true;
}

bool
call_connect_num_of_secrets(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    g_autoptr(GPtrArray) list = secret_manager_list(call->services->secrets, 0);

    (void)args;
    (void)err;
    ret->value = (int)list->len;
    return true;
}

bool
call_connect_list_secrets(Call *call, const MaxArgs *args, NamesRet *ret, GError **err)
{
    g_autoptr(GPtrArray) list = NULL;
    GPtrArray *uuids;

    if (args->max < 0 || args->max > WIRE_OBJECTS_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "too many UUIDs asked for: %d, limit is %d",
                              args->max, WIRE_OBJECTS_MAX);
    list = secret_manager_list(call->services->secrets, 0);
    uuids = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < list->len; i++)
        g_ptr_array_add(uuids, kiln_uuid_format(secret_uuid(list->pdata[i])));
    wire_names_steal(uuids, (guint)args->max, &ret->names.names_len, &ret->names.names_val);
    return true;
}

bool
call_connect_list_all_secrets(Call *call, const ListArgs *args, SecretListRet *ret, GError **err)
{
    g_autoptr(GPtrArray) list = NULL;

    if (!call_check_flags(args->flags, LIST_FLAGS, "virConnectListAllSecrets", err))
        return false;
    list = secret_manager_list(call->services->secrets, args->flags);
    if (list->len > WIRE_OBJECTS_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "Too many secrets '%u' for limit '%d'", list->len,
                              WIRE_OBJECTS_MAX);
    ret->count = list->len;
    if (!args->need_results)
        return true;
    ret->secrets.secrets_val = g_new0(WireSecret, list->len);
    ret->secrets.secrets_len = list->len;
    for (guint i = 0; i < list->len; i++)
        wire_set(&ret->secrets.secrets_val[i], list->pdata[i]);
    return true;
}

bool
call_secret_lookup_by_uuid(Call *call, const UuidArgs *args, SecretRet *ret, GError **err)
{
    return reply_secret(
        secret_manager_lookup_uuid(call->services->secrets, (const uint8_t *)args->uuid, err), ret);
}

bool
call_secret_lookup_by_usage(Call *call, const SecretLookupByUsageArgs *args, SecretRet *ret,
                            GError **err)
{
    return reply_secret(
        secret_manager_lookup_usage(call->services->secrets, args->usage_type, args->usage_id, err),
        ret);
}

bool
call_secret_define_xml(Call *call, const XmlFlagsArgs *args, SecretRet *ret, GError **err)
{
    return call_check_flags(args->flags, VIR_SECRET_DEFINE_VALIDATE, "virSecretDefineXML", err) &&
           reply_secret(secret_manager_define(call->services->secrets, args->xml, args->flags, err),
                        ret);
}

bool
call_secret_get_xml_desc(Call *call, const SecretFlagsArgs *args, StringRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = secret_xml(call->secret);
    return true;
}

bool
call_secret_set_value(Call *call, const SecretSetValueArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    /* Clients cannot read it back. */
    if (args->value.value_len == 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "a secret's value must not be empty");
    return secret_set_value(call->secret, args->value.value_val, args->value.value_len, err);
}

bool
call_secret_get_value(Call *call, const SecretFlagsArgs *args, SecretGetValueRet *ret, GError **err)
{
    g_autoptr(GBytes) value = NULL;

    (void)args;
    value = secret_get_value(call->secret, err);
    if (!value)
        return false;
    ret->value.value_len = (u_int)g_bytes_get_size(value);
    ret->value.value_val = g_memdup2(g_bytes_get_data(value, NULL), ret->value.value_len);
    return true;
}

bool
call_secret_undefine(Call *call, const SecretArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return secret_undefine(call->secret, err);
}
