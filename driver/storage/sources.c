/* sources.c - what there is to make pools of, and what pools can be: source discovery and
 * <storagepoolCapabilities> (libvirt formatstoragecaps, schema storagepoolcaps.rng of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/storage/private.h"
#include "util/error.h"

char *
storage_manager_find_sources(StorageManager *m, const char *type, const char *spec, GError **err)
{
    int number = xml_enum_find(storage_pool_types, type);
    const StorageBackend *backend = storage_backend_find(number);
    g_autoptr(StoragePoolSource) source = NULL;
    g_autoptr(GPtrArray) found = NULL;

    if (!number) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "unknown storage pool type %s", type);
        return NULL;
    }
    if (!backend || !backend->find_sources) {
        kiln_error_set(err, VIR_ERR_NO_SUPPORT, "pool type '%s' does not support source discovery",
                       type);
        return NULL;
    }
    if (spec && *spec && !(source = storage_pool_source_parse(spec, err)))
        return NULL;
    found = backend->find_sources(m, source, err);
    return found ? storage_pool_sources_format(found) : NULL;
}

static void
add_options(GString *xml, const char *element, const char *what, const char *fallback,
            const char *const *names)
{
    if (!names)
        return;
    g_string_append_printf(xml, "    <%s>\n", element);
    if (fallback)
        g_string_append_printf(xml, "      <defaultFormat type='%s'/>\n", fallback);
    g_string_append_printf(xml, "      <enum name='%s'>\n", what);
    for (; *names; names++)
        g_string_append_printf(xml, "        <value>%s</value>\n", *names);
    g_string_append_printf(xml, "      </enum>\n    </%s>\n", element);
}

char *
storage_capabilities(void)
{
    GString *xml = g_string_new("<storagepoolCapabilities>\n");

    for (int type = STORAGE_POOL_DIR; storage_pool_types[type]; type++) {
        const StorageBackend *backend = storage_backend_find(type);
        const char *const *formats = storage_pool_formats(type);

        g_string_append_printf(xml, "  <pool type='%s' supported='%s'>\n", storage_pool_types[type],
                               backend ? "yes" : "no");
        if (backend) {
            add_options(xml, "poolOptions", "sourceFormatType", formats ? formats[0] : NULL,
                        formats);
            if (backend->vol_default_format)
                add_options(xml, "volOptions", "targetFormatType", backend->vol_default_format,
                            backend->vol_formats);
        }
        g_string_append(xml, "  </pool>\n");
    }
    g_string_append(xml, "</storagepoolCapabilities>\n");
    return g_string_free(xml, FALSE);
}
