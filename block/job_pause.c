/* job_pause.c - images stand still while their graph changes: queues drained and their loops held,
 * and files that were open for reading made writable.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/job_pause.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/job_filter.h"
#include "util/error.h"

typedef struct {
    BlockQueue *queue;
    BlockNode *root, *to; /* to: NULL when it goes on as it is */
} PausedQueue;

typedef struct {
    BlockPause *pause;
    IoLoop *loop;
    GArray *queues; /* of PausedQueue */
    bool current;   /* the caller's own loop: nothing else runs in it */
    bool over;
} PausedLoop;

struct BlockPause {
    GMutex lock;
    GCond changed;
    unsigned waiting; /* loops that are not held yet, then those that are not let go yet */
    bool go;
    GPtrArray *loops; /* of PausedLoop */
};

BlockNode *
block_queue_root(const BlockQueue *queue)
{
    return queue->node && queue->node->driver == &block_job_filter_driver ? queue->node->file
                                                                          : queue->node;
}

static void
loop_drain(PausedLoop *loop)
{
    bool busy = true;

    /* what ends on one queue may begin something on another */
    while (busy) {
        busy = false;
        for (guint i = 0; i < loop->queues->len; i++) {
            BlockQueue *queue = g_array_index(loop->queues, PausedQueue, i).queue;

            busy |= queue->active > 0;
            block_queue_hold(queue);
        }
    }
}

static void
loop_go_on(PausedLoop *loop)
{
    for (guint i = 0; i < loop->queues->len; i++) {
        PausedQueue *paused = &g_array_index(loop->queues, PausedQueue, i);

        block_queue_let_go(paused->queue, paused->to);
    }
}

static void
loop_hold(void *opaque)
{
    PausedLoop *loop = opaque;
    BlockPause *pause = loop->pause;

    loop_drain(loop);
    g_mutex_lock(&pause->lock);
    pause->waiting--;
    g_cond_broadcast(&pause->changed);
    while (!pause->go)
        g_cond_wait(&pause->changed, &pause->lock);
    g_mutex_unlock(&pause->lock);
    loop_go_on(loop);
    g_mutex_lock(&pause->lock);
    pause->waiting--;
    g_cond_broadcast(&pause->changed);
    g_mutex_unlock(&pause->lock);
}

static void
loop_free(gpointer data)
{
    PausedLoop *loop = data;

    for (guint i = 0; i < loop->queues->len; i++)
        block_node_unref(g_array_index(loop->queues, PausedQueue, i).to);
    g_array_unref(loop->queues);
    g_free(loop);
}

static void
pause_add(BlockPause *pause, BlockQueue *queue, BlockNode *root)
{
    PausedQueue paused = { .queue = queue, .root = root };
    PausedLoop *loop = NULL;

    for (guint i = 0; i < pause->loops->len && !loop; i++) {
        loop = pause->loops->pdata[i];
        if (loop->loop != queue->loop)
            loop = NULL;
    }
    if (!loop) {
        loop = g_new0(PausedLoop, 1);
        loop->pause = pause;
        loop->loop = queue->loop;
        loop->queues = g_array_new(FALSE, FALSE, sizeof(PausedQueue));
        loop->current = io_loop_is_current(queue->loop);
        g_ptr_array_add(pause->loops, loop);
    }
    g_array_append_val(loop->queues, paused);
}

BlockPause *
block_pause_begin(BlockNode *const *roots, size_t n)
{
    BlockPause *pause = g_new0(BlockPause, 1);

    g_mutex_init(&pause->lock);
    g_cond_init(&pause->changed);
    pause->loops = g_ptr_array_new_with_free_func(loop_free);
    for (size_t r = 0; r < n; r++) {
        BlockNode *protocol = block_node_protocol(roots[r]);

        g_mutex_lock(&protocol->gate.lock);
        for (guint i = 0; i < protocol->gate.queues->len; i++)
            if (block_queue_root(protocol->gate.queues->pdata[i]) == roots[r])
                pause_add(pause, protocol->gate.queues->pdata[i], roots[r]);
        g_mutex_unlock(&protocol->gate.lock);
    }
    g_mutex_lock(&pause->lock);
    for (guint i = 0; i < pause->loops->len; i++) {
        PausedLoop *loop = pause->loops->pdata[i];

        if (loop->current)
            continue;
        pause->waiting++;
        io_loop_defer(loop->loop, loop_hold, loop);
    }
    while (pause->waiting > 0)
        g_cond_wait(&pause->changed, &pause->lock);
    g_mutex_unlock(&pause->lock);
    for (guint i = 0; i < pause->loops->len; i++)
        if (((PausedLoop *)pause->loops->pdata[i])->current)
            loop_drain(pause->loops->pdata[i]);
    return pause;
}

