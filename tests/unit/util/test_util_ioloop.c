/* test_util_ioloop.c - the event loop: descriptors, deferred functions, timers, both kinds of loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/ioloop.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    IoLoop *loop;
    int fds[2];
    int count;
    uint32_t events;
    IoTimer *timer;
    int64_t fired;
    GString *order;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->loop = io_loop_new("test-loop", NULL);
    assert_non_null(f->loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f->fds), 0);
    f->order = g_string_new("");
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    io_loop_free(f->loop);
    close(f->fds[0]);
    close(f->fds[1]);
    g_string_free(f->order, TRUE);
    g_free(f);
    return 0;
}

static void
wait_count(Fixture *f, int count)
{
    for (int i = 0; g_atomic_int_get(&f->count) < count; i++) {
        if (i == 5000)
            fail_msg("%d callbacks came instead of %d", f->count, count);
        g_usleep(1000);
    }
}

static void
on_readable(void *opaque, uint32_t events)
{
    Fixture *f = opaque;
    char buf[16];

    f->events = events;
    assert_true(io_loop_is_current(f->loop));
    if (read(f->fds[0], buf, sizeof(buf)) > 0)
        g_atomic_int_inc(&f->count);
}

static void
count_up(void *opaque)
{
    g_atomic_int_inc(&((Fixture *)opaque)->count);
}

static void
note_thread(void *opaque)
{
    ((Fixture *)opaque)->fired = (int64_t)syscall(SYS_gettid);
}

static void
test_descriptor(void **state)
{
    Fixture *f = *state;

    assert_int_equal(io_loop_add_fd(f->loop, f->fds[0], EPOLLIN, on_readable, f), 0);
    assert_int_equal(io_loop_add_fd(f->loop, f->fds[0], EPOLLIN, on_readable, f), -EEXIST);
    assert_int_equal(write(f->fds[1], "a", 1), 1);
    wait_count(f, 1);
    assert_true(f->events & EPOLLIN);
    assert_int_equal(io_loop_modify_fd(f->loop, f->fds[0], 0), 0);
    assert_int_equal(write(f->fds[1], "b", 1), 1);
    g_usleep(20000);
    assert_int_equal(g_atomic_int_get(&f->count), 1);
    assert_int_equal(io_loop_modify_fd(f->loop, f->fds[0], EPOLLIN), 0);
    wait_count(f, 2);
    io_loop_remove_fd(f->loop, f->fds[0]);
    assert_int_equal(write(f->fds[1], "c", 1), 1);
    g_usleep(20000);
    assert_int_equal(g_atomic_int_get(&f->count), 2);
    assert_int_equal(io_loop_modify_fd(f->loop, f->fds[0], EPOLLIN), -ENOENT);
    assert_int_equal(io_loop_add_fd(f->loop, -1, EPOLLIN, on_readable, f), -EBADF);
}

/* Interest in nothing must not turn a hang-up into a busy loop. */
static void
test_hangup_is_quiet(void **state)
{
    Fixture *f = *state;

    assert_int_equal(io_loop_add_fd(f->loop, f->fds[0], 0, on_readable, f), 0);
    close(f->fds[1]);
    f->fds[1] = dup(f->fds[0]);
    g_usleep(20000);
    assert_int_equal(f->events, 0);
    io_loop_remove_fd(f->loop, f->fds[0]);
}

static void
test_run_sync(void **state)
{
    Fixture *f = *state;

    io_loop_run_sync(f->loop, note_thread, f);
    assert_int_equal(f->fired, io_loop_thread_id(f->loop));
    assert_int_not_equal(f->fired, syscall(SYS_gettid));
    assert_false(io_loop_is_current(f->loop));
    io_loop_stop(f->loop);
    io_loop_run_sync(f->loop, note_thread, f);
    assert_int_equal(f->fired, syscall(SYS_gettid));
}

static void
test_defer_many(void **state)
{
    Fixture *f = *state;

    for (int i = 0; i < 10000; i++)
        io_loop_defer(f->loop, count_up, f);
    wait_count(f, 10000);
}

static void
append_b(void *opaque)
{
    g_string_append_c(((Fixture *)opaque)->order, 'b');
    count_up(opaque);
}

static void
append_c(void *opaque)
{
    g_string_append_c(((Fixture *)opaque)->order, 'c');
    count_up(opaque);
}

static void
append_a_and_more(void *opaque)
{
    Fixture *f = opaque;

    g_string_append_c(f->order, 'a');
    io_loop_defer(f->loop, append_b, f);
    io_loop_defer(f->loop, append_c, f);
    io_loop_defer(f->loop, append_b, f);
    io_loop_cancel(f->loop, append_b, f);
}

static void
test_order_and_cancel(void **state)
{
    Fixture *f = *state;

    io_loop_run_sync(f->loop, append_a_and_more, f);
    wait_count(f, 1);
    g_usleep(10000);
    assert_string_equal(f->order->str, "ac");
}

static void
timer_fired(void *opaque)
{
    Fixture *f = opaque;

    f->fired = io_clock_ns();
    g_atomic_int_inc(&f->count);
}

