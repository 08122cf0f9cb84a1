/* throttle.h - limits on how fast queues begin requests: bytes and operations per second, with
 * bursts, shared by all queues of a group.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_THROTTLE_H
#define KILN_BLOCK_THROTTLE_H

#include "block/block.h"
#include "block/options.h"

typedef struct BlockThrottle BlockThrottle;

enum { BLOCK_LIMIT_TOTAL, BLOCK_LIMIT_READ, BLOCK_LIMIT_WRITE, BLOCK_LIMIT_KINDS };

typedef struct {
    uint64_t average, max; /* per second; 0: no limit, no burst */
    uint64_t length;       /* of a burst, in seconds; from 1 */
} BlockLimit;

typedef struct {
    BlockLimit bytes[BLOCK_LIMIT_KINDS], operations[BLOCK_LIMIT_KINDS];
    uint64_t operation_size; /* bytes that count as one operation; 0: any number */
} BlockLimits;

/* No limits. */
void block_limits_init(BlockLimits *limits);
bool block_limits_any(const BlockLimits *limits);
/* Whether they go together; VIR_ERR_CONFIG_UNSUPPORTED by the names that -drive has for them. */
bool block_limits_check(const BlockLimits *limits, GError **err);
/* The options "@prefix…" of @opts (bps-total, bps-read, bps-write, iops-total, iops-read,
 * iops-write, each with -max and -max-length behind it, and iops-size), which are taken and
 * checked. *ret_given becomes true when there are any. */
bool block_limits_take(BlockOptions *opts, const char *prefix, BlockLimits *ret, bool *ret_given,
                       GError **err);

/* A group of @limits, named @name unless that is NULL. */
BlockThrottle *block_throttle_new(const char *name, const BlockLimits *limits);
const char *block_throttle_name(const BlockThrottle *throttle);
/* Any thread. What waits for the old limits asks again when it was told to. */
void block_throttle_set(BlockThrottle *throttle, const BlockLimits *limits);
void block_throttle_get(BlockThrottle *throttle, BlockLimits *ret);
BlockThrottle *block_throttle_ref(BlockThrottle *throttle);
void block_throttle_unref(BlockThrottle *throttle); /* NULL is accepted */

/* The limits that hold for requests on @node; NULL: none. Main thread, as the next. */
BlockThrottle *block_node_throttle(BlockNode *node);
/* @node's requests go by @throttle (NULL: no limits; a reference is taken) from now on, which gets
 * @limits. What waits on it, and on those of the @n images @all that share its limits, asks again.
 * Not while the main thread holds a queue. */
void block_node_limit(BlockNode *node, BlockThrottle *throttle, const BlockLimits *limits,
                      BlockNode *const *all, size_t n);

/* Whether a read or write of @bytes may begin at time @now (nanoseconds of any clock, the same in
 * all calls): 0, and it is counted; else the nanoseconds after which to ask again. Any thread. */
int64_t block_throttle_ask(BlockThrottle *throttle, bool write, uint64_t bytes, int64_t now);

#endif
