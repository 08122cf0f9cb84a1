/* dsdt_cpus.c - processors in the DSDT, and the methods by which they come and go (ACPI 6.4,
 * section 8.4, and 6.3 for _EJ0 and _OST). The registers behind the methods are those of
 * cpu_hotplug.c.
 *
 * Leaves out: power states other than C1, which needs no object, and throttling.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/acpi/aml.h"
#include "hw/acpi/build.h"
#include "hw/acpi/cpu_hotplug.h"

enum {
    STATUS_THERE = 0x0f,
    NOTIFY_CHECK = 1,
    NOTIFY_EJECT = 3,
    COMMAND_NEXT = 0,
    COMMAND_EVENT = 1,
    COMMAND_STATUS = 2,
    NAME_SIZE = 5,
};

static const char lock[] = "MUTX";

static void
cpus_name(char name[NAME_SIZE], uint32_t index)
{
    g_snprintf(name, NAME_SIZE, "C%03X", index & 0xfff);
}

static void
cpus_store(Aml *aml, uint64_t value, const char *field)
{
    aml_op(aml, AML_STORE);
    aml_integer(aml, value);
    aml_path(aml, field);
}

static void
cpus_store_arg(Aml *aml, unsigned arg, const char *field)
{
    aml_op(aml, AML_STORE);
    aml_arg(aml, arg);
    aml_path(aml, field);
}

static void
cpus_registers(Aml *aml, uint16_t port)
{
    static const AmlField bytes[] = { { NULL, 32 },  { "HERE", 1 }, { "COME", 1 }, { "GOES", 1 },
                                      { "EJEC", 1 }, { NULL, 4 },   { "CMND", 8 } };
    static const AmlField words[] = { { "SELE", 32 }, { NULL, 32 }, { "DATA", 32 } };

    aml_mutex(aml, lock);
    aml_io_region(aml, "REGS", port, CPU_HOTPLUG_SIZE);
    aml_bit_fields(aml, "REGS", 1, bytes, G_N_ELEMENTS(bytes));
    aml_bit_fields(aml, "REGS", 4, words, G_N_ELEMENTS(words));
}

/* A method whose first argument is the processor that the registers are then about, of which it has
 * the use until its end. */
static void
cpus_begin(Aml *aml, const char *name, unsigned arguments)
{
    aml_method(aml, name, arguments, true);
    aml_acquire(aml, lock);
    cpus_store_arg(aml, 0, "SELE");
}

static void
cpus_end(Aml *aml)
{
    aml_release(aml, lock);
    aml_close(aml);
}

/* STAT (processor): its _STA. */
static void
cpus_status(Aml *aml)
{
    cpus_begin(aml, "STAT", 1);
    aml_op(aml, AML_STORE);
    aml_integer(aml, 0);
    aml_local(aml, 0);
    aml_if(aml);
    aml_path(aml, "HERE");
    aml_op(aml, AML_STORE);
    aml_integer(aml, STATUS_THERE);
    aml_local(aml, 0);
    aml_close(aml);
    aml_release(aml, lock);
    aml_op(aml, AML_RETURN);
    aml_local(aml, 0);
    aml_close(aml);
}

/* EJCT (processor): its _EJ0. */
static void
cpus_eject(Aml *aml)
{
    cpus_begin(aml, "EJCT", 1);
    cpus_store(aml, 1, "EJEC");
    cpus_end(aml);
}

/* OSTA (processor, event, status): its _OST. */
static void
cpus_ost(Aml *aml)
{
    cpus_begin(aml, "OSTA", 3);
    cpus_store(aml, COMMAND_EVENT, "CMND");
    cpus_store_arg(aml, 1, "DATA");
    cpus_store(aml, COMMAND_STATUS, "CMND");
    cpus_store_arg(aml, 2, "DATA");
    cpus_end(aml);
}

