/* job.c - the life of a block job: its thread, its states, and what users ask of it.
 *
 * Source: QEMU 7.2, qapi/job.json (JobStatus, and which command a state takes).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/job_private.h"
#include "util/error.h"

enum { DOZE_US = 20000 };

const char *
block_job_status_name(BlockJobStatus status)
{
    static const char *const names[] = { "created", "running", "paused",   "ready",     "standby",
                                         "waiting", "pending", "aborting", "concluded", "null" };

    return names[status];
}

/* ---- events ---- */

typedef struct {
    BlockJob *job;
    BlockJobEvent event;
    BlockJobInfo info;
    char *error;
} JobPost;

/* With the lock held. */
static void
info_fill(BlockJob *job, BlockJobInfo *ret)
{
    *ret = (BlockJobInfo){
        .id = job->id,
        .type = job->kind->name,
        .error = job->error,
        .status = job->status,
        .offset = job->offset,
        .length = MAX(job->length, job->offset),
        .speed = job->speed,
        .busy = job->status == BLOCK_JOB_RUNNING || job->status == BLOCK_JOB_READY,
        .paused = job->paused,
        .ready = job->status == BLOCK_JOB_READY || job->status == BLOCK_JOB_STANDBY,
        .failed = job->stopped,
        .manual_finalize = job->manual_finalize,
        .manual_dismiss = job->manual_dismiss,
        .reading = job->reading,
        .stopped = job->stopped,
    };
}

void
block_job_info(BlockJob *job, BlockJobInfo *ret)
{
    g_mutex_lock(&job->lock);
    info_fill(job, ret);
    g_mutex_unlock(&job->lock);
}

static void
post_free(gpointer data)
{
    JobPost *post = data;

    job_unref(post->job);
    g_free(post->error);
    g_free(post);
}

static gboolean
post_run(gpointer data)
{
    JobPost *post = data;
    BlockJobs *jobs = post->job->jobs;

    if (jobs && jobs->ops.event)
        jobs->ops.event(jobs->ops.opaque, post->event, &post->info);
    return G_SOURCE_REMOVE;
}

static void
main_attach(BlockJob *job, GSourceFunc fn, gpointer data, GDestroyNotify destroy)
{
    GSource *source = g_idle_source_new();

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, fn, data, destroy);
    g_source_attach(source, job->jobs->context);
    g_source_unref(source);
}

/* With the lock held. In order, and never from inside of the call that made the event. */
static void
job_post(BlockJob *job, BlockJobEvent event)
{
    JobPost *post = g_new0(JobPost, 1);

    g_atomic_int_inc(&job->refs);
    post->job = job;
    post->event = event;
    info_fill(job, &post->info);
    post->error = g_strdup(job->error);
    post->info.error = post->error;
    main_attach(job, post_run, post, post_free);
}

/* With the lock held. */
static void
job_set_status(BlockJob *job, BlockJobStatus status)
{
    if (job->status == status)
        return;
    job->status = status;
    job_post(job, BLOCK_JOB_EVENT_STATUS);
}

/* ---- the thread's side ---- */

bool
job_point(BlockJob *job)
{
    bool go;

    g_mutex_lock(&job->lock);
    if (job->paused && !job->cancelled) {
        job->before_pause = job->status;
        job_set_status(job, job->status == BLOCK_JOB_READY ? BLOCK_JOB_STANDBY : BLOCK_JOB_PAUSED);
        while (job->paused && !job->cancelled)
            g_cond_wait(&job->wake, &job->lock);
        job_set_status(job, job->before_pause);
    }
    go = !job->cancelled;
    g_mutex_unlock(&job->lock);
    return go;
}

