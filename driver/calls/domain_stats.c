/* domain_stats.c - the calls for memory, disk and interface counters, and a guest's addresses.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <string.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/guest.h"
#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"
#include "network/network.h"

/* --- memory ----------------------------------------------------------------------------------- */

bool
call_domain_set_memory(Call *call, const DomainMemoryArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_set_memory(call->domain, args->memory, VIR_DOMAIN_AFFECT_LIVE, err);
}

bool
call_domain_set_memory_flags(Call *call, const DomainMemoryFlagsArgs *args, WireVoid *ret,
                             GError **err)
{
    (void)ret;
    return domain_set_memory(call->domain, args->memory, args->flags, err);
}

bool
call_domain_set_max_memory(Call *call, const DomainMemoryArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_set_memory(call->domain, args->memory, VIR_DOMAIN_MEM_MAXIMUM, err);
}

bool
call_domain_set_memory_stats_period(Call *call, const DomainSetMemoryStatsPeriodArgs *args,
                                    WireVoid *ret, GError **err)
{
    (void)ret;
    if (args->period < 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "a period of %d seconds is negative",
                              args->period);
    return domain_set_memory_stats_period(call->domain, args->period, args->flags, err);
}

bool
call_domain_start_dirty_rate_calc(Call *call, const DomainStartDirtyRateCalcArgs *args,
                                  WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_start_dirty_rate(call->domain, args->seconds, args->flags, err);
}

bool
call_domain_memory_stats(Call *call, const DomainMemoryStatsArgs *args, DomainMemoryStatsRet *ret,
                         GError **err)
{
    g_autoptr(GArray) stats = NULL;
    u_int n;

    if (!(stats = domain_memory_stats(call->domain, err)))
        return false;
    n = MIN(MIN(args->max, stats->len), WIRE_MEMORY_STATS_MAX);
    ret->stats.stats_len = n;
    ret->stats.stats_val = g_new0(WireMemoryStat, n + 1);
    for (u_int i = 0; i < n; i++) {
        const DomainMemoryStat *stat = &g_array_index(stats, DomainMemoryStat, i);

        ret->stats.stats_val[i] = (WireMemoryStat){ stat->tag, stat->value };
    }
    return true;
}

/* --- disks ------------------------------------------------------------------------------------ */

/* The disk with target or source @path; an empty one means all disks together. */
static const DomainBlockStats *
find_disk(const GPtrArray *list, const char *path, DomainBlockStats *sum, GError **err)
{
    *sum = (DomainBlockStats){ 0 };
    for (guint i = 0; i < list->len; i++) {
        const DomainBlockStats *stats = list->pdata[i];

        if (strcmp(stats->target, path) == 0 || (stats->path && strcmp(stats->path, path) == 0))
            return stats;
        sum->rd_req += MAX(0, stats->rd_req);
        sum->rd_bytes += MAX(0, stats->rd_bytes);
        sum->wr_req += MAX(0, stats->wr_req);
        sum->wr_bytes += MAX(0, stats->wr_bytes);
        sum->flush_req += MAX(0, stats->flush_req);
        sum->rd_ns += MAX(0, stats->rd_ns);
        sum->wr_ns += MAX(0, stats->wr_ns);
        sum->flush_ns += MAX(0, stats->flush_ns);
    }
    if (!*path)
        return sum;
    kiln_error_set(err, VIR_ERR_INVALID_ARG, "invalid path: %s", path);
    return NULL;
}

bool
call_domain_block_stats(Call *call, const DomainPathArgs *args, DomainBlockStatsRet *ret,
                        GError **err)
{
    g_autoptr(GPtrArray) list = domain_block_stats(call->domain, false, err);
    const DomainBlockStats *stats;
    DomainBlockStats sum;

    if (!list || !(stats = find_disk(list, args->path, &sum, err)))
        return false;
    ret->rd_req = stats->rd_req;
    ret->rd_bytes = stats->rd_bytes;
    ret->wr_req = stats->wr_req;
    ret->wr_bytes = stats->wr_bytes;
    ret->errs = -1;
    return true;
}

