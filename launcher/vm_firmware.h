/* vm_firmware.h - booting by firmware: which image, and what it is told.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VM_FIRMWARE_H
#define KILN_LAUNCHER_VM_FIRMWARE_H

#include "launcher/vm.h"

/* Nothing else is given to boot. */
bool vm_boots_firmware(const Vm *vm);
/* Refuses options that contradict each other. */
bool vm_check_firmware(Vm *vm, GError **err);
/* Maps the image of -bios, before the board is made. */
bool vm_add_firmware(Vm *vm, GError **err);
/* Makes the flash chips, after the back ends and before the first reset. */
bool vm_add_flash(Vm *vm, GError **err);
/* Adds the files that fw_cfg offers, after the board is made. */
bool vm_describe_to_firmware(Vm *vm, GError **err);
/* Boot order and the like, before each boot. */
bool vm_prepare_firmware(Vm *vm, GError **err);

#endif
