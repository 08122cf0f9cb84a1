/* dnsmasq_config.c - dnsmasq's files for one network, as text (dnsmasq(8) 2.90).
 *
 * Values come from checked XML: addresses are canonical, names have no newline or comma (the checks
 * of xml/network_check.c), so that a line cannot be split.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/dnsmasq_config.h"

#include "xml/xmltab.h"

#include <sys/socket.h>

DnsmasqPaths *
dnsmasq_paths_new(const char *dir, const char *run_dir, const char *network, const char *bridge)
{
    DnsmasqPaths *paths = g_new0(DnsmasqPaths, 1);

    paths->conf = g_strdup_printf("%s/%s.conf", dir, network);
    paths->hosts = g_strdup_printf("%s/%s.hostsfile", dir, network);
    paths->addn_hosts = g_strdup_printf("%s/%s.addnhosts", dir, network);
    paths->pid = g_strdup_printf("%s/%s.pid", run_dir, network);
    paths->status = g_strdup_printf("%s/%s.status", dir, bridge);
    paths->macs = g_strdup_printf("%s/%s.macs", dir, bridge);
    return paths;
}

void
dnsmasq_paths_free(DnsmasqPaths *paths)
{
    if (!paths)
        return;
    g_free(paths->conf);
    g_free(paths->hosts);
    g_free(paths->addn_hosts);
    g_free(paths->pid);
    g_free(paths->status);
    g_free(paths->macs);
    g_free(paths);
}

static bool
has_dhcp(const NetworkIp *ip)
{
    return ip->dhcp && (ip->dhcp->ranges->len > 0 || ip->dhcp->hosts->len > 0);
}

bool
dnsmasq_config_needed(const NetworkDef *def)
{
    if (!network_def_owns_bridge(def) || def->ips->len == 0)
        return false;
    if (network_def_dns_enabled(def))
        return true;
    for (guint i = 0; i < def->ips->len; i++) {
        const NetworkIp *ip = g_ptr_array_index(def->ips, i);

        if (has_dhcp(ip) || ip->tftp_root)
            return true;
    }
    return false;
}

/* ",30m" or nothing. */
static void
append_lease(GString *out, const NetworkLeaseTime *lease)
{
    static const char units[] = { [NETWORK_LEASE_UNSET] = 'm',
                                  [NETWORK_LEASE_SECONDS] = 's',
                                  [NETWORK_LEASE_MINUTES] = 'm',
                                  [NETWORK_LEASE_HOURS] = 'h' };

    if (!lease)
        return;
    if (lease->expiry == 0)
        g_string_append(out, ",infinite");
    else
        g_string_append_printf(out, ",%" G_GUINT64_FORMAT "%c", lease->expiry, units[lease->unit]);
}

static void
dns_config(const NetworkDef *def, GString *out)
{
    const NetworkDns *dns = def->dns;
    bool no_resolv = false;

    for (guint i = 0; dns && i < dns->forwarders->len; i++) {
        const NetworkForwarder *f = g_ptr_array_index(dns->forwarders, i);

        g_string_append(out, "server=");
        if (f->domain)
            g_string_append_printf(out, "/%s/", f->domain);
        g_string_append_printf(out, "%s\n", f->addr ? f->addr : "#");
        no_resolv |= !f->domain;
    }
    if (no_resolv)
        g_string_append(out, "no-resolv\n");
}

static void
domain_config(const NetworkDef *def, GString *out)
{
    bool local = def->domain && def->domain->local_only == TRISTATE_ON;

    if (network_def_dns_enabled(def) && def->dns && def->dns->forward_plain_names == TRISTATE_OFF) {
        g_string_append(out, "domain-needed\n");
        if (!local)
            g_string_append(out, "local=//\n");
    }
    if (!def->domain)
        return;
    if (local)
        g_string_append_printf(out, "local=/%s/\n", def->domain->name);
    g_string_append_printf(out, "domain=%s\nexpand-hosts\n", def->domain->name);
}

static void
reverse_config(const NetworkDef *def, GString *out)
{
    for (guint i = 0; i < def->ips->len; i++) {
        const NetworkIp *ip = g_ptr_array_index(def->ips, i);
        g_autofree char *zone = NULL;
        IpAddr addr;
        unsigned prefix;

        if (ip->local_ptr != TRISTATE_ON)
            continue;
        prefix = network_ip_prefix(ip, &addr);
        zone = ip_reverse_zone(&addr, prefix);
        if (zone)
            g_string_append_printf(out, "local=/%s/\n", zone);
    }
}

