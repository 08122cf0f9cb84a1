/* input.h - keys, pointers and lights of one guest: between those who type (VNC, QMP) and the
 * devices that take it (PS/2, USB, virtio).
 *
 * An event goes to one device of those that take its kind: the one that the guest activated last,
 * or, before the guest has chosen, the first that was made. Events of one hand are sent one after
 * another and closed with input_sync(), which makes them visible to the guest together.
 *
 * Threads: everything runs in the main thread, but input_sink_activate(), input_sink_deactivate()
 * and input_sink_set_leds(), which devices call from any thread with their own lock held. Sinks'
 * callbacks run in the main thread with no lock held; a sink queues at most INPUT_QUEUE events and
 * drops what is more, as a full keyboard buffer does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_INPUT_INPUT_H
#define KILN_HW_INPUT_INPUT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/keys.h"

typedef struct Input Input;
typedef struct InputSink InputSink;

enum {
    INPUT_ABS_MAX = 0x7fff, /* absolute positions are 0 to this, over the whole screen */
    INPUT_QUEUE = 1024,     /* most events a device keeps for the guest */
};

typedef enum { INPUT_KEY, INPUT_BUTTON, INPUT_REL, INPUT_ABS, INPUT_KINDS } InputKind;

typedef enum {
    INPUT_BUTTON_LEFT,
    INPUT_BUTTON_MIDDLE,
    INPUT_BUTTON_RIGHT,
    INPUT_BUTTON_WHEEL_UP,
    INPUT_BUTTON_WHEEL_DOWN,
    INPUT_BUTTON_SIDE,
    INPUT_BUTTON_EXTRA,
    INPUT_BUTTON_WHEEL_LEFT,
    INPUT_BUTTON_WHEEL_RIGHT,
    INPUT_BUTTONS
} InputButton;

typedef enum { INPUT_X, INPUT_Y } InputAxis;

enum { INPUT_LED_SCROLL = 1, INPUT_LED_NUM = 2, INPUT_LED_CAPS = 4 };

typedef struct {
    InputKind kind;
    int code;  /* KeyCode, InputButton or InputAxis */
    int value; /* key, button: 1 down, 0 up; REL: steps; ABS: 0 to INPUT_ABS_MAX */
} InputEvent;

/* ---- for those who type; main thread ---- */

Input *input_new(GMainContext *context);
/* All sinks must be gone. NULL is accepted. */
void input_free(Input *input);

/* Queue one event; a key that is already so is not dropped (a repeat is a further press). A code
 * out of range is ignored, and a value is brought into its range. */
void input_send_key(Input *input, KeyCode key, bool down);
void input_send_button(Input *input, InputButton button, bool down);
void input_send_rel(Input *input, InputAxis axis, int steps);
/* @position of @size, both in the viewer's pixels; @size of 0 or less is ignored. */
void input_send_abs(Input *input, InputAxis axis, int position, int size);
/* The same in the device's own measure, 0 to INPUT_ABS_MAX. */
void input_send_abs_scaled(Input *input, InputAxis axis, int position);
/* Ends a group of events. */
void input_sync(Input *input);

/* Presses @n keys in order, and lets go of them in the opposite order after @hold_ms milliseconds
 * (0: 100 ms), one set after another when several are asked for. Returns false when too many are
 * waiting. */
bool input_type_keys(Input *input, const KeyCode *keys, unsigned n, unsigned hold_ms);

/* Lets go of every key and button that is down: a viewer has left. */
void input_release_all(Input *input);

/* The pointer that takes events now wants absolute positions (true) or steps. */
bool input_is_absolute(Input *input);
/* There is a keyboard, a pointer. */
bool input_has(Input *input, InputKind kind);
/* INPUT_LED_ bits of the keyboard that takes keys now. */
unsigned input_leds(Input *input);

/* @changed runs in the main loop after lights, or absolute and relative, have changed. Returns a
 * number for input_unwatch(). */
unsigned input_watch(Input *input, void (*changed)(void *opaque), void *opaque);
void input_unwatch(Input *input, unsigned watch);

/* The pointers, for query-mice: the one in use first. */
typedef void (*InputVisit)(const char *name, unsigned index, bool absolute, bool current,
                           void *opaque);
void input_visit_mice(Input *input, InputVisit fn, void *opaque);

/* ---- for devices ---- */

typedef struct {
    const char *name;
    unsigned takes; /* bits 1 << InputKind */
    void (*event)(void *opaque, const InputEvent *event);
    void (*sync)(void *opaque); /* optional */
} InputSinkOps;

/* Main thread. @ops must outlive the sink. */
InputSink *input_sink_new(Input *input, const InputSinkOps *ops, void *opaque);
/* NULL is accepted. */
void input_sink_free(InputSink *sink);

/* The guest has begun (ended) to use this device: it takes events before (after) all others. */
void input_sink_activate(InputSink *sink);
void input_sink_deactivate(InputSink *sink);
/* The guest has set lights: INPUT_LED_ bits. */
void input_sink_set_leds(InputSink *sink, unsigned leds);

#endif
