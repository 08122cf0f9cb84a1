/* tight.c - Tight encoding (rfbproto.rst, "Tight Encoding"): fill, two colours, palette, full
 * colour.
 *
 * Leaves out JPEG and the gradient filter: what is sent is always exact.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/vnc/private.h"

enum {
    TIGHT_WIDTH_MAX = 2048,
    TIGHT_AREA_MAX = 65536,
    TIGHT_FILL = 0x80,
    TIGHT_FILTER = 0x40,
    FILTER_PALETTE = 1,
    TIGHT_PLAIN_MAX = 12, /* bytes that are not worth a stream */
    PALETTE_MAX = 256,
    HASH_SIZE = 1024,
    STREAM_FULL = 0,
    STREAM_TWO = 1,
    STREAM_PALETTE = 2,
};

typedef struct {
    uint32_t colors[PALETTE_MAX];
    unsigned n;                /* PALETTE_MAX + 1: too many */
    uint16_t slots[HASH_SIZE]; /* index + 1 */
} Palette;

static unsigned
palette_hash(uint32_t color)
{
    return (color * 2654435761u) >> 22;
}

/* Index of @color, added if need be; -1 when the palette is full. */
static int
palette_index(Palette *palette, uint32_t color)
{
    unsigned slot = palette_hash(color);

    for (; palette->slots[slot]; slot = (slot + 1) % HASH_SIZE)
        if (palette->colors[palette->slots[slot] - 1] == color)
            return palette->slots[slot] - 1;
    if (palette->n == PALETTE_MAX)
        return -1;
    palette->colors[palette->n++] = color;
    palette->slots[slot] = (uint16_t)palette->n;
    return (int)palette->n - 1;
}

static void
tight_put_length(VncClient *client, guint at, size_t len)
{
    uint8_t wire[3];
    guint n = 1;

    wire[0] = len & 0x7f;
    if (len > 0x7f) {
        wire[0] |= 0x80;
        wire[1] = len >> 7 & 0x7f;
        n = 2;
        if (len > 0x3fff) {
            wire[1] |= 0x80;
            wire[2] = (uint8_t)(len >> 14);
            n = 3;
        }
    }
    g_byte_array_set_size(client->out, client->out->len + n);
    memmove(client->out->data + at + n, client->out->data + at, client->out->len - n - at);
    memcpy(client->out->data + at, wire, n);
}

/* The data of a basic rectangle: as it is when short, else through @stream. */
static void
tight_put_data(VncClient *client, unsigned stream, const uint8_t *data, size_t len)
{
    guint at = client->out->len;

    if (len < TIGHT_PLAIN_MAX) {
        vnc_put(client, data, len);
        return;
    }
    tight_put_length(client, at, vnc_deflate(client, stream, data, len));
}

static void
tight_put_palette(VncClient *client, const Palette *palette)
{
    unsigned bytes = vnc_tight_bytes(&client->format);

    vnc_put8(client, FILTER_PALETTE);
    vnc_put8(client, (uint8_t)(palette->n - 1));
    vnc_convert_tight(&client->format, vnc_put_room(client, (size_t)bytes * palette->n),
                      palette->colors, palette->n);
}

static void
tight_two(VncClient *client, Palette *palette, const uint32_t *pixels, uint32_t w, uint32_t h)
{
    uint32_t row = (w + 7) / 8;
    g_autofree uint8_t *bits = g_malloc0((size_t)row * h);

    for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++)
            if (pixels[y * w + x] == palette->colors[1])
                bits[y * row + x / 8] |= (uint8_t)(0x80 >> (x % 8));
    vnc_put8(client, STREAM_TWO << 4 | TIGHT_FILTER);
    tight_put_palette(client, palette);
    tight_put_data(client, STREAM_TWO, bits, (size_t)row * h);
}

static void
tight_indexed(VncClient *client, Palette *palette, const uint32_t *pixels, uint32_t n)
{
    g_autofree uint8_t *indexes = g_malloc(n);

    for (uint32_t i = 0; i < n; i++)
        indexes[i] = (uint8_t)palette_index(palette, pixels[i]);
    vnc_put8(client, STREAM_PALETTE << 4 | TIGHT_FILTER);
    tight_put_palette(client, palette);
    tight_put_data(client, STREAM_PALETTE, indexes, n);
}

static void
tight_full(VncClient *client, const uint32_t *pixels, uint32_t n)
{
    size_t len = (size_t)n * vnc_tight_bytes(&client->format);
    g_autofree uint8_t *data = g_malloc(len);

    vnc_convert_tight(&client->format, data, pixels, n);
    vnc_put8(client, STREAM_FULL << 4);
    tight_put_data(client, STREAM_FULL, data, len);
}

static void
tight_rect(VncClient *client, uint32_t x, uint32_t y, uint32_t w, uint32_t h)
{
    const Surface *shadow = client->server->shadow;
    g_autofree uint32_t *pixels = g_new(uint32_t, (size_t)w * h);
    Palette palette = { .n = 0 };
    bool many = false;
    uint32_t n = 0;

    for (uint32_t row = 0; row < h; row++) {
        const uint32_t *from = surface_row(shadow, y + row) + x;

        for (uint32_t i = 0; i < w; i++, n++) {
            pixels[n] = from[i] & 0xffffff;
            if (!many && (n == 0 || pixels[n] != pixels[n - 1]))
                many = palette_index(&palette, pixels[n]) < 0;
        }
    }
    vnc_rect_head(client, x, y, w, h, RFB_ENCODING_TIGHT);
    if (!many && palette.n == 1) {
        vnc_put8(client, TIGHT_FILL);
        vnc_convert_tight(&client->format, vnc_put_room(client, vnc_tight_bytes(&client->format)),
                          pixels, 1);
    } else if (!many && palette.n == 2) {
        tight_two(client, &palette, pixels, w, h);
    } else if (!many && client->format.bytes > 1 &&
               n + palette.n * vnc_tight_bytes(&client->format) <
                   n * vnc_tight_bytes(&client->format)) {
        tight_indexed(client, &palette, pixels, n);
    } else {
        tight_full(client, pixels, n);
    }
}

unsigned
vnc_encode_tight(VncClient *client, const ScreenRect *rect)
{
    unsigned n = 0;

    for (uint32_t x = 0; x < rect->width; x += TIGHT_WIDTH_MAX) {
        uint32_t w = MIN(rect->width - x, TIGHT_WIDTH_MAX), h = TIGHT_AREA_MAX / w;

        for (uint32_t y = 0; y < rect->height; y += h, n++)
            tight_rect(client, rect->x + x, rect->y + y, w, MIN(rect->height - y, h));
    }
    return n;
}
