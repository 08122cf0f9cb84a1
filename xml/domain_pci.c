/* domain_pci.c - PCI addresses and the root ports that devices need, as libvirt gives them on a q35
 * board: root ports fill the functions of pcie.0's slots from 1 (2 if a video card sits in slot 1),
 * eight to a slot, and each device gets a root port of its own.
 *
 * Leaves out: conventional bridges are not made; a device that libvirt would put behind one goes to
 * a root port as well.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_private.h"

#include "util/error.h"

#include <inttypes.h>
#include <string.h>

enum { BUSES = 256, SLOTS = 32, FUNCTIONS = 8, LPC_SLOT = 0x1f, SATA_FUNCTION = 2 };

typedef struct {
    DomainDef *def;
    uint8_t used[BUSES][SLOTS]; /* bit per function */
    uint8_t ports_only[SLOTS];  /* bus 0: root ports only in this slot */
    GError **err;
} Map;

static DomainController *
bus_controller(const Map *map, uint64_t bus)
{
    return domain_def_controller(map->def, DOMAIN_CONTROLLER_PCI, bus);
}

static DomainController *
add_root_port(Map *map, uint64_t index)
{
    DomainController *c = domain_add_controller(map->def, DOMAIN_CONTROLLER_PCI, index);

    c->pci_model = DOMAIN_PCIE_ROOT_PORT;
    return c;
}

/* --- what the XML says ------------------------------------------------------------------------ */

static bool
reserve(Map *map, DomainAddress *a, bool root_port, const char *element)
{
    uint8_t bit;

    if (a->domain != 0)
        return kiln_error_set(map->err, VIR_ERR_XML_ERROR,
                              "Only PCI domain 0 is available, not "
                              "%" PRIu64 " (<%s>)",
                              a->domain, element);
    if (a->bus == 0 &&
        (a->slot == 0 || (a->slot == LPC_SLOT && strcmp(element, "controller") != 0)))
        return kiln_error_set(map->err, VIR_ERR_XML_ERROR,
                              "PCI address 0000:00:%02x.%x is the "
                              "board's own and cannot be given to <%s>",
                              (unsigned)a->slot, (unsigned)a->function, element);
    bit = (uint8_t)(1 << a->function);
    if (map->used[a->bus][a->slot] & bit)
        return kiln_error_set(map->err, VIR_ERR_XML_ERROR,
                              "Attempted double use of PCI Address "
                              "0000:%02x:%02x.%x by <%s>",
                              (unsigned)a->bus, (unsigned)a->slot, (unsigned)a->function, element);
    if (a->bus == 0) {
        if (!map->used[0][a->slot])
            map->ports_only[a->slot] = root_port;
        else
            map->ports_only[a->slot] &= root_port;
    }
    map->used[a->bus][a->slot] |= bit;
    return true;
}

/* An <address type='pci'/> with nothing in it asks for one. */
static bool
is_empty(const DomainAddress *a)
{
    return a->domain == 0 && a->bus == 0 && a->slot == 0 && a->function == 0;
}

static bool
collect(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    Map *map = opaque;
    DomainAddress *a = info->address;
    bool root_port = strcmp(element, "controller") == 0 &&
                     ((DomainController *)device)->pci_model == DOMAIN_PCIE_ROOT_PORT;

    if (!a || a->type != DOMAIN_ADDRESS_PCI)
        return true;
    if (a->domain == XML_UNSET)
        a->domain = 0;
    if (a->bus == XML_UNSET)
        a->bus = 0;
    if (a->slot == XML_UNSET)
        a->slot = 0;
    if (a->function == XML_UNSET)
        a->function = 0;
    if (is_empty(a)) {
        xml_type_free(&domain_address_type, a);
        info->address = NULL;
        return true;
    }
    return reserve(map, a, root_port, element);
}

/* Elements that are only kept may have an address too. */
static bool
collect_kept(Map *map)
{
    for (guint i = 0; i < map->def->kept->len; i++) {
        const XmlKept *kept = map->def->kept->pdata[i];
        g_autoptr(xmlDoc) doc = NULL;
        g_autoptr(GError) ignored = NULL;

        if (!g_str_has_prefix(kept->path, "devices/") || !strstr(kept->xml, "<address"))
            continue;
        doc = xml_read(kept->xml, strlen(kept->xml), "device", &ignored);
        for (xmlNode *node = doc ? xmlDocGetRootElement(doc)->children : NULL; node;
             node = node->next) {
            DomainDeviceInfo info = { 0 };
            bool ok;

            if (node->type != XML_ELEMENT_NODE || strcmp((const char *)node->name, "address") != 0)
                continue;
            info.address = xml_type_parse(&domain_address_type, node, 0, map->err);
            ok = info.address && collect(kept->path + strlen("devices/"), NULL, &info, map);
            xml_type_free(&domain_address_type, info.address);
            if (!ok)
                return false;
        }
    }
    return true;
}

