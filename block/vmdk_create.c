/* vmdk_create.c - a new VMware disk: monolithicSparse or streamOptimized.
 *
 * Source: "Virtual Disk Format 5.0" (VMware, 2011). All in one file: header, descriptor, spare
 * directory and tables, directory and tables, grains. The flat and split kinds are read, not made.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>

#include "block/numbers.h"
#include "block/vmdk.h"
#include "util/error.h"

enum {
    GRAIN = 128, /* sectors */
    DESCRIPTOR_AT = 1,
    DESCRIPTOR_SECTORS = 20,
    TABLE_SECTORS = VMDK_TABLE_BYTES / BLOCK_SECTOR,
    TABLES_SECTORS_COVERED = GRAIN * VMDK_TABLE_ENTRIES,
    CYLINDERS_MAX = 16383,
};
#define SECTORS_MAX ((uint64_t)UINT32_MAX * 16) /* 32 TiB: a directory of 256 MiB */

typedef struct {
    uint64_t sectors, tables, directory_sectors, spare_at, directory_at, overhead;
    const char *subformat, *adapter, *hardware, *tools;
    bool stream, zero_grains;
    uint32_t parent_cid;
} Plan;

static bool
parent_read(BlockNode *file, GHashTable *options, const BlockImageOptions *image, Plan *p,
            GError **err)
{
    const char *name = g_hash_table_lookup(options, "backing_file");
    const char *format = g_hash_table_lookup(options, "backing_fmt");
    const char *own = block_node_filename(file), *slash = own ? strrchr(own, '/') : NULL;
    g_autofree char *path = NULL;
    g_autoptr(BlockNode) parent = NULL;
    BlockImageOptions reading = *image;

    p->parent_cid = VMDK_NO_PARENT;
    if (!name)
        return true;
    if (format && strcmp(format, "vmdk") != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vmdk: backing_fmt '%s': the parent of a vmdk is a vmdk", format);
    if (strchr(name, '"') || strchr(name, '\n'))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vmdk: the name '%s' of the parent cannot be written", name);
    path = name[0] == '/' || !slash ? g_strdup(name)
                                    : g_strdup_printf("%.*s%s", (int)(slash - own + 1), own, name);
    reading.read_only = true;
    reading.follow_backing = false;
    parent = block_image_open(path, "vmdk", &reading, err);
    if (!parent)
        return false;
    p->parent_cid = vmdk_cid(parent);
    return true;
}

static bool
plan_make(BlockNode *file, GHashTable *options, const BlockImageOptions *image, Plan *p,
          GError **err)
{
    static const char *const adapters[] = { "ide", "buslogic", "lsilogic", "legacyESX", NULL };
    uint64_t size = mapped_option_size(options, "size", 0);

    p->subformat = g_hash_table_lookup(options, "subformat");
    p->adapter = g_hash_table_lookup(options, "adapter_type");
    p->hardware = g_hash_table_lookup(options, "hwversion");
    p->tools = g_hash_table_lookup(options, "toolsversion");
    if (!p->subformat)
        p->subformat = "monolithicSparse";
    p->stream = strcmp(p->subformat, "streamOptimized") == 0;
    if (!p->stream && strcmp(p->subformat, "monolithicSparse") != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vmdk: subformat '%s' is not made; there are monolithicSparse and "
                              "streamOptimized",
                              p->subformat);
    if (!p->adapter)
        p->adapter = "ide";
    if (!g_strv_contains(adapters, p->adapter))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vmdk: adapter_type '%s' is none of ide, buslogic, lsilogic, "
                              "legacyESX",
                              p->adapter);
    if (!p->hardware || strcmp(p->hardware, "undefined") == 0)
        p->hardware = mapped_option_bool(options, "compat6", false) ? "6" : "4";
    if (!p->tools)
        p->tools = "2147483647"; /* not known */
    for (const char *text = p->hardware;; text = p->tools) {
        for (const char *c = text; *c; c++)
            if (!g_ascii_isdigit(*c))
                return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                      "vmdk: version '%s' is not a number", text);
        if (text == p->tools)
            break;
    }
    p->zero_grains = mapped_option_bool(options, "zeroed_grain", false);
    p->sectors = (size + BLOCK_SECTOR - 1) / BLOCK_SECTOR;
    if (p->sectors > SECTORS_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vmdk: size %" PRIu64 " is beyond the limit of %" PRIu64 " bytes",
                              size, SECTORS_MAX * BLOCK_SECTOR);
    p->tables = (p->sectors + TABLES_SECTORS_COVERED - 1) / TABLES_SECTORS_COVERED;
    p->directory_sectors = (p->tables * 4 + BLOCK_SECTOR - 1) / BLOCK_SECTOR;
    p->spare_at = DESCRIPTOR_AT + DESCRIPTOR_SECTORS;
    p->directory_at = p->spare_at + p->directory_sectors + p->tables * TABLE_SECTORS;
    p->overhead = p->directory_at + p->directory_sectors + p->tables * TABLE_SECTORS;
    p->overhead = (p->overhead + GRAIN - 1) / GRAIN * GRAIN;
    return parent_read(file, options, image, p, err);
}

