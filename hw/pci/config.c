/* config.c - accesses to configuration space (PCI Local Bus 3.0, chapter 6).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/pci/internal.h"

void
pci_config_set(PciDevice *dev, unsigned offset, unsigned size, uint32_t value)
{
    bytes_store(dev->config + offset, value, size);
}

uint32_t
pci_config_get(const PciDevice *dev, unsigned offset, unsigned size)
{
    return (uint32_t)bytes_load(dev->config + offset, size);
}

void
pci_config_mask(PciDevice *dev, unsigned offset, unsigned size, uint32_t writable)
{
    bytes_store(dev->writable + offset, writable, size);
}

void
pci_set_ids(PciDevice *dev, uint16_t vendor, uint16_t device, uint16_t subsystem_vendor,
            uint16_t subsystem, uint32_t class_code, uint8_t revision)
{
    pci_config_set(dev, PCI_VENDOR_ID, 2, vendor);
    pci_config_set(dev, PCI_DEVICE_ID, 2, device);
    pci_config_set(dev, PCI_REVISION, 1, revision);
    pci_config_set(dev, PCI_CLASS_PROG, 1, class_code & 0xff);
    pci_config_set(dev, PCI_CLASS_DEVICE, 2, class_code >> 8);
    if ((pci_config_get(dev, PCI_HEADER_TYPE, 1) & 0x7f) == PCI_HEADER_NORMAL) {
        pci_config_set(dev, PCI_SUBSYSTEM_VENDOR_ID, 2, subsystem_vendor);
        pci_config_set(dev, PCI_SUBSYSTEM_ID, 2, subsystem);
    }
    pci_rom_set_ids(dev);
}

bool
pci_bus_master(const PciDevice *dev)
{
    return __atomic_load_n(&dev->config[PCI_COMMAND], __ATOMIC_RELAXED) & PCI_COMMAND_MASTER;
}

unsigned
pci_capability_add(PciDevice *dev, uint8_t id, unsigned size)
{
    unsigned at = dev->caps_end, end = at + ((size + 3) & ~3u);

    if (size < 2 || end > PCI_CONFIG_SIZE)
        return 0;
    dev->config[at] = id;
    dev->config[at + 1] = dev->config[PCI_CAPABILITY_LIST];
    dev->config[PCI_CAPABILITY_LIST] = (uint8_t)at;
    dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    dev->caps_end = end;
    return at;
}

static uint32_t
pci_device_config_read(PciDevice *dev, unsigned offset, unsigned size)
{
    if (offset >= PCI_CONFIG_SIZE)
        return pci_extended_read(dev, offset, size);
    if (dev->details && dev->details->config_read)
        dev->details->config_read(dev, offset, size);
    return pci_config_get(dev, offset, size);
}

static bool
pci_range_touches(unsigned offset, unsigned size, unsigned first, unsigned end)
{
    return offset < end && first < offset + size;
}

/* Whether a write there may move a BAR or a bridge's window. */
static bool
pci_write_moves(const PciDevice *dev, unsigned offset, unsigned size)
{
    if (pci_range_touches(offset, size, PCI_COMMAND, PCI_COMMAND + 2) ||
        pci_power_touched(dev, offset, size) || pci_express_reset_touched(dev, offset, size))
        return true;
    if (!dev->secondary)
        return pci_range_touches(offset, size, PCI_BASE_ADDRESS_0,
                                 PCI_BASE_ADDRESS_0 + 4 * PCI_BARS) ||
               pci_range_touches(offset, size, PCI_ROM_ADDRESS, PCI_ROM_ADDRESS + 4);
    return pci_range_touches(offset, size, PCI_BASE_ADDRESS_0, PCI_ROM_ADDRESS_BRIDGE + 4);
}

void
pci_registers_write(uint8_t *config, const uint8_t *writable, const uint8_t *clearable,
                    unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        uint8_t now = (uint8_t)((config[i] & ~writable[i]) | (byte & writable[i]));

        __atomic_store_n(&config[i], (uint8_t)(now & ~(byte & clearable[i])), __ATOMIC_RELAXED);
    }
}

void
pci_registers_load(uint8_t *config, const uint8_t *writable, const uint8_t *clearable,
                   const uint8_t *saved, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t taken = writable[i] | clearable[i];

        config[i] = (uint8_t)((config[i] & ~taken) | (saved[i] & taken));
    }
}

static void
pci_device_config_write(PciDevice *dev, unsigned offset, unsigned size, uint32_t value)
{
    bool was_asleep = pci_asleep(dev);

    pci_registers_write(dev->config + offset, dev->writable + offset, dev->clearable + offset, size,
                        value);
    if (pci_range_touches(offset, size, PCI_COMMAND, PCI_COMMAND + 2))
        pci_intx_update(dev);
    pci_msi_config_written(dev, offset, size);
    pci_msix_config_written(dev, offset, size);
    if (dev->details && dev->details->config_written)
        dev->details->config_written(dev, offset, size);
    pci_power_config_written(dev, offset, size, was_asleep);
    pci_express_config_written(dev, offset, size, value);
}

/* The bus numbered @number at or behind @bus. Bridges' bus numbers are the guest's: they may be
 * anything, but the walk follows the tree, so it ends. */
static PciBus *
pci_bus_at(PciBus *bus, uint8_t number)
{
    for (unsigned i = 0; i < 256; i++) {
        PciDevice *dev = bus->devices[i];
        uint8_t second, last;

        if (!dev || !dev->secondary)
            continue;
        second = dev->config[PCI_SECONDARY_BUS];
        last = dev->config[PCI_SUBORDINATE_BUS];
        if (second == 0 || number < second || number > last)
            continue;
        return number == second ? dev->secondary : pci_bus_at(dev->secondary, number);
    }
    return NULL;
}

static PciDevice *
pci_root_find(PciRoot *root, uint16_t bdf)
{
    PciBus *bus = bdf >> 8 ? pci_bus_at(&root->bus, (uint8_t)(bdf >> 8)) : &root->bus;
    PciDevice *dev = bus ? bus->devices[bdf & 0xff] : NULL;

    /* A function is there once all of it is. */
    return dev && dev->device.realized ? dev : NULL;
}

static bool
pci_access_ok(unsigned offset, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && offset < 4096 && (offset & (size - 1)) == 0;
}

uint32_t
pci_config_read(PciRoot *root, uint16_t bdf, unsigned offset, unsigned size)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&root->lock);
    PciDevice *dev = pci_root_find(root, bdf);
    uint32_t value;

    if (!pci_access_ok(offset, size) || !dev)
        return (uint32_t)bytes_all_ones(MIN(size, 4));
    g_mutex_lock(&dev->device.lock);
    value = pci_device_config_read(dev, offset, size);
    g_mutex_unlock(&dev->device.lock);
    return value;
}

void
pci_config_write(PciRoot *root, uint16_t bdf, unsigned offset, unsigned size, uint32_t value)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&root->lock);
    PciDevice *dev = pci_root_find(root, bdf);

    if (!pci_access_ok(offset, size) || !dev)
        return;
    g_mutex_lock(&dev->device.lock);
    if (offset < PCI_CONFIG_SIZE)
        pci_device_config_write(dev, offset, size, value);
    else
        pci_extended_write(dev, offset, size, value);
    g_mutex_unlock(&dev->device.lock);
    if (pci_write_moves(dev, offset, size))
        pci_update_mappings(dev);
}
