/* manager.c - the registry of pools: making, finding, reading.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/storage/private.h"
#include "util/error.h"

static const StorageBackend *const storage_backends[] = {
    &storage_backend_dir,     &storage_backend_fs,   &storage_backend_netfs,
    &storage_backend_logical, &storage_backend_disk,
};

const StorageBackend *
storage_backend_find(int type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(storage_backends); i++)
        if (storage_backends[i]->type == type)
            return storage_backends[i];
    return NULL;
}

bool
storage_backend_check(const StoragePoolDef *def, GError **err)
{
    return storage_backend_find(def->type) ||
           kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "missing backend for pool type %d (%s)",
                          def->type - 1, storage_pool_types[def->type]);
}

/* --- the manager ------------------------------------------------------------------------------ */

static void
manager_free(Registry *registry)
{
    StorageManager *m = (StorageManager *)registry;

    g_free(m->images_dir);
    g_free(m->img);
    g_free(m);
}

static void
pool_free(RegistryObject *object)
{
    StoragePool *pool = (StoragePool *)object;

    storage_pool_def_free(pool->def);
    storage_pool_def_free(pool->new_def);
    g_ptr_array_unref(pool->volumes);
    g_mutex_clear(&pool->change);
    g_free(pool);
}

static void *
def_parse(const char *text, unsigned flags, GError **err)
{
    g_autoptr(StoragePoolDef) def = storage_pool_def_parse(text, flags, err);

    return def && storage_backend_check(def, err) ? g_steal_pointer(&def) : NULL;
}

static const RegistryClass storage_class = {
    .what = "storage pool",
    .brief = "pool",
    .edit = "virsh pool-edit POOL",
    .missing = VIR_ERR_NO_STORAGE_POOL,
    .parse = def_parse,
    .format = (char *(*)(const void *))storage_pool_def_format,
    .free = (GDestroyNotify)storage_pool_def_free,
    .def_name = offsetof(StoragePoolDef, name),
    .def_uuid = offsetof(StoragePoolDef, uuid),
    .object_free = pool_free,
    .registry_free = manager_free,
};

StorageManager *
storage_manager_new(const StorageConfig *config, const StorageOps *ops, void *opaque)
{
    StorageManager *m = g_new0(StorageManager, 1);

    registry_init(&m->registry, &storage_class, config->config_dir, config->run_dir,
                  ops ? ops->warn : NULL, opaque);
    m->images_dir = g_strdup(config->images_dir);
    m->img = g_strdup(config->img);
    m->ops = ops;
    m->opaque = opaque;
    return m;
}

void
storage_manager_free(StorageManager *m)
{
    g_autoptr(GPtrArray) all = NULL;

    if (!m)
        return;
    /* Volumes refer to their pools: without this the last reference to those would never go. */
    all = registry_list(&m->registry, NULL, NULL);
    for (guint i = 0; i < all->len; i++)
        g_ptr_array_set_size(((StoragePool *)all->pdata[i])->volumes, 0);
    g_clear_pointer(&all, g_ptr_array_unref);
    registry_close(&m->registry);
}

void
storage_pool_event(StoragePool *pool, int event)
{
    StorageManager *m = pool->manager;

    if (m->ops && m->ops->lifecycle)
        m->ops->lifecycle(m->opaque, pool->object.name, pool->object.uuid, event);
}

/* --- pools ------------------------------------------------------------------------------------ */

StoragePool *
storage_pool_ref(StoragePool *pool)
{
    return registry_ref(pool);
}

void
storage_pool_unref(StoragePool *pool)
{
    registry_unref(pool);
}

StoragePool *
storage_manager_add(StorageManager *m, const StoragePoolDef *def)
{
    StoragePool *pool = g_new0(StoragePool, 1);

    g_mutex_init(&pool->change);
    pool->manager = m;
    pool->backend = storage_backend_find(def->type);
    pool->def = storage_pool_def_copy(def);
    pool->volumes = g_ptr_array_new_with_free_func((GDestroyNotify)storage_vol_unref);
    registry_object_init(&m->registry, &pool->object, def);
    registry_enter(&pool->object);
    return pool;
}

