/* job_mirror.c - jobs that keep a copy in step with the guest until the device changes over to it:
 * drive-mirror, and committing the image that the guest writes.
 *
 * First the guest's writes become dirty and are copied after it. When the user wants the end they
 * go to both sides at once, so that the rest only shrinks; the change happens with nothing dirty
 * while the queue stands still.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/job_private.h"
#include "util/error.h"

/* What is to be copied at first: all, or what the images above @base have. */
static int
mirror_begin(BlockJob *job)
{
    BlockNode *base = job->base ? job->base : job->root->backing;
    uint64_t size = job->root->size;

    if (job->sync == BLOCK_SYNC_FULL)
        job_filter_set_dirty(job->filter, 0, size, true);
    for (uint64_t at = 0; job->sync == BLOCK_SYNC_TOP && at < size;) {
        BlockStatus s;
        int r = block_node_status_above(job->root, base, at, size - at, &s);

        if (r < 0)
            return job_retries(job, true, r) ? -EAGAIN : r;
        if (s.flags & BLOCK_STATUS_ALLOCATED)
            job_filter_set_dirty(job->filter, at, s.length, true);
        at += s.length;
        if (!job_point(job))
            return -ECANCELED;
    }
    return 0;
}

static bool
mirror_wants_end(BlockJob *job)
{
    bool end;

    g_mutex_lock(&job->lock);
    end = job->complete || job->soft_cancelled;
    g_mutex_unlock(&job->lock);
    return end;
}

static int
mirror_run(BlockJob *job)
{
    uint64_t at = 0, done, dirty;
    bool begun = job->length > 0; /* not the first time */
    int r = 0;

    while (!begun && (r = mirror_begin(job)) == -EAGAIN)
        ;
    if (r < 0)
        return r;
    for (;;) {
        if (!job_point(job))
            return -ECANCELED;
        dirty = job_filter_dirty(job->filter);
        job_set_length(job, MAX(job->offset + dirty, 1));
        if (dirty == 0) {
            job_get_ready(job);
            if (mirror_wants_end(job))
                return 0;
            job_doze(job);
            continue;
        }
        if (mirror_wants_end(job))
            job_filter_set_mode(job->filter, JOB_FILTER_REPEAT);
        r = job_copy_dirty(job, job->root, job->target, &at, &done);
        if (r < 0)
            return r;
        if (done > 0)
            job_advance(job, done);
    }
}

/* A target that gets only what the root has of its own lies on what the root lies on, from the
 * beginning: parts of its clusters are filled up from there, and zeroes have to hide it. */
static void
target_attach(BlockJob *job)
{
    job->attached = !job->base && job->sync != BLOCK_SYNC_FULL && !job->target->backing &&
                    job->target->driver->has_backing && job->root->backing;
    if (job->attached)
        job->target->backing = block_node_ref(job->root->backing);
}

/* The device's claim goes from the root to the target. */
static bool
mirror_pivot(BlockJob *job, GError **err)
{
    const BlockNode *protocol = block_node_protocol(job->root);
    bool claimed = protocol->claims > 0, share = protocol->claims_share;

    if (job->target_claimed)
        block_node_release(job->target);
    job->target_claimed = false;
    if (claimed)
        block_node_release(job->root);
    if (!claimed || block_node_claim(job->target, true, share, err))
        return true;
    block_node_claim(job->root, true, share, NULL);
    return false;
}

static int
mirror_finish(BlockJob *job)
{
    BlockPause *pause = block_pause_begin(&job->root, 1);
    g_autoptr(GError) err = NULL;
    int r = job_filter_dirty(job->filter) > 0 ? -EAGAIN : block_node_flush(job->target);

    if (r == -EAGAIN) {
        job_filter_set_mode(job->filter, JOB_FILTER_REPEAT);
    } else if (r < 0) {
        job_retries(job, false, r);
    } else if (job->complete && !job->cancelled) {
        if (mirror_pivot(job, &err)) {
            block_pause_switch(pause, job->root, job->target);
            job->installed = false;
            job->pivoted = true;
            if (job->jobs->ops.root_changed)
                job->jobs->ops.root_changed(job->jobs->ops.opaque, job->root, job->target);
        } else {
            job_set_error(job, err->message);
            r = -EBUSY;
        }
    }
    block_pause_end(pause);
    return r;
}

static void
mirror_clean(BlockJob *job)
{
    job_remove_filter(job);
    if (job->target_claimed)
        block_node_release(job->target);
    job->target_claimed = false;
    if (job->attached && !job->pivoted)
        g_clear_pointer(&job->target->backing, block_node_unref);
    if (job->base_opened && !job->pivoted)
        job_set_access(job, job->base, false, NULL);
    job->base_opened = false;
}

static const BlockJobKind mirror_kind = {
    .name = "mirror",
    .gets_ready = true,
    .run = mirror_run,
    .finish = mirror_finish,
    .clean = mirror_clean,
};

static const BlockJobKind active_commit_kind = {
    .name = "commit",
    .gets_ready = true,
    .run = mirror_run,
    .finish = mirror_finish,
    .clean = mirror_clean,
};

static bool
mirror_start(BlockJob *job, uint64_t granularity, GError **err)
{
    job->filter = job_filter_new(job->root, job->repeat ? JOB_FILTER_REPEAT : JOB_FILTER_TRACK,
                                 granularity ? granularity : JOB_GRANULARITY, job->target, err);
    if (!job->filter)
        return job_give_up(job);
    job_install_filter(job);
    return job_start(job, err);
}

bool
block_job_mirror(BlockJobs *jobs, const BlockJobOptions *options, BlockNode *target,
                 BlockJobSync sync, bool repeat, uint64_t granularity, GError **err)
{
    BlockJob *job;

    if (granularity & (granularity - 1) ||
        (granularity && (granularity < 512 || granularity > 64 << 20)))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "Parameter 'granularity' expects a power of two from 512 to 64M");
    if (job_chain_has(options->root, target))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Can't mirror node into itself");
    if (target->size < options->root->size)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "target '%s' has %" G_GUINT64_FORMAT
                              " bytes, the disk %" G_GUINT64_FORMAT "; make it as large",
                              target->name, target->size, options->root->size);
    if (!block_jobs_check_free(jobs, target, err))
        return false;
    job = job_new(jobs, options, &mirror_kind, err);
    if (!job)
        return false;
    job->target = block_node_ref(target);
    job->sync = sync == BLOCK_SYNC_TOP && !job->root->backing ? BLOCK_SYNC_FULL : sync;
    job->repeat = repeat;
    target_attach(job);
    job->target_claimed = block_node_claim(target, true, false, err);
    return job->target_claimed ? mirror_start(job, granularity, err) : job_give_up(job);
}

bool
job_commit_active(BlockJob *job, GError **err)
{
    job->kind = &active_commit_kind;
    job->target = block_node_ref(job->base);
    job->sync = BLOCK_SYNC_TOP;
    return mirror_start(job, 0, err);
}
