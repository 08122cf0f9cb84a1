/* piix.c - PIIX3's ISA bridge (Intel 290550, section 2.1) and PIIX4's power management function
 * (Intel 290562, chapter 7).
 *
 * Leaves out: the functions' own decode ranges (ISA devices always decode), device monitors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/pci/board.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/smbus.h"

enum {
    PIIX_XBCS = 0x4e,
    PIIX_SMBBA = 0x90,
    PIIX_SMBHSTCFG = 0xd2,
    SMBHSTCFG_ENABLE = 1,
    SMBHSTCFG_IRQ9 = 4 << 1,
    /* Where SeaBIOS puts it too. OVMF and kernels without firmware leave it, and its driver
     * complains of one that is nowhere. */
    SMBUS_BASE = BOARD_PM_BASE + 0x100,
    DEVACTB_APMC = 0x02000000, /* says to firmware that SMM is not for it to set up */
    PIIX_PM_SIZE = 64,
};

typedef struct {
    PciDevice pci;
    Bus isa;
} PiixIsa;

typedef struct {
    PciDevice pci;
    AcpiPm pm;
    uint32_t pm_at; /* where the registers are mapped, 0: nowhere */
    Smbus smbus;
    IoRegion smbus_region;
    uint32_t smbus_at; /* likewise */
} PiixPm;

static void
piix_isa_route(PciDevice *dev)
{
    for (unsigned i = 0; i < 4; i++)
        pci_root_route(dev->bus->root, i, dev->config[PIIX_PIRQ_A + i]);
}

static void
piix_isa_config_written(PciDevice *dev, unsigned offset, unsigned size)
{
    if (offset < PIIX_PIRQ_A + 4 && offset + size > PIIX_PIRQ_A)
        piix_isa_route(dev);
}

static bool
piix_isa_realize(Device *device, GError **err)
{
    PiixIsa *isa = (PiixIsa *)device;
    PciDevice *dev = &isa->pci;

    pci_config_set(dev, PCI_COMMAND, 2, 0x0007);
    pci_config_mask(dev, PCI_COMMAND, 2, 0x0108);
    pci_config_set(dev, 0x4c, 1, 0x4d);
    pci_config_mask(dev, 0x4c, 1, 0xff);
    pci_config_set(dev, PIIX_XBCS, 2, 0x0003);
    pci_config_mask(dev, PIIX_XBCS, 2, 0x01ff);
    for (unsigned i = 0; i < 4; i++) {
        pci_config_set(dev, PIIX_PIRQ_A + i, 1, 0x80);
        pci_config_mask(dev, PIIX_PIRQ_A + i, 1, 0x8f);
    }
    isa->isa = (Bus){ .name = "isa.0", .kind = BUS_ISA };
    return bus_add(device->machine, &isa->isa, err);
}

static void
piix_isa_reset(Device *device)
{
    for (unsigned i = 0; i < 4; i++)
        pci_root_route(((PciDevice *)device)->bus->root, i, 0x80);
}

static void
piix_isa_unrealize(Device *device)
{
    bus_remove(device->machine, &((PiixIsa *)device)->isa);
}

static void
piix_map(PiixPm *piix, IoRegion *region, uint32_t *at, uint32_t want)
{
    AddressMap *map = piix->pci.device.machine->pio;

    if (*at == want)
        return;
    if (*at)
        address_map_remove(map, region);
    *at = want && address_map_add(map, region, want) == 0 ? want : 0;
}

static void
piix_pm_update(PciDevice *dev)
{
    PiixPm *piix = (PiixPm *)dev;
    uint32_t base = pci_config_get(dev, PIIX_PMBA, 4) & 0xffc0;
    uint32_t smbus = pci_config_get(dev, PIIX_SMBBA, 4) & 0xfff0;

    piix->smbus.enabled = dev->config[PIIX_SMBHSTCFG] & SMBHSTCFG_ENABLE;
    piix_map(piix, &piix->pm.region, &piix->pm_at,
             dev->config[PIIX_PMREGMISC] & PIIX_PM_ENABLE ? base : 0);
    piix_map(piix, &piix->smbus_region, &piix->smbus_at, piix->smbus.enabled ? smbus : 0);
}

static void
piix_pm_config_written(PciDevice *dev, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    piix_pm_update(dev);
}

