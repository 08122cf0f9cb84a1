/* network_check.c - rules of <network> that span fields of one element, by element.
 *
 * What is refused, and with which code, is what libvirt 9.0 refuses. Rules of the whole network are
 * in network_whole.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/network_private.h"

#include "util/error.h"

#include <string.h>
#include <sys/socket.h>

enum { SERVICE_MAX = 512, LEASE_MIN_SECONDS = 120, RANGE6_MAX = 65535 };

bool
network_check_nat_address(const void *obj, GError **err)
{
    const NetworkNatAddress *a = obj;
    IpAddr start, end;

    if (!ip_parse(a->start, &start) || start.family != AF_INET)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "Bad ipv4 start address '%s' in <nat>",
                              a->start);
    if (!ip_parse(a->end, &end) || end.family != AF_INET)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "Bad ipv4 end address '%s' in <nat>", a->end);
    if (ip_compare(&start, &end) > 0)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "range %s - %s is reversed", a->start,
                              a->end);
    return true;
}

bool
network_check_nat_port(const void *obj, GError **err)
{
    const NetworkNatPort *port = obj;

    if (port->end < port->start)
        return kiln_error_set(err, VIR_ERR_XML_DETAIL,
                              "range %" G_GUINT64_FORMAT " - %" G_GUINT64_FORMAT " is reversed",
                              port->start, port->end);
    return true;
}

bool
network_check_forward(const void *obj, GError **err)
{
    const NetworkForward *f = obj;

    /* Without a mode it is nat. */
    if (f->nat && f->mode > NETWORK_FORWARD_NAT)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "The <nat> element can only be used when "
                              "<forward> 'mode' is 'nat', not '%s'",
                              network_forward_modes[f->mode]);
    if (f->dev && (f->addresses->len > 0 || f->pf))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "the <forward> 'dev' attribute cannot be used "
                              "when <address> or <pf> sub-elements are present");
    for (guint i = 0; i < f->interfaces->len; i++) {
        const NetworkForwardInterface *a = g_ptr_array_index(f->interfaces, i);

        if (i == 0 && f->dev && strcmp(f->dev, a->dev) != 0)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "<forward dev='%s'> must match first "
                                  "<interface dev='%s'/>",
                                  f->dev, a->dev);
        for (guint j = 0; j < i; j++) {
            const NetworkForwardInterface *b = g_ptr_array_index(f->interfaces, j);

            if (strcmp(a->dev, b->dev) == 0)
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "interface '%s' can only be listed once", a->dev);
        }
    }
    return true;
}

bool
network_check_forwarder(const void *obj, GError **err)
{
    const NetworkForwarder *f = obj;

    if (!f->addr && !f->domain)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "Invalid forwarder element, must contain at "
                              "least one of addr or domain");
    return true;
}

/* The value goes into one line of dnsmasq's configuration. */
static bool
one_line(const char *text)
{
    return strpbrk(text, "\r\n") == NULL;
}

bool
network_check_txt(const void *obj, GError **err)
{
    const NetworkTxt *txt = obj;

    if (txt->value && !one_line(txt->value))
        return kiln_error_set(err, VIR_ERR_XML_DETAIL,
                              "value of DNS TXT record '%s' has a line end in it", txt->name);
    return true;
}

bool
network_check_srv(const void *obj, GError **err)
{
    const NetworkSrv *srv = obj;

    if (srv->service && strlen(srv->service) > SERVICE_MAX)
        return kiln_error_set(err, VIR_ERR_XML_DETAIL,
                              "service attribute '%s' is too long, limit is "
                              "%d bytes",
                              srv->service, SERVICE_MAX);
    if (!srv->target &&
        (srv->port != XML_UNSET || srv->priority != XML_UNSET || srv->weight != XML_UNSET))
        return kiln_error_set(err, VIR_ERR_XML_DETAIL,
                              "DNS SRV %s attribute not permitted without "
                              "target for service '%s'",
                              srv->port != XML_UNSET       ? "port"
                              : srv->priority != XML_UNSET ? "priority"
                                                           : "weight",
                              srv->service ? srv->service : "");
    return true;
}

bool
network_check_dns_host(const void *obj, GError **err)
{
    const NetworkDnsHost *host = obj;

    if (!host->ip && host->hostnames->len == 0)
        return kiln_error_set(err, VIR_ERR_XML_DETAIL,
                              "Missing ip and hostname in DNS HOST record");
    return true;
}

