/* vga_draw.c - from registers and video memory to the surface, scan line by scan line.
 *
 * A 32-bit linear mode is shown as it lies in memory, without a copy. All others are drawn into a
 * surface of our own: rows none of whose pages were written are left out, and what is drawn is
 * compared with what was there, so that viewers are sent only what differs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/core/bytes.h"
#include "hw/display/vga.h"

enum {
    ATTR_SCREEN_ON = 0x20,
    CURSOR_BLINK_NS = 266666667, /* 16 frames */
};

const uint8_t *
vga_bytes(Vga *vga, uint32_t offset, uint32_t len)
{
    uint32_t first;

    offset &= vga->vram_size - 1;
    if (len <= vga->vram_size - offset)
        return vga->vram + offset;
    if (!vga->scratch)
        vga->scratch = g_malloc(4 * SCREEN_SIZE_MAX + 256);
    len = MIN(len, 4u * SCREEN_SIZE_MAX + 256);
    first = MIN(len, vga->vram_size - offset);
    memcpy(vga->scratch, vga->vram + offset, first);
    memcpy(vga->scratch + first, vga->vram, len - first);
    return vga->scratch;
}

/* ---- what the registers say ---- */

static uint32_t
vga_lines(const Vga *vga)
{
    const uint8_t *crtc = vga->crtc;

    return (crtc[0x12] | (crtc[7] & 0x02u) << 7 | (crtc[7] & 0x40u) << 3) + 1;
}

static void
vga_graphics_mode(const Vga *vga, VgaMode *mode)
{
    const uint8_t *crtc = vga->crtc;
    bool half_clock = vga->seq[1] & 0x08;

    mode->width = (crtc[1] + 1u) * 8;
    switch (vga->gfx[5] >> 5 & 3) {
    case 0:
        mode->kind = VGA_PLANAR;
        mode->double_x = half_clock;
        break;
    case 1:
        mode->kind = VGA_CGA;
        mode->double_x = half_clock;
        break;
    default:
        /* A pixel of 256 colours lasts two dots. */
        mode->kind = VGA_LINEAR8;
        mode->double_x = true;
        mode->width /= 2;
        mode->pan /= 2;
        break;
    }
    if (mode->double_x)
        mode->width *= 2;
    mode->repeat = ((crtc[9] & 0x1fu) + 1) << (crtc[9] >> 7);
    mode->cga = ~crtc[0x17] & 3;
    mode->bank_shift = 14 + (crtc[0x17] >> 6 & 1);
    if (mode->kind == VGA_CGA || (mode->cga & 1)) {
        /* The scan line within the row chooses the bank; it is not a repetition. */
        mode->repeat = 1u << (crtc[9] >> 7);
    }
}

void
vga_legacy_mode(const Vga *vga, VgaMode *mode)
{
    const uint8_t *crtc = vga->crtc;

    *mode = (VgaMode){
        .height = vga_lines(vga),
        .pitch = (uint32_t)crtc[0x13] << 3,
        .start = ((uint32_t)crtc[0x0c] << 8 | crtc[0x0d]) * 4 + (crtc[8] >> 5 & 3) * 4u,
        .row_scan = crtc[8] & 0x1f,
        .compare = crtc[0x18] | (crtc[7] & 0x10u) << 4 | (crtc[9] & 0x40u) << 3,
        .pan = vga->attr[0x13] & 15,
        .compare_pans = vga->attr[0x10] & 0x20,
    };
    if (!(vga->attr_index & ATTR_SCREEN_ON) || (vga->seq[1] & 0x20)) {
        mode->kind = VGA_BLANK;
        mode->width = (crtc[1] + 1u) * 8;
        return;
    }
    if (vga->gfx[6] & 1) {
        vga_graphics_mode(vga, mode);
        return;
    }
    mode->kind = VGA_TEXT;
    mode->repeat = (crtc[9] & 0x1fu) + 1;
    mode->width = (crtc[1] + 1u) * (vga->seq[1] & 1 ? 8 : 9);
    mode->double_x = vga->seq[1] & 0x08;
    if (mode->double_x)
        mode->width *= 2;
    /* With nine dots, 8 means no panning and 0 one dot. */
    mode->pan = vga->seq[1] & 1 ? mode->pan & 7 : mode->pan >= 8 ? 0 : mode->pan + 1;
}

