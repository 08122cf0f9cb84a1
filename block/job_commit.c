/* job_commit.c - the data of images goes down into one that they lie on.
 *
 * Order of writes: data, flush, then the header that no longer names what was committed. What the
 * base gets is hidden by the images above it until then.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/job_private.h"
#include "util/error.h"

static int
commit_copy(BlockJob *job)
{
    uint64_t size = job->node->size;

    for (uint64_t at = 0; at < size;) {
        BlockStatus s;
        bool reading = true;
        uint64_t part = MIN(size - at, (uint64_t)JOB_CHUNK);
        int r;

        if (!job_point(job))
            return -ECANCELED;
        r = block_node_status_above(job->node, job->base, at, part, &s);
        if (r == 0 && s.flags & BLOCK_STATUS_ALLOCATED)
            r = job_copy(job->node, job->base, at, s.length, &reading);
        if (r < 0) {
            if (job_retries(job, reading, r))
                continue;
            return r;
        }
        at += s.length;
        if (s.flags & BLOCK_STATUS_ALLOCATED)
            job_advance(job, s.length);
        else
            job_skip(job, s.length);
    }
    return 0;
}

static int
commit_run(BlockJob *job)
{
    g_autoptr(GError) err = NULL;
    int r;

    job_set_length(job, job->node->size);
    r = commit_copy(job);
    if (r == 0 && (r = block_node_flush(job->base)) < 0)
        job_retries(job, false, r);
    if (r < 0)
        return r;
    if (block_image_change_backing(job->above, job->backing_name, job->backing_format, &err))
        return 0;
    job_set_error(job, err->message);
    return -EIO;
}

/* What was committed leaves the chain. */
static int
commit_finish(BlockJob *job)
{
    BlockPause *pause = block_pause_begin(&job->root, 1);
    BlockNode *gone = job->above->backing;

    if (block_node_protocol(job->root)->claims > 0)
        for (BlockNode *n = gone; n != job->base; n = n->backing)
            block_node_release_alone(n);
    job->above->backing = block_node_ref(job->base);
    block_pause_end(pause);
    block_node_unref(gone);
    return 0;
}

static void
commit_clean(BlockJob *job)
{
    if (job->base_opened)
        job_set_access(job, job->base, false, NULL);
    if (job->node_opened)
        job_set_access(job, job->above, false, NULL);
    job->base_opened = job->node_opened = false;
}

static const BlockJobKind commit_kind = {
    .name = "commit",
    .run = commit_run,
    .finish = commit_finish,
    .clean = commit_clean,
};

/* Makes the base writable, and as large as what comes into it. */
static bool
base_prepare(BlockJob *job, GError **err)
{
    bool ok = true;

    if (block_node_read_only(job->base)) {
        job->base_opened = job_set_access(job, job->base, true, err);
        if (!job->base_opened) {
            g_prefix_error(err, "base '%s': ", block_node_filename(job->base));
            return false;
        }
    }
    if (job->base->size < job->node->size) {
        BlockPause *pause = block_pause_begin(&job->root, 1);

        ok = block_image_resize(job->base, job->node->size, BLOCK_PREALLOC_OFF, false, err);
        block_pause_end(pause);
    }
    return ok;
}

bool
block_job_commit(BlockJobs *jobs, const BlockJobOptions *options, BlockNode *top, BlockNode *base,
                 const char *backing_name, GError **err)
{
    bool active = top == options->root;
    BlockJob *job;

    if (top == base || !base)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "cannot commit an image into itself");
    if (active && backing_name)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "'backing-file' specified, but 'top' is the active layer");
    if (base->size > top->size)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "base '%s' has more bytes than what is committed into it",
                              block_node_filename(base));
    job = job_new(jobs, options, &commit_kind, err);
    if (!job)
        return false;
    job->node = block_node_ref(top);
    job->base = block_node_ref(base);
    for (BlockNode *n = job->root; n && !active && !job->above; n = n->backing)
        if (n->backing == top)
            job->above = block_node_ref(n);
    job->backing_name = job_backing_name(job->root, base, backing_name, &job->backing_format);
    if (!base_prepare(job, err))
        return job_give_up(job);
    if (active)
        return job_commit_active(job, err);
    if (block_node_read_only(job->above)) {
        job->node_opened = job_set_access(job, job->above, true, err);
        if (!job->node_opened)
            return job_give_up(job);
    }
    return job_start(job, err);
}
