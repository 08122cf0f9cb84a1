/* vcpu_gate.h - keeping all vCPUs out of guest code while memory slots are exchanged.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VCPU_GATE_H
#define KILN_LAUNCHER_VCPU_GATE_H

#include "launcher/vcpu.h"

typedef struct VcpuGate VcpuGate;

VcpuGate *vcpu_gate_new(void);
/* No vCPU may be left. NULL is accepted. */
void vcpu_gate_free(VcpuGate *gate);

/* A vCPU comes or goes. Main thread. */
void vcpu_gate_add(VcpuGate *gate, Vcpu *vcpu);
void vcpu_gate_remove(VcpuGate *gate, Vcpu *vcpu);

/* Drives every vCPU out of KVM_RUN and keeps it out until opened. A vCPU that serves an exit is not
 * waited for: it may itself be the one that closes the gate, or wait for a lock the closer holds.
 * One closer at a time. Any thread, but not from inside KVM_RUN. */
void vcpu_gate_close(VcpuGate *gate);
void vcpu_gate_open(VcpuGate *gate);

/* Around KVM_RUN, in the vCPU's thread. Costs two uncontended atomic accesses while open. */
void vcpu_gate_enter(VcpuGate *gate, Vcpu *vcpu);
void vcpu_gate_leave(VcpuGate *gate, Vcpu *vcpu);

#endif
