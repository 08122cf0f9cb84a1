/* domain_net.c - the table of a guest's <interface> (libvirt formatdomain "Network interfaces",
 * schema of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_net.h"

#include "util/error.h"

#include <inttypes.h>

#define DEVICE "[a-zA-Z0-9_.:/\\\\-]+"
#define DEVICE_LEGAL "the name of a network device"

const char *const domain_net_types[] = {
    "",         "user",   "ethernet", "vhostuser", "server", "client", "mcast", "network", "bridge",
    "internal", "direct", "hostdev",  "udp",       "vdpa",   "null",   "vds",   NULL,
};
static const char *const mac_types[] = { "", "generated", "static", NULL };
static const char *const mac_tables[] = { "", "kernel", "libvirt", NULL };
static const char *const families[] = { "", "ipv4", "ipv6", NULL };
static const char *const protocols[] = { "", "tcp", "udp", NULL };
static const char *const native_modes[] = { "", "tagged", "untagged", NULL };
static const char *const drivers[] = { "", "qemu", "vhost", NULL };
static const char *const txmodes[] = { "", "iothread", "timer", NULL };
static const char *const direct_modes[] = { "", "vepa", "bridge", "private", "passthrough", NULL };
static const char *const links[] = { "", "up", "down", NULL };
/* Names that a daemon makes up for taps and the like are no part of the definition. */
static const char *const made_names[] = { "vnet", "macvtap", "macvlan", NULL };

static const XmlRow ip_rows[] = {
    { NULL, "address", XML_IP, offsetof(DomainIp, address), XML_REQUIRED },
    { NULL, "family", XML_ENUM, offsetof(DomainIp, family), .names = families },
    { NULL, "prefix", XML_UINT, offsetof(DomainIp, prefix), XML_NOT_ZERO, .max = 128 },
    { NULL, "peer", XML_IP, offsetof(DomainIp, peer) },
};
static const XmlType ip_type = XML_TYPE("interface-ip", DomainIp, ip_rows);

#define R(field) offsetof(DomainRoute, field)
static const XmlRow route_rows[] = {
    { NULL, "family", XML_ENUM, R(family), .names = families },
    { NULL, "address", XML_IP, R(address), XML_REQUIRED },
    { NULL, "netmask", XML_IP, R(netmask) },
    { NULL, "prefix", XML_UINT, R(prefix), .max = 128 },
    { NULL, "gateway", XML_IP, R(gateway), XML_REQUIRED },
    { NULL, "metric", XML_UINT, R(metric), .min = 1, .max = UINT32_MAX },
};
static const XmlType route_type = XML_TYPE("interface-route", DomainRoute, route_rows);

#define P(field) offsetof(DomainPortRange, field)
static const XmlRow range_rows[] = {
    { NULL, "start", XML_UINT, P(start), XML_REQUIRED, .min = 1, .max = 65535 },
    { NULL, "end", XML_UINT, P(end), .min = 1, .max = 65535 },
    { NULL, "to", XML_UINT, P(to), .min = 1, .max = 65535 },
    { NULL, "exclude", XML_YESNO, P(exclude) },
};

static bool
range_check(const void *obj, GError **err)
{
    const DomainPortRange *range = obj;

    if (range->end != XML_UNSET && range->end < range->start)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "port range ends at %" PRIu64 ", before its start "
                              "%" PRIu64,
                              range->end, range->start);
    return true;
}

static const XmlType range_type =
    XML_TYPE("port-range", DomainPortRange, range_rows, .check = range_check);

#define F(field) offsetof(DomainPortForward, field)
static const XmlRow forward_rows[] = {
    { NULL, "proto", XML_ENUM, F(proto), XML_REQUIRED, .names = protocols },
    { NULL, "address", XML_IP, F(address) },
    { NULL, "dev", XML_STRING, F(dev), .pattern = DEVICE, .legal = DEVICE_LEGAL },
    { "range", NULL, XML_LIST, F(ranges), .type = &range_type },
};
static const XmlType forward_type = XML_TYPE("port-forward", DomainPortForward, forward_rows);

