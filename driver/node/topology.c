/* topology.c - the host's NUMA nodes, memory and processors. See topology.h.
 *
 * Linux: Documentation/ABI/stable/sysfs-devices-node, sysfs-devices-system-cpu.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/node/topology.h"

#include <stdlib.h>
#include <string.h>

#include "driver/node/sysfs.h"
#include "util/error.h"

#define NODE_DIR "/sys/devices/system/node"
#define CPU_DIR "/sys/devices/system/cpu"
#define BASE_PAGE_KIB 4

static void
cpu_free(gpointer data)
{
    HostCpu *cpu = data;

    g_free(cpu->siblings);
    g_free(cpu);
}

static void
cell_free(gpointer data)
{
    HostCell *cell = data;

    g_array_unref(cell->pages);
    g_array_unref(cell->distances);
    g_ptr_array_unref(cell->cpus);
    g_free(cell);
}

void
host_topology_free(HostTopology *topology)
{
    if (!topology)
        return;
    g_ptr_array_unref(topology->cells);
    g_free(topology);
}

static HostCpu *
cpu_read(const char *root, unsigned id)
{
    HostCpu *cpu = g_new0(HostCpu, 1);
    uint64_t n;

    cpu->id = id;
    /* -1, which some hypervisors show, counts as 0 */
    if (sysfs_read_uint(&n, root, CPU_DIR "/cpu%u/topology/physical_package_id", id))
        cpu->socket = n;
    if (sysfs_read_uint(&n, root, CPU_DIR "/cpu%u/topology/die_id", id))
        cpu->die = n;
    if (sysfs_read_uint(&n, root, CPU_DIR "/cpu%u/topology/core_id", id))
        cpu->core = n;
    else
        cpu->core = id;
    cpu->siblings = sysfs_read(root, CPU_DIR "/cpu%u/topology/thread_siblings_list", id);
    if (!cpu->siblings || !*cpu->siblings) {
        g_free(cpu->siblings);
        cpu->siblings = g_strdup_printf("%u", id);
    }
    return cpu;
}

static gint
pages_compare(gconstpointer a, gconstpointer b)
{
    const HostPages *x = a, *y = b;

    return x->size_kib < y->size_kib ? -1 : x->size_kib > y->size_kib;
}

/* @pool is the node's own directory of hugepages, or the whole host's. */
static void
cell_read_pages(HostCell *cell, const char *root, const char *pool)
{
    g_autofree char *path = g_strconcat(root, pool, NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    HostPages base = { .size_kib = BASE_PAGE_KIB };
    uint64_t huge_kib = 0;
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        HostPages pages = { 0 };
        char *end;

        if (!g_str_has_prefix(name, "hugepages-"))
            continue;
        pages.size_kib = g_ascii_strtoull(name + strlen("hugepages-"), &end, 10);
        if (strcmp(end, "kB") != 0 || !pages.size_kib)
            continue;
        sysfs_read_uint(&pages.count, root, "%s/%s/nr_hugepages", pool, name);
        huge_kib += pages.count * pages.size_kib;
        g_array_append_val(cell->pages, pages);
    }
    g_array_sort(cell->pages, pages_compare);
    if (cell->memory_kib > huge_kib)
        base.count = (cell->memory_kib - huge_kib) / BASE_PAGE_KIB;
    g_array_prepend_val(cell->pages, base);
}

static HostCell *
cell_new(unsigned id)
{
    HostCell *cell = g_new0(HostCell, 1);

    cell->id = id;
    cell->pages = g_array_new(FALSE, FALSE, sizeof(HostPages));
    cell->distances = g_array_new(FALSE, FALSE, sizeof(HostDistance));
    cell->cpus = g_ptr_array_new_with_free_func(cpu_free);
    return cell;
}

static void
cell_add_cpus(HostCell *cell, const char *root, const GArray *ids, const GArray *online)
{
    for (guint i = 0; i < ids->len; i++) {
        unsigned id = g_array_index(ids, unsigned, i);

        for (guint k = 0; k < online->len; k++)
            if (g_array_index(online, unsigned, k) == id) {
                g_ptr_array_add(cell->cpus, cpu_read(root, id));
                break;
            }
    }
}

static void
cell_read_distances(HostCell *cell, const char *root, const GArray *nodes)
{
    g_autofree char *text = sysfs_read(root, NODE_DIR "/node%u/distance", cell->id);
    g_auto(GStrv) words = text ? g_strsplit_set(text, " \t", -1) : NULL;

    for (guint i = 0; words && words[i] && i < nodes->len; i++) {
        HostDistance distance = { .cell = g_array_index(nodes, unsigned, i),
                                  .value = strtoul(words[i], NULL, 10) };

        g_array_append_val(cell->distances, distance);
    }
}

/* "Node 0 MemTotal:  1024 kB" */
static uint64_t
node_memory(const char *root, unsigned id)
{
    g_autofree char *key = g_strdup_printf("Node %u MemTotal", id);
    g_autofree char *text = sysfs_read(root, NODE_DIR "/node%u/meminfo", id);
    g_autofree char *value = text ? sysfs_find_line(text, key) : NULL;

    return value ? g_ascii_strtoull(value, NULL, 10) : 0;
}

