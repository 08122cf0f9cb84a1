/* commit.c - kiln-img commit: writes what an overlay changed into its backing file, or into one
 * further down, and empties the overlay.
 *
 * The layers are opened each by itself, from the bottom up: what one says of a range is copied,
 * what it leaves to its backing file is there already.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

enum { PIECE = 1 << 20 };

typedef struct {
    BlockNode *from, *to;
    uint64_t end; /* of the top */
    ImgProgress *progress;
    uint64_t done, total; /* bytes, of all layers */
    uint64_t rate;
    gint64 started;
    BlockFlags flags;
} Layer;

static void
keep_rate(const Layer *layer)
{
    gint64 ahead;

    if (layer->rate == 0)
        return;
    ahead = (gint64)((double)layer->done / (double)layer->rate * G_USEC_PER_SEC) -
            (g_get_monotonic_time() - layer->started);
    if (ahead > 0)
        g_usleep((gulong)ahead);
}

/* What the base has behind the end of a layer shorter than the top is not seen through it. */
static bool
hide_beyond(const Layer *layer, GError **err)
{
    uint64_t at = block_node_size(layer->from);
    int r = at < layer->end ? block_node_write_zeroes(layer->to, at, layer->end - at,
                                                      BLOCK_UNMAP | layer->flags)
                            : 0;

    return r == 0 ||
           block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, layer->to,
                           "committing '%s' into '%s' from byte %" PRIu64 " on",
                           block_node_filename(layer->from), block_node_filename(layer->to), at);
}

/* By way of @buf, PIECE bytes. */
static bool
commit_layer(Layer *layer, char *buf, GError **err)
{
    uint64_t size = block_node_size(layer->from);
    ImgWalk walk;

    img_walk_begin(&walk, layer->from, NULL);
    for (uint64_t at = 0; at < size;) {
        ImgRange range = { 0 };
        int r = img_walk_range(&walk, at, size - at, &range);
        bool own = range.status.flags & BLOCK_STATUS_ALLOCATED;
        uint64_t length = range.length;
        bool at_target = false; /* what failed */

        if (r == 0 && own && range.kind == IMG_COPY_ZERO) {
            at_target = true;
            r = block_node_write_zeroes(layer->to, at, length, BLOCK_UNMAP | layer->flags);
        } else if (r == 0 && own) {
            length = MIN(length, (uint64_t)PIECE);
            r = block_node_pread(layer->from, at, buf, length);
            at_target = r == 0;
            if (r == 0)
                r = block_node_pwrite(layer->to, at, buf, length, layer->flags);
        }
        if (r < 0) {
            block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, at_target ? layer->to : layer->from,
                            "committing '%s' into '%s' at byte %" PRIu64,
                            block_node_filename(layer->from), block_node_filename(layer->to), at);
            img_walk_end(&walk);
            return false;
        }
        at += length;
        layer->done += length;
        img_progress_set(layer->progress, (double)layer->done / (double)layer->total);
        keep_rate(layer);
    }
    img_walk_end(&walk);
    return hide_beyond(layer, err);
}

static char *
json_name(JsonObject *object)
{
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), object);
    g_autofree char *text = json_to_string(node, FALSE);

    return g_strconcat("json:", text, NULL);
}

/* Each layer is opened by itself: where the options of one say its backing file too (as they must
 * when that is encrypted), these are taken out of *path, which becomes "json:{…}". *ret: the
 * "json:{…}" of the backing file; NULL when nothing is said of it. */
static bool
take_backing_options(char **path, bool options, char **ret, GError **err)
{
    g_autoptr(JsonObject) object = NULL;
    g_autoptr(JsonObject) backing = json_object_new();
    g_autoptr(GList) names = NULL;

    if (!options && !g_str_has_prefix(*path, "json:"))
        return true;
    object = options ? tool_keyval_object(*path, TOOL_SHORT_TAKE, err)
                     : block_filename_options(*path, err);
    if (!object)
        return false;
    names = json_object_get_members(object);
    for (const GList *l = names; l; l = l->next) {
        g_autofree char *name = g_strdup(l->data);
        JsonNode *value = json_object_get_member(object, name);

        if (strcmp(name, "backing") == 0 && JSON_NODE_HOLDS_OBJECT(value)) {
            g_autoptr(JsonObject) nested = json_node_dup_object(value);
            g_autoptr(GList) inner = json_object_get_members(nested);

            for (const GList *i = inner; i; i = i->next)
                json_object_set_member(backing, i->data, json_object_dup_member(nested, i->data));
        } else if (g_str_has_prefix(name, "backing.")) {
            json_object_set_member(backing, name + strlen("backing."), json_node_copy(value));
        } else {
            continue;
        }
        json_object_remove_member(object, name);
    }
    if (json_object_get_size(backing) == 0)
        return true;
    g_free(*path);
    *path = json_name(object);
    *ret = json_name(backing);
    return true;
}

