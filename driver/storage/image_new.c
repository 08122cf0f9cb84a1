/* image_new.c - making, copying and resizing files and devices that are volumes, by kiln-img but
 * for what is raw.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "driver/storage/crypt.h"
#include "util/error.h"

/* All of @size, and disk space for the first @allocation of it. */
static bool
create_raw(const StorageVolDef *def, GError **err)
{
    uint64_t allocation = def->allocation == XML_UNSET ? def->capacity : def->allocation;
    const char *path = def->target->path;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int flags = 0, r;
    bool ok = true;

    if (fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno, "cannot create path '%s'",
                                    path);
    if (def->target->nocow) {
        ok = ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;
        flags |= FS_NOCOW_FL;
        ok = ok && ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
        if (!ok)
            kiln_error_set_errno(
                err, VIR_ERR_SYSTEM_ERROR, errno,
                "cannot turn copy-on-write off for '%s' (<nocow>), which btrfs can", path);
    }
    if (ok && ftruncate(fd, (off_t)def->capacity) < 0)
        ok =
            kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot extend file '%s'", path);
    allocation = MIN(allocation, def->capacity);
    r = ok && allocation ? posix_fallocate(fd, 0, (off_t)allocation) : 0;
    if (r)
        ok = kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r,
                                  "cannot allocate %" G_GUINT64_FORMAT " bytes in file '%s'",
                                  allocation, path);
    close(fd);
    if (!ok)
        unlink(path);
    return ok;
}

/* A relative name is beside the image. */
static bool
check_backing(const StorageNewVol *vol, GError **err)
{
    const char *path = vol->def->backing->path;
    g_autofree char *dir = g_path_get_dirname(vol->def->target->path);
    g_autofree char *full = g_canonicalize_filename(path, dir);

    if (vol->flags & VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "metadata preallocation conflicts with backing store");
    return access(full, R_OK) == 0 ||
           kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                "inaccessible backing store volume %s", path);
}

/* Whether the bytes of the source can be those of the new volume. */
static bool
is_same_kind(const StorageNewVol *vol, const char *format)
{
    const StorageVolTarget *from = vol->source_def->target;

    return !from->encryption && !vol->def->target->encryption &&
           strcmp(from->format ? from->format : "raw", format) == 0;
}

static bool
check_image(const StorageNewVol *vol, const char *format, GError **err)
{
    static const char *const made[] = { "raw", "qcow2", "vmdk", "vdi", "vpc", NULL };
    const StorageVolTarget *target = vol->def->target;
    const StorageVolBacking *backing = vol->def->backing;

    if (!g_strv_contains(made, format))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "volume '%s': images of format '%s' cannot be made", vol->def->name,
                              format);
    if (!storage_crypt_check_new(vol->def, format, err) ||
        (vol->source && !storage_crypt_check_open(vol->source_def, VIR_ERR_INVALID_ARG, err)))
        return false;
    if (backing && strcmp(format, "raw") == 0)
        return kiln_error_set(err, VIR_ERR_NO_SUPPORT,
                              "backing storage not supported for raw volumes");
    if (backing && !check_backing(vol, err))
        return false;
    if ((vol->flags & VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA) && strcmp(format, "qcow2") != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "metadata preallocation only available with qcow2");
    if ((vol->flags & VIR_STORAGE_VOL_CREATE_REFLINK) && vol->source && !is_same_kind(vol, format))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "volume '%s': a copy by reference has the format of its source and "
                              "is not encrypted",
                              vol->def->name);
    if ((target->lazy_refcounts || target->extended_l2) && target->compat &&
        strcmp(target->compat, "0.10") == 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "features of volume '%s' are not supported with compat level %s",
                              vol->def->name, target->compat);
    return true;
}

/* What `-o` says of the new image, and its secret. */
static bool
add_options(StorageManager *m, ImgCall *call, const StorageNewVol *vol, const char *format,
            GError **err)
{
    const StorageVolDef *def = vol->def;
    const StorageVolTarget *target = def->target;
    bool qcow2 = strcmp(format, "qcow2") == 0;

    if (target->encryption && !storage_crypt_add_new(m, call, target->encryption, qcow2, err))
        return false;
    if (target->nocow)
        img_call_add_option(call, "nocow", "on");
    if (!qcow2)
        return true;
    if (vol->flags & VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA)
        img_call_add_option(call, "preallocation",
                            def->allocation < def->capacity ? "metadata" : "falloc");
    if (target->compat)
        img_call_add_option(call, "compat", target->compat);
    if (target->cluster_size != XML_UNSET && target->cluster_size) {
        g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, target->cluster_size);

        img_call_add_option(call, "cluster_size", size);
    }
    if (target->lazy_refcounts)
        img_call_add_option(call, "lazy_refcounts", "on");
    if (target->extended_l2)
        img_call_add_option(call, "extended_l2", "on");
    return true;
}

static void
add_backing(ImgCall *call, const char *option, const StorageVolBacking *backing)
{
    if (!backing)
        return;
    img_call_add(call, option);
    img_call_add(call, backing->path);
    img_call_add(call, "-F");
    img_call_add(call, backing->format ? backing->format : "raw");
}

/* What kiln-img calls the format of a volume that is @format. */
static const char *
driver_name(const StorageVolTarget *target, const char *format)
{
    return target->encryption && strcmp(format, "raw") == 0 ? "luks" : format;
}

