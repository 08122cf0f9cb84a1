/* client.c - one connection. See client.h.
 *
 * Misbehaviour is answered as libvirt 9.0.0's daemon does: a length out of range, a packet too
 * short for its header or a bad count of descriptors ends the connection; packets that make no
 * sense (replies, unknown types, data of streams that are over) are ignored.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/rpc/client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/rpc/stream_internal.h"
#include "util/error.h"

/* Packets handled at one turn of the main loop, so that one client does not starve the others. */
#define CLIENT_TURN 16
/* Packets waiting to be sent at which reading stops: pongs do not count as requests. */
#define CLIENT_QUEUE_READING 64
/* What waits to be sent when a client that does not read is given up: bytes (two of the largest
 * packets) and packets. Replies cannot add up to this (max_client_requests), events can. */
#define CLIENT_QUEUE_BYTES (2u * RPC_BODY_MAX)
#define CLIENT_QUEUE_PACKETS 65536
/* Bytes waiting for the far sides of streams at which reading stops. */
#define CLIENT_STREAM_MAX (1u << 20)

struct RpcClient {
    gint refs;

    /* Never change after rpc_client_new(). */
    RpcPoller *poller;
    const RpcLimits *limits;
    const RpcClientOps *ops;
    void *opaque;
    bool read_only;
    RpcAuth auth;
    RpcIdentity identity;
    void *data;

    /* The main loop's thread only. */
    uint8_t length_word[RPC_LENGTH_SIZE];
    guint length_have;
    GByteArray *rx;     /* packet being read, NULL between packets */
    size_t rx_have;     /* bytes of it that are there */
    size_t rx_want;     /* its whole length */
    RpcMessage *rx_msg; /* packet that waits for descriptors */
    guint rx_fds;       /* how many are to come */
    bool keepalive;
    gint64 keepalive_start; /* last packet received or ping sent */
    guint keepalive_left;

    gint authenticated; /* atomic */

    /* Guards what follows. A leaf: nothing is called with it held but the socket. */
    GMutex lock;
    int fd; /* -1 once torn down */
    RpcWatch *watch;
    uint32_t interest; /* what the watch waits for */
    GQueue tx;         /* of RpcMessage */
    size_t tx_bytes;
    guint requests; /* calls whose reply is not completely sent */
    size_t stream_bytes;
    GPtrArray *streams; /* of RpcStream, owned references */
    bool ending;        /* read no more, close when every call is answered */
    bool broken;        /* shut down: the main loop's thread tears it down */
};

static void client_ready(uint32_t events, void *opaque);

RpcClient *
rpc_client_new(RpcPoller *poller, int fd, bool read_only, RpcAuth auth, const RpcLimits *limits,
               const RpcClientOps *ops, void *opaque, GError **err)
{
    RpcClient *client = g_new0(RpcClient, 1);

    client->refs = 1;
    client->poller = poller;
    client->limits = limits;
    client->ops = ops;
    client->opaque = opaque;
    client->read_only = read_only;
    client->auth = auth;
    client->authenticated = auth == RPC_AUTH_NONE;
    client->fd = fd;
    client->streams = g_ptr_array_new();
    client->keepalive_start = g_get_monotonic_time();
    g_mutex_init(&client->lock);
    g_queue_init(&client->tx);

    /* Only polkit asks when the process began; reading it costs more than all the rest. */
    if (!rpc_identity_read(fd, auth != RPC_AUTH_NONE, &client->identity, err))
        goto fail;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot set up a client's socket");
        goto fail;
    }
    client->interest = EPOLLIN;
    client->watch = rpc_poller_add(poller, fd, EPOLLIN, client_ready, client);
    if (!client->watch) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot wait for a client");
        goto fail;
    }
    return client;
fail:
    rpc_client_unref(client);
    return NULL;
}

RpcClient *
rpc_client_ref(RpcClient *client)
{
    g_atomic_int_inc(&client->refs);
    return client;
}