#define B(field) offsetof(DomainBandwidth, field)
static const XmlRow bandwidth_rows[] = {
    { NULL, "average", XML_UINT, B(average), .min = 1, .max = UINT32_MAX },
    { NULL, "peak", XML_UINT, B(peak), .min = 1, .max = UINT32_MAX },
    { NULL, "floor", XML_UINT, B(floor), .min = 1, .max = UINT32_MAX },
    { NULL, "burst", XML_UINT, B(burst), .min = 1, .max = UINT32_MAX },
};

static bool
bandwidth_check(const void *obj, GError **err)
{
    const DomainBandwidth *b = obj;

    if (b->average == XML_UNSET && b->floor == XML_UNSET)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "'average' or 'floor' must be given");
    if (b->average == XML_UNSET && (b->peak != XML_UNSET || b->burst != XML_UNSET))
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "'peak' and 'burst' require 'average'");
    return true;
}

const XmlType domain_bandwidth_type =
    XML_TYPE("interface-bandwidth", DomainBandwidth, bandwidth_rows, .check = bandwidth_check);

static const XmlRow tag_rows[] = {
    { NULL, "id", XML_UINT, offsetof(DomainVlanTag, id), XML_REQUIRED, .max = 4095 },
    { NULL, "nativeMode", XML_ENUM, offsetof(DomainVlanTag, native_mode), .names = native_modes },
};
static const XmlType tag_type = XML_TYPE("interface-vlan-tag", DomainVlanTag, tag_rows);

static const XmlRow parameter_rows[] = {
    { NULL, "name", XML_STRING, offsetof(DomainFilterParameter, name), XML_REQUIRED,
      .pattern = "[a-zA-Z0-9_]+", .legal = "letters, digits and '_'" },
    { NULL, "value", XML_STRING, offsetof(DomainFilterParameter, value), XML_REQUIRED },
};
static const XmlType parameter_type =
    XML_TYPE("filter-parameter", DomainFilterParameter, parameter_rows);

#define O(field) offsetof(DomainNetOffloads, field)
static const XmlRow host_rows[] = {
    { NULL, "csum", XML_ONOFF, O(csum), XML_ABI },
    { NULL, "gso", XML_ONOFF, O(gso), XML_ABI },
    { NULL, "tso4", XML_ONOFF, O(tso4), XML_ABI },
    { NULL, "tso6", XML_ONOFF, O(tso6), XML_ABI },
    { NULL, "ecn", XML_ONOFF, O(ecn), XML_ABI },
    { NULL, "ufo", XML_ONOFF, O(ufo), XML_ABI },
    { NULL, "mrg_rxbuf", XML_ONOFF, O(mrg_rxbuf), XML_ABI },
};
static const XmlType host_type = XML_TYPE("host-offloads", DomainNetOffloads, host_rows);
static const XmlRow guest_rows[] = {
    { NULL, "csum", XML_ONOFF, O(csum), XML_ABI }, { NULL, "tso4", XML_ONOFF, O(tso4), XML_ABI },
    { NULL, "tso6", XML_ONOFF, O(tso6), XML_ABI }, { NULL, "ecn", XML_ONOFF, O(ecn), XML_ABI },
    { NULL, "ufo", XML_ONOFF, O(ufo), XML_ABI },
};
static const XmlType guest_type = XML_TYPE("guest-offloads", DomainNetOffloads, guest_rows);

