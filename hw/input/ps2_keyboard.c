/* ps2_keyboard.c - the PS/2 keyboard: three scan code sets, repetition, lights, all commands.
 *
 * IBM PS/2 Hardware Interface Technical Reference, Keyboards (101- and 102-key). It repeats a held
 * key by itself, so a viewer's own repetitions are not passed on.
 *
 * Leaves out: the fake shifts around the grey keys of sets 1 and 2 while Num Lock or Shift is on,
 * which no driver needs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/input/ps2.h"
#include "util/error.h"

#include <string.h>

enum {
    CMD_LEDS = 0xed,
    CMD_ECHO = 0xee,
    CMD_SET = 0xf0,
    CMD_ID = 0xf2,
    CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULTS = 0xf6,
    CMD_ALL_REPEAT = 0xf7,
    CMD_ALL_MAKE_BREAK = 0xf8,
    CMD_ALL_MAKE = 0xf9,
    CMD_ALL = 0xfa,
    CMD_KEY_REPEAT = 0xfb,
    CMD_KEY_MAKE_BREAK = 0xfc,
    CMD_KEY_MAKE = 0xfd,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff,
    REPLY_ACK = 0xfa,
    REPLY_TESTED = 0xaa,
    REPLY_RESEND = 0xfe,
    KIND_BREAK = 1,
    KIND_REPEAT = 2,
    RATE_DEFAULT = 0x2b, /* after 500 ms, 10.9 a second */
    RELEASE_ROOM = 32,   /* kept free so that a key that went down can come up */
    SEQUENCE_MAX = 8,
};

/* What a key of set 3 does when the keyboard has just been switched on: break codes from the
 * shifting keys, single makes from function keys and the keypad, repetition from all others. */
static void
keyboard_default_kinds(Ps2Keyboard *kb)
{
    static const uint8_t with_break[] = { 0x11, 0x12, 0x14, 0x19, 0x59 };
    static const uint8_t once[] = { 0x07, 0x08, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x39, 0x3f,
                                    0x47, 0x4f, 0x56, 0x57, 0x58, 0x5e, 0x5f, 0x62, 0x65, 0x67,
                                    0x69, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73,
                                    0x74, 0x75, 0x76, 0x77, 0x79, 0x7a, 0x7d, 0x7e, 0x84 };

    memset(kb->kinds, KIND_REPEAT, sizeof(kb->kinds));
    for (size_t i = 0; i < sizeof(with_break); i++)
        kb->kinds[with_break[i]] = KIND_BREAK;
    for (size_t i = 0; i < sizeof(once); i++)
        kb->kinds[once[i]] = 0;
}

static void
keyboard_defaults(Ps2Keyboard *kb)
{
    kb->command = 0;
    kb->set = 2;
    kb->rate = RATE_DEFAULT;
    kb->repeating = KEYCODE_unmapped;
    kb->port.n_data = 0;
    keyboard_default_kinds(kb);
}

void
ps2_keyboard_power_on(Ps2Keyboard *kb)
{
    ps2_port_clear(&kb->port);
    keyboard_defaults(kb);
    memset(kb->down, 0, sizeof(kb->down));
    kb->leds = 0;
    kb->scanning = true;
}

/* The two keys whose sequence depends on others. Returns its length, 0 for other keys. */
static unsigned
keyboard_odd_sequence(const Ps2Keyboard *kb, KeyCode key, bool down, uint8_t *ret)
{
    static const uint8_t pause1[] = { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 };
    static const uint8_t pause2[] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };
    static const uint8_t print1[2][4] = { { 0xe0, 0xb7, 0xe0, 0xaa }, { 0xe0, 0x2a, 0xe0, 0x37 } };
    static const uint8_t print2_down[] = { 0xe0, 0x12, 0xe0, 0x7c };
    static const uint8_t print2_up[] = { 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12 };
    bool alt = kb->down[KEYCODE_alt] || kb->down[KEYCODE_alt_r];
    bool ctrl = kb->down[KEYCODE_ctrl] || kb->down[KEYCODE_ctrl_r];
    const uint8_t *bytes;
    unsigned n;

    if (key == KEYCODE_print && !alt) {
        bytes = kb->set == 1 ? print1[down] : down ? print2_down : print2_up;
        n = kb->set == 1 || down ? 4 : 6;
    } else if (key == KEYCODE_pause && !ctrl) {
        /* Sent when it goes down; it has no break code. */
        bytes = kb->set == 1 ? pause1 : pause2;
        n = !down ? 0 : kb->set == 1 ? sizeof(pause1) : sizeof(pause2);
    } else {
        return 0;
    }
    memcpy(ret, bytes, n);
    return n;
}

