/* vcpu_msr.c - model-specific registers that KVM leaves to its user: one that follows from the
 * topology, and those that nobody knows, where the guest is to get away with touching them.
 *
 * Linux Documentation/virt/kvm/api.rst, 4.97 (KVM_X86_SET_MSR_FILTER), 7.24
 * (KVM_CAP_X86_USER_SPACE_MSR); Intel SDM volume 4, table 2-20 (MSR_CORE_THREAD_COUNT).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vcpu_msr.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "launcher/vcpu_private.h"
#include "util/error.h"

enum { MSR_CORE_THREAD_COUNT = 0x35 };

bool
vcpu_msr_read(const Topology *topology, uint32_t index, uint64_t *ret)
{
    unsigned cores = topology->dies * topology->cores;

    if (index != MSR_CORE_THREAD_COUNT)
        return false;
    *ret = (uint64_t)cores << 16 | cores * topology->threads;
    return true;
}

static bool
msr_is_intel(const CpuDefinition *cpu)
{
    g_autofree Cpuid *cpuid = g_memdup2(&cpu->cpuid, sizeof(*cpuid));
    char vendor[13];

    cpuid_vendor(cpuid, vendor);
    return strcmp(vendor, "GenuineIntel") == 0;
}

bool
vcpu_msr_filter(Kvm *kvm, const CpuDefinition *cpu, bool ignore_unknown, GError **err)
{
    uint8_t denied[1] = { 0 }; /* a bit that is clear goes to us */
    struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
    struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR };
    bool can_exit = kvm_extension(kvm, KVM_CAP_X86_USER_SPACE_MSR) > 0;
    bool filters = can_exit && msr_is_intel(cpu) && kvm_extension(kvm, KVM_CAP_X86_MSR_FILTER) > 0;

    if (ignore_unknown && !can_exit)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-machine: unknown-msrs=ignore: this host's KVM has no "
                              "KVM_CAP_X86_USER_SPACE_MSR");
    if (!ignore_unknown && !filters)
        return true;
    cap.args[0] = (filters ? KVM_MSR_EXIT_REASON_FILTER : 0u) |
                  (ignore_unknown ? KVM_MSR_EXIT_REASON_UNKNOWN : 0u);
    if (ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &cap) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_CAP_X86_USER_SPACE_MSR");
    filter.ranges[0] = (struct kvm_msr_filter_range){
        .flags = KVM_MSR_FILTER_READ,
        .base = MSR_CORE_THREAD_COUNT,
        .nmsrs = 1,
        .bitmap = denied,
    };
    return !filters || ioctl(kvm->vm_fd, KVM_X86_SET_MSR_FILTER, &filter) == 0 ||
           kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_X86_SET_MSR_FILTER");
}

void
vcpu_msr(Vcpu *v)
{
    struct kvm_run *run = v->run;
    bool read = run->exit_reason == KVM_EXIT_X86_RDMSR;
    uint64_t value = 0;
    bool known = read && vcpu_msr_read(&v->topology, run->msr.index, &value);

    /* What KVM refuses for another reason than not to know it stays refused. */
    run->msr.error = !known && run->msr.reason != KVM_MSR_EXIT_REASON_UNKNOWN;
    run->msr.data = read ? value : run->msr.data;
}
