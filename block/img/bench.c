/* bench.c - kiln-img bench: a number of equal requests on an image, and the time they took.
 *
 * The requests go through a BlockQueue, as a guest's do; those that are not made of whole sectors,
 * as no guest's are, by threads that wait.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

enum { COUNT = 75000, DEPTH = 64, BUFFER = 4096, BUFFER_MAX = 64 << 20 };

typedef struct Bench Bench;

typedef struct {
    Bench *bench;
    struct iovec iov;
    uint64_t at;
    int result; /* of a thread */
} Slot;

struct Bench {
    BlockQueue *queue;
    GThreadPool *threads; /* NULL: the queue takes all */
    IoLoop *loop;
    BlockNode *node;
    Slot *slots;
    uint64_t left, in_flight, depth, at, step, size;
    uint64_t flush_every, until_flush;
    bool write, flushing, drain;
    int failed;
    char *where; /* what failed */
    GMutex lock; /* done, for the main thread */
    GCond over;
    bool done;
};

static void bench_issue(Slot *slot);

static void
bench_end(Bench *b)
{
    if (b->in_flight > 0 || (b->left > 0 && b->failed == 0))
        return;
    g_mutex_lock(&b->lock);
    b->done = true;
    g_cond_signal(&b->over);
    g_mutex_unlock(&b->lock);
}

/* The first failure is told of; @slot: NULL for a flush. */
static void
bench_fail(Bench *b, const Slot *slot, int r)
{
    if (r >= 0 || b->failed < 0)
        return;
    b->failed = r;
    b->where = !slot
                   ? g_strdup("flush")
                   : g_strdup_printf("%s %zu bytes at byte %" PRIu64,
                                     b->write ? "writing" : "reading", slot->iov.iov_len, slot->at);
}

static void
bench_flushed(void *opaque, int r)
{
    Bench *b = opaque;

    b->flushing = false;
    b->in_flight--;
    bench_fail(b, NULL, r);
    /* drained: all slots stand still */
    for (uint64_t i = 0; b->drain && i < b->depth; i++)
        bench_issue(&b->slots[i]);
    block_queue_submit(b->queue);
    bench_end(b);
}

static void
bench_completed(void *opaque, int r)
{
    Slot *slot = opaque;
    Bench *b = slot->bench;

    b->in_flight--;
    bench_fail(b, slot, r);
    if (b->failed == 0 && b->flush_every > 0 && b->until_flush == 0 && !b->flushing &&
        (!b->drain || b->in_flight == 0)) {
        b->until_flush = b->flush_every;
        b->flushing = true;
        b->in_flight++;
        block_queue_flush(b->queue, bench_flushed, b);
    }
    bench_issue(slot);
    block_queue_submit(b->queue);
    bench_end(b);
}

static void
bench_thread_done(void *opaque)
{
    Slot *slot = opaque;

    bench_completed(slot, slot->result);
}

static void
bench_thread(void *data, void *opaque)
{
    Slot *slot = data;
    Bench *b = opaque;

    slot->result =
        b->write ? block_node_pwrite(b->node, slot->at, slot->iov.iov_base, slot->iov.iov_len, 0)
                 : block_node_pread(b->node, slot->at, slot->iov.iov_base, slot->iov.iov_len);
    io_loop_defer(b->loop, bench_thread_done, slot);
}

static void
bench_issue(Slot *slot)
{
    Bench *b = slot->bench;

    if (b->left == 0 || b->failed < 0)
        return;
    if (b->drain && b->flush_every > 0 && (b->flushing || b->until_flush == 0))
        return; /* until the flush is done */
    b->left--;
    b->in_flight++;
    slot->at = b->at;
    if (b->until_flush > 0)
        b->until_flush--;
    if (b->threads)
        g_thread_pool_push(b->threads, slot, NULL);
    else if (b->write)
        block_queue_writev(b->queue, b->at, &slot->iov, 1, 0, bench_completed, slot);
    else
        block_queue_readv(b->queue, b->at, &slot->iov, 1, bench_completed, slot);
    b->at += b->step;
    if (b->size <= b->at || b->size - b->at < slot->iov.iov_len)
        b->at = 0;
}

