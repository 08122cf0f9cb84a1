/* encode.c - raw, hextile and zlib encodings of rectangles (RFC 6143, 7.7.1 and 7.7.4;
 * rfbproto.rst).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/vnc/private.h"

enum {
    HEXTILE = 16,
    HEXTILE_RAW = 1,
    HEXTILE_BACKGROUND = 2,
    HEXTILE_FOREGROUND = 4,
    HEXTILE_SUBRECTS = 8,
    HEXTILE_COLORED = 16,
    HEXTILE_SUBRECTS_MAX = 255,
};

static void
encode_raw(VncClient *client, const ScreenRect *rect)
{
    const Surface *shadow = client->server->shadow;
    size_t row = (size_t)rect->width * client->format.bytes;
    uint8_t *out = vnc_put_room(client, row * rect->height);

    for (uint32_t y = 0; y < rect->height; y++, out += row)
        vnc_convert(&client->format, out, surface_row(shadow, rect->y + y) + rect->x, rect->width);
}

/* ---- hextile ---- */

typedef struct {
    uint32_t pixels[HEXTILE * HEXTILE];
    uint32_t width, height;
    uint32_t background, foreground;
    bool background_known, foreground_known; /* by the client, from the tile before */
} Hextile;

/* Chooses background and foreground; returns how many colours there are, 3 for more than two. */
static unsigned
hextile_colors(const Hextile *tile, uint32_t *ret_background, uint32_t *ret_foreground)
{
    uint32_t n = tile->width * tile->height, a = tile->pixels[0], b = a, n_a = 0, n_b = 0;
    unsigned colors = 1;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t p = tile->pixels[i];

        if (p == a) {
            n_a++;
        } else if (colors == 1 || p == b) {
            b = p;
            colors = MAX(colors, 2);
            n_b++;
        } else {
            colors = 3;
        }
    }
    *ret_background = n_b > n_a ? b : a;
    *ret_foreground = n_b > n_a ? a : b;
    return colors;
}

/* Covers what is not background with rectangles of one colour; false when that is longer than the
 * pixels themselves. */
static bool
hextile_subrects(VncClient *client, Hextile *tile, bool colored)
{
    bool done[HEXTILE * HEXTILE] = { false };
    size_t count_at = client->out->len;
    size_t limit = count_at + (size_t)tile->width * tile->height * client->format.bytes;
    unsigned count = 0;

    vnc_put8(client, 0);
    for (uint32_t y = 0; y < tile->height; y++) {
        for (uint32_t x = 0; x < tile->width; x++) {
            uint32_t at = y * tile->width + x, color = tile->pixels[at], w = 1, h = 1;

            if (done[at] || color == tile->background)
                continue;
            while (x + w < tile->width && tile->pixels[at + w] == color && !done[at + w])
                w++;
            for (; y + h < tile->height; h++) {
                uint32_t i = 0;

                while (i < w && tile->pixels[at + h * tile->width + i] == color &&
                       !done[at + h * tile->width + i])
                    i++;
                if (i < w)
                    break;
            }
            for (uint32_t j = 0; j < h; j++)
                memset(done + at + j * tile->width, true, w);
            if (++count > HEXTILE_SUBRECTS_MAX)
                return false;
            if (colored)
                vnc_put_pixel(client, color);
            vnc_put8(client, (uint8_t)(x << 4 | y));
            vnc_put8(client, (uint8_t)((w - 1) << 4 | (h - 1)));
            if (client->out->len >= limit)
                return false;
        }
    }
    client->out->data[count_at] = (uint8_t)count;
    return true;
}

static void
hextile_put(VncClient *client, Hextile *tile)
{
    uint32_t background, foreground;
    unsigned colors = hextile_colors(tile, &background, &foreground);
    guint start = client->out->len;
    uint8_t flags = 0;

    if (!tile->background_known || tile->background != background)
        flags |= HEXTILE_BACKGROUND;
    if (colors == 2 && (!tile->foreground_known || tile->foreground != foreground))
        flags |= HEXTILE_FOREGROUND;
    if (colors > 1)
        flags |= HEXTILE_SUBRECTS;
    if (colors > 2)
        flags |= HEXTILE_COLORED;
    tile->background = background;
    tile->background_known = true;
    vnc_put8(client, flags);
    if (flags & HEXTILE_BACKGROUND)
        vnc_put_pixel(client, background);
    if (flags & HEXTILE_FOREGROUND)
        vnc_put_pixel(client, foreground);
    if (colors == 2) {
        tile->foreground = foreground;
        tile->foreground_known = true;
    } else if (colors > 2) {
        tile->foreground_known = false;
    }
    if (colors == 1 || hextile_subrects(client, tile, colors > 2))
        return;
    g_byte_array_set_size(client->out, start);
    vnc_put8(client, HEXTILE_RAW);
    vnc_convert(&client->format,
                vnc_put_room(client, (size_t)tile->width * tile->height * client->format.bytes),
                tile->pixels, (size_t)tile->width * tile->height);
    tile->background_known = tile->foreground_known = false;
}

