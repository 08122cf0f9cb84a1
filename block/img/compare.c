/* compare.c - kiln-img compare: whether two disks read the same, whatever their images are.
 *
 * Several threads take pieces from one cursor; of differences the first in the disk is told.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

enum { PIECE = 1 << 20, RANGE_MAX = 1 << 30 };

typedef struct {
    BlockNode *node[2];
    bool strict;
    uint64_t end; /* of the larger one */
    ImgProgress *progress;
    GMutex lock; /* all below */
    ImgWalk walk[2];
    uint64_t cursor;
    uint64_t differs; /* offset, or UINT64_MAX */
    bool status_differs;
    GError *failed;
    int failed_code;
} Comparing;

static void
compare_fail(Comparing *c, BlockNode *node, uint64_t at, int code, int r)
{
    g_mutex_lock(&c->lock);
    if (!c->failed) {
        block_error_set(&c->failed, VIR_ERR_SYSTEM_ERROR, r, node,
                        "Error while reading offset %" PRIu64 " of %s", at,
                        block_node_filename(node));
        c->failed_code = code;
    }
    g_mutex_unlock(&c->lock);
}

static void
compare_differs(Comparing *c, uint64_t at, bool status)
{
    g_mutex_lock(&c->lock);
    if (at < c->differs) {
        c->differs = at;
        c->status_differs = status;
    }
    g_mutex_unlock(&c->lock);
}

/* Takes the next piece that has to be read; false when there is none. */
static bool
next_piece(Comparing *c, uint64_t *ret_at, size_t *ret_length)
{
    for (;;) {
        ImgRange range[2];
        uint64_t at, length, told;
        unsigned flags[2] = { 0, 0 };
        bool both_zero;

        g_mutex_lock(&c->lock);
        at = c->cursor;
        if (c->failed || at >= MIN(c->end, c->differs)) {
            g_mutex_unlock(&c->lock);
            return false;
        }
        length = MIN(c->end - at, (uint64_t)RANGE_MAX);
        for (unsigned i = 0; i < 2; i++) {
            int r = img_walk_range(&c->walk[i], at, length, &range[i]);

            /* all the rest is asked for: whether the run reaches the end counts */
            if (r == 0 && c->strict) {
                r = img_strict_status(c->node[i], at, c->end - at, &told, &flags[i]);
                range[i].length = MIN(range[i].length, told);
            }
            if (r < 0) {
                g_mutex_unlock(&c->lock);
                compare_fail(c, c->node[i], at, IMG_COMPARE_STATUS_FAILED, r);
                return false;
            }
            length = MIN(length, range[i].length);
        }
        both_zero = range[0].kind == IMG_COPY_ZERO && range[1].kind == IMG_COPY_ZERO;
        if (!both_zero)
            length = MIN(length, PIECE - at % PIECE);
        c->cursor = at + length;
        img_progress_set(c->progress, (double)c->cursor / (double)c->end);
        g_mutex_unlock(&c->lock);
        if (flags[0] != flags[1]) {
            compare_differs(c, at, true);
            return false;
        }
        if (!both_zero) {
            *ret_at = at;
            *ret_length = (size_t)length;
            return true;
        }
    }
}

/* Beyond its end a disk reads as zeroes here. */
static int
read_padded(BlockNode *node, uint64_t at, char *buf, size_t length)
{
    uint64_t size = block_node_size(node);
    size_t there = at >= size ? 0 : (size_t)MIN((uint64_t)length, size - at);

    memset(buf + there, 0, length - there);
    return there > 0 ? block_node_pread(node, at, buf, there) : 0;
}

static gpointer
worker(gpointer opaque)
{
    Comparing *c = opaque;
    char *buf[2] = { g_aligned_alloc(1, PIECE, 4096), g_aligned_alloc(1, PIECE, 4096) };
    uint64_t at;
    size_t length;

    while (next_piece(c, &at, &length)) {
        int r = 0;

        for (unsigned i = 0; i < 2 && r == 0; i++) {
            r = read_padded(c->node[i], at, buf[i], length);
            if (r < 0)
                compare_fail(c, c->node[i], at, IMG_COMPARE_READ_FAILED, r);
        }
        if (r == 0 && memcmp(buf[0], buf[1], length) != 0) {
            size_t sector = 0;

            while (memcmp(buf[0] + sector, buf[1] + sector,
                          MIN((size_t)BLOCK_SECTOR, length - sector)) == 0)
                sector += BLOCK_SECTOR;
            compare_differs(c, at + sector, false);
        }
    }
    g_aligned_free(buf[0]);
    g_aligned_free(buf[1]);
    return NULL;
}