static void
bench_start(void *opaque)
{
    Bench *b = opaque;

    for (uint64_t i = 0; i < b->depth; i++)
        bench_issue(&b->slots[i]);
    block_queue_submit(b->queue);
    bench_end(b);
}

static void
bench_wait(Bench *b, IoLoop *loop)
{
    io_loop_defer(loop, bench_start, b);
    g_mutex_lock(&b->lock);
    while (!b->done)
        g_cond_wait(&b->over, &b->lock);
    g_mutex_unlock(&b->lock);
}

static void
bench_announce(const Bench *b, uint64_t buffer)
{
    printf("Sending %" PRIu64 " %s requests, %" PRIu64 " bytes each, %" PRIu64
           " in parallel (starting at offset %" PRIu64 ", step size %" PRIu64 ")\n",
           b->left, b->write ? "write" : "read", buffer, b->depth, b->at, b->step);
    if (b->flush_every > 0)
        printf("Sending flush every %" PRIu64 " requests\n", b->flush_every);
}

static int
bench_do(ImgArgs *args, BlockNode *node)
{
    g_autoptr(GError) err = NULL;
    uint64_t buffer = args->buffer_size == IMG_UNSET ? BUFFER : args->buffer_size;
    g_autoptr(IoLoop) loop = io_loop_new("bench", &err);
    g_autofree char *name = g_strdup(block_node_filename(node));
    char *memory;
    gint64 began;
    Bench b = {
        .node = node,
        .loop = loop,
        .left = args->count == IMG_UNSET ? COUNT : args->count,
        .depth = args->depth == IMG_UNSET ? DEPTH : args->depth,
        .at = args->offset == IMG_UNSET ? 0 : args->offset,
        .step = args->step == IMG_UNSET || args->step == 0 ? buffer : args->step,
        .size = block_node_size(node),
        .write = args->write,
        .drain = !args->no_drain,
        .flush_every = args->flush_interval == IMG_UNSET ? 0 : args->flush_interval,
    };

    if (!loop)
        return img_fail_error(err);
    b.until_flush = b.flush_every;
    b.queue = block_queue_new(node, loop, (unsigned)b.depth, &err);
    if (!b.queue || !img_sandbox_enter(&err)) {
        block_queue_free(b.queue);
        return img_fail_error(err);
    }
    if ((buffer | b.at | b.step) % BLOCK_SECTOR != 0)
        b.threads = g_thread_pool_new(bench_thread, &b, (int)b.depth, FALSE, NULL);
    memory = g_aligned_alloc(b.depth, buffer, 4096);
    memset(memory, args->pattern == IMG_UNSET ? 0 : (int)args->pattern, b.depth * buffer);
    b.slots = g_new0(Slot, b.depth);
    for (uint64_t i = 0; i < b.depth; i++)
        b.slots[i] =
            (Slot){ .bench = &b, .iov = { .iov_base = memory + i * buffer, .iov_len = buffer } };
    g_mutex_init(&b.lock);
    g_cond_init(&b.over);
    bench_announce(&b, buffer);
    began = g_get_monotonic_time();
    if (b.left > 0)
        bench_wait(&b, loop);
    if (b.failed == 0)
        printf("Run completed in %3.3f seconds.\n",
               (double)(g_get_monotonic_time() - began) / G_USEC_PER_SEC);
    if (b.threads)
        g_thread_pool_free(b.threads, FALSE, TRUE);
    block_queue_free(b.queue);
    g_cond_clear(&b.over);
    g_mutex_clear(&b.lock);
    g_free(b.slots);
    g_aligned_free(memory);
    if (b.failed < 0) {
        int status =
            img_fail("Failed request on '%s' (%s): %s", name, b.where, g_strerror(-b.failed));

        g_free(b.where);
        return status;
    }
    return IMG_OK;
}

