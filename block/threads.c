/* threads.c - engine: steps by the loop's pool of threads (pool.h) with preadv2(2) and its
 * like, where io_uring is refused or aio=threads was asked for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/queue_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "block/pool.h"
#include "util/error.h"

typedef struct {
    BlockPool *pool; /* the loop's */
    int eventfd;

    GMutex lock; /* guards what follows */
    GCond some;
    GQueue finished; /* of BlockRequest, with the step's result */
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

/* A thread of the pool. */
static void
thread_run(void *data)
{
    BlockRequest *req = data;
    Threads *t = req->queue->engine_state;
    int64_t result = step_run(req);

    g_mutex_lock(&t->lock);
    req->result = (int)result; /* the kernel moves less than 2 GiB at once */
    g_queue_push_tail_link(&t->finished, &req->link);
    g_cond_signal(&t->some);
    /* inside of the lock: a queue that is being closed waits for it */
    eventfd_write(t->eventfd, 1);
    g_mutex_unlock(&t->lock);
}

static void
threads_reap(BlockQueue *queue)
{
    Threads *t = queue->engine_state;
    eventfd_t ignored;
    GList *link;

    eventfd_read(t->eventfd, &ignored);
    do {
        g_mutex_lock(&t->lock);
        link = g_queue_pop_head_link(&t->finished);
        g_mutex_unlock(&t->lock);
        if (link)
            block_request_step_done(link->data, ((BlockRequest *)link->data)->result);
    } while (link);
}

static void
threads_ready(void *opaque, uint32_t events)
{
    (void)events;
    threads_reap(opaque);
}

static void
threads_free(Threads *t)
{
    /* the thread that finished the last step may still hold it */
    g_mutex_lock(&t->lock);
    g_mutex_unlock(&t->lock);
    g_mutex_clear(&t->lock);
    g_cond_clear(&t->some);
    if (t->eventfd >= 0)
        close(t->eventfd);
    g_free(t);
}

static bool
threads_open(BlockQueue *queue, GError **err)
{
    Threads *t = g_new0(Threads, 1);
    int r;

    t->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_mutex_init(&t->lock);
    g_cond_init(&t->some);
    g_queue_init(&t->finished);
    t->pool = block_pool_join(queue->loop, thread_run, err);
    if (t->pool) {
        queue->engine_state = t;
        r = t->eventfd < 0 ? -errno
                           : io_loop_add_fd(queue->loop, t->eventfd, EPOLLIN, threads_ready, queue);
        if (r == 0)
            return true;
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r, "the image's threads cannot be polled");
    }
    threads_free(t);
    return false;
}

static void
threads_close(BlockQueue *queue)
{
    Threads *t = queue->engine_state;

    io_loop_remove_fd(queue->loop, t->eventfd);
    threads_free(t);
}

static void
threads_start(BlockQueue *queue, BlockRequest *req)
{
    block_pool_push(((Threads *)queue->engine_state)->pool, &req->link);
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

    g_mutex_lock(&t->lock);
    while (t->finished.length == 0)
        g_cond_wait(&t->some, &t->lock);
    g_mutex_unlock(&t->lock);
    threads_reap(queue);
}

const BlockEngine block_engine_threads = {
    .name = "threads",
    .open = threads_open,
    .close = threads_close,
    .start = threads_start,
    .submit = threads_submit,
    .reap = threads_reap,
    .wait = threads_wait,
};
