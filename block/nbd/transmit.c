/* transmit.c - the commands of one connection.
 *
 * The threads of a connection take turns at reading. The one that reads takes one request with its
 * data, lets the next thread read, and then does the request: no request is handed from thread to
 * thread. A thread more is started only when all others are at work.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/nbd/server_private.h"
#include "block/nbd/splice.h"

#include <errno.h>
#include <string.h>

enum {
    THREADS_MAX = 16,
    KEEP_BUFFER = 1 << 20, /* a thread's buffer of up to this size is kept between requests */
    HOLES_FROM = 64 << 10, /* reads of this size on are looked at for holes */
    EXTENTS_MAX = 1 << 16, /* of one reply to BLOCK_STATUS */
    BUDGET = 128 << 20,    /* bytes of one client's larger buffers: its next request waits */
};

typedef struct {
    uint16_t flags, type;
    uint64_t cookie; /* as on the wire */
    uint64_t offset;
    uint32_t length;
} Request;

typedef struct {
    NbdConnection *c;
    uint8_t *buffer;
    size_t room, budget;
    NbdSplice splice;
} Worker;

static void *worker_thread(void *opaque);

/* ---- replies ---- */

static uint32_t
error_number(int r)
{
    switch (-r) {
    case 0:
        return 0;
    case EPERM:
    case EROFS:
    case EACCES:
        return NBD_EPERM;
    case ENOMEM:
        return NBD_ENOMEM;
    case EINVAL:
        return NBD_EINVAL;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return NBD_ENOSPC;
    case EOVERFLOW:
        return NBD_EOVERFLOW;
    case ENOTSUP:
        return NBD_ENOTSUP;
    case ESHUTDOWN:
        return NBD_ESHUTDOWN;
    default:
        return NBD_EIO;
    }
}

static void
send_pieces(NbdConnection *c, const struct iovec *iov, unsigned n)
{
    int r;

    g_mutex_lock(&c->write_lock);
    r = nbd_stream_write(c->stream, iov, n);
    g_mutex_unlock(&c->write_lock);
    if (r < 0)
        nbd_stream_end(c->stream); /* who reads learns it */
}

static void
send_simple(NbdConnection *c, const Request *req, int r, const void *data, size_t length)
{
    struct __attribute__((packed)) {
        uint32_t magic, error;
        uint64_t cookie;
    } head = {
        .magic = GUINT32_TO_BE(NBD_SIMPLE_REPLY_MAGIC),
        .error = GUINT32_TO_BE(error_number(r)),
        .cookie = req->cookie,
    };
    struct iovec iov[] = {
        { .iov_base = &head, .iov_len = sizeof(head) },
        { .iov_base = (void *)data, .iov_len = length },
    };

    send_pieces(c, iov, length > 0 ? 2 : 1);
}

/* One chunk of two pieces. */
static void
send_chunk(NbdConnection *c, const Request *req, uint16_t flags, uint16_t type, const void *first,
           size_t first_length, const void *second, size_t second_length)
{
    struct __attribute__((packed)) {
        uint32_t magic;
        uint16_t flags, type;
        uint64_t cookie;
        uint32_t length;
    } head = {
        .magic = GUINT32_TO_BE(NBD_STRUCTURED_REPLY_MAGIC),
        .flags = GUINT16_TO_BE(flags),
        .type = GUINT16_TO_BE(type),
        .cookie = req->cookie,
        .length = GUINT32_TO_BE((uint32_t)(first_length + second_length)),
    };
    struct iovec iov[] = {
        { .iov_base = &head, .iov_len = sizeof(head) },
        { .iov_base = (void *)first, .iov_len = first_length },
        { .iov_base = (void *)second, .iov_len = second_length },
    };

    send_pieces(c, iov, G_N_ELEMENTS(iov));
}

static void
send_error_chunk(NbdConnection *c, const Request *req, int r)
{
    const char *text = g_strerror(-r);
    struct __attribute__((packed)) {
        uint32_t error;
        uint16_t length;
    } body = {
        .error = GUINT32_TO_BE(error_number(r)),
        .length = GUINT16_TO_BE((uint16_t)strlen(text)),
    };

    send_chunk(c, req, NBD_CHUNK_DONE, NBD_CHUNK_ERROR, &body, sizeof(body), text, strlen(text));
}

static void
send_result(NbdConnection *c, const Request *req, int r)
{
    bool chunks = c->structured && (req->type == NBD_CMD_READ || req->type == NBD_CMD_BLOCK_STATUS);

    if (chunks && r < 0)
        send_error_chunk(c, req, r);
    else if (chunks)
        send_chunk(c, req, NBD_CHUNK_DONE, NBD_CHUNK_NONE, NULL, 0, NULL, 0);
    else
        send_simple(c, req, r, NULL, 0);
}

