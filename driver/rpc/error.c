/* error.c - libvirt's error object on the wire.
 *
 * Clients compare and show whole texts, so the words in front of each detail are libvirt 9.0.0's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/rpc/error.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "driver/protocol/types.h"
#include "util/error.h"

typedef struct {
    int code;
    const char *format; /* holds one %s for the detail */
} ErrorFormat;

static const ErrorFormat error_formats[] = {
    { VIR_ERR_INTERNAL_ERROR, "internal error: %s" },
    { VIR_ERR_NO_MEMORY, "out of memory: %s" },
    { VIR_ERR_NO_SUPPORT, "this function is not supported by the connection driver: %s" },
    { VIR_ERR_UNKNOWN_HOST, "unknown host %s" },
    { VIR_ERR_NO_CONNECT, "no connection driver available for %s" },
    { VIR_ERR_INVALID_CONN, "invalid connection pointer in %s" },
    { VIR_ERR_INVALID_DOMAIN, "invalid domain pointer in %s" },
    { VIR_ERR_INVALID_ARG, "invalid argument: %s" },
    { VIR_ERR_OPERATION_FAILED, "operation failed: %s" },
    { VIR_ERR_OS_TYPE, "unknown OS type %s" },
    { VIR_ERR_NO_KERNEL, "missing kernel information: %s" },
    { VIR_ERR_NO_ROOT, "missing root device information in %s" },
    { VIR_ERR_NO_SOURCE, "missing source information for device %s" },
    { VIR_ERR_NO_TARGET, "missing target information for device %s" },
    { VIR_ERR_NO_NAME, "missing name information in %s" },
    { VIR_ERR_NO_OS, "missing operating system information for %s" },
    { VIR_ERR_NO_DEVICE, "missing devices information for %s" },
    { VIR_ERR_CALL_FAILED, "library call failed: %s" },
    { VIR_ERR_XML_ERROR, "XML error: %s" },
    { VIR_ERR_DOM_EXIST, "domain %s exists already" },
    { VIR_ERR_OPERATION_DENIED, "operation forbidden: %s" },
    { VIR_ERR_OPEN_FAILED, "failed to open configuration file %s" },
    { VIR_ERR_READ_FAILED, "failed to read configuration file %s" },
    { VIR_ERR_PARSE_FAILED, "failed to parse configuration file %s" },
    { VIR_ERR_CONF_SYNTAX, "configuration file syntax error: %s" },
    { VIR_ERR_WRITE_FAILED, "failed to write configuration file: %s" },
    { VIR_ERR_XML_DETAIL, "%s" },
    { VIR_ERR_INVALID_NETWORK, "invalid network pointer in %s" },
    { VIR_ERR_NETWORK_EXIST, "network %s exists already" },
    { VIR_ERR_SYSTEM_ERROR, "%s" },
    { VIR_ERR_RPC, "%s" },
    { VIR_ERR_GNUTLS_ERROR, "%s" },
    { VIR_ERR_NO_DOMAIN, "Domain not found: %s" },
    { VIR_ERR_NO_NETWORK, "Network not found: %s" },
    { VIR_ERR_INVALID_MAC, "invalid MAC address: %s" },
    { VIR_ERR_AUTH_FAILED, "authentication failed: %s" },
    { VIR_ERR_NO_STORAGE_POOL, "Storage pool not found: %s" },
    { VIR_ERR_NO_STORAGE_VOL, "Storage volume not found: %s" },
    { VIR_ERR_NO_NODE_DEVICE, "Node device not found: %s" },
    { VIR_ERR_NO_SECURITY_MODEL, "Security model not found: %s" },
    { VIR_ERR_OPERATION_INVALID, "Requested operation is not valid: %s" },
    { VIR_ERR_NO_INTERFACE, "Interface not found: %s" },
    { VIR_ERR_MULTIPLE_INTERFACES, "multiple matching interfaces found: %s" },
    { VIR_ERR_INVALID_NWFILTER, "Invalid network filter: %s" },
    { VIR_ERR_NO_NWFILTER, "Network filter not found: %s" },
    { VIR_ERR_BUILD_FIREWALL, "Error while building firewall: %s" },
    { VIR_ERR_INVALID_SECRET, "Invalid secret: %s" },
    { VIR_ERR_NO_SECRET, "Secret not found: %s" },
    { VIR_ERR_CONFIG_UNSUPPORTED, "unsupported configuration: %s" },
    { VIR_ERR_OPERATION_TIMEOUT, "Timed out during operation: %s" },
    { VIR_ERR_HOOK_SCRIPT_FAILED, "Hook script execution failed: %s" },
    { VIR_ERR_INVALID_DOMAIN_SNAPSHOT, "Invalid domain snapshot: %s" },
    { VIR_ERR_NO_DOMAIN_SNAPSHOT, "Domain snapshot not found: %s" },
    { VIR_ERR_INVALID_STREAM, "invalid stream pointer in %s" },
    { VIR_ERR_ARGUMENT_UNSUPPORTED, "argument unsupported: %s" },
    { VIR_ERR_STORAGE_PROBE_FAILED, "Storage pool probe failed: %s" },
    { VIR_ERR_STORAGE_POOL_BUILT, "Storage pool already built: %s" },
    { VIR_ERR_SNAPSHOT_REVERT_RISKY, "revert requires force: %s" },
    { VIR_ERR_OPERATION_ABORTED, "operation aborted: %s" },
    { VIR_ERR_AUTH_CANCELLED, "authentication cancelled: %s" },
    { VIR_ERR_NO_DOMAIN_METADATA, "metadata not found: %s" },
    { VIR_ERR_MIGRATE_UNSAFE, "Unsafe migration: %s" },
    { VIR_ERR_OVERFLOW, "numerical overflow: %s" },
    { VIR_ERR_BLOCK_COPY_ACTIVE, "block copy still active: %s" },
    { VIR_ERR_OPERATION_UNSUPPORTED, "Operation not supported: %s" },
    { VIR_ERR_AGENT_UNRESPONSIVE, "Guest agent is not responding: %s" },
    { VIR_ERR_RESOURCE_BUSY, "resource busy: %s" },
    { VIR_ERR_ACCESS_DENIED, "access denied: %s" },
    { VIR_ERR_DBUS_SERVICE, "error from service: %s" },
    { VIR_ERR_STORAGE_VOL_EXIST, "storage volume %s exists already" },
    { VIR_ERR_CPU_INCOMPATIBLE, "the CPU is incompatible with host CPU: %s" },
    { VIR_ERR_XML_INVALID_SCHEMA, "XML document failed to validate against schema: %s" },
    { VIR_ERR_AUTH_UNAVAILABLE, "authentication unavailable: %s" },
    { VIR_ERR_AGENT_UNSYNCED, "guest agent replied with wrong id to guest-sync command: %s" },
    { VIR_ERR_DEVICE_MISSING, "device not found: %s" },
    { VIR_ERR_NO_NWFILTER_BINDING, "Network filter binding not found: %s" },
    { VIR_ERR_NO_DOMAIN_CHECKPOINT, "Domain checkpoint not found: %s" },
    { VIR_ERR_NO_DOMAIN_BACKUP, "Domain backup job id not found: %s" },
    { VIR_ERR_NO_NETWORK_PORT, "network port not found: %s" },
    { VIR_ERR_NO_HOSTNAME, "no hostname found: %s" },
    { VIR_ERR_CHECKPOINT_INCONSISTENT, "checkpoint inconsistent: %s" },
    { VIR_ERR_MULTIPLE_DOMAINS, "multiple matching domains found: %s" },
};

