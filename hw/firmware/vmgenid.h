/* vmgenid.h - the generation identifier, as the ACPI tables place it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_FIRMWARE_VMGENID_H
#define KILN_HW_FIRMWARE_VMGENID_H

#include "hw/core/device.h"

#define VMGENID_FILE "etc/vmgenid_guid"
#define VMGENID_ADDRESS_FILE "etc/vmgenid_addr"
enum {
    VMGENID_OFFSET = 40,    /* of the identifier in its file, which is one page */
    VMGENID_GPE = 5,        /* tells that it has changed */
    VMGENID_PAGE = 0xfb000, /* where it lies without firmware */
};

/* The machine's device, NULL when there is none. Any thread, with devices_lock held. */
Device *vmgenid_find(Machine *machine);

/* For a boot without firmware: writes the page at VMGENID_PAGE, if there is a device. Main thread.
 */
void vmgenid_place(Machine *machine);

#endif
