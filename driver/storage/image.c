/* image.c - files and devices as volumes: what they are, and how they are made.
 *
 * What an image's bytes say is asked of kiln-img, which reads them in its sandbox; this process
 * reads none of them. What is not known as an image is raw, as libvirt has it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <libvirt/libvirt.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "driver/storage/private.h"
#include "util/error.h"

/* --- what is there ---------------------------------------------------------------------------- */

static char *
time_text(const struct timespec *t)
{
    return t->tv_nsec ? g_strdup_printf("%lld.%09ld", (long long)t->tv_sec, t->tv_nsec)
                      : g_strdup_printf("%lld", (long long)t->tv_sec);
}

static StorageTimes *
times_of(const struct stat *st)
{
    StorageTimes *times = storage_times_new();

    times->atime = time_text(&st->st_atim);
    times->mtime = time_text(&st->st_mtim);
    times->ctime = time_text(&st->st_ctim);
    return times;
}

static bool
unchanged(const struct stat *a, const struct stat *b)
{
    return a->st_ino && a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
           a->st_size == b->st_size && memcmp(&a->st_mtim, &b->st_mtim, sizeof a->st_mtim) == 0 &&
           memcmp(&a->st_ctim, &b->st_ctim, sizeof a->st_ctim) == 0;
}

/* What kiln-img says of the image on @fd, which is taken; NULL when it says nothing. */
static JsonObject *
probe(StorageManager *m, int fd)
{
    const char *const words[] = { m->img, "probe", NULL };

    return storage_run_json(words, fd, NULL);
}

static void
fill_backing(StorageVolDef *def, JsonObject *image)
{
    const char *name = json_object_get_string_member_with_default(image, "backing-filename", NULL);
    const char *format =
        json_object_get_string_member_with_default(image, "backing-filename-format", NULL);
    g_autofree char *dir = g_path_get_dirname(def->target->path);
    g_autofree char *full = NULL;
    struct stat st;

    /* Names of what is no file of this host are not for a volume's XML. */
    if (!name || !*name || strcspn(name, ":") < strcspn(name, "/"))
        return;
    full = g_path_is_absolute(name) ? g_strdup(name) : g_build_filename(dir, name, NULL);
    if (!g_utf8_validate(full, -1, NULL))
        return;
    storage_vol_def_set_backing(
        def, full, format && g_strv_contains(storage_vol_formats, format) ? format : "raw");
    if (stat(full, &st) < 0)
        return;
    def->backing->permissions = storage_permissions_new(st.st_mode, st.st_uid, st.st_gid);
    def->backing->times = times_of(&st);
}

static void
fill_details(StorageVolTarget *target, JsonObject *image)
{
    JsonObject *specific = json_object_has_member(image, "format-specific")
                               ? json_object_get_object_member(image, "format-specific")
                               : NULL;
    JsonObject *data = specific && json_object_has_member(specific, "data")
                           ? json_object_get_object_member(specific, "data")
                           : NULL;

    if (!data || strcmp(target->format, "qcow2") != 0)
        return;
    target->compat = g_strdup(json_object_get_string_member_with_default(data, "compat", NULL));
    target->lazy_refcounts =
        json_object_get_boolean_member_with_default(data, "lazy-refcounts", FALSE);
    target->extended_l2 = json_object_get_boolean_member_with_default(data, "extended-l2", FALSE);
}

static void
fill_image(StorageManager *m, StorageVolDef *def, int fd)
{
    g_autoptr(JsonObject) image = probe(m, fd);
    const char *format =
        image ? json_object_get_string_member_with_default(image, "format", "raw") : "raw";

    if (!g_strv_contains(storage_vol_formats, format))
        format = "raw";
    def->target->format = g_strdup(format);
    if (!image)
        return;
    /* A raw file is as long as it is, which need not be a whole number of sectors. */
    if (strcmp(format, "raw") != 0)
        def->capacity = (uint64_t)json_object_get_int_member_with_default(image, "virtual-size",
                                                                          (gint64)def->capacity);
    if (strcmp(format, "qcow2") == 0)
        def->target->cluster_size =
            (uint64_t)json_object_get_int_member_with_default(image, "cluster-size", 0);
    fill_details(def->target, image);
    fill_backing(def, image);
}

/* What the bytes said the last time. */
static void
copy_image(StorageVolDef *def, const StorageVolDef *old)
{
    StorageVolTarget *to = def->target;

    to->format = g_strdup(old->target->format);
    to->compat = g_strdup(old->target->compat);
    to->lazy_refcounts = old->target->lazy_refcounts;
    to->extended_l2 = old->target->extended_l2;
    def->capacity = old->capacity;
    to->cluster_size = old->target->cluster_size;
    if (old->backing)
        storage_vol_def_set_backing(def, old->backing->path, old->backing->format);
}

