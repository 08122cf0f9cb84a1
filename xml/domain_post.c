/* domain_post.c - the automatic choices in a <domain> that clients read back, as libvirt 9.0 makes
 * them for a q35 guest; where Kiln differs, domain.h says so.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_private.h"

#include "util/error.h"

#include <inttypes.h>
#include <string.h>

static void
set_default(char **field, const char *value)
{
    if (!*field)
        *field = g_strdup(value);
}

/* --- identity, memory, processors ------------------------------------------------------------- */

static bool
complete_os(DomainDef *def, const DomainDefaults *defaults, GError **err)
{
    DomainOs *os = &def->os;
    const char *machine = os->machine;

    if (!os->type)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "an os <type> must be specified");
    set_default(&os->arch, "x86_64");
    if (def->virt_type != DOMAIN_VIRT_KVM || strcmp(os->arch, "x86_64") != 0 ||
        strcmp(os->type, "hvm") != 0)
        return kiln_error_set(
            err, VIR_ERR_INVALID_ARG,
            "could not find capabilities for ostype=%s "
            "arch=%s domaintype=%s; Kiln has ostype=hvm arch=x86_64 domaintype=kvm",
            os->type, os->arch,
            def->virt_type == DOMAIN_VIRT_KVM    ? "kvm"
            : def->virt_type == DOMAIN_VIRT_QEMU ? "qemu"
                                                 : "other");
    if (!machine) {
        os->machine =
            g_strdup(defaults && defaults->machine ? defaults->machine : DOMAIN_DEFAULT_MACHINE);
    } else if (strcmp(machine, "q35") == 0 || g_str_has_prefix(machine, "pc-q35-")) {
        g_free(os->machine);
        os->machine = g_strdup(DOMAIN_MACHINE_Q35);
    } else if (strcmp(machine, "pc") == 0 || g_str_has_prefix(machine, "pc-i440fx-")) {
        g_free(os->machine);
        os->machine = g_strdup(DOMAIN_MACHINE_PC);
    }
    if (defaults && defaults->emulator)
        set_default(&def->emulator, defaults->emulator);
    if (os->loader && !os->loader_type && !os->firmware)
        os->loader_type = DOMAIN_LOADER_ROM;
    return true;
}

static bool
complete_numa(DomainDef *def, GError **err)
{
    const DomainNuma *numa = def->cpu ? def->cpu->numa : NULL;
    uint64_t total = 0;

    if (!numa)
        return true;
    for (guint i = 0; i < numa->cells->len; i++) {
        DomainNumaCell *cell = numa->cells->pdata[i];

        if (cell->id == XML_UNSET)
            cell->id = i;
        if (cell->memory > UINT64_MAX / 4 - total)
            return kiln_error_set(err, VIR_ERR_XML_ERROR, "the NUMA cells' memory is too large");
        cell->memory = (cell->memory + 1023) / 1024 * 1024;
        total += cell->memory;
    }
    def->memory = total;
    return true;
}

static bool
complete_memory(DomainDef *def, GError **err)
{
    if (!complete_numa(def, err))
        return false;
    if (def->memory == XML_UNSET && def->max_memory == XML_UNSET)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing element or attribute './memory[1]'");
    if (def->memory == XML_UNSET || def->memory == 0)
        return kiln_error_set(
            err, VIR_ERR_XML_ERROR,
            "Memory size must be specified via <memory> or in the <numa> configuration");
    def->memory = (def->memory + 1023) / 1024 * 1024;
    if (def->max_memory != XML_UNSET && def->max_memory < def->memory)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "maximum memory size %" PRIu64 "k is less than the "
                              "memory size %" PRIu64 "k",
                              def->max_memory, def->memory);
    if (def->current_memory == XML_UNSET || def->current_memory == 0)
        def->current_memory = def->memory;
    if (def->current_memory > def->memory)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "current memory '%" PRIu64 "k' exceeds "
                              "maximum '%" PRIu64 "k'",
                              def->current_memory, def->memory);
    return true;
}

static gint
vcpu_compare(gconstpointer a, gconstpointer b)
{
    const DomainVcpu *x = *(DomainVcpu *const *)a, *y = *(DomainVcpu *const *)b;

    return x->id < y->id ? -1 : x->id > y->id;
}

