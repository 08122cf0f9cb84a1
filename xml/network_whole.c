/* network_whole.c - a <network> as a whole: what is made up, and the rules between its elements.
 *
 * What is refused, and with which code, is what libvirt 9.0 refuses.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/network_private.h"

#include "util/error.h"

#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

/* Minutes are the unit of a lease time without one. */
static void
complete_lease(NetworkLeaseTime *lease)
{
    if (lease && lease->expiry == 0)
        lease->unit = NETWORK_LEASE_UNSET;
    else if (lease && !lease->unit)
        lease->unit = NETWORK_LEASE_MINUTES;
}

static void
complete_dhcp(NetworkDhcp *dhcp)
{
    for (guint i = 0; i < dhcp->ranges->len; i++)
        complete_lease(((NetworkRange *)g_ptr_array_index(dhcp->ranges, i))->lease);
    for (guint i = 0; i < dhcp->hosts->len; i++)
        complete_lease(((NetworkDhcpHost *)g_ptr_array_index(dhcp->hosts, i))->lease);
}

/* An element with nothing in it is not printed by libvirt, and would read back as one. */
static void
complete_lists(NetworkDef *def)
{
    const NetworkDns *dns = def->dns;

    if (dns && !dns->enable && !dns->forward_plain_names && !dns->forwarders->len &&
        !dns->txts->len && !dns->srvs->len && !dns->hosts->len) {
        xml_type_free(&network_dns_xml, def->dns);
        def->dns = NULL;
    }
    for (guint i = 0; i < def->ips->len; i++) {
        NetworkIp *ip = g_ptr_array_index(def->ips, i);

        if (ip->dhcp)
            complete_dhcp(ip->dhcp);
        if (!ip->dhcp || ip->dhcp->ranges->len || ip->dhcp->hosts->len || ip->dhcp->bootp)
            continue;
        xml_type_free(&network_dhcp_xml, ip->dhcp);
        ip->dhcp = NULL;
    }
}

void
network_def_complete(NetworkDef *def)
{
    NetworkForward *forward = def->forward;

    complete_lists(def);
    if (forward && forward->mode == NETWORK_FORWARD_NAMED_NONE) {
        network_forward_free(forward);
        forward = def->forward = NULL;
    }
    if (!def->uuid)
        def->uuid = xml_uuid_random();
    if (def->ipv6 == TRISTATE_OFF)
        def->ipv6 = TRISTATE_ABSENT;
    if (forward && forward->mode == 0)
        forward->mode = NETWORK_FORWARD_NAT;
    /* One device has two spellings, and reads back in both. */
    if (forward && forward->dev && forward->interfaces->len == 0) {
        NetworkForwardInterface *iface = xml_type_new(&network_forward_interface_xml);

        iface->dev = g_strdup(forward->dev);
        g_ptr_array_add(forward->interfaces, iface);
    } else if (forward && !forward->dev && forward->interfaces->len > 0) {
        const NetworkForwardInterface *first = g_ptr_array_index(forward->interfaces, 0);

        forward->dev = g_strdup(first->dev);
    }
    if (forward && forward->mode == NETWORK_FORWARD_HOSTDEV && !forward->managed)
        forward->managed = TRISTATE_OFF;
    if (!network_def_owns_bridge(def))
        return;
    if (!def->bridge)
        def->bridge = network_bridge_new();
    if (!def->bridge->stp)
        def->bridge->stp = TRISTATE_ON;
    if (def->bridge->delay == XML_UNSET)
        def->bridge->delay = 0;
    if (!def->mac) {
        uint8_t mac[6] = { 0x52, 0x54, 0x00 };

        if (getrandom(mac + 3, 3, 0) != 3)
            memcpy(mac + 3, def->uuid, 3);
        def->mac = xml_mac_format(mac);
    }
}

