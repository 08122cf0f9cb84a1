/* bringup.c - puts a network on the host and takes it off again: bridge, addresses, routes,
 * forwarding, rules.
 *
 * Not applied today, and refused by name: virtualport, vlan, zone,
 * macTableManager='libvirt', the forward mode hostdev and pools of virtual functions.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/private.h"

#include "network/netlink.h"
#include "network/nft.h"
#include "network/ruleset.h"
#include "network/subnet.h"
#include "network/sysctl.h"
#include "network/tc.h"
#include "util/error.h"
#include "xml/xmltab.h"

#include <string.h>
#include <sys/socket.h>

bool
network_check_applied(const NetworkDef *def, GError **err)
{
    NetworkForwardMode mode = network_def_mode(def);
    const char *what = NULL;

    if (mode == NETWORK_FORWARD_HOSTDEV)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "network '%s': <forward mode='%s'> is "
                              "not offered; use mode 'bridge' with a host bridge or device",
                              def->name, network_forward_modes[mode]);
    if (network_def_is_direct(def) && !def->forward->pf && def->forward->interfaces->len == 0)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "network '%s' uses a direct mode, but has no forward dev and no "
                              "interface pool",
                              def->name);
    if (network_def_is_direct(def) && def->forward->pf)
        what = "<pf>";
    else if (network_def_is_direct(def) && def->trust_rx_filters == TRISTATE_ON)
        what = "trustGuestRxFilters='yes'";
    else if (def->bandwidth && !network_def_owns_bridge(def))
        what = "<bandwidth> of a network without a bridge of its own";
    else if (def->virtualport)
        what = "<virtualport>";
    else if (def->vlan)
        what = "<vlan>";
    else if (def->bridge && def->bridge->zone)
        what = "<bridge zone=''>";
    else if (def->bridge && def->bridge->mac_table == NETWORK_MAC_TABLE_LIBVIRT)
        what = "<bridge macTableManager='libvirt'>";
    if (what)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "network '%s': %s is not offered; "
                              "remove it to start the network",
                              def->name, what);
    return true;
}

static bool
has_family(const NetworkDef *def, int family)
{
    for (guint i = 0; i < def->ips->len; i++) {
        IpAddr ip;

        network_ip_prefix(g_ptr_array_index(def->ips, i), &ip);
        if (ip.family == family)
            return true;
    }
    return false;
}

static bool
check_host(Netlink *nl, const NetworkDef *live, GError **err)
{
    const char *bridge = live->bridge->name;
    g_autoptr(HostView) view = NULL;
    NetlinkLink link;
    GError *inner = NULL;

    if (netlink_link_find(nl, bridge, &link, &inner))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "bridge name '%s' already in use: the host "
                              "has an interface of that name",
                              bridge);
    if (inner) {
        g_propagate_error(err, inner);
        return false;
    }
    view = host_view_read(nl, err);
    if (!view || !subnet_check(view, live, bridge, err))
        return false;
    return !live->forward || !has_family(live, AF_INET6) ||
           subnet_check_ra(view, sysctl_accept_ra, err);
}

static bool
add_addresses(Netlink *nl, const NetworkDef *live, GError **err)
{
    for (guint i = 0; i < live->ips->len; i++) {
        IpAddr ip;
        unsigned prefix = network_ip_prefix(g_ptr_array_index(live->ips, i), &ip);

        if (!netlink_address_add(nl, live->bridge->name, &ip, prefix, err))
            return false;
    }
    return true;
}

static bool
add_routes(Netlink *nl, const NetworkDef *live, GError **err)
{
    for (guint i = 0; i < live->routes->len; i++) {
        const NetworkRoute *route = g_ptr_array_index(live->routes, i);
        IpAddr net, gateway;
        unsigned prefix = network_route_prefix(route, &net);
        uint64_t metric = route->metric == XML_UNSET ? 0 : route->metric;

        if (!ip_parse(route->gateway, &gateway) ||
            !netlink_route_add(nl, live->bridge->name, &net, prefix, &gateway, metric, err))
            return false;
    }
    return true;
}

NetworkLimit
network_limit_of(const NetworkRate *rate)
{
    NetworkLimit limit = { 0 };

    if (!rate)
        return limit;
    limit.average = rate->average == XML_UNSET ? 0 : rate->average;
    limit.peak = rate->peak == XML_UNSET ? 0 : rate->peak;
    limit.burst = rate->burst == XML_UNSET ? 0 : rate->burst;
    limit.floor = rate->floor == XML_UNSET ? 0 : rate->floor;
    return limit;
}

/* What guests receive leaves the bridge. Traffic between them does not pass here. */
static bool
limit_bridge(Netlink *nl, const NetworkDef *live, GError **err)
{
    NetworkLimit in, out;

    if (!live->bandwidth)
        return true;
    in = network_limit_of(live->bandwidth->inbound);
    out = network_limit_of(live->bandwidth->outbound);
    return tc_limit_sent(nl, live->bridge->name, &in, err) &&
           tc_limit_received(nl, live->bridge->name, &out, err);
}

