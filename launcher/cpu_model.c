/* cpu_model.c - the processor that -cpu asks for.
 *
 * Models and features are those of libvirt's CPU map (util/cpumap.h); the switches of qemu(1) that
 * are not features are the table at the end. "host" is everything KVM offers. Hyper-V
 * enlightenments are in hyperv.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/cpu_model.h"

#include <string.h>

#include "launcher/keyval.h"
#include "launcher/kvm.h"
#include "util/cpumap.h"
#include "util/error.h"

enum { LEAF_XSAVE = 0xd, LEAF_PMU = 0xa, LEAF_SGX = 0x12, LEAF_PT = 0x14 };
enum {
    XSAVE_COMPONENTS = 63,
    XSAVE_LEAST = 576, /* x87, SSE and the header */
    XSAVES = 1 << 3,
};
#define LEAF_KVM 0x40000000u
#define LEAF_KVM_BITS 0x40000001u
#define LEAF_EXT 0x80000001u
#define LEAF_BRAND 0x80000002u
#define LEAF_EXT_POWER 0x80000007u
#define LEAF_EXT_SIZES 0x80000008u
#define EXT_POWER_EDX_INVTSC (1u << 8)
#define KVM_HINT_DEDICATED (1u << 0) /* EDX: vCPUs are never preempted for long */
#define EXT_EDX_ALIASES 0x0183f3ffu  /* bits that AMD repeats from leaf 1 EDX */

/* Paravirtual features: Linux Documentation/virt/kvm/x86/cpuid.rst, by QEMU's names. */
static const struct {
    const char *name;
    uint32_t mask;
} kvm_bits[] = {
    { "kvmclock", 1u << 0 | 1u << 3 },   { "kvm-nopiodelay", 1u << 1 },
    { "kvm-asyncpf", 1u << 4 },          { "kvm-steal-time", 1u << 5 },
    { "kvm-pv-eoi", 1u << 6 },           { "kvm-pv-unhalt", 1u << 7 },
    { "kvm-pv-tlb-flush", 1u << 9 },     { "kvm-pv-ipi", 1u << 11 },
    { "kvm-poll-control", 1u << 12 },    { "kvm-pv-sched-yield", 1u << 13 },
    { "kvm-asyncpf-int", 1u << 14 },     { "kvm-msi-ext-dest-id", 1u << 15 },
    { "kvmclock-stable-bit", 1u << 24 },
};

/* XSAVE components that come with a feature (Intel SDM volume 1, 13.1): leaf, subleaf, register,
 * bit → bits of XCR0, or of IA32_XSS, which are others. */
static const struct {
    uint32_t leaf, subleaf;
    int reg;
    uint32_t mask;
    uint64_t components;
} xsave_parts[] = {
    { 1, 0, CPUMAP_ECX, 1u << 28, 1u << 2 },  /* AVX */
    { 7, 0, CPUMAP_EBX, 1u << 14, 3u << 3 },  /* MPX */
    { 7, 0, CPUMAP_EBX, 1u << 16, 7u << 5 },  /* AVX-512F */
    { 7, 0, CPUMAP_EBX, 1u << 25, 1u << 8 },  /* PT */
    { 7, 0, CPUMAP_ECX, 1u << 3, 1u << 9 },   /* PKU */
    { 7, 0, CPUMAP_ECX, 1u << 7, 3u << 11 },  /* CET: shadow stacks */
    { 7, 0, CPUMAP_EDX, 1u << 20, 3u << 11 }, /* CET: branch targets */
    { 7, 0, CPUMAP_EDX, 1u << 5, 1u << 14 },  /* user interrupts */
    { 7, 0, CPUMAP_EDX, 1u << 19, 1u << 15 }, /* architectural LBR */
    { 7, 0, CPUMAP_EDX, 1u << 24, 3u << 17 }, /* AMX-TILE */
    { 7, 1, CPUMAP_EDX, 1u << 21, 1u << 19 }, /* APX */
};

