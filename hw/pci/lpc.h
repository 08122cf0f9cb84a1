/* lpc.h - the LPC bridge, as the board uses it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_PCI_LPC_H
#define KILN_HW_PCI_LPC_H

#include "hw/acpi/pm.h"
#include "hw/pci/pci.h"

enum {
    LPC_DEVFN = PCI_DEVFN(0x1f, 0),
    LPC_PMBASE = 0x40,
    LPC_ACPI_CNTL = 0x44,
    LPC_PIRQ_A = 0x60,
    LPC_PIRQ_E = 0x68,
    LPC_RCBA = 0xf0,
    LPC_ACPI_ENABLE = 0x80,
};

/* PM registers of the machine's LPC bridge, NULL when it has none. */
AcpiPm *lpc_pm(Machine *machine);

#endif
