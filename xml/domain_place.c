/* domain_place.c - which controller and which place on it a disk or a virtio-serial port gets, as
 * libvirt counts them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_private.h"

#include "util/error.h"

#include <inttypes.h>
#include <string.h>

enum { SERIAL_PORTS = 31 }; /* of a virtio-serial controller that does not say */

/* Behind the last controller of its type with no greater index, else at the end. */
void
domain_insert_controller(GPtrArray *controllers, DomainController *c)
{
    guint at = controllers->len;

    for (guint i = controllers->len; i > 0; i--) {
        const DomainController *other = controllers->pdata[i - 1];

        if (other->type != c->type)
            continue;
        if (other->index <= c->index) {
            at = i;
            break;
        }
        at = i - 1;
    }
    g_ptr_array_insert(controllers, (gint)at, c);
}

DomainController *
domain_add_controller(DomainDef *def, DomainControllerType type, uint64_t index)
{
    DomainController *c = xml_type_new(&domain_controller_type);

    c->type = (int)type;
    c->index = index;
    domain_insert_controller(def->controllers, c);
    return c;
}

DomainAddress *
domain_new_address(DomainDeviceInfo *info, DomainAddressType type)
{
    xml_type_free(&domain_address_type, info->address);
    info->address = xml_type_new(&domain_address_type);
    info->address->type = (int)type;
    return info->address;
}

int
domain_disk_index(const char *target)
{
    static const char *const prefixes[] = { "fd", "hd", "sd", "vd", "xvd", "ubd" };
    int index = 0;

    if (g_str_has_prefix(target, "ioemu:"))
        target += strlen("ioemu:");
    for (size_t i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        const char *c = target + strlen(prefixes[i]);

        if (!g_str_has_prefix(target, prefixes[i]))
            continue;
        if (!g_ascii_islower(*c))
            return -1;
        for (; g_ascii_islower(*c); c++) {
            if (index > 1000)
                return -1;
            index = (index + (c > target + strlen(prefixes[i]))) * 26 + (*c - 'a');
        }
        /* Digits after the letters are partitions, which some definitions name. */
        for (; *c; c++)
            if (!g_ascii_isdigit(*c))
                return -1;
        return index;
    }
    return -1;
}

static bool
place_disk(DomainDef *def, DomainDisk *disk, GError **err)
{
    static const struct {
        DomainControllerType type;
        unsigned per_controller, per_bus;
    } layouts[] = {
        [DOMAIN_BUS_IDE] = { DOMAIN_CONTROLLER_IDE, 4, 2 },
        [DOMAIN_BUS_FDC] = { DOMAIN_CONTROLLER_FDC, 2, 2 },
        [DOMAIN_BUS_SCSI] = { DOMAIN_CONTROLLER_SCSI, 7, 7 },
        [DOMAIN_BUS_SATA] = { DOMAIN_CONTROLLER_SATA, 6, 6 },
        [DOMAIN_BUS_SD] = { DOMAIN_CONTROLLER_NONE, 0, 0 },
    };
    DomainControllerType type = layouts[disk->bus].type;
    DomainAddress *address = disk->info.address;

    if (!type)
        return true;
    if (!address) {
        int index = domain_disk_index(disk->target);

        if (index < 0)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "disk target '%s' is not a device name that "
                                  "counts (such as 'sda'); give the disk an <address>",
                                  disk->target);
        if ((unsigned)index / layouts[disk->bus].per_controller > DOMAIN_ADDRESS_CONTROLLER_MAX)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "disk target '%s' counts as the drive %d of its bus, whose "
                                  "controller would be beyond the limit of %d; give the disk an "
                                  "<address>",
                                  disk->target, index, DOMAIN_ADDRESS_CONTROLLER_MAX);
        address = domain_new_address(&disk->info, DOMAIN_ADDRESS_DRIVE);
        address->controller = (uint64_t)index / layouts[disk->bus].per_controller;
        address->bus =
            (uint64_t)index % layouts[disk->bus].per_controller / layouts[disk->bus].per_bus;
        address->unit = (uint64_t)index % layouts[disk->bus].per_bus;
    }
    if (address->type != DOMAIN_ADDRESS_DRIVE)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "disk '%s' on bus '%s' needs an address of type "
                              "'drive', not '%s'",
                              disk->target, domain_disk_buses[disk->bus],
                              domain_address_types[address->type]);
    if (address->controller == XML_UNSET)
        address->controller = 0;
    if (address->bus == XML_UNSET)
        address->bus = 0;
    if (address->target == XML_UNSET)
        address->target = 0;
    if (address->unit == XML_UNSET)
        address->unit = 0;
    /* As libvirt, without gaps in the indexes. */
    for (uint64_t i = 0; i <= address->controller; i++)
        if (!domain_def_controller(def, type, i)) {
            DomainController *c = domain_add_controller(def, type, i);

            if (type == DOMAIN_CONTROLLER_SCSI)
                c->scsi_model = DOMAIN_SCSI_VIRTIO;
        }
    return true;
}

