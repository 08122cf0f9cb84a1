/* test_block_queue.c - requests on a queue, by both engines.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/driver.h"
#include "tests/unit/block/block_fixture.h"

enum { IMAGE = 4 << 20, REQUESTS = 2000, SPAN = 16 };

typedef struct {
    BlockFixture *image;
    BlockNode *node;
    IoLoop *loop;
    BlockQueue *queue;
} Rig;

typedef struct {
    Rig *rig;
    enum { DO_READ, DO_WRITE, DO_ZERO, DO_DISCARD, DO_FLUSH } op;
    uint64_t offset, length;
    struct iovec *iov;
    int n_iov;
    BlockFlags flags;
    int result;
    bool done;
} Job;

static const char *const engines[] = { "", ", \"aio\": \"threads\"" };

static Rig *
rig_new(unsigned engine, const char *protocol, const char *format, uint64_t size)
{
    Rig *rig = g_new0(Rig, 1);
    g_autofree char *options = g_strconcat(protocol, engines[engine], NULL);
    g_autoptr(GError) err = NULL;

    rig->image = block_fixture_new(size);
    rig->node = block_fixture_open(rig->image, options, format, &err);
    if (!rig->node)
        fail_msg("%s", err->message);
    rig->loop = io_loop_new("test", &err);
    assert_non_null(rig->loop);
    rig->queue = block_queue_new(rig->node, rig->loop, 8, &err);
    if (!rig->queue)
        fail_msg("%s", err->message);
    return rig;
}

static void
rig_free(Rig *rig)
{
    block_queue_free(rig->queue);
    io_loop_free(rig->loop);
    block_node_unref(rig->node);
    block_fixture_free(rig->image);
    g_free(rig);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rig, rig_free)

static void
job_done(void *opaque, int ret)
{
    Job *job = opaque;

    job->result = ret;
    job->done = true;
}

static void
job_start(Job *job)
{
    BlockQueue *q = job->rig->queue;

    switch (job->op) {
    case DO_READ:
        block_queue_readv(q, job->offset, job->iov, job->n_iov, job_done, job);
        break;
    case DO_WRITE:
        block_queue_writev(q, job->offset, job->iov, job->n_iov, job->flags, job_done, job);
        break;
    case DO_ZERO:
        block_queue_write_zeroes(q, job->offset, job->length, job->flags, job_done, job);
        break;
    case DO_DISCARD:
        block_queue_discard(q, job->offset, job->length, job_done, job);
        break;
    case DO_FLUSH:
        block_queue_flush(q, job_done, job);
        break;
    }
    if (job->done)
        abort(); /* the contract: never before returning */
}

static void
job_run_in_loop(void *opaque)
{
    job_start(opaque);
    block_queue_drain(((Job *)opaque)->rig->queue);
}

static int
job_run(Job job)
{
    io_loop_run_sync(job.rig->loop, job_run_in_loop, &job);
    assert_true(job.done);
    return job.result;
}

static int
run_rw(Rig *rig, bool write, uint64_t offset, void *buf, size_t len, BlockFlags flags)
{
    struct iovec iov = { .iov_base = buf, .iov_len = len };

    return job_run((Job){ .rig = rig,
                          .op = write ? DO_WRITE : DO_READ,
                          .offset = offset,
                          .iov = &iov,
                          .n_iov = 1,
                          .flags = flags });
}

static void
test_read_write_and_bounds(void **state)
{
    (void)state;
    for (unsigned engine = 0; engine < 2; engine++) {
        g_autoptr(Rig) rig = rig_new(engine, "", "", IMAGE);
        uint8_t buf[2 * BLOCK_SECTOR], back[2 * BLOCK_SECTOR];
        uint64_t number;

        assert_int_equal(run_rw(rig, false, 7 * BLOCK_SECTOR, buf, BLOCK_SECTOR, 0), 0);
        memcpy(&number, buf, sizeof(number));
        assert_int_equal(number, 7);
        memset(buf, 0x3c, sizeof(buf));
        assert_int_equal(run_rw(rig, true, 9 * BLOCK_SECTOR, buf, sizeof(buf), BLOCK_FUA), 0);
        assert_int_equal(run_rw(rig, false, 9 * BLOCK_SECTOR, back, sizeof(back), 0), 0);
        assert_memory_equal(buf, back, sizeof(buf));
        assert_int_equal(run_rw(rig, false, IMAGE, buf, BLOCK_SECTOR, 0), -EIO);
        assert_int_equal(run_rw(rig, true, IMAGE - BLOCK_SECTOR, buf, sizeof(buf), 0), -EIO);
        assert_int_equal(run_rw(rig, false, UINT64_MAX - 511, buf, BLOCK_SECTOR, 0), -EIO);
        assert_int_equal(run_rw(rig, false, 3, buf, BLOCK_SECTOR, 0), -EINVAL);
        assert_int_equal(run_rw(rig, false, 0, buf, 100, 0), -EINVAL);
        assert_int_equal(job_run((Job){ .rig = rig, .op = DO_FLUSH }), 0);
    }
}

