/* hmp_input.c - the human monitor types and points: "sendkey", "mouse_move", "mouse_button".
 *
 * Words and bits as QEMU 7.2's monitor has them. Leaves out: "mouse_set".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/input/input.h"
#include "launcher/hmp.h"

enum { STEP_MAX = 1 << 15, HOLD_MAX = 60000 };

/* KEY-KEY…, pressed together. */
void
hmp_sendkey(HmpCall *call)
{
    g_auto(GStrv) keys = g_strsplit(call->words[1], "-", -1);
    JsonObject *args;
    JsonArray *list;
    gint64 hold = 0;

    if (call->n_words > 2 && !hmp_number(call, call->words[2], 0, HOLD_MAX, &hold))
        return;
    args = json_object_new();
    list = json_array_new();
    for (char **key = keys; *key; key++) {
        JsonObject *object = json_object_new();

        json_object_set_string_member(object, "type", "qcode");
        json_object_set_string_member(object, "data", **key ? *key : "minus");
        json_array_add_object_element(list, object);
    }
    json_object_set_array_member(args, "keys", list);
    if (hold > 0)
        json_object_set_int_member(args, "hold-time", hold);
    hmp_do(call, "send-key", args);
}

/* DX DY [DZ], the last of the wheel. */
void
hmp_mouse_move(HmpCall *call)
{
    Input *input = qmp_session_vm(call->session)->machine->input;
    gint64 steps[3] = { 0 };

    for (unsigned i = 1; i < call->n_words; i++)
        if (!hmp_number(call, call->words[i], -STEP_MAX, STEP_MAX, &steps[i - 1]))
            return;
    input_send_rel(input, INPUT_X, (int)steps[0]);
    input_send_rel(input, INPUT_Y, (int)steps[1]);
    input_sync(input);
    if (steps[2] != 0) {
        InputButton wheel = steps[2] > 0 ? INPUT_BUTTON_WHEEL_UP : INPUT_BUTTON_WHEEL_DOWN;

        input_send_button(input, wheel, true);
        input_sync(input);
        input_send_button(input, wheel, false);
        input_sync(input);
    }
}

/* Which are down: 1 left, 2 right, 4 middle. */
void
hmp_mouse_button(HmpCall *call)
{
    static const InputButton buttons[] = { INPUT_BUTTON_LEFT, INPUT_BUTTON_RIGHT,
                                           INPUT_BUTTON_MIDDLE };
    Input *input = qmp_session_vm(call->session)->machine->input;
    gint64 down;

    if (!hmp_number(call, call->words[1], 0, 7, &down))
        return;
    for (unsigned i = 0; i < G_N_ELEMENTS(buttons); i++)
        input_send_button(input, buttons[i], down >> i & 1);
    input_sync(input);
}
