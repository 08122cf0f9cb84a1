/* update.c - what has changed, and telling each client of it when it asks (RFC 6143, 7.6.1).
 *
 * The server keeps a shadow: the picture as clients have been shown it. What the screen says has
 * changed is compared with it, so that a device may be coarse, and clients are encoded from bytes
 * that stand still.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/vnc/private.h"

enum {
    FRAMEBUFFER_UPDATE = 0,
    UPDATE_BYTES_MAX = 64 << 20, /* the rest of a very large picture goes with the next request */
    RECT_BYTES_MAX = 8 << 20,    /* of pixels at four bytes each */
    RECTS_MAX = 60000,
};

void
vnc_rect_head(VncClient *client, uint32_t x, uint32_t y, uint32_t w, uint32_t h, int encoding)
{
    vnc_put16(client, (uint16_t)x);
    vnc_put16(client, (uint16_t)y);
    vnc_put16(client, (uint16_t)w);
    vnc_put16(client, (uint16_t)h);
    vnc_put32(client, (uint32_t)encoding);
}

/* ---- tiles ---- */

static bool
tile_get(const uint8_t *tiles, uint32_t at)
{
    return tiles[at / 8] >> (at % 8) & 1;
}

static void
tile_set(uint8_t *tiles, uint32_t at)
{
    tiles[at / 8] |= (uint8_t)(1u << (at % 8));
}

static void
tile_clear(uint8_t *tiles, uint32_t at)
{
    tiles[at / 8] &= (uint8_t) ~(1u << (at % 8));
}

static size_t
tile_bytes(const VncServer *server)
{
    return ((size_t)server->columns * server->rows + 7) / 8;
}

void
vnc_dirty_all(VncClient *client)
{
    if (client->dirty)
        memset(client->dirty, 0xff, tile_bytes(client->server));
}

void
vnc_client_resized(VncClient *client)
{
    const Surface *shadow = client->server->shadow;
    uint32_t width = MIN(shadow->width, UINT16_MAX), height = MIN(shadow->height, UINT16_MAX);

    g_free(client->dirty);
    client->dirty = g_malloc(tile_bytes(client->server));
    vnc_dirty_all(client);
    if ((width == client->width && height == client->height) ||
        !(client->can & (VNC_CAN_EXTENDED_SIZE | VNC_CAN_RESIZE)))
        return;
    client->width = width;
    client->height = height;
    client->send_size = true;
}

/* Takes the next rectangle of dirty tiles, as wide and then as high as it goes and may be. */
static bool
take_rect(VncClient *client, uint32_t *at, ScreenRect *ret)
{
    const VncServer *server = client->server;
    const Surface *shadow = server->shadow;
    uint32_t limit_x = MIN(client->width, shadow->width);
    uint32_t limit_y = MIN(client->height, shadow->height);

    for (; *at < server->columns * server->rows; (*at)++) {
        uint32_t row = *at / server->columns, column = *at % server->columns, w = 1, h = 1;

        if (!tile_get(client->dirty, *at))
            continue;
        tile_clear(client->dirty, *at);
        while (column + w < server->columns && tile_get(client->dirty, *at + w))
            tile_clear(client->dirty, *at + w++);
        for (; row + h < server->rows &&
               (h + 1) * VNC_TILE_HEIGHT * w * VNC_TILE_WIDTH * 4 <= RECT_BYTES_MAX;
             h++) {
            uint32_t below = *at + h * server->columns, i = 0;

            while (i < w && tile_get(client->dirty, below + i))
                i++;
            if (i < w)
                break;
            for (i = 0; i < w; i++)
                tile_clear(client->dirty, below + i);
        }
        *ret = (ScreenRect){ column * VNC_TILE_WIDTH, row * VNC_TILE_HEIGHT, w * VNC_TILE_WIDTH,
                             h * VNC_TILE_HEIGHT };
        if (ret->x >= limit_x || ret->y >= limit_y)
            continue;
        ret->width = MIN(ret->width, limit_x - ret->x);
        ret->height = MIN(ret->height, limit_y - ret->y);
        return true;
    }
    return false;
}

/* ---- pseudo rectangles ---- */

static void
put_size(VncClient *client)
{
    if (!(client->can & VNC_CAN_EXTENDED_SIZE)) {
        vnc_rect_head(client, 0, 0, client->width, client->height, RFB_ENCODING_DESKTOP_SIZE);
        return;
    }
    vnc_rect_head(client, client->size_reason, client->size_status, client->width, client->height,
                  RFB_ENCODING_EXTENDED_SIZE);
    vnc_put32(client, 1u << 24); /* one screen */
    vnc_put32(client, 0);
    vnc_put16(client, 0);
    vnc_put16(client, 0);
    vnc_put16(client, (uint16_t)client->width);
    vnc_put16(client, (uint16_t)client->height);
    vnc_put32(client, 0);
    client->size_reason = client->size_status = 0;
}

