/* pool.h - the worker threads that run calls.
 *
 * Workers are made when a job finds none idle, up to two limits: ordinary workers take any job,
 * priority workers only jobs marked as such, so that calls that never wait for a guest get through
 * when every ordinary worker waits for one. A worker with nothing to do for a while ends.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_RPC_POOL_H
#define KILN_DRIVER_RPC_POOL_H

#include <glib.h>
#include <stdbool.h>

/* All functions may be called from any thread. */
typedef struct RpcPool RpcPool;

typedef void (*RpcPoolFunc)(void *data);

/* At most @max_workers ordinary and @max_priority priority workers; each at least 1. */
RpcPool *rpc_pool_new(guint max_workers, guint max_priority);

/* Runs @func(@data) in a worker. Jobs of one kind start in the order they were pushed. */
void rpc_pool_push(RpcPool *pool, bool priority, RpcPoolFunc func, void *data);

/* Changes the limits; workers above them end when their job does. */
void rpc_pool_set_limits(RpcPool *pool, guint max_workers, guint max_priority);

/* No job waits or runs. */
bool rpc_pool_is_idle(RpcPool *pool);

/* Runs what is queued, waits for all workers, frees the pool. */
void rpc_pool_free(RpcPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcPool, rpc_pool_free)

#endif
