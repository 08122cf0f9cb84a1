/* image.c - images as tools and jobs see them: what formats there are, creation, and the calls that
 * a format may not have.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/open.h"
#include "util/error.h"
#include "util/file.h"

enum { EXTENT_SIZE = 1 << 20 }; /* of new images where the file system takes a hint; QEMU's */

static const char *
image_name(const BlockNode *node)
{
    const char *name = block_node_filename(node);

    return name ? name : node->name ? node->name : "";
}

/* False, saying that the format of @node has no @what. */
static bool
has_no(const BlockNode *node, const char *what, GError **err)
{
    return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "image '%s': the format %s has no %s",
                          image_name(node), node->driver->name, what);
}

/* ---- formats ---- */

const BlockCreateOption *
block_format_create_options(const char *format)
{
    static const BlockCreateOption none[] = { { 0 } };
    const BlockDriver *driver = block_driver_find(format, NULL);

    if (!driver)
        return NULL;
    return driver->create_options ? driver->create_options : none;
}

bool
block_format_can_compress(const char *format)
{
    const BlockDriver *driver = block_driver_find(format, NULL);

    return driver && driver->pwrite_compressed;
}

bool
block_prealloc_parse(const char *text, BlockPrealloc *ret, GError **err)
{
    static const char *const names[] = { "off", "metadata", "falloc", "full" };

    for (unsigned i = 0; text && i < G_N_ELEMENTS(names); i++)
        if (strcmp(names[i], text) == 0) {
            *ret = (BlockPrealloc)i;
            return true;
        }
    if (!text)
        *ret = BLOCK_PREALLOC_OFF;
    return !text ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "preallocation '%s' is not one of off, metadata, falloc, full", text);
}

/* ---- creation ---- */

static bool
create_options_check(const BlockDriver *driver, GHashTable *options, GError **err)
{
    GHashTableIter it;
    gpointer key;

    g_hash_table_iter_init(&it, options);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        const BlockCreateOption *row = driver->create_options;

        while (row->name && (row->only_amend || strcmp(row->name, key) != 0))
            row++;
        if (!row->name)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "format %s has no option '%s'; see -o help", driver->name,
                                  (char *)key);
    }
    return true;
}

static int
create_open_file(void *opaque, const char *filename, int flags, GError **err)
{
    int fd = open(filename, flags | O_CREAT | O_CLOEXEC, 0644);

    (void)opaque;
    if (fd < 0)
        file_open_error(err, errno, "create", filename, flags);
    return fd;
}

/* The file that the image will lie in, locked and emptied. */
static BlockNode *
create_file(const char *filename, const BlockImageOptions *image, GError **err)
{
    g_autoptr(JsonObject) object = block_filename_options(filename, err);
    const BlockOpenOps ops = {
        .opaque = image->ops.opaque,
        .open_file = image->ops.open_file ? image->ops.open_file : create_open_file,
        .find_node = image->ops.find_node,
    };
    g_autoptr(BlockNode) file = NULL;

    if (!object)
        return NULL;
    if (image->direct)
        json_object_set_boolean_member(object, "cache.direct", true);
    if (image->no_flush)
        json_object_set_boolean_member(object, "cache.no-flush", true);
    json_object_set_string_member(object, "discard", "unmap");
    file = block_node_open(object, &ops, err);
    if (!file)
        return NULL;
    if (!file->driver->is_protocol) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "an image is created in a file, not in a node of format %s",
                       file->driver->name);
        return NULL;
    }
    if (!image->force_share && !block_node_claim(file, true, false, err))
        return NULL;
    if (!file->fixed && file->driver->resize &&
        !file->driver->resize(file, 0, BLOCK_PREALLOC_OFF, err))
        return NULL;
    return g_steal_pointer(&file);
}

/* An overlay without a size is as large as what it lies on. */
static bool
create_default_size(const char *filename, GHashTable *options, const BlockImageOptions *image,
                    GError **err)
{
    const char *backing = g_hash_table_lookup(options, "backing_file");
    BlockImageOptions how = *image;
    g_autofree char *path = NULL, *dir = NULL;
    g_autoptr(BlockNode) node = NULL;

    if (g_hash_table_contains(options, "size") || !backing || !*backing)
        return true;
    dir = g_path_get_dirname(filename);
    path = backing[0] == '/' || strchr(backing, ':') || !strcmp(dir, ".")
               ? g_strdup(backing)
               : g_build_filename(dir, backing, NULL);
    how.read_only = how.force_share = true;
    how.follow_backing = true;
    node = block_image_open(path, g_hash_table_lookup(options, "backing_fmt"), &how, err);
    if (!node) {
        g_prefix_error(err, "backing file: ");
        return false;
    }
    g_hash_table_insert(options, g_strdup("size"),
                        g_strdup_printf("%" G_GUINT64_FORMAT, node->size));
    return true;
}

/* Copying by the file system costs an image twice; where it cannot be turned off nothing is lost.
 */
