/* vga.c - ports of the VGA: sequencer, graphics and CRT controllers, attributes, DAC.
 *
 * IBM VGA as in the "Hardware Level VGA and SVGA Video Programming Information" (FreeVGA) and the
 * IBM PS/2 Hardware Interface Technical Reference, Video Subsystems. Timing is not modelled: both
 * retraces come and go with each read of the status register. Leaves out the light pen and the
 * sense of the monitor.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/display/vga.h"

#include <string.h>
#include <sys/mman.h>

#include "util/error.h"

enum {
    STATUS_DISPLAY_OFF = 0x01,
    STATUS_RETRACE = 0x08,
    MISC_COLOR = 0x01, /* CRTC at 3D4, not 3B4 */
    CRTC_PROTECT = 0x80,
};

/* ---- video memory ---- */

VideoMemory *
video_memory_new(uint32_t size)
{
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    VideoMemory *memory;

    if (data == MAP_FAILED)
        return NULL;
    madvise(data, size, MADV_DONTDUMP);
    memory = g_new0(VideoMemory, 1);
    memory->data = data;
    memory->size = size;
    memory->refs = 1;
    return memory;
}

VideoMemory *
video_memory_ref(VideoMemory *memory)
{
    g_atomic_int_inc(&memory->refs);
    return memory;
}

void
video_memory_unref(void *opaque)
{
    VideoMemory *memory = opaque;

    if (!memory || !g_atomic_int_dec_and_test(&memory->refs))
        return;
    munmap(memory->data, memory->size);
    g_free(memory);
}

/* ---- ports ---- */

/* The CRTC answers at 3Bx or 3Dx, as the miscellaneous register says. */
static bool
vga_port_silent(const Vga *vga, uint16_t port)
{
    bool mono = port >= 0x3b0 && port <= 0x3bf, color = port >= 0x3d0;

    return (vga->misc & MISC_COLOR) ? mono : color;
}

