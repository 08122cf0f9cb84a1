/* dsdt.c - the DSDT: host bridge, interrupt routing, ISA devices, power off (ACPI 6.4; PCI Firmware
 * 3.2, section 4.5 for _OSC); processors are in dsdt_cpus.c.
 *
 * Leaves out: S1 and S2.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/acpi/aml.h"
#include "hw/acpi/build.h"
#include "hw/acpi/cpu_hotplug.h"
#include "hw/acpi/pci_hotplug.h"
#include "hw/acpi/pm.h"
#include "hw/firmware/vmgenid.h"
#include "hw/isa/pvpanic.h"
#include "hw/isa/parallel.h"
#include "hw/isa/serial.h"
#include "hw/pci/board.h"

enum {
    OSC_HOTPLUG = 0x01,
    OSC_PME = 0x04,
    OSC_AER = 0x08,
    OSC_EXPRESS_CAPABILITY = 0x10, /* control bits granted */
    OSC_UNKNOWN_UUID = 0x04,
    OSC_UNKNOWN_REVISION = 0x08,
    OSC_CAPABILITIES_MASKED = 0x10,
    PIRQ_REGISTER = 0x60, /* of both south bridges */
    PIRQ_REGISTERS = 12,  /* bytes; four of them with four PIRQs */
};

static void
dsdt_host_crs(Aml *aml, const PciWindows *w)
{
    aml_name(aml, "_CRS");
    aml_resources(aml);
    aml_bus_range(aml, 0, 255);
    aml_io(aml, 0xcf8, 8);
    aml_io_range(aml, 0x0000, 0x0cf7);
    aml_io_range(aml, 0x0d00, 0xffff);
    aml_memory_range32(aml, (uint32_t)w->mem32_base, (uint32_t)(w->mem32_end - 1));
    if (w->mem64_base)
        aml_memory_range64(aml, w->mem64_base, w->mem64_end - 1);
    aml_close(aml);
}

/* Grants what the root ports do by themselves: hot plug, PME, errors and their capability
 * structure. */
static void
dsdt_host_osc(Aml *aml)
{
    static const uint8_t uuid[16] = { 0x33, 0xdb, 0x4d, 0x5b, 0x1f, 0xf7, 0x40, 0x1c,
                                      0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66 };

    aml_method(aml, "_OSC", 4, true);
    aml_op(aml, AML_CREATE_DWORD_FIELD);
    aml_arg(aml, 3);
    aml_integer(aml, 0);
    aml_path(aml, "CDW1");
    aml_if(aml);
    aml_op(aml, AML_LEQUAL);
    aml_arg(aml, 0);
    aml_uuid(aml, uuid);
    {
        aml_op(aml, AML_CREATE_DWORD_FIELD);
        aml_arg(aml, 3);
        aml_integer(aml, 8);
        aml_path(aml, "CDW3");
        aml_op(aml, AML_AND);
        aml_path(aml, "CDW3");
        aml_integer(aml, OSC_HOTPLUG | OSC_PME | OSC_AER | OSC_EXPRESS_CAPABILITY);
        aml_local(aml, 0);
        aml_if(aml);
        aml_op(aml, AML_LNOT);
        aml_op(aml, AML_LEQUAL);
        aml_arg(aml, 1);
        aml_integer(aml, 1);
        {
            aml_op(aml, AML_OR);
            aml_path(aml, "CDW1");
            aml_integer(aml, OSC_UNKNOWN_REVISION);
            aml_path(aml, "CDW1");
        }
        aml_close(aml);
        aml_if(aml);
        aml_op(aml, AML_LNOT);
        aml_op(aml, AML_LEQUAL);
        aml_local(aml, 0);
        aml_path(aml, "CDW3");
        {
            aml_op(aml, AML_OR);
            aml_path(aml, "CDW1");
            aml_integer(aml, OSC_CAPABILITIES_MASKED);
            aml_path(aml, "CDW1");
        }
        aml_close(aml);
        aml_op(aml, AML_STORE);
        aml_local(aml, 0);
        aml_path(aml, "CDW3");
    }
    aml_close(aml);
    aml_else(aml);
    {
        aml_op(aml, AML_OR);
        aml_path(aml, "CDW1");
        aml_integer(aml, OSC_UNKNOWN_UUID);
        aml_path(aml, "CDW1");
    }
    aml_close(aml);
    aml_op(aml, AML_RETURN);
    aml_arg(aml, 3);
    aml_close(aml);
}

