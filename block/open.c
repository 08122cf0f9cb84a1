/* open.c - image nodes: opening a graph from options, from a file name, and along the names found
 * inside images.
 *
 * Names inside an image are a stranger's: they are followed only when the caller said so, asked
 * first, bounded in number, and never from an image that was given as a descriptor.
 *
 * Source: QEMU's documented -blockdev options and file names of images.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "block/throttle.h"
#include "util/error.h"
#include "util/file.h"

static BlockNode *node_open(BlockOptions *opts, BlockOpening *opening, bool protocol, GError **err);

const BlockImageOptions *
block_opening_image(const BlockOpening *opening)
{
    return opening->image;
}

/* Limits of the node's own, or of the group "throttling.group", which gets them if there are any.
 */
static bool
node_take_limits(BlockNode *node, BlockOptions *opts, const BlockOpenOps *ops, GError **err)
{
    g_autofree char *group = block_options_take(opts, "throttling.group");
    BlockLimits limits;
    bool given = false;

    if (!block_limits_take(opts, "throttling.", &limits, &given, err))
        return false;
    if (group && !ops->throttle)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "'throttling.group' is '%s': there are no groups here", group);
    if (group) {
        node->throttle = ops->throttle(ops->opaque, group);
        if (given)
            block_throttle_set(node->throttle, &limits);
    } else if (given) {
        node->throttle = block_throttle_new(NULL, &limits);
    }
    return true;
}

static bool
node_take_common(BlockNode *node, BlockOptions *opts, const BlockOpenOps *ops, GError **err)
{
    static const char *const detect[] = { "off", "on", "unmap", NULL };
    static const char *const discard[] = { "ignore", "off", "unmap", "on", NULL };
    static const char *const aio[] = { "io_uring", "threads", "native", NULL };
    int detect_zeroes = DETECT_ZEROES_OFF, discard_mode = 0, engine = 0;

    node->name = block_options_take(opts, "node-name");
    if (!block_options_take_bool(opts, "read-only", &node->read_only, err) ||
        !block_options_take_bool(opts, "cache.direct", &node->direct, err) ||
        !block_options_take_bool(opts, "cache.no-flush", &node->no_flush, err) ||
        !block_options_take_enum(opts, "discard", discard, &discard_mode, err) ||
        !block_options_take_enum(opts, "detect-zeroes", detect, &detect_zeroes, err) ||
        !block_options_take_enum(opts, "aio", aio, &engine, err) ||
        !node_take_limits(node, opts, ops, err))
        return false;
    node->discard = discard_mode >= 2;
    node->detect_zeroes = detect_zeroes;
    node->use_threads = engine == 1; /* native asks for kernel I/O: io_uring is that */
    if (node->detect_zeroes == DETECT_ZEROES_UNMAP && !node->discard)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "block option 'detect-zeroes' is 'unmap', which needs 'discard' to be "
            "'unmap' as well");
    return true;
}

/* What an object nested in a node's options takes from the node unless it says otherwise. */
static void
options_inherit(BlockOptions *sub, const BlockNode *node, bool read_only)
{
    block_options_default(sub, "read-only", read_only ? "on" : "off");
    block_options_default(sub, "cache.direct", node->direct ? "on" : "off");
    block_options_default(sub, "cache.no-flush", node->no_flush ? "on" : "off");
}

static void
options_from_image(BlockOptions *opts, const BlockImageOptions *image, bool read_only)
{
    block_options_default(opts, "read-only", read_only ? "on" : "off");
    block_options_default(opts, "cache.direct", image->direct ? "on" : "off");
    block_options_default(opts, "cache.no-flush", image->no_flush ? "on" : "off");
}

