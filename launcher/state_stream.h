/* state_stream.h - the stream that holds a saved guest: sections, each with its checksum.
 *
 *   stream  := "KILNVM\r\n", u32 version, u32 checksum of those 12 bytes, section…, end section
 *   section := u32 kind, u32 flags (0), u64 length, payload, u32 checksum of all that
 *   end     := a section of kind STATE_END whose payload is u64 number of sections before it and
 *              u32 checksum of their checksums
 *
 * Numbers are little-endian; checksums are CRC-32C (RFC 3720, B.4). The reader trusts nothing:
 * every length is checked, and memory grows with what has really been read.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_STATE_STREAM_H
#define KILN_LAUNCHER_STATE_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STATE_VERSION = 1 };

/* Numbers are part of the format. */
typedef enum {
    STATE_END = 0,
    STATE_MACHINE = 1, /* first: what the guest is made of */
    STATE_RAM = 2,     /* any number */
    STATE_VCPU = 3,    /* one each */
    STATE_CHIPS = 4,   /* interrupt controllers, timer, clocks */
    STATE_DEVICES = 5,
} StateKind;

/* CRC-32C of @len bytes behind those that gave @crc (0 at first). */
uint32_t state_checksum(uint32_t crc, const void *data, size_t len);

typedef struct StateWriter StateWriter;

/* Writes to @fd, which stays the caller's, from where it stands. An fd opened with O_DIRECT must
 * stand at a multiple of 4096. Once *@cancel (atomic) is set, writing fails with -ECANCELED. One
 * thread at a time. */
StateWriter *state_writer_new(int fd, const gint *cancel);
void state_writer_free(StateWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StateWriter, state_writer_free)

/* A section of exactly @length bytes, given in pieces. Failures are kept until finish. */
void state_writer_begin(StateWriter *writer, StateKind kind, uint64_t length);
void state_writer_put(StateWriter *writer, const void *data, size_t len);
void state_writer_end(StateWriter *writer);
/* A section in one piece. */
void state_writer_section(StateWriter *writer, StateKind kind, const void *data, size_t len);
/* The first failure so far as -errno, or 0. */
int state_writer_error(const StateWriter *writer);
/* The end section, and everything out of our hands. Returns 0 or -errno. */
int state_writer_finish(StateWriter *writer);
uint64_t state_writer_bytes(const StateWriter *writer); /* put so far */

typedef struct StateReader StateReader;

/* Reads from @fd (the caller's still) as the writer wrote; a stream within Zstandard frames
 * (RFC 8878) is unpacked. *@cancel as above. */
StateReader *state_reader_new(int fd, const gint *cancel);
/* Reads from memory instead, which must live as long. */
StateReader *state_reader_new_memory(const uint8_t *data, size_t len);
void state_reader_free(StateReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StateReader, state_reader_free)

/* The next section's kind and length; the first call checks the stream's head. STATE_END only when
 * the stream is whole. -1 with @err. */
int state_reader_next(StateReader *reader, uint64_t *ret_length, GError **err);
/* The next @len bytes of the section. */
bool state_reader_take(StateReader *reader, void *data, size_t len, GError **err);
/* All of the section was taken: compares the checksum. */
bool state_reader_end(StateReader *reader, GError **err);
/* The whole section of @length bytes, at most @max; checked. */
GByteArray *state_reader_section(StateReader *reader, uint64_t length, uint64_t max, GError **err);
uint64_t state_reader_bytes(const StateReader *reader); /* read so far */

#endif
