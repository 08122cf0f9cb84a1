/* store.c - values of secrets on disk: UUID.base64 beside the definition's UUID.xml, as libvirt
 * keeps them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "driver/secret/private.h"
#include "util/deffiles.h"
#include "util/file.h"

enum { VALUE_FILE_MAX = 2 * SECRET_VALUE_MAX };

static char *
path_of(const SecretManager *m, const SecretDef *def)
{
    return g_strdup_printf("%s/%s.base64", m->registry.config_dir, def->uuid);
}

bool
secret_store_value(const SecretManager *m, const SecretDef *def, GBytes *value, GError **err)
{
    g_autofree char *path = path_of(m, def);
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
    g_autofree char *value = path_of(m, def);

    /* The value goes first: a secret without one is harmless, a value without one is lost. */
    return file_remove(value, err) && def_file_remove(m->registry.config_dir, def->uuid, err);
}

GBytes *
secret_store_read_value(const SecretManager *m, const SecretDef *def, GError **err)
{
    g_autofree char *path = path_of(m, def);
    GBytes *value;
    gsize length;
    guchar *data;
    char *text;

    if (access(path, F_OK) < 0)
        return NULL;
    text = file_read_limited(path, VALUE_FILE_MAX, NULL, err);
    if (!text)
        return NULL;
    /* not in place: that does not take the empty text of an empty value */
    data = g_base64_decode(text, &length);
    value = secret_value_new(data, length);
    explicit_bzero(data, length);
    g_free(data);
    explicit_bzero(text, strlen(text));
    g_free(text);
    return value;
}