static void
file_set_nocow(const BlockNode *file)
{
    int flags;

    if (file->fd >= 0 && ioctl(file->fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_NOCOW_FL;
        if (ioctl(file->fd, FS_IOC_SETFLAGS, &flags) < 0)
            g_debug("no FS_NOCOW_FL on '%s'", block_node_filename(file));
    }
}

static bool
extent_size_parse(GHashTable *options, uint32_t *ret, GError **err)
{
    const char *text = g_hash_table_lookup(options, "extent_size_hint");
    guint64 size = EXTENT_SIZE;

    if (text && !g_ascii_string_to_unsigned(text, 10, 0, UINT32_MAX, &size, NULL))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "extent_size_hint=%s is too large; the file system takes up to %u",
                              text, UINT32_MAX);
    *ret = (uint32_t)size;
    return true;
}

/* Images grow in places all over: XFS is told to allocate them in larger pieces, or each write ends
 * up in an extent of its own. Other file systems have no such hint, and nothing is lost. @asked:
 * whom it is told that XFS does not take a size; NULL for one that nobody asked for. */
static void
file_set_extent_size(const BlockNode *file, uint32_t bytes, const BlockImageOptions *asked)
{
    struct fsxattr attributes;
    g_autofree char *message = NULL;

    if (file->fd < 0 || bytes == 0 || ioctl(file->fd, FS_IOC_FSGETXATTR, &attributes) < 0)
        return;
    attributes.fsx_xflags |= FS_XFLAG_EXTSIZE;
    attributes.fsx_extsize = bytes;
    if (ioctl(file->fd, FS_IOC_FSSETXATTR, &attributes) == 0 || errno == EOPNOTSUPP || !asked ||
        !asked->warn)
        return;
    message = g_strdup_printf("'%s': the file system takes no extent_size_hint=%u (%s); it keeps "
                              "its own",
                              block_node_filename(file), bytes, g_strerror(errno));
    asked->warn(asked->ops.opaque, message);
}

/* What could not be made whole is not left to be taken for an image of another format. */
static void
remove_file(BlockNode *file)
{
    struct stat st;

    if (strcmp(file->driver->name, "file") == 0 && !g_str_has_prefix(file->filename, "/dev/fd") &&
        file->fd >= 0 && fstat(file->fd, &st) == 0 && S_ISREG(st.st_mode))
        unlink(file->filename);
}

bool
block_image_create(const char *filename, const char *format, GHashTable *options,
                   const BlockImageOptions *image, GError **err)
{
    const BlockDriver *driver = block_driver_find(format, err);
    g_autoptr(BlockNode) file = NULL;
    uint32_t extent_size = 0;
    int r;

    if (!driver)
        return false;
    if (!driver->create || !driver->create_options)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "images of format %s are read, not created", format);
    if (!create_options_check(driver, options, err) ||
        !extent_size_parse(options, &extent_size, err) ||
        !create_default_size(filename, options, image, err))
        return false;
    file = create_file(filename, image, err);
    if (!file)
        return false;
    if (g_strcmp0(g_hash_table_lookup(options, "nocow"), "on") == 0)
        file_set_nocow(file);
    file_set_extent_size(file, extent_size,
                         g_hash_table_contains(options, "extent_size_hint") ? image : NULL);
    if (!driver->create(file, options, image, err)) {
        remove_file(file);
        return false;
    }
    r = block_node_flush(file);
    return r == 0 ||
           block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, file, "cannot flush '%s'", filename);
}

/* ---- upkeep ---- */

bool
block_image_resize(BlockNode *node, uint64_t size, BlockPrealloc prealloc, bool shrink,
                   GError **err)
{
    if (!node->driver->resize)
        return has_no(node, "resizing", err);
    if (block_node_read_only(node))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "image '%s' is read-only",
                              image_name(node));
    if (size < node->size && !shrink)
        return kiln_error_set(
            err, VIR_ERR_OPERATION_INVALID,
            "image '%s' has %" G_GUINT64_FORMAT " bytes; cutting it to %" G_GUINT64_FORMAT
            " loses what is beyond; say so with resize --shrink if that is wanted",
            image_name(node), node->size, size);
    return node->driver->resize(node, size, prealloc, err);
}

bool
block_image_check(BlockNode *node, unsigned fix, BlockCheck *ret, GError **err)
{
    return node->driver->check ? node->driver->check(node, fix, ret, err)
                               : has_no(node, "check", err);
}

JsonObject *
block_image_specific(BlockNode *node)
{
    return node->driver->specific ? node->driver->specific(node) : NULL;
}

bool
block_image_is_encrypted(const BlockNode *node)
{
    return node->driver->is_encrypted && node->driver->is_encrypted(node);
}

bool
block_image_is_dirty(const BlockNode *node)
{
    return node->driver->is_dirty && node->driver->is_dirty(node);
}

bool
block_image_make_empty(BlockNode *node, GError **err)
{
    return node->driver->make_empty ? node->driver->make_empty(node, err)
                                    : has_no(node, "way of being emptied", err);
}

bool
block_image_change_backing(BlockNode *node, const char *filename, const char *format, GError **err)
{
    return node->driver->change_backing ? node->driver->change_backing(node, filename, format, err)
                                        : has_no(node, "backing file", err);
}

