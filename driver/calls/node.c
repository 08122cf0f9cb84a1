/* node.c - the calls about the host: what it is and what it can run.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/calls/handlers.h"
#include "driver/node/node.h"
#include "driver/node/suspend.h"

bool
call_connect_get_capabilities(Call *call, const WireVoid *args, StringRet *ret, GError **err)
{
    (void)args;
    ret->value = node_get_capabilities(call->services->node, err);
    return ret->value != NULL;
}

bool
call_connect_get_domain_capabilities(Call *call, const ConnectGetDomainCapabilitiesArgs *args,
                                     StringRet *ret, GError **err)
{
    if (!call_check_flags(args->flags, 0, "virConnectGetDomainCapabilities", err))
        return false;
    ret->value = node_get_domain_capabilities(
        call->services->node, wire_opt_text(args->emulator), wire_opt_text(args->arch),
        wire_opt_text(args->machine), wire_opt_text(args->virttype), err);
    return ret->value != NULL;
}

bool
call_connect_get_max_vcpus(Call *call, const ConnectGetMaxVcpusArgs *args, IntRet *ret,
                           GError **err)
{
    ret->value = node_get_max_vcpus(call->services->node, wire_opt_text(args->type), err);
    return ret->value >= 0;
}

bool
call_node_get_info(Call *call, const WireVoid *args, NodeGetInfoRet *ret, GError **err)
{
    NodeInfo info = { 0 };

    (void)args;
    if (!node_get_info(call->services->node, &info, err))
        return false;
    memcpy(ret->model, info.model, sizeof ret->model);
    ret->memory = info.memory_kib;
    ret->cpus = (int)info.cpus;
    ret->mhz = (int)info.mhz;
    ret->nodes = (int)info.nodes;
    ret->sockets = (int)info.sockets;
    ret->cores = (int)info.cores;
    ret->threads = (int)info.threads;
    return true;
}

bool
call_node_get_security_model(Call *call, const WireVoid *args, NodeGetSecurityModelRet *ret,
                             GError **err)
{
    (void)call;
    (void)args;
    (void)err;
    /* No security driver of libvirt's kind: guests are confined by kiln-vmm itself. */
    wire_chars_set("", &ret->model.model_len, &ret->model.model_val);
    wire_chars_set("", &ret->doi.doi_len, &ret->doi.doi_val);
    return true;
}

bool
call_node_suspend_for_duration(Call *call, const NodeSuspendArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return call_check_flags(args->flags, 0, "virNodeSuspendForDuration", err) &&
           node_suspend(call->services->node, args->target, args->seconds, err);
}
