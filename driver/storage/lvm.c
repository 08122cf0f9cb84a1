/* lvm.c - pools that are volume groups of LVM (type logical): logical volumes as volumes.
 *
 * LVM's own programs do the work (lvm2: vgs, lvs, pvs, vgcreate, lvcreate, …), as in libvirt; what
 * they say is read as JSON (--reportformat, lvmreport(7)). A volume's key is the UUID that LVM gave
 * it. Hidden volumes, thin pools and volumes that are not active are not shown; a snapshot, thin or
 * not, has its origin as backing store.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <libvirt/libvirt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/storage/private.h"
#include "util/error.h"
#include "util/flags.h"

/* --- asking LVM ------------------------------------------------------------------------------- */

/* LVM takes some other words in the place of a name: options, tags. */
static bool
is_name(const char *name)
{
    return g_regex_match_simple("^[a-zA-Z0-9_+.][a-zA-Z0-9_+.-]*$", name, G_REGEX_DOLLAR_ENDONLY,
                                0);
}

static bool
check_group(const StoragePoolDef *def, GError **err)
{
    return is_name(def->source->name) ||
           kiln_error_set(err, VIR_ERR_XML_ERROR, "'%s' is no name of a volume group",
                          def->source->name);
}

/* The rows named @list of what LVM's program reports; a new reference. */
static JsonArray *
report(const char *const *words, const char *list, GError **err)
{
    g_autoptr(JsonObject) all = storage_run_json(words, -1, err);
    JsonNode *node = all ? json_object_get_member(all, "report") : NULL;
    JsonArray *parts = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

    if (!all)
        return NULL;
    node = parts && json_array_get_length(parts) ? json_array_get_element(parts, 0) : NULL;
    node = node && JSON_NODE_HOLDS_OBJECT(node)
               ? json_object_get_member(json_node_get_object(node), list)
               : NULL;
    if (node && JSON_NODE_HOLDS_ARRAY(node))
        return json_node_dup_array(node);
    kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "'%s' reports no '%s'", words[0], list);
    return NULL;
}

static JsonObject *
row_at(JsonArray *rows, guint i)
{
    JsonNode *node = json_array_get_element(rows, i);

    return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* A field of a row; "" when it is not there. */
static const char *
field(JsonObject *row, const char *name)
{
    JsonNode *node = row ? json_object_get_member(row, name) : NULL;
    const char *text = node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;

    return text ? text : "";
}

static uint64_t
number(JsonObject *row, const char *name)
{
    return g_ascii_strtoull(field(row, name), NULL, 10);
}

/* --- looking ---------------------------------------------------------------------------------- */

static bool
measure(StoragePoolDef *def, GError **err)
{
    const char *const words[] = { "vgs", "--reportformat",  "json", "--units",
                                  "b",   "--nosuffix",      "-o",   "vg_size,vg_free",
                                  "--",  def->source->name, NULL };
    g_autoptr(JsonArray) rows = check_group(def, err) ? report(words, "vg", err) : NULL;
    JsonObject *row = rows && json_array_get_length(rows) ? row_at(rows, 0) : NULL;

    if (!row)
        return rows ? kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "'vgs' knows no group '%s'",
                                     def->source->name)
                    : false;
    def->capacity = number(row, "vg_size");
    def->available = MIN(number(row, "vg_free"), def->capacity);
    def->allocation = def->capacity - def->available;
    return true;
}

/* Where a segment lies: "/dev/sda(0),/dev/sdb(12)", in extents of the group; parts of other volumes
 * have no path. */
static void
add_extents(StorageVolDef *def, JsonObject *row)
{
    g_auto(GStrv) devices = g_strsplit(field(row, "devices"), ",", -1);
    uint64_t unit = number(row, "vg_extent_size"), size = number(row, "seg_size");
    uint64_t stripes = MAX(number(row, "stripes"), 1);

    for (size_t i = 0; devices[i]; i++) {
        char *open = strrchr(devices[i], '(');
        uint64_t start = open ? g_ascii_strtoull(open + 1, NULL, 10) * unit : 0;

        if (!open || devices[i][0] != '/')
            continue;
        *open = '\0';
        storage_vol_def_add_extent(def, devices[i], start, start + size / stripes);
    }
}

/* Whether @row is of a volume that clients see, by lv_attr (lvs(8)): its kind, and active. */
static bool
is_volume(JsonObject *row)
{
    const char *attr = field(row, "lv_attr");

    return strlen(attr) >= 5 && attr[0] != 't' && attr[4] == 'a' && is_name(field(row, "lv_name"));
}

