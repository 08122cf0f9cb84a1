/* cirrus.c - cirrus-vga: a Cirrus Logic GD5446 on PCI.
 *
 * Cirrus Logic CL-GD5446 Technical Reference Manual: extended sequencer, graphics and CRT registers
 * (also as memory: BAR 1, and in the window), linear frame buffer (BAR 0) with its window for
 * BitBLT data at 16 MiB, banks, extended write modes, hardware cursor, hidden DAC register. The VGA
 * beneath it is vga.c's. The linear frame buffer is mapped as it lies, but while accesses mean more
 * than that: then a cover over it brings them here.
 *
 * Leaves out: video windows, colour key, EEPROM and DDC, programmable clocks (kept, without
 * effect), line drawing; the window is never mapped in the extended modes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/display/cirrus.h"

#include <string.h>

#include "util/error.h"

enum {
    LFB_BAR_BYTES = 32 << 20,
    BLIT_WINDOW = 16 << 20,
    BLIT_WINDOW_BYTES = 4 << 20,
    MMIO_BYTES = 4096,
    MMIO_BLT = 0x100,
    WINDOW_BLT = 0x18000, /* B8000h */
    BLT_REGISTERS = 256,
    SEQ_UNLOCK = 6,
    SEQ_MODE = 7,
    SEQ_MODE_EXTENDED = 0x01,
    SEQ_CURSOR_X = 0x10,
    SEQ_CURSOR_Y = 0x11,
    SEQ_CURSOR = 0x12,
    CURSOR_SHOWN = 0x01,
    CURSOR_PALETTE = 0x02,
    CURSOR_LARGE = 0x04,
    SEQ_CURSOR_PATTERN = 0x13,
    SEQ_CONFIG = 0x17,
    CONFIG_MMIO = 0x04,
    CONFIG_MMIO_LFB = 0x40, /* at the end of the linear frame buffer */
    GFX_MODE = 5,
    GFX_BANK = 9,
    GFX_EXTENSION = 0x0b,
    TWO_BANKS = 0x01,
    BY8 = 0x02,
    WRITE_MODES = 0x04,
    BY16 = 0x14,
    BANKS_16K = 0x20,
    STATUS_START = 0x02,
    STATUS_RESET = 0x04,
    STATUS_AUTOSTART = 0x80,
    CRTC_INTERLACE = 0x1a,
    CRTC_START_HIGH = 0x1b,
    CRTC_START_TOP = 0x1d,
    CRTC_ATTR_STATE = 0x24,
    CRTC_ATTR_INDEX = 0x26,
    CRTC_CHIP = 0x27,
    CHIP_GD5446 = 0xb8,
    DAC_READS = 4, /* of the mask, then the hidden register is there */
    MISC_COLOR = 0x01,
    CURSOR_BYTES = 16 << 10, /* at the end of video memory */
};

static Cirrus *
cirrus_of(Vga *vga)
{
    return (Cirrus *)(void *)((char *)vga - offsetof(Cirrus, vga));
}

static bool
cirrus_is_extended(const Cirrus *cirrus)
{
    return cirrus->seq[SEQ_MODE] & SEQ_MODE_EXTENDED;
}

/* ---- access to video memory ---- */

/* A write to the linear frame buffer does no more than that. */
static bool
cirrus_is_plain(const Cirrus *cirrus)
{
    uint8_t extension = cirrus->gfx[GFX_EXTENSION], mode = cirrus->gfx[GFX_MODE] & 7;

    return (cirrus->seq[SEQ_CONFIG] & (CONFIG_MMIO | CONFIG_MMIO_LFB)) !=
               (CONFIG_MMIO | CONFIG_MMIO_LFB) &&
           cirrus->rows == 0 && (extension & BY16) != BY16 && !(extension & BY8) &&
           !((extension & WRITE_MODES) && (mode == 4 || mode == 5));
}

