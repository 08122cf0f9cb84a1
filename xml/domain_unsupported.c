/* domain_unsupported.c - what a <domain> may say and Kiln cannot give a guest: named when the guest
 * is to be started, so that nothing the guest would notice is dropped in silence.
 *
 * What changes only how the host goes about it (tick policies, discarded event indexes, snapshot=
 * of a disk) is passed over; <cputune>, <numatune>, CPU models and clock offsets are judged where
 * they are carried out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_private.h"
#include "xml/domain_model.h"

#include "util/error.h"

#include <inttypes.h>
#include <string.h>

static bool refuse(GError **err, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool
refuse(GError **err, const char *format, ...)
{
    g_autofree char *what = NULL;
    va_list ap;

    va_start(ap, format);
    what = g_strdup_vprintf(format, ap);
    va_end(ap);
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s is not supported by Kiln", what);
}

/* @model from domain_model.h; @what in the XML's words. */
static bool
need(const char *model, const char *what, GError **err)
{
    if (model && (!*model || domain_model_is_built(model)))
        return true;
    return model ? refuse(err, "%s (device '%s')", what, model) : refuse(err, "%s", what);
}

static bool
check_kept(const GPtrArray *kept, const char *where, GError **err)
{
    for (guint i = 0; i < kept->len; i++) {
        const XmlKept *k = kept->pdata[i];
        const char *name = strrchr(k->path, '/');

        /* Labels are the business of a security driver, and there is none. */
        if (g_str_has_suffix(k->path, "seclabel"))
            continue;
        return refuse(err, "<%s>%s", name ? name + 1 : k->path, where);
    }
    return true;
}

static bool
check_virtio(const DomainVirtioOptions *v, const char *what, GError **err)
{
    if (v->iommu == TRISTATE_ON)
        return refuse(err, "iommu='on' of %s", what);
    if (v->ats == TRISTATE_ON)
        return refuse(err, "ats='on' of %s", what);
    return true;
}

/* --- the machine ------------------------------------------------------------------------------ */

static bool
check_os(const DomainDef *def, GError **err)
{
    const DomainOs *os = &def->os;

    if (strcmp(os->machine, DOMAIN_MACHINE_Q35) != 0 && strcmp(os->machine, DOMAIN_MACHINE_PC) != 0)
        return refuse(err, "machine type '%s' (use 'q35' or 'pc')", os->machine);
    if (def->bootloader || def->bootloader_args)
        return refuse(err, "<bootloader>");
    if (os->loader_secure == TRISTATE_ON)
        return refuse(err, "<loader secure='yes'> (Secure Boot needs System Management Mode)");
    for (guint i = 0; i < os->firmware_features->len; i++) {
        const DomainFirmwareFeature *feature = os->firmware_features->pdata[i];

        if (feature->enabled == TRISTATE_ON)
            return refuse(err, "firmware feature '%s' (it needs System Management Mode)",
                          feature->name);
    }
    if (os->nvram_type && strcmp(os->nvram_type, "file") != 0)
        return refuse(err, "<nvram type='%s'>", os->nvram_type);
    if (os->dtb)
        return refuse(err, "<dtb>");
    if (os->kernel && (os->loader || os->firmware))
        return refuse(err, "<loader> together with <kernel>");
    return check_kept(os->kept, " in <os>", err);
}

static bool
check_features(const DomainDef *def, GError **err)
{
    const DomainFeatures *f = def->features;

    if (!f)
        return true;
    if (f->viridian)
        return refuse(err, "<viridian> in <features>");
    if (f->kvm && f->kvm->dirty_ring == TRISTATE_ON)
        return refuse(err, "<dirty-ring state='on'/> of feature kvm");
    if (f->smm && f->smm_state != TRISTATE_OFF)
        return refuse(err, "feature smm");
    if (f->vmport && f->vmport_state != TRISTATE_OFF)
        return refuse(err, "feature vmport");
    if (f->vmcoreinfo && f->vmcoreinfo_state != TRISTATE_OFF)
        return refuse(err, "feature vmcoreinfo");
    if (f->ioapic == 1)
        return refuse(err, "<ioapic driver='qemu'/>");
    return check_kept(f->kept, " in <features>", err);
}

