/* disk.c - pools that are disks (type disk): partitions as volumes.
 *
 * The table is partitions.c's. A volume is called as its device: the disk's name, a 'p' where that
 * ends in a digit (or where part_separator says so), and the number; a new one has to be given that
 * name, as in libvirt. Its path is the link to it in the pool's target directory, where there is
 * one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/storage/partitions.h"
#include "driver/storage/private.h"
#include "util/error.h"
#include "util/flags.h"

enum { NODE_WAIT_MS = 10000, NODE_POLL_MS = 20 };

/* --- names ------------------------------------------------------------------------------------ */

/* The device of partition @number, as the kernel calls it; g_free(). */
static char *
node_of(const StoragePoolDef *def, unsigned number)
{
    const StoragePoolDevice *device = def->source->devices->pdata[0];
    g_autofree char *real = realpath(device->path, NULL);
    const char *path = real ? real : device->path;
    bool digit = *path && g_ascii_isdigit(path[strlen(path) - 1]);

    if (device->part_separator)
        digit = device->part_separator == TRISTATE_ON;
    return g_strdup_printf("%s%s%u", path, digit ? "p" : "", number);
}

static const char *
name_of(const char *node)
{
    const char *slash = strrchr(node, '/');

    return slash ? slash + 1 : node;
}

/* The link to @node in the pool's directory, or @node itself; g_free(). */
static char *
stable_path(const StoragePoolDef *def, const char *node)
{
    DIR *dir = strcmp(def->path, "/dev") != 0 ? opendir(def->path) : NULL;
    struct dirent *entry;
    char *found = NULL;

    while (dir && !found && (entry = readdir(dir))) {
        g_autofree char *link = g_build_filename(def->path, entry->d_name, NULL);
        g_autofree char *real = entry->d_name[0] != '.' ? realpath(link, NULL) : NULL;

        if (real && strcmp(real, node) == 0)
            found = g_steal_pointer(&link);
    }
    if (dir)
        closedir(dir);
    return found ? found : g_strdup(node);
}

static bool
is_block(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

/* The kernel knows a new partition at once; what makes its device may need a moment. */
static bool
wait_for_node(const StoragePoolDef *def, const char *node, GError **err)
{
    if (!is_block(storage_pool_def_device(def)))
        return true;
    for (int waited = 0; access(node, F_OK) < 0; waited += NODE_POLL_MS) {
        if (waited >= NODE_WAIT_MS)
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "partition '%s' was made, and after %d seconds it has no device",
                                  node, NODE_WAIT_MS / 1000);
        g_usleep(NODE_POLL_MS * 1000);
    }
    return true;
}

/* --- the pool --------------------------------------------------------------------------------- */

static const char *
label_of(const StoragePoolDef *def)
{
    const char *format = def->source->format;

    return strcmp(format, "unknown") == 0 ? "dos" : format;
}

static bool
check_label(const StoragePoolDef *def, GError **err)
{
    const char *label = label_of(def);

    return strcmp(label, "dos") == 0 || strcmp(label, "gpt") == 0 ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "pool '%s': partition tables of format '%s' are not supported; dos and "
                          "gpt are",
                          def->name, label);
}

static bool
build_disk(StoragePool *pool, const StoragePoolDef *def, unsigned flags, GError **err)
{
    const char *device = storage_pool_def_device(def);

    (void)pool;
    return check_label(def, err) && storage_device_prepare(def, device, flags, err) &&
           partition_table_make(device, label_of(def), err);
}

/* The table, when it is of the kind that the definition says. */
static PartitionTable *
read_table(const StoragePoolDef *def, GError **err)
{
    const char *device = storage_pool_def_device(def), *format = def->source->format;
    g_autoptr(PartitionTable) table =
        check_label(def, err) ? partition_table_read(device, err) : NULL;
    const char *label = table && table->gpt ? "gpt" : "dos";

    if (!table || strcmp(format, "unknown") == 0 || strcmp(format, label) == 0)
        return g_steal_pointer(&table);
    kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                   "pool '%s': the partition table of '%s' is of format '%s', not '%s'", def->name,
                   device, label, format);
    return NULL;
}

static bool
start_disk(StoragePool *pool, const StoragePoolDef *def, GError **err)
{
    g_autoptr(PartitionTable) table = read_table(def, err);

    (void)pool;
    return table != NULL;
}

static bool
is_up(StoragePool *pool, const StoragePoolDef *def)
{
    return start_disk(pool, def, NULL);
}

static bool
remove_disk(StoragePool *pool, const StoragePoolDef *def, unsigned flags, GError **err)
{
    (void)pool;
    return kiln_flags_check(flags, 0, "virStoragePoolDelete", err) &&
           storage_device_clear(storage_pool_def_device(def), err);
}

/* --- looking ---------------------------------------------------------------------------------- */

static void
scan_partition(StorageScan *scan, const Partition *part)
{
    g_autofree char *node = node_of(scan->def, part->number);
    g_autoptr(StorageVolDef) def = storage_vol_def_new(name_of(node));
    StorageVol *old = storage_volume_named(scan->pool->volumes, def->name);
    struct stat seen = { 0 };

    def->target->path = stable_path(scan->def, node);
    def->key = g_strdup(def->target->path);
    /* Permissions and times are the device's, if it is there; sizes are the table's: the device of
     * an extended partition is no bigger than its first sectors. */
    storage_image_look(NULL, def, NULL, &seen, NULL);
    def->type = STORAGE_VOL_TYPE_BLOCK;
    def->capacity = def->allocation = part->end - part->start;
    def->target->format = g_strdup(part->kind == PARTITION_EXTENDED ? "extended" : "none");
    storage_vol_def_add_extent(def, storage_pool_def_device(scan->def), part->start, part->end);
    /* Numbers of logical partitions move down when one goes. */
    if (old && old->def->source->devices->len) {
        const StorageVolDevice *device = old->def->source->devices->pdata[0];
        const StorageExtent *extent = device->extents->pdata[0];

        if (extent->start != part->start || strcmp(old->key, def->key) != 0)
            old = NULL;
    }
    storage_scan_add(scan, old, g_steal_pointer(&def), &seen);
}

