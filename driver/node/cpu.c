/* cpu.c - the host's processor and KVM's offer against the CPU model map. See cpu.h.
 *
 * CPUID: Intel SDM volume 2A, AMD APM volume 3. KVM: Documentation/virt/kvm/api.rst
 * (KVM_CHECK_EXTENSION, KVM_GET_MSRS on the system descriptor).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/node/cpu.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/error.h"
#include "util/hyperv.h"

#define CPUID_1_ECX_X2APIC (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define CPUID_1_ECX_HYPERVISOR (1u << 31)
#define CPUID_RANGE 0xffff0000u /* each range of leaves has a highest one of its own */

void
cpu_facts_free(CpuFacts *facts)
{
    if (!facts)
        return;
    g_free(facts->leaves);
    g_clear_pointer(&facts->msrs, g_array_unref);
    g_free(facts);
}

static CpuMapLeaf *
facts_leaf(const CpuFacts *facts, uint32_t leaf, uint32_t subleaf)
{
    for (size_t i = 0; i < facts->n_leaves; i++)
        if (facts->leaves[i].leaf == leaf && facts->leaves[i].subleaf == subleaf)
            return &facts->leaves[i];
    return NULL;
}

static void
host_add_leaf(GArray *leaves, uint32_t leaf, uint32_t subleaf)
{
    CpuMapLeaf l = { .leaf = leaf, .subleaf = subleaf };
    unsigned reg[4];

    for (guint i = 0; i < leaves->len; i++) {
        const CpuMapLeaf *old = &g_array_index(leaves, CpuMapLeaf, i);

        if (old->leaf == leaf && old->subleaf == subleaf)
            return;
    }
    if (leaf > (uint32_t)__get_cpuid_max(leaf & CPUID_RANGE, NULL))
        return;
    __cpuid_count(leaf, subleaf, reg[0], reg[1], reg[2], reg[3]);
    for (int i = 0; i < 4; i++)
        l.reg[i] = reg[i];
    g_array_append_val(leaves, l);
}

CpuFacts *
cpu_facts_read_host(const CpuMap *map)
{
    GArray *leaves = g_array_new(FALSE, FALSE, sizeof(CpuMapLeaf));
    CpuFacts *facts = g_new0(CpuFacts, 1);

    host_add_leaf(leaves, 0, 0);
    host_add_leaf(leaves, 1, 0);
    for (const CpuMapFeature *const *f = cpumap_features(map); *f; f++)
        if (!(*f)->bit.is_msr && (*f)->bit.mask)
            host_add_leaf(leaves, (*f)->bit.leaf, (*f)->bit.subleaf);
    facts->n_leaves = leaves->len;
    facts->leaves = (CpuMapLeaf *)(void *)g_array_free(leaves, FALSE);
    return facts;
}

/* MSRs that KVM does not know are left out. */
static GArray *
kvm_read_msrs(int fd, const CpuMap *map)
{
    GArray *msrs = g_array_new(FALSE, FALSE, sizeof(CpuMsrValue));

    for (const CpuMapFeature *const *f = cpumap_features(map); *f; f++) {
        g_autofree struct kvm_msrs *ask = NULL;
        CpuMsrValue value = { .index = (*f)->bit.leaf };
        bool known = !(*f)->bit.is_msr;

        for (guint i = 0; i < msrs->len && !known; i++)
            known = g_array_index(msrs, CpuMsrValue, i).index == value.index;
        if (known)
            continue;
        ask = g_malloc0(sizeof(*ask) + sizeof(ask->entries[0]));
        ask->nmsrs = 1;
        ask->entries[0].index = value.index;
        if (ioctl(fd, KVM_GET_MSRS, ask) != 1)
            continue;
        value.value = ask->entries[0].data;
        g_array_append_val(msrs, value);
    }
    return msrs;
}

