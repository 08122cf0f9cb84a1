/* cirrus.h - cirrus-vga, between its registers (cirrus.c) and its BitBLT engine (cirrus_blit.c).
 *
 * All is guarded by the device's lock.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_DISPLAY_CIRRUS_H
#define KILN_HW_DISPLAY_CIRRUS_H

#include "hw/display/vga_pci.h"

enum {
    CIRRUS_LINE = 8192, /* most bytes of a blit's row */
    GR_BLT_WIDTH = 0x20,
    GR_BLT_HEIGHT = 0x22,
    GR_BLT_TO_PITCH = 0x24,
    GR_BLT_FROM_PITCH = 0x26,
    GR_BLT_TO = 0x28,
    GR_BLT_FROM = 0x2c,
    GR_BLT_SKIP = 0x2f,
    GR_BLT_MODE = 0x30,
    GR_BLT_STATUS = 0x31,
    GR_BLT_ROP = 0x32,
    GR_BLT_EXTENSION = 0x33,
    GR_BLT_KEY = 0x34,
};

/* A blit as its registers were when it began. Addresses are brought into video memory where they
 * are used. */
typedef struct {
    uint32_t width, height; /* bytes; rows */
    uint32_t to, from;
    uint32_t to_pitch, from_pitch;
    uint32_t front, back; /* colours */
    uint16_t key;         /* transparent */
    uint8_t mode, extension, rop, skip;
} CirrusBlit;

typedef struct {
    PciDevice pci; /* first */
    Vga vga;
    uint32_t memory_mib;
    bool blitter; /* accepted */

    uint8_t seq_index, seq[32];
    uint8_t gfx_index, gfx[64];
    uint8_t dac_reads, dac_mode; /* the hidden register and its lock */
    uint8_t cursor_palette[48];
    uint16_t cursor_x, cursor_y;

    /* A blit whose source the processor writes. */
    CirrusBlit blit;
    uint32_t rows;   /* still to come; 0: there is none */
    uint32_t pitch;  /* bytes that make a row, 1 to CIRRUS_LINE */
    uint32_t filled; /* of them */
    uint8_t line[CIRRUS_LINE];

    MemoryOverlay cover; /* over the linear frame buffer while accesses have to come here */
    bool covered;
} Cirrus;

/* Begins what the registers say; most blits are over when it returns. */
void cirrus_blit_start(Cirrus *cirrus);
/* Gives up the one that waits for the processor. */
void cirrus_blit_reset(Cirrus *cirrus);
/* The next byte of the source. */
void cirrus_blit_byte(Cirrus *cirrus, uint8_t value);
/* Whether accesses to video memory are more than that; changes with a blit. In cirrus.c. */
void cirrus_update_access(Cirrus *cirrus);

#endif
