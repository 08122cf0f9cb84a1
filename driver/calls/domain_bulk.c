/* domain_bulk.c - statistics of many domains in one call (virConnectGetAllDomainStats).
 *
 * Groups and names are libvirt's: state, cpu-total, balloon, vcpu, interface, block, perf,
 * iothread, memory, dirtyrate, vm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"
#include "network/network.h"

/* Flags that choose domains have the values of virConnectListAllDomainsFlags. */
#define BULK_FILTERS 0xffu

static void
bulk_field(char *field, size_t size, const char *group, guint index, const char *name)
{
    g_snprintf(field, size, "%s.%u.%s", group, index, name);
}

static void
bulk_counter(WireParams *params, const char *group, guint index, const char *name, int64_t value)
{
    char field[80];

    if (value < 0)
        return;
    bulk_field(field, sizeof field, group, index, name);
    wire_params_add_ullong(params, field, (uint64_t)value);
}

static void
bulk_text(WireParams *params, const char *group, guint index, const char *name, const char *value)
{
    char field[80];

    if (!value)
        return;
    bulk_field(field, sizeof field, group, index, name);
    wire_params_add_string(params, field, value);
}

static void
bulk_state(Domain *domain, WireParams *params)
{
    int reason = 0;
    int state = domain_state(domain, &reason);

    wire_params_add_int(params, "state.state", state);
    wire_params_add_int(params, "state.reason", reason);
}

static void
bulk_cpu(Domain *domain, WireParams *params)
{
    uint64_t success, fail;
    DomainCpuTimes times;

    if (!domain_cpu_times(domain, &times, NULL))
        return;
    wire_params_add_ullong(params, "cpu.time", times.total);
    wire_params_add_ullong(params, "cpu.user", times.user);
    wire_params_add_ullong(params, "cpu.system", times.system);
    if (domain_halt_poll(domain, &success, &fail)) {
        wire_params_add_ullong(params, "cpu.haltpoll.success.time", success);
        wire_params_add_ullong(params, "cpu.haltpoll.fail.time", fail);
    }
    wire_params_add_uint(params, "cpu.cache.monitor.count", 0); /* <cachetune> is not offered */
}

static void
bulk_balloon(Domain *domain, WireParams *params)
{
    static const char *const names[] = {
        [VIR_DOMAIN_MEMORY_STAT_SWAP_IN] = "balloon.swap_in",
        [VIR_DOMAIN_MEMORY_STAT_SWAP_OUT] = "balloon.swap_out",
        [VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT] = "balloon.major_fault",
        [VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT] = "balloon.minor_fault",
        [VIR_DOMAIN_MEMORY_STAT_UNUSED] = "balloon.unused",
        [VIR_DOMAIN_MEMORY_STAT_AVAILABLE] = "balloon.available",
        [VIR_DOMAIN_MEMORY_STAT_RSS] = "balloon.rss",
        [VIR_DOMAIN_MEMORY_STAT_USABLE] = "balloon.usable",
        [VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE] = "balloon.last-update",
        [VIR_DOMAIN_MEMORY_STAT_DISK_CACHES] = "balloon.disk_caches",
        [VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC] = "balloon.hugetlb_pgalloc",
        [VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL] = "balloon.hugetlb_pgfail",
    };
    g_autoptr(GArray) stats = NULL;
    DomainInfo info;

    domain_info(domain, &info);
    wire_params_add_ullong(params, "balloon.current", info.memory);
    wire_params_add_ullong(params, "balloon.maximum", info.max_memory);
    /* A guest that stops meanwhile, or has no balloon driver, has no more to tell. */
    stats = domain_is_active(domain) ? domain_memory_stats(domain, NULL) : NULL;
    for (guint i = 0; stats && i < stats->len; i++) {
        const DomainMemoryStat *stat = &g_array_index(stats, DomainMemoryStat, i);

        if (stat->tag >= 0 && (gsize)stat->tag < G_N_ELEMENTS(names) && names[stat->tag])
            wire_params_add_ullong(params, names[stat->tag], stat->value);
    }
}

