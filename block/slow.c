/* slow.c - parts of requests that threads do which may wait: new clusters, copies of old ones,
 * compressed data, images without a fast path.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/slow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SLOW_THREADS = 4, SLOW_WAIT_US = 1000 };

/* One run of bytes for the drivers: the request's buffer, or the bounce buffer. */
static int
slow_transfer(BlockRequest *req)
{
    BlockNode *node = req->queue->node;
    uint64_t offset = req->offset + req->done_bytes;
    bool write = req->op == BLOCK_OP_WRITE;
    uint8_t *flat = req->slice[0].iov_base;
    int r;

    if (req->n_slice > 1) {
        if (req->bounce_size < req->chunk) {
            void *buf;

            if (posix_memalign(&buf, 4096, req->chunk) != 0)
                return -ENOMEM;
            free(req->bounce);
            req->bounce = buf;
            req->bounce_size = req->chunk;
        }
        flat = req->bounce;
        if (write)
            block_request_copy(req, flat, true);
    }
    r = write ? block_node_pwrite(node, offset, flat, req->chunk, req->flags)
              : block_node_pread(node, offset, flat, req->chunk);
    if (r == 0 && !write && req->n_slice > 1)
        block_request_copy(req, flat, false);
    return r;
}

static int
slow_run(BlockRequest *req)
{
    BlockNode *node = req->queue->node;
    uint64_t offset = req->offset + req->done_bytes;

    switch (req->op) {
    case BLOCK_OP_READ:
    case BLOCK_OP_WRITE:
        return slow_transfer(req);
    case BLOCK_OP_ZERO:
        return block_node_write_zeroes(node, offset, req->chunk, req->flags);
    case BLOCK_OP_DISCARD:
        return block_node_discard(node, offset, req->chunk);
    case BLOCK_OP_FLUSH:
        break;
    }
    return block_node_flush(node);
}

static void
slow_ready(void *opaque)
{
    BlockQueue *queue = opaque;

    block_slow_reap(queue);
    queue->engine->submit(queue);
}

static void
slow_thread(gpointer data, gpointer opaque)
{
    BlockRequest *req = data;
    BlockQueue *queue = req->queue;
    int r = slow_run(req);

    (void)opaque;
    g_mutex_lock(&queue->slow.lock);
    req->result = r;
    g_queue_push_tail_link(&queue->slow.finished, &req->link);
    g_cond_signal(&queue->slow.some);
    /* inside of the lock: a queue that is being freed waits for it */
    io_loop_defer(queue->loop, slow_ready, queue);
    g_mutex_unlock(&queue->slow.lock);
}

static bool
slow_is_needed(const BlockNode *node)
{
    return !node->driver->map || node->driver->unmap || node->probed ||
           node->window_offset % BLOCK_SECTOR != 0 || /* raw.c */
           (node->file && slow_is_needed(node->file));
}

bool
block_slow_require(BlockNode *node, GError **err)
{
    if (node->slow)
        return true;
    /* all threads at once: the threads that ask for work may be forbidden to start others */
    node->slow = g_thread_pool_new(slow_thread, node, SLOW_THREADS, TRUE, err);
    return node->slow != NULL;
}

bool
block_slow_prepare(BlockNode *node, GError **err)
{
    return !slow_is_needed(node) || block_slow_require(node, err);
}

bool
block_node_renew_threads(BlockNode *node, GError **err)
{
    if (node->slow) {
        GThreadPool *pool = g_thread_pool_new(slow_thread, node, SLOW_THREADS, TRUE, err);

        if (!pool)
            return false;
        g_thread_pool_free(node->slow, FALSE, TRUE);
        node->slow = pool;
    }
    return true;
}

void
block_slow_start(BlockRequest *req)
{
    req->queue->at_slow++;
    g_thread_pool_push(req->queue->node->slow, req, NULL);
}

bool
block_slow_reap(BlockQueue *queue)
{
    bool some = false;

    for (;;) {
        GList *link;
        BlockRequest *req;

        g_mutex_lock(&queue->slow.lock);
        link = g_queue_pop_head_link(&queue->slow.finished);
        g_mutex_unlock(&queue->slow.lock);
        if (!link)
            return some;
        some = true;
        req = link->data;
        queue->at_slow--;
        block_request_slow_done(req, req->result);
    }
}

void
block_slow_wait(BlockQueue *queue)
{
    gint64 until = g_get_monotonic_time() + SLOW_WAIT_US;

    g_mutex_lock(&queue->slow.lock);
    if (g_queue_is_empty(&queue->slow.finished))
        g_cond_wait_until(&queue->slow.some, &queue->slow.lock, until);
    g_mutex_unlock(&queue->slow.lock);
}

void
block_slow_open(BlockQueue *queue)
{
    g_mutex_init(&queue->slow.lock);
    g_cond_init(&queue->slow.some);
    g_queue_init(&queue->slow.finished);
}

void
block_slow_close(BlockQueue *queue)
{
    io_loop_cancel(queue->loop, slow_ready, queue);
}

void
block_slow_free(BlockQueue *queue)
{
    /* the thread that finished the last part may still hold it */
    g_mutex_lock(&queue->slow.lock);
    g_mutex_unlock(&queue->slow.lock);
    g_mutex_clear(&queue->slow.lock);
    g_cond_clear(&queue->slow.some);
}
