/* connection.c - what the daemon knows of a client beyond its socket. See connection.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/calls/connection.h"

#include "driver/calls/events_internal.h"

CallConnection *
call_connection_new(RpcClient *client, const CallServices *services)
{
    CallConnection *connection = g_new0(CallConnection, 1);

    connection->refs = 1;
    connection->client = rpc_client_ref(client);
    connection->services = services;
    connection->cancel = g_cancellable_new();
    connection->read_only = rpc_client_is_read_only(client);
    g_mutex_init(&connection->lock);
    return connection;
}

CallConnection *
call_connection_ref(CallConnection *connection)
{
    g_atomic_int_inc(&connection->refs);
    return connection;
}

void
call_connection_unref(CallConnection *connection)
{
    if (!connection || !g_atomic_int_dec_and_test(&connection->refs))
        return;
    rpc_client_unref(connection->client);
    g_object_unref(connection->cancel);
    g_free(connection->uri);
    g_mutex_clear(&connection->lock);
    g_free(connection);
}

static void
connection_tell_gone(CallConnection *connection)
{
    const CallServices *services = connection->services;

    if (services->domain_client_gone && services->domains)
        services->domain_client_gone(services->domains, connection);
}

void
call_connection_end(CallConnection *connection)
{
    g_mutex_lock(&connection->lock);
    connection->ended = true;
    g_mutex_unlock(&connection->lock);
    g_cancellable_cancel(connection->cancel);
    event_hub_remove_client(connection->services->events, connection->client);
    connection_tell_gone(connection);
}

void
call_connection_enter(CallConnection *connection)
{
    g_mutex_lock(&connection->lock);
    connection->calls++;
    g_mutex_unlock(&connection->lock);
}

void
call_connection_leave(CallConnection *connection)
{
    bool last;

    g_mutex_lock(&connection->lock);
    last = --connection->calls == 0 && connection->ended;
    g_mutex_unlock(&connection->lock);
    /* What this call left for the client's sake (a guest to destroy with it, a console) came after
     * the managers were told. */
    if (last) {
        event_hub_remove_client(connection->services->events, connection->client);
        connection_tell_gone(connection);
    }
}

bool
call_connection_is_open(CallConnection *connection)
{
    bool open;

    g_mutex_lock(&connection->lock);
    open = connection->open;
    g_mutex_unlock(&connection->lock);
    return open;
}

bool
call_connection_is_read_only(CallConnection *connection)
{
    bool read_only;

    g_mutex_lock(&connection->lock);
    read_only = connection->read_only;
    g_mutex_unlock(&connection->lock);
    return read_only;
}
