/* network.c - the tables of <network> (libvirt formatnetwork; schema network.rng of 9.0).
 *
 * Rows stand in the order in which libvirt prints them. Rules that span fields are in
 * network_check.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/network.h"

#include "util/error.h"
#include "xml/network_private.h"
#include "xml/xmltab.h"

#include <string.h>
#include <sys/socket.h>

#define DNSMASQ_NAMESPACE "http://libvirt.org/schemas/network/dnsmasq/1.0"
#define DNS_NAME "[a-zA-Z0-9._*/-]+"
#define DEVICE_NAME "[a-zA-Z0-9_.%-]+"
#define DNS_TEXT .pattern = DNS_NAME, .legal = "a DNS name"
#define DEVICE_TEXT .pattern = DEVICE_NAME, .legal = "the name of a network interface"

const char *const network_forward_modes[] = {
    "", "nat", "route", "open", "bridge", "private", "vepa", "passthrough", "hostdev", "none", NULL,
};

static const char *const mac_tables[] = { "", "kernel", "libvirt", NULL };
static const char *const lease_units[] = { "", "seconds", "minutes", "hours", NULL };
static const char *const native_modes[] = { "", "tagged", "untagged", NULL };

/* Errors that libvirt has a code of its own for. */
static bool
check_name(const xmlNode *root, GError **err)
{
    const xmlNode *child = xml_child(root, "name");
    xmlChar *name = child ? xmlNodeGetContent(child) : NULL;
    bool ok = true;

    if (!name || !*name)
        ok = kiln_error_set(err, VIR_ERR_NO_NAME, "network");
    else if (strpbrk((const char *)name, "/\n"))
        ok = kiln_error_set(err, VIR_ERR_XML_DETAIL, "invalid char in name: %s",
                            strchr((const char *)name, '/') ? "/" : "\\n");
    xmlFree(name);
    return ok;
}

NetworkDef *
network_def_parse(const char *xml, unsigned flags, GError **err)
{
    g_autoptr(xmlDoc) doc = xml_read(xml, strlen(xml), "network_definition", err);
    g_autoptr(NetworkDef) def = NULL;
    xmlNode *root;

    if (!doc)
        return NULL;
    root = xmlDocGetRootElement(doc);
    if (!root || strcmp((const char *)root->name, "network") != 0) {
        kiln_error_set(err, VIR_ERR_XML_ERROR, "unexpected root element <%s>, expecting <network>",
                       root ? (const char *)root->name : "");
        return NULL;
    }
    if ((flags & NETWORK_DEF_VALIDATE) && !xml_type_validate(&network_def_type, root, err))
        return NULL;
    def = check_name(root, err) ? xml_type_parse(&network_def_type, root, 0, err) : NULL;
    if (!def)
        return NULL;
    network_def_complete(def);
    if (!network_def_check(def, err))
        return NULL;
    return g_steal_pointer(&def);
}

char *
network_def_format(const NetworkDef *def)
{
    return xml_type_format(&network_def_type, def, 0);
}

NetworkDef *
network_def_copy(const NetworkDef *def)
{
    return xml_type_copy(&network_def_type, def);
}

void
network_def_free(NetworkDef *def)
{
    xml_type_free(&network_def_type, def);
}

NetworkBridge *
network_bridge_new(void)
{
    return xml_type_new(&network_bridge_xml);
}

NetworkNat *
network_nat_new(void)
{
    return xml_type_new(&network_nat_xml);
}

NetworkNatPort *
network_nat_port_new(uint64_t start, uint64_t end)
{
    NetworkNatPort *port = xml_type_new(&network_nat_port_xml);

    port->start = start;
    port->end = end;
    return port;
}

NetworkForwardMode
network_def_mode(const NetworkDef *def)
{
    return def->forward ? (NetworkForwardMode)def->forward->mode : NETWORK_FORWARD_NONE;
}

bool
network_def_owns_bridge(const NetworkDef *def)
{
    return network_def_mode(def) <= NETWORK_FORWARD_OPEN;
}

bool
network_def_is_direct(const NetworkDef *def)
{
    NetworkForwardMode mode = network_def_mode(def);

    return (mode == NETWORK_FORWARD_BRIDGE && (!def->bridge || !def->bridge->name)) ||
           (mode > NETWORK_FORWARD_BRIDGE && mode < NETWORK_FORWARD_HOSTDEV);
}

