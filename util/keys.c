/* keys.c - looking up keys by name and by number.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/keys.h"

#include <stddef.h>
#include <string.h>

enum {
    KEY_EXTENDED = 0xe000, /* in sets 1 and 2 */
    QNUM_EXTENDED = 0x80,
};

typedef struct {
    const char *name;
    uint16_t numbers[KEYSET_QNUM];
} KeyRow;

#define KEY_ROW(name, linux_code, set1, set2, set3, usb, macos, xt_kbd, win32)                     \
    [KEYCODE_##name] = { #name, { linux_code, set1, set2, set3, usb, macos, xt_kbd, win32 } },
static const KeyRow key_rows[KEYCODES] = {
    [KEYCODE_unmapped] = { "unmapped", { 0 } },
#include "util/keys.def"
};
#undef KEY_ROW

KeyCode
key_code_find(const char *name)
{
    for (int i = 1; i < KEYCODES; i++) {
        if (strcmp(key_rows[i].name, name) == 0)
            return (KeyCode)i;
    }
    return KEYCODE_unmapped;
}

const char *
key_code_name(KeyCode key)
{
    return (unsigned)key < KEYCODES ? key_rows[key].name : NULL;
}

unsigned
key_code_number(KeyCode key, KeySet set)
{
    unsigned set1;

    if ((unsigned)key >= KEYCODES)
        return 0;
    if (set != KEYSET_QNUM)
        return key_rows[key].numbers[set];
    set1 = key_rows[key].numbers[KEYSET_AT1];
    return set1 >= KEY_EXTENDED ? (set1 & 0x7f) | QNUM_EXTENDED : set1;
}

KeyCode
key_code_from(KeySet set, unsigned number)
{
    if (set == KEYSET_QNUM && (number & ~0xffu) == KEY_EXTENDED)
        number = (number & 0x7f) | QNUM_EXTENDED;
    if (number == 0)
        return set == KEYSET_MACOS ? KEYCODE_a : KEYCODE_unmapped;
    for (int i = 1; i < KEYCODES; i++) {
        if (key_code_number((KeyCode)i, set) == number)
            return (KeyCode)i;
    }
    return KEYCODE_unmapped;
}
