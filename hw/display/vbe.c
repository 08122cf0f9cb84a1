/* vbe.c - Bochs' VBE interface: an index and a data register that set linear modes.
 *
 * "VBE Display API" 0xB0C5 of the Bochs project (index and data at 1CEh, 1CFh) and its layout in
 * BAR 2 as QEMU's docs/specs/standard-vga.txt tells. A picture that does not fit into video memory
 * is not shown.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/display/vga.h"

enum {
    VBE_ID_OLDEST = 0xb0c0,
    VBE_ID_NEWEST = 0xb0c5,
    CRTC_LINES = 0x12,
};

void
vbe_reset(Vga *vga)
{
    vga->vbe_index = 0;
    memset(vga->vbe, 0, sizeof(vga->vbe));
    vga->vbe[VBE_ID] = VBE_ID_NEWEST;
    vga->vbe[VBE_MEMORY_64K] = (uint16_t)(vga->vram_size >> 16);
}

/* Bytes from row to row; 0 for a depth that there is not. */
static uint32_t
vbe_pitch(uint16_t bpp, uint32_t width)
{
    switch (bpp) {
    case 4:
        return width / 2; /* of four planes: an eighth in each */
    case 8:
        return width;
    case 15:
    case 16:
        return width * 2;
    case 24:
        return width * 3;
    case 32:
        return width * 4;
    default:
        return 0;
    }
}

static uint32_t
vbe_virt_width(const Vga *vga)
{
    return MAX(vga->vbe[VBE_VIRT_WIDTH], vga->vbe[VBE_XRES]);
}

bool
vbe_mode(const Vga *vga, VgaMode *ret)
{
    const uint16_t *vbe = vga->vbe;
    uint32_t pitch = vbe_pitch(vbe[VBE_BPP], vbe_virt_width(vga));
    uint64_t start;

    if (!(vbe[VBE_ENABLE] & VBE_ENABLED) || pitch == 0 || vbe[VBE_XRES] == 0 ||
        vbe[VBE_YRES] == 0 || (uint64_t)pitch * vbe[VBE_YRES] > vga->vram_size)
        return false;
    start = (uint64_t)pitch * vbe[VBE_Y_OFFSET] + vbe_pitch(vbe[VBE_BPP], vbe[VBE_X_OFFSET]);
    *ret = (VgaMode){ .width = vbe[VBE_XRES],
                      .height = vbe[VBE_YRES],
                      .pitch = pitch,
                      .start = (uint32_t)(start & (vga->vram_size - 1)),
                      .repeat = 1,
                      .compare = UINT32_MAX };
    switch (vbe[VBE_BPP]) {
    case 4:
        ret->kind = VGA_PLANAR;
        ret->start &= ~UINT32_C(3);
        ret->pan = vbe[VBE_X_OFFSET] & 7;
        break;
    case 8:
        ret->kind = VGA_LINEAR8;
        break;
    case 15:
        ret->kind = VGA_LINEAR15;
        break;
    case 16:
        ret->kind = VGA_LINEAR16;
        break;
    case 24:
        ret->kind = VGA_LINEAR24;
        break;
    default:
        ret->kind = VGA_LINEAR32;
        break;
    }
    return true;
}

uint32_t
vbe_bank_offset(const Vga *vga)
{
    return vga->vbe[VBE_ENABLE] & VBE_ENABLED ? (uint32_t)vga->vbe[VBE_BANK] << 16 : 0;
}

