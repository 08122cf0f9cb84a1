/* job_pause.h - inside of block jobs: images stand still while their graph changes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_JOB_PAUSE_H
#define KILN_BLOCK_JOB_PAUSE_H

#include "block/job.h"
#include "block/queue_private.h"

typedef struct BlockPause BlockPause;

/* Completes what the queues of the @n nodes @roots have in flight, and holds their loops: until
 * block_pause_end() no request begins on them. Main thread, which must not wait for these loops
 * meanwhile. */
BlockPause *block_pause_begin(BlockNode *const *roots, size_t n);
/* Those queues of @root go on with @to, which is a filter over @root, or takes its place. */
void block_pause_switch(BlockPause *pause, BlockNode *root, BlockNode *to);
void block_pause_end(BlockPause *pause);

/* The node's file may be written from now on, or is only read again: it is opened anew by its name
 * where its descriptor cannot write. The node stands still. */
bool block_node_set_access(BlockNode *node, bool writable, const BlockOpenOps *ops, GError **err);

/* The node that @queue serves, below a job's filter. */
BlockNode *block_queue_root(const BlockQueue *queue);

#endif
