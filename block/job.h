/* job.h - block jobs: work on images while a guest uses them. Streaming, committing, mirroring and
 * backing up, and overlays for snapshots; QEMU's jobs with their names and life.
 *
 * A job runs in a thread of its own by the blocking calls of image.h. Between a device's queue and
 * its image a filter keeps the guest's writes apart from what the job copies, for as long as the
 * job runs. The graph changes only while the queues stand still, and after what is named by an
 * image's header is on stable storage: a crash leaves a chain that reads as before.
 *
 * All functions run in the main thread, the one that runs the GMainContext that was its default
 * when block_jobs_new() was called. Run-time results come as events.
 *
 * Source: QEMU 7.2, qapi/block-core.json and qapi/job.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_JOB_H
#define KILN_BLOCK_JOB_H

#include "block/image.h"

typedef struct BlockJobs BlockJobs;
typedef struct BlockJob BlockJob;

typedef enum {
    BLOCK_JOB_CREATED,
    BLOCK_JOB_RUNNING,
    BLOCK_JOB_PAUSED,
    BLOCK_JOB_READY,   /* a mirror keeps up with the guest */
    BLOCK_JOB_STANDBY, /* paused when ready */
    BLOCK_JOB_WAITING,
    BLOCK_JOB_PENDING, /* waits for block_job_finalize() */
    BLOCK_JOB_ABORTING,
    BLOCK_JOB_CONCLUDED, /* waits for block_job_dismiss() */
    BLOCK_JOB_NULL,
} BlockJobStatus;
const char *block_job_status_name(BlockJobStatus status);

typedef enum {
    BLOCK_JOB_EVENT_STATUS,
    BLOCK_JOB_EVENT_READY,
    BLOCK_JOB_EVENT_ERROR, /* of reading or writing; the job may go on */
    BLOCK_JOB_EVENT_PENDING,
    BLOCK_JOB_EVENT_COMPLETED, /* with or without error */
    BLOCK_JOB_EVENT_CANCELLED,
} BlockJobEvent;

typedef enum { BLOCK_ON_ERROR_REPORT, BLOCK_ON_ERROR_STOP, BLOCK_ON_ERROR_ENOSPC } BlockOnError;

/* How a job is doing. Strings are the job's. */
typedef struct {
    const char *id, *type;
    const char *error; /* NULL: none */
    BlockJobStatus status;
    uint64_t offset, length, speed; /* bytes; bytes a second, 0: as fast as it goes */
    bool busy, paused, ready, failed, manual_finalize, manual_dismiss;
    /* of the last BLOCK_JOB_EVENT_ERROR */
    bool reading, stopped;
} BlockJobInfo;

typedef struct {
    void *opaque;
    /* As BlockOpenOps.open_file: a file open for reading is to be written. */
    int (*open_file)(void *opaque, const char *filename, int flags, GError **err);
    /* @info is how the job was at that moment. */
    void (*event)(void *opaque, BlockJobEvent event, const BlockJobInfo *info);
    /* The device of @from uses @to from now on, and has the claim on it. Its loop stands still. */
    void (*root_changed)(void *opaque, BlockNode *from, BlockNode *to);
} BlockJobOps;

BlockJobs *block_jobs_new(const BlockJobOps *ops);
/* Cancels what runs and waits for it. NULL is accepted. */
void block_jobs_free(BlockJobs *jobs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockJobs, block_jobs_free)
BlockJob *block_jobs_find(BlockJobs *jobs, const char *id);
/* In order of their making; the callback must not end one. */
void block_jobs_visit(BlockJobs *jobs, void (*fn)(BlockJob *job, void *opaque), void *opaque);
/* False with @err set when a job uses @node or what lies behind it. */
bool block_jobs_check_free(BlockJobs *jobs, BlockNode *node, GError **err);

void block_job_info(BlockJob *job, BlockJobInfo *ret);

/* What every job has. The image that is worked on is the one a device uses, or nobody's. */
typedef struct {
    const char *id;
    BlockNode *root; /* top of the chain */
    uint64_t speed;
    bool manual_finalize, manual_dismiss;
    BlockOnError on_source_error, on_target_error;
} BlockJobOptions;

/* @node, which is the root or lies behind it, gets all data of the images between it and @base
 * (NULL: of all), and lies on @base then. @backing_name is what its header says of that: NULL for
 * the name that is known. */
bool block_job_stream(BlockJobs *jobs, const BlockJobOptions *options, BlockNode *node,
                      BlockNode *base, const char *backing_name, GError **err);
/* The data of @top, and of what is between, goes to @base. If @top is the root the job gets ready,
 * and the device uses @base when it is completed; otherwise what lies on @top lies on @base then.
 */
bool block_job_commit(BlockJobs *jobs, const BlockJobOptions *options, BlockNode *top,
                      BlockNode *base, const char *backing_name, GError **err);

typedef enum {
    BLOCK_SYNC_FULL,
    BLOCK_SYNC_TOP,  /* what the root itself has */
    BLOCK_SYNC_NONE, /* what the guest writes from now on; backup: overwrites */
    BLOCK_SYNC_BITMAP,
} BlockJobSync;
/* @target becomes and stays a copy; the device uses it when the job is completed. @repeat: the
 * guest's writes end when the target has them too. @granularity: 0 for what suits. */
bool block_job_mirror(BlockJobs *jobs, const BlockJobOptions *options, BlockNode *target,
                      BlockJobSync sync, bool repeat, uint64_t granularity, GError **err);

typedef enum {
    BLOCK_BITMAP_ON_SUCCESS, /* afterwards the bitmap has what was written since the beginning */
    BLOCK_BITMAP_NEVER,      /* the bitmap stays as if there had been no job */
} BlockBitmapMode;
/* @target gets the image as it is now. @bitmap, of the root, with BLOCK_SYNC_BITMAP: only what is
 * dirty in it. */
bool block_job_backup(BlockJobs *jobs, const BlockJobOptions *options, BlockNode *target,
                      BlockJobSync sync, const char *bitmap, BlockBitmapMode mode, GError **err);

/* What users ask of a job. Each is refused, by name, in a state that does not take it. */
bool block_job_set_speed(BlockJob *job, uint64_t speed, GError **err);
bool block_job_pause(BlockJob *job, GError **err);
bool block_job_resume(BlockJob *job, GError **err);
/* A job that is ready ends well, and the device stays where it is, unless @force. */
bool block_job_cancel(BlockJob *job, bool force, GError **err);
bool block_job_complete(BlockJob *job, GError **err);
bool block_job_finalize(BlockJob *job, GError **err);
bool block_job_dismiss(BlockJob *job, GError **err);

/* Puts each overlay, an image that lies on nothing, on its root; the devices use the overlays from
 * now on. All or none. */
bool block_jobs_snapshot(BlockJobs *jobs, BlockNode *const *roots, BlockNode *const *overlays,
                         size_t n, GError **err);
/* Makes, or (@remove) takes away, the internal snapshot @name of the image that a device uses. */
bool block_jobs_snapshot_internal(BlockJobs *jobs, BlockNode *root, const char *name, bool remove,
                                  GError **err);
/* Another size for the image that a device uses. */
bool block_jobs_resize(BlockJobs *jobs, BlockNode *root, uint64_t size, GError **err);

#endif
