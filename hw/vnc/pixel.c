/* pixel.c - pixel formats of clients (RFC 6143, 7.4).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/vnc/private.h"

enum {
    SET_COLOR_MAP = 1,
    MAPPED_COLORS = 256,
};

static void
format_fill(PixelFormat *format)
{
    for (unsigned c = 0; c < 3; c++)
        for (unsigned v = 0; v < 256; v++)
            format->part[c][v] = (uint32_t)((v * format->max[c] + 127) / 255) << format->shift[c];
    format->compact = format->bytes == 4 && format->depth == 24 && format->max[0] == 255 &&
                      format->max[1] == 255 && format->max[2] == 255;
    format->native = format->compact && !format->big_endian && format->shift[0] == 16 &&
                     format->shift[1] == 8 && format->shift[2] == 0;
}

bool
vnc_format_parse(const uint8_t wire[16], PixelFormat *ret)
{
    PixelFormat format = {
        .bytes = wire[0] / 8,
        .depth = wire[1],
        .big_endian = wire[2] != 0,
        .max = { vnc_get16(wire + 4), vnc_get16(wire + 6), vnc_get16(wire + 8) },
        .shift = { wire[10], wire[11], wire[12] },
    };

    if (wire[0] != 8 && wire[0] != 16 && wire[0] != 32)
        return false;
    if (wire[3] == 0) {
        /* A colour map: ours has three bits of red and green and two of blue. */
        if (wire[0] != 8)
            return false;
        format = (PixelFormat){ .bytes = 1, .depth = 8, .max = { 7, 7, 3 }, .shift = { 0, 3, 6 } };
    }
    for (unsigned c = 0; c < 3; c++) {
        if (format.max[c] == 0 || format.shift[c] >= wire[0] ||
            (uint64_t)format.max[c] << format.shift[c] > UINT32_MAX)
            return false;
    }
    format_fill(&format);
    *ret = format;
    return true;
}

static void
format_put_map(VncClient *client)
{
    vnc_put8(client, SET_COLOR_MAP);
    vnc_put8(client, 0);
    vnc_put16(client, 0);
    vnc_put16(client, MAPPED_COLORS);
    for (unsigned i = 0; i < MAPPED_COLORS; i++) {
        vnc_put16(client, (uint16_t)((i & 7) * 65535 / 7));
        vnc_put16(client, (uint16_t)((i >> 3 & 7) * 65535 / 7));
        vnc_put16(client, (uint16_t)((i >> 6) * 65535 / 3));
    }
}

/* Of ServerInit when @format is NULL, else the colour map that goes with it. */
void
vnc_format_put(VncClient *client, const PixelFormat *format)
{
    static const uint8_t native[16] = { 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0 };

    if (format) {
        format_put_map(client);
        return;
    }
    vnc_put(client, native, sizeof(native));
    vnc_format_parse(native, &client->format);
}

static uint32_t
format_pixel(const PixelFormat *format, uint32_t rgb)
{
    return format->part[0][rgb >> 16 & 255] | format->part[1][rgb >> 8 & 255] |
           format->part[2][rgb & 255];
}

static uint8_t *
format_store(const PixelFormat *format, uint8_t *out, uint32_t pixel)
{
    for (unsigned i = 0; i < format->bytes; i++)
        out[format->big_endian ? format->bytes - 1 - i : i] = (uint8_t)(pixel >> (8 * i));
    return out + format->bytes;
}

void
vnc_convert(const PixelFormat *format, uint8_t *out, const uint32_t *rgb, size_t n)
{
    if (format->native) {
        memcpy(out, rgb, n * 4);
        return;
    }
    for (size_t i = 0; i < n; i++)
        out = format_store(format, out, format_pixel(format, rgb[i]));
}

void
vnc_put_pixel(VncClient *client, uint32_t rgb)
{
    vnc_convert(&client->format, vnc_put_room(client, client->format.bytes), &rgb, 1);
}

unsigned
vnc_tight_bytes(const PixelFormat *format)
{
    return format->compact ? 3 : format->bytes;
}

/* Tight's pixels are red, green, blue where the format has eight bits of each. */
void
vnc_convert_tight(const PixelFormat *format, uint8_t *out, const uint32_t *rgb, size_t n)
{
    if (!format->compact) {
        vnc_convert(format, out, rgb, n);
        return;
    }
    for (size_t i = 0; i < n; i++, out += 3) {
        out[0] = (uint8_t)(rgb[i] >> 16);
        out[1] = (uint8_t)(rgb[i] >> 8);
        out[2] = (uint8_t)rgb[i];
    }
}

const PixelFormat vnc_native_format = {
    .bytes = 4,
    .depth = 24,
    .native = true,
    .compact = true,
    .max = { 255, 255, 255 },
    .shift = { 16, 8, 0 },
};
