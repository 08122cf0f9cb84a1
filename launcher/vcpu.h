/* vcpu.h - one virtual processor: its KVM descriptor, its thread, its registers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VCPU_H
#define KILN_LAUNCHER_VCPU_H

#include <glib.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hw/core/addrmap.h"
#include "launcher/boot.h"
#include "launcher/cpu_model.h"
#include "launcher/kvm.h"

typedef struct Vcpu Vcpu;

/* Why a vCPU stopped by itself. */
typedef enum {
    VCPU_TRIPLE_FAULT, /* the guest's reset of last resort */
    VCPU_FAILED,       /* KVM cannot go on; @detail tells */
    VCPU_SYSTEM_CRASH, /* KVM_EXIT_SYSTEM_EVENT */
    VCPU_SYSTEM_SHUTDOWN,
    VCPU_SYSTEM_RESET,
    VCPU_DEBUG, /* a debug exception: vcpu_take_debug_stop() */
} VcpuEvent;

/* Called in the vCPU's thread, which stops at the next safe point once told to. */
typedef struct {
    void *opaque;
    void (*event)(void *opaque, Vcpu *vcpu, VcpuEvent event, const char *detail);
    /* In the new thread before it first runs the guest: puts it under its seccomp list. False: the
     * thread ends. NULL when there is none. */
    bool (*confine)(void *opaque);
    /* The page at @gpa becomes one of the vCPU's synthetic interrupt controller: clears it. */
    void (*clear_page)(void *opaque, uint64_t gpa);
} VcpuOps;

/* Makes vCPU @index with @cpu's CPUID put in place by @topology. Main thread. The caller owns it.
 */
Vcpu *vcpu_new(Kvm *kvm, unsigned index, const Topology *topology, const CpuDefinition *cpu,
               AddressMap *mmio, AddressMap *pio, const VcpuOps *ops, GError **err);
/* Ends the thread. */
void vcpu_free(Vcpu *vcpu);
/* Ends the thread and keeps the rest: KVM cannot take a vCPU away. vcpu_reset() and vcpu_start()
 * make it a new one. Main thread. */
void vcpu_park(Vcpu *vcpu);

/* Power-on registers. The first processor begins at @entry (NULL: the reset vector), the others
 * wait for it. The vCPU must be stopped. Main thread. */
bool vcpu_reset(Vcpu *vcpu, const BootEntry *entry, GError **err);

/* Starts the thread, stopped; vcpu_resume() lets it run. */
bool vcpu_start(Vcpu *vcpu, GError **err);

/* Asks the vCPU to leave the guest and stay out; any thread. vcpu_wait_stopped() waits until it is
 * out; not from a vCPU's thread. */
void vcpu_stop(Vcpu *vcpu);
void vcpu_wait_stopped(Vcpu *vcpu);
void vcpu_resume(Vcpu *vcpu);
/* While it is held vcpu_resume() leaves the vCPU out of the guest. Main thread. */
void vcpu_hold(Vcpu *vcpu, bool hold);
/* The debug exception for which the vCPU left the guest, once; false when there is none. Any
 * thread.
 */
bool vcpu_take_debug_stop(Vcpu *vcpu, struct kvm_debug_exit_arch *ret);

/* The vCPU whose thread this is, NULL in other threads. */
Vcpu *vcpu_current(void);

unsigned vcpu_index(const Vcpu *vcpu);
uint32_t vcpu_apic_id(const Vcpu *vcpu);
pid_t vcpu_thread_id(const Vcpu *vcpu); /* 0 before vcpu_start() */
int vcpu_fd(const Vcpu *vcpu);
int vcpu_stats_fd(const Vcpu *vcpu); /* for kvm_stats_read(); the vCPU's */

/* Tells the guest's clock that the host held it for a while; the vCPU must be stopped. */
void vcpu_clock_paused(Vcpu *vcpu);

/* Appends the registers as "info registers" shows them. The vCPU must be stopped. */
bool vcpu_show(Vcpu *vcpu, GString *out, GError **err);

/* Installs the handler of the signal that takes a vCPU out of the guest. Once, before vcpu_start().
 */
void vcpu_init_signals(void);
/* That signal is blocked in the calling thread, and in those it makes. */
void vcpu_block_signal(void);

#endif