static bool
create_image(StorageManager *m, const StorageNewVol *vol, const char *format, GError **err)
{
    g_auto(ImgCall) call = { 0 };
    const StorageVolDef *def = vol->def;

    img_call_init(&call, m->img, "create");
    img_call_add(&call, "-f");
    img_call_add(&call, driver_name(def->target, format));
    if (!add_options(m, &call, vol, format, err))
        return false;
    add_backing(&call, "-b", def->backing);
    img_call_add(&call, def->target->path);
    if (def->capacity != XML_UNSET)
        img_call_add_size(&call, def->capacity);
    return img_call_run(&call, err);
}

/* A copy that shares its blocks with the source until one is written: the same bytes. */
static bool
create_reflink(const StorageVolDef *def, const StorageVol *source, GError **err)
{
    int from = open(source->path, O_RDONLY | O_CLOEXEC);
    int to = open(def->target->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = from >= 0 && to >= 0 && ioctl(to, FICLONE, from) == 0;

    if (!ok)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                             "failed to copy '%s' to '%s' by reference", source->path,
                             def->target->path);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return ok;
}

/* What is copied, behind the options. */
static char *
add_source(StorageManager *m, ImgCall *call, const StorageNewVol *vol, GError **err)
{
    const StorageVolTarget *from = vol->source_def->target;
    bool bytes =
        !from->format || strcmp(from->format, "none") == 0 || strcmp(from->format, "iso") == 0;

    if (from->encryption) {
        img_call_add(call, "--image-opts");
        return storage_crypt_options(m, call, from, err);
    }
    img_call_add(call, "-f");
    img_call_add(call, bytes ? "raw" : from->format);
    return g_strdup(vol->source->path);
}

static bool
copy_image_file(StorageManager *m, const StorageNewVol *vol, const char *format, GError **err)
{
    g_auto(ImgCall) call = { 0 };
    g_autofree char *source = NULL;
    const StorageVolDef *def = vol->def;
    bool block = def->type == STORAGE_VOL_TYPE_BLOCK;

    if ((vol->flags & VIR_STORAGE_VOL_CREATE_REFLINK) && !block)
        return create_reflink(def, vol->source, err);
    img_call_init(&call, m->img, "convert");
    source = add_source(m, &call, vol, err);
    if (!source)
        return false;
    if (block)
        img_call_add(&call, "-n");
    img_call_add(&call, "-O");
    img_call_add(&call, driver_name(def->target, format));
    if (!block && !add_options(m, &call, vol, format, err))
        return false;
    add_backing(&call, "-B", def->backing);
    if (strcmp(format, "raw") == 0 && !block && !def->target->encryption &&
        (def->allocation == XML_UNSET || def->allocation >= def->capacity)) {
        img_call_add(&call, "-S");
        img_call_add(&call, "0");
    }
    img_call_add(&call, source);
    img_call_add(&call, def->target->path);
    return img_call_run(&call, err);
}

bool
storage_image_create(StorageManager *m, const StorageNewVol *vol, GError **err)
{
    StorageVolDef *def = vol->def;
    StorageVolTarget *target = def->target;
    const char *format;

    /* All are bytes without a header. */
    if (!target->format || strcmp(target->format, "none") == 0 ||
        strcmp(target->format, "iso") == 0) {
        g_free(target->format);
        target->format = g_strdup("raw");
    }
    format = target->format;
    if (!check_image(vol, format, err))
        return false;
    if (!vol->source)
        return strcmp(format, "raw") == 0 && !target->encryption
                   ? create_raw(def, err)
                   : create_image(m, vol, format, err);
    if (!copy_image_file(m, vol, format, err))
        return false;
    return def->type == STORAGE_VOL_TYPE_BLOCK || def->capacity <= vol->source_def->capacity ||
           storage_image_resize(m, target, def->capacity, 0, err);
}

static bool
resize_raw(const char *path, uint64_t capacity, bool allocate, GError **err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC), r = 0;
    bool ok;

    if (fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open '%s'", path);
    ok = ftruncate(fd, (off_t)capacity) == 0 ||
         kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "Failed to truncate file '%s'",
                              path);
    if (ok && allocate && capacity)
        r = posix_fallocate(fd, 0, (off_t)capacity);
    if (r)
        ok = kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r,
                                  "Failed to pre-allocate space for file '%s'", path);
    close(fd);
    return ok;
}

bool
storage_image_resize(StorageManager *m, const StorageVolTarget *target, uint64_t capacity,
                     unsigned flags, GError **err)
{
    g_auto(ImgCall) call = { 0 };
    const char *format = target->format ? target->format : "raw";
    bool allocate = flags & VIR_STORAGE_VOL_RESIZE_ALLOCATE;
    g_autofree char *name = NULL;

    if (strcmp(format, "raw") == 0 && !target->encryption)
        return resize_raw(target->path, capacity, allocate, err);
    if (capacity == 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "a capacity of 0 for a '%s' image", format);
    if (allocate)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "preallocate is only supported for raw volumes that are not "
                              "encrypted");
    img_call_init(&call, m->img, "resize");
    if (flags & VIR_STORAGE_VOL_RESIZE_SHRINK)
        img_call_add(&call, "--shrink");
    if (target->encryption) {
        name = storage_crypt_options(m, &call, target, err);
        if (!name)
            return false;
        img_call_add(&call, "--image-opts");
    } else {
        img_call_add(&call, "-f");
        img_call_add(&call, format);
        name = g_strdup(target->path);
    }
    img_call_add(&call, name);
    /* Whole sectors, and never fewer than asked for. */
    img_call_add_size(&call, (capacity + 511) & ~(uint64_t)511);
    return img_call_run(&call, err);
}
