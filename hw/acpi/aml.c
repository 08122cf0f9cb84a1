/* aml.c - writing ACPI machine language (ACPI 6.4: chapter 20 encodings, section 6.4 resources).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/acpi/aml.h"

#include "hw/core/bytes.h"

#include <string.h>

enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_DUAL_NAME = 0x2e,
    OP_MULTI_NAME = 0x2f,
    OP_EXT = 0x5b,
    OP_LOCAL0 = 0x60,
    OP_ARG0 = 0x68,
    OP_IF = 0xa0,
    OP_ELSE = 0xa1,
    OP_WHILE = 0xa2,
    EXT_MUTEX = 0x01,
    EXT_ACQUIRE = 0x23,
    EXT_RELEASE = 0x27,
    WAIT_FOREVER = 0xffff,
    EXT_REGION = 0x80,
    EXT_FIELD = 0x81,
    EXT_DEVICE = 0x82,
    REGION_IO = 1,
    REGION_PCI_CONFIG = 2,
    FIELD_BYTE_ACCESS = 1,
    FIELD_DWORD_ACCESS = 3,
    FIELD_WRITE_AS_ZEROS = 2 << 5,
    NAME_SEGMENT = 4,
    RESOURCE_END = 0x79,
    RESOURCE_IO = 0x47,
    RESOURCE_IRQ = 0x22,
    RESOURCE_MEMORY32_FIXED = 0x86,
    RESOURCE_DWORD_SPACE = 0x87,
    RESOURCE_WORD_SPACE = 0x88,
    RESOURCE_INTERRUPT = 0x89,
    RESOURCE_QWORD_SPACE = 0x8a,
    SPACE_MEMORY = 0,
    SPACE_IO = 1,
    SPACE_BUS = 2,
    SPACE_FIXED = 0x0c, /* minimum and maximum are fixed, positive decode, producer */
    MEMORY_READ_WRITE = 0x01,
    MEMORY_PREFETCHABLE = 0x06,
    IO_ENTIRE_RANGE = 0x03,
};

static void
aml_byte(Aml *aml, unsigned value)
{
    guint8 byte = (guint8)value;

    g_byte_array_append(aml->out, &byte, 1);
}

static void
aml_number(Aml *aml, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    bytes_store(bytes, value, size);
    g_byte_array_append(aml->out, bytes, size);
}

static void
aml_insert(Aml *aml, guint at, const uint8_t *bytes, guint n)
{
    guint old = aml->out->len;

    g_byte_array_set_size(aml->out, old + n);
    memmove(aml->out->data + at + n, aml->out->data + at, old - at);
    memcpy(aml->out->data + at, bytes, n);
}

static void
aml_open(Aml *aml)
{
    g_return_if_fail(aml->depth < AML_DEPTH);
    aml->open[aml->depth].at = aml->out->len;
    aml->open[aml->depth].buffer = aml->open[aml->depth].resources = false;
    aml->depth++;
}

static void
aml_insert_integer(Aml *aml, guint at, uint32_t value)
{
    uint8_t bytes[5] = { OP_DWORD };

    bytes_store(bytes + 1, value, 4);
    aml_insert(aml, at, bytes, sizeof(bytes));
}

/* PkgLength (20.2.4): counts itself; one byte holds 6 bits, more hold 4 bits and 8 for each
 * further. */
static void
aml_insert_length(Aml *aml, guint at)
{
    guint length = aml->out->len - at, n = 1;
    uint8_t bytes[4];

    if (length + n >= 1u << 6)
        n++;
    while (n > 1 && length + n >= 1u << (4 + 8 * (n - 1)))
        n++;
    length += n;
    if (n == 1) {
        bytes[0] = (uint8_t)length;
    } else {
        bytes[0] = (uint8_t)((n - 1) << 6 | (length & 15));
        for (guint i = 1; i < n; i++)
            bytes[i] = (uint8_t)(length >> (4 + 8 * (i - 1)));
    }
    aml_insert(aml, at, bytes, n);
}

