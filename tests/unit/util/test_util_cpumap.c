/* test_util_cpumap.c - the CPU model map. SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <glib/gstdio.h>

#include "util/cpumap.h"
#include "util/error.h"

static int
map_setup(void **state)
{
    g_autoptr(GError) err = NULL;

    *state = cpumap_load(CPUMAP_DEFAULT_DIR, &err);
    if (!*state)
        print_error("%s\n", err->message);
    return *state ? 0 : -1;
}

static int
map_teardown(void **state)
{
    cpumap_free(*state);
    return 0;
}

static void
test_features_and_aliases(void **state)
{
    const CpuMapFeature *sse41 = cpumap_find_feature(*state, "sse4.1");
    const CpuMapFeature *rdctl = cpumap_find_feature(*state, "rdctl-no");

    assert_non_null(sse41);
    assert_ptr_equal(cpumap_find_feature(*state, "sse4-1"), sse41);
    assert_int_equal(sse41->bit.leaf, 1);
    assert_int_equal(sse41->bit.reg, CPUMAP_ECX);
    assert_int_equal(sse41->bit.mask, 1 << 19);
    assert_true(rdctl->bit.is_msr);
    assert_int_equal(rdctl->bit.leaf, 0x10a);
    assert_int_equal(rdctl->bit.mask, 1);
    assert_false(cpumap_find_feature(*state, "invtsc")->migratable);
    assert_null(cpumap_find_feature(*state, "no-such-feature"));
}

static void
test_models(void **state)
{
    const CpuMapModel *m = cpumap_find_model(*state, "Westmere");
    unsigned n = 0;

    assert_non_null(m);
    assert_string_equal(m->vendor, "Intel");
    assert_true(m->host_usable);
    assert_int_equal(m->signatures[0], 6 << 16 | 44 << 8);
    while (m->features[n])
        n++;
    assert_in_range(n, 30, 60);
    assert_string_equal(cpumap_vendor_string(*state, "AMD"), "AuthenticAMD");
    assert_string_equal(cpumap_vendor_name(*state, "GenuineIntel"), "Intel");
    assert_null(cpumap_find_model(*state, "Pentium 9"));
}

/* A CPU that has exactly a model's features is that model; with one more and one fewer, both show.
 */
static void
test_nearest_model(void **state)
{
    const CpuMapModel *want = cpumap_find_model(*state, "Nehalem");
    const CpuMapFeature *aes = cpumap_find_feature(*state, "aes");
    const CpuMapFeature *popcnt = cpumap_find_feature(*state, "popcnt");
    CpuMapLeaf leaves[] = {
        { .leaf = 0, .reg = { 0xd, 0x756e6547, 0x6c65746e, 0x49656e69 } },
        { .leaf = 1, .reg = { 0x106a5 } },
        { .leaf = 0x80000001 },
    };
    g_autofree const CpuMapFeature **extra = NULL;
    g_autofree const CpuMapFeature **missing = NULL;

    for (const CpuMapFeature *const *f = want->features; *f; f++)
        for (unsigned i = 0; i < G_N_ELEMENTS(leaves); i++)
            if (leaves[i].leaf == (*f)->bit.leaf)
                leaves[i].reg[(*f)->bit.reg] |= (*f)->bit.mask;
    assert_false(cpumap_leaves_have(leaves, 3, aes));
    leaves[1].reg[CPUMAP_ECX] |= aes->bit.mask;
    leaves[1].reg[CPUMAP_ECX] &= ~popcnt->bit.mask;
    assert_ptr_equal(cpumap_nearest_model(*state, leaves, 3, &extra, &missing), want);
    assert_ptr_equal(extra[0], aes);
    assert_null(extra[1]);
    assert_ptr_equal(missing[0], popcnt);
    assert_null(missing[1]);
}

static void
test_missing_and_broken_maps_are_named(void **state)
{
    g_autofree char *dir = g_dir_make_tmp("kiln-cpumap-XXXXXX", NULL);
    g_autofree char *index = g_build_filename(dir, "index.xml", NULL);
    g_autofree char *part = g_build_filename(dir, "m.xml", NULL);
    g_autoptr(GError) absent = NULL;
    g_autoptr(GError) broken = NULL;
    g_autoptr(GError) undefined = NULL;

    (void)state;
    assert_null(cpumap_load(dir, &absent));
    assert_non_null(strstr(absent->message, "index.xml"));
    assert_true(g_file_set_contents(
        index, "<cpus><arch name='x86'><include filename='m.xml'/></arch></cpus>", -1, NULL));
    assert_true(g_file_set_contents(part, "<cpus><model name='x'></cpus>", -1, NULL));
    assert_null(cpumap_load(dir, &broken));
    assert_non_null(strstr(broken->message, "m.xml"));
    assert_true(g_file_set_contents(
        part, "<cpus><model name='x'><feature name='q'/></model></cpus>", -1, NULL));
    assert_null(cpumap_load(dir, &undefined));
    assert_int_equal(kiln_error_code(undefined), VIR_ERR_CONFIG_UNSUPPORTED);
    assert_non_null(strstr(undefined->message, "'q'"));
    g_unlink(index);
    g_unlink(part);
    g_rmdir(dir);
}

/* Only the files that are needed are read, and the model is the same. */
static void
test_one_model(void **state)
{
    const CpuMapModel *all = cpumap_find_model(*state, "Westmere"), *one;
    g_autoptr(GError) err = NULL;
    g_autoptr(CpuMap) map = cpumap_load_model(CPUMAP_DEFAULT_DIR, "Westmere", &err);
    g_autoptr(CpuMap) none = cpumap_load_model(CPUMAP_DEFAULT_DIR, NULL, &err);
    g_autoptr(CpuMap) unknown = cpumap_load_model(CPUMAP_DEFAULT_DIR, "Pentium 9", &err);

    assert_non_null(map);
    one = cpumap_find_model(map, "Westmere");
    assert_null(cpumap_models(map)[1]);
    assert_string_equal(one->vendor, all->vendor);
    for (unsigned i = 0; all->features[i]; i++)
        assert_string_equal(one->features[i]->name, all->features[i]->name);
    assert_string_equal(cpumap_vendor_string(map, "AMD"), "AuthenticAMD");
    assert_null(cpumap_models(none)[0]);
    assert_non_null(cpumap_find_feature(none, "sse4.1"));
    /* a name without a file of its own may be in any */
    assert_null(cpumap_find_model(unknown, "Pentium 9"));
    assert_non_null(cpumap_find_model(unknown, "Westmere"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features_and_aliases),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_nearest_model),
        cmocka_unit_test(test_missing_and_broken_maps_are_named),
        cmocka_unit_test(test_one_model),
    };
    return cmocka_run_group_tests(tests, map_setup, map_teardown);
}
