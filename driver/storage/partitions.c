/* partitions.c - see partitions.h.
 *
 * Types of partitions: the bytes of PC tables, and the GUIDs of the UEFI Specification 2.10 (5.3.3)
 * and the Discoverable Partitions Specification that mean the same.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/storage/partitions.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <unistd.h>

#include "driver/storage/backend.h"
#include "util/error.h"

enum {
    ALIGN = 1024 * 1024, /* partitions begin at multiples of it */
    SECTOR_MIN = 512,
    SECTOR_MAX = 64 * 1024,
    PARTITIONS_MAX = 1024,
    DOS_PRIMARY = 4,
};
/* Sectors have numbers of 32 bits in a table of kind dos. */
static const uint64_t dos_sectors = UINT32_MAX;

void
partition_table_free(PartitionTable *table)
{
    if (!table)
        return;
    g_array_unref(table->partitions);
    g_free(table);
}

/* --- reading ---------------------------------------------------------------------------------- */

static uint64_t
member(JsonObject *object, const char *name, uint64_t fallback)
{
    gint64 value = json_object_get_int_member_with_default(object, name, -1);

    return value >= 0 ? (uint64_t)value : fallback;
}

/* The number at the end of a partition's name. */
static unsigned
number_of(const char *node)
{
    size_t i = strlen(node);

    while (i > 0 && g_ascii_isdigit(node[i - 1]))
        i--;
    return (unsigned)MIN(g_ascii_strtoull(node + i, NULL, 10), PARTITIONS_MAX);
}

static bool
is_extended(const char *type)
{
    static const char *const types[] = { "5", "f", "85", NULL };

    return g_strv_contains(types, type);
}

static int
compare_partitions(gconstpointer a, gconstpointer b)
{
    const Partition *x = a, *y = b;

    /* An extended one comes before what is in it. */
    if (x->start == y->start)
        return (x->end < y->end) - (x->end > y->end);
    return x->start < y->start ? -1 : 1;
}

static bool
add_partition(PartitionTable *table, JsonObject *object)
{
    const char *node = json_object_get_string_member_with_default(object, "node", "");
    const char *type = json_object_get_string_member_with_default(object, "type", "");
    uint64_t start = member(object, "start", 0), sectors = member(object, "size", 0);
    Partition part = { PARTITION_PRIMARY, number_of(node), 0, 0 };

    if (!part.number || !sectors || start > table->size / table->sector ||
        sectors > table->size / table->sector - start)
        return false;
    part.start = start * table->sector;
    part.end = part.start + sectors * table->sector;
    if (!table->gpt && part.number > DOS_PRIMARY)
        part.kind = PARTITION_LOGICAL;
    else if (!table->gpt && is_extended(type))
        part.kind = PARTITION_EXTENDED;
    g_array_append_val(table->partitions, part);
    return true;
}

static bool
add_partitions(PartitionTable *table, JsonArray *list)
{
    guint n = json_array_get_length(list);

    for (guint i = 0; i < n && n <= PARTITIONS_MAX; i++) {
        JsonNode *node = json_array_get_element(list, i);

        if (!JSON_NODE_HOLDS_OBJECT(node) || !add_partition(table, json_node_get_object(node)))
            return false;
    }
    g_array_sort(table->partitions, compare_partitions);
    return n <= PARTITIONS_MAX;
}

static uint64_t
align_up(uint64_t value)
{
    return (value + ALIGN - 1) / ALIGN * ALIGN;
}

static bool
fill_table(PartitionTable *table, JsonObject *object)
{
    uint64_t sectors;

    table->sector = member(object, "sectorsize", SECTOR_MIN);
    if (table->sector < SECTOR_MIN || table->sector > SECTOR_MAX)
        return false;
    sectors = table->size / table->sector;
    if (table->gpt) {
        uint64_t first = member(object, "firstlba", 0), last = member(object, "lastlba", 0);

        if (first > last || last >= sectors)
            return false;
        table->first = align_up(first * table->sector);
        table->last = (last + 1) * table->sector;
    } else {
        table->first = ALIGN;
        table->last = MIN(sectors, dos_sectors) * table->sector;
    }
    return !json_object_has_member(object, "partitions") ||
           (JSON_NODE_HOLDS_ARRAY(json_object_get_member(object, "partitions")) &&
            add_partitions(table, json_object_get_array_member(object, "partitions")));
}