bool
call_domain_block_stats_flags(Call *call, const DomainPathParamsArgs *args, DomainParamsRet *ret,
                              GError **err)
{
    g_autoptr(GPtrArray) list = NULL;
    g_autoptr(WireParams) params = NULL;
    const DomainBlockStats *stats;
    DomainBlockStats sum;

    if (!(list = domain_block_stats(call->domain, false, err)) ||
        !(stats = find_disk(list, args->path, &sum, err)))
        return false;
    params = wire_params_new();
    wire_params_add_llong(params, VIR_DOMAIN_BLOCK_STATS_WRITE_BYTES, stats->wr_bytes);
    wire_params_add_llong(params, VIR_DOMAIN_BLOCK_STATS_WRITE_REQ, stats->wr_req);
    wire_params_add_llong(params, VIR_DOMAIN_BLOCK_STATS_WRITE_TOTAL_TIMES, stats->wr_ns);
    wire_params_add_llong(params, VIR_DOMAIN_BLOCK_STATS_READ_BYTES, stats->rd_bytes);
    wire_params_add_llong(params, VIR_DOMAIN_BLOCK_STATS_READ_REQ, stats->rd_req);
    wire_params_add_llong(params, VIR_DOMAIN_BLOCK_STATS_READ_TOTAL_TIMES, stats->rd_ns);
    wire_params_add_llong(params, VIR_DOMAIN_BLOCK_STATS_FLUSH_REQ, stats->flush_req);
    wire_params_add_llong(params, VIR_DOMAIN_BLOCK_STATS_FLUSH_TOTAL_TIMES, stats->flush_ns);
    return domain_reply_params(g_steal_pointer(&params), args->nparams, ret, err);
}

bool
call_domain_get_disk_errors(Call *call, const DomainGetDiskErrorsArgs *args,
                            DomainGetDiskErrorsRet *ret, GError **err)
{
    g_autoptr(GPtrArray) list = NULL;
    guint n = 0;

    if (!(list = domain_block_stats(call->domain, false, err)))
        return false;
    /* asked with 0: how many disks could have one */
    if (args->max == 0) {
        ret->count = (int)list->len;
        return true;
    }
    ret->errors.errors_val = g_new0(WireDiskError, list->len + 1);
    for (guint i = 0; i < list->len && n < MIN((guint)args->max, WIRE_DISK_ERRORS_MAX); i++) {
        const DomainBlockStats *stats = list->pdata[i];

        if (stats->error == VIR_DOMAIN_DISK_ERROR_NONE)
            continue;
        ret->errors.errors_val[n].disk = g_strdup(stats->target);
        ret->errors.errors_val[n++].error = stats->error;
    }
    ret->errors.errors_len = n;
    ret->count = (int)n;
    return true;
}

/* --- interfaces ------------------------------------------------------------------------------- */

bool
call_domain_interface_stats(Call *call, const DomainPathArgs *args, DomainInterfaceStatsRet *ret,
                            GError **err)
{
    g_autoptr(GPtrArray) list = domain_interfaces(call->domain, err);
    NetworkPortStats stats;

    for (guint i = 0; list && i < list->len; i++) {
        const DomainInterfaceInfo *info = list->pdata[i];

        if (!info->ifname || (strcmp(info->ifname, args->path) != 0 &&
                              g_ascii_strcasecmp(info->mac, args->path) != 0))
            continue;
        if (!network_port_stats(info->ifname, &stats, err))
            return false;
        *ret = (DomainInterfaceStatsRet){
            .rx_bytes = stats.rx_bytes,
            .rx_packets = stats.rx_packets,
            .rx_errs = stats.rx_errs,
            .rx_drop = stats.rx_drop,
            .tx_bytes = stats.tx_bytes,
            .tx_packets = stats.tx_packets,
            .tx_errs = stats.tx_errs,
            .tx_drop = stats.tx_drop,
        };
        return true;
    }
    return list && kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "invalid path, '%s' is not a known interface", args->path);
}

