/* fuzz_rpc.c - bytes of a hostile client: packets over a real socket, and the arguments of every
 * procedure.
 *
 * The input is what a client sends. Calls are not run: their arguments are decoded as the
 * dispatcher does, encoded again and answered; those that open streams open one that takes
 * everything.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/calls/table.h"
#include "driver/rpc/error.h"
#include "driver/rpc/server.h"
#include "driver/rpc/stream_internal.h"
#include "util/error.h"

/* What fits into a socket's buffer without a reader. */
#define FUZZ_INPUT_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ssize_t
fuzz_stream_write(void *opaque, const uint8_t *data, size_t len)
{
    guint *sum = opaque;

    for (size_t i = 0; i < len; i++)
        *sum += data[i];
    /* Refuses now and then, so that data waits. */
    return *sum % 7 == 0 ? -EAGAIN : (ssize_t)MIN(len, 1 + *sum % 100);
}

static int
fuzz_stream_hole(void *opaque, int64_t length)
{
    (void)opaque;
    return length < 0 ? -EINVAL : 0;
}

static const RpcStreamOps fuzz_stream_ops = {
    .write = fuzz_stream_write,
    .write_hole = fuzz_stream_hole,
};

static guint fuzz_sum;

static void
fuzz_decode(RpcMessage *reply, const RpcMessage *msg, xdrproc_t proc, size_t size)
{
    g_autofree void *value = g_malloc0(size);

    if (!rpc_message_decode(msg, proc, value, size))
        return;
    rpc_message_encode(reply, proc, value);
    xdr_free(proc, value);
}

static void
fuzz_call(RpcClient *client, RpcMessage *msg, void *opaque)
{
    const CallProc *proc = call_proc_find(msg->header.prog, msg->header.proc);
    RpcHeader header = rpc_header_reply(&msg->header, RPC_REPLY, RPC_OK);
    RpcMessage *reply = rpc_message_new(&header);

    (void)opaque;
    reply->ends_request = true;
    if (proc && proc->run) {
        fuzz_decode(reply, msg, proc->args_xdr, proc->args_size);
        fuzz_decode(reply, msg, proc->ret_xdr, proc->ret_size);
        if (proc->kind == CALL_KIND_STREAM) {
            g_autoptr(RpcStream) stream = rpc_stream_new(
                client, &msg->header, msg->header.serial & 1, &fuzz_stream_ops, &fuzz_sum);

            rpc_stream_register(stream);
            rpc_stream_start(stream);
        }
    }
    rpc_client_send(client, reply);
    rpc_message_free(msg);
}

static void
fuzz_nothing(RpcClient *client, void *opaque)
{
    (void)client;
    (void)opaque;
}

static const RpcServerOps fuzz_ops = {
    .connected = fuzz_nothing,
    .call = fuzz_call,
    .disconnected = fuzz_nothing,
};

static const RpcLimits fuzz_limits = {
    .max_clients = 10,
    .max_client_requests = 5,
    .keepalive_interval = -1,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static RpcServer *server;
    char drain[4096];
    int fds[2];

    if (!server)
        server = rpc_server_new(NULL, &fuzz_limits, &fuzz_ops, NULL, NULL);
    if (size > FUZZ_INPUT_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
        return 0;
    fuzz_sum = 1;
    if (!rpc_server_adopt(server, fds[1], false, RPC_AUTH_NONE, NULL))
        abort();
    if (send(fds[0], data, size, MSG_NOSIGNAL) < 0 && size)
        abort();
    for (int i = 0; i < 64 && g_main_context_iteration(NULL, FALSE); i++)
        while (recv(fds[0], drain, sizeof drain, 0) > 0)
            ;
    close(fds[0]);
    while (rpc_server_n_clients(server) && g_main_context_iteration(NULL, FALSE))
        ;
    rpc_server_disconnect(server);
    return 0;
}