#define N(field) offsetof(DomainInterface, field)
#define USER XML_WHEN(DOMAIN_NET_USER)
#define ETHERNET XML_WHEN(DOMAIN_NET_ETHERNET)
#define NETWORK XML_WHEN(DOMAIN_NET_NETWORK)
#define BRIDGE XML_WHEN(DOMAIN_NET_BRIDGE)
#define DIRECT XML_WHEN(DOMAIN_NET_DIRECT)
#define HOSTDEV XML_WHEN(DOMAIN_NET_HOSTDEV)
#define UNDERSTOOD (USER | ETHERNET | NETWORK | BRIDGE | DIRECT | XML_WHEN(DOMAIN_NET_NULL))
static const XmlRow interface_rows[] = {
    { NULL, "type", XML_ENUM, N(type), XML_REQUIRED, .names = domain_net_types },
    { NULL, "managed", XML_YESNO, N(hostdev_managed), .when = HOSTDEV },
    { NULL, "trustGuestRxFilters", XML_YESNO, N(trust_guest_rx_filters) },
    { "mac", "address", XML_MAC, N(mac), XML_ABI },
    { "mac", "type", XML_ENUM, N(mac_type), .names = mac_types },
    { "mac", "check", XML_YESNO, N(mac_check) },
    { "source", "network", XML_STRING, N(network), .when = NETWORK, .pattern = "[^/\\n]+",
      .legal = "a network's name" },
    { "source", "network", XML_STRING, N(network), XML_LIVE, .when = BRIDGE | DIRECT },
    { "source", "portgroup", XML_STRING, N(portgroup), .when = NETWORK, .pattern = DEVICE,
      .legal = "the name of a port group" },
    { "source", "portgroup", XML_STRING, N(portgroup), XML_LIVE, .when = BRIDGE | DIRECT },
    { "source", "portid", XML_UUID, N(port_id), XML_LIVE, .when = NETWORK | BRIDGE | DIRECT },
    { "source", "bridge", XML_STRING, N(bridge), XML_LIVE, .when = NETWORK },
    { "source", "bridge", XML_STRING, N(bridge), .when = BRIDGE,
      .pattern = "[a-zA-Z0-9_.:/\\\\ -]+", .legal = DEVICE_LEGAL },
    { "source", "macTableManager", XML_ENUM, N(mac_table), XML_LIVE, .names = mac_tables,
      .when = NETWORK | BRIDGE },
    { "source", "dev", XML_STRING, N(source_dev), .when = USER | DIRECT, .pattern = DEVICE,
      .legal = DEVICE_LEGAL },
    { "source", "dev", XML_STRING, N(source_dev), XML_LIVE, .when = NETWORK },
    { "source", "mode", XML_ENUM, N(source_mode), .names = direct_modes, .when = DIRECT },
    { "source", "mode", XML_ENUM, N(source_mode), XML_LIVE, .names = direct_modes,
      .when = NETWORK },
    { "source/ip", NULL, XML_LIST, N(source_ips), .type = &ip_type, .when = ETHERNET },
    { "source/route", NULL, XML_LIST, N(source_routes), .type = &route_type, .when = ETHERNET },
    { "source", NULL, XML_KEPT, N(kept), .when = ~UNDERSTOOD },
    { "vlan", "trunk", XML_YESNO, N(vlan_trunk) },
    { "vlan/tag", NULL, XML_LIST, N(vlan_tags), .type = &tag_type },
    { "virtualport", NULL, XML_KEPT, N(kept) },
    { "bandwidth", "classID", XML_UINT, N(bandwidth_class), XML_LIVE, .min = 1, .max = UINT32_MAX },
    { "bandwidth/inbound", NULL, XML_STRUCT, N(inbound), .type = &domain_bandwidth_type },
    { "bandwidth/outbound", NULL, XML_STRUCT, N(outbound), .type = &domain_bandwidth_type },
    { "script", "path", XML_STRING, N(script) },
    { "downscript", "path", XML_STRING, N(downscript) },
    { "backenddomain", NULL, XML_KEPT, N(kept) },
    { "ip", NULL, XML_LIST, N(ips), .type = &ip_type },
    { "route", NULL, XML_LIST, N(routes), .type = &route_type },
    { "portForward", NULL, XML_LIST, N(port_forwards), .type = &forward_type },
    { "target", "dev", XML_STRING, N(ifname), XML_LIVE_IF, .names = made_names, .pattern = DEVICE,
      .legal = DEVICE_LEGAL },
    { "target", "managed", XML_YESNO, N(managed) },
    { "guest", NULL, XML_KEPT, N(kept) },
    { "model", "type", XML_STRING, N(model), XML_ABI, .pattern = "[a-zA-Z0-9_-]+",
      .legal = "a device model such as 'virtio'" },
    { "driver", "name", XML_ENUM, N(driver), .names = drivers, .when = ~HOSTDEV },
    { "driver", "name", XML_STRING, N(hostdev_driver), .when = HOSTDEV, .pattern = "kvm|vfio|xen",
      .legal = "'kvm', 'vfio' or 'xen'" },
    { "driver", "txmode", XML_ENUM, N(txmode), .names = txmodes },
    { "driver", "ioeventfd", XML_ONOFF, N(ioeventfd), XML_ABI },
    { "driver", "event_idx", XML_ONOFF, N(event_idx), XML_ABI },
    { "driver", "queues", XML_UINT, N(queues), XML_ABI, .min = 1, .max = 256 },
    { "driver", "rx_queue_size", XML_UINT, N(rx_queue_size), XML_ABI, .min = 1, .max = 32768 },
    { "driver", "tx_queue_size", XML_UINT, N(tx_queue_size), XML_ABI, .min = 1, .max = 32768 },
    { "driver", "rss", XML_ONOFF, N(rss), XML_ABI },
    { "driver", "rss_hash_report", XML_ONOFF, N(rss_hash_report), XML_ABI },
    { "driver", NULL, XML_INLINE, N(virtio), XML_ABI, .type = &domain_virtio_options_type },
    { "driver/host", NULL, XML_INLINE, N(host), XML_ABI, .type = &host_type },
    { "driver/guest", NULL, XML_INLINE, N(guest), XML_ABI, .type = &guest_type },
    { "backend", "type", XML_STRING, N(backend_type), .pattern = "passt", .legal = "'passt'" },
    { "backend", "tap", XML_STRING, N(backend_tap), .pattern = "/.*", .legal = "an absolute path" },
    { "backend", "vhost", XML_STRING, N(backend_vhost), .pattern = "/.*",
      .legal = "an absolute path" },
    { "backend", "logFile", XML_STRING, N(backend_log), .pattern = "/.*",
      .legal = "an absolute path" },
    { "filterref", "filter", XML_STRING, N(filter), XML_REQUIRED },
    { "filterref/parameter", NULL, XML_LIST, N(filter_parameters), .type = &parameter_type },
    { "tune/sndbuf", NULL, XML_UINT, N(sndbuf), .max = UINT32_MAX },
    { "link", "state", XML_ENUM, N(link), XML_REQUIRED, .names = links },
    { "mtu", "size", XML_UINT, N(mtu), XML_REQUIRED | XML_ABI, .max = 65535 },
    { "coalesce", NULL, XML_KEPT, N(kept) },
    { "teaming", NULL, XML_KEPT, N(kept) },
    { "port", "isolated", XML_YESNO, N(isolated) },
    { NULL, NULL, XML_INLINE, N(info), XML_ABI, .type = &domain_device_info_type },
};

