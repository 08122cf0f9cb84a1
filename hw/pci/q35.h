/* q35.h - the board: a PCI Express machine that stock kernels and firmware know as Q35 with ICH9.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_PCI_Q35_H
#define KILN_HW_PCI_Q35_H

#include "hw/pci/assign.h"

enum {
    Q35_ECAM_SIZE = 256 << 20,
    Q35_IO_APIC_PINS = 24,
    Q35_SCI_IRQ = 9,
    Q35_PM_BASE = 0x600,
    Q35_PIRQ_GSI = 16, /* PIRQA; PIRQH is 23 */
};
#define Q35_RAM_LOW_MAX UINT64_C(0x80000000) /* RAM below 4 GiB ends here at most */
#define Q35_ECAM_BASE UINT64_C(0xb0000000)
#define Q35_MMIO32_BASE UINT64_C(0xc0000000)
#define Q35_MMIO32_END UINT64_C(0xfec00000) /* first byte that no BAR may use */
#define Q35_ACPI_BASE UINT64_C(0x000e0000)  /* RAM that direct boot keeps for ACPI tables */
#define Q35_ACPI_SIZE UINT64_C(0x00020000)

/* Makes the board's fixed devices: host bridge, LPC bridge, PM registers, RTC, fw_cfg, ports 0x61,
 * 0x92, 0x80 and 0xcf9. Main thread, once per machine, before any device_new(). */
bool q35_create(Machine *machine, GError **err);

/* For a boot without firmware, before the first run and after each machine_reset(): gives bus
 * numbers, bridge windows and BARs to all PCI functions and writes the ACPI tables to
 * Q35_ACPI_BASE. *ret_rsdp is where the RSDP is. The caller reserves Q35_ACPI_BASE in the guest's
 * memory map. */
bool q35_prepare_boot(Machine *machine, uint64_t *ret_rsdp, GError **err);

/* Where the board lets BARs go, as its ACPI tables say. */
void q35_windows(Machine *machine, PciWindows *ret);

/* Presses the power button: sets PWRBTN_STS and raises the SCI. Main thread. */
void q35_power_button(Machine *machine);

#endif
