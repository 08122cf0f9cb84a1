/* message.c - one packet of libvirt's RPC protocol. See message.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/rpc/message.h"

#include <string.h>
#include <unistd.h>

#include "driver/rpc/stream.h"

static uint32_t
get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void
put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static RpcMessage *
message_alloc(GByteArray *bytes)
{
    RpcMessage *msg = g_new0(RpcMessage, 1);

    msg->bytes = bytes;
    msg->payload = RPC_LENGTH_SIZE + RPC_HEADER_SIZE;
    return msg;
}

RpcMessage *
rpc_message_new(const RpcHeader *header)
{
    GByteArray *bytes = g_byte_array_sized_new(128);
    RpcMessage *msg = message_alloc(bytes);
    uint8_t *p;

    msg->header = *header;
    g_byte_array_set_size(bytes, RPC_LENGTH_SIZE + RPC_HEADER_SIZE);
    p = bytes->data;
    put_be32(p, 0);
    put_be32(p + 4, header->prog);
    put_be32(p + 8, header->vers);
    put_be32(p + 12, (uint32_t)header->proc);
    put_be32(p + 16, header->type);
    put_be32(p + 20, header->serial);
    put_be32(p + 24, header->status);
    return msg;
}

void
rpc_message_free(RpcMessage *msg)
{
    if (!msg)
        return;
    for (guint i = 0; msg->fds && i < msg->fds->len; i++) {
        int fd = g_array_index(msg->fds, int, i);

        if (fd >= 0)
            close(fd);
    }
    g_clear_pointer(&msg->fds, g_array_unref);
    g_clear_pointer(&msg->bytes, g_byte_array_unref);
    g_clear_pointer(&msg->stream, rpc_stream_unref);
    g_free(msg);
}

RpcHeader
rpc_header_reply(const RpcHeader *header, RpcType type, RpcStatus status)
{
    RpcHeader reply = *header;

    reply.type = type;
    reply.status = status;
    return reply;
}

void
rpc_header_parse(const uint8_t *bytes, RpcHeader *ret_header)
{
    ret_header->prog = get_be32(bytes + 4);
    ret_header->vers = get_be32(bytes + 8);
    ret_header->proc = (int32_t)get_be32(bytes + 12);
    ret_header->type = get_be32(bytes + 16);
    ret_header->serial = get_be32(bytes + 20);
    ret_header->status = get_be32(bytes + 24);
}

RpcMessage *
rpc_message_parse(GByteArray *bytes)
{
    RpcMessage *msg;

    if (bytes->len < RPC_LENGTH_SIZE + RPC_HEADER_SIZE) {
        g_byte_array_unref(bytes);
        return NULL;
    }
    msg = message_alloc(bytes);
    rpc_header_parse(bytes->data, &msg->header);
    return msg;
}

int
rpc_message_take_fd_count(RpcMessage *msg)
{
    uint32_t n;

    if (msg->bytes->len - msg->payload < 4)
        return -1;
    n = get_be32(msg->bytes->data + msg->payload);
    if (n > RPC_FDS_MAX)
        return -1;
    msg->payload += 4;
    return (int)n;
}

bool
rpc_message_decode(const RpcMessage *msg, xdrproc_t proc, void *value, size_t size)
{
    XDR xdr;
    bool ok;

    memset(value, 0, size);
    xdrmem_create(&xdr, (char *)msg->bytes->data + msg->payload,
                  (u_int)(msg->bytes->len - msg->payload), XDR_DECODE);
    ok = proc(&xdr, value);
    xdr_destroy(&xdr);
    if (!ok) {
        xdr_free(proc, value);
        memset(value, 0, size);
    }
    return ok;
}

bool
rpc_message_encode(RpcMessage *msg, xdrproc_t proc, const void *value)
{
    size_t old = msg->bytes->len;
    size_t room = 512;
    bool ok = false;

    /* The encoder cannot say how much it needs before it runs: most replies are small, and the few
     * large ones are encoded again a handful of times. */
    for (;;) {
        XDR xdr;

        room = MIN(room, RPC_LENGTH_SIZE + RPC_BODY_MAX - old);
        g_byte_array_set_size(msg->bytes, (guint)(old + room));
        xdrmem_create(&xdr, (char *)msg->bytes->data + old, (u_int)room, XDR_ENCODE);
        ok = proc(&xdr, (void *)value);
        if (ok) {
            g_byte_array_set_size(msg->bytes, (guint)old + xdr_getpos(&xdr));
            xdr_destroy(&xdr);
            return true;
        }
        xdr_destroy(&xdr);
        if (room == RPC_LENGTH_SIZE + RPC_BODY_MAX - old)
            break;
        room *= 8;
    }
    g_byte_array_set_size(msg->bytes, (guint)old);
    return false;
}

bool
rpc_message_append(RpcMessage *msg, const void *data, size_t len)
{
    if (len > RPC_LENGTH_SIZE + RPC_BODY_MAX - msg->bytes->len)
        return false;
    if (len)
        g_byte_array_append(msg->bytes, data, (guint)len);
    return true;
}

void
rpc_message_add_fd(RpcMessage *msg, int fd)
{
    if (!msg->fds)
        msg->fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_append_val(msg->fds, fd);
}

void
rpc_message_seal(RpcMessage *msg)
{
    if (msg->header.type == RPC_REPLY && msg->fds && msg->fds->len) {
        uint8_t count[4];
        GByteArray *bytes = g_byte_array_sized_new(msg->bytes->len + 4);

        put_be32(count, msg->fds->len);
        g_byte_array_append(bytes, msg->bytes->data, (guint)msg->payload);
        g_byte_array_append(bytes, count, 4);
        g_byte_array_append(bytes, msg->bytes->data + msg->payload,
                            msg->bytes->len - (guint)msg->payload);
        g_byte_array_unref(msg->bytes);
        msg->bytes = bytes;
        msg->header.type = RPC_REPLY_WITH_FDS;
        put_be32(bytes->data + 16, RPC_REPLY_WITH_FDS);
    }
    put_be32(msg->bytes->data, msg->bytes->len);
}