static bool
check_own_bridge(const NetworkDef *def, GError **err)
{
    const NetworkForward *forward = def->forward;

    if (forward && def->ips->len == 0)
        return kiln_error_set(
            err, VIR_ERR_XML_ERROR,
            "%s forwarding requested, but no IP address provided for network '%s'",
            network_forward_modes[forward->mode], def->name);
    if (forward && (forward->interfaces->len > 1 || forward->addresses->len || forward->pf))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "multiple forwarding interfaces specified for "
                              "network '%s', only one is supported",
                              def->name);
    if (forward && forward->mode == NETWORK_FORWARD_OPEN && forward->dev)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "forward dev not allowed for network '%s' with "
                              "forward mode='open'",
                              def->name);
    return true;
}

static bool
check_foreign_bridge(const NetworkDef *def, GError **err)
{
    const NetworkForward *forward = def->forward;
    const char *mode = network_forward_modes[forward->mode];
    const NetworkBridge *bridge = def->bridge;
    const char *unsupported = NULL;

    if (bridge && forward->mode != NETWORK_FORWARD_BRIDGE && bridge->name)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "bridge name not allowed in %s mode (network "
                              "'%s')",
                              mode, def->name);
    if (bridge && forward->mode != NETWORK_FORWARD_BRIDGE && bridge->mac_table)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "bridge macTableManager setting not allowed in "
                              "%s mode (network '%s')",
                              mode, def->name);
    if (bridge &&
        (bridge->stp || bridge->zone || (bridge->delay != XML_UNSET && bridge->delay != 0)))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "bridge delay/stp/zone options only allowed in "
                              "route, nat, and isolated mode, not in %s (network '%s')",
                              mode, def->name);
    if (bridge && bridge->name && (forward->interfaces->len || forward->pf))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "A network with forward mode='%s' can specify a "
                              "bridge name or a forward dev, but not both (network '%s')",
                              mode, def->name);
    if (def->mtu != XML_UNSET)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "mtu size only allowed in open, route, nat, and "
                              "isolated mode, not in %s (network '%s')",
                              mode, def->name);
    if (def->mac)
        unsupported = "<mac>";
    else if (def->ips->len)
        unsupported = "<ip>";
    else if (def->domain)
        unsupported = "<domain>";
    else if (def->dns)
        unsupported = "<dns>";
    else if (def->routes->len)
        unsupported = "<route>";
    else if (def->dnsmasq_options->len)
        unsupported = "<dnsmasq:options>";
    if (unsupported)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "Unsupported %s element in network "
                              "'%s' with forward mode='%s'",
                              unsupported, def->name, mode);
    return true;
}

/* Limits are put on a bridge and its taps. */
static bool
check_bandwidth(const NetworkDef *def, GError **err)
{
    NetworkForwardMode mode = network_def_mode(def);

    if (mode < NETWORK_FORWARD_BRIDGE || (mode == NETWORK_FORWARD_BRIDGE && def->bridge))
        return true;
    if (def->bandwidth)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "Unsupported network-wide <bandwidth> element in network '%s' with "
                              "forward mode='%s'",
                              def->name, network_forward_modes[mode]);
    for (guint i = 0; i < def->portgroups->len; i++) {
        const NetworkPortgroup *group = g_ptr_array_index(def->portgroups, i);

        if (group->bandwidth)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "Unsupported <bandwidth> element in network '%s' in portgroup "
                                  "'%s' with forward mode='%s'",
                                  def->name, group->name, network_forward_modes[mode]);
    }
    return true;
}

/* dnsmasq takes its clients by interface: one DHCP subnet of a family for each. */
static bool
check_one_dhcp(const NetworkDef *def, GError **err)
{
    unsigned found4 = 0, found6 = 0;

    for (guint i = 0; i < def->ips->len; i++) {
        const NetworkIp *ip = g_ptr_array_index(def->ips, i);

        if (!ip->dhcp || (!ip->dhcp->ranges->len && !ip->dhcp->hosts->len))
            continue;
        if (g_strcmp0(ip->family, "ipv6") == 0)
            found6++;
        else
            found4++;
    }
    if (found4 > 1 || found6 > 1)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "Multiple %s dhcp sections found -- "
                              "dhcp is supported only for a single %s address on each network",
                              found4 > 1 ? "IPv4" : "IPv6", found4 > 1 ? "IPv4" : "IPv6");
    return true;
}

