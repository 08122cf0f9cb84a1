/* vm_limits.h - limits of disks: groups by name, -object throttle-group, and what QMP tells of
 * them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VM_LIMITS_H
#define KILN_LAUNCHER_VM_LIMITS_H

#include "block/throttle.h"
#include "launcher/vm.h"

/* Sets throttle of @ops, whose opaque is the Vm. */
void vm_limits_serve(BlockOpenOps *ops);
/* The group @name, made without limits if it is new; the VM's. */
BlockThrottle *vm_limits_group(Vm *vm, const char *name);
void vm_limits_free(Vm *vm);

/* -object throttle-group: id, and limits as x-bps-total or limits.bps-total. */
bool vm_limits_add_object(Vm *vm, JsonObject *object, GError **err);

/* The members bps, bps_rd … of BlockDeviceInfo for @node; 0 without limits. @id: the device's. */
void vm_limits_show(BlockNode *node, const char *id, JsonObject *info);

#endif
