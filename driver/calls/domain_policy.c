/* domain_policy.c - the calls for what follows a guest's end, its NUMA nodes, its processor time,
 * and what protects its memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <unistd.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/handlers.h"
#include "driver/calls/params.h"

#define IMPACT (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)

bool
call_domain_set_lifecycle_action(Call *call, const DomainSetLifecycleActionArgs *args,
                                 WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_set_lifecycle_action(call->domain, args->type, args->action, args->flags, err);
}

bool
call_domain_set_numa_parameters(Call *call, const DomainSetParamsFlagsArgs *args, WireVoid *ret,
                                GError **err)
{
    const char *nodes = NULL;
    int64_t mode = -1;
    bool given = false;
    const CallParam all[] = {
        { VIR_DOMAIN_NUMA_MODE, VIR_TYPED_PARAM_INT, &mode, &given },
        { VIR_DOMAIN_NUMA_NODESET, VIR_TYPED_PARAM_STRING, &nodes, NULL },
    };

    (void)ret;
    if (!call_params_take(args->params.params_val, args->params.params_len, all, G_N_ELEMENTS(all),
                          err))
        return false;
    if (given && mode < 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unsupported numatune mode: '%d'",
                              (int)mode);
    return domain_set_numa(call->domain, (int)mode, nodes, args->flags, err);
}

/* --- processor time --------------------------------------------------------------------------- */

/* Of all processors together; as many as the client has room for. */
static bool
reply_total(Call *call, unsigned asked, DomainGetCpuStatsRet *ret, GError **err)
{
    g_autoptr(WireParams) params = wire_params_new();
    DomainCpuTimes times;

    if (!domain_cpu_times(call->domain, &times, err))
        return false;
    wire_params_add_ullong(params, VIR_DOMAIN_CPU_STATS_CPUTIME, times.total);
    if (asked == 0 || asked > 1)
        wire_params_add_ullong(params, VIR_DOMAIN_CPU_STATS_USERTIME, times.user);
    if (asked == 0 || asked > 2)
        wire_params_add_ullong(params, VIR_DOMAIN_CPU_STATS_SYSTEMTIME, times.system);
    ret->nparams = (int)wire_params_count(params);
    if (asked > 0)
        wire_params_steal(g_steal_pointer(&params), &ret->params.params_len,
                          &ret->params.params_val);
    return true;
}

bool
call_domain_get_cpu_stats(Call *call, const DomainGetCpuStatsArgs *args, DomainGetCpuStatsRet *ret,
                          GError **err)
{
    DomainCpuTimes times;

    if (args->start_cpu < -1 || (args->start_cpu == -1 && args->ncpus != 1) ||
        args->ncpus > WIRE_CPU_STATS_CPUS_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "%u processors from %d on", args->ncpus,
                              args->start_cpu);
    if (args->start_cpu == -1)
        return reply_total(call, args->nparams, ret, err);
    if (!domain_cpu_times(call->domain, &times, err))
        return false;
    /* Asked for no processor: how many there are. */
    if (args->ncpus == 0) {
        ret->nparams = (int)sysconf(_SC_NPROCESSORS_CONF);
        return true;
    }
    return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                          "the kernel does not count a guest's time for each processor: ask for "
                          "the total");
}

/* --- protection ------------------------------------------------------------------------------- */

/* No guest here has its memory protected from the host: there is nothing to tell of it. */
bool
call_domain_get_launch_security_info(Call *call, const DomainFlagsArgs *args,
                                     DomainLaunchSecurityRet *ret, GError **err)
{
    (void)call;
    (void)ret;
    return call_check_flags(args->flags, VIR_TYPED_PARAM_STRING_OKAY,
                            "virDomainGetLaunchSecurityInfo", err);
}