void
cirrus_update_access(Cirrus *cirrus)
{
    MemoryLayout *layout = cirrus->vga.device->machine->layout;
    const PciBar *bar = &cirrus->pci.bars[0];
    bool wanted = bar->mapped && !cirrus_is_plain(cirrus);

    if (wanted == cirrus->covered && (!wanted || cirrus->cover.gpa == bar->address))
        return;
    memory_layout_begin(layout);
    if (cirrus->covered)
        memory_layout_remove(layout, &cirrus->cover);
    cirrus->covered = false;
    if (wanted) {
        cirrus->cover = (MemoryOverlay){ .name = "cirrus cover",
                                         .gpa = bar->address,
                                         .size = cirrus->vga.vram_size,
                                         .priority = OVERLAY_PRIORITY_BAR + 1 };
        cirrus->covered = memory_layout_add(layout, &cirrus->cover) == 0;
    }
    memory_layout_commit(layout);
}

/* @offset of video memory as the guest names it to where it is. */
static uint32_t
cirrus_scale(const Cirrus *cirrus, uint32_t offset)
{
    uint8_t extension = cirrus->gfx[GFX_EXTENSION];

    if ((extension & BY16) == BY16)
        offset <<= 4;
    else if (extension & BY8)
        offset <<= 3;
    return offset & (cirrus->vga.vram_size - 1);
}

/* Write modes 4 and 5: eight pixels of one or two bytes, a bit each. */
static void
cirrus_write_pixels(Cirrus *cirrus, unsigned mode, uint32_t at, uint8_t bits)
{
    const uint8_t *gfx = cirrus->gfx;
    unsigned size = (gfx[GFX_EXTENSION] & BY16) == BY16 ? 2 : 1;

    for (unsigned i = 0; i < 8; i++, bits = (uint8_t)(bits << 1)) {
        uint8_t *pixel = cirrus->vga.vram + ((at + i * size) & (cirrus->vga.vram_size - size));

        if (!(bits & 0x80) && mode == 4)
            continue;
        pixel[0] = gfx[bits & 0x80 ? 1 : 0];
        if (size == 2)
            pixel[1] = gfx[bits & 0x80 ? 0x11 : 0x10];
    }
    vga_touch(&cirrus->vga, at, 8 * size);
    if (at + 8 * size > cirrus->vga.vram_size)
        vga_touch(&cirrus->vga, 0, 8 * size);
}

static uint8_t
cirrus_memory_read(Cirrus *cirrus, uint32_t offset)
{
    return cirrus->vga.vram[cirrus_scale(cirrus, offset)];
}

static void
cirrus_memory_write(Cirrus *cirrus, uint32_t offset, uint8_t value)
{
    unsigned mode = cirrus->gfx[GFX_MODE] & 7;
    uint32_t at = cirrus_scale(cirrus, offset);

    if (cirrus->rows > 0) {
        cirrus_blit_byte(cirrus, value);
    } else if ((cirrus->gfx[GFX_EXTENSION] & WRITE_MODES) && (mode == 4 || mode == 5)) {
        cirrus_write_pixels(cirrus, mode, at, value);
    } else {
        cirrus->vga.vram[at] = value;
        vga_touch(&cirrus->vga, at, 1);
    }
}

/* ---- registers ---- */

static void
cirrus_gfx_write(Cirrus *cirrus, unsigned index, uint8_t value)
{
    uint8_t *gfx = cirrus->gfx, old = gfx[index & 63];

    switch (index) {
    case GR_BLT_WIDTH + 1:
    case GR_BLT_TO_PITCH + 1:
    case GR_BLT_FROM_PITCH + 1:
        gfx[index] = value & 0x1f;
        break;
    case GR_BLT_HEIGHT + 1:
        gfx[index] = value & 0x07;
        break;
    case GR_BLT_FROM + 2:
        gfx[index] = value & 0x3f;
        break;
    case GR_BLT_TO + 2:
        gfx[index] = value & 0x3f;
        if (gfx[GR_BLT_STATUS] & STATUS_AUTOSTART)
            cirrus_blit_start(cirrus);
        break;
    case GR_BLT_STATUS:
        gfx[index] = (uint8_t)((old & ~(STATUS_AUTOSTART | STATUS_START | STATUS_RESET)) |
                               (value & (STATUS_AUTOSTART | STATUS_START | STATUS_RESET)));
        if ((old & STATUS_RESET) && !(value & STATUS_RESET))
            cirrus_blit_reset(cirrus);
        else if (!(old & STATUS_START) && (value & STATUS_START))
            cirrus_blit_start(cirrus);
        break;
    default:
        gfx[index & 63] = value;
        cirrus_update_access(cirrus);
        break;
    }
}

