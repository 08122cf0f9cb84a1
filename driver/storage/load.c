/* load.c - the first minutes of the manager: definitions, pools of a former daemon, `default`,
 * autostart.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "driver/storage/private.h"
#include "util/error.h"
#include "util/file.h"

/* Pools that a former daemon left up are looked into when somebody asks: a daemon that starts does
 * not wait for every image of the host. */
static void
take_up(StoragePool *pool)
{
    StorageManager *m = pool->manager;
    const StorageBackend *backend = pool->backend;

    if (backend->is_up && !backend->is_up(pool, pool->def)) {
        storage_store_remove_active(m, pool->name);
        return;
    }
    pool->active = true;
    pool->stale = true;
}

static bool
load_definitions(StorageManager *m, GError **err)
{
    g_autoptr(GPtrArray) defs = storage_store_load(m, m->config_dir, err);

    for (guint i = 0; defs && i < defs->len; i++) {
        const StoragePoolDef *def = defs->pdata[i];
        StoragePool *pool = storage_manager_add(m, def);

        pool->persistent = true;
        pool->autostart = storage_store_is_autostart(m, def->name);
    }
    return defs != NULL;
}

static bool
load_active(StorageManager *m, GError **err)
{
    g_autoptr(GPtrArray) defs = storage_store_load(m, m->run_dir, err);

    for (guint i = 0; defs && i < defs->len; i++) {
        const StoragePoolDef *def = defs->pdata[i];
        StoragePool *pool = storage_manager_peek(m, def->name);
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
            storage_manager_drop(pool);
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

    if (!def || !storage_store_def(m, def, err) ||
        !storage_store_autostart(m, "default", true, err))
        return false;
    pool = storage_manager_add(m, def);
    pool->persistent = pool->autostart = true;
    return true;
}

/* Marked pools start once in the life of the host (or of the run directory), so that a restart of
 * the daemon does not bring back what was stopped by hand. */
static void
autostart_all(StorageManager *m)
{
    g_autofree char *flag = g_strdup_printf("%s/autostarted", m->run_dir);
    GHashTableIter iter;
    gpointer value;

    if (access(flag, F_OK) == 0)
        return;
    g_hash_table_iter_init(&iter, m->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        StoragePool *pool = value;
        g_autoptr(GError) err = NULL;

        if (!pool->autostart || pool->active)
            continue;
        g_mutex_lock(&pool->change);
        if (!storage_pool_start_locked(pool, 0, &err))
            storage_manager_warn(m, "storage pool '%s' does not start: %s", pool->name,
                                 err->message);
        g_mutex_unlock(&pool->change);
    }
    file_write_atomic(flag, "", 0, 0644, NULL);
}

bool
storage_manager_load(StorageManager *m, GError **err)
{
    g_autoptr(GError) no_default = NULL;
    bool ok;

    if (!file_make_dirs(m->config_dir, 0700, err) || !file_make_dirs(m->run_dir, 0700, err))
        return false;
    g_mutex_lock(&m->change);
    ok = load_definitions(m, err) && load_active(m, err);
    if (ok && access(m->autostart_dir, F_OK) < 0 && !storage_manager_peek(m, "default") &&
        !make_default(m, &no_default))
        storage_manager_warn(m, "storage pool 'default' is not made: %s", no_default->message);
    if (ok)
        autostart_all(m);
    g_mutex_unlock(&m->change);
    return ok;
}