static bool
range_is_zero(Rig *rig, uint64_t offset, uint64_t length)
{
    g_autofree uint8_t *buf = g_malloc(length);

    assert_int_equal(run_rw(rig, false, offset, buf, length, 0), 0);
    for (uint64_t i = 0; i < length; i++)
        if (buf[i])
            return false;
    return true;
}

static uint64_t
allocated_bytes(Rig *rig)
{
    struct stat st;

    assert_int_equal(stat(rig->image->path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void
test_zeroes_and_discard(void **state)
{
    (void)state;
    for (unsigned engine = 0; engine < 2; engine++) {
        g_autoptr(Rig) rig =
            rig_new(engine, ", \"discard\": \"unmap\"", ", \"discard\": \"unmap\"", IMAGE);
        uint64_t before;

        assert_int_equal(
            job_run((Job){
                .rig = rig, .op = DO_ZERO, .offset = 512, .length = 1 << 20, .flags = BLOCK_FUA }),
            0);
        assert_true(range_is_zero(rig, 512, 1 << 20));
        assert_false(range_is_zero(rig, 512 + (1 << 20), 512));
        before = allocated_bytes(rig);
        assert_int_equal(
            job_run((Job){ .rig = rig, .op = DO_DISCARD, .offset = 2 << 20, .length = 1 << 20 }),
            0);
        assert_true(range_is_zero(rig, 2 << 20, 1 << 20));
        assert_true(allocated_bytes(rig) < before);
        assert_int_equal(
            job_run((Job){ .rig = rig, .op = DO_DISCARD, .offset = IMAGE - 512, .length = 1024 }),
            -EIO);
    }
}

static void
test_detect_zeroes_frees_space(void **state)
{
    g_autoptr(Rig) rig = rig_new(0, ", \"discard\": \"unmap\"",
                                 ", \"discard\": \"unmap\", \"detect-zeroes\": \"unmap\"", IMAGE);
    g_autofree uint8_t *zeroes = g_malloc0(1 << 20);
    uint64_t before = allocated_bytes(rig);

    (void)state;
    assert_int_equal(run_rw(rig, true, 1 << 20, zeroes, 1 << 20, 0), 0);
    assert_true(range_is_zero(rig, 1 << 20, 1 << 20));
    assert_true(allocated_bytes(rig) <= before - (1 << 20));
    zeroes[77] = 1;
    assert_int_equal(run_rw(rig, true, 2 << 20, zeroes, 1 << 20, 0), 0);
    assert_false(range_is_zero(rig, 2 << 20, 512));
}

static void
test_read_only_refuses_writes(void **state)
{
    g_autoptr(Rig) rig = rig_new(0, ", \"read-only\": true", ", \"read-only\": true", 8192);
    uint8_t buf[BLOCK_SECTOR] = { 0 };

    (void)state;
    assert_int_equal(run_rw(rig, true, 0, buf, sizeof(buf), 0), -EROFS);
    assert_int_equal(job_run((Job){ .rig = rig, .op = DO_ZERO, .length = 512 }), -EROFS);
    assert_int_equal(run_rw(rig, false, 0, buf, sizeof(buf), 0), 0);
    assert_int_equal(job_run((Job){ .rig = rig, .op = DO_FLUSH }), 0);
}

static void
test_tail_of_an_odd_file_reads_as_zeroes(void **state)
{
    (void)state;
    for (unsigned engine = 0; engine < 2; engine++) {
        g_autoptr(Rig) rig = rig_new(engine, "", "", 3 * BLOCK_SECTOR + 100);
        uint8_t buf[2 * BLOCK_SECTOR];

        memset(buf, 0xee, sizeof(buf));
        assert_int_equal(run_rw(rig, false, 2 * BLOCK_SECTOR, buf, sizeof(buf), 0), 0);
        assert_int_equal(buf[BLOCK_SECTOR + 99], 0xa5);
        assert_int_equal(buf[BLOCK_SECTOR + 100], 0);
        assert_int_equal(buf[2 * BLOCK_SECTOR - 1], 0);
    }
}

/* Many overlapping requests in flight against a copy in memory. Requests that overlap in time may
 * finish in any order, so each round uses disjoint ranges and is drained before the next. */
typedef struct {
    Rig *rig;
    Job jobs[REQUESTS / 100];
} Round;

static void
round_run(void *opaque)
{
    Round *round = opaque;

    for (unsigned i = 0; i < G_N_ELEMENTS(round->jobs); i++)
        job_start(&round->jobs[i]);
    block_queue_drain(round->rig->queue);
}

static void
random_rounds(Rig *rig)
{
    g_autofree uint8_t *model = g_malloc(IMAGE);
    g_autofree uint8_t *scratch = g_malloc(IMAGE);
    g_autofree Round *round = g_new0(Round, 1);
    const unsigned n = G_N_ELEMENTS(round->jobs);
    uint64_t share = IMAGE / n / BLOCK_SECTOR;
    struct iovec iov[REQUESTS / 100][SPAN];
    g_autoptr(GRand) rand = g_rand_new_with_seed(20260101);

    round->rig = rig;
    assert_int_equal(run_rw(rig, false, 0, model, IMAGE, 0), 0);
    for (unsigned r = 0; r < 100; r++) {
        for (unsigned i = 0; i < n; i++) {
            uint64_t first = g_rand_int_range(rand, 0, share);
            uint64_t sectors = g_rand_int_range(rand, 1, MIN(share - first, 200) + 1);
            uint64_t at = (i * share + first) * BLOCK_SECTOR, length = sectors * BLOCK_SECTOR;
            unsigned kind = g_rand_int_range(rand, 0, 4);
            unsigned parts = 0;
            uint8_t *buf = scratch + at;
            Job *job = &round->jobs[i];

            *job = (Job){ .rig = rig,
                          .op = kind == 0   ? DO_READ
                                : kind == 1 ? DO_ZERO
                                            : DO_WRITE,
                          .offset = at,
                          .length = length,
                          .iov = iov[i],
                          .flags = r % 2 };
            for (uint64_t b = 0; b < length; b++)
                buf[b] = job->op == DO_WRITE ? (uint8_t)(r * 7 + b + i) : 0;
            if (job->op == DO_WRITE)
                memcpy(model + at, buf, length);
            else if (job->op == DO_ZERO)
                memset(model + at, 0, length);
            /* pieces of odd size, so that buffers are not aligned */
            while (length > 0) {
                size_t piece = parts == SPAN - 1
                                   ? length
                                   : MIN((uint64_t)g_rand_int_range(rand, 1, 9000), length);

                iov[i][parts++] = (struct iovec){ .iov_base = buf, .iov_len = piece };
                buf += piece;
                length -= piece;
            }
            job->n_iov = parts;
        }
        io_loop_run_sync(rig->loop, round_run, round);
        for (unsigned i = 0; i < n; i++) {
            Job *job = &round->jobs[i];

            assert_true(job->done);
            assert_int_equal(job->result, 0);
            if (job->op == DO_READ)
                assert_memory_equal(scratch + job->offset, model + job->offset, job->length);
        }
    }
    assert_int_equal(run_rw(rig, false, 0, scratch, IMAGE, 0), 0);
    assert_memory_equal(scratch, model, IMAGE);
}

static void
test_random_requests(void **state)
{
    (void)state;
    for (unsigned engine = 0; engine < 2; engine++) {
        g_autoptr(Rig) rig = rig_new(engine, "", "", IMAGE);

        random_rounds(rig);
    }
}

static void
test_random_requests_direct(void **state)
{
    (void)state;
    for (unsigned engine = 0; engine < 2; engine++) {
        g_autoptr(Rig) rig = rig_new(engine, ", \"cache\": {\"direct\": true}", "", IMAGE);

        assert_true(block_node_direct(rig->node));
        random_rounds(rig);
    }
}

/* As on a disk with units of 4 KiB: small writes go through the gate. */
static void
test_random_requests_direct_large_units(void **state)
{
    (void)state;
    for (unsigned engine = 0; engine < 2; engine++) {
        g_autoptr(Rig) rig = rig_new(engine, ", \"cache\": {\"direct\": true}", "", IMAGE);
        BlockNode *protocol = block_node_protocol(rig->node);

        protocol->request_align = protocol->mem_align = 4096;
        random_rounds(rig);
        assert_int_equal(protocol->gate.writers, 0);
        assert_false(protocol->gate.exclusive);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_write_and_bounds),
        cmocka_unit_test(test_zeroes_and_discard),
        cmocka_unit_test(test_detect_zeroes_frees_space),
        cmocka_unit_test(test_read_only_refuses_writes),
        cmocka_unit_test(test_tail_of_an_odd_file_reads_as_zeroes),
        cmocka_unit_test(test_random_requests),
        cmocka_unit_test(test_random_requests_direct),
        cmocka_unit_test(test_random_requests_direct_large_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
