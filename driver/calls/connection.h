/* connection.h - what the daemon knows of a client beyond its socket: what it opened, how.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_CONNECTION_H
#define KILN_DRIVER_CALLS_CONNECTION_H

#include <gio/gio.h>

#include "driver/calls/call.h"
#include "driver/rpc/client.h"

/* Reference counted: each call at work holds one. */
struct CallConnection {
    gint refs;
    RpcClient *client;            /* owned; constant */
    const CallServices *services; /* constant */
    GCancellable *cancel;         /* owned; constant; cancelled when the client is gone */

    /* Guards the rest. A leaf but for the client's own lock. */
    GMutex lock;
    bool open;
    bool read_only;
    bool qemu;
    char *uri;
    guint calls; /* at work */
    bool ended;
};

CallConnection *call_connection_new(RpcClient *client, const CallServices *services);
CallConnection *call_connection_ref(CallConnection *connection);
void call_connection_unref(CallConnection *connection);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CallConnection, call_connection_unref)

/* The client is gone: its events stop, the managers are told. In the main loop's thread. */
void call_connection_end(CallConnection *connection);

/* A call begins and ends. Any thread. */
void call_connection_enter(CallConnection *connection);
void call_connection_leave(CallConnection *connection);

bool call_connection_is_open(CallConnection *connection);
bool call_connection_is_read_only(CallConnection *connection);

#endif
