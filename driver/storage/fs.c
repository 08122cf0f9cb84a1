/* fs.c - pools that are file systems, mounted on a directory: of a device (fs) or of a server
 * (netfs: NFS, CIFS, GlusterFS).
 *
 * mount(8), mkfs and blkid do the work; showmount(8) says what a server exports. An untrusted file
 * system is no more trusted for being mounted here: nosuid, nodev and noexec, as libvirt.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <libvirt/libvirt.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/storage/private.h"
#include "util/error.h"
#include "util/flags.h"

/* What mount(8) is told to mount. */
static char *
mount_source(const StoragePoolDef *def)
{
    const StoragePoolSource *source = def->source;
    const char *host;

    if (def->type == STORAGE_POOL_FS)
        return g_strdup(storage_pool_def_device(def));
    host = ((const StoragePoolHost *)source->hosts->pdata[0])->name;
    if (strcmp(source->format, "cifs") == 0)
        return g_strdup_printf("//%s/%s", host, source->dir + (source->dir[0] == '/'));
    if (strchr(host, ':') && host[0] != '[')
        return g_strdup_printf("[%s]:%s", host, source->dir);
    return g_strdup_printf("%s:%s", host, source->dir);
}

/* Whether @path is mounted; *ret_source, unless NULL, is what is mounted there. */
static bool
is_mounted(const char *path, char **ret_source)
{
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    struct mntent entry;
    char text[4096];
    bool found = false;

    while (mounts && getmntent_r(mounts, &entry, text, sizeof text))
        if (strcmp(entry.mnt_dir, path) == 0) {
            found = true;
            if (ret_source) {
                g_free(*ret_source);
                *ret_source = g_strdup(entry.mnt_fsname);
            }
        }
    if (mounts)
        endmntent(mounts);
    return found;
}

static bool
is_up(StoragePool *pool, const StoragePoolDef *def)
{
    (void)pool;
    return is_mounted(def->path, NULL);
}

static char *
mount_options(const StoragePoolDef *def)
{
    GString *text = g_string_new("nodev,nosuid,noexec");

    if (strcmp(def->source->format, "cifs") == 0)
        g_string_append(text, ",guest");
    if (def->source->protocol_ver)
        g_string_append_printf(text, ",nfsvers=%s", def->source->protocol_ver);
    for (guint i = 0; i < def->mount_opts->len; i++)
        g_string_append_printf(text, ",%s", (const char *)def->mount_opts->pdata[i]);
    return g_string_free(text, FALSE);
}

static bool
start_fs(StoragePool *pool, const StoragePoolDef *def, GError **err)
{
    g_autofree char *source = mount_source(def), *options = mount_options(def), *there = NULL;
    g_autofree char *real = NULL, *real_there = NULL;
    const char *format = def->source->format;
    const char *words[] = { "mount", "-o", options, NULL, NULL, NULL, NULL, NULL };
    size_t n = 3;

    (void)pool;
    if (is_mounted(def->path, &there)) {
        real = realpath(source, NULL);
        real_there = realpath(there, NULL);
        if (strcmp(there, source) == 0 || (real && g_strcmp0(real, real_there) == 0))
            return true;
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "'%s' is mounted on '%s' already, where '%s' is wanted", there,
                              def->path, source);
    }
    if (strcmp(format, "auto") != 0) {
        words[n++] = "-t";
        words[n++] = format;
    } else if (def->type == STORAGE_POOL_NETFS) {
        words[n++] = "-t";
        words[n++] = "nfs";
    }
    words[n++] = source;
    words[n] = def->path;
    return storage_run(words, -1, NULL, err);
}

static bool
stop_fs(StoragePool *pool, const StoragePoolDef *def, GError **err)
{
    const char *const words[] = { "umount", def->path, NULL };

    (void)pool;
    return !is_mounted(def->path, NULL) || storage_run(words, -1, NULL, err);
}

