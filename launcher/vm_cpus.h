/* vm_cpus.h - processors by place: which are there, which can come, coming and going.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VM_CPUS_H
#define KILN_LAUNCHER_VM_CPUS_H

#include "launcher/vm.h"

typedef struct VmCpus VmCpus;

/* After vm->topology is known. vm_cpus_free() before the devices go, as parked vCPUs read their
 * maps.
 */
VmCpus *vm_cpus_new(Vm *vm);
void vm_cpus_free(VmCpus *cpus);

/* The device type of the guest's processors, "host-x86_64-cpu". */
const char *vm_cpu_type(const Vm *vm);
/* Whether @driver names a processor of some model. */
bool vm_cpu_is_driver(const char *driver);
/* The id that processor @index was plugged in with; NULL: there from the start, or not there. */
const char *vm_cpu_id(const Vm *vm, unsigned index);
/* Whether processor @index is there. */
bool vm_cpu_is_present(const Vm *vm, unsigned index);
/* The path by which QMP knows it. The caller frees. */
char *vm_cpu_path(const Vm *vm, unsigned index);

/* Makes the vCPUs that are there from the start. */
bool vm_make_vcpus(Vm *vm, GError **err);

/* Plugs in the processor of @options: driver=, id=, socket-id=, die-id=, core-id=, thread-id=. A
 * guest that has started is told. @what names the option or command in messages. */
bool vm_cpu_plug(Vm *vm, const char *what, JsonObject *options, GError **err);

/* Asks the guest to let go of the processor plugged in as @id; QMP DEVICE_DELETED tells that it
 * has. *ret_found is false when there is none called so. */
bool vm_cpu_unplug(Vm *vm, const char *id, bool *ret_found, GError **err);

/* As MachineOps.cpu_ejected and cpu_status. Any thread. */
void vm_cpu_ejected(void *host, unsigned index);
void vm_cpu_status(void *host, unsigned index, uint32_t event, uint32_t status);

#endif