static void
bulk_vcpu_stats(WireParams *params, const GPtrArray *stats, unsigned number)
{
    for (guint i = 0; i < stats->len; i++) {
        const DomainVcpuStat *stat = stats->pdata[i];
        char field[80];

        if (stat->vcpu != number)
            continue;
        bulk_field(field, sizeof field, "vcpu", number, stat->name);
        if (stat->is_flag)
            wire_params_add_boolean(params, field, stat->value);
        else
            wire_params_add_ullong(params, field, stat->value);
    }
}

static void
bulk_vcpu(Domain *domain, WireParams *params)
{
    g_autoptr(GPtrArray) stats = NULL;
    g_autoptr(GArray) infos = NULL;
    int current = domain_vcpu_count(domain, VIR_DOMAIN_AFFECT_CURRENT, NULL);
    int maximum =
        domain_vcpu_count(domain, VIR_DOMAIN_AFFECT_CURRENT | VIR_DOMAIN_VCPU_MAXIMUM, NULL);

    if (current >= 0)
        wire_params_add_uint(params, "vcpu.current", (unsigned)current);
    if (maximum >= 0)
        wire_params_add_uint(params, "vcpu.maximum", (unsigned)maximum);
    infos = domain_is_active(domain) ? domain_vcpu_infos(domain, NULL) : NULL;
    stats = domain_vcpu_stats(domain);
    for (guint i = 0; infos && i < infos->len; i++) {
        const DomainVcpuInfo *info = &g_array_index(infos, DomainVcpuInfo, i);
        char field[80];

        bulk_field(field, sizeof field, "vcpu", info->number, "state");
        wire_params_add_int(params, field, info->state);
        bulk_counter(params, "vcpu", info->number, "time", (int64_t)info->cpu_time);
        bulk_counter(params, "vcpu", info->number, "wait", (int64_t)info->wait);
        bulk_counter(params, "vcpu", info->number, "delay", (int64_t)info->delay);
        bulk_vcpu_stats(params, stats, info->number);
    }
}

static void
bulk_interface(Domain *domain, WireParams *params)
{
    g_autoptr(GPtrArray) ifaces = domain_is_active(domain) ? domain_interfaces(domain, NULL) : NULL;

    if (!ifaces)
        return;
    wire_params_add_uint(params, "net.count", ifaces->len);
    for (guint i = 0; i < ifaces->len; i++) {
        const DomainInterfaceInfo *iface = ifaces->pdata[i];
        NetworkPortStats stats;

        bulk_text(params, "net", i, "name", iface->ifname);
        if (!iface->ifname || !network_port_stats(iface->ifname, &stats, NULL))
            continue;
        bulk_counter(params, "net", i, "rx.bytes", (int64_t)stats.rx_bytes);
        bulk_counter(params, "net", i, "rx.pkts", (int64_t)stats.rx_packets);
        bulk_counter(params, "net", i, "rx.errs", (int64_t)stats.rx_errs);
        bulk_counter(params, "net", i, "rx.drop", (int64_t)stats.rx_drop);
        bulk_counter(params, "net", i, "tx.bytes", (int64_t)stats.tx_bytes);
        bulk_counter(params, "net", i, "tx.pkts", (int64_t)stats.tx_packets);
        bulk_counter(params, "net", i, "tx.errs", (int64_t)stats.tx_errs);
        bulk_counter(params, "net", i, "tx.drop", (int64_t)stats.tx_drop);
    }
}

