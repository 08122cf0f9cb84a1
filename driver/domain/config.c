/* config.c - definition files: NAME.xml in the configuration directory, and autostart/ links.
 *
 * The layout is libvirt's (/etc/libvirt/qemu/NAME.xml, autostart/NAME.xml).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/private.h"
#include "util/deffiles.h"
#include "util/error.h"
#include "util/file.h"
#include "xml/xmltab.h"

bool
domain_config_save(DomainManager *manager, const DomainDef *def, GError **err)
{
    g_autofree char *xml = domain_def_format(def, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
    /* "--" may not stand in a comment */
    g_auto(GStrv) parts = g_strsplit(def->name, "--", -1);
    g_autofree char *name = g_strjoinv("-\xe2\x80\x8b-", parts);
    g_autofree char *text =
        g_strdup_printf("<!--\n"
                        "Written by virtkilnd, which does not watch this file: change it with\n"
                        "  virsh edit %s\n"
                        "-->\n\n%s",
                        name, xml);

    return def_file_write(manager->config_dir, def->name, text, err);
}

bool
domain_config_remove(DomainManager *manager, const char *name, GError **err)
{
    return def_file_remove_linked(manager->config_dir, name, err);
}

bool
domain_config_link(DomainManager *manager, const char *name, bool autostart, GError **err)
{
    return def_file_set_autostart(manager->config_dir, name, autostart, err);
}

/* One definition file, on its way into the registry. */
typedef struct {
    char *file; /* name in the configuration directory */
    DomainDef *def;
    GError *err;
} ConfigFile;

static void
config_file_free(gpointer data)
{
    ConfigFile *item = data;

    domain_def_free(item->def);
    g_clear_error(&item->err);
    g_free(item->file);
    g_free(item);
}

/* A thread of the pool. */
static void
config_parse(gpointer data, gpointer opaque)
{
    ConfigFile *item = data;
    DomainManager *manager = opaque;
    g_autofree char *path = g_build_filename(manager->config_dir, item->file, NULL);
    g_autofree char *text = file_read_limited(path, XML_MAX_LENGTH, NULL, &item->err);

    if (text)
        item->def = domain_def_parse(text, 0, &manager->defaults, &item->err);
}

static bool
config_enter(DomainManager *manager, ConfigFile *item, GError **err)
{
    g_autofree char *expected = NULL;
    g_autoptr(Domain) domain = NULL;
    bool is_new;

    if (!item->def) {
        g_propagate_error(err, g_steal_pointer(&item->err));
        return false;
    }
    expected = g_strdup_printf("%s.xml", item->def->name);
    if (strcmp(expected, item->file) != 0)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "the file holds domain '%s', whose file would be '%s'",
                              item->def->name, expected);
    domain = domain_registry_claim(manager, item->def, &is_new, err);
    if (!domain)
        return false;
    domain->config = g_steal_pointer(&item->def);
    domain->autostart = def_file_is_autostart(manager->config_dir, domain->name);
    return true;
}

static GPtrArray *
config_list(DomainManager *manager, GError **err)
{
    g_autoptr(GPtrArray) names = def_file_list(manager->config_dir, err);
    GPtrArray *files;

    if (!names)
        return NULL;
    files = g_ptr_array_new_with_free_func(config_file_free);
    for (guint i = 0; i < names->len; i++) {
        ConfigFile *item = g_new0(ConfigFile, 1);

        item->file = g_strdup(names->pdata[i]);
        g_ptr_array_add(files, item);
    }
    return files;
}

bool
domain_config_load_all(DomainManager *manager, GError **err)
{
    g_autoptr(GPtrArray) files = config_list(manager, err);
    GThreadPool *pool;

    if (!files)
        return false;
    /* Parsing is nearly all of the work, and a host's guests are many. */
    pool = g_thread_pool_new(config_parse, manager, (int)g_get_num_processors(), FALSE, NULL);
    for (guint i = 0; i < files->len; i++)
        g_thread_pool_push(pool, files->pdata[i], NULL);
    g_thread_pool_free(pool, FALSE, TRUE);
    for (guint i = 0; i < files->len; i++) {
        ConfigFile *item = files->pdata[i];
        g_autoptr(GError) failure = NULL;

        if (!config_enter(manager, item, &failure))
            domain_manager_warn(manager, "cannot load the definition '%s/%s': %s",
                                manager->config_dir, item->file, failure->message);
    }
    return true;
}
