/* gdb_packet.c - the framing of GDB's remote protocol ("Debugging with GDB", appendix E.1).
 *
 * A packet is '$', data, '#' and two digits of checksum. Leaves out: run-length encoding of what is
 * sent (legal to leave out), and sequence numbers, which no GDB of this century sends.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/gdb_packet.h"

#include <string.h>

enum { STATE_IDLE, STATE_DATA, STATE_SUM_HIGH, STATE_SUM_LOW };
enum { ESCAPE = '}', ESCAPE_BIT = 0x20, CTRL_C = 3 };

void
gdb_parser_init(GdbParser *parser)
{
    *parser = (GdbParser){ .data = g_byte_array_new() };
}

void
gdb_parser_clear(GdbParser *parser)
{
    g_clear_pointer(&parser->data, g_byte_array_unref);
}

static void
parser_begin(GdbParser *p)
{
    g_byte_array_set_size(p->data, 0);
    p->state = STATE_DATA;
    p->sum = p->given = 0;
    p->too_long = false;
}

static GdbInput
parser_end(GdbParser *p)
{
    static const uint8_t zero;

    p->state = STATE_IDLE;
    if (p->too_long || p->sum != p->given)
        return GDB_INPUT_DAMAGED;
    g_byte_array_append(p->data, &zero, 1);
    p->data->len--;
    return GDB_INPUT_PACKET;
}

static void
parser_data(GdbParser *p, uint8_t byte)
{
    if (byte == '$') { /* never in data: the end of the packet before it was lost */
        parser_begin(p);
    } else if (byte == '#') {
        p->state = STATE_SUM_HIGH;
    } else if (p->data->len >= GDB_PACKET_MAX) {
        p->too_long = true;
    } else {
        g_byte_array_append(p->data, &byte, 1);
        p->sum = (uint8_t)(p->sum + byte);
    }
}

GdbInput
gdb_parser_feed(GdbParser *p, uint8_t byte)
{
    int digit;

    switch (p->state) {
    case STATE_DATA:
        parser_data(p, byte);
        return GDB_INPUT_NOTHING;
    case STATE_SUM_HIGH:
    case STATE_SUM_LOW:
        digit = g_ascii_xdigit_value((gchar)byte);
        if (digit < 0) {
            p->state = STATE_IDLE;
            return GDB_INPUT_DAMAGED;
        }
        p->given = (uint8_t)(p->given << 4 | digit);
        if (p->state++ == STATE_SUM_HIGH)
            return GDB_INPUT_NOTHING;
        return parser_end(p);
    default:
        if (byte == '$')
            parser_begin(p);
        return byte == CTRL_C ? GDB_INPUT_INTERRUPT
               : byte == '-'  ? GDB_INPUT_REPEAT
                              : GDB_INPUT_NOTHING;
    }
}

void
gdb_packet_append(GByteArray *out, const char *text, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t sum = 0, end[3] = { '#' };

    g_byte_array_append(out, (const guint8 *)"$", 1);
    for (size_t i = 0; i < len; i++) {
        uint8_t pair[2] = { ESCAPE, (uint8_t)text[i] };
        bool escaped = strchr("#$}*", text[i]) != NULL; /* finds a zero byte too */

        if (escaped) {
            pair[1] ^= ESCAPE_BIT;
            sum = (uint8_t)(sum + ESCAPE);
        }
        sum = (uint8_t)(sum + pair[1]);
        g_byte_array_append(out, escaped ? pair : pair + 1, escaped ? 2 : 1);
    }
    end[1] = (uint8_t)digits[sum >> 4];
    end[2] = (uint8_t)digits[sum & 15];
    g_byte_array_append(out, end, sizeof(end));
}

bool
gdb_hex_number(const char **at, uint64_t *ret)
{
    const char *p = *at;
    uint64_t value = 0;

    for (; g_ascii_isxdigit(*p); p++) {
        if (p - *at == 16)
            return false;
        value = value << 4 | (unsigned)g_ascii_xdigit_value(*p);
    }
    if (p == *at)
        return false;
    *at = p;
    *ret = value;
    return true;
}

bool
gdb_hex_bytes(const char *text, uint8_t *ret, size_t len)
{
    if (strlen(text) != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int high = g_ascii_xdigit_value(text[2 * i]), low = g_ascii_xdigit_value(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void
gdb_hex_append(GString *out, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        g_string_append_printf(out, "%02x", data[i]);
}

size_t
gdb_unescape(uint8_t *data, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        data[n++] = data[i] == ESCAPE && i + 1 < len ? data[++i] ^ ESCAPE_BIT : data[i];
    return n;
}