/* A list names all processors in libvirt's order; those that it leaves out are off. */
static void
complete_vcpu_list(DomainDef *def)
{
    g_autofree bool *named = g_new0(bool, def->vcpus);
    unsigned on = 0;

    for (guint i = 0; i < def->vcpu_list->len; i++) {
        const DomainVcpu *vcpu = def->vcpu_list->pdata[i];

        on += vcpu->enabled == TRISTATE_ON;
        if (vcpu->id < def->vcpus)
            named[vcpu->id] = true;
    }
    for (uint64_t id = 0; id < def->vcpus; id++) {
        DomainVcpu *vcpu;

        if (named[id])
            continue;
        vcpu = g_new0(DomainVcpu, 1);
        *vcpu = (DomainVcpu){
            .id = id, .enabled = TRISTATE_OFF, .hotpluggable = TRISTATE_ON, .order = XML_UNSET
        };
        g_ptr_array_add(def->vcpu_list, vcpu);
    }
    g_ptr_array_sort(def->vcpu_list, vcpu_compare);
    def->vcpus_current = on;
}

static bool
complete_vcpus(DomainDef *def, GError **err)
{
    if (def->vcpus == XML_UNSET)
        def->vcpus = 1;
    if (!def->vcpu_placement)
        def->vcpu_placement = 1;
    /* the nodes say it already */
    if (def->numatune && def->numatune->nodeset && def->numatune->placement == 1)
        def->numatune->placement = 0;
    if (def->vcpu_list->len)
        complete_vcpu_list(def);
    if (def->vcpus_current != XML_UNSET && def->vcpus_current > def->vcpus)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "maxvcpus must not be less than current vcpus "
                              "(%" PRIu64 " < %" PRIu64 ")",
                              def->vcpus, def->vcpus_current);
    if (def->vcpus_current == def->vcpus)
        def->vcpus_current = XML_UNSET;
    return true;
}

static void
complete_iothreads(DomainDef *def)
{
    uint64_t id = 1;

    /* Of the main loop's pool only sizes are kept, as libvirt does. */
    def->default_iothread =
        def->default_pool_min != XML_UNSET || def->default_pool_max != XML_UNSET;
    if (def->iothreads == XML_UNSET || def->iothreads < def->iothread_ids->len)
        def->iothreads = def->iothread_ids->len ? def->iothread_ids->len : XML_UNSET;
    if (def->iothreads == XML_UNSET)
        return;
    while (def->iothread_ids->len < def->iothreads) {
        DomainIothread *io;

        while (domain_def_iothread(def, id))
            id++;
        io = xml_type_new(&domain_iothread_type);
        io->id = id;
        g_ptr_array_add(def->iothread_ids, io);
    }
}

static void
complete_cpu(DomainDef *def)
{
    DomainCpu *cpu = def->cpu;

    if (!cpu)
        return;
    if (cpu->topology && cpu->topology->dies == XML_UNSET)
        cpu->topology->dies = 1;
    if (!cpu->mode && cpu->model)
        cpu->mode = DOMAIN_CPU_CUSTOM;
    if (!cpu->mode)
        return;
    if (cpu->mode == DOMAIN_CPU_CUSTOM && !cpu->model)
        return;
    if (cpu->mode == DOMAIN_CPU_CUSTOM && !cpu->match)
        cpu->match = DOMAIN_CPU_EXACT;
    if (cpu->model && !cpu->fallback)
        cpu->fallback = DOMAIN_CPU_FALLBACK_ALLOW;
    if (!cpu->check)
        cpu->check = cpu->mode == DOMAIN_CPU_HOST_PASSTHROUGH || cpu->mode == DOMAIN_CPU_MAXIMUM
                         ? DOMAIN_CPU_CHECK_NONE
                         : DOMAIN_CPU_CHECK_PARTIAL;
    if (!cpu->migratable && cpu->mode == DOMAIN_CPU_HOST_PASSTHROUGH)
        cpu->migratable = TRISTATE_ON;
}

static void
complete_features(DomainDef *def)
{
    DomainFeatures *none, *features = def->features;

    if (!features)
        return;
    if (features->hap && !features->hap_state)
        features->hap_state = TRISTATE_ON;
    none = xml_type_new(&domain_features_type);
    if (xml_type_equal(&domain_features_type, features, none)) {
        xml_type_free(&domain_features_type, features);
        def->features = NULL;
    }
    xml_type_free(&domain_features_type, none);
}

