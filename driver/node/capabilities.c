/* capabilities.c - the host, and what kinds of guest it runs, as capabilities XML.
 *
 * libvirt formatcaps, schema capability.rng of 9.0.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/node/caches.h"
#include "driver/node/node_private.h"
#include "driver/node/suspend.h"
#include "driver/node/sysfs.h"
#include "driver/node/topology.h"
#include "util/uuid.h"

char *
node_host_uuid(const char *root)
{
    g_autofree char *dmi = sysfs_read(root, "/sys/class/dmi/id/product_uuid");
    g_autofree char *machine = NULL;
    g_autoptr(GChecksum) sum = NULL;
    uint8_t digest[32];
    gsize len = sizeof(digest);

    if (dmi && g_uuid_string_is_valid(dmi) && strspn(dmi, "0-") < strlen(dmi) &&
        strspn(dmi, "fF-") < strlen(dmi))
        return g_ascii_strdown(dmi, -1);
    machine = sysfs_read(root, "/etc/machine-id");
    if (!machine || !*machine)
        return NULL;
    sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, (const guchar *)"kiln host ", -1);
    g_checksum_update(sum, (const guchar *)machine, -1);
    g_checksum_get_digest(sum, digest, &len);
    /* Version and variant: RFC 4122, 4.4. */
    digest[6] = (digest[6] & 0x0f) | 0x40;
    digest[8] = (digest[8] & 0x3f) | 0x80;
    return kiln_uuid_format(digest);
}

/* The time stamp counter that KVM gives a guest. */
static void
format_counter(GString *xml, Node *node)
{
    const CpuFacts *kvm = node_get_kvm(node, NULL);

    if (kvm && kvm->tsc_khz)
        xml_line(xml, 3, "<counter name='tsc' frequency='%" G_GUINT64_FORMAT "' scaling='%s'/>",
                 kvm->tsc_khz * UINT64_C(1000), kvm->tsc_scaling ? "yes" : "no");
}

static void
format_address_bits(GString *xml, const char *cpuinfo)
{
    g_autofree char *sizes = cpuinfo ? sysfs_find_line(cpuinfo, "address sizes") : NULL;
    guint64 bits = sizes ? g_ascii_strtoull(sizes, NULL, 10) : 0;

    if (bits)
        xml_line(xml, 3, "<maxphysaddr mode='emulate' bits='%" G_GUINT64_FORMAT "'/>", bits);
}

static void
format_host_cpu_model(GString *xml, Node *node, const CpuMap *map)
{
    g_autoptr(CpuFacts) host = node_source(node)->read_host(map);
    const char *vendor = cpu_facts_vendor(host, map);
    g_autofree char *cpuinfo = sysfs_read(node_source(node)->root, "/proc/cpuinfo");
    g_autofree char *microcode = cpuinfo ? sysfs_find_line(cpuinfo, "microcode") : NULL;
    guint64 version = microcode ? g_ascii_strtoull(microcode, NULL, 0) : 0;
    unsigned nodes, sockets, cores, threads, family, model, stepping;
    g_autoptr(HostTopology) topology = host_topology_read(node_source(node)->root, NULL);
    g_autoptr(GPtrArray) extra = NULL;
    const CpuMapModel *like = cpu_facts_describe(host, map, &extra);

    if (like)
        xml_line(xml, 3, "<model>%s</model>", like->name);
    if (vendor)
        xml_line(xml, 3, "<vendor>%s</vendor>", vendor);
    if (version)
        xml_line(xml, 3, "<microcode version='%" G_GUINT64_FORMAT "'/>", version);
    if (cpu_facts_signature(host, &family, &model, &stepping) && family)
        xml_line(xml, 3, "<signature family='%u' model='%u' stepping='%u'/>", family, model,
                 stepping);
    format_counter(xml, node);
    if (topology) {
        host_topology_count(topology, &nodes, &sockets, &cores, &threads);
        xml_line(xml, 3, "<topology sockets='%u' dies='1' cores='%u' threads='%u'/>", sockets,
                 cores, threads);
    }
    format_address_bits(xml, cpuinfo);
    /* "sse4.1" too, which libvirt's schema of hosts' features takes no name with a dot for but
     * libvirt writes: a host that leaves it out is less than it is to cpu-baseline. */
    for (guint i = 0; like && i < extra->len; i++)
        xml_line(xml, 3, "<feature name='%s'/>", ((const CpuMapFeature *)extra->pdata[i])->name);
}

