/* cirrus_blit.c - the BitBLT engine of cirrus-vga.
 *
 * Cirrus Logic CL-GD5446 Technical Reference Manual, "BitBLT engine". Every address wraps within
 * video memory at each single access, so that no combination of addresses, pitches, directions and
 * sizes leads out of it; sizes are bounded by their registers to 8192 bytes and 2048 rows. Blits
 * are carried out at once; one whose source the processor writes, with its last byte.
 *
 * Leaves out: blits from video memory to the processor (refused as by a reset), which the GD5446
 * does not have.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/display/cirrus.h"

#include <string.h>

#include "hw/core/bytes.h"

enum {
    MODE_BACKWARDS = 0x01,
    MODE_TO_CPU = 0x02,
    MODE_FROM_CPU = 0x04,
    MODE_TRANSPARENT = 0x08,
    MODE_PATTERN = 0x40,
    MODE_EXPAND = 0x80,
    EXTENSION_DWORDS = 0x01, /* the processor writes rows of whole doublewords */
    EXTENSION_INVERT = 0x02,
    EXTENSION_SOLID = 0x04,
    STATUS_BUSY = 0x09,
    STATUS_AUTOSTART = 0x80,
    PATTERN_ROWS = 8,
};

/* ---- bytes and pixels ---- */

static uint8_t *
blit_at(Cirrus *cirrus, uint32_t address)
{
    return cirrus->vga.vram + (address & (cirrus->vga.vram_size - 1));
}

static uint8_t
blit_combine(uint8_t rop, uint8_t s, uint8_t d)
{
    switch (rop) {
    case 0x00:
        return 0;
    case 0x05:
        return s & d;
    case 0x09:
        return (uint8_t)(s & ~d);
    case 0x0b:
        return (uint8_t)~d;
    case 0x0d:
        return s;
    case 0x0e:
        return 0xff;
    case 0x50:
        return (uint8_t)(~s & d);
    case 0x59:
        return s ^ d;
    case 0x6d:
        return s | d;
    case 0x90:
        return (uint8_t)(~s | ~d);
    case 0x95:
        return (uint8_t) ~(s ^ d);
    case 0xad:
        return (uint8_t)(s | ~d);
    case 0xd0:
        return (uint8_t)~s;
    case 0xd6:
        return (uint8_t)(~s | d);
    case 0xda:
        return (uint8_t)(~s & ~d);
    default: /* 06: nothing */
        return d;
    }
}

static unsigned
blit_pixel(const CirrusBlit *blit)
{
    return (blit->mode >> 4 & 3u) + 1;
}

static void
blit_put(Cirrus *cirrus, const CirrusBlit *blit, uint32_t at, uint32_t color)
{
    for (unsigned i = 0; i < blit_pixel(blit); i++, color >>= 8) {
        uint8_t *byte = blit_at(cirrus, at + i);

        *byte = blit_combine(blit->rop, (uint8_t)color, *byte);
    }
}

/* ---- rows ---- */

/* Bytes of a row that are left alone at its left edge, and pixels of the source that are. */
static uint32_t
blit_skip(const CirrusBlit *blit, unsigned *ret_pixels)
{
    unsigned size = blit_pixel(blit);
    uint32_t bytes = size == 3 ? blit->skip & 31u : (blit->skip & 7u) * size;

    *ret_pixels = bytes / size;
    return bytes;
}

/* From bytes of @line, or of video memory at @from. */
static void
blit_row_copy(Cirrus *cirrus, const CirrusBlit *blit, uint32_t to, uint32_t from,
              const uint8_t *line)
{
    uint32_t step = blit->mode & MODE_BACKWARDS ? UINT32_MAX : 1;
    unsigned size = blit->mode & MODE_TRANSPARENT ? blit_pixel(blit) : 1;

    for (uint32_t x = 0; x < blit->width; x += size) {
        uint8_t bytes[2];
        bool put = !(blit->mode & MODE_TRANSPARENT);

        for (unsigned i = 0; i < size && i < 2; i++) {
            uint8_t s =
                line ? line[(x + i) % CIRRUS_LINE] : *blit_at(cirrus, from + (x + i) * step);

            bytes[i] = blit_combine(blit->rop, s, *blit_at(cirrus, to + (x + i) * step));
        }
        /* Of two bytes the one at the lower address is the colour's lower. */
        if (size == 1)
            put = put || bytes[0] != (uint8_t)blit->key;
        else
            put = (step == 1 ? bytes[0] | bytes[1] << 8 : bytes[1] | bytes[0] << 8) != blit->key;
        for (unsigned i = 0; put && i < size && i < 2; i++)
            *blit_at(cirrus, to + (x + i) * step) = bytes[i];
    }
}

