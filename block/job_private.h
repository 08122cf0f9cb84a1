/* job_private.h - inside of block jobs: a job, and what each kind of job is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_JOB_PRIVATE_H
#define KILN_BLOCK_JOB_PRIVATE_H

#include "block/job_filter.h"
#include "block/job_pause.h"

enum {
    JOB_CHUNK = 1 << 20,       /* most bytes between two looks at what users ask */
    JOB_GRANULARITY = 1 << 16, /* of dirty bits, unless told otherwise */
};

typedef struct {
    const char *name;
    bool gets_ready;
    /* In the job's thread: 0, or -errno. */
    int (*run)(BlockJob *job);
    /* run() came to a good end: the graph changes. Main thread. 0, -errno with job->error set, or
     * -EAGAIN: there is more to do for run(). */
    int (*finish)(BlockJob *job);
    /* Lets go of all that start took; after finish() or instead of it. Main thread. */
    void (*clean)(BlockJob *job);
} BlockJobKind;

struct BlockJob {
    gint refs; /* atomic: events under way hold the job */
    BlockJobs *jobs;
    const BlockJobKind *kind;
    char *id;
    BlockNode *root;
    GThread *thread;
    BlockOnError on_source_error, on_target_error;
    bool manual_finalize, manual_dismiss;

    GMutex lock; /* guards what follows */
    GCond wake;
    BlockJobStatus status, before_pause;
    uint64_t offset, length, speed;
    gint64 next; /* when the speed allows more, monotonic microseconds */
    bool paused, cancelled, soft_cancelled, complete, finalize;
    bool reading, stopped; /* as in BlockJobInfo */
    int ret;
    char *error;

    /* the kind's own */
    BlockNode *filter; /* or NULL */
    bool installed;    /* it is between the queue and the root */
    BlockNode *node;   /* stream: what is filled; commit: top */
    BlockNode *base;
    BlockNode *above; /* commit: what lies on top */
    BlockNode *target;
    BlockJobSync sync;
    bool repeat;
    bool attached; /* mirror: the target lies on what the root lies on */
    bool pivoted;
    bool base_opened, node_opened; /* could not be written before */
    bool target_claimed;
    char *backing_name, *backing_format;
    char *bitmap, *kept; /* backup: the bitmap, and a copy of it from before */
};

struct BlockJobs {
    BlockJobOps ops;
    GMainContext *context;
    GPtrArray *list; /* of BlockJob */
};

/* A job that is not started yet; NULL with @err set when its id or its image is taken. */
BlockJob *job_new(BlockJobs *jobs, const BlockJobOptions *options, const BlockJobKind *kind,
                  GError **err);
/* Starts it; the list has it from now on. */
bool job_start(BlockJob *job, GError **err);
/* It never began: everything is let go. Returns false. */
bool job_give_up(BlockJob *job);
void job_unref(BlockJob *job);

/* In the job's thread. Waits while the job is paused; false when it is to end. */
bool job_point(BlockJob *job);
/* @bytes are done; waits as the speed asks. */
void job_advance(BlockJob *job, uint64_t bytes);
void job_set_length(BlockJob *job, uint64_t length);
void job_get_ready(BlockJob *job);
/* Waits for something new from users, at most a moment. */
void job_doze(BlockJob *job);
/* What to do about @ret: true to try again (after a pause), false to end with it. */
bool job_retries(BlockJob *job, bool reading, int ret);
void job_set_error(BlockJob *job, const char *message);

/* The filter between the device's queue and the root; and away. Main thread. */
void job_install_filter(BlockJob *job);
void job_remove_filter(BlockJob *job);
/* Opens a node behind the root for writing, or no longer. */
bool job_set_access(BlockJob *job, BlockNode *node, bool writable, GError **err);
/* Copies the run of dirty bits at or after *at. 0 with *ret_done bytes, 0 when none is left. */
int job_copy_dirty(BlockJob *job, BlockNode *from, BlockNode *to, uint64_t *at, uint64_t *ret_done);

/* What the header of an image that lies on @base says: a copy of @given, or the name that is known
 * by the image above. */
char *job_backing_name(BlockNode *chain, BlockNode *base, const char *given, char **ret_format);
bool job_chain_has(BlockNode *top, const BlockNode *node);

/* job_mirror.c: committing the image that the guest writes is mirroring it into its base. */
bool job_commit_active(BlockJob *job, GError **err);
/* In the job's thread: @bytes there was nothing to do about. */
void job_skip(BlockJob *job, uint64_t bytes);

#endif