/* The blit's registers in memory: which graphics register, 0xff for none. */
static unsigned
cirrus_mmio_register(unsigned offset)
{
    static const uint8_t registers[] = {
        0x00, 0x10, 0x12, 0x14, 0x01, 0x11, 0x13, 0x15, 0x20, 0x21, 0x22, 0x23,
        0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0xff, 0x2c, 0x2d, 0x2e, 0x2f,
        0x30, 0xff, 0x32, 0x33, 0x34, 0x35, 0xff, 0xff, 0x38, 0x39,
    };

    if (offset == 0x40)
        return GR_BLT_STATUS;
    return offset < sizeof(registers) ? registers[offset] : 0xff;
}

static uint8_t
cirrus_mmio_read(Cirrus *cirrus, unsigned offset)
{
    unsigned index = cirrus_mmio_register(offset);

    return index == 0xff ? 0xff : cirrus->gfx[index];
}

static void
cirrus_mmio_write(Cirrus *cirrus, unsigned offset, uint8_t value)
{
    unsigned index = cirrus_mmio_register(offset);

    if (index != 0xff)
        cirrus_gfx_write(cirrus, index, value);
}

static void
cirrus_redraw(Cirrus *cirrus)
{
    cirrus->vga.redraw = true;
    if (cirrus->vga.screen)
        screen_kick(cirrus->vga.screen);
}

/* True: the register is not one of the VGA's. */
static bool
cirrus_seq_write(Cirrus *cirrus, uint8_t value)
{
    unsigned index = cirrus->seq_index & 31;

    if (index < SEQ_UNLOCK)
        return false;
    switch (index) {
    case SEQ_UNLOCK:
        value = (value & 0x17) == 0x12 ? 0x12 : 0x0f;
        break;
    case SEQ_CURSOR_X: /* the index holds the low bits */
        cirrus->cursor_x = (uint16_t)(value << 3 | cirrus->seq_index >> 5);
        break;
    case SEQ_CURSOR_Y:
        cirrus->cursor_y = (uint16_t)(value << 3 | cirrus->seq_index >> 5);
        break;
    case SEQ_CONFIG:
        value = (uint8_t)((cirrus->seq[index] & 0x38) | (value & 0xc7));
        break;
    }
    cirrus->seq[index] = value;
    if (index == SEQ_MODE || (index >= SEQ_CURSOR_X && index <= SEQ_CURSOR_PATTERN))
        cirrus_redraw(cirrus);
    if (index == SEQ_MODE)
        vga_window_update(&cirrus->vga);
    cirrus_update_access(cirrus);
    return true;
}

/* The DAC's mask, or the register hidden behind it. */
static uint8_t
cirrus_dac_mask_read(Cirrus *cirrus)
{
    if (cirrus->dac_reads == DAC_READS)
        return cirrus->dac_mode;
    cirrus->dac_reads++;
    return cirrus->vga.dac_mask;
}

static void
cirrus_dac_mask_write(Cirrus *cirrus, uint8_t value)
{
    if (cirrus->dac_reads == DAC_READS)
        cirrus->dac_mode = value;
    else
        cirrus->vga.dac_mask = value;
    cirrus->dac_reads = 0;
    cirrus_redraw(cirrus);
}