static void
complete_clock(DomainDef *def)
{
    DomainClock *clock = &def->clock;

    if (!clock->offset)
        clock->offset = DOMAIN_CLOCK_UTC;
    /* an adjustment in seconds is another spelling of a variable offset */
    if ((clock->offset == DOMAIN_CLOCK_UTC || clock->offset == DOMAIN_CLOCK_LOCALTIME) &&
        clock->adjustment && strcmp(clock->adjustment, "reset") != 0) {
        clock->basis = clock->offset == DOMAIN_CLOCK_UTC ? 1 : 2;
        clock->offset = DOMAIN_CLOCK_VARIABLE;
    }
    if (clock->offset == DOMAIN_CLOCK_VARIABLE) {
        set_default(&clock->adjustment, "0");
        if (!clock->basis)
            clock->basis = 1;
    }
    if (!def->on_poweroff)
        def->on_poweroff = DOMAIN_ACTION_DESTROY;
    if (!def->on_reboot)
        def->on_reboot = DOMAIN_ACTION_RESTART;
    if (!def->on_crash)
        def->on_crash = DOMAIN_ACTION_DESTROY;
}

/* --- devices ---------------------------------------------------------------------------------- */

void
domain_disk_give_bus(DomainDisk *disk)
{
    static const struct {
        const char *prefix;
        int bus;
    } buses[] = {
        { "fd", DOMAIN_BUS_FDC },    { "hd", DOMAIN_BUS_IDE },  { "sd", DOMAIN_BUS_SCSI },
        { "vd", DOMAIN_BUS_VIRTIO }, { "xvd", DOMAIN_BUS_XEN }, { "ubd", DOMAIN_BUS_UML },
    };

    if (!disk->device)
        disk->device = DOMAIN_DISK_DEVICE_DISK;
    for (size_t i = 0; !disk->bus && i < G_N_ELEMENTS(buses); i++)
        if (g_str_has_prefix(disk->target, buses[i].prefix))
            disk->bus = disk->device == DOMAIN_DISK_DEVICE_FLOPPY ? DOMAIN_BUS_FDC : buses[i].bus;
    if (!disk->bus)
        disk->bus = DOMAIN_BUS_IDE;
}

static void
complete_disk(DomainDisk *disk)
{
    if (disk->tray == DOMAIN_TRAY_CLOSED)
        disk->tray = DOMAIN_TRAY_ABSENT;
    if (disk->type == DOMAIN_DISK_VHOSTUSER && !disk->snapshot)
        disk->snapshot = 1; /* "no": the daemon cannot make any */
    domain_disk_give_bus(disk);
    set_default(&disk->driver_name, "qemu");
    set_default(&disk->format, "raw");
    if (disk->device == DOMAIN_DISK_DEVICE_CDROM)
        disk->readonly = 1;
    if (disk->encryption && !disk->encryption->engine)
        disk->encryption->engine = DOMAIN_ENCRYPTION_ENGINE_QEMU;
    if (disk->source_encryption && !disk->source_encryption->engine)
        disk->source_encryption->engine = DOMAIN_ENCRYPTION_ENGINE_QEMU;
}

void
domain_interface_give_mac(DomainInterface *net)
{
    uint8_t mac[6] = { 0x52, 0x54, 0x00 };
    uint32_t random = g_random_int();

    if (net->mac)
        return;
    mac[3] = (uint8_t)(random >> 16);
    mac[4] = (uint8_t)(random >> 8);
    mac[5] = (uint8_t)random;
    net->mac = xml_mac_format(mac);
}

void
domain_interface_give_model(DomainInterface *net, const DomainDef *running)
{
    if (net->type != DOMAIN_NET_HOSTDEV)
        set_default(&net->model, !running || domain_def_is_pc(running) ? "rtl8139" : "virtio");
}

static void
complete_interface(DomainInterface *net)
{
    domain_interface_give_mac(net);
    domain_interface_give_model(net, NULL);
    if (net->type == DOMAIN_NET_DIRECT && !net->source_mode)
        net->source_mode = DOMAIN_DIRECT_VEPA;
    for (guint i = 0; i < net->ips->len; i++) {
        DomainIp *ip = net->ips->pdata[i];

        if (!ip->family)
            ip->family = strchr(ip->address, ':') ? 2 : 1;
    }
}

