/* auth.c - the calls that authenticate a client: none, and polkit.
 *
 * Actions are libvirt's own (org.libvirt.unix.manage and .monitor), so that an administrator's
 * rules hold for both daemons, and so are the three ways to be refused: virsh brings an agent that
 * asks for a password when it is told that there is none. SASL is not offered.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <polkit/polkit.h>

#include "driver/calls/connection.h"
#include "driver/calls/handlers.h"

bool
call_auth_list(Call *call, const WireVoid *args, AuthListRet *ret, GError **err)
{
    RpcClient *client = call->connection->client;
    RpcAuth auth = rpc_client_auth(client);

    (void)args;
    (void)err;
    /* Asking polkit about root is pointless, and fails where no polkit runs. */
    if (auth == RPC_AUTH_POLKIT && call_peer_uid(call) == 0)
        rpc_client_set_authenticated(client);
    if (rpc_client_is_authenticated(client))
        auth = RPC_AUTH_NONE;
    ret->types.types_len = 1;
    ret->types.types_val = g_new(int, 1);
    ret->types.types_val[0] = auth;
    return true;
}

/* polkit by the system's bus. */
static PolkitAuthority *
auth_reach_polkit(GCancellable *cancel, GError **err)
{
    g_autoptr(GDBusConnection) bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, cancel, err);

    if (!bus)
        return NULL;
    /* GLib ends the process with the bus unless it is told not to. */
    g_dbus_connection_set_exit_on_close(bus, FALSE);
    return polkit_authority_get_sync(cancel, err);
}

/* Waits for polkit, which may wait for a person. */
static bool
auth_ask_polkit(const RpcIdentity *identity, const char *action, GCancellable *cancel, GError **err)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(PolkitAuthority) authority = auth_reach_polkit(cancel, &failure);
    g_autoptr(PolkitSubject) subject = NULL;
    g_autoptr(PolkitAuthorizationResult) result = NULL;

    if (!authority)
        return kiln_error_set(err, VIR_ERR_AUTH_UNAVAILABLE, "no polkit: %s", failure->message);
    subject =
        polkit_unix_process_new_for_owner(identity->pid, identity->start_time, (int)identity->uid);
    result = polkit_authority_check_authorization_sync(
        authority, subject, action, NULL, POLKIT_CHECK_AUTHORIZATION_FLAGS_ALLOW_USER_INTERACTION,
        cancel, &failure);
    if (!result)
        return kiln_error_set(err, VIR_ERR_AUTH_FAILED, "polkit: %s", failure->message);
    if (polkit_authorization_result_get_is_authorized(result))
        return true;
    if (polkit_authorization_result_get_dismissed(result))
        return kiln_error_set(err, VIR_ERR_AUTH_CANCELLED, "user cancelled authentication process");
    if (polkit_authorization_result_get_is_challenge(result))
        return kiln_error_set(err, VIR_ERR_AUTH_UNAVAILABLE,
                              "no polkit agent available to authenticate action '%s'", action);
    return kiln_error_set(err, VIR_ERR_AUTH_FAILED, "access denied by policy '%s'", action);
}

bool
call_auth_polkit(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    RpcClient *client = call->connection->client;
    const RpcIdentity *identity = rpc_client_identity(client);
    const char *action =
        rpc_client_is_read_only(client) ? "org.libvirt.unix.monitor" : "org.libvirt.unix.manage";

    (void)args;
    if (rpc_client_auth(client) != RPC_AUTH_POLKIT || rpc_client_is_authenticated(client))
        return kiln_error_set(err, VIR_ERR_AUTH_FAILED, "polkit is not asked for here");
    /* Without its start time the process may be another one by now. */
    if (!identity->start_time)
        return kiln_error_set(err, VIR_ERR_AUTH_FAILED, "process %d is gone", (int)identity->pid);
    if (!auth_ask_polkit(identity, action, call->connection->cancel, err)) {
        g_message("process %d of user %u may not '%s'", (int)identity->pid, identity->uid, action);
        return false;
    }
    rpc_client_set_authenticated(client);
    ret->value = 1;
    return true;
}