bool
network_def_dns_enabled(const NetworkDef *def)
{
    return !def->dns || def->dns->enable != TRISTATE_OFF;
}

/* The prefix given, or that of the address's class (RFC 791), or 64. */
static unsigned
prefix_of(const char *address, const char *netmask, uint64_t prefix, IpAddr *ret_address)
{
    IpAddr mask;
    unsigned from_mask;

    memset(ret_address, 0, sizeof(*ret_address));
    if (!ip_parse(address, ret_address))
        return 0;
    if (netmask && ip_parse(netmask, &mask) && ip_netmask_to_prefix(&mask, &from_mask))
        return from_mask;
    if (prefix != XML_UNSET)
        return (unsigned)prefix;
    if (ret_address->family == AF_INET6)
        return 64;
    if (!(ret_address->bytes[0] & 0x80))
        return 8;
    return ret_address->bytes[0] & 0x40 ? 24 : 16;
}

unsigned
network_ip_prefix(const NetworkIp *ip, IpAddr *ret_address)
{
    return prefix_of(ip->address, ip->netmask, ip->prefix, ret_address);
}

unsigned
network_route_prefix(const NetworkRoute *route, IpAddr *ret_address)
{
    unsigned prefix = prefix_of(route->address, route->netmask, route->prefix, ret_address);

    /* A destination without a prefix is one host, but 0.0.0.0 is everything. */
    if (route->netmask || route->prefix != XML_UNSET)
        return prefix;
    for (size_t i = 0; i < sizeof(ret_address->bytes); i++)
        if (ret_address->bytes[i])
            return prefix;
    return 0;
}

/* --- tables ----------------------------------------------------------------------------- */

#define NAT(field) offsetof(NetworkNat, field)
static const XmlRow nat_address_rows[] = {
    { NULL, "start", XML_IP, offsetof(NetworkNatAddress, start), XML_REQUIRED },
    { NULL, "end", XML_IP, offsetof(NetworkNatAddress, end), XML_REQUIRED },
};
static const XmlType nat_address_xml = XML_TYPE("nat-address", NetworkNatAddress, nat_address_rows,
                                                .check = network_check_nat_address);
static const XmlRow nat_port_rows[] = {
    { NULL, "start", XML_UINT, offsetof(NetworkNatPort, start), XML_REQUIRED, .min = 1,
      .max = 65535 },
    { NULL, "end", XML_UINT, offsetof(NetworkNatPort, end), XML_REQUIRED, .min = 1, .max = 65535 },
};
const XmlType network_nat_port_xml =
    XML_TYPE("nat-port", NetworkNatPort, nat_port_rows, .check = network_check_nat_port);
static const XmlRow nat_rows[] = {
    { NULL, "ipv6", XML_YESNO, NAT(ipv6) },
    { "address", NULL, XML_STRUCT, NAT(address), XML_SINGLE, .type = &nat_address_xml },
    { "port", NULL, XML_STRUCT, NAT(port), XML_SINGLE, .type = &network_nat_port_xml },
};
const XmlType network_nat_xml = XML_TYPE("nat", NetworkNat, nat_rows);

static const XmlRow forward_interface_rows[] = {
    { NULL, "dev", XML_STRING, offsetof(NetworkForwardInterface, dev), XML_REQUIRED, DEVICE_TEXT },
    { NULL, "connections", XML_UINT, offsetof(NetworkForwardInterface, connections),
      XML_LIVE | XML_NOT_ZERO, .max = UINT32_MAX },
};
const XmlType network_forward_interface_xml =
    XML_TYPE("forward-interface", NetworkForwardInterface, forward_interface_rows);

static const XmlRow forward_address_rows[] = {
    { NULL, "type", XML_STRING, offsetof(NetworkForwardAddress, type), XML_REQUIRED,
      .pattern = "pci", .legal = "'pci'" },
    { NULL, "domain", XML_HEX, offsetof(NetworkForwardAddress, domain), .max = 0xffffffff,
      .width = 4 },
    { NULL, "bus", XML_HEX, offsetof(NetworkForwardAddress, bus), .max = 0xff, .width = 2 },
    { NULL, "slot", XML_HEX, offsetof(NetworkForwardAddress, slot), .max = 0x1f, .width = 2 },
    { NULL, "function", XML_HEX, offsetof(NetworkForwardAddress, function), .max = 7, .width = 1 },
};
static const XmlType forward_address_xml =
    XML_TYPE("forward-address", NetworkForwardAddress, forward_address_rows);