/* The VGA's own registers follow, for those who read them, and for the window. */
static void
vbe_set_registers(Vga *vga)
{
    const uint16_t *vbe = vga->vbe;
    unsigned lines = vbe[VBE_YRES] - 1u;

    if (!vga->legacy)
        return;
    vga->gfx[6] = (uint8_t)((vga->gfx[6] & ~0x0c) | 0x05); /* graphics, 64 KiB at A0000 */
    vga->crtc[0x01] = (uint8_t)(vbe[VBE_XRES] / 8 - 1);
    vga->crtc[0x13] = (uint8_t)(vbe_pitch(vbe[VBE_BPP], vbe_virt_width(vga)) >> 3);
    vga->crtc[CRTC_LINES] = (uint8_t)lines;
    vga->crtc[0x07] =
        (uint8_t)((vga->crtc[0x07] & ~0x42) | (lines >> 7 & 0x02) | (lines >> 3 & 0x40) | 0x10);
    vga->crtc[0x09] = (uint8_t)((vga->crtc[0x09] & ~0x9f) | 0x40);
    vga->crtc[0x17] |= 3;
    vga->crtc[0x18] = 0xff;
    if (vbe[VBE_BPP] == 4) {
        vga->seq[1] &= (uint8_t)~0x08;
        vga->gfx[5] &= (uint8_t)~0x60;
    } else {
        vga->seq[4] |= 0x08;
        vga->seq[2] |= 0x0f;
        vga->gfx[5] = (uint8_t)((vga->gfx[5] & ~0x60) | 0x40);
    }
}

static void
vbe_enable(Vga *vga, uint16_t value)
{
    bool was = vga->vbe[VBE_ENABLE] & VBE_ENABLED;
    VgaMode mode;

    vga->vbe[VBE_ENABLE] =
        value & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB | VBE_NOCLEAR);
    if (!(value & VBE_ENABLED)) {
        vga->vbe[VBE_BANK] = 0;
        return;
    }
    if (was)
        return;
    vga->vbe[VBE_VIRT_WIDTH] = vga->vbe[VBE_XRES];
    vga->vbe[VBE_X_OFFSET] = vga->vbe[VBE_Y_OFFSET] = 0;
    vga->vbe[VBE_BANK] = 0;
    vbe_set_registers(vga);
    if (!(value & VBE_NOCLEAR) && vbe_mode(vga, &mode)) {
        memset(vga->vram, 0, (size_t)mode.pitch * mode.height);
        vga_touch(vga, 0, mode.pitch * mode.height);
    }
}

uint16_t
vbe_read(Vga *vga, unsigned index)
{
    uint32_t pitch;

    if (index >= VBE_REGISTERS)
        return 0;
    if (vga->vbe[VBE_ENABLE] & VBE_GETCAPS) {
        if (index == VBE_XRES)
            return VBE_XRES_MAX;
        if (index == VBE_YRES)
            return VBE_YRES_MAX;
        if (index == VBE_BPP)
            return 32;
    }
    if (index == VBE_VIRT_HEIGHT) {
        pitch = vbe_pitch(vga->vbe[VBE_BPP], vbe_virt_width(vga));
        return pitch ? (uint16_t)MIN(vga->vram_size / pitch, UINT16_MAX) : 0;
    }
    return vga->vbe[index];
}

void
vbe_write(Vga *vga, unsigned index, uint16_t value)
{
    switch (index) {
    case VBE_ID:
        if (value >= VBE_ID_OLDEST && value <= VBE_ID_NEWEST)
            vga->vbe[VBE_ID] = value;
        return;
    case VBE_XRES:
        vga->vbe[index] = MIN(value, VBE_XRES_MAX) & (uint16_t)~7;
        break;
    case VBE_YRES:
        vga->vbe[index] = MIN(value, VBE_YRES_MAX);
        break;
    case VBE_BPP:
        value = value == 0 ? 8 : value;
        if (vbe_pitch(value, 8) > 0)
            vga->vbe[index] = value;
        break;
    case VBE_BANK:
        /* Beyond the memory there is nothing to show. */
        if (value < vga->vram_size >> 16)
            vga->vbe[index] = value;
        break;
    case VBE_ENABLE:
        vbe_enable(vga, value);
        break;
    case VBE_VIRT_WIDTH:
    case VBE_VIRT_HEIGHT:
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        vga->vbe[index] = value;
        break;
    default:
        return;
    }
    vga_window_update(vga);
}
