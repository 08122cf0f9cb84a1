/* messages.c - what a client says once it is in (RFC 6143, 7.3 and 7.5, and extensions).
 *
 * Every length that a client names is bounded; a message that makes no sense ends the connection.
 * Text to be pasted is thrown away: the guest has nobody to take it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/vnc/keysym.h"
#include "hw/vnc/private.h"

enum {
    SET_PIXEL_FORMAT = 0,
    SET_ENCODINGS = 2,
    UPDATE_REQUEST = 3,
    KEY_EVENT = 4,
    POINTER_EVENT = 5,
    CUT_TEXT = 6,
    XVP = 250,
    SET_DESKTOP_SIZE = 251,
    QEMU_MESSAGE = 255,
    QEMU_EXTENDED_KEY = 0,
    XVP_VERSION = 1,
    XVP_FAIL = 0,
    XVP_INIT = 1,
    XVP_SHUTDOWN = 2,
    XVP_REBOOT = 3,
    XVP_RESET = 4,
    ENCODINGS_MAX = 1024,
    SCREENS_MAX = 16,
    SIZE_BY_CLIENT = 1,
    SIZE_PROHIBITED = 1,
    SIZE_INVALID = 3,
    SIZE_FORWARDED = 4,
    MOTION_ZERO = 0x7fff, /* no motion, in QEMU's pointer motion */
};

/* ---- pictures ---- */

static void
message_encoding(VncClient *client, int32_t encoding)
{
    switch (encoding) {
    case RFB_ENCODING_RAW:
    case RFB_ENCODING_HEXTILE:
    case RFB_ENCODING_ZLIB:
    case RFB_ENCODING_TIGHT:
        /* The first that we know is the one the client likes best. */
        if (client->encoding < 0)
            client->encoding = encoding;
        break;
    case RFB_ENCODING_DESKTOP_SIZE:
        client->can |= VNC_CAN_RESIZE;
        break;
    case RFB_ENCODING_EXTENDED_SIZE:
        client->can |= VNC_CAN_EXTENDED_SIZE;
        break;
    case RFB_ENCODING_RICH_CURSOR:
        client->can |= VNC_CAN_CURSOR;
        break;
    case RFB_ENCODING_ALPHA_CURSOR:
        client->can |= VNC_CAN_ALPHA_CURSOR;
        break;
    case RFB_ENCODING_POINTER_MOTION:
        client->can |= VNC_CAN_POINTER_MOTION;
        break;
    case RFB_ENCODING_EXTENDED_KEY:
        client->can |= VNC_CAN_EXTENDED_KEY;
        break;
    case RFB_ENCODING_LED_STATE:
        client->can |= VNC_CAN_LED;
        break;
    case RFB_ENCODING_DESKTOP_NAME:
        client->can |= VNC_CAN_NAME;
        break;
    case RFB_ENCODING_XVP:
        client->can |= VNC_CAN_XVP;
        break;
    default:
        if (encoding >= RFB_ENCODING_COMPRESS_0 && encoding <= RFB_ENCODING_COMPRESS_0 + 9)
            client->level = encoding - RFB_ENCODING_COMPRESS_0;
        break;
    }
}

static void
message_put_xvp(VncClient *client, uint8_t code)
{
    const uint8_t message[] = { XVP, 0, XVP_VERSION, code };

    if (!vnc_client_may_answer(client))
        return;
    vnc_put(client, message, sizeof(message));
}

static void
message_set_encodings(VncClient *client, const uint8_t *data, unsigned n)
{
    unsigned before = client->can;

    client->encoding = -1;
    client->can = 0;
    for (unsigned i = 0; i < n; i++)
        message_encoding(client, (int32_t)vnc_get32(data + 4 + 4 * i));
    if (client->encoding < 0)
        client->encoding = RFB_ENCODING_RAW;
    client->send_size |= (client->can & ~before & VNC_CAN_EXTENDED_SIZE) != 0;
    client->send_cursor |= (client->can & ~before & (VNC_CAN_CURSOR | VNC_CAN_ALPHA_CURSOR)) != 0;
    client->send_led |= (client->can & ~before & VNC_CAN_LED) != 0;
    client->send_keys |= (client->can & ~before & VNC_CAN_EXTENDED_KEY) != 0;
    client->send_motion |= (client->can & ~before & VNC_CAN_POINTER_MOTION) != 0;
    if ((client->can & ~before & VNC_CAN_XVP) && client->server->power_control)
        message_put_xvp(client, XVP_INIT);
}

