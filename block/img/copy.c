/* copy.c - copies what one chain of images reads as into another image: the heart of convert, dd,
 * commit and rebase.
 *
 * Several threads take pieces from one cursor. Holes stay holes: what the source's status calls
 * zero is not read, and what was read is searched for zeroes. Data that lies as it is in a file
 * goes to a raw or qcow2 target by sharing the blocks (FICLONERANGE) where the file system can.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/driver.h"
#include "block/img/img.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"

enum {
    PIECE = 1 << 20,       /* bytes read and written at once: stays in the processor's cache */
    RANGE_MAX = 1 << 30,   /* bytes whose status is asked for at once */
    CLONE_MAX = 128 << 20, /* blocks shared by one call, so that progress is seen */
    CLONE_ALIGN = 4096,    /* least block of file systems that share */
    SALVAGE_UNIT = BLOCK_SECTOR,
    SPARSE_UNIT_MAX = 65536,
};

typedef struct {
    const ImgCopy *copy;
    uint64_t clone_unit; /* places of the target that can share blocks are multiples of it */
    GMutex lock;         /* all below */
    uint64_t cursor, done;
    ImgWalk walk;
    ImgRange range; /* what is known from the cursor on; length 0: nothing */
    bool clone;     /* still worth trying */
    bool cloned;    /* it has worked: larger pieces pay */
    gint64 started; /* for the rate */
    GError *failed;
    uint64_t failed_at;
} Copying;

