/* dispatch.h - from a packet to its handler and back.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_DISPATCH_H
#define KILN_DRIVER_CALLS_DISPATCH_H

#include "driver/calls/call.h"
#include "driver/rpc/pool.h"
#include "driver/rpc/server.h"

typedef struct CallDispatcher CallDispatcher;

/* @services and @pool are borrowed and outlive it. */
CallDispatcher *call_dispatcher_new(const CallServices *services, RpcPool *pool);

/* Between the two, calls that need an open connection wait; authentication and opening go on. In
 * the main loop's thread. */
void call_dispatcher_hold(CallDispatcher *dispatcher);
void call_dispatcher_release(CallDispatcher *dispatcher);

/* No client may be left. Waits for calls that have a thread of their own; those still held back are
 * dropped. */
void call_dispatcher_free(CallDispatcher *dispatcher);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CallDispatcher, call_dispatcher_free)

/* For rpc_server_new(), with the dispatcher as @opaque. */
extern const RpcServerOps call_server_ops;

#endif
