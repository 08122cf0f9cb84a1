/* build.h - the machine's ACPI tables.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ACPI_BUILD_H
#define KILN_HW_ACPI_BUILD_H

#include "hw/pci/assign.h"

/* Writes all tables for @machine, whose BARs may lie in @windows, into guest RAM [base, base +
 * size) and gives the address of the RSDP. Refuses, with the sizes, when they do not fit. Main
 * thread. */
bool acpi_build(Machine *machine, const PciWindows *windows, uint64_t base, uint64_t size,
                uint64_t *ret_rsdp, GError **err);

/* Parts, each appending one table's body behind its 36-byte head (dsdt.c, tables.c). */
void acpi_dsdt(Machine *machine, const PciWindows *windows, GByteArray *out);
void acpi_fadt(bool i8042, uint64_t facs, uint64_t dsdt, GByteArray *out);
void acpi_madt(const MachineConfig *config, GByteArray *out);
void acpi_mcfg(GByteArray *out);
void acpi_srat(const MachineConfig *config, GByteArray *out);
void acpi_slit(const MachineConfig *config, GByteArray *out);
void acpi_waet(GByteArray *out);

#endif