static void
complete_source(DomainCharSource *source)
{
    if (source->type == DOMAIN_CHAR_TCP || (source->type == DOMAIN_CHAR_UNIX && source->path))
        if (!source->mode)
            source->mode = DOMAIN_CHAR_CONNECT;
    /* a socket that is made up at start listens, without saying so */
    if (source->type == DOMAIN_CHAR_UNIX && !source->path && source->mode == DOMAIN_CHAR_BIND)
        source->mode = 0;
    if (source->type == DOMAIN_CHAR_TCP && !source->protocol)
        source->protocol =
            source->tls == TRISTATE_ON ? DOMAIN_CHAR_PROTOCOL_TLS : DOMAIN_CHAR_PROTOCOL_RAW;
}

static void
number_ports(GPtrArray *chars)
{
    uint64_t next = 0;

    for (guint i = 0; i < chars->len; i++) {
        const DomainChar *chr = chars->pdata[i];

        if (chr->port != XML_UNSET && chr->port >= next)
            next = chr->port + 1;
    }
    for (guint i = 0; i < chars->len; i++) {
        DomainChar *chr = chars->pdata[i];

        complete_source(&chr->source);
        if (chr->port == XML_UNSET)
            chr->port = next++;
    }
}

void
domain_def_mirror_console(DomainDef *def)
{
    DomainChar *console;
    const DomainChar *serial;

    if (!domain_def_console_is_serial(def, 0))
        return;
    console = def->consoles->pdata[0];
    serial = def->serials->pdata[0];
    xml_type_assign(&domain_char_source_type, &console->source, &serial->source);
    g_free(console->info.alias);
    console->info.alias = g_strdup(serial->info.alias);
    console->port = serial->port;
}

bool
domain_def_console_is_serial(const DomainDef *def, unsigned index)
{
    return index == 0 && def->consoles->len && def->serials->len &&
           ((const DomainChar *)def->consoles->pdata[0])->target == DOMAIN_CONSOLE_SERIAL;
}

/* The first console is the first serial port under another name; whichever is there makes the
 * other. */
static void
complete_chars(DomainDef *def)
{
    for (guint i = 0; i < def->consoles->len; i++) {
        DomainChar *console = def->consoles->pdata[i];

        if (!console->target)
            console->target = i ? DOMAIN_CONSOLE_VIRTIO : DOMAIN_CONSOLE_SERIAL;
    }
    if (!def->serials->len && def->consoles->len &&
        ((DomainChar *)def->consoles->pdata[0])->target == DOMAIN_CONSOLE_SERIAL) {
        DomainChar *console = def->consoles->pdata[0];
        DomainChar *serial = xml_type_new(&domain_serial_type);

        xml_type_assign(&domain_char_source_type, &serial->source, &console->source);
        xml_type_assign(&domain_device_info_type, &serial->info, &console->info);
        serial->port = console->port;
        g_ptr_array_add(def->serials, serial);
    } else if (!def->consoles->len && def->serials->len) {
        const DomainChar *serial = def->serials->pdata[0];

        if (serial->target <= DOMAIN_SERIAL_ISA) {
            DomainChar *console = xml_type_new(&domain_console_type);

            console->target = DOMAIN_CONSOLE_SERIAL;
            g_ptr_array_add(def->consoles, console);
        }
    }
    for (guint i = 0; i < def->serials->len; i++) {
        DomainChar *serial = def->serials->pdata[i];

        if (!serial->target)
            serial->target =
                serial->info.address && serial->info.address->type == DOMAIN_ADDRESS_USB
                    ? DOMAIN_SERIAL_USB
                : serial->info.address && serial->info.address->type == DOMAIN_ADDRESS_PCI
                    ? DOMAIN_SERIAL_PCI
                    : DOMAIN_SERIAL_ISA;
        if (!serial->model)
            serial->model = g_strdup(serial->target == DOMAIN_SERIAL_ISA         ? "isa-serial"
                                     : serial->target == DOMAIN_SERIAL_USB       ? "usb-serial"
                                     : serial->target == DOMAIN_SERIAL_PCI       ? "pci-serial"
                                     : serial->target == DOMAIN_SERIAL_ISA_DEBUG ? "isa-debugcon"
                                                                                 : NULL);
    }
    number_ports(def->serials);
    number_ports(def->parallels);
    number_ports(def->consoles);
    for (guint i = 0; i < def->channels->len; i++)
        complete_source(&((DomainChar *)def->channels->pdata[i])->source);
    domain_def_mirror_console(def);
}

