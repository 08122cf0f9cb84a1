/* device.c - the base class of every PCI function.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/pci/internal.h"
#include "util/error.h"

#include <string.h>

static bool
pci_slot_choose(PciDevice *dev, GError **err)
{
    PciBus *bus = dev->bus;
    unsigned slots = bus->slots ? bus->slots : bus->bridge ? 1 : 32;

    if (dev->addr >= 0) {
        PciDevice *other = bus->devices[dev->addr], *first = bus->devices[dev->addr & ~7];

        if (other)
            return device_error(&dev->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                "slot %x.%x of bus '%s' is taken by device '%s'",
                                PCI_SLOT((unsigned)dev->addr), PCI_FUNCTION((unsigned)dev->addr),
                                bus->bus.name, other->device.path);
        if (PCI_SLOT((unsigned)dev->addr) >= slots)
            return device_error(&dev->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                "bus '%s' is a PCI Express port and has slot 0 only, not %x",
                                bus->bus.name, PCI_SLOT((unsigned)dev->addr));
        if (PCI_FUNCTION(dev->addr) && first && !first->multifunction)
            return device_error(&dev->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                "function %x of slot %x needs multifunction=on at device '%s'",
                                PCI_FUNCTION((unsigned)dev->addr), PCI_SLOT((unsigned)dev->addr),
                                first->device.path);
        dev->devfn = (uint8_t)dev->addr;
        return true;
    }
    for (unsigned slot = slots > 1; slot < slots; slot++) {
        bool used = false;

        for (unsigned function = 0; function < 8; function++)
            used |= bus->devices[PCI_DEVFN(slot, function)] != NULL;
        if (!used) {
            dev->devfn = (uint8_t)PCI_DEVFN(slot, 0);
            return true;
        }
    }
    return device_error(&dev->device, err, VIR_ERR_CONFIG_UNSUPPORTED, "bus '%s' has no free slot",
                        bus->bus.name);
}

/* The details of the class that stands directly on this one. */
static const PciDetails *
pci_details_of(const DeviceClass *class)
{
    while (class->base && class->base != &pci_device_class)
        class = class->base;
    return class->base ? class->details : NULL;
}

