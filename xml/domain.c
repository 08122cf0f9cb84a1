/* domain.c - the table of <domain> and the life of a definition (libvirt formatdomain, schema
 * of 9.0).
 *
 * Rows stand in the order in which libvirt prints them. The automatic choices are in domain_post.c
 * and domain_pci.c, rules between devices in domain_check.c, what cannot be started in
 * domain_unsupported.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain.h"

#include "util/error.h"
#include "util/uuid.h"
#include "xml/domain_private.h"

#include <inttypes.h>
#include <string.h>

static const char *const virt_types[] = {
    "",       "qemu",   "kqemu", "kvm",  "xen", "lxc",   "uml", "openvz", "test",
    "vmware", "hyperv", "vbox",  "phyp", "vz",  "bhyve", "hvf", NULL,
};
static const char *const placements[] = { "", "static", "auto", NULL };
static const char *const actions[] = {
    "",         "destroy",          "restart",          "rename-restart",
    "preserve", "coredump-destroy", "coredump-restart", NULL,
};
static const char *const lock_actions[] = { "", "poweroff", "restart", "pause", "ignore", NULL };
static const char *const seclabel_types[] = { "", "dynamic", "static", "none", NULL };

DomainDef *
domain_def_parse(const char *xml, unsigned flags, const DomainDefaults *defaults, GError **err)
{
    g_autoptr(xmlDoc) doc = xml_read(xml, strlen(xml), "domain_definition", err);
    g_autoptr(DomainDef) def = NULL;
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;

    if (!root)
        return NULL;
    if (strcmp((const char *)root->name, "domain") != 0 || root->ns) {
        kiln_error_set(err, VIR_ERR_XML_ERROR, "unexpected root element <%s>, expecting <domain>",
                       (const char *)root->name);
        return NULL;
    }
    if ((flags & DOMAIN_PARSE_VALIDATE) && !xml_type_validate(&domain_def_type, root, err))
        return NULL;
    def = xml_type_parse(&domain_def_type, root, flags & DOMAIN_PARSE_LIVE ? 0 : XML_INACTIVE, err);
    if (def && !(flags & DOMAIN_PARSE_LIVE))
        domain_def_forget_ports(def);
    if (!def || !domain_def_complete(def, defaults, err))
        return NULL;
    return g_steal_pointer(&def);
}

/* Whether the I/O threads are just 1, 2, 3 …, which libvirt makes up and does not print. */
static bool
iothreads_are_plain(const DomainDef *def)
{
    for (guint i = 0; i < def->iothread_ids->len; i++) {
        const DomainIothread *io = def->iothread_ids->pdata[i];

        if (io->id != i + 1 || io->pool_min != XML_UNSET || io->pool_max != XML_UNSET)
            return false;
    }
    return def->iothread_ids->len > 0;
}

static bool
has_chosen_ports(const DomainDef *def, unsigned flags)
{
    if (!(flags & DOMAIN_FORMAT_INACTIVE) || (flags & DOMAIN_FORMAT_STATUS))
        return false;
    for (guint i = 0; i < def->graphics->len; i++) {
        const DomainGraphics *g = def->graphics->pdata[i];

        if (g->autoport == TRISTATE_ON && (g->port > 0 || g->tls_port > 0))
            return true;
    }
    return false;
}

static bool
has_direct_ports(const DomainDef *def, unsigned flags)
{
    if (!(flags & DOMAIN_FORMAT_JOINED))
        return false;
    for (guint i = 0; i < def->interfaces->len; i++) {
        const DomainInterface *net = def->interfaces->pdata[i];

        if (net->type == DOMAIN_NET_NETWORK && net->source_dev)
            return true;
    }
    return false;
}

