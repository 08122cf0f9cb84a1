/* assign.h - bus numbers, bridge windows and BARs for a boot without firmware.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_PCI_ASSIGN_H
#define KILN_HW_PCI_ASSIGN_H

#include "hw/pci/pci.h"

/* Where BARs may go. */
typedef struct {
    uint64_t io_base, io_end;
    uint64_t mem32_base, mem32_end;
    uint64_t mem64_base, mem64_end; /* the end is exclusive; 0 base: none */
} PciWindows;

/* Numbers the buses, places every BAR and opens every bridge's windows, by configuration writes as
 * firmware makes them, and turns decoding on. 64-bit BARs go into the 64-bit window when it has
 * room. Refuses, naming the function, what does not fit. vCPUs stand still; main thread. */
bool pci_assign(PciRoot *root, const PciWindows *windows, GError **err);

#endif