static bool
cirrus_port_read(Vga *vga, uint16_t port, uint8_t *ret)
{
    Cirrus *cirrus = cirrus_of(vga);

    if (port >= 0x3c7 && port <= 0x3c9)
        cirrus->dac_reads = 0;
    switch (port) {
    case 0x3c4:
        *ret = cirrus->seq_index;
        return true;
    case 0x3c5:
        if ((cirrus->seq_index & 31) < SEQ_UNLOCK)
            return false;
        *ret = cirrus->seq[cirrus->seq_index & 31];
        return true;
    case 0x3c6:
        *ret = cirrus_dac_mask_read(cirrus);
        return true;
    case 0x3ce:
        *ret = cirrus->gfx_index;
        return true;
    case 0x3cf:
        *ret = cirrus->gfx[cirrus->gfx_index & 63];
        return true;
    case 0x3b5:
    case 0x3d5:
        if (vga->crtc_index == CRTC_ATTR_STATE)
            *ret = (uint8_t)(vga->attr_data << 7);
        else if (vga->crtc_index == CRTC_ATTR_INDEX)
            *ret = vga->attr_index & 0x3f;
        else if (vga->crtc_index == CRTC_CHIP)
            *ret = CHIP_GD5446;
        else
            return false;
        return true;
    }
    return false;
}

/* A colour of the DAC, or of the cursor. */
static bool
cirrus_palette_write(Cirrus *cirrus, uint8_t value)
{
    Vga *vga = &cirrus->vga;

    if (!(cirrus->seq[SEQ_CURSOR] & CURSOR_PALETTE))
        return false;
    vga->dac_cache[vga->dac_sub % 3] = value;
    if (++vga->dac_sub >= 3) {
        memcpy(cirrus->cursor_palette + 3 * (vga->dac_write & 15), vga->dac_cache, 3);
        vga->dac_sub = 0;
        vga->dac_write++;
        cirrus_redraw(cirrus);
    }
    return true;
}

static bool
cirrus_port_write(Vga *vga, uint16_t port, uint8_t value)
{
    Cirrus *cirrus = cirrus_of(vga);

    if (port >= 0x3c7 && port <= 0x3c9)
        cirrus->dac_reads = 0;
    switch (port) {
    case 0x3c4:
        cirrus->seq_index = value;
        return false;
    case 0x3c5:
        return cirrus_seq_write(cirrus, value);
    case 0x3c6:
        cirrus_dac_mask_write(cirrus, value);
        return true;
    case 0x3c9:
        return cirrus_palette_write(cirrus, value);
    case 0x3ce:
        cirrus->gfx_index = value;
        return false;
    case 0x3cf:
        cirrus_gfx_write(cirrus, cirrus->gfx_index & 63, value);
        return (cirrus->gfx_index & 63) > 8;
    case 0x3b5:
    case 0x3d5:
        return vga->crtc_index == CRTC_ATTR_STATE || vga->crtc_index == CRTC_ATTR_INDEX ||
               vga->crtc_index == CRTC_CHIP;
    }
    return false;
}

/* ---- the window at A0000h ---- */

/* Where the window's byte is in video memory, before scaling; false: nowhere. */
static bool
cirrus_bank(const Cirrus *cirrus, uint32_t offset, uint32_t *ret)
{
    const uint8_t *gfx = cirrus->gfx;
    unsigned half = offset >> 15;
    uint32_t base = gfx[gfx[GFX_EXTENSION] & TWO_BANKS ? GFX_BANK + half : GFX_BANK];

    base <<= gfx[GFX_EXTENSION] & BANKS_16K ? 14 : 12;
    if (gfx[GFX_EXTENSION] & TWO_BANKS)
        offset &= 0x7fff;
    *ret = base + offset;
    return *ret < cirrus->vga.vram_size;
}