bool
network_check_dns(const void *obj, GError **err)
{
    const NetworkDns *dns = obj;

    if (dns->enable == TRISTATE_OFF &&
        (dns->forwarders->len || dns->txts->len || dns->srvs->len || dns->hosts->len))
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "Extra data in disabled <dns>");
    for (guint i = 0; i < dns->txts->len; i++) {
        const NetworkTxt *txt = g_ptr_array_index(dns->txts, i);

        if (!txt->value)
            return kiln_error_set(err, VIR_ERR_XML_DETAIL,
                                  "missing required value attribute in DNS "
                                  "TXT record named '%s'",
                                  txt->name);
    }
    for (guint i = 0; i < dns->srvs->len; i++) {
        const NetworkSrv *srv = g_ptr_array_index(dns->srvs, i);

        if (!srv->service || !srv->protocol)
            return kiln_error_set(err, VIR_ERR_XML_DETAIL,
                                  "missing required %s attribute in DNS SRV "
                                  "record",
                                  srv->service ? "protocol" : "service");
    }
    for (guint i = 0; i < dns->hosts->len; i++) {
        const NetworkDnsHost *host = g_ptr_array_index(dns->hosts, i);

        if (!host->ip || host->hostnames->len == 0)
            return kiln_error_set(err, VIR_ERR_XML_DETAIL, "Missing %s in DNS HOST record",
                                  host->ip ? "hostname" : "IP address");
    }
    return true;
}

bool
network_check_vlan(const void *obj, GError **err)
{
    const NetworkVlan *vlan = obj;

    if (vlan->tags->len == 0)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "missing tag id - each <vlan> must have at "
                              "least one <tag id='n'/> subelement");
    if (vlan->trunk == TRISTATE_OFF && vlan->tags->len > 1)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "invalid \"trunk='no'\" in <vlan> - trunk='yes' "
                              "is required for more than one vlan tag");
    return true;
}

bool
network_check_rate(const void *obj, GError **err)
{
    const NetworkRate *rate = obj;

    if (rate->average == XML_UNSET && rate->floor == XML_UNSET)
        return kiln_error_set(err, VIR_ERR_XML_DETAIL,
                              "Missing mandatory average or floor attributes");
    if ((rate->peak != XML_UNSET || rate->burst != XML_UNSET) && rate->average == XML_UNSET)
        return kiln_error_set(err, VIR_ERR_XML_DETAIL,
                              "'peak' and 'burst' require 'average' attribute");
    return true;
}

bool
network_check_lease(const void *obj, GError **err)
{
    static const unsigned factors[] = { [NETWORK_LEASE_UNSET] = 60,
                                        [NETWORK_LEASE_SECONDS] = 1,
                                        [NETWORK_LEASE_MINUTES] = 60,
                                        [NETWORK_LEASE_HOURS] = 3600 };
    const NetworkLeaseTime *lease = obj;
    uint64_t seconds = lease->expiry * factors[lease->unit];

    if (lease->expiry != 0 && seconds < LEASE_MIN_SECONDS)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "The minimum lease time should be greater than 2 minutes");
    if (seconds > UINT32_MAX)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "lease time of %" G_GUINT64_FORMAT " seconds "
                              "is above the limit of %u",
                              seconds, UINT32_MAX);
    return true;
}

bool
network_check_range(const void *obj, GError **err)
{
    const NetworkRange *range = obj;
    IpAddr start, end;

    if (!ip_parse(range->start, &start) || !ip_parse(range->end, &end) ||
        start.family != end.family)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "start and end of range %s - %s must be in same "
                              "address family",
                              range->start, range->end);
    if (ip_compare(&start, &end) > 0)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "range %s - %s is reversed", range->start,
                              range->end);
    if (start.family == AF_INET6 &&
        (ip_range_size(&start, &end) == 0 || ip_range_size(&start, &end) > RANGE6_MAX + 1))
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "range %s - %s is too large (> %d)",
                              range->start, range->end, RANGE6_MAX);
    return true;
}

bool
network_check_dhcp_host(const NetworkDhcpHost *host, int family, GError **err)
{
    IpAddr ip;

    if (family == AF_INET6 && host->mac)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "Invalid to specify MAC address '%s' in IPv6 "
                              "static host definition",
                              host->mac);
    if (family == AF_INET6 && !host->id && !host->name)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "Static host definition in IPv6 network must "
                              "have id or name attribute");
    if (family == AF_INET && !host->mac && !host->name)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "Static host definition in IPv4 network must "
                              "have mac or name attribute");
    if (!host->ip || !ip_parse(host->ip, &ip))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "Missing IP address in static host definition");
    if (ip.family != family)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "the address family of a host entry IP "
                              "must match the address family of the dhcp element's parent");
    return true;
}

