/* test_flush.c - as long as metadata of a qcow2 image are on their way, no other flush and no write
 * with FUA may take the image for clean: it would not wait for them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/driver.h"
#include "tests/crash/hooks.h"

static BlockNode *flushed;
static unsigned syncs, too_early;

static int
look_begin(HookCall *call)
{
    (void)call;
    return 0;
}

static void
look_end(const HookCall *call, int64_t result)
{
    (void)result;
    syncs += call->kind == HOOK_SYNC;
    too_early += block_node_is_clean(flushed);
}

static const Hooks look = { .begin = look_begin, .end = look_end };

static void
test_not_clean_before_the_end(void **state)
{
    g_autofree char *dir = g_dir_make_tmp("kiln-crash-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "image", NULL);
    g_autoptr(GHashTable) options = g_hash_table_new(g_str_hash, g_str_equal);
    BlockImageOptions image = { 0 };
    g_autoptr(BlockNode) node = NULL;
    uint8_t buf[512];

    (void)state;
    g_hash_table_insert(options, (char *)"size", (char *)"1048576");
    assert_true(block_image_create(path, "qcow2", options, &image, NULL));
    node = block_image_open(path, "qcow2", &image, NULL);
    assert_non_null(node);
    assert_true(block_node_is_clean(node));
    memset(buf, 1, sizeof(buf));
    assert_int_equal(block_node_pwrite(node, 0, buf, sizeof(buf), 0), 0);
    assert_false(block_node_is_clean(node));
    flushed = node;
    hooks_set(&look);
    assert_int_equal(block_node_flush(node), 0);
    hooks_set(NULL);
    assert_true(syncs >= 2);
    assert_int_equal(too_early, 0);
    assert_true(block_node_is_clean(node));
    g_clear_pointer(&node, block_node_unref);
    unlink(path);
    rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_clean_before_the_end),
    };

    return cmocka_run_group_tests_name("crash_flush", tests, NULL, NULL);
}
