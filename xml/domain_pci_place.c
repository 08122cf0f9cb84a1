/* domain_pci_place.c - PCI addresses for the devices that have none, as libvirt gives them.
 *
 * q35: root ports fill the functions of pcie.0's slots from 1 (2 if a video card sits in slot 1),
 * eight to a slot; each PCI Express device gets a root port of its own; conventional PCI devices go
 * behind a pcie-to-pci-bridge. pc: everything sits on bus 0 from slot 2 on. Addresses are given
 * twice: the first time tells which bridges and ports are needed, which then come first.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_pci.h"

#include "util/error.h"

#include <inttypes.h>
#include <string.h>

typedef PciMap Map;
enum { VIDEO_SLOT_Q35 = 1, VIDEO_SLOT_PC = 2, SOUND_SLOT_Q35 = 0x1b, SATA_FUNCTION = 2 };

DomainController *
pci_map_bus(const Map *map, uint64_t bus)
{
    return domain_def_controller(map->def, DOMAIN_CONTROLLER_PCI, bus);
}

DomainController *
pci_map_add(Map *map, uint64_t index, DomainPciModel model)
{
    DomainController *c = domain_add_controller(map->def, DOMAIN_CONTROLLER_PCI, index);

    c->pci_model = (int)model;
    return c;
}

static void
give(Map *map, DomainDeviceInfo *info, unsigned bus, unsigned slot, unsigned function)
{
    DomainAddress *a = domain_new_address(info, DOMAIN_ADDRESS_PCI);

    a->domain = 0;
    a->bus = bus;
    a->slot = slot;
    a->function = function;
    map->used[bus][slot] |= (uint8_t)(1 << function);
    g_hash_table_add(map->given, a);
}

static bool
no_more(Map *map, const char *what)
{
    return kiln_error_set(map->err, VIR_ERR_XML_ERROR, "No more available PCI %s", what);
}

static bool
place_root_port(Map *map, DomainController *c)
{
    for (unsigned slot = 1; slot < map->bridge_slot; slot++) {
        unsigned function = 0;

        if (map->used[0][slot] && !map->ports_only[slot])
            continue;
        while (function < PCI_FUNCTIONS && (map->used[0][slot] & (1 << function)))
            function++;
        if (function == PCI_FUNCTIONS)
            continue;
        give(map, &c->info, 0, slot, function);
        map->ports_only[slot] = true;
        return true;
    }
    return no_more(map, "slots for root ports");
}

/* A slot of its own on bus 0. */
static bool
place_on_root(Map *map, DomainDeviceInfo *info)
{
    for (unsigned slot = 1; slot < PCI_SLOTS; slot++)
        if (!map->used[0][slot] && slot != map->bridge_slot) {
            give(map, info, 0, slot, 0);
            return true;
        }
    return no_more(map, map->pc ? "slots on pci.0; add <controller type='pci' model='pci-bridge'/>"
                                : "slots on pcie.0");
}

static unsigned
free_index(const Map *map)
{
    unsigned bus = 1;

    while (bus < PCI_BUSES && pci_map_bus(map, bus))
        bus++;
    return bus;
}

/* A free root port, or a new one. */
static bool
place_express(Map *map, DomainDeviceInfo *info)
{
    unsigned bus;

    for (bus = 1; bus < PCI_BUSES; bus++) {
        const DomainController *c = pci_map_bus(map, bus);

        if (!c) {
            pci_map_add(map, bus, DOMAIN_PCIE_ROOT_PORT);
            break;
        }
        if (c->pci_model == DOMAIN_PCIE_ROOT_PORT && !map->used[bus][0])
            break;
    }
    if (bus == PCI_BUSES)
        return no_more(map, "buses");
    give(map, info, bus, 0, 0);
    return true;
}

static bool
is_conventional(const DomainController *c)
{
    return c && (c->pci_model == DOMAIN_PCI_BRIDGE || c->pci_model == DOMAIN_PCIE_TO_PCI_BRIDGE ||
                 c->pci_model == DOMAIN_DMI_TO_PCI_BRIDGE);
}