uint32_t
vga_dac_color(const Vga *vga, uint8_t index)
{
    const uint8_t *rgb = vga->palette + 3 * (index & vga->dac_mask);

    if (vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC)
        return (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
    /* Six bits to eight: the high ones are repeated, so that white is white. */
    return (uint32_t)((rgb[0] & 63) << 2 | (rgb[0] & 63) >> 4) << 16 |
           (uint32_t)((rgb[1] & 63) << 2 | (rgb[1] & 63) >> 4) << 8 |
           (uint32_t)((rgb[2] & 63) << 2 | (rgb[2] & 63) >> 4);
}

static uint8_t
vga_dac_read(Vga *vga)
{
    uint8_t value = vga->palette[3 * vga->dac_read + vga->dac_sub];

    if (++vga->dac_sub == 3) {
        vga->dac_sub = 0;
        vga->dac_read++;
    }
    return value;
}

static void
vga_dac_write(Vga *vga, uint8_t value)
{
    vga->dac_cache[vga->dac_sub] = value;
    if (++vga->dac_sub < 3)
        return;
    memcpy(vga->palette + 3 * vga->dac_write, vga->dac_cache, 3);
    vga->dac_sub = 0;
    vga->dac_write++;
}

uint8_t
vga_port_read(Vga *vga, uint16_t port)
{
    uint8_t value;

    if (vga_port_silent(vga, port))
        return 0xff;
    if (vga->card && vga->card->port_read && vga->card->port_read(vga, port, &value))
        return value;
    switch (port) {
    case 0x3c0:
        return vga->attr_data ? 0 : vga->attr_index;
    case 0x3c1:
        return (vga->attr_index & 0x1f) < sizeof(vga->attr) ? vga->attr[vga->attr_index & 0x1f] : 0;
    case 0x3c2:
        return 0;
    case 0x3c4:
        return vga->seq_index;
    case 0x3c5:
        return vga->seq[vga->seq_index & 7];
    case 0x3c6:
        return vga->dac_mask;
    case 0x3c7:
        return vga->dac_state;
    case 0x3c8:
        return vga->dac_write;
    case 0x3c9:
        return vga_dac_read(vga);
    case 0x3ca:
        return vga->feature;
    case 0x3cc:
        return vga->misc;
    case 0x3ce:
        return vga->gfx_index;
    case 0x3cf:
        return vga->gfx[vga->gfx_index & 15];
    case 0x3b4:
    case 0x3d4:
        return vga->crtc_index;
    case 0x3b5:
    case 0x3d5:
        return vga->crtc_index < sizeof(vga->crtc) ? vga->crtc[vga->crtc_index] : 0;
    case 0x3ba:
    case 0x3da:
        vga->attr_data = false;
        vga->status ^= STATUS_DISPLAY_OFF | STATUS_RETRACE;
        return vga->status;
    default:
        return 0xff;
    }
}

static void
vga_attr_write(Vga *vga, uint8_t value)
{
    static const uint8_t masks[sizeof(vga->attr)] = {
        0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
        0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f,
    };
    uint8_t index = vga->attr_index & 0x1f;

    if (!vga->attr_data)
        vga->attr_index = value & 0x3f;
    else if (index < sizeof(vga->attr))
        vga->attr[index] = value & masks[index];
    vga->attr_data = !vga->attr_data;
}

static void
vga_crtc_write(Vga *vga, uint8_t value)
{
    uint8_t index = vga->crtc_index;

    if (index >= sizeof(vga->crtc))
        return;
    /* Registers 0 to 7 are locked but for the tenth bit of the line compare. */
    if (index <= 7 && (vga->crtc[0x11] & CRTC_PROTECT)) {
        if (index == 7)
            vga->crtc[7] = (uint8_t)((vga->crtc[7] & ~0x10) | (value & 0x10));
        return;
    }
    vga->crtc[index] = value;
}

void
vga_port_write(Vga *vga, uint16_t port, uint8_t value)
{
    static const uint8_t seq_masks[8] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0x00, 0x00, 0x00 };
    static const uint8_t gfx_masks[16] = {
        0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff,
    };

    if (vga_port_silent(vga, port))
        return;
    if (vga->card && vga->card->port_write && vga->card->port_write(vga, port, value))
        return;
    switch (port) {
    case 0x3c0:
        vga_attr_write(vga, value);
        break;
    case 0x3c2:
        vga->misc = value & (uint8_t)~0x10;
        break;
    case 0x3c4:
        vga->seq_index = value & 7;
        break;
    case 0x3c5:
        vga->seq[vga->seq_index & 7] = value & seq_masks[vga->seq_index & 7];
        vga_window_update(vga);
        break;
    case 0x3c6:
        vga->dac_mask = value;
        break;
    case 0x3c7:
        vga->dac_read = value;
        vga->dac_sub = 0;
        vga->dac_state = 3;
        break;
    case 0x3c8:
        vga->dac_write = value;
        vga->dac_sub = 0;
        vga->dac_state = 0;
        break;
    case 0x3c9:
        vga_dac_write(vga, value);
        break;
    case 0x3ce:
        vga->gfx_index = value & 15;
        break;
    case 0x3cf:
        vga->gfx[vga->gfx_index & 15] = value & gfx_masks[vga->gfx_index & 15];
        vga_window_update(vga);
        break;
    case 0x3b4:
    case 0x3d4:
        vga->crtc_index = value;
        break;
    case 0x3b5:
    case 0x3d5:
        vga_crtc_write(vga, value);
        break;
    case 0x3ba:
    case 0x3da:
        vga->feature = value & 0x10;
        break;
    default:
        break;
    }
}

/* ---- the old addresses ---- */

