/* q35.c - the board that stock kernels and firmware know as Q35 with ICH9: PCI Express.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/board.h"
#include "hw/pci/lpc.h"
#include "hw/pci/mch.h"

enum {
    RCBA_BASE = 0xfed1c000,
    PIRQ_GSI = 16, /* PIRQA; PIRQH is 23 */
    PAM_ALL_RAM = 0x33,
};

/* ICH9: the chipset's own slots use PIRQA to D, all others rotate over E to H. */
static unsigned
q35_pirq(unsigned slot, unsigned pin)
{
    return slot >= 25 ? pin & 3 : 4 + ((slot + pin) & 3);
}

static void
q35_program(PciRoot *root)
{
    for (unsigned i = 0; i < 7; i++)
        pci_config_write(root, 0, MCH_PAM0 + i, 1, PAM_ALL_RAM);
    pci_config_write(root, 0, MCH_PCIEXBAR + 4, 4, 0);
    pci_config_write(root, 0, MCH_PCIEXBAR, 4, (uint32_t)BOARD_ECAM_BASE | 1);
    pci_config_write(root, LPC_DEVFN, LPC_PMBASE, 4, BOARD_PM_BASE | 1);
    pci_config_write(root, LPC_DEVFN, LPC_ACPI_CNTL, 1, LPC_ACPI_ENABLE);
    pci_config_write(root, LPC_DEVFN, LPC_RCBA, 4, RCBA_BASE | 1);
}

static uint16_t
q35_pm_base(const Machine *machine)
{
    const PciDevice *lpc = machine->pci->bus.devices[LPC_DEVFN];

    return (uint16_t)(pci_config_get(lpc, LPC_PMBASE, 4) & 0xff80);
}

static uint64_t
q35_ecam(const Machine *machine)
{
    const PciDevice *mch = machine->pci->bus.devices[0];
    uint64_t value = pci_config_get(mch, MCH_PCIEXBAR, 4);

    value |= (uint64_t)pci_config_get(mch, MCH_PCIEXBAR + 4, 4) << 32;
    return value & 1 ? value & ~UINT64_C(0xfffffff) : 0;
}

static const BoardDevice q35_devices[] = {
    { "pcihost", NULL, false },    { "mch", "0", false },          { "ICH9-LPC", "1f", true },
    { "ICH9-SMB", "1f.3", false }, { "mc146818rtc", NULL, false }, { "port92", NULL, false },
    { "fw_cfg", NULL, false },     { "i8042", NULL, false },       { "hpet", NULL, false },
    { "cpu-hotplug", NULL, false },
};

static const char *const q35_aliases[] = { "q35", NULL };

const Board board_q35 = {
    .name = "kiln-q35-1.0",
    .aliases = q35_aliases,
    .prefix = "pc-q35-",
    .description = "PCI Express machine: Q35 with ICH9",
    .product = "PC (Q35, ICH9)",
    .pci_bus = "pcie.0",
    .ram_low_max = UINT64_C(0x80000000),
    .mmio32_base = UINT64_C(0xc0000000),
    .express = true,
    .devices = q35_devices,
    .n_devices = G_N_ELEMENTS(q35_devices),
    .pam = MCH_PAM0,
    .pciexbar = MCH_PCIEXBAR,
    .isa_devfn = LPC_DEVFN,
    .pirq = q35_pirq,
    .n_pirqs = 8,
    .pirq_gsi = PIRQ_GSI,
    .program = q35_program,
    .pm = lpc_pm,
    .pm_base = q35_pm_base,
    .ecam = q35_ecam,
};