static void
vga_find_mode(Vga *vga, VgaMode *mode)
{
    memset(mode, 0, sizeof(*mode));
    if (vga->card && vga->card->mode && vga->card->mode(vga, mode))
        return;
    if (vga->vbe_present && (vga->vbe[VBE_ENABLE] & VBE_ENABLED)) {
        if (!vbe_mode(vga, mode))
            *mode = (VgaMode){ .kind = VGA_BLANK, .width = 640, .height = 480 };
        else if (vga->legacy && !(vga->attr_index & ATTR_SCREEN_ON))
            mode->kind = VGA_BLANK;
        return;
    }
    if (vga->legacy)
        vga_legacy_mode(vga, mode);
    else
        *mode = (VgaMode){ .kind = VGA_BLANK, .width = 640, .height = 480 };
}

/* ---- rows of pixels ---- */

static void
draw_planar(Vga *vga, const VgaMode *mode, uint32_t at, uint32_t n, uint32_t *out)
{
    uint8_t planes = vga->vbe[VBE_ENABLE] & VBE_ENABLED ? 15 : vga->attr[0x12] & 15;
    const uint8_t *p = vga_bytes(vga, at, (n + 7) / 8 * 4);

    (void)mode;
    for (uint32_t x = 0; x < n; x += 8, p += 4) {
        for (unsigned bit = 0; bit < 8; bit++) {
            unsigned shift = 7 - bit;
            unsigned color = (p[0] >> shift & 1u) | (p[1] >> shift & 1u) << 1 |
                             (p[2] >> shift & 1u) << 2 | (p[3] >> shift & 1u) << 3;

            out[x + bit] = vga->colors[color & planes];
        }
    }
}

static void
draw_cga(Vga *vga, uint32_t at, uint32_t n, uint32_t *out)
{
    uint8_t planes = vga->attr[0x12] & 15;
    const uint8_t *p = vga_bytes(vga, at, (n + 7) / 8 * 4);

    for (uint32_t x = 0; x < n; x += 8, p += 4) {
        for (unsigned i = 0; i < 8; i++) {
            unsigned shift = 6 - 2 * (i & 3);
            unsigned color = (p[i / 4] >> shift & 3u) | (p[i / 4 + 2] >> shift & 3u) << 2;

            out[x + i] = vga->colors[color & planes];
        }
    }
}

static void
draw_linear8(Vga *vga, uint32_t at, uint32_t n, uint32_t *out)
{
    const uint8_t *p = vga_bytes(vga, at, n);

    for (uint32_t x = 0; x < n; x++)
        out[x] = vga->colors[p[x]];
}

static uint32_t
expand5(uint32_t v)
{
    return (v & 31) << 3 | (v & 31) >> 2;
}

static void
draw_linear16(Vga *vga, const VgaMode *mode, uint32_t at, uint32_t n, uint32_t *out)
{
    const uint8_t *p = vga_bytes(vga, at, 2 * n);

    for (uint32_t x = 0; x < n; x++, p += 2) {
        uint32_t v = bytes_load16(p);

        if (mode->kind == VGA_LINEAR15)
            out[x] = expand5(v >> 10) << 16 | expand5(v >> 5) << 8 | expand5(v);
        else
            out[x] = expand5(v >> 11) << 16 | ((v >> 5 & 63) << 2 | (v >> 9 & 3)) << 8 | expand5(v);
    }
}

