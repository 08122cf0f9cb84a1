/* bitmap.c - kiln-img bitmap: makes, clears, merges and removes dirty bitmaps kept in an image.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <string.h>

#include "util/error.h"

/* Carries out one --add, --merge … on @name. */
static bool
act(ImgArgs *args, BlockNode *node, BlockNode *source, const ImgAction *action, const char *name,
    GError **err)
{
    if (strcmp(action->name, "add") == 0)
        return block_image_bitmap_add(
            node, name, args->granularity == IMG_UNSET ? 0 : args->granularity, true, err);
    if (strcmp(action->name, "remove") == 0)
        return block_image_bitmap_remove(node, name, err);
    if (strcmp(action->name, "clear") == 0)
        return block_image_bitmap_clear(node, name, err);
    if (strcmp(action->name, "merge") == 0)
        return block_image_bitmap_merge(node, name, source ? source : node, action->value, err);
    return block_image_bitmap_enable(node, name, strcmp(action->name, "enable") == 0, err);
}

static int
bitmap_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = NULL, source = NULL;
    bool add = false, merge = false;

    for (guint i = 0; i < args->actions->len; i++) {
        const ImgAction *action = &g_array_index(args->actions, ImgAction, i);

        add |= strcmp(action->name, "add") == 0;
        merge |= strcmp(action->name, "merge") == 0;
    }
    if (args->n_files != 2)
        return img_fail("Expecting filename and bitmap name\nTry 'kiln-img --help' for more "
                        "information");
    if (args->actions->len == 0)
        return img_fail("Need at least one of --add, --remove, --clear, --enable, --disable, or "
                        "--merge");
    if (args->granularity != IMG_UNSET && !add)
        return img_fail("granularity only supported with --add");
    if (args->backing && !merge)
        return img_fail("Merge bitmap source file only supported with --merge");
    if (args->format2 && !args->backing)
        return img_fail("-F requires use of -b");
    node = img_open(args, args->files[0], args->format,
                    IMG_OPEN_WRITE | (args->image_opts ? IMG_OPEN_OPTIONS : 0), NULL, &err);
    if (!node)
        return img_fail_error(err);
    if (args->backing) {
        source = img_open(args, args->backing, args->format2, 0, NULL, &err);
        if (!source)
            return img_fail_error(err);
    }
    if (!img_sandbox_enter(&err))
        return img_fail_error(err);
    for (guint i = 0; i < args->actions->len; i++) {
        const ImgAction *action = &g_array_index(args->actions, ImgAction, i);

        if (!act(args, node, source, action, args->files[1], &err))
            return img_fail("Operation %s on bitmap %s failed: %s", action->name, args->files[1],
                            err->message);
    }
    return img_flush(node, &err) ? IMG_OK : img_fail_error(err);
}

static const ImgOption bitmap_options[] = {
    { 0, "merge", "SOURCE", IMG_ACTION, IMG_AT(actions) },
    { 0, "add", NULL, IMG_ACTION, IMG_AT(actions) },
    { 0, "remove", NULL, IMG_ACTION, IMG_AT(actions) },
    { 0, "clear", NULL, IMG_ACTION, IMG_AT(actions) },
    { 0, "enable", NULL, IMG_ACTION, IMG_AT(actions) },
    { 0, "disable", NULL, IMG_ACTION, IMG_AT(actions) },
    { 'b', "source-file", "SOURCE_FILE", IMG_TEXT, IMG_AT(backing) },
    { 'F', "source-format", "SOURCE_FORMAT", IMG_TEXT, IMG_AT(format2) },
    { 'g', "granularity", "granularity", IMG_SIZE, IMG_AT(granularity) },
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'f', NULL, "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 0 },
};

const ImgCommand img_bitmap = {
    .name = "bitmap",
    .operands = "FILE BITMAP",
    .summary = "changes a dirty bitmap kept in an image",
    .options = bitmap_options,
    .run = bitmap_run,
};