#define FORWARD(field) offsetof(NetworkForward, field)
static const XmlRow forward_rows[] = {
    { NULL, "dev", XML_STRING, FORWARD(dev), DEVICE_TEXT },
    { NULL, "mode", XML_ENUM, FORWARD(mode), XML_UNKNOWN_WORD, .names = network_forward_modes },
    { NULL, "managed", XML_YESNO, FORWARD(managed) },
    { "driver", "name", XML_STRING, FORWARD(driver), .pattern = "kvm|vfio",
      .legal = "'kvm' or 'vfio'" },
    { "nat", NULL, XML_STRUCT, FORWARD(nat), XML_SINGLE, .type = &network_nat_xml },
    { "pf", "dev", XML_STRING, FORWARD(pf), XML_SINGLE, DEVICE_TEXT },
    { "interface", NULL, XML_LIST, FORWARD(interfaces), .type = &network_forward_interface_xml },
    { "address", NULL, XML_LIST, FORWARD(addresses), .type = &forward_address_xml },
};
static const XmlType forward_xml =
    XML_TYPE("forward", NetworkForward, forward_rows, .check = network_check_forward);

void
network_forward_free(NetworkForward *forward)
{
    xml_type_free(&forward_xml, forward);
}

#define BRIDGE(field) offsetof(NetworkBridge, field)
static const XmlRow bridge_rows[] = {
    { NULL, "name", XML_STRING, BRIDGE(name), DEVICE_TEXT },
    { NULL, "zone", XML_STRING, BRIDGE(zone), .pattern = "[a-zA-Z0-9_-]+",
      .legal = "the name of a firewalld zone" },
    { NULL, "stp", XML_ONOFF, BRIDGE(stp) },
    { NULL, "delay", XML_UINT, BRIDGE(delay), .max = 30 },
    { NULL, "macTableManager", XML_ENUM, BRIDGE(mac_table), .names = mac_tables },
};
const XmlType network_bridge_xml = XML_TYPE("bridge", NetworkBridge, bridge_rows);

static const XmlRow domain_rows[] = {
    { NULL, "name", XML_STRING, offsetof(NetworkDomain, name), XML_REQUIRED, DNS_TEXT },
    { NULL, "localOnly", XML_YESNO, offsetof(NetworkDomain, local_only) },
};
static const XmlType domain_xml = XML_TYPE("network-domain", NetworkDomain, domain_rows);

static const XmlRow forwarder_rows[] = {
    { NULL, "domain", XML_STRING, offsetof(NetworkForwarder, domain), DNS_TEXT },
    { NULL, "addr", XML_IP, offsetof(NetworkForwarder, addr) },
};
static const XmlType forwarder_xml =
    XML_TYPE("forwarder", NetworkForwarder, forwarder_rows, .check = network_check_forwarder);

static const XmlRow txt_rows[] = {
    { NULL, "name", XML_STRING, offsetof(NetworkTxt, name), XML_REQUIRED, DNS_TEXT },
    { NULL, "value", XML_STRING, offsetof(NetworkTxt, value) },
};
const XmlType network_txt_xml = XML_TYPE("txt", NetworkTxt, txt_rows, .check = network_check_txt);

#define SRV(field) offsetof(NetworkSrv, field)
static const XmlRow srv_rows[] = {
    { NULL, "service", XML_STRING, SRV(service), .pattern = "[a-zA-Z0-9_+/*-]+",
      .legal = "a service name" },
    { NULL, "protocol", XML_STRING, SRV(protocol), .pattern = "tcp|udp",
      .legal = "'tcp' or 'udp'" },
    { NULL, "domain", XML_STRING, SRV(domain), DNS_TEXT },
    { NULL, "target", XML_STRING, SRV(target), DNS_TEXT },
    { NULL, "port", XML_UINT, SRV(port), .min = 1, .max = 65535 },
    { NULL, "priority", XML_UINT, SRV(priority), XML_NOT_ZERO, .max = 65535 },
    { NULL, "weight", XML_UINT, SRV(weight), XML_NOT_ZERO, .max = 65535 },
};
const XmlType network_srv_xml = XML_TYPE("srv", NetworkSrv, srv_rows, .check = network_check_srv);

