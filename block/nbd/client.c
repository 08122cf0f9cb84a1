/* client.c - commands to an NBD server. See client.h.
 *
 * Callers write their requests themselves and wait; one thread reads the replies and puts data
 * right where the caller wants it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/nbd/client.h"

#include <errno.h>
#include <string.h>

#include "block/nbd/nbd.h"
#include "util/error.h"

enum {
    CALLS_MAX = 64,     /* in flight */
    TRIM_MAX = 1 << 30, /* bytes of one command without data */
    CHUNK_MAX = NBD_BUFFER_MAX + 64,
};

typedef struct {
    bool used, done;
    uint16_t type;
    uint64_t offset;
    uint32_t length;
    uint8_t *buf;  /* READ */
    uint64_t read; /* bytes that chunks brought */
    int result;
    uint32_t extent[2]; /* BLOCK_STATUS: length and flags of the first */
    GCond cond;
} NbdCall;

struct NbdClient {
    NbdStream *stream;
    NbdInfo info;
    uint32_t data_max; /* bytes of one read or write */
    GThread *reader;
    GMutex send_lock;
    GMutex lock; /* the rest */
    GCond freed;
    bool dead;
    NbdCall calls[CALLS_MAX];
};

/* ---- replies, in the reader's thread ---- */

static int
errno_of(uint32_t error)
{
    switch (error) {
    case 0:
        return 0;
    case NBD_EPERM:
        return -EPERM;
    case NBD_ENOMEM:
        return -ENOMEM;
    case NBD_EINVAL:
        return -EINVAL;
    case NBD_ENOSPC:
        return -ENOSPC;
    case NBD_EOVERFLOW:
        return -EOVERFLOW;
    case NBD_ENOTSUP:
        return -ENOTSUP;
    case NBD_ESHUTDOWN:
        return -ESHUTDOWN;
    default:
        return -EIO;
    }
}

/* The call that a cookie belongs to, or NULL. Its owner waits and leaves it alone until it is done.
 */
static NbdCall *
call_of(NbdClient *c, uint64_t cookie)
{
    uint64_t i = GUINT64_FROM_BE(cookie);
    NbdCall *call = NULL;

    g_mutex_lock(&c->lock);
    if (i < CALLS_MAX && c->calls[i].used && !c->calls[i].done)
        call = &c->calls[i];
    g_mutex_unlock(&c->lock);
    return call;
}

static void
call_end(NbdClient *c, NbdCall *call)
{
    g_mutex_lock(&c->lock);
    call->done = true;
    g_cond_signal(&call->cond);
    g_mutex_unlock(&c->lock);
}

static int
reply_simple(NbdClient *c)
{
    struct __attribute__((packed)) {
        uint32_t error;
        uint64_t cookie;
    } wire;
    NbdCall *call;
    int r = nbd_stream_read(c->stream, &wire, sizeof(wire));

    if (r < 0)
        return r;
    call = call_of(c, wire.cookie);
    if (!call || (c->info.structured && call->type == NBD_CMD_READ))
        return -EBADMSG;
    call->result = errno_of(GUINT32_FROM_BE(wire.error));
    if (call->result == 0 && call->type == NBD_CMD_READ)
        r = nbd_stream_read(c->stream, call->buf, call->length);
    if (r == 0)
        call_end(c, call);
    return r;
}

static int
chunk_data(NbdClient *c, NbdCall *call, uint32_t length)
{
    uint64_t offset;
    int r;

    if (length <= sizeof(offset))
        return -EBADMSG;
    r = nbd_stream_read(c->stream, &offset, sizeof(offset));
    if (r < 0)
        return r;
    offset = GUINT64_FROM_BE(offset);
    length -= sizeof(offset);
    if (call->type != NBD_CMD_READ || offset < call->offset ||
        offset - call->offset > call->length || length > call->length - (offset - call->offset))
        return -EBADMSG;
    call->read += length;
    return nbd_stream_read(c->stream, call->buf + (offset - call->offset), length);
}

static int
chunk_hole(NbdClient *c, NbdCall *call, uint32_t length)
{
    struct __attribute__((packed)) {
        uint64_t offset;
        uint32_t length;
    } wire;
    uint64_t offset;
    uint32_t hole;
    int r;

    if (length != sizeof(wire))
        return -EBADMSG;
    r = nbd_stream_read(c->stream, &wire, sizeof(wire));
    if (r < 0)
        return r;
    offset = GUINT64_FROM_BE(wire.offset);
    hole = GUINT32_FROM_BE(wire.length);
    if (call->type != NBD_CMD_READ || offset < call->offset ||
        offset - call->offset > call->length || hole > call->length - (offset - call->offset))
        return -EBADMSG;
    call->read += hole;
    memset(call->buf + (offset - call->offset), 0, hole);
    return 0;
}