static bool
cirrus_window_read(Vga *vga, uint32_t offset, uint8_t *ret)
{
    Cirrus *cirrus = cirrus_of(vga);
    uint32_t at;

    if (!cirrus_is_extended(cirrus))
        return false;
    *ret = 0xff;
    if (offset < 0x10000) {
        if (cirrus_bank(cirrus, offset, &at))
            *ret = cirrus_memory_read(cirrus, at);
    } else if (offset >= WINDOW_BLT && offset < WINDOW_BLT + BLT_REGISTERS &&
               (cirrus->seq[SEQ_CONFIG] & (CONFIG_MMIO | CONFIG_MMIO_LFB)) == CONFIG_MMIO) {
        *ret = cirrus_mmio_read(cirrus, offset - WINDOW_BLT);
    }
    return true;
}

static bool
cirrus_window_write(Vga *vga, uint32_t offset, uint8_t value)
{
    Cirrus *cirrus = cirrus_of(vga);
    uint32_t at;

    if (!cirrus_is_extended(cirrus))
        return false;
    if (offset < 0x10000) {
        if (cirrus->rows > 0)
            cirrus_blit_byte(cirrus, value);
        else if (cirrus_bank(cirrus, offset, &at))
            cirrus_memory_write(cirrus, at, value);
    } else if (offset >= WINDOW_BLT && offset < WINDOW_BLT + BLT_REGISTERS &&
               (cirrus->seq[SEQ_CONFIG] & (CONFIG_MMIO | CONFIG_MMIO_LFB)) == CONFIG_MMIO) {
        cirrus_mmio_write(cirrus, offset - WINDOW_BLT, value);
    }
    return true;
}

static bool
cirrus_window_linear(Vga *vga, uint32_t *ret_offset, uint32_t *ret_size)
{
    *ret_offset = *ret_size = 0;
    return cirrus_is_extended(cirrus_of(vga));
}

/* ---- BARs ---- */

static uint64_t
cirrus_lfb_read(void *opaque, uint64_t offset, unsigned size)
{
    Cirrus *cirrus = opaque;
    bool mmio = (cirrus->seq[SEQ_CONFIG] & (CONFIG_MMIO | CONFIG_MMIO_LFB)) ==
                (CONFIG_MMIO | CONFIG_MMIO_LFB);
    uint32_t end = cirrus->vga.vram_size - BLT_REGISTERS;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        uint32_t at = (uint32_t)offset + i;
        uint8_t byte =
            mmio && at >= end ? cirrus_mmio_read(cirrus, at - end) : cirrus_memory_read(cirrus, at);

        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void
cirrus_lfb_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Cirrus *cirrus = opaque;
    uint32_t end = cirrus->vga.vram_size - BLT_REGISTERS;

    for (unsigned i = 0; i < size; i++, value >>= 8) {
        uint32_t at = (uint32_t)offset + i;

        if (at >= end && (cirrus->seq[SEQ_CONFIG] & (CONFIG_MMIO | CONFIG_MMIO_LFB)) ==
                             (CONFIG_MMIO | CONFIG_MMIO_LFB))
            cirrus_mmio_write(cirrus, at - end, (uint8_t)value);
        else
            cirrus_memory_write(cirrus, at, (uint8_t)value);
    }
}

static const IoOps cirrus_lfb_ops = {
    .read = cirrus_lfb_read,
    .write = cirrus_lfb_write,
    .sizes = 1 | 2 | 4 | 8,
    .unaligned = true,
};

static uint64_t
cirrus_blit_window_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return UINT64_MAX;
}

static void
cirrus_blit_window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    for (unsigned i = 0; i < size; i++, value >>= 8)
        cirrus_blit_byte(opaque, (uint8_t)value);
}

static const IoOps cirrus_blit_window_ops = {
    .read = cirrus_blit_window_read,
    .write = cirrus_blit_window_write,
    .sizes = 1 | 2 | 4 | 8,
    .unaligned = true,
};

static uint64_t
cirrus_bar_read(void *opaque, uint64_t offset, unsigned size)
{
    Cirrus *cirrus = opaque;

    (void)size;
    if (offset < 0x20)
        return vga_port_read(&cirrus->vga, (uint16_t)(0x3c0 + offset));
    return offset < MMIO_BLT ? 0xff : cirrus_mmio_read(cirrus, (unsigned)offset - MMIO_BLT);
}