void
cpu_spec_free(CpuSpec *spec)
{
    if (!spec)
        return;
    g_free(spec->model);
    g_array_unref(spec->switches);
    g_free(spec);
}

static void
cpu_switch_clear(void *opaque)
{
    g_free(((CpuSwitch *)opaque)->name);
}

static void
cpu_spec_switch(CpuSpec *spec, const char *name, bool on)
{
    CpuSwitch s = { .name = g_strdup(name), .on = on };

    g_array_append_val(spec->switches, s);
}

/* Names are spelled with dashes; older ones with underlines stand for the same. */
static bool
cpu_is_name(const char *name, const char *key)
{
    g_autofree char *dashed = g_strdelimit(g_strdup(key), "_", '-');

    return !strcmp(name, dashed);
}

/* One member after the model: "+f", "-f", "f=on", "key=value", or a bare "f". */
static bool
cpu_spec_item(CpuSpec *spec, JsonObject *obj, const char *key, GError **err)
{
    static const char *const hints[] = {
        "host-cache-info", "l3-cache",       "x-migrate-smi-count", "full-cpuid-auto-level",
        "fill-mtrr-mask",  "host-phys-bits", "vmware-cpuid-freq",   NULL,
    };
    static const char *const of_the_model[] = {
        "vendor",  "family",    "stepping",   "model-id",    "level", "xlevel",
        "xlevel2", "min-level", "min-xlevel", "min-xlevel2", NULL,
    };
    bool on = true;

    if (*key == '+' || *key == '-') {
        cpu_spec_switch(spec, key + 1, *key == '+');
        return true;
    }
    if (!strcmp(key, "model"))
        return true;
    if (!strcmp(key, "phys-bits"))
        return keyval_uint("-cpu", obj, key, 32, 52, &spec->phys_bits, err);
    if (!strcmp(key, "tsc-frequency"))
        return keyval_uint("-cpu", obj, key, 1000000, UINT64_C(100000000000), &spec->tsc_hz, err);
    if (hyperv_is_option(key))
        return hyperv_spec_item(&spec->hyperv, obj, key, err);
    if (!strcmp(key, "host-phys-bits-limit"))
        return keyval_uint("-cpu", obj, key, 0, 52, &spec->phys_limit, err);
    if (g_strv_contains(of_the_model, key))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-cpu: %s= is not offered: it comes with the model", key);
    if (g_strv_contains(hints, key))
        return true;
    if (!keyval_bool("-cpu", obj, key, &on, err))
        return false;
    if (cpu_is_name("kvm-hint-dedicated", key)) {
        spec->hint_dedicated = on;
    } else if (!strcmp(key, "enforce")) {
        spec->enforce = on;
    } else if (!strcmp(key, "check")) {
        spec->check = on;
    } else if (!strcmp(key, "migratable")) {
        spec->migratable = on;
    } else if (!strcmp(key, "kvm")) {
        spec->hide_kvm = !on;
    } else if (!strcmp(key, "pmu")) {
        spec->pmu = on;
        spec->pmu_given = true;
    } else {
        cpu_spec_switch(spec, key, on);
    }
    return true;
}

CpuSpec *
cpu_spec_parse(const char *text, GError **err)
{
    g_autoptr(CpuSpec) spec = g_new0(CpuSpec, 1);
    g_autoptr(JsonObject) obj = NULL;
    g_autoptr(GList) members = NULL;

    spec->switches = g_array_new(FALSE, FALSE, sizeof(CpuSwitch));
    g_array_set_clear_func(spec->switches, cpu_switch_clear);
    spec->check = spec->migratable = true;
    obj = keyval_parse("-cpu", text ? text : "host", "model", err);
    if (!obj)
        return NULL;
    spec->model = g_strdup(keyval_text(obj, "model"));
    if (!spec->model || !*spec->model) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-cpu: wants a model first");
        return NULL;
    }
    members = json_object_get_members(obj);
    for (GList *l = members; l; l = l->next)
        if (!cpu_spec_item(spec, obj, l->data, err))
            return NULL;
    return g_steal_pointer(&spec);
}