/* Bytes of @key in the set in use; 0 when the key has no code there. */
static unsigned
keyboard_sequence(const Ps2Keyboard *kb, KeyCode key, bool down, uint8_t *ret)
{
    KeySet set = kb->set == 1 ? KEYSET_AT1 : kb->set == 2 ? KEYSET_AT2 : KEYSET_AT3;
    unsigned code = key_code_number(key, set), n = 0;

    if (code == 0)
        return 0;
    if (kb->set == 3 && !down && !(kb->kinds[code & 0xff] & KIND_BREAK))
        return 0;
    if (code > 0xff)
        ret[n++] = (uint8_t)(code >> 8);
    if (!down && kb->set != 1)
        ret[n++] = 0xf0;
    ret[n++] = (uint8_t)(code | (!down && kb->set == 1 ? 0x80 : 0));
    return n;
}

static void
keyboard_send(Ps2Keyboard *kb, KeyCode key, bool down)
{
    uint8_t bytes[SEQUENCE_MAX];
    unsigned n;

    if (kb->set != 3 && (key == KEYCODE_print || key == KEYCODE_pause)) {
        n = keyboard_odd_sequence(kb, key, down, bytes);
        if (n == 0 && key == KEYCODE_pause && !down && !kb->down[KEYCODE_ctrl] &&
            !kb->down[KEYCODE_ctrl_r])
            return;
        if (n == 0)
            n = keyboard_sequence(kb, key, down, bytes);
    } else {
        n = keyboard_sequence(kb, key, down, bytes);
    }
    if (n > 0)
        ps2_port_send(&kb->port, bytes, n, down ? RELEASE_ROOM : 0);
}

static bool
keyboard_repeats(const Ps2Keyboard *kb, KeyCode key)
{
    if (key == KEYCODE_pause)
        return false;
    if (kb->set != 3)
        return true;
    return kb->kinds[key_code_number(key, KEYSET_AT3) & 0xff] & KIND_REPEAT;
}

void
ps2_keyboard_key(Ps2Keyboard *kb, KeyCode key, bool down)
{
    if ((unsigned)key >= KEYCODES || kb->down[key] == down)
        return;
    kb->down[key] = down;
    if (down)
        kb->repeating = keyboard_repeats(kb, key) ? key : KEYCODE_unmapped;
    else if (kb->repeating == key)
        kb->repeating = KEYCODE_unmapped;
    if (kb->scanning)
        keyboard_send(kb, key, down);
}

void
ps2_keyboard_repeat(Ps2Keyboard *kb)
{
    /* A guest that does not read gets no more of them. */
    if (kb->repeating != KEYCODE_unmapped && kb->scanning && kb->port.n_data == 0)
        keyboard_send(kb, kb->repeating, true);
}

int64_t
ps2_keyboard_delay(const Ps2Keyboard *kb, bool first)
{
    /* (8 + A) * 2^B / 240 seconds between two, (1 + D) * 250 ms before the first. */
    int64_t period = (8 + (kb->rate & 7)) * (INT64_C(1) << (kb->rate >> 3 & 3));

    return first ? ((kb->rate >> 5 & 3) + 1) * INT64_C(250000000)
                 : period * INT64_C(1000000000) / 240;
}

static void
keyboard_parameter(Ps2Keyboard *kb, uint8_t byte)
{
    uint8_t command = kb->command;

    switch (command) {
    case CMD_KEY_REPEAT:
    case CMD_KEY_MAKE_BREAK:
    case CMD_KEY_MAKE:
        /* A list of keys, which the next command ends. */
        kb->kinds[byte] = command == CMD_KEY_REPEAT       ? KIND_REPEAT
                          : command == CMD_KEY_MAKE_BREAK ? KIND_BREAK
                                                          : 0;
        ps2_port_reply(&kb->port, REPLY_ACK);
        return;
    case CMD_LEDS:
        kb->leds = byte & 7;
        break;
    case CMD_RATE:
        kb->rate = byte & 0x7f;
        break;
    case CMD_SET:
        if (byte > 3) {
            ps2_port_reply(&kb->port, REPLY_RESEND);
            return;
        }
        ps2_port_reply(&kb->port, REPLY_ACK);
        if (byte == 0)
            ps2_port_reply(&kb->port, kb->set);
        else
            kb->set = byte;
        kb->command = 0;
        return;
    }
    kb->command = 0;
    ps2_port_reply(&kb->port, REPLY_ACK);
}