void
job_advance(BlockJob *job, uint64_t bytes)
{
    gint64 now = g_get_monotonic_time();

    g_mutex_lock(&job->lock);
    job->offset += bytes;
    if (job->speed > 0)
        job->next =
            MAX(job->next, now) + (gint64)((double)bytes / (double)job->speed * G_USEC_PER_SEC);
    while (job->speed > 0 && job->next > now && !job->cancelled && !job->paused) {
        g_cond_wait_until(&job->wake, &job->lock, job->next);
        now = g_get_monotonic_time();
    }
    g_mutex_unlock(&job->lock);
}

void
job_skip(BlockJob *job, uint64_t bytes)
{
    g_mutex_lock(&job->lock);
    job->offset += bytes;
    g_mutex_unlock(&job->lock);
}

void
job_set_length(BlockJob *job, uint64_t length)
{
    g_mutex_lock(&job->lock);
    job->length = length;
    g_mutex_unlock(&job->lock);
}

void
job_get_ready(BlockJob *job)
{
    g_mutex_lock(&job->lock);
    if (job->status == BLOCK_JOB_RUNNING) {
        job_set_status(job, BLOCK_JOB_READY);
        job_post(job, BLOCK_JOB_EVENT_READY);
    }
    g_mutex_unlock(&job->lock);
}

void
job_doze(BlockJob *job)
{
    g_mutex_lock(&job->lock);
    if (!job->cancelled && !job->complete && !job->soft_cancelled && !job->paused)
        g_cond_wait_until(&job->wake, &job->lock, g_get_monotonic_time() + DOZE_US);
    g_mutex_unlock(&job->lock);
}

bool
job_retries(BlockJob *job, bool reading, int ret)
{
    BlockOnError on = reading ? job->on_source_error : job->on_target_error;
    bool stop =
        on == BLOCK_ON_ERROR_STOP || (on == BLOCK_ON_ERROR_ENOSPC && !reading && ret == -ENOSPC);

    g_mutex_lock(&job->lock);
    job->reading = reading;
    job->stopped = stop;
    if (stop)
        job->paused = true;
    job_post(job, BLOCK_JOB_EVENT_ERROR);
    g_mutex_unlock(&job->lock);
    return stop;
}

void
job_set_error(BlockJob *job, const char *message)
{
    g_mutex_lock(&job->lock);
    if (!job->error)
        job->error = g_strdup(message);
    g_mutex_unlock(&job->lock);
}

int
job_copy_dirty(BlockJob *job, BlockNode *from, BlockNode *to, uint64_t *at, uint64_t *ret_done)
{
    uint64_t offset, length;
    JobRange range;
    bool reading;
    int r;

    *ret_done = 0;
    while (job_filter_next(job->filter, *at, JOB_CHUNK, &offset, &length)) {
        job_filter_enter(job->filter, &range, offset, length, true);
        /* the guest's writes may have saved some of it meanwhile, or added to it */
        if (!job_filter_next_in(job->filter, &range, offset, &offset, &length)) {
            job_filter_leave(job->filter, &range);
            continue;
        }
        job_filter_set_dirty(job->filter, offset, length, false);
        r = job_copy(from, to, offset, length, &reading);
        if (r < 0)
            job_filter_set_dirty(job->filter, offset, length, true);
        job_filter_leave(job->filter, &range);
        if (r < 0)
            return job_retries(job, reading, r) ? 0 : r;
        *at = offset + length;
        *ret_done = length;
        return 0;
    }
    return 0;
}

/* ---- beginning and end ---- */

static void
job_free(BlockJob *job)
{
    block_node_unref(job->filter);
    block_node_unref(job->node);
    block_node_unref(job->base);
    block_node_unref(job->above);
    block_node_unref(job->target);
    block_node_unref(job->root);
    g_free(job->backing_name);
    g_free(job->backing_format);
    g_free(job->bitmap);
    g_free(job->kept);
    g_free(job->error);
    g_free(job->id);
    g_cond_clear(&job->wake);
    g_mutex_clear(&job->lock);
    g_free(job);
}

