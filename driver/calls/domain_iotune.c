/* domain_iotune.c - the calls about limits of disks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/handlers.h"

#define IMPACT (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)

enum { IOTUNE_PARAMS = 20 };

bool
call_domain_set_block_io_tune(Call *call, const DomainPathSetParamsArgs *args, WireVoid *ret,
                              GError **err)
{
    guint n = args->params.params_len;
    g_autofree DomainParam *params = g_new0(DomainParam, n);

    (void)ret;
    for (guint i = 0; i < n; i++) {
        const WireTypedParam *param = &args->params.params_val[i];

        if (wire_params_find(args->params.params_val, n, param->field) != param)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "parameter '%s' occurs multiple times",
                                  param->field);
        params[i].name = param->field;
        if (param->value.type == VIR_TYPED_PARAM_ULLONG)
            params[i].value = param->value.WireTypedValue_u.ul;
        else if (param->value.type == VIR_TYPED_PARAM_STRING)
            params[i].text = param->value.WireTypedValue_u.s;
        else
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "invalid type '%d' for parameter '%s'",
                                  param->value.type, param->field);
    }
    return domain_set_block_iotune(call->domain, args->path, params, n, args->flags, err);
}

typedef struct {
    WireParams *params;
    bool strings;
} Reply;

static void
reply_take(void *opaque, const char *name, uint64_t value, const char *text)
{
    const Reply *reply = opaque;

    if (!text)
        wire_params_add_ullong(reply->params, name, value);
    else if (reply->strings)
        wire_params_add_string(reply->params, name, text);
}

bool
call_domain_get_block_io_tune(Call *call, const DomainGetBlockIoTuneArgs *args,
                              DomainParamsRet *ret, GError **err)
{
    const char *disk = wire_opt_text(args->disk);
    Reply reply = { .strings = args->flags & VIR_TYPED_PARAM_STRING_OKAY };

    if (!disk) {
        ret->nparams = IOTUNE_PARAMS - !reply.strings;
        return args->nparams == 0 || kiln_error_set(err, VIR_ERR_INVALID_ARG, "no disk is named");
    }
    reply.params = wire_params_new();
    if (domain_block_iotune(call->domain, disk, args->flags & IMPACT, reply_take, &reply, err))
        return domain_reply_params(reply.params, args->nparams, ret, err);
    wire_params_free(reply.params);
    return false;
}
