/* test_block_pool.c - how many threads of a pool there are, and how many work at once.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "block/block.h"
#include "block/pool.h"
#include "tests/unit/block/block_fixture.h"
#include "util/error.h"

enum { JOBS = 24, WAIT_S = 20, STILL_MS = 50 };

/* Work that lasts until it is told to end. */
typedef struct {
    GMutex lock;
    GCond changed;
    unsigned running, most, done, may_end;
} Yard;

typedef struct {
    GList link;
    Yard *yard;
} Job;

static void
job_run(void *data)
{
    Yard *yard = ((Job *)data)->yard;

    g_mutex_lock(&yard->lock);
    yard->running++;
    yard->most = MAX(yard->most, yard->running);
    g_cond_broadcast(&yard->changed);
    while (yard->may_end == 0)
        g_cond_wait(&yard->changed, &yard->lock);
    yard->may_end--;
    yard->running--;
    yard->done++;
    g_cond_broadcast(&yard->changed);
    g_mutex_unlock(&yard->lock);
}

static void
yard_wait(Yard *yard, const unsigned *what, unsigned count)
{
    gint64 until = g_get_monotonic_time() + WAIT_S * G_TIME_SPAN_SECOND;

    g_mutex_lock(&yard->lock);
    while (*what < count)
        if (!g_cond_wait_until(&yard->changed, &yard->lock, until))
            break;
    if (*what < count)
        fail_msg("%u, not %u after %d s", *what, count, WAIT_S);
    g_mutex_unlock(&yard->lock);
}

/* @count jobs run, and after a while still no more. */
static void
yard_expect(Yard *yard, unsigned count)
{
    yard_wait(yard, &yard->running, count);
    g_usleep(STILL_MS * 1000);
    g_mutex_lock(&yard->lock);
    assert_int_equal(yard->running, count);
    g_mutex_unlock(&yard->lock);
}

static void
yard_end(Yard *yard, unsigned count)
{
    g_mutex_lock(&yard->lock);
    yard->may_end += count;
    g_cond_broadcast(&yard->changed);
    g_mutex_unlock(&yard->lock);
}

static void
wait_threads(IoLoop *loop, unsigned count)
{
    for (int i = 0; block_pool_threads(loop) != count; i++) {
        if (i > WAIT_S * 1000)
            fail_msg("%u threads, not %u", block_pool_threads(loop), count);
        g_usleep(1000);
    }
}

typedef struct {
    IoLoop *loop;
    BlockPool *pool;
    Yard yard;
    Job jobs[JOBS];
} Rig;

static Rig *
rig_new(unsigned min, unsigned max)
{
    Rig *rig = g_new0(Rig, 1);
    g_autoptr(GError) err = NULL;

    g_mutex_init(&rig->yard.lock);
    g_cond_init(&rig->yard.changed);
    rig->loop = io_loop_new("test", &err);
    assert_non_null(rig->loop);
    assert_true(block_pool_set_sizes(rig->loop, min, max, &err));
    assert_int_equal(block_pool_threads(rig->loop), 0);
    rig->pool = block_pool_join(rig->loop, job_run, &err);
    assert_non_null(rig->pool);
    for (unsigned i = 0; i < JOBS; i++)
        rig->jobs[i] = (Job){ .link = { .data = &rig->jobs[i] }, .yard = &rig->yard };
    return rig;
}

static void
rig_push(Rig *rig, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        block_pool_push(rig->pool, &rig->jobs[i].link);
}

static void
rig_free(Rig *rig)
{
    io_loop_free(rig->loop);
    g_mutex_clear(&rig->yard.lock);
    g_cond_clear(&rig->yard.changed);
    g_free(rig);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rig, rig_free)

static void
test_min_is_there_from_the_start(void **state)
{
    g_autoptr(Rig) rig = rig_new(3, 8);

    (void)state;
    assert_int_equal(block_pool_threads(rig->loop), 3);
    assert_true(block_pool_set_sizes(rig->loop, 5, 8, NULL));
    assert_int_equal(block_pool_threads(rig->loop), 5);
    /* what is not wanted any more stays for a while, what is too many does not */
    assert_true(block_pool_set_sizes(rig->loop, 1, 8, NULL));
    assert_int_equal(block_pool_threads(rig->loop), 5);
    assert_true(block_pool_set_sizes(rig->loop, 1, 2, NULL));
    wait_threads(rig->loop, 2);
}

static void
test_max_bounds_what_runs_at_once(void **state)
{
    g_autoptr(Rig) rig = rig_new(0, 3);

    (void)state;
    assert_int_equal(block_pool_threads(rig->loop), 0);
    rig_push(rig, 0, 10);
    yard_expect(&rig->yard, 3);
    assert_int_equal(block_pool_threads(rig->loop), 3);
    yard_end(&rig->yard, 10);
    yard_wait(&rig->yard, &rig->yard.done, 10);
    assert_int_equal(rig->yard.most, 3);
}

