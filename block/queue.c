/* queue.c - a loop's way into a node: accepts requests, holds back what is beyond its depth, and
 * tells when they are over.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/queue_private.h"

#include <errno.h>

#include "block/slow.h"
#include "block/throttle.h"

static void queue_start_pending(BlockQueue *queue);

static BlockRequest *
request_new(BlockQueue *queue, BlockOp op, BlockDone done, void *opaque)
{
    GList *link = g_queue_pop_head_link(&queue->free);
    BlockRequest *req = link ? link->data : g_new0(BlockRequest, 1);

    req->link.data = req;
    req->queue = queue;
    req->op = op;
    req->flags = 0;
    req->offset = req->length = req->done_bytes = 0;
    req->iov = NULL;
    req->n_iov = 0;
    req->done = done;
    req->opaque = opaque;
    req->zero_by_writing = false;
    return req;
}

/* Runs what finished without a step, and starts what waited for room. */
static void
queue_run_ready(void *opaque)
{
    BlockQueue *queue = opaque;
    GList *link;

    queue->ready_scheduled = false;
    while ((link = g_queue_pop_head_link(&queue->ready))) {
        BlockRequest *req = link->data;
        BlockDone done = req->done;
        void *arg = req->opaque;
        int result = req->result;

        g_queue_push_head_link(&queue->free, &req->link);
        queue->active--;
        done(arg, result);
    }
    queue_start_pending(queue);
    queue->engine->submit(queue);
}

void
block_queue_finish(BlockRequest *req, int result, bool from_engine)
{
    BlockQueue *queue = req->queue;

    req->result = result;
    if (from_engine) {
        BlockDone done = req->done;
        void *arg = req->opaque;

        g_queue_push_head_link(&queue->free, &req->link);
        queue->active--;
        done(arg, result);
        queue_start_pending(queue);
        return;
    }
    g_queue_push_tail_link(&queue->ready, &req->link);
    if (!queue->ready_scheduled) {
        queue->ready_scheduled = true;
        io_loop_defer(queue->loop, queue_run_ready, queue);
    }
}

/* ---- limits ---- */

/* The limits of the queue's node. Block jobs put nodes of theirs over the guest's, and other images
 * in its place: those get the limits, which are the guest's. */
static void
queue_take_throttle(BlockQueue *queue, BlockThrottle *before)
{
    BlockNode *node = queue->node;

    while (node && !node->throttle)
        node = node->file;
    /* other queues of the node may do the same in their threads */
    if (!node && before) {
        block_throttle_ref(before);
        node = queue->node;
        if (!g_atomic_pointer_compare_and_exchange(&node->throttle, NULL, before))
            block_throttle_unref(before);
    }
    if (node)
        block_throttle_ref(node->throttle);
    block_throttle_unref(queue->throttle);
    queue->throttle = node ? node->throttle : NULL;
}

static void
queue_on_time(void *opaque)
{
    BlockQueue *queue = opaque;

    queue_start_pending(queue);
    queue->engine->submit(queue);
}

/* As queue_start_pending(): what is over the limits stays, and what is of the other kind passes. */
static void
queue_start_throttled(BlockQueue *queue)
{
    int64_t now = io_clock_ns(), later[2] = { 0 };
    GList *next;

    for (GList *link = queue->pending.head; link && queue->active < queue->depth; link = next) {
        BlockRequest *req = link->data;
        bool write = req->op != BLOCK_OP_READ;

        next = link->next;
        if (req->op != BLOCK_OP_FLUSH && !later[write])
            later[write] = block_throttle_ask(queue->throttle, write, req->length, now);
        if (req->op != BLOCK_OP_FLUSH && later[write])
            continue;
        g_queue_unlink(&queue->pending, link);
        queue->active++;
        block_request_begin(req);
    }
    if (!later[0] && !later[1])
        return;
    if (!queue->later)
        queue->later = io_timer_new(queue->loop, queue_on_time, queue);
    io_timer_set(queue->later,
                 now + (later[0] && (!later[1] || later[0] < later[1]) ? later[0] : later[1]));
}

static void
queue_start_pending(BlockQueue *queue)
{
    GList *link;

    if (G_UNLIKELY(queue->throttle) && !queue->draining && !queue->held) {
        queue_start_throttled(queue);
        return;
    }
    while (!queue->held && queue->active < queue->depth &&
           (link = g_queue_pop_head_link(&queue->pending))) {
        queue->active++;
        block_request_begin(link->data);
    }
}