static HostCell *
node_read(const char *root, unsigned id, const GArray *nodes, const GArray *online)
{
    g_autofree char *list = sysfs_read(root, NODE_DIR "/node%u/cpulist", id);
    g_autofree char *pool = g_strdup_printf(NODE_DIR "/node%u/hugepages", id);
    g_autoptr(GArray) ids = sysfs_parse_list(list);
    HostCell *cell = cell_new(id);

    cell->memory_kib = node_memory(root, id);
    cell_read_pages(cell, root, pool);
    cell_read_distances(cell, root, nodes);
    cell_add_cpus(cell, root, ids, online);
    return cell;
}

static uint64_t
host_memory(const char *root)
{
    g_autofree char *text = sysfs_read(root, "/proc/meminfo");
    g_autofree char *value = text ? sysfs_find_line(text, "MemTotal") : NULL;

    return value ? g_ascii_strtoull(value, NULL, 10) : 0;
}

HostTopology *
host_topology_read(const char *root, GError **err)
{
    g_autoptr(HostTopology) topology = g_new0(HostTopology, 1);
    g_autofree char *online_text = sysfs_read(root, CPU_DIR "/online");
    g_autofree char *present_text = sysfs_read(root, CPU_DIR "/present");
    g_autofree char *nodes_text = sysfs_read(root, NODE_DIR "/online");
    g_autoptr(GArray) online = sysfs_parse_list(online_text);
    g_autoptr(GArray) present = sysfs_parse_list(present_text);
    g_autoptr(GArray) nodes = sysfs_parse_list(nodes_text);

    topology->cells = g_ptr_array_new_with_free_func(cell_free);
    topology->memory_kib = host_memory(root);
    if (!online->len || !topology->memory_kib) {
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "'%s%s' does not tell %s", root,
                       online->len ? "/proc/meminfo" : CPU_DIR "/online",
                       online->len ? "how much memory there is" : "which processors are online");
        return NULL;
    }
    for (guint i = 0; i < nodes->len; i++)
        g_ptr_array_add(topology->cells,
                        node_read(root, g_array_index(nodes, unsigned, i), nodes, online));
    if (!nodes->len) {
        HostCell *cell = cell_new(0);

        g_ptr_array_add(topology->cells, cell);
        cell->memory_kib = topology->memory_kib;
        cell_read_pages(cell, root, "/sys/kernel/mm/hugepages");
        cell_add_cpus(cell, root, online, online);
    }
    topology->cpus = online->len;
    topology->offline = present->len > online->len ? present->len - online->len : 0;
    return g_steal_pointer(&topology);
}

/* Whether two processors belong to the same part. */
typedef bool (*CpuMatch)(const HostCpu *a, const HostCpu *b);

static bool
any(const HostCpu *a, const HostCpu *b)
{
    (void)a;
    (void)b;
    return true;
}

static bool
same_socket(const HostCpu *a, const HostCpu *b)
{
    return a->socket == b->socket;
}

static bool
same_core(const HostCpu *a, const HostCpu *b)
{
    return same_socket(a, b) && a->die == b->die && a->core == b->core;
}

static bool
same_cpu(const HostCpu *a, const HostCpu *b)
{
    return a == b;
}

/* How many processors of @cell, different by @distinct, are @within the same part as @of. */
static unsigned
cell_count(const HostCell *cell, const HostCpu *of, CpuMatch within, CpuMatch distinct)
{
    unsigned n = 0;

    for (guint i = 0; i < cell->cpus->len; i++) {
        const HostCpu *cpu = cell->cpus->pdata[i];
        bool seen = !within(of, cpu);

        for (guint k = 0; k < i && !seen; k++)
            seen = distinct(cell->cpus->pdata[k], cpu);
        n += !seen;
    }
    return n;
}

void
host_topology_count(const HostTopology *topology, unsigned *ret_nodes, unsigned *ret_sockets,
                    unsigned *ret_cores, unsigned *ret_threads)
{
    unsigned total = topology->cpus + topology->offline;
    unsigned nodes = topology->cells->len, sockets = 1, cores = 1, threads = 1;

    for (guint i = 0; i < topology->cells->len; i++) {
        const HostCell *cell = topology->cells->pdata[i];

        for (guint k = 0; k < cell->cpus->len; k++) {
            const HostCpu *cpu = cell->cpus->pdata[k];

            sockets = MAX(sockets, cell_count(cell, cpu, any, same_socket));
            cores = MAX(cores, cell_count(cell, cpu, same_socket, same_core));
            threads = MAX(threads, cell_count(cell, cpu, same_core, same_cpu));
        }
    }
    if (nodes * sockets * cores * threads != total) {
        nodes = sockets = threads = 1;
        cores = total;
    }
    *ret_nodes = nodes;
    *ret_sockets = sockets;
    *ret_cores = cores;
    *ret_threads = threads;
}