void
job_unref(BlockJob *job)
{
    if (g_atomic_int_dec_and_test(&job->refs))
        job_free(job);
}

/* Lets go of the images at once: a job that is only remembered must not hold them. */
static void
job_drop_nodes(BlockJob *job)
{
    g_clear_pointer(&job->filter, block_node_unref);
    g_clear_pointer(&job->node, block_node_unref);
    g_clear_pointer(&job->base, block_node_unref);
    g_clear_pointer(&job->above, block_node_unref);
    g_clear_pointer(&job->target, block_node_unref);
    g_clear_pointer(&job->root, block_node_unref);
}

static void
job_forget(BlockJob *job)
{
    g_mutex_lock(&job->lock);
    job_set_status(job, BLOCK_JOB_NULL);
    g_mutex_unlock(&job->lock);
    g_ptr_array_remove(job->jobs->list, job);
}

static void
job_conclude(BlockJob *job, BlockJobEvent event)
{
    job->kind->clean(job);
    job_drop_nodes(job);
    g_mutex_lock(&job->lock);
    job_post(job, event);
    job_set_status(job, BLOCK_JOB_CONCLUDED);
    g_mutex_unlock(&job->lock);
    if (!job->manual_dismiss)
        job_forget(job);
}

static void
job_fail(BlockJob *job, int ret)
{
    bool cancelled;

    g_mutex_lock(&job->lock);
    cancelled = job->cancelled;
    if (!cancelled && !job->error)
        job->error = g_strdup(g_strerror(-ret));
    job_set_status(job, BLOCK_JOB_ABORTING);
    g_mutex_unlock(&job->lock);
    job_conclude(job, cancelled ? BLOCK_JOB_EVENT_CANCELLED : BLOCK_JOB_EVENT_COMPLETED);
}

static gboolean job_ended(gpointer data);

static void *
job_thread(void *opaque)
{
    BlockJob *job = opaque;

    job->ret = job->kind->run(job);
    main_attach(job, job_ended, job, (GDestroyNotify)job_unref);
    return NULL;
}

static bool
job_launch(BlockJob *job, GError **err)
{
    g_atomic_int_inc(&job->refs);
    job->thread = g_thread_try_new("block-job", job_thread, job, err);
    if (!job->thread)
        job_unref(job);
    return job->thread != NULL;
}

static void
job_finish(BlockJob *job)
{
    int r = job->kind->finish ? job->kind->finish(job) : 0;
    g_autoptr(GError) err = NULL;

    if (r == -EAGAIN) {
        job->finalize = true;
        if (!job_launch(job, &err)) {
            job_set_error(job, err->message);
            job_fail(job, -EAGAIN);
        }
        return;
    }
    if (r < 0) {
        job_fail(job, r);
        return;
    }
    if (!job->manual_finalize) {
        g_mutex_lock(&job->lock);
        job_set_status(job, BLOCK_JOB_WAITING);
        job_set_status(job, BLOCK_JOB_PENDING);
        g_mutex_unlock(&job->lock);
    }
    job_conclude(job, BLOCK_JOB_EVENT_COMPLETED);
}

static gboolean
job_ended(gpointer data)
{
    BlockJob *job = data;

    if (!job->jobs || !job->thread)
        return G_SOURCE_REMOVE;
    g_thread_join(g_steal_pointer(&job->thread));
    if (job->ret < 0 || job->cancelled) {
        job_fail(job, job->ret < 0 ? job->ret : -ECANCELED);
    } else if (job->manual_finalize && !job->finalize) {
        g_mutex_lock(&job->lock);
        job_set_status(job, BLOCK_JOB_WAITING);
        job_set_status(job, BLOCK_JOB_PENDING);
        job_post(job, BLOCK_JOB_EVENT_PENDING);
        g_mutex_unlock(&job->lock);
    } else {
        job_finish(job);
    }
    return G_SOURCE_REMOVE;
}

