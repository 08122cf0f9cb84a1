/* build.c - laying out the ACPI tables (ACPI 6.4, section 5.2), in guest RAM or for firmware.
 *
 * The commands for firmware are those of QEMU's table loader: allocate, add pointer, add checksum.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/acpi/build.h"

#include "hw/core/bytes.h"
#include "hw/firmware/vmgenid.h"
#include "hw/pci/board.h"
#include "util/error.h"

#include <string.h>

enum {
    RSDP_SIZE = 36,
    RSDP_FIRST_SIZE = 20,
    RSDP_CHECKSUM = 8,
    RSDP_RSDT = 16,
    RSDP_XSDT = 24,
    RSDP_EXTENDED_CHECKSUM = 32,
    HEAD_SIZE = 36,
    HEAD_LENGTH = 4,
    HEAD_CHECKSUM = 9,
    TABLES_MAX = 12,
    LOADER_COMMAND = 128,
    LOADER_NAME = 56,
    LOADER_ALLOCATE = 1,
    LOADER_ADD_POINTER = 2,
    LOADER_ADD_CHECKSUM = 3,
    LOADER_WRITE_POINTER = 4,
    VMGENID_ALIGN = 4096,
    ZONE_HIGH = 1,
    ZONE_F_SEGMENT = 2,
};

/* A pointer to a table: @size bytes at @at. */
typedef struct {
    guint at;
    unsigned size;
} LayoutPointer;

typedef struct {
    GByteArray *out;
    uint64_t base;            /* address of the first byte */
    guint listed[TABLES_MAX]; /* offsets of the tables that the XSDT names */
    unsigned n_listed;
    GArray *pointers; /* LayoutPointer */
    GArray *sums;     /* guint: offsets of tables */
    guint vmgenid;    /* where the address of its page goes; 0: nowhere */
} Layout;

static void
layout_zeroes(Layout *layout, guint n)
{
    guint old = layout->out->len;

    if (n == 0)
        return;
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
    memcpy(head + 16, "KILN-PC ", 8);
    bytes_store(head + 24, 1, 4);
    memcpy(head + 28, "KILN", 4);
    bytes_store(head + 32, 1, 4);
    g_byte_array_append(layout->out, head, sizeof(head));
    return at;
}

/* Makes the @size bytes at @at point at offset @target. */
static void
layout_point(Layout *layout, guint at, unsigned size, guint target)
{
    LayoutPointer pointer = { at, size };

    bytes_store(layout->out->data + at, layout->base + target, size);
    g_array_append_val(layout->pointers, pointer);
}

/* Ends the table at @at and returns that. */
static guint
layout_end(Layout *layout, guint at, bool listed)
{
    bytes_store(layout->out->data + at + HEAD_LENGTH, layout->out->len - at, 4);
    g_array_append_val(layout->sums, at);
    if (listed)
        layout->listed[layout->n_listed++] = at;
    return at;
}

static guint
layout_facs(Layout *layout)
{
    guint at;

    layout_align(layout, 64);
    at = layout->out->len;
    layout_zeroes(layout, ACPI_FACS_SIZE);
    memcpy(layout->out->data + at, "FACS", 4);
    bytes_store(layout->out->data + at + 4, ACPI_FACS_SIZE, 4);
    layout->out->data[at + 32] = 2; /* version */
    return at;
}

/* RSDT or XSDT. */
static guint
layout_root(Layout *layout, const char *signature, unsigned entry)
{
    guint at = layout_begin(layout, signature, 1);

    for (unsigned i = 0; i < layout->n_listed; i++) {
        guint pointer = layout->out->len;

        layout_zeroes(layout, entry);
        layout_point(layout, pointer, entry, layout->listed[i]);
    }
    return layout_end(layout, at, false);
}

static void
layout_rsdp(uint8_t rsdp[RSDP_SIZE], uint64_t rsdt, uint64_t xsdt)
{
    memset(rsdp, 0, RSDP_SIZE);
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "KILN  ", 6);
    rsdp[15] = 2;
    bytes_store(rsdp + RSDP_RSDT, rsdt, 4);
    bytes_store(rsdp + 20, RSDP_SIZE, 4);
    bytes_store(rsdp + RSDP_XSDT, xsdt, 8);
}

