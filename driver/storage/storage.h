/* storage.h - storage: the registry of pools, their life, and the volumes in them.
 *
 * Follows libvirt's storage objects (formatstorage, virStoragePool* and virStorageVol* API of
 * libvirt 9.0). What a pool's type means is in its back end (backend.h). Bytes of images are read
 * by kiln-img in its sandbox alone.
 *
 * Threads: every function may be called from any thread. Queries take one short lock and never wait
 * for a change, but for the first look into a pool that was taken up from a former daemon, and
 * storage_pool_is_active(); changes of one pool are done one at a time, however long they take.
 * Callbacks of StorageOps come without the short lock, but may come while a change is under way:
 * they must not call back into a change, nor ask that.
 *
 * Errors are GErrors in KILN_ERROR with libvirt's codes. ret_ parameters are untouched on failure.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_STORAGE_STORAGE_H
#define KILN_DRIVER_STORAGE_STORAGE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct StorageManager StorageManager;
typedef struct StoragePool StoragePool;
typedef struct StorageVol StorageVol;

/* Strings are copied. */
typedef struct {
    const char *config_dir; /* /etc/kiln/storage: NAME.xml and autostart/ links */
    const char *run_dir;    /* /run/kiln/storage: definitions of active pools */
    const char *images_dir; /* where the pool 'default' is made */
    const char *img;        /* kiln-img, absolute */
} StorageConfig;

typedef struct {
    /* @event: virStoragePoolEventLifecycleType. */
    void (*lifecycle)(void *opaque, const char *name, const uint8_t uuid[16], int event);
    void (*refreshed)(void *opaque, const char *name, const uint8_t uuid[16]);
    /* Something for the log: a file that could not be read, a pool that does not start. */
    void (*warn)(void *opaque, const char *message);
    /* The value of a secret, as secret_manager_get_value(). NULL: there are none. */
    GBytes *(*secret)(void *opaque, const char *uuid, int usage_type, const char *usage_id,
                      GError **err);
    /* The UUID (text, g_free()) of the secret that is used for @usage_id; NULL: there is none. */
    char *(*secret_for)(void *opaque, int usage_type, const char *usage_id);
} StorageOps;

/* @ops and @opaque must outlive the manager. Touches nothing on the host. */
StorageManager *storage_manager_new(const StorageConfig *config, const StorageOps *ops,
                                    void *opaque);

/* Reads the definitions, takes up the pools that were active under a former daemon, makes `default`
 * when there has never been one, and starts what is marked autostart. A single bad definition or a
 * pool that will not start is told through warn() and passed over. Once, before anything else. */
bool storage_manager_load(StorageManager *manager, GError **err);

/* Pools stay as they are. */
void storage_manager_free(StorageManager *manager);

/* --- pools: finding and reading --------------------------------------------------------------- */

/* A new reference, or NULL with VIR_ERR_NO_STORAGE_POOL (49). */
StoragePool *storage_manager_lookup_name(StorageManager *manager, const char *name, GError **err);
StoragePool *storage_manager_lookup_uuid(StorageManager *manager, const uint8_t uuid[16],
                                         GError **err);
/* Active pools only, as libvirt. */
StoragePool *storage_manager_lookup_target(StorageManager *manager, const char *path, GError **err);

/* Pools (StoragePool *, owned by the array) that match @flags, which are
 * virConnectListAllStoragePoolsFlags; sorted by name. */
GPtrArray *storage_manager_list(StorageManager *manager, unsigned flags);

StoragePool *storage_pool_ref(StoragePool *pool);
void storage_pool_unref(StoragePool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StoragePool, storage_pool_unref)

/* Constant for its life. */
const char *storage_pool_name(const StoragePool *pool);
const uint8_t *storage_pool_uuid(const StoragePool *pool);

/* Waits for the end of a start or a stop of the pool, ten seconds at most. */
bool storage_pool_is_active(StoragePool *pool);
bool storage_pool_is_persistent(StoragePool *pool);
bool storage_pool_autostart(StoragePool *pool);

/* @flags: VIR_STORAGE_XML_INACTIVE. g_free() the result. */
char *storage_pool_xml(StoragePool *pool, unsigned flags);

typedef struct {
    int state;                                /* virStoragePoolState */
    uint64_t capacity, allocation, available; /* bytes */
} StoragePoolInfo;
void storage_pool_info(StoragePool *pool, StoragePoolInfo *ret);

