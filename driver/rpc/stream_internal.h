/* stream_internal.h - what the connection and the dispatcher know of streams beyond stream.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_RPC_STREAM_INTERNAL_H
#define KILN_DRIVER_RPC_STREAM_INTERNAL_H

#include "driver/rpc/client.h"
#include "driver/rpc/message.h"
#include "driver/rpc/stream.h"

/* A stream for the call with @header. Any thread. Returns a new reference. */
RpcStream *rpc_stream_new(RpcClient *client, const RpcHeader *header, bool sparse,
                          const RpcStreamOps *ops, void *opaque);
/* As rpc_stream_new(), over a descriptor (taken over, made non-blocking). */
RpcStream *rpc_stream_new_fd(RpcClient *client, const RpcHeader *header, int fd,
                             RpcStreamDirection direction, void (*closed)(void *opaque),
                             void *opaque);
/* Packets for the stream are accepted from now on; nothing moves before rpc_stream_start(). When
 * the connection is gone already the far side is closed. Any thread. */
void rpc_stream_register(RpcStream *stream);
/* The call's reply is queued: data may move. Any thread. */
void rpc_stream_start(RpcStream *stream);
/* The call failed: the stream never was. Any thread. */
void rpc_stream_cancel(RpcStream *stream);

/* The rest runs in the main loop's thread, but rpc_stream_sent(). */
bool rpc_stream_matches(const RpcStream *stream, const RpcHeader *header);
/* Takes over a packet of type STREAM or STREAM_HOLE. False when the client broke the protocol. */
bool rpc_stream_receive(RpcStream *stream, RpcMessage *msg);
/* The outgoing packet is on its way. Any thread. */
void rpc_stream_sent(RpcStream *stream);
/* The connection is gone. */
void rpc_stream_disconnected(RpcStream *stream);

#endif
