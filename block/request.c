/* request.c - the life of one request: chunks, alignment, zeroes, short transfers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/posix.h"
#include "block/slow.h"

enum {
    BOUNCE_MAX = 1 << 20, /* most bytes copied for one step */
    ZERO_IOV = 64,        /* zero buffers of one step: 4 MiB */
    FALLOC_MAX = 1 << 30, /* an SQE's length has 32 bits; stay well below */
};

static void request_next_chunk(BlockRequest *req);

static void
slice_reserve(BlockRequest *req, unsigned n)
{
    if (n <= req->slice_room)
        return;
    req->slice = g_renew(struct iovec, req->slice, n);
    req->slice_room = n;
}

/* The part [skip, skip + len) of @iov as req->slice. */
static void
slice_iov(BlockRequest *req, const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t len)
{
    slice_reserve(req, n_iov);
    req->n_slice = 0;
    for (unsigned i = 0; i < n_iov && len > 0; i++) {
        uint64_t part;

        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        part = MIN(iov[i].iov_len - skip, len);
        req->slice[req->n_slice++] =
            (struct iovec){ .iov_base = (uint8_t *)iov[i].iov_base + skip, .iov_len = part };
        len -= part;
        skip = 0;
    }
}

static void
slice_zeroes(BlockRequest *req, uint64_t len)
{
    BlockQueue *q = req->queue;

    if (!q->zeroes)
        q->zeroes = g_aligned_alloc0(1, BLOCK_ZEROES, 4096);
    slice_reserve(req, ZERO_IOV);
    for (req->n_slice = 0; len > 0; req->n_slice++) {
        uint64_t part = MIN(len, (uint64_t)BLOCK_ZEROES);

        req->slice[req->n_slice] = (struct iovec){ .iov_base = q->zeroes, .iov_len = part };
        len -= part;
    }
}

void
block_request_copy(BlockRequest *req, uint8_t *flat, bool to_flat)
{
    for (unsigned i = 0; i < req->n_slice; i++) {
        if (to_flat)
            memcpy(flat, req->slice[i].iov_base, req->slice[i].iov_len);
        else
            memcpy(req->slice[i].iov_base, flat, req->slice[i].iov_len);
        flat += req->slice[i].iov_len;
    }
}

static bool
slice_is_aligned(const BlockRequest *req, unsigned align)
{
    uintptr_t bits = 0;

    for (unsigned i = 0; i < req->n_slice; i++)
        bits |= (uintptr_t)req->slice[i].iov_base | req->slice[i].iov_len;
    return (bits & (align - 1)) == 0;
}

static bool
iov_is_zero(const struct iovec *iov, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *p = iov[i].iov_base;
        size_t len = iov[i].iov_len;

        /* the first byte, then each byte like the one before it */
        if (len > 0 && (p[0] != 0 || memcmp(p, p + 1, len - 1) != 0))
            return false;
    }
    return true;
}

static void
step_start(BlockRequest *req)
{
    req->step_done = 0;
    req->queue->engine->start(req->queue, req);
}

/* The chunk under way lets go what it holds. */
static void
chunk_release(BlockRequest *req)
{
    block_gate_leave(req);
    block_extent_release(&req->at);
    req->at.holder = NULL;
}

static void
request_finish(BlockRequest *req, int result, bool from_engine)
{
    chunk_release(req);
    block_queue_finish(req, result, from_engine);
}

/* Makes the step for the units around the chunk, through the bounce buffer. */
static bool
step_bounce(BlockRequest *req, const BlockExtent *at, unsigned unit, BlockOp op)
{
    uint64_t low = at->offset / unit * unit;
    uint64_t high = (at->offset + req->chunk + unit - 1) / unit * unit;
    void *buf;

    if (req->bounce_size < high - low) {
        if (posix_memalign(&buf, MAX(unit, 4096u), high - low) != 0)
            return false;
        free(req->bounce);
        req->bounce = buf;
        req->bounce_size = high - low;
    }
    req->bounce_head = at->offset - low;
    req->rest = g_renew(struct iovec, req->rest, 1);
    req->rest[0] = (struct iovec){ .iov_base = req->bounce, .iov_len = high - low };
    req->step = (BlockStep){
        .op = op,
        .dsync = op == BLOCK_OP_WRITE && req->flags & BLOCK_FUA,
        .fd = at->fd,
        .offset = low,
        .length = high - low,
        .iov = req->rest,
        .n_iov = 1,
    };
    return true;
}