static const char *
error_format(int code)
{
    for (size_t i = 0; i < G_N_ELEMENTS(error_formats); i++)
        if (error_formats[i].code == code)
            return error_formats[i].format;
    return "%s";
}

char *
rpc_error_text(int code, const char *detail)
{
    const char *format = error_format(code);
    const char *slot = strstr(format, "%s");

    return g_strdup_printf("%.*s%s%s", (int)(slot - format), format, detail, slot + 2);
}

RpcMessage *
rpc_error_message(const RpcHeader *header, bool stream, int domain, const GError *err)
{
    RpcHeader reply = rpc_header_reply(header, stream ? RPC_STREAM : RPC_REPLY, RPC_ERROR);
    RpcMessage *msg = rpc_message_new(&reply);
    int code = kiln_error_code(err);
    /* A text too long for the protocol would leave the client without any answer. */
    g_autofree char *detail = g_strndup(err->message, 65536);
    g_autofree char *text = rpc_error_text(code, detail);
    char *format = (char *)error_format(code);
    WireError wire = {
        .code = code,
        .domain = domain,
        .message = &text,
        .level = VIR_ERR_ERROR,
        .str1 = &format,
        .str2 = &detail,
        .int1 = -1,
        .int2 = -1,
    };

    rpc_message_encode(msg, (xdrproc_t)xdr_WireError, &wire);
    return msg;
}