/* Every pin of every slot of bus 0: wired to a GSI (APIC), or through a link device (PIC). */
static void
dsdt_host_prt_package(Aml *aml, const Board *board, const char *name, bool apic)
{
    aml_name(aml, name);
    aml_package(aml, 128);
    for (unsigned slot = 0; slot < 32; slot++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            unsigned pirq = board->pirq(slot, pin);
            char link[] = "LNKA";

            link[3] = (char)('A' + pirq);
            aml_package(aml, 4);
            aml_integer(aml, slot << 16 | 0xffff);
            aml_integer(aml, pin);
            if (apic)
                aml_integer(aml, 0);
            else
                aml_path(aml, link);
            aml_integer(aml, apic ? (unsigned)board->pirq_gsi + pirq : 0);
            aml_close(aml);
        }
    }
    aml_close(aml);
}

static void
dsdt_host_prt(Aml *aml, const Board *board)
{
    if (board->pirq_gsi < 0) {
        dsdt_host_prt_package(aml, board, "_PRT", false);
        return;
    }
    dsdt_host_prt_package(aml, board, "PRTP", false);
    dsdt_host_prt_package(aml, board, "PRTA", true);
    aml_method(aml, "_PRT", 0, false);
    aml_if(aml);
    aml_path(aml, "\\PICM");
    aml_op(aml, AML_RETURN);
    aml_path(aml, "PRTA");
    aml_close(aml);
    aml_op(aml, AML_RETURN);
    aml_path(aml, "PRTP");
    aml_close(aml);
}

/* PNP0C0F: one PIRQ's register in the south bridge, bit 7 set when it is routed nowhere. */
static void
dsdt_link(Aml *aml, const Board *board, unsigned n)
{
    static const uint32_t choices[] = { 5, 10, 11 };
    static const uint32_t none[] = { 0 };
    char link[] = "LNKA", field[] = "\\_SB.PCI0.ISA.PRQA";

    link[3] = field[sizeof(field) - 2] = (char)('A' + n);
    aml_device(aml, link);
    aml_name(aml, "_HID");
    aml_eisa_id(aml, "PNP0C0F");
    aml_name(aml, "_UID");
    aml_integer(aml, n);
    aml_name(aml, "_PRS");
    aml_resources(aml);
    aml_interrupt(aml, choices, G_N_ELEMENTS(choices));
    aml_close(aml);

    aml_method(aml, "_STA", 0, false);
    if (board->pirq_gsi >= 0) {
        /* In APIC mode nothing uses the links: the guest need not look at them at all. */
        aml_if(aml);
        aml_path(aml, "\\PICM");
        aml_op(aml, AML_RETURN);
        aml_integer(aml, 0);
        aml_close(aml);
    }
    aml_if(aml);
    aml_op(aml, AML_AND);
    aml_path(aml, field);
    aml_integer(aml, 0x80);
    aml_no_target(aml);
    aml_op(aml, AML_RETURN);
    aml_integer(aml, 0x09);
    aml_close(aml);
    aml_op(aml, AML_RETURN);
    aml_integer(aml, 0x0b);
    aml_close(aml);

    aml_method(aml, "_DIS", 0, false);
    aml_op(aml, AML_OR);
    aml_path(aml, field);
    aml_integer(aml, 0x80);
    aml_path(aml, field);
    aml_close(aml);

    aml_method(aml, "_CRS", 0, true);
    aml_name(aml, "PRR0");
    aml_resources(aml);
    aml_interrupt(aml, none, 1);
    aml_close(aml);
    aml_op(aml, AML_CREATE_DWORD_FIELD);
    aml_path(aml, "PRR0");
    aml_integer(aml, 5); /* of the interrupt number in the descriptor */
    aml_path(aml, "PRRI");
    aml_op(aml, AML_AND);
    aml_path(aml, field);
    aml_integer(aml, 0x0f);
    aml_path(aml, "PRRI");
    aml_op(aml, AML_RETURN);
    aml_path(aml, "PRR0");
    aml_close(aml);

    aml_method(aml, "_SRS", 1, true);
    aml_op(aml, AML_CREATE_DWORD_FIELD);
    aml_arg(aml, 0);
    aml_integer(aml, 5);
    aml_path(aml, "PRRI");
    aml_op(aml, AML_STORE);
    aml_path(aml, "PRRI");
    aml_path(aml, field);
    aml_close(aml);
    aml_close(aml);
}

static void
dsdt_isa_device(Aml *aml, const char *name, const char *hid, unsigned uid, uint16_t port,
                uint8_t ports, unsigned irq)
{
    aml_device(aml, name);
    aml_name(aml, "_HID");
    aml_eisa_id(aml, hid);
    aml_name(aml, "_UID");
    aml_integer(aml, uid);
    aml_name(aml, "_STA");
    aml_integer(aml, 0x0f);
    aml_name(aml, "_CRS");
    aml_resources(aml);
    aml_io(aml, port, ports);
    aml_irq(aml, irq);
    aml_close(aml);
    aml_close(aml);
}