static bool
check_cpu(const DomainDef *def, GError **err)
{
    const DomainCpu *cpu = def->cpu;

    if (!cpu)
        return true;
    if (cpu->vendor_id)
        return refuse(err, "vendor_id of a CPU model");
    /* The guest is told of the host's caches, whatever the model. */
    if (cpu->cache_mode && cpu->cache_mode != DOMAIN_CPU_CACHE_PASSTHROUGH)
        return refuse(err, "<cache mode='%s'> in <cpu> (use 'passthrough')",
                      cpu->cache_mode == DOMAIN_CPU_CACHE_EMULATE ? "emulate" : "disable");
    if (cpu->cache_mode && cpu->cache_level != XML_UNSET)
        return refuse(err, "level of <cache mode='passthrough'> in <cpu>");
    if (cpu->numa && cpu->numa->interconnects)
        return refuse(err, "<interconnects> of NUMA cells");
    for (guint i = 0; cpu->numa && i < cpu->numa->cells->len; i++)
        if (((const DomainNumaCell *)cpu->numa->cells->pdata[i])->caches->len)
            return refuse(err, "<cache> of a NUMA cell");
    return true;
}

static bool
check_board(const DomainDef *def, GError **err)
{
    const DomainMemoryBacking *backing = def->memory_backing;

    if (def->genid_present && !need("vmgenid", "<genid>", err))
        return false;
    if (def->max_memory != XML_UNSET)
        return refuse(err, "<maxMemory> (memory hotplug)");
    if (backing && backing->source == DOMAIN_MEMORY_SOURCE_FILE)
        return refuse(err, "<source type='file'/> in <memoryBacking> (use 'memfd')");
    if (def->memtune && def->memtune->min_guarantee != XML_UNSET)
        return refuse(err, "<min_guarantee> in <memtune>");
    if (def->fc_appid)
        return refuse(err, "<fibrechannel> in <resource>");
    if (def->cputune && !check_kept(def->cputune->kept, " in <cputune>", err))
        return false;
    for (guint i = 0; i < def->seclabels->len; i++)
        if (((const DomainSeclabel *)def->seclabels->pdata[i])->type == 2)
            return refuse(err, "a static <seclabel>");
    for (guint i = 0; i < def->clock.timers->len; i++) {
        const DomainTimer *timer = def->clock.timers->pdata[i];

        if (timer->mode)
            return refuse(err, "mode of timer '%s'", domain_timer_names[timer->name]);
    }
    return true;
}

/* --- devices ---------------------------------------------------------------------------------- */

static bool
check_source(const DomainDisk *disk, const char *what, GError **err)
{
    if (disk->type == DOMAIN_DISK_FILE || disk->type == DOMAIN_DISK_BLOCK)
        return true;
    if (disk->type != DOMAIN_DISK_NETWORK)
        return refuse(err, "type '%s' of %s", domain_disk_types[disk->type], what);
    if (!disk->protocol)
        return true; /* an empty drive */
    if (strcmp(disk->protocol, "nbd") != 0)
        return refuse(err, "protocol '%s' of %s", disk->protocol, what);
    if (disk->hosts->len != 1)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "protocol 'nbd' of %s wants one <host>, not %u", what,
                              disk->hosts->len);
    if (((const DomainDiskHost *)disk->hosts->pdata[0])->transport == DOMAIN_HOST_RDMA)
        return refuse(err, "transport 'rdma' of %s", what);
    return true;
}

static bool
check_encryption(const DomainDisk *disk, const char *what, GError **err)
{
    const DomainEncryption *encryption = domain_disk_encryption(disk);

    if (!encryption)
        return true;
    if (encryption->format != DOMAIN_ENCRYPTION_LUKS)
        return refuse(err, "<encryption format='%s'> of %s",
                      domain_encryption_formats[encryption->format], what);
    if (encryption->engine > 1)
        return refuse(err, "<encryption engine='librbd'> of %s", what);
    if (encryption->secrets->len != 1)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<encryption> of %s wants one <secret>, not %u", what,
                              encryption->secrets->len);
    if (strcmp(disk->format, "raw") != 0 && strcmp(disk->format, "qcow2") != 0)
        return refuse(err, "<encryption> in image format '%s' of %s", disk->format, what);
    return true;
}

