/* workload.c - what a guest does to a qcow2 image, at random: one request at a time, and several on
 * a queue.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/crash/workload.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "block/open.h"

enum { DISK_MAX = 1 << 20, BATCH_MAX = 8, REQUEST_MAX = 96 << 10, CHECK_EVERY = 4 };

#define NOISE (UINT64_C(1) << 32)

static unsigned
pick(Workload *w, unsigned n)
{
    return (unsigned)g_rand_int_range(w->rand, 0, (int)n);
}

/* ---- the image ---- */

BlockNode *
workload_open(const char *dir, bool read_only, GError **err)
{
    BlockImageOptions image = { .read_only = read_only, .follow_backing = true };
    g_autofree char *path = g_build_filename(dir, "image", NULL);
    g_autofree char *text = g_strdup_printf(
        "{\"driver\": \"qcow2\", \"discard\": \"unmap\", \"file\": {\"driver\": \"file\", "
        "\"filename\": \"%s\", \"discard\": \"unmap\", \"aio\": \"threads\"}}",
        path);
    g_autoptr(JsonNode) json = json_from_string(text, err);

    return json ? block_image_open_options(json_node_get_object(json), &image, err) : NULL;
}

uint8_t *
workload_read(BlockNode *node, GError **err)
{
    uint64_t size = block_node_size(node);
    uint8_t *content = g_malloc(size + 1);
    int r = block_node_pread(node, 0, content, size);

    if (r == 0)
        return content;
    g_free(content);
    g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_IO, "the disk cannot be read: %s", g_strerror(-r));
    return NULL;
}

static void
must_fail(const GError *err, const char *what)
{
    g_error("%s: %s", what, err ? err->message : "failed");
}

/* Not a function: what @ok sets @err to is looked at after it. */
#define must(ok, err, what)                                                                        \
    do {                                                                                           \
        if (!(ok))                                                                                 \
            must_fail(err, what);                                                                  \
    } while (0)

static GHashTable *
options_of(const char *text)
{
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);

    for (char **p = parts; *p; p++) {
        char *value = strchr(*p, '=');

        g_hash_table_insert(table, g_strndup(*p, (gsize)(value - *p)), g_strdup(value + 1));
    }
    return table;
}

static void
make_base(Workload *w, uint64_t size)
{
    bool raw = pick(w, 2);
    g_autofree char *path = g_build_filename(w->dir, "base", NULL);
    g_autofree char *text =
        g_strdup_printf("size=%" PRIu64 "%s", size, raw ? "" : ",cluster_size=1024");
    g_autoptr(GHashTable) options = options_of(text);
    BlockImageOptions image = { 0 };
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = NULL;
    g_autofree uint8_t *buf = g_malloc(size);
    int r;

    must(block_image_create(path, raw ? "raw" : "qcow2", options, &image, &err), err, "base");
    node = block_image_open(path, raw ? "raw" : "qcow2", &image, &err);
    must(node != NULL, err, "base");
    for (uint64_t at = 0; at < size;) {
        uint64_t n = (1 + pick(w, 64)) * (uint64_t)MODEL_SECTOR;

        n = MIN(n, size - at);
        if (pick(w, 3)) {
            uint64_t stamp = ++w->stamp << 33;

            model_fill(buf, stamp, n / MODEL_SECTOR);
            r = block_node_pwrite(node, at, buf, n, 0);
            must(r == 0, NULL, g_strerror(-r));
            model_change(w->model, at / MODEL_SECTOR, n / MODEL_SECTOR, stamp, 0, 0, 0);
        }
        at += n;
    }
    must(block_node_flush(node) == 0, NULL, "base");
    g_string_append_printf(w->log, "base of %" PRIu64 " bytes, %s\n", size, raw ? "raw" : "qcow2");
    g_clear_pointer(&w->shape, g_free);
    w->shape = g_strdup_printf(",backing_file=base,backing_fmt=%s", raw ? "raw" : "qcow2");
}

