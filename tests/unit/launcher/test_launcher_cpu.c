/* test_launcher_cpu.c - CPUID tables from models and topologies.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "launcher/cpu_model.h"
#include "launcher/vcpu_msr.h"
#include "util/cpumap.h"

static struct kvm_cpuid_entry2 *
put(Cpuid *c, uint32_t leaf, uint32_t subleaf, bool indexed, uint32_t a, uint32_t b, uint32_t cx,
    uint32_t d)
{
    struct kvm_cpuid_entry2 *e = cpuid_add(c, leaf, subleaf, indexed);

    e->eax = a;
    e->ebx = b;
    e->ecx = cx;
    e->edx = d;
    return e;
}

/* A host with everything in the feature registers, of @vendor's making. */
static Cpuid *
host(const char *vendor)
{
    Cpuid *c = g_new0(Cpuid, 1);
    uint32_t v[3];

    memcpy(v, vendor, 12);
    put(c, 0, 0, false, 0x16, v[0], v[2], v[1]);
    put(c, 1, 0, false, 0x806f8, 0x0b100800, ~0u, ~0u);
    put(c, 4, 0, true, 0x1c004121, 0, 0, 0);
    put(c, 4, 3, true, 0x1c03c163, 0, 0, 0);
    put(c, 6, 0, false, 4, 0, 0, 0);
    put(c, 7, 0, true, 1, ~0u, ~0u, ~0u);
    put(c, 0xa, 0, false, 0x7300405, 0, 0, 0);
    put(c, 0xb, 0, true, 1, 2, 0x100, 77);
    put(c, 0xb, 1, true, 6, 64, 0x201, 77);
    put(c, 0xd, 0, true, 0x602e7, 0x240, 0x2b00, 0);
    put(c, 0xd, 1, true, ~0u, 0, 0x1900, 0);
    put(c, 0xd, 2, true, 0x100, 0x240, 0, 0);
    put(c, 0xd, 8, true, 0x80, 0, 1, 0);
    put(c, 0xd, 9, true, 8, 0xa80, 0, 0);
    put(c, 0xd, 11, true, 0x10, 0, 1, 0);
    put(c, 0xd, 12, true, 0x18, 0, 1, 0);
    put(c, 0xd, 18, true, 0x2000, 0xb00, 6, 0);
    put(c, 0x14, 0, true, 1, 0xf, 7, 0);
    put(c, 0x40000000, 0, false, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
    put(c, 0x40000001, 0, false, 0x01007efb, 0, 0, 0);
    put(c, 0x80000001, 0, false, 0, 0, ~0u, ~0u);
    put(c, 0x80000002, 0, false, 0x65746e49, 0, 0, 0);
    put(c, 0x80000007, 0, false, 0, 0, 0, 0x100);
    put(c, 0x80000008, 0, false, 0x3034, ~0u, 0x5001, 0);
    put(c, 0x8000001d, 0, true, 0x4121, 0, 0, 0);
    put(c, 0x8000001d, 3, true, 0x3c163, 0, 0, 0);
    put(c, 0x8000001e, 0, false, 77, 77, 77, 0);
    return c;
}

static CpuDefinition *
define(const char *text, const Cpuid *supported, GPtrArray *missing, GError **err)
{
    g_autoptr(CpuSpec) spec = cpu_spec_parse(text, err);

    return spec ? cpu_define(spec, supported, CPUMAP_DEFAULT_DIR, -1, missing, err) : NULL;
}

static void
test_host_is_what_kvm_offers(void **state)
{
    g_autofree Cpuid *h = host("GenuineIntel");
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(CpuDefinition) d = define(NULL, h, missing, NULL);

    (void)state;
    assert_non_null(d);
    assert_int_equal(missing->len, 0);
    assert_int_equal(cpuid_find(&d->cpuid, 7, 0)->ebx, ~0u);
    assert_int_equal(cpuid_find(&d->cpuid, 1, 0)->eax, 0x806f8);
    assert_int_equal(cpuid_physical_bits(&d->cpuid), 0x34);
    /* Could not move to another host. */
    assert_int_equal(cpuid_find(&d->cpuid, 0x80000007, 0)->edx, 0);
}

static void
test_switches(void **state)
{
    g_autofree Cpuid *h = host("GenuineIntel");
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) err = NULL;
    g_autoptr(CpuDefinition) d =
        define("host,-avx2,sse4_1=off,-kvm-pv-eoi,migratable=off,pmu=off", h, missing, NULL);

    (void)state;
    assert_int_equal(cpuid_find(&d->cpuid, 7, 0)->ebx, ~0u & ~(1u << 5));
    assert_int_equal(cpuid_find(&d->cpuid, 1, 0)->ecx, ~0u & ~(1u << 19));
    assert_int_equal(cpuid_find(&d->cpuid, 0x40000001, 0)->eax & (1u << 6), 0);
    assert_int_equal(cpuid_find(&d->cpuid, 0x80000007, 0)->edx, 0x100);
    assert_null(cpuid_find(&d->cpuid, 0xa, CPUID_ANY_SUBLEAF));
    assert_null(define("host,+no-such-feature", h, missing, &err));
    assert_non_null(strstr(err->message, "no-such-feature"));
    g_clear_error(&err);
    assert_null(define("NoSuchModel", h, missing, &err));
    assert_non_null(strstr(err->message, "NoSuchModel"));
}

