/* root_port.c - PCI Express root port with a hot-plug slot (PCI Express Base 4.0, sections 6.7 and
 * 7.5.3; PCI-to-PCI Bridge 1.2).
 *
 * A device that is to go is announced by the attention button; it goes when the guest has switched
 * the slot's power off and its indicator too. Commands complete at once and say so (no command
 * completed support).
 *
 * Leaves out: bandwidth notification, secondary bus reset (the bit stays clear), surprise
 * removal, electromechanical locks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/board.h"
#include "hw/pci/internal.h"
#include "util/error.h"

enum {
    SLOT_BUTTON = 0x0001, /* attention button: capability, status, enable */
    SLOT_POWER_CONTROLLER = 0x0002,
    SLOT_ATTENTION_LED = 0x0008,
    SLOT_POWER_LED = 0x0010,
    SLOT_HOTPLUG = 0x0040,
    SLOT_NO_COMPLETION = 0x40000,
    STATUS_PRESENCE_CHANGED = 0x0008,
    STATUS_LINK_CHANGED = 0x0100,
    STATUS_EVENTS = 0x011f,
    CONTROL_EVENTS = 0x001f,
    CONTROL_INTERRUPT = 0x0020,
    CONTROL_ATTENTION_OFF = 0x00c0,
    CONTROL_POWER_LED = 0x0300,
    CONTROL_POWER_LED_ON = 0x0100,
    CONTROL_POWER_OFF = 0x0400,
    CONTROL_LINK_CHANGED = 0x1000,
    CONTROL_WRITABLE = 0x17ff,
};

typedef struct {
    PciDevice pci;
    PciBus bus;
    uint8_t port, chassis;
    uint16_t slot;
    bool hotplug;
    bool signalled; /* an enabled event is pending and the guest has been told */
} RootPort;

/* A function that is about to go is gone for the guest. */
static bool
root_port_occupied(const PciDevice *dev)
{
    const PciDevice *first = dev->secondary->devices[0];

    return first && first->device.realized && !first->device.unplug;
}

static void
root_port_config_read(PciDevice *dev, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    pci_express_set_present(dev, root_port_occupied(dev));
}

static bool
root_port_event_pending(const PciDevice *dev)
{
    unsigned at = dev->express_cap;
    uint32_t control = pci_config_get(dev, at + PCI_EXP_SLTCTL, 2);
    uint32_t status = pci_config_get(dev, at + PCI_EXP_SLTSTA, 2);

    if (!(control & CONTROL_INTERRUPT))
        return false;
    return (status & control & CONTROL_EVENTS) ||
           ((status & STATUS_LINK_CHANGED) && (control & CONTROL_LINK_CHANGED));
}

/* Device's lock held. */
static void
root_port_update(RootPort *port)
{
    PciDevice *dev = &port->pci;
    bool pending = root_port_event_pending(dev);

    if (pending == port->signalled)
        return;
    port->signalled = pending;
    if (!pci_msi_enabled(dev))
        pci_intx_set(dev, pending);
    else if (pending)
        pci_msi_notify(dev, 0);
}

static void
root_port_event(RootPort *port, uint32_t events)
{
    PciDevice *dev = &port->pci;
    unsigned at = dev->express_cap + PCI_EXP_SLTSTA;

    g_mutex_lock(&dev->device.lock);
    pci_express_set_present(dev, root_port_occupied(dev));
    pci_config_set(dev, at, 2, pci_config_get(dev, at, 2) | events);
    /* A message is sent for each new event, even while an older one is not yet served. */
    port->signalled = false;
    root_port_update(port);
    g_mutex_unlock(&dev->device.lock);
}

static void
root_port_let_go(PciDevice *dev)
{
    for (unsigned i = 0; i < 8; i++) {
        PciDevice *child = dev->secondary->devices[i];

        if (child && __atomic_load_n(&child->device.unplugging, __ATOMIC_SEQ_CST))
            device_unplug_later(&child->device);
    }
}

static void
root_port_config_written(PciDevice *dev, unsigned offset, unsigned size)
{
    RootPort *port = (RootPort *)dev;
    unsigned at = dev->express_cap;
    uint32_t control = pci_config_get(dev, at + PCI_EXP_SLTCTL, 2);

    if (!port->hotplug || offset >= at + PCI_EXP_SLTSTA + 2 || offset + size <= at + PCI_EXP_SLTCTL)
        return;
    if ((control & CONTROL_POWER_OFF) && (control & CONTROL_POWER_LED) == CONTROL_POWER_LED)
        root_port_let_go(dev);
    root_port_update(port);
}

static bool
root_port_check(Bus *bus, GHashTable *props, GError **err)
{
    PciBus *pci = bus->impl;

    (void)props;
    if (pci->devices[0])
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "PCI: slot 0 function 0 already occupied by %s, device '%s'",
                              pci->devices[0]->device.class->name, pci->devices[0]->device.path);
    return true;
}

static void
root_port_plugged(Bus *bus, Device *dev)
{
    RootPort *port = (RootPort *)bus->owner;

    (void)dev;
    root_port_event(port, STATUS_PRESENCE_CHANGED | STATUS_LINK_CHANGED);
}

static bool
root_port_unplug(Bus *bus, Device *dev, GError **err)
{
    RootPort *port = (RootPort *)bus->owner;
    PciDevice *pci = &port->pci;
    uint32_t control = pci_config_get(pci, pci->express_cap + PCI_EXP_SLTCTL, 2);

    (void)err;
    /* A slot without power has nobody to ask. */
    if (control & CONTROL_POWER_OFF)
        device_unplug_later(dev);
    else
        root_port_event(port, SLOT_BUTTON);
    return true;
}