static void
queue_add(BlockQueue *queue, BlockRequest *req)
{
    g_queue_push_tail_link(&queue->pending, &req->link);
    queue_start_pending(queue);
}

/* 0 when [offset, offset + length) is inside the node and made of whole sectors. */
static int
range_check(const BlockQueue *queue, uint64_t offset, uint64_t length)
{
    if (offset % BLOCK_SECTOR != 0 || length % BLOCK_SECTOR != 0)
        return -EINVAL;
    if (offset > queue->node->size || length > queue->node->size - offset)
        return -EIO;
    return 0;
}

static void
queue_add_range(BlockQueue *queue, BlockRequest *req, uint64_t offset, uint64_t length)
{
    int r = range_check(queue, offset, length);

    if (r == 0 && req->op != BLOCK_OP_READ && block_node_read_only(queue->node))
        r = -EROFS;
    if (r < 0 || length == 0) {
        queue->active++;
        block_queue_finish(req, r, false);
        return;
    }
    req->offset = offset;
    req->length = length;
    queue_add(queue, req);
}

static void
queue_add_vector(BlockQueue *queue, BlockRequest *req, uint64_t offset, const struct iovec *iov,
                 int n_iov)
{
    uint64_t length = 0;

    if (n_iov < 0 || n_iov > BLOCK_MAX_IOV) {
        queue->active++;
        block_queue_finish(req, -EINVAL, false);
        return;
    }
    for (int i = 0; i < n_iov; i++)
        length += iov[i].iov_len;
    req->iov = iov;
    req->n_iov = n_iov;
    queue_add_range(queue, req, offset, length);
}

void
block_queue_readv(BlockQueue *queue, uint64_t offset, const struct iovec *iov, int n_iov,
                  BlockDone done, void *opaque)
{
    queue_add_vector(queue, request_new(queue, BLOCK_OP_READ, done, opaque), offset, iov, n_iov);
}

void
block_queue_writev(BlockQueue *queue, uint64_t offset, const struct iovec *iov, int n_iov,
                   BlockFlags flags, BlockDone done, void *opaque)
{
    BlockRequest *req = request_new(queue, BLOCK_OP_WRITE, done, opaque);

    req->flags = block_node_no_flush(queue->node) ? flags & ~(unsigned)BLOCK_FUA : flags;
    queue_add_vector(queue, req, offset, iov, n_iov);
}

void
block_queue_write_zeroes(BlockQueue *queue, uint64_t offset, uint64_t length, BlockFlags flags,
                         BlockDone done, void *opaque)
{
    BlockRequest *req = request_new(queue, BLOCK_OP_ZERO, done, opaque);

    req->flags = block_node_no_flush(queue->node) ? flags & ~(unsigned)BLOCK_FUA : flags;
    queue_add_range(queue, req, offset, length);
}

void
block_queue_discard(BlockQueue *queue, uint64_t offset, uint64_t length, BlockDone done,
                    void *opaque)
{
    queue_add_range(queue, request_new(queue, BLOCK_OP_DISCARD, done, opaque), offset, length);
}

void
block_queue_flush(BlockQueue *queue, BlockDone done, void *opaque)
{
    queue_add(queue, request_new(queue, BLOCK_OP_FLUSH, done, opaque));
}

void
block_queue_submit(BlockQueue *queue)
{
    queue->engine->submit(queue);
}

unsigned
block_queue_in_flight(const BlockQueue *queue)
{
    return queue->active + queue->pending.length;
}

/* Everything active is in other hands, which may need what queues of this thread have done. */
static void
queue_wait_outside(BlockQueue *queue)
{
    if (queue->at_slow > 0)
        block_slow_wait(queue);
    block_gate_poll(queue);
}

/* One turn of waiting for what is active. */
static void
queue_drain_some(BlockQueue *queue)
{
    queue->engine->submit(queue);
    if (queue->ready.length > 0)
        queue_run_ready(queue);
    else if (block_slow_reap(queue))
        return;
    else if (queue->at_gate + queue->at_slow < queue->active)
        queue->engine->wait(queue);
    else
        queue_wait_outside(queue);
}

