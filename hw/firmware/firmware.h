/* firmware.h - what firmware is told about the machine: boot order, tables, waiting times.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_FIRMWARE_FIRMWARE_H
#define KILN_HW_FIRMWARE_FIRMWARE_H

#include "hw/core/machine.h"

/* What -boot and its like say. */
typedef struct {
    const char *order; /* letters a (floppy), c (disk), d (CD), n (network); NULL: "cad" */
    bool menu;         /* offer a menu */
    bool strict;       /* only what has a boot index */
    bool has_splash_time, has_reboot_timeout;
    uint16_t splash_time;   /* ms that the menu waits */
    int32_t reboot_timeout; /* ms after which firmware tries again; -1: never */
    bool serial_console;    /* messages go to the first serial port too */
} FirmwareBoot;

/* Offers the ACPI tables and sleep states. Main thread, once, after the board is made. */
bool firmware_create(Machine *machine, GError **err);

/* Tells of boot order and waiting times: before each boot, vCPUs standing still. Main thread. */
bool firmware_prepare(Machine *machine, const FirmwareBoot *boot, GError **err);

/* "bootorder": the paths of all devices with a boot index, in its order, one per line. NULL when
 * there are none. The caller frees. Main thread. */
char *firmware_boot_order(Machine *machine, bool strict);

#endif