static void
keyboard_all_kinds(Ps2Keyboard *kb, uint8_t kind)
{
    memset(kb->kinds, kind, sizeof(kb->kinds));
    kb->port.n_data = 0;
    ps2_port_reply(&kb->port, REPLY_ACK);
}

static void
keyboard_command(Ps2Keyboard *kb, uint8_t byte)
{
    kb->command = 0;
    switch (byte) {
    case CMD_LEDS:
    case CMD_SET:
    case CMD_RATE:
    case CMD_KEY_REPEAT:
    case CMD_KEY_MAKE_BREAK:
    case CMD_KEY_MAKE:
        kb->command = byte;
        ps2_port_reply(&kb->port, REPLY_ACK);
        break;
    case CMD_ECHO:
        ps2_port_reply(&kb->port, CMD_ECHO);
        break;
    case CMD_ID:
        ps2_port_reply(&kb->port, REPLY_ACK);
        ps2_port_reply(&kb->port, 0xab);
        ps2_port_reply(&kb->port, 0x83);
        break;
    case CMD_ENABLE:
        kb->scanning = true;
        kb->port.n_data = 0;
        ps2_port_reply(&kb->port, REPLY_ACK);
        break;
    case CMD_DISABLE:
    case CMD_DEFAULTS:
        keyboard_defaults(kb);
        kb->scanning = byte == CMD_DEFAULTS;
        ps2_port_reply(&kb->port, REPLY_ACK);
        break;
    case CMD_ALL_REPEAT:
        keyboard_all_kinds(kb, KIND_REPEAT);
        break;
    case CMD_ALL_MAKE_BREAK:
        keyboard_all_kinds(kb, KIND_BREAK);
        break;
    case CMD_ALL_MAKE:
        keyboard_all_kinds(kb, 0);
        break;
    case CMD_ALL:
        keyboard_all_kinds(kb, KIND_BREAK | KIND_REPEAT);
        break;
    case CMD_RESEND:
        ps2_port_reply(&kb->port, kb->port.last);
        break;
    case CMD_RESET:
        ps2_port_clear(&kb->port);
        keyboard_defaults(kb);
        kb->leds = 0;
        kb->scanning = true;
        ps2_port_reply(&kb->port, REPLY_ACK);
        ps2_port_reply(&kb->port, REPLY_TESTED);
        break;
    default:
        ps2_port_reply(&kb->port, REPLY_RESEND);
        break;
    }
}

void
ps2_keyboard_write(Ps2Keyboard *kb, uint8_t byte)
{
    /* No parameter has bit 7: such a byte is a new command. */
    if (kb->command && byte < 0x80)
        keyboard_parameter(kb, byte);
    else
        keyboard_command(kb, byte);
}

static bool
keyboard_after_load(void *state, GError **err)
{
    Ps2Keyboard *kb = state;

    kb->repeating = KEYCODE_unmapped;
    memset(kb->down, 0, sizeof(kb->down));
    if (kb->set < 1 || kb->set > 3)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "a keyboard has no scan code set %u",
                              kb->set);
    return ps2_port_check(&kb->port, err);
}

static const SavedField keyboard_fields[] = {
    SAVED_BYTES(Ps2Keyboard, port.replies, 1), SAVED_BYTES(Ps2Keyboard, port.data, 1),
    SAVED(Ps2Keyboard, port.n_replies, 1),     SAVED(Ps2Keyboard, port.n_data, 1),
    SAVED(Ps2Keyboard, port.last, 1),          SAVED(Ps2Keyboard, command, 1),
    SAVED(Ps2Keyboard, set, 1),                SAVED(Ps2Keyboard, leds, 1),
    SAVED(Ps2Keyboard, rate, 1),               SAVED(Ps2Keyboard, scanning, 1),
    SAVED_BYTES(Ps2Keyboard, kinds, 1),
};

const SavedTable ps2_keyboard_saved = {
    .name = "ps2-keyboard",
    .version = 1,
    .oldest = 1,
    .fields = keyboard_fields,
    .n_fields = G_N_ELEMENTS(keyboard_fields),
    .after_load = keyboard_after_load,
};