static void
cirrus_bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Cirrus *cirrus = opaque;

    (void)size;
    if (offset < 0x20)
        vga_port_write(&cirrus->vga, (uint16_t)(0x3c0 + offset), (uint8_t)value);
    else if (offset >= MMIO_BLT)
        cirrus_mmio_write(cirrus, (unsigned)offset - MMIO_BLT, (uint8_t)value);
}

static const IoOps cirrus_bar_ops = {
    .read = cirrus_bar_read,
    .write = cirrus_bar_write,
    .sizes = 1,
    .split = true,
    .unaligned = true,
};

/* ---- the picture ---- */

static bool
cirrus_mode(Vga *vga, VgaMode *mode)
{
    const Cirrus *cirrus = cirrus_of(vga);
    const uint8_t *crtc = vga->crtc;
    static const VgaKind kinds[] = { VGA_LINEAR8, VGA_LINEAR16, VGA_LINEAR24, VGA_LINEAR16,
                                     VGA_LINEAR32 };
    unsigned depth = cirrus->seq[SEQ_MODE] >> 1 & 7;

    if (!cirrus_is_extended(cirrus))
        return false;
    vga_legacy_mode(vga, mode);
    mode->width = (crtc[1] + 1u) * 8;
    if (mode->kind == VGA_BLANK)
        return true;
    mode->kind = depth < G_N_ELEMENTS(kinds) ? kinds[depth] : VGA_LINEAR8;
    if (mode->kind == VGA_LINEAR16 && (cirrus->dac_mode & 15) != 1)
        mode->kind = VGA_LINEAR15;
    mode->pitch = (crtc[0x13] | (crtc[CRTC_START_HIGH] & 0x10u) << 4) << 3;
    mode->start = ((uint32_t)crtc[0x0c] << 8 | crtc[0x0d] | (crtc[CRTC_START_HIGH] & 0x01u) << 16 |
                   (crtc[CRTC_START_HIGH] & 0x0cu) << 15 | (crtc[CRTC_START_TOP] & 0x80u) << 12)
                  << 2;
    mode->start &= vga->vram_size - 1;
    mode->repeat = ((crtc[9] & 0x1fu) + 1) << (crtc[9] >> 7);
    if (crtc[CRTC_INTERLACE] & 1)
        mode->height *= 2;
    mode->pan = 0;
    mode->double_x = false;
    mode->cga = 0;
    return true;
}

static uint32_t
cirrus_cursor_color(const Cirrus *cirrus, unsigned index)
{
    const uint8_t *rgb = cirrus->cursor_palette + 3 * index;

    return (uint32_t)((rgb[0] & 63) << 2 | (rgb[0] & 63) >> 4) << 16 |
           (uint32_t)((rgb[1] & 63) << 2 | (rgb[1] & 63) >> 4) << 8 |
           (uint32_t)((rgb[2] & 63) << 2 | (rgb[2] & 63) >> 4);
}

/* The cursor: two planes of bits, next to each other in a row of the large one, one behind the
 * other in the small one. */
static void
cirrus_paint_cursor(Vga *vga, uint32_t y, uint32_t *pixels, uint32_t width)
{
    const Cirrus *cirrus = cirrus_of(vga);
    bool large = cirrus->seq[SEQ_CURSOR] & CURSOR_LARGE;
    uint32_t size = large ? 64 : 32, row = y - cirrus->cursor_y;
    uint32_t at = vga->vram_size - CURSOR_BYTES;
    uint32_t front = cirrus_cursor_color(cirrus, 15), back = cirrus_cursor_color(cirrus, 0);

    if (!(cirrus->seq[SEQ_CURSOR] & CURSOR_SHOWN) || !cirrus_is_extended(cirrus) || row >= size)
        return;
    at += large ? (cirrus->seq[SEQ_CURSOR_PATTERN] & 0x3cu) * 256 + row * 16
                : (cirrus->seq[SEQ_CURSOR_PATTERN] & 0x3fu) * 256 + row * 4;
    for (uint32_t x = 0; x < size && cirrus->cursor_x + x < width; x++) {
        uint32_t byte = at + x / 8, other = byte + (large ? 8 : 128);
        bool first = vga->vram[byte & (vga->vram_size - 1)] >> (7 - x % 8) & 1;
        bool second = vga->vram[other & (vga->vram_size - 1)] >> (7 - x % 8) & 1;

        if (second)
            pixels[cirrus->cursor_x + x] = first ? front : back;
        else if (first)
            pixels[cirrus->cursor_x + x] ^= 0xffffff;
    }
}