void
cpu_definition_free(CpuDefinition *definition)
{
    if (!definition)
        return;
    g_array_unref(definition->msrs);
    g_free(definition);
}

/* The value of a feature MSR as KVM offers it, 0 when it does not. */
static uint64_t
cpu_msr_supported(int kvm_fd, uint32_t index)
{
    uint64_t value = 0;

    if (kvm_fd >= 0)
        kvm_get_msr(kvm_fd, index, &value);
    return value;
}

static CpuMsr *
cpu_msr_find(CpuDefinition *d, uint32_t index)
{
    for (guint i = 0; i < d->msrs->len; i++)
        if (g_array_index(d->msrs, CpuMsr, i).index == index)
            return &g_array_index(d->msrs, CpuMsr, i);
    return NULL;
}

/* Switches one bit on, if the host has it, or off. */
static bool
cpu_set_bit(CpuDefinition *d, const Cpuid *supported, const CpuMapBit *bit, bool on, int kvm_fd)
{
    struct kvm_cpuid_entry2 *have, *e;

    if (bit->is_msr) {
        uint64_t mask = (uint64_t)bit->mask << (bit->reg == CPUMAP_EDX ? 32 : 0);
        uint64_t host = cpu_msr_supported(kvm_fd, bit->leaf);
        CpuMsr fresh = { .index = bit->leaf }, *msr;

        if (on && (host & mask) != mask)
            return false;
        if (!cpu_msr_find(d, bit->leaf))
            g_array_append_val(d->msrs, fresh);
        msr = cpu_msr_find(d, bit->leaf);
        msr->value = on ? msr->value | mask : msr->value & ~mask;
        return true;
    }
    have = cpuid_find((Cpuid *)supported, bit->leaf, bit->subleaf);
    e = cpuid_find(&d->cpuid, bit->leaf, bit->subleaf);
    if (on && (!have || (*cpuid_register(have, bit->reg) & bit->mask) != bit->mask))
        return false;
    if (!e)
        return true;
    if (on)
        *cpuid_register(e, bit->reg) |= bit->mask;
    else
        *cpuid_register(e, bit->reg) &= ~bit->mask;
    return true;
}

static uint32_t
cpu_kvm_bit(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kvm_bits); i++)
        if (cpu_is_name(kvm_bits[i].name, name))
            return kvm_bits[i].mask;
    return 0;
}

/* A model's feature that is switched off is not missed. */
static void
cpu_forget_missing(GPtrArray *missing, const char *name)
{
    guint at;

    if (g_ptr_array_find_with_equal_func(missing, name, g_str_equal, &at))
        g_ptr_array_remove_index(missing, at);
}

static bool
cpu_apply_switches(CpuDefinition *d, const CpuSpec *spec, const Cpuid *supported, const CpuMap *map,
                   int kvm_fd, GPtrArray *missing, GError **err)
{
    struct kvm_cpuid_entry2 *kvm = cpuid_find(&d->cpuid, LEAF_KVM_BITS, CPUID_ANY_SUBLEAF);
    const struct kvm_cpuid_entry2 *have =
        cpuid_find((Cpuid *)supported, LEAF_KVM_BITS, CPUID_ANY_SUBLEAF);

    if (kvm)
        kvm->edx = spec->hint_dedicated ? KVM_HINT_DEDICATED : 0;
    for (guint i = 0; i < spec->switches->len; i++) {
        const CpuSwitch *s = &g_array_index(spec->switches, CpuSwitch, i);
        const CpuMapFeature *feature = map ? cpumap_find_feature(map, s->name) : NULL;
        uint32_t bit = cpu_kvm_bit(s->name);
        bool done = true;

        if (bit && kvm && s->on)
            done = have && (have->eax & bit) == bit && (kvm->eax |= bit);
        else if (bit && kvm)
            kvm->eax &= ~bit;
        else if (bit)
            done = !s->on;
        else if (feature)
            done = cpu_set_bit(d, supported, &feature->bit, s->on, kvm_fd);
        else
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-cpu: no processor feature '%s' is known", s->name);
        cpu_forget_missing(missing, feature ? feature->name : s->name);
        if (!done)
            g_ptr_array_add(missing, g_strdup(s->name));
    }
    return true;
}