/* The leases that a network gave to one interface, as one entry of the answer. */
static void
add_leases(Call *call, const DomainInterfaceInfo *info, GArray *out)
{
    g_autoptr(Network) network =
        network_manager_lookup_name(call->services->networks, info->network, NULL);
    g_autoptr(GPtrArray) leases = network ? network_leases(network, info->mac, NULL) : NULL;
    WireInterface entry = { 0 };

    if (!leases || leases->len == 0)
        return;
    entry.name = g_strdup(info->ifname ? info->ifname : "");
    entry.hwaddr = wire_opt_string(info->mac);
    entry.addrs.addrs_val = g_new0(WireIpAddr, leases->len);
    for (guint i = 0; i < leases->len && i < WIRE_IP_ADDRS_MAX; i++) {
        const NetworkLease *lease = leases->pdata[i];

        entry.addrs.addrs_val[entry.addrs.addrs_len++] =
            (WireIpAddr){ lease->type, g_strdup(lease->ip), lease->prefix };
    }
    g_array_append_val(out, entry);
}

/* The addresses that this host's own table of neighbours has for one interface: IPv4 only, as
 * /proc/net/arp tells them ("address type flags hardware-address mask device"). */
static void
add_neighbours(const DomainInterfaceInfo *info, const char *table, GArray *out)
{
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);
    WireInterface entry = { 0 };

    for (guint i = 1; lines[0] && lines[i]; i++) {
        char address[64], mac[64];
        unsigned flags = 0;

        if (sscanf(lines[i], "%63s %*s %x %63s", address, &flags, mac) != 3 || flags == 0 ||
            g_ascii_strcasecmp(mac, info->mac) != 0 || entry.addrs.addrs_len == WIRE_IP_ADDRS_MAX)
            continue;
        entry.addrs.addrs_val =
            g_renew(WireIpAddr, entry.addrs.addrs_val, entry.addrs.addrs_len + 1);
        entry.addrs.addrs_val[entry.addrs.addrs_len++] =
            (WireIpAddr){ VIR_IP_ADDR_TYPE_IPV4, g_strdup(address), 0 };
    }
    if (entry.addrs.addrs_len == 0)
        return;
    entry.name = g_strdup(info->ifname ? info->ifname : "");
    entry.hwaddr = wire_opt_string(info->mac);
    g_array_append_val(out, entry);
}

bool
call_domain_interface_addresses(Call *call, const DomainInterfaceAddressesArgs *args,
                                DomainInterfaceAddressesRet *ret, GError **err)
{
    bool arp = args->source == VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP;
    g_autoptr(GPtrArray) list = NULL;
    g_autofree char *table = NULL;
    GArray *out;

    if (args->source == VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
        return call_guest_addresses(call, ret, err);
    if (args->source != VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE && !arp)
        return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                              "Unknown IP address data source %u", args->source);
    if (!(list = domain_interfaces(call->domain, err)))
        return false;
    if (arp && !g_file_get_contents("/proc/net/arp", &table, NULL, NULL))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "cannot read /proc/net/arp");
    out = g_array_new(FALSE, FALSE, sizeof(WireInterface));
    for (guint i = 0; i < list->len && i < WIRE_INTERFACES_MAX; i++) {
        const DomainInterfaceInfo *info = list->pdata[i];

        if (arp && info->mac)
            add_neighbours(info, table, out);
        else if (info->network && info->mac)
            add_leases(call, info, out);
    }
    ret->ifaces.ifaces_len = out->len;
    ret->ifaces.ifaces_val = (WireInterface *)g_array_free(out, FALSE);
    return true;
}