static bool
make_fs(const StoragePoolDef *def, unsigned flags, GError **err)
{
    const char *device = storage_pool_def_device(def), *format = def->source->format;
    const char *const words[] = { "mkfs", "-t", format, device, NULL };
    const char *const xfs[] = { "mkfs", "-t", format, "-f", device, NULL };
    g_autofree char *content = NULL;

    if (strcmp(format, "auto") == 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "pool '%s': a file system of format 'auto' cannot be made; say which",
                              def->name);
    if (access(device, R_OK) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "Source device does not exist when formatting pool '%s': '%s'",
                                    def->name, device);
    if (!storage_device_content(device, &content, err))
        return false;
    if ((flags & VIR_STORAGE_POOL_BUILD_NO_OVERWRITE) && content)
        return kiln_error_set(err, VIR_ERR_STORAGE_POOL_BUILT,
                              "'%s' on device '%s'; overwriting it was not asked for", content,
                              device);
    return storage_run(strcmp(format, "xfs") == 0 ? xfs : words, -1, NULL, err);
}

static bool
build_fs(StoragePool *pool, const StoragePoolDef *def, unsigned flags, GError **err)
{
    bool make = flags & (VIR_STORAGE_POOL_BUILD_OVERWRITE | VIR_STORAGE_POOL_BUILD_NO_OVERWRITE);

    return storage_files_make_dir(pool, def, flags, err) && (!make || make_fs(def, flags, err));
}

static bool
build_netfs(StoragePool *pool, const StoragePoolDef *def, unsigned flags, GError **err)
{
    return kiln_flags_check(flags, 0, "virStoragePoolBuild", err) &&
           storage_files_check_build(def, flags, err) &&
           storage_files_make_dir(pool, def, flags, err);
}

/* One line of `showmount --no-headers --exports`: "/dir clients". */
static void
add_export(GPtrArray *sources, const char *host, const char *line)
{
    size_t length = strcspn(line, " \t");
    StoragePoolSource *source;

    if (line[0] != '/')
        return;
    source = storage_pool_source_new();
    storage_pool_source_add_host(source, host);
    source->dir = g_strndup(line, length);
    source->format = g_strdup("nfs");
    g_ptr_array_add(sources, source);
}

static GPtrArray *
find_exports(StorageManager *m, const StoragePoolSource *spec, GError **err)
{
    const char *host =
        spec && spec->hosts->len ? ((const StoragePoolHost *)spec->hosts->pdata[0])->name : NULL;
    const char *const words[] = { "showmount", "--no-headers", "--exports", host, NULL };
    g_autoptr(GError) cause = NULL;
    g_autofree char *out = NULL;
    g_auto(GStrv) lines = NULL;
    GPtrArray *sources;

    (void)m;
    if (spec && spec->hosts->len != 1) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "Expected exactly 1 host for the storage pool");
        return NULL;
    }
    if (!host) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "hostname must be specified for netfs sources: <source><host name='…'/>");
        return NULL;
    }
    if (!storage_run(words, -1, &out, &cause)) {
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                       "no storage pools were found on host '%s': %s", host, cause->message);
        return NULL;
    }
    sources = g_ptr_array_new_with_free_func((GDestroyNotify)storage_pool_source_free);
    lines = g_strsplit(out, "\n", -1);
    for (size_t i = 0; lines[i]; i++)
        add_export(sources, host, lines[i]);
    return sources;
}

const StorageBackend storage_backend_fs = {
    .type = STORAGE_POOL_FS,
    .vol_formats = storage_vol_formats,
    .vol_default_format = "raw",
    .build = build_fs,
    .start = start_fs,
    .stop = stop_fs,
    .is_up = is_up,
    .remove = storage_files_remove_dir,
    .scan = storage_files_scan,
    .measure = storage_files_measure,
    .vol_create = storage_files_create,
    .vol_delete = storage_files_delete,
    .vol_resize = storage_files_resize,
};

const StorageBackend storage_backend_netfs = {
    .type = STORAGE_POOL_NETFS,
    .vol_formats = storage_vol_formats,
    .vol_default_format = "raw",
    .build = build_netfs,
    .start = start_fs,
    .stop = stop_fs,
    .is_up = is_up,
    .remove = storage_files_remove_dir,
    .scan = storage_files_scan, /* no measure: a server that is away keeps nobody waiting */
    .find_sources = find_exports,
    .vol_create = storage_files_create,
    .vol_delete = storage_files_delete,
    .vol_resize = storage_files_resize,
};
