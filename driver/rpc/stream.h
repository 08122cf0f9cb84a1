/* stream.h - streams of bytes beside the calls of a connection: console, upload, download.
 *
 * A stream is opened by a call and known by (program, procedure, serial) of that call. It ends by
 * the client's finish or abort, by end of file or failure of this side, or with the connection.
 * Implements "Streams" of libvirt's RPC protocol as libvirt 9.0.0 clients use it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_RPC_STREAM_H
#define KILN_DRIVER_RPC_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes of one outgoing packet, as libvirt's own daemon sends them. */
#define RPC_STREAM_CHUNK 262120

/* Reference counted; every function below may be called from any thread. */
typedef struct RpcStream RpcStream;

/* The far side of a stream. All functions run in the main loop's thread, one at a time, and must
 * not block. Any of them may be NULL: without @write the stream refuses data, without @read it
 * sends none. */
typedef struct RpcStreamOps {
    /* Takes up to @len bytes from the client; returns how many were taken, -EAGAIN for none now
     * (call rpc_stream_wake() when there is room again), or -errno, which fails the stream. */
    ssize_t (*write)(void *opaque, const uint8_t *data, size_t len);
    /* A hole of @length bytes from the client (only on a stream opened as sparse). 0 or -errno. */
    int (*write_hole)(void *opaque, int64_t length);
    /* Gives up to @len bytes for the client; returns how many, 0 at the end, -EAGAIN for none now
     * (call rpc_stream_wake() when there is more), or -errno, which fails the stream. Called only
     * while no packet of this stream waits to be sent. @ret_hole, when set to more than 0 with a
     * return of 0, makes it a hole of that many bytes instead of the end. */
    ssize_t (*read)(void *opaque, uint8_t *data, size_t len, int64_t *ret_hole);
    /* The client has sent everything; false with @err set makes its finish fail. */
    bool (*finish)(void *opaque, GError **err);
    /* The stream is over, in whatever way. Called exactly once, last; frees @opaque. */
    void (*close)(void *opaque);
} RpcStreamOps;

/* What a descriptor stream does with its descriptor. */
typedef enum {
    RPC_STREAM_FROM_CLIENT = 1 << 0, /* client's bytes are written to it */
    RPC_STREAM_TO_CLIENT = 1 << 1,   /* bytes read from it are sent */
    RPC_STREAM_BOTH = RPC_STREAM_FROM_CLIENT | RPC_STREAM_TO_CLIENT,
} RpcStreamDirection;

RpcStream *rpc_stream_ref(RpcStream *stream);
void rpc_stream_unref(RpcStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcStream, rpc_stream_unref)

/* The far side can read or write again. */
void rpc_stream_wake(RpcStream *stream);

/* Ends the stream from this side. With @err NULL the client sees end of file, else the error.
 * Does nothing on a stream that is over. @err stays the caller's. */
void rpc_stream_close(RpcStream *stream, const GError *err);

/* True until the stream is over. */
bool rpc_stream_is_open(RpcStream *stream);

#endif
