/* hyperv.c - the table of Hyper-V enlightenments, and what this host's KVM has of them.
 *
 * Hypervisor Top Level Functional Specification (TLFS) 6.0b, 2.4 "Microsoft Hypervisor CPUID
 * Leaves"; Linux Documentation/virt/kvm/api.rst, 4.118 KVM_GET_SUPPORTED_HV_CPUID; names and what
 * needs what as in QEMU's "Hyper-V Enlightenments". Left out: what else than the enlightened VMCS
 * is for nested hypervisors only, crash registers, the synthetic debugger.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/hyperv.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "util/error.h"

enum { HOST_LEAVES = 64 };
#define LEAF_VENDOR 0x40000000u
#define LEAF_FEATURES 0x40000003u
#define LEAF_ADVICE 0x40000004u
#define LEAF_NESTED 0x4000000au
#define NESTED_VMCS_VERSIONS 0xffffu

bool
hyperv_host_read(int kvm_fd, HypervHost *ret)
{
    g_autofree struct kvm_cpuid2 *raw =
        g_malloc0(sizeof(*raw) + HOST_LEAVES * sizeof(raw->entries[0]));
    bool found = false;

    *ret = (HypervHost){ 0 };
    raw->nent = HOST_LEAVES;
    /* Kernels before 5.11 answer a vCPU only, which does not exist yet when this is asked. */
    if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SYS_HYPERV_CPUID) <= 0 ||
        ioctl(kvm_fd, KVM_GET_SUPPORTED_HV_CPUID, raw) < 0)
        return false;
    for (uint32_t i = 0; i < MIN(raw->nent, (uint32_t)HOST_LEAVES); i++) {
        const struct kvm_cpuid_entry2 *e = &raw->entries[i];

        if (e->function == LEAF_VENDOR) {
            ret->vendor[0] = e->ebx;
            ret->vendor[1] = e->ecx;
            ret->vendor[2] = e->edx;
        } else if (e->function == LEAF_FEATURES) {
            ret->privileges = e->eax;
            ret->features = e->edx;
            found = true;
        } else if (e->function == LEAF_ADVICE) {
            ret->advice = e->eax;
            ret->spinlocks = e->ebx;
        } else if (e->function == LEAF_NESTED) {
            ret->nested = e->eax & NESTED_VMCS_VERSIONS;
        }
    }
    /* The synthetic interrupt controller is to be switched on by name. */
    if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_HYPERV_SYNIC2) <= 0)
        ret->privileges &= ~hyperv_facts[HYPERV_SYNIC].privileges;
    return found;
}

uint32_t
hyperv_host_set(const HypervHost *host)
{
    uint32_t set = 0;

    for (int i = 0; i < HYPERV_FEATURES; i++) {
        const HypervFacts *f = &hyperv_facts[i];

        if ((host->privileges & f->privileges) == f->privileges &&
            (host->features & f->features) == f->features &&
            (host->advice & f->advice) == f->advice)
            set |= HYPERV_BIT(i);
    }
    return set;
}

bool
hyperv_check_needs(uint32_t set, GError **err)
{
    for (int i = 0; i < HYPERV_FEATURES; i++)
        for (int k = 0; (set & HYPERV_BIT(i)) && k < HYPERV_FEATURES; k++)
            if (hyperv_facts[i].needs & ~set & HYPERV_BIT(k))
                return kiln_error_set(
                    err, VIR_ERR_CONFIG_UNSUPPORTED, "Hyper-V enlightenment '%s' needs '%s'%s",
                    hyperv_facts[i].name, hyperv_facts[k].name,
                    k == HYPERV_TIME ? " (in a domain: timer 'hypervclock')" : "");
    return true;
}

const HypervFacts hyperv_facts[HYPERV_FEATURES] = {
    [HYPERV_RELAXED] = { "relaxed", .advice = 1u << 5 },
    [HYPERV_VAPIC] = { "vapic", .privileges = 1u << 4, .hint = 1u << 3 },
    [HYPERV_TIME] = { "time", .privileges = 1u << 1 | 1u << 9 },
    [HYPERV_VPINDEX] = { "vpindex", .privileges = 1u << 6 },
    [HYPERV_RUNTIME] = { "runtime", .privileges = 1u << 0 },
    [HYPERV_SYNIC] = { "synic", .privileges = 1u << 2, .needs = HYPERV_BIT(HYPERV_VPINDEX) },
    [HYPERV_STIMER] = { "stimer", .privileges = 1u << 3,
                        .needs = HYPERV_BIT(HYPERV_SYNIC) | HYPERV_BIT(HYPERV_TIME) },
    [HYPERV_STIMER_DIRECT] = { "stimer-direct", .features = 1u << 19,
                               .needs = HYPERV_BIT(HYPERV_STIMER) },
    [HYPERV_RESET] = { "reset", .privileges = 1u << 7 },
    [HYPERV_FREQUENCIES] = { "frequencies", .privileges = 1u << 11, .features = 1u << 8 },
    [HYPERV_REENLIGHTENMENT] = { "reenlightenment", .privileges = 1u << 13 },
    [HYPERV_TLBFLUSH] = { "tlbflush", .advice = 1u << 2 | 1u << 11,
                          .needs = HYPERV_BIT(HYPERV_VPINDEX) },
    [HYPERV_IPI] = { "ipi", .advice = 1u << 10 | 1u << 11, .needs = HYPERV_BIT(HYPERV_VPINDEX) },
    [HYPERV_AVIC] = { "avic", .advice = 1u << 9 },
    [HYPERV_EVMCS] = { "evmcs", .advice = 1u << 14, .needs = HYPERV_BIT(HYPERV_VAPIC) },
};