#define PORTS(base)                                                                                \
    static uint64_t vga_read_##base(void *opaque, uint64_t offset, unsigned size)                  \
    {                                                                                              \
        (void)size;                                                                                \
        return vga_port_read(opaque, (uint16_t)(0x##base + offset));                               \
    }                                                                                              \
    static void vga_write_##base(void *opaque, uint64_t offset, uint64_t value, unsigned size)     \
    {                                                                                              \
        (void)size;                                                                                \
        vga_port_write(opaque, (uint16_t)(0x##base + offset), (uint8_t)value);                     \
    }                                                                                              \
    static const IoOps vga_ops_##base = {                                                          \
        .read = vga_read_##base,                                                                   \
        .write = vga_write_##base,                                                                 \
        .sizes = 1,                                                                                \
        .split = true,                                                                             \
        .unaligned = true,                                                                         \
    };
PORTS(3b4)
PORTS(3ba)
PORTS(3c0)
PORTS(3d4)
PORTS(3da)

static uint64_t
vbe_port_read(void *opaque, uint64_t offset, unsigned size)
{
    Vga *vga = opaque;

    (void)size;
    return offset == 0 ? vga->vbe_index : vbe_read(vga, vga->vbe_index);
}

static void
vbe_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Vga *vga = opaque;

    (void)size;
    if (offset == 0)
        vga->vbe_index = (uint16_t)value;
    else
        vbe_write(vga, vga->vbe_index, (uint16_t)value);
}

/* Index at 1CE, data at 1CF (sic) and, for those who mind alignment, 1D0. */
static const IoOps vbe_port_ops = {
    .read = vbe_port_read,
    .write = vbe_port_write,
    .sizes = 2,
    .unaligned = true,
};

void
vga_add_legacy(Vga *vga)
{
    static const struct {
        uint16_t base, size;
        const IoOps *ops;
    } ports[] = {
        { 0x3b4, 2, &vga_ops_3b4 }, { 0x3ba, 1, &vga_ops_3ba }, { 0x3c0, 16, &vga_ops_3c0 },
        { 0x3d4, 2, &vga_ops_3d4 }, { 0x3da, 1, &vga_ops_3da },
    };
    Machine *machine = vga->device->machine;
    GMutex *lock = &vga->device->lock;

    vga->legacy = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++) {
        vga->ports[i] =
            (IoRegion){ "vga ports", ports[i].ops, vga, lock, ports[i].size, IO_PRIORITY_BOARD };
        address_map_add(machine->pio, &vga->ports[i], ports[i].base);
    }
    if (vga->vbe_present) {
        vga->vbe_ports = (IoRegion){ "vga vbe", &vbe_port_ops, vga, lock, 4, IO_PRIORITY_BOARD };
        address_map_add(machine->pio, &vga->vbe_ports, 0x1ce);
    }
    vga->window =
        (IoRegion){ "vga window", &vga_window_ops, vga, lock, VGA_WINDOW_SIZE, IO_PRIORITY_BOARD };
    address_map_add(machine->mmio, &vga->window, VGA_WINDOW_BASE);
}

/* ---- life ---- */

bool
vga_init(Vga *vga, Device *device, uint32_t mib, GError **err)
{
    if (mib < VGA_MEMORY_MIN_MIB || mib > VGA_MEMORY_MAX_MIB || (mib & (mib - 1)) != 0)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "video memory of %u MiB: it can have %d to %d MiB, a power of two", mib,
                            VGA_MEMORY_MIN_MIB, VGA_MEMORY_MAX_MIB);
    vga->device = device;
    vga->vram_size = mib << 20;
    vga->memory = video_memory_new(vga->vram_size);
    if (!vga->memory)
        return device_error(device, err, VIR_ERR_NO_MEMORY, "no memory for %u MiB of video memory",
                            mib);
    vga->vram = vga->memory->data;
    vga->dirty_bytes = vga->vram_size / VGA_PAGE / 8;
    vga->dirty = g_malloc0(vga->dirty_bytes);
    vga->line = g_new0(uint32_t, SCREEN_SIZE_MAX + 64);
    return true;
}

