/* test_block_node.c - opening nodes, options, claims and locks.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "block/image.h"
#include <unistd.h>

#include "tests/unit/block/block_fixture.h"
#include "util/error.h"

/* In place of the C library's: counts what reaches it, or fails as told. */
static unsigned synced;
static int sync_error;

int
fdatasync(int fd)
{
    (void)fd;
    synced++;
    errno = sync_error;
    return sync_error ? -1 : 0;
}

static void
test_properties(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(10 * BLOCK_SECTOR + 100);
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node =
        block_fixture_open(f, ", \"cache\": {\"no-flush\": true}", "", &err);

    (void)state;
    assert_non_null(node);
    assert_string_equal(block_node_name(node), "disk");
    assert_string_equal(block_node_driver(node), "raw");
    assert_string_equal(block_node_filename(node), f->path);
    assert_int_equal(block_node_size(node), 11 * BLOCK_SECTOR);
    assert_false(block_node_read_only(node));
    assert_true(block_node_no_flush(node));
    assert_false(block_node_direct(node));
    assert_false(block_node_can_discard(node));
}

static void
refuse(BlockFixture *f, const char *protocol, const char *format, int code, const char *part)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = block_fixture_open(f, protocol, format, &err);

    assert_null(node);
    assert_int_equal(kiln_error_code(err), code);
    if (!strstr(err->message, part))
        fail_msg("'%s' does not say '%s'", err->message, part);
}

static void
test_refusals_name_the_option(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(4096);

    (void)state;
    refuse(f, ", \"cach\": 1", "", VIR_ERR_CONFIG_UNSUPPORTED, "no option 'cach'");
    refuse(f, ", \"locking\": \"maybe\"", "", VIR_ERR_CONFIG_UNSUPPORTED, "auto, on, off");
    refuse(f, "", ", \"read-only\": \"perhaps\"", VIR_ERR_CONFIG_UNSUPPORTED, "read-only");
    refuse(f, "", ", \"offset\": 4608", VIR_ERR_CONFIG_UNSUPPORTED, "offset 4608");
    refuse(f, "", ", \"offset\": 100, \"size\": 100", VIR_ERR_CONFIG_UNSUPPORTED,
           "multiple of 512");
    refuse(f, "", ", \"offset\": 512, \"size\": 4096", VIR_ERR_CONFIG_UNSUPPORTED, "size 4096");
    refuse(f, "", ", \"detect-zeroes\": \"unmap\"", VIR_ERR_CONFIG_UNSUPPORTED, "discard");
    refuse(f, "", ", \"discard\": [1]", VIR_ERR_CONFIG_UNSUPPORTED, "'discard.0'");
    g_unlink(f->path);
    refuse(f, "", "", VIR_ERR_SYSTEM_ERROR, f->path);
    assert_int_equal(g_mkdir(f->path, 0700), 0);
    refuse(f, ", \"read-only\": true", ", \"read-only\": true", VIR_ERR_CONFIG_UNSUPPORTED,
           "neither a regular file nor");
    g_rmdir(f->path);
}

static void
test_a_window_is_within_the_file(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(8192);
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node =
        block_fixture_open(f, "", ", \"offset\": 1024, \"size\": \"2048\"", &err);

    (void)state;
    assert_non_null(node);
    assert_int_equal(block_node_size(node), 2048);
}

/* Its last sector is only partly there: the rest is zero, and stays so. */
static void
test_a_window_begins_anywhere(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(8192);
    g_autoptr(BlockNode) node = block_fixture_open(f, "", ", \"offset\": 100", NULL);
    uint8_t data[512], zeroes[512] = { 0 };
    BlockStatus status;

    (void)state;
    assert_non_null(node);
    assert_int_equal(block_node_size(node), 8192);
    memset(data, 7, sizeof(data));
    assert_int_equal(block_node_pwrite(node, 1000, data, 512, 0), 0);
    assert_int_equal(block_node_pwrite(node, 7680, data, 412, 0), 0);
    assert_int_equal(block_node_pwrite(node, 7680, data, 512, 0), -ENOSPC);
    memset(data, 0, sizeof(data));
    assert_int_equal(block_node_pread(node, 1000, data, 512), 0);
    assert_int_equal(data[0], 7);
    assert_int_equal(data[511], 7);
    assert_int_equal(block_node_pread(node, 7680, data, 512), 0);
    assert_int_equal(data[411], 7);
    assert_memory_equal(data + 412, zeroes, 100);
    assert_int_equal(block_node_write_zeroes(node, 7680, 512, 0), 0);
    assert_int_equal(block_node_pread(node, 7680, data, 512), 0);
    assert_memory_equal(data, zeroes, 512);
    for (uint64_t at = 0; at < 8192; at += status.length) {
        assert_int_equal(block_node_status(node, at, 8192 - at, &status), 0);
        assert_int_equal(status.length % BLOCK_SECTOR, 0);
    }
}

