/* server.h - the sockets the daemon listens on and the connections that came by them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_RPC_SERVER_H
#define KILN_DRIVER_RPC_SERVER_H

#include <glib.h>
#include <stdbool.h>

#include "driver/rpc/client.h"

typedef struct RpcServer RpcServer;

/* What the server tells its owner, all in the main loop's thread. */
typedef struct RpcServerOps {
    /* A client connected: the place for rpc_client_set_data(). */
    void (*connected)(RpcClient *client, void *opaque);
    /* As in RpcClientOps. */
    void (*call)(RpcClient *client, RpcMessage *msg, void *opaque);
    /* The client is gone; its data can be let go. */
    void (*disconnected)(RpcClient *client, void *opaque);
} RpcServerOps;

/* A server in @context. All functions run in its thread. Fails with VIR_ERR_SYSTEM_ERROR. */
RpcServer *rpc_server_new(GMainContext *context, const RpcLimits *limits, const RpcServerOps *ops,
                          void *opaque, GError **err);

/* Changes the limits; connections above them stay. */
void rpc_server_set_limits(RpcServer *server, const RpcLimits *limits);

/* Accepts connections on @fd, a listening unix socket (taken over). Accepting pauses while the
 * limits are reached: further clients wait in the socket's queue. */
bool rpc_server_listen(RpcServer *server, int fd, bool read_only, RpcAuth auth, GError **err);

/* Takes over a connected unix socket as a client. Borrowed result. */
RpcClient *rpc_server_adopt(RpcServer *server, int fd, bool read_only, RpcAuth auth, GError **err);

guint rpc_server_n_clients(const RpcServer *server);

/* Stops listening; connections stay. */
void rpc_server_stop_listening(RpcServer *server);
/* Disconnects everyone. */
void rpc_server_disconnect(RpcServer *server);
/* Disconnects everyone and frees the server. Worker threads that hold clients must be done. */
void rpc_server_free(RpcServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcServer, rpc_server_free)

#endif
