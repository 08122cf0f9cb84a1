/* nodedev.c - the calls of node devices.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/connection.h"
#include "driver/calls/events_internal.h"
#include "driver/calls/handlers.h"
#include "driver/nodedev/nodedev.h"

enum {
    /* Capabilities of every kind, and the two states. */
    LIST_FLAGS = (VIR_CONNECT_LIST_NODE_DEVICES_CAP_VPD << 1) - 1,
    STATE_FLAGS = VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE,
};

/* Devices with @cap, or all for none; NULL when too many are asked for. */
static GPtrArray *
list_with(Call *call, WireOptString cap, unsigned flags, const char *function, GError **err)
{
    const char *text = wire_opt_text(cap);
    unsigned flag = text ? node_device_cap_flag(text) : 0;

    if (!call_check_flags(flags, 0, function, err))
        return NULL;
    if (text && !flag)
        return g_ptr_array_new_with_free_func(g_free);
    return node_devices_list(call->services->node_devices, flag);
}

bool
call_node_num_of_devices(Call *call, const NodeNumOfDevicesArgs *args, IntRet *ret, GError **err)
{
    g_autoptr(GPtrArray) names =
        list_with(call, args->cap, args->flags, "virNodeNumOfDevices", err);

    if (!names)
        return false;
    ret->value = (int)names->len;
    return true;
}

static bool
check_max(int max, GError **err)
{
    return (max >= 0 && max <= WIRE_NODE_DEVICES_MAX) ||
           kiln_error_set(err, VIR_ERR_RPC, "too many names asked for: %d, limit is %d", max,
                          WIRE_NODE_DEVICES_MAX);
}

bool
call_node_list_devices(Call *call, const NodeListDevicesArgs *args, NodeDeviceNamesRet *ret,
                       GError **err)
{
    GPtrArray *names = check_max(args->max, err)
                           ? list_with(call, args->cap, args->flags, "virNodeListDevices", err)
                           : NULL;

    if (!names)
        return false;
    wire_names_steal(names, (guint)args->max, &ret->names.names_len, &ret->names.names_val);
    return true;
}

bool
call_connect_list_all_node_devices(Call *call, const ListArgs *args, NodeDeviceListRet *ret,
                                   GError **err)
{
    g_autoptr(GPtrArray) names = NULL;

    if (!call_check_flags(args->flags,
                          LIST_FLAGS | STATE_FLAGS | VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE,
                          "virConnectListAllNodeDevices", err))
        return false;
    names = node_devices_list(call->services->node_devices, args->flags);
    if (names->len > WIRE_NODE_DEVICES_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "Too many node_devices '%u' for limit '%d'",
                              names->len, WIRE_NODE_DEVICES_MAX);
    ret->count = names->len;
    if (!args->need_results)
        return true;
    ret->devs.devs_val = g_new0(WireNodeDevice, names->len);
    ret->devs.devs_len = names->len;
    for (guint i = 0; i < names->len; i++)
        ret->devs.devs_val[i].name = g_strdup(names->pdata[i]);
    return true;
}

bool
call_node_device_lookup_by_name(Call *call, const NodeDeviceArgs *args, NodeDeviceRet *ret,
                                GError **err)
{
    if (!node_devices_has(call->services->node_devices, args->dev.name, err))
        return false;
    ret->dev.name = g_strdup(args->dev.name);
    return true;
}

bool
call_node_device_lookup_scsi_host_by_wwn(Call *call, const NodeDeviceLookupByWwnArgs *args,
                                         NodeDeviceRet *ret, GError **err)
{
    if (!call_check_flags(args->flags, 0, "virNodeDeviceLookupSCSIHostByWWN", err))
        return false;
    ret->dev.name =
        node_devices_find_wwn(call->services->node_devices, args->wwnn, args->wwpn, err);
    return ret->dev.name;
}

