/* measure.c - kiln-img measure: how large an image would be.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

/* An encrypted image is measured with the key that it would get, as qemu-img has it. */
static bool
key_is_there(const ImgArgs *args, const char *format, GHashTable *options, GError **err)
{
    const char *inner = g_hash_table_lookup(options, "encrypt.format");
    const char *key = strcmp(format, "luks") == 0     ? "key-secret"
                      : g_strcmp0(inner, "luks") == 0 ? "encrypt.key-secret"
                                                      : NULL;
    const char *id = key ? g_hash_table_lookup(options, key) : NULL;
    g_autofree uint8_t *secret = NULL;
    size_t length;

    if (key && !id)
        return kiln_error_set(
            err, VIR_ERR_INVALID_ARG,
            "Parameter '%s' is required for cipher: give the id of a secret object", key);
    if (id)
        secret = tool_objects_secret(args->by_id, id, &length, err);
    return !id || secret;
}

static int
measure_run(ImgArgs *args)
{
    const char *format = args->out_format ? args->out_format : "raw";
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) source = NULL;
    g_autoptr(GHashTable) options = NULL;
    bool ok, json = img_output_is_json(args, &ok), help;
    BlockMeasure measure = { 0 };

    if (!ok)
        return IMG_FAILED;
    options = img_options(args, &help, &err);
    if (!options)
        return img_fail_error(err);
    if (!block_format_create_options(format))
        return img_fail("Unknown file format '%s'", format);
    if (help) {
        img_create_options_print_help(format, false, false);
        return IMG_OK;
    }
    if (args->n_files == 0 && (args->image_opts || args->format || args->snapshot))
        return img_fail("--image-opts, -f, and -l require a filename argument.");
    if (args->n_files > 1)
        return img_fail("At most one filename argument is allowed.");
    if (args->n_files == 1 && args->size != IMG_UNSET)
        return img_fail("--size N cannot be used together with a filename.");
    if (args->n_files == 0 && args->size == IMG_UNSET)
        return img_fail("Either --size N or one filename must be specified.");
    if (args->n_files == 1) {
        source = img_open(args, args->files[0], args->format,
                          IMG_OPEN_CHAIN | (args->image_opts ? IMG_OPEN_OPTIONS : 0), NULL, &err);
        if (!source || (args->snapshot && !tool_snapshot_show(source, args->snapshot, &err)))
            return img_fail_error(err);
    }
    g_hash_table_replace(
        options, g_strdup("size"),
        g_strdup_printf("%" PRIu64, source ? block_node_size(source) : args->size));
    if (!img_create_options_check(format, options, false, &err) ||
        !key_is_there(args, format, options, &err) || !img_sandbox_enter(&err))
        return img_fail_error(err);
    img_create_options_settle(format, options);
    if (!block_image_measure(format, options, source, &measure, &err))
        return img_fail_error(err);
    if (json) {
        JsonObject *o = json_object_new();

        json_object_set_int_member(o, "required", (gint64)measure.required);
        json_object_set_int_member(o, "fully-allocated", (gint64)measure.fully_allocated);
        if (measure.has_bitmaps)
            json_object_set_int_member(o, "bitmaps", (gint64)measure.bitmaps);
        img_json_print_object(o);
        return IMG_OK;
    }
    printf("required size: %" PRIu64 "\nfully allocated size: %" PRIu64 "\n", measure.required,
           measure.fully_allocated);
    if (measure.has_bitmaps)
        printf("bitmaps size: %" PRIu64 "\n", measure.bitmaps);
    return IMG_OK;
}

static const ImgOption measure_options[] = {
    { 0, "output", "human|json", IMG_TEXT, IMG_AT(output) },
    { 'O', NULL, "FORMAT", IMG_TEXT, IMG_AT(out_format) },
    { 'o', NULL, "OPTIONS", IMG_LIST, IMG_AT(options) },
    { 0, "size", "SIZE", IMG_SIZE, IMG_AT(size) },
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'f', "format", "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 'l', NULL, "SNAPSHOT", IMG_TEXT, IMG_AT(snapshot) },
    { 'U', "force-share", NULL, IMG_FLAG, IMG_AT(force_share) },
    { 0 },
};

const ImgCommand img_measure = {
    .name = "measure",
    .operands = "[FILE]",
    .summary = "says how large an image would be",
    .options = measure_options,
    .run = measure_run,
};