static void
make_image(Workload *w)
{
    static const unsigned clusters[] = { 512, 512, 1024, 2048, 4096, 16384, 65536 };
    static const unsigned counts[] = { 1, 2, 4, 8, 16, 16, 16, 32, 64 };
    uint64_t size = (64 + pick(w, DISK_MAX / MODEL_SECTOR / 2)) * (uint64_t)MODEL_SECTOR;
    g_autofree char *path = g_build_filename(w->dir, "image", NULL), *base = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GHashTable) options = NULL;
    BlockImageOptions image = { 0 };
    g_autoptr(GError) err = NULL;

    w->model = model_new(size, DISK_MAX);
    w->cluster = clusters[pick(w, G_N_ELEMENTS(clusters))];
    w->old_version = pick(w, 5) == 0;
    g_string_printf(text, "size=%" PRIu64 ",cluster_size=%" PRIu64 ",compat=%s", size, w->cluster,
                    w->old_version ? "0.10" : "1.1");
    if (!w->old_version) {
        g_string_append_printf(text, ",refcount_bits=%u", counts[pick(w, G_N_ELEMENTS(counts))]);
        if (w->cluster >= 16384 && pick(w, 2))
            g_string_append(text, ",extended_l2=on");
        if (pick(w, 3) == 0)
            g_string_append(text, ",lazy_refcounts=on");
        if (pick(w, 3) == 0)
            g_string_append(text, ",compression_type=zstd");
        if (pick(w, 6) == 0) {
            w->has_data_file = true;
            g_string_append_printf(text, ",data_file=data%s",
                                   pick(w, 2) ? ",data_file_raw=on" : "");
        }
    }
    if (!strstr(text->str, "data_file_raw") && pick(w, 2)) {
        uint64_t part = pick(w, 2) ? size : (size / 2 + 512) / MODEL_SECTOR * MODEL_SECTOR;

        w->has_base = true;
        make_base(w, part);
        g_string_append(text, w->shape);
    } else if (pick(w, 4) == 0) {
        g_string_append(text, ",preallocation=metadata");
    }
    g_free(w->shape);
    w->shape = g_strdup(text->str);
    options = options_of(text->str);
    /* the name that the image keeps is to be relative */
    must(chdir(w->dir) == 0, NULL, w->dir);
    must(block_image_create(path, "qcow2", options, &image, &err), err, text->str);
    g_string_append_printf(w->log, "image: %s\n", text->str);
}

/* ---- faults ---- */

static int
fault(void *opaque, HookCall *call)
{
    Workload *w = opaque;
    bool moves = call->kind == HOOK_READ || call->kind == HOOK_WRITE;
    uint64_t end, cut;
    int r = 0;

    g_mutex_lock(&w->faults.lock);
    switch (w->faults.mode) {
    case FAULT_NONE:
        break;
    case FAULT_IO:
        r = g_rand_int_range(w->faults.rand, 0, 10) == 0 ? -EIO : 0;
        break;
    case FAULT_SPACE:
        r = call->kind != HOOK_READ && call->kind != HOOK_SYNC && call->kind != HOOK_PUNCH &&
                    g_rand_int_range(w->faults.rand, 0, 4) > 0
                ? -ENOSPC
                : 0;
        break;
    case FAULT_SHORT:
        /* at the end of a sector: less is never torn */
        end = call->offset + call->length;
        cut = (call->offset / MODEL_SECTOR + 1 + g_rand_int(w->faults.rand) % 64) * MODEL_SECTOR;
        if (moves && cut < end && g_rand_boolean(w->faults.rand)) {
            call->length = cut - call->offset;
            w->faults.made++;
        }
        break;
    }
    w->faults.made += r < 0;
    g_mutex_unlock(&w->faults.lock);
    return r;
}

static void
faults_begin(Workload *w)
{
    g_mutex_lock(&w->faults.lock);
    w->faults.mode = pick(w, 2) ? FAULT_NONE : 1 + pick(w, 3);
    if (w->faults.mode)
        g_string_append_printf(w->log, "faults of kind %u\n", w->faults.mode);
    g_mutex_unlock(&w->faults.lock);
}

uint64_t
workload_end(Workload *w, bool done)
{
    uint64_t now = record_now(w->record);

    return done ? now : MODEL_FOREVER;
}

/* ---- opening ---- */

Workload *
workload_new(const char *dir, uint32_t seed, bool faults)
{
    Workload *w = g_new0(Workload, 1);
    const char *names[4] = { "image" };
    unsigned n = 1;
    g_autoptr(GError) err = NULL;

    w->rand = g_rand_new_with_seed(seed);
    w->dir = g_strdup(dir);
    w->log = g_string_new(NULL);
    w->bitmaps = bitmaps_new();
    w->loop = io_loop_new("crash", &err);
    must(w->loop != NULL, err, "loop");
    make_image(w);
    if (w->has_base)
        names[n++] = "base";
    if (w->has_data_file)
        names[n++] = "data";
    w->record = record_start(dir, names);
    g_mutex_init(&w->faults.lock);
    w->faults.wanted = faults;
    w->faults.rand = g_rand_new_with_seed(seed);
    record_set_fault(w->record, fault, w);
    workload_reopen(w);
    return w;
}

static void
faults_end(Workload *w)
{
    g_mutex_lock(&w->faults.lock);
    w->faults.mode = FAULT_NONE;
    g_mutex_unlock(&w->faults.lock);
}

