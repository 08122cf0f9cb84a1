/* open.c - names, formats, cache modes and secrets of the command line made into image nodes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

bool
img_cache_is_writethrough(const char *cache)
{
    return cache && (strcmp(cache, "writethrough") == 0 || strcmp(cache, "directsync") == 0);
}

static uint8_t *
secret_get(void *opaque, const char *id, size_t *ret_len, GError **err)
{
    const ImgArgs *args = opaque;

    return tool_objects_secret(args->by_id, id, ret_len, err);
}

static NbdTls *
tls_get(void *opaque, const char *id, const char *hostname, GError **err)
{
    const ImgArgs *args = opaque;

    return tool_objects_tls(args->by_id, id, false, hostname, err);
}

static void
warn(void *opaque, const char *message)
{
    (void)opaque;
    img_warn("%s", message);
}

bool
img_image_options(const ImgArgs *args, unsigned how, const char *cache, BlockImageOptions *ret,
                  GError **err)
{
    static const char *const modes[] = { "writeback",  "none",   "off", "writethrough",
                                         "directsync", "unsafe", NULL };

    if (cache && !g_strv_contains(modes, cache))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "Invalid cache option: '%s'; there are none, writeback, "
                              "writethrough, directsync and unsafe",
                              cache);
    *ret = (BlockImageOptions){
        .ops = { .opaque = (void *)args, .secret = secret_get, .tls = tls_get },
        .read_only = !(how & IMG_OPEN_WRITE),
        .follow_backing = how & IMG_OPEN_CHAIN,
        .force_share = (args->force_share || how & IMG_OPEN_SHARE) && !(how & IMG_OPEN_WRITE),
        .no_flush = cache && strcmp(cache, "unsafe") == 0,
        .direct = cache && (strcmp(cache, "none") == 0 || strcmp(cache, "off") == 0 ||
                            strcmp(cache, "directsync") == 0),
        .check = how & IMG_OPEN_CHECK,
        .no_io = how & IMG_OPEN_NO_IO,
        .warn = warn,
    };
    return true;
}

void
img_warn_of_old_options(JsonObject *options)
{
    JsonNode *backing = json_object_get_member(options, "backing");

    if (backing && JSON_NODE_HOLDS_VALUE(backing) &&
        g_strcmp0(json_node_get_string(backing), "") == 0)
        img_warn("an empty 'backing' for no backing file is deprecated; say \"backing\": null in a "
                 "json: name");
}

BlockNode *
img_open(const ImgArgs *args, const char *name, const char *format, unsigned how, const char *cache,
         GError **err)
{
    BlockImageOptions options;
    BlockNode *node;
    g_autofree char *prefix = g_strdup_printf("Could not open '%s': ", name);

    if (!img_image_options(args, how, cache, &options, err))
        return NULL;
    if (how & IMG_OPEN_OPTIONS) {
        g_autoptr(JsonObject) object = NULL;

        if (format) {
            kiln_error_set(err, VIR_ERR_INVALID_ARG,
                           "--image-opts and --format are mutually exclusive");
            return NULL;
        }
        object =
            tool_keyval_object(name, how & IMG_OPEN_AGAIN ? TOOL_SHORT_TAKE : TOOL_SHORT_WARN, err);
        if (object && !(how & IMG_OPEN_AGAIN))
            img_warn_of_old_options(object);
        node = object ? block_image_open_options(object, &options, err) : NULL;
    } else {
        g_autoptr(JsonObject) object =
            g_str_has_prefix(name, "json:") ? block_filename_options(name, NULL) : NULL;

        if (object && !(how & IMG_OPEN_AGAIN))
            img_warn_of_old_options(object);
        node = block_image_open(name, format, &options, err);
    }
    if (!node) {
        if (err && *err && !g_str_has_prefix((*err)->message, "Could not open"))
            g_prefix_error(err, "%s", prefix);
        return NULL;
    }
    if (!format && how & IMG_OPEN_WRITE && !(how & (IMG_OPEN_OPTIONS | IMG_OPEN_QUIET)) &&
        !g_str_has_prefix(name, "json:") && strcmp(block_node_driver(node), "raw") == 0 &&
        !args->quiet)
        img_warn("'%s' was taken for raw because no format was given; say '-f raw' if it is", name);
    return node;
}

char *
img_backing_path(const char *filename, const char *backing)
{
    const char *colon = strchr(backing, ':'), *slash = strchr(backing, '/');
    const char *dir_end = filename ? strrchr(filename, '/') : NULL;

    /* "nbd://…" and "json:…" are whole; "a/b:c" is a path */
    if (backing[0] == '/' || (colon && (!slash || colon < slash)) || !dir_end)
        return g_strdup(backing);
    return g_strdup_printf("%.*s%s", (int)(dir_end - filename + 1), filename, backing);
}

static const BlockCreateOption *
row_find(const BlockCreateOption *rows, const char *name)
{
    for (; rows && rows->name; rows++)
        if (strcmp(rows->name, name) == 0)
            return rows;
    return NULL;
}

/* Ways to write off and on; the formats know the first ones. */
static const char *const bool_words[2][5] = { { "off", "no", "false", "n", NULL },
                                              { "on", "yes", "true", "y", NULL } };

