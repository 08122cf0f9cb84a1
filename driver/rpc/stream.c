/* stream.c - streams of bytes beside the calls of a connection. See stream.h.
 *
 * Flow control: towards the client one packet of a stream is on its way at a time; from the client,
 * what the far side does not take waits here and stops the reading of the connection when it grows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/rpc/stream_internal.h"

#include <errno.h>
#include <string.h>

#include "driver/rpc/error.h"
#include "util/error.h"

/* The main loop's thread owns everything but what says otherwise. Life of the far side: given to
 * rpc_stream_new(), closed once by stream_close_far(). Life of the stream: in its client's list
 * until the client finished or aborted it, it failed, or the connection ended. */
struct RpcStream {
    gint refs;         /* atomic */
    RpcClient *client; /* owned; constant */
    RpcHeader header;  /* of the call; constant */
    bool sparse;       /* constant */

    const RpcStreamOps *ops;
    void *opaque;
    bool far_closed;

    bool started;
    bool over; /* out of the client's list */
    bool busy; /* a packet is on its way to the client */
    bool eof_sent;
    bool end; /* rpc_stream_close() was called */
    GError *end_error;

    GQueue rx;     /* of RpcMessage */
    size_t rx_off; /* bytes of the first one that are taken */

    GMutex lock; /* guards what other threads leave for the main loop's thread */
    bool posted, post_start, post_cancel, post_sent, post_end;
    GError *post_error;
    bool is_over; /* copy of over */
};

static void stream_run(void *data);

RpcStream *
rpc_stream_ref(RpcStream *stream)
{
    g_atomic_int_inc(&stream->refs);
    return stream;
}

void
rpc_stream_unref(RpcStream *stream)
{
    if (!stream || !g_atomic_int_dec_and_test(&stream->refs))
        return;
    g_queue_clear_full(&stream->rx, (GDestroyNotify)rpc_message_free);
    g_clear_error(&stream->end_error);
    g_clear_error(&stream->post_error);
    rpc_client_unref(stream->client);
    g_mutex_clear(&stream->lock);
    g_free(stream);
}

/* With the lock held: runs stream_run() in the main loop's thread. */
static void
stream_post(RpcStream *stream)
{
    if (stream->posted)
        return;
    stream->posted = true;
    rpc_poller_post(rpc_client_poller(stream->client), stream_run, rpc_stream_ref(stream));
}

RpcStream *
rpc_stream_new(RpcClient *client, const RpcHeader *header, bool sparse, const RpcStreamOps *ops,
               void *opaque)
{
    RpcStream *stream = g_new0(RpcStream, 1);

    stream->refs = 1;
    stream->client = rpc_client_ref(client);
    stream->header = *header;
    stream->sparse = sparse;
    stream->ops = ops;
    stream->opaque = opaque;
    g_queue_init(&stream->rx);
    g_mutex_init(&stream->lock);
    return stream;
}

void
rpc_stream_register(RpcStream *stream)
{
    if (!rpc_client_add_stream(stream->client, stream))
        rpc_stream_cancel(stream);
}

void
rpc_stream_start(RpcStream *stream)
{
    g_mutex_lock(&stream->lock);
    stream->post_start = true;
    stream_post(stream);
    g_mutex_unlock(&stream->lock);
}

void
rpc_stream_cancel(RpcStream *stream)
{
    g_mutex_lock(&stream->lock);
    stream->post_cancel = true;
    stream_post(stream);
    g_mutex_unlock(&stream->lock);
}

void
rpc_stream_wake(RpcStream *stream)
{
    g_mutex_lock(&stream->lock);
    stream_post(stream);
    g_mutex_unlock(&stream->lock);
}

void
rpc_stream_sent(RpcStream *stream)
{
    g_mutex_lock(&stream->lock);
    stream->post_sent = true;
    stream_post(stream);
    g_mutex_unlock(&stream->lock);
}

void
rpc_stream_close(RpcStream *stream, const GError *err)
{
    g_mutex_lock(&stream->lock);
    if (!stream->post_end) {
        stream->post_end = true;
        stream->post_error = err ? g_error_copy(err) : NULL;
        stream_post(stream);
    }
    g_mutex_unlock(&stream->lock);
}

bool
rpc_stream_is_open(RpcStream *stream)
{
    bool over;

    g_mutex_lock(&stream->lock);
    over = stream->is_over || stream->post_end || stream->post_cancel;
    g_mutex_unlock(&stream->lock);
    return !over;
}

