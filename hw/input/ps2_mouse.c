/* ps2_mouse.c - the PS/2 mouse, with the wheel (id 3) and five buttons (id 4) that a driver turns
 * on by setting three rates in a row.
 *
 * IBM PS/2 Hardware Interface Technical Reference, Mouse; Microsoft's IntelliMouse and IntelliMouse
 * Explorer extensions.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/input/ps2.h"

enum {
    CMD_SCALE_1 = 0xe6,
    CMD_SCALE_2 = 0xe7,
    CMD_RESOLUTION = 0xe8,
    CMD_STATUS = 0xe9,
    CMD_STREAM = 0xea,
    CMD_READ = 0xeb,
    CMD_UNWRAP = 0xec,
    CMD_WRAP = 0xee,
    CMD_REMOTE = 0xf0,
    CMD_ID = 0xf2,
    CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULTS = 0xf6,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff,
    REPLY_ACK = 0xfa,
    REPLY_TESTED = 0xaa,
    REPLY_RESEND = 0xfe,
    ID_PLAIN = 0,
    ID_WHEEL = 3,
    ID_FIVE = 4,
    BUTTON_LEFT = 1,
    BUTTON_RIGHT = 2,
    BUTTON_MIDDLE = 4,
    BUTTON_SIDE = 8,
    BUTTON_EXTRA = 16,
    PACKET_MAX = 4,
    MOVE_MAX = 1 << 20, /* steps kept while the guest does not read */
};

static void
mouse_defaults(Ps2Mouse *mouse)
{
    mouse->command = 0;
    mouse->rate = 100;
    mouse->resolution = 2;
    mouse->scaled = mouse->remote = mouse->wrap = mouse->enabled = false;
    mouse->dx = mouse->dy = mouse->dz = 0;
}

void
ps2_mouse_power_on(Ps2Mouse *mouse)
{
    ps2_port_clear(&mouse->port);
    mouse_defaults(mouse);
    mouse->id = ID_PLAIN;
    mouse->knock[0] = mouse->knock[1] = 0;
    mouse->buttons = mouse->told_buttons = 0;
}

