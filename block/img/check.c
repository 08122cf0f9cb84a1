/* check.c - kiln-img check: looks for corruption and leaks, and mends them with -r.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

static void
report_line(void *opaque, const char *line)
{
    (void)opaque; /* not even --quiet hides what is wrong */
    fprintf(stderr, "%s\n", line);
}

static void
add_nonzero(JsonObject *o, const char *name, uint64_t value)
{
    if (value != 0)
        json_object_set_int_member(o, name, (gint64)value);
}

static void
print_json(const char *name, BlockNode *node, const BlockCheck *check)
{
    JsonObject *o = json_object_new();

    json_object_set_string_member(o, "filename", name);
    json_object_set_string_member(o, "format", block_node_driver(node));
    json_object_set_int_member(o, "check-errors", (gint64)check->errors);
    add_nonzero(o, "image-end-offset", check->image_end_offset);
    add_nonzero(o, "corruptions", check->corruptions);
    add_nonzero(o, "leaks", check->leaks);
    add_nonzero(o, "corruptions-fixed", check->corruptions_fixed);
    add_nonzero(o, "leaks-fixed", check->leaks_fixed);
    if (check->has_clusters) {
        add_nonzero(o, "total-clusters", check->total_clusters);
        add_nonzero(o, "allocated-clusters", check->allocated_clusters);
        add_nonzero(o, "fragmented-clusters", check->fragmented_clusters);
        add_nonzero(o, "compressed-clusters", check->compressed_clusters);
    }
    img_json_print_object(o);
}

static void
print_human(const BlockCheck *check)
{
    if (check->corruptions == 0 && check->leaks == 0 && check->errors == 0) {
        puts("No errors were found on the image.");
    } else {
        if (check->corruptions > 0)
            printf("\n%" PRIu64 " errors were found on the image.\n"
                   "Data may be lost already, and writing to the image may lose more.\n",
                   check->corruptions);
        if (check->leaks > 0)
            printf("\n%" PRIu64 " leaked clusters were found on the image.\n"
                   "They take space; the data is whole.\n",
                   check->leaks);
        if (check->errors > 0)
            printf("\n%" PRIu64 " internal errors have occurred during the check.\n",
                   check->errors);
    }
    if (check->has_clusters && check->total_clusters > 0 && check->allocated_clusters > 0)
        printf("%" PRIu64 "/%" PRIu64 " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% "
               "compressed clusters\n",
               check->allocated_clusters, check->total_clusters,
               (double)check->allocated_clusters * 100.0 / (double)check->total_clusters,
               (double)check->fragmented_clusters * 100.0 / (double)check->allocated_clusters,
               (double)check->compressed_clusters * 100.0 / (double)check->allocated_clusters);
    if (check->image_end_offset > 0)
        printf("Image end offset: %" PRIu64 "\n", check->image_end_offset);
}

/* 0, or the exit code of a check that could not be done. */
static int
check_once(BlockNode *node, unsigned fix, BlockCheck *ret)
{
    g_autoptr(GError) err = NULL;

    *ret = (BlockCheck){ .report = report_line };
    if (block_image_check(node, fix, ret, &err))
        return 0;
    if (kiln_error_code(err) == VIR_ERR_NO_SUPPORT) {
        img_fail("This image format does not support checks");
        return IMG_CHECK_UNSUPPORTED;
    }
    return img_fail("Check failed: %s", err->message);
}

static int
check_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = NULL;
    bool ok, json = img_output_is_json(args, &ok);
    unsigned fix = 0, how = IMG_OPEN_CHECK | IMG_OPEN_QUIET;
    BlockCheck check;
    int r;

    if (!ok)
        return IMG_FAILED;
    if (args->repair && strcmp(args->repair, "leaks") == 0)
        fix = BLOCK_CHECK_LEAKS;
    else if (args->repair && strcmp(args->repair, "all") == 0)
        fix = BLOCK_CHECK_LEAKS | BLOCK_CHECK_ERRORS;
    else if (args->repair)
        return img_fail("-r expects 'leaks' or 'all' as argument, not '%s'", args->repair);
    if (args->n_files != 1)
        return img_fail("Expecting one image file name\nTry 'kiln-img --help' for more "
                        "information");
    if (fix && args->force_share)
        return img_fail("Could not open '%s': -U is only for images that are not written",
                        args->files[0]);
    how |= (fix ? IMG_OPEN_WRITE : 0) | (args->image_opts ? IMG_OPEN_OPTIONS : 0) |
           (args->keyless ? IMG_OPEN_NO_IO : 0);
    node = img_open(args, args->files[0], args->format, how, args->src_cache, &err);
    if (!node || !img_sandbox_enter(&err))
        return img_fail_error(err);
    r = check_once(node, fix, &check);
    if (r != 0)
        return r;
    if (check.corruptions_fixed > 0 || check.leaks_fixed > 0) {
        uint64_t corruptions_fixed = check.corruptions_fixed, leaks_fixed = check.leaks_fixed;

        if (!json && !args->quiet)
            printf("The following inconsistencies were found and repaired:\n\n"
                   "    %" PRIu64 " leaked clusters\n    %" PRIu64 " corruptions\n\n"
                   "Double checking the fixed image now...\n",
                   leaks_fixed, corruptions_fixed);
        r = check_once(node, 0, &check);
        if (r != 0)
            return r;
        check.leaks_fixed = leaks_fixed;
        check.corruptions_fixed = corruptions_fixed;
    }
    if (json)
        print_json(args->files[0], node, &check);
    else if (!args->quiet)
        print_human(&check);
    if (fix && !img_flush(node, &err))
        return img_fail_error(err);
    if (check.errors > 0)
        return IMG_FAILED;
    if (check.corruptions > 0)
        return IMG_CHECK_CORRUPT;
    return check.leaks > 0 ? IMG_CHECK_LEAKS : IMG_OK;
}

static const ImgOption check_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'q', NULL, NULL, IMG_FLAG, IMG_AT(quiet) },
    { 'f', "format", "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 0, "output", "human|json", IMG_TEXT, IMG_AT(output) },
    { 'r', "repair", "leaks|all", IMG_TEXT, IMG_AT(repair) },
    { 'T', NULL, "CACHE", IMG_TEXT, IMG_AT(src_cache) },
    { 'U', "force-share", NULL, IMG_FLAG, IMG_AT(force_share) },
    { 0, "keyless", NULL, IMG_FLAG, IMG_AT(keyless) },
    { 0 },
};

const ImgCommand img_check = {
    .name = "check",
    .operands = "FILE",
    .summary = "looks for corruption and leaks, and mends them",
    .options = check_options,
    .run = check_run,
};