/* ---- commands ---- */

static bool
worker_reserve(Worker *w, size_t length)
{
    if (length <= w->room)
        return true;
    g_free(w->buffer);
    w->room = 0;
    w->buffer = g_try_malloc(length);
    if (w->buffer)
        w->room = length;
    return w->buffer != NULL;
}

static void
send_data_chunk(NbdConnection *c, const Request *req, uint64_t offset, const void *data,
                size_t length)
{
    uint64_t wire = GUINT64_TO_BE(offset);

    send_chunk(c, req, 0, NBD_CHUNK_OFFSET_DATA, &wire, sizeof(wire), data, length);
}

/* Sends a data chunk from the pipe; @length bytes are there. */
static void
send_spliced_chunk(Worker *w, const Request *req, uint64_t offset, size_t length)
{
    NbdConnection *c = w->c;
    struct __attribute__((packed)) {
        uint32_t magic;
        uint16_t flags, type;
        uint64_t cookie;
        uint32_t length;
        uint64_t offset;
    } head = {
        .magic = GUINT32_TO_BE(NBD_STRUCTURED_REPLY_MAGIC),
        .type = GUINT16_TO_BE(NBD_CHUNK_OFFSET_DATA),
        .cookie = req->cookie,
        .length = GUINT32_TO_BE((uint32_t)(sizeof(uint64_t) + length)),
        .offset = GUINT64_TO_BE(offset),
    };
    struct iovec iov = { .iov_base = &head, .iov_len = sizeof(head) };
    int r;

    g_mutex_lock(&c->write_lock);
    r = nbd_stream_write(c->stream, &iov, 1);
    if (r == 0)
        r = nbd_splice_send(&w->splice, nbd_stream_fd(c->stream), length);
    g_mutex_unlock(&c->write_lock);
    if (r < 0)
        nbd_stream_end(c->stream);
}

static void
send_hole_chunk(NbdConnection *c, const Request *req, uint64_t offset, uint32_t length)
{
    struct __attribute__((packed)) {
        uint64_t offset;
        uint32_t length;
    } hole = { .offset = GUINT64_TO_BE(offset), .length = GUINT32_TO_BE(length) };

    send_chunk(c, req, 0, NBD_CHUNK_OFFSET_HOLE, &hole, sizeof(hole), NULL, 0);
}

/* A long read, which tells of holes instead of sending zeroes. */
static int
read_sparse(Worker *w, const Request *req)
{
    BlockNode *node = w->c->export_->node;
    uint64_t offset = req->offset, left = req->length;

    while (left > 0) {
        BlockStatus status;
        int r = block_node_status_above(node, NULL, offset, left, &status);

        if (r < 0)
            return r;
        if (status.flags & BLOCK_STATUS_ZERO) {
            send_hole_chunk(w->c, req, offset, (uint32_t)status.length);
        } else if (status.length >= HOLES_FROM && !nbd_stream_has_tls(w->c->stream) &&
                   nbd_splice_fill(&w->splice, node, offset, &status.length)) {
            send_spliced_chunk(w, req, offset, (size_t)status.length);
        } else {
            r = block_node_pread(node, offset, w->buffer, status.length);
            if (r < 0)
                return r;
            send_data_chunk(w->c, req, offset, w->buffer, status.length);
        }
        offset += status.length;
        left -= status.length;
    }
    return 0;
}

static void
command_read(Worker *w, const Request *req)
{
    NbdConnection *c = w->c;
    int r;

    if (!worker_reserve(w, req->length)) {
        send_result(c, req, -ENOMEM);
        return;
    }
    if (c->structured && !(req->flags & NBD_CMD_DF) && req->length >= HOLES_FROM) {
        send_result(c, req, read_sparse(w, req));
        return;
    }
    r = block_node_pread(c->export_->node, req->offset, w->buffer, req->length);
    if (r < 0) {
        send_result(c, req, r);
    } else if (c->structured) {
        uint64_t wire = GUINT64_TO_BE(req->offset);

        send_chunk(c, req, NBD_CHUNK_DONE, NBD_CHUNK_OFFSET_DATA, &wire, sizeof(wire), w->buffer,
                   req->length);
    } else {
        send_simple(c, req, 0, w->buffer, req->length);
    }
}