/* --- pools: changing -------------------------------------------------------------------------- */

/* @flags: VIR_STORAGE_POOL_DEFINE_VALIDATE. New reference. */
StoragePool *storage_manager_define(StorageManager *manager, const char *xml, unsigned flags,
                                    GError **err);
/* Starts a transient pool, or an inactive one of that name and UUID. @flags:
 * virStoragePoolCreateFlags. New reference. */
StoragePool *storage_manager_create(StorageManager *manager, const char *xml, unsigned flags,
                                    GError **err);

bool storage_pool_start(StoragePool *pool, unsigned flags, GError **err);
bool storage_pool_build(StoragePool *pool, unsigned flags, GError **err);
bool storage_pool_stop(StoragePool *pool, GError **err);
bool storage_pool_delete(StoragePool *pool, unsigned flags, GError **err);
bool storage_pool_undefine(StoragePool *pool, GError **err);
bool storage_pool_refresh(StoragePool *pool, GError **err);
bool storage_pool_set_autostart(StoragePool *pool, bool autostart, GError **err);

/* --- volumes ---------------------------------------------------------------------------------- */

/* Volumes (StorageVol *, owned by the array) of an active pool, sorted by name. */
GPtrArray *storage_pool_volumes(StoragePool *pool, GError **err);

/* A new reference, or NULL with VIR_ERR_NO_STORAGE_VOL (50), VIR_ERR_OPERATION_INVALID (55) for a
 * pool that is not active, VIR_ERR_NO_STORAGE_POOL (49). */
StorageVol *storage_pool_lookup_volume(StoragePool *pool, const char *name, GError **err);
StorageVol *storage_manager_find_volume(StorageManager *manager, const char *pool, const char *name,
                                        GError **err);
StorageVol *storage_manager_lookup_key(StorageManager *manager, const char *key, GError **err);
StorageVol *storage_manager_lookup_path(StorageManager *manager, const char *path, GError **err);

StorageVol *storage_vol_ref(StorageVol *vol);
void storage_vol_unref(StorageVol *vol);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StorageVol, storage_vol_unref)

/* Constant for its life. */
StoragePool *storage_vol_pool(const StorageVol *vol); /* borrowed */
const char *storage_vol_name(const StorageVol *vol);
const char *storage_vol_key(const StorageVol *vol);
const char *storage_vol_path(const StorageVol *vol);

/* For <disk type='volume'>: the path (g_free()) of @pool's volume @name, and whether it is a block
 * device; else it is a file. */
bool storage_manager_disk(StorageManager *manager, const char *pool, const char *name,
                          char **ret_path, bool *ret_block, GError **err);

/* What is on disk now. */
char *storage_vol_xml(StorageVol *vol, GError **err);
typedef struct {
    int type; /* virStorageVolType */
    uint64_t capacity, allocation, physical;
} StorageVolInfo;
bool storage_vol_info(StorageVol *vol, StorageVolInfo *ret, GError **err);

/* @flags: virStorageVolCreateFlags; @source NULL, or what is copied and converted. New reference.
 */
StorageVol *storage_pool_create_volume(StoragePool *pool, const char *xml, StorageVol *source,
                                       unsigned flags, GError **err);
/* @flags: virStorageVolDeleteFlags. */
bool storage_vol_delete(StorageVol *vol, unsigned flags, GError **err);
/* @flags: virStorageVolResizeFlags. */
bool storage_vol_resize(StorageVol *vol, uint64_t capacity, unsigned flags, GError **err);
/* @algorithm: virStorageVolWipeAlgorithm. */
bool storage_vol_wipe(StorageVol *vol, unsigned algorithm, GError **err);

/* Opens the volume for a transfer (virStorageVolUpload and …Download), at @offset; the volume is in
 * use until storage_vol_close(), which also looks at it again after an upload. -1 with @err. */
int storage_vol_open(StorageVol *vol, bool write, uint64_t offset, GError **err);
void storage_vol_close(StorageVol *vol, bool written);

/* --- what there is ---------------------------------------------------------------------------- */

/* <sources> that could be made a pool of @type; @spec is a <source> or NULL. g_free() the text. */
char *storage_manager_find_sources(StorageManager *manager, const char *type, const char *spec,
                                   GError **err);
/* <storagepoolCapabilities>; g_free() the text. */
char *storage_capabilities(void);

#endif
