/* vcpu_private.h - between vcpu.c and vcpu_state.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VCPU_PRIVATE_H
#define KILN_LAUNCHER_VCPU_PRIVATE_H

#include "launcher/vcpu.h"

/* What a processor holds when the power comes on, as KVM made it. */
typedef struct {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
    struct kvm_mp_state mp_state;
    struct kvm_debugregs debugregs;
    struct kvm_xcrs xcrs;
    struct kvm_fpu fpu;
    GArray *msrs; /* of struct kvm_msr_entry: those that KVM gives and takes */
} VcpuPowerOn;

struct Vcpu {
    Kvm *kvm;
    unsigned index;
    uint32_t apic_id;
    Topology topology;
    int fd;
    int stats_fd; /* its counters (kvm_stats.h) */
    struct kvm_run *run;
    AddressReader *mmio, *pio;
    bool in_guest; /* atomic: in KVM_RUN, or about to be (vcpu_gate.h) */
    VcpuOps ops;
    const CpuDefinition *cpu; /* outlives the vCPU */
    VcpuPowerOn *power_on;    /* registers as KVM made them; NULL until they are recorded */

    pthread_t thread;
    bool started;
    pid_t tid;
    GMutex lock; /* guards the rest */
    GCond changed;
    bool stop, stopped, quit;
    bool held; /* by the debugger */
    bool debug_stop;
    struct kvm_debug_exit_arch debug;
};

/* Gives KVM the CPUID table and the MSRs that go with it. */
bool vcpu_set_identity(Vcpu *vcpu, const Topology *topology, GError **err);

void vcpu_power_on_free(VcpuPowerOn *power_on);

/* Makes KVM_RUN return at once, now or when it is next called. Any thread. */
void vcpu_kick(Vcpu *vcpu);

/* Answers KVM_EXIT_X86_RDMSR and WRMSR. */
void vcpu_msr(Vcpu *vcpu);

/* "rip=… rsp=… …", for a message about a failure. The caller frees. */
char *vcpu_describe(Vcpu *vcpu);

#endif
