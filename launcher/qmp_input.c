/* qmp_input.c - QMP commands that type and point: send-key, input-send-event, query-mice.
 *
 * QEMU 7.2 qapi/ui.json. Leaves out: sending to one device or screen by name, which is refused.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/input/input.h"
#include "launcher/qmp_handlers.h"
#include "util/error.h"

enum { KEYS_MAX = 16, EVENTS_MAX = 256 };

#define COMMAND(name)                                                                              \
    JsonNode *name(G_GNUC_UNUSED QmpSession *session, G_GNUC_UNUSED JsonObject *args,              \
                   G_GNUC_UNUSED GError **err)

static const char *
input_text(JsonObject *object, const char *name)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;

    return node && json_node_get_value_type(node) == G_TYPE_STRING ? json_node_get_string(node)
                                                                   : NULL;
}

static bool
input_int(JsonObject *object, const char *name, int64_t *ret)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;

    if (!node || json_node_get_value_type(node) != G_TYPE_INT64)
        return false;
    *ret = json_node_get_int(node);
    return true;
}

static bool
input_bool(JsonObject *object, const char *name, bool *ret)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;

    if (!node || json_node_get_value_type(node) != G_TYPE_BOOLEAN)
        return false;
    *ret = json_node_get_boolean(node);
    return true;
}

static JsonObject *
input_object(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* A KeyValue: {"type": "qcode", "data": NAME} or {"type": "number", "data": N}. */
static KeyCode
input_key(JsonObject *key, GError **err)
{
    const char *type = input_text(key, "type"), *name = input_text(key, "data");
    KeyCode code = KEYCODE_unmapped;
    int64_t number = 0;

    if (type && name && !strcmp(type, "qcode")) {
        code = key_code_find(name);
    } else if (type && !strcmp(type, "number") && input_int(key, "data", &number)) {
        code = number > 0 && number <= 0xffff ? key_code_from(KEYSET_QNUM, (unsigned)number)
                                              : KEYCODE_unmapped;
    } else {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "a key is {\"type\":\"qcode\",\"data\":NAME} or "
                       "{\"type\":\"number\",\"data\":NUMBER}");
        return KEYCODE_unmapped;
    }
    if (code == KEYCODE_unmapped && name)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'data' does not accept value '%s'",
                       name);
    else if (code == KEYCODE_unmapped)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "there is no key %" G_GINT64_FORMAT, number);
    return code;
}

COMMAND(qmp_send_key)
{
    Input *input = qmp_session_vm(session)->machine->input;
    JsonNode *node = json_object_get_member(args, "keys");
    int64_t hold = json_object_get_int_member_with_default(args, "hold-time", 0);
    KeyCode keys[KEYS_MAX];
    JsonArray *list;

    if (!node || !JSON_NODE_HOLDS_ARRAY(node)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'keys' is not a list");
        return NULL;
    }
    list = json_node_get_array(node);
    if (json_array_get_length(list) > KEYS_MAX) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "%u keys at once, at most %d",
                       json_array_get_length(list), KEYS_MAX);
        return NULL;
    }
    for (guint i = 0; i < json_array_get_length(list); i++) {
        keys[i] = input_key(input_object(json_array_get_element(list, i)), err);
        if (keys[i] == KEYCODE_unmapped)
            return NULL;
    }
    if (!input_has(input, INPUT_KEY))
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "the guest has no keyboard");
    else if (!input_type_keys(input, keys, json_array_get_length(list),
                              (unsigned)CLAMP(hold, 0, 60000)))
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                       "too many keys are waiting to be typed: try again later");
    return NULL;
}

/* One InputEvent, checked (@send false) or sent. */
static bool
input_event(Input *input, JsonObject *event, bool send, GError **err)
{
    static const char *const buttons[] = { "left",     "middle",     "right",
                                           "wheel-up", "wheel-down", "side",
                                           "extra",    "wheel-left", "wheel-right" };
    const char *type = input_text(event, "type");
    JsonObject *data = event ? input_object(json_object_get_member(event, "data")) : NULL;
    const char *name;
    int64_t value;
    bool down;

    if (type && !strcmp(type, "key") && input_bool(data, "down", &down)) {
        KeyCode key = input_key(input_object(json_object_get_member(data, "key")), err);

        if (key == KEYCODE_unmapped)
            return false;
        if (send)
            input_send_key(input, key, down);
        return true;
    }
    if (type && !strcmp(type, "btn") && input_bool(data, "down", &down) &&
        (name = input_text(data, "button"))) {
        for (unsigned i = 0; i < G_N_ELEMENTS(buttons); i++) {
            if (strcmp(buttons[i], name))
                continue;
            if (send)
                input_send_button(input, (InputButton)i, down);
            return true;
        }
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "there is no button '%s'", name);
    }
    if (type && (!strcmp(type, "rel") || !strcmp(type, "abs")) &&
        (name = input_text(data, "axis")) && input_int(data, "value", &value)) {
        InputAxis axis = !strcmp(name, "x") ? INPUT_X : INPUT_Y;

        if (axis == INPUT_Y && strcmp(name, "y"))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "there is no axis '%s'", name);
        value = CLAMP(value, -INPUT_ABS_MAX, INPUT_ABS_MAX);
        if (send && *type == 'a')
            input_send_abs_scaled(input, axis, (int)value);
        else if (send)
            input_send_rel(input, axis, (int)value);
        return true;
    }
    return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "an event of type '%s' is not understood: key, btn, rel and abs "
                          "are, with their data",
                          type ? type : "");
}

COMMAND(qmp_input_send_event)
{
    Input *input = qmp_session_vm(session)->machine->input;
    JsonNode *node = json_object_get_member(args, "events");
    JsonArray *list;

    if (json_object_has_member(args, "device")) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "events for one screen are not offered: leave out 'device'");
        return NULL;
    }
    if (!node || !JSON_NODE_HOLDS_ARRAY(node) ||
        json_array_get_length(json_node_get_array(node)) > EVENTS_MAX) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "'events' is a list of at most %d", EVENTS_MAX);
        return NULL;
    }
    list = json_node_get_array(node);
    for (int pass = 0; pass < 2; pass++) {
        for (guint i = 0; i < json_array_get_length(list); i++) {
            if (!input_event(input, input_object(json_array_get_element(list, i)), pass == 1, err))
                return NULL;
        }
    }
    input_sync(input);
    return NULL;
}

static void
input_add_mouse(const char *name, unsigned index, bool absolute, bool current, void *opaque)
{
    JsonObject *mouse = json_object_new();

    json_object_set_string_member(mouse, "name", name);
    json_object_set_int_member(mouse, "index", index);
    json_object_set_boolean_member(mouse, "current", current);
    json_object_set_boolean_member(mouse, "absolute", absolute);
    json_array_add_object_element(opaque, mouse);
}

COMMAND(qmp_query_mice)
{
    JsonArray *mice = json_array_new();

    input_visit_mice(qmp_session_vm(session)->machine->input, input_add_mouse, mice);
    return qmp_node_array(mice);
}