/* --- virtio-serial ---------------------------------------------------------------------------- */

static bool
port_taken(const DomainDef *def, uint64_t controller, uint64_t port, const DomainChar *except)
{
    const GPtrArray *lists[] = { def->consoles, def->channels };

    for (size_t l = 0; l < G_N_ELEMENTS(lists); l++)
        for (guint i = 0; i < lists[l]->len; i++) {
            const DomainChar *chr = lists[l]->pdata[i];
            const DomainAddress *a = chr->info.address;

            if (chr != except && a && a->type == DOMAIN_ADDRESS_VIRTIO_SERIAL &&
                a->controller == controller && a->port == port)
                return true;
        }
    return false;
}

static uint64_t
ports_of(const DomainController *c)
{
    return c && c->ports != XML_UNSET ? c->ports : SERIAL_PORTS;
}

static bool
place_port(DomainDef *def, DomainChar *chr, bool allow_zero, GError **err)
{
    DomainAddress *a = chr->info.address;
    uint64_t controller = a && a->controller != XML_UNSET ? a->controller : 0;
    bool fixed = a && a->controller != XML_UNSET;

    if (a && a->type != DOMAIN_ADDRESS_VIRTIO_SERIAL)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "a virtio console or channel needs an address of "
                              "type 'virtio-serial', not '%s'",
                              domain_address_types[a->type]);
    if (!a) {
        a = domain_new_address(&chr->info, DOMAIN_ADDRESS_VIRTIO_SERIAL);
        a->port = XML_UNSET;
    }
    a->bus = 0;
    for (;; controller++) {
        const DomainController *c;

        for (uint64_t i = 0; i <= controller; i++)
            if (!domain_def_controller(def, DOMAIN_CONTROLLER_VIRTIO_SERIAL, i))
                domain_add_controller(def, DOMAIN_CONTROLLER_VIRTIO_SERIAL, i);
        c = domain_def_controller(def, DOMAIN_CONTROLLER_VIRTIO_SERIAL, controller);
        a->controller = controller;
        if (a->port != XML_UNSET) {
            if (a->port >= ports_of(c))
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "virtio serial port %" PRIu64 " is beyond "
                                      "the %" PRIu64 " ports of controller %" PRIu64,
                                      a->port, ports_of(c), controller);
            if (port_taken(def, controller, a->port, chr))
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "virtio serial port %" PRIu64 " on "
                                      "controller %" PRIu64 " is already occupied",
                                      a->port, controller);
            return true;
        }
        for (uint64_t port = allow_zero ? 0 : 1; port < ports_of(c); port++)
            if (!port_taken(def, controller, port, chr)) {
                a->port = port;
                return true;
            }
        if (fixed)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "virtio-serial controller %" PRIu64 " has no "
                                  "free port",
                                  controller);
    }
}

bool
domain_place_devices(DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->disks->len; i++)
        if (!place_disk(def, def->disks->pdata[i], err))
            return false;
    for (guint i = 0; i < def->consoles->len; i++) {
        DomainChar *chr = def->consoles->pdata[i];

        if (chr->target == DOMAIN_CONSOLE_VIRTIO && !place_port(def, chr, true, err))
            return false;
    }
    for (guint i = 0; i < def->channels->len; i++) {
        DomainChar *chr = def->channels->pdata[i];

        if (chr->target == DOMAIN_CHANNEL_VIRTIO && !place_port(def, chr, false, err))
            return false;
    }
    return true;
}
