/* vm_ops.c - MachineOps over KVM: interrupts, doorbells, memory slots, clock, requests.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <time.h>

#include "launcher/vcpu_gate.h"
#include "launcher/vm_cpus.h"
#include "util/error.h"

static void
ops_set_gsi(void *host, uint32_t gsi, bool level)
{
    kvm_set_line(((Vm *)host)->kvm, gsi, level);
}

static int
ops_msi_route_add(void *host, const MsiMessage *msg)
{
    Vm *vm = host;
    int gsi = kvm_route_alloc(vm->kvm);

    if (gsi >= 0)
        kvm_route_set(vm->kvm, gsi, msg->address, msg->data);
    return gsi;
}

static int
ops_msi_route_update(void *host, int gsi, const MsiMessage *msg)
{
    kvm_route_set(((Vm *)host)->kvm, gsi, msg->address, msg->data);
    return 0;
}

static void
ops_msi_route_remove(void *host, int gsi)
{
    kvm_route_free(((Vm *)host)->kvm, gsi);
}

static int
ops_msi_route_commit(void *host)
{
    return kvm_route_commit(((Vm *)host)->kvm);
}

static int
ops_msi_send(void *host, const MsiMessage *msg)
{
    return kvm_signal_msi(((Vm *)host)->kvm, msg->address, msg->data);
}

static int
ops_irqfd_add(void *host, int fd, int resample_fd, int gsi)
{
    return kvm_irqfd(((Vm *)host)->kvm, gsi, fd, resample_fd, true);
}

static int
ops_irqfd_remove(void *host, int fd, int gsi)
{
    return kvm_irqfd(((Vm *)host)->kvm, gsi, fd, -1, false);
}

static int
ops_ioeventfd(void *host, const IoEvent *event, bool assign)
{
    Vm *vm = host;

    if (event->size == 0 && !vm->kvm->no_eventfd_length)
        return -ENOTSUP;
    return kvm_ioeventfd(vm->kvm, event->fd, event->address, event->size, event->pio, event->match,
                         event->value, assign);
}

static int
ops_ioeventfd_add(void *host, const IoEvent *event)
{
    return ops_ioeventfd(host, event, true);
}

static int
ops_ioeventfd_remove(void *host, const IoEvent *event)
{
    return ops_ioeventfd(host, event, false);
}

static int
ops_memory_map(void *host, uint64_t gpa, uint64_t size, void *memory, bool read_only)
{
    return kvm_slot_map(((Vm *)host)->kvm, gpa, size, memory, read_only);
}

static void
ops_memory_unmap(void *host, int slot)
{
    kvm_slot_unmap(((Vm *)host)->kvm, slot);
}

static void
ops_memory_begin(void *host)
{
    vcpu_gate_close(((Vm *)host)->kvm->gate);
}

static void
ops_memory_commit(void *host)
{
    vcpu_gate_open(((Vm *)host)->kvm->gate);
}

static int
ops_memory_log(void *host, int slot, bool on)
{
    return kvm_slot_log(((Vm *)host)->kvm, slot, on);
}

static int
ops_memory_dirty(void *host, int slot, void *bitmap, size_t bytes)
{
    return kvm_slot_dirty(((Vm *)host)->kvm, slot, bitmap, bytes);
}

static void
ops_request(void *host, MachineRequest request, int value)
{
    vm_request(host, request, value);
}

static void
ops_event(void *host, const char *name, JsonObject *data)
{
    vm_emit(host, name, data);
}

int64_t
vm_clock_ns(Vm *vm)
{
    int64_t stopped = __atomic_load_n(&vm->stopped_at, __ATOMIC_ACQUIRE);
    struct timespec now;

    if (stopped >= 0)
        return stopped;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec -
           __atomic_load_n(&vm->clock_offset, __ATOMIC_ACQUIRE);
}

static int64_t
ops_clock_ns(void *host)
{
    return vm_clock_ns(host);
}

static int
ops_open_file(void *host, const char *path, int flags, mode_t mode, GError **err)
{
    return fdset_open(((Vm *)host)->fdsets, path, flags, mode, err);
}

const MachineOps vm_machine_ops = {
    .set_gsi = ops_set_gsi,
    .msi_route_add = ops_msi_route_add,
    .msi_route_update = ops_msi_route_update,
    .msi_route_remove = ops_msi_route_remove,
    .msi_route_commit = ops_msi_route_commit,
    .msi_send = ops_msi_send,
    .irqfd_add = ops_irqfd_add,
    .irqfd_remove = ops_irqfd_remove,
    .ioeventfd_add = ops_ioeventfd_add,
    .ioeventfd_remove = ops_ioeventfd_remove,
    .memory_map = ops_memory_map,
    .memory_unmap = ops_memory_unmap,
    .memory_begin = ops_memory_begin,
    .memory_commit = ops_memory_commit,
    .memory_log = ops_memory_log,
    .memory_dirty = ops_memory_dirty,
    .request = ops_request,
    .event = ops_event,
    .cpu_ejected = vm_cpu_ejected,
    .cpu_status = vm_cpu_status,
    .clock_ns = ops_clock_ns,
    .open_file = ops_open_file,
};
