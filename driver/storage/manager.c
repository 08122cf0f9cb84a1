/* manager.c - the registry of pools: making, finding, reading.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/storage/private.h"
#include "util/error.h"

static const StorageBackend *const storage_backends[] = {
    &storage_backend_dir,
    &storage_backend_fs,
    &storage_backend_netfs,
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

StorageManager *
storage_manager_new(const StorageConfig *config, const StorageOps *ops, void *opaque)
{
    StorageManager *m = g_new0(StorageManager, 1);

    g_atomic_ref_count_init(&m->refs);
    m->config_dir = g_strdup(config->config_dir);
    m->autostart_dir = g_strdup_printf("%s/autostart", config->config_dir);
    m->run_dir = g_strdup(config->run_dir);
    m->images_dir = g_strdup(config->images_dir);
    m->img = g_strdup(config->img);
    m->ops = ops;
    m->opaque = opaque;
    g_mutex_init(&m->change);
    g_mutex_init(&m->lock);
    m->by_name =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)storage_pool_unref);
    return m;
}

void
storage_manager_unref(StorageManager *m)
{
    if (!g_atomic_ref_count_dec(&m->refs))
        return;
    g_hash_table_unref(m->by_name);
    g_mutex_clear(&m->change);
    g_mutex_clear(&m->lock);
    g_free(m->config_dir);
    g_free(m->autostart_dir);
    g_free(m->run_dir);
    g_free(m->images_dir);
    g_free(m->img);
    g_free(m);
}

void
storage_manager_free(StorageManager *m)
{
    GHashTableIter iter;
    gpointer value;

    if (!m)
        return;
    /* Volumes refer to pools and those to the manager: let go of them, so that the last reference
     * can go. */
    g_mutex_lock(&m->change);
    g_hash_table_iter_init(&iter, m->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_ptr_array_set_size(((StoragePool *)value)->volumes, 0);
    g_hash_table_remove_all(m->by_name);
    g_mutex_unlock(&m->change);
    storage_manager_unref(m);
}

void
storage_manager_warn(StorageManager *m, const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list args;

    if (!m->ops || !m->ops->warn)
        return;
    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    m->ops->warn(m->opaque, message);
}

void
storage_pool_event(StoragePool *pool, int event)
{
    StorageManager *m = pool->manager;

    if (m->ops && m->ops->lifecycle)
        m->ops->lifecycle(m->opaque, pool->name, pool->uuid, event);
}

/* --- pools ------------------------------------------------------------------------------------ */

StoragePool *
storage_pool_ref(StoragePool *pool)
{
    g_atomic_ref_count_inc(&pool->refs);
    return pool;
}

void
storage_pool_unref(StoragePool *pool)
{
    if (!pool || !g_atomic_ref_count_dec(&pool->refs))
        return;
    storage_pool_def_free(pool->def);
    storage_pool_def_free(pool->new_def);
    g_ptr_array_unref(pool->volumes);
    g_mutex_clear(&pool->change);
    g_free(pool->name);
    storage_manager_unref(pool->manager);
    g_free(pool);
}

StoragePool *
storage_manager_add(StorageManager *m, const StoragePoolDef *def)
{
    StoragePool *pool = g_new0(StoragePool, 1);

    g_atomic_ref_count_init(&pool->refs);
    g_atomic_ref_count_inc(&m->refs);
    g_mutex_init(&pool->change);
    pool->manager = m;
    pool->name = g_strdup(def->name);
    xml_uuid_parse(def->uuid, pool->uuid);
    pool->backend = storage_backend_find(def->type);
    pool->def = storage_pool_def_copy(def);
    pool->volumes = g_ptr_array_new_with_free_func((GDestroyNotify)storage_vol_unref);
    pool->registered = true;
    g_mutex_lock(&m->lock);
    g_hash_table_insert(m->by_name, pool->name, pool);
    g_mutex_unlock(&m->lock);
    return pool;
}

void
storage_manager_drop(StoragePool *pool)
{
    StorageManager *m = pool->manager;
    g_autoptr(StoragePool) held = storage_pool_ref(pool);

    g_mutex_lock(&m->lock);
    held->registered = false;
    g_hash_table_remove(m->by_name, held->name);
    g_mutex_unlock(&m->lock);
}

void
storage_pool_set_def(StoragePool *pool, StoragePoolDef **place, StoragePoolDef *def)
{
    StoragePoolDef *old;

    g_mutex_lock(&pool->manager->lock);
    old = *place;
    *place = def;
    g_mutex_unlock(&pool->manager->lock);
    storage_pool_def_free(old);
}

StoragePool *
storage_manager_peek(StorageManager *m, const char *name)
{
    return g_hash_table_lookup(m->by_name, name);
}

StoragePool *
storage_manager_lookup_name(StorageManager *m, const char *name, GError **err)
{
    StoragePool *pool;

    g_mutex_lock(&m->lock);
    pool = g_hash_table_lookup(m->by_name, name);
    if (pool)
        storage_pool_ref(pool);
    g_mutex_unlock(&m->lock);
    if (!pool)
        kiln_error_set(err, VIR_ERR_NO_STORAGE_POOL, "no storage pool with matching name '%s'",
                       name);
    return pool;
}