/* A processor must be there to be asked; where none can be made, nothing is known. */
static unsigned
kvm_read_tsc_khz(int fd)
{
    int vm = ioctl(fd, KVM_CREATE_VM, 0), vcpu = vm >= 0 ? ioctl(vm, KVM_CREATE_VCPU, 0) : -1;
    int khz = vcpu >= 0 ? ioctl(vcpu, KVM_GET_TSC_KHZ, 0) : 0;

    if (vcpu >= 0)
        close(vcpu);
    if (vm >= 0)
        close(vm);
    return khz > 0 ? (unsigned)khz : 0;
}

CpuFacts *
cpu_facts_read_kvm(const CpuMap *map, GError **err)
{
    g_autoptr(CpuFacts) facts = g_new0(CpuFacts, 1);
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), max;
    CpuMapLeaf *one;
    HypervHost hyperv;

    if (fd < 0) {
        kiln_error_set_errno(err, VIR_ERR_CONFIG_UNSUPPORTED, errno,
                             "cannot open /dev/kvm; 'virtkilnd --check' tells more");
        return NULL;
    }
    facts->leaves = cpumap_kvm_leaves(fd, &facts->n_leaves, err);
    if (!facts->leaves) {
        close(fd);
        return NULL;
    }
    facts->msrs = kvm_read_msrs(fd, map);
    one = facts_leaf(facts, 1, 0);
    if (one) {
        one->reg[CPUMAP_ECX] |= CPUID_1_ECX_X2APIC | CPUID_1_ECX_HYPERVISOR;
        if (ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
            one->reg[CPUMAP_ECX] |= CPUID_1_ECX_TSC_DEADLINE;
    }
    max = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
    facts->hyperv = hyperv_host_read(fd, &hyperv) ? hyperv_host_set(&hyperv) : 0;
    if (ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_GET_TSC_KHZ) > 0)
        facts->tsc_khz = kvm_read_tsc_khz(fd);
    facts->tsc_scaling = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) > 0;
    facts->max_vcpus = max > 0 && max < NODE_MAX_VCPUS ? (unsigned)max : NODE_MAX_VCPUS;
    close(fd);
    return g_steal_pointer(&facts);
}

bool
cpu_facts_have(const CpuFacts *facts, const CpuMapFeature *feature)
{
    const CpuMapBit *bit = &feature->bit;

    if (!bit->is_msr)
        return cpumap_leaves_have(facts->leaves, facts->n_leaves, feature);
    for (guint i = 0; facts->msrs && i < facts->msrs->len; i++) {
        const CpuMsrValue *msr = &g_array_index(facts->msrs, CpuMsrValue, i);
        uint32_t half = bit->reg == CPUMAP_EDX ? msr->value >> 32 : msr->value & G_MAXUINT32;

        if (msr->index == bit->leaf)
            return bit->mask && (half & bit->mask) == bit->mask;
    }
    return false;
}

bool
cpu_facts_have_model(const CpuFacts *facts, const CpuMapModel *model)
{
    for (const CpuMapFeature *const *f = model->features; *f; f++)
        if (!cpu_facts_have(facts, *f))
            return false;
    return true;
}

const char *
cpu_facts_vendor(const CpuFacts *facts, const CpuMap *map)
{
    const CpuMapLeaf *zero = facts_leaf(facts, 0, 0);
    char text[13] = { 0 };

    if (!zero)
        return NULL;
    memcpy(text, &zero->reg[CPUMAP_EBX], 4);
    memcpy(text + 4, &zero->reg[CPUMAP_EDX], 4);
    memcpy(text + 8, &zero->reg[CPUMAP_ECX], 4);
    return cpumap_vendor_name(map, text);
}

bool
cpu_facts_signature(const CpuFacts *facts, unsigned *ret_family, unsigned *ret_model,
                    unsigned *ret_stepping)
{
    const CpuMapLeaf *one = facts_leaf(facts, 1, 0);
    uint32_t eax, family;

    if (!one)
        return false;
    eax = one->reg[CPUMAP_EAX];
    family = eax >> 8 & 0xf;
    *ret_model = eax >> 4 & 0xf;
    if (family == 6 || family == 15)
        *ret_model |= eax >> 12 & 0xf0;
    *ret_family = family == 15 ? family + (eax >> 20 & 0xff) : family;
    *ret_stepping = eax & 0xf;
    return true;
}