static void
test_named_model(void **state)
{
    g_autofree Cpuid *h = host("GenuineIntel");
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) err = NULL;
    g_autoptr(CpuDefinition) d = define("Nehalem", h, missing, &err);
    g_autoptr(CpuDefinition) poor = NULL;
    g_autoptr(CpuDefinition) off = NULL;

    (void)state;
    if (!d)
        fail_msg("%s", err->message);
    assert_int_equal(missing->len, 0);
    /* Nehalem: model 26, SSE4.2 but no AVX, nothing of leaf 7. */
    assert_int_equal(cpuid_find(&d->cpuid, 1, 0)->eax & 0x0fff0ff0, 0x000106a0);
    assert_int_equal(cpuid_find(&d->cpuid, 1, 0)->ecx & (1u << 20 | 1u << 28), 1u << 20);
    assert_int_equal(cpuid_find(&d->cpuid, 1, 0)->ecx >> 31, 1);
    assert_int_equal(cpuid_find(&d->cpuid, 7, 0)->ebx, 0);
    assert_null(cpuid_find(&d->cpuid, 0x14, CPUID_ANY_SUBLEAF));
    assert_null(cpuid_find(&d->cpuid, 0xd, CPUID_ANY_SUBLEAF));

    cpuid_find(h, 1, 0)->ecx &= ~(1u << 20);
    poor = define("Nehalem", h, missing, NULL);
    assert_non_null(poor);
    assert_int_equal(missing->len, 1);
    assert_string_equal(g_ptr_array_index(missing, 0), "sse4.2");
    g_ptr_array_set_size(missing, 0);
    assert_null(define("Nehalem,enforce", h, missing, &err));
    assert_non_null(strstr(err->message, "sse4.2"));
    /* what is switched off, by whatever spelling, is not missed */
    g_ptr_array_set_size(missing, 0);
    off = define("Nehalem,sse4-2=off,enforce", h, missing, NULL);
    assert_non_null(off);
    assert_int_equal(missing->len, 0);
}

static void
test_xsave_follows_features(void **state)
{
    g_autofree Cpuid *h = host("GenuineIntel");
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(CpuDefinition) d = define("host,-pku,-avx512f,-amx-tile", h, missing, NULL);

    (void)state;
    assert_int_equal(cpuid_find(&d->cpuid, 0xd, 0)->eax & ~(3u << 3), 7);
    assert_int_equal(cpuid_find(&d->cpuid, 0xd, 9)->eax, 0);
    assert_int_equal(cpuid_find(&d->cpuid, 0xd, 18)->ecx, 0);
    /* the size of all that is left, and the supervisor's parts as they were */
    assert_int_equal(cpuid_find(&d->cpuid, 0xd, 0)->ecx, 0x340);
    assert_int_equal(cpuid_find(&d->cpuid, 0xd, 1)->ecx, 0x1900);
    assert_int_equal(cpuid_find(&d->cpuid, 0xd, 11)->eax, 0x10);
}

