/* vcpu_state.c - registers of a virtual processor: identity, power-on state, start of a kernel.
 *
 * Intel SDM volume 3, 10.1.1 (state after reset); Linux Documentation/x86/boot.rst, "64-bit boot
 * protocol"; Xen PVH start conditions. A guest reset gives back what KVM itself made at creation,
 * which is recorded before the guest first runs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "launcher/vcpu_private.h"
#include "util/error.h"

enum {
    MSR_TSC = 0x10,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_MTRR_BASE0 = 0x200,
    MSR_MTRR_DEFAULT = 0x2ff,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_LIST_MAX = 1024,
    MSR_X2APIC = 0x800,
    MSR_X2APIC_END = 0x900,
    MISC_ENABLE_FAST_STRING = 1,
    MTRR_ENABLE = 1 << 11,
    MTRR_UNCACHEABLE = 0,
    MTRR_WRITE_BACK = 6,
    MTRR_VALID = 1 << 11,
    TSC_TOLERANCE_PPM = 250,
};
#define MSR_HYPERV 0x40000000u
#define MSR_HYPERV_END 0x40001000u
enum { CR0_PE = 1 << 0, CR0_ET = 1 << 4, CR0_NE = 1 << 5, CR4_PAE = 1 << 5 };
#define CR0_PG UINT64_C(0x80000000)
enum { EFER_LME = 1 << 8, EFER_LMA = 1 << 10 };
enum { SEGMENT_CODE = 0xb, SEGMENT_DATA = 0x3, SEGMENT_TSS = 0xb };

/* Memory types a firmware would have set: everything write-back but the hole below 4 GiB. */
static const struct {
    uint64_t base, mask;
} mtrr_holes[] = {
    { UINT64_C(0xc0000000), UINT64_C(0xc0000000) }, /* 1 GiB */
    { UINT64_C(0xb0000000), UINT64_C(0xf0000000) }, /* 256 MiB: ECAM */
};

static bool
vcpu_ioctl(Vcpu *v, unsigned long request, const char *name, void *argument, GError **err)
{
    if (ioctl(v->fd, request, argument) >= 0)
        return true;
    return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "vCPU %u: %s", v->index, name);
}
#define VCPU_IOCTL(v, request, argument, err) vcpu_ioctl(v, request, #request, argument, err)

static bool
vcpu_set_tsc_rate(Vcpu *v, GError **err)
{
    uint64_t want = v->cpu->tsc_khz, have;
    int khz;

    if (want == 0 || ioctl(v->fd, KVM_SET_TSC_KHZ, (unsigned long)want) == 0)
        return true;
    khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
    have = MAX(khz, 0);
    if ((want > have ? want - have : have - want) * 1000000 <= have * TSC_TOLERANCE_PPM)
        return true;
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "-cpu: tsc-frequency=%" PRIu64
                          "000: this host cannot scale its own %" PRIu64 "000",
                          want, have);
}

/* What KVM has to be told of before it sees the leaves. */
static bool
vcpu_enable_hyperv(Vcpu *v, GError **err)
{
    uint16_t version = 0;
    struct kvm_enable_cap synic = { .cap = KVM_CAP_HYPERV_SYNIC2 };
    struct kvm_enable_cap evmcs = { .cap = KVM_CAP_HYPERV_ENLIGHTENED_VMCS,
                                    .args = { (uintptr_t)&version } };

    return (!(v->cpu->hyperv_set & HYPERV_BIT(HYPERV_SYNIC)) ||
            vcpu_ioctl(v, KVM_ENABLE_CAP, "KVM_CAP_HYPERV_SYNIC2", &synic, err)) &&
           (!(v->cpu->hyperv_set & HYPERV_BIT(HYPERV_EVMCS)) ||
            vcpu_ioctl(v, KVM_ENABLE_CAP, "KVM_CAP_HYPERV_ENLIGHTENED_VMCS", &evmcs, err));
}

bool
vcpu_set_identity(Vcpu *v, const Topology *topology, GError **err)
{
    g_autofree Cpuid *cpuid = g_memdup2(&v->cpu->cpuid, sizeof(*cpuid));
    g_autofree struct kvm_cpuid2 *raw = NULL;

    cpuid_place(cpuid, topology, v->index);
    raw = g_malloc0(sizeof(*raw) + cpuid->n * sizeof(raw->entries[0]));
    raw->nent = cpuid->n;
    memcpy(raw->entries, cpuid->e, cpuid->n * sizeof(raw->entries[0]));
    if (!vcpu_enable_hyperv(v, err) || !VCPU_IOCTL(v, KVM_SET_CPUID2, raw, err) ||
        !vcpu_set_tsc_rate(v, err))
        return false;
    for (guint i = 0; i < v->cpu->msrs->len; i++) {
        const CpuMsr *m = &g_array_index(v->cpu->msrs, CpuMsr, i);
        int ret = kvm_set_msr(v->fd, m->index, m->value);

        if (ret < 0)
            return kiln_error_set_errno(err, VIR_ERR_CONFIG_UNSUPPORTED, ret,
                                        "vCPU %u: feature MSR 0x%x", v->index, m->index);
    }
    return true;
}