/* Builds one packet and takes what it tells from the movement. */
static unsigned
mouse_packet(Ps2Mouse *mouse, uint8_t *ret)
{
    int dx = CLAMP(mouse->dx, -255, 255), dy = CLAMP(mouse->dy, -255, 255), dz = 0;

    mouse->dx -= dx;
    mouse->dy -= dy;
    mouse->told_buttons = mouse->buttons;
    ret[0] = (uint8_t)(8 | (mouse->buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
    ret[1] = (uint8_t)dx;
    ret[2] = (uint8_t)dy;
    if (mouse->id == ID_PLAIN) {
        mouse->dz = 0;
        return 3;
    }
    dz = mouse->id == ID_WHEEL ? CLAMP(mouse->dz, -127, 127) : CLAMP(mouse->dz, -7, 7);
    mouse->dz -= dz;
    ret[3] = (uint8_t)dz;
    if (mouse->id == ID_FIVE)
        ret[3] = (uint8_t)((dz & 15) | (mouse->buttons >> 3 & 3) << 4);
    return 4;
}

void
ps2_mouse_report(Ps2Mouse *mouse)
{
    uint8_t packet[PACKET_MAX];

    if (!mouse->enabled || mouse->remote || mouse->wrap)
        return;
    while ((mouse->dx || mouse->dy || mouse->dz || mouse->buttons != mouse->told_buttons) &&
           mouse->port.n_data + PACKET_MAX <= PS2_DATA) {
        unsigned n = mouse_packet(mouse, packet);

        ps2_port_send(&mouse->port, packet, n, 0);
    }
}

void
ps2_mouse_event(Ps2Mouse *mouse, const InputEvent *event)
{
    static const uint8_t bits[INPUT_BUTTONS] = {
        [INPUT_BUTTON_LEFT] = BUTTON_LEFT,   [INPUT_BUTTON_MIDDLE] = BUTTON_MIDDLE,
        [INPUT_BUTTON_RIGHT] = BUTTON_RIGHT, [INPUT_BUTTON_SIDE] = BUTTON_SIDE,
        [INPUT_BUTTON_EXTRA] = BUTTON_EXTRA,
    };

    if (event->kind == INPUT_REL && event->code == INPUT_X) {
        mouse->dx = CLAMP(mouse->dx + event->value, -MOVE_MAX, MOVE_MAX);
    } else if (event->kind == INPUT_REL) {
        mouse->dy = CLAMP(mouse->dy - event->value, -MOVE_MAX, MOVE_MAX);
    } else if (event->kind == INPUT_BUTTON && event->code == INPUT_BUTTON_WHEEL_UP) {
        mouse->dz -= event->value && mouse->dz > -MOVE_MAX;
    } else if (event->kind == INPUT_BUTTON && event->code == INPUT_BUTTON_WHEEL_DOWN) {
        mouse->dz += event->value && mouse->dz < MOVE_MAX;
    } else if (event->kind == INPUT_BUTTON) {
        if (event->value)
            mouse->buttons |= bits[event->code];
        else
            mouse->buttons &= (uint8_t)~bits[event->code];
        /* Each change is told: a click between two reports is not lost. */
        ps2_mouse_report(mouse);
    }
}

static void
mouse_set_rate(Ps2Mouse *mouse, uint8_t rate)
{
    if (mouse->knock[0] == 200 && mouse->knock[1] == 100 && rate == 80)
        mouse->id = ID_WHEEL;
    else if (mouse->knock[0] == 200 && mouse->knock[1] == 200 && rate == 80)
        mouse->id = ID_FIVE;
    mouse->knock[0] = mouse->knock[1];
    mouse->knock[1] = rate;
    mouse->rate = rate;
}

static void
mouse_status(Ps2Mouse *mouse)
{
    uint8_t buttons = (uint8_t)((mouse->buttons & BUTTON_LEFT ? 4 : 0) |
                                (mouse->buttons & BUTTON_MIDDLE ? 2 : 0) |
                                (mouse->buttons & BUTTON_RIGHT ? 1 : 0));

    ps2_port_reply(&mouse->port, (uint8_t)(buttons | (mouse->scaled ? 0x10 : 0) |
                                           (mouse->enabled ? 0x20 : 0) |
                                           (mouse->remote ? 0x40 : 0)));
    ps2_port_reply(&mouse->port, mouse->resolution);
    ps2_port_reply(&mouse->port, mouse->rate);
}

static void
mouse_command(Ps2Mouse *mouse, uint8_t byte)
{
    uint8_t packet[PACKET_MAX];
    unsigned n;

    /* What was under way ends with a command, so that its answer comes next. */
    mouse->port.n_replies = 0;
    if (byte != CMD_RESEND && byte != CMD_READ)
        mouse->port.n_data = 0;
    if (byte != CMD_RESEND)
        ps2_port_reply(&mouse->port, REPLY_ACK);
    switch (byte) {
    case CMD_SCALE_1:
    case CMD_SCALE_2:
        mouse->scaled = byte == CMD_SCALE_2;
        break;
    case CMD_RESOLUTION:
    case CMD_RATE:
        mouse->command = byte;
        break;
    case CMD_STATUS:
        mouse_status(mouse);
        break;
    case CMD_STREAM:
    case CMD_REMOTE:
        mouse->remote = byte == CMD_REMOTE;
        break;
    case CMD_READ:
        n = mouse_packet(mouse, packet);
        for (unsigned i = 0; i < n; i++)
            ps2_port_reply(&mouse->port, packet[i]);
        break;
    case CMD_UNWRAP:
        mouse->wrap = false;
        break;
    case CMD_WRAP:
        mouse->wrap = true;
        break;
    case CMD_ID:
        ps2_port_reply(&mouse->port, mouse->id);
        break;
    case CMD_ENABLE:
        mouse->enabled = true;
        break;
    case CMD_DISABLE:
        mouse->enabled = false;
        break;
    case CMD_DEFAULTS:
        mouse_defaults(mouse);
        break;
    case CMD_RESEND:
        ps2_port_reply(&mouse->port, mouse->port.last);
        break;
    case CMD_RESET:
        mouse_defaults(mouse);
        mouse->id = ID_PLAIN;
        ps2_port_reply(&mouse->port, REPLY_TESTED);
        ps2_port_reply(&mouse->port, ID_PLAIN);
        break;
    default:
        mouse->port.n_replies = 0;
        ps2_port_reply(&mouse->port, REPLY_RESEND);
        break;
    }
}

void
ps2_mouse_write(Ps2Mouse *mouse, uint8_t byte)
{
    if (mouse->wrap && byte != CMD_RESET && byte != CMD_UNWRAP) {
        ps2_port_reply(&mouse->port, byte);
        return;
    }
    if (mouse->command) {
        if (mouse->command == CMD_RATE)
            mouse_set_rate(mouse, byte);
        else
            mouse->resolution = byte & 3;
        mouse->command = 0;
        ps2_port_reply(&mouse->port, REPLY_ACK);
        return;
    }
    mouse_command(mouse, byte);
}

static bool
mouse_after_load(void *state, GError **err)
{
    Ps2Mouse *mouse = state;

    mouse->dx = CLAMP(mouse->dx, -MOVE_MAX, MOVE_MAX);
    mouse->dy = CLAMP(mouse->dy, -MOVE_MAX, MOVE_MAX);
    mouse->dz = CLAMP(mouse->dz, -MOVE_MAX, MOVE_MAX);
    return ps2_port_check(&mouse->port, err);
}

static const SavedField mouse_fields[] = {
    SAVED_BYTES(Ps2Mouse, port.replies, 1), SAVED_BYTES(Ps2Mouse, port.data, 1),
    SAVED(Ps2Mouse, port.n_replies, 1),     SAVED(Ps2Mouse, port.n_data, 1),
    SAVED(Ps2Mouse, port.last, 1),          SAVED(Ps2Mouse, command, 1),
    SAVED(Ps2Mouse, id, 1),                 SAVED(Ps2Mouse, rate, 1),
    SAVED(Ps2Mouse, resolution, 1),         SAVED_BYTES(Ps2Mouse, knock, 1),
    SAVED(Ps2Mouse, enabled, 1),            SAVED(Ps2Mouse, remote, 1),
    SAVED(Ps2Mouse, wrap, 1),               SAVED(Ps2Mouse, scaled, 1),
    SAVED(Ps2Mouse, dx, 1),                 SAVED(Ps2Mouse, dy, 1),
    SAVED(Ps2Mouse, dz, 1),                 SAVED(Ps2Mouse, buttons, 1),
    SAVED(Ps2Mouse, told_buttons, 1),
};

const SavedTable ps2_mouse_saved = {
    .name = "ps2-mouse",
    .version = 1,
    .oldest = 1,
    .fields = mouse_fields,
    .n_fields = G_N_ELEMENTS(mouse_fields),
    .after_load = mouse_after_load,
};