static void
timer_begin(void *opaque)
{
    Fixture *f = opaque;

    f->timer = io_timer_new(f->loop, timer_fired, f);
    f->fired = 0;
    io_timer_set(f->timer, io_clock_ns() + 30 * 1000000);
}

static void
timer_end(void *opaque)
{
    io_timer_free(((Fixture *)opaque)->timer);
}

static void
test_timer(void **state)
{
    Fixture *f = *state;
    int64_t start = io_clock_ns();

    io_loop_run_sync(f->loop, timer_begin, f);
    wait_count(f, 1);
    assert_true(f->fired - start >= 30 * 1000000);
    g_usleep(60000);
    assert_int_equal(g_atomic_int_get(&f->count), 1);
    io_loop_run_sync(f->loop, timer_end, f);
}

/* A timer that always lies in the past leaves room for the rest. */
static void
timer_again(void *opaque)
{
    Fixture *f = opaque;

    io_timer_set(f->timer, 1);
}

static void
timer_begin_again(void *opaque)
{
    Fixture *f = opaque;

    f->timer = io_timer_new(f->loop, timer_again, f);
    io_timer_set(f->timer, 1);
}

static void
test_timer_in_the_past(void **state)
{
    Fixture *f = *state;

    io_loop_run_sync(f->loop, timer_begin_again, f);
    assert_int_equal(io_loop_add_fd(f->loop, f->fds[0], EPOLLIN, on_readable, f), 0);
    assert_int_equal(write(f->fds[1], "a", 1), 1);
    wait_count(f, 1);
    io_loop_remove_fd(f->loop, f->fds[0]);
    io_loop_run_sync(f->loop, timer_end, f);
}

static void
edge(void *opaque, uint32_t events)
{
    (void)events;
    count_up(opaque);
}

/* How doorbells are watched: edge triggered, the counter never read. */
static void
test_edge_triggered_eventfd(void **state)
{
    Fixture *f = *state;
    IoNotifier n;

    assert_int_equal(io_notifier_init(&n), 0);
    assert_int_equal(io_loop_add_fd(f->loop, n.fd, EPOLLIN | EPOLLET, edge, f), 0);
    for (int i = 1; i <= 10; i++) {
        io_notifier_signal(&n);
        wait_count(f, i);
    }
    g_usleep(10000);
    assert_int_equal(g_atomic_int_get(&f->count), 10);
    assert_true(io_notifier_clear(&n));
    assert_false(io_notifier_clear(&n));
    io_loop_remove_fd(f->loop, n.fd);
    io_notifier_fini(&n);
}

static int poll_work;

static bool
poll_look(void *opaque)
{
    Fixture *f = opaque;

    if (!g_atomic_int_compare_and_exchange(&poll_work, 1, 0))
        return false;
    g_atomic_int_inc(&f->count);
    return true;
}

static void
poll_begin(void *opaque)
{
    Fixture *f = opaque;

    io_loop_add_poll(f->loop, poll_look, f);
}

static void
poll_end(void *opaque)
{
    Fixture *f = opaque;

    io_loop_remove_poll(f->loop, poll_look, f);
}

static void
test_busy_poll(void **state)
{
    Fixture *f = *state;

    assert_int_equal(io_loop_busy_poll(f->loop), 0);
    io_loop_run_sync(f->loop, poll_begin, f);
    io_loop_set_busy_poll(f->loop, 50 * 1000 * 1000);
    assert_int_equal(io_loop_busy_poll(f->loop), 50 * 1000 * 1000);
    for (int i = 0; i < 100 && g_atomic_int_get(&f->count) == 0; i++) {
        io_loop_run_sync(f->loop, note_thread, f);
        g_atomic_int_set(&poll_work, 1);
        g_usleep(2000);
    }
    assert_true(g_atomic_int_get(&f->count) > 0);
    io_loop_run_sync(f->loop, poll_end, f);
}

static void
test_context(void **state)
{
    Fixture *f = *state;
    GMainContext *context = g_main_context_new();
    IoLoop *loop = io_loop_new_for_context(context, "main", NULL);
    IoLoop *own = f->loop;
    int64_t start = io_clock_ns();

    f->loop = loop;
    /* nobody runs the context: the caller does */
    io_loop_run_sync(loop, note_thread, f);
    assert_int_equal(f->fired, syscall(SYS_gettid));
    assert_true(g_main_context_acquire(context));
    assert_int_equal(io_loop_add_fd(loop, f->fds[0], EPOLLIN, on_readable, f), 0);
    assert_int_equal(write(f->fds[1], "a", 1), 1);
    io_loop_defer(loop, count_up, f);
    timer_begin(f);
    while (f->count < 3)
        g_main_context_iteration(context, TRUE);
    assert_true(io_clock_ns() - start >= 30 * 1000000);
    timer_end(f);
    io_loop_remove_fd(loop, f->fds[0]);
    g_main_context_release(context);
    io_loop_free(loop);
    g_main_context_unref(context);
    f->loop = own;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_descriptor),        TEST(test_hangup_is_quiet),        TEST(test_run_sync),
        TEST(test_defer_many),        TEST(test_order_and_cancel),       TEST(test_timer),
        TEST(test_timer_in_the_past), TEST(test_edge_triggered_eventfd), TEST(test_busy_poll),
        TEST(test_context),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
