/* volume.c - volumes: finding, reading, making, changing.
 *
 * Error codes and wording follow libvirt's storage driver.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <unistd.h>

#include "driver/storage/crypt.h"
#include "driver/storage/wipe.h"
#include "util/error.h"

StorageVol *
storage_vol_new(StoragePool *pool, StorageVolDef *def, const struct stat *seen)
{
    StorageVol *vol = g_new0(StorageVol, 1);

    g_atomic_ref_count_init(&vol->refs);
    vol->pool = storage_pool_ref(pool);
    vol->name = g_strdup(def->name);
    vol->key = g_strdup(def->key ? def->key : def->target->path);
    vol->path = g_strdup(def->target->path);
    vol->def = def;
    if (seen)
        vol->seen = *seen;
    return vol;
}

StorageVol *
storage_vol_ref(StorageVol *vol)
{
    g_atomic_ref_count_inc(&vol->refs);
    return vol;
}

void
storage_vol_unref(StorageVol *vol)
{
    if (!vol || !g_atomic_ref_count_dec(&vol->refs))
        return;
    storage_vol_def_free(vol->def);
    storage_pool_unref(vol->pool);
    g_free(vol->name);
    g_free(vol->key);
    g_free(vol->path);
    g_free(vol);
}

StoragePool *
storage_vol_pool(const StorageVol *vol)
{
    return vol->pool;
}

const char *
storage_vol_name(const StorageVol *vol)
{
    return vol->name;
}

const char *
storage_vol_key(const StorageVol *vol)
{
    return vol->key;
}

const char *
storage_vol_path(const StorageVol *vol)
{
    return vol->path;
}

/* Takes @def. With the pool's `change` held. */
static void
replace_def(StorageVol *vol, StorageVolDef *def, const struct stat *seen)
{
    StorageVolDef *old;

    g_mutex_lock(&vol->pool->manager->registry.lock);
    old = vol->def;
    vol->def = def;
    vol->seen = *seen;
    g_mutex_unlock(&vol->pool->manager->registry.lock);
    storage_vol_def_free(old);
}

void
storage_scan_add(StorageScan *scan, StorageVol *old, StorageVolDef *def, const struct stat *seen)
{
    if (old) {
        replace_def(old, def, seen);
        g_ptr_array_add(scan->volumes, storage_vol_ref(old));
    } else {
        g_ptr_array_add(scan->volumes, storage_vol_new(scan->pool, def, seen));
    }
}

/* --- finding ---------------------------------------------------------------------------------- */

/* Something in the pool's directory changed behind the daemon's back: that of files, of links to
 * volumes, or of devices. A server's is not asked, which may be away. */
static bool
is_outdated(StoragePool *pool)
{
    g_autofree char *path = NULL;
    struct stat now, then;
    bool files = false;

    g_mutex_lock(&pool->manager->registry.lock);
    if (pool->active && pool->def->type != STORAGE_POOL_NETFS) {
        path = g_strdup(pool->def->path);
        files = pool->def->type == STORAGE_POOL_DIR || pool->def->type == STORAGE_POOL_FS;
    }
    then = pool->looked;
    g_mutex_unlock(&pool->manager->registry.lock);
    if (!path)
        return false;
    /* A volume group without volumes has no directory. */
    if (stat(path, &now) < 0) {
        if (files)
            return false;
        memset(&now, 0, sizeof now);
    }
    return memcmp(&now.st_mtim, &then.st_mtim, sizeof now.st_mtim) != 0;
}

void
storage_pool_freshen(StoragePool *pool)
{
    StorageManager *m = pool->manager;
    bool stale;

    g_mutex_lock(&m->registry.lock);
    stale = pool->active && pool->stale;
    g_mutex_unlock(&m->registry.lock);
    if (!stale && !is_outdated(pool))
        return;
    if (stale)
        g_mutex_lock(&pool->change);
    else if (!g_mutex_trylock(&pool->change))
        return;
    if (pool->active) {
        g_autoptr(GError) err = NULL;

        if (!storage_pool_scan(pool, &err))
            registry_warn(&m->registry, "storage pool '%s': %s", pool->object.name, err->message);
    }
    g_mutex_unlock(&pool->change);
}