/* A chunk of data, to or from the caller's buffers or the zero buffer, all in req->slice. */
static void
chunk_transfer(BlockRequest *req)
{
    const BlockExtent *at = &req->at;
    BlockNode *protocol = at->protocol;
    BlockOp op = req->op == BLOCK_OP_READ ? BLOCK_OP_READ : BLOCK_OP_WRITE;
    unsigned unit = protocol->request_align;
    bool whole = (at->offset | req->chunk) % unit == 0;

    if (op == BLOCK_OP_WRITE)
        block_note_write(protocol, at->offset + req->chunk);
    if (op == BLOCK_OP_WRITE && unit > BLOCK_SECTOR && !block_gate_enter(req, !whole))
        return;
    if (whole && slice_is_aligned(req, protocol->mem_align)) {
        req->phase = PHASE_PLAIN;
        req->step = (BlockStep){
            .op = op,
            .dsync = op == BLOCK_OP_WRITE && req->flags & BLOCK_FUA,
            .fd = at->fd,
            .offset = at->offset,
            .length = req->chunk,
            .iov = req->slice,
            .n_iov = req->n_slice,
        };
        step_start(req);
        return;
    }
    req->phase = whole || op == BLOCK_OP_READ ? PHASE_BOUNCE : PHASE_RMW_READ;
    if (!step_bounce(req, at, unit, req->phase == PHASE_RMW_READ ? BLOCK_OP_READ : op)) {
        request_finish(req, -ENOMEM, false);
        return;
    }
    if (req->phase == PHASE_BOUNCE && op == BLOCK_OP_WRITE)
        block_request_copy(req, req->bounce + req->bounce_head, true);
    step_start(req);
}

static bool
request_wants_fallocate(const BlockRequest *req)
{
    return (req->op == BLOCK_OP_ZERO || req->op == BLOCK_OP_DISCARD) && !req->zero_by_writing;
}

static void
chunk_fallocate(BlockRequest *req)
{
    req->chunk = MIN(req->chunk, (uint64_t)FALLOC_MAX);
    if (req->op == BLOCK_OP_ZERO)
        block_note_write(req->at.protocol, req->at.offset + req->chunk);
    req->phase = PHASE_PLAIN;
    req->step = (BlockStep){
        .op = BLOCK_OP_ZERO,
        .punch = req->op == BLOCK_OP_DISCARD || req->flags & BLOCK_UNMAP,
        .fd = req->at.fd,
        .offset = req->at.offset,
        .length = req->chunk,
    };
    step_start(req);
}

/* Buffers of the chunk; cuts it to what they stand for. */
static void
chunk_slice(BlockRequest *req, bool bounce)
{
    if (bounce)
        req->chunk = MIN(req->chunk, (uint64_t)BOUNCE_MAX);
    if (req->op == BLOCK_OP_ZERO) {
        req->chunk = MIN(req->chunk, (uint64_t)ZERO_IOV * BLOCK_ZEROES);
        slice_zeroes(req, req->chunk);
    } else {
        slice_iov(req, req->iov, req->n_iov, req->done_bytes, req->chunk);
    }
}

static void
chunk_slow(BlockRequest *req)
{
    if (req->op == BLOCK_OP_READ || req->op == BLOCK_OP_WRITE)
        chunk_slice(req, true);
    req->phase = PHASE_SLOW;
    block_slow_start(req);
}

static BlockMapFor
request_maps_for(const BlockRequest *req)
{
    if (req->op == BLOCK_OP_READ)
        return BLOCK_MAP_READ;
    return req->op == BLOCK_OP_WRITE ? BLOCK_MAP_WRITE : BLOCK_MAP_ZERO;
}

