/* test_driver_cgroup.c - what is written to control groups: to files that stand for the kernel's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <glib/gstdio.h>
#include <string.h>

#include "driver/domain/cgroup_private.h"
#include "util/error.h"
#include "xml/xmltab.h"

static const char *const files[] = {
    "memory.max",
    "memory.high",
    "memory.swap.max",
    "memory.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "io.max",
    "io.weight",
    "blkio.weight",
    "blkio.throttle.read_bps_device",
};

typedef struct {
    char *dir;
    Cgroup group;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->dir = g_dir_make_tmp("kiln-cgroup-XXXXXX", NULL);
    f->group.dir[CGROUP_MEMORY] = f->group.dir[CGROUP_BLKIO] = f->dir;
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(f->dir, files[i], NULL);

        g_file_set_contents(path, "", -1, NULL);
    }
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(f->dir, files[i], NULL);

        g_unlink(path);
    }
    g_rmdir(f->dir);
    g_free(f->dir);
    g_free(f);
    return 0;
}

/* What was written to @file, which is empty then. */
static void
check(const Fixture *f, const char *file, const char *text)
{
    g_autofree char *path = g_build_filename(f->dir, file, NULL);
    g_autofree char *found = NULL;

    assert_true(g_file_get_contents(path, &found, NULL, NULL));
    assert_string_equal(found, text);
    g_file_set_contents(path, "", -1, NULL);
}

static const CgroupMemory none = { XML_UNSET, XML_UNSET, XML_UNSET };

static void
test_memory_v2(void **state)
{
    Fixture *f = *state;
    const CgroupMemory limits = { 1024, 512, 3072 };
    const CgroupMemory more = { 2048, 512, 3072 };

    f->group.v2 = true;
    assert_true(cgroup_set_memory(&f->group, &none, &limits, NULL));
    check(f, "memory.max", "1048576");
    check(f, "memory.high", "524288");
    check(f, "memory.swap.max", "2097152"); /* what is left of the sum */
    assert_true(cgroup_set_memory(&f->group, &limits, &more, NULL));
    check(f, "memory.max", "2097152");
    check(f, "memory.high", "");
    check(f, "memory.swap.max", "1048576");
    assert_true(cgroup_set_memory(&f->group, &more, &none, NULL));
    check(f, "memory.max", "max");
    check(f, "memory.swap.max", "max");
}

static void
test_memory_v1(void **state)
{
    Fixture *f = *state;
    const CgroupMemory limits = { 1024, XML_UNSET, 3072 };

    assert_true(cgroup_set_memory(&f->group, &none, &limits, NULL));
    check(f, "memory.limit_in_bytes", "1048576");
    check(f, "memory.memsw.limit_in_bytes", "3145728");
    check(f, "memory.soft_limit_in_bytes", "");
    assert_true(cgroup_set_memory(&f->group, &limits, &none, NULL));
    check(f, "memory.limit_in_bytes", "-1");
    check(f, "memory.memsw.limit_in_bytes", "-1");
}

static void
test_weight(void **state)
{
    Fixture *f = *state;
    uint64_t weight = 0;
    g_autoptr(GError) err = NULL;
    g_autofree char *path = g_build_filename(f->dir, "blkio.weight", NULL);

    f->group.v2 = true;
    assert_true(cgroup_set_io_weight(&f->group, 300, NULL));
    assert_true(cgroup_get_io_weight(&f->group, &weight, NULL));
    assert_int_equal(weight, 300);
    check(f, "io.weight", "default 300");
    f->group.v2 = false;
    assert_true(cgroup_set_io_weight(&f->group, 400, NULL));
    assert_true(cgroup_get_io_weight(&f->group, &weight, NULL));
    assert_int_equal(weight, 400);
    check(f, "blkio.weight", "400");
    assert_false(cgroup_get_io_weight(&f->group, &weight, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_INTERNAL_ERROR));
    g_clear_error(&err);
    g_unlink(path);
    assert_false(cgroup_set_io_weight(&f->group, 400, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_CONFIG_UNSUPPORTED));
    assert_non_null(strstr(err->message, "bfq"));
}

static void
refuse(Fixture *f, const char *path, CgroupIoLimit limit, int code)
{
    g_autoptr(GError) err = NULL;

    assert_false(cgroup_set_io_limit(&f->group, path, limit, 1, &err));
    assert_true(g_error_matches(err, KILN_ERROR, code));
}

static void
test_what_is_missing(void **state)
{
    Fixture *f = *state;
    const CgroupMemory limits = { 1024, 512, 3072 };
    g_autoptr(GError) err = NULL;

    refuse(f, "/nowhere", CGROUP_IO_READ_BYTES, VIR_ERR_SYSTEM_ERROR);
    refuse(f, "/dev/null", CGROUP_IO_READ_BYTES, VIR_ERR_SYSTEM_ERROR);
    f->group.dir[CGROUP_MEMORY] = f->group.dir[CGROUP_BLKIO] = NULL;
    refuse(f, "/dev/null", CGROUP_IO_WEIGHT, VIR_ERR_CONFIG_UNSUPPORTED);
    assert_false(cgroup_set_memory(&f->group, &none, &limits, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_CONFIG_UNSUPPORTED));
    g_clear_error(&err);
    assert_false(cgroup_set_memory(NULL, &none, &limits, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_CONFIG_UNSUPPORTED));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_memory_v2),
        TEST(test_memory_v1),
        TEST(test_weight),
        TEST(test_what_is_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
