/* image.c - files and devices as volumes: what they are.
 *
 * What an image's bytes say is asked of kiln-img, which reads them in its sandbox; this process
 * reads none of them. What is not known as an image is raw, as libvirt has it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>
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
is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino && a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static bool
unchanged(const struct stat *a, const struct stat *b)
{
    return is_same_file(a, b) && a->st_size == b->st_size &&
           memcmp(&a->st_mtim, &b->st_mtim, sizeof a->st_mtim) == 0 &&
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

/* What is told of this format alone, or NULL. */
static JsonObject *
format_data(JsonObject *image)
{
    JsonObject *specific = json_object_has_member(image, "format-specific")
                               ? json_object_get_object_member(image, "format-specific")
                               : NULL;

    return specific && json_object_has_member(specific, "data")
               ? json_object_get_object_member(specific, "data")
               : NULL;
}

static void
fill_details(StorageVolTarget *target, JsonObject *image)
{
    JsonObject *data = format_data(image);

    if (!data || strcmp(target->format, "qcow2") != 0)
        return;
    target->compat = g_strdup(json_object_get_string_member_with_default(data, "compat", NULL));
    target->lazy_refcounts =
        json_object_get_boolean_member_with_default(data, "lazy-refcounts", FALSE);
    target->extended_l2 = json_object_get_boolean_member_with_default(data, "extended-l2", FALSE);
}

static int
encryption_of(JsonObject *image, const char *format)
{
    JsonObject *data = format_data(image);
    JsonObject *encrypt = data && json_object_has_member(data, "encrypt")
                              ? json_object_get_object_member(data, "encrypt")
                              : NULL;
    const char *method =
        encrypt ? json_object_get_string_member_with_default(encrypt, "format", "") : "";

    if (strcmp(format, "luks") == 0 || strcmp(method, "luks") == 0)
        return DOMAIN_ENCRYPTION_LUKS;
    return strcmp(method, "aes") == 0 ? DOMAIN_ENCRYPTION_QCOW : DOMAIN_ENCRYPTION_ABSENT;
}

/* What is known of the secrets of a file stays so until it is encrypted otherwise. */
static void
fill_encryption(StorageVolDef *def, int format, const DomainEncryption *old)
{
    if (old && old->format == format)
        storage_vol_def_set_encryption(def, old);
    else if (format != DOMAIN_ENCRYPTION_ABSENT)
        storage_vol_def_set_encryption_format(def, format);
}

/* @old: how the file was encrypted, or NULL. */
static void
fill_image(StorageManager *m, StorageVolDef *def, const DomainEncryption *old, int fd)
{
    g_autoptr(JsonObject) image = probe(m, fd);
    const char *format =
        image ? json_object_get_string_member_with_default(image, "format", "raw") : "raw";

    if (!g_strv_contains(storage_vol_formats, format))
        format = "raw";
    /* As libvirt has it: encrypted bytes, and the header is not the guest's. */
    def->target->format = g_strdup(strcmp(format, "luks") == 0 ? "raw" : format);
    if (!image)
        return;
    fill_encryption(def, encryption_of(image, format), old);
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
    storage_vol_def_set_encryption(def, old->target->encryption);
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
        fill_image(m, def,
                   old && is_same_file(&old->seen, &st) ? old->def->target->encryption : NULL, fd);
        return true;
    } else if (m) {
        target->format = g_strdup("raw");
    }
    close(fd);
    return true;
}

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
