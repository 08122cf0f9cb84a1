/* build.h - the machine's ACPI tables.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ACPI_BUILD_H
#define KILN_HW_ACPI_BUILD_H

#include "hw/pci/assign.h"

/* Writes all tables for @machine into guest RAM [base, base + size) and gives the address of the
 * RSDP. Refuses, with the sizes, when they do not fit. Main thread. */
bool acpi_build(Machine *machine, uint64_t base, uint64_t size, uint64_t *ret_rsdp, GError **err);

/* Names of the blobs that acpi_build_blobs() makes for firmware to place. */
#define ACPI_TABLES_FILE "etc/acpi/tables"
#define ACPI_RSDP_FILE "etc/acpi/rsdp"
#define ACPI_LOADER_FILE "etc/table-loader"

/* The same as blobs, with the commands by which firmware links them (QEMU's table loader). Tells
 * where BARs and PM registers lie now. Any thread, with no device lock of a PCI function. */
void acpi_build_blobs(Machine *machine, GByteArray *tables, GByteArray *rsdp, GByteArray *loader);

/* Parts, each appending one table's body behind its 36-byte head (dsdt.c, tables.c). The FADT's
 * pointers are left zero: ACPI_FADT_* say where they go, from the table's beginning. */
enum { ACPI_FADT_FACS = 36, ACPI_FADT_DSDT = 40, ACPI_FADT_X_DSDT = 140 };

/* The FACS of acpi_build(): its place behind the RSDP at the base, its size, and where in it the
 * guest says at which address it goes on after a sleep (5.2.10). */
enum { ACPI_FACS = 64, ACPI_FACS_SIZE = 64, ACPI_FACS_WAKING_VECTOR = 12 };
/* The DSDT, in a byte array of its own; returns where in it the address of the page with the
 * generation identifier goes (4 bytes), 0 when there is none. */
guint acpi_dsdt(Machine *machine, GByteArray *out);
/* Processors, and the methods by which they come and go (dsdt_cpus.c). */
struct Aml;
void acpi_dsdt_cpus(struct Aml *aml, Machine *machine);
/* The MADT's entry of processor @index, as it stands there or as if the processor were there. */
void acpi_madt_cpu(const MachineConfig *config, uint32_t index, bool present, GByteArray *out);
void acpi_fadt(Machine *machine, GByteArray *out);
void acpi_madt(Machine *machine, GByteArray *out);
void acpi_mcfg(Machine *machine, GByteArray *out);
void acpi_hpet(GByteArray *out);
void acpi_srat(const MachineConfig *config, GByteArray *out);
void acpi_slit(const MachineConfig *config, GByteArray *out);
void acpi_waet(GByteArray *out);

#endif
