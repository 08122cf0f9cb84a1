/* firmware.c - the firmwares of this host. See firmware.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/node/firmware.h"

#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

#include "util/file.h"

/* A descriptor is a page of text. */
#define FIRMWARE_FILE_MAX (256 * 1024)

static void
firmware_free(gpointer data)
{
    HostFirmware *firmware = data;

    g_free(firmware->file);
    g_free(firmware->code);
    g_free(firmware->nvram_template);
    g_strfreev(firmware->machines);
    g_free(firmware);
}

/* The member @path ("a/b/c") below @object, or NULL. */
static JsonNode *
member_at(JsonObject *object, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    JsonNode *node = NULL;

    for (char **name = names; *name; name++) {
        node = object ? json_object_get_member(object, *name) : NULL;
        object = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    }
    return node;
}

static const char *
text_of(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING
               ? json_node_get_string(node)
               : NULL;
}

static const char *
text_at(JsonObject *object, const char *path)
{
    return text_of(member_at(object, path));
}

static JsonArray *
array_at(JsonObject *object, const char *path)
{
    JsonNode *node = member_at(object, path);

    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static bool
array_has(JsonArray *array, const char *text)
{
    for (guint i = 0; array && i < json_array_get_length(array); i++)
        if (g_strcmp0(text_of(json_array_get_element(array, i)), text) == 0)
            return true;
    return false;
}

/* The machines of the target @arch, or NULL when it is not among them. */
static char **
machines_for(JsonObject *top, const char *arch)
{
    JsonArray *targets = array_at(top, "targets");
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    bool found = false;

    for (guint i = 0; targets && i < json_array_get_length(targets); i++) {
        JsonNode *node = json_array_get_element(targets, i);
        JsonObject *target = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        JsonArray *list = target ? array_at(target, "machines") : NULL;

        if (g_strcmp0(target ? text_at(target, "architecture") : NULL, arch) != 0)
            continue;
        found = true;
        for (guint n = 0; list && n < json_array_get_length(list); n++) {
            const char *name = text_of(json_array_get_element(list, n));

            if (name)
                g_strv_builder_add(names, name);
        }
    }
    return found ? g_strv_builder_end(names) : NULL;
}

static bool
is_there(const char *root, const char *path)
{
    g_autofree char *full = path ? g_strconcat(root, path, NULL) : NULL;

    return full && access(full, R_OK) == 0;
}

static HostFirmware *
firmware_new(const char *root, const char *arch, const char *file, JsonObject *top)
{
    const char *device = text_at(top, "mapping/device");
    bool flash = g_strcmp0(device, "flash") == 0;
    const char *mode = text_at(top, "mapping/mode");
    const char *code = text_at(top, flash ? "mapping/executable/filename" : "mapping/filename");
    const char *vars = flash ? text_at(top, "mapping/nvram-template/filename") : NULL;
    JsonArray *types = array_at(top, "interface-types");
    JsonArray *features = array_at(top, "features");
    g_auto(GStrv) names = machines_for(top, arch);
    HostFirmware *firmware;

    /* "combined" and "stateless" flash need no store of the guest's own beside the code. */
    if (!names || (!flash && g_strcmp0(device, "memory") != 0) || !is_there(root, code) ||
        (flash && (!mode || strcmp(mode, "split") == 0) && !is_there(root, vars)))
        return NULL;
    firmware = g_new0(HostFirmware, 1);
    firmware->file = g_strdup(file);
    firmware->code = g_strdup(code);
    firmware->nvram_template = g_strdup(vars);
    firmware->uefi = array_has(types, "uefi");
    firmware->bios = array_has(types, "bios");
    firmware->secure_boot =
        array_has(features, "requires-smm") || array_has(features, "secure-boot");
    firmware->enrolled_keys = array_has(features, "enrolled-keys");
    firmware->machines = g_steal_pointer(&names);
    return firmware;
}

/* Adds the file names of @dir that @files does not have yet, with the path of each. */
static void
collect(GHashTable *files, const char *root, const char *dir)
{
    g_autofree char *path = g_strconcat(root, dir, NULL);
    g_autoptr(GDir) open = g_dir_open(path, 0, NULL);
    const char *name;

    while (open && (name = g_dir_read_name(open)))
        if (g_str_has_suffix(name, ".json") && !g_hash_table_contains(files, name))
            g_hash_table_insert(files, g_strdup(name), g_build_filename(path, name, NULL));
}

GPtrArray *
host_firmware_list(const char *root, const char *arch)
{
    static const char *const dirs[] = { "/etc/qemu/firmware", "/usr/share/qemu/firmware" };
    g_autoptr(GHashTable) files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GList) names = NULL;
    GPtrArray *list = g_ptr_array_new_with_free_func(firmware_free);

    for (size_t i = 0; i < G_N_ELEMENTS(dirs); i++)
        collect(files, root, dirs[i]);
    names = g_list_sort(g_hash_table_get_keys(files), (GCompareFunc)strcmp);
    for (GList *at = names; at; at = at->next) {
        const char *path = g_hash_table_lookup(files, at->data);
        g_autofree char *text = file_read_limited(path, FIRMWARE_FILE_MAX, NULL, NULL);
        g_autoptr(JsonParser) parser = json_parser_new();
        JsonNode *top;
        HostFirmware *firmware;

        if (!text || !*text || !json_parser_load_from_data(parser, text, -1, NULL))
            continue;
        top = json_parser_get_root(parser);
        if (!top || !JSON_NODE_HOLDS_OBJECT(top))
            continue;
        firmware = firmware_new(root, arch, path, json_node_get_object(top));
        if (firmware)
            g_ptr_array_add(list, firmware);
    }
    return list;
}

bool
host_firmware_fits(const HostFirmware *firmware, const char *machine)
{
    for (char **pattern = firmware->machines; *pattern; pattern++)
        if (g_pattern_match_simple(*pattern, machine))
            return true;
    return false;
}
