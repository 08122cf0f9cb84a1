/* kvm.h - one KVM virtual machine: its descriptor, what the host's KVM can do, memory slots,
 * interrupts and doorbells. Linux Documentation/virt/kvm/api.rst.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_KVM_H
#define KILN_LAUNCHER_KVM_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

/* Pages that Intel processors without unrestricted guest mode need below 4 GiB; the memory map of
 * the guest must keep KVM_RESERVED_SIZE bytes from KVM_RESERVED_BASE out of the guest's hands. */
enum {
    KVM_RESERVED_PAGE_IDENTITY = 0,
    KVM_RESERVED_PAGE_TSS = 1,
    KVM_RESERVED_SIZE = 0x4000,
};
#define KVM_RESERVED_BASE UINT64_C(0xfeffc000)

typedef struct KvmRoutes KvmRoutes;

typedef struct {
    int fd; /* /dev/kvm */
    int vm_fd;
    int stats_fd;      /* the virtual machine's counters (kvm_stats.h) */
    size_t run_size;   /* of struct kvm_run and what follows it */
    size_t xsave_size; /* of one vCPU's XSAVE image */
    unsigned max_vcpus, max_vcpu_id, max_slots, max_routes;
    bool tsc_deadline, x2apic_api, kvmclock_ctrl, triple_fault_event, no_eventfd_length;
    KvmRoutes *routes;
    struct kvm_irqchip chips[3]; /* as they were made: PICs, I/O APIC */
    struct kvm_pit_state2 pit;
    GMutex slots_lock;
    struct kvm_userspace_memory_region *slots; /* memory_size 0: free */
    struct VcpuGate *gate;
    GThread *maker;  /* between kvm_begin() and kvm_finish() */
    GError *failure; /* the maker's */
} Kvm;

/* Opens /dev/kvm, or takes @fd when it is not -1, checks the interface and every capability that
 * Kiln cannot do without (VIR_ERR_CONFIG_UNSUPPORTED, naming those that are missing), and begins to
 * make the virtual machine with its interrupt controllers and timer, in a thread of its own: the
 * kernel waits several times in that for all its processors. Until kvm_finish() only @fd and what
 * the host can do may be used. Main thread. The caller owns the result. */
Kvm *kvm_begin(int fd, GError **err);
bool kvm_finish(Kvm *kvm, GError **err);
void kvm_free(Kvm *kvm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Kvm, kvm_free)

/* Puts the interrupt controllers and the timer back as they were made. vCPUs must stand still. */
void kvm_reset_chips(Kvm *kvm);

/* 0 when the capability is absent, else what KVM_CHECK_EXTENSION says. */
int kvm_extension(const Kvm *kvm, int capability);

/* One MSR of a vCPU's descriptor, or a feature MSR of /dev/kvm's. Return 0, or -errno (-EINVAL when
 * KVM does not know it). */
int kvm_get_msr(int fd, uint32_t index, uint64_t *ret);
int kvm_set_msr(int fd, uint32_t index, uint64_t value);

/* Maps @size bytes at @host into the guest at @gpa; returns the slot, or -errno. All multiples of
 * 4096. Any thread. */
int kvm_slot_map(Kvm *kvm, uint64_t gpa, uint64_t size, void *host, bool read_only);
int kvm_slot_unmap(Kvm *kvm, int slot);
/* Notes which pages of the slot are written, or stops that; returns 0 or -errno. Any thread. */
int kvm_slot_log(Kvm *kvm, int slot, bool on);
/* Pages written since the last call, one bit each, into @bytes bytes (whole 8, all of the slot's
 * pages). Returns 0 or -errno. Any thread. */
int kvm_slot_dirty(Kvm *kvm, int slot, void *bitmap, size_t bytes);

/* KVM_IOEVENTFD; @length 0 is any width. Returns 0 or -errno. Any thread. */
int kvm_ioeventfd(Kvm *kvm, int event_fd, uint64_t address, unsigned length, bool is_pio,
                  bool match, uint64_t data, bool assign);

/* KVM_IRQFD on @gsi; @resample_fd -1 for edge-triggered lines. Returns 0 or -errno. Any thread. */
int kvm_irqfd(Kvm *kvm, unsigned gsi, int event_fd, int resample_fd, bool assign);

/* Level of an interrupt line, PIC and I/O APIC together. Any thread. */
void kvm_set_line(Kvm *kvm, unsigned gsi, bool level);

/* MSI routes: a message for each of the numbers above the I/O APIC's pins. kvm_route_alloc()
 * returns a number or -ENOSPC; updates reach KVM with kvm_route_commit(), many at once. Any thread.
 */
int kvm_route_alloc(Kvm *kvm);
void kvm_route_set(Kvm *kvm, unsigned gsi, uint64_t address, uint32_t data);
void kvm_route_free(Kvm *kvm, unsigned gsi);
int kvm_route_commit(Kvm *kvm);

/* Sends one message now. Returns 0 or -errno. Any thread. */
int kvm_signal_msi(Kvm *kvm, uint64_t address, uint32_t data);

#endif