void
vga_fini(Vga *vga)
{
    Machine *machine = vga->device ? vga->device->machine : NULL;

    screen_free(vga->screen);
    vga->screen = NULL;
    if (vga->legacy) {
        for (unsigned i = 0; i < G_N_ELEMENTS(vga->ports); i++)
            address_map_remove(machine->pio, &vga->ports[i]);
        address_map_remove(machine->pio, &vga->vbe_ports);
        address_map_remove(machine->mmio, &vga->window);
        address_map_synchronize(machine->pio);
        address_map_synchronize(machine->mmio);
        if (vga->linear_placed)
            memory_layout_remove(machine->layout, &vga->linear);
    }
    /* BARs go after their cards: what lies in them must not stay in the guest's reach. */
    if (vga->lfb)
        memory_layout_remove(machine->layout, vga->lfb);
    vga->lfb = NULL;
    g_clear_pointer(&vga->surface, surface_unref);
    g_clear_pointer(&vga->dirty, g_free);
    g_clear_pointer(&vga->line, g_free);
    g_clear_pointer(&vga->scratch, g_free);
    g_clear_pointer(&vga->memory, video_memory_unref);
}

void
vga_reset(Vga *vga)
{
    vga->misc = vga->feature = vga->status = 0;
    vga->seq_index = vga->gfx_index = vga->crtc_index = vga->attr_index = 0;
    vga->attr_data = false;
    memset(vga->seq, 0, sizeof(vga->seq));
    memset(vga->gfx, 0, sizeof(vga->gfx));
    memset(vga->crtc, 0, sizeof(vga->crtc));
    memset(vga->attr, 0, sizeof(vga->attr));
    memset(vga->palette, 0, sizeof(vga->palette));
    memset(vga->dac_cache, 0, sizeof(vga->dac_cache));
    vga->dac_state = vga->dac_read = vga->dac_write = vga->dac_sub = 0;
    vga->dac_mask = 0xff;
    vga->latch = 0;
    vbe_reset(vga);
    vga_window_update(vga);
    vga->redraw = true;
    if (vga->screen)
        screen_kick(vga->screen);
}

static bool
vga_after_load(void *state, GError **err)
{
    Vga *vga = state;

    if (vga->dac_sub > 2 || vga->attr_index > 0x3f || vga->seq_index > 31 || vga->gfx_index > 63)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "an index register is out of range");
    vga->vbe[VBE_ID] = MIN(vga->vbe[VBE_ID], 0xb0c5);
    vga->redraw = true;
    vga_window_update(vga);
    return true;
}

static const SavedField vga_fields[] = {
    SAVED(Vga, misc, 1),
    SAVED(Vga, feature, 1),
    SAVED(Vga, status, 1),
    SAVED(Vga, seq_index, 1),
    SAVED_BYTES(Vga, seq, 1),
    SAVED(Vga, gfx_index, 1),
    SAVED_BYTES(Vga, gfx, 1),
    SAVED(Vga, crtc_index, 1),
    SAVED_BYTES(Vga, crtc, 1),
    SAVED(Vga, attr_index, 1),
    SAVED_BYTES(Vga, attr, 1),
    SAVED(Vga, attr_data, 1),
    SAVED(Vga, dac_state, 1),
    SAVED(Vga, dac_read, 1),
    SAVED(Vga, dac_write, 1),
    SAVED(Vga, dac_sub, 1),
    SAVED(Vga, dac_mask, 1),
    SAVED_BYTES(Vga, dac_cache, 1),
    SAVED(Vga, latch, 1),
    SAVED_BYTES(Vga, palette, 1),
    SAVED(Vga, vbe_index, 1),
    SAVED_ARRAY(Vga, vbe, 1),
    SAVED_BUFFER(Vga, vram, vram_size, 1),
};

const SavedTable vga_saved = {
    .name = "vga",
    .version = 1,
    .oldest = 1,
    .fields = vga_fields,
    .n_fields = G_N_ELEMENTS(vga_fields),
    .after_load = vga_after_load,
};