/* A bit for each pixel, from @line or video memory. */
static void
blit_row_expand(Cirrus *cirrus, const CirrusBlit *blit, uint32_t to, uint32_t from,
                const uint8_t *line)
{
    bool transparent = blit->mode & MODE_TRANSPARENT;
    bool invert = transparent && (blit->extension & EXTENSION_INVERT);
    unsigned n, size = blit_pixel(blit);

    for (uint32_t x = blit_skip(blit, &n); x < blit->width; x += size, n++) {
        uint8_t bits = line ? line[n / 8 % CIRRUS_LINE] : *blit_at(cirrus, from + n / 8);
        bool bit = bits >> (7 - n % 8) & 1;

        if (!transparent)
            blit_put(cirrus, blit, to + x, bit ? blit->front : blit->back);
        else if (bit != invert)
            blit_put(cirrus, blit, to + x, invert ? blit->back : blit->front);
    }
}

static void
blit_row_pattern(Cirrus *cirrus, const CirrusBlit *blit, uint32_t to, const uint8_t *pattern)
{
    unsigned n, size = blit_pixel(blit);

    for (uint32_t x = blit_skip(blit, &n); x < blit->width; x += size, n++) {
        const uint8_t *pixel = pattern + n % 8 * size;

        for (unsigned i = 0; i < size; i++) {
            uint8_t *byte = blit_at(cirrus, to + x + i);

            *byte = blit_combine(blit->rop, pixel[i], *byte);
        }
    }
}

static void
blit_row_pattern_expand(Cirrus *cirrus, const CirrusBlit *blit, uint32_t to, uint8_t bits)
{
    uint8_t line[CIRRUS_LINE / 8 + 8];

    memset(line, bits, sizeof(line));
    blit_row_expand(cirrus, blit, to, 0, line);
}

static void
blit_row_solid(Cirrus *cirrus, const CirrusBlit *blit, uint32_t to)
{
    for (uint32_t x = 0; x < blit->width; x += blit_pixel(blit))
        blit_put(cirrus, blit, to + x, blit->front);
}

/* The row's bytes have changed. */
static void
blit_touch(Cirrus *cirrus, const CirrusBlit *blit, uint32_t to)
{
    uint32_t length = blit->width + 4, at = to, size = cirrus->vga.vram_size;

    if (blit->mode & MODE_BACKWARDS)
        at -= length;
    at &= size - 1;
    vga_touch(&cirrus->vga, at, length);
    if (length > size - at)
        vga_touch(&cirrus->vga, 0, length - (size - at));
}

/* ---- whole blits ---- */

static bool
blit_is_solid(const CirrusBlit *blit)
{
    return (blit->extension & EXTENSION_SOLID) &&
           (blit->mode & (MODE_TO_CPU | MODE_TRANSPARENT | MODE_PATTERN | MODE_EXPAND)) ==
               (MODE_PATTERN | MODE_EXPAND);
}

/* Bytes from one row of a pattern to the next, and of all of it. */
static uint32_t
pattern_pitch(const CirrusBlit *blit)
{
    unsigned size = blit_pixel(blit);

    return blit->mode & MODE_EXPAND ? 1 : size == 3 ? 32 : 8 * size;
}

/* A pattern is 8 by 8 pixels, in @data or video memory. */
static void
blit_patterns(Cirrus *cirrus, const CirrusBlit *blit, const uint8_t *data)
{
    uint32_t pitch = pattern_pitch(blit), to = blit->to;
    uint32_t from = blit->from & ~(PATTERN_ROWS * pitch - 1);
    uint8_t pattern[PATTERN_ROWS * 32];

    for (uint32_t i = 0; i < PATTERN_ROWS * pitch; i++)
        pattern[i] = data ? data[i] : *blit_at(cirrus, from + i);
    for (uint32_t y = 0; y < blit->height; y++, to += blit->to_pitch) {
        const uint8_t *row = pattern + (y + blit->from) % PATTERN_ROWS * pitch;

        if (blit->mode & MODE_EXPAND)
            blit_row_pattern_expand(cirrus, blit, to, *row);
        else
            blit_row_pattern(cirrus, blit, to, row);
        blit_touch(cirrus, blit, to);
    }
}

static void
blit_row(Cirrus *cirrus, const CirrusBlit *blit, uint32_t to, uint32_t from, const uint8_t *line)
{
    if (blit_is_solid(blit))
        blit_row_solid(cirrus, blit, to);
    else if (blit->mode & MODE_EXPAND)
        blit_row_expand(cirrus, blit, to, from, line);
    else
        blit_row_copy(cirrus, blit, to, from, line);
    blit_touch(cirrus, blit, to);
}

/* Bytes of bits that a row takes; rows begin with a whole byte. */
static uint32_t
expand_bytes(const CirrusBlit *blit)
{
    unsigned n, size = blit_pixel(blit);
    uint32_t skip = blit_skip(blit, &n);

    return ((blit->width > skip ? (blit->width - skip + size - 1) / size : 1) + n + 7) / 8;
}