/* The node that option @key names or describes. */
static BlockNode *
node_from_option(BlockNode *node, BlockOptions *opts, const char *key, BlockOpening *opening,
                 bool read_only, bool protocol, GError **err)
{
    g_autofree char *name = block_options_take(opts, key);
    g_autoptr(BlockOptions) sub = block_options_take_sub(opts, key);
    const BlockOpenOps *ops = &opening->image->ops;
    BlockNode *found;

    if (name && *name) {
        found = ops->find_node ? ops->find_node(ops->opaque, name) : NULL;
        if (found)
            return block_node_ref(found);
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "block node '%s': there is no node '%s' for its option '%s'",
                       node->name     ? node->name
                       : node->driver ? node->driver->name
                                      : "",
                       name, key);
        return NULL;
    }
    if (!sub)
        return NULL;
    options_inherit(sub, node, read_only);
    return node_open(sub, opening, protocol, err);
}

BlockNode *
block_opening_option(BlockOpening *opening, BlockOptions *opts, const char *key, bool read_only,
                     GError **err)
{
    return node_from_option((BlockNode *)opening->node, opts, key, opening, read_only, true, err);
}

/* ---- names found inside images ---- */

static bool
same_file(const BlockNode *a, const BlockNode *b)
{
    const BlockNode *pa = block_node_protocol(a), *pb = block_node_protocol(b);
    struct stat sa, sb;

    if (pa == pb)
        return true;
    if (pa->fd < 0 || pb->fd < 0)
        return pa->filename && g_strcmp0(pa->filename, pb->filename) == 0;
    return fstat(pa->fd, &sa) == 0 && fstat(pb->fd, &sb) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}

/* Whether the caller lets the name @filename, found inside @image, be opened. */
static bool
name_is_allowed(const BlockOpening *opening, const BlockNode *image, const char *filename,
                GError **err)
{
    const char *own = block_node_filename(image);

    if (own && g_str_has_prefix(own, "/dev/fdset/"))
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "image '%s' names the file '%s', but was given as a descriptor, which "
            "says that nothing is opened by name; give that file in the options "
            "of the image as well ('backing', 'data-file')",
            own, filename);
    return !opening->image->allow ||
           opening->image->allow(opening->image->ops.opaque, filename, err);
}

BlockNode *
block_opening_extent(BlockOpening *opening, BlockNode *image, const char *filename, bool read_only,
                     GError **err)
{
    g_autofree char *path = block_filename_beside(image, filename, err);

    return path ? block_opening_path(opening, image, path, read_only, err) : NULL;
}

BlockNode *
block_opening_path(BlockOpening *opening, BlockNode *image, const char *path, bool read_only,
                   GError **err)
{
    g_autoptr(JsonObject) object = NULL;
    g_autoptr(BlockOptions) opts = NULL;
    g_autoptr(BlockNode) node = NULL;

    if (!name_is_allowed(opening, image, path, err) ||
        !(object = block_filename_options(path, err)) || !(opts = block_options_new(object, err)))
        return NULL;
    options_from_image(opts, opening->image, read_only);
    node = node_open(opts, opening, true, err);
    if (!node || !same_file(node, image))
        return g_steal_pointer(&node);
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "image '%s' names itself as a file of its data",
                   path);
    return NULL;
}

static BlockNode *open_above(const char *filename, const char *format, const BlockOpening *above,
                             bool read_only, const BlockImageOptions *image, GError **err);

static bool
open_backing_by_name(BlockNode *node, BlockOpening *opening, GError **err)
{
    g_autofree char *path = block_filename_beside(node, node->backing_filename, err);

    if (!path || !name_is_allowed(opening, node, path, err))
        return false;
    if (opening->depth + 1 >= BLOCK_CHAIN_MAX)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "the chain of backing files is longer than %d images at '%s'; shorten "
            "it (commit, rebase)",
            BLOCK_CHAIN_MAX, path);
    node->backing = open_above(path, node->backing_format, opening, true, opening->image, err);
    if (!node->backing)
        g_prefix_error(err, "backing file of '%s': ",
                       block_node_filename(node) ? block_node_filename(node) : "");
    return node->backing != NULL;
}