void
block_queue_drain(BlockQueue *queue)
{
    queue->draining = true;
    queue_start_pending(queue);
    while (block_queue_in_flight(queue) > 0)
        queue_drain_some(queue);
    queue->draining = false;
}

void
block_queue_hold(BlockQueue *queue)
{
    queue->held = true;
    while (queue->active > 0)
        queue_drain_some(queue);
}

void
block_queue_let_go(BlockQueue *queue, BlockNode *node)
{
    GQueue pending = queue->pending;
    GList *link;

    if (node && node != queue->node) {
        BlockNode *before = queue->node;

        block_gate_remove_queue(queue);
        queue->node = block_node_ref(node);
        block_gate_add_queue(queue);
        queue_take_throttle(queue, queue->throttle);
        block_node_unref(before);
    } else {
        queue_take_throttle(queue, NULL); /* they may have changed */
    }
    queue->held = false;
    g_queue_init(&queue->pending);
    /* the image may have become shorter */
    while ((link = g_queue_pop_head_link(&pending))) {
        BlockRequest *req = link->data;
        int r = range_check(queue, req->offset, req->length);

        if (r == 0) {
            g_queue_push_tail_link(&queue->pending, link);
        } else {
            queue->active++;
            block_queue_finish(req, r, false);
        }
    }
    queue_start_pending(queue);
    queue->engine->submit(queue);
}

BlockQueue *
block_queue_new(BlockNode *node, IoLoop *loop, unsigned depth, GError **err)
{
    BlockQueue *queue;
    g_autoptr(GError) why = NULL;

    if (node && !block_slow_prepare(node, err))
        return NULL;
    queue = g_new0(BlockQueue, 1);
    queue->node = node ? block_node_ref(node) : NULL;
    queue_take_throttle(queue, NULL);
    queue->loop = loop;
    queue->depth = CLAMP(depth, 1u, 4096u);
    g_queue_init(&queue->pending);
    g_queue_init(&queue->ready);
    g_queue_init(&queue->free);
    g_queue_init(&queue->resumed);
    block_slow_open(queue);
    queue->engine = node && (node->use_threads || block_node_protocol(node)->use_threads)
                        ? &block_engine_threads
                        : &block_engine_uring;
    if (queue->engine->open(queue, &why)) {
        if (node)
            block_gate_add_queue(queue);
        return queue;
    }
    /* containers and hardened hosts refuse io_uring: the same work by threads */
    if (queue->engine == &block_engine_uring) {
        g_clear_error(&why);
        queue->engine = &block_engine_threads;
        if (queue->engine->open(queue, &why)) {
            if (node)
                block_gate_add_queue(queue);
            return queue;
        }
    }
    g_propagate_error(err, g_steal_pointer(&why));
    block_throttle_unref(queue->throttle);
    block_slow_free(queue);
    block_node_unref(queue->node);
    g_free(queue);
    return NULL;
}

static void
queue_drain_call(void *opaque)
{
    BlockQueue *queue = opaque;

    block_queue_drain(queue);
    io_loop_cancel(queue->loop, queue_run_ready, queue);
    io_timer_free(queue->later);
    queue->later = NULL;
    block_slow_close(queue);
    if (queue->node)
        block_gate_remove_queue(queue);
}

void
block_queue_set_node(BlockQueue *queue, BlockNode *node)
{
    block_queue_drain(queue);
    if (queue->node) {
        block_gate_remove_queue(queue);
        block_node_unref(queue->node);
    }
    queue->node = node ? block_node_ref(node) : NULL;
    queue_take_throttle(queue, NULL);
    if (node)
        block_gate_add_queue(queue);
}

void
block_queue_free(BlockQueue *queue)
{
    GList *link;

    if (!queue)
        return;
    io_loop_run_sync(queue->loop, queue_drain_call, queue);
    queue->engine->close(queue);
    while ((link = g_queue_pop_head_link(&queue->free))) {
        block_request_clear(link->data);
        g_free(link->data);
    }
    block_throttle_unref(queue->throttle);
    block_slow_free(queue);
    g_aligned_free(queue->zeroes);
    block_node_unref(queue->node);
    g_free(queue);
}

const char *const block_queue_syscalls[] = {
    "io_uring_enter", "preadv", "pwritev2", "fallocate", "fdatasync", "read",
    "write",          "futex",  "sendmsg",  "recvfrom",  NULL,
};
