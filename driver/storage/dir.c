/* dir.c - pools that are directories: files as volumes. fs and netfs are directories with something
 * mounted on them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "driver/storage/crypt.h"
#include "util/error.h"
#include "util/file.h"
#include "util/flags.h"

enum { DIR_MODE = 0711 };

bool
storage_files_check_build(const StoragePoolDef *def, unsigned flags, GError **err)
{
    return !(flags & (VIR_STORAGE_POOL_BUILD_OVERWRITE | VIR_STORAGE_POOL_BUILD_NO_OVERWRITE)) ||
           kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                          "No source device specified when formatting pool '%s'", def->name);
}

bool
storage_files_make_dir(StoragePool *pool, const StoragePoolDef *def, unsigned flags, GError **err)
{
    struct stat st;
    bool made = stat(def->path, &st) < 0;

    (void)pool;
    (void)flags;
    if (!made && !S_ISDIR(st.st_mode))
        return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "'%s' is there and is no directory",
                              def->path);
    if (made && !file_make_dirs(def->path, DIR_MODE, err))
        return false;
    return storage_image_set_permissions(def->path, def->permissions, made ? DIR_MODE : 0, err);
}

static bool
build_dir(StoragePool *pool, const StoragePoolDef *def, unsigned flags, GError **err)
{
    return storage_files_check_build(def, flags, err) &&
           storage_files_make_dir(pool, def, flags, err);
}

bool
storage_files_remove_dir(StoragePool *pool, const StoragePoolDef *def, unsigned flags, GError **err)
{
    (void)pool;
    return kiln_flags_check(flags, 0, "virStoragePoolDelete", err) &&
           (rmdir(def->path) == 0 || kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                                          "failed to remove pool '%s'", def->path));
}

static bool
start_dir(StoragePool *pool, const StoragePoolDef *def, GError **err)
{
    struct stat st;

    (void)pool;
    if (stat(def->path, &st) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open path '%s'",
                                    def->path);
    return S_ISDIR(st.st_mode) ||
           kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "'%s' is no directory", def->path);
}

/* --- scan ------------------------------------------------------------------------------------- */

static bool
has_control(const char *name)
{
    for (; *name; name++)
        if ((unsigned char)*name < 32)
            return true;
    return !g_utf8_validate(name, -1, NULL);
}

static void
scan_file(StorageScan *scan, const char *name)
{
    StorageVol *old = storage_volume_named(scan->pool->volumes, name);
    g_autoptr(StorageVolDef) def = storage_vol_def_new(name);
    struct stat seen;

    def->target->path = g_build_filename(scan->def->path, name, NULL);
    def->key = g_strdup(def->target->path);
    if (storage_image_look(scan->pool->manager, def, old, &seen, NULL))
        storage_scan_add(scan, old, g_steal_pointer(&def), &seen);
}

bool
storage_files_measure(StoragePoolDef *def, GError **err)
{
    struct statvfs fs;

    if (statvfs(def->path, &fs) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot statvfs path '%s'",
                                    def->path);
    def->capacity = (uint64_t)fs.f_frsize * fs.f_blocks;
    def->available = (uint64_t)fs.f_frsize * fs.f_bfree;
    def->allocation = def->capacity - def->available;
    return true;
}

static bool
scan_sizes(StoragePoolDef *def, GError **err)
{
    struct stat st;

    if (!storage_files_measure(def, err))
        return false;
    if (stat(def->path, &st) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot stat path '%s'",
                                    def->path);
    /* The pool shows what the directory has. */
    if (!def->permissions)
        def->permissions = storage_permissions_new(st.st_mode, st.st_uid, st.st_gid);
    g_free(def->permissions->mode);
    def->permissions->mode = g_strdup_printf("0%o", st.st_mode & 0777);
    def->permissions->owner = st.st_uid;
    def->permissions->group = st.st_gid;
    return true;
}

