/* vga.h - the VGA core: registers, memory window and picture of an IBM VGA with Bochs' VBE
 * extension, for the cards that are made of it (VGA, secondary-vga, virtio-vga, cirrus-vga).
 *
 * Video memory holds the four planes interleaved: byte o of plane p lies at 4 * o + p, so that
 * chained (linear) and planar modes are two views of the same bytes. Every address that the guest's
 * registers lead to is brought into video memory before it is used.
 *
 * Threads: the device's lock guards all of it. Ports and window are accessed by vCPUs with the lock
 * held; vga_refresh() runs in the main thread and takes it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_DISPLAY_VGA_H
#define KILN_HW_DISPLAY_VGA_H

#include "hw/core/device.h"
#include "hw/display/display.h"

enum {
    VGA_WINDOW_BASE = 0xa0000,
    VGA_WINDOW_SIZE = 0x20000,
    VGA_PAGE = 4096,
    VGA_LEGACY_BYTES = 0x40000, /* what the registers of the VGA proper can reach */
    VGA_MEMORY_MIN_MIB = 1,
    VGA_MEMORY_MAX_MIB = 256,
};

/* Registers of Bochs' VBE interface ("DISPI"), by index. */
enum {
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    VBE_BANK,
    VBE_VIRT_WIDTH,
    VBE_VIRT_HEIGHT,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_MEMORY_64K,
    VBE_REGISTERS
};
enum {
    VBE_ENABLED = 0x01,
    VBE_GETCAPS = 0x02,
    VBE_8BIT_DAC = 0x20,
    VBE_LFB = 0x40,
    VBE_NOCLEAR = 0x80,
    VBE_XRES_MAX = 16000,
    VBE_YRES_MAX = 12000,
};

/* Video memory: pages of its own, shared with the surfaces that show them as they lie. */
typedef struct {
    uint8_t *data;
    uint32_t size; /* bytes, a power of two */
    int refs;
} VideoMemory;

/* NULL when memory is short. */
VideoMemory *video_memory_new(uint32_t size);
VideoMemory *video_memory_ref(VideoMemory *memory);
/* A GDestroyNotify; NULL is accepted. */
void video_memory_unref(void *memory);

typedef enum {
    VGA_BLANK,
    VGA_TEXT,
    VGA_PLANAR, /* four bits of a pixel in four planes */
    VGA_CGA,    /* two bits of a pixel next to each other */
    VGA_LINEAR8,
    VGA_LINEAR15,
    VGA_LINEAR16,
    VGA_LINEAR24,
    VGA_LINEAR32
} VgaKind;

/* What the registers say of the picture; bytes of video memory. */
typedef struct {
    VgaKind kind;
    uint32_t width, height; /* pixels of the surface */
    uint32_t start, pitch;  /* of the first row; from row to row */
    uint32_t repeat;        /* scan lines that show a row (text: its height) */
    uint32_t row_scan;      /* first scan line of the first row */
    uint32_t compare;       /* behind this scan line the picture begins anew at 0 */
    uint32_t pan;           /* pixels by which it is moved to the left */
    bool double_x;          /* each pixel twice */
    bool compare_pans;      /* what is behind compare is not moved */
    uint8_t cga;            /* bits 0, 1: rows are spread over banks */
    uint32_t bank_shift;    /* where bit 0 of the row goes then */
} VgaMode;

typedef struct Vga Vga;

/* What a card adds to the core; all optional. With the device's lock held. */
typedef struct {
    /* A picture of the card's own: true when it has filled @mode. */
    bool (*mode)(Vga *vga, VgaMode *mode);
    /* The window, where the card has another way to memory: true when it has done the access. */
    bool (*window_read)(Vga *vga, uint32_t offset, uint8_t *ret);
    bool (*window_write)(Vga *vga, uint32_t offset, uint8_t value);
    /* True when the card says where in video memory the window can be mapped as it lies; a size of
     * 0 is nowhere. */
    bool (*window_linear)(Vga *vga, uint32_t *ret_offset, uint32_t *ret_size);
    bool (*port_read)(Vga *vga, uint16_t port, uint8_t *ret);
    bool (*port_write)(Vga *vga, uint16_t port, uint8_t value);
    /* Paints over scan line @y, which is drawn: a hardware cursor. */
    void (*paint_over)(Vga *vga, uint32_t y, uint32_t *pixels, uint32_t width);
} VgaCardOps;

