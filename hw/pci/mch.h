/* mch.h - registers of the Q35 memory controller that the board sets.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_PCI_MCH_H
#define KILN_HW_PCI_MCH_H

enum {
    MCH_PCIEXBAR = 0x60,
    MCH_PAM0 = 0x90,
    MCH_SMRAM = 0x9d,
    MCH_ESMRAMC = 0x9e,
};

#endif