void
rpc_client_unref(RpcClient *client)
{
    if (!client || !g_atomic_int_dec_and_test(&client->refs))
        return;
    g_queue_clear_full(&client->tx, (GDestroyNotify)rpc_message_free);
    g_clear_pointer(&client->rx, g_byte_array_unref);
    rpc_message_free(client->rx_msg);
    g_ptr_array_unref(client->streams);
    if (client->fd >= 0)
        close(client->fd);
    g_mutex_clear(&client->lock);
    g_free(client);
}

static bool
client_reading(const RpcClient *client)
{
    return !client->ending && !client->broken &&
           client->requests < client->limits->max_client_requests &&
           client->tx.length < CLIENT_QUEUE_READING && client->stream_bytes <= CLIENT_STREAM_MAX;
}

/* With the lock held. */
static void
client_update_interest(RpcClient *client)
{
    uint32_t interest = 0;

    if (!client->watch)
        return;
    if (client_reading(client))
        interest |= EPOLLIN;
    if (client->tx.length && !client->broken)
        interest |= EPOLLOUT;
    if (interest != client->interest) {
        client->interest = interest;
        rpc_watch_set(client->watch, interest);
    }
}

/* With the lock held. The main loop's thread sees the hang-up and tears the client down. */
static void
client_break(RpcClient *client)
{
    if (client->broken || client->fd < 0)
        return;
    client->broken = true;
    shutdown(client->fd, SHUT_RDWR);
}