static const XmlRow dns_host_rows[] = {
    { NULL, "ip", XML_IP, offsetof(NetworkDnsHost, ip) },
    { "hostname", NULL, XML_STRINGS, offsetof(NetworkDnsHost, hostnames), DNS_TEXT },
};
const XmlType network_dns_host_xml =
    XML_TYPE("dns-host", NetworkDnsHost, dns_host_rows, .check = network_check_dns_host);

#define DNS(field) offsetof(NetworkDns, field)
static const XmlRow dns_rows[] = {
    { NULL, "enable", XML_YESNO, DNS(enable) },
    { NULL, "forwardPlainNames", XML_YESNO, DNS(forward_plain_names) },
    { "forwarder", NULL, XML_LIST, DNS(forwarders), .type = &forwarder_xml },
    { "txt", NULL, XML_LIST, DNS(txts), .type = &network_txt_xml },
    { "srv", NULL, XML_LIST, DNS(srvs), .type = &network_srv_xml },
    { "host", NULL, XML_LIST, DNS(hosts), .type = &network_dns_host_xml },
};
const XmlType network_dns_xml = XML_TYPE("dns", NetworkDns, dns_rows, .check = network_check_dns);
static const XmlRow vlan_tag_rows[] = {
    { NULL, "id", XML_UINT, offsetof(NetworkVlanTag, id), XML_REQUIRED, .max = 4095 },
    { NULL, "nativeMode", XML_ENUM, offsetof(NetworkVlanTag, native_mode), .names = native_modes },
};
static const XmlType vlan_tag_xml = XML_TYPE("vlan-tag", NetworkVlanTag, vlan_tag_rows);
static const XmlRow vlan_rows[] = {
    { NULL, "trunk", XML_YESNO, offsetof(NetworkVlan, trunk) },
    { "tag", NULL, XML_LIST, offsetof(NetworkVlan, tags), .type = &vlan_tag_xml },
};
static const XmlType vlan_xml =
    XML_TYPE("vlan", NetworkVlan, vlan_rows, .check = network_check_vlan);

#define RATE(field) offsetof(NetworkRate, field)
static const XmlRow rate_rows[] = {
    { NULL, "average", XML_UINT, RATE(average), .min = 1, .max = UINT32_MAX },
    { NULL, "peak", XML_UINT, RATE(peak), .min = 1, .max = UINT32_MAX },
    { NULL, "floor", XML_UINT, RATE(floor), .min = 1, .max = UINT32_MAX },
    { NULL, "burst", XML_UINT, RATE(burst), .min = 1, .max = UINT32_MAX },
};
static const XmlType rate_xml =
    XML_TYPE("bandwidth-rate", NetworkRate, rate_rows, .check = network_check_rate);
static const XmlRow bandwidth_rows[] = {
    { "inbound", NULL, XML_STRUCT, offsetof(NetworkBandwidth, inbound), XML_SINGLE,
      .type = &rate_xml },
    { "outbound", NULL, XML_STRUCT, offsetof(NetworkBandwidth, outbound), XML_SINGLE,
      .type = &rate_xml },
};
static const XmlType bandwidth_xml =
    XML_TYPE("network-bandwidth", NetworkBandwidth, bandwidth_rows);

#define VPORT(field) offsetof(NetworkVirtualPort, field)
static const XmlRow virtualport_rows[] = {
    { NULL, "type", XML_STRING, VPORT(type), .pattern = "802\\.1Qbg|802\\.1Qbh|openvswitch|midonet",
      .legal = "'802.1Qbg', '802.1Qbh', 'openvswitch' or 'midonet'" },
    { "parameters", "managerid", XML_UINT, VPORT(manager_id), .max = 255 },
    { "parameters", "typeid", XML_UINT, VPORT(type_id), .max = 0xffffff },
    { "parameters", "typeidversion", XML_UINT, VPORT(type_id_version), .max = 255 },
    { "parameters", "instanceid", XML_UUID, VPORT(instance_id) },
    { "parameters", "interfaceid", XML_UUID, VPORT(interface_id) },
    { "parameters", "profileid", XML_STRING, VPORT(profile_id), .pattern = ".{0,39}",
      .legal = "at most 39 characters" },
};
static const XmlType virtualport_xml =
    XML_TYPE("network-virtualport", NetworkVirtualPort, virtualport_rows);