void
aml_close(Aml *aml)
{
    guint at;

    g_return_if_fail(aml->depth > 0);
    aml->depth--;
    at = aml->open[aml->depth].at;
    if (aml->open[aml->depth].resources) {
        aml_byte(aml, RESOURCE_END);
        aml_byte(aml, 0); /* a checksum of zero is not checked */
    }
    if (aml->open[aml->depth].buffer)
        aml_insert_integer(aml, at, aml->out->len - at);
    aml_insert_length(aml, at);
}

static void
aml_segment(Aml *aml, const char *name, size_t len)
{
    char segment[NAME_SEGMENT] = { '_', '_', '_', '_' };

    memcpy(segment, name, MIN(len, sizeof(segment)));
    g_byte_array_append(aml->out, (const guint8 *)segment, sizeof(segment));
}

void
aml_path(Aml *aml, const char *name)
{
    g_auto(GStrv) parts = NULL;
    guint n;

    for (; *name == '\\' || *name == '^'; name++)
        aml_byte(aml, (unsigned char)*name);
    parts = g_strsplit(name, ".", -1);
    n = g_strv_length(parts);
    if (n == 0) {
        aml_byte(aml, 0);
        return;
    }
    if (n == 2)
        aml_byte(aml, OP_DUAL_NAME);
    if (n > 2) {
        aml_byte(aml, OP_MULTI_NAME);
        aml_byte(aml, n);
    }
    for (guint i = 0; i < n; i++)
        aml_segment(aml, parts[i], strlen(parts[i]));
}

void
aml_scope(Aml *aml, const char *name)
{
    aml_byte(aml, OP_SCOPE);
    aml_open(aml);
    aml_path(aml, name);
}

void
aml_device(Aml *aml, const char *name)
{
    aml_byte(aml, OP_EXT);
    aml_byte(aml, EXT_DEVICE);
    aml_open(aml);
    aml_path(aml, name);
}

void
aml_method(Aml *aml, const char *name, unsigned args, bool serialized)
{
    aml_byte(aml, OP_METHOD);
    aml_open(aml);
    aml_path(aml, name);
    aml_byte(aml, args | (serialized ? 8 : 0));
}

void
aml_package(Aml *aml, unsigned elements)
{
    aml_byte(aml, OP_PACKAGE);
    aml_open(aml);
    aml_byte(aml, elements);
}

void
aml_if(Aml *aml)
{
    aml_byte(aml, OP_IF);
    aml_open(aml);
}

void
aml_else(Aml *aml)
{
    aml_byte(aml, OP_ELSE);
    aml_open(aml);
}

void
aml_while(Aml *aml)
{
    aml_byte(aml, OP_WHILE);
    aml_open(aml);
}

void
aml_resources(Aml *aml)
{
    aml_byte(aml, OP_BUFFER);
    aml_open(aml);
    aml->open[aml->depth - 1].buffer = aml->open[aml->depth - 1].resources = true;
}

void
aml_name(Aml *aml, const char *name)
{
    aml_byte(aml, OP_NAME);
    aml_path(aml, name);
}

void
aml_integer(Aml *aml, uint64_t value)
{
    if (value <= 1) {
        aml_byte(aml, value ? OP_ONE : OP_ZERO);
    } else if (value <= UINT8_MAX) {
        aml_byte(aml, OP_BYTE);
        aml_number(aml, value, 1);
    } else if (value <= UINT16_MAX) {
        aml_byte(aml, OP_WORD);
        aml_number(aml, value, 2);
    } else if (value <= UINT32_MAX) {
        aml_byte(aml, OP_DWORD);
        aml_number(aml, value, 4);
    } else {
        aml_byte(aml, OP_QWORD);
        aml_number(aml, value, 8);
    }
}

