/* hid_desc.h - the descriptors of the USB keyboard, mouse and tablet.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_USB_HID_DESC_H
#define KILN_HW_USB_HID_DESC_H

#include <stdint.h>

typedef enum { HID_KEYBOARD, HID_MOUSE, HID_TABLET, HID_KINDS } HidKind;

/* Report descriptors. */
extern const uint8_t *const hid_report[HID_KINDS];
extern const uint8_t hid_report_len[HID_KINDS];

enum { HID_CONFIG_DESCRIPTOR = 18, HID_DESCRIPTOR_BYTES = 9 }; /* where it lies in the above */

/* Configuration descriptors, at full and at high speed. */
extern const uint8_t hid_keyboard_full[], hid_keyboard_high[], hid_mouse_full[], hid_mouse_high[],
    hid_tablet_full[], hid_tablet_high[];

#endif
