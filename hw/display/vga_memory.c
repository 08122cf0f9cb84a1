/* vga_memory.c - the window at A0000h: planes, latches, write modes; and the window mapped as it
 * lies while memory is linear.
 *
 * IBM PS/2 Hardware Interface Technical Reference, Video Subsystems, "Graphics Controller".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/display/vga.h"

enum {
    SEQ_PLANES = 2, /* map mask */
    SEQ_MEMORY = 4,
    SEQ_CHAIN4 = 0x08,
    GFX_SET_RESET = 0,
    GFX_ENABLE_SET_RESET = 1,
    GFX_COMPARE = 2,
    GFX_ROTATE = 3,
    GFX_READ_PLANE = 4,
    GFX_MODE = 5,
    GFX_MISC = 6,
    GFX_DONT_CARE = 7,
    GFX_BIT_MASK = 8,
    MODE_ODD_EVEN = 0x10,
    MODE_READ_COMPARE = 0x08,
};

/* A byte in each plane whose bit is set. */
static uint32_t
vga_planes(uint8_t bits)
{
    return (bits & 1 ? 0xffu : 0) | (bits & 2 ? 0xff00u : 0) | (bits & 4 ? 0xff0000u : 0) |
           (bits & 8 ? 0xff000000u : 0);
}

void
vga_touch(Vga *vga, uint32_t offset, uint32_t len)
{
    if (len == 0 || offset >= vga->vram_size)
        return;
    len = MIN(len, vga->vram_size - offset);
    for (uint32_t page = offset / VGA_PAGE; page <= (offset + len - 1) / VGA_PAGE; page++)
        vga->dirty[page / 8] |= (uint8_t)(1u << (page % 8));
}

/* Which part of the window answers: false outside it. */
static bool
vga_window_decode(const Vga *vga, uint32_t *offset)
{
    switch (vga->gfx[GFX_MISC] >> 2 & 3) {
    case 0:
        return true;
    case 1:
        if (*offset >= 0x10000)
            return false;
        *offset += vbe_bank_offset(vga);
        return true;
    case 2:
        *offset -= 0x10000;
        return *offset < 0x8000;
    default:
        *offset -= 0x18000;
        return *offset < 0x8000;
    }
}

static uint32_t
vga_odd_even(uint32_t offset, unsigned plane)
{
    return (offset & ~1u) << 1 | plane;
}

uint8_t
vga_window_read(Vga *vga, uint32_t offset)
{
    uint8_t value;
    uint32_t at;

    if (vga->card && vga->card->window_read && vga->card->window_read(vga, offset, &value))
        return value;
    if (!vga_window_decode(vga, &offset))
        return 0xff;
    if (vga->seq[SEQ_MEMORY] & SEQ_CHAIN4)
        return offset < vga->vram_size ? vga->vram[offset] : 0xff;
    if (vga->gfx[GFX_MODE] & MODE_ODD_EVEN) {
        at = vga_odd_even(offset, (vga->gfx[GFX_READ_PLANE] & 2u) | (offset & 1));
        return at < vga->vram_size ? vga->vram[at] : 0xff;
    }
    if (offset >= vga->vram_size / 4)
        return 0xff;
    vga->latch = bytes_load32(vga->vram + 4 * offset);
    if (!(vga->gfx[GFX_MODE] & MODE_READ_COMPARE))
        return (uint8_t)(vga->latch >> 8 * (vga->gfx[GFX_READ_PLANE] & 3));
    at = (vga->latch ^ vga_planes(vga->gfx[GFX_COMPARE])) & vga_planes(vga->gfx[GFX_DONT_CARE]);
    at |= at >> 16;
    at |= at >> 8;
    return (uint8_t)~at;
}

/* The rotated byte in all planes. */
static uint32_t
vga_rotated(const Vga *vga, uint8_t value)
{
    unsigned n = vga->gfx[GFX_ROTATE] & 7;

    return (uint8_t)(value >> n | value << (8 - n)) * 0x01010101u;
}

static uint32_t
vga_combine(const Vga *vga, uint32_t value, uint8_t bit_mask)
{
    uint32_t mask = bit_mask * 0x01010101u;

    switch (vga->gfx[GFX_ROTATE] >> 3 & 3) {
    case 1:
        value &= vga->latch;
        break;
    case 2:
        value |= vga->latch;
        break;
    case 3:
        value ^= vga->latch;
        break;
    default:
        break;
    }
    return (value & mask) | (vga->latch & ~mask);
}

