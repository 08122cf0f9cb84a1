/* pc.c - the board that stock kernels and firmware know as 440FX with PIIX3: conventional PCI.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/board.h"
#include "hw/pci/i440fx.h"

enum { PAM_ALL_RAM = 0x33 };

/* PIRQA to D, rotated by the slot so that slot 1's INTA is PIRQA. */
static unsigned
pc_pirq(unsigned slot, unsigned pin)
{
    return (slot + pin - 1) & 3;
}

static void
pc_program(PciRoot *root)
{
    static const uint8_t irqs[] = { 10, 10, 11, 11 };

    for (unsigned i = 0; i < 7; i++)
        pci_config_write(root, 0, I440FX_PAM0 + i, 1, PAM_ALL_RAM);
    for (unsigned i = 0; i < G_N_ELEMENTS(irqs); i++)
        pci_config_write(root, PIIX_ISA_DEVFN, PIIX_PIRQ_A + i, 1, irqs[i]);
    pci_config_write(root, PIIX_PM_DEVFN, PIIX_PMBA, 4, BOARD_PM_BASE | 1);
    pci_config_write(root, PIIX_PM_DEVFN, PIIX_PMREGMISC, 1, PIIX_PM_ENABLE);
}

static uint16_t
pc_pm_base(const Machine *machine)
{
    const PciDevice *pm = machine->pci->bus.devices[PIIX_PM_DEVFN];

    return (uint16_t)(pci_config_get(pm, PIIX_PMBA, 4) & 0xffc0);
}

static const BoardDevice pc_devices[] = {
    { "pcihost", NULL, false },
    { "i440FX", "0", false },
    { "PIIX3", "1.0", true },
    { "piix3-ide", "1.1", false },
    { "PIIX4_PM", "1.3", false },
    { "mc146818rtc", NULL, false },
    { "port92", NULL, false },
    { "fw_cfg", NULL, false },
    { "i8042", NULL, false },
    { "hpet", NULL, false },
    { "acpi-pci-hotplug", NULL, false },
    { "cpu-hotplug", NULL, false },
};

static const char *const pc_aliases[] = { "pc", NULL };

const Board board_pc = {
    .name = "kiln-pc-1.0",
    .aliases = pc_aliases,
    .prefix = "pc-i440fx-",
    .description = "conventional PCI machine: 440FX with PIIX3",
    .product = "PC (440FX, PIIX3)",
    .pci_bus = "pci.0",
    .ram_low_max = UINT64_C(0xc0000000),
    .mmio32_base = UINT64_C(0x80000000),
    .devices = pc_devices,
    .n_devices = G_N_ELEMENTS(pc_devices),
    .pam = I440FX_PAM0,
    .isa_devfn = PIIX_ISA_DEVFN,
    .pirq = pc_pirq,
    .n_pirqs = 4,
    .pirq_gsi = -1,
    .program = pc_program,
    .pm = piix_pm,
    .pm_base = pc_pm_base,
};
