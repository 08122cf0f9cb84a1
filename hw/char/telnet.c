/* telnet.c - the telnet protocol (RFC 854; options BINARY of RFC 856, ECHO of RFC 857 and SUPPRESS
 * GO AHEAD of RFC 858).
 *
 * Every other option is declined, subnegotiations are skipped. Of the commands only BREAK means
 * something to a serial line.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/telnet.h"

enum {
    SE = 240,
    BREAK = 243,
    SB = 250,
    WILL = 251,
    WONT = 252,
    DO = 253,
    DONT = 254,

    OPTION_BINARY = 0,
    OPTION_ECHO = 1,
    OPTION_SUPPRESS_GO_AHEAD = 3,

    STATE_DATA = 0,
    STATE_COMMAND,     /* behind IAC */
    STATE_OPTION,      /* behind WILL, WONT, DO or DONT */
    STATE_SUB,         /* behind SB */
    STATE_SUB_COMMAND, /* behind IAC in there */
};

static void
telnet_say(GByteArray *reply, uint8_t command, uint8_t option)
{
    const uint8_t bytes[] = { TELNET_IAC, command, option };

    g_byte_array_append(reply, bytes, sizeof(bytes));
}

/* True the first time: an option is spoken of once, so that two ends never answer each other's
 * answers for ever. */
static bool
telnet_first(uint32_t *said, uint8_t option)
{
    bool first = !(said[option / 32] & 1u << option % 32);

    said[option / 32] |= 1u << option % 32;
    return first;
}

void
telnet_greet(Telnet *telnet, GByteArray *reply)
{
    static const uint8_t options[] = { OPTION_ECHO, OPTION_SUPPRESS_GO_AHEAD, OPTION_BINARY };

    for (size_t i = 0; i < sizeof(options); i++) {
        telnet_first(telnet->ours, options[i]);
        telnet_say(reply, WILL, options[i]);
    }
    telnet_first(telnet->theirs, OPTION_BINARY);
    telnet_say(reply, DO, OPTION_BINARY);
}

static void
telnet_answer(Telnet *telnet, uint8_t option, GByteArray *reply)
{
    bool plain = option == OPTION_BINARY || option == OPTION_SUPPRESS_GO_AHEAD;

    /* WONT and DONT need no answer: nothing here depends on an option. */
    if (telnet->command == WILL && telnet_first(telnet->theirs, option))
        telnet_say(reply, plain || option == OPTION_ECHO ? DO : DONT, option);
    else if (telnet->command == DO && telnet_first(telnet->ours, option))
        telnet_say(reply, plain ? WILL : WONT, option);
}

/* A byte behind IAC; true when it is one of data. */
static bool
telnet_command(Telnet *telnet, uint8_t byte, bool *ret_break)
{
    telnet->state = STATE_DATA;
    if (byte >= WILL && byte <= DONT) {
        telnet->command = byte;
        telnet->state = STATE_OPTION;
    } else if (byte == SB) {
        telnet->state = STATE_SUB;
    } else if (byte == BREAK) {
        *ret_break = true;
    }
    return byte == TELNET_IAC;
}

size_t
telnet_decode(Telnet *telnet, uint8_t *data, size_t len, size_t *ret_used, bool *ret_break,
              GByteArray *reply)
{
    size_t n = 0, i = 0;

    *ret_break = false;
    while (i < len && !*ret_break) {
        uint8_t byte = data[i++];

        switch (telnet->state) {
        case STATE_DATA:
            if (byte == TELNET_IAC)
                telnet->state = STATE_COMMAND;
            else
                data[n++] = byte;
            break;
        case STATE_COMMAND:
            if (telnet_command(telnet, byte, ret_break))
                data[n++] = byte;
            break;
        case STATE_OPTION:
            telnet_answer(telnet, byte, reply);
            telnet->state = STATE_DATA;
            break;
        case STATE_SUB:
            if (byte == TELNET_IAC)
                telnet->state = STATE_SUB_COMMAND;
            break;
        case STATE_SUB_COMMAND:
            telnet->state = byte == SE ? STATE_DATA : STATE_SUB;
            break;
        }
    }
    *ret_used = i;
    return n;
}
