/* connect.c - the calls about the connection itself: open, close, versions, features.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <libvirt/libvirt.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#include "driver/calls/connection.h"
#include "driver/calls/handlers.h"
#include "driver/calls/uri.h"

/* The libvirt whose protocol this is, and the QEMU whose guests' view (machine, devices) a qemu:
 * connection stands for: clients choose what to ask for by these. */
#define CONNECT_LIB_VERSION 9000000
#define CONNECT_QEMU_VERSION 7002000

/* Features a client may ask about; their numbers are on the wire (libvirt's internal list). Those
 * not here are not supported. */
enum {
    FEATURE_MIGRATION_V3 = 6,
    FEATURE_MIGRATE_CHANGE_PROTECTION = 7,
    FEATURE_FD_PASSING = 8,
    FEATURE_TYPED_PARAM_STRING = 9,
    FEATURE_PROGRAM_KEEPALIVE = 10,
    FEATURE_XML_MIGRATABLE = 11,
    FEATURE_MIGRATION_PARAMS = 13,
    FEATURE_EVENT_CALLBACK = 14,
    FEATURE_CLOSE_CALLBACK = 15,
    FEATURE_NETWORK_UPDATE_ORDER = 16,
};

bool
call_connect_open(Call *call, const ConnectOpenArgs *args, WireVoid *ret, GError **err)
{
    CallConnection *connection = call->connection;
    g_autofree char *uri = NULL;
    bool qemu;

    (void)ret;
    if (call_connection_is_open(connection))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "connection already open");
    /* Clients send flags of their own making too (how they found this socket): only one matters. */
    if (!call_uri_parse(wire_opt_text(args->name), call->services->paths->session, &qemu, &uri,
                        err))
        return false;
    g_mutex_lock(&connection->lock);
    connection->qemu = qemu;
    connection->uri = g_steal_pointer(&uri);
    connection->read_only |= (args->flags & VIR_CONNECT_RO) != 0;
    connection->open = true;
    g_mutex_unlock(&connection->lock);
    return true;
}

bool
call_connect_close(Call *call, const WireVoid *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    (void)err;
    rpc_client_close_when_sent(call->connection->client);
    return true;
}

bool
call_connect_get_type(Call *call, const WireVoid *args, StringRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = g_strdup(call_is_qemu(call) ? "QEMU" : "Kiln");
    return true;
}

/* Major, minor and micro of this project as one number, as libvirt counts. */
static u_quad_t
connect_own_version(void)
{
    g_auto(GStrv) parts = g_strsplit(KILN_VERSION, ".", 3);
    u_quad_t version = 0;

    for (guint i = 0; i < 3; i++)
        version =
            version * 1000 + (i < g_strv_length(parts) ? g_ascii_strtoull(parts[i], NULL, 10) : 0);
    return version;
}

bool
call_connect_get_version(Call *call, const WireVoid *args, HyperRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = call_is_qemu(call) ? CONNECT_QEMU_VERSION : connect_own_version();
    return true;
}

bool
call_connect_get_lib_version(Call *call, const WireVoid *args, HyperRet *ret, GError **err)
{
    (void)call;
    (void)args;
    (void)err;
    ret->value = CONNECT_LIB_VERSION;
    return true;
}

/* The resolver's full name for this host if it has one, as libvirt gives it. */
static char *
connect_full_name(const char *name)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_flags = AI_CANONNAME };
    struct addrinfo *info = NULL;
    char *full = NULL;

    if (strchr(name, '.') || g_str_has_prefix(name, "localhost"))
        return g_strdup(name);
    if (getaddrinfo(name, NULL, &hints, &info) == 0 && info && info->ai_canonname &&
        !g_str_has_prefix(info->ai_canonname, "localhost"))
        full = g_strdup(info->ai_canonname);
    if (info)
        freeaddrinfo(info);
    return full ? full : g_strdup(name);
}

bool
call_connect_get_hostname(Call *call, const WireVoid *args, StringRet *ret, GError **err)
{
    char name[256] = "";

    (void)call;
    (void)args;
    if (gethostname(name, sizeof name - 1) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "failed to determine host name");
    ret->value = connect_full_name(name);
    return true;
}

bool
call_connect_get_uri(Call *call, const WireVoid *args, StringRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = g_strdup(call->connection->uri);
    return true;
}

bool
call_connect_is_secure(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    (void)call;
    (void)args;
    (void)err;
    /* A unix socket leaves the host's kernel no more than TLS leaves the host. */
    ret->value = 1;
    return true;
}

bool
call_connect_supports_feature(Call *call, const ConnectSupportsFeatureArgs *args, IntRet *ret,
                              GError **err)
{
    switch (args->feature) {
    case FEATURE_PROGRAM_KEEPALIVE:
        rpc_client_start_keepalive(call->connection->client);
        ret->value = 1;
        return true;
    case FEATURE_MIGRATION_V3:
    case FEATURE_MIGRATE_CHANGE_PROTECTION:
    case FEATURE_XML_MIGRATABLE:
    case FEATURE_MIGRATION_PARAMS:
    case FEATURE_FD_PASSING:
    case FEATURE_TYPED_PARAM_STRING:
    case FEATURE_EVENT_CALLBACK:
    case FEATURE_CLOSE_CALLBACK:
    case FEATURE_NETWORK_UPDATE_ORDER:
        ret->value = 1;
        break;
    default:
        ret->value = 0;
    }
    if (!call_connection_is_open(call->connection))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "hypervisor connection not open");
    return true;
}
