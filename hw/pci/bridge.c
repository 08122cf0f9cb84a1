/* bridge.c - bridges to conventional PCI buses (PCI-to-PCI Bridge 1.2; PCI Express to PCI Bridge
 * 1.0): pci-bridge on a conventional bus, pcie-to-pci-bridge on a PCI Express one.
 *
 * Devices behind a pci-bridge of the conventional machine come and go by ACPI.
 *
 * Leaves out: the standard hot-plug controller (SHPC), prefetch and posting, secondary bus reset.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/acpi/pci_hotplug.h"
#include "hw/pci/board.h"
#include "hw/pci/internal.h"
#include "util/error.h"

enum { BRIDGE_SLOTS = 32, EXPRESS_TYPE_TO_PCI = 7 };

typedef struct {
    PciDevice pci;
    PciBus bus;
    uint8_t chassis;
    int msi, shpc; /* OnOffAuto */
} Bridge;

static bool
bridge_add_bus(Bridge *bridge, GError **err)
{
    PciDevice *dev = &bridge->pci;
    g_autofree char *name = dev->device.id
                                ? g_strdup(dev->device.id)
                                : g_strdup_printf("%s.%02x", dev->device.class->name, dev->devfn);

    if (bridge->shpc == ONOFFAUTO_ON)
        return device_error(&dev->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "shpc=on is not offered: plug into root ports of a q35 machine");
    pci_bridge_add_windows(dev);
    if (bridge->msi != ONOFFAUTO_OFF)
        pci_msi_init(dev, 1);
    dev->secondary = &bridge->bus;
    bridge->bus.slots = BRIDGE_SLOTS;
    if (!pci_bus_init(&bridge->bus, dev->bus->root, dev, name, err))
        return false;
    acpi_pci_hotplug_add_bus(&bridge->bus);
    return true;
}

static bool
pci_bridge_realize(Device *device, GError **err)
{
    return bridge_add_bus((Bridge *)device, err);
}

static bool
pcie_to_pci_bridge_realize(Device *device, GError **err)
{
    Bridge *bridge = (Bridge *)device;

    if (!device->machine->board->express)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "it goes into a PCI Express machine; on this one use pci-bridge");
    pci_express_add(&bridge->pci, EXPRESS_TYPE_TO_PCI, 0);
    if (!bridge_add_bus(bridge, err))
        return false;
    pci_power_add(&bridge->pci, PCI_PM_1_2, 0);
    pci_extended_add_errors(&bridge->pci);
    return true;
}

static void
bridge_unrealize(Device *device)
{
    Bridge *bridge = (Bridge *)device;

    bridge->pci.secondary = NULL;
    acpi_pci_hotplug_remove_bus(&bridge->bus);
    pci_bus_fini(&bridge->bus);
}

static const DeviceProp bridge_props[] = {
    { "chassis_nr", PROP_UINT8, offsetof(Bridge, chassis), .help = "accepted; no slot numbers" },
    { "msi", PROP_ONOFFAUTO, offsetof(Bridge, msi), "auto", .help = "message interrupts" },
    { "shpc", PROP_ONOFFAUTO, offsetof(Bridge, shpc), "auto", .help = "off only" },
};

static const PciDetails pci_bridge_details = {
    .vendor = 0x1b36,
    .device = 0x0001,
    .class_code = 0x060400,
    .header_type = PCI_HEADER_BRIDGE,
};

static const PciDetails pcie_to_pci_bridge_details = {
    .vendor = 0x1b36,
    .device = 0x000e,
    .class_code = 0x060400,
    .header_type = PCI_HEADER_BRIDGE,
};

const DeviceClass pci_bridge_class = {
    .name = "pci-bridge",
    .description = "PCI-to-PCI bridge",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .state_size = sizeof(Bridge),
    .props = bridge_props,
    .n_props = G_N_ELEMENTS(bridge_props),
    .realize = pci_bridge_realize,
    .unrealize = bridge_unrealize,
    .details = &pci_bridge_details,
};

const DeviceClass pcie_to_pci_bridge_class = {
    .name = "pcie-pci-bridge",
    .description = "PCI Express to PCI bridge",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .hotpluggable = true,
    .state_size = sizeof(Bridge),
    .props = bridge_props,
    .n_props = G_N_ELEMENTS(bridge_props),
    .realize = pcie_to_pci_bridge_realize,
    .unrealize = bridge_unrealize,
    .details = &pcie_to_pci_bridge_details,
};