void
storage_pool_set_def(StoragePool *pool, StoragePoolDef **place, StoragePoolDef *def)
{
    registry_replace(&pool->object, place, def);
}

StoragePool *
storage_manager_lookup_name(StorageManager *m, const char *name, GError **err)
{
    return registry_lookup_name(&m->registry, name, err);
}

StoragePool *
storage_manager_lookup_uuid(StorageManager *m, const uint8_t uuid[16], GError **err)
{
    return registry_lookup_uuid(&m->registry, uuid, err);
}

static bool
match_target(const void *object, const void *what)
{
    const StoragePool *pool = object;

    return pool->active && strcmp(pool->def->path, what) == 0;
}

StoragePool *
storage_manager_lookup_target(StorageManager *m, const char *path, GError **err)
{
    g_autofree char *clean = g_canonicalize_filename(path, "/");
    StoragePool *pool = registry_find(&m->registry, match_target, clean);

    if (!pool)
        kiln_error_set(err, VIR_ERR_NO_STORAGE_POOL,
                       "no storage pool with matching target path '%s'", path);
    return pool;
}

/* The flags of types stand in another order than the types only behind the last one here. */
static bool
type_allows(unsigned flags, int type)
{
    unsigned mask = ~(VIR_CONNECT_LIST_STORAGE_POOLS_DIR - 1U);

    return !(flags & mask) ||
           (flags & (VIR_CONNECT_LIST_STORAGE_POOLS_DIR << (type - STORAGE_POOL_DIR)));
}

static bool
matches(const void *object, const void *what)
{
    const StoragePool *p = object;
    unsigned flags = *(const unsigned *)what;

    return registry_allows(flags, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE,
                           VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE, p->active) &&
           registry_allows(flags, VIR_CONNECT_LIST_STORAGE_POOLS_PERSISTENT,
                           VIR_CONNECT_LIST_STORAGE_POOLS_TRANSIENT, p->persistent) &&
           registry_allows(flags, VIR_CONNECT_LIST_STORAGE_POOLS_AUTOSTART,
                           VIR_CONNECT_LIST_STORAGE_POOLS_NO_AUTOSTART, p->object.autostart) &&
           type_allows(flags, p->def->type);
}

GPtrArray *
storage_manager_list(StorageManager *m, unsigned flags)
{
    return registry_list(&m->registry, matches, &flags);
}

/* --- reading one ------------------------------------------------------------------------------ */

const char *
storage_pool_name(const StoragePool *pool)
{
    return pool->object.name;
}

const uint8_t *
storage_pool_uuid(const StoragePool *pool)
{
    return pool->object.uuid;
}

bool
storage_pool_is_active(StoragePool *pool)
{
    bool active;

    registry_lock_settled(&pool->object);
    active = pool->active;
    g_mutex_unlock(&pool->manager->registry.lock);
    return active;
}

bool
storage_pool_is_persistent(StoragePool *pool)
{
    return registry_flag(&pool->object, &pool->persistent);
}

bool
storage_pool_autostart(StoragePool *pool)
{
    return registry_flag(&pool->object, &pool->object.autostart);
}

char *
storage_pool_xml(StoragePool *pool, unsigned flags)
{
    g_autoptr(StoragePoolDef) copy = NULL;

    storage_pool_freshen(pool);
    storage_pool_measure(pool);
    g_mutex_lock(&pool->manager->registry.lock);
    copy = storage_pool_def_copy((flags & VIR_STORAGE_XML_INACTIVE) && pool->new_def ? pool->new_def
                                                                                     : pool->def);
    g_mutex_unlock(&pool->manager->registry.lock);
    return storage_pool_def_format(copy);
}

void
storage_pool_info(StoragePool *pool, StoragePoolInfo *ret)
{
    storage_pool_freshen(pool);
    storage_pool_measure(pool);
    g_mutex_lock(&pool->manager->registry.lock);
    ret->state = pool->active ? VIR_STORAGE_POOL_RUNNING : VIR_STORAGE_POOL_INACTIVE;
    ret->capacity = pool->def->capacity;
    ret->allocation = pool->def->allocation;
    ret->available = pool->def->available;
    g_mutex_unlock(&pool->manager->registry.lock);
}
