/* rpc_harness.c - a server in a thread of its own, and a client that speaks bytes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc_harness.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/protocol/types.h"

const RpcLimits harness_limits = {
    .max_clients = 5000,
    .max_anonymous_clients = 20,
    .max_client_requests = 5,
    .keepalive_interval = 5,
    .keepalive_count = 5,
};

static void *
harness_thread(void *data)
{
    Harness *harness = data;

    g_main_context_push_thread_default(harness->context);
    g_main_loop_run(harness->loop);
    g_main_context_pop_thread_default(harness->context);
    return NULL;
}

Harness *
harness_new(const RpcServerOps *ops, void *opaque, const RpcLimits *limits)
{
    Harness *harness = g_new0(Harness, 1);

    harness->context = g_main_context_new();
    harness->loop = g_main_loop_new(harness->context, FALSE);
    harness->server = rpc_server_new(harness->context, limits, ops, opaque, NULL);
    assert_non_null(harness->server);
    harness->thread = g_thread_new("server", harness_thread, harness);
    return harness;
}

typedef struct {
    GMutex lock;
    GCond cond;
    bool done;
    void (*func)(void *data);
    void *data;
} HarnessRun;

static gboolean
harness_run_in_thread(gpointer data)
{
    HarnessRun *run = data;

    run->func(run->data);
    g_mutex_lock(&run->lock);
    run->done = true;
    g_cond_signal(&run->cond);
    g_mutex_unlock(&run->lock);
    return G_SOURCE_REMOVE;
}

void
harness_run(Harness *harness, void (*func)(void *data), void *data)
{
    HarnessRun run = { .func = func, .data = data };
    g_autoptr(GSource) source = g_idle_source_new();

    g_mutex_init(&run.lock);
    g_cond_init(&run.cond);
    g_source_set_callback(source, harness_run_in_thread, &run, NULL);
    g_source_attach(source, harness->context);
    g_mutex_lock(&run.lock);
    while (!run.done)
        g_cond_wait(&run.cond, &run.lock);
    g_mutex_unlock(&run.lock);
    g_mutex_clear(&run.lock);
    g_cond_clear(&run.cond);
}

static void
harness_disconnect(void *data)
{
    rpc_server_disconnect(data);
}

void
harness_free(Harness *harness)
{
    harness_run(harness, harness_disconnect, harness->server);
    g_main_loop_quit(harness->loop);
    g_thread_join(harness->thread);
    rpc_server_free(harness->server);
    g_main_loop_unref(harness->loop);
    g_main_context_unref(harness->context);
    g_free(harness);
}

typedef struct {
    RpcServer *server;
    int fd;
    bool read_only;
    RpcAuth auth;
    RpcClient *client;
} HarnessAdopt;

static void
harness_adopt(void *data)
{
    HarnessAdopt *adopt = data;

    adopt->client = rpc_server_adopt(adopt->server, adopt->fd, adopt->read_only, adopt->auth, NULL);
}

int
harness_connect(Harness *harness, bool read_only, RpcAuth auth)
{
    HarnessAdopt adopt = { .server = harness->server, .read_only = read_only, .auth = auth };
    struct timeval limit = { .tv_sec = 10 };
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    adopt.fd = fds[1];
    harness_run(harness, harness_adopt, &adopt);
    assert_non_null(adopt.client);
    return fds[0];
}

typedef struct {
    RpcServer *server;
    guint n;
} HarnessCount;

static void
harness_count(void *data)
{
    HarnessCount *count = data;

    count->n = rpc_server_n_clients(count->server);
}

guint
harness_n_clients(Harness *harness)
{
    HarnessCount count = { harness->server, 0 };

    harness_run(harness, harness_count, &count);
    return count.n;
}

bool
harness_wait_clients(Harness *harness, guint n)
{
    for (int i = 0; i < 500; i++) {
        if (harness_n_clients(harness) == n)
            return true;
        g_usleep(10000);
    }
    return false;
}

static int
harness_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void
harness_remove_tree(char *path)
{
    nftw(path, harness_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    g_free(path);
}

static void
raw_write(int fd, const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        assert_true(n > 0);
        data += n;
        len -= (size_t)n;
    }
}

void
raw_send(int fd, const RpcHeader *header, const void *payload, size_t len)
{
    g_autoptr(RpcMessage) msg = rpc_message_new(header);

    assert_true(rpc_message_append(msg, payload, len));
    rpc_message_seal(msg);
    raw_write(fd, msg->bytes->data, msg->bytes->len);
}

void
raw_call(int fd, int32_t proc, uint32_t serial, const void *payload, size_t len)
{
    RpcHeader header = { RPC_REMOTE_PROGRAM, 1, proc, RPC_CALL, serial, RPC_OK };

    raw_send(fd, &header, payload, len);
}

void
raw_call_xdr(int fd, int32_t proc, uint32_t serial, xdrproc_t xdr, const void *value)
{
    RpcHeader header = { RPC_REMOTE_PROGRAM, 1, proc, RPC_CALL, serial, RPC_OK };
    g_autoptr(RpcMessage) msg = rpc_message_new(&header);

    assert_true(rpc_message_encode(msg, xdr, value));
    rpc_message_seal(msg);
    raw_write(fd, msg->bytes->data, msg->bytes->len);
}

/* False at a clean end before the first byte. */
static bool
raw_read(int fd, uint8_t *data, size_t len)
{
    size_t have = 0;

    while (have < len) {
        ssize_t n = recv(fd, data + have, len - have, 0);

        if (n == 0 && have == 0)
            return false;
        if (n < 0 && errno == ECONNRESET && have == 0)
            return false;
        assert_true(n > 0);
        have += (size_t)n;
    }
    return true;
}

