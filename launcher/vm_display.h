/* vm_display.h - video cards, displays and VNC servers of the options.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VM_DISPLAY_H
#define KILN_LAUNCHER_VM_DISPLAY_H

#include "launcher/vm.h"

/* Refuses what -display and -vga cannot do, by name. Before anything is made. */
bool vm_display_check(const Options *options, GError **err);

/* The card of -vga, or the one that a guest has without being asked: when -device names none and
 * somebody could look at it, by -vnc or because firmware boots. */
bool vm_display_add_card(Vm *vm, GError **err);

#endif
