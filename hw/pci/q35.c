/* q35.c - the board: its fixed devices, and what firmware would do before a direct boot.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/q35.h"

#include "hw/acpi/build.h"
#include "hw/pci/lpc.h"
#include "util/error.h"

enum {
    MCH_PCIEXBAR = 0x60,
    RCBA_BASE = 0xfed1c000,
    IO_WINDOW_BASE = 0x1000,
    IO_WINDOW_END = 0x10000,
};

bool
q35_create(Machine *machine, GError **err)
{
    static const struct {
        const char *driver, *bus, *addr;
    } fixed[] = {
        { "q35-pcihost", NULL, NULL }, { "mch", "pcie.0", "0" }, { "ICH9-LPC", "pcie.0", "1f" },
        { "mc146818rtc", NULL, NULL }, { "port92", NULL, NULL }, { "fw_cfg", NULL, NULL },
        { "i8042", NULL, NULL },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(fixed) - machine->config.no_i8042; i++) {
        Device *dev = fixed[i].bus ? device_new_board(machine, fixed[i].driver, err, "bus",
                                                      fixed[i].bus, "addr", fixed[i].addr,
                                                      "multifunction", i == 2 ? "on" : "off", NULL)
                                   : device_new_board(machine, fixed[i].driver, err, NULL);

        if (!dev)
            return false;
    }
    return true;
}

void
q35_windows(Machine *machine, PciWindows *ret)
{
    unsigned bits = machine->config.physical_bits ? machine->config.physical_bits : 36;
    uint64_t top = UINT64_C(1) << MIN(bits, 52);
    uint64_t base = (UINT64_C(4) << 30) + machine->config.ram_above_4g;

    *ret = (PciWindows){
        .io_base = IO_WINDOW_BASE,
        .io_end = IO_WINDOW_END,
        .mem32_base = Q35_MMIO32_BASE,
        .mem32_end = Q35_MMIO32_END,
    };
    base = (base + ((UINT64_C(1) << 30) - 1)) & ~((UINT64_C(1) << 30) - 1);
    if (base < top) {
        ret->mem64_base = base;
        ret->mem64_end = MIN(top, base + (UINT64_C(1) << 40));
    }
}

/* The registers that firmware sets on every Q35. */
static void
q35_program_chipset(PciRoot *root)
{
    pci_config_write(root, 0, MCH_PCIEXBAR + 4, 4, 0);
    pci_config_write(root, 0, MCH_PCIEXBAR, 4, (uint32_t)Q35_ECAM_BASE | 1);
    pci_config_write(root, LPC_DEVFN, LPC_PMBASE, 4, Q35_PM_BASE | 1);
    pci_config_write(root, LPC_DEVFN, LPC_ACPI_CNTL, 1, LPC_ACPI_ENABLE);
    pci_config_write(root, LPC_DEVFN, LPC_RCBA, 4, RCBA_BASE | 1);
}

bool
q35_prepare_boot(Machine *machine, uint64_t *ret_rsdp, GError **err)
{
    PciWindows windows;

    if (!machine->pci || !lpc_find(machine))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the board has not been made");
    q35_program_chipset(machine->pci);
    q35_windows(machine, &windows);
    return pci_assign(machine->pci, &windows, err) &&
           acpi_build(machine, &windows, Q35_ACPI_BASE, Q35_ACPI_SIZE, ret_rsdp, err);
}

void
q35_power_button(Machine *machine)
{
    acpi_pm_power_button(lpc_pm(lpc_find(machine)));
}