BlockJob *
job_new(BlockJobs *jobs, const BlockJobOptions *options, const BlockJobKind *kind, GError **err)
{
    BlockJob *job;

    if (!options->id || !*options->id) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "An explicit job ID is required for this node");
        return NULL;
    }
    if (block_jobs_find(jobs, options->id)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Job ID '%s' already in use", options->id);
        return NULL;
    }
    if (!block_jobs_check_free(jobs, options->root, err))
        return NULL;
    job = g_new0(BlockJob, 1);
    job->refs = 1;
    job->jobs = jobs;
    job->kind = kind;
    job->id = g_strdup(options->id);
    job->root = block_node_ref(options->root);
    job->speed = options->speed;
    job->manual_finalize = options->manual_finalize;
    job->manual_dismiss = options->manual_dismiss;
    job->on_source_error = options->on_source_error;
    job->on_target_error = options->on_target_error;
    g_mutex_init(&job->lock);
    g_cond_init(&job->wake);
    return job;
}

bool
job_give_up(BlockJob *job)
{
    job->kind->clean(job);
    job_unref(job);
    return false;
}

bool
job_start(BlockJob *job, GError **err)
{
    g_ptr_array_add(job->jobs->list, job);
    g_mutex_lock(&job->lock);
    job_post(job, BLOCK_JOB_EVENT_STATUS);
    job_set_status(job, BLOCK_JOB_RUNNING);
    g_mutex_unlock(&job->lock);
    if (job_launch(job, err))
        return true;
    job->kind->clean(job);
    job_forget(job);
    return false;
}

/* ---- what users ask ---- */

/* With the lock held: whether the state is one of @states, a bit each. */
static bool
verb_check(BlockJob *job, const char *verb, unsigned states, GError **err)
{
    if (states & 1u << job->status)
        return true;
    return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                          "Job '%s' in state '%s' cannot accept command verb '%s'", job->id,
                          block_job_status_name(job->status), verb);
}

enum {
    VERB_ACTIVE = 1u << BLOCK_JOB_CREATED | 1u << BLOCK_JOB_RUNNING | 1u << BLOCK_JOB_PAUSED |
                  1u << BLOCK_JOB_READY | 1u << BLOCK_JOB_STANDBY,
    VERB_CANCEL = VERB_ACTIVE | 1u << BLOCK_JOB_WAITING | 1u << BLOCK_JOB_PENDING,
    VERB_COMPLETE = 1u << BLOCK_JOB_READY,
};

bool
block_job_set_speed(BlockJob *job, uint64_t speed, GError **err)
{
    bool ok;

    g_mutex_lock(&job->lock);
    ok = verb_check(job, "set-speed", VERB_ACTIVE, err);
    if (ok) {
        job->speed = speed;
        job->next = 0;
        g_cond_broadcast(&job->wake);
    }
    g_mutex_unlock(&job->lock);
    return ok;
}

static bool
job_set_paused(BlockJob *job, bool paused, const char *verb, GError **err)
{
    bool ok;

    g_mutex_lock(&job->lock);
    ok = verb_check(job, verb, VERB_ACTIVE, err);
    if (ok && job->paused == paused)
        ok = kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "Job '%s' is %s paused", job->id,
                            paused ? "already" : "not");
    if (ok) {
        job->paused = paused;
        job->stopped &= paused;
        g_cond_broadcast(&job->wake);
    }
    g_mutex_unlock(&job->lock);
    return ok;
}

bool
block_job_pause(BlockJob *job, GError **err)
{
    return job_set_paused(job, true, "pause", err);
}

bool
block_job_resume(BlockJob *job, GError **err)
{
    return job_set_paused(job, false, "resume", err);
}