/* Opens the layers above the base, top first, and the base itself for writing. */
static bool
open_layers(ImgArgs *args, GPtrArray *layers, BlockNode **ret_base, char **ret_base_path,
            GError **err)
{
    g_autofree char *path = g_strdup(args->files[0]);
    g_autofree char *format = g_strdup(args->format);
    unsigned how = args->image_opts ? IMG_OPEN_OPTIONS : 0;

    for (;;) {
        g_autofree char *given = NULL;
        const char *backing;
        BlockNode *node;

        if (!take_backing_options(&path, how & IMG_OPEN_OPTIONS, &given, err))
            return false;
        if (given)
            how &= ~(unsigned)IMG_OPEN_OPTIONS;
        /* only the top is changed, by being emptied */
        node = img_open(args, path, format,
                        how | (layers->len == 0 && !args->keep_top ? IMG_OPEN_WRITE : 0),
                        args->cache, err);
        if (!node)
            return false;
        backing = block_node_backing_filename(node);
        g_ptr_array_add(layers, node);
        if (!backing && !given && layers->len == 1)
            return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                                  "'%s': Image does not have a backing file", args->files[0]);
        if ((!backing && !given) || layers->len > BLOCK_CHAIN_MAX)
            return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "'%s' is no backing file of '%s'",
                                  args->backing, args->files[0]);
        g_free(path);
        path = given ? g_strdup(given) : img_backing_path(block_node_filename(node), backing);
        g_free(format);
        format = given ? NULL : g_strdup(block_node_backing_format(node));
        how = IMG_OPEN_QUIET;
        if (!args->backing || g_strcmp0(args->backing, backing) == 0 ||
            strcmp(args->backing, path) == 0)
            break;
    }
    *ret_base = img_open(args, path, format, IMG_OPEN_WRITE | IMG_OPEN_CHAIN | IMG_OPEN_QUIET,
                         args->cache, err);
    *ret_base_path = g_steal_pointer(&path);
    return *ret_base != NULL;
}

static bool
commit_all(ImgArgs *args, GPtrArray *layers, BlockNode *base, ImgProgress *progress, GError **err)
{
    g_autofree char *buf = g_malloc(PIECE);
    BlockNode *top = layers->pdata[0];
    Layer layer = {
        .to = base,
        .end = block_node_size(top),
        .progress = progress,
        .rate = args->rate == IMG_UNSET ? 0 : args->rate,
        .started = g_get_monotonic_time(),
        .flags = img_cache_is_writethrough(args->cache) ? BLOCK_FUA : 0,
    };

    for (guint i = 0; i < layers->len; i++)
        layer.total += block_node_size(layers->pdata[i]);
    if (block_node_size(base) < block_node_size(top) &&
        !block_image_resize(base, block_node_size(top), BLOCK_PREALLOC_OFF, false, err))
        return false;
    for (guint i = layers->len; i-- > 0;) {
        layer.from = layers->pdata[i];
        /* the top's size counts: a larger layer below is cut off by it */
        if (block_node_size(layer.from) > block_node_size(base))
            return kiln_error_set(err, VIR_ERR_NO_SUPPORT,
                                  "'%s' is larger than '%s': commit it by itself first",
                                  block_node_filename(layer.from), block_node_filename(base));
        if (!commit_layer(&layer, buf, err))
            return false;
    }
    if (!img_flush(base, err))
        return false;
    if (args->keep_top || layers->len > 1)
        return true;
    return block_image_make_empty(top, err);
}

static int
commit_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) layers = g_ptr_array_new_with_free_func((GDestroyNotify)block_node_unref);
    g_autoptr(BlockNode) base = NULL;
    g_autofree char *base_path = NULL;
    ImgProgress *progress;
    bool done;

    if (args->n_files != 1)
        return img_fail("Expecting one image file name\nTry 'kiln-img --help' for more "
                        "information");
    /* with a base further down the layers between still need the top as it is */
    args->keep_top |= args->backing != NULL;
    if (!open_layers(args, layers, &base, &base_path, &err) || !img_sandbox_enter(&err))
        return img_fail_error(err);
    progress = img_progress_new(args->progress && !args->quiet);
    done = commit_all(args, layers, base, progress, &err);
    img_progress_free(progress);
    if (!done)
        return img_fail_error(err);
    if (!args->quiet)
        puts("Image committed.");
    return IMG_OK;
}

static const ImgOption commit_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'q', NULL, NULL, IMG_FLAG, IMG_AT(quiet) },
    { 'f', NULL, "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 't', NULL, "CACHE", IMG_TEXT, IMG_AT(cache) },
    { 'b', NULL, "BASE", IMG_TEXT, IMG_AT(backing) },
    { 'r', NULL, "rate limit", IMG_SIZE, IMG_AT(rate) },
    { 'd', NULL, NULL, IMG_FLAG, IMG_AT(keep_top) },
    { 'p', NULL, NULL, IMG_FLAG, IMG_AT(progress) },
    { 0 },
};

const ImgCommand img_commit = {
    .name = "commit",
    .operands = "FILE",
    .summary = "writes what an overlay changed into its backing file",
    .options = commit_options,
    .run = commit_run,
};