static void
test_xsave_of_the_supervisor_follows_features(void **state)
{
    g_autofree Cpuid *h = host("GenuineIntel");
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(CpuDefinition) no_pt = define("host,-intel-pt", h, missing, NULL);
    g_autoptr(CpuDefinition) no_xsaves = define("host,-xsaves", h, missing, NULL);
    g_autoptr(CpuDefinition) model = define("Haswell", h, missing, NULL);

    (void)state;
    assert_int_equal(cpuid_find(&no_pt->cpuid, 0xd, 1)->ecx, 0x1800);
    assert_int_equal(cpuid_find(&no_pt->cpuid, 0xd, 8)->eax, 0);
    assert_int_equal(cpuid_find(&no_xsaves->cpuid, 0xd, 1)->ecx, 0);
    assert_int_equal(cpuid_find(&no_xsaves->cpuid, 0xd, 11)->ecx, 0);
    assert_int_equal(cpuid_find(&no_xsaves->cpuid, 0xd, 0)->ecx, 0x2b00);
    /* of a model that has AVX and nothing beyond it */
    assert_int_equal(cpuid_find(&model->cpuid, 0xd, 0)->eax, 7);
    assert_int_equal(cpuid_find(&model->cpuid, 0xd, 0)->ecx, 0x340);
    assert_int_equal(cpuid_find(&model->cpuid, 0xd, 1)->ecx, 0);
    assert_int_equal(cpuid_find(&model->cpuid, 0xd, 12)->eax, 0);
}

static void
test_place_intel(void **state)
{
    const Topology t = { 8, 8, 2, 1, 2, 2 };
    g_autofree Cpuid *c = host("GenuineIntel");

    (void)state;
    cpuid_place(c, &t, 5); /* socket 1, core 0, thread 1 */
    assert_int_equal(cpuid_find(c, 1, 0)->ebx, 0x05040800);
    assert_int_equal(cpuid_find(c, 0xb, 0)->eax, 1);
    assert_int_equal(cpuid_find(c, 0xb, 0)->edx, 5);
    assert_int_equal(cpuid_find(c, 0xb, 1)->eax, 2);
    assert_int_equal(cpuid_find(c, 0xb, 1)->ebx, 4);
    assert_int_equal(cpuid_find(c, 0xb, 2)->ecx, 2);
    assert_null(cpuid_find(c, 0x1f, CPUID_ANY_SUBLEAF));
    /* First level shared by two threads, third by four ids; two cores in the package. */
    assert_int_equal(cpuid_find(c, 4, 0)->eax, 0x04004121);
    assert_int_equal(cpuid_find(c, 4, 3)->eax, 0x0400c163);
}

static void
test_place_amd_and_dies(void **state)
{
    const Topology t = { 8, 8, 1, 2, 2, 2 };
    g_autofree Cpuid *c = host("AuthenticAMD");

    (void)state;
    cpuid_place(c, &t, 6); /* die 1, core 1, thread 0 */
    assert_int_equal(cpuid_find(c, 0x8000001e, 0)->eax, 6);
    assert_int_equal(cpuid_find(c, 0x8000001e, 0)->ebx, 0x103);
    assert_int_equal(cpuid_find(c, 0x8000001e, 0)->ecx, 0x101);
    assert_int_equal(cpuid_find(c, 0x80000008, 0)->ecx & 0xf0ff, 0x3007);
    assert_int_equal(cpuid_find(c, 0x8000001d, 3)->eax >> 14 & 0xfff, 3);
    assert_int_equal(cpuid_find(c, 0x1f, 1)->ebx, 4);
    assert_int_equal(cpuid_find(c, 0x1f, 2)->ecx, 5 << 8 | 2);
    assert_int_equal(cpuid_find(c, 0, CPUID_ANY_SUBLEAF)->eax, 0x1f);
}