static bool
piix_pm_realize(Device *device, GError **err)
{
    PiixPm *piix = (PiixPm *)device;
    PciDevice *dev = &piix->pci;

    (void)err;
    pci_config_set(dev, PCI_STATUS, 2, 0x0280);
    pci_config_set(dev, PCI_INTERRUPT_PIN, 1, 1);
    pci_config_mask(dev, PCI_INTERRUPT_LINE, 1, 0xff);
    pci_config_set(dev, PIIX_PMBA, 4, 1);
    pci_config_mask(dev, PIIX_PMBA, 4, 0xffc0);
    pci_config_set(dev, PIIX_DEVACTB, 4, DEVACTB_APMC);
    pci_config_mask(dev, PIIX_DEVACTB, 4, 0x03ffffff);
    pci_config_mask(dev, PIIX_PMREGMISC, 1, PIIX_PM_ENABLE);
    pci_config_set(dev, PIIX_SMBBA, 4, SMBUS_BASE | 1);
    pci_config_mask(dev, PIIX_SMBBA, 4, 0xfff0);
    pci_config_set(dev, PIIX_SMBHSTCFG, 1, SMBHSTCFG_IRQ9 | SMBHSTCFG_ENABLE);
    pci_config_mask(dev, PIIX_SMBHSTCFG, 1, 0x0f);
    acpi_pm_init(&piix->pm, device->machine, &device->lock, PIIX_PM_SIZE);
    acpi_pm_place_gpe(&piix->pm, PIIX_GPE_BASE, PIIX_GPE_SIZE);
    smbus_init(&piix->smbus, dev, SMBUS_PIIX4_SIZE);
    piix->smbus_region = (IoRegion){ "smbus",       &smbus_ops,       &piix->smbus,
                                     &device->lock, SMBUS_PIIX4_SIZE, IO_PRIORITY_BOARD };
    return true;
}

static void
piix_pm_reset(Device *device)
{
    PiixPm *piix = (PiixPm *)device;

    acpi_pm_reset(&piix->pm);
    piix_map(piix, &piix->pm.region, &piix->pm_at, 0);
    g_mutex_lock(&device->lock);
    smbus_reset(&piix->smbus);
    /* as the configuration says that the base class is about to restore */
    piix->smbus.enabled = true;
    g_mutex_unlock(&device->lock);
    piix_map(piix, &piix->smbus_region, &piix->smbus_at, SMBUS_BASE);
}

static void
piix_pm_unrealize(Device *device)
{
    PiixPm *piix = (PiixPm *)device;

    if (!piix->pm.machine)
        return;
    piix_map(piix, &piix->pm.region, &piix->pm_at, 0);
    piix_map(piix, &piix->smbus_region, &piix->smbus_at, 0);
    acpi_pm_fini(&piix->pm);
}

static const SavedField piix_pm_fields[] = {
    SAVED_STRUCT(PiixPm, pm, acpi_pm_saved, 1),
    SAVED_STRUCT(PiixPm, smbus, smbus_saved, 1),
};

static const SavedTable piix_pm_saved = {
    .name = "piix4-pm",
    .version = 1,
    .oldest = 1,
    .fields = piix_pm_fields,
    .n_fields = G_N_ELEMENTS(piix_pm_fields),
};

static const PciDetails piix_isa_details = {
    .vendor = 0x8086,
    .device = 0x7000,
    .class_code = 0x060100,
    .config_written = piix_isa_config_written,
    .config_loaded = piix_isa_route,
};

static const PciDetails piix_pm_details = {
    .vendor = 0x8086,
    .device = 0x7113,
    .class_code = 0x068000,
    .revision = 3,
    .config_written = piix_pm_config_written,
    .config_loaded = piix_pm_update,
};

const DeviceClass piix_isa_class = {
    .name = "PIIX3",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .board = true,
    .state_size = sizeof(PiixIsa),
    .realize = piix_isa_realize,
    .reset = piix_isa_reset,
    .unrealize = piix_isa_unrealize,
    .details = &piix_isa_details,
};

const DeviceClass piix_pm_class = {
    .name = "PIIX4_PM",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .board = true,
    .state_size = sizeof(PiixPm),
    .saved = &piix_pm_saved,
    .realize = piix_pm_realize,
    .reset = piix_pm_reset,
    .unrealize = piix_pm_unrealize,
    .details = &piix_pm_details,
};

AcpiPm *
piix_pm(Machine *machine)
{
    Device *dev = board_function(machine, PIIX_PM_DEVFN, &piix_pm_class);

    return dev ? &((PiixPm *)dev)->pm : NULL;
}
