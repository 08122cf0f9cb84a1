/* resize.c - kiln-img resize: another size for the disk in an image.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

static bool
prealloc_parse(const char *text, BlockPrealloc *ret)
{
    static const char *const names[] = {
        [BLOCK_PREALLOC_OFF] = "off",
        [BLOCK_PREALLOC_METADATA] = "metadata",
        [BLOCK_PREALLOC_FALLOC] = "falloc",
        [BLOCK_PREALLOC_FULL] = "full",
    };

    *ret = BLOCK_PREALLOC_OFF;
    for (unsigned i = 0; text && i < G_N_ELEMENTS(names); i++)
        if (strcmp(names[i], text) == 0) {
            *ret = i;
            return true;
        }
    return !text;
}

static int
resize_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = NULL;
    BlockPrealloc prealloc;
    const char *text = args->last;
    uint64_t size, old;
    char sign = 0;

    if (!text || args->n_files != 1)
        return img_fail("Expecting image file name and size\nTry 'kiln-img --help' for more "
                        "information");
    if (!prealloc_parse(args->prealloc, &prealloc))
        return img_fail("Invalid preallocation mode '%s'; there are off, metadata, falloc and full",
                        args->prealloc);
    if (*text == '+' || *text == '-')
        sign = *text++;
    if (!img_size_parse(text, &size))
        return img_fail("Parameter 'size' is '%s', not a number of bytes from 0 to %" PRId64
                        "; use k, M, G, T, P or E for 1024 and its powers",
                        args->last, G_MAXINT64);
    node = img_open(args, args->files[0], args->format,
                    IMG_OPEN_WRITE | IMG_OPEN_CHAIN | (args->image_opts ? IMG_OPEN_OPTIONS : 0),
                    NULL, &err);
    if (!node || !img_sandbox_enter(&err))
        return img_fail_error(err);
    old = block_node_size(node);
    if ((sign == '+' && size > (uint64_t)G_MAXINT64 - old) || (sign == '-' && size >= old))
        return img_fail("New image size must be positive: '%s' has %" PRIu64 " bytes",
                        args->files[0], old);
    size = sign == '+' ? old + size : sign == '-' ? old - size : size;
    if (size == 0)
        return img_fail("New image size must be positive");
    if (size <= old && prealloc != BLOCK_PREALLOC_OFF)
        return img_fail("Preallocation can only be used for growing images");
    if (size < old && !args->shrink) {
        img_warn("shrinking '%s' from %" PRIu64 " to %" PRIu64 " bytes deletes what lies beyond",
                 args->files[0], old, size);
        return img_fail("Use the --shrink option to perform a shrink operation.");
    }
    if (!block_image_resize(node, size, prealloc, args->shrink, &err))
        return img_fail_error(err);
    if (!img_flush(node, &err))
        return img_fail_error(err);
    if (!args->quiet)
        puts("Image resized.");
    return IMG_OK;
}

static const ImgOption resize_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'f', NULL, "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 0, "preallocation", "off|metadata|falloc|full", IMG_TEXT, IMG_AT(prealloc) },
    { 'q', NULL, NULL, IMG_FLAG, IMG_AT(quiet) },
    { 0, "shrink", NULL, IMG_FLAG, IMG_AT(shrink) },
    { 0 },
};

const ImgCommand img_resize = {
    .name = "resize",
    .operands = "FILE [+|-]SIZE",
    .summary = "gives the disk in an image another size",
    .options = resize_options,
    .last_is_size = true,
    .run = resize_run,
};
