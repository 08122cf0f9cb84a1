/* aml.h - writing ACPI machine language (ACPI 6.4, chapters 19 and 20).
 *
 * An Aml appends terms to a byte array. What has a length (a scope, a device, a package …) is
 * opened and later closed, which fills the length in; between the two come its contents.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ACPI_AML_H
#define KILN_HW_ACPI_AML_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { AML_DEPTH = 16 };

typedef struct Aml {
    GByteArray *out; /* borrowed */
    struct {
        guint at; /* where the length goes */
        bool buffer, resources;
    } open[AML_DEPTH];
    unsigned depth;
} Aml;

/* Ends what was opened last. */
void aml_close(Aml *aml);

/* Openers. A name is up to four characters, or a path: "\\_SB.PCI0". */
void aml_scope(Aml *aml, const char *name);
void aml_device(Aml *aml, const char *name);
void aml_method(Aml *aml, const char *name, unsigned args, bool serialized);
void aml_package(Aml *aml, unsigned elements);
void aml_if(Aml *aml); /* then the predicate, then the body */
void aml_else(Aml *aml);
void aml_while(Aml *aml);     /* likewise */
void aml_resources(Aml *aml); /* a buffer of resource descriptors */

/* Name (NAME, …): the value is the next term. */
void aml_name(Aml *aml, const char *name);

/* Values. */
void aml_integer(Aml *aml, uint64_t value);
guint aml_pointer(Aml *aml); /* four bytes to be filled in; gives where they are in the output */
void aml_string(Aml *aml, const char *text);
void aml_buffer(Aml *aml, const uint8_t *data, unsigned len);
void aml_eisa_id(Aml *aml, const char *id);      /* "PNP0A08" */
void aml_uuid(Aml *aml, const uint8_t uuid[16]); /* bytes as written in text */
void aml_path(Aml *aml, const char *name);       /* a reference */
void aml_local(Aml *aml, unsigned n);
void aml_arg(Aml *aml, unsigned n);

/* Operators, in prefix form: operands follow as terms. AML_STORE: what, where. */
typedef enum {
    AML_STORE = 0x70,
    AML_ADD = 0x72,    /* a, b, target */
    AML_NOTIFY = 0x86, /* object, value */
    AML_INDEX = 0x88,  /* object, number, target */
    AML_AND = 0x7b,
    AML_OR = 0x7d, /* a, b, target (aml_no_target() for none) */
    AML_LNOT = 0x92,
    AML_LEQUAL = 0x93,
    AML_SHIFT_LEFT = 0x79, /* a, b, target */
    AML_RETURN = 0xa4,
    AML_CREATE_DWORD_FIELD = 0x8a, /* buffer, byte offset, name */
} AmlOp;
void aml_op(Aml *aml, AmlOp op);
void aml_no_target(Aml *aml);

/* OperationRegion (NAME, PCI_Config, offset, length) and a Field of it: names of eight bits each,
 * NULL skips eight bits. */
void aml_pci_region(Aml *aml, const char *name, unsigned offset, unsigned length);
void aml_byte_fields(Aml *aml, const char *region, const char *const *names, unsigned n);

/* The same of I/O ports, with fields of 32 bits. */
void aml_io_region(Aml *aml, const char *name, uint16_t port, unsigned length);
void aml_dword_fields(Aml *aml, const char *region, const char *const *names, unsigned n);

typedef struct {
    const char *name; /* NULL: reserved */
    uint8_t bits;     /* at most 63 */
} AmlField;
/* Fields of any width, reached @access bytes (1 or 4) at a time; what lies beside the one that is
 * written is written as zero. */
void aml_bit_fields(Aml *aml, const char *region, unsigned access, const AmlField *fields,
                    unsigned n);

/* Mutexes; an acquisition waits for ever. */
void aml_mutex(Aml *aml, const char *name);
void aml_acquire(Aml *aml, const char *name);
void aml_release(Aml *aml, const char *name);

/* Resource descriptors, inside aml_resources(). Ends are inclusive. */
void aml_io(Aml *aml, uint16_t base, uint8_t length);
void aml_irq(Aml *aml, unsigned irq);                           /* ISA: edge, high, exclusive */
void aml_interrupt(Aml *aml, const uint32_t *irqs, unsigned n); /* level, high, shared */
void aml_memory_fixed(Aml *aml, uint32_t base, uint32_t length);
void aml_bus_range(Aml *aml, uint16_t first, uint16_t last);
void aml_io_range(Aml *aml, uint16_t first, uint16_t last);
void aml_memory_range32(Aml *aml, uint32_t first, uint32_t last);
void aml_memory_range64(Aml *aml, uint64_t first, uint64_t last);

#endif
