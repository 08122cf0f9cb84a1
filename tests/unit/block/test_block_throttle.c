/* test_block_throttle.c - limits of disks: what may begin when, on a clock of the test's own; and
 * queues that keep requests back, let them go in time, and all at once when they are drained.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "block/throttle.h"
#include "tests/unit/block/block_fixture.h"

#define MS INT64_C(1000000)

static BlockThrottle *
throttle_new(const char *json, GError **err)
{
    g_autoptr(JsonNode) node = json_from_string(json, NULL);
    g_autoptr(BlockOptions) opts = block_options_new(json_node_get_object(node), NULL);
    BlockLimits limits;
    bool given = false;

    if (!block_limits_take(opts, "throttling.", &limits, &given, err))
        return NULL;
    assert_true(block_options_finish(opts, "test", NULL)); /* all were taken */
    if (!given)
        return NULL;
    return block_throttle_new(NULL, &limits);
}

/* Requests that begin from @from on for @ms. */
static unsigned
begun(BlockThrottle *t, bool write, uint64_t bytes, int64_t from, int64_t ms)
{
    unsigned n = 0;

    for (int64_t now = from; now <= from + ms * MS;) {
        int64_t wait = block_throttle_ask(t, write, bytes, now);

        n += wait == 0;
        now += wait;
    }
    return n;
}

static void
averages(void **state)
{
    static const struct {
        const char *json;
        bool write;
        uint64_t bytes;
        unsigned low, high; /* in ten seconds */
    } rows[] = {
        { "{\"throttling.iops-total\": 100}", false, 512, 1000, 1012 },
        { "{\"throttling\": {\"iops-write\": \"100\"}}", true, 512, 1000, 1012 },
        { "{\"throttling.bps-total\": 1048576}", true, 65536, 160, 163 },
        { "{\"throttling.bps-read\": 1048576}", false, 8388608, 2, 2 }, /* larger than a second's */
        { "{\"throttling.iops-total\": 100, \"throttling.iops-size\": 4096}", true, 16384, 250,
          254 },
        { "{\"throttling.iops-total\": 100, \"throttling.bps-total\": 512000}", true, 51200, 100,
          103 },
        { "{\"throttling.iops-total\": 10, \"throttling.iops-total-max\": 100}", true, 1, 200,
          202 },
        { "{\"throttling.iops-total\": 10, \"throttling.iops-total-max\": 100,"
          " \"throttling.iops-total-max-length\": 5}",
          true, 1, 590, 612 },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        BlockThrottle *t = throttle_new(rows[i].json, NULL);
        unsigned n = begun(t, rows[i].write, rows[i].bytes, 5 * MS, 10000);

        if (n < rows[i].low || n > rows[i].high)
            fail_msg("row %u: %u requests begin, not %u to %u", i, n, rows[i].low, rows[i].high);
        block_throttle_unref(t);
    }
}

static void
kinds_apart(void **state)
{
    BlockThrottle *t = throttle_new("{\"throttling.iops-write\": 10}", NULL);

    (void)state;
    assert_int_equal(begun(t, true, 512, MS, 0), 2); /* a tenth of a second of them, and one over */
    assert_true(block_throttle_ask(t, true, 512, MS) > 0);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(block_throttle_ask(t, false, 512, MS), 0);
    /* a clock that stands still or goes back changes nothing */
    assert_true(block_throttle_ask(t, true, 512, 1) > 0);
    assert_int_equal(block_throttle_ask(t, true, 512, 400 * MS), 0);
    block_throttle_unref(t);
}

static void
refused(void **state)
{
    static const char *const rows[] = {
        "{\"throttling.iops-total\": 1, \"throttling.iops-read\": 1}",
        "{\"throttling.bps-total\": 1, \"throttling.bps-write\": 1}",
        "{\"throttling.iops-total-max\": 5}",
        "{\"throttling.iops-total\": 5, \"throttling.iops-total-max\": 4}",
        "{\"throttling.iops-total\": 5, \"throttling.iops-total-max-length\": 4}",
        "{\"throttling.iops-total\": 5, \"throttling.iops-total-max-length\": 0}",
        "{\"throttling.bps-total\": 1000000000000001}",
        "{\"throttling.bps-total\": \"fast\"}",
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;

        assert_null(throttle_new(rows[i], &err));
        assert_non_null(strstr(err->message, "throttling."));
    }
    assert_null(throttle_new("{}", NULL));
}

/* ---- queues ---- */

enum { REQUESTS = 40 };

typedef struct {
    BlockQueue *queue;
    uint8_t buf[BLOCK_SECTOR];
    struct iovec iov;
    gint done;
    bool drain;
} Load;

static void
load_done(void *opaque, int ret)
{
    assert_int_equal(ret, 0);
    g_atomic_int_inc((gint *)opaque);
}

static void
load_start(void *opaque)
{
    Load *load = opaque;

    load->iov = (struct iovec){ load->buf, sizeof(load->buf) };
    for (unsigned i = 0; i < REQUESTS; i++)
        block_queue_readv(load->queue, 0, &load->iov, 1, load_done, &load->done);
    block_queue_submit(load->queue);
    if (load->drain)
        block_queue_drain(load->queue);
}

static void
queue_limited(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(1 << 20);

    (void)state;
    for (unsigned drain = 0; drain < 2; drain++) {
        /* drained, a rate that would take the whole day */
        g_autoptr(BlockNode) node = block_fixture_open(
            f, "", drain ? ", \"throttling.iops-total\": 1" : ", \"throttling.iops-total\": 100",
            NULL);
        IoLoop *loop = io_loop_new("throttle", NULL);
        Load load = { .drain = drain };
        int64_t begin = io_clock_ns();

        load.queue = block_queue_new(node, loop, 16, NULL);
        assert_non_null(load.queue);
        io_loop_run_sync(loop, load_start, &load);
        while (g_atomic_int_get(&load.done) < REQUESTS)
            g_usleep(1000);
        /* no more than a tenth of a second's begin at once */
        if (!drain)
            assert_true(io_clock_ns() - begin > (REQUESTS - 12) * 10 * MS);
        block_queue_free(load.queue);
        io_loop_free(loop);
    }
}

/* What waits for a rate of a day goes when the limits go, or are others. */
static void
queue_limits_change(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(1 << 20);
    BlockLimits fast;

    (void)state;
    block_limits_init(&fast);
    fast.operations[BLOCK_LIMIT_TOTAL].average = 1000000;
    for (unsigned named = 0; named < 2; named++) {
        g_autoptr(BlockNode) node =
            block_fixture_open(f, "", ", \"throttling.iops-total\": 1", NULL);
        BlockThrottle *group = named ? block_throttle_new("group", &fast) : NULL;
        IoLoop *loop = io_loop_new("throttle", NULL);
        Load load = { 0 };

        load.queue = block_queue_new(node, loop, 16, NULL);
        assert_non_null(load.queue);
        io_loop_run_sync(loop, load_start, &load);
        assert_true(g_atomic_int_get(&load.done) < REQUESTS);
        block_node_limit(node, group, &fast, &node, 1);
        assert_ptr_equal(block_node_throttle(node), group);
        while (g_atomic_int_get(&load.done) < REQUESTS)
            g_usleep(1000);
        block_queue_free(load.queue);
        io_loop_free(loop);
        block_throttle_unref(group);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(averages),
        cmocka_unit_test(kinds_apart),
        cmocka_unit_test(refused),
        cmocka_unit_test(queue_limited),
        cmocka_unit_test(queue_limits_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
