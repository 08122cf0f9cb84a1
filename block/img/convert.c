/* convert.c - kiln-img convert: one or more images, one after the other, into a new image.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/driver.h"
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

enum { SPARSE_DEFAULT = 4096, SPARSE_UNIT = 512, SPARSE_MAX = 16 << 20 };
enum { THREADS_DEFAULT = 16, THREADS_MAX = 16 };

typedef struct {
    ImgArgs *args;
    const char *format, *name; /* of the target */
    GPtrArray *sources;        /* of BlockNode */
    GHashTable *options;
    uint64_t size; /* of all sources */
    BlockNode *target;
    bool target_backed;
    bool new_file; /* see is_new_file() */
} Converting;

static const char *
refused(const Converting *c)
{
    const ImgArgs *args = c->args;
    bool sparse = args->sparse != IMG_UNSET;

    if (args->n_files < 2)
        return "Must specify image file name";
    if (args->target_is_zero && !args->no_create)
        return "--target-is-zero requires use of -n flag";
    if (args->target_image_opts && !args->no_create)
        return "--target-image-opts requires use of -n flag";
    if (args->no_create && args->options->len > 0)
        return "-o has no effect when skipping image creation; leave it out";
    if (args->target_image_opts && args->out_format)
        return "--target-image-opts and -O are mutually exclusive";
    if (sparse && (args->sparse % SPARSE_UNIT != 0 || args->sparse > SPARSE_MAX))
        return "Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 "
               "up to 16777216. Select 0 to disable sparse detection (fully allocates output).";
    if (args->compress && args->copy_offload)
        return "Cannot enable copy offloading when -c is used";
    if (sparse && args->copy_offload)
        return "Cannot enable copy offloading when -S is used";
    if (args->salvage && args->copy_offload)
        return "Cannot use copy offloading in salvaging mode";
    if (args->skip_broken_bitmaps && !args->bitmaps)
        return "Use of --skip-broken-bitmaps requires --bitmaps";
    if (args->n_files > 2 && args->snapshot)
        return "No support for concatenating multiple snapshot";
    if (args->n_files > 2 && args->bitmaps)
        return "Bitmaps cannot be copied from several sources";
    if (args->n_files > 2 && c->target_backed)
        return "Having a backing file for the target makes no sense when concatenating multiple "
               "input images";
    if (c->target_backed && !args->no_create && !g_hash_table_contains(c->options, "backing_fmt"))
        return "Use of backing file requires explicit backing format; add '-F FORMAT'";
    if (!args->target_image_opts && !block_format_create_options(c->format))
        return "Unknown file format of the target; see 'Supported formats' of --help";
    if (args->compress && !args->target_image_opts && !block_format_can_compress(c->format))
        return "Compression not supported for this file format";
    if (args->parallel != IMG_UNSET && (args->parallel < 1 || args->parallel > THREADS_MAX))
        return "Invalid number of coroutines. Allowed number of coroutines is between 1 and 16";
    return NULL;
}

static bool
open_sources(Converting *c, GError **err)
{
    ImgArgs *args = c->args;
    unsigned how = IMG_OPEN_CHAIN | (args->image_opts ? IMG_OPEN_OPTIONS : 0);

    for (int i = 0; i < args->n_files - 1; i++) {
        BlockNode *node = img_open(args, args->files[i], args->format, how, args->src_cache, err);

        if (!node)
            return false;
        g_ptr_array_add(c->sources, node);
        c->size += block_node_size(node);
        if (args->snapshot) {
            if (!tool_snapshot_show(node, args->snapshot, err)) {
                g_prefix_error(err, "Failed to load snapshot: ");
                return false;
            }
            c->size = block_node_size(node);
        }
    }
    return true;
}