bool
block_image_amend(BlockNode *node, GHashTable *options, BlockProgress progress, void *opaque,
                  GError **err)
{
    return node->driver->amend ? node->driver->amend(node, options, progress, opaque, err)
                               : has_no(node, "options that can be amended", err);
}

bool
block_image_measure(const char *format, GHashTable *options, BlockNode *source, BlockMeasure *ret,
                    GError **err)
{
    const BlockDriver *driver = block_driver_find(format, err);

    if (!driver)
        return false;
    if (!driver->measure)
        return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "the format %s has no measure", format);
    return create_options_check(driver, options, err) && driver->measure(options, source, ret, err);
}

/* ---- snapshots ---- */

void
block_snapshot_free(BlockSnapshot *snapshot)
{
    if (!snapshot)
        return;
    g_free(snapshot->id);
    g_free(snapshot->name);
    g_free(snapshot);
}

GPtrArray *
block_image_snapshots(BlockNode *node, GError **err)
{
    return node->driver->snapshots
               ? node->driver->snapshots->list(node, err)
               : g_ptr_array_new_with_free_func((GDestroyNotify)block_snapshot_free);
}

bool
block_image_snapshot_create(BlockNode *node, const BlockSnapshot *snapshot, GError **err)
{
    return node->driver->snapshots ? node->driver->snapshots->create(node, snapshot, err)
                                   : has_no(node, "internal snapshots", err);
}

bool
block_image_snapshot_apply(BlockNode *node, const char *id_or_name, GError **err)
{
    return node->driver->snapshots ? node->driver->snapshots->apply(node, id_or_name, err)
                                   : has_no(node, "internal snapshots", err);
}

bool
block_image_snapshot_delete(BlockNode *node, const char *id_or_name, GError **err)
{
    return node->driver->snapshots ? node->driver->snapshots->remove(node, id_or_name, err)
                                   : has_no(node, "internal snapshots", err);
}

bool
block_image_snapshot_show(BlockNode *node, const char *id_or_name, GError **err)
{
    return node->driver->snapshots ? node->driver->snapshots->show(node, id_or_name, err)
                                   : has_no(node, "internal snapshots", err);
}

int
block_image_vmstate_read(BlockNode *node, uint64_t offset, void *buf, size_t length)
{
    return node->driver->snapshots
               ? node->driver->snapshots->vmstate_read(node, offset, buf, length)
               : -ENOTSUP;
}

int
block_image_vmstate_write(BlockNode *node, uint64_t offset, const void *buf, size_t length)
{
    return node->driver->snapshots
               ? node->driver->snapshots->vmstate_write(node, offset, buf, length)
               : -ENOTSUP;
}

/* ---- bitmaps ---- */

void
block_bitmap_free(BlockBitmap *bitmap)
{
    if (!bitmap)
        return;
    g_free(bitmap->name);
    g_free(bitmap);
}

GPtrArray *
block_image_bitmaps(BlockNode *node)
{
    return node->driver->bitmaps
               ? node->driver->bitmaps->list(node)
               : g_ptr_array_new_with_free_func((GDestroyNotify)block_bitmap_free);
}

bool
block_image_bitmap_add(BlockNode *node, const char *name, uint64_t granularity, bool enabled,
                       GError **err)
{
    return node->driver->bitmaps ? node->driver->bitmaps->add(node, name, granularity, enabled, err)
                                 : has_no(node, "bitmaps", err);
}

bool
block_image_bitmap_remove(BlockNode *node, const char *name, GError **err)
{
    return node->driver->bitmaps ? node->driver->bitmaps->remove(node, name, err)
                                 : has_no(node, "bitmaps", err);
}

bool
block_image_bitmap_clear(BlockNode *node, const char *name, GError **err)
{
    return node->driver->bitmaps ? node->driver->bitmaps->clear(node, name, err)
                                 : has_no(node, "bitmaps", err);
}

bool
block_image_bitmap_enable(BlockNode *node, const char *name, bool enable, GError **err)
{
    return node->driver->bitmaps ? node->driver->bitmaps->enable(node, name, enable, err)
                                 : has_no(node, "bitmaps", err);
}

bool
block_image_bitmap_merge(BlockNode *to, const char *to_name, BlockNode *from, const char *from_name,
                         GError **err)
{
    return to->driver->bitmaps ? to->driver->bitmaps->merge(to, to_name, from, from_name, err)
                               : has_no(to, "bitmaps", err);
}

int
block_image_bitmap_status(BlockNode *node, const char *name, uint64_t offset, uint64_t *length,
                          bool *ret_dirty)
{
    return node->driver->bitmaps
               ? node->driver->bitmaps->status(node, name, offset, length, ret_dirty)
               : -ENOTSUP;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **
block_format_names(void)
{
    GPtrArray *all = g_ptr_array_new();

    for (unsigned i = 0; block_drivers[i]; i++)
        g_ptr_array_add(all, g_strdup(block_drivers[i]->name));
    g_ptr_array_sort(all, compare_names);
    g_ptr_array_add(all, NULL);
    return (char **)g_ptr_array_free(all, FALSE);
}