void
domain_interface_show_joined(DomainInterface *net)
{
    if (net->type == DOMAIN_NET_NETWORK && net->source_dev)
        net->type = DOMAIN_NET_DIRECT;
}

static bool
power_of_two(uint64_t n)
{
    return n == XML_UNSET || !(n & (n - 1));
}

static bool
interface_check(const void *obj, GError **err)
{
    const DomainInterface *net = obj;

    if (net->type == DOMAIN_NET_NETWORK && !net->network)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "an interface of type 'network' needs <source network='…'/>");
    if (net->type == DOMAIN_NET_BRIDGE && !net->bridge)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "an interface of type 'bridge' needs <source bridge='…'/>");
    if (net->type == DOMAIN_NET_DIRECT && !net->source_dev)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "an interface of type 'direct' needs <source dev='…'/>");
    if (!power_of_two(net->rx_queue_size) || !power_of_two(net->tx_queue_size))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "rx_queue_size and tx_queue_size must be powers of two");
    if (net->mtu != XML_UNSET && net->mtu && net->mtu < 68)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "MTU %" PRIu64 " is below the least one for IPv4, 68", net->mtu);
    if (net->port_forwards->len && net->type != DOMAIN_NET_USER)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<portForward> is for interfaces of type "
                              "'user', not '%s'",
                              domain_net_types[net->type]);
    if (net->isolated == TRISTATE_ON && net->type != DOMAIN_NET_NETWORK &&
        net->type != DOMAIN_NET_BRIDGE)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<port isolated='yes'/> is for interfaces "
                              "of type 'network' and 'bridge', not '%s'",
                              domain_net_types[net->type]);
    return true;
}

const XmlType domain_interface_type =
    XML_TYPE("interface", DomainInterface, interface_rows,
             .selector = XML_SELECTOR(DomainInterface, type), .check = interface_check);
