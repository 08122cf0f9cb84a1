/* host.c - the host side of PCI: bus 0, configuration mechanism #1, and the reset register.
 *
 * PCI Local Bus 3.0, section 3.2.2.3.2; Intel ICH9 (316972), section 13.7, and Intel 82371SB
 * (290550), section 2.4.2: RST_CNT at port 0xcf9.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/pci/board.h"

enum {
    PORT_CONFIG = 0xcf8,
    PORT_DATA = 0xcfc,
    CONFIG_RESET = 1, /* byte of the address register that is RST_CNT */
    RESET_SYSTEM = 0x02,
    RESET_CPU = 0x04,
    RESET_FULL = 0x08,
};
#define CONFIG_ENABLE 0x80000000u

typedef struct {
    Device device;
    PciRoot root;
    uint32_t address; /* CONFIG_ADDRESS */
    uint8_t reset;    /* RST_CNT */
    IoRegion config, data;
} PciHost;

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
    if (!pci_bus_init(&host->root.bus, &host->root, NULL, machine->board->pci_bus, err))
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

static const SavedField pci_host_fields[] = {
    SAVED(PciHost, address, 1),
    SAVED(PciHost, reset, 1),
};

static const SavedTable pci_host_saved = {
    .name = "pcihost",
    .version = 1,
    .oldest = 1,
    .fields = pci_host_fields,
    .n_fields = G_N_ELEMENTS(pci_host_fields),
};

const DeviceClass pci_host_class = {
    .name = "pcihost",
    .bus = BUS_SYSTEM,
    .board = true,
    .state_size = sizeof(PciHost),
    .saved = &pci_host_saved,
    .realize = pci_host_realize,
    .reset = pci_host_reset,
    .unrealize = pci_host_unrealize,
};