static void
test_physical_bits(void **state)
{
    g_autofree Cpuid *h = host("GenuineIntel");
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) err = NULL;
    g_autoptr(CpuDefinition) d = define("host,phys-bits=40", h, missing, &err);

    (void)state;
    assert_non_null(d);
    assert_int_equal(cpuid_physical_bits(&d->cpuid), 40);
    cpuid_find(h, 0x80000008, 0)->eax = 0x3027;
    assert_null(define("host,phys-bits=40", h, missing, &err));
    assert_non_null(strstr(err->message, "phys-bits=40 is beyond the 39"));
}

/* All that Linux 6.1 offers but the enlightened VMCS: arch/x86/kvm/hyperv.c. */
static const HypervHost hyperv_host = {
    .privileges = 0x2aff,
    .features = 0x8c912,
    .advice = 0x0e2c,
    .spinlocks = 0xfff,
    .vendor = { 0x756e694c, 0x564b2078, 0x7648204d }, /* "Linux KVM Hv" */
};

/* A guest's table with -cpu @text on @kvm; NULL with @err. */
static Cpuid *
hyperv(const char *text, const HypervHost *kvm, uint32_t *ret_set, GError **err)
{
    g_autofree Cpuid *c = host("GenuineIntel");
    g_autoptr(CpuSpec) spec = cpu_spec_parse(text, err);

    if (!spec)
        return NULL;
    assert_true(hyperv_spec_asks(&spec->hyperv));
    return hyperv_define(&spec->hyperv, kvm, c, ret_set, err) ? g_steal_pointer(&c) : NULL;
}

static void
check_leaf(Cpuid *c, uint32_t leaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    const struct kvm_cpuid_entry2 *e = cpuid_find(c, leaf, CPUID_ANY_SUBLEAF);

    if (!e)
        fail_msg("no leaf 0x%x", leaf);
    assert_int_equal(e->eax, eax);
    assert_int_equal(e->ebx, ebx);
    assert_int_equal(e->ecx, ecx);
    assert_int_equal(e->edx, edx);
}

/* What virt-install writes for Windows. TLFS 2.4.1 to 2.4.6. */
static void
test_hyperv_windows(void **state)
{
    g_autoptr(GError) err = NULL;
    uint32_t set = 0;
    g_autofree Cpuid *c = hyperv("host,hv-time=on,hv_relaxed,hv-vapic=on,hv-spinlocks=0x1fff",
                                 &hyperv_host, &set, &err);

    (void)state;
    if (!c)
        fail_msg("%s", err->message);
    assert_int_equal(set, HYPERV_BIT(HYPERV_TIME) | HYPERV_BIT(HYPERV_RELAXED) |
                              HYPERV_BIT(HYPERV_VAPIC));
    check_leaf(c, 0x40000000, 0x40000005, 0x7263694d, 0x666f736f, 0x76482074);
    check_leaf(c, 0x40000001, 0x31237648, 0, 0, 0);
    check_leaf(c, 0x40000002, 14393, 10 << 16, 0, 0);
    /* hypercalls 5; reference counter 1 and page 9; APIC registers 4 */
    check_leaf(c, 0x40000003, 0x232, 0, 0, 0);
    /* relaxed 5, APIC by registers 3 */
    check_leaf(c, 0x40000004, 0x28, 0x1fff, 0, 0);
    check_leaf(c, 0x40000005, 0xffffffff, 64, 0, 0);
    /* KVM behind it, with its last leaf */
    check_leaf(c, 0x40000100, 0x40000101, 0x4b4d564b, 0x564b4d56, 0x4d);
    check_leaf(c, 0x40000101, 0x01007efb, 0, 0, 0);
}