static void
message_update_request(VncClient *client, const uint8_t *data)
{
    if (data[1] == 0) {
        vnc_dirty_all(client);
        if (client->can & VNC_CAN_EXTENDED_SIZE)
            client->send_size = true;
    }
    client->wants = true;
}

static void
message_set_desktop_size(VncClient *client, const uint8_t *data)
{
    VncServer *server = client->server;
    uint16_t width = vnc_get16(data + 2), height = vnc_get16(data + 4);

    client->send_size = true;
    client->size_reason = SIZE_BY_CLIENT;
    if (!server->screen || client->server->clients->len == 0)
        client->size_status = SIZE_PROHIBITED;
    else if (width == 0 || height == 0)
        client->size_status = SIZE_INVALID;
    else
        client->size_status =
            screen_suggest_size(server->screen, width, height) ? SIZE_FORWARDED : SIZE_PROHIBITED;
}

/* ---- keys and pointer ---- */

static void
message_key(VncClient *client, KeyCode key, bool down)
{
    Input *input = client->server->machine->input;

    if (key <= KEYCODE_unmapped || key >= KEYCODES)
        return;
    if (down)
        client->keys[key / 8] |= (uint8_t)(1u << (key % 8));
    else
        client->keys[key / 8] &= (uint8_t) ~(1u << (key % 8));
    input_send_key(input, key, down);
    input_sync(input);
    if (client->server->screen)
        screen_poke(client->server->screen);
}

static void
message_buttons(VncClient *client, uint8_t mask)
{
    static const InputButton buttons[8] = {
        INPUT_BUTTON_LEFT,        INPUT_BUTTON_MIDDLE,     INPUT_BUTTON_RIGHT,
        INPUT_BUTTON_WHEEL_UP,    INPUT_BUTTON_WHEEL_DOWN, INPUT_BUTTON_WHEEL_LEFT,
        INPUT_BUTTON_WHEEL_RIGHT, INPUT_BUTTON_SIDE,
    };
    Input *input = client->server->machine->input;
    uint8_t changed = client->buttons ^ mask;

    for (unsigned i = 0; i < 8; i++)
        if (changed >> i & 1)
            input_send_button(input, buttons[i], mask >> i & 1);
    client->buttons = mask;
}

static void
message_pointer(VncClient *client, const uint8_t *data)
{
    Input *input = client->server->machine->input;
    int x = vnc_get16(data + 2), y = vnc_get16(data + 4);

    if (input_is_absolute(input)) {
        input_send_abs(input, INPUT_X, x, (int)client->width);
        input_send_abs(input, INPUT_Y, y, (int)client->height);
    } else if (client->can & VNC_CAN_POINTER_MOTION) {
        input_send_rel(input, INPUT_X, x - MOTION_ZERO);
        input_send_rel(input, INPUT_Y, y - MOTION_ZERO);
    } else if (client->has_last) {
        input_send_rel(input, INPUT_X, x - client->last_x);
        input_send_rel(input, INPUT_Y, y - client->last_y);
    }
    client->last_x = x;
    client->last_y = y;
    client->has_last = true;
    message_buttons(client, data[1]);
    input_sync(input);
    if (client->server->screen)
        screen_poke(client->server->screen);
}

void
vnc_release_input(VncClient *client)
{
    if (!client->authenticated)
        return;
    for (int key = 0; key < KEYCODES; key++)
        if (client->keys[key / 8] >> (key % 8) & 1)
            message_key(client, (KeyCode)key, false);
    if (client->buttons) {
        message_buttons(client, 0);
        input_sync(client->server->machine->input);
    }
}

static void
message_xvp(VncClient *client, const uint8_t *data)
{
    Machine *machine = client->server->machine;

    if (!client->server->power_control || data[2] != XVP_VERSION) {
        message_put_xvp(client, XVP_FAIL);
        return;
    }
    switch (data[3]) {
    case XVP_SHUTDOWN:
        machine->ops->request(machine->host, MACHINE_POWERDOWN, 0);
        break;
    case XVP_REBOOT:
    case XVP_RESET:
        machine->ops->request(machine->host, MACHINE_RESET, 0);
        break;
    default:
        message_put_xvp(client, XVP_FAIL);
        break;
    }
}

/* ---- taking messages apart ---- */

static void
message_next(VncClient *client)
{
    vnc_client_expect(client, 1, vnc_message);
}

/* How many bytes a message has beyond the @have that are there; 0 when it is whole, SIZE_MAX when
 * it makes no sense. */
