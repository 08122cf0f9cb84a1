/* smbus.h - the SMBus host controller of the south bridges.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_PCI_SMBUS_H
#define KILN_HW_PCI_SMBUS_H

#include "hw/core/saved.h"
#include "hw/pci/pci.h"

enum { SMBUS_ICH9_SIZE = 32, SMBUS_PIIX4_SIZE = 16, SMBUS_BLOCK = 32 };

/* Registers, embedded in the function that has them; its lock guards them. */
typedef struct {
    PciDevice *pci;
    unsigned size; /* SMBUS_ICH9_SIZE or SMBUS_PIIX4_SIZE, bytes of I/O space */
    bool enabled;  /* the function's configuration lets it run */
    uint8_t status, control, command, address, data[2], block_at, block[SMBUS_BLOCK];
} Smbus;

extern const SavedTable smbus_saved;
extern const IoOps smbus_ops; /* opaque: the Smbus */

void smbus_init(Smbus *smbus, PciDevice *pci, unsigned size);
void smbus_reset(Smbus *smbus);

#endif