/* CPUID 1 EAX of a signature of the map: family << 16 | model << 8. Stepping 0. */
static uint32_t
cpu_signature(uint32_t signature)
{
    uint32_t family = signature >> 16, model = signature >> 8 & 0xff;

    return (family >= 0xf ? (family - 0xf) << 20 | 0xf << 8 : family << 8) | (model >> 4) << 16 |
           (model & 0xf) << 4;
}

static void
cpu_set_identity(CpuDefinition *d, const CpuMap *map, const CpuMapModel *model)
{
    const char *vendor = model->vendor ? cpumap_vendor_string(map, model->vendor) : NULL;
    struct kvm_cpuid_entry2 *e = cpuid_find(&d->cpuid, 0, CPUID_ANY_SUBLEAF);
    char brand[48] = { 0 };

    if (e && vendor && strlen(vendor) == 12) {
        memcpy(&e->ebx, vendor, 4);
        memcpy(&e->edx, vendor + 4, 4);
        memcpy(&e->ecx, vendor + 8, 4);
    }
    e = cpuid_find(&d->cpuid, 1, CPUID_ANY_SUBLEAF);
    if (e && model->signatures && model->signatures[0])
        e->eax = cpu_signature(model->signatures[0]);
    g_strlcpy(brand, model->name, sizeof(brand));
    for (int i = 0; i < 3; i++) {
        e = cpuid_find(&d->cpuid, LEAF_BRAND + i, CPUID_ANY_SUBLEAF);
        for (int r = 0; e && r < 4; r++)
            memcpy(cpuid_register(e, r), brand + 16 * i + 4 * r, 4);
    }
}

/* Clears all features the map knows, then sets those of @model that the host has. */
static void
cpu_apply_model(CpuDefinition *d, const Cpuid *supported, const CpuMap *map,
                const CpuMapModel *model, int kvm_fd, GPtrArray *missing)
{
    const struct kvm_cpuid_entry2 *one = cpuid_find((Cpuid *)supported, 1, 0);
    struct kvm_cpuid_entry2 *e;

    for (const CpuMapFeature *const *f = cpumap_features(map); *f; f++) {
        e = (*f)->bit.is_msr ? NULL : cpuid_find(&d->cpuid, (*f)->bit.leaf, (*f)->bit.subleaf);
        if (e)
            *cpuid_register(e, (*f)->bit.reg) = 0;
    }
    for (const CpuMapFeature *const *f = model->features; *f; f++)
        if (!cpu_set_bit(d, supported, &(*f)->bit, true, kvm_fd))
            g_ptr_array_add(missing, g_strdup((*f)->name));
    cpu_set_identity(d, map, model);
    e = cpuid_find(&d->cpuid, 1, 0);
    if (e && one) {
        e->ecx |= one->ecx & (1u << 31 | 1u << 21); /* hypervisor, x2APIC: always ours to give */
        e = cpuid_find(&d->cpuid, 6, 0);
        if (e) /* a timer that never stops */
            e->eax |= cpuid_find((Cpuid *)supported, 6, 0)->eax & 1u << 2;
    }
    /* Parts that belong to features which models do not have. */
    cpuid_remove(&d->cpuid, LEAF_SGX);
    cpuid_remove(&d->cpuid, LEAF_PT);
}