static bool
open_backing(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *name = block_options_take(opts, "backing");

    if (name && !*name)
        return true; /* null: none, whatever the image says */
    if (name)
        block_options_default(opts, "backing", name);
    node->backing = node_from_option(node, opts, "backing", opening, true, false, &why);
    if (why) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (!node->backing && node->backing_filename && opening->image->follow_backing &&
        !open_backing_by_name(node, opening, err))
        return false;
    for (const BlockNode *n = node->backing; n; n = n->backing)
        if (same_file(n, node))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "image '%s' is in its own chain of backing files",
                                  block_node_filename(node));
    return true;
}

/* ---- nodes ---- */

static bool
file_is_above(const BlockOpening *opening, const BlockNode *file)
{
    for (const BlockOpening *o = opening->above; o; o = o->above)
        if (o->node->file && same_file(o->node, file))
            return true;
    return false;
}

static bool
open_file_below(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    g_autoptr(GError) why = NULL;

    node->file = node_from_option(node, opts, "file", opening, node->read_only, true, &why);
    if (why) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (!node->file)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "block driver '%s' needs the option 'file'",
                              node->driver ? node->driver->name : "(by probing)");
    if (file_is_above(opening, node->file))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "image '%s' is in its own chain of backing files",
                              block_node_filename(node));
    return true;
}

/* @node has its file, driver and common options. */
static bool
node_open_format(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    const BlockDriver *driver = node->driver;

    node->state = driver->state_size > 0 ? g_malloc0(driver->state_size) : NULL;
    if (!driver->open(node, opts, opening, err) ||
        (driver->has_backing && !open_backing(node, opts, opening, err)) ||
        !block_options_finish(opts, driver->name, err))
        return false;
    node->size = (node->size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    return !driver->opened || driver->opened(node, opening, err);
}

/* @protocol: a node that says no driver is a protocol's, by its file name; otherwise its format is
 * probed, which only the callers of image.h ask for. */
static BlockNode *
node_open(BlockOptions *opts, BlockOpening *above, bool protocol, GError **err)
{
    g_autoptr(BlockNode) node = block_node_new();
    g_autofree char *driver = block_options_take(opts, "driver");
    BlockOpening opening = {
        .image = above->image,
        .above = above->above,
        .node = node,
        .depth = above->depth,
        .probe = above->probe,
    };

    node->inactive = above->image->ops.inactive;
    if (!driver && protocol && block_options_has(opts, "filename")) {
        g_autofree char *name = block_options_take(opts, "filename");
        g_autoptr(JsonObject) object = block_filename_options(name, err);
        g_autoptr(BlockOptions) named = object ? block_options_new(object, err) : NULL;
        g_autofree char *real = named ? block_options_take(named, "filename") : NULL;

        if (!real)
            return NULL;
        driver = block_options_take(named, "driver");
        block_options_default(opts, "filename", real);
    }
    if (!driver && (protocol || !opening.probe)) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "a block node needs the option 'driver'");
        return NULL;
    }
    if ((driver && !(node->driver = block_driver_find(driver, err))) ||
        !node_take_common(node, opts, &opening.image->ops, err))
        return NULL;
    if (!(node->driver && node->driver->is_protocol) && !open_file_below(node, opts, &opening, err))
        return NULL;
    if (!node->driver) {
        node->driver = block_probe_node(node->file, err);
        node->probed = true;
    }
    return node->driver && node_open_format(node, opts, &opening, err) ? g_steal_pointer(&node)
                                                                       : NULL;
}

static int
open_file_by_path(void *opaque, const char *filename, int flags, GError **err)
{
    int fd = open(filename, flags | O_CLOEXEC);

    (void)opaque;
    if (fd < 0)
        file_open_error(err, errno, "open", filename, flags);
    return fd;
}

BlockNode *
block_node_open(JsonObject *options, const BlockOpenOps *ops, GError **err)
{
    const BlockImageOptions image = { .ops = *ops, .follow_backing = true };
    BlockOpening opening = { .image = &image };
    g_autoptr(BlockOptions) opts = block_options_new(options, err);

    return opts ? node_open(opts, &opening, false, err) : NULL;
}