static int
chunk_status(NbdClient *c, NbdCall *call, uint32_t length)
{
    struct __attribute__((packed)) {
        uint32_t id, length, flags;
    } wire;
    int r;

    if (call->type != NBD_CMD_BLOCK_STATUS || length < sizeof(wire))
        return -EBADMSG;
    r = nbd_stream_read(c->stream, &wire, sizeof(wire));
    if (r < 0)
        return r;
    if (GUINT32_FROM_BE(wire.id) == c->info.allocation_id) {
        call->extent[0] = GUINT32_FROM_BE(wire.length);
        call->extent[1] = GUINT32_FROM_BE(wire.flags);
    }
    return nbd_stream_skip(c->stream, length - sizeof(wire));
}

static int
chunk_error(NbdClient *c, NbdCall *call, uint32_t length)
{
    uint32_t error;
    int r;

    if (length < sizeof(error))
        return -EBADMSG;
    r = nbd_stream_read(c->stream, &error, sizeof(error));
    if (r < 0)
        return r;
    r = errno_of(GUINT32_FROM_BE(error));
    call->result = r < 0 ? r : -EIO;
    return nbd_stream_skip(c->stream, length - sizeof(error));
}

/* All that was asked for has to have come. */
static void
call_check(NbdCall *call)
{
    if (call->result < 0)
        return;
    if ((call->type == NBD_CMD_READ && call->read != call->length) ||
        (call->type == NBD_CMD_BLOCK_STATUS && call->extent[0] == 0))
        call->result = -EIO;
}

static int
reply_chunk(NbdClient *c)
{
    struct __attribute__((packed)) {
        uint16_t flags, type;
        uint64_t cookie;
        uint32_t length;
    } wire;
    uint32_t length;
    uint16_t type;
    NbdCall *call;
    int r = nbd_stream_read(c->stream, &wire, sizeof(wire));

    if (r < 0)
        return r;
    length = GUINT32_FROM_BE(wire.length);
    type = GUINT16_FROM_BE(wire.type);
    call = call_of(c, wire.cookie);
    if (!call || !c->info.structured || length > CHUNK_MAX)
        return -EBADMSG;
    switch (type) {
    case NBD_CHUNK_NONE:
        r = length == 0 ? 0 : -EBADMSG;
        break;
    case NBD_CHUNK_OFFSET_DATA:
        r = chunk_data(c, call, length);
        break;
    case NBD_CHUNK_OFFSET_HOLE:
        r = chunk_hole(c, call, length);
        break;
    case NBD_CHUNK_BLOCK_STATUS:
        r = chunk_status(c, call, length);
        break;
    default:
        r = type & (1 << 15) ? chunk_error(c, call, length) : -EBADMSG;
        break;
    }
    if (r == 0 && wire.flags & GUINT16_TO_BE(NBD_CHUNK_DONE)) {
        call_check(call);
        call_end(c, call);
    }
    return r;
}

