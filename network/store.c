/* store.c - definitions of networks on disk.
 *
 *   CONFIG/NAME.xml           persistent definition
 *   CONFIG/autostart/NAME.xml link to it
 *   RUN/NAME.xml              definition of a running network, with what was chosen at start
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/private.h"

#include "util/error.h"
#include "util/file.h"

#include <string.h>
#include <unistd.h>

enum { DEF_FILE_MAX = 4 * 1024 * 1024 };

static const char header[] = "<!--\n"
                             "Kiln writes this file; changes to it may be lost. Use instead:\n"
                             "  virsh net-edit NETWORK\n"
                             "-->\n";

static bool
write_def(const char *dir, const NetworkDef *def, GError **err)
{
    g_autofree char *path = g_strdup_printf("%s/%s.xml", dir, def->name);
    g_autofree char *xml = network_def_format(def);
    g_autofree char *text = g_strconcat(header, xml, NULL);

    return file_write_atomic(path, text, strlen(text), 0600, err);
}

bool
network_store_def(NetworkManager *manager, const NetworkDef *def, GError **err)
{
    return write_def(manager->config_dir, def, err);
}

bool
network_store_live(NetworkManager *manager, const NetworkDef *live, GError **err)
{
    return write_def(manager->run_dir, live, err);
}

bool
network_store_autostart(NetworkManager *manager, const char *name, bool on, GError **err)
{
    g_autofree char *link = g_strdup_printf("%s/%s.xml", manager->autostart_dir, name);
    g_autofree char *target = g_strdup_printf("%s/%s.xml", manager->config_dir, name);

    if (!on)
        return file_remove(link, err);
    return file_make_dirs(manager->autostart_dir, 0700, err) && file_link_atomic(target, link, err);
}

bool
network_store_is_autostart(NetworkManager *manager, const char *name)
{
    g_autofree char *link = g_strdup_printf("%s/%s.xml", manager->autostart_dir, name);

    return access(link, F_OK) == 0;
}

bool
network_store_remove(NetworkManager *manager, const char *name, GError **err)
{
    g_autofree char *path = g_strdup_printf("%s/%s.xml", manager->config_dir, name);

    return network_store_autostart(manager, name, false, err) && file_remove(path, err);
}

void
network_store_remove_live(NetworkManager *manager, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%s.xml", manager->run_dir, name);

    file_remove(path, NULL);
}

GPtrArray *
network_store_load(NetworkManager *manager, const char *dir, GError **err)
{
    g_autoptr(GPtrArray) defs = g_ptr_array_new_with_free_func((GDestroyNotify)network_def_free);
    g_autoptr(GError) inner = NULL;
    GDir *entries = g_dir_open(dir, 0, &inner);
    const char *file;

    if (!entries) {
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "cannot read directory '%s': %s", dir,
                       inner->message);
        return NULL;
    }
    while ((file = g_dir_read_name(entries))) {
        g_autofree char *path = g_build_filename(dir, file, NULL);
        g_autofree char *text = NULL;
        g_autofree char *expect = NULL;
        g_autoptr(GError) bad = NULL;
        NetworkDef *def = NULL;

        if (!g_str_has_suffix(file, ".xml"))
            continue;
        text = file_read_limited(path, DEF_FILE_MAX, NULL, &bad);
        if (text)
            def = network_def_parse(text, 0, &bad);
        if (!def) {
            network_manager_warn(manager, "network definition '%s' is passed over: %s", path,
                                 bad->message);
            continue;
        }
        expect = g_strdup_printf("%s.xml", def->name);
        if (strcmp(expect, file) != 0) {
            network_manager_warn(manager,
                                 "network definition '%s' is passed over: it defines '%s', "
                                 "whose file is '%s'",
                                 path, def->name, expect);
            network_def_free(def);
            continue;
        }
        g_ptr_array_add(defs, def);
    }
    g_dir_close(entries);
    return g_steal_pointer(&defs);
}
