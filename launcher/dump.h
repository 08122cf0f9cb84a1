/* dump.h - the guest's memory and registers as a core file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_DUMP_H
#define KILN_LAUNCHER_DUMP_H

#include "launcher/vm.h"

/* Writes the guest, which must stand still, to @fd from where that is; *ret_bytes is how much.
 * Blocks for as long as that takes. Main thread. */
bool dump_write(Vm *vm, int fd, uint64_t *ret_bytes, GError **err);

#endif