struct Vga {
    Device *device;
    Screen *screen;
    const VgaCardOps *card; /* NULL: a plain VGA */
    VideoMemory *memory;
    uint8_t *vram; /* memory->data */
    uint32_t vram_size;
    bool legacy; /* has ports and window of the ISA days */
    bool vbe_present;

    /* registers */
    uint8_t misc, feature, status;
    uint8_t seq_index, seq[8];
    uint8_t gfx_index, gfx[16];
    uint8_t crtc_index, crtc[64];
    uint8_t attr_index, attr[21];
    bool attr_data; /* the next write of 3C0 is data */
    uint8_t dac_state, dac_read, dac_write, dac_sub, dac_mask, dac_cache[3];
    uint8_t palette[768];
    uint32_t latch;
    uint16_t vbe_index, vbe[VBE_REGISTERS];

    /* legacy window */
    IoRegion window, ports[5], vbe_ports;
    MemoryOverlay linear; /* the window as it lies */
    bool linear_placed;
    uint32_t linear_offset; /* in video memory */

    /* drawing */
    uint8_t *dirty; /* bit per page of video memory */
    uint32_t dirty_bytes;
    bool redraw;      /* all of it */
    bool direct;      /* the surface is video memory */
    Surface *surface; /* drawn last; the screen may have another by now */
    VgaMode mode;
    uint32_t colors[256]; /* of the palette, as drawn last */
    uint32_t blink;       /* phases as drawn last: bit 0 the cursor, bit 1 text */
    uint32_t text[2];     /* registers of text modes as drawn last */
    uint32_t *line;       /* one scan line; width + 16 pixels */
    uint8_t *scratch;     /* a row that wraps around video memory */
    MemoryOverlay *lfb;   /* linear frame buffer in a BAR; NULL for none */
    unsigned lfb_bar;     /* its number */
    bool lfb_seen;        /* it was mapped at the last refresh */
    bool (*lfb_mapped)(Vga *vga);
};

/* Takes @mib MiB (a power of two) for @device. False with @err. Main thread, in realize. */
bool vga_init(Vga *vga, Device *device, uint32_t mib, GError **err);
/* Also after a failed init. */
void vga_fini(Vga *vga);
/* Registers ports and window at their old addresses. */
void vga_add_legacy(Vga *vga);
void vga_reset(Vga *vga);
/* Brings @screen in step: ScreenOps.refresh. */
void vga_refresh(void *vga);
void vga_invalidate(void *vga);
extern const ScreenOps vga_screen_ops;
/* A SavedTable for a Vga inside another struct. */
extern const SavedTable vga_saved;

/* ---- device's lock held ---- */

uint8_t vga_port_read(Vga *vga, uint16_t port);
void vga_port_write(Vga *vga, uint16_t port, uint8_t value);
uint16_t vbe_read(Vga *vga, unsigned index);
void vbe_write(Vga *vga, unsigned index, uint16_t value);
void vbe_reset(Vga *vga);
/* What VBE's registers say; false when it is off or its picture does not fit into memory. */
bool vbe_mode(const Vga *vga, VgaMode *ret);
uint32_t vbe_bank_offset(const Vga *vga);

/* @offset: of the window, 0 to VGA_WINDOW_SIZE - 1. */
uint8_t vga_window_read(Vga *vga, uint32_t offset);
void vga_window_write(Vga *vga, uint32_t offset, uint8_t value);
/* Maps the window, or takes the mapping away, as the registers now say. */
void vga_window_update(Vga *vga);
extern const IoOps vga_window_ops;

/* These bytes of video memory have changed; what lies outside is ignored. */
void vga_touch(Vga *vga, uint32_t offset, uint32_t len);

/* The DAC's colour, 0x00RRGGBB. */
uint32_t vga_dac_color(const Vga *vga, uint8_t index);

/* What the VGA's own registers say (no VBE). */
void vga_legacy_mode(const Vga *vga, VgaMode *ret);

/* ---- drawing, among the files of the core ---- */

/* @len bytes of video memory from @offset on, which wraps. Valid until the next call. */
const uint8_t *vga_bytes(Vga *vga, uint32_t offset, uint32_t len);
/* Draws scan line @y of a text mode into @out: mode.width + pan pixels; @row is the text row's
 * first byte, @scan its scan line, @shift whether the cursor and blinking text are shown. */
void vga_draw_text(Vga *vga, uint32_t row, uint32_t scan, uint32_t *out);

#endif
