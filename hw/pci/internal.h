/* internal.h - what the files of the PCI core share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_PCI_INTERNAL_H
#define KILN_HW_PCI_INTERNAL_H

#include "hw/pci/pci.h"

/* express.c: the parts of the capability that a port has. */
void pci_express_set_slot(PciDevice *dev, unsigned slot);
void pci_express_set_present(PciDevice *dev, bool present);

/* Whether [offset, offset + size) holds the bit that resets the function; after a write of @value
 * there, which may do so. Root's and device's lock held; mappings are the caller's. */
bool pci_express_reset_touched(const PciDevice *dev, unsigned offset, unsigned size);
void pci_express_config_written(PciDevice *dev, unsigned offset, unsigned size, uint32_t value);

/* config.c: what a write of @value changes in registers that begin there; byte by byte, as threads
 * of the device may look at enable bits meanwhile. */
void pci_registers_write(uint8_t *config, const uint8_t *writable, const uint8_t *clearable,
                         unsigned size, uint32_t value);
/* Takes from @saved the bits that a guest can change; all others are what this build makes them. */
void pci_registers_load(uint8_t *config, const uint8_t *writable, const uint8_t *clearable,
                        const uint8_t *saved, size_t n);

/* extended.c: the first bytes of extended space, which hold all capabilities there. */
enum { PCI_EXTENDED_SIZE = 0x80 };

struct PciExtended {
    uint8_t config[PCI_EXTENDED_SIZE], writable[PCI_EXTENDED_SIZE], clearable[PCI_EXTENDED_SIZE],
        initial[PCI_EXTENDED_SIZE], saved[PCI_EXTENDED_SIZE];
    unsigned last, end; /* the last capability, the first free byte */
};

void pci_extended_ready(PciDevice *dev);
void pci_extended_fini(PciDevice *dev);
/* @offset: PCI_CONFIG_SIZE and above. Device's lock held, as for what follows. */
uint32_t pci_extended_read(const PciDevice *dev, unsigned offset, unsigned size);
void pci_extended_write(PciDevice *dev, unsigned offset, unsigned size, uint32_t value);
void pci_extended_reset(PciDevice *dev);
void pci_extended_before_save(PciDevice *dev);
void pci_extended_loaded(PciDevice *dev);

/* root_port.c: the registers of the windows that every bridge forwards. */
void pci_bridge_add_windows(PciDevice *dev);

/* bar.c */
void pci_bars_init(PciDevice *dev);
void pci_bars_fini(PciDevice *dev);

/* rom.c: the expansion ROM that properties and class ask for; undone by pci_rom_close(). */
bool pci_rom_open(PciDevice *dev, GError **err);
void pci_rom_close(PciDevice *dev);
/* After a change of the ids: a ROM that the class asks for gets them. */
void pci_rom_set_ids(PciDevice *dev);

/* msi.c: after a write to configuration space; device's lock held. */
void pci_msi_config_written(PciDevice *dev, unsigned offset, unsigned size);

/* msix.c */
void pci_msix_config_written(PciDevice *dev, unsigned offset, unsigned size);
void pci_msix_reset(PciDevice *dev);
void pci_msix_fini(PciDevice *dev);
/* Before a save: what is pending goes into the table's state. After a load, which filled it. */
void pci_msix_before_save(PciDevice *dev);
void pci_msix_loaded(PciDevice *dev);

/* After a change of what holds them back: brings the vectors in step. Device's lock held. */
void pci_msix_update(PciDevice *dev);

/* power.c: whether [offset, offset + size) holds the power state. */
bool pci_power_touched(const PciDevice *dev, unsigned offset, unsigned size);
/* After a write to configuration space, before which the function was asleep or not. Root's and
 * device's lock held; mappings are the caller's. */
void pci_power_config_written(PciDevice *dev, unsigned offset, unsigned size, bool was_asleep);
/* After saved state has filled configuration space: leaves only states that there are. */
void pci_power_loaded(PciDevice *dev);

/* device.c: puts the function, and nothing behind it, into the state after power-on. Root's and
 * device's lock held; mappings are the caller's. */
void pci_function_reset(PciDevice *dev);

/* bus.c: after a change of the command register or of routing. */
void pci_intx_wire(PciDevice *dev);
void pci_intx_update(PciDevice *dev);

/* bus.c: true when the bridges above @dev let accesses to [address, address + size) through. */
bool pci_bus_forwards(const PciDevice *dev, PciBarKind kind, uint64_t address, uint64_t size);

#endif
