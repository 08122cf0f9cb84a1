/* vm_overlay.h - throw-away disks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VM_OVERLAY_H
#define KILN_LAUNCHER_VM_OVERLAY_H

#include "launcher/vm.h"

/* Makes an image over node @base that goes when the guest ends, and opens it as node @node (of
 * -blockdev, with "node-name"; driver, file and backing are filled in). */
bool vm_add_overlay(Vm *vm, const char *base, JsonObject *node, GError **err);

#endif