/* Behind a bridge to conventional PCI; a new one where there is none with room. */
static bool
place_behind_bridge(Map *map, DomainDeviceInfo *info)
{
    DomainController *bridge;
    unsigned bus;

    for (bus = 1; bus < PCI_BUSES; bus++)
        for (unsigned slot = 1; is_conventional(pci_map_bus(map, bus)) && slot < PCI_SLOTS; slot++)
            if (!map->used[bus][slot]) {
                give(map, info, bus, slot, 0);
                return true;
            }
    {
        DomainDeviceInfo upstream = { 0 };

        if (!place_express(map, &upstream))
            return false;
        bus = free_index(map);
        if (bus == PCI_BUSES) {
            xml_type_free(&domain_address_type, upstream.address);
            return no_more(map, "buses");
        }
        bridge = pci_map_add(map, bus, DOMAIN_PCIE_TO_PCI_BRIDGE);
        bridge->info.address = upstream.address;
    }
    give(map, info, bus, 1, 0);
    return true;
}

static bool
place(Map *map, DomainDeviceInfo *info, bool conventional)
{
    if (info->address)
        return true;
    if (map->pc)
        return place_on_root(map, info);
    return conventional ? place_behind_bridge(map, info) : place_express(map, info);
}

/* --- controllers ------------------------------------------------------------------------------ */

/* The four functions of an ICH9 USB 2 controller share a slot. */
static bool
place_ich9_usb(Map *map, DomainController *c)
{
    static const uint8_t functions[] = {
        [DOMAIN_USB_ICH9_EHCI1] = 7,
        [DOMAIN_USB_ICH9_UHCI1] = 0,
        [DOMAIN_USB_ICH9_UHCI2] = 1,
        [DOMAIN_USB_ICH9_UHCI3] = 2,
    };
    unsigned function = functions[c->usb_model], slot = 0;

    for (guint i = 0; i < map->def->controllers->len; i++) {
        const DomainController *other = map->def->controllers->pdata[i];
        const DomainAddress *a = other->info.address;

        if (other->type == DOMAIN_CONTROLLER_USB && other->index == c->index && a &&
            a->type == DOMAIN_ADDRESS_PCI && a->bus == 0 &&
            !(map->used[0][a->slot] & (1 << function)))
            slot = (unsigned)a->slot;
    }
    if (!slot && !map->pc)
        slot = !map->used[0][0x1d] ? 0x1d : !map->used[0][0x1a] ? 0x1a : 0;
    for (unsigned s = 1; !slot && s < PCI_SLOTS; s++)
        if (!map->used[0][s])
            slot = s;
    if (!slot)
        return no_more(map, "slots for a USB controller");
    give(map, &c->info, 0, slot, function);
    return true;
}

/* A function of the board's own south bridge, if nobody has it. */
static bool
place_beside_bridge(Map *map, DomainController *c, unsigned function)
{
    if (map->used[0][map->bridge_slot] & (1 << function))
        return kiln_error_set(map->err, VIR_ERR_XML_ERROR,
                              "PCI address 0000:00:%02x.%x of the first %s controller is in use",
                              map->bridge_slot, function, domain_controller_types[c->type]);
    give(map, &c->info, 0, map->bridge_slot, function);
    return true;
}

static bool
place_usb(Map *map, DomainController *c)
{
    switch (c->usb_model) {
    case DOMAIN_USB_NONE:
        return true;
    case DOMAIN_USB_QEMU_XHCI:
    case DOMAIN_USB_NEC_XHCI:
        return place(map, &c->info, false);
    case DOMAIN_USB_ICH9_EHCI1:
    case DOMAIN_USB_ICH9_UHCI1:
    case DOMAIN_USB_ICH9_UHCI2:
    case DOMAIN_USB_ICH9_UHCI3:
        return place_ich9_usb(map, c);
    case DOMAIN_USB_PIIX3_UHCI:
        if (map->pc && c->index == 0 && !(map->used[0][map->bridge_slot] & (1 << 2)))
            return place_beside_bridge(map, c, 2);
        G_GNUC_FALLTHROUGH;
    default:
        return place(map, &c->info, true);
    }
}

static bool
place_controller(Map *map, DomainController *c)
{
    if (c->info.address)
        return true;
    switch (c->type) {
    case DOMAIN_CONTROLLER_IDE:
        return !map->pc || c->index > 0 || place_beside_bridge(map, c, 1);
    case DOMAIN_CONTROLLER_SATA:
        return c->index == 0 && !map->pc ? place_beside_bridge(map, c, SATA_FUNCTION)
                                         : place(map, &c->info, true);
    case DOMAIN_CONTROLLER_USB:
        return place_usb(map, c);
    case DOMAIN_CONTROLLER_VIRTIO_SERIAL:
        return place(map, &c->info, c->virtio_model == DOMAIN_VIRTIO_TRANSITIONAL);
    case DOMAIN_CONTROLLER_SCSI:
        return place(map, &c->info,
                     c->scsi_model != DOMAIN_SCSI_VIRTIO &&
                         c->scsi_model != DOMAIN_SCSI_VIRTIO_NON_TRANSITIONAL);
    default:
        return true;
    }
}