/* Registers that a reset must not write back: clocks that run on, what is part of other state, and
 * Hyper-V's, which have an order of their own. */
static bool
vcpu_msr_is_kept(uint32_t index)
{
    return index == MSR_TSC || index == MSR_TSC_DEADLINE ||
           (index >= MSR_HYPERV && index < MSR_HYPERV_END) ||
           (index >= MSR_X2APIC && index < MSR_X2APIC_END);
}

static GArray *
vcpu_read_msrs(Vcpu *v)
{
    g_autofree struct kvm_msr_list *list =
        g_malloc0(sizeof(*list) + MSR_LIST_MAX * sizeof(list->indices[0]));
    GArray *msrs = g_array_new(FALSE, FALSE, sizeof(struct kvm_msr_entry));

    list->nmsrs = MSR_LIST_MAX;
    if (ioctl(v->kvm->fd, KVM_GET_MSR_INDEX_LIST, list) < 0)
        return msrs;
    for (uint32_t i = 0; i < list->nmsrs; i++) {
        struct kvm_msr_entry msr = { .index = list->indices[i] };
        uint64_t value;

        if (vcpu_msr_is_kept(msr.index) || kvm_get_msr(v->fd, msr.index, &value) < 0)
            continue;
        msr.data = value;
        g_array_append_val(msrs, msr);
    }
    return msrs;
}

void
vcpu_power_on_free(VcpuPowerOn *p)
{
    if (!p)
        return;
    if (p->msrs)
        g_array_unref(p->msrs);
    g_free(p);
}

static bool
vcpu_record_power_on(Vcpu *v, GError **err)
{
    VcpuPowerOn *p = v->power_on = g_new0(VcpuPowerOn, 1);

    if (!VCPU_IOCTL(v, KVM_GET_REGS, &p->regs, err) ||
        !VCPU_IOCTL(v, KVM_GET_SREGS, &p->sregs, err) ||
        !VCPU_IOCTL(v, KVM_GET_LAPIC, &p->lapic, err) ||
        !VCPU_IOCTL(v, KVM_GET_VCPU_EVENTS, &p->events, err) ||
        !VCPU_IOCTL(v, KVM_GET_MP_STATE, &p->mp_state, err) ||
        !VCPU_IOCTL(v, KVM_GET_DEBUGREGS, &p->debugregs, err) ||
        !VCPU_IOCTL(v, KVM_GET_XCRS, &p->xcrs, err) || !VCPU_IOCTL(v, KVM_GET_FPU, &p->fpu, err))
        return false;
    p->msrs = vcpu_read_msrs(v);
    /* KVM finds the local APIC of a vCPU that comes later only once it is set. */
    return VCPU_IOCTL(v, KVM_SET_LAPIC, &p->lapic, err);
}

static bool
vcpu_reset_hyperv(Vcpu *v, GError **err)
{
    for (const HypervReset *r = hyperv_resets; v->cpu->hyperv && r->count; r++)
        for (uint32_t i = 0; !(r->needs & ~v->cpu->hyperv_set) && i < r->count; i++) {
            int ret = kvm_set_msr(v->fd, r->index + i, r->value);

            if (ret < 0)
                return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret,
                                            "vCPU %u: reset of Hyper-V's MSR 0x%x", v->index,
                                            r->index + i);
        }
    return true;
}

static bool
vcpu_restore_power_on(Vcpu *v, GError **err)
{
    VcpuPowerOn *p = v->power_on;

    if (!vcpu_reset_hyperv(v, err))
        return false;
    /* The local APIC after the special registers, whose APIC base decides its format; what waits to
     * be injected after both. */
    if (!VCPU_IOCTL(v, KVM_SET_SREGS, &p->sregs, err) ||
        !VCPU_IOCTL(v, KVM_SET_REGS, &p->regs, err) || !VCPU_IOCTL(v, KVM_SET_FPU, &p->fpu, err) ||
        !VCPU_IOCTL(v, KVM_SET_XCRS, &p->xcrs, err))
        return false;
    for (guint i = 0; i < p->msrs->len; i++) {
        const struct kvm_msr_entry *m = &g_array_index(p->msrs, struct kvm_msr_entry, i);

        /* Some can only be read; those a guest could not have changed either. */
        kvm_set_msr(v->fd, m->index, m->data);
    }
    return VCPU_IOCTL(v, KVM_SET_LAPIC, &p->lapic, err) &&
           VCPU_IOCTL(v, KVM_SET_VCPU_EVENTS, &p->events, err) &&
           VCPU_IOCTL(v, KVM_SET_MP_STATE, &p->mp_state, err) &&
           VCPU_IOCTL(v, KVM_SET_DEBUGREGS, &p->debugregs, err);
}

