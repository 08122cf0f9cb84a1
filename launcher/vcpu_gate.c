/* vcpu_gate.c - keeping all vCPUs out of guest code while memory slots are exchanged.
 *
 * KVM replaces a slot by deleting it first: a vCPU that ran in between would fetch from nowhere.
 * Each vCPU says that it is about to be in the guest and then looks whether the gate is closed; the
 * closer shuts it and then looks who is in. Both are sequentially consistent, so one of them sees
 * the other.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vcpu_gate.h"

#include "launcher/vcpu_private.h"

struct VcpuGate {
    int closed; /* atomic */
    GMutex lock;
    GCond changed;
    GPtrArray *vcpus; /* of Vcpu, not owned */
};

VcpuGate *
vcpu_gate_new(void)
{
    VcpuGate *gate = g_new0(VcpuGate, 1);

    g_mutex_init(&gate->lock);
    g_cond_init(&gate->changed);
    gate->vcpus = g_ptr_array_new();
    return gate;
}

void
vcpu_gate_free(VcpuGate *gate)
{
    if (!gate)
        return;
    g_ptr_array_unref(gate->vcpus);
    g_cond_clear(&gate->changed);
    g_mutex_clear(&gate->lock);
    g_free(gate);
}

void
vcpu_gate_add(VcpuGate *gate, Vcpu *vcpu)
{
    g_mutex_lock(&gate->lock);
    g_ptr_array_add(gate->vcpus, vcpu);
    g_mutex_unlock(&gate->lock);
}

void
vcpu_gate_remove(VcpuGate *gate, Vcpu *vcpu)
{
    g_mutex_lock(&gate->lock);
    g_ptr_array_remove(gate->vcpus, vcpu);
    g_mutex_unlock(&gate->lock);
}

static bool
gate_is_empty(VcpuGate *gate)
{
    for (guint i = 0; i < gate->vcpus->len; i++) {
        const Vcpu *v = g_ptr_array_index(gate->vcpus, i);

        if (__atomic_load_n(&v->in_guest, __ATOMIC_SEQ_CST))
            return false;
    }
    return true;
}

void
vcpu_gate_close(VcpuGate *gate)
{
    g_mutex_lock(&gate->lock);
    __atomic_store_n(&gate->closed, 1, __ATOMIC_SEQ_CST);
    for (guint i = 0; i < gate->vcpus->len; i++) {
        Vcpu *v = g_ptr_array_index(gate->vcpus, i);

        if (__atomic_load_n(&v->in_guest, __ATOMIC_SEQ_CST))
            vcpu_kick(v);
    }
    while (!gate_is_empty(gate))
        g_cond_wait(&gate->changed, &gate->lock);
    g_mutex_unlock(&gate->lock);
}

void
vcpu_gate_open(VcpuGate *gate)
{
    g_mutex_lock(&gate->lock);
    __atomic_store_n(&gate->closed, 0, __ATOMIC_SEQ_CST);
    g_cond_broadcast(&gate->changed);
    g_mutex_unlock(&gate->lock);
}

void
vcpu_gate_enter(VcpuGate *gate, Vcpu *v)
{
    __atomic_store_n(&v->in_guest, true, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&gate->closed, __ATOMIC_SEQ_CST)) {
        vcpu_gate_leave(gate, v);
        g_mutex_lock(&gate->lock);
        while (gate->closed)
            g_cond_wait(&gate->changed, &gate->lock);
        g_mutex_unlock(&gate->lock);
        __atomic_store_n(&v->in_guest, true, __ATOMIC_SEQ_CST);
    }
}

void
vcpu_gate_leave(VcpuGate *gate, Vcpu *v)
{
    __atomic_store_n(&v->in_guest, false, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&gate->closed, __ATOMIC_SEQ_CST))
        return;
    g_mutex_lock(&gate->lock);
    g_cond_broadcast(&gate->changed);
    g_mutex_unlock(&gate->lock);
}
