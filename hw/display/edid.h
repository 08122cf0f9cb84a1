/* edid.h - what a monitor says of itself.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_DISPLAY_EDID_H
#define KILN_HW_DISPLAY_EDID_H

#include <stdint.h>

enum { EDID_SIZE = 128 };

/* Fills @ret with a base block that prefers @width by @height pixels (0: 1280 by 800); detailed
 * timings reach 4095 in either direction, and what is larger is cut to that. */
void edid_make(uint8_t ret[EDID_SIZE], uint32_t width, uint32_t height);

#endif
