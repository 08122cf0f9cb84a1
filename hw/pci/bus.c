/* bus.c - the tree of buses, what bridges forward, and INTx wiring.
 *
 * PCI-to-PCI Bridge Architecture 1.2, sections 3.2.5 (windows) and 9.1 (interrupt swizzle).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/internal.h"
#include "hw/pci/board.h"

void
pci_root_init(PciRoot *root, Machine *machine)
{
    root->machine = machine;
    g_mutex_init(&root->lock);
    for (unsigned i = 0; i < G_N_ELEMENTS(root->pirq); i++)
        root->pirq[i] = 0x80;
}

void
pci_root_fini(PciRoot *root)
{
    g_mutex_clear(&root->lock);
}

bool
pci_bus_init(PciBus *bus, PciRoot *root, PciDevice *bridge, const char *name, GError **err)
{
    bus->root = root;
    bus->bridge = bridge;
    bus->bus.name = g_strdup(name);
    bus->bus.kind = BUS_PCI;
    bus->bus.owner = bridge ? &bridge->device : NULL;
    bus->bus.impl = bus;
    return bus_add(root->machine, &bus->bus, err);
}

void
pci_bus_fini(PciBus *bus)
{
    if (!bus->root)
        return;
    bus_remove(bus->root->machine, &bus->bus);
    g_clear_pointer((char **)&bus->bus.name, g_free);
}

uint8_t
pci_bus_number(const PciBus *bus)
{
    return bus->bridge ? bus->bridge->config[PCI_SECONDARY_BUS] : 0;
}

uint16_t
pci_requester_id(const PciDevice *dev)
{
    return (uint16_t)(pci_bus_number(dev->bus) << 8 | dev->devfn);
}

static bool
pci_window_holds(uint64_t base, uint64_t limit, uint64_t address, uint64_t size)
{
    return base <= limit && address >= base && address + (size - 1) <= limit;
}

static bool
pci_bridge_forwards(const PciDevice *bridge, PciBarKind kind, uint64_t address, uint64_t size)
{
    uint16_t command = (uint16_t)pci_config_get(bridge, PCI_COMMAND, 2);
    uint64_t base, limit;

    if (kind == PCI_BAR_IO) {
        base = (uint64_t)(pci_config_get(bridge, PCI_IO_BASE, 1) & 0xf0) << 8;
        limit = (uint64_t)(pci_config_get(bridge, PCI_IO_LIMIT, 1) & 0xf0) << 8 | 0xfff;
        return (command & PCI_COMMAND_IO) && pci_window_holds(base, limit, address, size);
    }
    if (!(command & PCI_COMMAND_MEMORY))
        return false;
    base = (uint64_t)(pci_config_get(bridge, PCI_MEMORY_BASE, 2) & 0xfff0) << 16;
    limit = (uint64_t)(pci_config_get(bridge, PCI_MEMORY_LIMIT, 2) & 0xfff0) << 16 | 0xfffff;
    if (pci_window_holds(base, limit, address, size))
        return true;
    base = (uint64_t)(pci_config_get(bridge, PCI_PREF_BASE, 2) & 0xfff0) << 16 |
           (uint64_t)pci_config_get(bridge, PCI_PREF_BASE_UPPER, 4) << 32;
    limit = (uint64_t)(pci_config_get(bridge, PCI_PREF_LIMIT, 2) & 0xfff0) << 16 | 0xfffff |
            (uint64_t)pci_config_get(bridge, PCI_PREF_LIMIT_UPPER, 4) << 32;
    return pci_window_holds(base, limit, address, size);
}

bool
pci_bus_forwards(const PciDevice *dev, PciBarKind kind, uint64_t address, uint64_t size)
{
    for (const PciDevice *bridge = dev->bus->bridge; bridge; bridge = bridge->bus->bridge) {
        if (!pci_bridge_forwards(bridge, kind, address, size))
            return false;
    }
    return true;
}

static void
pci_bus_visit(PciBus *bus, PciVisit fn, void *opaque)
{
    for (unsigned i = 0; i < 256; i++) {
        PciDevice *dev = bus->devices[i];

        if (!dev)
            continue;
        fn(dev, opaque);
        if (dev->secondary)
            pci_bus_visit(dev->secondary, fn, opaque);
    }
}

void
pci_visit(PciRoot *root, PciVisit fn, void *opaque)
{
    pci_bus_visit(&root->bus, fn, opaque);
}

unsigned
pci_root_pirq(const PciRoot *root, unsigned slot, unsigned pin)
{
    return root->machine->board->pirq(slot, pin);
}

static unsigned
pci_intx_pirq(const PciDevice *dev)
{
    unsigned pin = (pci_config_get(dev, PCI_INTERRUPT_PIN, 1) - 1) & 3;

    while (dev->bus->bridge) {
        pin = (pin + PCI_SLOT(dev->devfn)) & 3;
        dev = dev->bus->bridge;
    }
    return pci_root_pirq(dev->bus->root, PCI_SLOT(dev->devfn), pin);
}

void
pci_intx_init(PciDevice *dev)
{
    const Board *board = dev->device.machine->board;

    pci_config_set(dev, PCI_INTERRUPT_PIN, 1, 1);
    pci_config_mask(dev, PCI_INTERRUPT_LINE, 1, 0xff);
    dev->intx = (GsiSource){ dev->device.machine, (uint32_t)GSI_NONE, false };
    if (board->pirq_gsi >= 0)
        dev->intx.gsi = (uint32_t)board->pirq_gsi + pci_intx_pirq(dev);
    dev->intx_pic = (GsiSource){ dev->device.machine, (uint32_t)GSI_NONE, false };
    pci_intx_wire(dev);
}

void
pci_intx_wire(PciDevice *dev)
{
    uint8_t route;

    if (!dev->intx.machine)
        return;
    route = dev->bus->root->pirq[pci_intx_pirq(dev)];
    gsi_source_move(&dev->intx_pic, route & 0x80 ? (uint32_t)GSI_NONE : route & 15);
}

void
pci_intx_update(PciDevice *dev)
{
    bool level = dev->intx_level && !pci_asleep(dev) &&
                 !(pci_config_get(dev, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);

    if (!dev->intx.machine)
        return;
    gsi_source_set(&dev->intx, level);
    gsi_source_set(&dev->intx_pic, level);
}

void
pci_intx_set(PciDevice *dev, bool level)
{
    dev->intx_level = level;
    if (level)
        dev->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    else
        dev->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
    pci_intx_update(dev);
}

static void
pci_route_visit(PciDevice *dev, void *opaque)
{
    (void)opaque;
    pci_intx_wire(dev);
}

void
pci_root_route(PciRoot *root, unsigned n, uint8_t value)
{
    if (root->pirq[n] == value)
        return;
    root->pirq[n] = value;
    pci_visit(root, pci_route_visit, NULL);
}
