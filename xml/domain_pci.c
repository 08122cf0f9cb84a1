/* domain_pci.c - the map of a guest's PCI addresses: what the XML says, what the board has, and
 * what follows from the addresses given (domain_pci_place.c gives them).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_pci.h"

#include "util/error.h"

#include <inttypes.h>
#include <string.h>

typedef PciMap Map;
enum { BUSES = PCI_BUSES, SLOTS = PCI_SLOTS };

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
        (a->slot == 0 || (a->slot == map->bridge_slot && strcmp(element, "controller") != 0)))
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

/* Every bus that an address names has a controller; gaps are filled with root ports (or,
 * on the older board, bridges), as libvirt does. */
static bool
check_buses(Map *map)
{
    unsigned highest = 0;

    for (unsigned bus = 1; bus < BUSES; bus++)
        for (unsigned slot = 0; slot < SLOTS; slot++)
            if (map->used[bus][slot])
                highest = bus;
    for (unsigned bus = 1; bus <= highest; bus++) {
        const DomainController *c = pci_map_bus(map, bus);

        if (!c)
            c = pci_map_add(map, bus, map->pc ? DOMAIN_PCI_BRIDGE : DOMAIN_PCIE_ROOT_PORT);
        for (unsigned slot = 1; c->pci_model == DOMAIN_PCIE_ROOT_PORT && slot < SLOTS; slot++)
            if (map->used[bus][slot])
                return kiln_error_set(map->err, VIR_ERR_XML_ERROR,
                                      "Invalid PCI address "
                                      "0000:%02x:%02x.0: a pcie-root-port has slot 0 only",
                                      bus, slot);
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
complete_bridge(DomainController *c)
{
    const char *name = c->pci_model == DOMAIN_PCIE_TO_PCI_BRIDGE  ? "pcie-pci-bridge"
                       : c->pci_model == DOMAIN_PCI_BRIDGE        ? "pci-bridge"
                       : c->pci_model == DOMAIN_DMI_TO_PCI_BRIDGE ? "i82801b11-bridge"
                                                                  : NULL;

    if (name && !c->model_name)
        c->model_name = g_strdup(name);
    if (c->pci_model == DOMAIN_PCI_BRIDGE && c->chassis_nr == XML_UNSET)
        c->chassis_nr = c->index;
}

static void
complete_ports(Map *map)
{
    for (guint i = 0; i < map->def->controllers->len; i++) {
        DomainController *c = map->def->controllers->pdata[i];
        const DomainAddress *a = c->info.address;

        if (c->type == DOMAIN_CONTROLLER_PCI)
            complete_bridge(c);
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
    map->pc = domain_def_is_pc(def);
    /* The host bridge; the bridge to the old devices and what sits beside it. */
    map->bridge_slot = map->pc ? 1 : 0x1f;
    map->used[0][0] = 1;
    map->used[0][map->bridge_slot] = 1 | 1 << 3;
    ok = check_indexes(map) && domain_def_each_device(def, collect, map) && collect_kept(map) &&
         check_buses(map) && pci_map_place(map);
    if (!ok)
        return false;
    complete_ports(map);
    domain_def_each_device(def, set_multifunction, map);
    return true;
}
