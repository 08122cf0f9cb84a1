/* interface.c - the calls about the host's network interfaces, which change nothing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/node/interfaces.h"

/* Takes @interface; false for NULL. */
static bool
reply_interface(NodeInterface *interface, InterfaceRet *ret)
{
    if (!interface)
        return false;
    ret->iface.name = g_steal_pointer(&interface->name);
    ret->iface.mac = g_steal_pointer(&interface->mac);
    node_interface_free(interface);
    return true;
}

static bool
count(Call *call, bool active, IntRet *ret)
{
    g_autoptr(GPtrArray) all = node_interfaces(call->services->node, active, !active);

    ret->value = (int)all->len;
    return true;
}

static bool
list_names(Call *call, bool active, int max, NamesRet *ret, GError **err)
{
    g_autoptr(GPtrArray) all = NULL;
    GPtrArray *names;

    if (max < 0 || max > WIRE_OBJECTS_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "too many names asked for: %d, limit is %d", max,
                              WIRE_OBJECTS_MAX);
    all = node_interfaces(call->services->node, active, !active);
    names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < all->len; i++)
        g_ptr_array_add(names, g_strdup(((NodeInterface *)all->pdata[i])->name));
    wire_names_steal(names, (guint)max, &ret->names.names_len, &ret->names.names_val);
    return true;
}

bool
call_connect_num_of_interfaces(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    return count(call, true, ret);
}

bool
call_connect_num_of_defined_interfaces(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    return count(call, false, ret);
}

bool
call_connect_list_interfaces(Call *call, const MaxArgs *args, NamesRet *ret, GError **err)
{
    return list_names(call, true, args->max, ret, err);
}

bool
call_connect_list_defined_interfaces(Call *call, const MaxArgs *args, NamesRet *ret, GError **err)
{
    return list_names(call, false, args->max, ret, err);
}

bool
call_connect_list_all_interfaces(Call *call, const ListArgs *args, InterfaceListRet *ret,
                                 GError **err)
{
    unsigned active = VIR_CONNECT_LIST_INTERFACES_ACTIVE;
    unsigned inactive = VIR_CONNECT_LIST_INTERFACES_INACTIVE;
    g_autoptr(GPtrArray) all = NULL;
    bool any = !(args->flags & (active | inactive));

    if (!call_check_flags(args->flags, active | inactive, "virConnectListAllInterfaces", err))
        return false;
    all = node_interfaces(call->services->node, any || args->flags & active,
                          any || args->flags & inactive);
    if (all->len > WIRE_INTERFACES_HOST_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "Too many interfaces '%u' for limit '%d'", all->len,
                              WIRE_INTERFACES_HOST_MAX);
    ret->count = all->len;
    if (!args->need_results)
        return true;
    ret->ifaces.ifaces_val = g_new0(WireHostInterface, all->len);
    ret->ifaces.ifaces_len = all->len;
    for (guint i = 0; i < all->len; i++) {
        NodeInterface *interface = all->pdata[i];

        ret->ifaces.ifaces_val[i].name = g_steal_pointer(&interface->name);
        ret->ifaces.ifaces_val[i].mac = g_steal_pointer(&interface->mac);
    }
    return true;
}

bool
call_interface_lookup_by_name(Call *call, const NameArgs *args, InterfaceRet *ret, GError **err)
{
    return reply_interface(node_interface_find(call->services->node, args->name, err), ret);
}

bool
call_interface_lookup_by_mac_string(Call *call, const NameArgs *args, InterfaceRet *ret,
                                    GError **err)
{
    return reply_interface(node_interface_find_mac(call->services->node, args->name, err), ret);
}

bool
call_interface_get_xml_desc(Call *call, const InterfaceFlagsArgs *args, StringRet *ret,
                            GError **err)
{
    /* what would be brought up is not known: it is as it is */
    if (!call_check_flags(args->flags, VIR_INTERFACE_XML_INACTIVE, "virInterfaceGetXMLDesc", err))
        return false;
    ret->value = node_interface_xml(call->services->node, args->iface.name, err);
    return ret->value != NULL;
}

bool
call_interface_is_active(Call *call, const InterfaceArgs *args, IntRet *ret, GError **err)
{
    g_autoptr(NodeInterface) interface =
        node_interface_find(call->services->node, args->iface.name, err);

    ret->value = interface && interface->active;
    return interface != NULL;
}