static int
command_cache(Worker *w, const Request *req)
{
    uint64_t offset = req->offset, left = req->length;

    if (!worker_reserve(w, KEEP_BUFFER))
        return -ENOMEM;
    while (left > 0) {
        size_t part = MIN(left, (uint64_t)KEEP_BUFFER);
        int r = block_node_pread(w->c->export_->node, offset, w->buffer, part);

        if (r < 0)
            return r;
        offset += part;
        left -= part;
    }
    return 0;
}

static int
command_status(Worker *w, const Request *req)
{
    NbdConnection *c = w->c;
    unsigned max = req->flags & NBD_CMD_REQ_ONE ? 1 : EXTENTS_MAX;

    if (c->contexts->len == 0)
        return -EINVAL;
    for (guint i = 0; i < c->contexts->len; i++) {
        const NbdContext *context = &g_array_index(c->contexts, NbdContext, i);
        g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(uint32_t));
        uint32_t id = GUINT32_TO_BE(context->id);
        int r = nbd_status_extents(c->export_, context, req->offset, req->length, max, words);

        if (r < 0)
            return r;
        send_chunk(c, req, 0, NBD_CHUNK_BLOCK_STATUS, &id, sizeof(id), words->data,
                   words->len * sizeof(uint32_t));
    }
    return 0;
}

static int
command_trim(BlockNode *node, const Request *req)
{
    int r = block_node_discard(node, req->offset, req->length);

    return r == 0 && req->flags & NBD_CMD_FUA ? block_node_flush(node) : r;
}

static void
request_run(Worker *w, const Request *req)
{
    NbdConnection *c = w->c;
    BlockNode *node = c->export_->node;
    BlockFlags fua = req->flags & NBD_CMD_FUA || c->export_->write_through ? BLOCK_FUA : 0;
    int r = -EINVAL;

    switch (req->type) {
    case NBD_CMD_READ:
        command_read(w, req);
        return;
    case NBD_CMD_WRITE:
        r = block_node_pwrite(node, req->offset, w->buffer, req->length, fua);
        break;
    case NBD_CMD_FLUSH:
        r = block_node_flush(node);
        break;
    case NBD_CMD_TRIM:
        r = command_trim(node, req);
        break;
    case NBD_CMD_CACHE:
        r = command_cache(w, req);
        break;
    case NBD_CMD_WRITE_ZEROES:
        r = block_node_write_zeroes(node, req->offset, req->length,
                                    fua | (req->flags & NBD_CMD_NO_HOLE ? 0 : BLOCK_UNMAP));
        break;
    case NBD_CMD_BLOCK_STATUS:
        r = command_status(w, req);
        break;
    }
    send_result(c, req, r);
}

/* ---- requests ---- */

static void
budget_take(NbdConnection *c, size_t bytes)
{
    g_mutex_lock(&c->budget_lock);
    while (c->budget_used + bytes > BUDGET)
        g_cond_wait(&c->budget_grew, &c->budget_lock);
    c->budget_used += bytes;
    g_mutex_unlock(&c->budget_lock);
}

static void
budget_give(NbdConnection *c, size_t bytes)
{
    g_mutex_lock(&c->budget_lock);
    c->budget_used -= bytes;
    g_cond_signal(&c->budget_grew);
    g_mutex_unlock(&c->budget_lock);
}

/* What each command may have for flags, indexed by command. */
static const uint16_t known_flags[] = {
    [NBD_CMD_READ] = NBD_CMD_DF | NBD_CMD_FUA,
    [NBD_CMD_WRITE] = NBD_CMD_FUA,
    [NBD_CMD_DISC] = 0xffff,
    [NBD_CMD_FLUSH] = NBD_CMD_FUA,
    [NBD_CMD_TRIM] = NBD_CMD_FUA,
    [NBD_CMD_CACHE] = NBD_CMD_FUA,
    [NBD_CMD_WRITE_ZEROES] = NBD_CMD_FUA | NBD_CMD_NO_HOLE,
    [NBD_CMD_BLOCK_STATUS] = NBD_CMD_FUA | NBD_CMD_REQ_ONE,
};

/* 0 when the request may be run, else the error to answer with. */
static int
request_check(const NbdConnection *c, const Request *req)
{
    bool writes = req->type == NBD_CMD_WRITE || req->type == NBD_CMD_TRIM ||
                  req->type == NBD_CMD_WRITE_ZEROES;
    uint64_t size = block_node_size(c->export_->node);

    if (req->type >= G_N_ELEMENTS(known_flags) || req->flags & ~known_flags[req->type] ||
        (req->flags & NBD_CMD_DF && !c->structured))
        return -EINVAL;
    if (writes && c->export_->read_only)
        return -EPERM;
    if (req->type == NBD_CMD_FLUSH)
        return 0;
    if (req->offset > size || req->length > size - req->offset)
        return req->type == NBD_CMD_WRITE || req->type == NBD_CMD_WRITE_ZEROES ? -ENOSPC : -EINVAL;
    if (req->type == NBD_CMD_READ && req->length > NBD_BUFFER_MAX)
        return -EINVAL;
    return 0;
}

