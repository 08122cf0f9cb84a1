/* vm_secrets.h - -object secret: what opens encrypted images and VNC servers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VM_SECRETS_H
#define KILN_LAUNCHER_VM_SECRETS_H

#include "block/secrets.h"
#include "launcher/vm.h"

/* "-object secret,id=ID,data=|file=…" as an object; file may be /dev/fdset/N. */
bool vm_secrets_add(Vm *vm, JsonObject *object, GError **err);
/* Sets secret and need_crypto of @ops, whose opaque is the Vm. */
void vm_secrets_serve(BlockOpenOps *ops);

#endif