static bool
check_gateways(const NetworkDef *def, GError **err)
{
    for (guint i = 0; i < def->routes->len; i++) {
        const NetworkRoute *route = g_ptr_array_index(def->routes, i);
        bool reachable = false;
        IpAddr gateway;

        if (!ip_parse(route->gateway, &gateway))
            return false;
        for (guint j = 0; j < def->ips->len && !reachable; j++) {
            IpAddr address;
            unsigned prefix = network_ip_prefix(g_ptr_array_index(def->ips, j), &address);

            reachable = ip_in_subnet(&gateway, &address, prefix);
        }
        if (!reachable)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "unreachable static route gateway "
                                  "'%s' specified for network '%s'",
                                  route->gateway, def->name);
    }
    return true;
}

static bool
is_openvswitch(const NetworkDef *def, const NetworkVirtualPort *port)
{
    return network_def_mode(def) == NETWORK_FORWARD_BRIDGE && port &&
           g_strcmp0(port->type, "openvswitch") == 0;
}

/* Tags are for devices of an SR-IOV pool and for Open vSwitch. */
static bool
check_vlans(const NetworkDef *def, GError **err)
{
    bool pool = network_def_mode(def) >= NETWORK_FORWARD_PASSTHROUGH;
    bool allowed = pool || is_openvswitch(def, def->virtualport);
    bool bad = def->vlan && !allowed;

    for (guint i = 0; i < def->portgroups->len; i++) {
        const NetworkPortgroup *group = g_ptr_array_index(def->portgroups, i);

        if (group->vlan)
            bad |= group->virtualport ? !is_openvswitch(def, group->virtualport) : !allowed;
    }
    return !bad || kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "<vlan> element specified for "
                                  "network %s, whose type doesn't support vlan configuration",
                                  def->name);
}

static bool
check_portgroups(const NetworkDef *def, GError **err)
{
    const NetworkPortgroup *chosen = NULL;

    for (guint i = 0; i < def->portgroups->len; i++) {
        const NetworkPortgroup *a = g_ptr_array_index(def->portgroups, i);

        for (guint j = 0; j < i; j++) {
            const NetworkPortgroup *b = g_ptr_array_index(def->portgroups, j);

            if (strcmp(a->name, b->name) == 0)
                return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                      "multiple <portgroup> elements "
                                      "with the same name (%s) in network '%s'",
                                      a->name, def->name);
        }
        if (a->is_default != TRISTATE_ON)
            continue;
        if (chosen)
            return kiln_error_set(
                err, VIR_ERR_CONFIG_UNSUPPORTED,
                "network '%s' has multiple default "
                "<portgroup> elements (%s and %s), but only one default is allowed",
                def->name, chosen->name, a->name);
        chosen = a;
    }
    return true;
}

bool
network_def_check(const NetworkDef *def, GError **err)
{
    if (def->name[0] == '.')
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "name '%s' cannot begin with a dot: it names files", def->name);
    if (strlen(def->name) > NETWORK_NAME_MAX)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "network name has %zu bytes, limit is %d",
                              strlen(def->name), NETWORK_NAME_MAX);
    if (def->bridge && def->bridge->name && strlen(def->bridge->name) > NETWORK_BRIDGE_NAME_MAX)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "bridge name '%s' has more than the %d "
                              "characters of an interface name",
                              def->bridge->name, NETWORK_BRIDGE_NAME_MAX);
    if (def->virtualport && !def->virtualport->type)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing required virtualport type");
    if (def->bandwidth && def->bandwidth->inbound && def->bandwidth->inbound->floor != XML_UNSET)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "bandwidth floor is not supported for "
                              "network '%s'",
                              def->name);
    if (!(network_def_owns_bridge(def) ? check_own_bridge(def, err)
                                       : check_foreign_bridge(def, err)))
        return false;
    return check_one_dhcp(def, err) && check_gateways(def, err) && check_portgroups(def, err) &&
           check_vlans(def, err) && check_bandwidth(def, err);
}
