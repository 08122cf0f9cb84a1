/* pool.c - define, build, start, refresh, stop, delete, undefine: the life of a pool.
 *
 * Error codes and wording follow libvirt's storage driver.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <unistd.h>

#include "driver/storage/private.h"
#include "util/error.h"
#include "util/flags.h"

bool
storage_pool_check_active(const StoragePool *pool, GError **err)
{
    if (!registry_check(&pool->object, err))
        return false;
    return pool->active || kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                                          "storage pool '%s' is not active", pool->object.name);
}

/* @how: "is already active", "is still active". */
static bool
check_inactive(const StoragePool *pool, const char *how, GError **err)
{
    if (!registry_check(&pool->object, err))
        return false;
    return !pool->active || kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "storage pool '%s' %s",
                                           pool->object.name, how);
}

/* Somebody copies from or to one of the volumes. */
static bool
check_idle(const StoragePool *pool, GError **err)
{
    bool busy = false;

    g_mutex_lock(&pool->manager->registry.lock);
    for (guint i = 0; i < pool->volumes->len; i++)
        busy |= ((const StorageVol *)pool->volumes->pdata[i])->in_use > 0;
    g_mutex_unlock(&pool->manager->registry.lock);
    return !busy || kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                                   "pool '%s' has asynchronous jobs running.", pool->object.name);
}

static bool
unsupported(const StoragePool *pool, const char *what, GError **err)
{
    return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "pool of type '%s' does not support %s",
                          storage_pool_types[pool->backend->type], what);
}

/* --- looking into a pool ---------------------------------------------------------------------- */

static int
compare_volumes(gconstpointer a, gconstpointer b)
{
    const StorageVol *x = *(StorageVol *const *)a, *y = *(StorageVol *const *)b;

    return strcmp(x->name, y->name);
}

bool
storage_pool_scan(StoragePool *pool, GError **err)
{
    StorageScan scan = { pool, storage_pool_def_copy(pool->def),
                         g_ptr_array_new_with_free_func((GDestroyNotify)storage_vol_unref) };
    struct stat looked = { 0 };
    GPtrArray *old;
    bool ok;

    if (stat(pool->def->path, &looked) < 0)
        memset(&looked, 0, sizeof looked);
    ok = pool->backend->scan(&scan, err);
    if (!ok) {
        storage_pool_def_free(scan.def);
        g_ptr_array_unref(scan.volumes);
        return false;
    }
    g_ptr_array_sort(scan.volumes, compare_volumes);
    storage_pool_set_def(pool, &pool->def, scan.def);
    g_mutex_lock(&pool->manager->registry.lock);
    old = pool->volumes;
    pool->volumes = scan.volumes;
    pool->looked = looked;
    pool->stale = false;
    for (guint i = 0; i < old->len; i++)
        ((StorageVol *)old->pdata[i])->gone = true;
    for (guint i = 0; i < pool->volumes->len; i++)
        ((StorageVol *)pool->volumes->pdata[i])->gone = false;
    g_mutex_unlock(&pool->manager->registry.lock);
    g_ptr_array_unref(old);
    return true;
}

void
storage_pool_measure(StoragePool *pool)
{
    g_autoptr(StoragePoolDef) def = NULL;

    /* Whoever changes the pool brings them up to date. */
    if (!g_mutex_trylock(&pool->change))
        return;
    if (pool->active && pool->backend->measure && (def = storage_pool_def_copy(pool->def)) &&
        pool->backend->measure(def, NULL))
        storage_pool_set_def(pool, &pool->def, g_steal_pointer(&def));
    g_mutex_unlock(&pool->change);
}

/* --- start and stop --------------------------------------------------------------------------- */

enum {
    BUILD_FLAGS = VIR_STORAGE_POOL_CREATE_WITH_BUILD |
                  VIR_STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE |
                  VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE,
};

static bool
check_overwrite(bool yes, bool no, GError **err)
{
    return !yes || !no ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "overwriting and not overwriting are asked for at once");
}

static bool
build_locked(StoragePool *pool, unsigned flags, GError **err)
{
    if (!pool->backend->build)
        return unsupported(pool, "building", err);
    if (!pool->backend->build(pool, pool->def, flags, err))
        return false;
    storage_pool_event(pool, VIR_STORAGE_POOL_EVENT_CREATED);
    return true;
}

