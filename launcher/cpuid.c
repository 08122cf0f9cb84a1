/* cpuid.c - the table of CPUID answers, and what differs between the processors of one guest.
 *
 * Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst. KVM_GET_SUPPORTED_CPUID speaks of the host's processor it
 * ran on, so every leaf that tells a place in the topology is written anew.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/cpuid.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util/error.h"

enum {
    LEAF_FEATURES = 1,
    LEAF_CACHES = 4,
    LEAF_TOPOLOGY = 0xb,
    LEAF_TOPOLOGY_V2 = 0x1f,
    F1_ECX_MONITOR = 1 << 3,
    F1_ECX_X2APIC = 1 << 21,
    F1_ECX_TSC_DEADLINE = 1 << 24,
    F1_ECX_OSXSAVE = 1 << 27,
    F1_EDX_HTT = 1 << 28,
    X1_ECX_CMP_LEGACY = 1 << 1,
    X1_ECX_TOPOEXT = 1 << 22,
    LEVEL_SMT = 1,
    LEVEL_CORE = 2,
    LEVEL_DIE = 5,
};
#define F1_ECX_HYPERVISOR 0x80000000u
#define LEAF_EXT_FEATURES 0x80000001u
#define LEAF_BRAND 0x80000002u
#define LEAF_EXT_SIZES 0x80000008u
#define LEAF_AMD_CACHES 0x8000001du
#define LEAF_AMD_TOPOLOGY 0x8000001eu

struct kvm_cpuid_entry2 *
cpuid_find(Cpuid *cpuid, uint32_t leaf, int subleaf)
{
    for (unsigned i = 0; i < cpuid->n; i++) {
        struct kvm_cpuid_entry2 *e = &cpuid->e[i];

        if (e->function == leaf && (subleaf == CPUID_ANY_SUBLEAF || e->index == (uint32_t)subleaf ||
                                    !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
            return e;
    }
    return NULL;
}

struct kvm_cpuid_entry2 *
cpuid_add(Cpuid *cpuid, uint32_t leaf, uint32_t subleaf, bool has_subleaf)
{
    struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, leaf, subleaf);

    if (e || cpuid->n == CPUID_MAX_ENTRIES)
        return e;
    e = &cpuid->e[cpuid->n++];
    *e = (struct kvm_cpuid_entry2){
        .function = leaf,
        .index = subleaf,
        .flags = has_subleaf ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
    };
    return e;
}

void
cpuid_remove(Cpuid *cpuid, uint32_t leaf)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < cpuid->n; i++)
        if (cpuid->e[i].function != leaf)
            cpuid->e[kept++] = cpuid->e[i];
    cpuid->n = kept;
}

uint32_t *
cpuid_register(struct kvm_cpuid_entry2 *e, int reg)
{
    uint32_t *const regs[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

    return regs[reg];
}

void
cpuid_vendor(Cpuid *cpuid, char ret[13])
{
    const struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 0, CPUID_ANY_SUBLEAF);
    const uint32_t words[3] = { e ? e->ebx : 0, e ? e->edx : 0, e ? e->ecx : 0 };

    memcpy(ret, words, sizeof(words));
    ret[12] = '\0';
}

bool
cpuid_is_amd(Cpuid *cpuid)
{
    char vendor[13];

    cpuid_vendor(cpuid, vendor);
    return !strcmp(vendor, "AuthenticAMD") || !strcmp(vendor, "HygonGenuine");
}

unsigned
cpuid_physical_bits(Cpuid *cpuid)
{
    const struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, LEAF_EXT_SIZES, CPUID_ANY_SUBLEAF);

    return e && (e->eax & 0xff) ? e->eax & 0xff : 36;
}

/* The name of the host's processor, three leaves of it, which KVM says nothing of. */
static void
cpuid_copy_brand(Cpuid *cpuid)
{
    for (uint32_t leaf = LEAF_BRAND; leaf < LEAF_BRAND + 3; leaf++) {
        struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, leaf, CPUID_ANY_SUBLEAF);

        if (e)
            __asm__("cpuid"
                    : "=a"(e->eax), "=b"(e->ebx), "=c"(e->ecx), "=d"(e->edx)
                    : "0"(leaf), "2"(0));
    }
}

bool
cpuid_supported(int kvm_fd, bool tsc_deadline, Cpuid *ret, GError **err)
{
    g_autofree struct kvm_cpuid2 *raw =
        g_malloc0(sizeof(*raw) + CPUID_MAX_ENTRIES * sizeof(raw->entries[0]));
    struct kvm_cpuid_entry2 *e;

    raw->nent = CPUID_MAX_ENTRIES;
    if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, raw) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "KVM_GET_SUPPORTED_CPUID");
    ret->n = MIN(raw->nent, (uint32_t)CPUID_MAX_ENTRIES);
    memcpy(ret->e, raw->entries, ret->n * sizeof(ret->e[0]));
    e = cpuid_find(ret, LEAF_FEATURES, CPUID_ANY_SUBLEAF);
    if (!e)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "KVM_GET_SUPPORTED_CPUID has no leaf 1");
    e->ecx |= F1_ECX_HYPERVISOR | F1_ECX_X2APIC;
    if (tsc_deadline)
        e->ecx |= F1_ECX_TSC_DEADLINE;
    /* KVM switches OSXSAVE with CR4; MWAIT exits would have to be disabled first. */
    e->ecx &= ~(uint32_t)(F1_ECX_MONITOR | F1_ECX_OSXSAVE);
    cpuid_copy_brand(ret);
    return true;
}