static bool
check_disk(const DomainDisk *disk, GError **err)
{
    static const char *const written[] = { "raw", "qcow2", "vdi", "vpc", "vmdk", NULL };
    static const char *const read[] = { "qed", "bochs", "cloop", "dmg", "qcow", "ploop", NULL };
    g_autofree char *what = g_strdup_printf("disk '%s'", disk->target);
    g_autofree char *where = g_strdup_printf(" of %s", what);

    g_autofree char *thing =
        g_strdup_printf("device '%s' on bus '%s' of %s", domain_disk_devices[disk->device],
                        domain_disk_buses[disk->bus], what);

    if (!need(domain_disk_model(disk), thing, err))
        return false;
    if (!check_source(disk, what, err) || !check_encryption(disk, what, err))
        return false;
    if (!g_strv_contains(written, disk->format) &&
        !(disk->readonly && g_strv_contains(read, disk->format)))
        return refuse(err, "image format '%s' of a %s %s", disk->format,
                      disk->readonly ? "read-only" : "writable", what);
    if (!strcmp(disk->format, "raw") && disk->backing_store && strchr(disk->backing_store + 1, '<'))
        return refuse(err, "<backingStore> of the raw %s", what);
    if (disk->fdgroup)
        return refuse(err, "fdgroup of %s", what);
    if (disk->mirror)
        return refuse(err, "<mirror> of %s", what);
    if (disk->copy_on_read == TRISTATE_ON)
        return refuse(err, "copy_on_read of %s", what);
    if (disk->transient)
        return refuse(err, "<transient/> of %s", what);
    if (disk->rawio == TRISTATE_ON)
        return refuse(err, "rawio of %s", what);
    if (disk->bus != DOMAIN_BUS_SCSI &&
        (disk->vendor || disk->product || (disk->wwn && disk->bus == DOMAIN_BUS_VIRTIO)))
        return refuse(err, "<%s> of %s",
                      disk->vendor    ? "vendor"
                      : disk->product ? "product"
                                      : "wwn",
                      what);
    if (disk->cyls != XML_UNSET || disk->heads != XML_UNSET || disk->secs != XML_UNSET)
        return refuse(err, "<geometry> of %s", what);
    return check_virtio(&disk->virtio, what, err) && check_kept(disk->kept, where, err);
}

static bool
check_controller(const DomainDef *def, const DomainController *c, GError **err)
{
    const char *model = c->type == DOMAIN_CONTROLLER_PCI    ? domain_pci_models[c->pci_model]
                        : c->type == DOMAIN_CONTROLLER_USB  ? domain_usb_models[c->usb_model]
                        : c->type == DOMAIN_CONTROLLER_SCSI ? domain_scsi_models[c->scsi_model]
                                                            : "";
    g_autofree char *what =
        g_strdup_printf("controller type '%s'%s%s%s", domain_controller_types[c->type],
                        *model ? " model '" : "", model, *model ? "'" : "");

    /* One with nothing plugged in is left out: libvirt adds one to every definition. */
    if (c->type == DOMAIN_CONTROLLER_USB && !domain_usb_in_use(def, c->index))
        return true;
    if (!need(domain_controller_model(def, c), what, err))
        return false;
    if (c->pcihole64 != XML_UNSET)
        return refuse(err, "<pcihole64>");
    if (c->type == DOMAIN_CONTROLLER_SCSI)
        return check_virtio(&c->virtio, "a SCSI controller", err);
    return c->type != DOMAIN_CONTROLLER_VIRTIO_SERIAL ||
           check_virtio(&c->virtio, "a virtio-serial controller", err);
}

static bool
has_offloads(const DomainNetOffloads *o)
{
    return o->csum || o->gso || o->tso4 || o->tso6 || o->ecn || o->ufo || o->mrg_rxbuf;
}

static bool
check_interface(const DomainInterface *net, GError **err)
{
    g_autofree char *what = g_strdup_printf("interface %s", net->mac);
    g_autofree char *thing = g_strdup_printf("model '%s' of %s", net->model, what);
    g_autofree char *where = g_strdup_printf(" of %s", what);

    if (net->type != DOMAIN_NET_NETWORK && net->type != DOMAIN_NET_BRIDGE &&
        net->type != DOMAIN_NET_USER && net->type != DOMAIN_NET_ETHERNET &&
        net->type != DOMAIN_NET_DIRECT)
        return refuse(err, "type '%s' of %s", domain_net_types[net->type], what);
    if (!need(domain_interface_model(net), thing, err))
        return false;
    if (net->backend_type)
        return refuse(err, "<backend type='%s'/> of %s", net->backend_type, what);
    if (net->backend_tap || net->backend_vhost || net->backend_log)
        return refuse(err, "<backend> of %s", what);
    if (net->type == DOMAIN_NET_DIRECT && net->trust_guest_rx_filters == TRISTATE_ON)
        return refuse(err, "trustGuestRxFilters='yes' of %s", what);
    if ((net->type == DOMAIN_NET_USER && net->source_dev) || net->source_ips->len ||
        net->source_routes->len)
        return refuse(err, "<source> with device or addresses of %s", what);
    if (net->ips->len || net->routes->len)
        return refuse(err, "<ip> or <route> of %s", what);
    if (net->vlan_tags->len)
        return refuse(err, "<vlan> of %s", what);
    if ((net->inbound || net->outbound) && net->type == DOMAIN_NET_USER)
        return refuse(err, "<bandwidth> of %s, which has user networking", what);
    if (net->filter)
        return refuse(err, "<filterref> of %s", what);
    if ((net->script && *net->script) || (net->downscript && *net->downscript))
        return refuse(err, "<script> of %s", what);
    if (net->sndbuf != XML_UNSET)
        return refuse(err, "<tune> of %s", what);
    if (net->rss == TRISTATE_ON || net->rss_hash_report == TRISTATE_ON)
        return refuse(err, "rss of %s", what);
    if (has_offloads(&net->host) || has_offloads(&net->guest))
        return refuse(err, "choosing offloads (<host>, <guest> in <driver>) of %s", what);
    return check_virtio(&net->virtio, what, err) && check_kept(net->kept, where, err);
}

