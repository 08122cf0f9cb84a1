/* stream_fd.c - a stream over a descriptor: pty, socket or pipe.
 *
 * A hung-up terminal or socket is the end of the stream, not a failure: a guest that powers off
 * under its console ends the console cleanly. Regular files do not belong here: reading them would
 * hold up the main loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "driver/rpc/stream_internal.h"

typedef struct {
    int fd;
    RpcStreamDirection direction;
    RpcPoller *poller;
    RpcWatch *watch;   /* edge-triggered: one look after each change is enough */
    RpcStream *stream; /* borrowed: it closes this before it goes */
    void (*closed)(void *opaque);
    void *opaque;
} FdStream;

static bool
fd_stream_hung_up(int errnum)
{
    return errnum == EIO || errnum == EPIPE || errnum == ECONNRESET;
}

static void
fd_stream_ready(uint32_t events, void *opaque)
{
    FdStream *far = opaque;

    (void)events;
    rpc_stream_wake(far->stream);
}

/* The watch begins with the first transfer: that is in the main loop's thread, while the stream is
 * made in a worker. */
static void
fd_stream_watch(FdStream *far)
{
    if (!far->watch)
        far->watch = rpc_poller_add(far->poller, far->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    fd_stream_ready, far);
}

static ssize_t
fd_stream_write(void *opaque, const uint8_t *data, size_t len)
{
    FdStream *far = opaque;
    ssize_t n;

    if (!(far->direction & RPC_STREAM_FROM_CLIENT))
        return -EBADF;
    fd_stream_watch(far);
    do
        n = write(far->fd, data, len);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    /* The reading side reports the hang-up. */
    if (fd_stream_hung_up(errno) && (far->direction & RPC_STREAM_TO_CLIENT))
        return (ssize_t)len;
    return -errno;
}

static ssize_t
fd_stream_read(void *opaque, uint8_t *data, size_t len, int64_t *ret_hole)
{
    FdStream *far = opaque;
    ssize_t n;

    (void)ret_hole;
    if (!(far->direction & RPC_STREAM_TO_CLIENT))
        return -EAGAIN;
    fd_stream_watch(far);
    do
        n = read(far->fd, data, len);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return fd_stream_hung_up(errno) ? 0 : -errno;
}

static void
fd_stream_close(void *opaque)
{
    FdStream *far = opaque;

    rpc_watch_remove(far->watch);
    close(far->fd);
    if (far->closed)
        far->closed(far->opaque);
    g_free(far);
}

static const RpcStreamOps fd_stream_ops = {
    .write = fd_stream_write,
    .read = fd_stream_read,
    .close = fd_stream_close,
};

RpcStream *
rpc_stream_new_fd(RpcClient *client, const RpcHeader *header, int fd, RpcStreamDirection direction,
                  void (*closed)(void *opaque), void *opaque)
{
    FdStream *far = g_new0(FdStream, 1);
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    far->fd = fd;
    far->direction = direction;
    far->poller = rpc_client_poller(client);
    far->closed = closed;
    far->opaque = opaque;
    far->stream = rpc_stream_new(client, header, false, &fd_stream_ops, far);
    return far->stream;
}
