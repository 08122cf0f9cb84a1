/* job_filter.h - inside of block jobs: the node between a device's queue and its image while a job
 * runs. Without a job there is none.
 *
 * Reads pass; writes go the slow path, where the filter keeps them apart from what the job copies,
 * and notes them, repeats them on the job's target, or first saves what they overwrite.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_JOB_FILTER_H
#define KILN_BLOCK_JOB_FILTER_H

#include "block/driver.h"

extern const BlockDriver block_job_filter_driver;

typedef enum {
    JOB_FILTER_APART,  /* writes are only kept apart from what the job copies */
    JOB_FILTER_TRACK,  /* what is written becomes dirty */
    JOB_FILTER_REPEAT, /* … and is written to the target at once: not dirty then */
    JOB_FILTER_SAVE,   /* what is dirty is copied to the target before it is overwritten */
} JobFilterMode;

/* A range that is being written or copied, on the stack of who does it. */
typedef struct {
    uint64_t offset, end;
    bool alone;
    GList link;
} JobRange;

/* A filter over @root; it has @target, if any, for what the mode says. Bits of @granularity bytes,
 * a power of two, none of them dirty. */
BlockNode *job_filter_new(BlockNode *root, JobFilterMode mode, uint64_t granularity,
                          BlockNode *target, GError **err);

/* All below: any thread. */
void job_filter_set_mode(BlockNode *filter, JobFilterMode mode);
/* Waits until nobody else copies there, nor, with @alone, writes. */
void job_filter_enter(BlockNode *filter, JobRange *range, uint64_t offset, uint64_t length,
                      bool alone);
void job_filter_leave(BlockNode *filter, JobRange *range);
void job_filter_set_dirty(BlockNode *filter, uint64_t offset, uint64_t length, bool dirty);
/* The first dirty run at or after @from, going round at the end: false when nothing is dirty. It
 * has at most @max bytes. */
bool job_filter_next(BlockNode *filter, uint64_t from, uint64_t max, uint64_t *ret_offset,
                     uint64_t *ret_length);
/* The first dirty run at or after @from that lies in @range, which the caller has entered. */
bool job_filter_next_in(BlockNode *filter, const JobRange *range, uint64_t from,
                        uint64_t *ret_offset, uint64_t *ret_length);
uint64_t job_filter_dirty(BlockNode *filter); /* bytes */
uint64_t job_filter_granularity(const BlockNode *filter);
/* What writing to the target for the guest came to: 0, or the first -errno. */
int job_filter_error(BlockNode *filter);

/* Copies [offset, offset + length) of @from, zeroes as zeroes. 0 or -errno; *ret_reading tells
 * which side failed. */
int job_copy(BlockNode *from, BlockNode *to, uint64_t offset, uint64_t length, bool *ret_reading);

#endif