static void
records_config(const NetworkDns *dns, GString *out)
{
    for (guint i = 0; i < dns->txts->len; i++) {
        const NetworkTxt *txt = g_ptr_array_index(dns->txts, i);

        g_string_append_printf(out, "txt-record=%s,%s\n", txt->name, txt->value);
    }
    for (guint i = 0; i < dns->srvs->len; i++) {
        const NetworkSrv *srv = g_ptr_array_index(dns->srvs, i);

        g_string_append_printf(out, "srv-host=_%s._%s", srv->service, srv->protocol);
        if (srv->domain)
            g_string_append_printf(out, ".%s", srv->domain);
        if (srv->target) {
            uint64_t port = srv->port != XML_UNSET ? srv->port : 1;
            uint64_t priority = srv->priority != XML_UNSET ? srv->priority : 0;
            uint64_t weight = srv->weight != XML_UNSET ? srv->weight : 0;

            g_string_append_printf(
                out, ",%s,%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT,
                srv->target, port, priority, weight);
        }
        g_string_append_c(out, '\n');
    }
}

/* Returns how many leases the ranges of @ip hold. */
static uint64_t
dhcp_config(const NetworkIp *ip, GString *out)
{
    IpAddr addr;
    unsigned prefix = network_ip_prefix(ip, &addr);
    IpAddr mask = ip_prefix_to_netmask(addr.family, prefix);
    g_autofree char *mask_text = ip_format(&mask);
    uint64_t leases = 0;

    for (guint i = 0; i < ip->dhcp->ranges->len; i++) {
        const NetworkRange *range = g_ptr_array_index(ip->dhcp->ranges, i);
        IpAddr start, end;

        g_string_append_printf(out, "dhcp-range=%s,%s,", range->start, range->end);
        if (addr.family == AF_INET6)
            g_string_append_printf(out, "%u", prefix);
        else
            g_string_append(out, mask_text);
        append_lease(out, range->lease);
        g_string_append_c(out, '\n');
        if (ip_parse(range->start, &start) && ip_parse(range->end, &end))
            leases += ip_range_size(&start, &end);
    }
    /* Only the listed hosts get an address. */
    if (ip->dhcp->ranges->len == 0) {
        g_string_append_printf(out, "dhcp-range=%s,static", ip->address);
        if (addr.family == AF_INET6)
            g_string_append_printf(out, ",%u", prefix);
        g_string_append_c(out, '\n');
    }
    if (addr.family == AF_INET) {
        g_string_append(out, "dhcp-no-override\n");
        if (ip->dhcp->ranges->len > 0)
            g_string_append(out, "dhcp-authoritative\n");
    }
    return leases;
}

static void
boot_config(const NetworkIp *ip, GString *out)
{
    const NetworkBootp *bootp = ip->dhcp ? ip->dhcp->bootp : NULL;

    if (ip->tftp_root)
        g_string_append_printf(out, "enable-tftp\ntftp-root=%s\n", ip->tftp_root);
    if (!bootp)
        return;
    g_string_append_printf(out, "dhcp-boot=%s", bootp->file);
    if (bootp->server)
        g_string_append_printf(out, ",,%s", bootp->server);
    g_string_append_c(out, '\n');
}

/* Router advertisements: with DHCPv6 they tell guests to use it, without they let guests choose
 * addresses themselves. dnsmasq cannot do both at once. */
static void
advertise_config(const NetworkDef *def, GString *out)
{
    bool dhcp6 = false;

    for (guint i = 0; i < def->ips->len; i++) {
        const NetworkIp *ip = g_ptr_array_index(def->ips, i);

        dhcp6 |= g_strcmp0(ip->family, "ipv6") == 0 && has_dhcp(ip);
    }
    if (dhcp6) {
        g_string_append(out, "enable-ra\n");
        return;
    }
    for (guint i = 0; i < def->ips->len; i++) {
        const NetworkIp *ip = g_ptr_array_index(def->ips, i);

        if (g_strcmp0(ip->family, "ipv6") == 0)
            g_string_append_printf(out, "dhcp-range=%s,ra-only\n", ip->address);
    }
}

