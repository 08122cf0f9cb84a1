/* node_memory.c - the calls about the host's page pools and memory sharing, and the CPU models
 * guests can be given.
 *
 * Linux Documentation/admin-guide/mm/hugetlbpage.rst and ksm.rst; names are libvirt's
 * (libvirt-host.h).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <unistd.h>

#include "driver/calls/handlers.h"
#include "driver/calls/params.h"
#include "driver/node/node.h"
#include "driver/node/sysfs.h"
#include "util/file.h"

/* A number that is all of a file of /sys; false when it is not there. */
static bool
read_number(uint64_t *ret, const char *path)
{
    g_autofree char *text = sysfs_read("", "%s", path);
    char *end;

    if (!text || !*text)
        return false;
    *ret = g_ascii_strtoull(text, &end, 10);
    return end != text;
}

static bool
is_node(int cell)
{
    return cell == 0 || sysfs_exists("", "/sys/devices/system/node/node%d", cell);
}

/* Free pages of @size_kib in a NUMA node; -1 is the whole host, which without nodes is node 0. */
static bool
free_pages(int cell, unsigned size_kib, uint64_t *ret, GError **err)
{
    bool numa = cell >= 0 && sysfs_exists("", "/sys/devices/system/node/node%d", cell);
    g_autofree char *base = numa
                                ? g_strdup_printf("/sys/devices/system/node/node%d/hugepages", cell)
                                : g_strdup("/sys/kernel/mm/hugepages");
    g_autofree char *path = g_strdup_printf("%s/hugepages-%ukB/free_hugepages", base, size_kib);
    unsigned system_kib = (unsigned)sysconf(_SC_PAGESIZE) / 1024;

    if (!numa && cell > 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "there is no NUMA node %d", cell);
    if (size_kib == system_kib) {
        g_autofree char *text =
            numa ? sysfs_read("", "/sys/devices/system/node/node%d/meminfo", cell)
                 : sysfs_read("", "/proc/meminfo");
        g_autofree char *key =
            numa ? g_strdup_printf("Node %d MemFree", cell) : g_strdup("MemFree");
        g_autofree char *line = text ? sysfs_find_line(text, key) : NULL;

        if (!line)
            return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                                  "cannot learn the free memory of NUMA node %d", cell);
        *ret = g_ascii_strtoull(line, NULL, 10) / system_kib;
        return true;
    }
    return read_number(ret, path) ||
           kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                          "page size %u KiB is not available on node %d", size_kib, cell);
}

bool
call_node_get_free_pages(Call *call, const NodeGetFreePagesArgs *args, NodeGetFreePagesRet *ret,
                         GError **err)
{
    uint64_t total = (uint64_t)args->pages.pages_len * args->cells;
    u_int n = 0;

    (void)call;
    if (!call_check_flags(args->flags, 0, "virNodeGetFreePages", err))
        return false;
    if (args->first < -1 || total == 0 || total > WIRE_NODE_CELLS_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "%u page sizes of %u cells from cell %d on; from 1 to %d numbers can "
                              "be told",
                              args->pages.pages_len, args->cells, args->first, WIRE_NODE_CELLS_MAX);
    ret->counts.counts_val = g_new0(u_quad_t, total);
    /* What lies past the last node is left out, not refused. */
    for (unsigned cell = 0; cell < args->cells && (cell == 0 || is_node(args->first + (int)cell));
         cell++)
        for (u_int i = 0; i < args->pages.pages_len; i++) {
            uint64_t count = 0;

            if (!free_pages(args->first + (int)cell, args->pages.pages_val[i], &count, err))
                return false;
            ret->counts.counts_val[n++] = count;
        }
    ret->counts.counts_len = n;
    return true;
}

bool
call_node_get_memory_parameters(Call *call, const NodeGetMemoryParametersArgs *args,
                                NodeGetMemoryParametersRet *ret, GError **err)
{
    static const struct {
        const char *field, *file;
        bool wide;
    } files[] = {
        { VIR_NODE_MEMORY_SHARED_PAGES_TO_SCAN, "pages_to_scan", false },
        { VIR_NODE_MEMORY_SHARED_SLEEP_MILLISECS, "sleep_millisecs", false },
        { VIR_NODE_MEMORY_SHARED_PAGES_SHARED, "pages_shared", true },
        { VIR_NODE_MEMORY_SHARED_PAGES_SHARING, "pages_sharing", true },
        { VIR_NODE_MEMORY_SHARED_PAGES_UNSHARED, "pages_unshared", true },
        { VIR_NODE_MEMORY_SHARED_PAGES_VOLATILE, "pages_volatile", true },
        { VIR_NODE_MEMORY_SHARED_FULL_SCANS, "full_scans", true },
        { VIR_NODE_MEMORY_SHARED_MERGE_ACROSS_NODES, "merge_across_nodes", false },
    };
    g_autoptr(WireParams) params = wire_params_new();

    (void)call;
    if (!call_check_flags(args->flags, VIR_TYPED_PARAM_STRING_OKAY, "virNodeGetMemoryParameters",
                          err))
        return false;
    /* A kernel without same-page merging has none of these. */
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_strconcat("/sys/kernel/mm/ksm/", files[i].file, NULL);
        uint64_t value;

        if (!read_number(&value, path))
            continue;
        if (files[i].wide)
            wire_params_add_ullong(params, files[i].field, value);
        else
            wire_params_add_uint(params, files[i].field, (unsigned)value);
    }
    ret->nparams = (int)wire_params_count(params);
    if (args->nparams > 0 && args->nparams < ret->nparams)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "room for %d parameters, there are %d",
                              args->nparams, ret->nparams);
    if (args->nparams > 0)
        wire_params_steal(g_steal_pointer(&params), &ret->params.params_len,
                          &ret->params.params_val);
    return true;
}

