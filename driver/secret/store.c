/* store.c - secrets on disk: UUID.xml and UUID.base64, as libvirt keeps them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "driver/secret/private.h"
#include "util/error.h"
#include "util/file.h"

enum { DEF_FILE_MAX = 4 * 1024 * 1024, VALUE_FILE_MAX = 2 * SECRET_VALUE_MAX };

static const char header[] = "<!--\n"
                             "Kiln writes this file; changes to it may be lost. Use instead:\n"
                             "  virsh secret-define FILE\n"
                             "-->\n";

static char *
path_of(const SecretManager *m, const SecretDef *def, const char *suffix)
{
    return g_strdup_printf("%s/%s.%s", m->config_dir, def->uuid, suffix);
}

bool
secret_store_def(const SecretManager *m, const SecretDef *def, GError **err)
{
    g_autofree char *path = path_of(m, def, "xml");
    g_autofree char *xml = secret_def_format(def);
    g_autofree char *text = g_strconcat(header, xml, NULL);

    return file_write_atomic(path, text, strlen(text), 0600, err);
}

bool
secret_store_value(const SecretManager *m, const SecretDef *def, GBytes *value, GError **err)
{
    g_autofree char *path = path_of(m, def, "base64");
    gsize length;
    const guint8 *data = g_bytes_get_data(value, &length);
    char *text = g_base64_encode(data, length);
    bool ok = file_write_atomic(path, text, strlen(text), 0600, err);

    explicit_bzero(text, strlen(text));
    g_free(text);
    return ok;
}

bool
secret_store_remove(const SecretManager *m, const SecretDef *def, GError **err)
{
    g_autofree char *xml = path_of(m, def, "xml"), *value = path_of(m, def, "base64");

    /* The value goes first: a secret without one is harmless, a value without one is lost. */
    return file_remove(value, err) && file_remove(xml, err);
}

GBytes *
secret_store_read_value(const SecretManager *m, const SecretDef *def, GError **err)
{
    g_autofree char *path = path_of(m, def, "base64");
    GBytes *value;
    gsize length;
    guchar *data;
    char *text;

    if (access(path, F_OK) < 0)
        return NULL;
    text = file_read_limited(path, VALUE_FILE_MAX, NULL, err);
    if (!text)
        return NULL;
    data = g_base64_decode_inplace(text, &length);
    value = secret_value_new(data, length);
    explicit_bzero(text, length);
    g_free(text);
    return value;
}

/* The definition in @file, or NULL with @err. */
static SecretDef *
read_def(const SecretManager *m, const char *file, GError **err)
{
    g_autofree char *path = g_build_filename(m->config_dir, file, NULL);
    g_autofree char *text = file_read_limited(path, DEF_FILE_MAX, NULL, err);
    g_autoptr(SecretDef) def = text ? secret_def_parse(text, 0, err) : NULL;
    g_autofree char *expect = def ? g_strdup_printf("%s.xml", def->uuid) : NULL;

    if (!def)
        return NULL;
    if (strcmp(expect, file) == 0)
        return g_steal_pointer(&def);
    kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "it defines '%s', whose file is '%s'", def->uuid,
                   expect);
    return NULL;
}

GPtrArray *
secret_store_load(const SecretManager *m, GError **err)
{
    g_autoptr(GPtrArray) defs = g_ptr_array_new_with_free_func((GDestroyNotify)secret_def_free);
    g_autoptr(GError) inner = NULL;
    g_autoptr(GDir) entries = g_dir_open(m->config_dir, 0, &inner);
    const char *file;

    if (!entries) {
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "cannot read directory '%s': %s", m->config_dir,
                       inner->message);
        return NULL;
    }
    while ((file = g_dir_read_name(entries))) {
        g_autoptr(GError) bad = NULL;
        SecretDef *def;

        if (!g_str_has_suffix(file, ".xml"))
            continue;
        def = read_def(m, file, &bad);
        if (def)
            g_ptr_array_add(defs, def);
        else
            secret_manager_warn(m, "secret definition '%s/%s' is passed over: %s", m->config_dir,
                                file, bad->message);
    }
    return g_steal_pointer(&defs);
}