char *
dnsmasq_config_text(const NetworkDef *def, const DnsmasqPaths *paths)
{
    GString *out =
        g_string_new("## Written by Kiln when the network starts; changes here are lost.\n"
                     "## Use: virsh net-edit NETWORK\n");
    bool dns = network_def_dns_enabled(def);
    bool any_dhcp = false;
    uint64_t leases = 0;

    g_string_append(out, "strict-order\n");
    if (!dns)
        g_string_append(out, "port=0\n");
    else
        dns_config(def, out);
    domain_config(def, out);
    if (dns)
        reverse_config(def, out);
    g_string_append_printf(out, "pid-file=%s\nexcept-interface=lo\nbind-dynamic\ninterface=%s\n",
                           paths->pid, def->bridge->name);
    /* No default route, and no names of a world that cannot be reached. */
    if (network_def_mode(def) == NETWORK_FORWARD_NONE)
        g_string_append(out, "dhcp-option=3\nno-resolv\n");
    if (def->dns)
        records_config(def->dns, out);
    for (guint i = 0; i < def->ips->len; i++) {
        const NetworkIp *ip = g_ptr_array_index(def->ips, i);

        if (has_dhcp(ip)) {
            leases += dhcp_config(ip, out);
            any_dhcp = true;
        }
        boot_config(ip, out);
    }
    if (leases)
        g_string_append_printf(out, "dhcp-lease-max=%" G_GUINT64_FORMAT "\n", leases);
    if (any_dhcp)
        g_string_append_printf(out, "dhcp-hostsfile=%s\n", paths->hosts);
    if (dns)
        g_string_append_printf(out, "addn-hosts=%s\n", paths->addn_hosts);
    if (def->mtu != XML_UNSET && any_dhcp)
        g_string_append_printf(out, "dhcp-option=option:mtu,%" G_GUINT64_FORMAT "\n", def->mtu);
    advertise_config(def, out);
    for (guint i = 0; i < def->dnsmasq_options->len; i++)
        g_string_append_printf(out, "%s\n", (char *)g_ptr_array_index(def->dnsmasq_options, i));
    return g_string_free(out, FALSE);
}

bool
dnsmasq_config_same(const NetworkDef *a, const NetworkDef *b, const DnsmasqPaths *paths)
{
    g_autofree char *x = dnsmasq_config_text(a, paths);
    g_autofree char *y = dnsmasq_config_text(b, paths);

    return g_str_equal(x, y);
}

char *
dnsmasq_hosts_text(const NetworkDef *def)
{
    GString *out = g_string_new("");

    for (guint i = 0; i < def->ips->len; i++) {
        const NetworkIp *ip = g_ptr_array_index(def->ips, i);
        bool v6 = g_strcmp0(ip->family, "ipv6") == 0;

        for (guint j = 0; ip->dhcp && j < ip->dhcp->hosts->len; j++) {
            const NetworkDhcpHost *host = g_ptr_array_index(ip->dhcp->hosts, j);

            if (v6) {
                if (host->id)
                    g_string_append_printf(out, "id:%s,", host->id);
                if (host->name)
                    g_string_append_printf(out, "%s,", host->name);
                g_string_append_printf(out, "[%s]", host->ip);
            } else {
                g_string_append_printf(out, "%s,%s", host->mac ? host->mac : host->name, host->ip);
                if (host->mac && host->name)
                    g_string_append_printf(out, ",%s", host->name);
            }
            append_lease(out, host->lease);
            g_string_append_c(out, '\n');
        }
    }
    return g_string_free(out, FALSE);
}

char *
dnsmasq_addn_hosts_text(const NetworkDef *def)
{
    GString *out = g_string_new("");

    for (guint i = 0; def->dns && i < def->dns->hosts->len; i++) {
        const NetworkDnsHost *host = g_ptr_array_index(def->dns->hosts, i);

        g_string_append(out, host->ip);
        for (guint j = 0; j < host->hostnames->len; j++)
            g_string_append_printf(out, "\t%s", (char *)g_ptr_array_index(host->hostnames, j));
        g_string_append_c(out, '\n');
    }
    return g_string_free(out, FALSE);
}
