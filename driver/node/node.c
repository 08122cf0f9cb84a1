/* node.c - what is known of the host, read once and kept. See node.h.
 *
 * A failure is not kept: the module or the package that was missing may be there the next time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/node/node_private.h"

#include <string.h>

#include "driver/node/suspend.h"
#include "driver/node/sysfs.h"
#include "driver/node/topology.h"
#include "util/error.h"

struct Node {
    const DaemonPaths *paths;
    const NodeSource *source;
    GMutex lock; /* guards the reading of what follows; once read it never changes */
    CpuMap *map;
    CpuFacts *kvm;
    NodeHostModel *model;
    GHashTable *offers; /* text by NodeMachine */
    NodeSuspend *suspend;
};

Node *
node_new_from(const DaemonPaths *paths, const NodeSource *source)
{
    Node *node = g_new0(Node, 1);

    node->paths = paths;
    node->source = source;
    node->offers = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    g_mutex_init(&node->lock);
    node->suspend = node_suspend_new(source->root);
    return node;
}

Node *
node_new(const DaemonPaths *paths)
{
    return node_new_from(paths, &node_source_real);
}

void
node_free(Node *node)
{
    if (!node)
        return;
    node_suspend_free(node->suspend);
    cpu_host_model_free(node->model);
    cpu_facts_free(node->kvm);
    cpumap_free(node->map);
    g_hash_table_unref(node->offers);
    g_mutex_clear(&node->lock);
    g_free(node);
}

const DaemonPaths *
node_paths(const Node *node)
{
    return node->paths;
}

const NodeSource *
node_source(const Node *node)
{
    return node->source;
}

static const CpuMap *
node_need_map(Node *node, GError **err)
{
    if (!node->map)
        node->map = cpumap_load(node->source->cpu_map_dir, err);
    return node->map;
}

static const CpuFacts *
node_need_kvm(Node *node, GError **err)
{
    if (!node->kvm && node_need_map(node, err))
        node->kvm = node->source->read_kvm(node->map, err);
    return node->kvm;
}

const CpuMap *
node_get_map(Node *node, GError **err)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->lock);

    return node_need_map(node, err);
}

const CpuFacts *
node_get_kvm(Node *node, GError **err)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->lock);

    return node_need_kvm(node, err);
}

const NodeHostModel *
node_get_host_model(Node *node, GError **err)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->lock);

    if (!node->model && node_need_kvm(node, err)) {
        node->model = cpu_facts_host_model(node->kvm, node->map);
        if (!node->model)
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                           "the CPU model map '%s' has no model for this host's processor; use "
                           "<cpu mode='host-passthrough'/>",
                           node->source->cpu_map_dir);
    }
    return node->model;
}

GPtrArray *
node_get_cpu_model_names(Node *node, const char *arch, GError **err)
{
    const CpuMap *map;
    GPtrArray *names;

    if (strcmp(arch, NODE_ARCH) != 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "cannot find architecture %s: Kiln runs '" NODE_ARCH "' only", arch);
        return NULL;
    }
    map = node_get_map(node, err);
    if (!map)
        return NULL;
    names = g_ptr_array_new_with_free_func(g_free);
    for (const CpuMapModel *const *model = cpumap_models(map); *model; model++)
        g_ptr_array_add(names, g_strdup((*model)->name));
    return names;
}

const char *
node_get_offers(Node *node, const NodeMachine *machine)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->lock);
    char *text = g_hash_table_lookup(node->offers, machine);

    if (!text) {
        const CpuFacts *kvm = node_need_kvm(node, NULL);

        text = node_format_offers(node->paths->vmm, machine, kvm ? kvm->hyperv : 0);
        g_hash_table_insert(node->offers, (gpointer)machine, text);
    }
    return text;
}

int
node_get_max_vcpus(Node *node, const char *type, GError **err)
{
    const CpuFacts *kvm;

    if (type && g_ascii_strcasecmp(type, "kvm") != 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "unknown type '%s': Kiln runs 'kvm' only", type);
        return -1;
    }
    kvm = node_get_kvm(node, err);
    return kvm ? (int)kvm->max_vcpus : -1;
}

bool
node_get_info(Node *node, NodeInfo *ret, GError **err)
{
    g_autoptr(HostTopology) topology = host_topology_read(node->source->root, err);
    g_autofree char *cpuinfo = sysfs_read(node->source->root, "/proc/cpuinfo");
    g_autofree char *mhz = cpuinfo ? sysfs_find_line(cpuinfo, "cpu MHz") : NULL;

    if (!topology)
        return false;
    memset(ret, 0, sizeof(*ret));
    g_strlcpy(ret->model, NODE_ARCH, sizeof(ret->model));
    ret->memory_kib = topology->memory_kib;
    ret->cpus = topology->cpus;
    if (mhz)
        ret->mhz = g_ascii_strtoull(mhz, NULL, 10);
    host_topology_count(topology, &ret->nodes, &ret->sockets, &ret->cores, &ret->threads);
    return true;
}

bool
node_suspend(Node *node, unsigned target, uint64_t seconds, GError **err)
{
    return node_suspend_begin(node->suspend, target, seconds, err);
}

void
xml_line(GString *xml, unsigned depth, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_markup_vprintf_escaped(format, args);
    va_end(args);
    g_string_append_printf(xml, "%*s%s\n", (int)depth * 2, "", text);
}

void
xml_enum(GString *xml, unsigned depth, const char *name, const char *const *values)
{
    if (!*values) {
        xml_line(xml, depth, "<enum name='%s'/>", name);
        return;
    }
    xml_line(xml, depth, "<enum name='%s'>", name);
    for (; *values; values++)
        xml_line(xml, depth + 1, "<value>%s</value>", *values);
    xml_line(xml, depth, "</enum>");
}

const NodeSource node_source_real = {
    .root = "",
    .cpu_map_dir = CPUMAP_DEFAULT_DIR,
    .read_host = cpu_facts_read_host,
    .read_kvm = cpu_facts_read_kvm,
};