static void
layout_fadt(Layout *layout, Machine *machine, guint facs, guint dsdt)
{
    guint at = layout_begin(layout, "FACP", 6);

    acpi_fadt(machine, layout->out);
    layout_point(layout, at + ACPI_FADT_FACS, 4, facs);
    layout_point(layout, at + ACPI_FADT_DSDT, 4, dsdt);
    layout_point(layout, at + ACPI_FADT_X_DSDT, 8, dsdt);
    layout_end(layout, at, true);
}

/* AML counts from its own beginning: it is made apart. */
static guint
layout_dsdt(Machine *machine, GByteArray *out)
{
    g_autoptr(GByteArray) body = g_byte_array_new();
    guint at = acpi_dsdt(machine, body), base = out->len;

    g_byte_array_append(out, body->data, body->len);
    return at ? base + at : 0;
}

/* All tables but the RSDP, checksums open; gives the offsets of RSDT and XSDT. */
static void
layout_tables(Layout *layout, Machine *machine, guint *ret_rsdt, guint *ret_xsdt)
{
    const MachineConfig *config = &machine->config;
    GByteArray *out = layout->out;
    guint facs = layout_facs(layout), dsdt, at;

    at = layout_begin(layout, "DSDT", 2);
    layout->vmgenid = layout_dsdt(machine, out);
    dsdt = layout_end(layout, at, false);
    layout_fadt(layout, machine, facs, dsdt);
    at = layout_begin(layout, "APIC", 4);
    acpi_madt(machine, out);
    layout_end(layout, at, true);
    if (config->hpet) {
        at = layout_begin(layout, "HPET", 1);
        acpi_hpet(out);
        layout_end(layout, at, true);
    }
    if (machine->board->express) {
        at = layout_begin(layout, "MCFG", 1);
        acpi_mcfg(machine, out);
        layout_end(layout, at, true);
    }
    if (config->n_nodes > 0) {
        at = layout_begin(layout, "SRAT", 3);
        acpi_srat(config, out);
        layout_end(layout, at, true);
        at = layout_begin(layout, "SLIT", 1);
        acpi_slit(config, out);
        layout_end(layout, at, true);
    }
    at = layout_begin(layout, "WAET", 1);
    acpi_waet(out);
    layout_end(layout, at, true);
    *ret_rsdt = layout_root(layout, "RSDT", 4);
    *ret_xsdt = layout_root(layout, "XSDT", 8);
}

static Layout
layout_new(GByteArray *out, uint64_t base)
{
    return (Layout){ .out = out,
                     .base = base,
                     .pointers = g_array_new(FALSE, FALSE, sizeof(LayoutPointer)),
                     .sums = g_array_new(FALSE, FALSE, sizeof(guint)) };
}

static void
layout_clear(Layout *layout)
{
    g_array_unref(layout->pointers);
    g_array_unref(layout->sums);
}

bool
acpi_build(Machine *machine, uint64_t base, uint64_t size, uint64_t *ret_rsdp, GError **err)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    Layout layout = layout_new(out, base);
    guint rsdt, xsdt;

    layout_zeroes(&layout, RSDP_SIZE);
    layout_tables(&layout, machine, &rsdt, &xsdt);
    if (layout.vmgenid)
        bytes_store(out->data + layout.vmgenid, VMGENID_PAGE, 4);
    for (guint i = 0; i < layout.sums->len; i++) {
        uint8_t *table = out->data + g_array_index(layout.sums, guint, i);

        layout_sum(table, bytes_load32(table + HEAD_LENGTH), HEAD_CHECKSUM);
    }
    layout_rsdp(out->data, base + rsdt, base + xsdt);
    layout_sum(out->data, RSDP_FIRST_SIZE, RSDP_CHECKSUM);
    layout_sum(out->data, RSDP_SIZE, RSDP_EXTENDED_CHECKSUM);
    layout_clear(&layout);

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

/* ---- the loader's commands ---- */

