/* root_port.c - PCI Express root port (PCI Express Base 4.0, PCI-to-PCI Bridge 1.2).
 *
 * Leaves out: hotplug (its slot capabilities say so), AER, bandwidth notification, secondary bus
 * reset (the bit stays clear).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/internal.h"
#include "util/error.h"

typedef struct {
    PciDevice pci;
    PciBus bus;
    uint8_t port, chassis;
    uint16_t slot;
    bool hotplug;
} RootPort;

static void
root_port_check_presence(PciDevice *dev, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    pci_express_set_present(dev, dev->secondary->devices[0] != NULL);
}

static void
root_port_add_windows(PciDevice *dev)
{
    pci_config_mask(dev, PCI_PRIMARY_BUS, 4, 0x00ffffff);
    pci_config_mask(dev, PCI_IO_BASE, 2, 0xf0f0);
    pci_config_set(dev, PCI_IO_BASE, 2, 0x00f0);
    pci_config_mask(dev, PCI_MEMORY_BASE, 4, 0xfff0fff0);
    pci_config_set(dev, PCI_MEMORY_BASE, 4, 0x0000fff0);
    pci_config_mask(dev, PCI_PREF_BASE, 4, 0xfff0fff0);
    pci_config_set(dev, PCI_PREF_BASE, 4, 0x0001fff1);
    pci_config_mask(dev, PCI_PREF_BASE_UPPER, 4, 0xffffffff);
    pci_config_mask(dev, PCI_PREF_LIMIT_UPPER, 4, 0xffffffff);
    dev->clearable[PCI_SEC_STATUS + 1] = PCI_STATUS_ERRORS >> 8;
    pci_config_mask(dev, PCI_BRIDGE_CONTROL, 2,
                    PCI_BRIDGE_CONTROL_PARITY | PCI_BRIDGE_CONTROL_SERR);
}

static bool
root_port_realize(Device *device, GError **err)
{
    RootPort *port = (RootPort *)device;
    PciDevice *dev = &port->pci;
    g_autofree char *name = NULL;
    unsigned at;

    if (port->hotplug)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "hotplug=on is not supported: leave it out");
    if (dev->bus->bridge)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "a root port goes into the root bus, not into '%s'",
                            dev->bus->bus.name);
    name = device->id ? g_strdup(device->id) : g_strdup_printf("pcie-root-port.%02x", dev->devfn);
    root_port_add_windows(dev);
    pci_intx_init(dev);
    pci_express_add(dev, PCI_EXP_TYPE_ROOT_PORT, port->port);
    pci_express_set_slot(dev, port->slot ? port->slot : PCI_SLOT(dev->devfn));
    pci_msi_init(dev, 1);
    at = pci_capability_add(dev, PCI_CAP_ID_SSVID, 8);
    pci_config_set(dev, at + 4, 4, PCI_SUBSYSTEM_VENDOR);
    dev->secondary = &port->bus;
    return pci_bus_init(&port->bus, dev->bus->root, dev, name, err);
}

static void
root_port_unrealize(Device *device)
{
    RootPort *port = (RootPort *)device;

    port->pci.secondary = NULL;
    pci_bus_fini(&port->bus);
}

static const DeviceProp root_port_props[] = {
    { "port", PROP_UINT8, offsetof(RootPort, port), .help = "port number of the link" },
    { "chassis", PROP_UINT8, offsetof(RootPort, chassis),
      .help = "accepted; one chassis is known" },
    { "slot", PROP_UINT16, offsetof(RootPort, slot), .max = 0x1fff,
      .help = "physical slot number; 0 takes the PCI slot's" },
    { "hotplug", PROP_BOOL, offsetof(RootPort, hotplug), "off", .help = "off only" },
};

static const PciDetails root_port_details = {
    .vendor = 0x1b36,
    .device = 0x000c,
    .class_code = 0x060400,
    .header_type = PCI_HEADER_BRIDGE,
    .config_read = root_port_check_presence,
};

const DeviceClass pcie_root_port_class = {
    .name = "pcie-root-port",
    .description = "PCI Express Root Port",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .state_size = sizeof(RootPort),
    .props = root_port_props,
    .n_props = G_N_ELEMENTS(root_port_props),
    .realize = root_port_realize,
    .unrealize = root_port_unrealize,
    .details = &root_port_details,
};