static void *
reader_thread(void *opaque)
{
    NbdClient *c = opaque;
    int r = 0;

    while (r == 0) {
        uint32_t magic;

        r = nbd_stream_read(c->stream, &magic, sizeof(magic));
        if (r == 0 && magic == GUINT32_TO_BE(NBD_SIMPLE_REPLY_MAGIC))
            r = reply_simple(c);
        else if (r == 0 && magic == GUINT32_TO_BE(NBD_STRUCTURED_REPLY_MAGIC))
            r = reply_chunk(c);
        else if (r == 0)
            r = -EBADMSG;
    }
    nbd_stream_end(c->stream);
    g_mutex_lock(&c->lock);
    c->dead = true;
    for (unsigned i = 0; i < CALLS_MAX; i++) {
        NbdCall *call = &c->calls[i];

        if (call->used && !call->done) {
            call->result = -EIO;
            call->done = true;
            g_cond_signal(&call->cond);
        }
    }
    g_cond_broadcast(&c->freed);
    g_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- calls ---- */

/* A free call, or NULL when the connection is lost. */
static NbdCall *
call_take(NbdClient *c)
{
    NbdCall *call = NULL;

    g_mutex_lock(&c->lock);
    while (!c->dead) {
        for (unsigned i = 0; i < CALLS_MAX && !call; i++) {
            if (!c->calls[i].used)
                call = &c->calls[i];
        }
        if (call)
            break;
        g_cond_wait(&c->freed, &c->lock);
    }
    if (call) {
        call->used = true;
        call->done = false;
        call->result = 0;
        call->read = 0;
        call->extent[0] = 0;
    }
    g_mutex_unlock(&c->lock);
    return call;
}

static int
request_send(NbdClient *c, uint64_t cookie, uint16_t flags, uint16_t type, uint64_t offset,
             uint32_t length, const void *data)
{
    struct __attribute__((packed)) {
        uint32_t magic;
        uint16_t flags, type;
        uint64_t cookie, offset;
        uint32_t length;
    } wire = {
        .magic = GUINT32_TO_BE(NBD_REQUEST_MAGIC),
        .flags = GUINT16_TO_BE(flags),
        .type = GUINT16_TO_BE(type),
        .cookie = GUINT64_TO_BE(cookie),
        .offset = GUINT64_TO_BE(offset),
        .length = GUINT32_TO_BE(length),
    };
    struct iovec iov[] = {
        { .iov_base = &wire, .iov_len = sizeof(wire) },
        { .iov_base = (void *)data, .iov_len = data ? length : 0 },
    };
    int r;

    g_mutex_lock(&c->send_lock);
    r = nbd_stream_write(c->stream, iov, G_N_ELEMENTS(iov));
    g_mutex_unlock(&c->send_lock);
    if (r < 0)
        nbd_stream_end(c->stream); /* the reader ends all calls */
    return r;
}

/* One command: its result, and for BLOCK_STATUS the first extent. */
static int
call_run(NbdClient *c, uint16_t flags, uint16_t type, uint64_t offset, uint32_t length, void *in,
         const void *out, uint32_t ret_extent[2])
{
    NbdCall *call = call_take(c);
    int r;

    if (!call)
        return -EIO;
    call->type = type;
    call->offset = offset;
    call->length = length;
    call->buf = in;
    (void)request_send(c, (uint64_t)(call - c->calls), flags, type, offset, length, out);
    g_mutex_lock(&c->lock);
    while (!call->done)
        g_cond_wait(&call->cond, &c->lock);
    r = call->result;
    if (ret_extent)
        memcpy(ret_extent, call->extent, sizeof(call->extent));
    call->used = false;
    g_cond_signal(&c->freed);
    g_mutex_unlock(&c->lock);
    return r;
}

int
nbd_client_read(NbdClient *c, uint64_t offset, void *buf, size_t length)
{
    int r = 0;

    for (size_t at = 0, part; r == 0 && at < length; at += part) {
        part = MIN(length - at, c->data_max);
        r = call_run(c, 0, NBD_CMD_READ, offset + at, (uint32_t)part, (uint8_t *)buf + at, NULL,
                     NULL);
    }
    return r;
}

int
nbd_client_flush(NbdClient *c)
{
    if (!(c->info.flags & NBD_SEND_FLUSH))
        return 0;
    return call_run(c, 0, NBD_CMD_FLUSH, 0, 0, NULL, NULL, NULL);
}

/* A command's FUA flag; where the server has none, *ret_flush asks for a flush behind it. */
static uint16_t
fua_flag(const NbdClient *c, bool fua, bool *ret_flush)
{
    *ret_flush = fua && !(c->info.flags & NBD_SEND_FUA);
    return fua && c->info.flags & NBD_SEND_FUA ? NBD_CMD_FUA : 0;
}

int
nbd_client_write(NbdClient *c, uint64_t offset, const void *buf, size_t length, bool fua)
{
    bool flush;
    uint16_t flags = fua_flag(c, fua, &flush);
    int r = 0;

    if (c->info.flags & NBD_READ_ONLY)
        return -EROFS;
    for (size_t at = 0, part; r == 0 && at < length; at += part) {
        part = MIN(length - at, c->data_max);
        r = call_run(c, flags, NBD_CMD_WRITE, offset + at, (uint32_t)part, NULL,
                     (const uint8_t *)buf + at, NULL);
    }
    return r == 0 && flush ? nbd_client_flush(c) : r;
}

/* The largest command without data that keeps to the block size. */
static uint32_t
bare_max(const NbdClient *c)
{
    return TRIM_MAX / MAX(c->info.minimum, 1u) * MAX(c->info.minimum, 1u);
}

static int
zeroes_by_writing(NbdClient *c, uint64_t offset, uint64_t length, bool fua)
{
    size_t room = MIN(length, (uint64_t)1 << 20);
    g_autofree uint8_t *zeroes = g_try_malloc0(room);
    int r = zeroes ? 0 : -ENOMEM;

    for (uint64_t at = 0, part; r == 0 && at < length; at += part) {
        part = MIN(length - at, room);
        r = nbd_client_write(c, offset + at, zeroes, part, fua);
    }
    return r;
}

int
nbd_client_write_zeroes(NbdClient *c, uint64_t offset, uint64_t length, bool may_unmap, bool fua)
{
    bool flush;
    uint16_t flags = fua_flag(c, fua, &flush) | (may_unmap ? 0 : NBD_CMD_NO_HOLE);
    int r = 0;

    if (c->info.flags & NBD_READ_ONLY)
        return -EROFS;
    if (!(c->info.flags & NBD_SEND_WRITE_ZEROES))
        return zeroes_by_writing(c, offset, length, fua);
    for (uint64_t at = 0, part; r == 0 && at < length; at += part) {
        part = MIN(length - at, bare_max(c));
        r = call_run(c, flags, NBD_CMD_WRITE_ZEROES, offset + at, (uint32_t)part, NULL, NULL, NULL);
    }
    return r == 0 && flush ? nbd_client_flush(c) : r;
}

int
nbd_client_trim(NbdClient *c, uint64_t offset, uint64_t length)
{
    int r = 0;

    if (c->info.flags & NBD_READ_ONLY)
        return -EROFS;
    if (!(c->info.flags & NBD_SEND_TRIM))
        return 0; /* only advice */
    for (uint64_t at = 0, part; r == 0 && at < length; at += part) {
        part = MIN(length - at, bare_max(c));
        r = call_run(c, 0, NBD_CMD_TRIM, offset + at, (uint32_t)part, NULL, NULL, NULL);
    }
    return r;
}

int
nbd_client_status(NbdClient *c, uint64_t offset, uint64_t *length, uint32_t *ret_flags)
{
    uint32_t extent[2];
    int r;

    *ret_flags = 0;
    if (!c->info.has_allocation)
        return 0;
    r = call_run(c, NBD_CMD_REQ_ONE, NBD_CMD_BLOCK_STATUS, offset,
                 (uint32_t)MIN(*length, bare_max(c)), NULL, NULL, extent);
    if (r < 0)
        return r;
    *length = MIN(*length, extent[0]);
    *ret_flags = extent[1];
    return 0;
}

/* ---- life ---- */

NbdClient *
nbd_client_new(NbdStream *stream, NbdInfo *info, GError **err)
{
    NbdClient *c = g_new0(NbdClient, 1);
    uint32_t unit = MAX(info->minimum, 1u);

    c->stream = stream;
    c->info = *info;
    *info = (NbdInfo){ 0 };
    c->data_max = MIN(c->info.maximum ? c->info.maximum : NBD_BUFFER_MAX, (uint32_t)NBD_BUFFER_MAX);
    c->data_max = c->data_max / unit * unit;
    g_mutex_init(&c->lock);
    g_mutex_init(&c->send_lock);
    g_cond_init(&c->freed);
    for (unsigned i = 0; i < CALLS_MAX; i++)
        g_cond_init(&c->calls[i].cond);
    c->reader = g_thread_try_new("nbd-client", reader_thread, c, err);
    if (c->reader)
        return c;
    nbd_client_free(c);
    return NULL;
}

void
nbd_client_free(NbdClient *c)
{
    if (!c)
        return;
    if (c->reader) {
        (void)request_send(c, 0, 0, NBD_CMD_DISC, 0, 0, NULL);
        nbd_stream_end(c->stream);
        g_thread_join(c->reader);
    }
    nbd_stream_free(c->stream);
    nbd_info_clear(&c->info);
    for (unsigned i = 0; i < CALLS_MAX; i++)
        g_cond_clear(&c->calls[i].cond);
    g_mutex_clear(&c->lock);
    g_mutex_clear(&c->send_lock);
    g_cond_clear(&c->freed);
    g_free(c);
}

const NbdInfo *
nbd_client_info(const NbdClient *c)
{
    return &c->info;
}
