/* qmp_block.c - QMP commands about disks, their images and trays.
 *
 * Shapes of the answers: QEMU 7.2 qapi/{block,block-core}.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "block/image.h"
#include "hw/block/drive.h"
#include "launcher/block_jobs.h"
#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "launcher/vm_limits.h"
#include "util/error.h"

static JsonObject *
device_image(const BlockNode *node)
{
    JsonObject *image = json_object_new();

    json_object_set_string_member(image, "filename",
                                  block_node_filename(node) ? block_node_filename(node) : "");
    json_object_set_string_member(image, "format", block_node_driver(node));
    json_object_set_int_member(image, "virtual-size", block_node_size(node));
    if (block_node_backing_filename(node))
        json_object_set_string_member(image, "backing-filename", block_node_backing_filename(node));
    if (block_node_backing(node))
        json_object_set_object_member(image, "backing-image",
                                      device_image(block_node_backing(node)));
    return image;
}

/* BlockDeviceInfo. */
static JsonObject *
device_inserted(BlockNode *node, const char *id, bool write_cache)
{
    JsonObject *info = json_object_new(), *cache = json_object_new();
    unsigned depth = 0;

    json_object_set_string_member(info, "file",
                                  block_node_filename(node) ? block_node_filename(node) : "");
    json_object_set_string_member(info, "node-name", block_node_name(node));
    json_object_set_string_member(info, "drv", block_node_driver(node));
    json_object_set_boolean_member(info, "ro", block_node_read_only(node));
    json_object_set_boolean_member(info, "encrypted", FALSE);
    for (const BlockNode *n = block_node_backing(node); n; n = block_node_backing(n))
        depth++;
    json_object_set_int_member(info, "backing_file_depth", depth);
    json_object_set_string_member(info, "detect_zeroes", "off");
    json_object_set_int_member(info, "write_threshold", (gint64)block_node_threshold(node));
    vm_limits_show(node, id, info);
    json_object_set_boolean_member(cache, "writeback", write_cache);
    json_object_set_boolean_member(cache, "direct", block_node_direct(node));
    json_object_set_boolean_member(cache, "no-flush", block_node_no_flush(node));
    json_object_set_object_member(info, "cache", cache);
    json_object_set_object_member(info, "image", device_image(node));
    return info;
}

JsonNode *
qmp_query_block(QmpSession *session, JsonObject *args, GError **err)
{
    static const char *const statuses[] = { "ok", "failed", "nospace" };
    GPtrArray *devices = qmp_session_vm(session)->machine->devices;
    JsonArray *list = json_array_new();

    (void)args;
    (void)err;
    for (guint i = 0; i < devices->len; i++) {
        Device *dev = g_ptr_array_index(devices, i);
        Drive *drive = drive_of(dev);
        JsonObject *disk;

        if (!drive)
            continue;
        disk = json_object_new();
        json_object_set_string_member(disk, "device", "");
        json_object_set_string_member(disk, "qdev", dev->id ? dev->id : dev->path);
        json_object_set_string_member(disk, "type", "unknown");
        json_object_set_boolean_member(disk, "removable", drive->removable);
        json_object_set_boolean_member(disk, "locked", g_atomic_int_get(&drive->locked));
        if (drive->removable)
            json_object_set_boolean_member(disk, "tray_open", g_atomic_int_get(&drive->tray_open));
        json_object_set_string_member(disk, "io-status",
                                      statuses[g_atomic_int_get(&drive->status)]);
        if (drive_has_medium(drive))
            json_object_set_object_member(
                disk, "inserted",
                device_inserted(drive->image.object, dev->id, drive_writeback(drive)));
        json_array_add_object_element(list, disk);
    }
    return qmp_node_array(list);
}