/* TELL (processor, value): Notify of that processor's object. */
static void
cpus_notify(Aml *aml, uint32_t n)
{
    aml_method(aml, "TELL", 2, false);
    for (uint32_t i = 0; i < n; i++) {
        char name[NAME_SIZE];

        cpus_name(name, i);
        aml_if(aml);
        aml_op(aml, AML_LEQUAL);
        aml_arg(aml, 0);
        aml_integer(aml, i);
        aml_op(aml, AML_NOTIFY);
        aml_path(aml, name);
        aml_arg(aml, 1);
        aml_close(aml);
    }
    aml_close(aml);
}

/* The part of SCAN for processors with @flag: tells, then clears the flag and goes on looking. */
static void
cpus_scan_for(Aml *aml, const char *flag, unsigned value)
{
    aml_if(aml);
    aml_path(aml, flag);
    aml_path(aml, "TELL");
    aml_path(aml, "DATA");
    aml_integer(aml, value);
    cpus_store(aml, 1, flag);
    aml_op(aml, AML_STORE);
    aml_integer(aml, 1);
    aml_local(aml, 0);
    aml_close(aml);
}

/* SCAN: tells of every processor that has news. */
static void
cpus_scan(Aml *aml)
{
    aml_method(aml, "SCAN", 0, true);
    aml_acquire(aml, lock);
    cpus_store(aml, 0, "SELE");
    aml_op(aml, AML_STORE);
    aml_integer(aml, 1);
    aml_local(aml, 0);
    aml_while(aml);
    aml_local(aml, 0);
    {
        aml_op(aml, AML_STORE);
        aml_integer(aml, 0);
        aml_local(aml, 0);
        cpus_store(aml, COMMAND_NEXT, "CMND");
        cpus_scan_for(aml, "COME", NOTIFY_CHECK);
        cpus_scan_for(aml, "GOES", NOTIFY_EJECT);
    }
    aml_close(aml);
    aml_release(aml, lock);
    aml_close(aml);
}

static void
cpus_hotplug_methods(Aml *aml, const MachineConfig *config, uint32_t index)
{
    g_autoptr(GByteArray) madt = g_byte_array_new();

    acpi_madt_cpu(config, index, true, madt);
    aml_name(aml, "_MAT");
    aml_buffer(aml, madt->data, madt->len);
    aml_method(aml, "_STA", 0, true);
    aml_op(aml, AML_RETURN);
    aml_path(aml, "STAT");
    aml_integer(aml, index);
    aml_close(aml);
    aml_method(aml, "_OST", 3, true);
    aml_path(aml, "OSTA");
    aml_integer(aml, index);
    aml_arg(aml, 0);
    aml_arg(aml, 1);
    aml_close(aml);
    if (index == 0)
        return;
    aml_method(aml, "_EJ0", 1, true);
    aml_path(aml, "EJCT");
    aml_integer(aml, index);
    aml_close(aml);
}

void
acpi_dsdt_cpus(Aml *aml, Machine *machine)
{
    const MachineConfig *config = &machine->config;
    uint16_t port = cpu_hotplug_port(machine);

    aml_device(aml, "CPUS");
    aml_name(aml, "_HID");
    aml_string(aml, "ACPI0010");
    aml_name(aml, "_CID");
    aml_eisa_id(aml, "PNP0A05");
    if (port) {
        cpus_registers(aml, port);
        cpus_status(aml);
        cpus_eject(aml);
        cpus_ost(aml);
    }
    for (uint32_t i = 0; i < config->max_cpus; i++) {
        char name[NAME_SIZE];

        cpus_name(name, i);
        aml_device(aml, name);
        aml_name(aml, "_HID");
        aml_string(aml, "ACPI0007");
        aml_name(aml, "_UID");
        aml_integer(aml, i);
        if (config->n_nodes > 0) {
            aml_name(aml, "_PXM");
            aml_integer(aml, config->cpus[i].node);
        }
        if (port)
            cpus_hotplug_methods(aml, config, i);
        aml_close(aml);
    }
    if (port) {
        cpus_notify(aml, config->max_cpus);
        cpus_scan(aml);
    }
    aml_close(aml);
    if (!port)
        return;
    aml_method(aml, "\\_GPE._E02", 0, false);
    aml_path(aml, "\\_SB.CPUS.SCAN");
    aml_close(aml);
}
