/* table.c - the rows of procs.def and procs_qemu.def as data. See table.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/calls/table.h"

#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/calls/handlers.h"
#include "driver/rpc/message.h"

/* One function of a common type around each handler. */
#define PROC(number, name, api, Args, Ret, right, queue, kind, object)                             \
    static bool run_##name(Call *call, const void *args, void *ret, GError **err)                  \
    {                                                                                              \
        return call_##name(call, args, ret, err);                                                  \
    }
#define SECRET(number, Args, field, mask)
#define NONE(number, name, api, right)
#define EVENT(number, name)
#include "driver/calls/procs.def"
#include "driver/calls/procs_qemu.def"
#undef PROC
#undef SECRET
#undef NONE
#undef EVENT

#define PROC(n, name_, api_, Args, Ret, right_, queue_, kind_, object_)                            \
    [n] = { .name = #name_,                                                                        \
            .api = api_,                                                                           \
            .right = CALL_RIGHT_##right_,                                                          \
            .queue = CALL_QUEUE_##queue_,                                                          \
            .kind = CALL_KIND_##kind_,                                                             \
            .object = CALL_OBJECT_##object_,                                                       \
            .args_size = sizeof(Args),                                                             \
            .ret_size = sizeof(Ret),                                                               \
            .args_xdr = (xdrproc_t)xdr_##Args,                                                     \
            .ret_xdr = (xdrproc_t)xdr_##Ret,                                                       \
            .run = run_##name_ },
#define SECRET(number, Args, field, mask)
#define NONE(n, name_, api_, right_)                                                               \
    [n] = { .name = #name_, .api = api_, .right = CALL_RIGHT_##right_ },
#define EVENT(number, name)
static const CallProc remote_procs[] = {
#include "driver/calls/procs.def"
};
static const CallProc qemu_procs[] = {
#include "driver/calls/procs_qemu.def"
};
#undef PROC
#undef SECRET
#undef NONE
#undef EVENT

#define PROC(number, name, api, Args, Ret, right, queue, kind, object)
#define SECRET(number, Args, arg, mask) { number, offsetof(Args, arg), #arg, mask },
#define NONE(number, name, api, right)
#define EVENT(number, name)
static const CallBits remote_secrets[] = {
#include "driver/calls/procs.def"
};
#undef PROC
#undef SECRET
#undef NONE
#undef EVENT

#define PROC(number, name, api, Args, Ret, right, queue, kind, object)
#define SECRET(number, Args, field, mask)
#define FLAGS(number, Args, arg, mask) { number, offsetof(Args, arg), #arg, mask },
#define NONE(number, name, api, right)
#define EVENT(number, name)
static const CallBits remote_flags[] = {
#include "driver/calls/procs.def"
};
#undef PROC
#undef SECRET
#undef NONE
#undef EVENT

const CallProc *
call_proc_find(uint32_t prog, int32_t number)
{
    const CallProc *procs = prog == RPC_REMOTE_PROGRAM ? remote_procs : qemu_procs;
    int32_t n = prog == RPC_REMOTE_PROGRAM ? G_N_ELEMENTS(remote_procs) : G_N_ELEMENTS(qemu_procs);

    if (prog != RPC_REMOTE_PROGRAM && prog != RPC_QEMU_PROGRAM)
        return NULL;
    if (number < 0 || number >= n || !procs[number].name)
        return NULL;
    return &procs[number];
}

unsigned int
call_proc_secret_bits(uint32_t prog, int32_t number, const void *args, const char **ret_field)
{
    if (prog != RPC_REMOTE_PROGRAM)
        return 0;
    for (size_t i = 0; i < G_N_ELEMENTS(remote_secrets); i++) {
        const CallBits *secret = &remote_secrets[i];
        unsigned int value;

        if (secret->number != number)
            continue;
        memcpy(&value, (const char *)args + secret->offset, sizeof value);
        *ret_field = secret->field;
        return value & secret->mask;
    }
    return 0;
}

unsigned int
call_proc_unknown_flags(uint32_t prog, int32_t number, const void *args)
{
    for (size_t i = 0; prog == RPC_REMOTE_PROGRAM && i < G_N_ELEMENTS(remote_flags); i++) {
        const CallBits *flags = &remote_flags[i];
        unsigned int value;

        if (flags->number != number)
            continue;
        memcpy(&value, (const char *)args + flags->offset, sizeof value);
        return value & ~flags->mask;
    }
    return 0;
}

int
call_proc_error_domain(const CallProc *proc)
{
    static const struct {
        const char *prefix;
        int domain;
    } families[] = {
        { "domain_snapshot_", VIR_FROM_DOMAIN_SNAPSHOT },
        { "domain_checkpoint_", VIR_FROM_DOMAIN_CHECKPOINT },
        { "domain_", VIR_FROM_QEMU },
        { "qemu_", VIR_FROM_QEMU },
        { "network_", VIR_FROM_NETWORK },
        { "storage_", VIR_FROM_STORAGE },
        { "node_device_", VIR_FROM_NODEDEV },
        { "node_num_of_devices", VIR_FROM_NODEDEV },
        { "node_list_devices", VIR_FROM_NODEDEV },
        { "node_", VIR_FROM_QEMU },
        { "interface_", VIR_FROM_INTERFACE },
        { "secret_", VIR_FROM_SECRET },
        { "nwfilter_", VIR_FROM_NWFILTER },
        { "connect_list_all_node_devices", VIR_FROM_NODEDEV },
        { "connect_list_all_networks", VIR_FROM_NETWORK },
        { "connect_list_all_storage_pools", VIR_FROM_STORAGE },
        { "connect_find_storage_pool_sources", VIR_FROM_STORAGE },
        { "connect_get_storage_pool_capabilities", VIR_FROM_STORAGE },
        { "connect_list_all_secrets", VIR_FROM_SECRET },
        { "connect_list_all_interfaces", VIR_FROM_INTERFACE },
        { "connect_list_all_nwfilter", VIR_FROM_NWFILTER },
        { "connect_list_all_domains", VIR_FROM_QEMU },
        { "connect_get_all_domain_stats", VIR_FROM_QEMU },
        { "connect_get_domain_capabilities", VIR_FROM_QEMU },
        { "connect_get_sysinfo", VIR_FROM_QEMU },
        { "connect_get_max_vcpus", VIR_FROM_QEMU },
        { "connect_get_cpu_model_names", VIR_FROM_QEMU },
        { "connect_domain_xml_", VIR_FROM_QEMU },
        { "connect_baseline_", VIR_FROM_CPU },
        { "connect_compare_", VIR_FROM_CPU },
        { "auth_polkit", VIR_FROM_POLKIT },
        { "auth_", VIR_FROM_AUTH },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(families); i++)
        if (g_str_has_prefix(proc->name, families[i].prefix))
            return families[i].domain;
    return VIR_FROM_NONE;
}
