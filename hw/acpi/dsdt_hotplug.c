/* dsdt_hotplug.c - the DSDT's side of hot plugging by ACPI (ACPI 6.4, sections 5.6.4 and 6.3): an
 * object for each slot that can change, and the event that asks which of them have.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/acpi/pci_hotplug.h"
#include "hw/pci/board.h"

enum { NOTIFY_CHECK = 1, NOTIFY_EJECT = 3, BUS_DEPTH = 4, PATH_MAX_LEN = 64 };

/* A bus with the path of its bridge's object. */
typedef struct {
    const PciBus *bus;
    char path[PATH_MAX_LEN];
} HotPath;

static void
slot_name(char name[4], unsigned devfn)
{
    g_snprintf(name, 4, "S%02X", devfn);
}

static void
slot_eject(Aml *aml, const PciBus *bus, unsigned slot)
{
    aml_name(aml, "_SUN");
    aml_integer(aml, slot);
    aml_method(aml, "_EJ0", 1, false);
    aml_path(aml, "\\_SB.PCI0.PCEJ");
    aml_integer(aml, bus->hotplug_number - 1);
    aml_integer(aml, slot);
    aml_close(aml);
}

/* The objects of a bus at @path; buses that can change are appended to @list. Root's lock held. */
static void
bus_objects(Aml *aml, const PciBus *bus, const char *path, unsigned depth, GArray *list)
{
    uint32_t slots = acpi_pci_hotplug_slots(bus);
    HotPath hot = { .bus = bus };

    g_strlcpy(hot.path, path, sizeof(hot.path));
    g_array_append_val(list, hot);
    for (unsigned i = 0; i < G_N_ELEMENTS(bus->devices); i++) {
        const PciBus *behind = bus->devices[i] ? bus->devices[i]->secondary : NULL;
        bool changes = PCI_FUNCTION(i) == 0 && (slots & 1u << PCI_SLOT(i));
        g_autofree char *below = NULL;
        char name[4];

        if (behind && (!behind->hotplug_number || depth == BUS_DEPTH))
            behind = NULL;
        if (!changes && !behind)
            continue;
        slot_name(name, i);
        aml_device(aml, name);
        aml_name(aml, "_ADR");
        aml_integer(aml, PCI_SLOT(i) << 16 | PCI_FUNCTION(i));
        if (changes)
            slot_eject(aml, bus, PCI_SLOT(i));
        below = g_strdup_printf("%s.%s", path, name);
        if (behind)
            bus_objects(aml, behind, below, depth + 1, list);
        aml_close(aml);
    }
}

/* Tells the object @path when bit @slot of the local variable @local is set. */
static void
event_slot(Aml *aml, unsigned local, unsigned slot, const char *path, unsigned value)
{
    aml_if(aml);
    aml_op(aml, AML_AND);
    aml_local(aml, local);
    aml_integer(aml, 1u << slot);
    aml_no_target(aml);
    aml_op(aml, AML_NOTIFY);
    aml_path(aml, path);
    aml_integer(aml, value);
    aml_close(aml);
}

static void
event_bus(Aml *aml, const HotPath *hot)
{
    uint32_t slots = acpi_pci_hotplug_slots(hot->bus);

    aml_op(aml, AML_STORE);
    aml_integer(aml, hot->bus->hotplug_number - 1);
    aml_path(aml, "\\_SB.PCI0.BNUM");
    aml_op(aml, AML_STORE);
    aml_path(aml, "\\_SB.PCI0.PCIU");
    aml_local(aml, 0);
    aml_op(aml, AML_STORE);
    aml_path(aml, "\\_SB.PCI0.PCID");
    aml_local(aml, 1);
    for (unsigned slot = 0; slot < 32; slot++) {
        g_autofree char *path = NULL;
        char name[4];

        if (!(slots & 1u << slot))
            continue;
        slot_name(name, PCI_DEVFN(slot, 0));
        path = g_strdup_printf("%s.%s", hot->path, name);
        event_slot(aml, 0, slot, path, NOTIFY_CHECK);
        event_slot(aml, 1, slot, path, NOTIFY_EJECT);
    }
}

static void
registers(Aml *aml)
{
    static const char *const fields[] = { "PCIU", "PCID", "B0EJ", NULL, "BNUM" };

    aml_device(aml, "PHPR");
    aml_name(aml, "_HID");
    aml_eisa_id(aml, "PNP0A06");
    aml_name(aml, "_UID");
    aml_string(aml, "PCI hot plug");
    aml_name(aml, "_STA");
    aml_integer(aml, 0x0b);
    aml_name(aml, "_CRS");
    aml_resources(aml);
    aml_io(aml, ACPI_PCI_HOTPLUG_PORT, ACPI_PCI_HOTPLUG_SIZE);
    aml_close(aml);
    aml_close(aml);
    aml_io_region(aml, "PCST", ACPI_PCI_HOTPLUG_PORT, ACPI_PCI_HOTPLUG_SIZE);
    aml_dword_fields(aml, "PCST", fields, G_N_ELEMENTS(fields));
    /* Two registers are used as one: which bus, then what of it. */
    aml_mutex(aml, "BLCK");
    aml_method(aml, "PCEJ", 2, false);
    aml_acquire(aml, "BLCK");
    aml_op(aml, AML_STORE);
    aml_arg(aml, 0);
    aml_path(aml, "BNUM");
    aml_op(aml, AML_SHIFT_LEFT);
    aml_integer(aml, 1);
    aml_arg(aml, 1);
    aml_path(aml, "B0EJ");
    aml_release(aml, "BLCK");
    aml_close(aml);
}

void
acpi_dsdt_hotplug(Aml *aml, Machine *machine)
{
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(HotPath));

    if (!machine->pci->bus.hotplug_number)
        return;
    aml_scope(aml, "\\_SB.PCI0");
    registers(aml);
    g_mutex_lock(&machine->pci->lock);
    bus_objects(aml, &machine->pci->bus, "\\_SB.PCI0", 0, list);
    aml_close(aml);
    aml_method(aml, "\\_GPE._E01", 0, false);
    aml_acquire(aml, "\\_SB.PCI0.BLCK");
    for (guint i = 0; i < list->len; i++)
        event_bus(aml, &g_array_index(list, HotPath, i));
    aml_release(aml, "\\_SB.PCI0.BLCK");
    aml_close(aml);
    g_mutex_unlock(&machine->pci->lock);
}