static const XmlRow lease_rows[] = {
    { NULL, "expiry", XML_UINT, offsetof(NetworkLeaseTime, expiry), XML_REQUIRED,
      .max = UINT32_MAX },
    { NULL, "unit", XML_ENUM, offsetof(NetworkLeaseTime, unit), .names = lease_units },
};
static const XmlType lease_xml =
    XML_TYPE("lease", NetworkLeaseTime, lease_rows, .check = network_check_lease);

static const XmlRow range_rows[] = {
    { NULL, "start", XML_IP, offsetof(NetworkRange, start), XML_REQUIRED },
    { NULL, "end", XML_IP, offsetof(NetworkRange, end), XML_REQUIRED },
    { "lease", NULL, XML_STRUCT, offsetof(NetworkRange, lease), .type = &lease_xml },
};
const XmlType network_range_xml =
    XML_TYPE("dhcp-range", NetworkRange, range_rows, .check = network_check_range);

#define HOST(field) offsetof(NetworkDhcpHost, field)
static const XmlRow dhcp_host_rows[] = {
    { NULL, "mac", XML_MAC, HOST(mac), XML_AS_GIVEN },
    { NULL, "id", XML_STRING, HOST(id), .pattern = "[0-9a-fA-F:]+",
      .legal = "hexadecimal bytes with colons between" },
    { NULL, "name", XML_STRING, HOST(name), .pattern = "[a-zA-Z0-9][a-zA-Z0-9._-]*",
      .legal = "a host name" },
    { NULL, "ip", XML_IP, HOST(ip) },
    { "lease", NULL, XML_STRUCT, HOST(lease), .type = &lease_xml },
};
const XmlType network_dhcp_host_xml = XML_TYPE("dhcp-host", NetworkDhcpHost, dhcp_host_rows);

static const XmlRow bootp_rows[] = {
    { NULL, "file", XML_STRING, offsetof(NetworkBootp, file), XML_REQUIRED,
      .pattern = "[^\\n\\r,\"]+", .legal = "a file name without commas, quotes or line ends" },
    { NULL, "server", XML_STRING, offsetof(NetworkBootp, server), .pattern = DNS_NAME,
      .legal = "an address or a DNS name" },
};
static const XmlType bootp_xml = XML_TYPE("bootp", NetworkBootp, bootp_rows);

static const XmlRow dhcp_rows[] = {
    { "range", NULL, XML_LIST, offsetof(NetworkDhcp, ranges), .type = &network_range_xml },
    { "host", NULL, XML_LIST, offsetof(NetworkDhcp, hosts), .type = &network_dhcp_host_xml },
    { "bootp", NULL, XML_STRUCT, offsetof(NetworkDhcp, bootp), .type = &bootp_xml },
};
const XmlType network_dhcp_xml = XML_TYPE("dhcp", NetworkDhcp, dhcp_rows);
#define IP(field) offsetof(NetworkIp, field)
static const XmlRow ip_rows[] = {
    { NULL, "family", XML_STRING, IP(family), .pattern = "ipv4|ipv6", .legal = "'ipv4' or 'ipv6'" },
    { NULL, "address", XML_IP, IP(address), XML_REQUIRED },
    { NULL, "netmask", XML_IP, IP(netmask) },
    { NULL, "prefix", XML_UINT, IP(prefix), .max = 128 },
    { NULL, "localPtr", XML_YESNO, IP(local_ptr) },
    { "tftp", "root", XML_STRING, IP(tftp_root), .pattern = "/[^\\n\\r,\"]*",
      .legal = "an absolute path without commas, quotes or line ends" },
    { "dhcp", NULL, XML_STRUCT, IP(dhcp), .type = &network_dhcp_xml },
};
static const XmlType ip_xml = XML_TYPE("network-ip", NetworkIp, ip_rows, .check = network_check_ip);