/* Firmware and kernels look for a keyboard controller only where these two are named. */
static void
dsdt_ps2(Aml *aml)
{
    aml_device(aml, "KBD_");
    aml_name(aml, "_HID");
    aml_eisa_id(aml, "PNP0303");
    aml_name(aml, "_STA");
    aml_integer(aml, 0x0f);
    aml_name(aml, "_CRS");
    aml_resources(aml);
    aml_io(aml, 0x60, 1);
    aml_io(aml, 0x64, 1);
    aml_irq(aml, 1);
    aml_close(aml);
    aml_close(aml);
    aml_device(aml, "MOU_");
    aml_name(aml, "_HID");
    aml_eisa_id(aml, "PNP0F13");
    aml_name(aml, "_STA");
    aml_integer(aml, 0x0f);
    aml_name(aml, "_CRS");
    aml_resources(aml);
    aml_irq(aml, 12);
    aml_close(aml);
    aml_close(aml);
}

static void
dsdt_pvpanic(Aml *aml, uint16_t port)
{
    aml_device(aml, "PEVT");
    aml_name(aml, "_HID");
    aml_string(aml, "QEMU0001");
    aml_name(aml, "_STA");
    aml_integer(aml, 0x0b);
    aml_name(aml, "_CRS");
    aml_resources(aml);
    aml_io(aml, port, 1);
    aml_close(aml);
    aml_close(aml);
}

static void
dsdt_isa(Aml *aml, Machine *machine)
{
    static const char *const fields[PIRQ_REGISTERS] = { "PRQA", "PRQB", "PRQC", "PRQD",
                                                        NULL,   NULL,   NULL,   NULL,
                                                        "PRQE", "PRQF", "PRQG", "PRQH" };
    unsigned n_registers = machine->board->n_pirqs > 4 ? PIRQ_REGISTERS : 4;

    aml_device(aml, "ISA_");
    aml_name(aml, "_ADR");
    aml_integer(aml, PCI_SLOT(machine->board->isa_devfn) << 16);
    aml_pci_region(aml, "PIRQ", PIRQ_REGISTER, n_registers);
    aml_byte_fields(aml, "PIRQ", fields, n_registers);
    dsdt_isa_device(aml, "RTC_", "PNP0B00", 0, 0x70, 2, 8);
    if (!machine->config.no_i8042)
        dsdt_ps2(aml);
    g_mutex_lock(&machine->devices_lock);
    for (guint i = 0; i < machine->devices->len; i++) {
        const Device *dev = g_ptr_array_index(machine->devices, i);
        char name[] = "COM1", printer[] = "LPT1";
        uint16_t panic_port;
        ParallelPort parallel;
        SerialPort port;

        if (pvpanic_port(dev, &panic_port))
            dsdt_pvpanic(aml, panic_port);
        if (parallel_port(dev, &parallel)) {
            printer[3] = (char)('1' + parallel.index);
            dsdt_isa_device(aml, printer, "PNP0400", parallel.index + 1, parallel.iobase, 3,
                            parallel.irq);
        }
        if (!serial_port(dev, &port))
            continue;
        name[3] = (char)('1' + port.index);
        dsdt_isa_device(aml, name, "PNP0501", port.index + 1, port.iobase, 8, port.irq);
    }
    g_mutex_unlock(&machine->devices_lock);
    aml_close(aml);
}

/* Address space that belongs to the board: a kernel trusts the ECAM only when it is reserved. */
static void
dsdt_board(Aml *aml, Machine *machine)
{
    uint16_t pm = board_pm_base(machine);
    const AcpiPm *regs = machine->board->pm(machine);

    aml_device(aml, "MBRD");
    aml_name(aml, "_HID");
    aml_eisa_id(aml, "PNP0C02");
    aml_name(aml, "_UID");
    aml_integer(aml, 1);
    aml_name(aml, "_CRS");
    aml_resources(aml);
    if (machine->board->express) {
        aml_memory_fixed(aml, (uint32_t)board_ecam(machine), BOARD_ECAM_SIZE);
        aml_memory_fixed(aml, 0xfed1c000, 0x4000);
    }
    /* All of the ICH9's window (section 13.8.3): a kernel takes a part of it for a conflict. */
    aml_io(aml, pm, machine->board->express ? 128 : (uint8_t)regs->region.size);
    if (regs->gpe_port)
        aml_io(aml, regs->gpe_port, regs->gpe_size);
    if (cpu_hotplug_port(machine))
        aml_io(aml, cpu_hotplug_port(machine), CPU_HOTPLUG_SIZE);
    aml_io(aml, 0x510, 12);
    aml_close(aml);
    aml_close(aml);
}

