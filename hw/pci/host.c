/* host.c - the host bridge: bus 0, the two ways into configuration space, and the reset register.
 *
 * Intel 3 Series Express Chipset Family (316966), chapter 5: PCIEXBAR; PCI Local Bus 3.0, section
 * 3.2.2.3.2: configuration mechanism #1; Intel ICH9 (316972), section 13.7: RST_CNT at port 0xcf9.
 *
 * Leaves out: PAM and SMRAM (all of low memory is RAM, as a boot without firmware wants it),
 * lengths of PCIEXBAR other than 256 MiB.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/pci/internal.h"
#include "hw/pci/q35.h"

enum {
    PORT_CONFIG = 0xcf8,
    PORT_DATA = 0xcfc,
    CONFIG_RESET = 1, /* byte of the address register that is RST_CNT */
    RESET_SYSTEM = 0x02,
    RESET_CPU = 0x04,
    RESET_FULL = 0x08,
    MCH_PCIEXBAR = 0x60,
    PCIEXBAR_ENABLE = 1,
};
#define CONFIG_ENABLE 0x80000000u

typedef struct {
    Device device;
    PciRoot root;
    uint32_t address; /* CONFIG_ADDRESS */
    uint8_t reset;    /* RST_CNT */
    IoRegion config, data;
} PciHost;

typedef struct {
    PciDevice pci;
    IoRegion ecam;
    bool mapped;
    uint64_t base;
} Mch;

static uint64_t
pci_host_config_read(void *opaque, uint64_t offset, unsigned size)
{
    PciHost *host = opaque;

    if (size == 4)
        return host->address;
    return size == 1 && offset == CONFIG_RESET ? host->reset : bytes_all_ones(size);
}

static void
pci_host_config_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PciHost *host = opaque;
    Machine *machine = host->device.machine;

    if (size == 4) {
        host->address = (uint32_t)value & 0x80fffffc;
    } else if (size == 1 && offset == CONFIG_RESET) {
        bool begins = (value & RESET_CPU) && !(host->reset & RESET_CPU);

        host->reset = (uint8_t)value & (RESET_SYSTEM | RESET_FULL);
        if (begins)
            machine->ops->request(machine->host, MACHINE_RESET, 0);
    }
}

/* The data port takes no lock around its access: it makes a configuration access, whose lock comes
 * before every device's. */
static uint64_t
pci_host_data_read(void *opaque, uint64_t offset, unsigned size)
{
    PciHost *host = opaque;
    uint32_t address;

    g_mutex_lock(&host->device.lock);
    address = host->address;
    g_mutex_unlock(&host->device.lock);
    if (!(address & CONFIG_ENABLE))
        return bytes_all_ones(size);
    return pci_config_read(&host->root, (uint16_t)(address >> 8),
                           (address & 0xfc) + (unsigned)offset, size);
}

static void
pci_host_data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PciHost *host = opaque;
    uint32_t address;

    g_mutex_lock(&host->device.lock);
    address = host->address;
    g_mutex_unlock(&host->device.lock);
    if (address & CONFIG_ENABLE)
        pci_config_write(&host->root, (uint16_t)(address >> 8), (address & 0xfc) + (unsigned)offset,
                         size, (uint32_t)value);
}

static const IoOps pci_host_config_ops = { pci_host_config_read, pci_host_config_write };
static const IoOps pci_host_data_ops = { pci_host_data_read, pci_host_data_write };

static bool
pci_host_realize(Device *dev, GError **err)
{
    PciHost *host = (PciHost *)dev;
    Machine *machine = dev->machine;

    pci_root_init(&host->root, machine);
    machine->pci = &host->root;
    if (!pci_bus_init(&host->root.bus, &host->root, NULL, "pcie.0", err))
        return false;
    host->config = (IoRegion){ "pci-config-address", &pci_host_config_ops, host, &dev->lock, 4,
                               IO_PRIORITY_BOARD };
    host->data =
        (IoRegion){ "pci-config-data", &pci_host_data_ops, host, NULL, 4, IO_PRIORITY_BOARD };
    address_map_add(machine->pio, &host->config, PORT_CONFIG);
    address_map_add(machine->pio, &host->data, PORT_DATA);
    return true;
}

