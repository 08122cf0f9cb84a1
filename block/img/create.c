/* create.c - kiln-img create: a new image, alone or on top of a backing file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

/* The backing file must be there and gives the size when none was said. */
static bool
backing_check(ImgArgs *args, const char *filename, GHashTable *options, GError **err)
{
    const char *backing = g_hash_table_lookup(options, "backing_file");
    const char *format = g_hash_table_lookup(options, "backing_fmt");
    g_autofree char *path = img_backing_path(filename, backing);
    g_autoptr(BlockNode) node = NULL;

    if (strcmp(backing, filename) == 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "an image cannot lie on itself; give another backing file");
    if (args->unsafe)
        return format || kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                        "Backing file specified without backing format; add '-F "
                                        "FORMAT'");
    /* asked for its size and no more: what is encrypted needs no secret for that, and a guest's
     * disk may be in use, whose next overlay this is to be */
    node =
        img_open(args, path, format, IMG_OPEN_CHAIN | IMG_OPEN_NO_IO | IMG_OPEN_SHARE, NULL, err);
    if (!node) {
        g_prefix_error(err, "backing image: ");
        return false;
    }
    if (!format)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "Backing file specified without backing format; add '-F FORMAT' "
                              "(it looks like '%s')",
                              block_node_driver(node));
    if (!g_hash_table_contains(options, "size"))
        g_hash_table_insert(options, g_strdup("size"),
                            g_strdup_printf("%" PRIu64, block_node_size(node)));
    return true;
}

static void
print_formatting(const char *filename, const char *format, GHashTable *options)
{
    printf("Formatting '%s', fmt=%s", filename, format);
    for (const BlockCreateOption *row = block_format_create_options(format); row->name; row++) {
        const char *value = g_hash_table_lookup(options, row->name);

        if (!value)
            value = row->fallback;
        if (!value)
            continue;
        /* a comma is doubled, as on the command line */
        printf(" %s=", row->name);
        for (const char *p = value; *p; p++)
            printf(*p == ',' ? ",," : "%c", *p);
    }
    putchar('\n');
}

static bool
create(ImgArgs *args, const char *filename, const char *format, GHashTable *options, GError **err)
{
    if (!img_create_format_check(format, err) ||
        !img_create_options_check(format, options, false, err) ||
        (g_hash_table_contains(options, "backing_file") &&
         !backing_check(args, filename, options, err))) {
        g_prefix_error(err, "%s: ", filename);
        return false;
    }
    if (!g_hash_table_contains(options, "size"))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "%s: Image creation needs a size parameter",
                              filename);
    if (!args->quiet)
        print_formatting(filename, format, options);
    return img_create(args, filename, format, options, err);
}

static int
create_run(ImgArgs *args)
{
    const char *format = args->format ? args->format : "raw";
    g_autoptr(GError) err = NULL;
    g_autoptr(GHashTable) options = NULL;
    bool help;
    uint64_t size;

    options = img_options(args, &help, &err);
    if (!options)
        return img_fail_error(err);
    if (help) {
        if (!img_create_format_check(format, &err))
            return img_fail_error(err);
        img_create_options_print_help(format, false, args->n_files > 0);
        return IMG_OK;
    }
    if (args->n_files < 1)
        return img_fail("Expecting image file name\nTry 'kiln-img --help' for more information");
    if (args->n_files > 2)
        return img_fail("Unexpected argument: %s\nTry 'kiln-img --help' for more information",
                        args->files[2]);
    if (args->n_files == 2) {
        if (g_hash_table_contains(options, "size"))
            return img_fail("%s: The image size must be specified only once", args->files[0]);
        if (!img_size_parse(args->files[1], &size))
            return img_fail("Invalid image size specified: '%s'. It is a number of bytes from 0 to "
                            "%" PRId64 "; use k, M, G, T, P or E for 1024 and its powers",
                            args->files[1], G_MAXINT64);
        g_hash_table_replace(options, g_strdup("size"), g_strdup_printf("%" PRIu64, size));
    }
    if (args->backing)
        g_hash_table_replace(options, g_strdup("backing_file"), g_strdup(args->backing));
    if (args->format2)
        g_hash_table_replace(options, g_strdup("backing_fmt"), g_strdup(args->format2));
    return create(args, args->files[0], format, options, &err) ? IMG_OK : img_fail_error(err);
}

static const ImgOption create_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 'q', NULL, NULL, IMG_FLAG, IMG_AT(quiet) },
    { 'f', NULL, "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 'b', NULL, "BACKING_FILE", IMG_TEXT, IMG_AT(backing) },
    { 'F', NULL, "BACKING_FORMAT", IMG_TEXT, IMG_AT(format2) },
    { 'u', NULL, NULL, IMG_FLAG, IMG_AT(unsafe) },
    { 'o', NULL, "OPTIONS", IMG_LIST, IMG_AT(options) },
    { 0 },
};

const ImgCommand img_create_command = {
    .name = "create",
    .operands = "FILE [SIZE]",
    .summary = "makes an image",
    .options = create_options,
    .run = create_run,
};