static bool
build_for_start(StoragePool *pool, unsigned flags, GError **err)
{
    unsigned build = VIR_STORAGE_POOL_BUILD_NEW;

    if (!(flags & BUILD_FLAGS))
        return true;
    if (flags & VIR_STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE)
        build |= VIR_STORAGE_POOL_BUILD_OVERWRITE;
    if (flags & VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE)
        build |= VIR_STORAGE_POOL_BUILD_NO_OVERWRITE;
    return build_locked(pool, build, err);
}

static void
set_active(StoragePool *pool, bool active)
{
    StorageManager *m = pool->manager;
    GPtrArray *old = NULL;

    g_mutex_lock(&m->registry.lock);
    pool->active = active;
    if (!active) {
        old = pool->volumes;
        pool->volumes = g_ptr_array_new_with_free_func((GDestroyNotify)storage_vol_unref);
        for (guint i = 0; i < old->len; i++)
            ((StorageVol *)old->pdata[i])->gone = true;
    }
    g_mutex_unlock(&m->registry.lock);
    if (old)
        g_ptr_array_unref(old);
}

/* What was defined meanwhile counts now. */
static void
take_new_def(StoragePool *pool)
{
    StoragePoolDef *def;

    g_mutex_lock(&pool->manager->registry.lock);
    def = g_steal_pointer(&pool->new_def);
    if (def)
        pool->backend = storage_backend_find(def->type);
    g_mutex_unlock(&pool->manager->registry.lock);
    if (def)
        storage_pool_set_def(pool, &pool->def, def);
}

static bool
start_turn(StoragePool *pool, unsigned flags, GError **err)
{
    StorageManager *m = pool->manager;
    const StorageBackend *backend = pool->backend;

    if (pool->def->source->auth)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "pool '%s': <auth> is not offered for type '%s'; remove it to start "
                              "the pool",
                              pool->def->name, storage_pool_types[pool->def->type]);
    if (!check_overwrite(flags & VIR_STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE,
                         flags & VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE, err) ||
        !build_for_start(pool, flags, err))
        return false;
    /* Known on disk before it is on the host: a daemon killed between leaves nothing unknown. */
    if (!registry_store_active(&m->registry, pool->def, err))
        return false;
    if (backend->start && !backend->start(pool, pool->def, err))
        goto forget;
    if (!storage_pool_scan(pool, err)) {
        if (backend->stop)
            backend->stop(pool, pool->def, NULL);
        goto forget;
    }
    set_active(pool, true);
    storage_pool_event(pool, VIR_STORAGE_POOL_EVENT_STARTED);
    return true;

forget:
    registry_remove_active(&pool->object);
    return false;
}

bool
storage_pool_start_locked(StoragePool *pool, unsigned flags, GError **err)
{
    bool ok;

    registry_set_turning(&pool->object, true);
    ok = start_turn(pool, flags, err);
    registry_set_turning(&pool->object, false);
    return ok;
}

bool
storage_pool_start(StoragePool *pool, unsigned flags, GError **err)
{
    bool ok;

    g_mutex_lock(&pool->change);
    ok = check_inactive(pool, "is already active", err) &&
         storage_pool_start_locked(pool, flags, err);
    g_mutex_unlock(&pool->change);
    return ok;
}

/* After the back end let go of it. */
static void
stopped(StoragePool *pool)
{
    registry_remove_active(&pool->object);
    set_active(pool, false);
    storage_pool_event(pool, VIR_STORAGE_POOL_EVENT_STOPPED);
    if (pool->persistent)
        take_new_def(pool);
    else
        registry_drop(&pool->object);
}

bool
storage_pool_stop(StoragePool *pool, GError **err)
{
    bool ok;

    g_mutex_lock(&pool->change);
    registry_set_turning(&pool->object, true);
    ok = storage_pool_check_active(pool, err) && check_idle(pool, err) &&
         (!pool->backend->stop || pool->backend->stop(pool, pool->def, err));
    if (ok)
        stopped(pool);
    registry_set_turning(&pool->object, false);
    g_mutex_unlock(&pool->change);
    return ok;
}

