/* vga_text.c - text modes: characters, attributes and cursor, glyphs from plane 2.
 *
 * FreeVGA, "VGA Text Mode Operation".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/display/vga.h"

enum {
    ATTR_MONO = 0x02,
    ATTR_LINE_GRAPHICS = 0x04,
    ATTR_BLINK = 0x08,
    CURSOR_OFF = 0x20,
    SHOW_CURSOR = 1,
    SHOW_BLINKING = 2,
    GLYPH_BYTES = 32,
    FONT_PLANE = 2,
};

/* First glyph of the font that bits @bits of the character map register choose, in plane bytes.
 * Bit 2 of them adds 8 KiB, the others 16 KiB each. */
static uint32_t
text_font(unsigned bits)
{
    return ((bits & 3) * 2 + (bits >> 2 & 1)) * 8192;
}

static uint8_t
text_glyph(const Vga *vga, uint32_t font, uint8_t character, uint32_t scan)
{
    uint32_t at = (font + (uint32_t)character * GLYPH_BYTES + (scan & 31)) * 4 + FONT_PLANE;

    return vga->vram[at & (vga->vram_size - 1)];
}

static bool
text_cursor_at(const Vga *vga, uint32_t cell, uint32_t scan)
{
    const uint8_t *crtc = vga->crtc;
    uint32_t position = (uint32_t)crtc[0x0e] << 8 | crtc[0x0f];

    return !(crtc[0x0a] & CURSOR_OFF) && (vga->blink & SHOW_CURSOR) == 0 && cell == position &&
           scan >= (crtc[0x0a] & 0x1fu) && scan <= (crtc[0x0b] & 0x1fu);
}

void
vga_draw_text(Vga *vga, uint32_t row, uint32_t scan, uint32_t *out)
{
    unsigned maps = vga->seq[3];
    uint32_t font_a = text_font((maps >> 2 & 3) | (maps >> 3 & 4));
    uint32_t font_b = text_font((maps & 3) | (maps >> 2 & 4));
    uint32_t columns = vga->crtc[1] + 2u; /* one more, for panning */
    unsigned dots = vga->seq[1] & 1 ? 8 : 9;
    const uint8_t *cell = vga_bytes(vga, row, columns * 4);
    bool blinks = vga->attr[0x10] & ATTR_BLINK;

    for (uint32_t column = 0; column < columns; column++, cell += 4, out += dots) {
        uint8_t character = cell[0], attr = cell[1];
        unsigned bits = text_glyph(vga, attr & 8 ? font_a : font_b, character, scan);
        uint32_t front = vga->colors[attr & 15];
        uint32_t back = vga->colors[blinks ? attr >> 4 & 7 : attr >> 4];
        bool ninth =
            (bits & 1) && (character & 0xe0) == 0xc0 && (vga->attr[0x10] & ATTR_LINE_GRAPHICS);

        if ((vga->attr[0x10] & ATTR_MONO) && (attr & 7) == 1 && scan == (vga->crtc[0x14] & 0x1fu)) {
            bits = 0xff;
            ninth = true;
        }
        if (blinks && (attr & 0x80) && (vga->blink & SHOW_BLINKING)) {
            bits = 0;
            ninth = false;
        }
        if (text_cursor_at(vga, (row / 4 + column) & 0xffff, scan)) {
            bits = 0xff;
            ninth = true;
        }
        for (unsigned x = 0; x < 8; x++)
            out[x] = bits >> (7 - x) & 1 ? front : back;
        if (dots == 9)
            out[8] = ninth ? front : back;
    }
}