bool
rpc_stream_matches(const RpcStream *stream, const RpcHeader *header)
{
    return stream->header.prog == header->prog && stream->header.proc == header->proc &&
           stream->header.serial == header->serial;
}

static void
stream_close_far(RpcStream *stream)
{
    if (stream->far_closed)
        return;
    stream->far_closed = true;
    if (stream->ops->close)
        stream->ops->close(stream->opaque);
}

static void
stream_drop_rx(RpcStream *stream)
{
    RpcMessage *msg;

    while ((msg = g_queue_pop_head(&stream->rx))) {
        rpc_client_stream_queued(stream->client, -(ssize_t)msg->bytes->len);
        rpc_message_free(msg);
    }
    stream->rx_off = 0;
}

/* The stream is over: later packets of the client find nothing. */
static void
stream_finish(RpcStream *stream)
{
    if (stream->over)
        return;
    stream->over = true;
    g_mutex_lock(&stream->lock);
    stream->is_over = true;
    g_mutex_unlock(&stream->lock);
    stream_drop_rx(stream);
    stream_close_far(stream);
    rpc_client_remove_stream(stream->client, stream);
}

static void
stream_send(RpcStream *stream, RpcStatus status, const void *data, size_t len)
{
    RpcHeader header = rpc_header_reply(&stream->header, RPC_STREAM, status);
    RpcMessage *msg = rpc_message_new(&header);

    rpc_message_append(msg, data, len);
    if (status == RPC_CONTINUE) {
        stream->busy = true;
        msg->stream = rpc_stream_ref(stream);
    }
    rpc_client_send(stream->client, msg);
}

static void
stream_fail(RpcStream *stream, const GError *err)
{
    rpc_client_send(stream->client,
                    rpc_error_message(&stream->header, true, VIR_FROM_STREAMS, err));
    stream_finish(stream);
}

static void
stream_fail_errno(RpcStream *stream, ssize_t rc, const char *what)
{
    g_autoptr(GError) err = NULL;

    kiln_error_set_errno(&err, VIR_ERR_SYSTEM_ERROR, (int)rc, "%s", what);
    stream_fail(stream, err);
}

static void
stream_eof(RpcStream *stream)
{
    stream->eof_sent = true;
    stream_close_far(stream);
    stream_send(stream, RPC_CONTINUE, NULL, 0);
}

/* The client has sent everything. */
static void
stream_client_finish(RpcStream *stream)
{
    g_autoptr(GError) err = NULL;

    if (!stream->far_closed && stream->ops->finish && !stream->ops->finish(stream->opaque, &err)) {
        stream_fail(stream, err);
        return;
    }
    stream_send(stream, RPC_OK, NULL, 0);
    stream_finish(stream);
}

typedef enum {
    TAKE_WAIT, /* nothing taken, or the stream is over */
    TAKE_SOME,
    TAKE_ALL,
} StreamTake;

static StreamTake
stream_take_hole(RpcStream *stream, const RpcMessage *msg)
{
    uint64_t length;
    int rc;

    memcpy(&length, msg->bytes->data + msg->payload, sizeof length);
    length = GUINT64_FROM_BE(length);
    if (stream->far_closed)
        return TAKE_ALL;
    rc = stream->ops->write_hole && length <= INT64_MAX
             ? stream->ops->write_hole(stream->opaque, (int64_t)length)
             : -EINVAL;
    if (rc < 0) {
        stream_fail_errno(stream, rc, "cannot make a hole in the stream");
        return TAKE_WAIT;
    }
    return TAKE_ALL;
}

/* Gives (the rest of) a packet to the far side. */
static StreamTake
stream_take(RpcStream *stream, const RpcMessage *msg)
{
    const uint8_t *data = msg->bytes->data + msg->payload + stream->rx_off;
    size_t len = msg->bytes->len - msg->payload - stream->rx_off;
    ssize_t n;

    if (msg->header.type == RPC_STREAM_HOLE)
        return stream_take_hole(stream, msg);
    /* What comes after the far side is gone is lost, as on any hung-up line. */
    if (!len || stream->far_closed)
        return TAKE_ALL;
    n = stream->ops->write ? stream->ops->write(stream->opaque, data, len) : -EBADF;
    if (n == -EAGAIN)
        return TAKE_WAIT;
    if (n < 0) {
        stream_fail_errno(stream, n, "cannot write to the stream");
        return TAKE_WAIT;
    }
    stream->rx_off += (size_t)n;
    return (size_t)n == len ? TAKE_ALL : TAKE_SOME;
}

