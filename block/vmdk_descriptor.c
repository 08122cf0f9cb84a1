/* vmdk_descriptor.c - the text that describes a VMware disk: its kind, its parent, its extents.
 *
 * Source: "Virtual Disk Format 5.0" (VMware, 2011), "The Descriptor File".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/vmdk.h"

#include "util/error.h"

static void
line_free(gpointer data)
{
    VmdkLine *line = data;

    g_free(line->access);
    g_free(line->kind);
    g_free(line->name);
    g_free(line);
}

void
vmdk_descriptor_free(VmdkDescriptor *descriptor)
{
    if (!descriptor)
        return;
    g_free(descriptor->create_type);
    g_free(descriptor->parent_name);
    g_ptr_array_unref(descriptor->lines);
    g_free(descriptor);
}

/* RW 4192256 SPARSE "disk-s001.vmdk" [OFFSET] */
static VmdkLine *
line_parse(const char *text)
{
    g_autofree char *copy = g_strdup(text);
    char *quote = strchr(copy, '"'), *end = quote ? strchr(quote + 1, '"') : NULL;
    g_auto(GStrv) words = NULL;
    VmdkLine *line;
    guint64 sectors, at = 0;

    if (quote && !end)
        return NULL;
    if (quote) {
        *quote = *end = '\0';
        g_strstrip(end + 1);
        if (end[1] &&
            !g_ascii_string_to_unsigned(end + 1, 10, 0, G_MAXINT64 / BLOCK_SECTOR, &at, NULL))
            return NULL;
    }
    words = g_strsplit_set(g_strstrip(copy), " \t", 4);
    if (g_strv_length(words) < 3 ||
        !g_ascii_string_to_unsigned(words[1], 10, 1, G_MAXINT64 / BLOCK_SECTOR, &sectors, NULL))
        return NULL;
    line = g_new0(VmdkLine, 1);
    line->access = g_strdup(words[0]);
    line->kind = g_strdup(words[2]);
    line->name = quote ? g_strdup(quote + 1) : NULL;
    line->sectors = sectors;
    line->at = at;
    return line;
}

static char *
unquote(const char *text)
{
    size_t length = strlen(text);

    return length >= 2 && text[0] == '"' && text[length - 1] == '"'
               ? g_strndup(text + 1, length - 2)
               : g_strdup(text);
}

static bool
is_extent(const char *line)
{
    return g_str_has_prefix(line, "RW ") || g_str_has_prefix(line, "RDONLY ") ||
           g_str_has_prefix(line, "NOACCESS ");
}

VmdkDescriptor *
vmdk_descriptor_parse(const BlockNode *node, const char *text, GError **err)
{
    g_autoptr(VmdkDescriptor) d = g_new0(VmdkDescriptor, 1);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    size_t at = 0;

    d->parent_cid = VMDK_NO_PARENT;
    d->lines = g_ptr_array_new_with_free_func(line_free);
    for (unsigned i = 0; lines[i]; i++) {
        size_t length = strlen(lines[i]);
        char *line = g_strstrip(lines[i]);
        char *equals = strchr(line, '=');

        if (is_extent(line)) {
            VmdkLine *extent = line_parse(line);

            if (!extent || d->lines->len >= VMDK_EXTENTS_MAX) {
                if (extent)
                    line_free(extent);
                mapped_refuse(node, err, "its extent '%.80s' cannot be read (at most %d)", line,
                              VMDK_EXTENTS_MAX);
                return NULL;
            }
            g_ptr_array_add(d->lines, extent);
        } else if (equals && line[0] != '#') {
            g_autofree char *key = g_strstrip(g_strndup(line, equals - line));
            g_autofree char *value = unquote(g_strstrip(equals + 1));

            if (g_ascii_strcasecmp(key, "createType") == 0) {
                g_free(d->create_type);
                d->create_type = g_steal_pointer(&value);
            } else if (g_ascii_strcasecmp(key, "parentFileNameHint") == 0) {
                g_free(d->parent_name);
                d->parent_name = g_steal_pointer(&value);
            } else if (g_ascii_strcasecmp(key, "parentCID") == 0) {
                d->parent_cid = (uint32_t)g_ascii_strtoull(value, NULL, 16);
            } else if (g_ascii_strcasecmp(key, "CID") == 0) {
                d->cid = (uint32_t)g_ascii_strtoull(value, NULL, 16);
                /* only as it is always written, so that new digits fit */
                d->cid_at = g_str_has_prefix(text + at, "CID=") && strlen(value) == 8 ? at + 4 : 0;
            }
        }
        at += length + 1;
    }
    if (!d->create_type) {
        mapped_refuse(node, err, "its descriptor has no createType");
        return NULL;
    }
    return g_steal_pointer(&d);
}
