/* info.c - kiln-img info: what an image is, and with --backing-chain what lies behind it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

/* What is printed of an image that depends on how it was named. */
typedef struct {
    char *name;
    const char *format;
    bool incomplete; /* its snapshots could not be read */
} Told;

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
    static const char *const without[] = { "parallels", "bochs", "cloop", "dmg", "nbd", NULL };

    return !g_strv_contains(without, block_node_driver(node));
}

/* Of raw the node below tells. */
static BlockNode *
driver_info_node(BlockNode *node)
{
    while (strcmp(block_node_driver(node), "raw") == 0)
        node = block_node_file(node);
    return node;
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

/* Those that there are; that they cannot be read is said, and the rest told all the same. */
static GPtrArray *
info_snapshots(BlockNode *node, Told *told)
{
    g_autoptr(GError) err = NULL;
    GPtrArray *list = block_image_snapshots(node, &err);

    told->incomplete = !list;
    if (!list)
        fprintf(stderr, "kiln-img: warning: %s\n", err->message);
    return list ? list : g_ptr_array_new();
}

static JsonObject *
info_json(BlockNode *node, Told *told)
{
    JsonObject *o = json_object_new();
    g_autoptr(GPtrArray) snapshots = info_snapshots(node, told);
    const char *filename = block_node_filename(node);
    const char *backing = block_node_backing_filename(node);
    JsonObject *specific = block_image_specific(node);
    BlockNode *teller = driver_info_node(node);

    json_object_set_string_member(o, "filename", told->name);
    json_object_set_string_member(o, "format", told->format);
    json_object_set_int_member(o, "virtual-size", (gint64)block_node_size(node));
    if (!is_remote(node))
        json_object_set_int_member(o, "actual-size", (gint64)block_node_host_bytes(node));
    if (has_driver_info(teller)) {
        if (block_node_cluster_size(teller) > 0)
            json_object_set_int_member(o, "cluster-size", block_node_cluster_size(teller));
        json_object_set_boolean_member(o, "dirty-flag", block_image_is_dirty(teller));
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
info_print(BlockNode *node, Told *told)
{
    g_autoptr(GPtrArray) snapshots = info_snapshots(node, told);
    const char *filename = block_node_filename(node);
    const char *backing = block_node_backing_filename(node);
    JsonObject *specific = block_image_specific(node);
    BlockNode *teller = driver_info_node(node);
    g_autofree char *size = img_size_text(block_node_size(node));
    g_autofree char *host =
        is_remote(node) ? g_strdup("unavailable") : img_size_text(block_node_host_bytes(node));

    printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n",
           told->name, told->format, size, block_node_size(node), host);
    if (block_image_is_encrypted(node))
        puts("encrypted: yes");
    if (has_driver_info(teller) && block_node_cluster_size(teller) > 0)
        printf("cluster_size: %u\n", block_node_cluster_size(teller));
    if (has_driver_info(teller) && block_image_is_dirty(teller))
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

/* @node was opened by @options, NULL when by a file's name, and then as @format if that is not
 * NULL. */
static Told
told_new(const BlockNode *node, JsonObject *options, const char *format)
{
    bool has_driver = options && json_object_has_member(options, "driver");
    const char *driver = has_driver ? json_object_get_string_member(options, "driver") : format;

    /* where a protocol's driver was asked for, that is the format too */
    if (g_strcmp0(driver, block_node_driver(block_node_file(node))) != 0 ||
        g_strcmp0(driver, "raw") == 0)
        driver = block_node_driver(node);
    return (Told){ .name = img_name(node, options), .format = driver };
}

/* The options of json:{…}; NULL of other names. */
static JsonObject *
json_name_options(const char *name)
{
    return g_str_has_prefix(name, "json:") ? block_filename_options(name, NULL) : NULL;
}

/* The backing file of @node and how it is named there. */
static BlockNode *
info_next(BlockNode *node, JsonObject **ret_options)
{
    const char *name = block_node_backing_filename(node);

    g_clear_pointer(ret_options, json_object_unref);
    if (name)
        *ret_options = json_name_options(name);
    return block_node_backing(node);
}

static bool
is_none(JsonNode *option)
{
    return JSON_NODE_HOLDS_NULL(option) ||
           (JSON_NODE_HOLDS_VALUE(option) && g_strcmp0(json_node_get_string(option), "") == 0);
}

/* Which image lies behind this one is told as the image has it. That there be none may be said, and
 * makes no difference. */
static bool
backing_is_unsaid(JsonObject *options, GError **err)
{
    g_autoptr(GList) names = json_object_get_members(options);

    for (const GList *l = names; l; l = l->next) {
        const char *name = l->data;

        if ((strcmp(name, "backing") == 0 && !is_none(json_object_get_member(options, name))) ||
            g_str_has_prefix(name, "backing."))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "option '%s': what an image lies on is told as the image has it; "
                                  "leave the option out",
                                  name);
    }
    return true;
}

/* The name to open: json:{…} without "backing": null where the chain is wanted that it would hide.
 */
static char *
info_name(ImgArgs *args, JsonObject *options, unsigned *how)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    g_autofree char *text = NULL;

    if (!args->backing_chain || !options || !json_object_has_member(options, "backing"))
        return g_strdup(args->files[0]);
    img_warn_of_old_options(options);
    json_object_remove_member(options, "backing");
    json_node_set_object(root, options);
    text = img_json_text(root);
    *how &= ~(unsigned)IMG_OPEN_OPTIONS;
    return g_strconcat("json:", text, NULL);
}

/* Whether all was told. */
static bool
info_tell(BlockNode *top, JsonObject *top_options, const char *format, bool chain, bool json)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_ARRAY);
    JsonArray *array = json_array_new();
    JsonObject *options = top_options ? json_object_ref(top_options) : NULL;
    bool whole = true;

    json_node_take_array(root, array);
    for (BlockNode *n = top; n; n = chain ? info_next(n, &options) : NULL) {
        Told told = told_new(n, options, n == top ? format : NULL);

        if (json) {
            json_array_add_object_element(array, info_json(n, &told));
        } else {
            if (n != top)
                putchar('\n');
            info_print(n, &told);
        }
        whole &= !told.incomplete;
        g_free(told.name);
    }
    g_clear_pointer(&options, json_object_unref);
    if (json)
        img_json_print(chain ? root : json_array_get_element(array, 0));
    return whole;
}