static void
test_max_changes_while_work_waits(void **state)
{
    g_autoptr(Rig) rig = rig_new(0, 2);

    (void)state;
    rig_push(rig, 0, 12);
    yard_expect(&rig->yard, 2);
    assert_true(block_pool_set_sizes(rig->loop, 0, 5, NULL));
    yard_expect(&rig->yard, 5);
    /* those that run end what they do; then fewer go on */
    assert_true(block_pool_set_sizes(rig->loop, 0, 1, NULL));
    yard_end(&rig->yard, 4);
    yard_wait(&rig->yard, &rig->yard.done, 4);
    yard_expect(&rig->yard, 1);
    wait_threads(rig->loop, 1);
    rig_push(rig, 12, JOBS);
    yard_end(&rig->yard, JOBS - 4);
    yard_wait(&rig->yard, &rig->yard.done, JOBS);
    assert_int_equal(rig->yard.most, 5);
    assert_int_equal(block_pool_threads(rig->loop), 1);
}

static void
test_as_many_as_there_is_work_for(void **state)
{
    g_autoptr(Rig) rig = rig_new(BLOCK_POOL_MIN, BLOCK_POOL_MAX);

    (void)state;
    rig_push(rig, 0, 1);
    yard_expect(&rig->yard, 1);
    assert_int_equal(block_pool_threads(rig->loop), 1);
    rig_push(rig, 1, 7);
    yard_expect(&rig->yard, 7);
    assert_int_equal(block_pool_threads(rig->loop), 7);
    yard_end(&rig->yard, 7);
    yard_wait(&rig->yard, &rig->yard.done, 7);
}

static void
test_what_is_refused(void **state)
{
    g_autoptr(Rig) rig = rig_new(2, 4);
    unsigned min, max;
    static const unsigned bad[][2] = { { 0, 0 }, { 5, 4 }, { 2, 1 } };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        assert_false(block_pool_set_sizes(rig->loop, bad[i][0], bad[i][1], &err));
        assert_int_equal(kiln_error_code(err), VIR_ERR_INVALID_ARG);
        assert_non_null(strstr(err->message, "thread-pool-max="));
        block_pool_sizes(rig->loop, &min, &max);
        assert_int_equal(min, 2);
        assert_int_equal(max, 4);
    }
}

static void
test_renewed_threads_work(void **state)
{
    g_autoptr(Rig) rig = rig_new(2, 4);

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(block_pool_renew(rig->loop, NULL));
        assert_int_equal(block_pool_threads(rig->loop), 2);
        rig_push(rig, 4 * i, 4 * i + 4);
        yard_expect(&rig->yard, 4);
        yard_end(&rig->yard, 4);
        yard_wait(&rig->yard, &rig->yard.done, 4 * i + 4);
    }
}

/* ---- by queues ---- */

typedef struct {
    BlockQueue *queue;
    uint8_t bytes[8][512];
    struct iovec iov[8];
    unsigned done;
} Reads;

static void
read_done(void *opaque, int ret)
{
    assert_int_equal(ret, 0);
    (*(unsigned *)opaque)++;
}

static void
read_all(void *opaque)
{
    Reads *reads = opaque;

    for (unsigned i = 0; i < 8; i++) {
        reads->iov[i] = (struct iovec){ reads->bytes[i], 512 };
        block_queue_readv(reads->queue, 512 * i, &reads->iov[i], 1, read_done, &reads->done);
    }
    block_queue_drain(reads->queue);
}

static unsigned
threads_after_reads(const char *aio, unsigned min, unsigned max)
{
    g_autofree char *options = g_strdup_printf(", \"aio\": \"%s\"", aio);
    BlockFixture *image = block_fixture_new(1 << 20);
    g_autoptr(GError) err = NULL;
    BlockNode *node = block_fixture_open(image, options, "", &err);
    g_autoptr(IoLoop) loop = io_loop_new("test", NULL);
    Reads reads = { 0 }, others = { 0 };
    unsigned threads;

    assert_non_null(node);
    assert_true(block_pool_set_sizes(loop, min, max, NULL));
    reads.queue = block_queue_new(node, loop, 8, NULL);
    others.queue = block_queue_new(node, loop, 8, NULL);
    assert_non_null(reads.queue);
    assert_non_null(others.queue);
    if (!strcmp(aio, "threads"))
        assert_int_equal(block_pool_threads(loop), min);
    io_loop_run_sync(loop, read_all, &reads);
    io_loop_run_sync(loop, read_all, &others);
    assert_int_equal(reads.done + others.done, 16);
    threads = block_pool_threads(loop);
    block_queue_free(reads.queue);
    block_queue_free(others.queue);
    block_node_unref(node);
    block_fixture_free(image);
    return threads;
}

static void
test_queues_of_a_loop_share_its_pool(void **state)
{
    unsigned threads;

    (void)state;
    assert_int_equal(threads_after_reads("threads", 0, 1), 1);
    assert_int_equal(threads_after_reads("threads", 6, 6), 6);
    /* one that is just done may not be free yet when the next request comes */
    threads = threads_after_reads("threads", BLOCK_POOL_MIN, BLOCK_POOL_MAX);
    assert_true(threads >= 1 && threads <= 16);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_min_is_there_from_the_start),
        cmocka_unit_test(test_max_bounds_what_runs_at_once),
        cmocka_unit_test(test_max_changes_while_work_waits),
        cmocka_unit_test(test_as_many_as_there_is_work_for),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_renewed_threads_work),
        cmocka_unit_test(test_queues_of_a_loop_share_its_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
