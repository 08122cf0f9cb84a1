/* test_block_handover.c - images that go over from one process to another while both have them
 * open.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "qcow2_fixture.h"
#include "block/driver.h"
#include "util/error.h"

static int
open_file(void *opaque, const char *filename, int flags, GError **err)
{
    int fd = open(filename, flags | O_CLOEXEC);

    (void)opaque;
    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open '%s'", filename);
    return fd;
}

static BlockNode *
open_image(Qcow2Fixture *f, const char *format, bool inactive)
{
    const BlockOpenOps ops = { .open_file = open_file, .inactive = inactive };
    g_autoptr(JsonObject) options = json_object_new();
    JsonObject *file = json_object_new();
    g_autofree char *path = qcow2_fixture_path(f, "image");
    g_autoptr(GError) err = NULL;
    BlockNode *node;

    json_object_set_string_member(file, "driver", "file");
    json_object_set_string_member(file, "filename", path);
    json_object_set_string_member(options, "driver", format);
    json_object_set_object_member(options, "file", file);
    node = block_node_open(options, &ops, &err);
    if (!node)
        fail_msg("%s", err->message);
    return node;
}

static void
put(BlockNode *node, uint64_t at, uint8_t value)
{
    uint8_t bytes[4096];

    memset(bytes, value, sizeof(bytes));
    assert_int_equal(block_node_pwrite(node, at, bytes, sizeof(bytes), 0), 0);
}

static void
check(BlockNode *node, uint64_t at, uint8_t value)
{
    uint8_t bytes[4096];

    assert_int_equal(block_node_pread(node, at, bytes, sizeof(bytes)), 0);
    assert_int_equal(bytes[0], value);
    assert_int_equal(bytes[4095], value);
}

static void
check_handover(Qcow2Fixture *f, const char *format)
{
    BlockNode *here = open_image(f, format, false), *there = open_image(f, format, true);
    g_autoptr(GError) err = NULL;

    assert_true(block_node_claim(here, true, false, &err));
    put(here, 0, 1);
    /* the locks are not asked for before it is its turn */
    assert_true(block_node_claim(there, true, false, &err));
    check(there, 1 << 20, 0);
    assert_false(block_node_activate(there, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_INVALID);
    assert_non_null(strstr(err->message, "in use by another process"));
    g_clear_error(&err);
    put(here, 1 << 20, 2);
    put(here, 3 << 20, 3);
    assert_true(block_node_deactivate(here, &err));
    assert_true(block_node_deactivate(here, &err));
    assert_true(block_node_activate(there, &err));
    check(there, 0, 1);
    check(there, 1 << 20, 2);
    check(there, 3 << 20, 3);
    put(there, 1 << 20, 4);
    put(there, 2 << 20, 5);
    /* and back again, as after a migration that failed late */
    assert_false(block_node_activate(here, NULL));
    assert_true(block_node_deactivate(there, &err));
    assert_true(block_node_activate(here, &err));
    check(here, 0, 1);
    check(here, 1 << 20, 4);
    check(here, 2 << 20, 5);
    put(here, 2 << 20, 6);
    block_node_release(there);
    block_node_unref(there); /* writes nothing any more */
    block_node_release(here);
    assert_int_equal(block_node_flush(here), 0);
    block_node_unref(here);
    here = open_image(f, format, false);
    check(here, 2 << 20, 6);
    check(here, 3 << 20, 3);
    block_node_unref(here);
}

static void
test_qcow2(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    qcow2_fixture_create(f, "image", "size=8M");
    check_handover(f, "qcow2");
    qcow2_fixture_assert_clean(f, "image");
}

static void
test_raw(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    qcow2_fixture_run(f, "truncate -s 8M image");
    check_handover(f, "raw");
}

static void
test_others_are_refused(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    g_autoptr(GError) err = NULL;
    BlockNode *node;

    (void)state;
    qcow2_fixture_run(f, "qemu-img create -q -f vdi image 8M");
    node = open_image(f, "vdi", false);
    assert_false(block_node_deactivate(node, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_UNSUPPORTED);
    assert_non_null(strstr(err->message, "of format vdi"));
    assert_true(block_node_activate(node, NULL));
    block_node_unref(node);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qcow2),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_others_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