char *
domain_def_format(const DomainDef *def, unsigned flags)
{
    unsigned how = (flags & DOMAIN_FORMAT_INACTIVE ? XML_INACTIVE : 0) |
                   (flags & DOMAIN_FORMAT_SECURE ? XML_SECURE : 0) |
                   (flags & DOMAIN_FORMAT_STATUS ? XML_STATUS : 0);

    bool plain = iothreads_are_plain(def);

    if (plain || has_chosen_ports(def, flags) || has_direct_ports(def, flags)) {
        g_autoptr(DomainDef) copy = domain_def_copy(def);

        if (has_chosen_ports(def, flags))
            domain_def_forget_ports(copy);
        for (guint i = 0; has_direct_ports(def, flags) && i < copy->interfaces->len; i++)
            domain_interface_show_joined(copy->interfaces->pdata[i]);
        for (guint i = 0; plain && i < copy->iothread_ids->len; i++)
            xml_type_free(&domain_iothread_type, copy->iothread_ids->pdata[i]);
        if (plain)
            g_ptr_array_set_size(copy->iothread_ids, 0);
        return xml_type_format(&domain_def_type, copy, how);
    }
    return xml_type_format(&domain_def_type, def, how);
}

DomainDef *
domain_def_copy(const DomainDef *def)
{
    return xml_type_copy(&domain_def_type, def);
}

void
domain_def_free(DomainDef *def)
{
    xml_type_free(&domain_def_type, def);
}

bool
domain_def_equal(const DomainDef *a, const DomainDef *b)
{
    return xml_type_equal(&domain_def_type, a, b);
}

bool
domain_def_abi_check(const DomainDef *a, const DomainDef *b, GError **err)
{
    return xml_type_abi_check(&domain_def_type, a, b, err);
}

char *
domain_def_schema(void)
{
    return xml_type_schema(&domain_def_type);
}

/* --- looking up ------------------------------------------------------------------------------- */

void
domain_def_uuid(const DomainDef *def, uint8_t ret[16])
{
    if (!def->uuid || !kiln_uuid_parse(def->uuid, ret))
        memset(ret, 0, 16);
}

DomainDisk *
domain_def_disk(const DomainDef *def, const char *target)
{
    for (guint i = 0; i < def->disks->len; i++) {
        DomainDisk *disk = def->disks->pdata[i];

        if (strcmp(disk->target, target) == 0)
            return disk;
    }
    return NULL;
}

DomainDisk *
domain_def_disk_named(const DomainDef *def, const char *name)
{
    DomainDisk *found = domain_def_disk(def, name);

    for (guint i = 0; !found && i < def->disks->len; i++)
        if (g_strcmp0(domain_disk_path(def->disks->pdata[i]), name) == 0)
            found = def->disks->pdata[i];
    return found;
}

bool
domain_def_is_pc(const DomainDef *def)
{
    return def->os.machine && g_str_has_prefix(def->os.machine, "kiln-pc-");
}

unsigned
domain_def_vcpus_current(const DomainDef *def)
{
    return (unsigned)(def->vcpus_current == XML_UNSET ? def->vcpus : def->vcpus_current);
}

void
domain_def_vcpu(const DomainDef *def, unsigned index, DomainVcpu *ret)
{
    bool on = index < domain_def_vcpus_current(def);

    *ret = (DomainVcpu){ .id = index, .order = XML_UNSET };
    for (guint i = 0; i < def->vcpu_list->len; i++)
        if (((const DomainVcpu *)def->vcpu_list->pdata[i])->id == index)
            *ret = *(const DomainVcpu *)def->vcpu_list->pdata[i];
    if (!ret->enabled)
        ret->enabled = on ? TRISTATE_ON : TRISTATE_OFF;
    if (!ret->hotpluggable)
        ret->hotpluggable = ret->enabled == TRISTATE_ON ? TRISTATE_OFF : TRISTATE_ON;
}

DomainController *
domain_def_controller(const DomainDef *def, DomainControllerType type, uint64_t index)
{
    for (guint i = 0; i < def->controllers->len; i++) {
        DomainController *c = def->controllers->pdata[i];

        if (c->type == (int)type && c->index == index)
            return c;
    }
    return NULL;
}

DomainIothread *
domain_def_iothread(const DomainDef *def, uint64_t id)
{
    for (guint i = 0; i < def->iothread_ids->len; i++) {
        DomainIothread *io = def->iothread_ids->pdata[i];

        if (io->id == id)
            return io;
    }
    return NULL;
}

