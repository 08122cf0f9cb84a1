/* store.c - definitions of pools on disk.
 *
 *   CONFIG/NAME.xml           persistent definition
 *   CONFIG/autostart/NAME.xml link to it
 *   RUN/NAME.xml              definition of an active pool
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "driver/storage/private.h"
#include "util/error.h"
#include "util/file.h"

enum { DEF_FILE_MAX = 4 * 1024 * 1024 };

static const char header[] = "<!--\n"
                             "Kiln writes this file; changes to it may be lost. Use instead:\n"
                             "  virsh pool-edit POOL\n"
                             "-->\n";

static char *
path_of(const char *dir, const char *name)
{
    return g_strdup_printf("%s/%s.xml", dir, name);
}

static bool
write_def(const char *dir, const StoragePoolDef *def, GError **err)
{
    g_autofree char *path = path_of(dir, def->name);
    g_autofree char *xml = storage_pool_def_format(def);
    g_autofree char *text = g_strconcat(header, xml, NULL);

    return file_write_atomic(path, text, strlen(text), 0600, err);
}

static bool
is_there(const char *dir, const char *name)
{
    g_autofree char *path = path_of(dir, name);

    return access(path, F_OK) == 0;
}

bool
storage_store_def(StorageManager *m, const StoragePoolDef *def, GError **err)
{
    return write_def(m->config_dir, def, err);
}

bool
storage_store_active(StorageManager *m, const StoragePoolDef *def, GError **err)
{
    return write_def(m->run_dir, def, err);
}

void
storage_store_remove_active(StorageManager *m, const char *name)
{
    g_autofree char *path = path_of(m->run_dir, name);

    file_remove(path, NULL);
}

bool
storage_store_is_active(StorageManager *m, const char *name)
{
    return is_there(m->run_dir, name);
}

bool
storage_store_autostart(StorageManager *m, const char *name, bool on, GError **err)
{
    g_autofree char *link = path_of(m->autostart_dir, name);
    g_autofree char *target = path_of(m->config_dir, name);

    if (!on)
        return file_remove(link, err);
    return file_make_dirs(m->autostart_dir, 0700, err) && file_link_atomic(target, link, err);
}

bool
storage_store_is_autostart(StorageManager *m, const char *name)
{
    return is_there(m->autostart_dir, name);
}

bool
storage_store_remove(StorageManager *m, const char *name, GError **err)
{
    g_autofree char *path = path_of(m->config_dir, name);

    return storage_store_autostart(m, name, false, err) && file_remove(path, err);
}

/* The definition in @file of @dir, or NULL with @err. */
static StoragePoolDef *
read_def(const char *dir, const char *file, GError **err)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    g_autofree char *text = file_read_limited(path, DEF_FILE_MAX, NULL, err);
    g_autoptr(StoragePoolDef) def = text ? storage_pool_def_parse(text, 0, err) : NULL;
    g_autofree char *expect = def ? g_strdup_printf("%s.xml", def->name) : NULL;

    if (!def || !storage_backend_check(def, err))
        return NULL;
    if (strcmp(expect, file) == 0)
        return g_steal_pointer(&def);
    kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "it defines '%s', whose file is '%s'", def->name,
                   expect);
    return NULL;
}

GPtrArray *
storage_store_load(StorageManager *m, const char *dir, GError **err)
{
    g_autoptr(GPtrArray) defs =
        g_ptr_array_new_with_free_func((GDestroyNotify)storage_pool_def_free);
    g_autoptr(GError) inner = NULL;
    g_autoptr(GDir) entries = g_dir_open(dir, 0, &inner);
    const char *file;

    if (!entries) {
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "cannot read directory '%s': %s", dir,
                       inner->message);
        return NULL;
    }
    while ((file = g_dir_read_name(entries))) {
        g_autoptr(GError) bad = NULL;
        StoragePoolDef *def;

        if (!g_str_has_suffix(file, ".xml"))
            continue;
        def = read_def(dir, file, &bad);
        if (def)
            g_ptr_array_add(defs, def);
        else
            storage_manager_warn(m, "storage pool definition '%s/%s' is passed over: %s", dir, file,
                                 bad->message);
    }
    return g_steal_pointer(&defs);
}
