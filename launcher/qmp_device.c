/* qmp_device.c - QMP commands about disks, the balloon and network links.
 *
 * Shapes of the answers: QEMU 7.2 qapi/{block,block-core,machine,net,qom}.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/stat.h>

#include "block/block.h"
#include "hw/core/device.h"
#include "hw/virtio/balloon.h"
#include "hw/virtio/blk.h"
#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "net/net.h"
#include "util/error.h"

static JsonObject *
device_image(const BlockNode *node)
{
    JsonObject *image = json_object_new();

    json_object_set_string_member(image, "filename",
                                  block_node_filename(node) ? block_node_filename(node) : "");
    json_object_set_string_member(image, "format", block_node_driver(node));
    json_object_set_int_member(image, "virtual-size", block_node_size(node));
    return image;
}

/* BlockDeviceInfo. */
static JsonObject *
device_inserted(const BlockNode *node, bool write_cache)
{
    static const char *const throttles[] = {
        "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"
    };
    JsonObject *info = json_object_new(), *cache = json_object_new();

    json_object_set_string_member(info, "file",
                                  block_node_filename(node) ? block_node_filename(node) : "");
    json_object_set_string_member(info, "node-name", block_node_name(node));
    json_object_set_string_member(info, "drv", block_node_driver(node));
    json_object_set_boolean_member(info, "ro", block_node_read_only(node));
    json_object_set_boolean_member(info, "encrypted", FALSE);
    json_object_set_int_member(info, "backing_file_depth", 0);
    json_object_set_string_member(info, "detect_zeroes", "off");
    json_object_set_int_member(info, "write_threshold", 0);
    for (size_t i = 0; i < G_N_ELEMENTS(throttles); i++)
        json_object_set_int_member(info, throttles[i], 0);
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
    GPtrArray *devices = qmp_session_vm(session)->machine->devices;
    JsonArray *list = json_array_new();

    (void)args;
    (void)err;
    for (guint i = 0; i < devices->len; i++) {
        Device *dev = g_ptr_array_index(devices, i);
        BlockNode *node = virtio_blk_node(dev);
        JsonObject *disk;

        if (!node)
            continue;
        disk = json_object_new();
        json_object_set_string_member(disk, "device", "");
        json_object_set_string_member(disk, "qdev", dev->id ? dev->id : dev->path);
        json_object_set_string_member(disk, "type", "unknown");
        json_object_set_boolean_member(disk, "removable", FALSE);
        json_object_set_boolean_member(disk, "locked", FALSE);
        json_object_set_string_member(disk, "io-status", "ok");
        json_object_set_object_member(disk, "inserted",
                                      device_inserted(node, virtio_blk_write_cache(dev)));
        json_array_add_object_element(list, disk);
    }
    return qmp_node_array(list);
}

static JsonObject *
device_stats(const VirtioBlkStats *s)
{
    static const struct {
        VirtioBlkKind kind;
        const char *bytes, *operations, *time, *failed, *merged, *invalid;
    } rows[] = {
        { VIRTIO_BLK_READ, "rd_bytes", "rd_operations", "rd_total_time_ns", "failed_rd_operations",
          "rd_merged", "invalid_rd_operations" },
        { VIRTIO_BLK_WRITE, "wr_bytes", "wr_operations", "wr_total_time_ns", "failed_wr_operations",
          "wr_merged", "invalid_wr_operations" },
        { VIRTIO_BLK_UNMAP, "unmap_bytes", "unmap_operations", "unmap_total_time_ns",
          "failed_unmap_operations", "unmap_merged", "invalid_unmap_operations" },
        { VIRTIO_BLK_FLUSH, NULL, "flush_operations", "flush_total_time_ns",
          "failed_flush_operations", NULL, "invalid_flush_operations" },
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
    json_object_set_int_member(stats, "wr_highest_offset", 0);
    json_object_set_boolean_member(stats, "account_invalid", TRUE);
    json_object_set_boolean_member(stats, "account_failed", TRUE);
    json_object_set_array_member(stats, "timed_stats", json_array_new());
    return stats;
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
        VirtioBlkStats stats;
        JsonObject *disk;

        if (!virtio_blk_stats(dev, &stats))
            continue;
        disk = json_object_new();
        json_object_set_string_member(disk, "device", "");
        json_object_set_string_member(disk, "qdev", dev->id ? dev->id : dev->path);
        json_object_set_string_member(disk, "node-name", block_node_name(virtio_blk_node(dev)));
        json_object_set_object_member(disk, "stats", device_stats(&stats));
        json_array_add_object_element(list, disk);
    }
    return qmp_node_array(list);
}

