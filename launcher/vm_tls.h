/* vm_tls.h - -object tls-creds-x509,endpoint=client: by what NBD servers are trusted.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VM_TLS_H
#define KILN_LAUNCHER_VM_TLS_H

#include "block/block.h"
#include "launcher/vm.h"

/* The files are in @dir. @verify off is refused: a client always looks at its server's. */
bool vm_tls_add_client(Vm *vm, const char *id, const char *dir, bool verify, GError **err);
/* Sets tls of @ops, whose opaque is the Vm. */
void vm_tls_serve(BlockOpenOps *ops);

#endif