bool
domain_def_each_device(DomainDef *def, DomainDeviceVisit visit, void *opaque)
{
#define EACH(list, T, element)                                                                     \
    for (guint i = 0; i < def->list->len; i++) {                                                   \
        T *device = def->list->pdata[i];                                                           \
        if (!visit(element, device, &device->info, opaque))                                        \
            return false;                                                                          \
    }
    EACH(disks, DomainDisk, "disk")
    EACH(controllers, DomainController, "controller")
    EACH(interfaces, DomainInterface, "interface")
    EACH(serials, DomainChar, "serial")
    EACH(parallels, DomainChar, "parallel")
    EACH(consoles, DomainChar, "console")
    EACH(channels, DomainChar, "channel")
    EACH(inputs, DomainInput, "input")
    EACH(tpms, DomainTpm, "tpm")
    EACH(sounds, DomainSound, "sound")
    EACH(videos, DomainVideo, "video")
    EACH(redirdevs, DomainRedirdev, "redirdev")
    EACH(hubs, DomainHub, "hub")
    EACH(watchdogs, DomainWatchdog, "watchdog")
    if (def->balloon && !visit("memballoon", def->balloon, &def->balloon->info, opaque))
        return false;
    EACH(rngs, DomainRng, "rng")
    EACH(panics, DomainPanic, "panic")
#undef EACH
    return !def->vsock || visit("vsock", def->vsock, &def->vsock->info, opaque);
}

/* --- the table -------------------------------------------------------------------------------- */

#define S(field) offsetof(DomainSeclabel, field)
static const XmlRow seclabel_rows[] = {
    { NULL, "type", XML_ENUM, S(type), .names = seclabel_types },
    { NULL, "model", XML_STRING, S(model) },
    { NULL, "relabel", XML_YESNO, S(relabel) },
    { "label", NULL, XML_STRING, S(label) },
    { "imagelabel", NULL, XML_STRING, S(imagelabel) },
    { "baselabel", NULL, XML_STRING, S(baselabel) },
};
static const XmlType seclabel_type = XML_TYPE("seclabel", DomainSeclabel, seclabel_rows);

static const XmlRow perf_rows[] = {
    { NULL, "name", XML_STRING, offsetof(DomainPerfEvent, name), XML_REQUIRED, .pattern = "[a-z_]+",
      .legal = "a perf event's name such as 'cpu_cycles'" },
    { NULL, "enabled", XML_YESNO, offsetof(DomainPerfEvent, enabled), XML_REQUIRED },
};
static const XmlType perf_type = XML_TYPE("perf-event", DomainPerfEvent, perf_rows);

#define D(field) offsetof(DomainDef, field)
#define KEPT(path)                                                                                 \
    {                                                                                              \
        path, NULL, XML_KEPT, D(kept)                                                              \
    }
#define MOST .max = DOMAIN_DEVICES_MAX
#define ACTION(name)                                                                               \
    {                                                                                              \
#name, NULL, XML_ENUM, D(name), .names = actions                                           \
    }
