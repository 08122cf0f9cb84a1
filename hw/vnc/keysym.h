/* keysym.h - X11 keysyms, which plain RFB sends, to keys.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VNC_KEYSYM_H
#define KILN_HW_VNC_KEYSYM_H

#include <stdint.h>

#include "util/keys.h"

/* The key of a US keyboard that has @keysym on it, in whatever shift state; KEYCODE_unmapped when
 * none has. */
KeyCode keysym_key(uint32_t keysym);

#endif