/* A KVM without one of these leaves the guest with its own default. */
static void
vcpu_set_memory_types(Vcpu *v)
{
    unsigned bits = cpuid_physical_bits((Cpuid *)&v->cpu->cpuid);
    uint64_t space = (bits >= 64 ? 0 : UINT64_C(1) << bits) - 1;

    kvm_set_msr(v->fd, MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRING);
    for (unsigned i = 0; i < G_N_ELEMENTS(mtrr_holes); i++) {
        kvm_set_msr(v->fd, MSR_MTRR_BASE0 + 2 * i, mtrr_holes[i].base | MTRR_UNCACHEABLE);
        kvm_set_msr(v->fd, MSR_MTRR_BASE0 + 2 * i + 1,
                    (space & ~UINT64_C(0xffffffff)) | mtrr_holes[i].mask | MTRR_VALID);
    }
    kvm_set_msr(v->fd, MSR_MTRR_DEFAULT, MTRR_ENABLE | MTRR_WRITE_BACK);
}

static struct kvm_segment
vcpu_segment(uint16_t selector, uint8_t type, bool long_code, bool system)
{
    return (struct kvm_segment){
        .limit = system ? 0x67 : 0xffffffff,
        .selector = selector,
        .type = type,
        .present = 1,
        .s = !system,
        .g = !system,
        .db = !system && !long_code,
        .l = long_code,
    };
}

static bool
vcpu_enter_kernel(Vcpu *v, const BootEntry *entry, GError **err)
{
    struct kvm_sregs sregs;
    struct kvm_segment data = vcpu_segment(BOOT_DS, SEGMENT_DATA, false, false);
    struct kvm_regs regs = {
        .rip = entry->entry,
        .rsp = BOOT_STACK_TOP,
        .rbp = BOOT_STACK_TOP,
        .rflags = 2,
    };

    if (entry->long_mode)
        regs.rsi = entry->argument;
    else
        regs.rbx = entry->argument;
    if (!VCPU_IOCTL(v, KVM_GET_SREGS, &sregs, err))
        return false;
    sregs.gdt.base = BOOT_GDT;
    sregs.gdt.limit = BOOT_GDT_ENTRIES * 8 - 1;
    sregs.idt.base = sregs.idt.limit = 0;
    sregs.cs = vcpu_segment(BOOT_CS, SEGMENT_CODE, entry->long_mode, false);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.tr = vcpu_segment(BOOT_TR, SEGMENT_TSS, false, true);
    sregs.cr0 = CR0_PE | CR0_ET | CR0_NE;
    sregs.cr4 = 0;
    sregs.efer = 0;
    if (entry->long_mode) {
        sregs.cr0 |= CR0_PG;
        sregs.cr3 = BOOT_PAGE_TABLES;
        sregs.cr4 = CR4_PAE;
        sregs.efer = EFER_LME | EFER_LMA;
    }
    return VCPU_IOCTL(v, KVM_SET_SREGS, &sregs, err) && VCPU_IOCTL(v, KVM_SET_REGS, &regs, err);
}

static bool
vcpu_enter_real_mode(Vcpu *v, uint64_t entry, GError **err)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = { .rip = entry & 15, .rflags = 2 };

    if (!VCPU_IOCTL(v, KVM_GET_SREGS, &sregs, err))
        return false;
    sregs.cs.selector = (uint16_t)(entry >> 4);
    sregs.cs.base = entry & ~UINT64_C(15);
    return VCPU_IOCTL(v, KVM_SET_SREGS, &sregs, err) && VCPU_IOCTL(v, KVM_SET_REGS, &regs, err);
}

bool
vcpu_reset(Vcpu *v, const BootEntry *entry, GError **err)
{
    if (!v->power_on ? !vcpu_record_power_on(v, err) : !vcpu_restore_power_on(v, err))
        return false;
    if (!entry)
        return true;
    /* Nobody else sets them up on a boot without firmware, on no processor. */
    vcpu_set_memory_types(v);
    if (v->index > 0)
        return true;
    return entry->real_mode ? vcpu_enter_real_mode(v, entry->entry, err)
                            : vcpu_enter_kernel(v, entry, err);
}

char *
vcpu_describe(Vcpu *v)
{
    struct kvm_regs r = { 0 };
    struct kvm_sregs s = { 0 };

    ioctl(v->fd, KVM_GET_REGS, &r);
    ioctl(v->fd, KVM_GET_SREGS, &s);
    return g_strdup_printf("rip=%llx rsp=%llx rflags=%llx cs=%x:%llx cr0=%llx cr2=%llx cr3=%llx "
                           "cr4=%llx efer=%llx rax=%llx rbx=%llx rcx=%llx rdx=%llx rsi=%llx "
                           "rdi=%llx",
                           r.rip, r.rsp, r.rflags, s.cs.selector, s.cs.base, s.cr0, s.cr2, s.cr3,
                           s.cr4, s.efer, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi);
}