static const XmlRow domain_rows[] = {
    { NULL, "type", XML_ENUM, D(virt_type), XML_REQUIRED | XML_ABI, .names = virt_types },
    { NULL, "id", XML_UINT, D(id), XML_LIVE, .max = INT32_MAX },
    { "name", NULL, XML_STRING, D(name), XML_REQUIRED, .pattern = "[^/\\n]+",
      .legal = "a name without '/' or line ends" },
    { "uuid", NULL, XML_UUID, D(uuid), XML_ABI },
    { "genid", NULL, XML_PRESENT, D(genid_present) },
    { "genid", NULL, XML_UUID, D(genid), XML_ABI },
    { "title", NULL, XML_STRING, D(title), .pattern = "[^\\n]+", .legal = "a single line" },
    { "description", NULL, XML_STRING, D(description) },
    { "metadata", NULL, XML_VERBATIM, D(metadata) },
    { "maxMemory", "slots", XML_UINT, D(max_memory_slots), XML_REQUIRED | XML_ABI, .min = 1,
      .max = UINT32_MAX },
    { "maxMemory", NULL, XML_SIZE, D(max_memory), XML_ABI, .scale = 1024 },
    { "memory", "dumpCore", XML_ONOFF, D(dump_core) },
    { "memory", NULL, XML_SIZE, D(memory), XML_ABI, .scale = 1024 },
    { "currentMemory", NULL, XML_SIZE, D(current_memory), .scale = 1024 },
    { "blkiotune", NULL, XML_STRUCT, D(blkiotune), .type = &domain_blkiotune_type },
    { "memtune", NULL, XML_STRUCT, D(memtune), .type = &domain_memtune_type },
    { "memoryBacking", NULL, XML_STRUCT, D(memory_backing), .type = &domain_memory_backing_type },
    { "vcpu", "placement", XML_ENUM, D(vcpu_placement), .names = placements },
    { "vcpu", "cpuset", XML_CPUSET, D(vcpu_cpuset) },
    { "vcpu", "current", XML_UINT, D(vcpus_current), XML_ABI, .min = 1, .max = UINT16_MAX },
    { "vcpu", NULL, XML_UINT, D(vcpus), XML_ABI, .min = 1, .max = UINT16_MAX },
    { "vcpus/vcpu", NULL, XML_LIST, D(vcpu_list), XML_ABI, .type = &domain_vcpu_type },
    { "iothreads", NULL, XML_UINT, D(iothreads), XML_NOT_ZERO, .max = DOMAIN_DEVICES_MAX },
    { "iothreadids/iothread", NULL, XML_LIST, D(iothread_ids), MOST,
      .type = &domain_iothread_type },
    { "defaultiothread", NULL, XML_PRESENT, D(default_iothread) },
    { "defaultiothread", "thread_pool_min", XML_UINT, D(default_pool_min), .max = INT32_MAX },
    { "defaultiothread", "thread_pool_max", XML_UINT, D(default_pool_max), .max = INT32_MAX },
    { "cputune", NULL, XML_STRUCT, D(cputune), .type = &domain_cputune_type },
    { "numatune", NULL, XML_STRUCT, D(numatune), .type = &domain_numatune_type },
    { "resource/partition", NULL, XML_STRING, D(partition), .pattern = "/.+",
      .legal = "an absolute path" },
    { "resource/fibrechannel", "appid", XML_STRING, D(fc_appid), XML_REQUIRED,
      .pattern = "[ -~]{1,128}", .legal = "1 to 128 printable characters" },
    { "sysinfo", NULL, XML_LIST, D(sysinfos), XML_ABI, .max = 16, .type = &domain_sysinfo_type },
    { "bootloader", NULL, XML_STRING, D(bootloader) },
    { "bootloader_args", NULL, XML_STRING, D(bootloader_args) },
    { "os", NULL, XML_INLINE, D(os), XML_ABI, .type = &domain_os_type },
    KEPT("idmap"),
    { "features", NULL, XML_STRUCT, D(features), XML_ABI, .type = &domain_features_type },
    { "cpu", NULL, XML_STRUCT, D(cpu), XML_ABI, .type = &domain_cpu_type },
    { "clock", NULL, XML_INLINE, D(clock), XML_ABI, .type = &domain_clock_type },
    ACTION(on_poweroff),
    ACTION(on_reboot),
    ACTION(on_crash),
    { "on_lockfailure", NULL, XML_ENUM, D(on_lockfailure), .names = lock_actions },
    { "pm", NULL, XML_PRESENT, D(pm) },
    { "pm/suspend-to-mem", "enabled", XML_YESNO, D(pm_mem), XML_ABI },
    { "pm/suspend-to-disk", "enabled", XML_YESNO, D(pm_disk), XML_ABI },
    { "perf/event", NULL, XML_LIST, D(perf_events), .type = &perf_type },
    { "devices/emulator", NULL, XML_STRING, D(emulator), .pattern = "/.+",
      .legal = "an absolute path" },
    { "devices/disk", NULL, XML_LIST, D(disks), XML_ABI, MOST, .type = &domain_disk_type },
    { "devices/controller", NULL, XML_LIST, D(controllers), XML_ABI, MOST,
      .type = &domain_controller_type },
    KEPT("devices/lease"),
    KEPT("devices/filesystem"),
    { "devices/interface", NULL, XML_LIST, D(interfaces), XML_ABI, MOST,
      .type = &domain_interface_type },
    KEPT("devices/smartcard"),
    { "devices/serial", NULL, XML_LIST, D(serials), XML_ABI, MOST, .type = &domain_serial_type },
    { "devices/parallel", NULL, XML_LIST, D(parallels), XML_ABI, MOST,
      .type = &domain_parallel_type },
    { "devices/console", NULL, XML_LIST, D(consoles), XML_ABI, MOST, .type = &domain_console_type },
    { "devices/channel", NULL, XML_LIST, D(channels), XML_ABI, MOST, .type = &domain_channel_type },
    { "devices/input", NULL, XML_LIST, D(inputs), XML_ABI, MOST, .type = &domain_input_type },
    { "devices/tpm", NULL, XML_LIST, D(tpms), XML_ABI, .max = 2, .type = &domain_tpm_type },
    { "devices/graphics", NULL, XML_LIST, D(graphics), MOST, .type = &domain_graphics_type },
    { "devices/sound", NULL, XML_LIST, D(sounds), XML_ABI, MOST, .type = &domain_sound_type },
    { "devices/audio", NULL, XML_LIST, D(audios), MOST, .type = &domain_audio_type },
    { "devices/video", NULL, XML_LIST, D(videos), XML_ABI, MOST, .type = &domain_video_type },
    KEPT("devices/hostdev"),
    { "devices/redirdev", NULL, XML_LIST, D(redirdevs), XML_ABI, MOST,
      .type = &domain_redirdev_type },
    KEPT("devices/redirfilter"),
    { "devices/hub", NULL, XML_LIST, D(hubs), XML_ABI, MOST, .type = &domain_hub_type },
    { "devices/watchdog", NULL, XML_LIST, D(watchdogs), XML_ABI, .max = 1,
      .type = &domain_watchdog_type },
    { "devices/memballoon", NULL, XML_STRUCT, D(balloon), XML_SINGLE | XML_ABI,
      .type = &domain_balloon_type },
    { "devices/rng", NULL, XML_LIST, D(rngs), XML_ABI, MOST, .type = &domain_rng_type },
    KEPT("devices/nvram"),
    { "devices/panic", NULL, XML_LIST, D(panics), XML_ABI, MOST, .type = &domain_panic_type },
    KEPT("devices/shmem"),
    KEPT("devices/memory"),
    KEPT("devices/crypto"),
    KEPT("devices/iommu"),
    { "devices/vsock", NULL, XML_STRUCT, D(vsock), XML_SINGLE | XML_ABI,
      .type = &domain_vsock_type },
    { "seclabel", NULL, XML_LIST, D(seclabels), .type = &seclabel_type },
    KEPT("keywrap"),
    KEPT("launchSecurity"),
    KEPT("qemu:commandline"),
    KEPT("qemu:capabilities"),
    KEPT("qemu:override"),
    KEPT("qemu:deprecation"),
};

static bool
def_check(const void *obj, GError **err)
{
    const DomainDef *def = obj;
    const char *c = def->name;

    while (g_ascii_isspace(*c))
        c++;
    if (!*c)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "the name is empty");
    if (strlen(def->name) > DOMAIN_NAME_MAX)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "the name is %zu bytes long; at most %d can be a "
                              "file's name",
                              strlen(def->name), DOMAIN_NAME_MAX);
    return true;
}

static const XmlNamespace domain_namespaces[] = {
    { "qemu", "http://libvirt.org/schemas/domain/qemu/1.0" },
    { NULL, NULL },
};

const XmlType domain_def_type =
    XML_TYPE("domain", DomainDef, domain_rows, .check = def_check, .namespaces = domain_namespaces);
