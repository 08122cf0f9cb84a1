/* smbios.h - what the machine says of itself: SMBIOS tables (DMTF DSP0134 2.8).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_FIRMWARE_SMBIOS_H
#define KILN_HW_FIRMWARE_SMBIOS_H

#include "hw/core/machine.h"

/* One -smbios: @props (char * to char *) has "type" and the fields of that type, or "file". The
 * strings are borrowed. */
typedef struct {
    GHashTable *props;
    const uint8_t *file; /* a structure as it lies, instead of fields */
    size_t file_len;
    GPtrArray *values; /* of char *: the strings of type 11 */
} SmbiosOption;

/* Number of sockets etc. that types 4 and 16 to 19 tell of. */
typedef struct {
    unsigned sockets, cores, threads; /* per socket: cores; per core: threads */
} SmbiosTopology;

/* Refuses a type that cannot be set and a field that the type does not have, by name. */
bool smbios_check(const SmbiosOption *option, GError **err);

/* Makes "etc/smbios/smbios-anchor" and "etc/smbios/smbios-tables". Main thread, once. */
bool smbios_create(Machine *machine, const SmbiosTopology *topology, const SmbiosOption *options,
                   unsigned n_options, GError **err);

/* For a boot without firmware: writes them to RAM at @address, a multiple of 16 in the last 64 KiB
 * below 1 MiB, and at most @size bytes. vCPUs stand still. */
bool smbios_place(Machine *machine, uint64_t address, uint64_t size, GError **err);

#endif