GPtrArray *
storage_pool_volumes(StoragePool *pool, GError **err)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)storage_vol_unref);
    bool ok;

    storage_pool_freshen(pool);
    g_mutex_lock(&pool->manager->registry.lock);
    ok = storage_pool_check_active(pool, err);
    for (guint i = 0; ok && i < pool->volumes->len; i++)
        g_ptr_array_add(list, storage_vol_ref(pool->volumes->pdata[i]));
    g_mutex_unlock(&pool->manager->registry.lock);
    if (!ok)
        g_clear_pointer(&list, g_ptr_array_unref);
    return list;
}

StorageVol *
storage_volume_named(const GPtrArray *volumes, const char *name)
{
    for (guint i = 0; volumes && i < volumes->len; i++)
        if (strcmp(((StorageVol *)volumes->pdata[i])->name, name) == 0)
            return volumes->pdata[i];
    return NULL;
}

StorageVol *
storage_pool_lookup_volume(StoragePool *pool, const char *name, GError **err)
{
    g_autoptr(GPtrArray) volumes = storage_pool_volumes(pool, err);
    StorageVol *vol = storage_volume_named(volumes, name);

    if (vol)
        return storage_vol_ref(vol);
    if (volumes)
        kiln_error_set(err, VIR_ERR_NO_STORAGE_VOL, "no storage vol with matching name '%s'", name);
    return NULL;
}

StorageVol *
storage_manager_find_volume(StorageManager *m, const char *pool_name, const char *name,
                            GError **err)
{
    g_autoptr(StoragePool) pool = storage_manager_lookup_name(m, pool_name, err);

    return pool ? storage_pool_lookup_volume(pool, name, err) : NULL;
}

/* The volume of any active pool whose key or path is @what. */
static StorageVol *
find_anywhere(StorageManager *m, const char *what, bool by_path)
{
    g_autoptr(GPtrArray) pools = storage_manager_list(m, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);

    for (guint i = 0; i < pools->len; i++) {
        g_autoptr(GPtrArray) volumes = storage_pool_volumes(pools->pdata[i], NULL);

        for (guint k = 0; volumes && k < volumes->len; k++) {
            StorageVol *vol = volumes->pdata[k];

            if (strcmp(by_path ? vol->path : vol->key, what) == 0)
                return storage_vol_ref(vol);
        }
    }
    return NULL;
}

StorageVol *
storage_manager_lookup_key(StorageManager *m, const char *key, GError **err)
{
    StorageVol *vol = find_anywhere(m, key, false);

    if (!vol)
        kiln_error_set(err, VIR_ERR_NO_STORAGE_VOL, "no storage vol with matching key %s", key);
    return vol;
}

StorageVol *
storage_manager_lookup_path(StorageManager *m, const char *path, GError **err)
{
    g_autofree char *clean = g_canonicalize_filename(path, "/");
    StorageVol *vol = find_anywhere(m, clean, true);

    if (!vol)
        kiln_error_set(err, VIR_ERR_NO_STORAGE_VOL, "no storage vol with matching path '%s'", path);
    return vol;
}

bool
storage_manager_disk(StorageManager *m, const char *pool, const char *name, char **ret_path,
                     bool *ret_block, GError **err)
{
    g_autoptr(StorageVol) vol = storage_manager_find_volume(m, pool, name, err);
    int type;

    if (!vol)
        return false;
    g_mutex_lock(&m->registry.lock);
    type = vol->def->type;
    g_mutex_unlock(&m->registry.lock);
    if (type != STORAGE_VOL_TYPE_FILE && type != STORAGE_VOL_TYPE_BLOCK)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "volume '%s' of pool '%s' is a %s; a disk wants a file or a block device", name, pool,
            storage_vol_types[type]);
    *ret_path = g_strdup(vol->path);
    *ret_block = type == STORAGE_VOL_TYPE_BLOCK;
    return true;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool
check_there(const StorageVol *vol, GError **err)
{
    return !vol->gone || kiln_error_set(err, VIR_ERR_NO_STORAGE_VOL,
                                        "no storage vol with matching name '%s'", vol->name);
}

/* Whether the device of a volume has another size than it had. */
static bool
is_resized(const StorageVol *vol)
{
    int fd = open(vol->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;

    if (fd >= 0)
        close(fd);
    return end >= 0 && (uint64_t)end != vol->def->physical;
}

/* Looks at the volume itself; what is on disk now counts. With the pool's `change` held. */
static void
look_again(StorageVol *vol)
{
    g_autoptr(StorageVolDef) def = storage_vol_def_new(vol->name);
    struct stat seen;

    if (vol->def->type == STORAGE_VOL_TYPE_BLOCK && vol->pool->active && is_resized(vol))
        storage_pool_scan(vol->pool, NULL);
    if (vol->def->type != STORAGE_VOL_TYPE_FILE)
        return;
    def->key = g_strdup(vol->key);
    def->target->path = g_strdup(vol->path);
    if (storage_image_look(vol->pool->manager, def, vol, &seen, NULL))
        replace_def(vol, g_steal_pointer(&def), &seen);
}

/* A copy of what it is now. */
static StorageVolDef *
copy_def(StorageVol *vol, GError **err)
{
    StoragePool *pool = vol->pool;
    StorageVolDef *def = NULL;

    if (g_mutex_trylock(&pool->change)) {
        look_again(vol);
        g_mutex_unlock(&pool->change);
    }
    g_mutex_lock(&pool->manager->registry.lock);
    if (storage_pool_check_active(pool, err) && check_there(vol, err))
        def = storage_vol_def_copy(vol->def);
    g_mutex_unlock(&pool->manager->registry.lock);
    if (def)
        storage_crypt_complete(pool->manager, def);
    return def;
}

char *
storage_vol_xml(StorageVol *vol, GError **err)
{
    g_autoptr(StorageVolDef) def = copy_def(vol, err);

    return def ? storage_vol_def_format(def) : NULL;
}

bool
storage_vol_info(StorageVol *vol, StorageVolInfo *ret, GError **err)
{
    g_autoptr(StorageVolDef) def = copy_def(vol, err);

    if (!def)
        return false;
    ret->type = def->type - 1;
    ret->capacity = def->capacity;
    ret->allocation = def->allocation;
    ret->physical = def->physical == XML_UNSET ? 0 : def->physical;
    return true;
}

/* --- in use ----------------------------------------------------------------------------------- */

static void
use(StorageVol *vol, int n)
{
    g_mutex_lock(&vol->pool->manager->registry.lock);
    vol->in_use += (unsigned)n;
    g_mutex_unlock(&vol->pool->manager->registry.lock);
}

/* With the pool's `change` or its lock held. */
static bool
check_bytes(const StorageVol *vol, GError **err)
{
    if (vol->def->type == STORAGE_VOL_TYPE_DIR)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "volume '%s' is a directory: it has no bytes to transfer", vol->name);
    /* Its device is where the partitions in it are written down. */
    if (g_strcmp0(vol->def->target->format, "extended") == 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "volume '%s' is an extended partition: it has no bytes of its own",
                              vol->name);
    return true;
}

/* With the pool's `change` held. */
static bool
check_unused(StorageVol *vol, GError **err)
{
    unsigned uses;

    if (!storage_pool_check_active(vol->pool, err) || !check_there(vol, err))
        return false;
    g_mutex_lock(&vol->pool->manager->registry.lock);
    uses = vol->in_use;
    g_mutex_unlock(&vol->pool->manager->registry.lock);
    return !uses || kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "volume '%s' is still in use.",
                                   vol->name);
}

