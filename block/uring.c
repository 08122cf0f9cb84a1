/* uring.c - engine: steps by io_uring, one ring per queue, completions by the queue's loop.
 *
 * The ring's descriptor itself is polled: it is readable while completions wait (io_uring(7)).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/queue_private.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>

#include "util/error.h"

typedef struct {
    struct io_uring ring;
    unsigned unsubmitted;
    bool in_completions; /* what completions start is submitted once, after the batch */
} Uring;

static void
uring_reap(BlockQueue *queue)
{
    Uring *u = queue->engine_state;
    struct io_uring_cqe *cqe;

    u->in_completions = true;
    while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        BlockRequest *req = io_uring_cqe_get_data(cqe);
        int result = cqe->res;

        io_uring_cqe_seen(&u->ring, cqe);
        block_request_step_done(req, result);
    }
    u->in_completions = false;
    queue->engine->submit(queue);
}

static void
uring_ready(void *opaque, uint32_t events)
{
    (void)events;
    uring_reap(opaque);
}

static bool
uring_open(BlockQueue *queue, GError **err)
{
    Uring *u = g_new0(Uring, 1);
    struct io_uring_params params = { 0 };
    int r;

#ifdef IORING_SETUP_COOP_TASKRUN
    params.flags = IORING_SETUP_COOP_TASKRUN;
#endif
    r = io_uring_queue_init_params(queue->depth, &u->ring, &params);
    if (r == -EINVAL) {
        params = (struct io_uring_params){ 0 };
        r = io_uring_queue_init_params(queue->depth, &u->ring, &params);
    }
    if (r < 0) {
        g_free(u);
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r, "io_uring cannot be set up");
    }
    queue->engine_state = u;
    r = io_loop_add_fd(queue->loop, u->ring.ring_fd, EPOLLIN, uring_ready, queue);
    if (r < 0) {
        io_uring_queue_exit(&u->ring);
        g_free(u);
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r, "io_uring cannot be polled");
    }
    return true;
}

static void
uring_close(BlockQueue *queue)
{
    Uring *u = queue->engine_state;

    io_loop_remove_fd(queue->loop, u->ring.ring_fd);
    io_uring_queue_exit(&u->ring);
    g_free(u);
}

static void
uring_submit(BlockQueue *queue)
{
    Uring *u = queue->engine_state;

    /* -EBUSY and -EAGAIN leave the entries in the ring; the next completion submits them */
    if (u->unsubmitted > 0 && !u->in_completions) {
        int n = io_uring_submit(&u->ring);

        if (n > 0)
            u->unsubmitted -= MIN((unsigned)n, u->unsubmitted);
    }
}

static void
uring_start(BlockQueue *queue, BlockRequest *req)
{
    Uring *u = queue->engine_state;
    const BlockStep *step = &req->step;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    while (!sqe) {
        /* a chunk's next step beyond what the ring holds: make room */
        u->unsubmitted -= MIN((unsigned)MAX(io_uring_submit(&u->ring), 0), u->unsubmitted);
        sqe = io_uring_get_sqe(&u->ring);
    }
    switch (step->op) {
    case BLOCK_OP_READ:
        io_uring_prep_readv(sqe, step->fd, step->iov, step->n_iov, step->offset + req->step_done);
        break;
    case BLOCK_OP_WRITE:
        io_uring_prep_writev(sqe, step->fd, step->iov, step->n_iov, step->offset + req->step_done);
        if (step->dsync)
            sqe->rw_flags = RWF_DSYNC;
        break;
    case BLOCK_OP_ZERO:
    case BLOCK_OP_DISCARD:
        io_uring_prep_fallocate(sqe, step->fd,
                                (step->punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) |
                                    FALLOC_FL_KEEP_SIZE,
                                step->offset, step->length);
        break;
    case BLOCK_OP_FLUSH:
        io_uring_prep_fsync(sqe, step->fd, IORING_FSYNC_DATASYNC);
        break;
    }
    io_uring_sqe_set_data(sqe, req);
    u->unsubmitted++;
}

static void
uring_wait(BlockQueue *queue)
{
    Uring *u = queue->engine_state;
    struct io_uring_cqe *cqe;

    if (io_uring_wait_cqe(&u->ring, &cqe) == 0)
        uring_reap(queue);
}

const BlockEngine block_engine_uring = {
    .name = "io_uring",
    .open = uring_open,
    .close = uring_close,
    .start = uring_start,
    .submit = uring_submit,
    .reap = uring_reap,
    .wait = uring_wait,
};