static void
compare_all(Comparing *c)
{
    unsigned n = img_threads(16);
    g_autofree GThread **threads = g_new0(GThread *, n);

    g_mutex_init(&c->lock);
    for (unsigned i = 0; i < 2; i++)
        img_walk_begin(&c->walk[i], c->node[i], NULL);
    for (unsigned i = 1; i < n; i++)
        threads[i] = g_thread_new("compare", worker, c);
    worker(c);
    for (unsigned i = 1; i < n; i++)
        g_thread_join(threads[i]);
    for (unsigned i = 0; i < 2; i++)
        img_walk_end(&c->walk[i]);
    g_mutex_clear(&c->lock);
}

static int
compare_tell(const ImgArgs *args, const Comparing *c, uint64_t common)
{
    bool sizes_differ = common != c->end;

    if (c->failed) {
        img_fail_error(c->failed);
        return c->failed_code;
    }
    if (!args->quiet && sizes_differ && (c->differs == UINT64_MAX || c->differs >= common))
        puts("Warning: Image size mismatch!");
    if (c->differs == UINT64_MAX) {
        if (!args->quiet)
            puts("Images are identical.");
        return IMG_OK;
    }
    if (!args->quiet)
        printf(c->status_differs ? "Strict mode: Offset %" PRIu64 " block status mismatch!\n"
                                 : "Content mismatch at offset %" PRIu64 "!\n",
               c->differs);
    return IMG_COMPARE_DIFFERENT;
}

static int
compare_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    Comparing c = { .strict = args->strict, .differs = UINT64_MAX };
    const char *const formats[] = { args->format, args->format2 };
    unsigned how = IMG_OPEN_CHAIN | (args->image_opts ? IMG_OPEN_OPTIONS : 0);
    uint64_t common;
    int code = IMG_COMPARE_FAILED;

    if (args->n_files != 2)
        return img_fail("Expecting two image file names\nTry 'kiln-img --help' for more "
                        "information");
    for (unsigned i = 0; i < 2; i++) {
        c.node[i] = img_open(args, args->files[i], formats[i], how, args->src_cache, &err);
        if (!c.node[i]) {
            img_fail_error(err);
            block_node_unref(c.node[0]);
            return IMG_COMPARE_FAILED;
        }
    }
    common = MIN(block_node_size(c.node[0]), block_node_size(c.node[1]));
    c.end = MAX(block_node_size(c.node[0]), block_node_size(c.node[1]));
    if (!img_sandbox_enter(&err)) {
        img_fail_error(err);
    } else if (args->strict && common != c.end) {
        if (!args->quiet)
            puts("Strict mode: Image size mismatch!");
        code = IMG_COMPARE_DIFFERENT;
    } else {
        c.progress = img_progress_new(args->progress && !args->quiet);
        compare_all(&c);
        img_progress_free(c.progress);
        code = compare_tell(args, &c, common);
    }
    g_clear_error(&c.failed);
    block_node_unref(c.node[0]);
    block_node_unref(c.node[1]);
    return code;
}

static const ImgOption compare_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'f', NULL, "FORMAT1", IMG_TEXT, IMG_AT(format) },
    { 'F', NULL, "FORMAT2", IMG_TEXT, IMG_AT(format2) },
    { 'T', NULL, "CACHE", IMG_TEXT, IMG_AT(src_cache) },
    { 'p', NULL, NULL, IMG_FLAG, IMG_AT(progress) },
    { 'q', NULL, NULL, IMG_FLAG, IMG_AT(quiet) },
    { 's', NULL, NULL, IMG_FLAG, IMG_AT(strict) },
    { 'U', "force-share", NULL, IMG_FLAG, IMG_AT(force_share) },
    { 0 },
};

const ImgCommand img_compare = {
    .name = "compare",
    .operands = "FILE1 FILE2",
    .summary = "says whether two disks read the same",
    .options = compare_options,
    .run = compare_run,
};