static bool
place_controllers(Map *map)
{
    /* By number: placing one may add root ports. */
    for (guint i = 0; i < map->def->controllers->len; i++) {
        DomainController *c = map->def->controllers->pdata[i];

        if (c->type != DOMAIN_CONTROLLER_PCI && !place_controller(map, c))
            return false;
    }
    return true;
}

/* Inside a switch: below the first upstream port that has room. */
static bool
place_downstream_port(Map *map, DomainController *c)
{
    for (unsigned bus = 1; bus < PCI_BUSES; bus++) {
        const DomainController *upstream = pci_map_bus(map, bus);

        if (!upstream || upstream->pci_model != DOMAIN_PCIE_SWITCH_UPSTREAM_PORT)
            continue;
        for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
            if (!map->used[bus][slot]) {
                give(map, &c->info, bus, slot, 0);
                return true;
            }
    }
    return no_more(map, "slots of a PCI Express switch; add <controller type='pci' "
                        "model='pcie-switch-upstream-port'/>");
}

static bool
place_pci_controllers(Map *map)
{
    for (guint i = 0; i < map->def->controllers->len; i++) {
        DomainController *c = map->def->controllers->pdata[i];

        if (c->type != DOMAIN_CONTROLLER_PCI || c->info.address)
            continue;
        switch (c->pci_model) {
        case DOMAIN_PCI_ROOT:
        case DOMAIN_PCIE_ROOT:
            break;
        case DOMAIN_PCIE_ROOT_PORT:
            if (!place_root_port(map, c))
                return false;
            break;
        case DOMAIN_DMI_TO_PCI_BRIDGE:
        case DOMAIN_PCI_EXPANDER_BUS:
        case DOMAIN_PCIE_EXPANDER_BUS:
            if (!place_on_root(map, &c->info))
                return false;
            break;
        case DOMAIN_PCI_BRIDGE:
            if (!place(map, &c->info, true))
                return false;
            break;
        case DOMAIN_PCIE_TO_PCI_BRIDGE:
        case DOMAIN_PCIE_SWITCH_UPSTREAM_PORT:
            if (!place(map, &c->info, false))
                return false;
            break;
        case DOMAIN_PCIE_SWITCH_DOWNSTREAM_PORT:
            if (!place_downstream_port(map, c))
                return false;
            break;
        default:
            return kiln_error_set(map->err, VIR_ERR_XML_ERROR,
                                  "PCI controller '%s' with index %" PRIu64 " needs an <address>",
                                  domain_pci_models[c->pci_model], c->index);
        }
    }
    return true;
}

/* --- devices ---------------------------------------------------------------------------------- */

/* The primary card has a slot of its own, where firmware looks for it. */
static bool
place_video(Map *map)
{
    const GPtrArray *videos = map->def->videos;
    unsigned slot = map->pc ? VIDEO_SLOT_PC : VIDEO_SLOT_Q35;
    DomainVideo *video = videos->len ? videos->pdata[0] : NULL;

    if (!video || video->info.address || video->model == DOMAIN_VIDEO_NONE ||
        video->model == DOMAIN_VIDEO_RAMFB)
        return true;
    if (map->used[0][slot])
        return place_on_root(map, &video->info);
    give(map, &video->info, 0, slot, 0);
    return true;
}

static bool
is_old_model(const DomainInterface *net)
{
    return net->model && strcmp(net->model, "virtio") != 0 && strcmp(net->model, "e1000e") != 0 &&
           strcmp(net->model, "igb") != 0 && strcmp(net->model, "virtio-non-transitional") != 0;
}