guint
aml_pointer(Aml *aml)
{
    aml_byte(aml, OP_DWORD);
    aml_number(aml, 0, 4);
    return aml->out->len - 4;
}

void
aml_string(Aml *aml, const char *text)
{
    aml_byte(aml, OP_STRING);
    g_byte_array_append(aml->out, (const guint8 *)text, (guint)strlen(text) + 1);
}

void
aml_buffer(Aml *aml, const uint8_t *data, unsigned len)
{
    aml_byte(aml, OP_BUFFER);
    aml_open(aml);
    aml->open[aml->depth - 1].buffer = true;
    g_byte_array_append(aml->out, data, len);
    aml_close(aml);
}

void
aml_eisa_id(Aml *aml, const char *id)
{
    uint32_t vendor =
        (uint32_t)(id[0] - 0x40) << 10 | (uint32_t)(id[1] - 0x40) << 5 | (uint32_t)(id[2] - 0x40);
    uint32_t product = (uint32_t)g_ascii_strtoull(id + 3, NULL, 16);

    /* Big-endian, whatever the machine: section 19.6.36. */
    aml_integer(aml, GUINT32_SWAP_LE_BE(vendor << 16 | product));
}

void
aml_uuid(Aml *aml, const uint8_t uuid[16])
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    uint8_t mixed[16];

    for (unsigned i = 0; i < 16; i++)
        mixed[i] = uuid[order[i]];
    aml_buffer(aml, mixed, sizeof(mixed));
}

void
aml_local(Aml *aml, unsigned n)
{
    aml_byte(aml, OP_LOCAL0 + n);
}

void
aml_arg(Aml *aml, unsigned n)
{
    aml_byte(aml, OP_ARG0 + n);
}

void
aml_op(Aml *aml, AmlOp op)
{
    aml_byte(aml, op);
}

void
aml_no_target(Aml *aml)
{
    aml_byte(aml, OP_ZERO);
}

static void
aml_region(Aml *aml, const char *name, unsigned space, unsigned offset, unsigned length)
{
    aml_byte(aml, OP_EXT);
    aml_byte(aml, EXT_REGION);
    aml_path(aml, name);
    aml_byte(aml, space);
    aml_integer(aml, offset);
    aml_integer(aml, length);
}

void
aml_pci_region(Aml *aml, const char *name, unsigned offset, unsigned length)
{
    aml_region(aml, name, REGION_PCI_CONFIG, offset, length);
}

void
aml_io_region(Aml *aml, const char *name, uint16_t port, unsigned length)
{
    aml_region(aml, name, REGION_IO, port, length);
}

/* A field's length is a PkgLength without a package: one byte holds 6 bits of it. */
static void
aml_fields(Aml *aml, const char *region, unsigned access, unsigned bits, const char *const *names,
           unsigned n)
{
    aml_byte(aml, OP_EXT);
    aml_byte(aml, EXT_FIELD);
    aml_open(aml);
    aml_path(aml, region);
    aml_byte(aml, access);
    for (unsigned i = 0; i < n; i++) {
        if (names[i])
            aml_segment(aml, names[i], strlen(names[i]));
        else
            aml_byte(aml, 0); /* reserved field */
        aml_byte(aml, bits);
    }
    aml_close(aml);
}

void
aml_byte_fields(Aml *aml, const char *region, const char *const *names, unsigned n)
{
    aml_fields(aml, region, FIELD_BYTE_ACCESS, 8, names, n);
}

void
aml_dword_fields(Aml *aml, const char *region, const char *const *names, unsigned n)
{
    aml_fields(aml, region, FIELD_DWORD_ACCESS, 32, names, n);
}