void
workload_close(Workload *w)
{
    uint64_t begin;
    int r;

    faults_end(w);
    begin = record_now(w->record);
    r = block_node_flush(w->node);
    if (r == 0)
        model_flush(w->model, begin, record_now(w->record));
    else
        model_lose(w->model, record_now(w->record));
    if (r < 0 && !w->trouble && !w->faults.dead)
        w->trouble = g_strdup_printf("flush at the end: %s", g_strerror(-r));
    block_queue_free(w->queue);
    block_node_unref(w->node);
    w->queue = NULL;
    w->node = NULL;
    w->faults.dead = false;
}

void
workload_reopen(Workload *w)
{
    g_autoptr(GError) err = NULL;

    w->node = workload_open(w->dir, false, &err);
    must(w->node != NULL, err, w->log->str);
    w->queue = block_queue_new(w->node, w->loop, BATCH_MAX, &err);
    must(w->queue != NULL, err, "queue");
}

void
workload_free(Workload *w)
{
    record_free(w->record);
    if (w->queue)
        block_queue_free(w->queue);
    block_node_unref(w->node);
    io_loop_free(w->loop);
    model_free(w->model);
    bitmaps_free(w->bitmaps);
    g_rand_free(w->rand);
    g_rand_free(w->faults.rand);
    g_mutex_clear(&w->faults.lock);
    g_string_free(w->log, TRUE);
    g_free(w->dir);
    g_free(w->shape);
    g_free(w->trouble);
    g_free(w);
}

/* ---- requests ---- */

typedef enum { DO_WRITE, DO_ZEROES, DO_DISCARD, DO_FLUSH, DO_COMPRESSED } Kind;

typedef struct {
    Workload *w;
    Kind kind;
    uint64_t offset, length, stamp, begin, end;
    BlockFlags flags;
    uint8_t *buf;
    struct iovec iov;
    int result;
} Request;

static void
request_make(Workload *w, Request *q, bool alone)
{
    static const Kind kinds[] = { DO_WRITE, DO_WRITE,  DO_WRITE,   DO_WRITE, DO_WRITE,
                                  DO_WRITE, DO_ZEROES, DO_DISCARD, DO_FLUSH, DO_COMPRESSED };
    uint64_t size = block_node_size(w->node), unit = MODEL_SECTOR, units, first;

    *q = (Request){ .w = w, .kind = kinds[pick(w, alone ? 10 : 9)] };
    /* below version 3 what is discarded shows the backing file again, as in QEMU */
    if (q->kind == DO_DISCARD && w->old_version && w->has_base)
        q->kind = DO_WRITE;
    if (q->kind == DO_FLUSH)
        return;
    if (q->kind == DO_COMPRESSED || pick(w, 3) == 0)
        unit = w->cluster;
    units = (size + unit - 1) / unit;
    first = pick(w, (unsigned)units);
    q->offset = first * unit;
    q->length = unit * (1 + pick(w, (unsigned)MIN(units - first, MAX(REQUEST_MAX / unit, 1))));
    if (q->kind == DO_COMPRESSED)
        q->length = unit;
    q->length = MIN(q->length, size - q->offset);
    if (pick(w, 3) && q->length > 8 * MODEL_SECTOR && q->kind != DO_COMPRESSED)
        q->length = (1 + pick(w, 8)) * MODEL_SECTOR;
    if (q->kind == DO_ZEROES && pick(w, 2))
        q->flags |= BLOCK_UNMAP;
    if (q->kind != DO_DISCARD && pick(w, 10) == 0)
        q->flags |= BLOCK_FUA;
    if (q->kind == DO_WRITE || q->kind == DO_COMPRESSED) {
        q->stamp = ++w->stamp << 33 | (pick(w, 3) == 0 ? NOISE : 0);
        q->buf = g_malloc(q->length);
        model_fill(q->buf, q->stamp, q->length / MODEL_SECTOR);
        q->iov = (struct iovec){ .iov_base = q->buf, .iov_len = q->length };
    }
    if (q->kind == DO_COMPRESSED)
        q->flags = 0;
}

/* Tells the model, once the request is over. */
static void
request_note(Workload *w, Request *q)
{
    static const char *const names[] = { "write", "zeroes", "discard", "flush", "compressed" };
    ModelFlags flags = q->flags & BLOCK_FUA ? MODEL_DURABLE : 0;

    g_string_append_printf(
        w->log,
        "%s %" PRIu64 "+%" PRIu64 " flags %u stamp %" PRIx64 " at %" PRIu64 "-%" PRIu64 ": %d\n",
        names[q->kind], q->offset, q->length, q->flags, q->stamp, q->begin, q->end, q->result);
    if (q->result < 0 && !(q->kind == DO_COMPRESSED && /* which do not replace others */
                           (q->result == -EINVAL || q->result == -ENOTSUP))) {
        if (!w->faults.mode && !w->faults.dead && !w->trouble)
            w->trouble = g_strdup_printf("a request failed: %s", g_strerror(-q->result));
        w->faults.dead = true;
        q->end = MODEL_FOREVER;
        flags &= ~(unsigned)MODEL_DURABLE;
    } else if (q->result < 0) {
        g_free(q->buf);
        return;
    }
    if (q->kind == DO_FLUSH && q->result == 0) {
        model_flush(w->model, q->begin, q->end);
    } else if (q->kind != DO_FLUSH) {
        if (q->kind == DO_ZEROES || q->kind == DO_DISCARD)
            flags |= MODEL_SAME;
        if (q->kind == DO_DISCARD)
            flags |= MODEL_MAYBE;
        model_change(w->model, q->offset / MODEL_SECTOR, q->length / MODEL_SECTOR, q->stamp, flags,
                     q->begin, q->end);
        if (q->buf && q->result == 0)
            bitmaps_write(w->bitmaps, q->offset / MODEL_SECTOR, q->length / MODEL_SECTOR, q->stamp,
                          q->begin);
    }
    g_free(q->buf);
}