bool
storage_pool_refresh(StoragePool *pool, GError **err)
{
    StorageManager *m = pool->manager;
    bool ok = false;

    g_mutex_lock(&pool->change);
    if (storage_pool_check_active(pool, err) && check_idle(pool, err)) {
        ok = storage_pool_scan(pool, err);
        if (ok && m->ops && m->ops->refreshed)
            m->ops->refreshed(m->opaque, pool->object.name, pool->object.uuid);
        if (!ok) {
            /* What cannot be looked into is no active pool. */
            if (pool->backend->stop)
                pool->backend->stop(pool, pool->def, NULL);
            stopped(pool);
        }
    }
    g_mutex_unlock(&pool->change);
    return ok;
}

/* --- build and delete ------------------------------------------------------------------------- */

bool
storage_pool_build(StoragePool *pool, unsigned flags, GError **err)
{
    bool ok;

    g_mutex_lock(&pool->change);
    ok = check_inactive(pool, "is already active", err) &&
         /* libvirt asks after the state of the pool first */
         kiln_flags_check(flags,
                          VIR_STORAGE_POOL_BUILD_OVERWRITE | VIR_STORAGE_POOL_BUILD_NO_OVERWRITE,
                          "virStoragePoolBuild", err) &&
         check_overwrite(flags & VIR_STORAGE_POOL_BUILD_OVERWRITE,
                         flags & VIR_STORAGE_POOL_BUILD_NO_OVERWRITE, err) &&
         build_locked(pool, flags, err);
    g_mutex_unlock(&pool->change);
    return ok;
}

bool
storage_pool_delete(StoragePool *pool, unsigned flags, GError **err)
{
    bool ok = false;

    g_mutex_lock(&pool->change);
    if (!check_inactive(pool, "is still active", err) ||
        !kiln_flags_check(flags, VIR_STORAGE_POOL_DELETE_ZEROED, "virStoragePoolDelete", err))
        ;
    else if (!pool->backend->remove)
        unsupported(pool, "pool deletion", err);
    else
        ok = pool->backend->remove(pool, pool->def, flags, err);
    if (ok)
        storage_pool_event(pool, VIR_STORAGE_POOL_EVENT_DELETED);
    g_mutex_unlock(&pool->change);
    return ok;
}

/* --- define and create ------------------------------------------------------------------------ */

static bool
same_source(const StoragePoolDef *a, const StoragePoolDef *b)
{
    const StoragePoolSource *x = a->source, *y = b->source;

    if (a->type != b->type)
        return false;
    switch (a->type) {
    case STORAGE_POOL_DIR:
        return strcmp(a->path, b->path) == 0;
    case STORAGE_POOL_NETFS:
        return strcmp(x->dir, y->dir) == 0 &&
               strcmp(((const StoragePoolHost *)x->hosts->pdata[0])->name,
                      ((const StoragePoolHost *)y->hosts->pdata[0])->name) == 0;
    case STORAGE_POOL_LOGICAL:
        return strcmp(x->name, y->name) == 0;
    default:
        return strcmp(storage_pool_def_device(a), storage_pool_def_device(b)) == 0;
    }
}

/* @xml as the definition of a pool that has a back end. */
static StoragePoolDef *
parse_def(const char *xml, unsigned flags, GError **err)
{
    g_autoptr(StoragePoolDef) def = storage_pool_def_parse(xml, flags, err);

    return def && storage_backend_check(def, err) ? g_steal_pointer(&def) : NULL;
}

/* A pool that @def describes, and one whose source it must not share. */
typedef struct {
    const StoragePool *same;
    const StoragePoolDef *def;
} Conflict;

static bool
match_conflict(const void *object, const void *what)
{
    const StoragePool *other = object;
    const Conflict *conflict = what;

    return other != conflict->same && same_source(other->def, conflict->def);
}

/* Finds the pool that @def is a definition of; none is no error. With the registry's `change`. */
static bool
find_same(StorageManager *m, const StoragePoolDef *def, StoragePool **ret, GError **err)
{
    g_autoptr(StoragePool) other = NULL;
    StoragePool *same = NULL;

    if (!registry_find_same(&m->registry, def, &same, err))
        return false;
    other = registry_find(&m->registry, match_conflict, &(Conflict){ same, def });
    if (other)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "Storage source conflict with pool: '%s'", other->object.name);
    *ret = same;
    return true;
}