bool
call_node_device_get_xml_desc(Call *call, const NodeDeviceFlagsArgs *args, StringRet *ret,
                              GError **err)
{
    if (!call_check_flags(args->flags, 0, "virNodeDeviceGetXMLDesc", err))
        return false;
    ret->value = node_device_xml(call->services->node_devices, args->dev.name, err);
    return ret->value;
}

bool
call_node_device_get_parent(Call *call, const NodeDeviceArgs *args, OptStringRet *ret, GError **err)
{
    g_autofree char *parent = NULL;

    if (!node_device_parent(call->services->node_devices, args->dev.name, &parent, err))
        return false;
    ret->value = wire_opt_string(parent);
    return true;
}

bool
call_node_device_num_of_caps(Call *call, const NodeDeviceArgs *args, IntRet *ret, GError **err)
{
    g_autoptr(GPtrArray) caps = node_device_caps(call->services->node_devices, args->dev.name, err);

    if (!caps)
        return false;
    ret->value = (int)caps->len;
    return true;
}

bool
call_node_device_list_caps(Call *call, const NodeDeviceListCapsArgs *args, NodeDeviceNamesRet *ret,
                           GError **err)
{
    GPtrArray *caps = check_max(args->max, err)
                          ? node_device_caps(call->services->node_devices, args->dev.name, err)
                          : NULL;

    if (!caps)
        return false;
    wire_names_steal(caps, (guint)args->max, &ret->names.names_len, &ret->names.names_val);
    return true;
}

/* All devices here are the host's own: there, and there again after it starts. */
static bool
reply_yes(Call *call, const NodeDeviceArgs *args, IntRet *ret, GError **err)
{
    ret->value = 1;
    return node_devices_has(call->services->node_devices, args->dev.name, err);
}

bool
call_node_device_get_autostart(Call *call, const NodeDeviceArgs *args, IntRet *ret, GError **err)
{
    return reply_yes(call, args, ret, err);
}

bool
call_node_device_is_persistent(Call *call, const NodeDeviceArgs *args, IntRet *ret, GError **err)
{
    return reply_yes(call, args, ret, err);
}

bool
call_node_device_is_active(Call *call, const NodeDeviceArgs *args, IntRet *ret, GError **err)
{
    return reply_yes(call, args, ret, err);
}

/* ---- for guests ---- */

bool
call_node_device_dettach(Call *call, const NodeDeviceArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return node_device_detach(call->services->node_devices, args->dev.name, NULL, err);
}

bool
call_node_device_detach_flags(Call *call, const NodeDeviceDetachArgs *args, WireVoid *ret,
                              GError **err)
{
    (void)ret;
    return call_check_flags(args->flags, 0, "virNodeDeviceDetachFlags", err) &&
           node_device_detach(call->services->node_devices, args->dev.name,
                              wire_opt_text(args->driver), err);
}

bool
call_node_device_re_attach(Call *call, const NodeDeviceArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return node_device_reattach(call->services->node_devices, args->dev.name, err);
}

bool
call_node_device_reset(Call *call, const NodeDeviceArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return node_device_reset(call->services->node_devices, args->dev.name, err);
}

/* ---- events ---- */

bool
call_connect_node_device_event_register_any(Call *call,
                                            const ConnectNodeDeviceEventRegisterAnyArgs *args,
                                            CallbackRet *ret, GError **err)
{
    uint8_t key[16];

    if (args->dev)
        event_hub_key(args->dev->name, key);
    ret->id = event_hub_register(call->services->events, call->connection->client,
                                 EVENT_CLASS_NODE_DEVICE, args->event, args->dev ? key : NULL, err);
    if (ret->id < 0)
        return false;
    node_devices_watch(call->services->node_devices);
    return true;
}

bool
call_connect_node_device_event_deregister_any(Call *call, const CallbackArgs *args, WireVoid *ret,
                                              GError **err)
{
    (void)ret;
    return event_hub_deregister(call->services->events, call->connection->client,
                                EVENT_CLASS_NODE_DEVICE, args->id, err);
}