static void
format_host_cpu(GString *xml, Node *node, const HostTopology *topology)
{
    const HostCell *first = topology->cells->pdata[0];
    const CpuMap *map = node_get_map(node, NULL);

    xml_line(xml, 2, "<cpu>");
    xml_line(xml, 3, "<arch>" NODE_ARCH "</arch>");
    if (map)
        format_host_cpu_model(xml, node, map);
    for (guint i = 0; i < first->pages->len; i++)
        xml_line(xml, 3, "<pages unit='KiB' size='%" G_GUINT64_FORMAT "'/>",
                 g_array_index(first->pages, HostPages, i).size_kib);
    xml_line(xml, 2, "</cpu>");
}

static void
format_cell(GString *xml, const HostCell *cell)
{
    xml_line(xml, 4, "<cell id='%u'>", cell->id);
    if (cell->memory_kib)
        xml_line(xml, 5, "<memory unit='KiB'>%" G_GUINT64_FORMAT "</memory>", cell->memory_kib);
    for (guint i = 0; i < cell->pages->len; i++) {
        const HostPages *pages = &g_array_index(cell->pages, HostPages, i);

        xml_line(xml, 5,
                 "<pages unit='KiB' size='%" G_GUINT64_FORMAT "'>%" G_GUINT64_FORMAT "</pages>",
                 pages->size_kib, pages->count);
    }
    if (cell->distances->len)
        xml_line(xml, 5, "<distances>");
    for (guint i = 0; i < cell->distances->len; i++) {
        const HostDistance *distance = &g_array_index(cell->distances, HostDistance, i);

        xml_line(xml, 6, "<sibling id='%u' value='%u'/>", distance->cell, distance->value);
    }
    if (cell->distances->len)
        xml_line(xml, 5, "</distances>");
    xml_line(xml, 5, "<cpus num='%u'>", cell->cpus->len);
    for (guint i = 0; i < cell->cpus->len; i++) {
        const HostCpu *cpu = cell->cpus->pdata[i];

        xml_line(xml, 6, "<cpu id='%u' socket_id='%u' die_id='%u' core_id='%u' siblings='%s'/>",
                 cpu->id, cpu->socket, cpu->die, cpu->core, cpu->siblings);
    }
    xml_line(xml, 5, "</cpus>");
    xml_line(xml, 4, "</cell>");
}

static void
format_caches(GString *xml, const char *root)
{
    static const char *const kinds[] = { "both", "code", "data" };
    g_autoptr(GPtrArray) caches = host_caches_read(root);

    if (!caches->len)
        return;
    xml_line(xml, 2, "<cache>");
    for (guint i = 0; i < caches->len; i++) {
        const HostCache *cache = caches->pdata[i];
        bool whole = cache->size_kib % 1024 == 0;

        xml_line(
            xml, 3,
            "<bank id='%u' level='%u' type='%s' size='%" G_GUINT64_FORMAT "' unit='%s' cpus='%s'/>",
            cache->id, cache->level, kinds[cache->kind],
            whole ? cache->size_kib / 1024 : cache->size_kib, whole ? "MiB" : "KiB", cache->cpus);
    }
    xml_line(xml, 2, "</cache>");
}

