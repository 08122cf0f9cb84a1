/* stream.h - one NBD connection's bytes, in the clear or by TLS.
 *
 * The calls wait. One thread may read while another writes; two must not do the same at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_NBD_STREAM_H
#define KILN_BLOCK_NBD_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct NbdStream NbdStream;

/* What carries the bytes instead of the socket itself (tls.c). read and write return a count, 0 at
 * the end, or -errno. */
typedef struct {
    ssize_t (*read)(void *session, void *buf, size_t length);
    ssize_t (*write)(void *session, const void *buf, size_t length);
    void (*free)(void *session);
} NbdTransport;

/* Starts TLS on a stream, at the side that the credentials are for. */
typedef struct NbdTls {
    bool (*start)(struct NbdTls *tls, NbdStream *stream, GError **err);
    void (*free)(struct NbdTls *tls);
} NbdTls;

/* Takes @fd, a connected stream socket. */
NbdStream *nbd_stream_new(int fd);
void nbd_stream_free(NbdStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NbdStream, nbd_stream_free)

int nbd_stream_fd(const NbdStream *stream);
void nbd_stream_set_transport(NbdStream *stream, const NbdTransport *transport, void *session);
bool nbd_stream_has_tls(const NbdStream *stream);
/* Longest wait for the other side's bytes, in seconds; 0: for ever. -ETIMEDOUT then. */
void nbd_stream_set_timeout(NbdStream *stream, unsigned seconds);

/* All of @length bytes: 0, -ENOTCONN when the other side ended before the first, -EPIPE when in
 * between, or -errno. */
int nbd_stream_read(NbdStream *stream, void *buf, size_t length);
int nbd_stream_skip(NbdStream *stream, uint64_t length);
/* All of the @n pieces (at most 8): 0 or -errno. */
int nbd_stream_write(NbdStream *stream, const struct iovec *iov, unsigned n);

/* Ends both directions: waiting calls return. Any thread. */
void nbd_stream_end(NbdStream *stream);

#endif