static uint64_t
cpu_xsave_allowed(CpuDefinition *d)
{
    uint64_t allowed = 3; /* x87 and SSE */

    for (size_t i = 0; i < G_N_ELEMENTS(xsave_parts); i++) {
        struct kvm_cpuid_entry2 *f =
            cpuid_find(&d->cpuid, xsave_parts[i].leaf, xsave_parts[i].subleaf);

        if (f && (*cpuid_register(f, xsave_parts[i].reg) & xsave_parts[i].mask))
            allowed |= xsave_parts[i].components;
    }
    return allowed;
}

/* Components of XSAVE follow the features, sizes the components (Intel SDM volume 2A, CPUID leaf
 * 0xd). The sizes of what is switched on just now KVM puts in itself, whenever the guest changes
 * that. */
static void
cpu_trim_xsave(CpuDefinition *d)
{
    uint64_t allowed = cpu_xsave_allowed(d), user = 0, supervisor = 0;
    struct kvm_cpuid_entry2 *one = cpuid_find(&d->cpuid, 1, 0);
    struct kvm_cpuid_entry2 *head = cpuid_find(&d->cpuid, LEAF_XSAVE, 0);
    struct kvm_cpuid_entry2 *more = cpuid_find(&d->cpuid, LEAF_XSAVE, 1);

    if (!one || !(one->ecx & 1u << 26) || !head) {
        cpuid_remove(&d->cpuid, LEAF_XSAVE);
        return;
    }
    head->eax &= (uint32_t)allowed;
    head->edx &= allowed >> 32;
    user = head->eax | (uint64_t)head->edx << 32;
    if (more) {
        more->ecx &= more->eax & XSAVES ? (uint32_t)allowed : 0;
        more->edx &= more->eax & XSAVES ? allowed >> 32 : 0;
        supervisor = more->ecx | (uint64_t)more->edx << 32;
    }
    head->ecx = XSAVE_LEAST;
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
        struct kvm_cpuid_entry2 *e = cpuid_find(&d->cpuid, LEAF_XSAVE, i);

        if (!e)
            continue;
        if (user >> i & 1)
            head->ecx = MAX(head->ecx, e->ebx + e->eax);
        else if (!(supervisor >> i & 1))
            e->eax = e->ebx = e->ecx = e->edx = 0;
    }
}

/* A guest that believes in more address bits than the processor has would lose what it stores. */
static bool
cpu_set_physical_bits(CpuDefinition *d, uint64_t bits, uint64_t limit, GError **err)
{
    struct kvm_cpuid_entry2 *e = cpuid_find(&d->cpuid, LEAF_EXT_SIZES, 0);
    unsigned host = cpuid_physical_bits(&d->cpuid);

    if (bits == 0 && limit > 0 && limit < host)
        bits = limit;
    if (bits > host)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-cpu: phys-bits=%u is beyond the %u of this host", (unsigned)bits,
                              host);
    if (bits && e)
        e->eax = (e->eax & ~0xffu) | (uint32_t)bits;
    return true;
}

static bool
cpu_set_hyperv(CpuDefinition *d, const HypervSpec *spec, int kvm_fd, GError **err)
{
    HypervHost host;

    d->hyperv = hyperv_spec_asks(spec);
    return !d->hyperv ||
           hyperv_define(spec, kvm_fd >= 0 && hyperv_host_read(kvm_fd, &host) ? &host : NULL,
                         &d->cpuid, &d->hyperv_set, err);
}

static void
cpu_finish(CpuDefinition *d, const CpuSpec *spec, bool named)
{
    struct kvm_cpuid_entry2 *e = cpuid_find(&d->cpuid, LEAF_EXT, 0);
    struct kvm_cpuid_entry2 *one = cpuid_find(&d->cpuid, 1, 0);

    if (named && e && one) {
        e->edx &= ~EXT_EDX_ALIASES;
        if (cpuid_is_amd(&d->cpuid))
            e->edx |= one->edx & EXT_EDX_ALIASES;
    }
    if (spec->pmu_given ? !spec->pmu : named)
        cpuid_remove(&d->cpuid, LEAF_PMU);
    if (spec->hide_kvm) {
        cpuid_remove(&d->cpuid, LEAF_KVM);
        cpuid_remove(&d->cpuid, LEAF_KVM_BITS);
    }
    cpu_trim_xsave(d);
}

