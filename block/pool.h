/* pool.h - the threads that wait for the kernel on behalf of the queues of one loop.
 *
 * They do what the engine of threads has to do ("aio": "threads", and where io_uring is refused);
 * queues by io_uring need none. As many as there is work for, within the sizes of the pool: QEMU
 * 7.2's thread-pool-min and thread-pool-max of -object iothread and main-loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_POOL_H
#define KILN_BLOCK_POOL_H

#include <glib.h>
#include <stdbool.h>

#include "util/ioloop.h"

enum { BLOCK_POOL_MIN = 0, BLOCK_POOL_MAX = 64 }; /* as made */

/* At least @min threads are there as soon as a queue needs the pool, and stay when there is nothing
 * to do; never more than @max do something at once. Those beyond @max end when what they do is
 * done, those beyond @min after 10 seconds without work. False, and the sizes are as they were,
 * with VIR_ERR_INVALID_ARG when @max is 0 or below @min; with VIR_ERR_SYSTEM_ERROR when threads
 * cannot be started. Main thread. */
bool block_pool_set_sizes(IoLoop *loop, unsigned min, unsigned max, GError **err);
/* Main thread. */
void block_pool_sizes(IoLoop *loop, unsigned *ret_min, unsigned *ret_max);
/* Threads that there are. Main thread. */
unsigned block_pool_threads(IoLoop *loop);
/* Ends the threads and starts new ones, which have the calling thread's rights: for a process that
 * gave up rights which threads keep one by one. Main thread, with nothing in flight. */
bool block_pool_renew(IoLoop *loop, GError **err);

/* ---- for the engine ---- */

typedef struct BlockPool BlockPool;
typedef void (*BlockPoolFn)(void *data);

/* The pool of @loop, begun if it was not; it lives as long as the loop. @run: what it does, the
 * same for all who join. Main thread. NULL with @err when it cannot be begun. */
BlockPool *block_pool_join(IoLoop *loop, BlockPoolFn run, GError **err);
/* Has a thread call @run with the data of @link, which the pool holds until then; in turn. Any
 * thread; does not wait or allocate. */
void block_pool_push(BlockPool *pool, GList *link);

#endif
