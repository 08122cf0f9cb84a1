/* load.c - the first minutes of the manager: definitions, pools of a former daemon, `default`,
 * autostart.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/storage/private.h"
#include "util/deffiles.h"
#include "util/file.h"

/* Pools that a former daemon left up are looked into when somebody asks: a daemon that starts does
 * not wait for every image of the host. */
static void
take_up(StoragePool *pool)
{
    const StorageBackend *backend = pool->backend;

    if (backend->is_up && !backend->is_up(pool, pool->def)) {
        registry_remove_active(&pool->object);
        return;
    }
    pool->active = true;
    pool->stale = true;
}

static bool
load_definitions(StorageManager *m, GError **err)
{
    g_autoptr(GPtrArray) defs = registry_load(&m->registry, m->registry.config_dir, err);

    for (guint i = 0; defs && i < defs->len; i++) {
        const StoragePoolDef *def = defs->pdata[i];
        StoragePool *pool = storage_manager_add(m, def);

        pool->persistent = true;
        pool->object.autostart = def_file_is_autostart(m->registry.config_dir, def->name);
    }
    return defs != NULL;
}

static bool
load_active(StorageManager *m, GError **err)
{
    g_autoptr(GPtrArray) defs = registry_load(&m->registry, m->registry.run_dir, err);

    for (guint i = 0; defs && i < defs->len; i++) {
        const StoragePoolDef *def = defs->pdata[i];
        StoragePool *pool = registry_peek(&m->registry, def->name);
        g_autofree char *kept = pool ? storage_pool_def_format(pool->def) : NULL;
        g_autofree char *runs = storage_pool_def_format(def);

        if (!pool) {
            pool = storage_manager_add(m, def);
        } else if (strcmp(kept, runs) != 0) {
            pool->new_def = pool->def;
            pool->def = storage_pool_def_copy(def);
            pool->backend = storage_backend_find(def->type);
        }
        take_up(pool);
        if (!pool->active && pool->new_def) {
            storage_pool_def_free(pool->def);
            pool->def = g_steal_pointer(&pool->new_def);
        } else if (!pool->active && !pool->persistent) {
            registry_drop(&pool->object);
        }
    }
    return defs != NULL;
}

static bool
make_default(StorageManager *m, GError **err)
{
    g_autofree char *path = xml_escape(m->images_dir);
    g_autofree char *xml =
        g_strdup_printf("<pool type='dir'><name>default</name><target><path>%s</path></target>"
                        "</pool>",
                        path);
    g_autoptr(StoragePoolDef) def = storage_pool_def_parse(xml, 0, err);
    StoragePool *pool;

    if (!def || !registry_store(&m->registry, def, err) ||
        !def_file_set_autostart(m->registry.config_dir, "default", true, err))
        return false;
    pool = storage_manager_add(m, def);
    pool->persistent = pool->object.autostart = true;
    return true;
}

static bool
start(RegistryObject *object, GError **err)
{
    StoragePool *pool = (StoragePool *)object;
    bool ok;

    g_mutex_lock(&pool->change);
    ok = pool->active || storage_pool_start_locked(pool, 0, err);
    g_mutex_unlock(&pool->change);
    return ok;
}

bool
storage_manager_load(StorageManager *m, GError **err)
{
    g_autoptr(GError) no_default = NULL;
    bool ok;

    if (!file_make_dirs(m->registry.config_dir, 0700, err) ||
        !file_make_dirs(m->registry.run_dir, 0700, err))
        return false;
    g_mutex_lock(&m->registry.change);
    ok = load_definitions(m, err) && load_active(m, err);
    if (ok && registry_wants_default(&m->registry) && !make_default(m, &no_default))
        registry_warn(&m->registry, "storage pool 'default' is not made: %s", no_default->message);
    if (ok)
        registry_autostart(&m->registry, start);
    g_mutex_unlock(&m->registry.change);
    return ok;
}