static void
bulk_disks(Domain *domain, bool chains, WireParams *params)
{
    g_autoptr(GPtrArray) disks =
        domain_is_active(domain) ? domain_block_stats(domain, chains, NULL) : NULL;

    if (!disks)
        return;
    wire_params_add_uint(params, "block.count", disks->len);
    for (guint i = 0; i < disks->len; i++) {
        const DomainBlockStats *disk = disks->pdata[i];
        char field[80];

        bulk_text(params, "block", i, "name", disk->target);
        bulk_text(params, "block", i, "path", disk->path);
        bulk_field(field, sizeof field, "block", i, "backingIndex");
        if (disk->index > 0)
            wire_params_add_uint(params, field, disk->index);
        bulk_counter(params, "block", i, "rd.reqs", disk->rd_req);
        bulk_counter(params, "block", i, "rd.bytes", disk->rd_bytes);
        bulk_counter(params, "block", i, "rd.times", disk->rd_ns);
        bulk_counter(params, "block", i, "wr.reqs", disk->wr_req);
        bulk_counter(params, "block", i, "wr.bytes", disk->wr_bytes);
        bulk_counter(params, "block", i, "wr.times", disk->wr_ns);
        bulk_counter(params, "block", i, "fl.reqs", disk->flush_req);
        bulk_counter(params, "block", i, "fl.times", disk->flush_ns);
        bulk_counter(params, "block", i, "allocation", disk->allocation);
        bulk_counter(params, "block", i, "capacity", disk->capacity);
        bulk_counter(params, "block", i, "physical", disk->physical);
        if (disk->threshold > 0)
            bulk_counter(params, "block", i, "threshold", disk->threshold);
    }
}

static void
bulk_block(Domain *domain, WireParams *params)
{
    bulk_disks(domain, false, params);
}

static void
bulk_block_chains(Domain *domain, WireParams *params)
{
    bulk_disks(domain, true, params);
}

static void
bulk_dirtyrate(Domain *domain, WireParams *params)
{
    DomainDirtyRate rate;

    if (!domain_is_active(domain) || !domain_dirty_rate(domain, &rate, NULL))
        return;
    wire_params_add_int(params, "dirtyrate.calc_status", rate.status);
    wire_params_add_llong(params, "dirtyrate.calc_start_time", rate.begun);
    wire_params_add_int(params, "dirtyrate.calc_period", rate.seconds);
    wire_params_add_string(params, "dirtyrate.calc_mode", "page-sampling");
    if (rate.status == VIR_DOMAIN_DIRTYRATE_MEASURED)
        wire_params_add_llong(params, "dirtyrate.megabytes_per_second", rate.mib_per_second);
}

static void
bulk_perf_take(void *opaque, const char *name, uint64_t value)
{
    char field[80];

    g_snprintf(field, sizeof field, "perf.%s", name);
    wire_params_add_ullong(opaque, field, value);
}

static void
bulk_perf(Domain *domain, WireParams *params)
{
    domain_perf_stats(domain, bulk_perf_take, params);
}

static void
bulk_iothread(Domain *domain, WireParams *params)
{
    g_autoptr(GArray) threads =
        domain_is_active(domain) ? domain_iothread_stats(domain, NULL) : NULL;

    if (!threads || threads->len == 0)
        return;
    wire_params_add_uint(params, "iothread.count", threads->len);
    for (guint i = 0; i < threads->len; i++) {
        const DomainIothreadStats *thread = &g_array_index(threads, DomainIothreadStats, i);
        char field[80];

        bulk_counter(params, "iothread", thread->id, "poll-max-ns", (int64_t)thread->poll_max_ns);
        bulk_field(field, sizeof field, "iothread", thread->id, "poll-grow");
        wire_params_add_uint(params, field, thread->poll_grow);
        bulk_field(field, sizeof field, "iothread", thread->id, "poll-shrink");
        wire_params_add_uint(params, field, thread->poll_shrink);
    }
}

/* memory tells of monitors of bandwidth (resctrl) and vm of what the VMM counts by itself: Kiln's
 * guests have neither, and libvirt tells nothing of such guests. */
static void
bulk_nothing(Domain *domain, WireParams *params)
{
    (void)domain, (void)params;
}

