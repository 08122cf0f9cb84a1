/* table.c - the rows of procs.def and procs_qemu.def as data. See table.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/calls/table.h"

#include <inttypes.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/calls/handlers.h"
#include "driver/rpc/message.h"
#include "util/error.h"

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

/* Masks of several calls, and long ones. */
enum {
    IMPACT = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG,
    IMPACT_STRINGS = IMPACT | VIR_TYPED_PARAM_STRING_OKAY,
    START = VIR_DOMAIN_START_PAUSED | VIR_DOMAIN_START_AUTODESTROY | VIR_DOMAIN_START_BYPASS_CACHE |
            VIR_DOMAIN_START_FORCE_BOOT | VIR_DOMAIN_START_RESET_NVRAM,
    /* those about checkpoints and TPMs ask to remove what Kiln never has */
    UNDEFINE = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
               VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_NVRAM |
               VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_TPM |
               VIR_DOMAIN_UNDEFINE_KEEP_TPM,
    XML = VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_UPDATE_CPU |
          VIR_DOMAIN_XML_MIGRATABLE,
    SAVE = VIR_DOMAIN_SAVE_BYPASS_CACHE | VIR_DOMAIN_SAVE_RUNNING | VIR_DOMAIN_SAVE_PAUSED,
    DUMP = VIR_DUMP_CRASH | VIR_DUMP_LIVE | VIR_DUMP_BYPASS_CACHE | VIR_DUMP_RESET |
           VIR_DUMP_MEMORY_ONLY,
    GET_VCPUS = VIR_DOMAIN_VCPU_LIVE | VIR_DOMAIN_VCPU_CONFIG | VIR_DOMAIN_VCPU_MAXIMUM |
                VIR_DOMAIN_VCPU_GUEST,
    SET_VCPUS = GET_VCPUS | VIR_DOMAIN_VCPU_HOTPLUGGABLE,
    BLOCK_REBASE = VIR_DOMAIN_BLOCK_REBASE_SHALLOW | VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT |
                   VIR_DOMAIN_BLOCK_REBASE_COPY_RAW | VIR_DOMAIN_BLOCK_REBASE_COPY |
                   VIR_DOMAIN_BLOCK_REBASE_RELATIVE | VIR_DOMAIN_BLOCK_REBASE_COPY_DEV |
                   VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES,
    BLOCK_COPY = VIR_DOMAIN_BLOCK_COPY_SHALLOW | VIR_DOMAIN_BLOCK_COPY_REUSE_EXT |
                 VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB | VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES,
    BLOCK_COMMIT = VIR_DOMAIN_BLOCK_COMMIT_SHALLOW | VIR_DOMAIN_BLOCK_COMMIT_DELETE |
                   VIR_DOMAIN_BLOCK_COMMIT_ACTIVE | VIR_DOMAIN_BLOCK_COMMIT_RELATIVE |
                   VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES,
    SNAPSHOT_LIST = VIR_DOMAIN_SNAPSHOT_LIST_ROOTS | VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL |
                    VIR_DOMAIN_SNAPSHOT_LIST_LEAVES | VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES |
                    VIR_DOMAIN_SNAPSHOT_LIST_METADATA | VIR_DOMAIN_SNAPSHOT_LIST_NO_METADATA |
                    VIR_DOMAIN_SNAPSHOT_LIST_INACTIVE | VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE |
                    VIR_DOMAIN_SNAPSHOT_LIST_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL |
                    VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL,
    /* all that there are; which of them are followed, the domain says */
    MIGRATE = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_TUNNELLED |
              VIR_MIGRATE_PERSIST_DEST | VIR_MIGRATE_UNDEFINE_SOURCE | VIR_MIGRATE_PAUSED |
              VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC |
              VIR_MIGRATE_CHANGE_PROTECTION | VIR_MIGRATE_UNSAFE | VIR_MIGRATE_OFFLINE |
              VIR_MIGRATE_COMPRESSED | VIR_MIGRATE_ABORT_ON_ERROR | VIR_MIGRATE_AUTO_CONVERGE |
              VIR_MIGRATE_RDMA_PIN_ALL | VIR_MIGRATE_POSTCOPY | VIR_MIGRATE_TLS |
              VIR_MIGRATE_PARALLEL | VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES |
              VIR_MIGRATE_POSTCOPY_RESUME | VIR_MIGRATE_ZEROCOPY,
};

#define BITS(number, Args, arg, mask)                                                              \
    { number, offsetof(Args, arg), sizeof(((Args *)0)->arg), #arg, mask },
#define PROC(number, name, api, Args, Ret, right, queue, kind, object)
#define SECRET BITS
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
#define FLAGS BITS
#define NONE(number, name, api, right)
#define EVENT(number, name)
static const CallBits remote_flags[] = {
#include "driver/calls/procs.def"
};
#define FLAGS BITS
static const CallBits qemu_flags[] = {
#include "driver/calls/procs_qemu.def"
};
#define EXCLUSIVE(number, Args, arg, mask, code, words)                                            \
    { BITS(number, Args, arg, mask) code, words },
static const struct {
    CallBits bits;
    int code;
    const char *words;
} remote_exclusive[] = {
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

/* Little-endian, as this host is: an unsigned int or hyper. */
static uint64_t
bits_read(const CallBits *bits, const void *args)
{
    uint64_t value = 0;

    memcpy(&value, (const char *)args + bits->offset, bits->size);
    return value;
}

unsigned int
call_proc_secret_bits(uint32_t prog, int32_t number, const void *args, const char **ret_field)
{
    if (prog != RPC_REMOTE_PROGRAM)
        return 0;
    for (size_t i = 0; i < G_N_ELEMENTS(remote_secrets); i++) {
        const CallBits *secret = &remote_secrets[i];

        if (secret->number != number)
            continue;
        *ret_field = secret->field;
        return (unsigned int)bits_read(secret, args) & secret->mask;
    }
    return 0;
}

bool
call_proc_check_flags(uint32_t prog, int32_t number, const void *args, GError **err)
{
    const CallBits *rows = prog == RPC_REMOTE_PROGRAM ? remote_flags : qemu_flags;
    size_t n = prog == RPC_REMOTE_PROGRAM ? G_N_ELEMENTS(remote_flags) : G_N_ELEMENTS(qemu_flags);

    for (size_t i = 0; i < n; i++) {
        uint64_t unknown;

        if (rows[i].number != number)
            continue;
        unknown = bits_read(&rows[i], args) & ~(uint64_t)rows[i].mask;
        if (unknown)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "unsupported flags (0x%" PRIx64 ") in function %s", unknown,
                                  call_proc_find(prog, number)->api);
    }
    for (size_t i = 0; prog == RPC_REMOTE_PROGRAM && i < G_N_ELEMENTS(remote_exclusive); i++) {
        const CallBits *bits = &remote_exclusive[i].bits;

        if (bits->number == number && (bits_read(bits, args) & bits->mask) == bits->mask)
            return kiln_error_set(err, remote_exclusive[i].code, "%s", remote_exclusive[i].words);
    }
    return true;
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