static size_t
message_length(const VncClient *client, const uint8_t *data, size_t have)
{
    size_t whole;

    switch (data[0]) {
    case SET_PIXEL_FORMAT:
        whole = 20;
        break;
    case SET_ENCODINGS:
        whole = 4;
        if (have >= 4) {
            if (vnc_get16(data + 2) > ENCODINGS_MAX)
                return SIZE_MAX;
            whole = 4 + 4 * (size_t)vnc_get16(data + 2);
        }
        break;
    case UPDATE_REQUEST:
        whole = 10;
        break;
    case KEY_EVENT:
        whole = 8;
        break;
    case POINTER_EVENT:
        whole = 6;
        break;
    case CUT_TEXT:
        whole = 8;
        break;
    case XVP:
        whole = 4;
        break;
    case SET_DESKTOP_SIZE:
        whole = 8;
        if (have >= 8) {
            if (data[6] > SCREENS_MAX)
                return SIZE_MAX;
            whole = 8 + 16 * (size_t)data[6];
        }
        break;
    case QEMU_MESSAGE:
        whole = 2;
        if (have >= 2) {
            if (data[1] != QEMU_EXTENDED_KEY || !(client->can & VNC_CAN_EXTENDED_KEY))
                return SIZE_MAX;
            whole = 12;
        }
        break;
    default:
        return SIZE_MAX;
    }
    return whole > have ? whole - have : 0;
}

static bool
message_run(VncClient *client, const uint8_t *data)
{
    PixelFormat format;

    switch (data[0]) {
    case SET_PIXEL_FORMAT:
        if (!vnc_format_parse(data + 4, &format))
            return false;
        client->format = format;
        if (!data[4 + 3] && vnc_client_may_answer(client))
            vnc_format_put(client, &format);
        vnc_dirty_all(client);
        client->send_cursor = true;
        break;
    case SET_ENCODINGS:
        message_set_encodings(client, data, vnc_get16(data + 2));
        break;
    case UPDATE_REQUEST:
        message_update_request(client, data);
        vnc_update(client);
        break;
    case KEY_EVENT:
        message_key(client, keysym_key(vnc_get32(data + 4)), data[1] != 0);
        break;
    case POINTER_EVENT:
        message_pointer(client, data);
        break;
    case CUT_TEXT:
        if (vnc_get32(data + 4) > VNC_CUT_TEXT_MAX)
            return false;
        client->skip = vnc_get32(data + 4);
        break;
    case XVP:
        message_xvp(client, data);
        break;
    case SET_DESKTOP_SIZE:
        message_set_desktop_size(client, data);
        vnc_update(client);
        break;
    default:
        message_key(client, key_code_from(KEYSET_QNUM, vnc_get32(data + 8)),
                    vnc_get16(data + 2) != 0);
        break;
    }
    return true;
}

size_t
vnc_message(VncClient *client, const uint8_t *data)
{
    size_t more = message_length(client, data, client->expect);

    if (more > 0 && more != SIZE_MAX)
        return more;
    if (more == SIZE_MAX || !message_run(client, data))
        vnc_client_close(client);
    else
        message_next(client);
    return 0;
}

/* ---- introduction (7.3) ---- */

static size_t
session_init(VncClient *client, const uint8_t *data)
{
    VncServer *server = client->server;
    g_autofree char *name =
        server->name ? g_strdup_printf("Kiln (%s)", server->name) : g_strdup("Kiln");
    size_t len = MIN(strlen(name), 1024);
    Surface *surface;

    client->exclusive = data[0] == 0;
    if (!vnc_server_admit(server, client)) {
        vnc_client_close(client);
        return 0;
    }
    client->active = true;
    vnc_server_watch(server);
    surface = vnc_server_surface(server);
    if (!surface) {
        vnc_client_close(client);
        return 0;
    }
    client->width = MIN(surface->width, UINT16_MAX);
    client->height = MIN(surface->height, UINT16_MAX);
    vnc_client_resized(client);
    vnc_put16(client, (uint16_t)client->width);
    vnc_put16(client, (uint16_t)client->height);
    vnc_format_put(client, NULL);
    vnc_put32(client, (uint32_t)len);
    vnc_put(client, name, len);
    message_next(client);
    vnc_server_event(server, client, "VNC_INITIALIZED");
    return 0;
}

void
vnc_session_begin(VncClient *client)
{
    client->authenticated = true;
    vnc_client_expect(client, 1, session_init);
}
