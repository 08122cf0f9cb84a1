/* ruleset.c - the nftables rules of one network, as text.
 *
 * What is let through per mode is libvirt's (its firewall documentation, formatnetwork "forward"):
 * nat      guests may open connections to anywhere else and get the answers; their addresses are
 *          replaced by the host's, but not for multicast and limited broadcast;
 * route    guests and the outside may open connections to each other; addresses stay;
 * isolated nothing crosses the bridge's border; guests reach each other and the host.
 * IPv6 is routed in both nat and route, and translated only with <nat ipv6='yes'>.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/ruleset.h"

#include "xml/xmltab.h"

#include <sys/socket.h>

char *
ruleset_table(const char *bridge)
{
    GString *name = g_string_new("kiln_");

    /* nft's identifiers; other bytes become their number, which keeps names distinct. */
    for (const char *c = bridge; *c; c++)
        if (g_ascii_isalnum(*c) || *c == '-' || *c == '.')
            g_string_append_c(name, *c);
        else
            g_string_append_printf(name, "_%02x", (unsigned char)*c);
    return g_string_free(name, FALSE);
}

/* "ip saddr 192.168.122.0/24" */
static char *
match(const IpAddr *net, unsigned prefix, const char *side)
{
    g_autofree char *text = ip_format(net);

    return g_strdup_printf("%s %s %s/%u", net->family == AF_INET6 ? "ip6" : "ip", side, text,
                           prefix);
}

static bool
is_translated(const NetworkDef *def, const IpAddr *ip)
{
    if (network_def_mode(def) != NETWORK_FORWARD_NAT)
        return false;
    return ip->family == AF_INET || (def->forward->nat && def->forward->nat->ipv6 == TRISTATE_ON);
}

static void
forward_rules(const NetworkDef *def, const char *bridge, GString *out)
{
    const char *dev = def->forward ? def->forward->dev : NULL;
    g_autofree char *to_dev = dev ? g_strdup_printf(" oifname \"%s\"", dev) : g_strdup("");
    g_autofree char *from_dev = dev ? g_strdup_printf(" iifname \"%s\"", dev) : g_strdup("");

    g_string_append(out, "  chain forward {\n"
                         "    type filter hook forward priority filter; policy accept;\n");
    g_string_append_printf(out, "    iifname \"%s\" oifname \"%s\" accept\n", bridge, bridge);
    if (network_def_mode(def) != NETWORK_FORWARD_NONE)
        for (guint i = 0; i < def->ips->len; i++) {
            IpAddr ip;
            unsigned prefix = network_ip_prefix(g_ptr_array_index(def->ips, i), &ip);
            IpAddr net = ip_mask(&ip, prefix);
            g_autofree char *from = match(&net, prefix, "saddr");
            g_autofree char *to = match(&net, prefix, "daddr");

            g_string_append_printf(out, "    iifname \"%s\"%s %s accept\n", bridge, to_dev, from);
            g_string_append_printf(out, "    oifname \"%s\"%s %s%s accept\n", bridge, from_dev, to,
                                   is_translated(def, &ip) ? " ct state established,related" : "");
        }
    g_string_append_printf(out,
                           "    iifname \"%s\" counter reject with icmpx port-unreachable\n"
                           "    oifname \"%s\" counter reject with icmpx port-unreachable\n"
                           "  }\n",
                           bridge, bridge);
}

static void
translate_rules(const NetworkDef *def, const IpAddr *ip, unsigned prefix, GString *out)
{
    const NetworkNat *nat = def->forward->nat;
    bool v6 = ip->family == AF_INET6;
    IpAddr net = ip_mask(ip, prefix);
    g_autofree char *text = ip_format(&net);
    g_autofree char *from = match(&net, prefix, "saddr");
    g_autofree char *leaving = NULL;
    g_autofree char *target = NULL;
    g_autofree char *ports = NULL;

    leaving =
        g_strdup_printf("%s%s%s%s %s daddr != %s/%u", def->forward->dev ? "oifname \"" : "",
                        def->forward->dev ? def->forward->dev : "", def->forward->dev ? "\" " : "",
                        from, v6 ? "ip6" : "ip", text, prefix);
    /* <nat><address> is IPv4 only, by the schema. */
    if (nat && nat->address && !v6)
        target = g_strcmp0(nat->address->start, nat->address->end) == 0
                     ? g_strdup_printf("snat ip to %s", nat->address->start)
                     : g_strdup_printf("snat ip to %s-%s", nat->address->start, nat->address->end);
    else
        target = g_strdup("masquerade");
    ports = nat && nat->port ? g_strdup_printf(":%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT,
                                               nat->port->start, nat->port->end)
                             : g_strdup(":1024-65535");
    g_string_append_printf(out, "    %s %s daddr %s return\n", from, v6 ? "ip6" : "ip",
                           v6 ? "ff00::/8" : "{ 224.0.0.0/24, 255.255.255.255 }");
    g_string_append_printf(out, "    %s meta l4proto { tcp, udp } %s%s%s\n", leaving, target,
                           g_str_equal(target, "masquerade") ? " to " : "", ports);
    g_string_append_printf(out, "    %s %s\n", leaving, target);
}

static void
postrouting_rules(const NetworkDef *def, GString *out)
{
    g_string_append(out, "  chain postrouting {\n"
                         "    type nat hook postrouting priority srcnat; policy accept;\n");
    for (guint i = 0; i < def->ips->len; i++) {
        IpAddr ip;
        unsigned prefix = network_ip_prefix(g_ptr_array_index(def->ips, i), &ip);

        if (is_translated(def, &ip))
            translate_rules(def, &ip, prefix, out);
    }
    g_string_append(out, "  }\n");
}

char *
ruleset_remove(const char *bridge)
{
    g_autofree char *table = ruleset_table(bridge);

    /* Adding it first makes the deletion succeed in either case. */
    return g_strdup_printf("add table inet %s\ndelete table inet %s\n", table, table);
}

char *
ruleset_apply(const NetworkDef *def)
{
    NetworkForwardMode mode = network_def_mode(def);
    g_autofree char *table = NULL;
    g_autofree char *clean = NULL;
    GString *out;

    if (mode > NETWORK_FORWARD_ROUTE)
        return NULL;
    table = ruleset_table(def->bridge->name);
    clean = ruleset_remove(def->bridge->name);
    out = g_string_new(clean);
    g_string_append_printf(out, "table inet %s {\n", table);
    forward_rules(def, def->bridge->name, out);
    if (mode == NETWORK_FORWARD_NAT)
        postrouting_rules(def, out);
    g_string_append(out, "}\n");
    return g_string_free(out, FALSE);
}
