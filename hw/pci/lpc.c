/* lpc.c - LPC interface bridge of the ICH9 (Intel 316972, chapter 13): PM base, PIRQ routing, RCBA.
 *
 * Behind RCBA lies GCS (10.1.75) and else nothing: it reads zero. Leaves out: GPIO, firmware hub
 * decode, LPC decode ranges (ISA devices always decode).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/lpc.h"

#include "hw/core/bytes.h"
#include "hw/pci/board.h"
#include "hw/pci/tco.h"

enum { RCBA_SIZE = 16 << 10, RCBA_ENABLE = 1 };

typedef struct {
    PciDevice pci;
    Bus isa;
    AcpiPm pm;
    Tco tco;
    IoRegion rcba;
    uint32_t pm_at, tco_at, rcba_at; /* where the regions are mapped, 0: nowhere */
} Lpc;

static uint64_t
lpc_rcba_read(void *opaque, uint64_t offset, unsigned size)
{
    const Lpc *lpc = opaque;
    uint64_t gcs = tco_gcs(&lpc->tco);

    if (offset < TCO_GCS || offset + size > TCO_GCS + 4)
        return 0;
    return gcs >> (8 * (offset - TCO_GCS));
}

static void
lpc_rcba_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Lpc *lpc = opaque;

    (void)size;
    if (offset == TCO_GCS)
        tco_gcs_write(&lpc->tco, (uint32_t)value);
}

static const IoOps lpc_rcba_ops = { lpc_rcba_read, lpc_rcba_write };

static void
lpc_map(AddressMap *map, IoRegion *region, uint32_t *at, uint32_t want)
{
    if (*at == want)
        return;
    if (*at)
        address_map_remove(map, region);
    *at = want && address_map_add(map, region, want) == 0 ? want : 0;
}

static void
lpc_update_regions(Lpc *lpc)
{
    Machine *machine = lpc->pci.device.machine;
    uint32_t pm = pci_config_get(&lpc->pci, LPC_PMBASE, 4) & 0xff80;
    uint32_t rcba = pci_config_get(&lpc->pci, LPC_RCBA, 4);

    if (!(lpc->pci.config[LPC_ACPI_CNTL] & LPC_ACPI_ENABLE))
        pm = 0;
    lpc_map(machine->pio, &lpc->pm.region, &lpc->pm_at, pm);
    lpc_map(machine->pio, &lpc->tco.region, &lpc->tco_at, pm ? pm + TCO_OFFSET : 0);
    lpc_map(machine->mmio, &lpc->rcba, &lpc->rcba_at,
            rcba & RCBA_ENABLE ? rcba & ~(uint32_t)(RCBA_SIZE - 1) : 0);
}

static void
lpc_update_routes(PciDevice *dev)
{
    for (unsigned i = 0; i < 8; i++)
        pci_root_route(dev->bus->root, i, dev->config[i < 4 ? LPC_PIRQ_A + i : LPC_PIRQ_E + i - 4]);
}

static void
lpc_config_written(PciDevice *dev, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    lpc_update_routes(dev);
    lpc_update_regions((Lpc *)dev);
}

static void
lpc_config_loaded(PciDevice *dev)
{
    lpc_config_written(dev, 0, 0);
}

static bool
lpc_realize(Device *device, GError **err)
{
    Lpc *lpc = (Lpc *)device;
    PciDevice *dev = &lpc->pci;

    pci_config_set(dev, LPC_PMBASE, 4, 1);
    pci_config_mask(dev, LPC_PMBASE, 4, 0xff80);
    pci_config_mask(dev, LPC_ACPI_CNTL, 1, LPC_ACPI_ENABLE);
    for (unsigned i = 0; i < 4; i++) {
        dev->config[LPC_PIRQ_A + i] = dev->config[LPC_PIRQ_E + i] = 0x80;
        dev->writable[LPC_PIRQ_A + i] = dev->writable[LPC_PIRQ_E + i] = 0x8f;
    }
    pci_config_mask(dev, LPC_RCBA, 4, 0xffffc000 | RCBA_ENABLE);
    acpi_pm_init(&lpc->pm, device->machine, &device->lock, TCO_OFFSET);
    tco_init(&lpc->tco, device->machine, &device->lock);
    lpc->rcba =
        (IoRegion){ "rcba", &lpc_rcba_ops, lpc, &device->lock, RCBA_SIZE, IO_PRIORITY_BOARD };
    lpc->isa = (Bus){ .name = "isa.0", .kind = BUS_ISA };
    return bus_add(device->machine, &lpc->isa, err);
}

static void
lpc_reset(Device *device)
{
    Lpc *lpc = (Lpc *)device;

    acpi_pm_reset(&lpc->pm);
    tco_reset(&lpc->tco);
    lpc_map(device->machine->pio, &lpc->pm.region, &lpc->pm_at, 0);
    lpc_map(device->machine->pio, &lpc->tco.region, &lpc->tco_at, 0);
    lpc_map(device->machine->mmio, &lpc->rcba, &lpc->rcba_at, 0);
    for (unsigned i = 0; i < 8; i++)
        pci_root_route(lpc->pci.bus->root, i, 0x80);
}

static void
lpc_unrealize(Device *device)
{
    Lpc *lpc = (Lpc *)device;

    if (!lpc->pm.machine)
        return;
    lpc_map(device->machine->pio, &lpc->pm.region, &lpc->pm_at, 0);
    lpc_map(device->machine->pio, &lpc->tco.region, &lpc->tco_at, 0);
    lpc_map(device->machine->mmio, &lpc->rcba, &lpc->rcba_at, 0);
    address_map_synchronize(device->machine->pio);
    address_map_synchronize(device->machine->mmio);
    acpi_pm_fini(&lpc->pm);
    tco_fini(&lpc->tco);
    bus_remove(device->machine, &lpc->isa);
}

static const SavedField lpc_fields[] = {
    SAVED_STRUCT(Lpc, pm, acpi_pm_saved, 1),
    SAVED_STRUCT(Lpc, tco, tco_saved, 2),
};

static const SavedTable lpc_saved = {
    .name = "ich9-lpc",
    .version = 2,
    .oldest = 1,
    .fields = lpc_fields,
    .n_fields = G_N_ELEMENTS(lpc_fields),
};

static const PciDetails lpc_details = {
    .vendor = 0x8086,
    .device = 0x2918,
    .class_code = 0x060100,
    .revision = 2,
    .config_written = lpc_config_written,
    .config_loaded = lpc_config_loaded,
};

const DeviceClass lpc_class = {
    .name = "ICH9-LPC",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .board = true,
    .state_size = sizeof(Lpc),
    .saved = &lpc_saved,
    .realize = lpc_realize,
    .reset = lpc_reset,
    .unrealize = lpc_unrealize,
    .details = &lpc_details,
};

AcpiPm *
lpc_pm(Machine *machine)
{
    Device *dev = board_function(machine, LPC_DEVFN, &lpc_class);

    return dev ? &((Lpc *)dev)->pm : NULL;
}
