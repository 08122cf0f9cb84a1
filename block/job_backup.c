/* job_backup.c - a copy of an image as it was when the job began: what the guest overwrites is
 * saved first.
 *
 * A target that fails ends the job; the guest's writes go on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/job_private.h"
#include "util/error.h"

static int
backup_run(BlockJob *job)
{
    uint64_t at = 0, done;
    int r = 0;

    for (;;) {
        if (!job_point(job))
            return -ECANCELED;
        r = job_filter_error(job->filter);
        if (r < 0) {
            job_retries(job, false, r);
            return r;
        }
        if (job->sync == BLOCK_SYNC_NONE) {
            if (job->complete)
                break;
            job_doze(job);
            continue;
        }
        if (job_filter_dirty(job->filter) == 0)
            break;
        r = job_copy_dirty(job, job->root, job->target, &at, &done);
        if (r < 0)
            return r;
        if (done > 0)
            job_advance(job, done);
    }
    r = block_node_flush(job->target);
    if (r < 0)
        job_retries(job, false, r);
    return r;
}

static int
backup_finish(BlockJob *job)
{
    int r = job_filter_error(job->filter);

    /* the copy of the bitmap is not needed any more */
    if (r == 0 && job->kept && block_image_bitmap_remove(job->root, job->kept, NULL))
        g_clear_pointer(&job->kept, g_free);
    return r;
}

static void
backup_clean(BlockJob *job)
{
    job_remove_filter(job);
    if (job->target_claimed)
        block_node_release(job->target);
    job->target_claimed = false;
    if (!job->kept)
        return;
    /* it failed: what was dirty still is */
    if (block_image_bitmap_merge(job->root, job->bitmap, job->root, job->kept, NULL))
        block_image_bitmap_remove(job->root, job->kept, NULL);
    g_clear_pointer(&job->kept, g_free);
}

static const BlockJobKind backup_kind = {
    .name = "backup",
    .run = backup_run,
    .finish = backup_finish,
    .clean = backup_clean,
};

static bool
dirty_from_status(BlockJob *job, GError **err)
{
    uint64_t size = job->root->size;

    for (uint64_t at = 0; at < size;) {
        BlockStatus s;
        int r = block_node_status(job->root, at, size - at, &s);

        if (r < 0)
            return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, job->root,
                                   "cannot tell what image '%s' has",
                                   block_node_filename(job->root));
        if (s.flags & BLOCK_STATUS_ALLOCATED)
            job_filter_set_dirty(job->filter, at, s.length, true);
        at += s.length;
    }
    return true;
}

static bool
dirty_from_bitmap(BlockJob *job, GError **err)
{
    uint64_t size = job->root->size;

    for (uint64_t at = 0; at < size;) {
        uint64_t length = size - at;
        bool dirty = false;
        int r = block_image_bitmap_status(job->root, job->bitmap, at, &length, &dirty);

        if (r < 0)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "Bitmap '%s' of '%s' is not there or cannot be used", job->bitmap,
                                  block_node_filename(job->root));
        if (dirty)
            job_filter_set_dirty(job->filter, at, length, true);
        at += length;
    }
    return true;
}

/* The bitmap begins anew; a copy stays until all has gone well. */
static bool
bitmap_restart(BlockJob *job, BlockBitmapMode mode, GError **err)
{
    g_autofree char *kept = g_strdup_printf("#%s-%s", job->id, job->bitmap);

    if (mode == BLOCK_BITMAP_NEVER)
        return true;
    if (!block_image_bitmap_add(job->root, kept, 0, false, err))
        return false;
    if (!block_image_bitmap_merge(job->root, kept, job->root, job->bitmap, err)) {
        block_image_bitmap_remove(job->root, kept, NULL);
        return false;
    }
    job->kept = g_steal_pointer(&kept);
    return block_image_bitmap_clear(job->root, job->bitmap, err);
}

/* The moment that the copy is of. */
static bool
backup_begin(BlockJob *job, BlockBitmapMode mode, GError **err)
{
    BlockPause *pause = block_pause_begin(&job->root, 1);
    bool ok = true;

    if (job->sync == BLOCK_SYNC_TOP)
        ok = dirty_from_status(job, err);
    else if (job->sync == BLOCK_SYNC_BITMAP)
        ok = dirty_from_bitmap(job, err) && bitmap_restart(job, mode, err);
    else
        job_filter_set_dirty(job->filter, 0, job->root->size, true);
    if (ok) {
        block_pause_switch(pause, job->root, job->filter);
        job->installed = true;
    }
    block_pause_end(pause);
    return ok;
}

bool
block_job_backup(BlockJobs *jobs, const BlockJobOptions *options, BlockNode *target,
                 BlockJobSync sync, const char *bitmap, BlockBitmapMode mode, GError **err)
{
    uint64_t granularity = MAX(JOB_GRANULARITY, block_node_cluster_size(target));
    BlockJob *job;

    if (job_chain_has(options->root, target))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Source and target cannot be the same");
    if (target->size != options->root->size)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "Source and target image have different sizes (%" G_GUINT64_FORMAT
                              " and %" G_GUINT64_FORMAT " bytes)",
                              options->root->size, target->size);
    if ((sync == BLOCK_SYNC_BITMAP) != (bitmap != NULL))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "sync mode 'incremental' and a bitmap belong together");
    if (!block_jobs_check_free(jobs, target, err))
        return false;
    job = job_new(jobs, options, &backup_kind, err);
    if (!job)
        return false;
    job->target = block_node_ref(target);
    job->sync = sync;
    job->bitmap = g_strdup(bitmap);
    job->target_claimed = block_node_claim(target, true, false, err);
    if (job->target_claimed)
        job->filter = job_filter_new(job->root, JOB_FILTER_SAVE, granularity, target, err);
    if (!job->filter || !backup_begin(job, mode, err))
        return job_give_up(job);
    job_set_length(job, sync == BLOCK_SYNC_NONE ? job->root->size : job_filter_dirty(job->filter));
    return job_start(job, err);
}