/* Writes a number to a file of /sys. */
static bool
write_number(const char *path, uint64_t value, GError **err)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, value);
    int ret = file_put_setting(path, text);

    return ret == 0 ||
           kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret, "failed to set %s", path);
}

bool
call_node_set_memory_parameters(Call *call, const NodeSetMemoryParametersArgs *args, WireVoid *ret,
                                GError **err)
{
    static const char *const files[] = { "pages_to_scan", "sleep_millisecs", "merge_across_nodes" };
    uint64_t values[G_N_ELEMENTS(files)];
    bool given[G_N_ELEMENTS(files)] = { false };
    const CallParam all[] = {
        { VIR_NODE_MEMORY_SHARED_PAGES_TO_SCAN, VIR_TYPED_PARAM_UINT, &values[0], &given[0] },
        { VIR_NODE_MEMORY_SHARED_SLEEP_MILLISECS, VIR_TYPED_PARAM_UINT, &values[1], &given[1] },
        { VIR_NODE_MEMORY_SHARED_MERGE_ACROSS_NODES, VIR_TYPED_PARAM_UINT, &values[2], &given[2] },
    };

    (void)call;
    (void)ret;
    if (!call_check_flags(args->flags, 0, "virNodeSetMemoryParameters", err) ||
        !call_params_take(args->params.params_val, args->params.params_len, all, G_N_ELEMENTS(all),
                          err))
        return false;
    /* All or nothing, as far as that can be told. */
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
        if (given[i] && !sysfs_exists("", "/sys/kernel/mm/ksm/%s", files[i]))
            return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                                  "Parameter '%s' is not supported by this kernel", all[i].name);
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_strconcat("/sys/kernel/mm/ksm/", files[i], NULL);

        if (given[i] && !write_number(path, values[i], err))
            return false;
    }
    return true;
}

/* Sets the pool of pages of @size_kib in @cell to @count, or (@add) makes it larger by that. */
static bool
alloc_pages(int cell, unsigned size_kib, uint64_t count, bool add, GError **err)
{
    bool numa = sysfs_exists("", "/sys/devices/system/node/node%d", cell);
    g_autofree char *base = numa
                                ? g_strdup_printf("/sys/devices/system/node/node%d/hugepages", cell)
                                : g_strdup("/sys/kernel/mm/hugepages");
    g_autofree char *path = g_strdup_printf("%s/hugepages-%ukB/nr_hugepages", base, size_kib);
    uint64_t now, got = 0;

    if (size_kib == (unsigned)sysconf(_SC_PAGESIZE) / 1024)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "system pages pool can't be modified");
    if (!read_number(&now, path))
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "page size %u KiB is not available on node %d", size_kib, cell);
    if (add)
        count = count > G_MAXUINT64 - now ? G_MAXUINT64 : count + now;
    if (count == now)
        return true;
    if (!write_number(path, count, err))
        return false;
    if (!read_number(&got, path) || got != count)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "Unable to allocate %" G_GUINT64_FORMAT
                              " pages. Allocated only %" G_GUINT64_FORMAT,
                              count, got);
    return true;
}

bool
call_node_alloc_pages(Call *call, const NodeAllocPagesArgs *args, IntRet *ret, GError **err)
{
    bool add = !(args->flags & VIR_NODE_ALLOC_PAGES_SET);

    (void)call;
    if (!call_check_flags(args->flags, VIR_NODE_ALLOC_PAGES_SET, "virNodeAllocPages", err))
        return false;
    if (args->sizes.sizes_len != args->counts.counts_len || args->sizes.sizes_len == 0 ||
        args->first < 0 || args->cells == 0 || args->cells > WIRE_NODE_CELLS_MAX)
        return kiln_error_set(
            err, VIR_ERR_INVALID_ARG, "%u page sizes with %u counts for %u cells from cell %d on",
            args->sizes.sizes_len, args->counts.counts_len, args->cells, args->first);
    for (unsigned cell = 0; cell < args->cells; cell++) {
        int node = args->first + (int)cell;

        if (node > 0 && !sysfs_exists("", "/sys/devices/system/node/node%d", node)) {
            /* Cells that are not there are passed over, but for the first. */
            if (cell > 0)
                break;
            return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "start cell %d out of range", node);
        }
        for (u_int i = 0; i < args->sizes.sizes_len; i++) {
            if (!alloc_pages(node, args->sizes.sizes_val[i], args->counts.counts_val[i], add, err))
                return false;
            ret->value++;
        }
    }
    return true;
}

bool
call_connect_get_cpu_model_names(Call *call, const ConnectGetCpuModelNamesArgs *args,
                                 ConnectGetCpuModelNamesRet *ret, GError **err)
{
    g_autoptr(GPtrArray) names = NULL;

    if (!call_check_flags(args->flags, 0, "virConnectGetCPUModelNames", err) ||
        !(names = node_get_cpu_model_names(call->services->node, args->arch, err)))
        return false;
    ret->count = (int)names->len;
    if (args->need_results)
        wire_names_steal(g_steal_pointer(&names), WIRE_CPU_MODELS_MAX, &ret->models.models_len,
                         &ret->models.models_val);
    return true;
}