bool
storage_files_scan(StorageScan *scan, GError **err)
{
    DIR *dir = opendir(scan->def->path);
    struct dirent *entry;

    if (!dir)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open path '%s'",
                                    scan->def->path);
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !has_control(entry->d_name))
            scan_file(scan, entry->d_name);
    closedir(dir);
    return scan_sizes(scan->def, err);
}

/* --- volumes ---------------------------------------------------------------------------------- */

static bool
check_new(const StorageNewVol *vol, GError **err)
{
    const StorageVolTarget *target = vol->def->target;

    if (vol->def->type == STORAGE_VOL_TYPE_NETWORK || vol->def->type == STORAGE_VOL_TYPE_NETDIR ||
        vol->def->type == STORAGE_VOL_TYPE_PLOOP)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "volume '%s': a directory holds volumes of type file and dir, not %s",
                              vol->def->name, storage_vol_types[vol->def->type]);
    if (access(target->path, F_OK) == 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "volume target path '%s' already exists", target->path);
    return true;
}

bool
storage_files_create(StoragePool *pool, StorageNewVol *vol, GError **err)
{
    StorageVolDef *def = vol->def;
    bool ok;

    g_free(def->target->path);
    def->target->path = g_build_filename(pool->def->path, def->name, NULL);
    if (!check_new(vol, err))
        return false;
    if (g_strcmp0(def->target->format, "dir") == 0) {
        if (!kiln_flags_check(vol->flags, ~(unsigned)VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA,
                              "virStorageVolCreateXML", err))
            return false;
        if (!storage_crypt_check_new(def, "dir", err))
            return false;
        if (vol->source)
            return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                                  "cannot copy from volume to a directory volume");
        ok = file_make_dirs(def->target->path, DIR_MODE, err) &&
             storage_image_set_permissions(def->target->path, def->target->permissions, DIR_MODE,
                                           err);
        if (!ok)
            rmdir(def->target->path);
        return ok;
    }
    def->type = STORAGE_VOL_TYPE_FILE;
    ok = storage_image_create(pool->manager, vol, err) &&
         storage_image_set_permissions(def->target->path, def->target->permissions, 0600, err);
    if (!ok)
        unlink(def->target->path);
    return ok;
}

bool
storage_files_delete(StoragePool *pool, StorageVol *vol, unsigned flags, GError **err)
{
    int r;

    (void)pool;
    if (!kiln_flags_check(flags, 0, "virStorageVolDelete", err))
        return false;
    r = vol->def->type == STORAGE_VOL_TYPE_DIR ? rmdir(vol->path) : unlink(vol->path);
    /* Gone already: what was asked for. */
    return r == 0 || errno == ENOENT ||
           kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot remove '%s'", vol->path);
}

bool
storage_files_resize(StoragePool *pool, StorageVol *vol, uint64_t capacity, unsigned flags,
                     GError **err)
{
    g_autoptr(StorageVolDef) def = NULL;

    if (vol->def->type != STORAGE_VOL_TYPE_FILE)
        return kiln_error_set(err, VIR_ERR_NO_SUPPORT,
                              "volume '%s' is no file: its capacity does not change", vol->name);
    def = storage_vol_def_copy(vol->def);
    storage_crypt_complete(pool->manager, def);
    return storage_crypt_check_open(def, VIR_ERR_XML_ERROR, err) &&
           storage_image_resize(pool->manager, def->target, capacity, flags, err);
}

const StorageBackend storage_backend_dir = {
    .type = STORAGE_POOL_DIR,
    .vol_formats = storage_vol_formats,
    .vol_default_format = "raw",
    .build = build_dir,
    .start = start_dir,
    .remove = storage_files_remove_dir,
    .scan = storage_files_scan,
    .measure = storage_files_measure,
    .vol_create = storage_files_create,
    .vol_delete = storage_files_delete,
    .vol_resize = storage_files_resize,
};