static bool
check_range_in(const NetworkRange *range, const IpAddr *address, unsigned prefix, GError **err)
{
    IpAddr first = ip_mask(address, prefix);
    IpAddr last = ip_last(address, prefix);
    g_autofree char *net = ip_format(&first);
    IpAddr start, end;

    if (!ip_parse(range->start, &start) || !ip_parse(range->end, &end))
        return false;
    if (start.family != address->family)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "the address family of a dhcp range "
                              "must match the address family of the dhcp element's parent");
    if (!ip_in_subnet(&start, &first, prefix) || !ip_in_subnet(&end, &first, prefix))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "range %s - %s is not entirely within network "
                              "%s/%u",
                              range->start, range->end, net, prefix);
    if (address->family == AF_INET && prefix < 31 && ip_compare(&start, &first) == 0)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "start of range %s - %s in network %s/%u is the "
                              "network address",
                              range->start, range->end, net, prefix);
    if (address->family == AF_INET && prefix < 31 && ip_compare(&end, &last) == 0)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "end of range %s - %s in network %s/%u is the "
                              "broadcast address",
                              range->start, range->end, net, prefix);
    return true;
}

/* What <ip> and <route> have in common. */
static bool
check_family(const char *family, const char *address, const char *netmask, uint64_t prefix,
             GError **err)
{
    bool v6 = g_strcmp0(family, "ipv6") == 0;
    IpAddr ip, mask;
    unsigned bits;

    if (!ip_parse(address, &ip))
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "Invalid address '%s'", address);
    if (!v6 && ip.family != AF_INET)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s family specified for non-IPv4 "
                              "address '%s'; say family='ipv6'",
                              family ? "ipv4" : "no", address);
    if (v6 && ip.family != AF_INET6)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "Family 'ipv6' specified for non-IPv6 "
                              "address '%s'",
                              address);
    if (v6 && netmask)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "netmask not allowed for IPv6 address "
                              "'%s'; use prefix",
                              address);
    if (netmask && prefix != XML_UNSET)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "IP address '%s' cannot have both a prefix and a netmask", address);
    if (netmask && (!ip_parse(netmask, &mask) || mask.family != AF_INET))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "Invalid netmask '%s' for address '%s' "
                              "(both must be IPv4)",
                              netmask, address);
    if (netmask && !ip_netmask_to_prefix(&mask, &bits))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "Invalid netmask '%s' for address '%s': "
                              "its bits are not in one piece",
                              netmask, address);
    if (prefix != XML_UNSET && prefix > ip_bits(&ip))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "Invalid %s prefix '%" G_GUINT64_FORMAT
                              "' for address '%s', limit is %u",
                              v6 ? "IPv6" : "IPv4", prefix, address, ip_bits(&ip));
    return true;
}

bool
network_check_ip(const void *obj, GError **err)
{
    const NetworkIp *ip = obj;
    IpAddr address;
    unsigned prefix;

    if (!check_family(ip->family, ip->address, ip->netmask, ip->prefix, err))
        return false;
    prefix = network_ip_prefix(ip, &address);
    if (prefix == 0 || ip_is_special(&address))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "'%s' with prefix %u cannot be the address of a network", ip->address,
                              prefix);
    if (ip->tftp_root && address.family == AF_INET6)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "Unsupported <tftp> element in an IPv6 element");
    if (ip->local_ptr == TRISTATE_ON) {
        g_autofree char *zone = ip_reverse_zone(&address, prefix);

        if (!zone)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "Invalid prefix %u for <ip localPtr='yes'>: "
                                  "it must be a multiple of %d",
                                  prefix, address.family == AF_INET6 ? 4 : 8);
    }
    for (guint i = 0; ip->dhcp && i < ip->dhcp->ranges->len; i++)
        if (!check_range_in(g_ptr_array_index(ip->dhcp->ranges, i), &address, prefix, err))
            return false;
    for (guint i = 0; ip->dhcp && i < ip->dhcp->hosts->len; i++)
        if (!network_check_dhcp_host(g_ptr_array_index(ip->dhcp->hosts, i), address.family, err))
            return false;
    return true;
}

bool
network_check_route(const void *obj, GError **err)
{
    const NetworkRoute *route = obj;
    IpAddr address, net, gateway;
    unsigned prefix;

    if (!check_family(route->family, route->address, route->netmask, route->prefix, err))
        return false;
    if (!ip_parse(route->gateway, &gateway))
        return false;
    prefix = network_route_prefix(route, &address);
    net = ip_mask(&address, prefix);
    if (ip_compare(&net, &address) != 0)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "Invalid static route address '%s': it has bits "
                              "beyond its prefix of %u",
                              route->address, prefix);
    if (gateway.family != address.family)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "static route to '%s' has a gateway '%s' of the "
                              "other address family",
                              route->address, route->gateway);
    return true;
}
