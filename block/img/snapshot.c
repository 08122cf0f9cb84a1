/* snapshot.c - kiln-img snapshot: lists, makes, applies and deletes snapshots inside an image.
 *
 * Of data only the places are noted, so that an encrypted image needs no secret: with --keyless it
 * is not asked for, as qemu-img does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

static bool
make(BlockNode *node, const char *name, GError **err)
{
    gint64 now = g_get_real_time();
    BlockSnapshot snapshot = {
        .id = (char *)"", /* the format numbers them */
        .name = (char *)name,
        .date_sec = now / G_USEC_PER_SEC,
        .date_nsec = (uint32_t)(now % G_USEC_PER_SEC * 1000),
        .icount = 0, /* no instruction was run */
    };

    return block_image_snapshot_create(node, &snapshot, err);
}

/* Only a name: an id could be another one's name. */
static bool
remove_by_name(BlockNode *node, const char *name, GError **err)
{
    g_autoptr(GPtrArray) list = block_image_snapshots(node, err);

    if (!list)
        return false;
    for (guint i = 0; i < list->len; i++) {
        const BlockSnapshot *snapshot = list->pdata[i];

        if (strcmp(snapshot->name, name) == 0)
            return block_image_snapshot_delete(node, snapshot->id, err);
    }
    return kiln_error_set(err, VIR_ERR_INVALID_ARG, "image '%s' has no snapshot of this name",
                          block_node_filename(node));
}

static int
snapshot_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = NULL;
    unsigned changes = !!args->snapshot_create + !!args->snapshot_apply + !!args->snapshot_delete;
    unsigned how = (changes ? IMG_OPEN_WRITE : 0) | (args->image_opts ? IMG_OPEN_OPTIONS : 0) |
                   (args->keyless ? IMG_OPEN_NO_IO : 0) | IMG_OPEN_CHAIN | IMG_OPEN_QUIET;
    const char *what = "create", *name = args->snapshot_create;
    bool done;

    if (changes + args->list > 1)
        return img_fail("Cannot mix '-l', '-a', '-c', '-d'\nTry 'kiln-img --help' for more "
                        "information");
    if (args->n_files != 1)
        return img_fail("Expecting one image file name\nTry 'kiln-img --help' for more "
                        "information");
    if (changes && args->force_share)
        return img_fail("Could not open '%s': -U is only for images that are not written",
                        args->files[0]);
    node = img_open(args, args->files[0], NULL, how, NULL, &err);
    if (!node || !img_sandbox_enter(&err))
        return img_fail_error(err);
    if (!changes && !args->list) /* it can be opened, and that is all */
        return IMG_OK;
    if (!changes) {
        g_autoptr(GPtrArray) list = block_image_snapshots(node, &err);

        if (!list)
            return img_fail_error(err);
        if (list->len > 0) {
            puts("Snapshot list:");
            img_snapshots_print(list);
        }
        return IMG_OK;
    }
    if (args->snapshot_create) {
        done = make(node, name, &err);
    } else if (args->snapshot_apply) {
        what = "apply";
        name = args->snapshot_apply;
        done = block_image_snapshot_apply(node, name, &err);
    } else {
        what = "delete";
        name = args->snapshot_delete;
        done = remove_by_name(node, name, &err);
    }
    if (!done)
        return img_fail("Could not %s snapshot '%s': %s", what, name, err->message);
    return img_flush(node, &err) ? IMG_OK : img_fail_error(err);
}

static const ImgOption snapshot_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'U', "force-share", NULL, IMG_FLAG, IMG_AT(force_share) },
    { 0, "keyless", NULL, IMG_FLAG, IMG_AT(keyless) },
    { 'q', NULL, NULL, IMG_FLAG, IMG_AT(quiet) },
    { 'l', NULL, NULL, IMG_FLAG, IMG_AT(list) },
    { 'a', NULL, "SNAPSHOT", IMG_TEXT, IMG_AT(snapshot_apply) },
    { 'c', NULL, "SNAPSHOT", IMG_TEXT, IMG_AT(snapshot_create) },
    { 'd', NULL, "SNAPSHOT", IMG_TEXT, IMG_AT(snapshot_delete) },
    { 0 },
};

const ImgCommand img_snapshot = {
    .name = "snapshot",
    .operands = "FILE",
    .summary = "lists, makes, applies and deletes snapshots inside an image",
    .options = snapshot_options,
    .run = snapshot_run,
};
