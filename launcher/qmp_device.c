/* qmp_device.c - QMP commands about the balloon and network links.
 *
 * Shapes of the answers: QEMU 7.2 qapi/{machine,net,qom}.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/stat.h>

#include "block/pool.h"
#include "hw/core/loop.h"
#include "hw/core/props.h"
#include "hw/virtio/balloon.h"
#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "net/net.h"
#include "util/error.h"
#include "util/ioloop.h"

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

/* The loop that "/objects/ID" names; NULL for other paths, and with @err when there is none. */
static IoLoop *
loop_at_path(QmpSession *session, const char *path, GError **err)
{
    Vm *vm = qmp_session_vm(session);
    const char *id;
    IoLoop *loop;

    if (!g_str_has_prefix(path, "/objects/"))
        return NULL;
    id = path + strlen("/objects/");
    if (!g_strcmp0(id, vm->main_loop_id))
        return machine_io_loop(vm->machine, err);
    loop = *id == '#' ? NULL : machine_object_find(vm->machine, OBJECT_IOTHREAD, id);
    if (!loop)
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "Object '%s' not found", path);
    return loop;
}

static const char *
loop_type(QmpSession *session, IoLoop *loop)
{
    return loop == machine_io_loop(qmp_session_vm(session)->machine, NULL) ? "main-loop"
                                                                           : "iothread";
}

static JsonNode *
loop_get(QmpSession *session, IoLoop *loop, const char *property, GError **err)
{
    const char *type = loop_type(session, loop);
    JsonNode *value;
    unsigned min, max;
    gint64 number;

    block_pool_sizes(loop, &min, &max);
    if (!strcmp(property, "thread-pool-min"))
        number = min;
    else if (!strcmp(property, "thread-pool-max"))
        number = max;
    else if (!strcmp(property, "poll-max-ns") && !strcmp(type, "iothread"))
        number = (gint64)io_loop_busy_poll(loop);
    else {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Property '%s.%s' not found", type, property);
        return NULL;
    }
    value = json_node_new(JSON_NODE_VALUE);
    json_node_set_int(value, number);
    return value;
}

static JsonNode *
loop_set(QmpSession *session, IoLoop *loop, JsonObject *args, GError **err)
{
    const char *property = json_object_get_string_member(args, "property");
    const char *type = loop_type(session, loop);
    uint64_t value = 0;
    unsigned min, max;

    block_pool_sizes(loop, &min, &max);
    if (!strcmp(property, "poll-max-ns") && !strcmp(type, "iothread")) {
        if (keyval_uint("qom-set", args, "value", 0, UINT32_MAX, &value, err))
            io_loop_set_busy_poll(loop, value);
    } else if (!strcmp(property, "thread-pool-min")) {
        if (keyval_uint("qom-set", args, "value", 0, INT_MAX, &value, err))
            block_pool_set_sizes(loop, (unsigned)value, max, err);
    } else if (!strcmp(property, "thread-pool-max")) {
        if (keyval_uint("qom-set", args, "value", 0, INT_MAX, &value, err))
            block_pool_set_sizes(loop, min, (unsigned)value, err);
    } else {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Property '%s.%s' cannot be set", type, property);
    }
    return NULL;
}

JsonNode *
qmp_qom_get(QmpSession *session, JsonObject *args, GError **err)
{
    const char *property = json_object_get_string_member(args, "property");
    const char *path = json_object_get_string_member(args, "path");
    IoLoop *loop = loop_at_path(session, path, err);
    Device *dev = NULL;
    JsonNode *value;

    if (loop)
        return loop_get(session, loop, property, err);
    if (g_str_has_prefix(path, "/objects/") || !(dev = device_at_path(session, path, err)))
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
    const char *path = json_object_get_string_member(args, "path");
    IoLoop *loop = loop_at_path(session, path, err);
    Device *dev = NULL;
    uint64_t seconds = 0;

    if (loop)
        return loop_set(session, loop, args, err);
    if (g_str_has_prefix(path, "/objects/"))
        return NULL;
    dev = device_at_path(session, path, err);
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
device_netdev(Machine *machine, const char *name)
{
    Device *card = machine_device_find(machine, name);
    NetBackend *backend = card ? props_object(card, PROP_NETDEV) : NULL;

    return backend ? backend : machine_object_find(machine, OBJECT_NETDEV, name);
}

JsonNode *
qmp_set_link(QmpSession *session, JsonObject *args, GError **err)
{
    const char *name = json_object_get_string_member(args, "name");
    NetBackend *backend = device_netdev(qmp_session_vm(session)->machine, name);

    if (backend)
        net_backend_set_link(backend, json_object_get_boolean_member(args, "up"));
    else
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "Device '%s' not found", name);
    return NULL;
}