/* The secrets with which the target was made are needed to open it. */
static BlockNode *
open_target(const Converting *c, GError **err)
{
    ImgArgs *args = c->args;
    const char *cache = args->cache ? args->cache : "unsafe";
    const char *secret = g_hash_table_lookup(c->options, "key-secret");
    unsigned how = IMG_OPEN_WRITE | (c->target_backed ? IMG_OPEN_CHAIN : 0) |
                   (args->target_image_opts ? IMG_OPEN_OPTIONS : 0);
    g_autoptr(GString) text = NULL;

    if (!secret)
        secret = g_hash_table_lookup(c->options, "encrypt.key-secret");
    if (!secret || args->target_image_opts)
        return img_open(args, c->name, args->target_image_opts ? NULL : c->format, how, cache, err);
    text = g_string_new(c->name);
    g_string_replace(text, ",", ",,", 0);
    g_string_prepend(text, ",file.filename=");
    g_string_prepend(text, c->format);
    g_string_prepend(text, "driver=");
    g_string_append_printf(text, ",%s=%s",
                           g_hash_table_contains(c->options, "key-secret") ? "key-secret"
                                                                           : "encrypt.key-secret",
                           secret);
    if (g_hash_table_contains(c->options, "encrypt.format"))
        g_string_append_printf(text, ",encrypt.format=%s",
                               (char *)g_hash_table_lookup(c->options, "encrypt.format"));
    return img_open(args, text->str, NULL, how | IMG_OPEN_OPTIONS, cache, err);
}

/* Whether all that was made is in regular files: nothing was there before. */
static bool
is_new_file(const Converting *c)
{
    const BlockNode *file = block_node_protocol(c->target);
    const char *data_file = g_hash_table_lookup(c->options, "data_file");

    return file->fd >= 0 && !file->is_device &&
           (!data_file || g_file_test(data_file, G_FILE_TEST_IS_REGULAR));
}

static bool
make_target(Converting *c, GError **err)
{
    ImgArgs *args = c->args;
    uint64_t size = 0;

    if (!args->no_create) {
        const char *text = g_hash_table_lookup(c->options, "size");

        if (text && (!img_size_parse(text, &size) || size < c->size))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "option size=%s is smaller than the %" PRIu64
                                  " bytes of the source",
                                  text, c->size);
        if (!text)
            g_hash_table_insert(c->options, g_strdup("size"), g_strdup_printf("%" PRIu64, c->size));
        if (!img_create(args, c->name, c->format, c->options, err)) {
            g_prefix_error(err, "error while converting %s: ", c->format);
            return false;
        }
    }
    c->target = open_target(c, err);
    if (!c->target)
        return false;
    c->new_file = is_new_file(c); /* the sandbox shows no names */
    if (args->compress && block_image_is_encrypted(c->target))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "Compression and encryption not supported at the same time");
    if (block_node_size(c->target) < c->size)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "output file is smaller than input file: '%s' has %" PRIu64
                              " bytes, the source %" PRIu64,
                              c->name, block_node_size(c->target), c->size);
    return true;
}

/* Whether the target was made with its mappings, or (@space) with all its space. */
static bool
is_preallocated(const Converting *c, bool space)
{
    const char *mode = g_hash_table_lookup(c->options, "preallocation");

    return mode && strcmp(mode, "off") != 0 && !(space && strcmp(mode, "metadata") == 0);
}

/* Whether what is not written reads as zeroes. */
static bool
target_is_zero(const Converting *c)
{
    bool zero = true;
    ImgWalk walk;
    ImgRange range;

    if (c->target_backed)
        return false;
    if (c->args->target_is_zero)
        return true;
    if (c->args->no_create || block_node_size(c->target) == 0)
        return false;
    if (is_preallocated(c, false) && block_image_is_encrypted(c->target))
        return false;
    /* where space is there from the beginning, it reads as zeroes, too */
    if (c->new_file && !block_image_is_encrypted(c->target))
        return true;
    /* a device has what was there before; LUKS has no holes at all */
    img_walk_begin(&walk, c->target, NULL);
    for (uint64_t at = 0, size = block_node_size(c->target); zero && at < size; at += range.length)
        zero = img_walk_range(&walk, at, size - at, &range) == 0 && range.kind == IMG_COPY_ZERO;
    img_walk_end(&walk);
    return zero;
}

