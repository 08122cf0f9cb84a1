/* message.h - one packet of libvirt's RPC protocol: its header, its bytes, its descriptors.
 *
 * Implements the packet of docs/kbase/internals/rpc.rst as libvirt 9.0.0 programs speak it: a
 * length word that counts itself, six header words, payload in XDR; descriptors follow the
 * counted bytes, each with a byte of its own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_RPC_MESSAGE_H
#define KILN_DRIVER_RPC_MESSAGE_H

#include <glib.h>
#include <rpc/rpc.h>
#include <stdbool.h>
#include <stdint.h>

#define RPC_REMOTE_PROGRAM 0x20008086u
#define RPC_QEMU_PROGRAM 0x20008087u
#define RPC_KEEPALIVE_PROGRAM 0x6b656570u
#define RPC_PROGRAM_VERSION 1u

#define RPC_KEEPALIVE_PING 1
#define RPC_KEEPALIVE_PONG 2

/* Sizes in bytes. The length word may be RPC_LENGTH_SIZE + RPC_BODY_MAX at most. */
#define RPC_LENGTH_SIZE 4u
#define RPC_HEADER_SIZE 24u
#define RPC_BODY_MAX 33554432u
#define RPC_FDS_MAX 32u

typedef enum {
    RPC_CALL = 0,
    RPC_REPLY = 1,
    RPC_MESSAGE = 2,
    RPC_STREAM = 3,
    RPC_CALL_WITH_FDS = 4,
    RPC_REPLY_WITH_FDS = 5,
    RPC_STREAM_HOLE = 6,
} RpcType;

typedef enum {
    RPC_OK = 0,
    RPC_ERROR = 1,
    RPC_CONTINUE = 2,
} RpcStatus;

typedef struct RpcHeader {
    uint32_t prog;
    uint32_t vers;
    int32_t proc;
    uint32_t type; /* RpcType, or what a client made up */
    uint32_t serial;
    uint32_t status; /* RpcStatus, likewise */
} RpcHeader;

struct RpcStream;

/* Belongs to one thread at a time; moves from reader to worker to the outgoing queue. */
typedef struct RpcMessage {
    RpcHeader header;
    /* Whole packet with its length word. Incoming: complete. Outgoing: grows by the functions
     * below; the length word is written when it is queued. */
    GByteArray *bytes;
    size_t payload; /* where the payload starts in bytes */
    GArray *fds;    /* of int, owned; those taken are -1 */

    /* Outgoing queue's own: how far it is sent, and what its end means. */
    size_t sent;
    guint fds_sent;
    bool ends_request;        /* the reply that frees a place among the client's requests */
    struct RpcStream *stream; /* told when the packet is sent; owns a reference */
} RpcMessage;

/* An empty outgoing packet with @header. Replies with descriptors get their count when queued. */
RpcMessage *rpc_message_new(const RpcHeader *header);
void rpc_message_free(RpcMessage *msg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcMessage, rpc_message_free)

/* The header of the answer to @header: same program, procedure and serial. */
RpcHeader rpc_header_reply(const RpcHeader *header, RpcType type, RpcStatus status);

/* Reads the header of a complete packet (length word included) of at least RPC_LENGTH_SIZE +
 * RPC_HEADER_SIZE bytes. */
void rpc_header_parse(const uint8_t *bytes, RpcHeader *ret_header);

/* Takes over a complete incoming packet and reads its header; NULL (and @bytes freed) when it is
 * too short for one. */
RpcMessage *rpc_message_parse(GByteArray *bytes);

/* Number of descriptors announced by an incoming packet of type *_WITH_FDS, moving the payload past
 * the count; -1 when the word is missing or more than RPC_FDS_MAX. */
int rpc_message_take_fd_count(RpcMessage *msg);

/* Decodes the payload into @value of @size bytes, which it zeroes first; bytes after it are
 * ignored, as libvirt does. On failure nothing is left in @value to free. */
bool rpc_message_decode(const RpcMessage *msg, xdrproc_t proc, void *value, size_t size);

/* Appends @value in XDR. False when it cannot be encoded (a limit of the protocol exceeded) or the
 * packet would be too large; the packet is then unchanged. */
bool rpc_message_encode(RpcMessage *msg, xdrproc_t proc, const void *value);

/* Appends bytes as they are. False when the packet would be too large. */
bool rpc_message_append(RpcMessage *msg, const void *data, size_t len);

/* Adds a descriptor to send; owned by @msg from now on. */
void rpc_message_add_fd(RpcMessage *msg, int fd);

/* Writes length word and, in a reply with descriptors, their count. Once, before sending. */
void rpc_message_seal(RpcMessage *msg);

#endif