static void
put_alpha_cursor(VncClient *client, const Cursor *cursor)
{
    size_t n = (size_t)cursor->width * cursor->height;
    uint8_t *out;

    vnc_rect_head(client, cursor->hot_x, cursor->hot_y, cursor->width, cursor->height,
                  RFB_ENCODING_ALPHA_CURSOR);
    vnc_put32(client, RFB_ENCODING_RAW);
    out = vnc_put_room(client, n * 4);
    for (size_t i = 0; i < n; i++, out += 4) {
        uint32_t pixel = cursor->pixels[i], alpha = pixel >> 24;

        out[0] = (uint8_t)((pixel >> 16 & 255) * alpha / 255);
        out[1] = (uint8_t)((pixel >> 8 & 255) * alpha / 255);
        out[2] = (uint8_t)((pixel & 255) * alpha / 255);
        out[3] = (uint8_t)alpha;
    }
}

static void
put_rich_cursor(VncClient *client, const Cursor *cursor)
{
    size_t n = (size_t)cursor->width * cursor->height, row = (cursor->width + 7) / 8;
    uint8_t *mask;

    vnc_rect_head(client, cursor->hot_x, cursor->hot_y, cursor->width, cursor->height,
                  RFB_ENCODING_RICH_CURSOR);
    vnc_convert(&client->format, vnc_put_room(client, n * client->format.bytes), cursor->pixels, n);
    mask = vnc_put_room(client, row * cursor->height);
    memset(mask, 0, row * cursor->height);
    for (size_t i = 0; i < n; i++)
        if (cursor->pixels[i] >> 24 >= 128)
            mask[i / cursor->width * row + i % cursor->width / 8] |=
                (uint8_t)(0x80 >> (i % cursor->width % 8));
}

static unsigned
put_cursor(VncClient *client)
{
    const Screen *screen = client->server->screen;
    const Cursor *cursor = screen ? screen_cursor(client->server->screen) : NULL;

    client->send_cursor = false;
    if (!cursor)
        return 0;
    if (client->can & VNC_CAN_ALPHA_CURSOR)
        put_alpha_cursor(client, cursor);
    else
        put_rich_cursor(client, cursor);
    return 1;
}

static unsigned
put_news(VncClient *client)
{
    Input *input = client->server->machine->input;
    unsigned n = 0;

    if (client->send_cursor && (client->can & (VNC_CAN_CURSOR | VNC_CAN_ALPHA_CURSOR)))
        n += put_cursor(client);
    if (client->send_keys) {
        vnc_rect_head(client, 0, 0, client->width, client->height, RFB_ENCODING_EXTENDED_KEY);
        client->send_keys = false;
        n++;
    }
    if (client->send_motion) {
        vnc_rect_head(client, input_is_absolute(input), 0, client->width, client->height,
                      RFB_ENCODING_POINTER_MOTION);
        client->send_motion = false;
        n++;
    }
    if (client->send_led && (client->can & VNC_CAN_LED)) {
        vnc_rect_head(client, 0, 0, 1, 1, RFB_ENCODING_LED_STATE);
        vnc_put8(client, (uint8_t)input_leds(input));
        client->send_led = false;
        n++;
    }
    return n;
}

void
vnc_update(VncClient *client)
{
    guint start = client->out->len;
    uint32_t at = 0;
    unsigned n = 0;
    ScreenRect rect;

    if (!client->active || !client->wants || client->closing || client->close_sent ||
        !client->server->shadow || vnc_client_pending(client) > VNC_OUT_FULL)
        return;
    vnc_put8(client, FRAMEBUFFER_UPDATE);
    vnc_put8(client, 0);
    vnc_put16(client, 0);
    if (client->send_size && (client->can & (VNC_CAN_EXTENDED_SIZE | VNC_CAN_RESIZE))) {
        /* By itself: what follows would be drawn on the old picture by some clients. */
        put_size(client);
        client->send_size = false;
        n = 1;
    } else {
        n = put_news(client);
        while (n < RECTS_MAX && client->out->len - start < UPDATE_BYTES_MAX &&
               take_rect(client, &at, &rect))
            n += vnc_encode(client, &rect);
    }
    if (n == 0) {
        g_byte_array_set_size(client->out, start);
        return;
    }
    client->out->data[start + 2] = (uint8_t)(n >> 8);
    client->out->data[start + 3] = (uint8_t)n;
    client->wants = false;
    vnc_client_flush(client);
}

