/* telnet.h - the telnet protocol on a character device: what is data, what is talk about the line.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CHAR_TELNET_H
#define KILN_HW_CHAR_TELNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

enum { TELNET_IAC = 255 }; /* begins a command; twice: a byte of data */

/* One connection; zeroed at its beginning. */
typedef struct {
    uint8_t state;
    uint8_t command;    /* WILL, WONT, DO or DONT whose option comes next */
    uint32_t ours[8];   /* bit per option that we said we do or do not use */
    uint32_t theirs[8]; /* the same about the peer's */
} Telnet;

/* What a server says first: it echoes, both send eight bits, nobody waits for a go-ahead. */
void telnet_greet(Telnet *telnet, GByteArray *reply);

/* Takes the protocol out of @data: returns how many bytes of data are left at its beginning.
 * *ret_used tells how much was looked at: all, or less when a break ended it (*ret_break), which
 * came behind that data. Answers for the peer are appended to @reply. */
size_t telnet_decode(Telnet *telnet, uint8_t *data, size_t len, size_t *ret_used, bool *ret_break,
                     GByteArray *reply);

#endif