static const VgaCardOps cirrus_card_ops = {
    .mode = cirrus_mode,
    .window_read = cirrus_window_read,
    .window_write = cirrus_window_write,
    .window_linear = cirrus_window_linear,
    .port_read = cirrus_port_read,
    .port_write = cirrus_port_write,
    .paint_over = cirrus_paint_cursor,
};

/* ---- the device ---- */

static bool
cirrus_realize(Device *device, GError **err)
{
    Cirrus *cirrus = (Cirrus *)device;
    PciDevice *pci = &cirrus->pci;
    Vga *vga = &cirrus->vga;

    if (cirrus->memory_mib != 4 && cirrus->memory_mib != 8 && cirrus->memory_mib != 16)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "vgamem_mb=%u: it can have 4, 8 or 16 MiB", cirrus->memory_mib);
    if (!vga_init(vga, device, cirrus->memory_mib, err))
        return false;
    vga->card = &cirrus_card_ops;
    pci_bar_add(pci, 0, PCI_BAR_MEM32, true, LFB_BAR_BYTES);
    pci_bar_add_region(pci, 0, 0, vga->vram_size, &cirrus_lfb_ops, cirrus, &device->lock,
                       "cirrus memory");
    pci_bar_add_region(pci, 0, BLIT_WINDOW, BLIT_WINDOW_BYTES, &cirrus_blit_window_ops, cirrus,
                       &device->lock, "cirrus blit window");
    vga_add_lfb(vga, pci, 0);
    pci_bar_add(pci, 1, PCI_BAR_MEM32, false, MMIO_BYTES);
    pci_bar_add_region(pci, 1, 0, MMIO_BLT + BLT_REGISTERS, &cirrus_bar_ops, cirrus, &device->lock,
                       "cirrus registers");
    vga->screen = screen_new(device, 0, &vga_screen_ops, vga);
    vga_add_legacy(vga);
    return true;
}

static void
cirrus_reset(Device *device)
{
    Cirrus *cirrus = (Cirrus *)device;

    g_mutex_lock(&device->lock);
    cirrus->rows = cirrus->filled = 0;
    memset(cirrus->seq, 0, sizeof(cirrus->seq));
    memset(cirrus->gfx, 0, sizeof(cirrus->gfx));
    memset(cirrus->cursor_palette, 0, sizeof(cirrus->cursor_palette));
    cirrus->seq_index = cirrus->gfx_index = cirrus->dac_reads = cirrus->dac_mode = 0;
    cirrus->cursor_x = cirrus->cursor_y = 0;
    cirrus->seq[SEQ_UNLOCK] = 0x0f;
    cirrus->seq[0x0f] = 0x98;       /* 64 bits wide */
    cirrus->seq[0x15] = 0x04;       /* 4 MiB */
    cirrus->seq[SEQ_CONFIG] = 0x20; /* PCI */
    cirrus->seq[0x1f] = 0x2d;
    cirrus->gfx[0x18] = 0x0f;
    cirrus_update_access(cirrus);
    vga_reset(&cirrus->vga);
    /* Drivers leave it to the BIOS to put the CRT controller where they look for it. */
    if (!device->machine->config.firmware)
        cirrus->vga.misc = MISC_COLOR;
    g_mutex_unlock(&device->lock);
}

static void
cirrus_unrealize(Device *device)
{
    Cirrus *cirrus = (Cirrus *)device;

    if (cirrus->covered)
        memory_layout_remove(device->machine->layout, &cirrus->cover);
    cirrus->covered = false;
    vga_fini(&cirrus->vga);
}