static void
pci_host_unrealize(Device *dev)
{
    PciHost *host = (PciHost *)dev;
    Machine *machine = dev->machine;

    address_map_remove(machine->pio, &host->config);
    address_map_remove(machine->pio, &host->data);
    address_map_synchronize(machine->pio);
    pci_bus_fini(&host->root.bus);
    pci_root_fini(&host->root);
    machine->pci = NULL;
}

static void
pci_host_reset(Device *dev)
{
    PciHost *host = (PciHost *)dev;

    host->address = 0;
    host->reset = 0;
}

static uint64_t
mch_ecam_read(void *opaque, uint64_t offset, unsigned size)
{
    return pci_config_read(((Mch *)opaque)->pci.bus->root, (uint16_t)(offset >> 12), offset & 0xfff,
                           size);
}

static void
mch_ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    pci_config_write(((Mch *)opaque)->pci.bus->root, (uint16_t)(offset >> 12), offset & 0xfff, size,
                     (uint32_t)value);
}

static const IoOps mch_ecam_ops = { mch_ecam_read, mch_ecam_write };

static void
mch_update_ecam(Mch *mch)
{
    AddressMap *map = mch->pci.device.machine->mmio;
    uint64_t value = bytes_load64(mch->pci.config + MCH_PCIEXBAR);
    uint64_t base = value & ~(uint64_t)PCIEXBAR_ENABLE;
    bool enabled = value & PCIEXBAR_ENABLE;

    if (enabled == mch->mapped && (!enabled || base == mch->base))
        return;
    if (mch->mapped)
        address_map_remove(map, &mch->ecam);
    mch->base = base;
    mch->mapped = enabled && address_map_add(map, &mch->ecam, base) == 0;
}

static void
mch_config_written(PciDevice *dev, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    mch_update_ecam((Mch *)dev);
}

static void
mch_config_loaded(PciDevice *dev)
{
    mch_update_ecam((Mch *)dev);
}

static bool
mch_realize(Device *dev, GError **err)
{
    Mch *mch = (Mch *)dev;

    (void)err;
    mch->ecam =
        (IoRegion){ "pci-ecam", &mch_ecam_ops, mch, NULL, Q35_ECAM_SIZE, IO_PRIORITY_BOARD };
    /* Length bits 2:1 stay 0: 256 MiB. */
    pci_config_mask(&mch->pci, MCH_PCIEXBAR, 4, 0xf0000000 | PCIEXBAR_ENABLE);
    pci_config_mask(&mch->pci, MCH_PCIEXBAR + 4, 4, 0x0000000f);
    return true;
}

static void
mch_reset(Device *dev)
{
    Mch *mch = (Mch *)dev;

    if (mch->mapped)
        address_map_remove(dev->machine->mmio, &mch->ecam);
    mch->mapped = false;
}

static void
mch_unrealize(Device *dev)
{
    mch_reset(dev);
    address_map_synchronize(dev->machine->mmio);
}

static const SavedField pci_host_fields[] = {
    SAVED(PciHost, address, 1),
    SAVED(PciHost, reset, 1),
};

static const SavedTable pci_host_saved = {
    .name = "q35-pcihost",
    .version = 1,
    .oldest = 1,
    .fields = pci_host_fields,
    .n_fields = G_N_ELEMENTS(pci_host_fields),
};

static const PciDetails mch_details = {
    .vendor = 0x8086,
    .device = 0x29c0,
    .class_code = 0x060000,
    .config_written = mch_config_written,
    .config_loaded = mch_config_loaded,
};

const DeviceClass pci_host_class = {
    .name = "q35-pcihost",
    .bus = BUS_SYSTEM,
    .board = true,
    .state_size = sizeof(PciHost),
    .saved = &pci_host_saved,
    .realize = pci_host_realize,
    .reset = pci_host_reset,
    .unrealize = pci_host_unrealize,
};

const DeviceClass mch_class = {
    .name = "mch",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .board = true,
    .state_size = sizeof(Mch),
    .realize = mch_realize,
    .reset = mch_reset,
    .unrealize = mch_unrealize,
    .details = &mch_details,
};
