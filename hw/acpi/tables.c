/* tables.c - the ACPI tables that are not AML: FADT, MADT, HPET, MCFG, SRAT, SLIT, WAET.
 *
 * ACPI 6.4, chapter 5; PCI Firmware 3.2, section 4.1.2; Windows ACPI Emulated Devices Table 1.0.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/acpi/build.h"
#include "hw/acpi/pm.h"
#include "hw/core/bytes.h"
#include "hw/pci/board.h"

enum {
    HEAD = 36, /* offsets in the FADT count the head, @out begins behind it */
    FADT_SIZE = 276,
    FADT_WBINVD = 1 << 0,
    FADT_C1 = 1 << 2,
    FADT_NO_SLEEP_BUTTON = 1 << 5,
    FADT_RTC_NOT_FIXED = 1 << 6,
    FADT_RESET_REGISTER = 1 << 10,
    FADT_PLATFORM_CLOCK = 1 << 15,
    BOOT_LEGACY_DEVICES = 1 << 0,
    BOOT_8042 = 1 << 1,
    BOOT_NO_VGA = 1 << 2,
    GAS_IO = 1,
    RESET_PORT = 0xcf9,
    RESET_VALUE = 0x0e,
    LAPIC_BASE = 0xfee00000u,
    IOAPIC_BASE = 0xfec00000u,
    HPET_BASE = 0xfed00000u,
    MADT_LAPIC = 0,
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_LAPIC_NMI = 4,
    MADT_X2APIC = 9,
    MADT_X2APIC_NMI = 10,
    CPU_ENABLED = 1,
    CPU_ONLINE_CAPABLE = 2,
    LAST_LAPIC_ID = 254,
    POLARITY_HIGH = 1,
    TRIGGER_LEVEL = 3 << 2,
    SRAT_LAPIC = 0,
    SRAT_MEMORY = 1,
    SRAT_X2APIC = 2,
    WAET_PM_TIMER_GOOD = 1 << 1,
};

static void
put(GByteArray *out, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    bytes_store(bytes, value, size);
    g_byte_array_append(out, bytes, size);
}

static void
put_io_register(uint8_t *at, uint64_t port, unsigned bits, unsigned access)
{
    at[0] = GAS_IO;
    at[1] = (uint8_t)bits;
    at[2] = 0;
    at[3] = (uint8_t)access; /* 1 byte, 2 word, 3 dword */
    bytes_store(at + 4, port, 8);
}

static void
fadt_vga_visit(PciDevice *dev, void *opaque)
{
    if (pci_config_get(dev, PCI_CLASS_DEVICE, 2) == PCI_CLASS_VGA)
        *(bool *)opaque = true;
}

/* What a kernel need not look for. */
static unsigned
fadt_boot_flags(Machine *machine)
{
    unsigned flags = BOOT_LEGACY_DEVICES;
    bool vga = false;

    g_mutex_lock(&machine->pci->lock);
    pci_visit(machine->pci, fadt_vga_visit, &vga);
    g_mutex_unlock(&machine->pci->lock);
    if (!vga)
        flags |= BOOT_NO_VGA;
    return machine->config.no_i8042 ? flags : flags | BOOT_8042;
}

void
acpi_fadt(Machine *machine, GByteArray *out)
{
    uint8_t t[FADT_SIZE] = { 0 };
    const AcpiPm *pm = machine->board->pm(machine);
    uint16_t base = board_pm_base(machine), gpe = acpi_pm_gpe_port(pm, base);

    bytes_store(t + 46, ACPI_SCI_IRQ, 2);
    bytes_store(t + 56, base + ACPI_PM1_EVENT, 4);
    bytes_store(t + 64, base + ACPI_PM1_CONTROL, 4);
    bytes_store(t + 76, base + ACPI_PM_TIMER, 4);
    bytes_store(t + 80, gpe, 4);
    t[88] = 4; /* lengths of the blocks above */
    t[89] = 2;
    t[91] = 4;
    t[92] = pm->gpe_size;
    bytes_store(t + 96, 0xfff, 2); /* no C2, no C3 */
    bytes_store(t + 98, 0xfff, 2);
    t[108] = 0x32; /* century byte of the RTC */
    bytes_store(t + 109, fadt_boot_flags(machine), 2);
    bytes_store(t + 112,
                FADT_WBINVD | FADT_C1 | FADT_NO_SLEEP_BUTTON | FADT_RTC_NOT_FIXED |
                    FADT_RESET_REGISTER | FADT_PLATFORM_CLOCK,
                4);
    put_io_register(t + 116, RESET_PORT, 8, 1);
    t[128] = RESET_VALUE;
    t[131] = 4; /* minor version */
    /* One of each pair only: the 64-bit FACS pointer stays 0, the DSDT's may be given twice. */
    put_io_register(t + 148, base + ACPI_PM1_EVENT, 32, 2);
    put_io_register(t + 172, base + ACPI_PM1_CONTROL, 16, 2);
    put_io_register(t + 208, base + ACPI_PM_TIMER, 32, 3);
    put_io_register(t + 220, gpe, pm->gpe_size * 8u, 1);
    g_byte_array_append(out, t + HEAD, sizeof(t) - HEAD);
}

void
acpi_madt_cpu(const MachineConfig *config, uint32_t uid, bool present, GByteArray *out)
{
    const MachineCpu *cpu = &config->cpus[uid];
    uint32_t flags = present ? CPU_ENABLED : CPU_ONLINE_CAPABLE;

    if (cpu->apic_id <= LAST_LAPIC_ID && uid <= 255) {
        put(out, MADT_LAPIC, 1);
        put(out, 8, 1);
        put(out, uid, 1);
        put(out, cpu->apic_id, 1);
        put(out, flags, 4);
    } else {
        put(out, MADT_X2APIC, 1);
        put(out, 16, 1);
        put(out, 0, 2);
        put(out, cpu->apic_id, 4);
        put(out, flags, 4);
        put(out, uid, 4);
    }
}