static void
stream_pump_in(RpcStream *stream)
{
    RpcMessage *msg;

    while (!stream->over && (msg = g_queue_peek_head(&stream->rx))) {
        StreamTake taken;

        if (msg->header.type == RPC_STREAM && msg->header.status == RPC_OK) {
            stream_client_finish(stream);
            return;
        }
        taken = stream_take(stream, msg);
        if (taken == TAKE_WAIT)
            return;
        if (taken == TAKE_SOME)
            continue;
        g_queue_pop_head(&stream->rx);
        stream->rx_off = 0;
        rpc_client_stream_queued(stream->client, -(ssize_t)msg->bytes->len);
        rpc_message_free(msg);
    }
}

static void
stream_pump_out(RpcStream *stream)
{
    g_autofree uint8_t *data = NULL;
    int64_t hole = 0;
    ssize_t n;

    if (stream->over || stream->busy || stream->eof_sent)
        return;
    if (stream->end && stream->end_error) {
        stream_fail(stream, stream->end_error);
        return;
    }
    if (stream->end) {
        stream_eof(stream);
        return;
    }
    if (!stream->ops->read || stream->far_closed)
        return;
    data = g_malloc(RPC_STREAM_CHUNK);
    n = stream->ops->read(stream->opaque, data, RPC_STREAM_CHUNK, &hole);
    if (n > 0) {
        stream_send(stream, RPC_CONTINUE, data, (size_t)n);
    } else if (n == 0 && hole > 0 && stream->sparse) {
        RpcHeader header = rpc_header_reply(&stream->header, RPC_STREAM_HOLE, RPC_CONTINUE);
        RpcMessage *msg = rpc_message_new(&header);
        uint64_t length = GUINT64_TO_BE((uint64_t)hole);
        uint32_t flags = 0;

        rpc_message_append(msg, &length, sizeof length);
        rpc_message_append(msg, &flags, sizeof flags);
        stream->busy = true;
        msg->stream = rpc_stream_ref(stream);
        rpc_client_send(stream->client, msg);
    } else if (n == 0) {
        stream_eof(stream);
    } else if (n != -EAGAIN) {
        stream_fail_errno(stream, n, "cannot read from the stream");
    }
}

/* Main loop's thread: does what other threads asked for, then moves data. */
static void
stream_run(void *data)
{
    RpcStream *stream = data;
    bool cancel;

    g_mutex_lock(&stream->lock);
    stream->posted = false;
    cancel = stream->post_cancel;
    stream->started |= stream->post_start;
    if (stream->post_sent)
        stream->busy = false;
    stream->post_sent = false;
    if (stream->post_end && !stream->end) {
        stream->end = true;
        stream->end_error = g_steal_pointer(&stream->post_error);
    }
    g_mutex_unlock(&stream->lock);

    if (cancel)
        stream_finish(stream);
    if (stream->started && !stream->over) {
        stream_pump_in(stream);
        stream_pump_out(stream);
    }
    rpc_stream_unref(stream);
}

bool
rpc_stream_receive(RpcStream *stream, RpcMessage *msg)
{
    bool hole = msg->header.type == RPC_STREAM_HOLE;

    if (hole && (!stream->sparse || msg->header.status != RPC_CONTINUE ||
                 msg->bytes->len - msg->payload < 12)) {
        rpc_message_free(msg);
        return false;
    }
    if (msg->header.status == RPC_CONTINUE || msg->header.status == RPC_OK) {
        rpc_client_stream_queued(stream->client, (ssize_t)msg->bytes->len);
        g_queue_push_tail(&stream->rx, msg);
        if (stream->started && stream->rx.length == 1)
            stream_pump_in(stream);
        return true;
    }
    /* An abort does not wait for the data in front of it. */
    if (msg->header.status == RPC_ERROR) {
        stream_send(stream, RPC_OK, NULL, 0);
        stream_finish(stream);
    } else {
        g_autoptr(GError) err = NULL;

        kiln_error_set(&err, VIR_ERR_RPC, "stream aborted with unexpected status %u",
                       msg->header.status);
        stream_fail(stream, err);
    }
    rpc_message_free(msg);
    return true;
}

void
rpc_stream_disconnected(RpcStream *stream)
{
    stream_finish(stream);
}
