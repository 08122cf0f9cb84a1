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
    put(c, 0xd, 0, true, 0x602e7, 0, 0, 0);
    put(c, 0xd, 1, true, ~0u, 0, 0, 0);
    put(c, 0xd, 9, true, 8, 0xa80, 0, 0);
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
    assert_null(define("host,hv-time", h, missing, &err));
    assert_non_null(strstr(err->message, "Hyper-V"));
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_is_what_kvm_offers),
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_named_model),
        cmocka_unit_test(test_xsave_follows_features),
        cmocka_unit_test(test_place_intel),
        cmocka_unit_test(test_place_amd_and_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
