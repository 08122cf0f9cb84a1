/* pool.c - see pool.h. The thread of a loop may be forbidden to start others (seccomp), so that one
 * thread of the pool, its keeper, does nothing but start and join those that work.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/pool.h"

#include "util/error.h"

enum { IDLE_SECONDS = 10 }; /* of a thread that is not needed any more; QEMU's */

struct BlockPool {
    BlockPoolFn run;
    GThread *keeper; /* NULL: nobody has joined yet; main thread */

    GMutex lock;       /* guards what follows */
    GCond work;        /* workers: there is some, or they may be too many */
    GCond keep;        /* keeper: workers are missing or have ended */
    GCond settled;     /* a worker has begun, or cannot be started */
    GQueue todo;       /* links of those who push */
    GQueue ended;      /* of GThread, to be joined */
    unsigned min, max; /* sizes */
    unsigned threads, starting,
        idle;    /* workers: all; of these not begun yet, and waiting for work */
    bool failed; /* the last one could not be started */
    bool stopping;
};

/* How many workers are to be started. */
static unsigned
pool_missing(const BlockPool *pool)
{
    unsigned coming = pool->idle + pool->starting;
    unsigned room = pool->max > pool->threads ? pool->max - pool->threads : 0;
    unsigned kept = pool->min > pool->threads ? pool->min - pool->threads : 0;

    if (pool->stopping)
        return 0;
    return MAX(kept, pool->todo.length > coming ? MIN(pool->todo.length - coming, room) : 0);
}

static void
pool_run(BlockPool *pool, GList *link)
{
    g_mutex_unlock(&pool->lock);
    pool->run(link->data);
    g_mutex_lock(&pool->lock);
}

/* True when there may be something to do. */
static bool
worker_wait(BlockPool *pool)
{
    gint64 until = g_get_monotonic_time() + IDLE_SECONDS * G_TIME_SPAN_SECOND;
    bool woken = true;

    pool->idle++;
    if (pool->threads <= pool->min)
        g_cond_wait(&pool->work, &pool->lock);
    else
        woken = g_cond_wait_until(&pool->work, &pool->lock, until);
    pool->idle--;
    return woken || pool->todo.length > 0 || pool->threads <= pool->min;
}

static void *
worker_main(void *opaque)
{
    BlockPool *pool = opaque;

    g_mutex_lock(&pool->lock);
    pool->starting--;
    g_cond_broadcast(&pool->settled);
    while (pool->threads <= pool->max) {
        GList *link = g_queue_pop_head_link(&pool->todo);

        if (link)
            pool_run(pool, link);
        else if (pool->stopping || !worker_wait(pool))
            break;
    }
    pool->threads--;
    g_queue_push_tail(&pool->ended, g_thread_self());
    g_cond_signal(&pool->keep);
    g_mutex_unlock(&pool->lock);
    return NULL;
}

static void
keeper_start(BlockPool *pool)
{
    GThread *thread;

    pool->threads++;
    pool->starting++;
    g_mutex_unlock(&pool->lock);
    thread = g_thread_try_new("block-worker", worker_main, pool, NULL);
    g_mutex_lock(&pool->lock);
    pool->failed = !thread;
    if (thread)
        return;
    pool->threads--;
    pool->starting--;
    g_cond_broadcast(&pool->settled);
}

static void *
keeper_main(void *opaque)
{
    BlockPool *pool = opaque;

    g_mutex_lock(&pool->lock);
    for (;;) {
        GThread *ended = g_queue_pop_head(&pool->ended);
        GList *link;

        if (ended) {
            g_mutex_unlock(&pool->lock);
            g_thread_join(ended);
            g_mutex_lock(&pool->lock);
            continue;
        }
        if (pool->stopping && pool->threads == 0)
            break;
        if (pool_missing(pool) > 0) {
            keeper_start(pool);
            if (!pool->failed)
                continue;
            /* the host has no more: what is there goes on, or else this thread does the work */
            link = pool->threads == 0 ? g_queue_pop_head_link(&pool->todo) : NULL;
            if (link) {
                pool_run(pool, link);
                continue;
            }
        }
        g_cond_wait(&pool->keep, &pool->lock);
    }
    g_mutex_unlock(&pool->lock);
    return NULL;
}

