/* job_stream.c - an image gets the data of those it lies on, until it needs them no more.
 *
 * Order of writes: data, flush, then the header that names what is left below.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/job_private.h"
#include "util/error.h"

/* What is to be done about the bytes at @at: nothing, or to copy *ret_length of them. */
static int
stream_look(BlockJob *job, uint64_t at, uint64_t *ret_length, bool *ret_copy)
{
    BlockNode *below = job->node->backing;
    BlockStatus s;
    int r = block_node_status(job->node, at, *ret_length, &s);

    if (r < 0)
        return r;
    *ret_length = s.length;
    *ret_copy = false;
    if (s.flags & BLOCK_STATUS_ALLOCATED)
        return 0;
    if (at >= below->size) {
        /* zeroes now; the base may have something else there */
        *ret_copy = job->base && at < job->base->size;
        return 0;
    }
    r = block_node_status_above(below, job->base, at, MIN(s.length, below->size - at), &s);
    if (r < 0)
        return r;
    *ret_length = s.length;
    /* zeroes need no space where nothing is left below */
    *ret_copy = s.flags & BLOCK_STATUS_ALLOCATED && (job->base || !(s.flags & BLOCK_STATUS_ZERO));
    return 0;
}

static int
stream_copy(BlockJob *job)
{
    uint64_t size = job->node->size;

    for (uint64_t at = 0; at < size;) {
        uint64_t part = MIN(size - at, (uint64_t)JOB_CHUNK);
        bool copy, reading = true;
        JobRange range;
        int r;

        if (!job_point(job))
            return -ECANCELED;
        /* nothing may be written between the look and the copy */
        if (job->filter)
            job_filter_enter(job->filter, &range, at, part, true);
        r = stream_look(job, at, &part, &copy);
        if (r == 0 && copy)
            r = job_copy(job->node, job->node, at, part, &reading);
        if (job->filter)
            job_filter_leave(job->filter, &range);
        if (r < 0) {
            if (job_retries(job, reading, r))
                continue;
            return r;
        }
        at += part;
        if (copy)
            job_advance(job, part);
        else
            job_skip(job, part);
    }
    return 0;
}

static int
stream_run(BlockJob *job)
{
    g_autoptr(GError) err = NULL;
    int r;

    job_set_length(job, job->node->size);
    if (!job->node->backing || job->node->backing == job->base)
        return 0;
    r = stream_copy(job);
    if (r == 0 && (r = block_node_flush(job->node)) < 0)
        job_retries(job, false, r);
    if (r < 0)
        return r;
    if (block_image_change_backing(job->node, job->backing_name, job->backing_format, &err))
        return 0;
    job_set_error(job, err->message);
    return -EIO;
}

static int
stream_finish(BlockJob *job)
{
    BlockNode *gone = job->node->backing;
    BlockPause *pause;

    if (gone == job->base)
        return 0;
    pause = block_pause_begin(&job->root, 1);
    if (block_node_protocol(job->root)->claims > 0)
        for (BlockNode *n = gone; n && n != job->base; n = n->backing)
            block_node_release_alone(n);
    job->node->backing = job->base ? block_node_ref(job->base) : NULL;
    block_pause_end(pause);
    block_node_unref(gone);
    return 0;
}

static void
stream_clean(BlockJob *job)
{
    job_remove_filter(job);
    if (job->node_opened)
        job_set_access(job, job->node, false, NULL);
    job->node_opened = false;
}

static const BlockJobKind stream_kind = {
    .name = "stream",
    .run = stream_run,
    .finish = stream_finish,
    .clean = stream_clean,
};

bool
block_job_stream(BlockJobs *jobs, const BlockJobOptions *options, BlockNode *node, BlockNode *base,
                 const char *backing_name, GError **err)
{
    BlockJob *job;

    if (backing_name && !base)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "backing file specified, but streaming the entire chain");
    job = job_new(jobs, options, &stream_kind, err);
    if (!job)
        return false;
    job->node = block_node_ref(node);
    job->base = base ? block_node_ref(base) : NULL;
    job->backing_name = job_backing_name(job->root, base, backing_name, &job->backing_format);
    if (block_node_read_only(node) && !(job->node_opened = job_set_access(job, node, true, err)))
        return job_give_up(job);
    if (node == job->root) {
        job->filter = job_filter_new(job->root, JOB_FILTER_APART, JOB_GRANULARITY, NULL, err);
        if (!job->filter)
            return job_give_up(job);
        job_install_filter(job);
    }
    return job_start(job, err);
}
