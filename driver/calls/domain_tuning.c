/* domain_tuning.c - the calls that change how a guest is tuned, and tell and change the bandwidth
 * of its interfaces.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/handlers.h"
#include "driver/calls/params.h"
#include "xml/xmltab.h"

#define IMPACT (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)

/* --- processor time --------------------------------------------------------------------------- */

static bool
set_schedule(Call *call, const WireTypedParam *params, guint n, unsigned flags, GError **err)
{
    DomainSchedule s = { .shares = XML_UNSET };
    const CallParam all[] = {
        { VIR_DOMAIN_SCHEDULER_CPU_SHARES, VIR_TYPED_PARAM_ULLONG, &s.shares, NULL },
        { VIR_DOMAIN_SCHEDULER_VCPU_PERIOD, VIR_TYPED_PARAM_ULLONG,
          &s.period[DOMAIN_CPU_LIMIT_VCPU], NULL },
        { VIR_DOMAIN_SCHEDULER_VCPU_QUOTA, VIR_TYPED_PARAM_LLONG, &s.quota[DOMAIN_CPU_LIMIT_VCPU],
          NULL },
        { VIR_DOMAIN_SCHEDULER_GLOBAL_PERIOD, VIR_TYPED_PARAM_ULLONG,
          &s.period[DOMAIN_CPU_LIMIT_GLOBAL], NULL },
        { VIR_DOMAIN_SCHEDULER_GLOBAL_QUOTA, VIR_TYPED_PARAM_LLONG,
          &s.quota[DOMAIN_CPU_LIMIT_GLOBAL], NULL },
        { VIR_DOMAIN_SCHEDULER_EMULATOR_PERIOD, VIR_TYPED_PARAM_ULLONG,
          &s.period[DOMAIN_CPU_LIMIT_EMULATOR], NULL },
        { VIR_DOMAIN_SCHEDULER_EMULATOR_QUOTA, VIR_TYPED_PARAM_LLONG,
          &s.quota[DOMAIN_CPU_LIMIT_EMULATOR], NULL },
        { VIR_DOMAIN_SCHEDULER_IOTHREAD_PERIOD, VIR_TYPED_PARAM_ULLONG,
          &s.period[DOMAIN_CPU_LIMIT_IOTHREAD], NULL },
        { VIR_DOMAIN_SCHEDULER_IOTHREAD_QUOTA, VIR_TYPED_PARAM_LLONG,
          &s.quota[DOMAIN_CPU_LIMIT_IOTHREAD], NULL },
    };

    for (int i = 0; i < DOMAIN_CPU_LIMITS; i++) {
        s.period[i] = XML_UNSET;
        s.quota[i] = XML_UNSET_INT;
    }
    return call_params_take(params, n, all, G_N_ELEMENTS(all), err) &&
           domain_set_schedule(call->domain, &s, flags, err);
}

bool
call_domain_set_scheduler_parameters(Call *call, const DomainSetParamsArgs *args, WireVoid *ret,
                                     GError **err)
{
    (void)ret;
    return set_schedule(call, args->params.params_val, args->params.params_len,
                        VIR_DOMAIN_AFFECT_CURRENT, err);
}

bool
call_domain_set_scheduler_parameters_flags(Call *call, const DomainSetParamsFlagsArgs *args,
                                           WireVoid *ret, GError **err)
{
    (void)ret;
    return set_schedule(call, args->params.params_val, args->params.params_len, args->flags, err);
}

/* --- bandwidth -------------------------------------------------------------------------------- */

bool
call_domain_set_interface_parameters(Call *call, const DomainPathSetParamsArgs *args, WireVoid *ret,
                                     GError **err)
{
    DomainLimits l = { 0 };
    const CallParam all[] = {
        { VIR_DOMAIN_BANDWIDTH_IN_AVERAGE, VIR_TYPED_PARAM_UINT, &l.inbound.average,
          &l.inbound.given },
        { VIR_DOMAIN_BANDWIDTH_IN_PEAK, VIR_TYPED_PARAM_UINT, &l.inbound.peak, &l.inbound.given },
        { VIR_DOMAIN_BANDWIDTH_IN_BURST, VIR_TYPED_PARAM_UINT, &l.inbound.burst, &l.inbound.given },
        { VIR_DOMAIN_BANDWIDTH_IN_FLOOR, VIR_TYPED_PARAM_UINT, &l.inbound.floor, &l.inbound.given },
        { VIR_DOMAIN_BANDWIDTH_OUT_AVERAGE, VIR_TYPED_PARAM_UINT, &l.outbound.average,
          &l.outbound.given },
        { VIR_DOMAIN_BANDWIDTH_OUT_PEAK, VIR_TYPED_PARAM_UINT, &l.outbound.peak,
          &l.outbound.given },
        { VIR_DOMAIN_BANDWIDTH_OUT_BURST, VIR_TYPED_PARAM_UINT, &l.outbound.burst,
          &l.outbound.given },
    };

    (void)ret;
    return call_params_take(args->params.params_val, args->params.params_len, all,
                            G_N_ELEMENTS(all), err) &&
           domain_set_interface_limits(call->domain, args->path, &l, args->flags, err);
}

static void
add_uint(WireParams *params, const char *name, uint64_t value)
{
    wire_params_add_uint(params, name, (unsigned)MIN(value, (uint64_t)G_MAXUINT));
}

bool
call_domain_get_interface_parameters(Call *call, const DomainPathParamsArgs *args,
                                     DomainParamsRet *ret, GError **err)
{
    g_autoptr(WireParams) params = NULL;
    DomainLimits limits;

    if (!domain_interface_limits(call->domain, args->path, args->flags & IMPACT, &limits, err))
        return false;
    params = wire_params_new();
    add_uint(params, VIR_DOMAIN_BANDWIDTH_IN_AVERAGE, limits.inbound.average);
    add_uint(params, VIR_DOMAIN_BANDWIDTH_IN_PEAK, limits.inbound.peak);
    add_uint(params, VIR_DOMAIN_BANDWIDTH_IN_BURST, limits.inbound.burst);
    add_uint(params, VIR_DOMAIN_BANDWIDTH_IN_FLOOR, limits.inbound.floor);
    add_uint(params, VIR_DOMAIN_BANDWIDTH_OUT_AVERAGE, limits.outbound.average);
    add_uint(params, VIR_DOMAIN_BANDWIDTH_OUT_PEAK, limits.outbound.peak);
    add_uint(params, VIR_DOMAIN_BANDWIDTH_OUT_BURST, limits.outbound.burst);
    return domain_reply_params(g_steal_pointer(&params), args->nparams, ret, err);
}