static PartitionTable *
table_of(JsonObject *all, uint64_t size, GError **err)
{
    g_autoptr(PartitionTable) table = g_new0(PartitionTable, 1);
    JsonNode *node = json_object_get_member(all, "partitiontable");
    JsonObject *object = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    const char *label =
        object ? json_object_get_string_member_with_default(object, "label", "") : "";

    table->partitions = g_array_new(FALSE, FALSE, sizeof(Partition));
    table->gpt = strcmp(label, "gpt") == 0;
    table->size = size;
    if (!table->gpt && strcmp(label, "dos") != 0)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "a partition table of kind '%s'; only dos and gpt are supported", label);
    else if (!fill_table(table, object))
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "a partition table that makes no sense");
    else
        return g_steal_pointer(&table);
    return NULL;
}

PartitionTable *
partition_table_parse(const char *text, uint64_t size, GError **err)
{
    g_autoptr(JsonNode) json = json_from_string(text, NULL);

    if (json && JSON_NODE_HOLDS_OBJECT(json))
        return table_of(json_node_get_object(json), size, err);
    kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "what sfdisk says is no JSON object");
    return NULL;
}

static bool
device_size(const char *device, uint64_t *ret, GError **err)
{
    int fd = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    int error = errno;

    if (fd >= 0)
        close(fd);
    if (fd < 0 && error == ENOENT)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "device path '%s' doesn't exist", device);
    if (end < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, error, "device path '%s'", device);
    *ret = (uint64_t)end;
    return true;
}

PartitionTable *
partition_table_read(const char *device, GError **err)
{
    const char *const words[] = { "sfdisk", "--json", "--", device, NULL };
    g_autoptr(JsonObject) all = NULL;
    g_autoptr(GError) why = NULL;
    PartitionTable *table;
    uint64_t size = 0;

    if (!device_size(device, &size, err))
        return NULL;
    all = storage_run_json(words, -1, &why);
    if (!all) {
        kiln_error_set(err, VIR_ERR_STORAGE_PROBE_FAILED, "no partition table on '%s': %s", device,
                       why->message);
        return NULL;
    }
    table = table_of(all, size, err);
    if (!table)
        g_prefix_error(err, "'%s' has ", device);
    return table;
}

/* --- room ------------------------------------------------------------------------------------- */

static void
add_room(GArray *room, PartitionKind kind, uint64_t start, uint64_t end)
{
    const Partition gap = { kind, 0, start, end };

    if (end > start && end - start >= ALIGN)
        g_array_append_val(room, gap);
}

static const Partition *
extended_of(const PartitionTable *table)
{
    for (guint i = 0; i < table->partitions->len; i++) {
        const Partition *part = &g_array_index(table->partitions, Partition, i);

        if (part->kind == PARTITION_EXTENDED)
            return part;
    }
    return NULL;
}

/* Each logical partition has a sector before it, which says where it and the next one are. */
static void
add_logical_room(const PartitionTable *table, const Partition *extended, GArray *room)
{
    uint64_t at = extended->start;

    for (guint i = 0; i < table->partitions->len; i++) {
        const Partition *part = &g_array_index(table->partitions, Partition, i);

        if (part->kind != PARTITION_LOGICAL)
            continue;
        add_room(room, PARTITION_LOGICAL, align_up(at + table->sector),
                 part->start > ALIGN ? part->start - ALIGN : 0);
        at = MAX(at, part->end);
    }
    add_room(room, PARTITION_LOGICAL, align_up(at + table->sector), extended->end);
}

GArray *
partition_table_room(const PartitionTable *table)
{
    GArray *room = g_array_new(FALSE, FALSE, sizeof(Partition));
    const Partition *extended = extended_of(table);
    uint64_t at = table->first;

    for (guint i = 0; i < table->partitions->len; i++) {
        const Partition *part = &g_array_index(table->partitions, Partition, i);

        if (part->kind == PARTITION_LOGICAL)
            continue;
        add_room(room, PARTITION_PRIMARY, at, MIN(part->start, table->last));
        at = align_up(MAX(at, part->end));
    }
    add_room(room, PARTITION_PRIMARY, at, table->last);
    if (extended)
        add_logical_room(table, extended, room);
    g_array_sort(room, compare_partitions);
    return room;
}

