/* probe.c - which format an image has by its first bytes, and the names of images.
 *
 * Source: qemu-img(1), file names of images.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "block/open.h"
#include "util/error.h"

#define X(driver) extern const BlockDriver driver;
#include "block/formats.def"
#undef X

const BlockDriver *
block_driver_find(const char *name, GError **err)
{
    g_autoptr(GString) all = g_string_new(NULL);

    for (unsigned i = 0; block_drivers[i]; i++) {
        if (strcmp(block_drivers[i]->name, name) == 0)
            return block_drivers[i];
        g_string_append_printf(all, "%s%s", i ? ", " : "", block_drivers[i]->name);
    }
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                   "block driver '%s' is not offered; there are %s", name, all->str);
    return NULL;
}

static const BlockDriver *
probe_head(const uint8_t *head, size_t length, const char *filename)
{
    const BlockDriver *best = block_driver_find("raw", NULL);
    int best_score = 0;

    for (unsigned i = 0; block_drivers[i]; i++) {
        int score = block_drivers[i]->probe ? block_drivers[i]->probe(head, length, filename) : 0;

        if (score > best_score) {
            best = block_drivers[i];
            best_score = score;
        }
    }
    return best;
}

const char *
block_image_probe(const uint8_t *head, size_t length, const char *filename)
{
    return probe_head(head, length, filename ? filename : "")->name;
}

const BlockDriver *
block_probe_node(BlockNode *file, GError **err)
{
    uint8_t head[BLOCK_PROBE_HEAD] = { 0 };
    size_t length = MIN(file->size, sizeof(head));
    const char *filename = block_node_filename(file);
    int r = block_node_pread(file, 0, head, length);

    if (r == 0)
        return probe_head(head, length, filename ? filename : "");
    block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, file, "cannot read the first bytes of image '%s'",
                    filename ? filename : "");
    return NULL;
}

/* ---- names ---- */

/* Length of "PROTOCOL" in "PROTOCOL:rest", 0 for a path. */
static size_t
filename_protocol(const char *filename)
{
    size_t n = strcspn(filename, ":/");

    return filename[n] == ':' ? n : 0;
}

JsonObject *
block_filename_options(const char *filename, GError **err)
{
    g_autoptr(JsonObject) object = json_object_new();
    size_t protocol = filename_protocol(filename);
    struct stat st;

    if (g_str_has_prefix(filename, "json:")) {
        g_autoptr(JsonNode) json = NULL;
        g_autoptr(GError) why = NULL;

        json = json_from_string(filename + strlen("json:"), &why);
        if (json && JSON_NODE_HOLDS_OBJECT(json))
            return json_node_dup_object(json);
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "image '%s' is not 'json:' and an object%s%s", filename, why ? ": " : "",
                       why ? why->message : "");
        return NULL;
    }
    if (g_str_has_prefix(filename, "file:")) {
        filename += strlen("file:");
        if (g_str_has_prefix(filename, "///"))
            filename += 2;
    } else if (g_str_has_prefix(filename, "nbd:") || g_str_has_prefix(filename, "nbd://") ||
               g_str_has_prefix(filename, "nbd+") || g_str_has_prefix(filename, "nbds")) {
        json_object_set_string_member(object, "driver", "nbd");
        json_object_set_string_member(object, "filename", filename);
        return g_steal_pointer(&object);
    } else if (protocol > 0 && stat(filename, &st) < 0) {
        kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "image '%s': the protocol '%.*s' is not offered; there are file, nbd and json "
            "(write ./%s for a file of that name)",
            filename, (int)protocol, filename, filename);
        return NULL;
    }
    if (!*filename) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "the name of an image is empty");
        return NULL;
    }
    json_object_set_string_member(
        object, "driver", stat(filename, &st) == 0 && S_ISBLK(st.st_mode) ? "host_device" : "file");
    json_object_set_string_member(object, "filename", filename);
    return g_steal_pointer(&object);
}

char *
block_filename_beside(const BlockNode *image, const char *name, GError **err)
{
    const char *beside = block_node_filename(image);
    g_autofree char *dir = NULL;

    if (name[0] == '/' || filename_protocol(name) > 0)
        return g_strdup(name);
    if (!beside || filename_protocol(beside) > 0) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "image '%s' names the relative file '%s', but has no directory itself; name "
                       "the file in the options of the image",
                       beside ? beside : "", name);
        return NULL;
    }
    dir = g_path_get_dirname(beside);
    return !strcmp(dir, ".") && beside[0] != '.' ? g_strdup(name)
                                                 : g_build_filename(dir, name, NULL);
}

const BlockDriver *const block_drivers[] = {
#define X(driver) &driver,
#include "block/formats.def"
#undef X
    NULL,
};
