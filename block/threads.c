/* threads.c - engine: steps by a few threads with preadv2(2) and its like, where io_uring is
 * refused or aio=threads was asked for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/queue_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/error.h"

enum { THREADS_PER_QUEUE = 4 };

typedef struct {
    BlockRequest *req;
    int64_t result;
} Outcome;

typedef struct {
    GThreadPool *pool;
    GAsyncQueue *outcomes; /* of Outcome */
    int eventfd;
} Threads;

static int64_t
step_run(const BlockRequest *req)
{
    const BlockStep *step = &req->step;
    int64_t r = 0;

    switch (step->op) {
    case BLOCK_OP_READ:
        r = preadv(step->fd, step->iov, step->n_iov, step->offset + req->step_done);
        break;
    case BLOCK_OP_WRITE:
        r = pwritev2(step->fd, step->iov, step->n_iov, step->offset + req->step_done,
                     step->dsync ? RWF_DSYNC : 0);
        break;
    case BLOCK_OP_ZERO:
    case BLOCK_OP_DISCARD:
        r = fallocate(step->fd,
                      (step->punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) |
                          FALLOC_FL_KEEP_SIZE,
                      step->offset, step->length);
        break;
    case BLOCK_OP_FLUSH:
        r = fdatasync(step->fd);
        break;
    }
    return r < 0 ? -errno : r;
}

static void
thread_run(gpointer data, gpointer opaque)
{
    Threads *t = opaque;
    Outcome *o = g_new(Outcome, 1);

    o->req = data;
    o->result = step_run(data);
    g_async_queue_push(t->outcomes, o);
    eventfd_write(t->eventfd, 1);
}

static void
threads_reap(BlockQueue *queue)
{
    Threads *t = queue->engine_state;
    eventfd_t ignored;
    Outcome *o;

    eventfd_read(t->eventfd, &ignored);
    while ((o = g_async_queue_try_pop(t->outcomes))) {
        BlockRequest *req = o->req;
        int64_t result = o->result;

        g_free(o);
        block_request_step_done(req, result);
    }
}

static void
threads_ready(void *opaque, uint32_t events)
{
    (void)events;
    threads_reap(opaque);
}

static bool
threads_open(BlockQueue *queue, GError **err)
{
    Threads *t = g_new0(Threads, 1);
    int r;

    t->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t->outcomes = g_async_queue_new_full(g_free);
    t->pool = g_thread_pool_new(thread_run, t, THREADS_PER_QUEUE, TRUE, err);
    queue->engine_state = t;
    r = t->eventfd < 0 ? -errno
                       : io_loop_add_fd(queue->loop, t->eventfd, EPOLLIN, threads_ready, queue);
    if (t->pool && r == 0)
        return true;
    if (t->pool)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r, "the image's threads cannot be polled");
    if (r == 0)
        io_loop_remove_fd(queue->loop, t->eventfd);
    if (t->pool)
        g_thread_pool_free(t->pool, TRUE, TRUE);
    g_async_queue_unref(t->outcomes);
    if (t->eventfd >= 0)
        close(t->eventfd);
    g_free(t);
    return false;
}

static void
threads_close(BlockQueue *queue)
{
    Threads *t = queue->engine_state;

    io_loop_remove_fd(queue->loop, t->eventfd);
    g_thread_pool_free(t->pool, FALSE, TRUE);
    g_async_queue_unref(t->outcomes);
    close(t->eventfd);
    g_free(t);
}

static void
threads_start(BlockQueue *queue, BlockRequest *req)
{
    Threads *t = queue->engine_state;

    g_thread_pool_push(t->pool, req, NULL);
}

static void
threads_submit(BlockQueue *queue)
{
    (void)queue; /* each step is handed over as it starts */
}

static void
threads_wait(BlockQueue *queue)
{
    Threads *t = queue->engine_state;
    Outcome *o = g_async_queue_pop(t->outcomes);

    g_async_queue_push_front(t->outcomes, o);
    threads_reap(queue);
}

static bool
threads_renew(BlockQueue *queue, GError **err)
{
    Threads *t = queue->engine_state;
    GThreadPool *pool = g_thread_pool_new(thread_run, t, THREADS_PER_QUEUE, TRUE, err);

    if (!pool)
        return false;
    g_thread_pool_free(t->pool, FALSE, TRUE);
    t->pool = pool;
    return true;
}

const BlockEngine block_engine_threads = {
    .name = "threads",
    .open = threads_open,
    .close = threads_close,
    .start = threads_start,
    .submit = threads_submit,
    .reap = threads_reap,
    .wait = threads_wait,
    .renew = threads_renew,
};
