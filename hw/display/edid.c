/* edid.c - VESA E-EDID 1.4: one base block with a preferred timing.
 *
 * Leaves out extension blocks: sizes beyond 4095 pixels cannot be told.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/display/edid.h"

#include <glib.h>
#include <string.h>

#include "hw/core/bytes.h"

enum {
    DPI = 100,
    BLANK_X = 35, /* percent of the width spent on blanking */
    REFRESH = 75, /* Hz */
    DETAILED_MAX = 4095,
};

/* 5 bits for each of three letters. */
static uint16_t
edid_vendor(const char *name)
{
    return (uint16_t)((name[0] - '@') << 10 | (name[1] - '@') << 5 | (name[2] - '@'));
}

/* Section 3.10.2 */
static void
edid_timing(uint8_t *p, uint32_t width, uint32_t height, uint32_t mm_x, uint32_t mm_y)
{
    uint32_t front_x = width * 25 / 100, sync_x = width * 3 / 100, blank_x = width * BLANK_X / 100;
    uint32_t front_y = height * 5 / 1000, sync_y = height * 5 / 1000;
    uint32_t blank_y = height * BLANK_X / 1000;
    uint64_t clock = (uint64_t)REFRESH * (width + blank_x) * (height + blank_y);

    bytes_store(p, MIN(clock / 10000, UINT16_MAX), 2);
    p[2] = (uint8_t)width;
    p[3] = (uint8_t)blank_x;
    p[4] = (uint8_t)((width >> 8) << 4 | (blank_x >> 8 & 15));
    p[5] = (uint8_t)height;
    p[6] = (uint8_t)blank_y;
    p[7] = (uint8_t)((height >> 8) << 4 | (blank_y >> 8 & 15));
    p[8] = (uint8_t)front_x;
    p[9] = (uint8_t)sync_x;
    p[10] = (uint8_t)((front_y & 15) << 4 | (sync_y & 15));
    p[11] = (uint8_t)((front_x >> 8 & 3) << 6 | (sync_x >> 8 & 3) << 4 | (front_y >> 4 & 3) << 2 |
                      (sync_y >> 4 & 3));
    p[12] = (uint8_t)mm_x;
    p[13] = (uint8_t)mm_y;
    p[14] = (uint8_t)((mm_x >> 8 & 15) << 4 | (mm_y >> 8 & 15));
    p[17] = 0x18; /* digital, separate sync */
}

static void
edid_text(uint8_t *p, uint8_t tag, const char *text)
{
    size_t len = MIN(strlen(text), 12);

    p[3] = tag;
    memset(p + 5, ' ', 13);
    memcpy(p + 5, text, len);
    p[5 + len] = '\n';
}

static void
edid_range(uint8_t *p)
{
    static const uint8_t limits[] = { 0, 0, 0, 0xfd, 0, 50, 125, 30, 160, 255, 0x01, '\n' };

    memcpy(p, limits, sizeof(limits));
    memset(p + sizeof(limits), ' ', 18 - sizeof(limits));
}

void
edid_make(uint8_t ret[EDID_SIZE], uint32_t width, uint32_t height)
{
    static const uint8_t head[] = { 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 };
    /* sRGB's primaries and white (section 3.7) */
    static const uint8_t chroma[] = { 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54 };
    /* 2048x1152 … 1024x768, at 60 Hz: columns / 8 - 31, aspect ratio and rate */
    static const uint8_t standard[] = { 0xe1, 0xc0, 0xd1, 0xc0, 0xd1, 0x00, 0xa9, 0x40,
                                        0xb3, 0x00, 0x95, 0x00, 0x81, 0x80, 0x61, 0x40 };
    uint32_t mm_x, mm_y;
    uint8_t sum = 0;

    width = MIN(width ? width : 1280, DETAILED_MAX);
    height = MIN(height ? height : 800, DETAILED_MAX);
    mm_x = width * 254 / 10 / DPI;
    mm_y = height * 254 / 10 / DPI;
    memset(ret, 0, EDID_SIZE);
    memcpy(ret, head, sizeof(head));
    ret[8] = (uint8_t)(edid_vendor("KLN") >> 8);
    ret[9] = (uint8_t)edid_vendor("KLN");
    ret[10] = 1;  /* product */
    ret[16] = 42; /* week */
    ret[17] = 34; /* year since 1990 */
    ret[18] = 1;  /* EDID 1.4 */
    ret[19] = 4;
    ret[20] = 0xa5; /* digital, 8 bits per colour, DisplayPort */
    ret[21] = (uint8_t)(mm_x / 10);
    ret[22] = (uint8_t)(mm_y / 10);
    ret[23] = 120;  /* gamma 2.2 */
    ret[24] = 0x06; /* sRGB; the first timing is the native one */
    memcpy(ret + 25, chroma, sizeof(chroma));
    ret[35] = 0x21; /* 640x480 and 800x600 at 60 Hz */
    ret[36] = 0x08; /* 1024x768 at 60 Hz */
    memcpy(ret + 38, standard, sizeof(standard));
    edid_timing(ret + 54, width, height, mm_x, mm_y);
    edid_range(ret + 72);
    edid_text(ret + 90, 0xfc, "Kiln Monitor");
    edid_text(ret + 108, 0xfe, "virtual");
    for (unsigned i = 0; i < EDID_SIZE - 1; i++)
        sum = (uint8_t)(sum + ret[i]);
    ret[127] = (uint8_t)-sum;
}