static void
vga_planar_write(Vga *vga, uint32_t offset, uint8_t value)
{
    uint32_t set = vga_planes(vga->gfx[GFX_ENABLE_SET_RESET]), planes, data;
    uint32_t color = vga_planes(vga->gfx[GFX_SET_RESET]);
    uint8_t *cell = vga->vram + 4 * offset;

    switch (vga->gfx[GFX_MODE] & 3) {
    case 0:
        data = (vga_rotated(vga, value) & ~set) | (color & set);
        data = vga_combine(vga, data, vga->gfx[GFX_BIT_MASK]);
        break;
    case 1:
        data = vga->latch;
        break;
    case 2:
        data = vga_combine(vga, vga_planes(value), vga->gfx[GFX_BIT_MASK]);
        break;
    default:
        data = vga_combine(vga, color, vga->gfx[GFX_BIT_MASK] & (uint8_t)vga_rotated(vga, value));
        break;
    }
    planes = vga_planes(vga->seq[SEQ_PLANES]);
    bytes_store(cell, (bytes_load32(cell) & ~planes) | (data & planes), 4);
    vga_touch(vga, 4 * offset, 4);
}

void
vga_window_write(Vga *vga, uint32_t offset, uint8_t value)
{
    unsigned plane;
    uint32_t at;

    if (vga->card && vga->card->window_write && vga->card->window_write(vga, offset, value))
        return;
    if (!vga_window_decode(vga, &offset))
        return;
    if (vga->seq[SEQ_MEMORY] & SEQ_CHAIN4) {
        plane = offset & 3;
        at = offset;
    } else if (vga->gfx[GFX_MODE] & MODE_ODD_EVEN) {
        plane = (vga->gfx[GFX_READ_PLANE] & 2u) | (offset & 1);
        at = vga_odd_even(offset, plane);
    } else {
        if (offset < vga->vram_size / 4)
            vga_planar_write(vga, offset, value);
        return;
    }
    if (at >= vga->vram_size || !(vga->seq[SEQ_PLANES] >> plane & 1))
        return;
    vga->vram[at] = value;
    vga_touch(vga, at, 1);
}

static uint64_t
vga_window_op_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)vga_window_read(opaque, (uint32_t)offset + i) << (8 * i);
    return value;
}

static void
vga_window_op_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        vga_window_write(opaque, (uint32_t)offset + i, (uint8_t)(value >> (8 * i)));
}

/* Where the window shows video memory as it lies; false when it does not. */
static bool
vga_window_linear(Vga *vga, uint32_t *ret_offset, uint32_t *ret_size)
{
    if (vga->card && vga->card->window_linear &&
        vga->card->window_linear(vga, ret_offset, ret_size))
        return *ret_size > 0;
    if (!(vga->seq[SEQ_MEMORY] & SEQ_CHAIN4) || (vga->seq[SEQ_PLANES] & 15) != 15)
        return false;
    switch (vga->gfx[GFX_MISC] >> 2 & 3) {
    case 0:
        *ret_offset = 0;
        *ret_size = VGA_WINDOW_SIZE;
        break;
    case 1:
        *ret_offset = vbe_bank_offset(vga);
        *ret_size = 0x10000;
        break;
    default:
        return false;
    }
    return *ret_offset <= vga->vram_size && *ret_size <= vga->vram_size - *ret_offset;
}

static void
vga_window_unplace(Vga *vga)
{
    memory_layout_remove(vga->device->machine->layout, &vga->linear);
    vga->linear_placed = false;
    /* What was written since the last look is no longer told. */
    vga_touch(vga, vga->linear_offset, (uint32_t)vga->linear.size);
}

void
vga_window_update(Vga *vga)
{
    MemoryLayout *layout = vga->device->machine->layout;
    uint32_t offset, size;
    bool linear = vga->legacy && vga_window_linear(vga, &offset, &size);

    if (linear && vga->linear_placed && offset == vga->linear_offset && size == vga->linear.size)
        return;
    if (!linear && !vga->linear_placed)
        return;
    memory_layout_begin(layout);
    if (vga->linear_placed)
        vga_window_unplace(vga);
    if (linear) {
        vga->linear = (MemoryOverlay){ .name = "vga window",
                                       .gpa = VGA_WINDOW_BASE,
                                       .size = size,
                                       .host = vga->vram + offset,
                                       .log = true,
                                       .priority = OVERLAY_PRIORITY_VGA };
        vga->linear_offset = offset;
        /* Where the host cannot map it, accesses come here and mean the same. */
        vga->linear_placed = memory_layout_add(layout, &vga->linear) == 0;
    }
    if (memory_layout_commit(layout) < 0 && vga->linear_placed) {
        memory_layout_remove(layout, &vga->linear);
        vga->linear_placed = false;
    }
}

const IoOps vga_window_ops = {
    .read = vga_window_op_read,
    .write = vga_window_op_write,
    .sizes = 1 | 2 | 4 | 8,
    .unaligned = true,
};
