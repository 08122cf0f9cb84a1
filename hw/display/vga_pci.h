/* vga_pci.h - what PCI cards that are made of the VGA core share: their BARs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_DISPLAY_VGA_PCI_H
#define KILN_HW_DISPLAY_VGA_PCI_H

#include "hw/display/edid.h"
#include "hw/display/vga.h"
#include "hw/pci/pci.h"

enum {
    VGA_MMIO_SIZE = 4096,
    VGA_MMIO_EDID = 0x000,
    VGA_MMIO_PORTS = 0x400,
    VGA_MMIO_VBE = 0x500,
    VGA_MMIO_EXTENDED = 0x600,
};

/* The registers of BAR 2 (QEMU's docs/specs/standard-vga.txt), in the card's state. */
typedef struct {
    Vga *vga;
    uint8_t edid[EDID_SIZE];
    bool has_edid;
} VgaMmio;

/* Puts them at @offset of BAR @n; @ports: with the VGA's ports. */
void vga_mmio_add(VgaMmio *mmio, PciDevice *pci, unsigned n, uint64_t offset, bool ports);

/* Video memory in BAR @n from its beginning on; the BAR is declared already. */
void vga_add_lfb(Vga *vga, PciDevice *pci, unsigned n);

#endif
