/* network.c - the calls that find, define, start, change and read one network.
 *
 * virNetworkUpdate: command and section come in the order of the public API, which is what a client
 * sends that was told of feature 16 (VIR_DRV_FEATURE_NETWORK_UPDATE_HAS_CORRECT_ORDER); Kiln always
 * says it has it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "network/network.h"

/* Fills the result with @network and lets go of it; false for NULL. */
static bool
reply_network(Network *network, NetworkRet *ret)
{
    if (!network)
        return false;
    wire_network_set(&ret->net, network_name(network), network_uuid(network));
    network_unref(network);
    return true;
}

bool
call_network_lookup_by_name(Call *call, const NameArgs *args, NetworkRet *ret, GError **err)
{
    return reply_network(network_manager_lookup_name(call->services->networks, args->name, err),
                         ret);
}

bool
call_network_lookup_by_uuid(Call *call, const UuidArgs *args, NetworkRet *ret, GError **err)
{
    return reply_network(
        network_manager_lookup_uuid(call->services->networks, (const uint8_t *)args->uuid, err),
        ret);
}

bool
call_network_define_xml_flags(Call *call, const XmlFlagsArgs *args, NetworkRet *ret, GError **err)
{
    return call_check_flags(args->flags, VIR_NETWORK_DEFINE_VALIDATE, "virNetworkDefineXMLFlags",
                            err) &&
           reply_network(
               network_manager_define(call->services->networks, args->xml, args->flags, err), ret);
}

bool
call_network_define_xml(Call *call, const XmlArgs *args, NetworkRet *ret, GError **err)
{
    return reply_network(network_manager_define(call->services->networks, args->xml, 0, err), ret);
}

bool
call_network_create_xml_flags(Call *call, const XmlFlagsArgs *args, NetworkRet *ret, GError **err)
{
    return call_check_flags(args->flags, VIR_NETWORK_CREATE_VALIDATE, "virNetworkCreateXMLFlags",
                            err) &&
           reply_network(
               network_manager_create(call->services->networks, args->xml, args->flags, err), ret);
}

bool
call_network_create_xml(Call *call, const XmlArgs *args, NetworkRet *ret, GError **err)
{
    return reply_network(network_manager_create(call->services->networks, args->xml, 0, err), ret);
}

bool
call_network_create(Call *call, const NetworkArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return network_start(call->network, err);
}

bool
call_network_destroy(Call *call, const NetworkArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return network_destroy(call->network, err);
}

bool
call_network_undefine(Call *call, const NetworkArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return network_undefine(call->network, err);
}

bool
call_network_set_autostart(Call *call, const NetworkSetAutostartArgs *args, WireVoid *ret,
                           GError **err)
{
    (void)ret;
    return network_set_autostart(call->network, args->autostart != 0, err);
}

bool
call_network_get_autostart(Call *call, const NetworkArgs *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = network_autostart(call->network);
    return true;
}

bool
call_network_is_active(Call *call, const NetworkArgs *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = network_is_active(call->network);
    return true;
}

bool
call_network_is_persistent(Call *call, const NetworkArgs *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = network_is_persistent(call->network);
    return true;
}

bool
call_network_get_xml_desc(Call *call, const NetworkFlagsArgs *args, StringRet *ret, GError **err)
{
    ret->value = network_xml(call->network, args->flags, err);
    return ret->value != NULL;
}

bool
call_network_get_bridge_name(Call *call, const NetworkArgs *args, StringRet *ret, GError **err)
{
    (void)args;
    ret->value = network_bridge_name(call->network, err);
    return ret->value != NULL;
}

bool
call_network_update(Call *call, const NetworkUpdateArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return network_update(call->network, args->command, args->section, args->parent_index,
                          args->xml, args->flags, err);
}
