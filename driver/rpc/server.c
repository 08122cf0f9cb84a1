/* server.c - listening sockets and connections. See server.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/rpc/server.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

/* Connections accepted at one turn of the main loop. */
#define SERVER_ACCEPT_TURN 32

typedef struct {
    RpcServer *server;
    int fd;
    RpcWatch *watch;
    bool read_only;
    RpcAuth auth;
} ServerListener;

/* Belongs to the main loop's thread as a whole. */
struct RpcServer {
    GMainContext *context;
    RpcPoller *poller;
    RpcLimits limits;
    const RpcServerOps *ops;
    void *opaque;
    GPtrArray *listeners; /* of ServerListener */
    GHashTable *clients;  /* set of RpcClient, owned references */
    guint anonymous;      /* of them, not yet authenticated */
    bool accepting;       /* listeners are watched */
    bool exhausted;       /* out of descriptors: accept again at the next tick */
    GSource *tick;        /* once a second: keepalive */
};

static void
server_update_accepting(RpcServer *server)
{
    const RpcLimits *limits = &server->limits;
    bool accept =
        !server->exhausted && g_hash_table_size(server->clients) < limits->max_clients &&
        (!limits->max_anonymous_clients || server->anonymous < limits->max_anonymous_clients);

    if (accept == server->accepting)
        return;
    server->accepting = accept;
    for (guint i = 0; i < server->listeners->len; i++) {
        ServerListener *listener = server->listeners->pdata[i];

        rpc_watch_set(listener->watch, accept ? EPOLLIN : 0);
    }
}

static void
server_client_call(RpcClient *client, RpcMessage *msg, void *opaque)
{
    RpcServer *server = opaque;

    server->ops->call(client, msg, server->opaque);
}

static void
server_client_authenticated(RpcClient *client, void *opaque)
{
    RpcServer *server = opaque;

    (void)client;
    server->anonymous--;
    server_update_accepting(server);
}

static void
server_client_closed(RpcClient *client, void *opaque)
{
    RpcServer *server = opaque;

    if (!rpc_client_is_authenticated(client))
        server->anonymous--;
    server->ops->disconnected(client, server->opaque);
    g_hash_table_remove(server->clients, client);
    server_update_accepting(server);
}

static const RpcClientOps server_client_ops = {
    .call = server_client_call,
    .closed = server_client_closed,
    .authenticated = server_client_authenticated,
};

static gboolean
server_tick(void *opaque)
{
    RpcServer *server = opaque;
    g_autofree gpointer *clients = NULL;
    gint64 now = g_get_monotonic_time();
    guint n;

    server->exhausted = false;
    server_update_accepting(server);
    /* A client may be torn down while it is asked. */
    clients = g_hash_table_get_keys_as_array(server->clients, &n);
    for (guint i = 0; i < n; i++)
        rpc_client_tick(clients[i], now);
    return G_SOURCE_CONTINUE;
}

RpcServer *
rpc_server_new(GMainContext *context, const RpcLimits *limits, const RpcServerOps *ops,
               void *opaque, GError **err)
{
    RpcPoller *poller = rpc_poller_new(context, err);
    RpcServer *server;

    if (!poller)
        return NULL;
    server = g_new0(RpcServer, 1);
    server->context = context;
    server->poller = poller;
    server->limits = *limits;
    server->ops = ops;
    server->opaque = opaque;
    server->listeners = g_ptr_array_new();
    server->clients = g_hash_table_new_full(NULL, NULL, (GDestroyNotify)rpc_client_unref, NULL);
    server->accepting = true;
    server->tick = g_timeout_source_new_seconds(1);
    g_source_set_callback(server->tick, server_tick, server, NULL);
    g_source_attach(server->tick, context);
    return server;
}

void
rpc_server_set_limits(RpcServer *server, const RpcLimits *limits)
{
    server->limits = *limits;
    server_update_accepting(server);
}

RpcClient *
rpc_server_adopt(RpcServer *server, int fd, bool read_only, RpcAuth auth, GError **err)
{
    RpcClient *client = rpc_client_new(server->poller, fd, read_only, auth, &server->limits,
                                       &server_client_ops, server, err);

    if (!client)
        return NULL;
    g_hash_table_add(server->clients, client);
    if (!rpc_client_is_authenticated(client))
        server->anonymous++;
    server->ops->connected(client, server->opaque);
    server_update_accepting(server);
    return client;
}

static void
server_listener_ready(uint32_t events, void *opaque)
{
    ServerListener *listener = opaque;
    RpcServer *server = listener->server;

    (void)events;
    for (guint i = 0; i < SERVER_ACCEPT_TURN && server->accepting; i++) {
        g_autoptr(GError) err = NULL;
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            g_warning("cannot accept a client: %s; trying again in a second", g_strerror(errno));
            server->exhausted = true;
            server_update_accepting(server);
        }
        if (fd < 0)
            return;
        fd = file_move_high(fd);
        if (!rpc_server_adopt(server, fd, listener->read_only, listener->auth, &err))
            g_warning("cannot serve a client: %s", err->message);
    }
}

bool
rpc_server_listen(RpcServer *server, int fd, bool read_only, RpcAuth auth, GError **err)
{
    ServerListener *listener = g_new0(ServerListener, 1);
    int flags = fcntl(fd, F_GETFL);

    listener->server = server;
    listener->fd = fd;
    listener->read_only = read_only;
    listener->auth = auth;
    if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
        listener->watch = rpc_poller_add(server->poller, fd, server->accepting ? EPOLLIN : 0,
                                         server_listener_ready, listener);
    if (!listener->watch) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot listen for clients");
        close(fd);
        g_free(listener);
        return false;
    }
    g_ptr_array_add(server->listeners, listener);
    return true;
}

guint
rpc_server_n_clients(const RpcServer *server)
{
    return g_hash_table_size(server->clients);
}

void
rpc_server_stop_listening(RpcServer *server)
{
    for (guint i = 0; i < server->listeners->len; i++) {
        ServerListener *listener = server->listeners->pdata[i];

        rpc_watch_remove(listener->watch);
        close(listener->fd);
        g_free(listener);
    }
    g_ptr_array_set_size(server->listeners, 0);
}

void
rpc_server_disconnect(RpcServer *server)
{
    guint n;
    g_autofree gpointer *clients = g_hash_table_get_keys_as_array(server->clients, &n);

    for (guint i = 0; i < n; i++)
        rpc_client_teardown(clients[i]);
}

void
rpc_server_free(RpcServer *server)
{
    if (!server)
        return;
    rpc_server_stop_listening(server);
    rpc_server_disconnect(server);
    g_source_destroy(server->tick);
    g_source_unref(server->tick);
    rpc_poller_free(server->poller);
    g_hash_table_unref(server->clients);
    g_ptr_array_unref(server->listeners);
    g_free(server);
}