static void
dsdt_hpet(Aml *aml)
{
    aml_device(aml, "HPET");
    aml_name(aml, "_HID");
    aml_eisa_id(aml, "PNP0103");
    aml_name(aml, "_UID");
    aml_integer(aml, 0);
    aml_name(aml, "_CRS");
    aml_resources(aml);
    aml_memory_fixed(aml, 0xfed00000, 0x400);
    aml_close(aml);
    aml_close(aml);
}

static void
dsdt_sleep_state(Aml *aml, const char *name, unsigned type)
{
    aml_name(aml, name);
    aml_package(aml, 4);
    aml_integer(aml, type);
    aml_integer(aml, type);
    aml_integer(aml, 0);
    aml_integer(aml, 0);
    aml_close(aml);
}

static void
dsdt_host(Aml *aml, Machine *machine)
{
    PciWindows windows;

    board_windows(machine, &windows);
    aml_device(aml, "PCI0");
    aml_name(aml, "_HID");
    aml_eisa_id(aml, machine->board->express ? "PNP0A08" : "PNP0A03");
    if (machine->board->express) {
        aml_name(aml, "_CID");
        aml_eisa_id(aml, "PNP0A03");
    }
    aml_name(aml, "_UID");
    aml_integer(aml, 0);
    aml_name(aml, "_BBN");
    aml_integer(aml, 0);
    dsdt_host_crs(aml, &windows);
    if (machine->board->express)
        dsdt_host_osc(aml);
    dsdt_isa(aml, machine);
    aml_close(aml);
}

/* The generation identifier: ADDR gives its address, the event says that it has changed. Returns
 * where the address of its page goes. */
static guint
dsdt_vmgenid(Aml *aml)
{
    guint at;

    /* Outside of all that has a length, whose closing would move it. */
    aml_name(aml, "\\VGIA");
    at = aml_pointer(aml);
    aml_device(aml, "\\_SB.VGEN");
    aml_name(aml, "_HID");
    aml_string(aml, "KILN0001");
    aml_name(aml, "_CID");
    aml_string(aml, "VM_Gen_Counter");
    aml_name(aml, "_DDN");
    aml_string(aml, "VM_Gen_Counter");
    aml_method(aml, "ADDR", 0, true);
    aml_op(aml, AML_STORE);
    aml_package(aml, 2);
    aml_integer(aml, 0);
    aml_integer(aml, 0);
    aml_close(aml);
    aml_local(aml, 0);
    aml_op(aml, AML_STORE);
    aml_op(aml, AML_ADD);
    aml_path(aml, "\\VGIA");
    aml_integer(aml, VMGENID_OFFSET);
    aml_no_target(aml);
    aml_op(aml, AML_INDEX);
    aml_local(aml, 0);
    aml_integer(aml, 0);
    aml_no_target(aml);
    aml_op(aml, AML_RETURN);
    aml_local(aml, 0);
    aml_close(aml);
    aml_close(aml);

    aml_method(aml, "\\_GPE._E05", 0, false);
    aml_op(aml, AML_NOTIFY);
    aml_path(aml, "\\_SB.VGEN");
    aml_integer(aml, 0x80);
    aml_close(aml);
    return at;
}

guint
acpi_dsdt(Machine *machine, GByteArray *out)
{
    bool vmgenid;
    const MachineConfig *config = &machine->config;
    Aml aml = { .out = out };

    aml_name(&aml, "\\PICM");
    aml_integer(&aml, 0);
    aml_method(&aml, "\\_PIC", 1, false);
    aml_op(&aml, AML_STORE);
    aml_arg(&aml, 0);
    aml_path(&aml, "\\PICM");
    aml_close(&aml);

    aml_scope(&aml, "\\_SB");
    acpi_dsdt_cpus(&aml, machine);
    dsdt_host(&aml, machine);
    for (unsigned i = 0; i < machine->board->n_pirqs; i++)
        dsdt_link(&aml, machine->board, i);
    dsdt_board(&aml, machine);
    if (config->hpet)
        dsdt_hpet(&aml);
    aml_close(&aml);
    aml_scope(&aml, "\\_SB.PCI0");
    dsdt_host_prt(&aml, machine->board);
    aml_close(&aml);
    acpi_dsdt_hotplug(&aml, machine);

    if (config->s3)
        dsdt_sleep_state(&aml, "\\_S3", ACPI_SLEEP_TYPE_S3);
    if (config->s4)
        dsdt_sleep_state(&aml, "\\_S4", ACPI_SLEEP_TYPE_S4);
    dsdt_sleep_state(&aml, "\\_S5", ACPI_SLEEP_TYPE_OFF);
    g_mutex_lock(&machine->devices_lock);
    vmgenid = vmgenid_find(machine) != NULL;
    g_mutex_unlock(&machine->devices_lock);
    return vmgenid ? dsdt_vmgenid(&aml) : 0;
}