/* Waits until the threads that are always there are. */
static bool
pool_settle(BlockPool *pool, GError **err)
{
    unsigned min, threads;
    bool fine;

    g_mutex_lock(&pool->lock);
    pool->failed = false;
    g_cond_broadcast(&pool->work);
    g_cond_signal(&pool->keep);
    while (pool->threads - pool->starting < pool->min && !pool->failed)
        g_cond_wait(&pool->settled, &pool->lock);
    min = pool->min;
    threads = pool->threads - pool->starting;
    fine = threads >= min;
    g_mutex_unlock(&pool->lock);
    return fine || kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                                  "of the %u threads that thread-pool-min asks for, %u could be "
                                  "started",
                                  min, threads);
}

static bool
pool_start(BlockPool *pool, GError **err)
{
    pool->stopping = false;
    pool->keeper = g_thread_try_new("block-keeper", keeper_main, pool, err);
    return pool->keeper && pool_settle(pool, err);
}

static void
pool_stop(BlockPool *pool)
{
    if (!pool->keeper)
        return;
    g_mutex_lock(&pool->lock);
    pool->stopping = true;
    g_cond_broadcast(&pool->work);
    g_cond_signal(&pool->keep);
    g_mutex_unlock(&pool->lock);
    g_thread_join(g_steal_pointer(&pool->keeper));
}

static void
pool_free(void *opaque)
{
    BlockPool *pool = opaque;

    pool_stop(pool);
    g_mutex_clear(&pool->lock);
    g_cond_clear(&pool->work);
    g_cond_clear(&pool->keep);
    g_cond_clear(&pool->settled);
    g_free(pool);
}

static BlockPool *
pool_of(IoLoop *loop)
{
    BlockPool *pool = io_loop_data(loop);

    if (pool)
        return pool;
    pool = g_new0(BlockPool, 1);
    g_mutex_init(&pool->lock);
    g_cond_init(&pool->work);
    g_cond_init(&pool->keep);
    g_cond_init(&pool->settled);
    g_queue_init(&pool->todo);
    g_queue_init(&pool->ended);
    pool->min = BLOCK_POOL_MIN;
    pool->max = BLOCK_POOL_MAX;
    io_loop_set_data(loop, pool, pool_free);
    return pool;
}

static void
pool_put_sizes(BlockPool *pool, unsigned min, unsigned max)
{
    g_mutex_lock(&pool->lock);
    pool->min = min;
    pool->max = max;
    g_mutex_unlock(&pool->lock);
}

bool
block_pool_set_sizes(IoLoop *loop, unsigned min, unsigned max, GError **err)
{
    BlockPool *pool = pool_of(loop);
    unsigned old_min = pool->min, old_max = pool->max;

    if (max == 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "thread-pool-max=0: a pool of threads wants at least 1");
    if (min > max)
        return kiln_error_set(
            err, VIR_ERR_INVALID_ARG,
            "thread-pool-min=%u is more than thread-pool-max=%u: change the other "
            "first",
            min, max);
    pool_put_sizes(pool, min, max);
    if (!pool->keeper || pool_settle(pool, err))
        return true;
    pool_put_sizes(pool, old_min, old_max);
    return false;
}

void
block_pool_sizes(IoLoop *loop, unsigned *ret_min, unsigned *ret_max)
{
    const BlockPool *pool = pool_of(loop);

    *ret_min = pool->min;
    *ret_max = pool->max;
}

unsigned
block_pool_threads(IoLoop *loop)
{
    BlockPool *pool = pool_of(loop);
    unsigned threads;

    g_mutex_lock(&pool->lock);
    threads = pool->threads;
    g_mutex_unlock(&pool->lock);
    return threads;
}

bool
block_pool_renew(IoLoop *loop, GError **err)
{
    BlockPool *pool = pool_of(loop);

    if (!pool->keeper)
        return true;
    pool_stop(pool);
    return pool_start(pool, err);
}

BlockPool *
block_pool_join(IoLoop *loop, BlockPoolFn run, GError **err)
{
    BlockPool *pool = pool_of(loop);

    if (pool->keeper)
        return pool;
    pool->run = run;
    if (pool_start(pool, err))
        return pool;
    pool_stop(pool);
    return NULL;
}

void
block_pool_push(BlockPool *pool, GList *link)
{
    g_mutex_lock(&pool->lock);
    g_queue_push_tail_link(&pool->todo, link);
    if (pool->idle > 0)
        g_cond_signal(&pool->work);
    if (pool_missing(pool) > 0)
        g_cond_signal(&pool->keep);
    g_mutex_unlock(&pool->lock);
}
