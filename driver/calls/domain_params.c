/* domain_params.c - the calls that tell how a guest is tuned, and how large its disks are.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/handlers.h"

/* Names and order of libvirt's posix scheduler. */
static const struct {
    const char *period, *quota;
} limit_names[DOMAIN_CPU_LIMITS] = {
    [DOMAIN_CPU_LIMIT_VCPU] = { VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA },
    [DOMAIN_CPU_LIMIT_EMULATOR] = { VIR_DOMAIN_SCHEDULER_EMULATOR_PERIOD,
                                    VIR_DOMAIN_SCHEDULER_EMULATOR_QUOTA },
    [DOMAIN_CPU_LIMIT_GLOBAL] = { VIR_DOMAIN_SCHEDULER_GLOBAL_PERIOD,
                                  VIR_DOMAIN_SCHEDULER_GLOBAL_QUOTA },
    [DOMAIN_CPU_LIMIT_IOTHREAD] = { VIR_DOMAIN_SCHEDULER_IOTHREAD_PERIOD,
                                    VIR_DOMAIN_SCHEDULER_IOTHREAD_QUOTA },
};

#define IMPACT (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)

bool
domain_reply_params(WireParams *params, int asked, DomainParamsRet *ret, GError **err)
{
    g_autoptr(WireParams) owned = params;

    ret->nparams = wire_params_count(params);
    if (asked > 0 && asked < ret->nparams)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "room for %d parameters, there are %d",
                              asked, ret->nparams);
    if (asked > 0)
        wire_params_steal(g_steal_pointer(&owned), &ret->params.params_len,
                          &ret->params.params_val);
    return true;
}

bool
call_domain_get_scheduler_type(Call *call, const DomainArgs *args, DomainGetSchedulerTypeRet *ret,
                               GError **err)
{
    (void)args;
    if (!domain_can_schedule(call->domain, err))
        return false;
    ret->type = g_strdup("posix");
    ret->nparams = 1 + 2 * DOMAIN_CPU_LIMITS;
    return true;
}

/* As many as fit: clients ask for the whole number, or for the shares alone as old ones do. */
static bool
schedule_reply(Call *call, unsigned flags, int asked, DomainGetSchedulerParametersRet *ret,
               GError **err)
{
    g_autoptr(WireParams) params = wire_params_new();
    DomainSchedule schedule;

    if (asked < 1)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "room for %d parameters", asked);
    if (!domain_schedule(call->domain, flags, &schedule, err))
        return false;
    wire_params_add_ullong(params, VIR_DOMAIN_SCHEDULER_CPU_SHARES, schedule.shares);
    for (int i = 0; i < DOMAIN_CPU_LIMITS && asked > 1 + 2 * i; i++) {
        wire_params_add_ullong(params, limit_names[i].period, schedule.period[i]);
        if (asked > 2 + 2 * i)
            wire_params_add_llong(params, limit_names[i].quota, schedule.quota[i]);
    }
    wire_params_steal(g_steal_pointer(&params), &ret->params.params_len, &ret->params.params_val);
    return true;
}

bool
call_domain_get_scheduler_parameters(Call *call, const DomainParamsArgs *args,
                                     DomainGetSchedulerParametersRet *ret, GError **err)
{
    return schedule_reply(call, VIR_DOMAIN_AFFECT_CURRENT, args->nparams, ret, err);
}

bool
call_domain_get_scheduler_parameters_flags(Call *call, const DomainParamsFlagsArgs *args,
                                           DomainGetSchedulerParametersRet *ret, GError **err)
{
    return schedule_reply(call, args->flags & IMPACT, args->nparams, ret, err);
}

bool
call_domain_get_numa_parameters(Call *call, const DomainParamsFlagsArgs *args, DomainParamsRet *ret,
                                GError **err)
{
    g_autoptr(WireParams) params = NULL;
    g_autofree char *nodes = NULL;
    int mode;

    if (!domain_numa(call->domain, args->flags & IMPACT, &mode, &nodes, err))
        return false;
    params = wire_params_new();
    wire_params_add_int(params, VIR_DOMAIN_NUMA_MODE, mode);
    /* Older clients cannot take texts. */
    if (args->flags & VIR_TYPED_PARAM_STRING_OKAY)
        wire_params_add_string(params, VIR_DOMAIN_NUMA_NODESET, nodes);
    return domain_reply_params(g_steal_pointer(&params), args->nparams, ret, err);
}

bool
call_domain_get_block_info(Call *call, const DomainPathFlagsArgs *args, DomainGetBlockInfoRet *ret,
                           GError **err)
{
    DomainBlockInfo info;

    if (!domain_block_info(call->domain, args->path, &info, err))
        return false;
    ret->allocation = info.allocation;
    ret->capacity = info.capacity;
    ret->physical = info.physical;
    return true;
}

/* There is no security driver: the list of its labels is empty. */
bool
call_domain_get_security_label_list(Call *call, const DomainArgs *args,
                                    DomainSecurityLabelListRet *ret, GError **err)
{
    (void)call;
    (void)args;
    (void)err;
    ret->count = 0;
    return true;
}