/* Gives the inactive or active @pool another definition. With its `change`. */
static bool
redefine(StoragePool *pool, StoragePoolDef **def, GError **err)
{
    StorageManager *m = pool->manager;

    if (pool->active && pool->backend->type != (*def)->type)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "pool '%s' is active, its type cannot change", pool->object.name);
    if (!registry_store(&m->registry, *def, err))
        return false;
    g_mutex_lock(&m->registry.lock);
    pool->persistent = true;
    pool->backend = storage_backend_find((*def)->type);
    g_mutex_unlock(&m->registry.lock);
    storage_pool_set_def(pool, pool->active ? &pool->new_def : &pool->def, g_steal_pointer(def));
    return true;
}

StoragePool *
storage_manager_define(StorageManager *m, const char *xml, unsigned flags, GError **err)
{
    g_autoptr(StoragePoolDef) def =
        parse_def(xml, flags & VIR_STORAGE_POOL_DEFINE_VALIDATE ? STORAGE_DEF_VALIDATE : 0, err);
    StoragePool *pool = NULL;
    bool is_new, ok;

    if (!def)
        return NULL;
    g_mutex_lock(&m->registry.change);
    if (!find_same(m, def, &pool, err)) {
        g_mutex_unlock(&m->registry.change);
        return NULL;
    }
    is_new = !pool;
    if (is_new)
        pool = storage_manager_add(m, def);
    storage_pool_ref(pool);
    g_mutex_lock(&pool->change);
    ok = redefine(pool, &def, err);
    if (ok)
        storage_pool_event(pool, VIR_STORAGE_POOL_EVENT_DEFINED);
    else if (is_new)
        registry_drop(&pool->object);
    g_mutex_unlock(&pool->change);
    g_mutex_unlock(&m->registry.change);
    if (!ok)
        g_clear_pointer(&pool, storage_pool_unref);
    return pool;
}

StoragePool *
storage_manager_create(StorageManager *m, const char *xml, unsigned flags, GError **err)
{
    g_autoptr(StoragePoolDef) def = parse_def(xml, 0, err);
    StoragePool *pool = NULL;
    bool ok;

    if (!def)
        return NULL;
    g_mutex_lock(&m->registry.change);
    if (!find_same(m, def, &pool, err)) {
        g_mutex_unlock(&m->registry.change);
        return NULL;
    }
    if (pool && pool->active) {
        g_mutex_unlock(&m->registry.change);
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "pool is already active as '%s'",
                       pool->object.name);
        return NULL;
    }
    if (!pool)
        pool = storage_manager_add(m, def);
    storage_pool_ref(pool);
    g_mutex_lock(&pool->change);
    g_mutex_unlock(&m->registry.change);
    ok = check_inactive(pool, "is already active", err);
    if (ok && pool->persistent) {
        g_mutex_lock(&m->registry.lock);
        pool->backend = storage_backend_find(def->type);
        g_mutex_unlock(&m->registry.lock);
        /* This definition for the run, the kept one afterwards. */
        storage_pool_set_def(pool, &pool->new_def, storage_pool_def_copy(pool->def));
        storage_pool_set_def(pool, &pool->def, g_steal_pointer(&def));
    }
    ok = ok && storage_pool_start_locked(pool, flags, err);
    if (!ok && !pool->active && pool->object.registered) {
        if (pool->persistent)
            take_new_def(pool);
        else
            registry_drop(&pool->object);
    }
    g_mutex_unlock(&pool->change);
    if (!ok)
        g_clear_pointer(&pool, storage_pool_unref);
    return pool;
}

bool
storage_pool_undefine(StoragePool *pool, GError **err)
{
    StorageManager *m = pool->manager;
    bool ok;

    g_mutex_lock(&m->registry.change);
    g_mutex_lock(&pool->change);
    ok = check_inactive(pool, "is still active", err) && registry_remove(&pool->object, err);
    if (ok) {
        registry_drop(&pool->object);
        storage_pool_event(pool, VIR_STORAGE_POOL_EVENT_UNDEFINED);
    }
    g_mutex_unlock(&pool->change);
    g_mutex_unlock(&m->registry.change);
    return ok;
}

bool
storage_pool_set_autostart(StoragePool *pool, bool autostart, GError **err)
{
    StorageManager *m = pool->manager;
    bool ok = false;

    g_mutex_lock(&m->registry.change);
    if (!pool->persistent)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "pool '%s' has no config file", pool->object.name);
    else
        ok = registry_set_autostart(&pool->object, autostart, err);
    g_mutex_unlock(&m->registry.change);
    return ok;
}
