/* kvm.c - opening KVM and making a virtual machine with its interrupt controllers and timer.
 *
 * Linux Documentation/virt/kvm/api.rst, sections 4.1 to 4.4, 4.24, 4.35, 4.41, 4.72. The PIC, I/O
 * APIC, local APICs and PIT are KVM's own; the split model is left out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "launcher/kvm_private.h"
#include "launcher/kvm_stats.h"
#include "launcher/vcpu_gate.h"
#include "util/error.h"

enum { X2APIC_FLAGS = KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK };
enum { PAGE = 4096, SLOTS_KEPT = 512, DEFAULT_VCPUS = 4, XSAVE_LEGACY = 4096 };

/* What a guest cannot run without. */
static const struct {
    int capability;
    const char *name;
} kvm_required[] = {
    { KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
    { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
    { KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
    { KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR" },
    { KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
    { KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE" },
    { KVM_CAP_PIT2, "KVM_CAP_PIT2" },
    { KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
    { KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI" },
    { KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
    { KVM_CAP_IRQFD_RESAMPLE, "KVM_CAP_IRQFD_RESAMPLE" },
    { KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
    { KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS" },
    { KVM_CAP_XCRS, "KVM_CAP_XCRS" },
    { KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK" },
    { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
    { KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM" },
};

int
kvm_extension(const Kvm *kvm, int capability)
{
    int n = ioctl(kvm->fd, KVM_CHECK_EXTENSION, capability);

    return MAX(n, 0);
}

static int
kvm_open(GError **err)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd >= 0)
        return fd;
    if (errno == ENOENT)
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "/dev/kvm does not exist: switch on hardware virtualization in the host's "
                       "firmware and load kvm_intel or kvm_amd");
    else if (errno == EACCES)
        kiln_error_set(err, VIR_ERR_ACCESS_DENIED,
                       "/dev/kvm: permission denied; add the user to the group 'kvm'");
    else
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "/dev/kvm");
    return -1;
}

static bool
kvm_check(Kvm *kvm, GError **err)
{
    int version = ioctl(kvm->fd, KVM_GET_API_VERSION, 0);
    g_autoptr(GString) missing = g_string_new(NULL);

    if (version < 0)
        return kiln_error_set_errno(err, VIR_ERR_CONFIG_UNSUPPORTED, errno,
                                    "the descriptor given as /dev/kvm is not KVM");
    if (version != KVM_API_VERSION)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "/dev/kvm speaks version %d, this program version %d", version,
                              KVM_API_VERSION);
    for (size_t i = 0; i < G_N_ELEMENTS(kvm_required); i++)
        if (kvm_extension(kvm, kvm_required[i].capability) == 0)
            g_string_append_printf(missing, "%s%s", missing->len ? ", " : "", kvm_required[i].name);
    if (missing->len)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "this host's KVM lacks %s; a newer kernel has them", missing->str);
    return true;
}

static bool
kvm_make(Kvm *kvm, GError **err)
{
    uint64_t identity = KVM_RESERVED_BASE + KVM_RESERVED_PAGE_IDENTITY * PAGE;
    struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
    /* 32-bit destinations in MSI and saved state. Enabled for every guest, so that the format of
     * state does not depend on the number of processors. */
    struct kvm_enable_cap x2apic = { .cap = KVM_CAP_X2APIC_API, .args = { X2APIC_FLAGS } };

    do {
        kvm->vm_fd = ioctl(kvm->fd, KVM_CREATE_VM, 0);
    } while (kvm->vm_fd < 0 && errno == EINTR);
    if (kvm->vm_fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_CREATE_VM");
    /* Both must be said before the first vCPU exists, the controllers before the timer. */
    if (ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_SET_IDENTITY_MAP_ADDR");
    if (ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, KVM_RESERVED_BASE + KVM_RESERVED_PAGE_TSS * PAGE) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_SET_TSS_ADDR");
    if (ioctl(kvm->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_CREATE_IRQCHIP");
    if (ioctl(kvm->vm_fd, KVM_CREATE_PIT2, &pit) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_CREATE_PIT2");
    if (kvm->x2apic_api && ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &x2apic) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_CAP_X2APIC_API");
    kvm->stats_fd = kvm_stats_open(kvm->vm_fd);
    return true;
}

static bool
kvm_record_chips(Kvm *kvm, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kvm->chips); i++) {
        kvm->chips[i].chip_id = i;
        if (ioctl(kvm->vm_fd, KVM_GET_IRQCHIP, &kvm->chips[i]) < 0)
            return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_GET_IRQCHIP");
    }
    if (ioctl(kvm->vm_fd, KVM_GET_PIT2, &kvm->pit) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_GET_PIT2");
    return true;
}

void
kvm_reset_chips(Kvm *kvm)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kvm->chips); i++)
        ioctl(kvm->vm_fd, KVM_SET_IRQCHIP, &kvm->chips[i]);
    ioctl(kvm->vm_fd, KVM_SET_PIT2, &kvm->pit);
}

static bool
kvm_measure(Kvm *kvm, GError **err)
{
    int run_size = ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);

    if (run_size < (int)sizeof(struct kvm_run))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "KVM_GET_VCPU_MMAP_SIZE says %d, below struct kvm_run", run_size);
    kvm->run_size = run_size;
    kvm->xsave_size = MAX(kvm_extension(kvm, KVM_CAP_XSAVE2), XSAVE_LEGACY);
    kvm->max_vcpus = kvm_extension(kvm, KVM_CAP_MAX_VCPUS);
    if (kvm->max_vcpus == 0)
        kvm->max_vcpus = MAX(kvm_extension(kvm, KVM_CAP_NR_VCPUS), DEFAULT_VCPUS);
    kvm->max_vcpu_id = MAX(kvm_extension(kvm, KVM_CAP_MAX_VCPU_ID), (int)kvm->max_vcpus);
    kvm->max_slots = MIN(MAX(kvm_extension(kvm, KVM_CAP_NR_MEMSLOTS), 32), SLOTS_KEPT);
    kvm->max_routes = kvm_extension(kvm, KVM_CAP_IRQ_ROUTING);
    kvm->tsc_deadline = kvm_extension(kvm, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    kvm->kvmclock_ctrl = kvm_extension(kvm, KVM_CAP_KVMCLOCK_CTRL) > 0;
    kvm->no_eventfd_length = kvm_extension(kvm, KVM_CAP_IOEVENTFD_NO_LENGTH) > 0;
    kvm->x2apic_api = (kvm_extension(kvm, KVM_CAP_X2APIC_API) & X2APIC_FLAGS) == X2APIC_FLAGS;
    kvm->slots = g_new0(struct kvm_userspace_memory_region, kvm->max_slots);
    return true;
}

static void *
kvm_maker(void *opaque)
{
    Kvm *kvm = opaque;

    if (kvm_make(kvm, &kvm->failure))
        kvm_record_chips(kvm, &kvm->failure);
    return NULL;
}

Kvm *
kvm_begin(int fd, GError **err)
{
    g_autoptr(Kvm) kvm = g_new0(Kvm, 1);

    g_mutex_init(&kvm->slots_lock);
    kvm->gate = vcpu_gate_new();
    kvm->vm_fd = kvm->stats_fd = -1;
    kvm->fd = fd >= 0 ? fd : kvm_open(err);
    if (kvm->fd < 0 || !kvm_check(kvm, err) || !kvm_measure(kvm, err))
        return NULL;
    kvm->maker = g_thread_new("kvm", kvm_maker, kvm);
    return g_steal_pointer(&kvm);
}

bool
kvm_finish(Kvm *kvm, GError **err)
{
    g_thread_join(g_steal_pointer(&kvm->maker));
    if (kvm->failure) {
        g_propagate_error(err, g_steal_pointer(&kvm->failure));
        return false;
    }
    return kvm_routes_new(kvm, err);
}

void
kvm_free(Kvm *kvm)
{
    if (!kvm)
        return;
    if (kvm->maker)
        g_thread_join(kvm->maker);
    g_clear_error(&kvm->failure);
    g_clear_pointer(&kvm->routes, kvm_routes_free);
    if (kvm->stats_fd >= 0)
        close(kvm->stats_fd);
    if (kvm->vm_fd >= 0)
        close(kvm->vm_fd);
    if (kvm->fd >= 0)
        close(kvm->fd);
    g_free(kvm->slots);
    vcpu_gate_free(kvm->gate);
    g_mutex_clear(&kvm->slots_lock);
    g_free(kvm);
}

/* A struct kvm_msrs with room for one entry. */
typedef union {
    struct kvm_msrs head;
    uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
} KvmOneMsr;

int
kvm_get_msr(int fd, uint32_t index, uint64_t *ret)
{
    KvmOneMsr msr = { .room = { 0 } };
    int n;

    msr.head.nmsrs = 1;
    msr.head.entries[0].index = index;
    n = ioctl(fd, KVM_GET_MSRS, &msr);
    if (n != 1)
        return n < 0 ? -errno : -EINVAL;
    *ret = msr.head.entries[0].data;
    return 0;
}

int
kvm_set_msr(int fd, uint32_t index, uint64_t value)
{
    KvmOneMsr msr = { .room = { 0 } };
    int n;

    msr.head.nmsrs = 1;
    msr.head.entries[0].index = index;
    msr.head.entries[0].data = value;
    n = ioctl(fd, KVM_SET_MSRS, &msr);
    return n == 1 ? 0 : n < 0 ? -errno : -EINVAL;
}

static int
kvm_slot_set(Kvm *kvm, const struct kvm_userspace_memory_region *region)
{
    if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, region) < 0)
        return -errno;
    kvm->slots[region->slot] = *region;
    return 0;
}

static struct kvm_userspace_memory_region *
kvm_slot_find(Kvm *kvm, int slot)
{
    return slot >= 0 && slot < (int)kvm->max_slots && kvm->slots[slot].memory_size > 0
               ? &kvm->slots[slot]
               : NULL;
}

int
kvm_slot_map(Kvm *kvm, uint64_t gpa, uint64_t size, void *host, bool read_only)
{
    struct kvm_userspace_memory_region region = {
        .flags = read_only ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)host,
    };
    int ret;

    g_mutex_lock(&kvm->slots_lock);
    while (region.slot < kvm->max_slots && kvm->slots[region.slot].memory_size > 0)
        region.slot++;
    ret = region.slot < kvm->max_slots ? kvm_slot_set(kvm, &region) : -ENOSPC;
    g_mutex_unlock(&kvm->slots_lock);
    return ret < 0 ? ret : (int)region.slot;
}

int
kvm_slot_unmap(Kvm *kvm, int slot)
{
    struct kvm_userspace_memory_region region = { .slot = (uint32_t)slot };
    int ret;

    g_mutex_lock(&kvm->slots_lock);
    ret = kvm_slot_find(kvm, slot) ? kvm_slot_set(kvm, &region) : -ENOENT;
    g_mutex_unlock(&kvm->slots_lock);
    return ret;
}

int
kvm_slot_log(Kvm *kvm, int slot, bool on)
{
    struct kvm_userspace_memory_region region;
    int ret = -ENOENT;

    g_mutex_lock(&kvm->slots_lock);
    if (kvm_slot_find(kvm, slot)) {
        region = kvm->slots[slot];
        region.flags &= ~(uint32_t)KVM_MEM_LOG_DIRTY_PAGES;
        region.flags |= on ? KVM_MEM_LOG_DIRTY_PAGES : 0;
        ret = kvm_slot_set(kvm, &region);
    }
    g_mutex_unlock(&kvm->slots_lock);
    return ret;
}

int
kvm_slot_dirty(Kvm *kvm, int slot, void *bitmap, size_t bytes)
{
    struct kvm_dirty_log log = { .slot = (uint32_t)slot, .dirty_bitmap = bitmap };
    const struct kvm_userspace_memory_region *region;
    int ret = 0;

    g_mutex_lock(&kvm->slots_lock);
    region = kvm_slot_find(kvm, slot);
    if (!region)
        ret = -ENOENT;
    else if (bytes % 8 || bytes / 8 < (region->memory_size / PAGE + 63) / 64)
        ret = -EINVAL;
    else if (ioctl(kvm->vm_fd, KVM_GET_DIRTY_LOG, &log) < 0)
        ret = -errno;
    g_mutex_unlock(&kvm->slots_lock);
    return ret;
}
