/* ps2.h - what hangs on the two ports of the keyboard controller: a keyboard and a mouse.
 *
 * Both are parts of the controller (i8042.c) and are used with its lock held. Bytes go to them with
 * the write functions and come from their ports with ps2_port_take().
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_INPUT_PS2_H
#define KILN_HW_INPUT_PS2_H

#include "hw/core/saved.h"
#include "hw/input/input.h"

enum { PS2_REPLIES = 16, PS2_DATA = 256, PS2_SET3_CODES = 256 };

/* Bytes on their way to the controller: answers to commands overtake what the user did. */
typedef struct {
    uint8_t replies[PS2_REPLIES];
    uint8_t data[PS2_DATA];
    uint16_t n_replies, n_data;
    uint8_t last; /* taken last, for the resend command */
} Ps2Port;

typedef struct {
    Ps2Port port;
    uint8_t command; /* waits for its parameter; 0: none */
    uint8_t set;     /* scan code set 1 to 3 */
    uint8_t leds;    /* as in the command: 1 scroll, 2 num, 4 caps */
    uint8_t rate;    /* of repetition, as in the command */
    bool scanning;
    uint8_t kinds[PS2_SET3_CODES]; /* of set 3: KIND_ bits by code */
    KeyCode repeating;             /* key that is held, KEYCODE_unmapped: none */
    bool down[KEYCODES];
} Ps2Keyboard;

typedef struct {
    Ps2Port port;
    uint8_t command;
    uint8_t id; /* 0 plain, 3 with wheel, 4 with five buttons */
    uint8_t rate, resolution;
    uint8_t knock[2]; /* the last two rates, for the ids above */
    bool enabled, remote, wrap, scaled;
    int32_t dx, dy, dz; /* not yet told */
    uint8_t buttons, told_buttons;
} Ps2Mouse;

extern const SavedTable ps2_keyboard_saved, ps2_mouse_saved;

bool ps2_port_pending(const Ps2Port *port);
uint8_t ps2_port_take(Ps2Port *port);
/* Checks loaded state. */
bool ps2_port_check(const Ps2Port *port, GError **err);

/* Used by the two devices. reply drops what is too much; send takes all @n bytes or none, keeping
 * @reserve bytes free, and returns whether it did. */
void ps2_port_clear(Ps2Port *port);
void ps2_port_reply(Ps2Port *port, uint8_t byte);
bool ps2_port_send(Ps2Port *port, const uint8_t *bytes, unsigned n, unsigned reserve);

void ps2_keyboard_power_on(Ps2Keyboard *kb);
void ps2_keyboard_write(Ps2Keyboard *kb, uint8_t byte);
void ps2_keyboard_key(Ps2Keyboard *kb, KeyCode key, bool down);
/* The held key once more. */
void ps2_keyboard_repeat(Ps2Keyboard *kb);
/* Nanoseconds until the first (@first) or the next repetition. */
int64_t ps2_keyboard_delay(const Ps2Keyboard *kb, bool first);

void ps2_mouse_power_on(Ps2Mouse *mouse);
void ps2_mouse_write(Ps2Mouse *mouse, uint8_t byte);
void ps2_mouse_event(Ps2Mouse *mouse, const InputEvent *event);
/* Reports what has happened, if the mouse is to and there is room. */
void ps2_mouse_report(Ps2Mouse *mouse);

#endif