/* One row for each segment: @n of them from @first on are of one volume. */
static void
scan_volume(StorageScan *scan, JsonArray *rows, guint first, guint n)
{
    JsonObject *row = row_at(rows, first);
    const char *origin = field(row, "origin"), *used = field(row, "data_percent");
    g_autoptr(StorageVolDef) def = storage_vol_def_new(field(row, "lv_name"));
    StorageVol *old = storage_volume_named(scan->pool->volumes, def->name);
    struct stat seen;

    def->key = g_strdup(field(row, "lv_uuid"));
    def->target->path = g_build_filename(scan->def->path, def->name, NULL);
    /* Its bytes are a guest's: they say nothing of the volume. */
    if (!storage_image_look(NULL, def, NULL, &seen, NULL))
        return;
    def->type = STORAGE_VOL_TYPE_BLOCK;
    def->allocation = number(row, "lv_size");
    if (field(row, "lv_attr")[0] == 'V')
        def->allocation = (uint64_t)((double)def->allocation * g_ascii_strtod(used, NULL) / 100);
    if (is_name(origin)) {
        g_autofree char *backing = g_build_filename(scan->def->path, origin, NULL);

        storage_vol_def_set_backing(def, backing, NULL);
    }
    for (guint i = 0; i < n; i++)
        add_extents(def, row_at(rows, first + i));
    if (old && strcmp(old->key, def->key) != 0)
        old = NULL;
    storage_scan_add(scan, old, g_steal_pointer(&def), &seen);
}

static bool
scan_group(StorageScan *scan, GError **err)
{
    static const char fields[] = "lv_name,lv_uuid,lv_attr,lv_size,origin,data_percent,devices,"
                                 "stripes,seg_size,vg_extent_size";
    const char *const words[] = {
        "lvs",    "--reportformat",    "json", "--units", "b",  "--nosuffix",
        "--sort", "lv_name,seg_start", "-o",   fields,    "--", scan->def->source->name,
        NULL,
    };
    g_autoptr(JsonArray) rows = measure(scan->def, err) ? report(words, "lv", err) : NULL;
    guint n = rows ? json_array_get_length(rows) : 0, next;

    for (guint i = 0; i < n; i = next) {
        const char *name = field(row_at(rows, i), "lv_name");

        for (next = i + 1; next < n && strcmp(field(row_at(rows, next), "lv_name"), name) == 0;)
            next++;
        if (is_volume(row_at(rows, i)))
            scan_volume(scan, rows, i, next - i);
    }
    return rows != NULL;
}

/* --- groups ----------------------------------------------------------------------------------- */

/* Rows of devices and the groups that they are part of. */
static JsonArray *
report_devices(GError **err)
{
    const char *const words[] = { "pvs", "--reportformat", "json", "-o", "pv_name,vg_name", NULL };

    return report(words, "pv", err);
}

static StoragePoolSource *
source_named(const GPtrArray *sources, const char *name)
{
    for (guint i = 0; i < sources->len; i++)
        if (strcmp(((StoragePoolSource *)sources->pdata[i])->name, name) == 0)
            return sources->pdata[i];
    return NULL;
}

static GPtrArray *
find_groups(StorageManager *m, const StoragePoolSource *spec, GError **err)
{
    g_autoptr(JsonArray) rows = report_devices(err);
    GPtrArray *sources;

    (void)m;
    (void)spec;
    if (!rows)
        return NULL;
    sources = g_ptr_array_new_with_free_func((GDestroyNotify)storage_pool_source_free);
    for (guint i = 0; i < json_array_get_length(rows); i++) {
        const char *group = field(row_at(rows, i), "vg_name");
        StoragePoolSource *source = source_named(sources, group);

        if (!*group)
            continue;
        if (!source) {
            source = storage_pool_source_new();
            source->name = g_strdup(group);
            source->format = g_strdup("lvm2");
            g_ptr_array_add(sources, source);
        }
        storage_pool_source_add_device(source, field(row_at(rows, i), "pv_name"));
    }
    return sources;
}

static bool
same_device(const char *a, const char *b)
{
    g_autofree char *x = realpath(a, NULL), *y = realpath(b, NULL);

    return strcmp(a, b) == 0 || (x && y && strcmp(x, y) == 0);
}

