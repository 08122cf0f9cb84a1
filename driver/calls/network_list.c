/* network_list.c - the calls that list networks, leases and ports.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/calls/handlers.h"
#include "network/network.h"
#include "network/ports.h"

enum {
    LIST_FLAGS = VIR_CONNECT_LIST_NETWORKS_ACTIVE | VIR_CONNECT_LIST_NETWORKS_INACTIVE |
                 VIR_CONNECT_LIST_NETWORKS_PERSISTENT | VIR_CONNECT_LIST_NETWORKS_TRANSIENT |
                 VIR_CONNECT_LIST_NETWORKS_AUTOSTART | VIR_CONNECT_LIST_NETWORKS_NO_AUTOSTART,
};

bool
call_connect_list_all_networks(Call *call, const ListArgs *args, NetworkListRet *ret, GError **err)
{
    g_autoptr(GPtrArray) list = NULL;

    if (!call_check_flags(args->flags, LIST_FLAGS, "virConnectListAllNetworks", err))
        return false;
    list = network_manager_list(call->services->networks, args->flags);
    if (list->len > WIRE_OBJECTS_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "Too many networks '%u' for limit '%d'", list->len,
                              WIRE_OBJECTS_MAX);
    ret->count = list->len;
    if (!args->need_results)
        return true;
    ret->nets.nets_val = g_new0(WireNetwork, list->len);
    ret->nets.nets_len = list->len;
    for (guint i = 0; i < list->len; i++) {
        const Network *network = g_ptr_array_index(list, i);

        wire_network_set(&ret->nets.nets_val[i], network_name(network), network_uuid(network));
    }
    return true;
}

static bool
list_names(Call *call, unsigned flags, int max, NamesRet *ret, GError **err)
{
    g_autoptr(GPtrArray) list = NULL;
    GPtrArray *names;

    if (max < 0 || max > WIRE_OBJECTS_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "too many names asked for: %d, limit is %d", max,
                              WIRE_OBJECTS_MAX);
    list = network_manager_list(call->services->networks, flags);
    names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < list->len; i++)
        g_ptr_array_add(names, g_strdup(network_name(g_ptr_array_index(list, i))));
    wire_names_steal(names, (guint)max, &ret->names.names_len, &ret->names.names_val);
    return true;
}

static int
count(Call *call, unsigned flags)
{
    g_autoptr(GPtrArray) list = network_manager_list(call->services->networks, flags);

    return (int)list->len;
}

bool
call_connect_list_networks(Call *call, const MaxArgs *args, NamesRet *ret, GError **err)
{
    return list_names(call, VIR_CONNECT_LIST_NETWORKS_ACTIVE, args->max, ret, err);
}

bool
call_connect_list_defined_networks(Call *call, const MaxArgs *args, NamesRet *ret, GError **err)
{
    return list_names(call, VIR_CONNECT_LIST_NETWORKS_INACTIVE, args->max, ret, err);
}

bool
call_connect_num_of_networks(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = count(call, VIR_CONNECT_LIST_NETWORKS_ACTIVE);
    return true;
}

bool
call_connect_num_of_defined_networks(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = count(call, VIR_CONNECT_LIST_NETWORKS_INACTIVE);
    return true;
}

bool
call_network_get_dhcp_leases(Call *call, const NetworkGetDhcpLeasesArgs *args,
                             NetworkGetDhcpLeasesRet *ret, GError **err)
{
    g_autoptr(GPtrArray) leases = NULL;

    leases = network_leases(call->network, wire_opt_text(args->mac), err);
    if (!leases)
        return false;
    if (leases->len > WIRE_LEASES_MAX)
        return kiln_error_set(err, VIR_ERR_RPC,
                              "Number of leases is %u, which exceeds max limit: %d", leases->len,
                              WIRE_LEASES_MAX);
    ret->count = leases->len;
    if (!args->need_results)
        return true;
    ret->leases.leases_val = g_new0(WireLease, leases->len);
    ret->leases.leases_len = leases->len;
    for (guint i = 0; i < leases->len; i++) {
        const NetworkLease *from = g_ptr_array_index(leases, i);
        WireLease *to = &ret->leases.leases_val[i];

        to->iface = g_strdup(from->iface);
        to->expiry = from->expiry;
        to->type = from->type;
        to->mac = wire_opt_string(from->mac);
        to->iaid = wire_opt_string(from->iaid);
        to->ip = g_strdup(from->ip);
        to->prefix = from->prefix;
        to->hostname = wire_opt_string(from->hostname);
        to->client_id = wire_opt_string(from->client_id);
    }
    return true;
}

/* ---- ports ---- */

static void
port_set(const Call *call, const uint8_t id[16], WireNetworkPort *wire)
{
    wire_network_set(&wire->net, network_name(call->network), network_uuid(call->network));
    memcpy(wire->uuid, id, sizeof(wire->uuid));
}

bool
call_network_list_all_ports(Call *call, const NetworkListAllPortsArgs *args,
                            NetworkListAllPortsRet *ret, GError **err)
{
    g_autoptr(GArray) ids = NULL;

    ids = network_ports(call->network, err);
    if (!ids)
        return false;
    if (ids->len > WIRE_NETWORK_PORTS_MAX)
        return kiln_error_set(err, VIR_ERR_RPC, "Too many ports '%u' for limit '%d'", ids->len,
                              WIRE_NETWORK_PORTS_MAX);
    ret->count = ids->len;
    if (!args->need_results)
        return true;
    ret->ports.ports_val = g_new0(WireNetworkPort, ids->len);
    ret->ports.ports_len = ids->len;
    for (guint i = 0; i < ids->len; i++)
        port_set(call, g_array_index(ids, NetworkPortId, i).id, &ret->ports.ports_val[i]);
    return true;
}

bool
call_network_port_lookup_by_uuid(Call *call, const NetworkPortLookupArgs *args, NetworkPortRet *ret,
                                 GError **err)
{
    const uint8_t *id = (const uint8_t *)args->uuid;

    if (!network_has_port(call->network, id, err))
        return false;
    port_set(call, id, &ret->port);
    return true;
}

bool
call_network_port_get_xml_desc(Call *call, const NetworkPortFlagsArgs *args, StringRet *ret,
                               GError **err)
{
    ret->value = network_port_xml(call->network, (const uint8_t *)args->port.uuid, err);
    return ret->value != NULL;
}