static void
cpuid_place_level(Cpuid *cpuid, uint32_t leaf, unsigned subleaf, unsigned shift, unsigned count,
                  unsigned level, uint32_t apic_id)
{
    struct kvm_cpuid_entry2 *e = cpuid_add(cpuid, leaf, subleaf, true);

    if (!e)
        return;
    e->eax = shift;
    e->ebx = count;
    e->ecx = level << 8 | subleaf;
    e->edx = apic_id;
}

static void
cpuid_place_topology(Cpuid *cpuid, const Topology *t, uint32_t apic_id)
{
    struct kvm_cpuid_entry2 *top = cpuid_find(cpuid, 0, CPUID_ANY_SUBLEAF);
    unsigned package = t->threads * t->cores * t->dies;
    unsigned bits = topology_package_bits(t), thread_bits = topology_thread_bits(t);

    cpuid_remove(cpuid, LEAF_TOPOLOGY);
    cpuid_remove(cpuid, LEAF_TOPOLOGY_V2);
    if (!top)
        return;
    top->eax = MAX(top->eax, (uint32_t)LEAF_TOPOLOGY);
    cpuid_place_level(cpuid, LEAF_TOPOLOGY, 0, thread_bits, t->threads, LEVEL_SMT, apic_id);
    cpuid_place_level(cpuid, LEAF_TOPOLOGY, 1, bits, package, LEVEL_CORE, apic_id);
    cpuid_place_level(cpuid, LEAF_TOPOLOGY, 2, 0, 0, 0, apic_id);
    if (t->dies == 1)
        return;
    top->eax = MAX(top->eax, (uint32_t)LEAF_TOPOLOGY_V2);
    cpuid_place_level(cpuid, LEAF_TOPOLOGY_V2, 0, thread_bits, t->threads, LEVEL_SMT, apic_id);
    cpuid_place_level(cpuid, LEAF_TOPOLOGY_V2, 1, topology_core_bits(t), t->threads * t->cores,
                      LEVEL_CORE, apic_id);
    cpuid_place_level(cpuid, LEAF_TOPOLOGY_V2, 2, bits, package, LEVEL_DIE, apic_id);
    cpuid_place_level(cpuid, LEAF_TOPOLOGY_V2, 3, 0, 0, 0, apic_id);
}

/* Caches of level 1 and 2 belong to a core, those above to @high_ids ids. */
static void
cpuid_place_cache(struct kvm_cpuid_entry2 *e, unsigned core_ids, unsigned high_ids)
{
    unsigned level = e->eax >> 5 & 7;

    if ((e->eax & 0x1f) == 0)
        return;
    e->eax &= ~(0xfffu << 14);
    e->eax |= ((level <= 2 ? core_ids : high_ids) - 1) << 14;
}

static void
cpuid_place_amd(Cpuid *cpuid, const Topology *t, unsigned index, uint32_t apic_id)
{
    struct kvm_cpuid_entry2 *ext = cpuid_find(cpuid, LEAF_EXT_FEATURES, CPUID_ANY_SUBLEAF);
    struct kvm_cpuid_entry2 *sizes = cpuid_find(cpuid, LEAF_EXT_SIZES, CPUID_ANY_SUBLEAF);
    TopologyPlace p = topology_place(t, index);
    unsigned package = t->threads * t->cores * t->dies;
    struct kvm_cpuid_entry2 *e;

    if (sizes) {
        sizes->ecx &= ~0xf0ffu;
        sizes->ecx |= (package - 1) | topology_package_bits(t) << 12;
    }
    if (!ext)
        return;
    ext->ecx &= ~(uint32_t)X1_ECX_CMP_LEGACY;
    if (package > 1)
        ext->ecx |= X1_ECX_CMP_LEGACY;
    if (!(ext->ecx & X1_ECX_TOPOEXT))
        return;
    e = cpuid_add(cpuid, LEAF_AMD_TOPOLOGY, 0, false);
    if (e) {
        e->eax = apic_id;
        e->ebx = (p.core + p.die * t->cores) | (t->threads - 1) << 8;
        e->ecx = (p.die & 0xff) | (t->dies - 1) << 8;
        e->edx = 0;
    }
}

void
cpuid_place(Cpuid *cpuid, const Topology *t, unsigned index)
{
    uint32_t apic_id = topology_apic_id(t, index);
    unsigned package_ids = 1u << topology_package_bits(t);
    unsigned core_ids = 1u << topology_thread_bits(t);
    struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, LEAF_FEATURES, CPUID_ANY_SUBLEAF);

    if (features) {
        features->ebx &= 0xffff;
        features->ebx |= (apic_id & 0xff) << 24 | MIN(package_ids, 255u) << 16;
        features->edx &= ~(uint32_t)F1_EDX_HTT;
        if (package_ids > 1)
            features->edx |= F1_EDX_HTT;
    }
    for (unsigned i = 0; i < cpuid->n; i++) {
        struct kvm_cpuid_entry2 *e = &cpuid->e[i];

        if (e->function == LEAF_CACHES && (e->eax & 0x1f)) {
            cpuid_place_cache(e, core_ids, package_ids);
            e->eax &= ~(0x3fu << 26);
            e->eax |= MIN(package_ids / core_ids - 1, 0x3fu) << 26;
        } else if (e->function == LEAF_AMD_CACHES) {
            cpuid_place_cache(e, t->threads, t->threads * t->cores);
        }
    }
    cpuid_place_topology(cpuid, t, apic_id);
    if (cpuid_is_amd(cpuid))
        cpuid_place_amd(cpuid, t, index, apic_id);
}