static bool
cpu_refuse_missing(const CpuSpec *spec, const GPtrArray *missing, GError **err)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (guint i = 0; i < missing->len; i++)
        g_string_append_printf(names, "%s%s", i ? ", " : "", (char *)g_ptr_array_index(missing, i));
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "-cpu %s: this host cannot give the guest: %s", spec->model, names->str);
}

CpuDefinition *
cpu_define(const CpuSpec *spec, const Cpuid *supported, const char *map_dir, int kvm_fd,
           GPtrArray *ret_missing, GError **err)
{
    g_autoptr(CpuDefinition) d = g_new0(CpuDefinition, 1);
    g_autoptr(CpuMap) map = NULL;
    bool named = strcmp(spec->model, "host") && strcmp(spec->model, "max"), want_map = named;
    const CpuMapModel *model = NULL;
    struct kvm_cpuid_entry2 *e;

    d->cpuid = *supported;
    d->msrs = g_array_new(FALSE, FALSE, sizeof(CpuMsr));
    d->tsc_khz = spec->tsc_hz / 1000;
    /* A time stamp counter that promises never to change its rate ties a guest to its host. */
    e = cpuid_find(&d->cpuid, LEAF_EXT_POWER, 0);
    if (spec->migratable && e)
        e->edx &= ~EXT_POWER_EDX_INVTSC;
    /* Read only when a name has to be looked up. */
    for (guint i = 0; i < spec->switches->len; i++)
        want_map |= !cpu_kvm_bit(g_array_index(spec->switches, CpuSwitch, i).name);
    if (want_map) {
        map = cpumap_load_model(map_dir, named ? spec->model : NULL, err);
        if (!map)
            return NULL;
    }
    if (named) {
        model = cpumap_find_model(map, spec->model);
        if (!model) {
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                           "-cpu: no model '%s'; 'kiln-vmm -cpu help' lists them", spec->model);
            return NULL;
        }
        cpu_apply_model(d, supported, map, model, kvm_fd, ret_missing);
    }
    if (!cpu_apply_switches(d, spec, supported, map, kvm_fd, ret_missing, err))
        return NULL;
    cpu_finish(d, spec, named);
    if (!cpu_set_physical_bits(d, spec->phys_bits, spec->phys_limit, err) ||
        !cpu_set_hyperv(d, &spec->hyperv, kvm_fd, err))
        return NULL;
    if (spec->enforce && ret_missing->len > 0) {
        cpu_refuse_missing(spec, ret_missing, err);
        return NULL;
    }
    return g_steal_pointer(&d);
}

char *
cpu_help(const char *map_dir)
{
    g_autoptr(CpuMap) map = cpumap_load(map_dir, NULL);
    GString *text = g_string_new("host (all that this host's KVM offers)\n");

    for (const CpuMapModel *const *m = map ? cpumap_models(map) : NULL; m && *m; m++)
        g_string_append_printf(text, "%s\n", (*m)->name);
    g_string_append(text, "\nFeatures to add with '+' or take away with '-':");
    for (const CpuMapFeature *const *f = map ? cpumap_features(map) : NULL; f && *f; f++)
        g_string_append_printf(text, " %s", (*f)->name);
    for (size_t i = 0; i < G_N_ELEMENTS(kvm_bits); i++)
        g_string_append_printf(text, " %s", kvm_bits[i].name);
    g_string_append(text, " kvm-hint-dedicated");
    g_string_append(text, "\n\nHyper-V enlightenments: hv-passthrough hv-spinlocks= hv-vendor-id=");
    for (int i = 0; i < HYPERV_FEATURES; i++)
        g_string_append_printf(text, " hv-%s", hyperv_facts[i].name);
    g_string_append_c(text, '\n');
    return g_string_free(text, FALSE);
}