static void
test_hyperv_each(void **state)
{
    static const struct {
        const char *text;
        uint32_t privileges, features, advice;
    } cases[] = {
        { "hv-relaxed", 0, 0, 1 << 5 },
        { "hv-vapic", 1 << 4, 0, 1 << 3 },
        { "hv-time", 1 << 1 | 1 << 9, 0, 0 },
        { "hv-vpindex", 1 << 6, 0, 0 },
        { "hv-runtime", 1 << 0, 0, 0 },
        { "hv-vpindex,hv-synic", 1 << 6 | 1 << 2, 0, 0 },
        { "hv-vpindex,hv-synic,hv-time,hv-stimer", 0x24e, 0, 0 },
        { "hv-vpindex,hv-synic,hv-time,hv-stimer,hv-stimer-direct", 0x24e, 1 << 19, 0 },
        { "hv-reset", 1 << 7, 0, 0 },
        { "hv-frequencies", 1 << 11, 1 << 8, 0 },
        { "hv-reenlightenment", 1 << 13, 0, 0 },
        { "hv-vpindex,hv-tlbflush", 1 << 6, 0, 1 << 2 | 1 << 11 },
        { "hv-vpindex,hv-ipi", 1 << 6, 0, 1 << 10 | 1 << 11 },
        { "hv-avic", 0, 0, 1 << 9 },
        { "hv_apicv,hv-relaxed=off,hv-evmcs=off", 0, 0, 1 << 9 },
        { "hv-spinlocks=4095", 0, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strconcat("host,", cases[i].text, NULL);
        g_autoptr(GError) err = NULL;
        uint32_t set;
        g_autofree Cpuid *c = hyperv(text, &hyperv_host, &set, &err);

        if (!c)
            fail_msg("%s: %s", text, err->message);
        check_leaf(c, 0x40000003, 1 << 5 | cases[i].privileges, 0, 0, cases[i].features);
        check_leaf(c, 0x40000004, cases[i].advice,
                   strstr(text, "spinlocks") ? 4095 : HYPERV_NEVER_NOTIFY, 0, 0);
    }
}

static void
test_hyperv_vendor_and_passthrough(void **state)
{
    g_autoptr(GError) err = NULL;
    uint32_t set;
    g_autofree Cpuid *c = hyperv("host,hv-relaxed,hv-vendor-id=Kiln", &hyperv_host, &set, &err);
    g_autoptr(CpuSpec) name_only = cpu_spec_parse("host,hv-vendor-id=Kiln", NULL);

    (void)state;
    check_leaf(c, 0x40000000, 0x40000005, 0x6e6c694b, 0, 0);
    assert_false(hyperv_spec_asks(&name_only->hyperv));
    g_free(c);
    c = hyperv("host,hv-passthrough", &hyperv_host, &set, &err);
    assert_int_equal(set, (HYPERV_BIT(HYPERV_FEATURES) - 1) & ~HYPERV_BIT(HYPERV_EVMCS));
    check_leaf(c, 0x40000000, 0x40000005, 0x756e694c, 0x564b2078, 0x7648204d);
    check_leaf(c, 0x40000003, 0x2aff, 0, 0, 0x80100);
    check_leaf(c, 0x40000004, 0x0e2c, 0xfff, 0, 0);
}

/* Only Intel's processors have a VMCS. TLFS 2.4.11. */
static void
test_hyperv_enlightened_vmcs(void **state)
{
    HypervHost intel = hyperv_host;
    g_autoptr(GError) err = NULL;
    uint32_t set;
    g_autofree Cpuid *c = NULL;

    (void)state;
    intel.advice |= 1u << 14;
    intel.nested = 0x101;
    assert_null(hyperv("host,hv-evmcs", &intel, &set, &err));
    assert_non_null(strstr(err->message, "'evmcs' needs 'vapic'"));
    g_clear_error(&err);
    c = hyperv("host,hv-vapic,hv-evmcs", &intel, &set, &err);
    if (!c)
        fail_msg("%s", err->message);
    assert_int_equal(cpuid_find(c, 0x40000000, CPUID_ANY_SUBLEAF)->eax, 0x4000000a);
    check_leaf(c, 0x40000004, 1u << 3 | 1u << 14, HYPERV_NEVER_NOTIFY, 0, 0);
    check_leaf(c, 0x4000000a, 0x101, 0, 0, 0);
}

static void
test_hint_dedicated(void **state)
{
    g_autofree Cpuid *h = host("GenuineIntel");
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) err = NULL;
    g_autoptr(CpuDefinition) with = define("host,kvm-hint-dedicated=on,enforce", h, missing, &err);
    g_autoptr(CpuDefinition) without = define("host", h, missing, &err);
    g_autoptr(CpuDefinition) hidden = define("host,kvm=off", h, missing, &err);

    (void)state;
    assert_int_equal(cpuid_find(&with->cpuid, 0x40000001, CPUID_ANY_SUBLEAF)->edx, 1);
    assert_int_equal(cpuid_find(&without->cpuid, 0x40000001, CPUID_ANY_SUBLEAF)->edx, 0);
    assert_null(cpuid_find(&hidden->cpuid, 0x40000000, CPUID_ANY_SUBLEAF));
}