static bool
model_has(const CpuMapModel *model, const CpuMapFeature *feature)
{
    for (const CpuMapFeature *const *f = model->features; *f; f++)
        if (*f == feature)
            return true;
    return false;
}

static bool
model_has_signature(const CpuMapModel *model, unsigned family, unsigned number)
{
    for (const uint32_t *s = model->signatures; *s; s++)
        if (*s == (family << 16 | number << 8))
            return true;
    return false;
}

static GPtrArray *
features_beyond(const CpuFacts *facts, const CpuMap *map, const CpuMapModel *model)
{
    GPtrArray *extra = g_ptr_array_new();

    for (const CpuMapFeature *const *f = cpumap_features(map); *f; f++)
        if (cpu_facts_have(facts, *f) && !model_has(model, *f))
            g_ptr_array_add(extra, (gpointer)*f);
    return extra;
}

const CpuMapModel *
cpu_facts_describe(const CpuFacts *facts, const CpuMap *map, GPtrArray **ret_extra)
{
    const char *vendor = cpu_facts_vendor(facts, map);
    unsigned family = 0, number = 0, stepping;
    g_autoptr(GPtrArray) best_extra = NULL;
    const CpuMapModel *best = NULL;
    bool best_signed = false;

    cpu_facts_signature(facts, &family, &number, &stepping);
    for (const CpuMapModel *const *m = cpumap_models(map); *m; m++) {
        bool is_signed = model_has_signature(*m, family, number);
        g_autoptr(GPtrArray) extra = NULL;

        if (!(*m)->host_usable || ((*m)->vendor && g_strcmp0((*m)->vendor, vendor) != 0) ||
            !cpu_facts_have_model(facts, *m))
            continue;
        extra = features_beyond(facts, map, *m);
        if (best && (is_signed < best_signed ||
                     (is_signed == best_signed && extra->len >= best_extra->len)))
            continue;
        best = *m;
        best_signed = is_signed;
        g_clear_pointer(&best_extra, g_ptr_array_unref);
        best_extra = g_steal_pointer(&extra);
    }
    if (best)
        *ret_extra = g_steal_pointer(&best_extra);
    return best;
}

NodeHostModel *
cpu_facts_host_model(const CpuFacts *facts, const CpuMap *map)
{
    g_autofree const CpuMapFeature **extra = NULL;
    g_autofree const CpuMapFeature **missing = NULL;
    const CpuMapModel *nearest =
        cpumap_nearest_model(map, facts->leaves, facts->n_leaves, &extra, &missing);
    GPtrArray *require, *disable;
    NodeHostModel *model;

    if (!nearest)
        return NULL;
    require = g_ptr_array_new();
    disable = g_ptr_array_new();
    for (size_t i = 0; extra[i]; i++)
        if (extra[i]->migratable)
            g_ptr_array_add(require, (gpointer)extra[i]->name);
    for (size_t i = 0; missing[i]; i++)
        g_ptr_array_add(disable, (gpointer)missing[i]->name);
    /* The map's search looks at CPUID only. */
    for (const CpuMapFeature *const *f = nearest->features; *f; f++)
        if ((*f)->bit.is_msr && !cpu_facts_have(facts, *f))
            g_ptr_array_add(disable, (gpointer)(*f)->name);
    g_ptr_array_add(require, NULL);
    g_ptr_array_add(disable, NULL);
    model = g_new0(NodeHostModel, 1);
    model->model = nearest->name;
    model->vendor = nearest->vendor ? nearest->vendor : cpu_facts_vendor(facts, map);
    model->require = (const char *const *)g_ptr_array_free(require, FALSE);
    model->disable = (const char *const *)g_ptr_array_free(disable, FALSE);
    return model;
}

void
cpu_host_model_free(NodeHostModel *model)
{
    if (!model)
        return;
    g_free((void *)model->require);
    g_free((void *)model->disable);
    g_free(model);
}