/* The next request, with its data in the worker's buffer. 0, or -errno when the connection is over;
 * *ret_error is what the request is to be answered with. With the read lock. */
static int
request_read(Worker *w, Request *req, int *ret_error)
{
    NbdConnection *c = w->c;
    struct __attribute__((packed)) {
        uint32_t magic;
        uint16_t flags, type;
        uint64_t cookie, offset;
        uint32_t length;
    } wire;
    size_t need;
    int r = nbd_stream_read(c->stream, &wire, sizeof(wire));

    if (r < 0)
        return r;
    if (wire.magic != GUINT32_TO_BE(NBD_REQUEST_MAGIC))
        return -EBADMSG;
    req->flags = GUINT16_FROM_BE(wire.flags);
    req->type = GUINT16_FROM_BE(wire.type);
    req->cookie = wire.cookie;
    req->offset = GUINT64_FROM_BE(wire.offset);
    req->length = GUINT32_FROM_BE(wire.length);
    if (req->type == NBD_CMD_DISC) {
        c->orderly = true;
        return -ESHUTDOWN;
    }
    *ret_error = request_check(c, req);
    if (req->type == NBD_CMD_WRITE && (*ret_error < 0 || req->length > NBD_BUFFER_MAX)) {
        /* the data is there in any case; far more than anyone was told to send is not waited for */
        if (req->length > NBD_BUFFER_MAX)
            return -EMSGSIZE;
        return nbd_stream_skip(c->stream, req->length);
    }
    if (*ret_error < 0)
        return 0;
    need = req->type == NBD_CMD_READ || req->type == NBD_CMD_WRITE ? req->length : 0;
    if (need > KEEP_BUFFER) {
        budget_take(c, need);
        w->budget = need;
    }
    if (req->type != NBD_CMD_WRITE)
        return 0;
    if (!worker_reserve(w, need)) {
        *ret_error = -ENOMEM;
        return nbd_stream_skip(c->stream, req->length);
    }
    r = nbd_stream_read(c->stream, w->buffer, need);
    return r == -ENOTCONN ? -EPIPE : r;
}

/* With the read lock: somebody has to read while this thread works. */
static void
connection_keep_reading(NbdConnection *c)
{
    GThread *thread;

    if (g_atomic_int_get(&c->at_read) > 1 || c->extra->len + 1 >= THREADS_MAX)
        return;
    g_atomic_int_inc(&c->at_read);
    thread = g_thread_try_new("nbd", worker_thread, c, NULL);
    if (thread)
        g_ptr_array_add(c->extra, thread);
    else
        g_atomic_int_dec_and_test(&c->at_read);
}

static bool
worker_next(Worker *w)
{
    NbdConnection *c = w->c;
    Request req;
    int r = -ESHUTDOWN, error = 0;

    g_mutex_lock(&c->read_lock);
    if (!c->ended)
        r = request_read(w, &req, &error);
    if (r < 0)
        c->ended = true;
    else
        connection_keep_reading(c);
    g_mutex_unlock(&c->read_lock);
    g_atomic_int_dec_and_test(&c->at_read);
    if (r == 0 && error < 0)
        send_result(c, &req, error);
    else if (r == 0)
        request_run(w, &req);
    if (w->room > KEEP_BUFFER) {
        g_clear_pointer(&w->buffer, g_free);
        w->room = 0;
    }
    if (w->budget > 0)
        budget_give(c, w->budget);
    w->budget = 0;
    g_atomic_int_inc(&c->at_read);
    return r == 0;
}

static void *
worker_thread(void *opaque)
{
    Worker w = { .c = opaque };

    while (worker_next(&w))
        ;
    nbd_splice_clear(&w.splice);
    g_free(w.buffer);
    return NULL;
}

void
nbd_server_transmit(NbdConnection *c)
{
    g_atomic_int_set(&c->at_read, 1);
    worker_thread(c);
    /* the connection is over: nobody starts a thread any more */
    for (guint i = 0; i < c->extra->len; i++)
        g_thread_join(g_ptr_array_index(c->extra, i));
}