static void
blit_in_memory(Cirrus *cirrus, const CirrusBlit *blit)
{
    uint32_t to = blit->to, from = blit->from;

    if ((blit->mode & MODE_PATTERN) && !blit_is_solid(blit)) {
        blit_patterns(cirrus, blit, NULL);
        return;
    }
    for (uint32_t y = 0; y < blit->height; y++) {
        blit_row(cirrus, blit, to, from, NULL);
        if (blit->mode & MODE_EXPAND) {
            from += expand_bytes(blit);
            to += blit->to_pitch;
        } else {
            from += blit->mode & MODE_BACKWARDS ? -blit->from_pitch : blit->from_pitch;
            to += blit->mode & MODE_BACKWARDS ? -blit->to_pitch : blit->to_pitch;
        }
    }
}

/* Waits for what the processor writes. */
static void
blit_from_processor(Cirrus *cirrus)
{
    const CirrusBlit *blit = &cirrus->blit;
    uint32_t pixels = blit->width / blit_pixel(blit);

    cirrus->filled = 0;
    cirrus->rows = blit->height;
    if (blit->mode & MODE_PATTERN) {
        cirrus->rows = 1;
        cirrus->pitch = PATTERN_ROWS * pattern_pitch(blit);
    } else if (blit->mode & MODE_EXPAND) {
        cirrus->pitch =
            blit->extension & EXTENSION_DWORDS ? (pixels + 31) / 32 * 4 : (pixels + 7) / 8;
    } else {
        cirrus->pitch = (blit->width + 3) & ~3u;
    }
    cirrus->pitch = CLAMP(cirrus->pitch, 1, CIRRUS_LINE);
    cirrus->gfx[GR_BLT_STATUS] |= STATUS_BUSY;
    cirrus_update_access(cirrus);
}

void
cirrus_blit_reset(Cirrus *cirrus)
{
    bool waited = cirrus->rows > 0;

    cirrus->rows = cirrus->filled = 0;
    cirrus->gfx[GR_BLT_STATUS] &= STATUS_AUTOSTART;
    if (waited)
        cirrus_update_access(cirrus);
}

void
cirrus_blit_byte(Cirrus *cirrus, uint8_t value)
{
    CirrusBlit *blit = &cirrus->blit;

    if (cirrus->rows == 0)
        return;
    cirrus->line[cirrus->filled % CIRRUS_LINE] = value;
    if (++cirrus->filled < cirrus->pitch)
        return;
    cirrus->filled = 0;
    if (blit->mode & MODE_PATTERN) {
        blit_patterns(cirrus, blit, cirrus->line);
    } else {
        blit_row(cirrus, blit, blit->to, 0, cirrus->line);
        blit->to += blit->to_pitch;
    }
    if (--cirrus->rows == 0) {
        cirrus->rows = 1; /* it still waited */
        cirrus_blit_reset(cirrus);
    }
}

static uint32_t
blit_color(const uint8_t *gfx, unsigned first)
{
    return gfx[first] | (uint32_t)gfx[first + 0x10] << 8 | (uint32_t)gfx[first + 0x12] << 16 |
           (uint32_t)gfx[first + 0x14] << 24;
}

void
cirrus_blit_start(Cirrus *cirrus)
{
    const uint8_t *gfx = cirrus->gfx;
    CirrusBlit *blit = &cirrus->blit;

    cirrus_blit_reset(cirrus);
    *blit = (CirrusBlit){
        .width = (bytes_load16(gfx + GR_BLT_WIDTH) & 0x1fffu) + 1,
        .height = (bytes_load16(gfx + GR_BLT_HEIGHT) & 0x7ffu) + 1,
        .to_pitch = bytes_load16(gfx + GR_BLT_TO_PITCH) & 0x1fffu,
        .from_pitch = bytes_load16(gfx + GR_BLT_FROM_PITCH) & 0x1fffu,
        .to = bytes_load32(gfx + GR_BLT_TO) & 0x3fffffu,
        .from = bytes_load32(gfx + GR_BLT_FROM) & 0x3fffffu,
        .front = blit_color(gfx, 1),
        .back = blit_color(gfx, 0),
        .key = bytes_load16(gfx + GR_BLT_KEY),
        .mode = gfx[GR_BLT_MODE],
        .extension = gfx[GR_BLT_EXTENSION],
        .rop = gfx[GR_BLT_ROP],
        .skip = gfx[GR_BLT_SKIP],
    };
    /* Colours to leave out are known for pixels of one and two bytes only. */
    if ((blit->mode & MODE_TO_CPU) ||
        ((blit->mode & (MODE_TRANSPARENT | MODE_EXPAND | MODE_PATTERN)) == MODE_TRANSPARENT &&
         blit_pixel(blit) > 2))
        return;
    if (blit->mode & (MODE_EXPAND | MODE_PATTERN | MODE_FROM_CPU))
        blit->mode &= (uint8_t)~MODE_BACKWARDS;
    if ((blit->mode & MODE_FROM_CPU) && !blit_is_solid(blit))
        blit_from_processor(cirrus);
    else
        blit_in_memory(cirrus, blit);
}
