/* rebase.c - kiln-img rebase: another backing file for an overlay, which reads the same afterwards.
 *
 * What the overlay leaves to its old backing file and the new one has otherwise is written into the
 * overlay first. With -u only the name is changed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <string.h>

#include "util/error.h"

enum { PIECE = 1 << 20, UNIT = 65536 };

typedef struct {
    BlockNode *top, *old, *new; /* either may be NULL: nothing is there */
    BlockNode *failed;          /* of these three, if one did */
    ImgWalk walk_top, walk_old, walk_new;
    char *buf[2];
    BlockFlags flags;
} Rebasing;

/* What a backing file gives: zeroes beyond its end. */
static int
read_backing(Rebasing *b, BlockNode *node, uint64_t at, char *buf, size_t length)
{
    uint64_t size = node ? block_node_size(node) : 0;
    size_t there = at >= size ? 0 : (size_t)MIN((uint64_t)length, size - at);

    int r = 0;

    memset(buf + there, 0, length - there);
    if (there > 0)
        r = block_node_pread(node, at, buf, there);
    if (r < 0)
        b->failed = node;
    return r;
}

static int
reads_as_zero(Rebasing *b, ImgWalk *walk, uint64_t at, uint64_t *length, bool *ret)
{
    ImgRange range;
    int r;

    *ret = true;
    if (!walk->node)
        return 0;
    r = img_walk_range(walk, at, *length, &range);
    if (r < 0) {
        b->failed = walk->node;
        return r;
    }
    *length = range.length;
    *ret = range.kind == IMG_COPY_ZERO;
    return 0;
}

/* [at, at + *length) is not in the overlay. *length is cut to what was done. */
static int
rebase_range(Rebasing *b, uint64_t at, uint64_t *length)
{
    bool zero[2];
    size_t part;
    int r = reads_as_zero(b, &b->walk_old, at, length, &zero[0]);

    if (r == 0)
        r = reads_as_zero(b, &b->walk_new, at, length, &zero[1]);
    if (r < 0 || (zero[0] && zero[1]))
        return r;
    *length = part = (size_t)MIN(*length, PIECE - at % PIECE);
    r = read_backing(b, b->old, at, b->buf[0], part);
    if (r == 0)
        r = read_backing(b, b->new, at, b->buf[1], part);
    for (size_t from = 0, unit; from < part && r == 0; from += unit) {
        unit = MIN((size_t)(UNIT - (at + from) % UNIT), part - from);
        if (memcmp(b->buf[0] + from, b->buf[1] + from, unit) == 0)
            continue;
        r = zero[0] ? block_node_write_zeroes(b->top, at + from, unit, b->flags)
                    : block_node_pwrite(b->top, at + from, b->buf[0] + from, unit, b->flags);
    }
    return r;
}

static bool
rebase_data(Rebasing *b, ImgProgress *progress, GError **err)
{
    uint64_t size = block_node_size(b->top);

    for (uint64_t at = 0; at < size;) {
        ImgRange range = { 0 };
        int r = img_walk_range(&b->walk_top, at, size - at, &range);
        uint64_t length = range.length;

        if (r == 0 && !(range.status.flags & BLOCK_STATUS_ALLOCATED))
            r = rebase_range(b, at, &length);
        if (r < 0)
            return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, b->failed ? b->failed : b->top,
                                   "rebasing '%s' at byte "
                                   "%" PRIu64,
                                   block_node_filename(b->top), at);
        at += length;
        img_progress_set(progress, (double)at / (double)size);
    }
    return true;
}

static bool
rebase_safely(ImgArgs *args, BlockNode *top, GError **err)
{
    g_autofree char *path = img_backing_path(block_node_filename(top), args->backing);
    Rebasing b = {
        .top = top,
        .old = block_node_backing(top),
        .flags = img_cache_is_writethrough(args->cache) ? BLOCK_FUA : 0,
    };
    ImgProgress *progress;
    bool done;

    if (*args->backing) {
        b.new = img_open(args, path, args->format2, IMG_OPEN_CHAIN, args->src_cache, err);
        if (!b.new) {
            g_prefix_error(err, "new backing file: ");
            return false;
        }
    }
    if (!img_sandbox_enter(err)) {
        block_node_unref(b.new);
        return false;
    }
    b.buf[0] = g_malloc(PIECE);
    b.buf[1] = g_malloc(PIECE);
    progress = img_progress_new(args->progress && !args->quiet);
    img_walk_begin(&b.walk_top, top, b.old);
    img_walk_begin(&b.walk_old, b.old, NULL);
    img_walk_begin(&b.walk_new, b.new, NULL);
    done = rebase_data(&b, progress, err);
    img_walk_end(&b.walk_top);
    img_walk_end(&b.walk_old);
    img_walk_end(&b.walk_new);
    img_progress_free(progress);
    g_free(b.buf[0]);
    g_free(b.buf[1]);
    block_node_unref(b.new);
    return done && img_flush(top, err);
}

static int
rebase_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) top = NULL;
    unsigned how = IMG_OPEN_WRITE | (args->unsafe ? 0 : IMG_OPEN_CHAIN) |
                   (args->keyless ? IMG_OPEN_NO_IO : 0) | (args->image_opts ? IMG_OPEN_OPTIONS : 0);

    if (args->n_files != 1)
        return img_fail("Expecting one image file name\nTry 'kiln-img --help' for more "
                        "information");
    if (!args->backing && !args->unsafe)
        return img_fail("Must specify backing file (-b) or use simple rebase mode (-u)");
    if (!args->backing) /* -u alone takes the name away */
        args->backing = "";
    if (args->keyless && !args->unsafe)
        return img_fail("--keyless changes names, not data: it needs -u as well");
    if (args->format2 && !block_format_create_options(args->format2))
        return img_fail("Invalid format name: '%s'", args->format2);
    top = img_open(args, args->files[0], args->format, how, args->cache, &err);
    if (!top)
        return img_fail_error(err);
    if (*args->backing && !args->format2)
        return img_fail("Could not change the backing file to '%s': backing format must be "
                        "specified; add '-F FORMAT'",
                        args->backing);
    if (!args->unsafe && !rebase_safely(args, top, &err))
        return img_fail_error(err);
    if (!block_image_change_backing(top, *args->backing ? args->backing : NULL,
                                    *args->backing ? args->format2 : NULL, &err))
        return img_fail("Could not change the backing file to '%s': %s", args->backing,
                        err->message);
    return img_flush(top, &err) ? IMG_OK : img_fail_error(err);
}

static const ImgOption rebase_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'U', "force-share", NULL, IMG_FLAG, IMG_AT(force_share) },
    { 0, "keyless", NULL, IMG_FLAG, IMG_AT(keyless) },
    { 'q', NULL, NULL, IMG_FLAG, IMG_AT(quiet) },
    { 'f', NULL, "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 't', NULL, "CACHE", IMG_TEXT, IMG_AT(cache) },
    { 'T', NULL, "SOURCE_CACHE", IMG_TEXT, IMG_AT(src_cache) },
    { 'p', NULL, NULL, IMG_FLAG, IMG_AT(progress) },
    { 'u', NULL, NULL, IMG_FLAG, IMG_AT(unsafe) },
    { 'b', NULL, "BACKING_FILE", IMG_TEXT, IMG_AT(backing) },
    { 'F', NULL, "BACKING_FORMAT", IMG_TEXT, IMG_AT(format2) },
    { 0 },
};

const ImgCommand img_rebase = {
    .name = "rebase",
    .operands = "FILE",
    .summary = "gives an overlay another backing file",
    .options = rebase_options,
    .run = rebase_run,
};
