/* domain_console.c - the calls that open a guest's console or channel as a stream.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"

/* In the main loop's thread, once the client's stream is over. */
static void
console_closed(void *opaque)
{
    DomainConsole *console = opaque;

    domain_console_end(console);
    domain_console_unref(console);
}

/* The guest has gone, or another client took the console: the client sees the end of the stream. */
static void
console_revoked(void *opaque)
{
    rpc_stream_close(opaque, NULL);
}

static bool
open_stream(Call *call, DomainConsole *opened)
{
    g_autoptr(DomainConsole) console = opened;
    RpcStream *stream;

    if (!console)
        return false;
    stream = call_open_stream_fd(call, domain_console_take_fd(console), RPC_STREAM_BOTH,
                                 console_closed, domain_console_ref(console));
    domain_console_on_revoke(console, console_revoked, stream, (GDestroyNotify)rpc_stream_unref);
    return true;
}

bool
call_domain_open_console(Call *call, const DomainOpenConsoleArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return open_stream(call, domain_open_console(call->domain, wire_opt_text(args->device),
                                                 args->flags, call->connection, err));
}

bool
call_domain_open_channel(Call *call, const DomainOpenConsoleArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return open_stream(call, domain_open_channel(call->domain, wire_opt_text(args->device),
                                                 args->flags, call->connection, err));
}