static void
test_hyperv_refusals(void **state)
{
    static const struct {
        const char *text, *part;
        bool none; /* a KVM without any */
    } cases[] = {
        { "host,hv-vapic,hv-evmcs", "KVM has no hv-evmcs", false },
        { "host,hv-syndbg", "hv-syndbg: this Hyper-V enlightenment is not offered", false },
        { "host,hv-crash=on", "hv-crash: this", false },
        { "host,hv-spinlocks=100", "hv-spinlocks=100 is outside", false },
        { "host,hv-vendor-id=thirteen bytes", "at most 12 bytes", false },
        { "host,hv-synic", "'synic' needs 'vpindex'", false },
        { "host,hv-vpindex,hv-synic,hv-stimer", "'stimer' needs 'time'", false },
        { "host,hv-time,hv-stimer", "'stimer' needs 'synic'", false },
        { "host,hv-stimer-direct", "'stimer-direct' needs 'stimer'", false },
        { "host,hv-tlbflush", "'tlbflush' needs 'vpindex'", false },
        { "host,hv-ipi", "'ipi' needs 'vpindex'", false },
        { "host,hv-relaxed,hv-reset", "KVM has no hv-relaxed, hv-reset", true },
        { "host,hv-spinlocks=8191", "so no hv-spinlocks", true },
        { "host,hv-passthrough", "so no hv-passthrough", true },
    };
    HypervHost poor = hyperv_host;
    g_autoptr(GError) err = NULL;
    uint32_t set;

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) why = NULL;

        if (hyperv(cases[i].text, cases[i].none ? NULL : &hyperv_host, &set, &why))
            fail_msg("%s is not refused", cases[i].text);
        if (!strstr(why->message, cases[i].part))
            fail_msg("'%s' lacks '%s'", why->message, cases[i].part);
    }
    poor.privileges &= ~(1u << 7);
    assert_null(hyperv("host,hv-relaxed,hv-reset", &poor, &set, &err));
    assert_non_null(strstr(err->message, "this host's KVM has no hv-reset"));
}

static void
test_package_in_a_register(void **state)
{
    const Topology topology = { .sockets = 2, .dies = 2, .cores = 3, .threads = 2 };
    uint64_t value = 0;

    (void)state;
    assert_true(vcpu_msr_read(&topology, 0x35, &value));
    assert_int_equal(value, 0x6000c);
    assert_false(vcpu_msr_read(&topology, 0x36, &value));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_package_in_a_register),
        cmocka_unit_test(test_host_is_what_kvm_offers),
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_named_model),
        cmocka_unit_test(test_xsave_follows_features),
        cmocka_unit_test(test_xsave_of_the_supervisor_follows_features),
        cmocka_unit_test(test_place_intel),
        cmocka_unit_test(test_place_amd_and_dies),
        cmocka_unit_test(test_physical_bits),
        cmocka_unit_test(test_hyperv_windows),
        cmocka_unit_test(test_hyperv_each),
        cmocka_unit_test(test_hyperv_vendor_and_passthrough),
        cmocka_unit_test(test_hyperv_enlightened_vmcs),
        cmocka_unit_test(test_hint_dedicated),
        cmocka_unit_test(test_hyperv_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