static unsigned
count(const PartitionTable *table, PartitionKind kind)
{
    unsigned n = 0;

    for (guint i = 0; i < table->partitions->len; i++)
        n += g_array_index(table->partitions, Partition, i).kind == kind;
    return n;
}

static bool
has_number(const PartitionTable *table, unsigned number)
{
    for (guint i = 0; i < table->partitions->len; i++)
        if (g_array_index(table->partitions, Partition, i).number == number)
            return true;
    return false;
}

/* The number that sfdisk gives the next one. */
static unsigned
next_number(const PartitionTable *table, PartitionKind kind)
{
    unsigned number = kind == PARTITION_LOGICAL ? DOS_PRIMARY + 1 : 1;

    while (has_number(table, number))
        number++;
    return number;
}

static const Partition *
smallest(const GArray *room, PartitionKind kind, uint64_t size)
{
    const Partition *best = NULL;

    for (guint i = 0; i < room->len; i++) {
        const Partition *gap = &g_array_index(room, Partition, i);

        if (gap->kind == kind && gap->end - gap->start >= size &&
            (!best || gap->end - gap->start < best->end - best->start))
            best = gap;
    }
    return best;
}

bool
partition_table_place(const PartitionTable *table, uint64_t size, bool extended, Partition *ret,
                      GError **err)
{
    g_autoptr(GArray) room = partition_table_room(table);
    const Partition *there = extended_of(table), *gap = NULL;
    bool full = !table->gpt && count(table, PARTITION_PRIMARY) + (there ? 1 : 0) >= DOS_PRIMARY;

    if (extended && table->gpt)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "a table of kind gpt has no extended partitions");
    if (extended && there)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "extended partition already exists");
    if (full && (extended || !there))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "no extended partition found and no primary partition available");
    if (!size || size > table->size)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "no large enough free extent");
    size = (size + table->sector - 1) / table->sector * table->sector;
    if (!full)
        gap = smallest(room, PARTITION_PRIMARY, size);
    if (!gap && !extended)
        gap = smallest(room, PARTITION_LOGICAL, size);
    if (!gap)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "no large enough free extent");
    ret->kind = extended ? PARTITION_EXTENDED : gap->kind;
    ret->number = next_number(table, gap->kind);
    ret->start = gap->start;
    ret->end = gap->start + size;
    return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

static const struct {
    const char *format, *dos, *gpt;
} types[] = {
    { "none", "83", "0FC63DAF-8483-4772-8E79-3D69D8477DE4" },
    { "linux", "83", "0FC63DAF-8483-4772-8E79-3D69D8477DE4" },
    { "fat16", "6", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" },
    { "fat32", "c", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" },
    { "linux-swap", "82", "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F" },
    { "linux-lvm", "8e", "E6D6D379-F507-44C2-A23C-238F2A3DF928" },
    { "linux-raid", "fd", "A19D880F-05FC-4D3B-A006-743F0F84911E" },
    { "extended", "5", NULL },
};

bool
partition_table_make(const char *device, const char *label, GError **err)
{
    const char *const words[] = { "sfdisk", "--quiet", "--", device, NULL };
    g_autofree char *text = g_strdup_printf("label: %s\n", label);

    return storage_run_told(words, text, err);
}

bool
partition_add(const char *device, const PartitionTable *table, const Partition *part,
              const char *format, GError **err)
{
    /* Others of the disk may be in use: no reading again of the whole table. */
    const char *const words[] = { "sfdisk", "--quiet", "--append", "--no-reread", "--wipe",
                                  "never",  "--",      device,     NULL };
    g_autofree char *text = NULL;
    const char *type = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
        if (strcmp(types[i].format, format) == 0)
            type = table->gpt ? types[i].gpt : types[i].dos;
    if (!type)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "Invalid partition type '%s'", format);
    text = g_strdup_printf("start=%" G_GUINT64_FORMAT ", size=%" G_GUINT64_FORMAT ", type=%s\n",
                           part->start / table->sector, (part->end - part->start) / table->sector,
                           type);
    return storage_run_told(words, text, err);
}

bool
partition_remove(const char *device, unsigned number, GError **err)
{
    g_autofree char *text = g_strdup_printf("%u", number);
    const char *const words[] = { "sfdisk", "--quiet", "--no-reread", "--delete",
                                  "--",     device,    text,          NULL };

    return storage_run(words, -1, NULL, err);
}
