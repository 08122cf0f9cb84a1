/* firmware.h - the firmwares of this host, as their packages describe them.
 *
 * QEMU's firmware descriptors (docs/interop/firmware.json of QEMU 7.2): JSON files in
 * /etc/qemu/firmware and /usr/share/qemu/firmware; a name in the first hides the same name in the
 * second, an empty file hides it altogether, and the order of names is the order of preference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODE_FIRMWARE_H
#define KILN_DRIVER_NODE_FIRMWARE_H

#include <glib.h>
#include <stdbool.h>

typedef struct {
    char *file;           /* of the descriptor */
    char *code;           /* the image: in flash, or as a BIOS when @nvram_template is NULL */
    char *nvram_template; /* what a guest's own variable store begins as */
    bool uefi, bios;      /* interface types */
    bool secure_boot;     /* wants SMM: "requires-smm" or "secure-boot" */
    bool enrolled_keys;
    char **machines; /* patterns with '*': "pc-q35-*" */
} HostFirmware;

/* Those for @arch whose images are there, best first: GPtrArray of HostFirmware *, owned by the
 * array. Descriptors that make no sense are passed over. @root stands before each path; "" on a
 * real host. */
GPtrArray *host_firmware_list(const char *root, const char *arch);

/* Whether it is for the board of that name ("pc-q35-7.2"). */
bool host_firmware_fits(const HostFirmware *firmware, const char *machine);

#endif