static void
encode_hextile(VncClient *client, const ScreenRect *rect)
{
    const Surface *shadow = client->server->shadow;
    Hextile tile = { 0 };

    for (uint32_t y = 0; y < rect->height; y += HEXTILE) {
        for (uint32_t x = 0; x < rect->width; x += HEXTILE) {
            tile.width = MIN(rect->width - x, HEXTILE);
            tile.height = MIN(rect->height - y, HEXTILE);
            for (uint32_t row = 0; row < tile.height; row++) {
                const uint32_t *from = surface_row(shadow, rect->y + y + row) + rect->x + x;

                for (uint32_t i = 0; i < tile.width; i++)
                    tile.pixels[row * tile.width + i] = from[i] & 0xffffff;
            }
            hextile_put(client, &tile);
        }
    }
}

/* ---- zlib ---- */

size_t
vnc_deflate(VncClient *client, unsigned n, const uint8_t *data, size_t len)
{
    z_stream *z = &client->zlib[n];
    guint start = client->out->len;

    if (!client->zlib_made[n]) {
        memset(z, 0, sizeof(*z));
        if (deflateInit2(z, client->level, Z_DEFLATED, MAX_WBITS, 7, Z_DEFAULT_STRATEGY) != Z_OK) {
            vnc_client_close(client);
            return 0;
        }
        client->zlib_made[n] = true;
        client->zlib_level[n] = client->level;
    }
    z->next_in = (Bytef *)(uintptr_t)data;
    z->avail_in = (uInt)len;
    do {
        uInt room = (uInt)(deflateBound(z, z->avail_in) + 64);

        z->next_out = vnc_put_room(client, room);
        z->avail_out = room;
        if (client->zlib_level[n] != client->level &&
            deflateParams(z, client->level, Z_DEFAULT_STRATEGY) == Z_OK)
            client->zlib_level[n] = client->level;
        if (deflate(z, Z_SYNC_FLUSH) == Z_STREAM_ERROR) {
            vnc_client_close(client);
            return 0;
        }
        g_byte_array_set_size(client->out, client->out->len - z->avail_out);
    } while (z->avail_out == 0);
    return client->out->len - start;
}

static void
encode_zlib(VncClient *client, const ScreenRect *rect)
{
    const Surface *shadow = client->server->shadow;
    size_t row = (size_t)rect->width * client->format.bytes;
    g_autofree uint8_t *raw = g_malloc(row * rect->height);
    guint at = client->out->len;
    size_t len;

    for (uint32_t y = 0; y < rect->height; y++)
        vnc_convert(&client->format, raw + y * row, surface_row(shadow, rect->y + y) + rect->x,
                    rect->width);
    vnc_put32(client, 0);
    len = vnc_deflate(client, 0, raw, row * rect->height);
    for (unsigned i = 0; i < 4; i++)
        client->out->data[at + i] = (uint8_t)(len >> (24 - 8 * i));
}

unsigned
vnc_encode(VncClient *client, const ScreenRect *rect)
{
    if (client->encoding == RFB_ENCODING_TIGHT)
        return vnc_encode_tight(client, rect);
    vnc_rect_head(client, rect->x, rect->y, rect->width, rect->height, client->encoding);
    switch (client->encoding) {
    case RFB_ENCODING_HEXTILE:
        encode_hextile(client, rect);
        break;
    case RFB_ENCODING_ZLIB:
        encode_zlib(client, rect);
        break;
    default:
        encode_raw(client, rect);
        break;
    }
    return 1;
}

void
vnc_encode_free(VncClient *client)
{
    for (unsigned n = 0; n < G_N_ELEMENTS(client->zlib); n++)
        if (client->zlib_made[n])
            deflateEnd(&client->zlib[n]);
}