void
aml_bit_fields(Aml *aml, const char *region, unsigned access, const AmlField *fields, unsigned n)
{
    aml_byte(aml, OP_EXT);
    aml_byte(aml, EXT_FIELD);
    aml_open(aml);
    aml_path(aml, region);
    aml_byte(aml, FIELD_WRITE_AS_ZEROS | (access == 4 ? FIELD_DWORD_ACCESS : FIELD_BYTE_ACCESS));
    for (unsigned i = 0; i < n; i++) {
        if (fields[i].name)
            aml_segment(aml, fields[i].name, strlen(fields[i].name));
        else
            aml_byte(aml, 0);
        aml_byte(aml, fields[i].bits);
    }
    aml_close(aml);
}

void
aml_mutex(Aml *aml, const char *name)
{
    aml_byte(aml, OP_EXT);
    aml_byte(aml, EXT_MUTEX);
    aml_path(aml, name);
    aml_byte(aml, 0);
}

void
aml_acquire(Aml *aml, const char *name)
{
    aml_byte(aml, OP_EXT);
    aml_byte(aml, EXT_ACQUIRE);
    aml_path(aml, name);
    aml_number(aml, WAIT_FOREVER, 2);
}

void
aml_release(Aml *aml, const char *name)
{
    aml_byte(aml, OP_EXT);
    aml_byte(aml, EXT_RELEASE);
    aml_path(aml, name);
}

void
aml_io(Aml *aml, uint16_t base, uint8_t length)
{
    aml_byte(aml, RESOURCE_IO);
    aml_byte(aml, 1); /* decodes 16 bits */
    aml_number(aml, base, 2);
    aml_number(aml, base, 2);
    aml_byte(aml, 1);
    aml_byte(aml, length);
}

void
aml_irq(Aml *aml, unsigned irq)
{
    aml_byte(aml, RESOURCE_IRQ);
    aml_number(aml, 1u << irq, 2);
}

void
aml_interrupt(Aml *aml, const uint32_t *irqs, unsigned n)
{
    aml_byte(aml, RESOURCE_INTERRUPT);
    aml_number(aml, 2 + 4 * n, 2);
    aml_byte(aml, 0x09); /* consumer, level, active high, shared */
    aml_byte(aml, n);
    for (unsigned i = 0; i < n; i++)
        aml_number(aml, irqs[i], 4);
}

void
aml_memory_fixed(Aml *aml, uint32_t base, uint32_t length)
{
    aml_byte(aml, RESOURCE_MEMORY32_FIXED);
    aml_number(aml, 9, 2);
    aml_byte(aml, MEMORY_READ_WRITE);
    aml_number(aml, base, 4);
    aml_number(aml, length, 4);
}

static void
aml_space(Aml *aml, unsigned tag, unsigned type, unsigned flags, uint64_t first, uint64_t last,
          unsigned size)
{
    aml_byte(aml, tag);
    aml_number(aml, 3 + 5 * size, 2);
    aml_byte(aml, type);
    aml_byte(aml, SPACE_FIXED);
    aml_byte(aml, flags);
    aml_number(aml, 0, size); /* granularity */
    aml_number(aml, first, size);
    aml_number(aml, last, size);
    aml_number(aml, 0, size); /* translation */
    aml_number(aml, last - first + 1, size);
}

void
aml_bus_range(Aml *aml, uint16_t first, uint16_t last)
{
    aml_space(aml, RESOURCE_WORD_SPACE, SPACE_BUS, 0, first, last, 2);
}

void
aml_io_range(Aml *aml, uint16_t first, uint16_t last)
{
    aml_space(aml, RESOURCE_WORD_SPACE, SPACE_IO, IO_ENTIRE_RANGE, first, last, 2);
}

void
aml_memory_range32(Aml *aml, uint32_t first, uint32_t last)
{
    aml_space(aml, RESOURCE_DWORD_SPACE, SPACE_MEMORY, MEMORY_READ_WRITE, first, last, 4);
}

void
aml_memory_range64(Aml *aml, uint64_t first, uint64_t last)
{
    aml_space(aml, RESOURCE_QWORD_SPACE, SPACE_MEMORY, MEMORY_READ_WRITE | MEMORY_PREFETCHABLE,
              first, last, 8);
}
