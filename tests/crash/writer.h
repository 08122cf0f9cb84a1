/* writer.h - what writer.c, a guest, and job_kills.py have in common: places in the guest's memory.
 *
 * The test holds the guest's memory (a memfd) too, so the journal outlives a killed kiln-vmm, and
 * each of its records is there the moment the guest stored it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_CRASH_WRITER_H
#define KILN_TESTS_CRASH_WRITER_H

#include <stdint.h>

enum {
    WRITER_SETTINGS = 0x400000,     /* a WriterSettings */
    WRITER_VERSIONS = 0x410000,     /* a uint32_t for each sector: what it has at first */
    WRITER_SECTORS_MAX = 0x10000,   /* of which there are as many */
    WRITER_DATA = 0x500000,         /* what slots write: filled by the test, stamped by the guest */
    WRITER_JOURNAL = 0x800000,      /* WriterRecords, to the first that is zero */
    WRITER_JOURNAL_END = 0x1fff000, /* just under 32 MiB */

    /* A sector of version 0 is zeroes. Another has its number, the version, 125 times WRITER_FILL,
     * and the version again. WRITER_UNKNOWN: what a discard or an error left. */
    WRITER_UNKNOWN = 0xffffffff,
    WRITER_FILL = 0x5a5a5a5a,
};

typedef struct {
    uint32_t seed;
    uint32_t sectors;  /* of the disk's beginning that are used */
    uint32_t version;  /* the first that no sector has yet */
    uint32_t depth;    /* requests in flight, at most WRITER_DEPTH */
    uint32_t largest;  /* sectors in a request, at most WRITER_LARGEST */
    uint32_t discards; /* of 256 requests */
} WriterSettings;

enum { WRITER_DEPTH = 16, WRITER_LARGEST = 64 };

typedef enum {
    WRITER_NOTHING,
    WRITER_BEGINS,  /* request @type of @sectors at @sector, in slot @slot */
    WRITER_ENDS,    /* the request of @slot, with status @type */
    WRITER_DIFFERS, /* a read found another word at @sector than @version has */
    WRITER_HAS_NO_DISK,
} WriterEvent;

typedef struct {
    uint32_t sector, version;
    uint16_t sectors;
    uint8_t slot, type;
    uint32_t event; /* a WriterEvent, stored last */
} WriterRecord;

#endif