static void
madt_override(unsigned irq, unsigned gsi, unsigned flags, GByteArray *out)
{
    put(out, MADT_OVERRIDE, 1);
    put(out, 10, 1);
    put(out, 0, 1);
    put(out, irq, 1);
    put(out, gsi, 4);
    put(out, flags, 2);
}

void
acpi_madt(Machine *machine, GByteArray *out)
{
    static const uint8_t pci_irqs[] = { 5, 10, 11 };
    const MachineConfig *config = &machine->config;
    bool x2apic = false;

    put(out, LAPIC_BASE, 4);
    put(out, 1, 4); /* the 8259s are there */
    for (uint32_t i = 0; i < config->max_cpus; i++) {
        acpi_madt_cpu(config, i, __atomic_load_n(&config->cpus[i].present, __ATOMIC_ACQUIRE), out);
        x2apic |= config->cpus[i].apic_id > LAST_LAPIC_ID;
    }
    put(out, MADT_IOAPIC, 1);
    put(out, 12, 1);
    put(out, 0, 2); /* id, reserved */
    put(out, IOAPIC_BASE, 4);
    put(out, 0, 4); /* first GSI */
    madt_override(0, 2, 0, out);
    madt_override(ACPI_SCI_IRQ, ACPI_SCI_IRQ, POLARITY_HIGH | TRIGGER_LEVEL, out);
    /* Where PCI has no lines of its own it shares these. */
    for (unsigned i = 0; machine->board->pirq_gsi < 0 && i < G_N_ELEMENTS(pci_irqs); i++)
        madt_override(pci_irqs[i], pci_irqs[i], POLARITY_HIGH | TRIGGER_LEVEL, out);
    put(out, MADT_LAPIC_NMI, 1);
    put(out, 6, 1);
    put(out, 0xff, 1); /* all processors */
    put(out, 0, 2);
    put(out, 1, 1); /* LINT1 */
    if (x2apic) {
        put(out, MADT_X2APIC_NMI, 1);
        put(out, 12, 1);
        put(out, 0, 2);
        put(out, UINT32_MAX, 4);
        put(out, 1, 4); /* LINT1, reserved */
    }
}

void
acpi_mcfg(Machine *machine, GByteArray *out)
{
    uint64_t base = board_ecam(machine);

    put(out, 0, 8);
    put(out, base ? base : BOARD_ECAM_BASE, 8);
    put(out, 0, 2); /* segment */
    put(out, 0, 1); /* first bus */
    put(out, 255, 1);
    put(out, 0, 4);
}

/* IA-PC HPET 1.0a, section 3.2.4. */
void
acpi_hpet(GByteArray *out)
{
    put(out, 0x80862201, 4); /* Intel, 64-bit counter, three timers, revision 1 */
    put(out, 0, 1);          /* in memory */
    put(out, 64, 1);
    put(out, 0, 2);
    put(out, HPET_BASE, 8);
    put(out, 0, 1); /* number */
    put(out, 0, 2); /* least tick */
    put(out, 0, 1); /* page protection */
}

static void
srat_cpu(const MachineCpu *cpu, GByteArray *out)
{
    if (cpu->apic_id <= LAST_LAPIC_ID && cpu->node <= 255) {
        put(out, SRAT_LAPIC, 1);
        put(out, 16, 1);
        put(out, cpu->node, 1);
        put(out, cpu->apic_id, 1);
        put(out, 1, 4); /* enabled */
        put(out, 0, 8);
    } else {
        put(out, SRAT_X2APIC, 1);
        put(out, 24, 1);
        put(out, 0, 2);
        put(out, cpu->node, 4);
        put(out, cpu->apic_id, 4);
        put(out, 1, 4);
        put(out, 0, 8);
    }
}

static void
srat_memory(uint32_t node, uint64_t base, uint64_t length, GByteArray *out)
{
    put(out, SRAT_MEMORY, 1);
    put(out, 40, 1);
    put(out, node, 4);
    put(out, 0, 2);
    put(out, base, 8);
    put(out, length, 8);
    put(out, 0, 4);
    put(out, 1, 4); /* enabled */
    put(out, 0, 8);
}

/* Nodes lie in RAM one after another, around the hole below 4 GiB. */
void
acpi_srat(const MachineConfig *config, GByteArray *out)
{
    uint64_t at = 0;

    put(out, 1, 4);
    put(out, 0, 8);
    for (uint32_t i = 0; i < config->max_cpus; i++)
        srat_cpu(&config->cpus[i], out);
    for (uint32_t i = 0; i < config->n_nodes; i++) {
        uint64_t left = config->nodes[i].memory;

        while (left > 0) {
            uint64_t piece = left;

            if (at == config->ram_below_4g)
                at = UINT64_C(4) << 30;
            if (at < config->ram_below_4g)
                piece = MIN(left, config->ram_below_4g - at);
            srat_memory(i, at, piece, out);
            at += piece;
            left -= piece;
        }
    }
}

void
acpi_slit(const MachineConfig *config, GByteArray *out)
{
    put(out, config->n_nodes, 8);
    for (uint32_t i = 0; i < config->n_nodes; i++) {
        for (uint32_t j = 0; j < config->n_nodes; j++)
            put(out,
                config->nodes[i].distances ? config->nodes[i].distances[j]
                : i == j                   ? 10
                                           : 20,
                1);
    }
}

void
acpi_waet(GByteArray *out)
{
    put(out, WAET_PM_TIMER_GOOD, 4);
}
