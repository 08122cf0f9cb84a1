/* backend.h - what a type of pool is made of: a const table of operations for each, listed in
 * storage_backends[].
 *
 * All are called with the pool's `change` held, in a thread that may wait. @def is the definition
 * that counts. Operations that are NULL are refused by name.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_STORAGE_BACKEND_H
#define KILN_DRIVER_STORAGE_BACKEND_H

#include <json-glib/json-glib.h>
#include <sys/stat.h>

#include "driver/storage/storage.h"
#include "xml/storage_pool.h"
#include "xml/storage_vol.h"

/* What a scan found. */
typedef struct {
    StoragePool *pool;
    StoragePoolDef *def; /* sizes, permissions and free extents are filled in */
    GPtrArray *volumes;  /* StorageVol, references */
} StorageScan;

/* What a new volume is to be. */
typedef struct {
    StorageVolDef *def;        /* complete but for key and path */
    StorageVol *source;        /* NULL: nothing is copied */
    StorageVolDef *source_def; /* as it was when the copy was asked for */
    unsigned flags;            /* virStorageVolCreateFlags */
} StorageNewVol;

typedef struct {
    int type; /* StoragePoolType */
    const char *const *vol_formats;
    const char *vol_default_format; /* NULL: volumes have no format */

    /* Makes what is under the pool; @flags: virStoragePoolBuildFlags. */
    bool (*build)(StoragePool *pool, const StoragePoolDef *def, unsigned flags, GError **err);
    bool (*start)(StoragePool *pool, const StoragePoolDef *def, GError **err);
    bool (*stop)(StoragePool *pool, const StoragePoolDef *def, GError **err);
    /* Takes it away for good; @flags: virStoragePoolDeleteFlags. */
    bool (*remove)(StoragePool *pool, const StoragePoolDef *def, unsigned flags, GError **err);
    /* Whether the pool is still up when a new daemon finds it marked active; NULL: always. */
    bool (*is_up)(StoragePool *pool, const StoragePoolDef *def);
    bool (*scan)(StorageScan *scan, GError **err);
    /* Fills the sizes of @def alone, at once; NULL: they change with a scan only. */
    bool (*measure)(StoragePoolDef *def, GError **err);
    /* The sources that there are; @spec may be NULL. */
    GPtrArray *(*find_sources)(StorageManager *manager, const StoragePoolSource *spec,
                               GError **err);

    bool (*vol_create)(StoragePool *pool, StorageNewVol *vol, GError **err);
    bool (*vol_delete)(StoragePool *pool, StorageVol *vol, unsigned flags, GError **err);
    /* @flags: virStorageVolResizeFlags; capacity is absolute and checked. */
    bool (*vol_resize)(StoragePool *pool, StorageVol *vol, uint64_t capacity, unsigned flags,
                       GError **err);
    /* Whether @vol may be wiped; NULL: each may. */
    bool (*vol_may_wipe)(const StorageVol *vol, GError **err);
} StorageBackend;

/* By StoragePoolType; NULL for those that are not there. */
const StorageBackend *storage_backend_find(int type);
/* VIR_ERR_INTERNAL_ERROR, as libvirt, for a pool of such a type. */
bool storage_backend_check(const StoragePoolDef *def, GError **err);

extern const StorageBackend storage_backend_dir, storage_backend_fs, storage_backend_netfs;
extern const StorageBackend storage_backend_logical, storage_backend_disk;

/* --- dir.c: what pools of files share --------------------------------------------------------- */

bool storage_files_make_dir(StoragePool *pool, const StoragePoolDef *def, unsigned flags,
                            GError **err);
bool storage_files_remove_dir(StoragePool *pool, const StoragePoolDef *def, unsigned flags,
                              GError **err);
bool storage_files_scan(StorageScan *scan, GError **err);
bool storage_files_measure(StoragePoolDef *def, GError **err);
bool storage_files_create(StoragePool *pool, StorageNewVol *vol, GError **err);
bool storage_files_delete(StoragePool *pool, StorageVol *vol, unsigned flags, GError **err);
bool storage_files_resize(StoragePool *pool, StorageVol *vol, uint64_t capacity, unsigned flags,
                          GError **err);

/* --- image.c, image_new.c: files and devices as volumes --------------------------------------- */

/* Fills @def's type, sizes, format, backing store, permissions and times from what is at its path;
 * @old, when not NULL, is what was known of it. With @manager NULL its bytes are not looked at:
 * then there is no format and no backing store. False with @err unset when it is nothing that a
 * volume can be. */
bool storage_image_look(StorageManager *manager, StorageVolDef *def, const StorageVol *old,
                        struct stat *ret_seen, GError **err);
/* Whether a directory can be built so: there is nothing to format in it. */
bool storage_files_check_build(const StoragePoolDef *def, unsigned flags, GError **err);
/* Makes the file of @vol at its path, or fills the device there. */
bool storage_image_create(StorageManager *manager, const StorageNewVol *vol, GError **err);
/* Gives the file at @path mode and owner. */
bool storage_image_set_permissions(const char *path, const StoragePermissions *permissions,
                                   unsigned mode, GError **err);
/* @target: path, format and encryption, with its secret. @flags: virStorageVolResizeFlags. */
bool storage_image_resize(StorageManager *manager, const StorageVolTarget *target,
                          uint64_t capacity, unsigned flags, GError **err);

/* --- run.c ------------------------------------------------------------------------------------ */

/* Runs a program (NULL-terminated words; found in PATH and in the administrator's directories) and
 * waits. @input is a descriptor for its standard input, which is taken, or -1.
 * VIR_ERR_INTERNAL_ERROR with what it said on standard error when it fails,
 * VIR_ERR_OPERATION_UNSUPPORTED when it is not installed. @ret_out, unless NULL, is what it wrote;
 * g_free(). */
bool storage_run(const char *const *words, int input, char **ret_out, GError **err);
/* The same, for a program that answers with one JSON object; a new reference. */
JsonObject *storage_run_json(const char *const *words, int input, GError **err);
/* The same, for one that reads @text. */
bool storage_run_told(const char *const *words, const char *text, GError **err);
/* The same, for one that has @fds (int) open, the first as STORAGE_FD_FIRST. They are taken, and
 * the list is empty then. */
enum { STORAGE_FD_FIRST = 10 };
bool storage_run_given(const char *const *words, GArray *fds, GError **err);
/* Whether such a program is installed. */
bool storage_has_program(const char *name);

/* --- device.c: what pools on devices share ---------------------------------------------------- */

/* Before something is made of @device: it has to be there, and VIR_ERR_STORAGE_POOL_BUILT unless
 * it is empty or @flags (virStoragePoolBuildFlags) say OVERWRITE; then it is emptied. */
bool storage_device_prepare(const StoragePoolDef *def, const char *device, unsigned flags,
                            GError **err);
/* Names what is on @device, a file system or a table, in *ret (g_free()); NULL: nothing. */
bool storage_device_content(const char *device, char **ret, GError **err);
/* Refuses what a new volume on a device cannot be. */
bool storage_device_check_new(const StorageNewVol *vol, GError **err);
/* Gives the device at @def's path the mode and owner that @def asks for, if it does. */
bool storage_device_set_permissions(const StorageVolDef *def, GError **err);
/* Takes the signatures of all that from @device; refused while it is in use. */
bool storage_device_clear(const char *device, GError **err);

#endif