static const BusHotplug root_port_hotplug = {
    .check = root_port_check,
    .plugged = root_port_plugged,
    .unplug = root_port_unplug,
};

/* PCI_BRIDGE windows that every bridge has. */
void
pci_bridge_add_windows(PciDevice *dev)
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

static void
root_port_add_slot(RootPort *port)
{
    PciDevice *dev = &port->pci;
    unsigned at = dev->express_cap;

    pci_express_set_slot(dev, port->slot ? port->slot : PCI_SLOT(dev->devfn));
    if (!port->hotplug)
        return;
    pci_config_set(dev, at + PCI_EXP_SLTCAP, 4,
                   pci_config_get(dev, at + PCI_EXP_SLTCAP, 4) | SLOT_BUTTON |
                       SLOT_POWER_CONTROLLER | SLOT_ATTENTION_LED | SLOT_POWER_LED | SLOT_HOTPLUG |
                       SLOT_NO_COMPLETION);
    pci_config_mask(dev, at + PCI_EXP_SLTCTL, 2, CONTROL_WRITABLE);
    dev->clearable[at + PCI_EXP_SLTSTA] = STATUS_EVENTS & 0xff;
    dev->clearable[at + PCI_EXP_SLTSTA + 1] = STATUS_EVENTS >> 8;
}

static bool
root_port_realize(Device *device, GError **err)
{
    RootPort *port = (RootPort *)device;
    PciDevice *dev = &port->pci;
    g_autofree char *name = NULL;
    unsigned at;

    if (!device->machine->board->express || dev->bus->bridge)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "a root port goes into the root bus of a PCI Express machine, not "
                            "into '%s'",
                            dev->bus->bus.name);
    name = device->id ? g_strdup(device->id) : g_strdup_printf("pcie-root-port.%02x", dev->devfn);
    pci_bridge_add_windows(dev);
    pci_intx_init(dev);
    pci_express_add(dev, PCI_EXP_TYPE_ROOT_PORT, port->port);
    root_port_add_slot(port);
    pci_msi_init(dev, 1);
    at = pci_capability_add(dev, PCI_CAP_ID_SSVID, 8);
    pci_config_set(dev, at + 4, 4, PCI_SUBSYSTEM_VENDOR);
    pci_extended_add_errors(dev);
    pci_extended_add_access_control(dev);
    dev->secondary = &port->bus;
    if (!pci_bus_init(&port->bus, dev->bus->root, dev, name, err))
        return false;
    if (port->hotplug)
        port->bus.bus.hotplug = &root_port_hotplug;
    return true;
}

/* Runs before the base puts the registers back: a slot that holds something has power. */
static void
root_port_reset(Device *device)
{
    RootPort *port = (RootPort *)device;
    PciDevice *dev = &port->pci;
    uint32_t control = CONTROL_ATTENTION_OFF | CONTROL_POWER_LED_ON;

    if (!port->hotplug)
        return;
    port->signalled = false;
    /* After a reset there is no driver any more that would let go by itself. */
    root_port_let_go(dev);
    if (!root_port_occupied(dev))
        control = CONTROL_ATTENTION_OFF | CONTROL_POWER_LED | CONTROL_POWER_OFF;
    dev->initial[dev->express_cap + PCI_EXP_SLTCTL] = (uint8_t)control;
    dev->initial[dev->express_cap + PCI_EXP_SLTCTL + 1] = (uint8_t)(control >> 8);
}

static void
root_port_unrealize(Device *device)
{
    RootPort *port = (RootPort *)device;

    port->pci.secondary = NULL;
    pci_bus_fini(&port->bus);
}

static const SavedField root_port_fields[] = {
    SAVED(RootPort, signalled, 1),
};

static const SavedTable root_port_saved = {
    .name = "pcie-root-port",
    .version = 1,
    .oldest = 1,
    .fields = root_port_fields,
    .n_fields = G_N_ELEMENTS(root_port_fields),
};

static const DeviceProp root_port_props[] = {
    { "port", PROP_UINT8, offsetof(RootPort, port), .help = "port number of the link" },
    { "chassis", PROP_UINT8, offsetof(RootPort, chassis),
      .help = "accepted; one chassis is known" },
    { "slot", PROP_UINT16, offsetof(RootPort, slot), .max = 0x1fff,
      .help = "physical slot number; 0 takes the PCI slot's" },
    { "hotplug", PROP_BOOL, offsetof(RootPort, hotplug), "on",
      .help = "devices can come and go while the guest runs" },
};

static const PciDetails root_port_details = {
    .vendor = 0x1b36,
    .device = 0x000c,
    .class_code = 0x060400,
    .header_type = PCI_HEADER_BRIDGE,
    .config_read = root_port_config_read,
    .config_written = root_port_config_written,
};

const DeviceClass pcie_root_port_class = {
    .name = "pcie-root-port",
    .description = "PCI Express Root Port",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .state_size = sizeof(RootPort),
    .props = root_port_props,
    .n_props = G_N_ELEMENTS(root_port_props),
    .saved = &root_port_saved,
    .realize = root_port_realize,
    .reset = root_port_reset,
    .unrealize = root_port_unrealize,
    .details = &root_port_details,
};
