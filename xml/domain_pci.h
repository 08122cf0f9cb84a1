/* domain_pci.h - the map of a guest's PCI addresses, while they are being given.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_PCI_H
#define KILN_XML_DOMAIN_PCI_H

#include "domain_private.h"

enum { PCI_BUSES = 256, PCI_SLOTS = 32, PCI_FUNCTIONS = 8 };

typedef struct {
    DomainDef *def;
    bool pc;                            /* i440FX: no PCI Express */
    unsigned bridge_slot;               /* of bus 0: PIIX3 or LPC */
    uint8_t used[PCI_BUSES][PCI_SLOTS]; /* bit per function */
    uint8_t ports_only[PCI_SLOTS];      /* bus 0: root ports only in this slot */
    GHashTable *given;                  /* DomainAddress, by pci_map_place() */
    GError **err;
} PciMap;

/* The controller that @bus is behind, or NULL. */
DomainController *pci_map_bus(const PciMap *map, uint64_t bus);
DomainController *pci_map_add(PciMap *map, uint64_t index, DomainPciModel model);

/* Gives every device an address that needs one, with the bridges and root ports for it. */
bool pci_map_place(PciMap *map);

#endif