static int
info_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) top = NULL;
    g_autoptr(JsonObject) options = NULL;
    g_autofree char *name = NULL;
    bool ok, damaged, json = img_output_is_json(args, &ok);
    unsigned how = IMG_OPEN_NO_IO | (args->image_opts ? IMG_OPEN_OPTIONS : 0) |
                   (args->backing_chain ? IMG_OPEN_CHAIN : 0);

    if (!ok)
        return IMG_FAILED;
    if (args->n_files != 1)
        return img_fail("Expecting one image file name\nTry 'kiln-img --help' for more "
                        "information");
    options = args->image_opts ? tool_keyval_object(args->files[0], TOOL_SHORT_TAKE, &err)
                               : json_name_options(args->files[0]);
    if (err || (options && !backing_is_unsaid(options, &err)))
        return img_fail("Could not open '%s': %s", args->files[0], err->message);
    name = info_name(args, options, &how);
    top = img_open(args, name, args->format, how, NULL, &err);
    /* a damaged image still says what it is */
    damaged = !top;
    if (!top)
        top = img_open(args, name, args->format, how | IMG_OPEN_CHECK | IMG_OPEN_AGAIN, NULL, NULL);
    if (top)
        g_clear_error(&err);
    if (!top || !img_sandbox_enter(&err))
        return img_fail_error(err);
    return info_tell(top, options, args->format, args->backing_chain, json) || damaged ? IMG_OK
                                                                                       : IMG_FAILED;
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
