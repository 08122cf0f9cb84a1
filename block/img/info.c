/* info.c - kiln-img info: what an image is, and with --backing-chain what lies behind it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

/* Whether the image lies on a server, which does not tell what it takes there. */
static bool
is_remote(const BlockNode *node)
{
    while (block_node_file(node))
        node = block_node_file(node);
    return strcmp(block_node_driver(node), "nbd") == 0;
}

/* qemu-img has no "driver info" for these: neither cluster size nor dirty flag is printed. */
static bool
has_driver_info(const BlockNode *node)
{
    static const char *const without[] = { "parallels", "bochs", "cloop", "dmg", NULL };

    if (strcmp(block_node_driver(node), "raw") == 0 && is_remote(node))
        return false;
    return !g_strv_contains(without, block_node_driver(node));
}

static JsonArray *
snapshots_json(GPtrArray *snapshots)
{
    JsonArray *array = json_array_new();

    for (guint i = 0; i < snapshots->len; i++) {
        const BlockSnapshot *s = snapshots->pdata[i];
        JsonObject *o = json_object_new();

        json_object_set_string_member(o, "id", s->id);
        json_object_set_string_member(o, "name", s->name);
        json_object_set_int_member(o, "vm-state-size", (gint64)s->vm_state_size);
        json_object_set_int_member(o, "date-sec", s->date_sec);
        json_object_set_int_member(o, "date-nsec", s->date_nsec);
        json_object_set_int_member(o, "vm-clock-sec", (gint64)(s->vm_clock_nsec / 1000000000));
        json_object_set_int_member(o, "vm-clock-nsec", (gint64)(s->vm_clock_nsec % 1000000000));
        if (s->icount != UINT64_MAX)
            json_object_set_int_member(o, "icount", (gint64)s->icount);
        json_array_add_object_element(array, o);
    }
    return array;
}

static JsonObject *
info_json(BlockNode *node)
{
    JsonObject *o = json_object_new();
    g_autoptr(GPtrArray) snapshots = block_image_snapshots(node);
    const char *filename = block_node_filename(node);
    const char *backing = block_node_backing_filename(node);
    JsonObject *specific = block_image_specific(node);

    json_object_set_string_member(o, "filename", filename);
    json_object_set_string_member(o, "format", block_node_driver(node));
    json_object_set_int_member(o, "virtual-size", (gint64)block_node_size(node));
    if (!is_remote(node))
        json_object_set_int_member(o, "actual-size", (gint64)block_node_host_bytes(node));
    if (has_driver_info(node)) {
        if (block_node_cluster_size(node) > 0)
            json_object_set_int_member(o, "cluster-size", block_node_cluster_size(node));
        json_object_set_boolean_member(o, "dirty-flag", block_image_is_dirty(node));
    }
    if (block_image_is_encrypted(node))
        json_object_set_boolean_member(o, "encrypted", TRUE);
    if (backing) {
        g_autofree char *full = img_backing_path(filename, backing);

        json_object_set_string_member(o, "backing-filename", backing);
        json_object_set_string_member(o, "full-backing-filename", full);
        if (block_node_backing_format(node))
            json_object_set_string_member(o, "backing-filename-format",
                                          block_node_backing_format(node));
    }
    if (snapshots->len > 0)
        json_object_set_array_member(o, "snapshots", snapshots_json(snapshots));
    if (specific)
        json_object_set_object_member(o, "format-specific", specific);
    return o;
}

static void
info_print(BlockNode *node)
{
    g_autoptr(GPtrArray) snapshots = block_image_snapshots(node);
    const char *filename = block_node_filename(node);
    const char *backing = block_node_backing_filename(node);
    JsonObject *specific = block_image_specific(node);
    g_autofree char *size = img_size_text(block_node_size(node));
    g_autofree char *host =
        is_remote(node) ? g_strdup("unavailable") : img_size_text(block_node_host_bytes(node));

    printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n",
           filename, block_node_driver(node), size, block_node_size(node), host);
    if (block_image_is_encrypted(node))
        puts("encrypted: yes");
    if (has_driver_info(node) && block_node_cluster_size(node) > 0)
        printf("cluster_size: %u\n", block_node_cluster_size(node));
    if (has_driver_info(node) && block_image_is_dirty(node))
        puts("cleanly shut down: no");
    if (backing) {
        g_autofree char *full = img_backing_path(filename, backing);

        printf("backing file: %s", backing);
        if (strcmp(full, backing) != 0)
            printf(" (actual path: %s)", full);
        putchar('\n');
        if (block_node_backing_format(node))
            printf("backing file format: %s\n", block_node_backing_format(node));
    }
    if (snapshots->len > 0) {
        puts("Snapshot list:");
        img_snapshots_print(snapshots);
    }
    if (specific) {
        JsonObject *data = json_object_get_object_member(specific, "data");

        puts("Format specific information:");
        if (data)
            img_dump_object(data, 1);
        json_object_unref(specific);
    }
}

static int
info_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) top = NULL;
    bool ok, json = img_output_is_json(args, &ok);
    unsigned how = IMG_OPEN_NO_IO | (args->image_opts ? IMG_OPEN_OPTIONS : 0) |
                   (args->backing_chain ? IMG_OPEN_CHAIN : 0);
    g_autoptr(JsonNode) root = NULL;
    JsonArray *array;

    if (!ok)
        return IMG_FAILED;
    if (args->n_files != 1)
        return img_fail("Expecting one image file name\nTry 'kiln-img --help' for more "
                        "information");
    top = img_open(args, args->files[0], args->format, how, NULL, &err);
    /* a damaged image still says what it is */
    if (!top)
        top = img_open(args, args->files[0], args->format, how | IMG_OPEN_CHECK, NULL, NULL);
    if (top)
        g_clear_error(&err);
    if (!top || !img_sandbox_enter(&err))
        return img_fail_error(err);
    if (json && !args->backing_chain) {
        img_json_print_object(info_json(top));
        return IMG_OK;
    }
    array = json_array_new();
    root = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(root, array);
    for (BlockNode *n = top; n; n = args->backing_chain ? block_node_backing(n) : NULL) {
        if (json) {
            json_array_add_object_element(array, info_json(n));
        } else {
            if (n != top)
                putchar('\n');
            info_print(n);
        }
    }
    if (json)
        img_json_print(root);
    return IMG_OK;
}

static const ImgOption info_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'f', "format", "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 0, "output", "human|json", IMG_TEXT, IMG_AT(output) },
    { 0, "backing-chain", NULL, IMG_FLAG, IMG_AT(backing_chain) },
    { 'U', "force-share", NULL, IMG_FLAG, IMG_AT(force_share) },
    { 0 },
};

const ImgCommand img_info = {
    .name = "info",
    .operands = "FILE",
    .summary = "says what an image is",
    .options = info_options,
    .run = info_run,
};