static JsonObject *
device_stats(const DriveStats *s, const BlockNode *node)
{
    static const struct {
        DriveKind kind;
        const char *bytes, *operations, *time, *failed, *merged, *invalid;
    } rows[] = {
        { DRIVE_READ, "rd_bytes", "rd_operations", "rd_total_time_ns", "failed_rd_operations",
          "rd_merged", "invalid_rd_operations" },
        { DRIVE_WRITE, "wr_bytes", "wr_operations", "wr_total_time_ns", "failed_wr_operations",
          "wr_merged", "invalid_wr_operations" },
        { DRIVE_UNMAP, "unmap_bytes", "unmap_operations", "unmap_total_time_ns",
          "failed_unmap_operations", "unmap_merged", "invalid_unmap_operations" },
        { DRIVE_FLUSH, NULL, "flush_operations", "flush_total_time_ns", "failed_flush_operations",
          NULL, "invalid_flush_operations" },
    };
    JsonObject *stats = json_object_new();

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].bytes)
            json_object_set_int_member(stats, rows[i].bytes, s->kind[rows[i].kind].bytes);
        if (rows[i].merged)
            json_object_set_int_member(stats, rows[i].merged, 0);
        json_object_set_int_member(stats, rows[i].operations, s->kind[rows[i].kind].operations);
        json_object_set_int_member(stats, rows[i].time, s->kind[rows[i].kind].time_ns);
        json_object_set_int_member(stats, rows[i].failed, s->kind[rows[i].kind].failed);
        json_object_set_int_member(stats, rows[i].invalid, 0);
    }
    json_object_set_int_member(stats, "wr_highest_offset",
                               node ? (gint64)block_node_written_end(node) : 0);
    json_object_set_boolean_member(stats, "account_invalid", TRUE);
    json_object_set_boolean_member(stats, "account_failed", TRUE);
    json_object_set_array_member(stats, "timed_stats", json_array_new());
    return stats;
}

/* How far the file of @node was written, as BlockStats has it: of what the format lies on
 * ("parent"), and in the same way of each image behind it. */
static void
device_written(JsonObject *object, const BlockNode *node)
{
    JsonObject *parent = json_object_new(), *stats = json_object_new();
    const BlockNode *backing = block_node_backing(node), *file = node;

    while (block_node_file(file))
        file = block_node_file(file);
    json_object_set_int_member(stats, "wr_highest_offset", (gint64)block_node_written_end(file));
    json_object_set_object_member(parent, "stats", stats);
    json_object_set_object_member(object, "parent", parent);
    if (backing) {
        JsonObject *behind = json_object_new();

        json_object_set_string_member(behind, "node-name", block_node_name(backing));
        device_written(behind, backing);
        json_object_set_object_member(object, "backing", behind);
    }
}

JsonNode *
qmp_query_blockstats(QmpSession *session, JsonObject *args, GError **err)
{
    GPtrArray *devices = qmp_session_vm(session)->machine->devices;
    JsonArray *list = json_array_new();

    (void)args;
    (void)err;
    for (guint i = 0; i < devices->len; i++) {
        Device *dev = g_ptr_array_index(devices, i);
        Drive *drive = drive_of(dev);
        DriveStats stats;
        BlockNode *node;
        JsonObject *disk;

        if (!drive)
            continue;
        node = drive_has_medium(drive) ? drive->image.object : NULL;
        drive_stats(drive, &stats);
        disk = json_object_new();
        json_object_set_string_member(disk, "device", "");
        json_object_set_string_member(disk, "qdev", dev->id ? dev->id : dev->path);
        json_object_set_object_member(disk, "stats", device_stats(&stats, node));
        if (node) {
            json_object_set_string_member(disk, "node-name", block_node_name(node));
            device_written(disk, node);
        }
        json_array_add_object_element(list, disk);
    }
    return qmp_node_array(list);
}

static void
device_list_node(const char *id, void *object, void *opaque)
{
    (void)id;
    json_array_add_object_element(opaque, device_inserted(object, NULL, true));
}

JsonNode *
qmp_query_named_block_nodes(QmpSession *session, JsonObject *args, GError **err)
{
    JsonArray *list = json_array_new();

    (void)args;
    (void)err;
    machine_object_visit(qmp_session_vm(session)->machine, OBJECT_BLOCK_NODE, device_list_node,
                         list);
    return qmp_node_array(list);
}

/* ---- images ---- */

static void
threshold_reached(void *opaque, BlockNode *node, uint64_t bytes, uint64_t excess)
{
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "node-name", block_node_name(node));
    json_object_set_int_member(data, "amount-exceeded", (gint64)excess);
    json_object_set_int_member(data, "write-threshold", (gint64)bytes);
    vm_emit(opaque, "BLOCK_WRITE_THRESHOLD", data);
}

JsonNode *
qmp_block_set_write_threshold(QmpSession *session, JsonObject *args, GError **err)
{
    Vm *vm = qmp_session_vm(session);
    uint64_t bytes = 0;
    BlockNode *node = vm_block_node(vm, json_object_get_string_member(args, "node-name"), err);

    if (node && keyval_uint("block-set-write-threshold", args, "write-threshold", 0, INT64_MAX,
                            &bytes, err))
        block_node_set_threshold(node, bytes, threshold_reached, vm, err);
    return NULL;
}

JsonNode *
qmp_blockdev_add(QmpSession *session, JsonObject *args, GError **err)
{
    vm_add_blockdev(qmp_session_vm(session), args, err);
    return NULL;
}