static bool
write_head(BlockNode *file, const Plan *p, GError **err)
{
    uint8_t h[VMDK_HEAD] = "KDMV";

    put_le32(h + VMDK_AT_VERSION, p->stream ? 3 : p->zero_grains ? 2 : 1);
    put_le32(h + VMDK_AT_FLAGS, VMDK_NEWLINE_TEST | VMDK_SPARE_TABLES |
                                    (p->zero_grains ? VMDK_ZERO_GRAINS : 0) |
                                    (p->stream ? VMDK_COMPRESSED | VMDK_MARKERS : 0));
    put_le64(h + VMDK_AT_CAPACITY, p->sectors);
    put_le64(h + VMDK_AT_GRAIN, GRAIN);
    put_le64(h + VMDK_AT_DESCRIPTOR, DESCRIPTOR_AT);
    put_le64(h + VMDK_AT_DESCRIPTOR_SIZE, DESCRIPTOR_SECTORS);
    put_le32(h + VMDK_AT_TABLE_ENTRIES, VMDK_TABLE_ENTRIES);
    put_le64(h + VMDK_AT_SPARE_DIRECTORY, p->spare_at);
    put_le64(h + VMDK_AT_DIRECTORY, p->directory_at);
    put_le64(h + VMDK_AT_OVERHEAD, p->overhead);
    memcpy(h + VMDK_AT_NEWLINES, "\n \r\n", 4); /* shows a transfer that changed line ends */
    put_le16(h + VMDK_AT_COMPRESSION, p->stream);
    return mapped_write(file, 0, h, sizeof(h), err);
}

static bool
write_descriptor(BlockNode *file, GHashTable *options, const Plan *p, GError **err)
{
    g_autofree char *name = g_path_get_basename(block_node_filename(file));
    g_autoptr(GString) text = g_string_new("# Disk DescriptorFile\nversion=1\n");
    unsigned heads = strcmp(p->adapter, "ide") == 0 ? 16 : 255;
    uint64_t cylinders = MIN(p->sectors / (63 * heads), (uint64_t)CYLINDERS_MAX);
    uint32_t cid = g_random_int();

    if (strchr(name, '"') || strchr(name, '\n'))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vmdk: the name '%s' cannot be written in its descriptor", name);
    g_string_append_printf(text, "CID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n",
                           cid >= 0xfffffffe ? 1 : cid, p->parent_cid, p->subformat);
    if (p->parent_cid != VMDK_NO_PARENT)
        g_string_append_printf(text, "parentFileNameHint=\"%s\"\n",
                               (const char *)g_hash_table_lookup(options, "backing_file"));
    g_string_append_printf(text,
                           "\n# Extent description\nRW %" PRIu64 " SPARSE \"%s\"\n"
                           "\n# The Disk Data Base\n#DDB\n\n"
                           "ddb.virtualHWVersion = \"%s\"\n"
                           "ddb.geometry.cylinders = \"%" PRIu64 "\"\n"
                           "ddb.geometry.heads = \"%u\"\nddb.geometry.sectors = \"63\"\n"
                           "ddb.adapterType = \"%s\"\nddb.toolsVersion = \"%s\"\n",
                           p->sectors, name, p->hardware, cylinders, heads, p->adapter, p->tools);
    if (text->len > DESCRIPTOR_SECTORS * BLOCK_SECTOR)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vmdk: a descriptor of %zu bytes is beyond the limit of %d",
                              (size_t)text->len, DESCRIPTOR_SECTORS * BLOCK_SECTOR);
    return mapped_write(file, DESCRIPTOR_AT * BLOCK_SECTOR, text->str, text->len, err);
}

/* A directory whose tables follow it; they are holes. */
static bool
write_directory(BlockNode *file, const Plan *p, uint64_t at, GError **err)
{
    g_autofree uint32_t *directory = g_try_new0(uint32_t, MAX(p->tables, 1u));

    if (!directory)
        return kiln_error_set(err, VIR_ERR_NO_MEMORY, "vmdk: %" PRIu64 " tables", p->tables);
    for (uint64_t i = 0; i < p->tables; i++)
        directory[i] = GUINT32_TO_LE((uint32_t)(at + p->directory_sectors + i * TABLE_SECTORS));
    return mapped_write(file, at * BLOCK_SECTOR, directory, p->tables * 4, err);
}

bool
vmdk_create(BlockNode *file, GHashTable *options, const BlockImageOptions *image, GError **err)
{
    Plan p = { 0 };
    int r;

    if (!plan_make(file, options, image, &p, err) || !write_head(file, &p, err) ||
        !write_descriptor(file, options, &p, err) || !write_directory(file, &p, p.spare_at, err) ||
        !write_directory(file, &p, p.directory_at, err))
        return false;
    r = mapped_file_grow(file, p.overhead * BLOCK_SECTOR);
    if (r < 0)
        return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, file, "'%s' cannot grow",
                               block_node_filename(file));
    return true;
}

const BlockCreateOption vmdk_create_options[] = {
    { "size", "Virtual disk size", NULL, BLOCK_OPTION_SIZE, false },
    { "adapter_type",
      "Adapter that the disk hangs on: ide (default), lsilogic, buslogic, legacyESX", NULL,
      BLOCK_OPTION_STRING, false },
    { "backing_file", "Name of the parent image", NULL, BLOCK_OPTION_STRING, false },
    { "backing_fmt", "Format of the parent: vmdk", NULL, BLOCK_OPTION_STRING, false },
    { "compat6", "For hardware version 6", "off", BLOCK_OPTION_BOOL, false },
    { "hwversion", "Hardware version", "undefined", BLOCK_OPTION_STRING, false },
    { "toolsversion", "Version of the guest tools", NULL, BLOCK_OPTION_STRING, false },
    { "subformat", "Kind of disk: monolithicSparse (default) or streamOptimized", NULL,
      BLOCK_OPTION_STRING, false },
    { "zeroed_grain", "Grains may be marked as zeroes", NULL, BLOCK_OPTION_BOOL, false },
    BLOCK_CREATE_OPTIONS_FILE,
    { 0 },
};