bool
block_job_cancel(BlockJob *job, bool force, GError **err)
{
    bool ok, pending;

    g_mutex_lock(&job->lock);
    ok = verb_check(job, "cancel", VERB_CANCEL, err);
    pending = ok && !job->thread;
    if (ok) {
        if (!force && (job->status == BLOCK_JOB_READY || job->status == BLOCK_JOB_STANDBY))
            job->soft_cancelled = true;
        else
            job->cancelled = true;
        if (!force)
            job->paused = false;
        g_cond_broadcast(&job->wake);
    }
    g_mutex_unlock(&job->lock);
    if (pending)
        job_fail(job, -ECANCELED);
    return ok;
}

bool
block_job_complete(BlockJob *job, GError **err)
{
    bool ok;

    g_mutex_lock(&job->lock);
    if (job->status == BLOCK_JOB_RUNNING && job->kind->gets_ready)
        ok = kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                            "The active block job '%s' cannot be completed", job->id);
    else
        ok = verb_check(job, "complete", VERB_COMPLETE, err);
    if (ok) {
        job->complete = true;
        g_cond_broadcast(&job->wake);
    }
    g_mutex_unlock(&job->lock);
    return ok;
}

bool
block_job_finalize(BlockJob *job, GError **err)
{
    bool ok;

    g_mutex_lock(&job->lock);
    ok = verb_check(job, "finalize", 1u << BLOCK_JOB_PENDING, err);
    g_mutex_unlock(&job->lock);
    if (ok)
        job_finish(job);
    return ok;
}

bool
block_job_dismiss(BlockJob *job, GError **err)
{
    bool ok;

    g_mutex_lock(&job->lock);
    ok = verb_check(job, "dismiss", 1u << BLOCK_JOB_CONCLUDED, err);
    g_mutex_unlock(&job->lock);
    if (ok)
        job_forget(job);
    return ok;
}

/* ---- all jobs ---- */

BlockJobs *
block_jobs_new(const BlockJobOps *ops)
{
    BlockJobs *jobs = g_new0(BlockJobs, 1);

    jobs->ops = *ops;
    jobs->context = g_main_context_ref_thread_default();
    jobs->list = g_ptr_array_new_with_free_func((GDestroyNotify)job_unref);
    return jobs;
}

void
block_jobs_free(BlockJobs *jobs)
{
    if (!jobs)
        return;
    for (guint i = 0; i < jobs->list->len; i++) {
        BlockJob *job = jobs->list->pdata[i];

        g_mutex_lock(&job->lock);
        job->cancelled = true;
        g_cond_broadcast(&job->wake);
        g_mutex_unlock(&job->lock);
        if (job->thread)
            g_thread_join(g_steal_pointer(&job->thread));
        if (job->root)
            job->kind->clean(job);
        job_drop_nodes(job);
        job->jobs = NULL; /* what is still on its way tells nobody */
    }
    g_ptr_array_unref(jobs->list);
    g_main_context_unref(jobs->context);
    g_free(jobs);
}

BlockJob *
block_jobs_find(BlockJobs *jobs, const char *id)
{
    for (guint i = 0; i < jobs->list->len; i++)
        if (strcmp(((BlockJob *)jobs->list->pdata[i])->id, id) == 0)
            return jobs->list->pdata[i];
    return NULL;
}

void
block_jobs_visit(BlockJobs *jobs, void (*fn)(BlockJob *job, void *opaque), void *opaque)
{
    for (guint i = 0; i < jobs->list->len; i++)
        fn(jobs->list->pdata[i], opaque);
}

bool
block_jobs_check_free(BlockJobs *jobs, BlockNode *node, GError **err)
{
    for (guint i = 0; i < jobs->list->len; i++) {
        BlockJob *job = jobs->list->pdata[i];

        if ((job->root && (job_chain_has(job->root, node) || job_chain_has(node, job->root))) ||
            (job->target && job_chain_has(job->target, node)))
            return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                                  "Node '%s' is busy: block device is in use by block job: %s",
                                  node->name ? node->name : block_node_filename(node),
                                  job->kind->name);
    }
    return true;
}
