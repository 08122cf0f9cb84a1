/* amend.c - kiln-img amend: other options of the format for an image that is there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>

#include "util/error.h"

static bool
can_amend(const char *format)
{
    const BlockCreateOption *row = block_format_create_options(format);

    while (row && row->name && !row->amend)
        row++;
    return row && row->name;
}

/* Another name would make another disk of it: that is rebase's, which looks first. */
static bool
backing_check(BlockNode *node, GHashTable *options, GError **err)
{
    const char *name = g_hash_table_lookup(options, "backing_file");
    const char *format = g_hash_table_lookup(options, "backing_fmt");

    if ((!name && !format) || (g_strcmp0(name, block_node_backing_filename(node)) == 0 &&
                               g_strcmp0(format, block_node_backing_format(node)) == 0))
        return true;
    return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                          "Cannot amend the backing file of '%s'; use 'kiln-img rebase' instead",
                          block_node_filename(node));
}

/* What qemu-img does without a word costs data all the same. */
static void
warn_of_loss(BlockNode *node, GHashTable *options)
{
    const char *size = g_hash_table_lookup(options, "size");
    const char *compat = g_hash_table_lookup(options, "compat");
    uint64_t bytes = size ? g_ascii_strtoull(size, NULL, 10) : block_node_size(node);

    if (bytes < block_node_size(node))
        img_warn("'%s' is cut from %" PRIu64 " bytes to %" PRIu64 "; what is beyond is lost",
                 block_node_filename(node), block_node_size(node), bytes);
    if (g_strcmp0(compat, "0.10") == 0 || g_strcmp0(compat, "v2") == 0) {
        g_autoptr(GPtrArray) bitmaps = block_image_bitmaps(node);

        for (guint i = 0; bitmaps && i < bitmaps->len; i++) {
            const BlockBitmap *bitmap = bitmaps->pdata[i];

            img_warn("bitmap '%s' of '%s' is removed: compat=%s has no bitmaps", bitmap->name,
                     block_node_filename(node), compat);
        }
    }
}

static int
amend_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GHashTable) options = NULL;
    g_autoptr(BlockNode) node = NULL;
    g_autoptr(ImgProgress) progress = NULL;
    const char *format = args->format;
    bool help;

    if (args->options->len == 0)
        return img_fail("Must specify options (-o)");
    options = img_options(args, &help, &err);
    if (!options)
        return img_fail_error(err);
    if (args->n_files == 0 && !(help && format))
        return img_fail("Expecting one image file name\nTry 'kiln-img --help' for more "
                        "information");
    if (!(help && format)) {
        node = img_open(args, args->files[0], format,
                        IMG_OPEN_WRITE | IMG_OPEN_CHAIN | (args->image_opts ? IMG_OPEN_OPTIONS : 0),
                        args->cache, &err);
        if (!node)
            return img_fail_error(err);
        format = block_node_driver(node);
    }
    if (!can_amend(format))
        return img_fail("Format driver '%s' does not support option amendment", format);
    if (help) {
        img_create_options_print_help(format, true, true);
        return IMG_OK;
    }
    if (!img_create_options_check(format, options, true, &err) ||
        !backing_check(node, options, &err) || !img_sandbox_enter(&err))
        return img_fail_error(err);
    img_create_options_settle(format, options);
    if (args->force) /* amending a key slot that is the last, or in use */
        g_hash_table_insert(options, g_strdup("force"), g_strdup("on"));
    if (!args->quiet)
        warn_of_loss(node, options);
    progress = img_progress_new(args->progress && !args->quiet);
    if (!block_image_amend(node, options, img_progress_report, progress, &err))
        return img_fail_error(err);
    img_progress_set(progress, 1);
    return img_flush(node, &err) ? IMG_OK : img_fail_error(err);
}

static const ImgOption amend_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'p', NULL, NULL, IMG_FLAG, IMG_AT(progress) },
    { 'q', NULL, NULL, IMG_FLAG, IMG_AT(quiet) },
    { 'f', NULL, "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 't', NULL, "CACHE", IMG_TEXT, IMG_AT(cache) },
    { 0, "force", NULL, IMG_FLAG, IMG_AT(force) },
    { 'o', NULL, "OPTIONS", IMG_LIST, IMG_AT(options) },
    { 0 },
};

const ImgCommand img_amend = {
    .name = "amend",
    .operands = "FILE",
    .summary = "changes the format's options of an image",
    .options = amend_options,
    .run = amend_run,
};
