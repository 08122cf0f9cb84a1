/* config.c - definition files: NAME.xml in the configuration directory, and autostart/ links.
 *
 * The layout is libvirt's (/etc/libvirt/qemu/NAME.xml, autostart/NAME.xml).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/private.h"
#include "util/error.h"
#include "util/file.h"
#include "xml/xmltab.h"

static char *
file_name(const char *dir, const char *name)
{
    return g_strdup_printf("%s/%s.xml", dir, name);
}

bool
domain_config_save(DomainManager *manager, const DomainDef *def, GError **err)
{
    g_autofree char *path = file_name(manager->config_dir, def->name);
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

    return file_write_atomic(path, text, strlen(text), 0600, err);
}

bool
domain_config_remove(DomainManager *manager, const char *name, GError **err)
{
    g_autofree char *path = file_name(manager->config_dir, name);

    return domain_config_link(manager, name, false, err) && file_remove(path, err);
}

bool
domain_config_link(DomainManager *manager, const char *name, bool autostart, GError **err)
{
    g_autofree char *target = file_name(manager->config_dir, name);
    g_autofree char *link = file_name(manager->autostart_dir, name);

    if (!autostart)
        return file_remove(link, err);
    return file_make_dirs(manager->autostart_dir, 0700, err) && file_link_atomic(target, link, err);
}

static bool
config_load(DomainManager *manager, const char *file, GError **err)
{
    g_autofree char *path = g_build_filename(manager->config_dir, file, NULL);
    g_autofree char *link = g_build_filename(manager->autostart_dir, file, NULL);
    g_autofree char *text = file_read_limited(path, XML_MAX_LENGTH, NULL, err);
    g_autofree char *expected = NULL;
    g_autoptr(DomainDef) def = NULL;
    g_autoptr(Domain) domain = NULL;
    bool is_new;

    if (!text || !(def = domain_def_parse(text, 0, &manager->defaults, err)))
        return false;
    expected = g_strdup_printf("%s.xml", def->name);
    if (strcmp(expected, file) != 0)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "the file holds domain '%s', whose file would be '%s'", def->name,
                              expected);
    domain = domain_registry_claim(manager, def, &is_new, err);
    if (!domain)
        return false;
    domain->config = g_steal_pointer(&def);
    domain->autostart = access(link, F_OK) == 0;
    return true;
}

bool
domain_config_load_all(DomainManager *manager, GError **err)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(GDir) dir = g_dir_open(manager->config_dir, 0, &reason);
    const char *name;

    if (!dir)
        return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "cannot read the domains in '%s': %s",
                              manager->config_dir, reason->message);
    while ((name = g_dir_read_name(dir))) {
        g_autoptr(GError) failure = NULL;

        if (g_str_has_suffix(name, ".xml") && !config_load(manager, name, &failure))
            domain_manager_warn(manager, "cannot load the definition '%s/%s': %s",
                                manager->config_dir, name, failure->message);
    }
    return true;
}