static void
loader_allocate(GByteArray *loader, const char *file, uint32_t align, uint8_t zone)
{
    uint8_t c[LOADER_COMMAND] = { LOADER_ALLOCATE };

    g_strlcpy((char *)c + 4, file, LOADER_NAME);
    bytes_store(c + 60, align, 4);
    c[64] = zone;
    g_byte_array_append(loader, c, sizeof(c));
}

static void
loader_add_pointer(GByteArray *loader, const char *file, const char *to, guint at, unsigned size)
{
    uint8_t c[LOADER_COMMAND] = { LOADER_ADD_POINTER };

    g_strlcpy((char *)c + 4, file, LOADER_NAME);
    g_strlcpy((char *)c + 60, to, LOADER_NAME);
    bytes_store(c + 116, at, 4);
    c[120] = (uint8_t)size;
    g_byte_array_append(loader, c, sizeof(c));
}

/* The page of the generation identifier: placed, told to the DSDT, and its address told back. */
static void
loader_add_vmgenid(GByteArray *loader, guint at)
{
    uint8_t c[LOADER_COMMAND] = { LOADER_WRITE_POINTER };

    loader_allocate(loader, VMGENID_FILE, VMGENID_ALIGN, ZONE_HIGH);
    loader_add_pointer(loader, ACPI_TABLES_FILE, VMGENID_FILE, at, 4);
    g_strlcpy((char *)c + 4, VMGENID_ADDRESS_FILE, LOADER_NAME);
    g_strlcpy((char *)c + 60, VMGENID_FILE, LOADER_NAME);
    c[124] = 8; /* bytes, at offset 0 of the one, from offset 0 of the other */
    g_byte_array_append(loader, c, sizeof(c));
}

static void
loader_add_checksum(GByteArray *loader, const char *file, guint at, guint start, guint length)
{
    uint8_t c[LOADER_COMMAND] = { LOADER_ADD_CHECKSUM };

    g_strlcpy((char *)c + 4, file, LOADER_NAME);
    bytes_store(c + 60, at, 4);
    bytes_store(c + 64, start, 4);
    bytes_store(c + 68, length, 4);
    g_byte_array_append(loader, c, sizeof(c));
}

void
acpi_build_blobs(Machine *machine, GByteArray *tables, GByteArray *rsdp, GByteArray *loader)
{
    Layout layout = layout_new(tables, 0);
    guint rsdt, xsdt;

    layout_tables(&layout, machine, &rsdt, &xsdt);
    g_byte_array_set_size(rsdp, RSDP_SIZE);
    layout_rsdp(rsdp->data, rsdt, xsdt);
    loader_allocate(loader, ACPI_RSDP_FILE, 16, ZONE_F_SEGMENT);
    loader_allocate(loader, ACPI_TABLES_FILE, 64, ZONE_HIGH);
    for (guint i = 0; i < layout.pointers->len; i++) {
        const LayoutPointer *p = &g_array_index(layout.pointers, LayoutPointer, i);

        loader_add_pointer(loader, ACPI_TABLES_FILE, ACPI_TABLES_FILE, p->at, p->size);
    }
    loader_add_pointer(loader, ACPI_RSDP_FILE, ACPI_TABLES_FILE, RSDP_RSDT, 4);
    loader_add_pointer(loader, ACPI_RSDP_FILE, ACPI_TABLES_FILE, RSDP_XSDT, 8);
    if (layout.vmgenid)
        loader_add_vmgenid(loader, layout.vmgenid);
    for (guint i = 0; i < layout.sums->len; i++) {
        guint at = g_array_index(layout.sums, guint, i);

        loader_add_checksum(loader, ACPI_TABLES_FILE, at + HEAD_CHECKSUM, at,
                            bytes_load32(tables->data + at + HEAD_LENGTH));
    }
    loader_add_checksum(loader, ACPI_RSDP_FILE, RSDP_CHECKSUM, 0, RSDP_FIRST_SIZE);
    loader_add_checksum(loader, ACPI_RSDP_FILE, RSDP_EXTENDED_CHECKSUM, 0, RSDP_SIZE);
    layout_clear(&layout);
}