static void
device_list_node(const char *id, void *object, void *opaque)
{
    (void)id;
    json_array_add_object_element(opaque, device_inserted(object, true));
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

/* ---- balloon ---- */

static Device *
device_balloon(QmpSession *session, GError **err)
{
    Machine *machine = qmp_session_vm(session)->machine;

    for (guint i = 0; i < machine->devices->len; i++) {
        Device *dev = g_ptr_array_index(machine->devices, i);

        if (virtio_balloon_is(dev))
            return dev;
    }
    kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "No balloon device has been activated");
    return NULL;
}

JsonNode *
qmp_query_balloon(QmpSession *session, JsonObject *args, GError **err)
{
    Device *dev = device_balloon(session, err);
    JsonObject *info;

    (void)args;
    if (!dev)
        return NULL;
    info = json_object_new();
    json_object_set_int_member(info, "actual", virtio_balloon_actual(dev));
    return qmp_node_object(info);
}

JsonNode *
qmp_balloon(QmpSession *session, JsonObject *args, GError **err)
{
    Device *dev = device_balloon(session, err);
    int64_t value = json_object_get_int_member(args, "value");

    if (!dev)
        return NULL;
    if (value <= 0)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'value' expects a size");
    else
        virtio_balloon_set_target(dev, value);
    return NULL;
}

/* The device that "/machine/peripheral/ID" or a bare ID names, if it is a balloon. */
static Device *
device_at_path(QmpSession *session, const char *path, GError **err)
{
    const char *prefix = "/machine/peripheral/";
    const char *id = g_str_has_prefix(path, prefix) ? path + strlen(prefix) : path;
    g_auto(GStrv) parts = g_strsplit(id, "/", 2);
    Device *dev = parts[0] ? machine_device_find(qmp_session_vm(session)->machine, parts[0]) : NULL;

    if (dev && virtio_balloon_is(dev))
        return dev;
    kiln_error_set(err, dev ? VIR_ERR_INVALID_ARG : VIR_ERR_DEVICE_MISSING,
                   dev ? "'%s' has no properties to get or set" : "Device '%s' not found", path);
    return NULL;
}

JsonNode *
qmp_qom_get(QmpSession *session, JsonObject *args, GError **err)
{
    const char *property = json_object_get_string_member(args, "property");
    Device *dev = device_at_path(session, json_object_get_string_member(args, "path"), err);
    JsonNode *value;

    if (!dev)
        return NULL;
    if (!strcmp(property, "guest-stats"))
        return qmp_node_object(virtio_balloon_stats(dev));
    if (!strcmp(property, "guest-stats-polling-interval")) {
        value = json_node_new(JSON_NODE_VALUE);
        json_node_set_int(value, virtio_balloon_polling_interval(dev));
        return value;
    }
    kiln_error_set(err, VIR_ERR_INVALID_ARG, "Property '%s.%s' not found", dev->class->name,
                   property);
    return NULL;
}

JsonNode *
qmp_qom_set(QmpSession *session, JsonObject *args, GError **err)
{
    const char *property = json_object_get_string_member(args, "property");
    Device *dev = device_at_path(session, json_object_get_string_member(args, "path"), err);
    uint64_t seconds = 0;

    if (!dev)
        return NULL;
    if (strcmp(property, "guest-stats-polling-interval"))
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Property '%s.%s' cannot be set", dev->class->name,
                       property);
    else if (keyval_uint("qom-set", args, "value", 0, UINT32_MAX, &seconds, err))
        virtio_balloon_set_polling_interval(dev, seconds);
    return NULL;
}

/* ---- links ---- */

/* The back end called @name, or that of the network card called so. */
static NetBackend *
device_netdev(Vm *vm, const char *name)
{
    const Options *o = vm->options;

    for (guint i = 0; i < o->devices->len; i++) {
        JsonObject *device = g_ptr_array_index(o->devices, i);
        const char *netdev = keyval_text(device, "netdev");

        if (netdev && !g_strcmp0(keyval_text(device, "id"), name))
            name = netdev;
    }
    return machine_object_find(vm->machine, OBJECT_NETDEV, name);
}

JsonNode *
qmp_set_link(QmpSession *session, JsonObject *args, GError **err)
{
    const char *name = json_object_get_string_member(args, "name");
    NetBackend *backend = device_netdev(qmp_session_vm(session), name);

    if (backend)
        net_backend_set_link(backend, json_object_get_boolean_member(args, "up"));
    else
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "Device '%s' not found", name);
    return NULL;
}