static bool
has_device(const StoragePoolSource *source, const char *path)
{
    for (guint i = 0; i < source->devices->len; i++)
        if (same_device(((const StoragePoolDevice *)source->devices->pdata[i])->path, path))
            return true;
    return false;
}

/* A group of that name is there, and made of what the definition says. */
static bool
check_source(const StoragePoolDef *def, GError **err)
{
    g_autoptr(GPtrArray) groups = find_groups(NULL, NULL, err);
    const StoragePoolSource *want = def->source, *source;

    if (!groups)
        return false;
    source = source_named(groups, want->name);
    if (!source)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "cannot find logical volume group name '%s'", want->name);
    for (guint i = 0; i < want->devices->len; i++) {
        const char *path = ((const StoragePoolDevice *)want->devices->pdata[i])->path;

        if (!has_device(source, path))
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "logical volume group '%s' has no source device '%s'", want->name,
                                  path);
    }
    return true;
}

static bool
activate(const StoragePoolDef *def, const char *how, GError **err)
{
    const char *const words[] = { "vgchange", how, "--", def->source->name, NULL };

    return storage_run(words, -1, NULL, err);
}

static bool
start_group(StoragePool *pool, const StoragePoolDef *def, GError **err)
{
    (void)pool;
    return check_group(def, err) && check_source(def, err) && activate(def, "-aly", err);
}

static bool
stop_group(StoragePool *pool, const StoragePoolDef *def, GError **err)
{
    (void)pool;
    return activate(def, "-aln", err);
}

static bool
is_up(StoragePool *pool, const StoragePoolDef *def)
{
    g_autoptr(StoragePoolDef) copy = storage_pool_def_copy(def);

    (void)pool;
    return measure(copy, NULL);
}

/* Devices that could not be taken away are not the group any more, and that is what was asked for.
 */
static void
remove_devices(const StoragePoolDef *def, guint n)
{
    for (guint i = 0; i < n; i++) {
        const StoragePoolDevice *device = def->source->devices->pdata[i];
        const char *const words[] = { "pvremove", "--quiet", "--yes", "--", device->path, NULL };

        storage_run(words, -1, NULL, NULL);
    }
}

static bool
build_group(StoragePool *pool, const StoragePoolDef *def, unsigned flags, GError **err)
{
    const GPtrArray *devices = def->source->devices;
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    guint made = 0;

    (void)pool;
    if (!check_group(def, err))
        return false;
    if (!devices->len)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "pool '%s' names no <source><device> to make a volume group of",
                              def->name);
    g_ptr_array_add(words, (char *)"vgcreate");
    g_ptr_array_add(words, (char *)"--");
    g_ptr_array_add(words, def->source->name);
    for (; made < devices->len; made++) {
        const StoragePoolDevice *device = devices->pdata[made];
        const char *const make[] = { "pvcreate", "--yes", "--", device->path, NULL };

        if (!storage_device_prepare(def, device->path, flags, err) ||
            !storage_run(make, -1, NULL, err))
            goto fail;
        g_ptr_array_add(words, device->path);
    }
    g_ptr_array_add(words, NULL);
    if (storage_run((const char *const *)words->pdata, -1, NULL, err))
        return true;
fail:
    remove_devices(def, made);
    return false;
}

static bool
remove_group(StoragePool *pool, const StoragePoolDef *def, unsigned flags, GError **err)
{
    const char *const words[] = { "vgremove", "--force", "--", def->source->name, NULL };

    (void)pool;
    if (!kiln_flags_check(flags, 0, "virStoragePoolDelete", err) || !check_group(def, err) ||
        !storage_run(words, -1, NULL, err))
        return false;
    remove_devices(def, def->source->devices->len);
    return true;
}

/* --- volumes ---------------------------------------------------------------------------------- */

static char *
kibibytes(uint64_t size)
{
    return g_strdup_printf("%" G_GUINT64_FORMAT "K", size / 1024 + (size % 1024 != 0));
}

static char *
full_name(const StoragePool *pool, const char *volume)
{
    return g_strdup_printf("%s/%s", pool->def->source->name, volume);
}

static const StorageVol *
find_origin(StoragePool *pool, const char *path, GError **err)
{
    for (guint i = 0; i < pool->volumes->len; i++) {
        const StorageVol *vol = pool->volumes->pdata[i];

        if (strcmp(vol->path, path) == 0)
            return vol;
    }
    kiln_error_set(err, VIR_ERR_INVALID_ARG,
                   "backing store '%s' is no volume of pool '%s': a snapshot lies in the group of "
                   "its origin",
                   path, pool->object.name);
    return NULL;
}

