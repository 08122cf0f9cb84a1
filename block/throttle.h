/* throttle.h - limits on how fast queues begin requests: bytes and operations per second, with
 * bursts, shared by all queues of a group.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_THROTTLE_H
#define KILN_BLOCK_THROTTLE_H

#include "block/options.h"

typedef struct BlockThrottle BlockThrottle;

/* A group from the options "throttling.…" of @opts as -drive has them (bps-total, bps-read,
 * bps-write, iops-total, iops-read, iops-write, each with -max and -max-length behind it, and
 * iops-size), which are taken. *ret stays alone when there are none. */
bool block_throttle_take(BlockOptions *opts, BlockThrottle **ret, GError **err);
BlockThrottle *block_throttle_ref(BlockThrottle *throttle);
void block_throttle_unref(BlockThrottle *throttle); /* NULL is accepted */

/* Whether a read or write of @bytes may begin at time @now (nanoseconds of any clock, the same in
 * all calls): 0, and it is counted; else the nanoseconds after which to ask again. Any thread. */
int64_t block_throttle_ask(BlockThrottle *throttle, bool write, uint64_t bytes, int64_t now);

#endif
