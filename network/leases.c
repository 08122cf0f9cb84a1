/* leases.c - the leases of one bridge as JSON.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/leases.h"

#include "util/error.h"
#include "util/file.h"

#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    size_t offset;
} members[] = {
    { "ip-address", offsetof(Lease, ip) },     { "mac-address", offsetof(Lease, mac) },
    { "hostname", offsetof(Lease, hostname) }, { "client-id", offsetof(Lease, client_id) },
    { "iaid", offsetof(Lease, iaid) },         { "server-duid", offsetof(Lease, server_duid) },
};

#define MEMBER(lease, i) (*(char **)((char *)(lease) + members[i].offset))

void
lease_free(Lease *lease)
{
    if (!lease)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++)
        g_free(MEMBER(lease, i));
    g_free(lease);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Lease, lease_free)

static bool
holds(JsonNode *node, GType type)
{
    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type;
}

/* NULL for an object without an address: there is nothing to know it by. */
static Lease *
lease_parse(JsonNode *node)
{
    g_autoptr(Lease) lease = g_new0(Lease, 1);
    JsonObject *obj;
    JsonNode *expiry;

    if (!JSON_NODE_HOLDS_OBJECT(node))
        return NULL;
    obj = json_node_get_object(node);
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        JsonNode *value = json_object_get_member(obj, members[i].name);

        if (holds(value, G_TYPE_STRING))
            MEMBER(lease, i) = json_node_dup_string(value);
    }
    expiry = json_object_get_member(obj, "expiry-time");
    if (holds(expiry, G_TYPE_INT64))
        lease->expiry = json_node_get_int(expiry);
    return lease->ip ? g_steal_pointer(&lease) : NULL;
}

GPtrArray *
leases_parse(const char *text, size_t len, GError **err)
{
    g_autoptr(GPtrArray) leases = g_ptr_array_new_with_free_func((GDestroyNotify)lease_free);
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) inner = NULL;
    JsonArray *array;
    JsonNode *root;

    if (len == 0 || text[strspn(text, " \t\r\n")] == '\0')
        return g_steal_pointer(&leases);
    if (!g_utf8_validate(text, (gssize)len, NULL)) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the leases are not UTF-8 text");
        return NULL;
    }
    if (!json_parser_load_from_data(parser, text, (gssize)len, &inner)) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the leases are not JSON: %s", inner->message);
        return NULL;
    }
    root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_ARRAY(root)) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the leases are not a JSON array");
        return NULL;
    }
    array = json_node_get_array(root);
    for (guint i = 0; i < json_array_get_length(array); i++) {
        Lease *lease = lease_parse(json_array_get_element(array, i));

        if (lease)
            g_ptr_array_add(leases, lease);
    }
    return g_steal_pointer(&leases);
}

char *
leases_format(GPtrArray *leases)
{
    g_autoptr(JsonGenerator) gen = json_generator_new();
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_ARRAY);
    JsonArray *array = json_array_new();
    g_autofree char *text = NULL;

    for (guint n = 0; n < leases->len; n++) {
        const Lease *lease = g_ptr_array_index(leases, n);
        JsonObject *obj = json_object_new();

        for (size_t i = 0; i < G_N_ELEMENTS(members); i++)
            if (MEMBER(lease, i))
                json_object_set_string_member(obj, members[i].name, MEMBER(lease, i));
        json_object_set_int_member(obj, "expiry-time", lease->expiry);
        json_array_add_object_element(array, obj);
    }
    json_node_take_array(root, array);
    json_generator_set_root(gen, root);
    json_generator_set_pretty(gen, TRUE);
    text = json_generator_to_data(gen, NULL);
    return g_strconcat(text, "\n", NULL);
}

void
leases_drop(GPtrArray *leases, const char *ip, int64_t now)
{
    for (guint i = leases->len; i-- > 0;) {
        const Lease *lease = g_ptr_array_index(leases, i);

        if ((lease->expiry != 0 && lease->expiry < now) || g_strcmp0(lease->ip, ip) == 0)
            g_ptr_array_remove_index(leases, i);
    }
}

static const char *
or_star(const char *text)
{
    return text && text[0] ? text : "*";
}

char *
leases_format_dnsmasq(GPtrArray *leases)
{
    GString *out = g_string_new("");
    const char *duid = NULL;

    for (guint i = 0; i < leases->len; i++) {
        const Lease *lease = g_ptr_array_index(leases, i);

        if (lease->iaid || !lease->mac)
            continue;
        g_string_append_printf(out, "%" G_GINT64_FORMAT " %s %s %s %s\n", lease->expiry, lease->mac,
                               lease->ip, or_star(lease->hostname), or_star(lease->client_id));
    }
    for (guint i = 0; i < leases->len; i++) {
        const Lease *lease = g_ptr_array_index(leases, i);

        if (!lease->iaid)
            continue;
        if (!duid && lease->server_duid) {
            duid = lease->server_duid;
            g_string_append_printf(out, "duid %s\n", duid);
        }
        g_string_append_printf(out, "%" G_GINT64_FORMAT " %s %s %s %s\n", lease->expiry,
                               lease->iaid, lease->ip, or_star(lease->hostname),
                               or_star(lease->client_id));
    }
    return g_string_free(out, FALSE);
}

GPtrArray *
leases_read(const char *path, GError **err)
{
    g_autofree char *text = NULL;
    size_t len = 0;
    GPtrArray *leases;

    if (access(path, F_OK) < 0)
        return g_ptr_array_new_with_free_func((GDestroyNotify)lease_free);
    text = file_read_limited(path, LEASES_FILE_MAX, &len, err);
    if (!text)
        return NULL;
    leases = leases_parse(text, len, err);
    if (!leases)
        g_prefix_error(err, "cannot read '%s': ", path);
    return leases;
}
