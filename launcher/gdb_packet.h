/* gdb_packet.h - the framing of GDB's remote protocol, both ways.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_GDB_PACKET_H
#define KILN_LAUNCHER_GDB_PACKET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { GDB_PACKET_MAX = 0x4000 }; /* bytes between '$' and '#' */

typedef enum {
    GDB_INPUT_NOTHING,
    GDB_INPUT_PACKET,    /* whole; in data */
    GDB_INPUT_DAMAGED,   /* to be asked for again */
    GDB_INPUT_INTERRUPT, /* Ctrl-C */
    GDB_INPUT_REPEAT,    /* the other side got our last packet damaged */
} GdbInput;

typedef struct {
    GByteArray *data; /* with a zero byte behind it that is not counted */
    int state;
    uint8_t sum, given;
    bool too_long;
} GdbParser;

void gdb_parser_init(GdbParser *parser);
void gdb_parser_clear(GdbParser *parser);
/* Takes one byte from the wire. A packet lasts until the next call. */
GdbInput gdb_parser_feed(GdbParser *parser, uint8_t byte);

/* Appends @text as a packet to @out, escaped where it needs to be. */
void gdb_packet_append(GByteArray *out, const char *text, size_t len);

/* Hexadecimal digits at *@at, 1 to 16 of them; false leaves *@at and *@ret alone. */
bool gdb_hex_number(const char **at, uint64_t *ret);
/* Pairs of digits; false when they are not @len pairs. */
bool gdb_hex_bytes(const char *text, uint8_t *ret, size_t len);
void gdb_hex_append(GString *out, const uint8_t *data, size_t len);
/* Binary data of the packet X: undoes the escapes in place and returns its length. */
size_t gdb_unescape(uint8_t *data, size_t len);

#endif