/* ---- the screen's news ---- */

static void
server_copy(VncServer *server, uint32_t x, uint32_t y, uint32_t w, uint32_t h)
{
    const Surface *from = screen_surface(server->screen);

    for (uint32_t row = y; row < y + h; row++)
        memcpy(surface_row(server->shadow, row) + x, surface_row(from, row) + x, 4 * (size_t)w);
}

static void
server_surface(void *opaque)
{
    VncServer *server = opaque;
    const Surface *from = screen_surface(server->screen);
    Surface *shadow = surface_new(from->width, from->height);

    if (!shadow) {
        /* No memory for a picture of this size: clients keep the old one. */
        return;
    }
    surface_unref(server->shadow);
    server->shadow = shadow;
    server->columns = (shadow->width + VNC_TILE_WIDTH - 1) / VNC_TILE_WIDTH;
    server->rows = (shadow->height + VNC_TILE_HEIGHT - 1) / VNC_TILE_HEIGHT;
    g_free(server->touched);
    server->touched = g_malloc0(tile_bytes(server));
    server_copy(server, 0, 0, shadow->width, shadow->height);
    for (guint i = 0; i < server->clients->len; i++) {
        VncClient *client = g_ptr_array_index(server->clients, i);

        if (client->active)
            vnc_client_resized(client);
    }
}

static void
server_update(void *opaque, const ScreenRect *rect)
{
    VncServer *server = opaque;
    uint32_t right = MIN(rect->x + rect->width, server->shadow->width);
    uint32_t bottom = MIN(rect->y + rect->height, server->shadow->height);

    for (uint32_t y = rect->y / VNC_TILE_HEIGHT * VNC_TILE_HEIGHT; y < bottom; y += VNC_TILE_HEIGHT)
        for (uint32_t x = rect->x / VNC_TILE_WIDTH * VNC_TILE_WIDTH; x < right; x += VNC_TILE_WIDTH)
            tile_set(server->touched, y / VNC_TILE_HEIGHT * server->columns + x / VNC_TILE_WIDTH);
}

/* Brings one tile of the shadow in step; true when it differed. */
static bool
server_compare(VncServer *server, const Surface *from, uint32_t x, uint32_t y)
{
    uint32_t w = MIN(VNC_TILE_WIDTH, server->shadow->width - x);
    uint32_t h = MIN(VNC_TILE_HEIGHT, server->shadow->height - y);

    for (uint32_t row = y; row < y + h; row++) {
        if (memcmp(surface_row(server->shadow, row) + x, surface_row(from, row) + x,
                   4 * (size_t)w) != 0) {
            server_copy(server, x, row, w, y + h - row);
            return true;
        }
    }
    return false;
}

static void
server_refreshed(void *opaque)
{
    VncServer *server = opaque;
    const Surface *from = screen_surface(server->screen);

    /* Of another size only when memory was short. */
    if (from->width != server->shadow->width || from->height != server->shadow->height)
        return;
    for (uint32_t at = 0; at < server->columns * server->rows; at++) {
        if (server->touched[at / 8] == 0) {
            at |= 7;
            continue;
        }
        if (!tile_get(server->touched, at) ||
            !server_compare(server, from, at % server->columns * VNC_TILE_WIDTH,
                            at / server->columns * VNC_TILE_HEIGHT))
            continue;
        for (guint i = 0; i < server->clients->len; i++) {
            VncClient *client = g_ptr_array_index(server->clients, i);

            if (client->dirty)
                tile_set(client->dirty, at);
        }
    }
    memset(server->touched, 0, tile_bytes(server));
    for (guint i = 0; i < server->clients->len; i++)
        vnc_update(g_ptr_array_index(server->clients, i));
}

static void
server_cursor(void *opaque)
{
    VncServer *server = opaque;

    for (guint i = 0; i < server->clients->len; i++) {
        VncClient *client = g_ptr_array_index(server->clients, i);

        client->send_cursor = true;
    }
}

static void
server_cursor_moved(void *opaque)
{
    /* Viewers show their own pointer, where their user moves it. */
    (void)opaque;
}

static void
server_gone(void *opaque)
{
    VncServer *server = opaque;

    server->viewer = NULL;
    server->screen = NULL;
}

const ScreenViewerOps vnc_screen_ops = {
    .surface = server_surface,
    .update = server_update,
    .cursor = server_cursor,
    .cursor_moved = server_cursor_moved,
    .refreshed = server_refreshed,
    .gone = server_gone,
};
