/* vm_memory.h - guest memory as its processors see it, for debuggers and monitors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VM_MEMORY_H
#define KILN_LAUNCHER_VM_MEMORY_H

#include "launcher/vm.h"

/* Copies from physical @gpa: RAM, firmware, video memory, whatever lies there now; not registers of
 * devices. Returns 0, or -EFAULT when some byte is none of them. Main thread. */
int vm_memory_read(Vm *vm, uint64_t gpa, void *buf, size_t len);
/* Copies to RAM; -EFAULT where the processors see something else there. Main thread. */
int vm_memory_write(Vm *vm, uint64_t gpa, const void *buf, size_t len);

/* The physical address behind the linear address @linear of @vcpu, which must be stopped. Returns 0
 * or -EFAULT. Main thread. */
int vm_memory_translate(Vcpu *vcpu, uint64_t linear, uint64_t *ret_gpa);

/* As the first two, by linear addresses of @vcpu. @write: to the guest. */
int vm_memory_access(Vm *vm, Vcpu *vcpu, uint64_t linear, void *buf, size_t len, bool write);

#endif
