/* test_block_mapped.c - the fast path of vdi, vpc and vhdx: what is there is read and written in
 * the file itself, what is not there is zeroes, and new blocks are for threads that may wait.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/driver.h"

enum { SIZE = 40 << 20, THERE = 3 << 20, HOLE = 20 << 20, LENGTH = 64 << 10 };

typedef struct {
    BlockQueue *queue;
    struct iovec iov;
    uint64_t offset;
    bool write;
    int result;
} Job;

static BlockNode *
make(const char *path, const char *format, const char *subformat)
{
    g_autoptr(GHashTable) options = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree char *size = g_strdup_printf("%d", SIZE);
    BlockImageOptions image = { 0 };
    g_autoptr(GError) err = NULL;
    BlockNode *node;

    g_hash_table_insert(options, (char *)"size", size);
    if (subformat)
        g_hash_table_insert(options, (char *)"subformat", (char *)subformat);
    if (!block_image_create(path, format, options, &image, &err) ||
        !(node = block_image_open(path, format, &image, &err)))
        fail_msg("%s: %s", format, err->message);
    return node;
}

static BlockExtentKind
kind_of(BlockNode *node, uint64_t offset, BlockMapFor what)
{
    BlockExtent extent;

    assert_int_equal(block_node_map(node, offset, 512, what, &extent), 0);
    assert_true(extent.length >= 512);
    block_extent_release(&extent);
    return extent.kind;
}

static void
job_done(void *opaque, int ret)
{
    ((Job *)opaque)->result = ret;
}

static void
job_run(void *opaque)
{
    Job *job = opaque;

    job->result = 1;
    if (job->write)
        block_queue_writev(job->queue, job->offset, &job->iov, 1, 0, job_done, job);
    else
        block_queue_readv(job->queue, job->offset, &job->iov, 1, job_done, job);
    block_queue_submit(job->queue);
    block_queue_drain(job->queue);
}

/* Over the border between a block that is there and one that is not. */
static void
check_queue(BlockNode *node, uint8_t *buf)
{
    g_autoptr(IoLoop) loop = io_loop_new("test", NULL);
    Job job = { .queue = block_queue_new(node, loop, 4, NULL), .write = true };
    g_autofree uint8_t *back = g_malloc(8 << 20);

    assert_non_null(job.queue);
    job.offset = THERE;
    memset(buf, 0x77, 8 << 20);
    job.iov = (struct iovec){ .iov_base = buf, .iov_len = 8 << 20 };
    io_loop_run_sync(loop, job_run, &job);
    assert_int_equal(job.result, 0);
    job.write = false;
    job.iov.iov_base = back;
    io_loop_run_sync(loop, job_run, &job);
    assert_int_equal(job.result, 0);
    assert_memory_equal(back, buf, 8 << 20);
    job.offset = HOLE;
    io_loop_run_sync(loop, job_run, &job);
    assert_int_equal(job.result, 0);
    memset(buf, 0, 8 << 20);
    assert_memory_equal(back, buf, 8 << 20);
    block_queue_free(job.queue);
}

static void
check_format(const char *format, const char *subformat)
{
    g_autofree char *dir = g_dir_make_tmp("kiln-mapped-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "image", NULL);
    g_autoptr(BlockNode) node = make(path, format, subformat);
    g_autofree uint8_t *buf = g_malloc(8 << 20), *back = g_malloc(LENGTH);
    BlockExtentKind hole = subformat ? BLOCK_EXTENT_DATA : BLOCK_EXTENT_ZERO;
    BlockExtent extent;

    assert_int_equal(kind_of(node, THERE, BLOCK_MAP_READ), hole);
    memset(buf, 0x5c, LENGTH);
    assert_int_equal(block_node_pwrite(node, THERE, buf, LENGTH, 0), 0);
    assert_int_equal(block_node_map(node, THERE, LENGTH, BLOCK_MAP_READ, &extent), 0);
    assert_int_equal(extent.kind, BLOCK_EXTENT_DATA);
    assert_int_equal(extent.length, LENGTH);
    assert_int_equal(pread(extent.fd, back, LENGTH, (off_t)extent.offset), LENGTH);
    assert_memory_equal(back, buf, LENGTH);
    block_extent_release(&extent);
    assert_int_equal(kind_of(node, THERE, BLOCK_MAP_WRITE), BLOCK_EXTENT_DATA);
    assert_int_equal(kind_of(node, HOLE, BLOCK_MAP_READ), hole);
    if (!subformat)
        assert_int_equal(kind_of(node, HOLE, BLOCK_MAP_WRITE), BLOCK_EXTENT_SLOW);
    assert_int_equal(kind_of(node, THERE, BLOCK_MAP_ZERO), BLOCK_EXTENT_SLOW);
    check_queue(node, buf);
    g_clear_pointer(&node, block_node_unref);
    unlink(path);
    rmdir(dir);
}

static void
test_vdi(void **state)
{
    (void)state;
    check_format("vdi", NULL);
}

static void
test_vpc(void **state)
{
    (void)state;
    check_format("vpc", NULL);
    check_format("vpc", "fixed");
}

static void
test_vhdx(void **state)
{
    (void)state;
    check_format("vhdx", NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vdi),
        cmocka_unit_test(test_vpc),
        cmocka_unit_test(test_vhdx),
    };

    return cmocka_run_group_tests_name("block_mapped", tests, NULL, NULL);
}