/* Only what a guest can be started as: without KVM there is none. */
static void
format_guest(GString *xml, Node *node)
{
    const CpuFacts *kvm = node_get_kvm(node, NULL);
    g_autofree const NodeMachine **machines = node_machines(node_paths(node)->vmm);

    if (!kvm)
        return;
    xml_line(xml, 1, "<guest>");
    xml_line(xml, 2, "<os_type>hvm</os_type>");
    xml_line(xml, 2, "<arch name='" NODE_ARCH "'>");
    xml_line(xml, 3, "<wordsize>64</wordsize>");
    xml_line(xml, 3, "<emulator>%s</emulator>", node_paths(node)->vmm);
    for (const NodeMachine **machine = machines; *machine; machine++) {
        xml_line(xml, 3, "<machine maxCpus='%u'>%s</machine>", kvm->max_vcpus, (*machine)->name);
        xml_line(xml, 3, "<machine canonical='%s' maxCpus='%u'>%s</machine>", (*machine)->name,
                 kvm->max_vcpus, (*machine)->alias);
    }
    xml_line(xml, 3, "<domain type='kvm'/>");
    xml_line(xml, 2, "</arch>");
    xml_line(xml, 2, "<features>");
    xml_line(xml, 3, "<acpi default='on' toggle='yes'/>");
    xml_line(xml, 3, "<apic default='on' toggle='no'/>");
    xml_line(xml, 3, "<cpuselection/>");
    xml_line(xml, 3, "<deviceboot/>");
    xml_line(xml, 3, "<disksnapshot default='on' toggle='no'/>");
    xml_line(xml, 2, "</features>");
    xml_line(xml, 1, "</guest>");
}

static void
format_power(GString *xml, const char *root)
{
    static const struct {
        int target;
        const char *element;
    } all[] = {
        { VIR_NODE_SUSPEND_TARGET_MEM, "suspend_mem" },
        { VIR_NODE_SUSPEND_TARGET_DISK, "suspend_disk" },
        { VIR_NODE_SUSPEND_TARGET_HYBRID, "suspend_hybrid" },
    };
    unsigned targets = node_suspend_targets(root);

    if (!targets) {
        xml_line(xml, 2, "<power_management/>");
        return;
    }
    xml_line(xml, 2, "<power_management>");
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        if (targets & 1U << all[i].target)
            xml_line(xml, 3, "<%s/>", all[i].element);
    xml_line(xml, 2, "</power_management>");
}

static bool
has_iommu(const char *root)
{
    g_autofree char *path = g_strconcat(root, "/sys/kernel/iommu_groups", NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);

    return dir && g_dir_read_name(dir);
}

char *
node_get_capabilities(Node *node, GError **err)
{
    g_autoptr(HostTopology) topology = host_topology_read(node_source(node)->root, err);
    g_autofree char *uuid = NULL;
    GString *xml;

    if (!topology)
        return NULL;
    uuid = node_host_uuid(node_source(node)->root);
    xml = g_string_new(NULL);
    xml_line(xml, 0, "<capabilities>");
    xml_line(xml, 1, "<host>");
    if (uuid)
        xml_line(xml, 2, "<uuid>%s</uuid>", uuid);
    format_host_cpu(xml, node, topology);
    format_power(xml, node_source(node)->root);
    xml_line(xml, 2, "<iommu support='%s'/>", has_iommu(node_source(node)->root) ? "yes" : "no");
    xml_line(xml, 2, "<migration_features>");
    xml_line(xml, 3, "<live/>");
    xml_line(xml, 3, "<uri_transports>");
    xml_line(xml, 4, "<uri_transport>tcp</uri_transport>");
    xml_line(xml, 3, "</uri_transports>");
    xml_line(xml, 2, "</migration_features>");
    xml_line(xml, 2, "<topology>");
    xml_line(xml, 3, "<cells num='%u'>", topology->cells->len);
    for (guint i = 0; i < topology->cells->len; i++)
        format_cell(xml, topology->cells->pdata[i]);
    xml_line(xml, 3, "</cells>");
    xml_line(xml, 2, "</topology>");
    format_caches(xml, node_source(node)->root);
    xml_line(xml, 2, "<secmodel>");
    xml_line(xml, 3, "<model>none</model>");
    xml_line(xml, 3, "<doi>0</doi>");
    xml_line(xml, 2, "</secmodel>");
    xml_line(xml, 1, "</host>");
    format_guest(xml, node);
    xml_line(xml, 0, "</capabilities>");
    return g_string_free(xml, FALSE);
}