static bool
copy_bitmaps(const Converting *c, GError **err)
{
    BlockNode *from = c->sources->pdata[0];
    g_autoptr(GPtrArray) bitmaps = block_image_bitmaps(from);

    for (guint i = 0; i < bitmaps->len; i++) {
        const BlockBitmap *b = bitmaps->pdata[i];

        if (!b->persistent)
            continue;
        if (b->inconsistent && c->args->skip_broken_bitmaps) {
            img_warn("Skipping inconsistent bitmap '%s'", b->name);
            continue;
        }
        if (b->inconsistent)
            return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                                  "Cannot copy inconsistent bitmap '%s'; try "
                                  "--skip-broken-bitmaps, or use 'kiln-img bitmap --remove' first",
                                  b->name);
        if (!block_image_bitmap_add(c->target, b->name, b->granularity, b->enabled, err) ||
            !block_image_bitmap_merge(c->target, b->name, from, b->name, err)) {
            g_prefix_error(err, "Failed to copy bitmap '%s': ", b->name);
            return false;
        }
    }
    return true;
}

/* The grains of a streamOptimized image are packed, whether -c is given or not; those of another
 * vmdk never, of which -c asks nothing with qemu-img either. */
static bool
wants_compression(const Converting *c)
{
    const char *subformat = g_hash_table_lookup(c->options, "subformat");
    bool stream = subformat && strcmp(subformat, "streamOptimized") == 0;

    if (strcmp(block_node_driver(c->target), "vmdk") == 0 && !c->args->no_create)
        return stream;
    return c->args->compress || stream;
}

static bool
copy_all(const Converting *c, GError **err)
{
    ImgArgs *args = c->args;
    uint64_t sparse = args->sparse == IMG_UNSET ? SPARSE_DEFAULT : args->sparse;
    g_autoptr(ImgProgress) progress = img_progress_new(args->progress && !args->quiet);
    uint64_t done = 0;
    ImgCopy copy = {
        .target = c->target,
        .threads = img_threads(args->parallel == IMG_UNSET ? THREADS_DEFAULT : args->parallel),
        .sparse = sparse > 0 ? MAX(sparse, img_sparse_unit(c->target)) : 0,
        .target_zero = target_is_zero(c),
        .own_blocks = is_preallocated(c, true),
        .compress = wants_compression(c),
        .offload = args->copy_offload,
        .salvage = args->salvage,
        .rate = args->rate == IMG_UNSET ? 0 : args->rate,
        .write_flags = img_cache_is_writethrough(args->cache) ? BLOCK_FUA : 0,
        .progress = progress,
        .progress_total = c->size,
        .target_name = c->name,
    };

    for (guint i = 0; i < c->sources->len; i++) {
        BlockNode *source = c->sources->pdata[i];

        if (copy.compress && done % block_node_cluster_size(c->target) != 0)
            return kiln_error_set(
                err, VIR_ERR_INVALID_ARG,
                "-c with several sources needs each but the last to be a multiple "
                "of the target's %u byte clusters; convert them without -c first",
                block_node_cluster_size(c->target));
        copy.source = source;
        copy.base = c->target_backed ? block_node_backing(source) : NULL;
        copy.source_name = args->files[i];
        copy.target_offset = done;
        copy.length = block_node_size(source);
        copy.progress_done = done;
        if (!img_copy(&copy, err))
            return false;
        done += copy.length;
    }
    if (args->bitmaps && !copy_bitmaps(c, err))
        return false;
    return true;
}

