/* private.h - the manager, its pools and volumes, as the files of this room see them.
 *
 * Locks, in the order in which they are taken:
 *   registry's change held while pools are defined, made or dropped
 *   pool's change     held while anything of one pool changes; may be held long
 *   lock              the registry's, short: guards the tables and all fields of pools and volumes
 *                     that are not marked constant. Whoever holds a pool's `change` may read its
 *                     fields without it, and takes it to write.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_STORAGE_PRIVATE_H
#define KILN_DRIVER_STORAGE_PRIVATE_H

#include <sys/stat.h>

#include "driver/storage/backend.h"
#include "driver/storage/storage.h"
#include "util/registry.h"
#include "xml/storage_pool.h"
#include "xml/storage_vol.h"

struct StorageManager {
    Registry registry;
    char *images_dir, *img; /* constant */
    const StorageOps *ops;
    void *opaque;
};

struct StoragePool {
    RegistryObject object;
    StorageManager *manager;
    const StorageBackend *backend; /* never NULL; by @def's type */

    GMutex change;
    StoragePoolDef *def;
    StoragePoolDef *new_def; /* defined while active: counts from the next start on */
    bool active, persistent;
    bool stale;         /* active, and nobody has looked into it yet */
    struct stat looked; /* the target directory, when it was last looked into */
    GPtrArray *volumes; /* StorageVol, references */
};

struct StorageVol {
    gatomicrefcount refs;
    StoragePool *pool;       /* a reference */
    char *name, *key, *path; /* constant */

    StorageVolDef *def;
    struct stat seen; /* as it was when @def was made; st_ino 0: unknown */
    unsigned in_use;  /* transfers and copies */
    bool gone;
};

/* manager.c */
void storage_pool_event(StoragePool *pool, int event);
/* With the registry's `change` held; borrowed. */
StoragePool *storage_manager_add(StorageManager *manager, const StoragePoolDef *def);
/* Takes `lock` and replaces a definition; takes @def. */
void storage_pool_set_def(StoragePool *pool, StoragePoolDef **place, StoragePoolDef *def);

/* pool.c; with the pool's `change` held */
bool storage_pool_check_active(const StoragePool *pool, GError **err);
bool storage_pool_start_locked(StoragePool *pool, unsigned flags, GError **err);
/* Looks into an active pool, and makes its list of volumes anew. */
bool storage_pool_scan(StoragePool *pool, GError **err);
/* Brings the sizes of an active pool up to date, where that takes no scan. */
void storage_pool_measure(StoragePool *pool);

/* volume.c */
/* The volume of @def, which it takes, in @pool; @seen may be NULL. */
StorageVol *storage_vol_new(StoragePool *pool, StorageVolDef *def, const struct stat *seen);
/* The one of @volumes (NULL: none) that is called @name, or NULL; borrowed. */
StorageVol *storage_volume_named(const GPtrArray *volumes, const char *name);
/* Adds what a scan found, and takes @def. @old, unless NULL, is what it was before: it stays the
 * same volume, and who holds it goes on holding it. */
void storage_scan_add(StorageScan *scan, StorageVol *old, StorageVolDef *def,
                      const struct stat *seen);
/* Looks into the pool when nobody has yet, or when it shows from outside that something changed. A
 * change under way is not waited for: then what was seen last counts. */
void storage_pool_freshen(StoragePool *pool);

#endif