static void
fill_pool(StoragePoolDef *def, const PartitionTable *table)
{
    g_autoptr(GArray) room = partition_table_room(table);
    g_autofree StorageExtent *extents = g_new0(StorageExtent, room->len + 1);

    def->capacity = table->size;
    def->allocation = def->available = 0;
    for (guint i = 0; i < table->partitions->len; i++) {
        const Partition *part = &g_array_index(table->partitions, Partition, i);

        if (part->kind != PARTITION_EXTENDED)
            def->allocation += part->end - part->start;
    }
    for (guint i = 0; i < room->len; i++) {
        const Partition *gap = &g_array_index(room, Partition, i);

        extents[i] = (StorageExtent){ gap->start, gap->end };
        def->available += gap->end - gap->start;
    }
    storage_pool_source_set_free(def->source, extents, room->len);
}

static bool
scan_disk(StorageScan *scan, GError **err)
{
    g_autoptr(PartitionTable) table = read_table(scan->def, err);

    if (!table)
        return false;
    for (guint i = 0; i < table->partitions->len; i++)
        scan_partition(scan, &g_array_index(table->partitions, Partition, i));
    fill_pool(scan->def, table);
    return true;
}

/* --- volumes ---------------------------------------------------------------------------------- */

static bool
fill_volume(StoragePool *pool, StorageNewVol *vol, GError **err)
{
    StorageVolDef *def = vol->def;

    /* The format is the partition's type; what is copied into it are bytes. */
    g_clear_pointer(&def->target->format, g_free);
    return (!vol->source || storage_image_create(pool->manager, vol, err)) &&
           storage_device_set_permissions(def, err);
}

static bool
vol_create(StoragePool *pool, StorageNewVol *vol, GError **err)
{
    const char *device = storage_pool_def_device(pool->def);
    g_autofree char *node = NULL, *format = NULL;
    g_autoptr(PartitionTable) table = NULL;
    StorageVolDef *def = vol->def;
    Partition part = { 0 };
    bool extended;

    if (!storage_device_check_new(vol, err))
        return false;
    if (def->backing)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "volume '%s': a partition has no backing store", def->name);
    format = g_strdup(def->target->format);
    extended = strcmp(format, "extended") == 0;
    if (extended && vol->source)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "volume '%s': nothing can be copied into an extended partition",
                              def->name);
    table = read_table(pool->def, err);
    if (!table || !partition_table_place(table, def->capacity, extended, &part, err))
        return false;
    node = node_of(pool->def, part.number);
    if (strcmp(name_of(node), def->name) != 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "invalid partition name '%s', expected '%s'", def->name,
                              name_of(node));
    if (!partition_add(device, table, &part, format, err))
        return false;
    def->type = STORAGE_VOL_TYPE_BLOCK;
    if (wait_for_node(pool->def, node, err)) {
        g_free(def->target->path);
        def->target->path = stable_path(pool->def, node);
        if (fill_volume(pool, vol, err))
            return true;
    }
    partition_remove(device, part.number, NULL);
    return false;
}

/* Nobody has the partition mounted, or part of something. */
static bool
check_unused(const StoragePoolDef *def, unsigned number, GError **err)
{
    g_autofree char *node = node_of(def, number);
    int fd;

    if (!is_block(node))
        return true;
    fd = open(node, O_RDONLY | O_EXCL | O_CLOEXEC);
    if (fd < 0 && errno == EBUSY)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "partition '%s' is in use", node);
    if (fd >= 0)
        close(fd);
    return true;
}

static bool
vol_delete(StoragePool *pool, StorageVol *vol, unsigned flags, GError **err)
{
    g_autoptr(PartitionTable) table = NULL;
    const Partition *found = NULL;

    if (!kiln_flags_check(flags, 0, "virStorageVolDelete", err))
        return false;
    table = read_table(pool->def, err);
    if (!table)
        return false;
    for (guint i = 0; i < table->partitions->len && !found; i++) {
        const Partition *part = &g_array_index(table->partitions, Partition, i);
        g_autofree char *node = node_of(pool->def, part->number);

        if (strcmp(name_of(node), vol->name) == 0)
            found = part;
    }
    /* Gone already: what was asked for. */
    if (!found)
        return true;
    /* With an extended one all go that are in it. */
    for (guint i = 0; i < table->partitions->len; i++) {
        const Partition *part = &g_array_index(table->partitions, Partition, i);

        if ((part == found ||
             (found->kind == PARTITION_EXTENDED && part->kind == PARTITION_LOGICAL)) &&
            !check_unused(pool->def, part->number, err))
            return false;
    }
    return partition_remove(storage_pool_def_device(pool->def), found->number, err);
}

const StorageBackend storage_backend_disk = {
    .type = STORAGE_POOL_DISK,
    .vol_formats = storage_vol_disk_formats,
    .vol_default_format = "none",
    .build = build_disk,
    .start = start_disk,
    .remove = remove_disk,
    .is_up = is_up,
    .scan = scan_disk,
    .vol_create = vol_create,
    .vol_delete = vol_delete,
};