static void
complete_devices(DomainDef *def)
{
    for (guint i = 0; i < def->disks->len; i++)
        complete_disk(def->disks->pdata[i]);
    for (guint i = 0; i < def->interfaces->len; i++)
        complete_interface(def->interfaces->pdata[i]);
    complete_chars(def);
    if (!def->balloon) {
        def->balloon = xml_type_new(&domain_balloon_type);
        def->balloon->model = DOMAIN_BALLOON_VIRTIO;
    }
    for (guint i = 0; i < def->rngs->len; i++) {
        DomainRng *rng = def->rngs->pdata[i];

        if (rng->backend == DOMAIN_RNG_RANDOM)
            set_default(&rng->path, "/dev/random");
    }
    domain_complete_displays(def);
}

static bool
is_ich9_usb(const DomainController *c)
{
    return c->type == DOMAIN_CONTROLLER_USB && c->usb_model >= DOMAIN_USB_ICH9_EHCI1 &&
           c->usb_model <= DOMAIN_USB_ICH9_UHCI3;
}

/* An EHCI controller and its companions have one index. Without one of its own the controller, the
 * @n-th, joins the USB controller before it, if that is one of them and the index has none of this
 * model yet. Returns that index, or XML_UNSET. */
static uint64_t
companion_index(const DomainDef *def, guint n)
{
    const DomainController *c = def->controllers->pdata[n], *before = NULL;

    if (!is_ich9_usb(c))
        return XML_UNSET;
    for (guint i = 0; i < n; i++) {
        const DomainController *other = def->controllers->pdata[i];

        if (other->type == DOMAIN_CONTROLLER_USB)
            before = other;
    }
    if (!before || !is_ich9_usb(before))
        return XML_UNSET;
    for (guint i = 0; i < def->controllers->len; i++) {
        const DomainController *other = def->controllers->pdata[i];

        if (other->type == DOMAIN_CONTROLLER_USB && other->index == before->index &&
            other->usb_model == c->usb_model)
            return XML_UNSET;
    }
    return before->index;
}

static bool
complete_controllers(DomainDef *def, GError **err)
{
    GPtrArray *sorted;

    for (guint i = 0; i < def->controllers->len; i++) {
        DomainController *c = def->controllers->pdata[i];
        uint64_t index = c->type == DOMAIN_CONTROLLER_PCI && c->pci_model != DOMAIN_PCIE_ROOT &&
                                 c->pci_model != DOMAIN_PCI_ROOT
                             ? 1
                             : 0;

        if (c->index == XML_UNSET)
            c->index = companion_index(def, i);
        if (c->index != XML_UNSET)
            continue;
        while (domain_def_controller(def, (DomainControllerType)c->type, index))
            index++;
        c->index = index;
    }
    sorted = g_ptr_array_new();
    for (guint i = 0; i < def->controllers->len; i++)
        domain_insert_controller(sorted, def->controllers->pdata[i]);
    g_ptr_array_unref(def->controllers);
    def->controllers = sorted;
    return domain_add_board_controllers(def, err);
}

typedef struct {
    bool any;
} Orders;

static bool
find_order(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    Orders *orders = opaque;

    (void)element;
    (void)device;
    orders->any |= info->boot_order != XML_UNSET;
    return true;
}

/* A guest that does not say what it boots from boots from its hard disks. */
static void
complete_boot(DomainDef *def)
{
    Orders orders = { false };
    DomainBoot *boot;

    domain_def_each_device(def, find_order, &orders);
    if (orders.any || def->os.boots->len)
        return;
    boot = xml_type_new(&domain_os_boot_type);
    boot->dev = DOMAIN_BOOT_HD;
    g_ptr_array_add(def->os.boots, boot);
}

bool
domain_def_complete(DomainDef *def, const DomainDefaults *defaults, GError **err)
{
    if (!complete_os(def, defaults, err) || !complete_memory(def, err) || !complete_vcpus(def, err))
        return false;
    if (!def->uuid)
        def->uuid = xml_uuid_random();
    if (def->genid_present && !def->genid)
        def->genid = xml_uuid_random();
    domain_memtune_tidy(&def->memtune);
    domain_blkiotune_tidy(&def->blkiotune);
    complete_iothreads(def);
    complete_cpu(def);
    complete_features(def);
    complete_clock(def);
    complete_devices(def);
    complete_boot(def);
    return complete_controllers(def, err) && xml_type_check(&domain_def_type, def, err) &&
           domain_place_devices(def, err) && domain_place_usb(def, err) &&
           domain_place_pci(def, err) && domain_check(def, err);
}