JsonNode *
qmp_blockdev_del(QmpSession *session, JsonObject *args, GError **err)
{
    machine_object_remove(qmp_session_vm(session)->machine, OBJECT_BLOCK_NODE,
                          json_object_get_string_member(args, "node-name"), err);
    return NULL;
}

/* ---- trays ---- */

/* The drive that "id" (a device) or "device" (the id of a -drive, which its device has too) names.
 */
static Drive *
device_drive(QmpSession *session, JsonObject *args, GError **err)
{
    const char *id =
        keyval_text(args, "id") ? keyval_text(args, "id") : keyval_text(args, "device");
    Machine *machine = qmp_session_vm(session)->machine;
    Device *dev;

    if (!id) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'id' is missing");
        return NULL;
    }
    dev = machine_device_find(machine, id);
    for (guint i = 0; !dev && i < machine->devices->len; i++) {
        Device *other = g_ptr_array_index(machine->devices, i);
        Drive *drive = drive_of(other);

        if (drive && (!g_strcmp0(drive->image.id, id) || !strcmp(other->path, id)))
            dev = other;
    }
    if (dev && drive_of(dev))
        return drive_of(dev);
    kiln_error_set(err, dev ? VIR_ERR_INVALID_ARG : VIR_ERR_DEVICE_MISSING,
                   dev ? "Device '%s' is no disk" : "Device '%s' not found", id);
    return NULL;
}

static bool
device_flag(JsonObject *args, const char *name)
{
    return json_object_has_member(args, name) && json_object_get_boolean_member(args, name);
}

JsonNode *
qmp_blockdev_open_tray(QmpSession *session, JsonObject *args, GError **err)
{
    Drive *drive = device_drive(session, args, err);
    g_autoptr(GError) local = NULL;
    bool asked = false;

    /* a guest that was asked opens the tray by itself, and the event tells of it */
    if (drive && !drive_move_tray(drive, true, device_flag(args, "force"), &asked, &local) &&
        !asked)
        g_propagate_error(err, g_steal_pointer(&local));
    return NULL;
}

JsonNode *
qmp_blockdev_close_tray(QmpSession *session, JsonObject *args, GError **err)
{
    Drive *drive = device_drive(session, args, err);

    if (drive)
        drive_move_tray(drive, false, false, NULL, err);
    return NULL;
}

JsonNode *
qmp_blockdev_remove_medium(QmpSession *session, JsonObject *args, GError **err)
{
    Drive *drive = device_drive(session, args, err);

    if (drive)
        drive_remove_medium(drive, err);
    return NULL;
}

JsonNode *
qmp_blockdev_insert_medium(QmpSession *session, JsonObject *args, GError **err)
{
    Drive *drive = device_drive(session, args, err);

    if (drive)
        drive_insert_medium(drive, json_object_get_string_member(args, "node-name"), err);
    return NULL;
}

JsonNode *
qmp_eject(QmpSession *session, JsonObject *args, GError **err)
{
    Drive *drive = device_drive(session, args, err);

    if (drive && drive_move_tray(drive, true, device_flag(args, "force"), NULL, err))
        drive_remove_medium(drive, err);
    return NULL;
}

/* Opens @filename under a name of its own, swaps it in, and lets go of what was swapped out if this
 * command had put it there. */
JsonNode *
qmp_blockdev_change_medium(QmpSession *session, JsonObject *args, GError **err)
{
    Vm *vm = qmp_session_vm(session);
    Drive *drive = device_drive(session, args, err);
    const char *filename = json_object_get_string_member(args, "filename");
    const char *mode = keyval_text(args, "read-only-mode");
    const char *format = keyval_text(args, "format") ? keyval_text(args, "format") : "raw";
    g_autofree char *node = NULL, *old = NULL;

    if (!drive)
        return NULL;
    if (mode && !strcmp(mode, "read-write")) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "read-only-mode '%s': the drive can only read", mode);
        return NULL;
    }
    for (unsigned i = 0; !node || machine_object_find(vm->machine, OBJECT_BLOCK_NODE, node); i++) {
        g_free(node);
        node = g_strdup_printf("#medium%u", i);
    }
    old = g_strdup(drive->image.id);
    if (!drive_move_tray(drive, true, device_flag(args, "force"), NULL, err) ||
        !vm_add_image(vm, node, format, filename, err))
        return NULL;
    if (!drive_remove_medium(drive, err) || !drive_insert_medium(drive, node, err)) {
        machine_object_remove(vm->machine, OBJECT_BLOCK_NODE, node, NULL);
        return NULL;
    }
    if (old && g_str_has_prefix(old, "#medium"))
        machine_object_remove(vm->machine, OBJECT_BLOCK_NODE, old, NULL);
    drive_move_tray(drive, false, false, NULL, err);
    return NULL;
}