static int
bench_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = NULL;
    uint64_t buffer = args->buffer_size == IMG_UNSET ? BUFFER : args->buffer_size;
    uint64_t depth = args->depth == IMG_UNSET ? DEPTH : args->depth;

    if (args->n_files != 1)
        return img_fail("Expecting one image file name\nTry 'kiln-img --help' for more "
                        "information");
    if (!args->write && args->flush_interval != IMG_UNSET)
        return img_fail("--flush-interval is only available in write tests");
    if (args->flush_interval != IMG_UNSET && args->flush_interval > 0 &&
        args->flush_interval < depth)
        return img_fail("Flush interval can't be smaller than depth");
    if (args->pattern != IMG_UNSET && args->pattern > 255)
        return img_fail("Invalid pattern byte specified: %" PRIu64 " is above 255", args->pattern);
    if (depth < 1 || depth > 4096)
        return img_fail("Invalid queue depth specified: %" PRIu64 " is not between 1 and 4096",
                        depth);
    if (buffer < 1 || buffer > BUFFER_MAX)
        return img_fail("Invalid buffer size specified: %" PRIu64 " is not between 1 and %d",
                        buffer, BUFFER_MAX);
    if (args->aio &&
        !g_strv_contains((const char *[]){ "threads", "native", "io_uring", NULL }, args->aio))
        return img_fail("Invalid aio option: '%s'; there are threads, native and io_uring",
                        args->aio);
    if (args->write && args->force_share)
        return img_fail("Could not open '%s': -U is only for images that are not written",
                        args->files[0]);
    node = img_open(args, args->files[0], args->format,
                    IMG_OPEN_CHAIN | (args->write ? IMG_OPEN_WRITE : 0) |
                        (args->image_opts ? IMG_OPEN_OPTIONS : 0),
                    args->cache, &err);
    if (!node)
        return img_fail_error(err);
    if (block_node_size(node) < buffer ||
        (args->offset != IMG_UNSET && args->offset > block_node_size(node) - buffer))
        return img_fail("'%s' has %" PRIu64 " bytes, too few for the first request", args->files[0],
                        block_node_size(node));
    return bench_do(args, node);
}

static const ImgOption bench_options[] = {
    { 'c', NULL, "request count", IMG_NUMBER, IMG_AT(count) },
    { 'd', NULL, "queue depth", IMG_NUMBER, IMG_AT(depth) },
    { 'f', NULL, "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 0, "flush-interval", "flush interval", IMG_NUMBER, IMG_AT(flush_interval) },
    { 'i', NULL, "AIO", IMG_TEXT, IMG_AT(aio) },
    { 'n', NULL, NULL, IMG_FLAG, IMG_AT(no_create) },
    { 0, "no-drain", NULL, IMG_FLAG, IMG_AT(no_drain) },
    { 'o', NULL, "offset", IMG_SIZE, IMG_AT(offset) },
    { 0, "pattern", "pattern byte", IMG_NUMBER, IMG_AT(pattern) },
    { 'q', NULL, NULL, IMG_FLAG, IMG_AT(quiet) },
    { 's', NULL, "buffer size", IMG_SIZE, IMG_AT(buffer_size) },
    { 'S', NULL, "step size", IMG_SIZE, IMG_AT(step) },
    { 't', NULL, "CACHE", IMG_TEXT, IMG_AT(cache) },
    { 'w', NULL, NULL, IMG_FLAG, IMG_AT(write) },
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'U', "force-share", NULL, IMG_FLAG, IMG_AT(force_share) },
    { 0 },
};

const ImgCommand img_bench = {
    .name = "bench",
    .operands = "FILE",
    .summary = "times a number of equal requests",
    .options = bench_options,
    .run = bench_run,
};