bool
img_is_zero(const void *buf, size_t length)
{
    const char *bytes = buf;

    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

uint64_t
img_sparse_unit(const BlockNode *target)
{
    return MIN((uint64_t)block_node_cluster_size(target), (uint64_t)SPARSE_UNIT_MAX);
}

unsigned
img_threads(uint64_t limit)
{
    cpu_set_t set;
    int n = 1;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        n = CPU_COUNT(&set);
    return (unsigned)MAX(MIN((uint64_t)MAX(n, 1), limit), 1u);
}

/* The first failure by place in the image is the one that is told. */
static void
copy_fail(Copying *state, uint64_t at, bool reading, int r)
{
    const ImgCopy *copy = state->copy;

    g_mutex_lock(&state->lock);
    if (!state->failed || at < state->failed_at) {
        g_clear_error(&state->failed);
        block_error_set(&state->failed, VIR_ERR_SYSTEM_ERROR, r,
                        reading ? copy->source : copy->target,
                        "error while %s '%s' at byte %" PRIu64, reading ? "reading" : "writing",
                        reading ? copy->source_name : copy->target_name, at);
        state->failed_at = at;
    }
    g_mutex_unlock(&state->lock);
}

/* Only a raw target has places of the file that are places of the disk. */
static bool
target_is_plain(const BlockNode *node)
{
    return node->driver->is_protocol ||
           (strcmp(node->driver->name, "raw") == 0 && node->file->driver->is_protocol);
}

/* Has the file system copy, which is what -C asks for. */
static bool
offload_range(const ImgCopy *copy, const BlockStatus *status, uint64_t at, uint64_t length)
{
    BlockNode *to = block_node_protocol(copy->target);
    loff_t in = (loff_t)status->host_offset;
    loff_t out = (loff_t)(copy->target_offset + at + copy->target->window_offset);

    if (!copy->offload || to->fd < 0 || to->is_device || status->file->is_device ||
        !target_is_plain(copy->target))
        return false;
    while (length > 0) {
        ssize_t n = copy_file_range(status->file->fd, &in, to->fd, &out, length, 0);

        if (n <= 0)
            return false;
        length -= (uint64_t)n;
    }
    return true;
}

/* Shares the blocks of the source's file from what @status says on with the target. How many bytes
 * need not be copied any more; *ret_can: whether it is worth another try. */
static uint64_t
clone_range(Copying *state, const BlockStatus *status, uint64_t at, uint64_t length, bool *ret_can)
{
    const ImgCopy *copy = state->copy;
    const BlockNode *from = status->file;
    uint64_t there, n;

    *ret_can = true;
    if (!(status->flags & BLOCK_STATUS_OFFSET) || !from || from->fd < 0)
        return 0;
    /* a file may end before the last cluster does, and what is not there cannot be shared */
    there = from->size > status->host_offset ? from->size - status->host_offset : 0;
    n = MIN(length, there - there % state->clone_unit);
    if (n > 0 && !from->is_device &&
        block_node_reflink(copy->target, copy->target_offset + at, from->fd, status->host_offset,
                           n) == 0)
        return n;
    if (offload_range(copy, status, at, length))
        return length;
    *ret_can = n == 0;
    return 0;
}

static int
write_zeroes(const ImgCopy *copy, uint64_t at, uint64_t length)
{
    if (copy->target_zero)
        return 0;
    return block_node_write_zeroes(copy->target, copy->target_offset + at, length,
                                   BLOCK_UNMAP | copy->write_flags);
}

/* Writes @buf without its runs of zeroes. */
static int
write_sparse(const ImgCopy *copy, uint64_t at, const char *buf, size_t length)
{
    uint64_t unit = copy->sparse, place = copy->target_offset + at;
    BlockFlags flags = copy->write_flags | (copy->target_zero ? BLOCK_FRESH : 0);
    size_t from = 0;

    if (unit == 0)
        return block_node_pwrite(copy->target, place, buf, length, flags);
    while (from < length) {
        /* units of the target, not of the buffer */
        size_t end = MIN(length, from + unit - (place + from) % unit);
        bool zero = img_is_zero(buf + from, end - from);
        int r;

        while (end < length && img_is_zero(buf + end, MIN(unit, (uint64_t)(length - end))) == zero)
            end = MIN(length, end + unit);
        r = zero ? write_zeroes(copy, at + from, end - from)
                 : block_node_pwrite(copy->target, place + from, buf + from, end - from, flags);
        if (r < 0)
            return r;
        from = end;
    }
    return 0;
}

static int
read_salvaged(const ImgCopy *copy, uint64_t at, char *buf, size_t length)
{
    int r = block_node_pread(copy->source, copy->source_offset + at, buf, length);

    if (r == 0 || !copy->salvage)
        return r;
    for (size_t from = 0; from < length; from += SALVAGE_UNIT) {
        size_t part = MIN((size_t)SALVAGE_UNIT, length - from);

        r = block_node_pread(copy->source, copy->source_offset + at + from, buf + from, part);
        if (r < 0) {
            img_warn("error while reading '%s' at byte %" PRIu64 ": %s; zeroes are put there",
                     copy->source_name, copy->source_offset + at + from, g_strerror(-r));
            memset(buf + from, 0, part);
        }
    }
    return 0;
}

/* How much of @length bytes of data at @at one call shares, or, before and after what can be
 * shared, is copied. */
static uint64_t
clone_length(const Copying *state, uint64_t at, uint64_t length)
{
    uint64_t unit = state->clone_unit, head = (state->copy->target_offset + at) % unit;

    if (head != 0)
        return MIN(length, unit - head);
    return length < unit ? length : MIN(length - length % unit, (uint64_t)CLONE_MAX);
}

/* Takes the next piece; false when there is none. */
static bool
next_piece(Copying *state, ImgRange *ret, uint64_t *ret_at)
{
    const ImgCopy *copy = state->copy;
    uint64_t unit = copy->compress ? block_node_cluster_size(copy->target) : 0;
    uint64_t left, at, piece;
    int r = 0;

    g_mutex_lock(&state->lock);
    piece = state->clone ? MAX((uint64_t)PIECE, state->clone_unit) : PIECE;
    if (state->failed || state->cursor >= copy->length) {
        g_mutex_unlock(&state->lock);
        return false;
    }
    at = *ret_at = state->cursor;
    left = copy->length - at;
    if (state->range.length == 0)
        r = img_walk_range(&state->walk, copy->source_offset + at, MIN(left, (uint64_t)RANGE_MAX),
                           &state->range);
    if (r < 0 && copy->salvage) { /* reading tells what is lost, and zeroes stand in for it */
        state->range = (ImgRange){ .kind = IMG_COPY_DATA, .length = MIN(left, SALVAGE_UNIT) };
        r = 0;
    }
    if (r < 0) {
        state->cursor = copy->length;
        g_mutex_unlock(&state->lock);
        copy_fail(state, copy->source_offset + at, true, r);
        return false;
    }
    *ret = state->range;
    if (unit && ret->length < MIN(unit, left)) {
        /* a cluster of several kinds is read whole */
        ret->kind = IMG_COPY_DATA;
        ret->status.flags = 0;
        ret->length = MIN(unit, left);
        state->range.length = 0;
    } else {
        if (unit && (ret->kind == IMG_COPY_DATA))
            ret->length = MIN(unit, left);
        else if (unit && ret->length < left)
            ret->length -= ret->length % unit;
        else if (ret->kind == IMG_COPY_DATA && state->clone && state->cloned)
            ret->length = clone_length(state, at, ret->length);
        else if (ret->kind == IMG_COPY_DATA)
            ret->length = MIN(ret->length, piece - (copy->target_offset + at) % piece);
        state->range.length -= ret->length;
        state->range.status.host_offset += ret->length;
    }
    state->cursor += ret->length;
    g_mutex_unlock(&state->lock);
    return true;
}

static void
piece_done(Copying *state, uint64_t length)
{
    const ImgCopy *copy = state->copy;
    gint64 ahead = 0;

    g_mutex_lock(&state->lock);
    state->done += length;
    if (copy->rate > 0)
        ahead = (gint64)((double)state->done / (double)copy->rate * G_USEC_PER_SEC) -
                (g_get_monotonic_time() - state->started);
    if (copy->progress_total > 0)
        img_progress_set(copy->progress, (double)(copy->progress_done + state->done) /
                                             (double)copy->progress_total);
    g_mutex_unlock(&state->lock);
    if (ahead > 0)
        g_usleep((gulong)ahead);
}

/* Data that has to go through memory, at most the buffer's size. */
static bool
copy_data(Copying *state, uint64_t at, char *buf, size_t length)
{
    const ImgCopy *copy = state->copy;
    int r = read_salvaged(copy, at, buf, length);

    if (r < 0) {
        copy_fail(state, copy->source_offset + at, true, r);
        return false;
    }
    if (!copy->compress)
        r = write_sparse(copy, at, buf, length);
    else if (copy->sparse > 0 && img_is_zero(buf, length))
        r = write_zeroes(copy, at, length);
    else
        r = block_node_pwrite_compressed(copy->target, copy->target_offset + at, buf, length);
    if (r < 0) {
        copy_fail(state, copy->target_offset + at, false, r);
        return false;
    }
    return true;
}

static gpointer
worker(gpointer opaque)
{
    Copying *state = opaque;
    const ImgCopy *copy = state->copy;
    size_t room = MAX((size_t)PIECE, copy->compress ? block_node_cluster_size(copy->target) : 0u);
    char *buf = g_aligned_alloc(1, room, 4096);
    ImgRange range;
    uint64_t at;

    while (next_piece(state, &range, &at)) {
        uint64_t cloned = 0;

        if (range.kind == IMG_COPY_ZERO && copy->sparse > 0) {
            int r = write_zeroes(copy, at, range.length);

            if (r < 0)
                copy_fail(state, copy->target_offset + at, false, r);
        } else if (range.kind != IMG_COPY_SKIP) {
            if (range.kind == IMG_COPY_DATA && state->clone && !copy->compress &&
                ((copy->target_offset + at) | range.length) % state->clone_unit == 0) {
                bool can;

                cloned = clone_range(state, &range.status, at, range.length, &can);
                g_mutex_lock(&state->lock);
                state->clone &= can;
                state->cloned |= cloned > 0;
                g_mutex_unlock(&state->lock);
            }
            for (uint64_t from = cloned; from < range.length; from += room)
                if (!copy_data(state, at + from, buf, MIN((uint64_t)room, range.length - from)))
                    break;
        }
        piece_done(state, range.length);
    }
    g_aligned_free(buf);
    return NULL;
}

bool
img_copy(const ImgCopy *copy, GError **err)
{
    Copying state = { .copy = copy, .started = g_get_monotonic_time() };
    unsigned n = CLAMP(copy->threads, 1u, 64u);
    g_autofree GThread **threads = g_new0(GThread *, n);

    g_mutex_init(&state.lock);
    img_walk_begin(&state.walk, copy->source, copy->base);
    state.clone = !copy->compress && !copy->own_blocks && copy->sparse > 0;
    state.clone_unit = MAX((uint32_t)CLONE_ALIGN, block_node_cluster_size(copy->target));
    for (unsigned i = 1; i < n; i++)
        threads[i] = g_thread_new("copy", worker, &state);
    worker(&state);
    for (unsigned i = 1; i < n; i++)
        g_thread_join(threads[i]);
    img_walk_end(&state.walk);
    g_mutex_clear(&state.lock);
    if (!state.failed)
        return true;
    g_propagate_error(err, state.failed);
    return false;
}