static bool
cirrus_after_load(void *state, GError **err)
{
    Cirrus *cirrus = state;

    if (cirrus->pitch > CIRRUS_LINE || (cirrus->rows > 0 && cirrus->filled >= cirrus->pitch) ||
        cirrus->rows > 2048 || cirrus->blit.width > CIRRUS_LINE || cirrus->blit.height > 2048 ||
        cirrus->dac_reads > DAC_READS)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "its saved blit is larger than any can be");
    g_mutex_lock(&cirrus->pci.device.lock);
    cirrus_update_access(cirrus);
    vga_window_update(&cirrus->vga);
    g_mutex_unlock(&cirrus->pci.device.lock);
    return true;
}

static const SavedField cirrus_blit_fields[] = {
    SAVED(CirrusBlit, width, 1), SAVED(CirrusBlit, height, 1),    SAVED(CirrusBlit, to, 1),
    SAVED(CirrusBlit, from, 1),  SAVED(CirrusBlit, to_pitch, 1),  SAVED(CirrusBlit, from_pitch, 1),
    SAVED(CirrusBlit, front, 1), SAVED(CirrusBlit, back, 1),      SAVED(CirrusBlit, key, 1),
    SAVED(CirrusBlit, mode, 1),  SAVED(CirrusBlit, extension, 1), SAVED(CirrusBlit, rop, 1),
    SAVED(CirrusBlit, skip, 1),
};

static const SavedTable cirrus_blit_saved = {
    .name = "cirrus-blit",
    .version = 1,
    .oldest = 1,
    .fields = cirrus_blit_fields,
    .n_fields = G_N_ELEMENTS(cirrus_blit_fields),
};

static const SavedField cirrus_fields[] = {
    SAVED_STRUCT(Cirrus, vga, vga_saved, 1),
    SAVED(Cirrus, seq_index, 1),
    SAVED_BYTES(Cirrus, seq, 1),
    SAVED(Cirrus, gfx_index, 1),
    SAVED_BYTES(Cirrus, gfx, 1),
    SAVED(Cirrus, dac_reads, 1),
    SAVED(Cirrus, dac_mode, 1),
    SAVED_BYTES(Cirrus, cursor_palette, 1),
    SAVED(Cirrus, cursor_x, 1),
    SAVED(Cirrus, cursor_y, 1),
    SAVED_STRUCT(Cirrus, blit, cirrus_blit_saved, 1),
    SAVED(Cirrus, rows, 1),
    SAVED(Cirrus, pitch, 1),
    SAVED(Cirrus, filled, 1),
    SAVED_BYTES(Cirrus, line, 1),
};

static const SavedTable cirrus_saved = {
    .name = "cirrus-vga",
    .version = 1,
    .oldest = 1,
    .fields = cirrus_fields,
    .n_fields = G_N_ELEMENTS(cirrus_fields),
    .after_load = cirrus_after_load,
};

static const DeviceProp cirrus_props[] = {
    { "vgamem_mb", PROP_UINT32, offsetof(Cirrus, memory_mib), "4",
      .help = "video memory, MiB: 4, 8 or 16" },
    { "blitter", PROP_BOOL, offsetof(Cirrus, blitter), "on",
      .help = "accepted; there always is one" },
};

static const PciDetails cirrus_details = {
    .vendor = 0x1013,
    .device = 0x00b8,
    .class_code = 0x030000,
    .rom = "vgabios-cirrus.bin",
};

const DeviceClass cirrus_vga_class = {
    .name = "cirrus-vga",
    .description = "Cirrus Logic GD5446",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .state_size = sizeof(Cirrus),
    .props = cirrus_props,
    .n_props = G_N_ELEMENTS(cirrus_props),
    .saved = &cirrus_saved,
    .realize = cirrus_realize,
    .reset = cirrus_reset,
    .unrealize = cirrus_unrealize,
    .details = &cirrus_details,
};