typedef bool (*PoolMatch)(const StoragePool *pool, const void *what);

static StoragePool *
find(StorageManager *m, PoolMatch match, const void *what)
{
    StoragePool *found = NULL;
    GHashTableIter iter;
    gpointer value;

    g_mutex_lock(&m->lock);
    g_hash_table_iter_init(&iter, m->by_name);
    while (!found && g_hash_table_iter_next(&iter, NULL, &value))
        if (match(value, what))
            found = storage_pool_ref(value);
    g_mutex_unlock(&m->lock);
    return found;
}

static bool
match_uuid(const StoragePool *pool, const void *what)
{
    return memcmp(pool->uuid, what, sizeof pool->uuid) == 0;
}

static bool
match_target(const StoragePool *pool, const void *what)
{
    return pool->active && strcmp(pool->def->path, what) == 0;
}

StoragePool *
storage_manager_lookup_uuid(StorageManager *m, const uint8_t uuid[16], GError **err)
{
    StoragePool *pool = find(m, match_uuid, uuid);
    g_autofree char *text = NULL;

    if (pool)
        return pool;
    text = xml_uuid_format(uuid);
    kiln_error_set(err, VIR_ERR_NO_STORAGE_POOL, "no storage pool with matching uuid '%s'", text);
    return NULL;
}

StoragePool *
storage_manager_lookup_target(StorageManager *m, const char *path, GError **err)
{
    g_autofree char *clean = g_canonicalize_filename(path, "/");
    StoragePool *pool = find(m, match_target, clean);

    if (!pool)
        kiln_error_set(err, VIR_ERR_NO_STORAGE_POOL,
                       "no storage pool with matching target path '%s'", path);
    return pool;
}

static bool
group_allows(unsigned flags, unsigned yes, unsigned no, bool is)
{
    return !(flags & (yes | no)) || (flags & (is ? yes : no));
}

/* The flags of types stand in another order than the types only behind the last one here. */
static bool
type_allows(unsigned flags, int type)
{
    unsigned mask = ~(VIR_CONNECT_LIST_STORAGE_POOLS_DIR - 1U);

    return !(flags & mask) ||
           (flags & (VIR_CONNECT_LIST_STORAGE_POOLS_DIR << (type - STORAGE_POOL_DIR)));
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    const StoragePool *x = *(StoragePool *const *)a, *y = *(StoragePool *const *)b;

    return strcmp(x->name, y->name);
}

GPtrArray *
storage_manager_list(StorageManager *m, unsigned flags)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)storage_pool_unref);
    GHashTableIter iter;
    gpointer value;

    g_mutex_lock(&m->lock);
    g_hash_table_iter_init(&iter, m->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        StoragePool *p = value;

        if (group_allows(flags, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE,
                         VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE, p->active) &&
            group_allows(flags, VIR_CONNECT_LIST_STORAGE_POOLS_PERSISTENT,
                         VIR_CONNECT_LIST_STORAGE_POOLS_TRANSIENT, p->persistent) &&
            group_allows(flags, VIR_CONNECT_LIST_STORAGE_POOLS_AUTOSTART,
                         VIR_CONNECT_LIST_STORAGE_POOLS_NO_AUTOSTART, p->autostart) &&
            type_allows(flags, p->def->type))
            g_ptr_array_add(list, storage_pool_ref(p));
    }
    g_mutex_unlock(&m->lock);
    g_ptr_array_sort(list, compare_names);
    return list;
}

/* --- reading one ------------------------------------------------------------------------------ */

const char *
storage_pool_name(const StoragePool *pool)
{
    return pool->name;
}

const uint8_t *
storage_pool_uuid(const StoragePool *pool)
{
    return pool->uuid;
}

static bool
read_flag(StoragePool *pool, const bool *flag)
{
    bool is;

    g_mutex_lock(&pool->manager->lock);
    is = *flag;
    g_mutex_unlock(&pool->manager->lock);
    return is;
}

bool
storage_pool_is_active(StoragePool *pool)
{
    return read_flag(pool, &pool->active);
}

bool
storage_pool_is_persistent(StoragePool *pool)
{
    return read_flag(pool, &pool->persistent);
}

bool
storage_pool_autostart(StoragePool *pool)
{
    return read_flag(pool, &pool->autostart);
}

char *
storage_pool_xml(StoragePool *pool, unsigned flags)
{
    g_autoptr(StoragePoolDef) copy = NULL;

    storage_pool_freshen(pool);
    g_mutex_lock(&pool->manager->lock);
    copy = storage_pool_def_copy((flags & VIR_STORAGE_XML_INACTIVE) && pool->new_def ? pool->new_def
                                                                                     : pool->def);
    g_mutex_unlock(&pool->manager->lock);
    return storage_pool_def_format(copy);
}

void
storage_pool_info(StoragePool *pool, StoragePoolInfo *ret)
{
    storage_pool_freshen(pool);
    g_mutex_lock(&pool->manager->lock);
    ret->state = pool->active ? VIR_STORAGE_POOL_RUNNING : VIR_STORAGE_POOL_INACTIVE;
    ret->capacity = pool->def->capacity;
    ret->allocation = pool->def->allocation;
    ret->available = pool->def->available;
    g_mutex_unlock(&pool->manager->lock);
}