#define ROUTE(field) offsetof(NetworkRoute, field)
static const XmlRow route_rows[] = {
    { NULL, "family", XML_STRING, ROUTE(family), .pattern = "ipv4|ipv6",
      .legal = "'ipv4' or 'ipv6'" },
    { NULL, "address", XML_IP, ROUTE(address), XML_REQUIRED },
    { NULL, "netmask", XML_IP, ROUTE(netmask) },
    { NULL, "prefix", XML_UINT, ROUTE(prefix), .max = 128 },
    { NULL, "gateway", XML_IP, ROUTE(gateway), XML_REQUIRED },
    { NULL, "metric", XML_UINT, ROUTE(metric), .min = 1, .max = UINT32_MAX },
};
static const XmlType route_xml =
    XML_TYPE("network-route", NetworkRoute, route_rows, .check = network_check_route);

#define PORTGROUP(field) offsetof(NetworkPortgroup, field)
static const XmlRow portgroup_rows[] = {
    { NULL, "name", XML_STRING, PORTGROUP(name), XML_REQUIRED },
    { NULL, "default", XML_YESNO, PORTGROUP(is_default) },
    { NULL, "trustGuestRxFilters", XML_YESNO, PORTGROUP(trust_rx_filters) },
    { "vlan", NULL, XML_STRUCT, PORTGROUP(vlan), .type = &vlan_xml },
    { "virtualport", NULL, XML_STRUCT, PORTGROUP(virtualport), .type = &virtualport_xml },
    { "bandwidth", NULL, XML_STRUCT, PORTGROUP(bandwidth), .type = &bandwidth_xml },
};
const XmlType network_portgroup_xml = XML_TYPE("portgroup", NetworkPortgroup, portgroup_rows);

#define DEF(field) offsetof(NetworkDef, field)
static const XmlRow network_rows[] = {
    { NULL, "connections", XML_UINT, DEF(connections), XML_LIVE | XML_NOT_ZERO, .max = UINT32_MAX },
    { NULL, "ipv6", XML_YESNO, DEF(ipv6) },
    { NULL, "trustGuestRxFilters", XML_YESNO, DEF(trust_rx_filters) },
    { "name", NULL, XML_STRING, DEF(name), XML_REQUIRED, .pattern = "[^/\\n\\r]+",
      .legal = "a name without '/' or line ends" },
    { "uuid", NULL, XML_UUID, DEF(uuid) },
    { "metadata", NULL, XML_VERBATIM, DEF(metadata) },
    { "forward", NULL, XML_STRUCT, DEF(forward), .type = &forward_xml },
    { "bridge", NULL, XML_STRUCT, DEF(bridge), .type = &network_bridge_xml },
    { "mtu", "size", XML_UINT, DEF(mtu), .min = 68, .max = 65535 },
    { "mac", "address", XML_MAC, DEF(mac) },
    { "domain", NULL, XML_STRUCT, DEF(domain), .type = &domain_xml },
    { "dns", NULL, XML_STRUCT, DEF(dns), .type = &network_dns_xml },
    { "vlan", NULL, XML_STRUCT, DEF(vlan), .type = &vlan_xml },
    { "bandwidth", NULL, XML_STRUCT, DEF(bandwidth), .type = &bandwidth_xml },
    { "port", "isolated", XML_YESNO, DEF(port_isolated) },
    { "ip", NULL, XML_LIST, DEF(ips), XML_OPEN, .type = &ip_xml },
    { "route", NULL, XML_LIST, DEF(routes), .type = &route_xml },
    { "virtualport", NULL, XML_STRUCT, DEF(virtualport), .type = &virtualport_xml },
    { "portgroup", NULL, XML_LIST, DEF(portgroups), XML_OPEN, .type = &network_portgroup_xml },
    { "dnsmasq:options/dnsmasq:option", "value", XML_STRINGS, DEF(dnsmasq_options),
      .pattern = "[^\\n\\r]+", .legal = "one line of dnsmasq's configuration" },
};
static const XmlNamespace network_namespaces[] = {
    { "dnsmasq", DNSMASQ_NAMESPACE },
    { NULL, NULL },
};
const XmlType network_def_type =
    XML_TYPE("network", NetworkDef, network_rows, .namespaces = network_namespaces);