static bool
has_udp_peer(const DomainCharSource *source)
{
    for (guint i = 0; i < source->udp->len; i++) {
        const DomainCharUdp *end = source->udp->pdata[i];

        if (end->mode != DOMAIN_CHAR_BIND && end->service)
            return true;
    }
    return false;
}

static bool
check_char(const DomainChar *chr, const char *what, GError **err)
{
    const DomainCharSource *s = &chr->source;
    g_autofree char *where = g_strdup_printf(" of a %s", what);

    switch (s->type) {
    case DOMAIN_CHAR_TCP:
        if (s->tls == TRISTATE_ON || s->protocol > DOMAIN_CHAR_PROTOCOL_TELNET)
            return refuse(err, "TLS of a %s", what);
        break;
    case DOMAIN_CHAR_PTY:
    case DOMAIN_CHAR_FILE:
    case DOMAIN_CHAR_UNIX:
    case DOMAIN_CHAR_NULL:
    case DOMAIN_CHAR_PIPE:
        break;
    case DOMAIN_CHAR_UDP:
        if (!has_udp_peer(s))
            return refuse(err, "type 'udp' without <source mode='connect' service='…'> of a %s",
                          what);
        break;
    default:
        return refuse(err, "type '%s' of a %s", domain_char_types[s->type], what);
    }
    if (s->reconnect == TRISTATE_ON && s->mode != DOMAIN_CHAR_CONNECT)
        return refuse(err, "<reconnect> of a %s that listens", what);
    return check_kept(s->kept, where, err);
}

static bool
check_chars(const DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->parallels->len; i++)
        if (!check_char(def->parallels->pdata[i], "parallel", err))
            return false;
    for (guint i = 0; i < def->serials->len; i++) {
        const DomainChar *serial = def->serials->pdata[i];

        if (serial->target != DOMAIN_SERIAL_ISA)
            return refuse(err, "serial port type '%s'", domain_serial_targets[serial->target]);
        if (!check_char(serial, "serial", err))
            return false;
    }
    for (guint i = 0; i < def->consoles->len; i++) {
        const DomainChar *console = def->consoles->pdata[i];

        if (console->target != DOMAIN_CONSOLE_SERIAL && console->target != DOMAIN_CONSOLE_VIRTIO)
            return refuse(err, "console type '%s'", domain_console_targets[console->target]);
        if (!check_char(console, "console", err))
            return false;
    }
    for (guint i = 0; i < def->channels->len; i++) {
        const DomainChar *channel = def->channels->pdata[i];

        if (channel->target != DOMAIN_CHANNEL_VIRTIO)
            return refuse(err, "channel type '%s'", domain_channel_targets[channel->target]);
        if (!check_char(channel, "channel", err))
            return false;
    }
    return true;
}

static bool
check_graphics(const DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->graphics->len; i++) {
        const DomainGraphics *g = def->graphics->pdata[i];

        if (g->type != DOMAIN_GRAPHICS_VNC)
            return refuse(err, "graphics type '%s' (use 'vnc')", domain_graphics_types[g->type]);
        if (!domain_model_is_built("vnc"))
            return refuse(err, "graphics type 'vnc'");
        if (i > 0)
            return refuse(err, "a second <graphics type='vnc'>");
        if (g->listens->len > 1)
            return refuse(err, "a second <listen> of <graphics>");
    }
    for (guint i = 0; i < def->sounds->len; i++) {
        const DomainSound *sound = def->sounds->pdata[i];

        return refuse(err, "sound model '%s'", domain_sound_models[sound->model]);
    }
    for (guint i = 0; i < def->audios->len; i++) {
        const DomainAudio *audio = def->audios->pdata[i];

        if (audio->type != DOMAIN_AUDIO_NONE)
            return refuse(err, "audio type '%s' (use 'none')", domain_audio_types[audio->type]);
    }
    return true;
}