static bool
place_sound(Map *map, DomainSound *sound)
{
    switch (sound->model) {
    case DOMAIN_SOUND_ICH9:
        if (!map->pc && !sound->info.address && !map->used[0][SOUND_SLOT_Q35]) {
            give(map, &sound->info, 0, SOUND_SLOT_Q35, 0);
            return true;
        }
        G_GNUC_FALLTHROUGH;
    case DOMAIN_SOUND_ES1370:
    case DOMAIN_SOUND_AC97:
    case DOMAIN_SOUND_ICH6:
    case DOMAIN_SOUND_ICH7:
        return place(map, &sound->info, true);
    default:
        return true;
    }
}

#define EACH(list, T, name)                                                                        \
    for (guint i = 0; i < map->def->list->len; i++)                                                \
        for (T *name = map->def->list->pdata[i]; name; name = NULL)

static bool
place_all(Map *map)
{
    DomainBalloon *balloon = map->def->balloon;

    if (!place_video(map) || !place_pci_controllers(map))
        return false;
    EACH(interfaces, DomainInterface, net)
    if (!place(map, &net->info, is_old_model(net)))
        return false;
    EACH(sounds, DomainSound, sound)
    if (!place_sound(map, sound))
        return false;
    if (!place_controllers(map))
        return false;
    EACH(disks, DomainDisk, disk)
    if (disk->bus == DOMAIN_BUS_VIRTIO &&
        !place(map, &disk->info, disk->model == DOMAIN_VIRTIO_TRANSITIONAL))
        return false;
    if (balloon->model >= DOMAIN_BALLOON_VIRTIO &&
        balloon->model <= DOMAIN_BALLOON_VIRTIO_NON_TRANSITIONAL &&
        !place(map, &balloon->info, balloon->model == DOMAIN_BALLOON_VIRTIO_TRANSITIONAL))
        return false;
    EACH(rngs, DomainRng, rng)
    if (!place(map, &rng->info, rng->model == DOMAIN_VIRTIO_TRANSITIONAL))
        return false;
    EACH(watchdogs, DomainWatchdog, watchdog)
    if (watchdog->model == DOMAIN_WATCHDOG_I6300ESB && !place(map, &watchdog->info, true))
        return false;
    EACH(videos, DomainVideo, video)
    if (i > 0 && video->model != DOMAIN_VIDEO_NONE &&
        !place(map, &video->info,
               video->model != DOMAIN_VIDEO_VIRTIO && video->model != DOMAIN_VIDEO_BOCHS))
        return false;
    EACH(inputs, DomainInput, input)
    if (input->bus == DOMAIN_INPUT_BUS_VIRTIO &&
        !place(map, &input->info, input->model == DOMAIN_VIRTIO_TRANSITIONAL))
        return false;
    EACH(serials, DomainChar, serial)
    if (serial->target == DOMAIN_SERIAL_PCI && !place(map, &serial->info, true))
        return false;
    if (map->def->vsock &&
        !place(map, &map->def->vsock->info, map->def->vsock->model == DOMAIN_VIRTIO_TRANSITIONAL))
        return false;
    return true;
}

static unsigned
count_buses(const Map *map)
{
    unsigned n = 0;

    for (guint i = 0; i < map->def->controllers->len; i++)
        n += ((const DomainController *)map->def->controllers->pdata[i])->type ==
             DOMAIN_CONTROLLER_PCI;
    return n;
}

/* A guest that left its PCI Express ports to us gets one more, for a device to come. */
static bool
add_spare_port(Map *map, unsigned buses_before)
{
    DomainDeviceInfo spare = { 0 };
    bool ok;

    if (map->pc || buses_before > 1 || count_buses(map) == buses_before)
        return true;
    ok = place_express(map, &spare);
    if (spare.address)
        g_hash_table_remove(map->given, spare.address);
    xml_type_free(&domain_address_type, spare.address);
    return ok;
}

static bool
take_back(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    Map *map = opaque;

    (void)element;
    (void)device;
    if (g_hash_table_remove(map->given, info->address)) {
        xml_type_free(&domain_address_type, info->address);
        info->address = NULL;
    }
    return true;
}

bool
pci_map_place(Map *map)
{
    g_autoptr(GHashTable) given = g_hash_table_new(NULL, NULL);
    g_autofree Map *before = NULL;
    unsigned buses = count_buses(map);
    bool ok;

    map->given = given;
    before = g_memdup2(map, sizeof(*map));
    ok = place_all(map) && add_spare_port(map, buses);
    if (ok && count_buses(map) > buses) {
        domain_def_each_device(map->def, take_back, map);
        *map = *before;
        ok = place_all(map);
    }
    map->given = NULL;
    return ok;
}