/* A descriptor travels with a byte of its own behind the packet. 1 sent, 0 try later, -1 broken. */
static int
client_send_fd(int sock, int fd)
{
    char byte = 0;
    struct iovec iov = { &byte, 1 };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof control.space };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
    if (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
        return 1;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

/* As client_send_fd(). */
static int
client_send_message(int sock, RpcMessage *msg)
{
    while (msg->sent < msg->bytes->len) {
        ssize_t n = send(sock, msg->bytes->data + msg->sent, msg->bytes->len - msg->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        msg->sent += (size_t)n;
    }
    while (msg->fds && msg->fds_sent < msg->fds->len) {
        int rc = client_send_fd(sock, g_array_index(msg->fds, int, msg->fds_sent));

        if (rc <= 0)
            return rc;
        msg->fds_sent++;
    }
    return 1;
}

/* With the lock held. Streams whose packet is sent are added to @ret_streams (references). */
static void
client_flush(RpcClient *client, GPtrArray *ret_streams)
{
    RpcMessage *msg;

    while (!client->broken && (msg = g_queue_peek_head(&client->tx))) {
        int rc = client_send_message(client->fd, msg);

        if (rc < 0)
            client_break(client);
        if (rc <= 0)
            break;
        g_queue_pop_head(&client->tx);
        client->tx_bytes -= msg->bytes->len;
        if (msg->ends_request)
            client->requests--;
        if (msg->stream)
            g_ptr_array_add(ret_streams, g_steal_pointer(&msg->stream));
        rpc_message_free(msg);
    }
    if (client->ending && !client->tx.length && !client->requests)
        client_break(client);
    client_update_interest(client);
}

static void
client_streams_sent(GPtrArray *streams)
{
    for (guint i = 0; i < streams->len; i++) {
        rpc_stream_sent(streams->pdata[i]);
        rpc_stream_unref(streams->pdata[i]);
    }
}

void
rpc_client_send(RpcClient *client, RpcMessage *msg)
{
    g_autoptr(GPtrArray) streams = g_ptr_array_new();

    rpc_message_seal(msg);
    g_mutex_lock(&client->lock);
    if (client->fd < 0 || client->broken) {
        g_mutex_unlock(&client->lock);
        rpc_message_free(msg);
        return;
    }
    g_queue_push_tail(&client->tx, msg);
    client->tx_bytes += msg->bytes->len;
    if (client->tx.length == 1)
        client_flush(client, streams);
    else if (client->tx_bytes > CLIENT_QUEUE_BYTES || client->tx.length > CLIENT_QUEUE_PACKETS)
        client_break(client);
    else
        client_update_interest(client);
    g_mutex_unlock(&client->lock);
    client_streams_sent(streams);
}

void
rpc_client_close_when_sent(RpcClient *client)
{
    g_mutex_lock(&client->lock);
    client->ending = true;
    if (!client->tx.length && !client->requests)
        client_break(client);
    client_update_interest(client);
    g_mutex_unlock(&client->lock);
}

void
rpc_client_teardown(RpcClient *client)
{
    RpcWatch *watch;
    GPtrArray *streams;
    int fd;

    g_mutex_lock(&client->lock);
    watch = g_steal_pointer(&client->watch);
    fd = client->fd;
    client->fd = -1;
    streams = client->streams;
    client->streams = g_ptr_array_new();
    g_queue_clear_full(&client->tx, (GDestroyNotify)rpc_message_free);
    g_mutex_unlock(&client->lock);

    if (fd >= 0) {
        rpc_watch_remove(watch);
        close(fd);
        for (guint i = 0; i < streams->len; i++) {
            rpc_stream_disconnected(streams->pdata[i]);
            rpc_stream_unref(streams->pdata[i]);
        }
        client->ops->closed(client, client->opaque);
    }
    g_ptr_array_unref(streams);
}

static void
client_handle_keepalive(RpcClient *client, const RpcHeader *header)
{
    RpcHeader pong = *header;

    if (header->proc != RPC_KEEPALIVE_PING)
        return;
    pong.proc = RPC_KEEPALIVE_PONG;
    rpc_client_send(client, rpc_message_new(&pong));
}

static void
client_handle_call(RpcClient *client, RpcMessage *msg)
{
    g_mutex_lock(&client->lock);
    client->requests++;
    client_update_interest(client);
    g_mutex_unlock(&client->lock);
    client->ops->call(client, msg, client->opaque);
}

/* Returns false when the connection must end. */
static bool
client_handle_stream(RpcClient *client, RpcMessage *msg)
{
    RpcStream *stream = NULL;
    bool ok;

    g_mutex_lock(&client->lock);
    for (guint i = 0; i < client->streams->len && !stream; i++)
        if (rpc_stream_matches(client->streams->pdata[i], &msg->header))
            stream = rpc_stream_ref(client->streams->pdata[i]);
    g_mutex_unlock(&client->lock);
    if (!stream) {
        rpc_message_free(msg);
        return true;
    }
    ok = rpc_stream_receive(stream, msg);
    rpc_stream_unref(stream);
    return ok;
}

/* A whole packet (and its descriptors) is there. Returns false when the connection must end. */
static bool
client_handle(RpcClient *client, RpcMessage *msg)
{
    const RpcHeader *header = &msg->header;

    if (header->prog == RPC_KEEPALIVE_PROGRAM && header->vers == RPC_PROGRAM_VERSION &&
        header->type == RPC_MESSAGE) {
        client_handle_keepalive(client, header);
        rpc_message_free(msg);
        return true;
    }
    switch (header->type) {
    case RPC_CALL:
    case RPC_CALL_WITH_FDS:
        client_handle_call(client, msg);
        return true;
    case RPC_STREAM:
    case RPC_STREAM_HOLE:
        return client_handle_stream(client, msg);
    default:
        rpc_message_free(msg);
        return true;
    }
}

/* Reading functions return 1 when their part is complete, 0 when more has to come, -1 at the end of
 * the connection. */
static int
client_read_bytes(RpcClient *client, uint8_t *data, size_t len)
{
    for (;;) {
        ssize_t n = recv(client->fd, data, len, MSG_DONTWAIT);

        if (n > 0)
            return (int)n;
        if (n == 0)
            return -1;
        if (errno != EINTR)
            return errno == EAGAIN ? 0 : -1;
    }
}

static int
client_read_length(RpcClient *client)
{
    while (client->length_have < RPC_LENGTH_SIZE) {
        int n = client_read_bytes(client, client->length_word + client->length_have,
                                  RPC_LENGTH_SIZE - client->length_have);

        if (n <= 0)
            return n;
        client->length_have += (guint)n;
    }
    return 1;
}

static int
client_read_body(RpcClient *client)
{
    if (!client->rx) {
        uint32_t len;

        memcpy(&len, client->length_word, sizeof len);
        len = GUINT32_FROM_BE(len);
        if (len < RPC_LENGTH_SIZE + RPC_HEADER_SIZE || len > RPC_LENGTH_SIZE + RPC_BODY_MAX)
            return -1;
        client->rx_want = len;
        client->rx = g_byte_array_sized_new(RPC_LENGTH_SIZE);
        g_byte_array_append(client->rx, client->length_word, RPC_LENGTH_SIZE);
        client->rx_have = RPC_LENGTH_SIZE;
    }
    while (client->rx_have < client->rx_want) {
        /* Room grows with what came, not with what was announced. */
        size_t room = MIN(client->rx_want, MAX(2 * client->rx_have, 65536));
        int n;

        if (client->rx->len < room)
            g_byte_array_set_size(client->rx, (guint)room);
        n = client_read_bytes(client, client->rx->data + client->rx_have,
                              client->rx->len - client->rx_have);
        if (n <= 0)
            return n;
        client->rx_have += (size_t)n;
    }
    client->length_have = 0;
    return 1;
}

static int
client_read_fds(RpcClient *client)
{
    while (client->rx_fds) {
        char byte;
        struct iovec iov = { &byte, 1 };
        union {
            struct cmsghdr align;
            char space[CMSG_SPACE(sizeof(int) * RPC_FDS_MAX)];
        } control;
        struct msghdr msg = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.space,
                              .msg_controllen = sizeof control.space };
        ssize_t n = recvmsg(client->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        guint got = 0;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == EAGAIN ? 0 : -1;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
            if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                continue;
            for (size_t off = 0; off + sizeof(int) <= c->cmsg_len - CMSG_LEN(0);
                 off += sizeof(int)) {
                int fd;

                memcpy(&fd, CMSG_DATA(c) + off, sizeof fd);
                rpc_message_add_fd(client->rx_msg, fd);
                got++;
            }
        }
        /* One descriptor with one byte is the protocol; anything else leaves the two sides with
         * different ideas of which is which. */
        if (got != 1 || (msg.msg_flags & MSG_CTRUNC))
            return -1;
        client->rx_fds--;
    }
    return 1;
}

/* Reads and handles one packet. */
static int
client_read_packet(RpcClient *client)
{
    int rc;

    if (!client->rx_msg) {
        rc = client_read_length(client);
        if (rc > 0)
            rc = client_read_body(client);
        if (rc <= 0)
            return rc;
        client->rx_msg = rpc_message_parse(g_steal_pointer(&client->rx));
        if (!client->rx_msg)
            return -1;
        if (client->rx_msg->header.type == RPC_CALL_WITH_FDS) {
            int n = rpc_message_take_fd_count(client->rx_msg);

            if (n < 0)
                return -1;
            client->rx_fds = (guint)n;
        }
    }
    rc = client_read_fds(client);
    if (rc <= 0)
        return rc;
    client->keepalive_start = g_get_monotonic_time();
    client->keepalive_left = client->limits->keepalive_count;
    return client_handle(client, g_steal_pointer(&client->rx_msg)) ? 1 : -1;
}

static bool
client_may_read(RpcClient *client)
{
    bool reading;

    g_mutex_lock(&client->lock);
    reading = client_reading(client) && client->fd >= 0;
    g_mutex_unlock(&client->lock);
    return reading;
}

static void
client_ready(uint32_t events, void *opaque)
{
    RpcClient *client = rpc_client_ref(opaque);
    bool over = false;

    if (events & EPOLLOUT) {
        g_autoptr(GPtrArray) streams = g_ptr_array_new();

        g_mutex_lock(&client->lock);
        client_flush(client, streams);
        g_mutex_unlock(&client->lock);
        client_streams_sent(streams);
    }
    if (events & EPOLLIN)
        for (guint i = 0; i < CLIENT_TURN && !over && client_may_read(client); i++) {
            int rc = client_read_packet(client);

            over = rc < 0;
            if (rc == 0)
                break;
        }
    /* Hung up with nothing left that would still be read. */
    if (over || ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN)) ||
        ((events & (EPOLLHUP | EPOLLERR)) && !client_may_read(client)))
        rpc_client_teardown(client);
    rpc_client_unref(client);
}

