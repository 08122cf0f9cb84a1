/* client.h - one connection: packets in, packets out, its limits, its streams.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_RPC_CLIENT_H
#define KILN_DRIVER_RPC_CLIENT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/rpc/identity.h"
#include "driver/rpc/message.h"
#include "driver/rpc/poller.h"

/* Reference counted. Functions may be called from any thread unless they say otherwise. */
typedef struct RpcClient RpcClient;

typedef enum {
    RPC_AUTH_NONE = 0,
    RPC_AUTH_POLKIT = 2,
} RpcAuth;

/* What one client may use; the server's copy, read in the main loop's thread. */
typedef struct RpcLimits {
    guint max_clients;           /* connections */
    guint max_anonymous_clients; /* of them, not yet authenticated; 0: no limit of their own */
    guint max_client_requests;   /* calls of one client at work */
    int keepalive_interval;      /* seconds between pings to clients that asked; <= 0: none */
    guint keepalive_count;       /* unanswered pings until the client counts as dead */
} RpcLimits;

/* What happens to a client; all run in the main loop's thread. */
typedef struct RpcClientOps {
    /* A call arrived (header type RPC_CALL or RPC_CALL_WITH_FDS; program not yet looked at). Owns
     * @msg. It must be answered once with a message whose ends_request is set. */
    void (*call)(RpcClient *client, RpcMessage *msg, void *opaque);
    /* The connection is over. Calls at work go on; what they send is dropped. */
    void (*closed)(RpcClient *client, void *opaque);
    /* The client authenticated itself; it may be gone by now. */
    void (*authenticated)(RpcClient *client, void *opaque);
} RpcClientOps;

/* Takes over @fd (made non-blocking) and starts reading. In the main loop's thread. @limits is
 * borrowed and may change. Fails with VIR_ERR_SYSTEM_ERROR; @fd is closed then. */
RpcClient *rpc_client_new(RpcPoller *poller, int fd, bool read_only, RpcAuth auth,
                          const RpcLimits *limits, const RpcClientOps *ops, void *opaque,
                          GError **err);

RpcClient *rpc_client_ref(RpcClient *client);
void rpc_client_unref(RpcClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcClient, rpc_client_unref)

/* Queues @msg (taken over) and sends what the socket takes at once. Dropped when the connection is
 * over. A client whose queue grows without end is disconnected. */
void rpc_client_send(RpcClient *client, RpcMessage *msg);

/* Disconnects as soon as every call is answered, reading nothing more. */
void rpc_client_close_when_sent(RpcClient *client);

/* The socket it came by is read-only. */
bool rpc_client_is_read_only(const RpcClient *client);
const RpcIdentity *rpc_client_identity(const RpcClient *client);

/* How this client has to authenticate, and whether it has. */
RpcAuth rpc_client_auth(const RpcClient *client);
bool rpc_client_is_authenticated(const RpcClient *client);
void rpc_client_set_authenticated(RpcClient *client);

/* Starts pinging it as @limits say; it said that it answers. In the main loop's thread. */
void rpc_client_start_keepalive(RpcClient *client);
/* Once a second, in the main loop's thread: pings it or gives it up. */
void rpc_client_tick(RpcClient *client, gint64 now);

/* A pointer for whoever implements the ops. Set before the first call can arrive. */
void rpc_client_set_data(RpcClient *client, void *data);
void *rpc_client_data(const RpcClient *client);

/* Disconnects and tells ops->closed before it returns. In the main loop's thread. */
void rpc_client_teardown(RpcClient *client);

/* Streams' own. */
struct RpcStream;
RpcPoller *rpc_client_poller(const RpcClient *client);
bool rpc_client_add_stream(RpcClient *client, struct RpcStream *stream);
void rpc_client_remove_stream(RpcClient *client, struct RpcStream *stream);
/* @bytes more (or fewer) wait inside the daemon for a stream's far side: at some point the
 * client is not read any more until they went. */
void rpc_client_stream_queued(RpcClient *client, ssize_t bytes);

#endif
