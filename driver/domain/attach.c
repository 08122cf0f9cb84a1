/* attach.c - giving a guest or its definition one more device (virDomainAttachDeviceFlags).
 *
 * The live definition is changed in a copy, which takes the present one's place once the VMM has
 * the device: a refusal leaves nothing behind.
 *
 * Left out: hot plugging of SATA, IDE and floppy drives, PCI controllers, ISA and PCI serial ports,
 * video, sound and host devices.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/attach.h"
#include "driver/domain/update.h"
#include "util/error.h"

/* --- what can come to a running guest --------------------------------------------------------- */

static bool
check_hotplug(const DomainDevice *device, GError **err)
{
    const DomainDisk *disk = device->device;
    const DomainController *c = device->device;
    const DomainInput *input = device->device;
    const char *element = device->kind->element;

    if (!device->kind->build)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "live attach of device '%s' is not supported", element);
    if (device->kind->id == DEVICE_DISK && disk->bus != DOMAIN_BUS_VIRTIO &&
        disk->bus != DOMAIN_BUS_SCSI && disk->bus != DOMAIN_BUS_USB)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "disk device bus '%s' cannot be hotplugged; use 'virtio', 'scsi' or "
                              "'usb'",
                              domain_disk_buses[disk->bus]);
    if (device->kind->id == DEVICE_CONTROLLER && c->type != DOMAIN_CONTROLLER_SCSI &&
        c->type != DOMAIN_CONTROLLER_VIRTIO_SERIAL && c->type != DOMAIN_CONTROLLER_USB)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "'%s' controller cannot be hot plugged.",
                              domain_controller_types[c->type]);
    if (device->kind->id == DEVICE_INPUT && input->bus != DOMAIN_INPUT_BUS_USB &&
        input->bus != DOMAIN_INPUT_BUS_VIRTIO)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "input device on bus '%s' cannot be hot plugged.",
                              domain_input_buses[input->bus]);
    return true;
}

/* The controllers that @device needs and the VMM does not have: those that the definition has only
 * now, and USB controllers that had nothing to do so far. */
static bool
build_controllers(DomainPlug *plug, const DomainDef *before, const DomainDevice *device,
                  GHashTable *there, GError **err)
{
    const GPtrArray *list = domain_plug_argv(plug)->def->controllers;
    const DomainDeviceInfo *info = domain_device_info(device);
    uint64_t usb = info->address && info->address->type == DOMAIN_ADDRESS_USB
                       ? (info->address->bus == XML_UNSET ? 0 : info->address->bus)
                       : XML_UNSET;

    for (guint i = 0; i < list->len; i++) {
        const DomainController *c = list->pdata[i];
        bool is_new = !domain_def_controller(before, c->type, c->index);

        if ((const void *)c == device->device)
            continue;
        if (is_new && c->type == DOMAIN_CONTROLLER_PCI)
            return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "No more available PCI slots");
        if (is_new && c->type != DOMAIN_CONTROLLER_SCSI && c->type != DOMAIN_CONTROLLER_USB &&
            c->type != DOMAIN_CONTROLLER_VIRTIO_SERIAL)
            return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                                  "'%s' controller cannot be hot plugged.",
                                  domain_controller_types[c->type]);
        if ((is_new || (c->type == DOMAIN_CONTROLLER_USB && c->index == usb &&
                        !g_hash_table_contains(there, c->info.alias))) &&
            !argv_controller(domain_plug_argv(plug), c, err))
            return false;
    }
    return true;
}

/* What only a running guest takes. */
static bool
configure(DomainRun *run, const DomainDevice *device, GError **err)
{
    const DomainInterface *net = device->device;

    if (device->kind->id == DEVICE_CHANNEL)
        ((DomainChar *)device->device)->state = 1;
    return device->kind->id != DEVICE_INTERFACE || net->link != DOMAIN_LINK_DOWN ||
           domain_link_set(run, net, err);
}