static void
draw_linear24(Vga *vga, uint32_t at, uint32_t n, uint32_t *out)
{
    const uint8_t *p = vga_bytes(vga, at, 3 * n);

    for (uint32_t x = 0; x < n; x++, p += 3)
        out[x] = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

static void
draw_linear32(Vga *vga, uint32_t at, uint32_t n, uint32_t *out)
{
    const uint8_t *p = vga_bytes(vga, at, 4 * n);

    for (uint32_t x = 0; x < n; x++, p += 4)
        out[x] = bytes_load32(p) & 0xffffff;
}

/* Bytes of video memory that @n pixels take. */
static uint32_t
vga_row_bytes(const VgaMode *mode, uint32_t n)
{
    switch (mode->kind) {
    case VGA_PLANAR:
    case VGA_CGA:
        return (n + 7) / 8 * 4;
    case VGA_LINEAR15:
    case VGA_LINEAR16:
        return 2 * n;
    case VGA_LINEAR24:
        return 3 * n;
    case VGA_LINEAR32:
        return 4 * n;
    default:
        return n;
    }
}

/* Draws a scan line into vga->line and returns its first pixel that is seen. */
static uint32_t *
vga_draw_line(Vga *vga, const VgaMode *mode, uint32_t at, uint32_t scan, uint32_t pan)
{
    uint32_t n = (mode->double_x ? mode->width / 2 : mode->width) + pan;
    uint32_t *out = vga->line;

    switch (mode->kind) {
    case VGA_TEXT:
        vga_draw_text(vga, at, scan, out);
        break;
    case VGA_PLANAR:
        draw_planar(vga, mode, at, n, out);
        break;
    case VGA_CGA:
        draw_cga(vga, at, n, out);
        break;
    case VGA_LINEAR8:
        draw_linear8(vga, at, n, out);
        break;
    case VGA_LINEAR15:
    case VGA_LINEAR16:
        draw_linear16(vga, mode, at, n, out);
        break;
    case VGA_LINEAR24:
        draw_linear24(vga, at, n, out);
        break;
    case VGA_LINEAR32:
        draw_linear32(vga, at, n, out);
        break;
    default:
        memset(out, 0, 4 * (size_t)n);
        break;
    }
    if (!mode->double_x)
        return out + pan;
    for (uint32_t x = n; x-- > 0;)
        out[2 * x] = out[2 * x + 1] = out[x];
    return out + 2 * pan;
}

/* ---- the refresh ---- */

static bool
vga_mode_equal(const VgaMode *a, const VgaMode *b)
{
    return a->kind == b->kind && a->width == b->width && a->height == b->height &&
           a->start == b->start && a->pitch == b->pitch && a->repeat == b->repeat &&
           a->row_scan == b->row_scan && a->compare == b->compare && a->pan == b->pan &&
           a->double_x == b->double_x && a->compare_pans == b->compare_pans && a->cga == b->cga &&
           a->bank_shift == b->bank_shift;
}

static bool
vga_is_dirty(const Vga *vga, uint32_t offset, uint32_t len)
{
    uint32_t pages = vga->vram_size / VGA_PAGE;
    uint32_t page = (offset & (vga->vram_size - 1)) / VGA_PAGE;
    uint32_t n = MIN((offset % VGA_PAGE + len + VGA_PAGE - 1) / VGA_PAGE, pages);

    for (; n > 0; n--, page = (page + 1) % pages) {
        if (vga->dirty[page / 8] >> (page % 8) & 1)
            return true;
    }
    return false;
}

static void
vga_all_dirty(Vga *vga)
{
    memset(vga->dirty, 0xff, vga->dirty_bytes);
}

/* Pages that the guest wrote without leaving its vCPU. */
static void
vga_collect(Vga *vga)
{
    MemoryLayout *layout = vga->device->machine->layout;
    bool mapped = vga->lfb && vga->lfb_mapped(vga);

    if (mapped != vga->lfb_seen || (mapped && !memory_layout_dirty(layout, vga->lfb, vga->dirty)))
        vga_all_dirty(vga);
    vga->lfb_seen = mapped;
    if (vga->linear_placed) {
        uint8_t bits[VGA_WINDOW_SIZE / VGA_PAGE / 8 + 8] = { 0 };

        if (!memory_layout_dirty(layout, &vga->linear, bits)) {
            vga_touch(vga, vga->linear_offset, (uint32_t)vga->linear.size);
        } else {
            for (uint32_t i = 0; i < vga->linear.size / VGA_PAGE; i++) {
                if (bits[i / 8] >> (i % 8) & 1)
                    vga_touch(vga, vga->linear_offset + i * VGA_PAGE, VGA_PAGE);
            }
        }
    }
}

/* Whether colours or blinking have changed; takes note of them. */
static bool
vga_update_colors(Vga *vga, const VgaMode *mode)
{
    uint32_t colors[256], text[2], blink = 0;
    bool changed;

    if (mode->kind == VGA_LINEAR8) {
        for (unsigned i = 0; i < 256; i++)
            colors[i] = vga_dac_color(vga, (uint8_t)i);
    } else {
        for (unsigned i = 0; i < 256; i++) {
            unsigned index = vga->attr[i & 15];

            if (vga->attr[0x10] & 0x80)
                index = (index & 15) | (vga->attr[0x14] & 15u) << 4;
            else
                index = (index & 63) | (vga->attr[0x14] & 12u) << 4;
            if (vga->vbe[VBE_ENABLE] & VBE_ENABLED)
                index = vga->attr[i & 15] & 63u;
            colors[i] = vga_dac_color(vga, (uint8_t)index);
        }
    }
    if (mode->kind == VGA_TEXT) {
        int64_t phase = machine_clock_ns(vga->device->machine) / CURSOR_BLINK_NS;

        blink = (phase & 1 ? 1u : 0) | (phase & 2 ? 2u : 0);
    }
    /* What else is seen in a text mode: cursor, fonts, dots, what attributes mean. */
    text[0] = bytes_load32(vga->crtc + 0x0a) ^ vga->seq[3] ^ (uint32_t)vga->attr[0x10] << 8;
    text[1] = bytes_load32(vga->crtc + 0x0c) ^ vga->crtc[0x14] ^ (uint32_t)vga->seq[1] << 8;
    changed = blink != vga->blink || memcmp(colors, vga->colors, sizeof(colors)) != 0 ||
              (mode->kind == VGA_TEXT && memcmp(text, vga->text, sizeof(text)) != 0);
    vga->blink = blink;
    memcpy(vga->text, text, sizeof(text));
    memcpy(vga->colors, colors, sizeof(colors));
    return changed;
}

/* The rows of the surface that were drawn anew and differ, gathered into rectangles. */
static void
vga_draw_rows(Vga *vga, const VgaMode *mode, Surface *surface, bool all)
{
    uint32_t at = mode->start, row = 0, scan = mode->row_scan, pan = mode->pan, from = UINT32_MAX;

    for (uint32_t y = 0; y < mode->height; y++) {
        uint32_t line = at, *pixels;
        bool draw = all || mode->kind == VGA_TEXT;

        if (mode->cga & 1)
            line = (line & ~(1u << mode->bank_shift)) | (row & 1) << mode->bank_shift;
        if (mode->cga & 2)
            line = (line & ~(1u << 15)) | (row & 2) << 14;
        if (!draw)
            draw = vga_is_dirty(vga, line, vga_row_bytes(mode, mode->width + 32));
        if (draw) {
            pixels = vga_draw_line(vga, mode, line, scan, pan);
            if (vga->card && vga->card->paint_over)
                vga->card->paint_over(vga, y, pixels, mode->width);
            draw = memcmp(surface_row(surface, y), pixels, 4 * (size_t)mode->width) != 0;
            if (draw)
                memcpy(surface_row(surface, y), pixels, 4 * (size_t)mode->width);
        }
        if (draw && from == UINT32_MAX)
            from = y;
        if (!draw && from != UINT32_MAX) {
            screen_update(vga->screen, 0, from, mode->width, y - from);
            from = UINT32_MAX;
        }
        if (++scan >= mode->repeat) {
            scan = 0;
            if ((row & mode->cga) == mode->cga)
                at += mode->pitch;
            row++;
        }
        if (y == mode->compare) {
            at = row = scan = 0;
            pan = mode->compare_pans ? 0 : pan;
        }
    }
    if (from != UINT32_MAX)
        screen_update(vga->screen, 0, from, mode->width, mode->height - from);
}

/* A surface over video memory: rows that lie in pages written are told of. */
static void
vga_tell_rows(Vga *vga, const VgaMode *mode)
{
    uint32_t from = UINT32_MAX;

    for (uint32_t y = 0; y <= mode->height; y++) {
        bool dirty =
            y < mode->height && vga_is_dirty(vga, mode->start + y * mode->pitch, 4 * mode->width);

        if (dirty && from == UINT32_MAX)
            from = y;
        if (!dirty && from != UINT32_MAX) {
            screen_update(vga->screen, 0, from, mode->width, y - from);
            from = UINT32_MAX;
        }
    }
}

static bool
vga_can_show_directly(const Vga *vga, const VgaMode *mode)
{
    return mode->kind == VGA_LINEAR32 && !mode->double_x && mode->repeat <= 1 &&
           mode->compare >= mode->height && mode->start % 4 == 0 && mode->pitch % 4 == 0 &&
           (uint64_t)mode->start + (uint64_t)mode->pitch * (mode->height - 1) + 4 * mode->width <=
               vga->vram_size &&
           !(vga->card && vga->card->paint_over);
}

/* A surface for the mode, if the present one is not. */
static bool
vga_set_surface(Vga *vga, const VgaMode *mode)
{
    const Surface *now = screen_surface(vga->screen);
    bool direct = vga_can_show_directly(vga, mode);
    g_autoptr(Surface) surface = NULL;

    if (now == vga->surface && direct == vga->direct && now->width == mode->width &&
        now->height == mode->height &&
        (!direct || (now->data == vga->vram + mode->start && now->stride == mode->pitch)))
        return true;
    if (direct)
        surface = surface_new_for(vga->vram + mode->start, mode->width, mode->height, mode->pitch,
                                  video_memory_unref, video_memory_ref(vga->memory));
    else
        surface = surface_new(mode->width, mode->height);
    if (!surface) {
        if (direct)
            video_memory_unref(vga->memory);
        return false;
    }
    vga->direct = direct;
    vga->redraw = true;
    screen_set_surface(vga->screen, surface);
    surface_unref(vga->surface);
    vga->surface = g_steal_pointer(&surface);
    return true;
}

void
vga_refresh(void *opaque)
{
    Vga *vga = opaque;
    VgaMode mode;
    bool all;

    g_mutex_lock(&vga->device->lock);
    vga_collect(vga);
    vga_find_mode(vga, &mode);
    mode.width = MIN(mode.width, SCREEN_SIZE_MAX);
    mode.height = MIN(mode.height, SCREEN_SIZE_MAX);
    /* Between two modes the registers say strange things; wait for a picture one can look at. */
    if (mode.width >= 16 && mode.height >= 2 && vga_set_surface(vga, &mode)) {
        all = vga_update_colors(vga, &mode) || vga->redraw || !vga_mode_equal(&mode, &vga->mode);
        vga->mode = mode;
        vga->redraw = false;
        if (vga->direct && all)
            screen_update(vga->screen, 0, 0, mode.width, mode.height);
        else if (vga->direct)
            vga_tell_rows(vga, &mode);
        else if (mode.kind != VGA_TEXT || all || vga_is_dirty(vga, 0, VGA_LEGACY_BYTES))
            vga_draw_rows(vga, &mode, screen_surface(vga->screen), all);
        memset(vga->dirty, 0, vga->dirty_bytes);
    }
    g_mutex_unlock(&vga->device->lock);
}

void
vga_invalidate(void *opaque)
{
    Vga *vga = opaque;

    g_mutex_lock(&vga->device->lock);
    vga->redraw = true;
    g_mutex_unlock(&vga->device->lock);
}

const ScreenOps vga_screen_ops = { .refresh = vga_refresh, .invalidate = vga_invalidate };
