/* vm_vnc.h - VNC servers of the options, and the objects they use.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VM_VNC_H
#define KILN_LAUNCHER_VM_VNC_H

#include "hw/vnc/vnc.h"
#include "launcher/vm.h"

typedef struct VmVnc VmVnc;

/* -object of a kind that VNC servers use: tls-creds-x509, secret. */
bool vm_vnc_takes_object(const char *type);
bool vm_vnc_add_object(Vm *vm, JsonObject *object, GError **err);
/* Starts the servers of -vnc; devices are made. */
bool vm_vnc_start(Vm *vm, GError **err);
/* Before the machine goes. NULL is accepted. */
void vm_vnc_free(VmVnc *vnc);

/* The server called @id, NULL: the first. NULL when there is none. Main thread, as all. */
VncServer *vm_vnc_find(Vm *vm, const char *id);
/* In order of the options; NULL behind the last. */
VncServer *vm_vnc_get(Vm *vm, unsigned index);

#endif
