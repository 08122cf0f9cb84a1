/* pci_hotplug.c - the registers by which PIIX4's ACPI plugs PCI devices (QEMU's published interface
 * "ACPI PCI hotplug", with the bus selector).
 *
 * One bit stands for each slot of the selected bus. A device that comes sets its bit in the first
 * register and raises general purpose event 1; one that is to go does so in the second, and goes,
 * with all functions of its slot, when the guest's _EJ0 writes the bit to the third.
 *
 * Leaves out: acpi-index, buses of bridges that come while the guest runs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/acpi/pci_hotplug.h"

#include "hw/pci/board.h"
#include "util/error.h"

enum {
    REG_UP = 0x00,     /* slots with something new; a read takes them */
    REG_DOWN = 0x04,   /* slots to be let go of */
    REG_EJECT = 0x08,  /* written: slots let go of; read: features, none */
    REG_REMOVE = 0x0c, /* slots that can change */
    REG_SELECT = 0x10, /* the bus */
    NO_BUS = 0xffffffff,
};

typedef struct {
    PciBus *bus; /* NULL: gone, or never there */
    uint32_t up, down;
} HotBus;

typedef struct {
    Device device; /* first; its lock guards all */
    HotBus buses[ACPI_PCI_HOTPLUG_BUSES];
    unsigned n_buses;
    uint32_t select;
    IoRegion region;
} PciHotplug;

static PciHotplug *
hotplug_find(Machine *machine)
{
    PciHotplug *found = NULL;

    g_mutex_lock(&machine->devices_lock);
    for (guint i = 0; i < machine->devices->len && !found; i++) {
        Device *dev = g_ptr_array_index(machine->devices, i);

        if (dev->class == &acpi_pci_hotplug_class)
            found = (PciHotplug *)dev;
    }
    g_mutex_unlock(&machine->devices_lock);
    return found;
}

static HotBus *
hotplug_bus(PciHotplug *hotplug, const PciBus *bus)
{
    for (unsigned i = 0; i < hotplug->n_buses; i++) {
        if (hotplug->buses[i].bus == bus)
            return &hotplug->buses[i];
    }
    return NULL;
}

uint32_t
acpi_pci_hotplug_slots(const PciBus *bus)
{
    uint32_t slots = 0xffffffff;

    for (unsigned i = 0; i < G_N_ELEMENTS(bus->devices); i++) {
        const PciDevice *dev = bus->devices[i];

        if (dev && !dev->device.class->hotpluggable)
            slots &= ~(1u << PCI_SLOT(i));
    }
    return slots;
}

/* The guest has let go of @slots. */
static void
hotplug_eject(HotBus *hot, uint32_t slots)
{
    PciRoot *root = hot->bus->root;

    hot->down &= ~slots;
    g_mutex_lock(&root->lock);
    slots &= acpi_pci_hotplug_slots(hot->bus);
    for (unsigned i = 0; i < G_N_ELEMENTS(hot->bus->devices); i++) {
        PciDevice *dev = hot->bus->devices[i];

        if (dev && (slots & 1u << PCI_SLOT(i)))
            device_unplug_later(&dev->device);
    }
    g_mutex_unlock(&root->lock);
}

static HotBus *
hotplug_selected(PciHotplug *hotplug)
{
    return hotplug->select < hotplug->n_buses && hotplug->buses[hotplug->select].bus
               ? &hotplug->buses[hotplug->select]
               : NULL;
}

static uint64_t
hotplug_read(void *opaque, uint64_t offset, unsigned size)
{
    PciHotplug *hotplug = opaque;
    HotBus *hot = hotplug_selected(hotplug);
    uint32_t value = 0;

    (void)size;
    if (offset == REG_SELECT)
        return hotplug->select;
    if (!hot)
        return 0;
    switch (offset) {
    case REG_UP:
        value = hot->up;
        hot->up = 0;
        break;
    case REG_DOWN:
        value = hot->down;
        break;
    case REG_REMOVE:
        g_mutex_lock(&hot->bus->root->lock);
        value = acpi_pci_hotplug_slots(hot->bus);
        g_mutex_unlock(&hot->bus->root->lock);
        break;
    }
    return value;
}

static void
hotplug_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PciHotplug *hotplug = opaque;
    HotBus *hot = hotplug_selected(hotplug);

    (void)size;
    if (offset == REG_SELECT)
        hotplug->select = value < ACPI_PCI_HOTPLUG_BUSES ? (uint32_t)value : NO_BUS;
    else if (offset == REG_EJECT && hot)
        hotplug_eject(hot, (uint32_t)value);
}

static const IoOps hotplug_ops = { hotplug_read, hotplug_write, .sizes = 4 };

/* ---- the buses; main thread ---- */