static void
test_a_writable_image_has_one_user(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(4096);
    g_autoptr(BlockNode) one = block_fixture_open(f, "", "", NULL);
    g_autoptr(BlockNode) two = block_fixture_open(f, "", "", NULL);
    g_autoptr(GError) err = NULL;

    (void)state;
    assert_true(block_node_claim(one, true, false, NULL));
    assert_false(block_node_claim(two, true, false, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_INVALID);
    assert_non_null(strstr(err->message, f->path));
    g_clear_error(&err);
    assert_false(block_node_claim(two, false, false, &err));
    g_clear_error(&err);
    /* the same node twice, without <shareable/> */
    assert_false(block_node_claim(one, true, false, &err));
    block_node_release(one);
    assert_true(block_node_claim(two, true, false, NULL));
    block_node_release(two);
}

static void
test_readers_and_sharers_get_along(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(4096);
    g_autoptr(BlockNode) one = block_fixture_open(f, "", "", NULL);
    g_autoptr(BlockNode) two = block_fixture_open(f, "", "", NULL);

    (void)state;
    assert_true(block_node_claim(one, false, false, NULL));
    assert_true(block_node_claim(two, false, false, NULL));
    assert_false(block_node_claim(two, true, false, NULL));
    block_node_release(one);
    block_node_release(two);
    assert_true(block_node_claim(one, true, true, NULL));
    assert_true(block_node_claim(two, true, true, NULL));
    block_node_release(one);
    block_node_release(two);
}

static void
test_locking_off_asks_nobody(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(4096);
    g_autoptr(BlockNode) one = block_fixture_open(f, "", "", NULL);
    g_autoptr(BlockNode) two = block_fixture_open(f, ", \"locking\": \"off\"", "", NULL);

    (void)state;
    assert_true(block_node_claim(one, true, false, NULL));
    assert_true(block_node_claim(two, true, false, NULL));
}

static void
flush_counts(BlockFixture *f, const char *protocol, const char *format, unsigned expect)
{
    g_autoptr(BlockNode) node = block_fixture_open(f, protocol, format, NULL);

    assert_non_null(node);
    synced = 0;
    assert_int_equal(block_node_flush(node), 0);
    assert_int_equal(synced, expect);
}

static void
test_a_flush_syncs_what_can_have_been_written(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(4096);
    g_autoptr(BlockNode) node = block_fixture_open(f, "", "", NULL);

    (void)state;
    flush_counts(f, "", "", 1);
    flush_counts(f, ", \"cache\": {\"no-flush\": true}", "", 0);
    flush_counts(f, "", ", \"cache\": {\"no-flush\": true}", 0);
    flush_counts(f, ", \"read-only\": true", ", \"read-only\": true", 0);
    sync_error = EIO;
    assert_int_equal(block_node_flush(node), -EIO);
    sync_error = 0;
}

/* The oracle is qemu-img, which takes the same locks for its own writes and reads. */
static void
test_qemu_img_respects_the_lock(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(1 << 20);
    g_autoptr(BlockNode) node = block_fixture_open(f, "", "", NULL);
    const char *argv[] = { "qemu-img", "resize", "-f", "raw", f->path, "2M", NULL };
    g_autofree char *out = NULL;
    g_autofree char *errors = NULL;
    int status;

    (void)state;
    assert_true(block_node_claim(node, true, false, NULL));
    assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out,
                             &errors, &status, NULL));
    assert_int_not_equal(status, 0);
    assert_non_null(strstr(errors, "lock"));
    block_node_release(node);
    g_clear_pointer(&out, g_free);
    g_clear_pointer(&errors, g_free);
    assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out,
                             &errors, &status, NULL));
    assert_int_equal(status, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_refusals_name_the_option),
        cmocka_unit_test(test_a_window_is_within_the_file),
        cmocka_unit_test(test_a_window_begins_anywhere),
        cmocka_unit_test(test_a_writable_image_has_one_user),
        cmocka_unit_test(test_readers_and_sharers_get_along),
        cmocka_unit_test(test_locking_off_asks_nobody),
        cmocka_unit_test(test_a_flush_syncs_what_can_have_been_written),
        cmocka_unit_test(test_qemu_img_respects_the_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