static void
fill_sizes(StorageVolDef *def, int fd, const struct stat *st)
{
    if (S_ISREG(st->st_mode)) {
        def->capacity = def->physical = (uint64_t)st->st_size;
        def->allocation = (uint64_t)st->st_blocks * 512;
    } else if (S_ISBLK(st->st_mode)) {
        off_t end = lseek(fd, 0, SEEK_END);

        def->capacity = def->allocation = def->physical = end > 0 ? (uint64_t)end : 0;
        lseek(fd, 0, SEEK_SET);
    }
}

bool
storage_image_look(StorageManager *m, StorageVolDef *def, const StorageVol *old,
                   struct stat *ret_seen, GError **err)
{
    StorageVolTarget *target = def->target;
    int fd = open(target->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    struct stat st;

    /* No links to nowhere, no sockets. */
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP || errno == ENXIO || errno == EACCES
                   ? false
                   : kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                          "cannot open volume '%s'", target->path);
    if (fstat(fd, &st) < 0 ||
        !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))) {
        close(fd);
        return false;
    }
    def->type = S_ISREG(st.st_mode)   ? STORAGE_VOL_TYPE_FILE
                : S_ISDIR(st.st_mode) ? STORAGE_VOL_TYPE_DIR
                                      : STORAGE_VOL_TYPE_BLOCK;
    target->permissions = storage_permissions_new(st.st_mode, st.st_uid, st.st_gid);
    target->times = times_of(&st);
    fill_sizes(def, fd, &st);
    *ret_seen = st;
    if (S_ISDIR(st.st_mode)) {
        target->format = g_strdup("dir");
    } else if (S_ISREG(st.st_mode) && old && unchanged(&old->seen, &st)) {
        copy_image(def, old->def);
    } else if (m && def->capacity > 0) {
        fill_image(m, def, fd);
        return true;
    } else if (m) {
        target->format = g_strdup("raw");
    }
    close(fd);
    return true;
}

/* --- making images ---------------------------------------------------------------------------- */

bool
storage_image_set_permissions(const char *path, const StoragePermissions *p, unsigned fallback,
                              GError **err)
{
    unsigned mode = storage_permissions_mode(p, fallback);
    uid_t owner = p && p->owner != XML_UNSET_INT ? (uid_t)p->owner : (uid_t)-1;
    gid_t group = p && p->group != XML_UNSET_INT ? (gid_t)p->group : (gid_t)-1;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    bool ok;

    if (fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open '%s'", path);
    ok = ((owner == (uid_t)-1 && group == (gid_t)-1) || fchown(fd, owner, group) == 0 ||
          kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot chown '%s' to (%d, %d)",
                               path, (int)owner, (int)group)) &&
         (!mode || fchmod(fd, mode) == 0 ||
          kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot set mode of '%s' to %04o",
                               path, mode));
    close(fd);
    return ok;
}

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
    if (target->encryption)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "volume '%s': storage pool does not support encrypted volumes",
                              vol->def->name);
    if (backing && strcmp(format, "raw") == 0)
        return kiln_error_set(err, VIR_ERR_NO_SUPPORT,
                              "backing storage not supported for raw volumes");
    if (backing && !check_backing(vol, err))
        return false;
    if ((vol->flags & VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA) && strcmp(format, "qcow2") != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "metadata preallocation only available with qcow2");
    if ((target->lazy_refcounts || target->extended_l2) && target->compat &&
        strcmp(target->compat, "0.10") == 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "features of volume '%s' are not supported with compat level %s",
                              vol->def->name, target->compat);
    return true;
}

static void
add(GPtrArray *words, const char *word)
{
    g_ptr_array_add(words, g_strdup(word));
}

static void
add_option(GPtrArray *words, char *option)
{
    add(words, "-o");
    g_ptr_array_add(words, option);
}

