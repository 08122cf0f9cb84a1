/* deffiles.c - definitions kept in files, and the links that mark what starts with the host.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/deffiles.h"

#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

static char *
path_of(const char *dir, const char *name)
{
    return g_strdup_printf("%s/%s.xml", dir, name);
}

static char *
link_of(const char *dir, const char *name)
{
    return g_strdup_printf("%s/autostart/%s.xml", dir, name);
}

bool
def_file_write(const char *dir, const char *name, const char *text, GError **err)
{
    g_autofree char *path = path_of(dir, name);

    return file_write_atomic(path, text, strlen(text), 0600, err);
}

bool
def_file_exists(const char *dir, const char *name)
{
    g_autofree char *path = path_of(dir, name);

    return access(path, F_OK) == 0;
}

bool
def_file_remove(const char *dir, const char *name, GError **err)
{
    g_autofree char *path = path_of(dir, name);

    return file_remove(path, err);
}

bool
def_file_remove_linked(const char *dir, const char *name, GError **err)
{
    return def_file_set_autostart(dir, name, false, err) && def_file_remove(dir, name, err);
}

bool
def_file_set_autostart(const char *dir, const char *name, bool on, GError **err)
{
    g_autofree char *links = g_strdup_printf("%s/autostart", dir);
    g_autofree char *link = link_of(dir, name), *target = path_of(dir, name);

    if (!on)
        return file_remove(link, err);
    return file_make_dirs(links, 0700, err) && file_link_atomic(target, link, err);
}

bool
def_file_is_autostart(const char *dir, const char *name)
{
    g_autofree char *link = link_of(dir, name);

    return access(link, F_OK) == 0;
}

static int
compare_files(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *
def_file_list(const char *dir, GError **err)
{
    g_autoptr(GError) inner = NULL;
    g_autoptr(GDir) entries = g_dir_open(dir, 0, &inner);
    GPtrArray *files;
    const char *file;

    if (!entries) {
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "cannot read directory '%s': %s", dir,
                       inner->message);
        return NULL;
    }
    files = g_ptr_array_new_with_free_func(g_free);
    while ((file = g_dir_read_name(entries)))
        if (g_str_has_suffix(file, ".xml"))
            g_ptr_array_add(files, g_strdup(file));
    g_ptr_array_sort(files, compare_files);
    return files;
}

bool
def_file_check_name(const char *file, const char *name, GError **err)
{
    g_autofree char *expect = g_strdup_printf("%s.xml", name);

    return strcmp(expect, file) == 0 ||
           kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "it defines '%s', whose file is '%s'", name,
                          expect);
}