static bool
attach_device(DomainRun *run, DomainDef *live, const DomainDevice *device, GError **err)
{
    Domain *domain = run->domain;
    g_autoptr(DomainDef) before = domain_def_copy(live);
    g_autoptr(DomainDef) def = live;
    g_autoptr(GHashTable) there = NULL;
    g_autoptr(DomainPlug) plug = NULL;
    g_autofree char *alias = NULL;
    DomainDevice added;

    if (!domain_device_check_new(def, device, true, err))
        return false;
    domain_device_insert(def, device, &added);
    if (!domain_def_complete(def, &domain->manager->defaults, err) || !check_hotplug(&added, err) ||
        !domain_def_unsupported(def, err) ||
        (added.kind->id == DEVICE_DISK && !domain_disk_check(domain, added.device, err)))
        return false;
    domain_def_assign_aliases(def);
    alias = g_strdup(domain_device_info(&added)->alias);
    if (!(plug = domain_plug_new(run, def, err)) || !(there = domain_plug_devices(run, err)) ||
        !build_controllers(plug, before, &added, there, err) ||
        !added.kind->build(domain_plug_argv(plug), added.device, err) ||
        !domain_plug_send(plug, err))
        return false;
    if (!configure(run, &added, err)) {
        domain_plug_undo(plug);
        return false;
    }
    domain_live_replace(domain, g_steal_pointer(&def));
    domain_event_send(domain, VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, 0, 0, 0, alias);
    return true;
}

/* A medium for the drive that is there, or a drive. @live is taken over. */
static bool
attach_live(Domain *domain, DomainDef *live, const DomainDevice *device, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    const DomainDisk *disk = device->device;
    DomainDevice drive;

    if (!run || (device->kind->id == DEVICE_DISK &&
                 !domain_disk_resolve(domain->manager, device->device, err))) {
        domain_def_free(live);
        return false;
    }
    if (device->kind->id == DEVICE_DISK && disk->device == DOMAIN_DISK_DEVICE_CDROM &&
        domain_device_find(live, device, &drive, NULL) &&
        ((const DomainDisk *)drive.device)->device == DOMAIN_DISK_DEVICE_CDROM)
        return domain_media_change(run, live, drive.device, disk, false, err);
    return attach_device(run, live, device, err);
}

static bool
attach_config(Domain *domain, DomainDef *config, const DomainDevice *device, GError **err)
{
    if (!domain_device_check_new(config, device, false, err))
        return false;
    domain_device_insert(config, device, NULL);
    return domain_def_complete(config, &domain->manager->defaults, err);
}

static bool
attach_both(Domain *domain, const DomainDevice *device, unsigned flags, GError **err)
{
    g_autoptr(DomainDef) live = NULL;
    g_autoptr(DomainDef) config = NULL;

    if (!domain_copies(domain, &flags, &live, &config, err))
        return false;
    if (!device->device || device->kind->info == SIZE_MAX)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "%s attach of device '%s' is not supported",
                              live ? "live" : "persistent", device->kind->element);
    if (device->kind->id == DEVICE_INTERFACE)
        domain_interface_give_model(device->device, live);
    return (!config || attach_config(domain, config, device, err)) &&
           (!live || attach_live(domain, g_steal_pointer(&live), device, err)) &&
           (!config || domain_config_replace(domain, g_steal_pointer(&config), err));
}

bool
domain_attach_device(Domain *domain, const char *xml, unsigned flags, GError **err)
{
    DomainDevice device = { 0 };
    bool ok;

    if (!domain_device_parse(xml, XML_INACTIVE, &device, err))
        return false;
    /* one address for both definitions */
    if (device.device && device.kind->id == DEVICE_INTERFACE)
        domain_interface_give_mac(device.device);
    ok = domain_job_begin(domain, "attach", err);
    if (ok) {
        ok = attach_both(domain, &device, flags, err);
        domain_job_end(domain);
    }
    domain_device_clear(&device);
    return ok;
}