static bool
check_small(const DomainDef *def, GError **err)
{
    if (def->tpms->len)
        return refuse(err, "<tpm>");
    if (def->redirdevs->len)
        return refuse(err, "<redirdev>");
    for (guint i = 0; i < def->watchdogs->len; i++) {
        const DomainWatchdog *watchdog = def->watchdogs->pdata[i];
        g_autofree char *what =
            g_strdup_printf("watchdog model '%s'", domain_watchdog_models[watchdog->model]);

        if (!need(domain_watchdog_model(watchdog), what, err))
            return false;
        if (watchdog->model == DOMAIN_WATCHDOG_ITCO &&
            strcmp(def->os.machine, DOMAIN_MACHINE_Q35) != 0)
            return refuse(err, "watchdog model 'itco' on machine type 'pc' (it is part of q35)");
    }
    for (guint i = 0; i < def->panics->len; i++) {
        const DomainPanic *panic = def->panics->pdata[i];
        g_autofree char *what =
            g_strdup_printf("panic model '%s'", domain_panic_models[panic->model]);

        if (!need(domain_panic_model(panic), what, err))
            return false;
    }
    if (def->vsock && def->vsock->model == DOMAIN_VIRTIO_TRANSITIONAL)
        return refuse(err, "model 'virtio-transitional' of <vsock> (it has no legacy interface)");
    return !def->vsock || check_virtio(&def->vsock->virtio, "<vsock>", err);
}

static bool
check_others(const DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->rngs->len; i++) {
        const DomainRng *rng = def->rngs->pdata[i];

        if (rng->backend == DOMAIN_RNG_EGD)
            return refuse(err, "<backend model='egd'> of an rng");
        if (!check_virtio(&rng->virtio, "an rng", err))
            return false;
    }
    for (guint i = 0; i < def->inputs->len; i++) {
        const DomainInput *input = def->inputs->pdata[i];

        g_autofree char *what =
            g_strdup_printf("input '%s'%s%s", domain_input_types[input->type],
                            input->bus ? " on bus " : "", domain_input_buses[input->bus]);

        if (!need(domain_input_model(input), what, err))
            return false;
        if (input->bus == DOMAIN_INPUT_BUS_VIRTIO && input->model == DOMAIN_VIRTIO_TRANSITIONAL)
            return refuse(err, "model 'virtio-transitional' of %s (it has no legacy interface)",
                          what);
        if (input->bus == DOMAIN_INPUT_BUS_VIRTIO && !check_virtio(&input->virtio, what, err))
            return false;
    }
    for (guint i = 0; i < def->videos->len; i++) {
        const DomainVideo *video = def->videos->pdata[i];
        g_autofree char *what =
            g_strdup_printf("video model '%s'", domain_video_models[video->model]);

        if (!need(domain_video_model(video, i == 0), what, err))
            return false;
        if (video->accel3d == TRISTATE_ON || video->rendernode)
            return refuse(err, "3D acceleration of a video card");
        if (video->driver_name && strcmp(video->driver_name, "qemu") != 0)
            return refuse(err, "driver '%s' of a video card", video->driver_name);
        if (!check_virtio(&video->virtio, what, err))
            return false;
    }
    if (def->balloon->model == DOMAIN_BALLOON_XEN)
        return refuse(err, "memballoon model 'xen'");
    return check_virtio(&def->balloon->virtio, "the memballoon", err);
}

/* What any device may say. */
static bool
check_info(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    (void)device;
    if ((info->rom_enabled || info->rom_bar || info->rom_file) && strcmp(element, "interface") != 0)
        return refuse(opaque, "<rom> of <%s>", element);
    if (info->acpi_index != XML_UNSET)
        return refuse(opaque, "<acpi index> of <%s>", element);
    return true;
}

bool
domain_def_unsupported(const DomainDef *def, GError **err)
{
    if (!check_os(def, err) || !check_features(def, err) || !check_cpu(def, err) ||
        !check_board(def, err))
        return false;
    for (guint i = 0; i < def->disks->len; i++)
        if (!check_disk(def->disks->pdata[i], err))
            return false;
    for (guint i = 0; i < def->controllers->len; i++)
        if (!check_controller(def, def->controllers->pdata[i], err))
            return false;
    for (guint i = 0; i < def->interfaces->len; i++)
        if (!check_interface(def->interfaces->pdata[i], err))
            return false;
    if (!domain_def_each_device((DomainDef *)def, check_info, err))
        return false;
    return check_chars(def, err) && check_graphics(def, err) && check_small(def, err) &&
           check_others(def, err) && check_kept(def->kept, "", err);
}
