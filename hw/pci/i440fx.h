/* i440fx.h - registers of the 440FX and of the PIIX functions that the board sets.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_PCI_I440FX_H
#define KILN_HW_PCI_I440FX_H

#include "hw/acpi/pm.h"
#include "hw/pci/pci.h"

enum {
    I440FX_PAM0 = 0x59,
    I440FX_SMRAM = 0x72,

    PIIX_ISA_DEVFN = PCI_DEVFN(1, 0),
    PIIX_PIRQ_A = 0x60,

    PIIX_PM_DEVFN = PCI_DEVFN(1, 3),
    PIIX_PMBA = 0x40,
    PIIX_DEVACTB = 0x58,
    PIIX_PMREGMISC = 0x80,
    PIIX_PM_ENABLE = 1,
    PIIX_GPE_BASE = 0xafe0, /* general purpose events, beside the chip's own */
    PIIX_GPE_SIZE = 4,
};

/* PM registers of the machine's PIIX4, NULL when it has none. */
AcpiPm *piix_pm(Machine *machine);

#endif
