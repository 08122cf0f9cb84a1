/* build.c - laying out the ACPI tables in guest RAM (ACPI 6.4, section 5.2).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/acpi/build.h"

#include "hw/core/bytes.h"
#include "util/error.h"

#include <string.h>

enum {
    RSDP_SIZE = 36,
    RSDP_FIRST_SIZE = 20,
    FACS_SIZE = 64,
    HEAD_SIZE = 36,
    HEAD_LENGTH = 4,
    HEAD_CHECKSUM = 9,
    TABLES_MAX = 8,
};

typedef struct {
    GByteArray *out;
    uint64_t base;               /* address of the first byte */
    uint64_t listed[TABLES_MAX]; /* addresses that the XSDT names */
    unsigned n_listed;
} Layout;

static void
layout_zeroes(Layout *layout, guint n)
{
    guint old = layout->out->len;

    g_byte_array_set_size(layout->out, old + n);
    memset(layout->out->data + old, 0, n);
}

static void
layout_align(Layout *layout, guint align)
{
    layout_zeroes(layout, -layout->out->len & (align - 1));
}

static void
layout_sum(uint8_t *bytes, size_t len, size_t checksum)
{
    uint8_t sum = 0;

    bytes[checksum] = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[checksum] = (uint8_t)-sum;
}

/* Begins a table; its body is appended to layout->out. Returns its offset for layout_end(). */
static guint
layout_begin(Layout *layout, const char *signature, uint8_t revision)
{
    uint8_t head[HEAD_SIZE] = { 0 };
    guint at;

    layout_align(layout, 16);
    at = layout->out->len;
    memcpy(head, signature, 4);
    head[8] = revision;
    memcpy(head + 10, "KILN  ", 6);
    memcpy(head + 16, "KILN-Q35", 8);
    bytes_store(head + 24, 1, 4);
    memcpy(head + 28, "KILN", 4);
    bytes_store(head + 32, 1, 4);
    g_byte_array_append(layout->out, head, sizeof(head));
    return at;
}

static uint64_t
layout_end(Layout *layout, guint at, bool listed)
{
    uint8_t *table = layout->out->data + at;
    guint len = layout->out->len - at;

    bytes_store(table + HEAD_LENGTH, len, 4);
    layout_sum(table, len, HEAD_CHECKSUM);
    if (listed)
        layout->listed[layout->n_listed++] = layout->base + at;
    return layout->base + at;
}

static uint64_t
layout_facs(Layout *layout)
{
    guint at;

    layout_align(layout, 64);
    at = layout->out->len;
    layout_zeroes(layout, FACS_SIZE);
    memcpy(layout->out->data + at, "FACS", 4);
    bytes_store(layout->out->data + at + 4, FACS_SIZE, 4);
    layout->out->data[at + 32] = 2; /* version */
    return layout->base + at;
}

/* RSDT or XSDT. */
static uint64_t
layout_root(Layout *layout, const char *signature, unsigned entry)
{
    guint at = layout_begin(layout, signature, 1);

    for (unsigned i = 0; i < layout->n_listed; i++) {
        uint8_t address[8];

        bytes_store(address, layout->listed[i], entry);
        g_byte_array_append(layout->out, address, entry);
    }
    return layout_end(layout, at, false);
}

static void
layout_rsdp(Layout *layout, uint64_t rsdt, uint64_t xsdt)
{
    uint8_t *rsdp = layout->out->data;

    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "KILN  ", 6);
    rsdp[15] = 2;
    bytes_store(rsdp + 16, rsdt, 4);
    bytes_store(rsdp + 20, RSDP_SIZE, 4);
    bytes_store(rsdp + 24, xsdt, 8);
    layout_sum(rsdp, RSDP_FIRST_SIZE, 8);
    layout_sum(rsdp, RSDP_SIZE, 32);
}

bool
acpi_build(Machine *machine, const PciWindows *windows, uint64_t base, uint64_t size,
           uint64_t *ret_rsdp, GError **err)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    Layout layout = { .out = out, .base = base };
    const MachineConfig *config = &machine->config;
    uint64_t facs, dsdt, rsdt, xsdt;
    guint at;

    layout_zeroes(&layout, RSDP_SIZE);
    facs = layout_facs(&layout);
    at = layout_begin(&layout, "DSDT", 2);
    acpi_dsdt(machine, windows, out);
    dsdt = layout_end(&layout, at, false);
    at = layout_begin(&layout, "FACP", 6);
    acpi_fadt(!machine->config.no_i8042, facs, dsdt, out);
    layout_end(&layout, at, true);
    at = layout_begin(&layout, "APIC", 4);
    acpi_madt(config, out);
    layout_end(&layout, at, true);
    at = layout_begin(&layout, "MCFG", 1);
    acpi_mcfg(out);
    layout_end(&layout, at, true);
    if (config->n_nodes > 0) {
        at = layout_begin(&layout, "SRAT", 3);
        acpi_srat(config, out);
        layout_end(&layout, at, true);
        at = layout_begin(&layout, "SLIT", 1);
        acpi_slit(config, out);
        layout_end(&layout, at, true);
    }
    at = layout_begin(&layout, "WAET", 1);
    acpi_waet(out);
    layout_end(&layout, at, true);
    rsdt = layout_root(&layout, "RSDT", 4);
    xsdt = layout_root(&layout, "XSDT", 8);
    layout_rsdp(&layout, rsdt, xsdt);

    if (out->len > size)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "the ACPI tables take %u bytes, %" G_GUINT64_FORMAT
                              " are kept for them: use fewer CPUs or nodes",
                              out->len, size);
    if (guest_memory_write(machine->memory, base, out->data, out->len) < 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "there is no RAM at 0x%" G_GINT64_MODIFIER "x for the ACPI tables",
                              base);
    *ret_rsdp = base;
    return true;
}