static bool
convert(Converting *c, GError **err)
{
    if (!open_sources(c, err))
        return false;
    if (c->args->bitmaps && strcmp(block_node_driver(c->sources->pdata[0]), "qcow2") != 0)
        return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "Source lacks bitmap support");
    return make_target(c, err) && img_sandbox_enter(err) && copy_all(c, err) &&
           img_flush(c->target, err);
}

static int
convert_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) sources = g_ptr_array_new_with_free_func((GDestroyNotify)block_node_unref);
    g_autoptr(GHashTable) options = NULL;
    Converting c = {
        .args = args,
        .format = args->out_format ? args->out_format : "raw",
        .sources = sources,
    };
    const char *why;
    bool help;

    options = img_options(args, &help, &err);
    if (!options)
        return img_fail_error(err);
    if (help) {
        if (!img_create_format_check(c.format, &err))
            return img_fail_error(err);
        img_create_options_print_help(c.format, false, args->n_files > 0);
        return IMG_OK;
    }
    if (args->backing)
        g_hash_table_replace(options, g_strdup("backing_file"), g_strdup(args->backing));
    if (args->format2)
        g_hash_table_replace(options, g_strdup("backing_fmt"), g_strdup(args->format2));
    c.options = options;
    c.target_backed = g_hash_table_contains(options, "backing_file");
    why = refused(&c);
    if (why)
        return img_fail("%s", why);
    c.name = args->files[args->n_files - 1];
    if (!convert(&c, &err)) {
        block_node_unref(c.target);
        return img_fail_error(err);
    }
    block_node_unref(c.target);
    return IMG_OK;
}

static const ImgOption convert_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 0, "target-image-opts", NULL, IMG_FLAG, IMG_AT(target_image_opts) },
    { 0, "target-is-zero", NULL, IMG_FLAG, IMG_AT(target_is_zero) },
    { 0, "bitmaps", NULL, IMG_FLAG, IMG_AT(bitmaps) },
    { 0, "skip-broken-bitmaps", NULL, IMG_FLAG, IMG_AT(skip_broken_bitmaps) },
    { 'U', "force-share", NULL, IMG_FLAG, IMG_AT(force_share) },
    { 'C', NULL, NULL, IMG_FLAG, IMG_AT(copy_offload) },
    { 'c', NULL, NULL, IMG_FLAG, IMG_AT(compress) },
    { 'p', NULL, NULL, IMG_FLAG, IMG_AT(progress) },
    { 'q', NULL, NULL, IMG_FLAG, IMG_AT(quiet) },
    { 'n', NULL, NULL, IMG_FLAG, IMG_AT(no_create) },
    { 'f', NULL, "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 't', NULL, "CACHE", IMG_TEXT, IMG_AT(cache) },
    { 'T', NULL, "SOURCE_CACHE", IMG_TEXT, IMG_AT(src_cache) },
    { 'O', NULL, "FORMAT", IMG_TEXT, IMG_AT(out_format) },
    { 'B', NULL, "BACKING_FILE", IMG_TEXT, IMG_AT(backing) },
    { 'F', NULL, "BACKING_FORMAT", IMG_TEXT, IMG_AT(format2) },
    { 'o', NULL, "OPTIONS", IMG_LIST, IMG_AT(options) },
    { 'l', NULL, "SNAPSHOT", IMG_TEXT, IMG_AT(snapshot) },
    { 'S', NULL, "sparse size", IMG_SIZE, IMG_AT(sparse) },
    { 'r', NULL, "rate limit", IMG_SIZE, IMG_AT(rate) },
    { 'm', NULL, "number of coroutines", IMG_NUMBER, IMG_AT(parallel) },
    { 'W', NULL, NULL, IMG_FLAG, IMG_AT(out_of_order) },
    { 0, "salvage", NULL, IMG_FLAG, IMG_AT(salvage) },
    { 0 },
};

const ImgCommand img_convert = {
    .name = "convert",
    .operands = "FILE... OUTPUT_FILE",
    .summary = "copies images into a new one of any format",
    .options = convert_options,
    .run = convert_run,
};