BlockNode *
block_node_open_probed(JsonObject *options, const BlockOpenOps *ops, GError **err)
{
    const BlockImageOptions image = { .ops = *ops, .follow_backing = true };
    BlockOpening opening = { .image = &image, .probe = true };
    g_autoptr(BlockOptions) opts = block_options_new(options, err);

    return opts ? node_open(opts, &opening, false, err) : NULL;
}

/* ---- images by name ---- */

/* Options of protocols become those of the file below a format's node. @chosen: somebody wrote them
 * as options, who by naming a protocol's driver asks for the file's own bytes. */
static JsonObject *
image_object(JsonObject *object, const char *format, bool chosen, bool read_only, GError **err)
{
    const char *name = json_object_has_member(object, "driver")
                           ? json_object_get_string_member(object, "driver")
                           : NULL;
    const BlockDriver *driver = name ? block_driver_find(name, err) : NULL;
    g_autoptr(JsonObject) outer = NULL;

    if (name && !driver)
        return NULL;
    if (!driver && json_object_has_member(object, "filename")) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "the options of an image name neither 'driver' nor 'file'; write "
                       "file.filename=… to have the format found out");
        return NULL;
    }
    if (driver && driver->is_protocol) {
        /* the protocol's own bytes, when it was asked for by name */
        if (g_strcmp0(format, name) == 0 || (!format && chosen))
            format = "raw";
        outer = json_object_new();
        json_object_set_object_member(outer, "file", json_object_ref(object));
    } else {
        outer = json_object_ref(object);
    }
    if (format) /* what is said beside a json: name goes before what it says */
        json_object_set_string_member(outer, "driver", format);
    if (!json_object_has_member(outer, "read-only"))
        json_object_set_boolean_member(outer, "read-only", read_only);
    if (!json_object_has_member(outer, "discard"))
        json_object_set_string_member(outer, "discard", "unmap");
    return g_steal_pointer(&outer);
}

static BlockNode *
open_object(JsonObject *object, const char *format, bool chosen, const BlockOpening *above,
            bool read_only, const BlockImageOptions *image, GError **err)
{
    BlockImageOptions full = *image;
    BlockOpening opening = {
        .image = &full, .above = above, .depth = above ? above->depth + 1 : 0, .probe = true
    };
    g_autoptr(JsonObject) outer = NULL;
    g_autoptr(BlockOptions) opts = NULL;

    if (!full.ops.open_file)
        full.ops.open_file = open_file_by_path;
    if (!(outer = image_object(object, format, chosen, read_only, err)) ||
        !(opts = block_options_new(outer, err)))
        return NULL;
    options_from_image(opts, image, read_only);
    block_options_default(opts, "file.discard", "unmap");
    return node_open(opts, &opening, false, err);
}

static BlockNode *
open_above(const char *filename, const char *format, const BlockOpening *above, bool read_only,
           const BlockImageOptions *image, GError **err)
{
    g_autoptr(JsonObject) object = block_filename_options(filename, err);

    return object ? open_object(object, format, g_str_has_prefix(filename, "json:"), above,
                                read_only, image, err)
                  : NULL;
}

/* Tools hold an image from its opening to its end. */
static BlockNode *
image_claim(BlockNode *opened, const BlockImageOptions *options, GError **err)
{
    g_autoptr(BlockNode) node = opened;

    if (!node || options->force_share ||
        block_node_lock(node, !block_node_read_only(node), false, err))
        return g_steal_pointer(&node);
    return NULL;
}

BlockNode *
block_image_open(const char *filename, const char *format, const BlockImageOptions *options,
                 GError **err)
{
    return image_claim(open_above(filename, format, NULL, options->read_only, options, err),
                       options, err);
}

BlockNode *
block_image_open_options(JsonObject *object, const BlockImageOptions *options, GError **err)
{
    return image_claim(open_object(object, NULL, true, NULL, options->read_only, options, err),
                       options, err);
}
