/* image.c - the image that kiln-nbd serves.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "block/nbd/serve.h"
#include "block/open.h"
#include "block/tools/keyval.h"
#include "block/tools/snapshot.h"
#include "util/error.h"

static NbdTls *
image_tls(void *opaque, const char *id, const char *hostname, GError **err)
{
    const NbdArgs *args = opaque;

    return tool_objects_tls(args->objects, id, false, hostname, err);
}

static uint8_t *
image_secret(void *opaque, const char *id, size_t *ret_len, GError **err)
{
    const NbdArgs *args = opaque;

    return tool_objects_secret(args->objects, id, ret_len, err);
}

static void
set_default(JsonObject *object, const char *key, const char *value)
{
    if (!json_object_has_member(object, key))
        json_object_set_string_member(object, key, value);
}

static bool
discard_is_ignored(const NbdArgs *args)
{
    return g_strcmp0(args->discard, "ignore") == 0 || g_strcmp0(args->discard, "off") == 0;
}

static JsonObject *
image_object(const NbdArgs *args, GError **err)
{
    JsonObject *object, *file;

    if (args->image_opts) {
        object = tool_keyval_object(args->file, TOOL_SHORT_WARN, err);
    } else if (g_str_has_prefix(args->file, "json:")) {
        object = block_filename_options(args->file, err);
    } else {
        file = block_filename_options(args->file, err);
        if (!file)
            return NULL;
        if (args->aio)
            json_object_set_string_member(file, "aio", args->aio);
        if (!discard_is_ignored(args))
            json_object_set_string_member(file, "discard", "unmap");
        object = json_object_new();
        json_object_set_object_member(object, "file", file);
        if (args->format)
            json_object_set_string_member(object, "driver", args->format);
    }
    if (!object)
        return NULL;
    set_default(object, "discard", discard_is_ignored(args) ? "ignore" : "unmap");
    if (args->detect_zeroes)
        set_default(object, "detect-zeroes", args->detect_zeroes);
    return object;
}

static BlockNode *
window_find(void *opaque, const char *name)
{
    (void)name;
    return opaque;
}

/* A window on @node from --offset on. */
static BlockNode *
image_window(const NbdArgs *args, BlockNode *node, GError **err)
{
    const BlockOpenOps ops = { .opaque = node, .find_node = window_find };
    g_autoptr(JsonObject) object = json_object_new();

    if (args->offset == 0)
        return block_node_ref(node);
    if (args->offset > block_node_size(node)) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "--offset %" G_GUINT64_FORMAT " lies behind the %" G_GUINT64_FORMAT
                       " bytes of '%s'",
                       args->offset, block_node_size(node), args->file);
        return NULL;
    }
    json_object_set_string_member(object, "driver", "raw");
    json_object_set_string_member(object, "file", "image");
    json_object_set_int_member(object, "offset", (gint64)args->offset);
    return block_node_open(object, &ops, err);
}

/* The name that an overlay anywhere calls the image by. */
static char *
temporary_base(const NbdArgs *args, GError **err)
{
    g_autoptr(JsonObject) object = NULL;
    g_autoptr(JsonNode) node = NULL;
    g_autofree char *text = NULL;

    if (!args->image_opts)
        return strstr(args->file, ":") ? g_strdup(args->file)
                                       : g_canonicalize_filename(args->file, NULL);
    object = tool_keyval_object(args->file, TOOL_SHORT_WARN, err);
    if (!object)
        return NULL;
    node = json_node_init_object(json_node_alloc(), object);
    text = json_to_string(node, FALSE);
    return g_strconcat("json:", text, NULL);
}

/* What is written goes to a file without a name, over the image. */
static BlockNode *
open_temporary(const NbdArgs *args, BlockImageOptions options, GError **err)
{
    const char *dir = g_getenv("TMPDIR");
    g_autofree char *overlay = g_strdup_printf("%s/kiln-nbd-XXXXXX", dir ? dir : "/var/tmp");
    g_autoptr(GHashTable) create = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autofree char *image = NULL;
    g_autoptr(BlockNode) base = NULL;
    BlockNode *node = NULL;
    int fd;

    image = temporary_base(args, err);
    if (!image)
        return NULL;
    options.read_only = true;
    base = block_image_open(image, args->format, &options, err);
    if (!base)
        return NULL;
    fd = g_mkstemp(overlay);
    if (fd < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot make a temporary file '%s'",
                             overlay);
        return NULL;
    }
    close(fd);
    g_hash_table_insert(create, g_strdup("size"),
                        g_strdup_printf("%" G_GUINT64_FORMAT, block_node_size(base)));
    g_hash_table_insert(create, g_strdup("backing_file"), g_strdup(image));
    g_hash_table_insert(create, g_strdup("backing_fmt"), g_strdup(block_node_driver(base)));
    options.read_only = false;
    if (block_image_create(overlay, "qcow2", create, &options, err))
        node = block_image_open(overlay, "qcow2", &options, err);
    unlink(overlay);
    return node;
}

BlockNode *
nbd_image_open(const NbdArgs *args, GError **err)
{
    const char *cache = args->cache ? args->cache : "writeback";
    BlockImageOptions options = {
        .ops = { .opaque = (void *)args, .secret = image_secret, .tls = image_tls },
        .read_only = args->read_only,
        .follow_backing = true,
        .direct = strcmp(cache, "none") == 0 || strcmp(cache, "directsync") == 0,
        .no_flush = strcmp(cache, "unsafe") == 0,
    };
    g_autoptr(JsonObject) object = NULL;
    g_autoptr(BlockNode) node = NULL;

    if (args->temporary) {
        node = open_temporary(args, options, err);
    } else {
        object = image_object(args, err);
        node = object ? block_image_open_options(object, &options, err) : NULL;
    }
    if (!node)
        return NULL;
    if (args->load_snapshot && !tool_snapshot_show(node, args->load_snapshot, err))
        return NULL;
    return image_window(args, node, err);
}