/* Every bus that an address names has a controller; gaps are filled with root ports, as libvirt
 * does. */
static bool
check_buses(Map *map)
{
    unsigned highest = 0;

    for (unsigned bus = 1; bus < BUSES; bus++)
        for (unsigned slot = 0; slot < SLOTS; slot++)
            if (map->used[bus][slot])
                highest = bus;
    for (unsigned bus = 1; bus <= highest; bus++) {
        const DomainController *c = bus_controller(map, bus);

        if (!c)
            c = add_root_port(map, bus);
        for (unsigned slot = 1; c->pci_model == DOMAIN_PCIE_ROOT_PORT && slot < SLOTS; slot++)
            if (map->used[bus][slot])
                return kiln_error_set(map->err, VIR_ERR_XML_ERROR,
                                      "Invalid PCI address "
                                      "0000:%02x:%02x.0: a pcie-root-port has slot 0 only",
                                      bus, slot);
    }
    return true;
}

/* --- giving addresses ------------------------------------------------------------------------- */

static void
give(Map *map, DomainDeviceInfo *info, unsigned bus, unsigned slot, unsigned function)
{
    DomainAddress *a = domain_new_address(info, DOMAIN_ADDRESS_PCI);

    a->domain = 0;
    a->bus = bus;
    a->slot = slot;
    a->function = function;
    map->used[bus][slot] |= (uint8_t)(1 << function);
}

static bool
place_root_port(Map *map, DomainController *c)
{
    for (unsigned slot = 1; slot < LPC_SLOT; slot++) {
        unsigned function = 0;

        if (map->used[0][slot] && !map->ports_only[slot])
            continue;
        while (function < FUNCTIONS && (map->used[0][slot] & (1 << function)))
            function++;
        if (function == FUNCTIONS)
            continue;
        give(map, &c->info, 0, slot, function);
        map->ports_only[slot] = true;
        return true;
    }
    return kiln_error_set(map->err, VIR_ERR_XML_ERROR,
                          "No more available PCI slots for root ports");
}

static bool
place_on_root(Map *map, DomainDeviceInfo *info)
{
    for (unsigned slot = 1; slot < LPC_SLOT; slot++)
        if (!map->used[0][slot]) {
            give(map, info, 0, slot, 0);
            return true;
        }
    return kiln_error_set(map->err, VIR_ERR_XML_ERROR, "No more available PCI slots on pcie.0");
}

/* A free root port, or a new one. */
static bool
place_device(Map *map, DomainDeviceInfo *info)
{
    unsigned bus;

    if (info->address)
        return true;
    for (bus = 1; bus < BUSES; bus++) {
        const DomainController *c = bus_controller(map, bus);

        if (!c) {
            add_root_port(map, bus);
            break;
        }
        if (c->pci_model == DOMAIN_PCIE_ROOT_PORT && !map->used[bus][0])
            break;
    }
    if (bus == BUSES)
        return kiln_error_set(map->err, VIR_ERR_XML_ERROR, "No more available PCI buses");
    give(map, info, bus, 0, 0);
    return true;
}

static bool
place_controller(Map *map, DomainController *c)
{
    if (c->info.address)
        return true;
    switch (c->type) {
    case DOMAIN_CONTROLLER_SATA:
        if (c->index == 0) {
            if (map->used[0][LPC_SLOT] & (1 << SATA_FUNCTION))
                return kiln_error_set(map->err, VIR_ERR_XML_ERROR,
                                      "PCI address 0000:00:1f.2 of the "
                                      "first SATA controller is in use");
            give(map, &c->info, 0, LPC_SLOT, SATA_FUNCTION);
            return true;
        }
        return place_on_root(map, &c->info);
    case DOMAIN_CONTROLLER_USB:
        if (c->usb_model == DOMAIN_USB_NONE)
            return true;
        if (c->usb_model == DOMAIN_USB_QEMU_XHCI || c->usb_model == DOMAIN_USB_NEC_XHCI)
            return place_device(map, &c->info);
        return place_on_root(map, &c->info);
    case DOMAIN_CONTROLLER_VIRTIO_SERIAL:
    case DOMAIN_CONTROLLER_SCSI:
        return place_device(map, &c->info);
    default:
        return true;
    }
}

