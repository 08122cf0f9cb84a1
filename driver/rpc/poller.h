/* poller.h - readiness of many descriptors in one GLib main context.
 *
 * GLib polls every source's descriptor at every turn, which is too slow with thousands of clients.
 * A poller is one source over one epoll descriptor.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_RPC_POLLER_H
#define KILN_DRIVER_RPC_POLLER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

typedef struct RpcPoller RpcPoller;
typedef struct RpcWatch RpcWatch;

/* @events are EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP bits. Runs in the context's thread. */
typedef void (*RpcWatchFunc)(uint32_t events, void *opaque);

/* Attaches to @context. Fails with VIR_ERR_SYSTEM_ERROR. */
RpcPoller *rpc_poller_new(GMainContext *context, GError **err);
/* All watches must be gone. */
void rpc_poller_free(RpcPoller *poller);

/* Watches @fd (level-triggered). In the context's thread. NULL with errno set on failure. */
RpcWatch *rpc_poller_add(RpcPoller *poller, int fd, uint32_t events, RpcWatchFunc func,
                         void *opaque);
/* Changes what is watched; any thread, as long as the watch is not being removed. */
void rpc_watch_set(RpcWatch *watch, uint32_t events);
/* Ends the watch: its function does not run again. In the context's thread, with @fd still open. */
void rpc_watch_remove(RpcWatch *watch);

/* Runs @func(@data) in the context's thread at its next turn. Any thread. */
void rpc_poller_post(RpcPoller *poller, void (*func)(void *data), void *data);

#endif