int
storage_vol_open(StorageVol *vol, bool write, uint64_t offset, GError **err)
{
    int fd = -1;
    bool ok;

    g_mutex_lock(&vol->pool->manager->registry.lock);
    ok =
        storage_pool_check_active(vol->pool, err) && check_there(vol, err) && check_bytes(vol, err);
    vol->in_use += ok;
    g_mutex_unlock(&vol->pool->manager->registry.lock);
    if (!ok)
        return -1;
    if (offset > INT64_MAX)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "an offset of %" G_GUINT64_FORMAT " bytes",
                       offset);
    else if ((fd = open(vol->path, (write ? O_WRONLY : O_RDONLY) | O_CLOEXEC)) < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "Unable to open stream for '%s'",
                             vol->path);
    else if (lseek(fd, (off_t)offset, SEEK_SET) < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                             "Unable to seek %s to %" G_GUINT64_FORMAT, vol->path, offset);
    else
        return fd;
    if (fd >= 0)
        close(fd);
    use(vol, -1);
    return -1;
}

void
storage_vol_close(StorageVol *vol, bool written)
{
    StoragePool *pool = vol->pool;

    use(vol, -1);
    if (!written)
        return;
    g_mutex_lock(&pool->change);
    if (pool->active && storage_pool_scan(pool, NULL)) {
        const StorageOps *ops = pool->manager->ops;

        if (ops && ops->refreshed)
            ops->refreshed(pool->manager->opaque, pool->object.name, pool->object.uuid);
    }
    g_mutex_unlock(&pool->change);
}

/* --- changing --------------------------------------------------------------------------------- */

static bool
no_support(const char *what, GError **err)
{
    return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "storage pool does not support %s", what);
}

/* What a definition leaves open. */
static bool
complete_new(StoragePool *pool, StorageNewVol *vol, GError **err)
{
    StorageVolTarget *target = vol->def->target;
    const StorageBackend *backend = pool->backend;

    if (!target->format)
        target->format = g_strdup(backend->vol_default_format);
    if (target->format && backend->vol_formats &&
        (!g_strv_contains(backend->vol_formats, target->format) ||
         (backend->vol_formats == storage_vol_formats && strcmp(target->format, "none") == 0)))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "unknown volume format type %s",
                              target->format);
    /* A copy is never smaller than what is copied. */
    if (vol->source &&
        (vol->def->capacity == XML_UNSET || vol->def->capacity < vol->source_def->capacity))
        vol->def->capacity = vol->source_def->capacity;
    return true;
}

/* What was said of the new volume's encryption, which its bytes do not tell. */
static void
remember_encryption(StorageVol *made, const DomainEncryption *given)
{
    Registry *registry = &made->pool->manager->registry;
    const DomainEncryption *found;

    g_mutex_lock(&registry->lock);
    found = made->def->target->encryption;
    if (given && found && found->format == given->format)
        storage_vol_def_set_encryption(made->def, given);
    g_mutex_unlock(&registry->lock);
}

static StorageVol *
create_locked(StoragePool *pool, StorageNewVol *vol, GError **err)
{
    StorageVol *made;

    if (!storage_pool_check_active(pool, err))
        return NULL;
    if (storage_volume_named(pool->volumes, vol->def->name)) {
        kiln_error_set(err, VIR_ERR_STORAGE_VOL_EXIST, "'%s'", vol->def->name);
        return NULL;
    }
    if (!pool->backend->vol_create) {
        no_support("volume creation", err);
        return NULL;
    }
    if (!complete_new(pool, vol, err) || !pool->backend->vol_create(pool, vol, err) ||
        !storage_pool_scan(pool, err))
        return NULL;
    made = storage_volume_named(pool->volumes, vol->def->name);
    if (made) {
        remember_encryption(made, vol->def->target->encryption);
        return storage_vol_ref(made);
    }
    kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "volume '%s' was made and is not there",
                   vol->def->name);
    return NULL;
}