static bool
pci_device_realize(Device *device, GError **err)
{
    PciDevice *dev = pci_device(device);
    const PciDetails *d = dev->details = pci_details_of(device->class);
    uint8_t header = d ? d->header_type : PCI_HEADER_NORMAL;

    pci_bars_init(dev);
    dev->bus = device->bus->impl;
    if (!pci_slot_choose(dev, err))
        return false;
    dev->caps_end = 0x40;
    pci_config_set(dev, PCI_HEADER_TYPE, 1,
                   header | (dev->multifunction ? PCI_HEADER_MULTIFUNCTION : 0));
    pci_config_mask(dev, PCI_COMMAND, 2,
                    PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
                        PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
    bytes_store(dev->clearable + PCI_STATUS, PCI_STATUS_ERRORS, 2);
    pci_config_mask(dev, PCI_CACHE_LINE_SIZE, 1, 0xff);
    if (d && d->vendor)
        pci_set_ids(dev, d->vendor, d->device,
                    d->subsystem_vendor ? d->subsystem_vendor : PCI_SUBSYSTEM_VENDOR,
                    d->subsystem ? d->subsystem : PCI_SUBSYSTEM_DEVICE, d->class_code, d->revision);
    g_mutex_lock(&dev->bus->root->lock);
    dev->bus->devices[dev->devfn] = dev;
    g_mutex_unlock(&dev->bus->root->lock);
    return pci_rom_open(dev, err);
}

static void
pci_device_ready(Device *device)
{
    PciDevice *dev = pci_device(device);

    memcpy(dev->initial, dev->config, sizeof(dev->initial));
    pci_extended_ready(dev);
}

static void
pci_device_unrealize(Device *device)
{
    PciDevice *dev = pci_device(device);

    if (!dev->bus)
        return;
    g_mutex_lock(&dev->bus->root->lock);
    if (dev->bus->devices[dev->devfn] == dev)
        dev->bus->devices[dev->devfn] = NULL;
    g_mutex_unlock(&dev->bus->root->lock);
    gsi_source_disconnect(&dev->intx);
    gsi_source_disconnect(&dev->intx_pic);
    pci_bars_fini(dev);
    pci_rom_close(dev);
    pci_msix_fini(dev);
    pci_extended_fini(dev);
}

/* Byte by byte: threads of the device may look at enable bits meanwhile. */
static void
pci_registers_reset(PciDevice *dev)
{
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
        __atomic_store_n(&dev->config[i], dev->initial[i], __ATOMIC_RELAXED);
    pci_extended_reset(dev);
    pci_intx_set(dev, false);
    pci_msix_reset(dev);
}

void
pci_function_reset(PciDevice *dev)
{
    dev->details->function_reset(dev);
    pci_registers_reset(dev);
}

static void
pci_device_reset(Device *device)
{
    PciDevice *dev = pci_device(device);
    PciRoot *root = dev->bus->root;

    g_mutex_lock(&root->lock);
    g_mutex_lock(&device->lock);
    pci_registers_reset(dev);
    g_mutex_unlock(&device->lock);
    pci_update_mappings(dev);
    g_mutex_unlock(&root->lock);
}

static void
pci_device_before_save(void *state)
{
    PciDevice *dev = state;

    memcpy(dev->saved_config, dev->config, sizeof(dev->config));
    pci_extended_before_save(dev);
    pci_msix_before_save(dev);
}

static bool
pci_device_after_load(void *state, GError **err)
{
    PciDevice *dev = state;
    PciRoot *root = dev->bus->root;

    if (memcmp(dev->saved_config, dev->config, 4) != 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved PCI function is %04x:%04x, this one is %04x:%04x",
                              bytes_load16(dev->saved_config), bytes_load16(dev->saved_config + 2),
                              bytes_load16(dev->config), bytes_load16(dev->config + 2));
    g_mutex_lock(&root->lock);
    g_mutex_lock(&dev->device.lock);
    pci_registers_load(dev->config, dev->writable, dev->clearable, dev->saved_config,
                       PCI_CONFIG_SIZE);
    pci_extended_loaded(dev);
    pci_power_loaded(dev);
    if (dev->details && dev->details->config_loaded)
        dev->details->config_loaded(dev);
    pci_intx_set(dev, dev->intx_level);
    pci_msix_loaded(dev);
    g_mutex_unlock(&dev->device.lock);
    pci_update_mappings(dev);
    g_mutex_unlock(&root->lock);
    return true;
}

/* PCI Bus Binding to IEEE 1275 2.1, section 2.2.1, in the form that SeaBIOS and OVMF compare. */
static char *
pci_device_firmware_node(Device *device)
{
    static const struct {
        uint16_t class;
        const char *name;
    } names[] = {
        { 0x0100, "scsi" },    { 0x0101, "ide" }, { 0x0200, "ethernet" },   { 0x0300, "display" },
        { 0x0380, "display" }, { 0x0601, "isa" }, { 0x0604, "pci-bridge" }, { 0x0c03, "usb" },
    };
    const PciDevice *dev = (const PciDevice *)device;
    uint32_t class = pci_config_get(dev, PCI_CLASS_DEVICE, 2);
    g_autofree char *name = NULL;
    char function[4] = "";

    for (size_t i = 0; i < G_N_ELEMENTS(names) && !name; i++) {
        if (names[i].class == class)
            name = g_strdup(names[i].name);
    }
    if (!name)
        name = g_strdup_printf("pci%x,%x", pci_config_get(dev, PCI_VENDOR_ID, 2),
                               pci_config_get(dev, PCI_DEVICE_ID, 2));
    if (PCI_FUNCTION(dev->devfn))
        g_snprintf(function, sizeof(function), ",%x", PCI_FUNCTION((unsigned)dev->devfn));
    return g_strdup_printf("%s%s@%x%s", dev->bus->bridge ? "" : "pci@i0cf8/", name,
                           PCI_SLOT((unsigned)dev->devfn), function);
}

static const SavedField pci_device_fields[] = {
    SAVED_BYTES(PciDevice, saved_config, 1),
    SAVED(PciDevice, intx_level, 1),
    SAVED_BUFFER(PciDevice, msix_state, msix_state_size, 1),
    SAVED_BUFFER(PciDevice, extended_saved, extended_size, 3),
};

static const SavedTable pci_device_saved = {
    .name = "pci",
    .version = 3, /* 2: saved_config may have the power state D3hot; 3: extended space */
    .oldest = 1,
    .fields = pci_device_fields,
    .n_fields = G_N_ELEMENTS(pci_device_fields),
    .before_save = pci_device_before_save,
    .after_load = pci_device_after_load,
};

static const DeviceProp pci_device_props[] = {
    { "addr", PROP_PCI_ADDRESS, offsetof(PciDevice, addr), .help = "slot and function on the bus" },
    { "multifunction", PROP_BOOL, offsetof(PciDevice, multifunction), "off",
      .help = "the slot has further functions" },
    { "romfile", PROP_STRING, offsetof(PciDevice, romfile),
      .help = "file in the expansion ROM; empty for none" },
    { "rombar", PROP_UINT32, offsetof(PciDevice, rombar), "1", .max = 1,
      .help = "0 leaves the expansion ROM out" },
};

const DeviceClass pci_device_class = {
    .name = "pci-device",
    .abstract = true,
    .bus = BUS_PCI,
    .state_size = sizeof(PciDevice),
    .props = pci_device_props,
    .n_props = G_N_ELEMENTS(pci_device_props),
    .saved = &pci_device_saved,
    .realize = pci_device_realize,
    .ready = pci_device_ready,
    .reset = pci_device_reset,
    .unrealize = pci_device_unrealize,
    .firmware_node = pci_device_firmware_node,
};
