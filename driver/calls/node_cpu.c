/* node_cpu.c - the calls that compare CPUs and find what several have in common, and that tell of
 * the host's firmware.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/node/node.h"

enum {
    COMPARE_FLAGS =
        VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE | VIR_CONNECT_COMPARE_CPU_VALIDATE_XML,
    BASELINE_FLAGS = VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES | VIR_CONNECT_BASELINE_CPU_MIGRATABLE,
};

static bool
reply_compare(Call *call, const NodeRequest *request, const char *xml, unsigned flags, IntRet *ret,
              GError **err)
{
    ret->value = node_compare_cpu(call->services->node, request, xml, flags, err);
    return ret->value != VIR_CPU_COMPARE_ERROR;
}

static bool
reply_baseline(Call *call, const NodeRequest *request, char **xml, size_t n, unsigned flags,
               StringRet *ret, GError **err)
{
    ret->value =
        node_baseline_cpu(call->services->node, request, (const char *const *)xml, n, flags, err);
    return ret->value != NULL;
}

bool
call_connect_compare_cpu(Call *call, const ConnectCompareCpuArgs *args, IntRet *ret, GError **err)
{
    return call_check_flags(args->flags, COMPARE_FLAGS, "virConnectCompareCPU", err) &&
           reply_compare(call, NULL, args->xml, args->flags, ret, err);
}

bool
call_connect_compare_hypervisor_cpu(Call *call, const ConnectCompareHypervisorCpuArgs *args,
                                    IntRet *ret, GError **err)
{
    NodeRequest request = { wire_opt_text(args->emulator), wire_opt_text(args->arch),
                            wire_opt_text(args->machine), wire_opt_text(args->virttype) };

    return call_check_flags(args->flags, COMPARE_FLAGS, "virConnectCompareHypervisorCPU", err) &&
           reply_compare(call, &request, args->xml, args->flags, ret, err);
}

bool
call_connect_baseline_cpu(Call *call, const ConnectBaselineCpuArgs *args, StringRet *ret,
                          GError **err)
{
    return call_check_flags(args->flags, BASELINE_FLAGS, "virConnectBaselineCPU", err) &&
           reply_baseline(call, NULL, args->xml.xml_val, args->xml.xml_len, args->flags, ret, err);
}

bool
call_connect_baseline_hypervisor_cpu(Call *call, const ConnectBaselineHypervisorCpuArgs *args,
                                     StringRet *ret, GError **err)
{
    NodeRequest request = { wire_opt_text(args->emulator), wire_opt_text(args->arch),
                            wire_opt_text(args->machine), wire_opt_text(args->virttype) };

    return call_check_flags(args->flags, BASELINE_FLAGS, "virConnectBaselineHypervisorCPU", err) &&
           reply_baseline(call, &request, args->xml.xml_val, args->xml.xml_len, args->flags, ret,
                          err);
}

bool
call_connect_get_sysinfo(Call *call, const FlagsArgs *args, StringRet *ret, GError **err)
{
    if (!call_check_flags(args->flags, 0, "virConnectGetSysinfo", err))
        return false;
    ret->value = node_get_sysinfo(call->services->node, err);
    return ret->value != NULL;
}