static void
hotplug_tell(Bus *bus, const Device *dev, bool come)
{
    PciHotplug *hotplug = hotplug_find(dev->machine);
    uint32_t bit = 1u << PCI_SLOT(((const PciDevice *)dev)->devfn);
    HotBus *hot;

    g_mutex_lock(&hotplug->device.lock);
    hot = hotplug_bus(hotplug, bus->impl);
    if (hot && come) {
        hot->up |= bit;
        hot->down &= ~bit;
    } else if (hot) {
        hot->down |= bit;
    }
    g_mutex_unlock(&hotplug->device.lock);
    acpi_pm_gpe(dev->machine->board->pm(dev->machine), ACPI_PCI_HOTPLUG_GPE);
}

static void
hotplug_plugged(Bus *bus, Device *dev)
{
    hotplug_tell(bus, dev, true);
}

static bool
hotplug_unplug(Bus *bus, Device *dev, GError **err)
{
    (void)err;
    hotplug_tell(bus, dev, false);
    return true;
}

static const BusHotplug hotplug_bus_ops = { .plugged = hotplug_plugged, .unplug = hotplug_unplug };

void
acpi_pci_hotplug_add_bus(PciBus *bus)
{
    Machine *machine = bus->root->machine;
    PciHotplug *hotplug = hotplug_find(machine);

    /* What comes while the guest runs is not in the tables that it has read. */
    if (!hotplug || machine->running || hotplug->n_buses == ACPI_PCI_HOTPLUG_BUSES)
        return;
    g_mutex_lock(&hotplug->device.lock);
    hotplug->buses[hotplug->n_buses++].bus = bus;
    bus->hotplug_number = hotplug->n_buses;
    g_mutex_unlock(&hotplug->device.lock);
    bus->bus.hotplug = &hotplug_bus_ops;
}

void
acpi_pci_hotplug_remove_bus(PciBus *bus)
{
    PciHotplug *hotplug = bus->root ? hotplug_find(bus->root->machine) : NULL;
    HotBus *hot;

    if (!hotplug)
        return;
    g_mutex_lock(&hotplug->device.lock);
    hot = hotplug_bus(hotplug, bus);
    if (hot)
        *hot = (HotBus){ 0 };
    g_mutex_unlock(&hotplug->device.lock);
}

/* ---- the device ---- */

static bool
hotplug_realize(Device *device, GError **err)
{
    PciHotplug *hotplug = (PciHotplug *)device;

    (void)err;
    hotplug->region = (IoRegion){ "acpi-pci-hotplug", &hotplug_ops,          hotplug,
                                  &device->lock,      ACPI_PCI_HOTPLUG_SIZE, IO_PRIORITY_BOARD };
    (void)address_map_add(device->machine->pio, &hotplug->region, ACPI_PCI_HOTPLUG_PORT);
    acpi_pci_hotplug_add_bus(&device->machine->pci->bus);
    return true;
}

/* After a reset nobody is left who would let go by himself. */
static void
hotplug_reset(Device *device)
{
    PciHotplug *hotplug = (PciHotplug *)device;

    g_mutex_lock(&device->lock);
    for (unsigned i = 0; i < hotplug->n_buses; i++) {
        HotBus *hot = &hotplug->buses[i];

        if (hot->bus && hot->down)
            hotplug_eject(hot, hot->down);
        hot->up = 0;
    }
    hotplug->select = 0;
    g_mutex_unlock(&device->lock);
}

static void
hotplug_unrealize(Device *device)
{
    PciHotplug *hotplug = (PciHotplug *)device;

    if (!hotplug->region.ops)
        return;
    address_map_remove(device->machine->pio, &hotplug->region);
    address_map_synchronize(device->machine->pio);
}

static bool
hotplug_after_load(void *state, GError **err)
{
    const PciHotplug *hotplug = state;

    for (unsigned i = 0; i < ACPI_PCI_HOTPLUG_BUSES; i++) {
        const HotBus *hot = &hotplug->buses[i];

        if (!hot->bus && (hot->up | hot->down))
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "bus %u, which this machine does not have, is being plugged", i);
    }
    return true;
}

static const SavedField hot_bus_fields[] = {
    SAVED(HotBus, up, 1),
    SAVED(HotBus, down, 1),
};

static const SavedTable hot_bus_saved = {
    .name = "acpi-pci-hotplug-bus",
    .version = 1,
    .oldest = 1,
    .fields = hot_bus_fields,
    .n_fields = G_N_ELEMENTS(hot_bus_fields),
};

static const SavedField hotplug_fields[] = {
    SAVED(PciHotplug, select, 1),
    SAVED_STRUCTS(PciHotplug, buses, hot_bus_saved, 1),
};

static const SavedTable hotplug_saved = {
    .name = "acpi-pci-hotplug",
    .version = 1,
    .oldest = 1,
    .fields = hotplug_fields,
    .n_fields = G_N_ELEMENTS(hotplug_fields),
    .after_load = hotplug_after_load,
};

const DeviceClass acpi_pci_hotplug_class = {
    .name = "acpi-pci-hotplug",
    .bus = BUS_SYSTEM,
    .board = true,
    .state_size = sizeof(PciHotplug),
    .saved = &hotplug_saved,
    .realize = hotplug_realize,
    .reset = hotplug_reset,
    .unrealize = hotplug_unrealize,
};