static void
do_one(Workload *w)
{
    Request q;

    request_make(w, &q, true);
    q.begin = record_now(w->record);
    switch (q.kind) {
    case DO_WRITE:
        q.result = block_node_pwrite(w->node, q.offset, q.buf, q.length, q.flags);
        break;
    case DO_ZEROES:
        q.result = block_node_write_zeroes(w->node, q.offset, q.length, q.flags);
        break;
    case DO_DISCARD:
        q.result = block_node_discard(w->node, q.offset, q.length);
        break;
    case DO_FLUSH:
        q.result = block_node_flush(w->node);
        break;
    case DO_COMPRESSED:
        q.result = block_node_pwrite_compressed(w->node, q.offset, q.buf, q.length);
        break;
    }
    q.end = record_now(w->record);
    request_note(w, &q);
}

typedef struct {
    Request requests[BATCH_MAX];
    unsigned n;
} Batch;

static void
request_done(void *opaque, int ret)
{
    Request *q = opaque;

    q->result = ret;
    q->end = record_now(q->w->record);
}

static void
batch_run(void *opaque)
{
    Batch *b = opaque;

    for (unsigned i = 0; i < b->n; i++) {
        Request *q = &b->requests[i];
        BlockQueue *queue = q->w->queue;

        q->begin = record_now(q->w->record);
        if (q->kind == DO_WRITE)
            block_queue_writev(queue, q->offset, &q->iov, 1, q->flags, request_done, q);
        else if (q->kind == DO_ZEROES)
            block_queue_write_zeroes(queue, q->offset, q->length, q->flags, request_done, q);
        else if (q->kind == DO_DISCARD)
            block_queue_discard(queue, q->offset, q->length, request_done, q);
        else
            block_queue_flush(queue, request_done, q);
    }
    block_queue_submit(b->requests[0].w->queue);
    block_queue_drain(b->requests[0].w->queue);
}

static bool
collides(const Batch *b, const Request *q)
{
    for (unsigned i = 0; i < b->n; i++)
        if (q->length && b->requests[i].length &&
            q->offset < b->requests[i].offset + b->requests[i].length &&
            b->requests[i].offset < q->offset + q->length)
            return true;
    return false;
}

static void
do_batch(Workload *w)
{
    Batch b = { 0 };
    unsigned n = 2 + pick(w, BATCH_MAX - 1);

    for (unsigned tries = 0; b.n < n && tries < 4 * BATCH_MAX; tries++) {
        request_make(w, &b.requests[b.n], false);
        if (collides(&b, &b.requests[b.n]))
            g_free(b.requests[b.n].buf);
        else
            b.n++;
    }
    io_loop_run_sync(w->loop, batch_run, &b);
    g_string_append_printf(w->log, "%u together:\n", b.n);
    for (unsigned i = 0; i < b.n; i++)
        request_note(w, &b.requests[i]);
}

static void
look(Workload *w)
{
    g_autoptr(GError) err = NULL;
    g_autofree uint8_t *content = workload_read(w->node, &err);

    if (!w->trouble)
        w->trouble = content ? model_check(w->model, content, block_node_size(w->node),
                                           record_now(w->record))
                             : g_strdup(err->message);
}

bool
workload_run(Workload *w, unsigned n)
{
    for (unsigned i = 0; i < n && !w->trouble; i++) {
        unsigned what = pick(w, 10);

        if (w->faults.wanted)
            faults_begin(w);
        if (what < 5)
            do_one(w);
        else if (what < 7)
            do_batch(w);
        else
            workload_upkeep(w);
        faults_end(w);
        /* after a failure the image goes on, or says that it cannot */
        if (w->faults.dead && pick(w, 3) == 0) {
            workload_close(w);
            workload_reopen(w);
        }
        if (i % CHECK_EVERY == 0)
            look(w);
    }
    if (w->node) {
        look(w);
        workload_close(w);
    }
    record_stop(w->record);
    return !w->trouble;
}