static const struct {
    unsigned group; /* virDomainStatsTypes */
    void (*add)(Domain *domain, WireParams *params);
    void (*add_chains)(Domain *domain,
                       WireParams *params); /* with …_STATS_BACKING; NULL: as @add */
} bulk_groups[] = {
    { VIR_DOMAIN_STATS_STATE, bulk_state, NULL },
    { VIR_DOMAIN_STATS_CPU_TOTAL, bulk_cpu, NULL },
    { VIR_DOMAIN_STATS_BALLOON, bulk_balloon, NULL },
    { VIR_DOMAIN_STATS_VCPU, bulk_vcpu, NULL },
    { VIR_DOMAIN_STATS_INTERFACE, bulk_interface, NULL },
    { VIR_DOMAIN_STATS_BLOCK, bulk_block, bulk_block_chains },
    { VIR_DOMAIN_STATS_PERF, bulk_perf, NULL },
    { VIR_DOMAIN_STATS_DIRTYRATE, bulk_dirtyrate, NULL },
    { VIR_DOMAIN_STATS_MEMORY, bulk_nothing, NULL },
    { VIR_DOMAIN_STATS_VM, bulk_nothing, NULL },
    { VIR_DOMAIN_STATS_IOTHREAD, bulk_iothread, NULL },
};

static void
bulk_record(Domain *domain, unsigned groups, bool chains, WireDomainStats *ret)
{
    WireParams *params = wire_params_new();

    domain_reply_set(domain, &ret->dom);
    for (size_t i = 0; i < G_N_ELEMENTS(bulk_groups); i++)
        if (!groups || (groups & bulk_groups[i].group))
            (chains && bulk_groups[i].add_chains ? bulk_groups[i].add_chains
                                                 : bulk_groups[i].add)(domain, params);
    wire_params_steal(params, &ret->params.params_len, &ret->params.params_val);
}

/* The domains the client names, or else all that its flags choose; those gone meanwhile are left
 * out. */
static GPtrArray *
bulk_domains(Call *call, const ConnectGetAllDomainStatsArgs *args)
{
    DomainManager *manager = call->services->domains;
    GPtrArray *domains;

    if (!args->doms.doms_len)
        return domain_manager_list(manager, args->flags & BULK_FILTERS);
    domains = g_ptr_array_new_with_free_func((GDestroyNotify)domain_unref);
    for (u_int i = 0; i < args->doms.doms_len; i++) {
        const WireDomain *wire = &args->doms.doms_val[i];
        Domain *domain =
            domain_manager_lookup_uuid(manager, (const uint8_t *)wire->uuid, wire->name, NULL);

        if (domain)
            g_ptr_array_add(domains, domain);
    }
    return domains;
}

bool
call_connect_get_all_domain_stats(Call *call, const ConnectGetAllDomainStatsArgs *args,
                                  ConnectGetAllDomainStatsRet *ret, GError **err)
{
    g_autoptr(GPtrArray) domains = NULL;
    unsigned known = 0;

    if (!call_check_flags(args->flags,
                          BULK_FILTERS | VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING |
                              VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT |
                              VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS,
                          "virConnectGetAllDomainStats", err))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(bulk_groups); i++)
        known |= bulk_groups[i].group;
    if ((args->flags & VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS) && (args->stats & ~known))
        return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                              "Stats types bits 0x%x are not supported by this daemon",
                              args->stats & ~known);
    domains = bulk_domains(call, args);
    if (domains->len > WIRE_OBJECTS_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "%u domains are more than the %d of one answer",
                              domains->len, WIRE_OBJECTS_MAX);
    ret->records.records_val = g_new0(WireDomainStats, domains->len);
    for (guint i = 0; i < domains->len; i++) {
        bulk_record(domains->pdata[i], args->stats,
                    args->flags & VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING,
                    &ret->records.records_val[i]);
        ret->records.records_len = i + 1;
    }
    return true;
}
