/* gate.c - keeps a small write's read-change-write apart from all other writes of the node.
 *
 * Only nodes whose O_DIRECT unit is larger than a guest's sector have it: there a write of one
 * sector rewrites its neighbours, and another queue may be writing those.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/queue_private.h"

enum { GATE_POLL_US = 100 };

static void
gate_run_resumed(void *opaque)
{
    BlockQueue *queue = opaque;

    for (;;) {
        GList *link;

        g_mutex_lock(&queue->slow.lock);
        link = g_queue_pop_head_link(&queue->resumed);
        g_mutex_unlock(&queue->slow.lock);
        if (!link)
            break;
        queue->at_gate--;
        block_request_resume(link->data);
    }
    queue->engine->submit(queue);
}

bool
block_gate_enter(BlockRequest *req, bool exclusive)
{
    BlockNode *node = req->at.protocol;
    bool fits;

    if (req->in_gate)
        return true;
    g_mutex_lock(&node->gate.lock);
    fits = !node->gate.exclusive && (!exclusive || node->gate.writers == 0) &&
           g_queue_is_empty(&node->gate.waiting);
    if (fits) {
        node->gate.writers++;
        node->gate.exclusive = exclusive;
        req->in_gate = true;
    } else {
        req->gate_exclusive = exclusive;
        req->queue->at_gate++;
        g_queue_push_tail_link(&node->gate.waiting, &req->link);
    }
    g_mutex_unlock(&node->gate.lock);
    return fits;
}

/* One writer is out: lets in who may. */
static void
gate_left(BlockNode *node)
{
    node->gate.writers--;
    node->gate.exclusive = false;
    /* in order, so that a small write is not overtaken for ever by large ones */
    while (!g_queue_is_empty(&node->gate.waiting) && !node->gate.exclusive) {
        BlockRequest *next = g_queue_peek_head(&node->gate.waiting);

        if (next->gate_exclusive && node->gate.writers > 0)
            break;
        g_queue_unlink(&node->gate.waiting, &next->link);
        node->gate.writers++;
        node->gate.exclusive = next->gate_exclusive;
        next->in_gate = true;
        g_mutex_lock(&next->queue->slow.lock);
        g_queue_push_tail_link(&next->queue->resumed, &next->link);
        g_mutex_unlock(&next->queue->slow.lock);
        io_loop_defer(next->queue->loop, gate_run_resumed, next->queue);
    }
    g_cond_broadcast(&node->gate.left);
}

void
block_gate_leave(BlockRequest *req)
{
    BlockNode *node = req->at.protocol;

    if (!req->in_gate)
        return;
    req->in_gate = false;
    g_mutex_lock(&node->gate.lock);
    gate_left(node);
    g_mutex_unlock(&node->gate.lock);
}

void
block_gate_enter_wait(BlockNode *node, bool exclusive)
{
    g_mutex_lock(&node->gate.lock);
    while (node->gate.exclusive || (exclusive && node->gate.writers > 0))
        g_cond_wait(&node->gate.left, &node->gate.lock);
    node->gate.writers++;
    node->gate.exclusive = exclusive;
    g_mutex_unlock(&node->gate.lock);
}

void
block_gate_leave_wait(BlockNode *node)
{
    g_mutex_lock(&node->gate.lock);
    gate_left(node);
    g_mutex_unlock(&node->gate.lock);
}

void
block_gate_add_queue(BlockQueue *queue)
{
    BlockNode *node = block_node_protocol(queue->node);

    g_mutex_lock(&node->gate.lock);
    g_ptr_array_add(node->gate.queues, queue);
    g_mutex_unlock(&node->gate.lock);
}

void
block_gate_remove_queue(BlockQueue *queue)
{
    BlockNode *node = block_node_protocol(queue->node);

    g_mutex_lock(&node->gate.lock);
    g_ptr_array_remove_fast(node->gate.queues, queue);
    g_mutex_unlock(&node->gate.lock);
    io_loop_cancel(queue->loop, gate_run_resumed, queue);
}

void
block_gate_poll(BlockQueue *queue)
{
    BlockNode *node = block_node_protocol(queue->node);
    g_autoptr(GPtrArray) siblings = g_ptr_array_new();

    g_mutex_lock(&node->gate.lock);
    for (guint i = 0; i < node->gate.queues->len; i++) {
        BlockQueue *other = node->gate.queues->pdata[i];

        if (other != queue && other->loop == queue->loop)
            g_ptr_array_add(siblings, other);
    }
    g_mutex_unlock(&node->gate.lock);
    for (guint i = 0; i < siblings->len; i++) {
        BlockQueue *other = siblings->pdata[i];

        gate_run_resumed(other);
        other->engine->reap(other);
    }
    gate_run_resumed(queue);
    /* what is in the way may belong to a queue of another thread */
    if (queue->at_gate > 0 && queue->at_gate == queue->active)
        g_usleep(GATE_POLL_US);
}
