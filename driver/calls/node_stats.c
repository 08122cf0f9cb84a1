/* node_stats.c - the calls about the host's processors and memory as they are now.
 *
 * Numbers are the kernel's, from /proc/stat, /proc/meminfo and /sys/devices/system. Names and
 * units of the statistics are libvirt's (libvirt-host.h).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>
#include <unistd.h>

#include "driver/calls/handlers.h"
#include "driver/node/sysfs.h"

/* A value in KiB of a text like /proc/meminfo; 0 when it is not there. */
static uint64_t
node_meminfo(const char *text, const char *key)
{
    g_autofree char *line = text ? sysfs_find_line(text, key) : NULL;

    return line ? g_ascii_strtoull(line, NULL, 10) : 0;
}

/* As node_meminfo(), of one NUMA node, whose lines begin with "Node N ". */
static uint64_t
node_cell_meminfo(int cell, const char *key)
{
    g_autofree char *text = sysfs_read("", "/sys/devices/system/node/node%d/meminfo", cell);
    g_autofree char *full = g_strdup_printf("Node %d %s", cell, key);

    return node_meminfo(text, full);
}

static bool
node_has_cell(int cell)
{
    return cell >= 0 && sysfs_exists("", "/sys/devices/system/node/node%d", cell);
}

bool
call_node_get_free_memory(Call *call, const WireVoid *args, HyperRet *ret, GError **err)
{
    g_autofree char *text = sysfs_read("", "/proc/meminfo");

    (void)call;
    (void)args;
    if (!text)
        return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "cannot read '/proc/meminfo'");
    ret->value = node_meminfo(text, "MemFree") * 1024;
    return true;
}

bool
call_node_get_cells_free_memory(Call *call, const NodeGetCellsFreeMemoryArgs *args,
                                NodeGetCellsFreeMemoryRet *ret, GError **err)
{
    int last = args->first;

    (void)call;
    if (args->max <= 0 || args->max > WIRE_NODE_CELLS_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "maxCells is %d, but must be from 1 to %d",
                              args->max, WIRE_NODE_CELLS_MAX);
    if (!node_has_cell(args->first))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "start cell %d out of range",
                              args->first);
    while (last - args->first < args->max && node_has_cell(last))
        last++;
    ret->cells.cells_len = (u_int)(last - args->first);
    ret->cells.cells_val = g_new0(u_quad_t, ret->cells.cells_len);
    for (int cell = args->first; cell < last; cell++)
        ret->cells.cells_val[cell - args->first] = node_cell_meminfo(cell, "MemFree") * 1024;
    return true;
}

/* Fills a result of @n statistics, or says how many there are when the client asks for none. */
static bool
node_stats_set(NodeStatsRet *ret, const char *const *names, const uint64_t *values, int n,
               int asked, GError **err)
{
    ret->nparams = n;
    if (asked == 0)
        return true;
    if (asked != n)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "nparams is %d, but must be %d", asked, n);
    ret->params.params_len = (u_int)n;
    ret->params.params_val = g_new0(WireNodeStat, (gsize)n);
    for (int i = 0; i < n; i++) {
        ret->params.params_val[i].field = g_strdup(names[i]);
        ret->params.params_val[i].value = values[i];
    }
    return true;
}

bool
call_node_get_cpu_stats(Call *call, const NodeGetCpuStatsArgs *args, NodeStatsRet *ret,
                        GError **err)
{
    static const char *const names[] = { VIR_NODE_CPU_STATS_KERNEL, VIR_NODE_CPU_STATS_USER,
                                         VIR_NODE_CPU_STATS_IDLE, VIR_NODE_CPU_STATS_IOWAIT };
    g_autofree char *text = sysfs_read("", "/proc/stat");
    g_autofree char *key = args->cpu < 0 ? g_strdup("cpu") : g_strdup_printf("cpu%d", args->cpu);
    g_autofree char *line = text ? sysfs_find_line(text, key) : NULL;
    /* user nice system idle iowait irq softirq */
    uint64_t ticks[7] = { 0 }, ns = 1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK);
    uint64_t values[4];
    char *at = line;

    (void)call;
    if (!call_check_flags(args->flags, 0, "virNodeGetCPUStats", err))
        return false;
    if (args->cpu < VIR_NODE_CPU_STATS_ALL_CPUS || !line)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Invalid cpuNum in virNodeGetCPUStats: %d",
                              args->cpu);
    for (size_t i = 0; i < G_N_ELEMENTS(ticks); i++)
        ticks[i] = g_ascii_strtoull(at, &at, 10);
    values[0] = (ticks[2] + ticks[5] + ticks[6]) * ns;
    values[1] = (ticks[0] + ticks[1]) * ns;
    values[2] = ticks[3] * ns;
    values[3] = ticks[4] * ns;
    return node_stats_set(ret, names, values, G_N_ELEMENTS(values), args->nparams, err);
}

bool
call_node_get_memory_stats(Call *call, const NodeGetMemoryStatsArgs *args, NodeStatsRet *ret,
                           GError **err)
{
    static const char *const names[] = { VIR_NODE_MEMORY_STATS_TOTAL, VIR_NODE_MEMORY_STATS_FREE,
                                         VIR_NODE_MEMORY_STATS_BUFFERS,
                                         VIR_NODE_MEMORY_STATS_CACHED };
    static const char *const keys[] = { "MemTotal", "MemFree", "Buffers", "Cached" };
    bool all = args->cell == VIR_NODE_MEMORY_STATS_ALL_CELLS;
    g_autofree char *text = all ? sysfs_read("", "/proc/meminfo") : NULL;
    uint64_t values[4];

    (void)call;
    if (!call_check_flags(args->flags, 0, "virNodeGetMemoryStats", err))
        return false;
    if (!all && !node_has_cell(args->cell))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "cellNum in virNodeGetMemoryStats is %d, but there is no such cell",
                              args->cell);
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++)
        values[i] = all ? node_meminfo(text, keys[i]) : node_cell_meminfo(args->cell, keys[i]);
    /* The kernel does not tell buffers and cache by cell. */
    return node_stats_set(ret, names, values, all ? 4 : 2, args->nparams, err);
}

bool
call_node_get_cpu_map(Call *call, const NodeGetCpuMapArgs *args, NodeGetCpuMapRet *ret,
                      GError **err)
{
    g_autofree char *present_text = sysfs_read("", "/sys/devices/system/cpu/present");
    g_autofree char *online_text = sysfs_read("", "/sys/devices/system/cpu/online");
    g_autoptr(GArray) present = sysfs_parse_list(present_text);
    g_autoptr(GArray) online = sysfs_parse_list(online_text);
    unsigned count = 0;

    (void)call;
    if (!call_check_flags(args->flags, 0, "virNodeGetCPUMap", err))
        return false;
    for (guint i = 0; i < present->len; i++)
        count = MAX(count, g_array_index(present, unsigned, i) + 1);
    if (!count || count > WIRE_CPUMAP_MAX * 8)
        return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                              "cannot learn the processors from '/sys/devices/system/cpu'");
    ret->count = (int)count;
    ret->online = args->need_online ? online->len : 0;
    if (!args->need_map)
        return true;
    ret->map.map_len = (count + 7) / 8;
    ret->map.map_val = g_malloc0(ret->map.map_len);
    for (guint i = 0; i < online->len; i++) {
        unsigned cpu = g_array_index(online, unsigned, i);

        if (cpu < count)
            ret->map.map_val[cpu / 8] |= (char)(1 << cpu % 8);
    }
    return true;
}
