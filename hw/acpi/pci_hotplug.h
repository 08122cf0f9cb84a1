/* pci_hotplug.h - hot plugging of conventional PCI buses by ACPI.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ACPI_PCI_HOTPLUG_H
#define KILN_HW_ACPI_PCI_HOTPLUG_H

#include "hw/acpi/aml.h"
#include "hw/pci/pci.h"

extern const DeviceClass acpi_pci_hotplug_class;

enum {
    ACPI_PCI_HOTPLUG_PORT = 0xae00,
    ACPI_PCI_HOTPLUG_SIZE = 20,
    ACPI_PCI_HOTPLUG_GPE = 1, /* the event that says: look at the registers */
    ACPI_PCI_HOTPLUG_BUSES = 32,
};

/* Lets devices come to and go from @bus while the guest runs, where the board can do so and knows
 * of the bus early enough to tell the guest. Main thread, in realize of what has the bus. */
void acpi_pci_hotplug_add_bus(PciBus *bus);
void acpi_pci_hotplug_remove_bus(PciBus *bus);

/* The slots of @bus that can change, one bit each. Root's lock held. */
uint32_t acpi_pci_hotplug_slots(const PciBus *bus);

/* dsdt_hotplug.c: the guest's side of it, if the board has it. Any thread. */
void acpi_dsdt_hotplug(Aml *aml, Machine *machine);

#endif
