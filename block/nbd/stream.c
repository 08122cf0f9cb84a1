/* stream.c - one NBD connection's bytes. See stream.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/nbd/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECES_MAX = 8 };

struct NbdStream {
    int fd;
    const NbdTransport *transport; /* NULL: the socket */
    void *session;
};

NbdStream *
nbd_stream_new(int fd)
{
    NbdStream *stream = g_new0(NbdStream, 1);
    int on = 1;

    stream->fd = fd;
    /* replies are written whole: waiting for more would only delay them (fails for unix sockets) */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return stream;
}

void
nbd_stream_free(NbdStream *stream)
{
    if (!stream)
        return;
    if (stream->transport)
        stream->transport->free(stream->session);
    close(stream->fd);
    g_free(stream);
}

int
nbd_stream_fd(const NbdStream *stream)
{
    return stream->fd;
}

void
nbd_stream_set_transport(NbdStream *stream, const NbdTransport *transport, void *session)
{
    stream->transport = transport;
    stream->session = session;
}

bool
nbd_stream_has_tls(const NbdStream *stream)
{
    return stream->transport != NULL;
}

void
nbd_stream_set_timeout(NbdStream *stream, unsigned seconds)
{
    struct timeval limit = { .tv_sec = seconds };

    (void)setsockopt(stream->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static ssize_t
stream_read_some(NbdStream *stream, void *buf, size_t length)
{
    ssize_t n;

    if (stream->transport)
        return stream->transport->read(stream->session, buf, length);
    do
        n = recv(stream->fd, buf, length, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return n;
}

int
nbd_stream_read(NbdStream *stream, void *buf, size_t length)
{
    uint8_t *at = buf;
    size_t left = length;

    while (left > 0) {
        ssize_t n = stream_read_some(stream, at, left);

        if (n < 0)
            return (int)n;
        if (n == 0)
            return left == length ? -ENOTCONN : -EPIPE;
        at += n;
        left -= (size_t)n;
    }
    return 0;
}

int
nbd_stream_skip(NbdStream *stream, uint64_t length)
{
    uint8_t buf[4096];

    while (length > 0) {
        size_t part = MIN(length, sizeof(buf));
        int r = nbd_stream_read(stream, buf, part);

        if (r < 0)
            return r == -ENOTCONN ? -EPIPE : r;
        length -= part;
    }
    return 0;
}

static int
transport_write(NbdStream *stream, const struct iovec *iov, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *at = iov[i].iov_base;
        size_t left = iov[i].iov_len;

        while (left > 0) {
            ssize_t done = stream->transport->write(stream->session, at, left);

            if (done <= 0)
                return done < 0 ? (int)done : -EPIPE;
            at += done;
            left -= (size_t)done;
        }
    }
    return 0;
}

int
nbd_stream_write(NbdStream *stream, const struct iovec *iov, unsigned n)
{
    struct iovec rest[PIECES_MAX];
    struct msghdr message = { .msg_iov = rest };

    if (n > PIECES_MAX)
        return -EINVAL;
    if (stream->transport)
        return transport_write(stream, iov, n);
    memcpy(rest, iov, n * sizeof(*iov));
    message.msg_iovlen = n;
    while (message.msg_iovlen > 0) {
        ssize_t done;

        if (message.msg_iov->iov_len == 0) {
            message.msg_iov++;
            message.msg_iovlen--;
            continue;
        }
        done = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        while (done > 0) {
            size_t part = MIN((size_t)done, message.msg_iov->iov_len);

            message.msg_iov->iov_base = (uint8_t *)message.msg_iov->iov_base + part;
            message.msg_iov->iov_len -= part;
            done -= (ssize_t)part;
            if (message.msg_iov->iov_len == 0) {
                message.msg_iov++;
                message.msg_iovlen--;
            }
        }
    }
    return 0;
}

void
nbd_stream_end(NbdStream *stream)
{
    (void)shutdown(stream->fd, SHUT_RDWR);
}