/* All but the bridge itself; what is there already stays as it is. */
static bool
set_up_bridge(Netlink *nl, const NetworkDef *live, GError **err)
{
    const char *bridge = live->bridge->name;
    bool v4 = has_family(live, AF_INET), v6 = has_family(live, AF_INET6);

    /* Rules first: not a packet passes the bridge without them. */
    return network_apply_rules(live, err) && sysctl_set_bridge_ipv6(bridge, v6, err) &&
           add_addresses(nl, live, err) && netlink_link_set_up(nl, bridge, true, err) &&
           limit_bridge(nl, live, err) && add_routes(nl, live, err) &&
           (!live->forward || sysctl_enable_forwarding(v4, v6, err));
}

static bool
make_bridge(Netlink *nl, const NetworkDef *live, GError **err)
{
    const NetworkBridge *bridge = live->bridge;
    uint64_t mtu = live->mtu == XML_UNSET ? 0 : live->mtu;
    uint8_t mac[6];

    if (!xml_mac_parse(live->mac, mac))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "bad MAC '%s'", live->mac);
    return netlink_bridge_add(nl, bridge->name, mac, bridge->stp == TRISTATE_ON, bridge->delay, mtu,
                              err) &&
           set_up_bridge(nl, live, err);
}

bool
network_check_free(const NetworkDef *live, GError **err)
{
    g_autoptr(Netlink) nl = NULL;

    if (!network_def_owns_bridge(live))
        return true;
    nl = netlink_open(err);
    return nl && check_host(nl, live, err);
}

bool
network_bring_up(const NetworkDef *live, GError **err)
{
    g_autoptr(Netlink) nl = NULL;

    if (!network_def_owns_bridge(live))
        return true;
    nl = netlink_open(err);
    if (!nl)
        return false;
    if (make_bridge(nl, live, err))
        return true;
    network_take_down(live);
    return false;
}

/* The bridge by the network's name, if it is the one that was made for it. */
static bool
find_own_bridge(Netlink *nl, const NetworkDef *live, NetlinkLink *ret)
{
    uint8_t mac[6];

    return netlink_link_find(nl, live->bridge->name, ret, NULL) &&
           strcmp(ret->kind, "bridge") == 0 && xml_mac_parse(live->mac, mac) &&
           memcmp(mac, ret->mac, sizeof(mac)) == 0;
}

bool
network_is_there(const NetworkDef *live)
{
    g_autoptr(Netlink) nl = NULL;
    NetlinkLink link;

    if (!network_def_owns_bridge(live))
        return true;
    nl = netlink_open(NULL);
    return nl && find_own_bridge(nl, live, &link);
}

bool
network_complete(const NetworkDef *live, GError **err)
{
    g_autoptr(Netlink) nl = NULL;

    if (!network_def_owns_bridge(live))
        return true;
    nl = netlink_open(err);
    return nl && set_up_bridge(nl, live, err);
}

bool
network_apply_rules(const NetworkDef *live, GError **err)
{
    g_autofree char *rules = ruleset_apply(live);

    return !rules || nft_run(rules, err);
}

void
network_take_down(const NetworkDef *live)
{
    g_autoptr(Netlink) nl = NULL;
    g_autofree char *rules = NULL;
    NetlinkLink link;

    if (!network_def_owns_bridge(live))
        return;
    nl = netlink_open(NULL);
    /* A bridge of that name that someone else made stays. */
    if (nl && find_own_bridge(nl, live, &link)) {
        netlink_link_set_up(nl, live->bridge->name, false, NULL);
        netlink_link_delete(nl, live->bridge->name, NULL);
    }
    if (network_def_mode(live) > NETWORK_FORWARD_ROUTE)
        return;
    rules = ruleset_remove(live->bridge->name);
    nft_run(rules, NULL);
}