/* What `-o` says of the new image. */
static void
add_options(GPtrArray *words, const StorageNewVol *vol, const char *format)
{
    const StorageVolDef *def = vol->def;
    const StorageVolTarget *target = def->target;

    if (target->nocow)
        add_option(words, g_strdup("nocow=on"));
    if (strcmp(format, "qcow2") == 0) {
        if (vol->flags & VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA)
            add_option(words, g_strdup(def->allocation < def->capacity ? "preallocation=metadata"
                                                                       : "preallocation=falloc"));
        if (target->compat)
            add_option(words, g_strdup_printf("compat=%s", target->compat));
        if (target->cluster_size != XML_UNSET && target->cluster_size)
            add_option(words,
                       g_strdup_printf("cluster_size=%" G_GUINT64_FORMAT, target->cluster_size));
        if (target->lazy_refcounts)
            add_option(words, g_strdup("lazy_refcounts=on"));
        if (target->extended_l2)
            add_option(words, g_strdup("extended_l2=on"));
    }
}

static void
add_backing(GPtrArray *words, const char *option, const StorageVolBacking *backing)
{
    if (!backing)
        return;
    add(words, option);
    add(words, backing->path);
    add(words, "-F");
    add(words, backing->format ? backing->format : "raw");
}

static bool
run_words(GPtrArray *words, GError **err)
{
    g_ptr_array_add(words, NULL);
    return storage_run((const char *const *)words->pdata, -1, NULL, err);
}

static bool
create_image(StorageManager *m, const StorageNewVol *vol, const char *format, GError **err)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    const StorageVolDef *def = vol->def;

    add(words, m->img);
    add(words, "create");
    add(words, "-q");
    add(words, "-f");
    add(words, format);
    add_options(words, vol, format);
    add_backing(words, "-b", def->backing);
    add(words, def->target->path);
    if (def->capacity != XML_UNSET)
        g_ptr_array_add(words, g_strdup_printf("%" G_GUINT64_FORMAT, def->capacity));
    return run_words(words, err);
}

/* A copy that shares its blocks with the source until one is written. */
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

static bool
copy_image_file(StorageManager *m, const StorageNewVol *vol, const char *format, GError **err)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    const StorageVolDef *def = vol->def;
    const StorageVol *source = vol->source;
    const char *from = vol->source_def->target->format;
    bool block = def->type == STORAGE_VOL_TYPE_BLOCK;

    if ((vol->flags & VIR_STORAGE_VOL_CREATE_REFLINK) && !block)
        return create_reflink(def, source, err);
    add(words, m->img);
    add(words, "convert");
    add(words, "-q");
    if (block)
        add(words, "-n");
    add(words, "-f");
    add(words, from && strcmp(from, "none") != 0 && strcmp(from, "iso") != 0 ? from : "raw");
    add(words, "-O");
    add(words, format);
    if (!block)
        add_options(words, vol, format);
    add_backing(words, "-B", def->backing);
    if (strcmp(format, "raw") == 0 && !block &&
        (def->allocation == XML_UNSET || def->allocation >= def->capacity)) {
        add(words, "-S");
        add(words, "0");
    }
    add(words, source->path);
    add(words, def->target->path);
    return run_words(words, err);
}

bool
storage_image_create(StorageManager *m, const StorageNewVol *vol, GError **err)
{
    StorageVolDef *def = vol->def;
    const char *format = def->target->format ? def->target->format : "raw";

    /* Both are bytes without a header. */
    if (strcmp(format, "none") == 0 || strcmp(format, "iso") == 0)
        format = "raw";

    if (!check_image(vol, format, err))
        return false;
    if (!vol->source)
        return strcmp(format, "raw") == 0 ? create_raw(def, err)
                                          : create_image(m, vol, format, err);
    if (!copy_image_file(m, vol, format, err))
        return false;
    return def->type == STORAGE_VOL_TYPE_BLOCK || def->capacity <= vol->source_def->capacity ||
           storage_image_resize(m, def->target->path, format, def->capacity, 0, err);
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
storage_image_resize(StorageManager *m, const char *path, const char *format, uint64_t capacity,
                     unsigned flags, GError **err)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    bool allocate = flags & VIR_STORAGE_VOL_RESIZE_ALLOCATE;

    if (!format || strcmp(format, "raw") == 0)
        return resize_raw(path, capacity, allocate, err);
    if (capacity == 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "a capacity of 0 for a '%s' image", format);
    if (allocate)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "preallocate is only supported for raw type volume");
    add(words, m->img);
    add(words, "resize");
    add(words, "-q");
    if (flags & VIR_STORAGE_VOL_RESIZE_SHRINK)
        add(words, "--shrink");
    add(words, "-f");
    add(words, format);
    add(words, path);
    /* Whole sectors, and never fewer than asked for. */
    g_ptr_array_add(words, g_strdup_printf("%" G_GUINT64_FORMAT, (capacity + 511) & ~(guint64)511));
    return run_words(words, err);
}
