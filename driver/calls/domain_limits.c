/* domain_limits.c - the calls about what a guest may use of the host's memory and block devices.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/handlers.h"
#include "driver/calls/params.h"
#include "xml/xmltab.h"

#define IMPACT (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)

bool
call_domain_set_memory_parameters(Call *call, const DomainSetParamsFlagsArgs *args, WireVoid *ret,
                                  GError **err)
{
    DomainMemoryLimits limits = { XML_UNSET, XML_UNSET, XML_UNSET };
    const CallParam all[] = {
        { VIR_DOMAIN_MEMORY_HARD_LIMIT, VIR_TYPED_PARAM_ULLONG, &limits.hard, NULL },
        { VIR_DOMAIN_MEMORY_SOFT_LIMIT, VIR_TYPED_PARAM_ULLONG, &limits.soft, NULL },
        { VIR_DOMAIN_MEMORY_SWAP_HARD_LIMIT, VIR_TYPED_PARAM_ULLONG, &limits.swap_hard, NULL },
    };

    (void)ret;
    return call_params_take(args->params.params_val, args->params.params_len, all,
                            G_N_ELEMENTS(all), err) &&
           domain_set_memory_limits(call->domain, &limits, args->flags, err);
}

bool
call_domain_get_memory_parameters(Call *call, const DomainParamsFlagsArgs *args,
                                  DomainParamsRet *ret, GError **err)
{
    g_autoptr(WireParams) params = NULL;
    DomainMemoryLimits limits;

    if (!domain_memory_limits(call->domain, args->flags & IMPACT, &limits, err))
        return false;
    params = wire_params_new();
    wire_params_add_ullong(params, VIR_DOMAIN_MEMORY_HARD_LIMIT, limits.hard);
    wire_params_add_ullong(params, VIR_DOMAIN_MEMORY_SOFT_LIMIT, limits.soft);
    wire_params_add_ullong(params, VIR_DOMAIN_MEMORY_SWAP_HARD_LIMIT, limits.swap_hard);
    return domain_reply_params(g_steal_pointer(&params), args->nparams, ret, err);
}

static const char *const blkio_names[DOMAIN_BLKIO_LIMITS] = {
    VIR_DOMAIN_BLKIO_DEVICE_WEIGHT,     VIR_DOMAIN_BLKIO_DEVICE_READ_IOPS,
    VIR_DOMAIN_BLKIO_DEVICE_WRITE_IOPS, VIR_DOMAIN_BLKIO_DEVICE_READ_BPS,
    VIR_DOMAIN_BLKIO_DEVICE_WRITE_BPS,
};

bool
call_domain_set_blkio_parameters(Call *call, const DomainSetParamsFlagsArgs *args, WireVoid *ret,
                                 GError **err)
{
    DomainBlkio blkio = { .weight = XML_UNSET };
    CallParam all[1 + DOMAIN_BLKIO_LIMITS] = {
        { VIR_DOMAIN_BLKIO_WEIGHT, VIR_TYPED_PARAM_UINT, &blkio.weight, NULL },
    };

    (void)ret;
    for (int i = 0; i < DOMAIN_BLKIO_LIMITS; i++)
        all[1 + i] = (CallParam){ blkio_names[i], VIR_TYPED_PARAM_STRING, &blkio.devices[i], NULL };
    return call_params_take(args->params.params_val, args->params.params_len, all,
                            G_N_ELEMENTS(all), err) &&
           domain_set_blkio(call->domain, &blkio, args->flags, err);
}

bool
call_domain_get_blkio_parameters(Call *call, const DomainParamsFlagsArgs *args,
                                 DomainParamsRet *ret, GError **err)
{
    WireParams *params;
    DomainBlkio blkio;

    if (!domain_blkio(call->domain, args->flags & IMPACT, &blkio, err))
        return false;
    params = wire_params_new();
    wire_params_add_uint(params, VIR_DOMAIN_BLKIO_WEIGHT, (unsigned)MIN(blkio.weight, UINT32_MAX));
    for (int i = 0; i < DOMAIN_BLKIO_LIMITS; i++) {
        /* Older clients cannot take texts. */
        if (args->flags & VIR_TYPED_PARAM_STRING_OKAY)
            wire_params_add_string(params, blkio_names[i], blkio.devices[i]);
        g_free((char *)blkio.devices[i]);
    }
    return domain_reply_params(params, args->nparams, ret, err);
}
