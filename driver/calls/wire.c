/* wire.c - filling the structs of driver/protocol. See wire.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/calls/wire.h"

#include <libvirt/libvirt.h>
#include <string.h>

struct WireParams {
    GArray *list; /* of WireTypedParam */
};

void
wire_domain_set(WireDomain *wire, const char *name, const uint8_t uuid[16], int id)
{
    wire->name = g_strdup(name);
    memcpy(wire->uuid, uuid, sizeof wire->uuid);
    wire->id = id;
}

void
wire_network_set(WireNetwork *wire, const char *name, const uint8_t uuid[16])
{
    wire->name = g_strdup(name);
    memcpy(wire->uuid, uuid, sizeof wire->uuid);
}

void
wire_secret_set(WireSecret *wire, const uint8_t uuid[16], int usage_type, const char *usage_id)
{
    memcpy(wire->uuid, uuid, sizeof wire->uuid);
    wire->usage_type = usage_type;
    wire->usage_id = g_strdup(usage_id);
}

void
wire_pool_set(WirePool *wire, const char *name, const uint8_t uuid[16])
{
    wire->name = g_strdup(name);
    memcpy(wire->uuid, uuid, sizeof wire->uuid);
}

void
wire_volume_set(WireVolume *wire, const char *pool, const char *name, const char *key)
{
    wire->pool = g_strdup(pool);
    wire->name = g_strdup(name);
    wire->key = g_strdup(key);
}

WireOptString
wire_opt_string(const char *text)
{
    WireOptString opt;

    if (!text)
        return NULL;
    opt = g_new(WireString, 1);
    *opt = g_strdup(text);
    return opt;
}

const char *
wire_opt_text(WireOptString text)
{
    return text ? *text : NULL;
}

void
wire_names_steal(GPtrArray *names, guint max, u_int *ret_len, WireString **ret_val)
{
    guint n = MIN(names->len, max);
    WireString *val = g_new0(WireString, n);

    for (guint i = 0; i < names->len; i++) {
        if (i < n)
            val[i] = names->pdata[i];
        else
            g_free(names->pdata[i]);
    }
    g_ptr_array_set_free_func(names, NULL);
    g_ptr_array_unref(names);
    *ret_len = n;
    *ret_val = val;
}

void
wire_chars_set(const char *text, u_int *ret_len, char **ret_val)
{
    *ret_len = (u_int)strlen(text) + 1;
    *ret_val = g_strdup(text);
}

WireParams *
wire_params_new(void)
{
    WireParams *params = g_new0(WireParams, 1);

    params->list = g_array_new(FALSE, TRUE, sizeof(WireTypedParam));
    return params;
}

void
wire_params_free(WireParams *params)
{
    if (!params)
        return;
    for (guint i = 0; i < params->list->len; i++)
        xdr_free((xdrproc_t)xdr_WireTypedParam, &g_array_index(params->list, WireTypedParam, i));
    g_array_unref(params->list);
    g_free(params);
}

static WireTypedValue *
params_add(WireParams *params, const char *field, int type)
{
    WireTypedParam *param;

    g_array_set_size(params->list, params->list->len + 1);
    param = &g_array_index(params->list, WireTypedParam, params->list->len - 1);
    param->field = g_strdup(field);
    param->value.type = type;
    return &param->value;
}

void
wire_params_add_int(WireParams *params, const char *field, int value)
{
    params_add(params, field, VIR_TYPED_PARAM_INT)->WireTypedValue_u.i = value;
}

void
wire_params_add_uint(WireParams *params, const char *field, unsigned int value)
{
    params_add(params, field, VIR_TYPED_PARAM_UINT)->WireTypedValue_u.ui = value;
}

void
wire_params_add_boolean(WireParams *params, const char *field, bool value)
{
    params_add(params, field, VIR_TYPED_PARAM_BOOLEAN)->WireTypedValue_u.b = value;
}

void
wire_params_add_llong(WireParams *params, const char *field, int64_t value)
{
    params_add(params, field, VIR_TYPED_PARAM_LLONG)->WireTypedValue_u.l = value;
}

void
wire_params_add_ullong(WireParams *params, const char *field, uint64_t value)
{
    params_add(params, field, VIR_TYPED_PARAM_ULLONG)->WireTypedValue_u.ul = value;
}

void
wire_params_add_string(WireParams *params, const char *field, const char *value)
{
    params_add(params, field, VIR_TYPED_PARAM_STRING)->WireTypedValue_u.s = g_strdup(value);
}

guint
wire_params_count(const WireParams *params)
{
    return params->list->len;
}

void
wire_params_steal(WireParams *params, u_int *ret_len, WireTypedParam **ret_val)
{
    *ret_len = params->list->len;
    *ret_val = (WireTypedParam *)(void *)g_array_free(g_steal_pointer(&params->list), FALSE);
    g_free(params);
}

const WireTypedParam *
wire_params_find(const WireTypedParam *params, guint n_params, const char *field)
{
    for (guint i = 0; i < n_params; i++)
        if (!strcmp(params[i].field, field))
            return &params[i];
    return NULL;
}