static bool
create_snapshot(StoragePool *pool, const StorageVolDef *def, GError **err)
{
    const StorageVol *origin = find_origin(pool, def->backing->path, err);
    g_autofree char *from = NULL, *size = NULL;

    if (!origin)
        return false;
    /* The size is that of what is kept apart, not of what is shown. */
    size = kibibytes(def->allocation != XML_UNSET && def->allocation ? def->allocation
                     : def->capacity != XML_UNSET                    ? def->capacity
                                                                     : origin->def->capacity);
    from = full_name(pool, origin->name);
    return storage_run((const char *const[]){ "lvcreate", "--yes", "--name", def->name, "-L", size,
                                              "--snapshot", "--", from, NULL },
                       -1, NULL, err);
}

static bool
create_volume(StoragePool *pool, const StorageVolDef *def, GError **err)
{
    uint64_t allocation = def->allocation == XML_UNSET ? def->capacity : def->allocation;
    g_autofree char *capacity = kibibytes(def->capacity);
    g_autofree char *size = kibibytes(allocation ? allocation : def->capacity);
    const char *group = pool->def->source->name;
    const char *const all[] = { "lvcreate", "--yes", "--name", def->name, "-L",
                                size,       "--",    group,    NULL };
    const char *const sparse[] = { "lvcreate", "--yes",  "--name",   def->name,       "-L",
                                   size,       "--type", "snapshot", "--virtualsize", capacity,
                                   "--",       group,    NULL };

    if (def->backing)
        return create_snapshot(pool, def, err);
    return storage_run(allocation && allocation < def->capacity ? sparse : all, -1, NULL, err);
}

static bool
remove_volume(StoragePool *pool, const char *name, GError **err)
{
    g_autofree char *full = full_name(pool, name);
    const char *const words[] = { "lvremove", "--force", "--", full, NULL };

    return storage_run(words, -1, NULL, err);
}

static bool
vol_create(StoragePool *pool, StorageNewVol *vol, GError **err)
{
    StorageVolDef *def = vol->def;

    if (!is_name(def->name))
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "'%s' is no name of a logical volume",
                              def->name);
    if (!storage_device_check_new(vol, err))
        return false;
    /* Volumes have no format here: a copy is one of the bytes that a guest sees. */
    g_clear_pointer(&def->target->format, g_free);
    g_free(def->target->path);
    def->target->path = g_build_filename(pool->def->path, def->name, NULL);
    def->type = STORAGE_VOL_TYPE_BLOCK;
    if (!create_volume(pool, def, err))
        return false;
    if ((!vol->source || storage_image_create(pool->manager, vol, err)) &&
        storage_device_set_permissions(def, err))
        return true;
    remove_volume(pool, def->name, NULL);
    return false;
}

static bool
vol_delete(StoragePool *pool, StorageVol *vol, unsigned flags, GError **err)
{
    return kiln_flags_check(flags, 0, "virStorageVolDelete", err) &&
           remove_volume(pool, vol->name, err);
}

static bool
vol_resize(StoragePool *pool, StorageVol *vol, uint64_t capacity, unsigned flags, GError **err)
{
    g_autofree char *full = full_name(pool, vol->name), *size = kibibytes(capacity);
    const char *const words[] = { "lvresize", "--force", "--yes", "-L", size, "--", full, NULL };

    (void)flags; /* all of it is allocated */
    return storage_run(words, -1, NULL, err);
}

/* Zeroes would fill up a volume that has less space than it shows. */
static bool
vol_may_wipe(const StorageVol *vol, GError **err)
{
    return vol->def->allocation >= vol->def->capacity ||
           kiln_error_set(err, VIR_ERR_NO_SUPPORT,
                          "logical volume '%s' is sparse, volume wipe not supported", vol->path);
}

const StorageBackend storage_backend_logical = {
    .type = STORAGE_POOL_LOGICAL,
    .build = build_group,
    .start = start_group,
    .stop = stop_group,
    .remove = remove_group,
    .is_up = is_up,
    .scan = scan_group,
    .measure = measure,
    .find_sources = find_groups,
    .vol_create = vol_create,
    .vol_delete = vol_delete,
    .vol_resize = vol_resize,
    .vol_may_wipe = vol_may_wipe,
};