void
rpc_client_start_keepalive(RpcClient *client)
{
    client->keepalive = true;
    client->keepalive_start = g_get_monotonic_time();
    client->keepalive_left = client->limits->keepalive_count;
}

void
rpc_client_tick(RpcClient *client, gint64 now)
{
    static const RpcHeader ping = {
        RPC_KEEPALIVE_PROGRAM, RPC_PROGRAM_VERSION, RPC_KEEPALIVE_PING, RPC_MESSAGE, 0, RPC_OK
    };
    int interval = client->limits->keepalive_interval;

    if (!client->keepalive || interval <= 0 ||
        now - client->keepalive_start < (gint64)interval * G_TIME_SPAN_SECOND)
        return;
    if (client->keepalive_left == 0) {
        g_info("client of process %d answers no pings: disconnected", (int)client->identity.pid);
        rpc_client_teardown(client);
        return;
    }
    client->keepalive_left--;
    client->keepalive_start = now;
    rpc_client_send(client, rpc_message_new(&ping));
}

bool
rpc_client_is_read_only(const RpcClient *client)
{
    return client->read_only;
}

const RpcIdentity *
rpc_client_identity(const RpcClient *client)
{
    return &client->identity;
}

RpcAuth
rpc_client_auth(const RpcClient *client)
{
    return client->auth;
}