RpcMessage *
raw_recv(int fd)
{
    GByteArray *bytes = g_byte_array_new();
    uint32_t len;

    g_byte_array_set_size(bytes, 4);
    if (!raw_read(fd, bytes->data, 4)) {
        g_byte_array_unref(bytes);
        return NULL;
    }
    memcpy(&len, bytes->data, 4);
    len = GUINT32_FROM_BE(len);
    assert_in_range(len, 28, RPC_BODY_MAX + 4);
    g_byte_array_set_size(bytes, len);
    assert_true(raw_read(fd, bytes->data + 4, len - 4));
    return rpc_message_parse(bytes);
}

RpcMessage *
raw_expect(int fd, uint32_t serial, RpcStatus status)
{
    RpcMessage *msg = raw_recv(fd);

    assert_non_null(msg);
    assert_int_equal(msg->header.type, RPC_REPLY);
    assert_int_equal(msg->header.serial, serial);
    assert_int_equal(msg->header.status, status);
    return msg;
}

void
raw_expect_error(int fd, uint32_t serial, int code, const char *text)
{
    g_autoptr(RpcMessage) msg = raw_expect(fd, serial, RPC_ERROR);
    WireError err;

    assert_true(rpc_message_decode(msg, (xdrproc_t)xdr_WireError, &err, sizeof err));
    assert_non_null(err.message);
    assert_string_equal(*err.message, text);
    assert_int_equal(err.code, code);
    assert_int_equal(err.level, 2);
    assert_non_null(err.str1);
    assert_non_null(err.str2);
    assert_int_equal(err.int1, -1);
    assert_int_equal(err.int2, -1);
    xdr_free((xdrproc_t)xdr_WireError, &err);
}

void
raw_expect_eof(int fd)
{
    RpcMessage *msg = raw_recv(fd);

    assert_null(msg);
}

void
raw_expect_silence(int fd, int ms)
{
    struct pollfd pfd = { fd, POLLIN, 0 };

    assert_int_equal(poll(&pfd, 1, ms), 0);
}

void
raw_ping(int fd)
{
    RpcHeader ping = { RPC_KEEPALIVE_PROGRAM, 1, RPC_KEEPALIVE_PING, RPC_MESSAGE, 0, RPC_OK };

    raw_send(fd, &ping, NULL, 0);
}

void
raw_expect_alive(int fd)
{
    g_autoptr(RpcMessage) pong = NULL;

    raw_ping(fd);
    pong = raw_recv(fd);
    assert_non_null(pong);
    assert_int_equal(pong->header.prog, RPC_KEEPALIVE_PROGRAM);
    assert_int_equal(pong->header.proc, RPC_KEEPALIVE_PONG);
    assert_int_equal(pong->header.type, RPC_MESSAGE);
}