static void
request_next_chunk(BlockRequest *req)
{
    BlockNode *node = req->queue->node;

    while (req->done_bytes < req->length) {
        uint64_t left = req->length - req->done_bytes;
        int r = block_node_map(node, req->offset + req->done_bytes, left, request_maps_for(req),
                               &req->at);

        if (r < 0) {
            req->at.holder = NULL;
            block_queue_finish(req, r, false);
            return;
        }
        req->chunk = MIN(left, req->at.length);
        if (req->at.kind == BLOCK_EXTENT_SLOW) {
            chunk_slow(req);
            return;
        }
        if (req->at.kind == BLOCK_EXTENT_DATA) {
            if (request_wants_fallocate(req)) {
                chunk_fallocate(req);
            } else {
                chunk_slice(req, req->at.protocol->mem_align > 1);
                chunk_transfer(req);
            }
            return;
        }
        chunk_slice(req, false);
        for (unsigned i = 0; i < req->n_slice; i++)
            memset(req->slice[i].iov_base, 0, req->slice[i].iov_len);
        req->done_bytes += req->chunk;
    }
    block_queue_finish(req, 0, false);
}

void
block_request_resume(BlockRequest *req)
{
    chunk_transfer(req);
}

/* Zeroes and FUA: what was done must be on stable storage, and what leads to it. */
static void
request_sync(BlockRequest *req)
{
    BlockNode *node = req->queue->node;

    req->chunk = 0;
    if (!block_node_is_clean(node)) {
        req->at = (BlockExtent){ .kind = BLOCK_EXTENT_SLOW };
        req->op = BLOCK_OP_FLUSH;
        req->phase = PHASE_SYNC;
        block_slow_start(req);
        return;
    }
    req->phase = PHASE_SYNC;
    req->step = (BlockStep){ .op = BLOCK_OP_FLUSH, .fd = block_node_protocol(node)->fd };
    step_start(req);
}

void
block_request_begin(BlockRequest *req)
{
    BlockNode *node = req->queue->node;
    BlockDetectZeroes detect = node->detect_zeroes;

    switch (req->op) {
    case BLOCK_OP_FLUSH:
        if (block_node_read_only(node) ||
            (block_node_no_flush(node) && block_node_is_clean(node))) {
            block_queue_finish(req, 0, false);
            return;
        }
        request_sync(req);
        return;
    case BLOCK_OP_DISCARD:
        if (!block_node_can_discard(node)) {
            block_queue_finish(req, 0, false);
            return;
        }
        break;
    case BLOCK_OP_WRITE:
        if (detect != DETECT_ZEROES_OFF && iov_is_zero(req->iov, req->n_iov)) {
            req->op = BLOCK_OP_ZERO;
            if (detect == DETECT_ZEROES_UNMAP)
                req->flags |= BLOCK_UNMAP;
        }
        break;
    case BLOCK_OP_READ:
    case BLOCK_OP_ZERO:
        break;
    }
    if (req->op == BLOCK_OP_ZERO && !block_node_can_discard(node))
        req->flags &= ~(unsigned)BLOCK_UNMAP;
    if (req->op == BLOCK_OP_WRITE || req->op == BLOCK_OP_ZERO)
        block_note_write(node, req->offset + req->length);
    request_next_chunk(req);
}

/* Whether a write that asked for it is not durable by its steps alone: its zeroes were made by
 * fallocate(2), or the metadata that leads to it waits. */
static bool
request_needs_sync(const BlockRequest *req)
{
    BlockNode *node = req->queue->node;

    if (!(req->flags & BLOCK_FUA) || block_node_no_flush(node))
        return false;
    if (!block_node_is_clean(node))
        return req->op == BLOCK_OP_ZERO || req->op == BLOCK_OP_WRITE;
    return req->op == BLOCK_OP_ZERO && !req->zero_by_writing;
}

/* The chunk's bytes are where they belong. */
static void
chunk_done(BlockRequest *req)
{
    chunk_release(req);
    req->done_bytes += req->chunk;
    if (req->done_bytes < req->length) {
        request_next_chunk(req);
        return;
    }
    if (req->phase != PHASE_SLOW && request_needs_sync(req)) {
        request_sync(req);
        return;
    }
    block_queue_finish(req, 0, true);
}