static bool
place_all(Map *map)
{
    DomainDef *def = map->def;
    bool ok = true;

    /* The first video card has slot 1 of pcie.0, where firmware looks for it. */
    for (guint i = 0; ok && i < def->videos->len; i++) {
        DomainVideo *video = def->videos->pdata[i];

        if (video->model == DOMAIN_VIDEO_NONE || video->info.address)
            continue;
        if (!map->used[0][1])
            give(map, &video->info, 0, 1, 0);
        else
            ok = place_on_root(map, &video->info);
    }
    for (guint i = 0; ok && i < def->interfaces->len; i++) {
        DomainInterface *net = def->interfaces->pdata[i];

        ok = place_device(map, &net->info);
    }
    for (guint i = 0; ok && i < def->controllers->len; i++)
        ok = place_controller(map, def->controllers->pdata[i]);
    for (guint i = 0; ok && i < def->disks->len; i++) {
        DomainDisk *disk = def->disks->pdata[i];

        if (disk->bus == DOMAIN_BUS_VIRTIO)
            ok = place_device(map, &disk->info);
    }
    if (ok && def->balloon->model >= DOMAIN_BALLOON_VIRTIO &&
        def->balloon->model <= DOMAIN_BALLOON_VIRTIO_NON_TRANSITIONAL)
        ok = place_device(map, &def->balloon->info);
    for (guint i = 0; ok && i < def->rngs->len; i++)
        ok = place_device(map, &((DomainRng *)def->rngs->pdata[i])->info);
    for (guint i = 0; ok && i < def->serials->len; i++) {
        DomainChar *serial = def->serials->pdata[i];

        if (serial->target == DOMAIN_SERIAL_PCI)
            ok = place_device(map, &serial->info);
    }
    for (guint i = 0; ok && i < def->inputs->len; i++) {
        DomainInput *input = def->inputs->pdata[i];

        if (input->bus == DOMAIN_INPUT_BUS_VIRTIO)
            ok = place_device(map, &input->info);
    }
    return ok;
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
        case DOMAIN_PCIE_TO_PCI_BRIDGE:
        case DOMAIN_PCIE_SWITCH_UPSTREAM_PORT:
            if (!place_device(map, &c->info))
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

/* --- afterwards ------------------------------------------------------------------------------- */

static bool
chassis_taken(const DomainDef *def, uint64_t chassis, const DomainController *except)
{
    for (guint i = 0; i < def->controllers->len; i++) {
        const DomainController *c = def->controllers->pdata[i];

        if (c != except && c->type == DOMAIN_CONTROLLER_PCI && c->chassis == chassis)
            return true;
    }
    return false;
}

static void
complete_ports(Map *map)
{
    for (guint i = 0; i < map->def->controllers->len; i++) {
        DomainController *c = map->def->controllers->pdata[i];
        const DomainAddress *a = c->info.address;

        if (c->type != DOMAIN_CONTROLLER_PCI || c->pci_model != DOMAIN_PCIE_ROOT_PORT)
            continue;
        if (!c->model_name)
            c->model_name = g_strdup("pcie-root-port");
        if (c->chassis == XML_UNSET) {
            uint64_t chassis = c->index;

            while (chassis_taken(map->def, chassis, c) && chassis < 255)
                chassis++;
            c->chassis = chassis;
        }
        if (c->port == XML_UNSET && a)
            c->port = (a->slot << 3) + a->function;
    }
}

/* Function 0 of a slot with more functions says so, unless the XML said otherwise. */
static bool
set_multifunction(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    const Map *map = opaque;
    DomainAddress *a = info->address;

    (void)element;
    (void)device;
    if (a && a->type == DOMAIN_ADDRESS_PCI && a->function == 0 && !a->multifunction &&
        (map->used[a->bus][a->slot] & ~1))
        a->multifunction = TRISTATE_ON;
    return true;
}

static bool
check_indexes(Map *map)
{
    for (guint i = 0; i < map->def->controllers->len; i++) {
        const DomainController *c = map->def->controllers->pdata[i];

        if (c->type != DOMAIN_CONTROLLER_PCI)
            continue;
        if (c->index >= BUSES)
            return kiln_error_set(map->err, VIR_ERR_XML_ERROR,
                                  "a PCI controller's index %" PRIu64 " is above 255", c->index);
        if ((c->index == 0) !=
            (c->pci_model == DOMAIN_PCIE_ROOT || c->pci_model == DOMAIN_PCI_ROOT))
            return kiln_error_set(map->err, VIR_ERR_XML_ERROR,
                                  c->index == 0
                                      ? "the PCI controller with index 0 must be the root, not '%s'"
                                      : "only index 0 can be a PCI root, model '%s' has another",
                                  domain_pci_models[c->pci_model]);
    }
    return true;
}

bool
domain_place_pci(DomainDef *def, GError **err)
{
    g_autofree Map *map = g_new0(Map, 1);
    bool ok;

    map->def = def;
    map->err = err;
    map->used[0][0] = 1;
    map->used[0][LPC_SLOT] = 1 | 1 << 3;
    ok = check_indexes(map) && domain_def_each_device(def, collect, map) && collect_kept(map) &&
         check_buses(map) && place_all(map) && place_pci_controllers(map);
    if (!ok)
        return false;
    complete_ports(map);
    domain_def_each_device(def, set_multifunction, map);
    return true;
}
