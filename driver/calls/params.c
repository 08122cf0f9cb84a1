/* params.c - the typed parameters that a call takes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/calls/params.h"

#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/calls/wire.h"
#include "util/error.h"

static bool
take_one(const WireTypedParam *param, const CallParam *wanted, GError **err)
{
    const WireTypedValue *value = &param->value;

    if (value->type != wanted->type)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "invalid type '%d' for parameter '%s'",
                              value->type, param->field);
    switch (value->type) {
    case VIR_TYPED_PARAM_UINT:
        *(uint64_t *)wanted->value = value->WireTypedValue_u.ui;
        break;
    case VIR_TYPED_PARAM_ULLONG:
        *(uint64_t *)wanted->value = value->WireTypedValue_u.ul;
        break;
    case VIR_TYPED_PARAM_INT:
        *(int64_t *)wanted->value = value->WireTypedValue_u.i;
        break;
    case VIR_TYPED_PARAM_BOOLEAN:
        *(int *)wanted->value = value->WireTypedValue_u.b != 0;
        break;
    case VIR_TYPED_PARAM_STRING:
        *(const char **)wanted->value = value->WireTypedValue_u.s;
        break;
    default:
        *(int64_t *)wanted->value = value->WireTypedValue_u.l;
    }
    if (wanted->given)
        *wanted->given = true;
    return true;
}

bool
call_params_take(const WireTypedParam *params, guint n_params, const CallParam *all, guint n_all,
                 GError **err)
{
    for (guint i = 0; i < n_params; i++) {
        const CallParam *wanted = NULL;

        for (guint k = 0; k < n_all; k++)
            if (strcmp(params[i].field, all[k].name) == 0)
                wanted = &all[k];
        if (!wanted)
            return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED, "parameter '%s' not supported",
                                  params[i].field);
        if (wire_params_find(params, n_params, params[i].field) != &params[i])
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "parameter '%s' occurs multiple times",
                                  params[i].field);
        if (!take_one(&params[i], wanted, err))
            return false;
    }
    return true;
}
