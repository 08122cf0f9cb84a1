/* domain_perf.c - the calls about counters of perf.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/calls/params.h"
#include "driver/domain/domain.h"

#define IMPACT (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)

bool
call_domain_get_perf_events(Call *call, const DomainFlagsArgs *args, DomainPerfEventsRet *ret,
                            GError **err)
{
    bool events[DOMAIN_PERF_EVENTS];
    WireParams *params;

    if (!domain_perf_events(call->domain, args->flags & IMPACT, events, err))
        return false;
    params = wire_params_new();
    for (unsigned i = 0; i < DOMAIN_PERF_EVENTS; i++)
        wire_params_add_boolean(params, domain_perf_name(i), events[i]);
    wire_params_steal(params, &ret->params.params_len, &ret->params.params_val);
    return true;
}

bool
call_domain_set_perf_events(Call *call, const DomainSetPerfEventsArgs *args, WireVoid *ret,
                            GError **err)
{
    int wanted[DOMAIN_PERF_EVENTS];
    CallParam all[DOMAIN_PERF_EVENTS];

    (void)ret;
    for (unsigned i = 0; i < DOMAIN_PERF_EVENTS; i++) {
        wanted[i] = -1;
        all[i] = (CallParam){ domain_perf_name(i), VIR_TYPED_PARAM_BOOLEAN, &wanted[i], NULL };
    }
    return call_params_take(args->params.params_val, args->params.params_len, all,
                            G_N_ELEMENTS(all), err) &&
           domain_set_perf_events(call->domain, wanted, args->flags, err);
}