StorageVol *
storage_pool_create_volume(StoragePool *pool, const char *xml, StorageVol *source, unsigned flags,
                           GError **err)
{
    unsigned how = (flags & VIR_STORAGE_VOL_CREATE_VALIDATE ? STORAGE_DEF_VALIDATE : 0) |
                   (source ? STORAGE_DEF_NO_CAPACITY : STORAGE_DEF_OPT_CAPACITY);
    g_autoptr(StorageVolDef) def = storage_vol_def_parse(xml, how, err);
    g_autoptr(StorageVolDef) source_def = NULL;
    StorageNewVol vol = { def, source, NULL, flags };
    StorageVol *made;

    if (!def)
        return NULL;
    if (source) {
        bool there;

        g_mutex_lock(&source->pool->manager->registry.lock);
        there = storage_pool_check_active(source->pool, err) && check_there(source, err);
        source->in_use += there;
        vol.source_def = source_def = there ? storage_vol_def_copy(source->def) : NULL;
        g_mutex_unlock(&source->pool->manager->registry.lock);
        if (!there)
            return NULL;
        storage_crypt_complete(source->pool->manager, source_def);
    }
    g_mutex_lock(&pool->change);
    made = create_locked(pool, &vol, err);
    g_mutex_unlock(&pool->change);
    if (source)
        use(source, -1);
    return made;
}

bool
storage_vol_delete(StorageVol *vol, unsigned flags, GError **err)
{
    StoragePool *pool = vol->pool;
    bool ok = false;

    g_mutex_lock(&pool->change);
    if (!check_unused(vol, err))
        ;
    else if (!pool->backend->vol_delete)
        no_support("vol deletion", err);
    else
        ok = pool->backend->vol_delete(pool, vol, flags, err) && storage_pool_scan(pool, err);
    g_mutex_unlock(&pool->change);
    return ok;
}

/* The capacity that is asked for; false when it may not be. */
static bool
new_capacity(const StorageVol *vol, uint64_t asked, unsigned flags, uint64_t *ret, GError **err)
{
    const StorageVolDef *def = vol->def;
    const StoragePoolDef *pool = vol->pool->def;
    bool shrink = flags & VIR_STORAGE_VOL_RESIZE_SHRINK;
    uint64_t capacity = asked;

    if (flags & VIR_STORAGE_VOL_RESIZE_DELTA) {
        if (!shrink && asked > INT64_MAX - def->capacity)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "a capacity of more than %" G_GINT64_FORMAT " bytes", INT64_MAX);
        capacity = shrink ? def->capacity - MIN(def->capacity, asked) : def->capacity + asked;
    }
    if (capacity > INT64_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "a capacity of more than %" G_GINT64_FORMAT " bytes", INT64_MAX);
    if (capacity < def->allocation && !shrink)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "can't shrink capacity below existing allocation unless shrink flag "
                              "explicitly specified");
    if (capacity < def->capacity && !shrink)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "Can't shrink capacity below current capacity unless shrink flag "
                              "explicitly specified");
    if (capacity > def->capacity && (flags & VIR_STORAGE_VOL_RESIZE_ALLOCATE) &&
        capacity - def->capacity > pool->available)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "Not enough space left in storage pool");
    *ret = capacity;
    return true;
}

bool
storage_vol_resize(StorageVol *vol, uint64_t asked, unsigned flags, GError **err)
{
    StoragePool *pool = vol->pool;
    uint64_t capacity = 0;
    bool ok = false;

    g_mutex_lock(&pool->change);
    if (!check_unused(vol, err))
        ;
    else if (!pool->backend->vol_resize)
        no_support("changing of volume capacity", err);
    else
        ok = new_capacity(vol, asked, flags, &capacity, err) &&
             pool->backend->vol_resize(pool, vol, capacity, flags, err) &&
             storage_pool_scan(pool, err);
    g_mutex_unlock(&pool->change);
    return ok;
}

bool
storage_vol_wipe(StorageVol *vol, unsigned algorithm, GError **err)
{
    StoragePool *pool = vol->pool;
    bool ok;

    g_mutex_lock(&pool->change);
    ok = check_unused(vol, err) && check_bytes(vol, err) &&
         (!pool->backend->vol_may_wipe || pool->backend->vol_may_wipe(vol, err)) &&
         storage_wipe(vol->path, algorithm, err) && storage_pool_scan(pool, err);
    g_mutex_unlock(&pool->change);
    return ok;
}
