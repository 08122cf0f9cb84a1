/* macs.c - which guest has which MAC on a bridge.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/macs.h"

#include <json-glib/json-glib.h>

static int
entry_compare(const void *a, const void *b)
{
    const MacsEntry *x = *(const MacsEntry *const *)a;
    const MacsEntry *y = *(const MacsEntry *const *)b;
    int order = g_strcmp0(x->domain, y->domain);

    return order ? order : g_strcmp0(x->mac, y->mac);
}

char *
macs_format(GPtrArray *entries)
{
    g_autoptr(GPtrArray) sorted = g_ptr_array_copy(entries, NULL, NULL);
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(JsonGenerator) gen = json_generator_new();
    g_autoptr(JsonNode) root = NULL;

    g_ptr_array_set_free_func(sorted, NULL);
    g_ptr_array_sort(sorted, entry_compare);
    json_builder_begin_array(b);
    for (guint i = 0; i < sorted->len;) {
        const MacsEntry *first = g_ptr_array_index(sorted, i);

        json_builder_begin_object(b);
        json_builder_set_member_name(b, "domain");
        json_builder_add_string_value(b, first->domain);
        json_builder_set_member_name(b, "macs");
        json_builder_begin_array(b);
        for (; i < sorted->len; i++) {
            const MacsEntry *entry = g_ptr_array_index(sorted, i);

            if (g_strcmp0(entry->domain, first->domain) != 0)
                break;
            json_builder_add_string_value(b, entry->mac);
        }
        json_builder_end_array(b);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
    root = json_builder_get_root(b);
    json_generator_set_root(gen, root);
    json_generator_set_pretty(gen, TRUE);
    return json_generator_to_data(gen, NULL);
}
