/* keys.h - the keys of a PC keyboard under every number that somebody knows them by.
 *
 * Names are those of QEMU's QKeyCode; numbers are Linux's input-event-codes, the three scan code
 * sets of PC/AT keyboards, USB HID usages (HID Usage Tables 1.12, page 7), and the virtual key
 * codes of macOS, X's old kbd driver and Windows. One row each in keys.def.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_KEYS_H
#define KILN_UTIL_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#define KEY_ROW(name, linux_code, set1, set2, set3, usb, macos, xt_kbd, win32) KEYCODE_##name,
typedef enum {
    KEYCODE_unmapped,
#include "util/keys.def"
    KEYCODES
} KeyCode;
#undef KEY_ROW

typedef enum {
    KEYSET_LINUX,
    KEYSET_AT1, /* also "xt"; 0xe0XX for extended keys */
    KEYSET_AT2,
    KEYSET_AT3,
    KEYSET_USB,
    KEYSET_MACOS,
    KEYSET_XT_KBD,
    KEYSET_WIN32,
    KEYSET_QNUM, /* set 1 in one byte, bit 7 for extended keys; also RFB's number */
    KEYSETS
} KeySet;

/* The code of a QKeyCode name; KEYCODE_unmapped when there is none. */
KeyCode key_code_find(const char *name);
/* Name of a code, NULL when out of range. */
const char *key_code_name(KeyCode key);

/* Number of @key in @set, 0 when it has none there (and for KEYSET_MACOS also the key A). */
unsigned key_code_number(KeyCode key, KeySet set);
/* The other way round. KEYSET_QNUM takes extended keys also as 0xe0XX. */
KeyCode key_code_from(KeySet set, unsigned number);

#endif