void
block_pause_switch(BlockPause *pause, BlockNode *root, BlockNode *to)
{
    for (guint l = 0; l < pause->loops->len; l++) {
        PausedLoop *loop = pause->loops->pdata[l];

        for (guint i = 0; i < loop->queues->len; i++) {
            PausedQueue *paused = &g_array_index(loop->queues, PausedQueue, i);

            if (paused->root != root)
                continue;
            block_node_unref(paused->to);
            paused->to = block_node_ref(to);
        }
    }
}

void
block_pause_end(BlockPause *pause)
{
    if (!pause)
        return;
    g_mutex_lock(&pause->lock);
    pause->go = true;
    for (guint i = 0; i < pause->loops->len; i++)
        pause->waiting += !((PausedLoop *)pause->loops->pdata[i])->current;
    g_cond_broadcast(&pause->changed);
    g_mutex_unlock(&pause->lock);
    for (guint i = 0; i < pause->loops->len; i++)
        if (((PausedLoop *)pause->loops->pdata[i])->current)
            loop_go_on(pause->loops->pdata[i]);
    g_mutex_lock(&pause->lock);
    while (pause->waiting > 0)
        g_cond_wait(&pause->changed, &pause->lock);
    g_mutex_unlock(&pause->lock);
    g_ptr_array_unref(pause->loops);
    g_cond_clear(&pause->changed);
    g_mutex_clear(&pause->lock);
    g_free(pause);
}

/* ---- access ---- */

/* A descriptor of the same file that can write, in place of the node's. */
static bool
protocol_open_again(BlockNode *protocol, const BlockOpenOps *ops, GError **err)
{
    struct stat old, new;
    int fd;

    if (protocol->fd < 0 || !ops->open_file)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "image '%s' is open for reading and cannot be opened for writing now",
                              protocol->filename ? protocol->filename : protocol->driver->name);
    fd = ops->open_file(ops->opaque, protocol->filename,
                        O_RDWR | O_CLOEXEC | (protocol->direct ? O_DIRECT : 0), err);
    if (fd < 0)
        return false;
    if (fstat(protocol->fd, &old) < 0 || fstat(fd, &new) < 0 || old.st_dev != new.st_dev ||
        old.st_ino != new.st_ino || old.st_rdev != new.st_rdev) {
        close(fd);
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "'%s' names another file now than the one in use",
                              protocol->filename);
    }
    block_unlock_image(protocol);
    close(protocol->fd);
    protocol->fd = fd;
    return true;
}

static bool
protocol_set_access(BlockNode *protocol, bool writable, const BlockOpenOps *ops, GError **err)
{
    if (!writable) {
        protocol->writers -= protocol->writers > 0;
        protocol->read_only = true;
        return protocol->claims == 0 ||
               block_lock_image(protocol, protocol->writers > 0, protocol->claims_share, err);
    }
    if (protocol->read_only && !protocol_open_again(protocol, ops, err))
        return false;
    if (protocol->claims > 0 && !block_lock_image(protocol, true, protocol->claims_share, err)) {
        block_lock_image(protocol, protocol->writers > 0, protocol->claims_share, NULL);
        return false;
    }
    protocol->writers++;
    protocol->read_only = false;
    return true;
}

bool
block_node_set_access(BlockNode *node, bool writable, const BlockOpenOps *ops, GError **err)
{
    BlockNode *protocol = block_node_protocol(node);

    if (writable && node->extents)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "image '%s' has further files, and is open for reading",
                              block_node_filename(node));
    if (writable && !protocol_set_access(protocol, true, ops, err))
        return false;
    for (BlockNode *n = node; n != protocol; n = n->file) {
        if (!n->driver->set_access)
            n->read_only = !writable;
        else if (!n->driver->set_access(n, writable, err)) {
            if (writable)
                protocol_set_access(protocol, false, ops, NULL);
            return false;
        }
    }
    return writable || protocol_set_access(protocol, false, ops, err);
}