void
block_request_slow_done(BlockRequest *req, int result)
{
    if (result < 0 || req->phase == PHASE_SYNC)
        block_queue_finish(req, result, true);
    else
        chunk_done(req);
}

static void
step_complete(BlockRequest *req)
{
    uint8_t *own = req->bounce + req->bounce_head;

    switch (req->phase) {
    case PHASE_SYNC:
        block_queue_finish(req, 0, true);
        return;
    case PHASE_RMW_READ:
        block_request_copy(req, own, true);
        req->phase = PHASE_RMW_WRITE;
        req->rest[0] = (struct iovec){ .iov_base = req->bounce, .iov_len = req->step.length };
        req->step.op = BLOCK_OP_WRITE;
        req->step.dsync = req->flags & BLOCK_FUA;
        req->step.iov = req->rest;
        req->step.n_iov = 1;
        step_start(req);
        return;
    case PHASE_BOUNCE:
        if (req->op == BLOCK_OP_READ)
            block_request_copy(req, own, false);
        break;
    case PHASE_PLAIN:
    case PHASE_RMW_WRITE:
    case PHASE_SLOW:
        break;
    }
    chunk_done(req);
}

/* Past the end of a file whose length is no multiple of a sector: the rest reads as zeroes. */
static void
step_zero_rest(BlockRequest *req)
{
    uint64_t skip = req->step_done, at = 0;
    const struct iovec *iov = req->phase == PHASE_PLAIN ? req->slice : NULL;
    unsigned n = req->n_slice;
    struct iovec flat = { .iov_base = req->bounce, .iov_len = req->step.length };

    if (!iov) {
        iov = &flat;
        n = 1;
    }
    for (unsigned i = 0; i < n; at += iov[i++].iov_len) {
        uint64_t from = skip > at ? MIN(skip - at, iov[i].iov_len) : 0;

        memset((uint8_t *)iov[i].iov_base + from, 0, iov[i].iov_len - from);
    }
}

/* Starts the step's remainder after a short transfer. */
static void
step_resume(BlockRequest *req, uint64_t n)
{
    const struct iovec *iov = req->step.iov;
    unsigned n_iov = req->step.n_iov, out = 0;
    struct iovec *rest = g_new(struct iovec, n_iov);

    for (unsigned i = 0; i < n_iov; i++) {
        uint64_t skip = MIN(n, iov[i].iov_len);

        n -= skip;
        if (skip == iov[i].iov_len)
            continue;
        rest[out++] = (struct iovec){ .iov_base = (uint8_t *)iov[i].iov_base + skip,
                                      .iov_len = iov[i].iov_len - skip };
    }
    g_free(req->rest);
    req->rest = rest;
    req->step.iov = rest;
    req->step.n_iov = out;
    req->queue->engine->start(req->queue, req);
}

void
block_request_step_done(BlockRequest *req, int64_t result)
{
    BlockStep *step = &req->step;

    if (result == -EINTR || result == -EAGAIN) {
        req->queue->engine->start(req->queue, req);
        return;
    }
    if (result < 0 && step->op == BLOCK_OP_ZERO && block_posix_is_unsupported((int)-result)) {
        if (req->op == BLOCK_OP_DISCARD) {
            request_finish(req, 0, true);
            return;
        }
        if (step->punch) {
            /* zeroes without giving the space back, then zeroes by writing them */
            req->flags &= ~(unsigned)BLOCK_UNMAP;
        } else {
            req->zero_by_writing = true;
        }
        chunk_release(req);
        request_next_chunk(req);
        return;
    }
    if (result < 0) {
        request_finish(req, result, true);
        return;
    }
    if (step->op != BLOCK_OP_READ && step->op != BLOCK_OP_WRITE) {
        step_complete(req);
        return;
    }
    req->step_done += result;
    if (req->step_done >= step->length) {
        step_complete(req);
    } else if (result > 0) {
        step_resume(req, result);
    } else if (step->op == BLOCK_OP_READ) {
        step_zero_rest(req);
        step_complete(req);
    } else {
        request_finish(req, -ENOSPC, true);
    }
}

void
block_request_clear(BlockRequest *req)
{
    g_free(req->slice);
    g_free(req->rest);
    free(req->bounce);
}
