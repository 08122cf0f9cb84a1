/* pool.c - the worker threads that run calls. See pool.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/rpc/pool.h"

#define POOL_IDLE_SECONDS 30

typedef struct {
    RpcPoolFunc func;
    void *data;
} PoolJob;

typedef struct {
    guint max, running, idle;
} PoolKind;

/* @lock guards everything. Jobs marked priority are taken before others by either kind of worker:
 * they are short by definition, so others do not starve. */
struct RpcPool {
    GMutex lock;
    GCond work;          /* ordinary workers wait here */
    GCond priority_work; /* priority workers wait here */
    GCond ended;         /* a worker ended */
    GQueue jobs, priority_jobs;
    PoolKind ordinary, priority;
    bool quit;
};

RpcPool *
rpc_pool_new(guint max_workers, guint max_priority)
{
    RpcPool *pool = g_new0(RpcPool, 1);

    g_mutex_init(&pool->lock);
    g_cond_init(&pool->work);
    g_cond_init(&pool->priority_work);
    g_cond_init(&pool->ended);
    g_queue_init(&pool->jobs);
    g_queue_init(&pool->priority_jobs);
    pool->ordinary.max = MAX(max_workers, 1);
    pool->priority.max = MAX(max_priority, 1);
    return pool;
}

static PoolJob *
pool_take(RpcPool *pool, bool priority)
{
    PoolJob *job = g_queue_pop_head(&pool->priority_jobs);

    return job || priority ? job : g_queue_pop_head(&pool->jobs);
}

/* Runs jobs until there is none for POOL_IDLE_SECONDS. */
static void
pool_work(RpcPool *pool, bool priority)
{
    PoolKind *kind = priority ? &pool->priority : &pool->ordinary;
    GCond *cond = priority ? &pool->priority_work : &pool->work;

    g_mutex_lock(&pool->lock);
    while (kind->running <= kind->max) {
        PoolJob *job = pool_take(pool, priority);

        if (!job) {
            gint64 until = g_get_monotonic_time() + POOL_IDLE_SECONDS * G_TIME_SPAN_SECOND;
            bool woken;

            if (pool->quit)
                break;
            kind->idle++;
            woken = g_cond_wait_until(cond, &pool->lock, until);
            kind->idle--;
            if (!woken && g_queue_is_empty(&pool->priority_jobs) &&
                (priority || g_queue_is_empty(&pool->jobs)))
                break;
            continue;
        }
        g_mutex_unlock(&pool->lock);
        job->func(job->data);
        g_free(job);
        g_mutex_lock(&pool->lock);
    }
    kind->running--;
    g_cond_broadcast(&pool->ended);
    g_mutex_unlock(&pool->lock);
}

static void *
pool_ordinary_thread(void *data)
{
    pool_work(data, false);
    return NULL;
}

static void *
pool_priority_thread(void *data)
{
    pool_work(data, true);
    return NULL;
}

static bool
pool_start(RpcPool *pool, PoolKind *kind, const char *name, GThreadFunc func)
{
    GThread *thread;

    if (kind->running >= kind->max)
        return false;
    /* Without a new thread the job waits for one of those there are. */
    thread = g_thread_try_new(name, func, pool, NULL);
    if (!thread)
        return false;
    kind->running++;
    g_thread_unref(thread);
    return true;
}

void
rpc_pool_push(RpcPool *pool, bool priority, RpcPoolFunc func, void *data)
{
    PoolJob *job = g_new0(PoolJob, 1);
    guint waiting;

    job->func = func;
    job->data = data;
    g_mutex_lock(&pool->lock);
    g_queue_push_tail(priority ? &pool->priority_jobs : &pool->jobs, job);
    waiting = pool->jobs.length + pool->priority_jobs.length;
    if (pool->ordinary.idle >= waiting)
        g_cond_signal(&pool->work);
    else if (pool_start(pool, &pool->ordinary, "call", pool_ordinary_thread))
        ;
    else if (pool->ordinary.idle)
        g_cond_signal(&pool->work);
    else if (priority && pool->priority.idle)
        g_cond_signal(&pool->priority_work);
    else if (priority)
        pool_start(pool, &pool->priority, "call-fast", pool_priority_thread);
    g_mutex_unlock(&pool->lock);
}

void
rpc_pool_set_limits(RpcPool *pool, guint max_workers, guint max_priority)
{
    g_mutex_lock(&pool->lock);
    pool->ordinary.max = MAX(max_workers, 1);
    pool->priority.max = MAX(max_priority, 1);
    g_cond_broadcast(&pool->work);
    g_cond_broadcast(&pool->priority_work);
    g_mutex_unlock(&pool->lock);
}

bool
rpc_pool_is_idle(RpcPool *pool)
{
    bool idle;

    g_mutex_lock(&pool->lock);
    idle = !pool->jobs.length && !pool->priority_jobs.length &&
           pool->ordinary.running == pool->ordinary.idle &&
           pool->priority.running == pool->priority.idle;
    g_mutex_unlock(&pool->lock);
    return idle;
}

void
rpc_pool_free(RpcPool *pool)
{
    if (!pool)
        return;
    g_mutex_lock(&pool->lock);
    pool->quit = true;
    g_cond_broadcast(&pool->work);
    g_cond_broadcast(&pool->priority_work);
    while (pool->ordinary.running || pool->priority.running)
        g_cond_wait(&pool->ended, &pool->lock);
    g_mutex_unlock(&pool->lock);
    g_cond_clear(&pool->work);
    g_cond_clear(&pool->priority_work);
    g_cond_clear(&pool->ended);
    g_mutex_clear(&pool->lock);
    g_free(pool);
}