void
img_create_options_settle(const char *format, GHashTable *options)
{
    for (const BlockCreateOption *row = block_format_create_options(format); row && row->name;
         row++) {
        const char *value = g_hash_table_lookup(options, row->name);

        for (unsigned i = 0; i < 2 && value && row->kind == BLOCK_OPTION_BOOL; i++)
            if (g_strv_contains(bool_words[i], value)) {
                g_hash_table_replace(options, g_strdup(row->name), g_strdup(bool_words[i][0]));
                break;
            }
    }
}

static bool
value_check(const BlockCreateOption *row, char **value, GError **err)
{
    uint64_t number;

    switch (row->kind) {
    case BLOCK_OPTION_SIZE:
        if (!img_size_parse(*value, &number))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "Parameter '%s' is '%s', not a size from 0 to %" PRId64
                                  "; use k, M, G, T, P or E for 1024 and its powers",
                                  row->name, *value, G_MAXINT64);
        g_free(*value);
        *value = g_strdup_printf("%" PRIu64, number);
        return true;
    case BLOCK_OPTION_BOOL:
        if (!g_strv_contains(bool_words[0], *value) && !g_strv_contains(bool_words[1], *value))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "Parameter '%s' expects 'on' or 'off', not '%s'", row->name,
                                  *value);
        return true;
    case BLOCK_OPTION_NUMBER:
        if (!g_ascii_string_to_unsigned(*value, 10, 0, G_MAXINT64, &number, NULL))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "Parameter '%s' expects a number, not '%s'", row->name, *value);
        return true;
    case BLOCK_OPTION_STRING:
        return true;
    }
    return true;
}

bool
img_create_options_check(const char *format, GHashTable *options, bool amend, GError **err)
{
    const BlockCreateOption *rows = block_format_create_options(format);
    GHashTableIter it;
    gpointer key, value;

    g_hash_table_iter_init(&it, options);
    while (g_hash_table_iter_next(&it, &key, &value)) {
        const BlockCreateOption *row = row_find(rows, key);
        char *text;

        if (!row || (row->only_amend && !amend))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "Invalid parameter '%s'; '-f %s -o help' lists what there is",
                                  (char *)key, format);
        if (amend && !row->amend)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "Invalid parameter '%s': it can be set only when an image is "
                                  "made",
                                  (char *)key);
        text = g_strdup(value);
        if (!value_check(row, &text, err)) {
            g_free(text);
            return false;
        }
        g_hash_table_iter_replace(&it, text);
    }
    return true;
}

static int
row_compare(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const BlockCreateOption *const *)a)->name,
                  (*(const BlockCreateOption *const *)b)->name);
}

void
img_create_options_print_help(const char *format, bool amend, bool file)
{
    static const char *const kinds[] = {
        [BLOCK_OPTION_SIZE] = "size",
        [BLOCK_OPTION_BOOL] = "bool (on/off)",
        [BLOCK_OPTION_NUMBER] = "num",
        [BLOCK_OPTION_STRING] = "str",
    };
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();

    for (const BlockCreateOption *row = block_format_create_options(format); row && row->name;
         row++)
        if (amend ? row->amend : !row->only_amend && (file || !row->of_file))
            g_ptr_array_add(sorted, (gpointer)row);
    g_ptr_array_sort(sorted, row_compare);
    if (amend)
        printf("Amend options for '%s':\n", format);
    else if (file)
        puts("Supported options:");
    else
        printf("Supported %s options:\n", format);
    for (guint i = 0; i < sorted->len; i++) {
        const BlockCreateOption *row = sorted->pdata[i];
        g_autofree char *left = g_strdup_printf("  %s=<%s>", row->name, kinds[row->kind]);

        printf("%-24s - %s\n", left, row->help ? row->help : "");
    }
    if (!amend && !file)
        puts("\nThe file may take more: give its name as well to see all of them.");
}

bool
img_create_format_check(const char *format, GError **err)
{
    const BlockCreateOption *rows = block_format_create_options(format);

    if (!rows)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Unknown file format '%s'", format);
    return rows->name || kiln_error_set(err, VIR_ERR_NO_SUPPORT,
                                        "images of format '%s' are only read, not made", format);
}

/* A disk has whole sectors: a size between two is the next one, whatever the format. */
static void
size_round(GHashTable *options)
{
    const char *text = g_hash_table_lookup(options, "size");
    uint64_t size = text ? g_ascii_strtoull(text, NULL, 10) : 0;

    if (size % BLOCK_SECTOR != 0 && size <= G_MAXINT64 - BLOCK_SECTOR) {
        size += BLOCK_SECTOR - size % BLOCK_SECTOR;
        g_hash_table_replace(options, g_strdup("size"), g_strdup_printf("%" PRIu64, size));
    }
}

bool
img_create(const ImgArgs *args, const char *filename, const char *format, GHashTable *options,
           GError **err)
{
    BlockImageOptions image;

    if (!img_create_format_check(format, err) ||
        !img_create_options_check(format, options, false, err)) {
        g_prefix_error(err, "%s: ", filename);
        return false;
    }
    size_round(options);
    img_create_options_settle(format, options);
    if (!img_image_options(args, IMG_OPEN_WRITE, NULL, &image, err) ||
        !block_image_create(filename, format, options, &image, err)) {
        g_prefix_error(err, "%s: ", filename);
        return false;
    }
    return true;
}