bool
rpc_client_is_authenticated(const RpcClient *client)
{
    return g_atomic_int_get(&client->authenticated);
}

static void
client_tell_authenticated(void *data)
{
    RpcClient *client = data;

    client->ops->authenticated(client, client->opaque);
    rpc_client_unref(client);
}

void
rpc_client_set_authenticated(RpcClient *client)
{
    if (g_atomic_int_compare_and_exchange(&client->authenticated, 0, 1))
        rpc_poller_post(client->poller, client_tell_authenticated, rpc_client_ref(client));
}

void
rpc_client_set_data(RpcClient *client, void *data)
{
    client->data = data;
}

void *
rpc_client_data(const RpcClient *client)
{
    return client->data;
}

RpcPoller *
rpc_client_poller(const RpcClient *client)
{
    return client->poller;
}

bool
rpc_client_add_stream(RpcClient *client, RpcStream *stream)
{
    bool open;

    g_mutex_lock(&client->lock);
    open = client->fd >= 0;
    if (open)
        g_ptr_array_add(client->streams, rpc_stream_ref(stream));
    g_mutex_unlock(&client->lock);
    return open;
}

void
rpc_client_remove_stream(RpcClient *client, RpcStream *stream)
{
    bool found;

    g_mutex_lock(&client->lock);
    found = g_ptr_array_remove_fast(client->streams, stream);
    g_mutex_unlock(&client->lock);
    if (found)
        rpc_stream_unref(stream);
}

void
rpc_client_stream_queued(RpcClient *client, ssize_t bytes)
{
    g_mutex_lock(&client->lock);
    client->stream_bytes += (size_t)bytes;
    client_update_interest(client);
    g_mutex_unlock(&client->lock);
}
