/* subnet.c - clashes with the host's networks, and a free one for `default`.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/subnet.h"

#include "util/error.h"

#include <sys/socket.h>

HostView *
host_view_read(Netlink *nl, GError **err)
{
    g_autoptr(HostView) view = g_new0(HostView, 1);

    view->addresses = netlink_addresses(nl, err);
    if (!view->addresses)
        return NULL;
    view->routes = netlink_routes(nl, err);
    if (!view->routes)
        return NULL;
    return g_steal_pointer(&view);
}

void
host_view_free(HostView *view)
{
    if (!view)
        return;
    g_clear_pointer(&view->addresses, g_ptr_array_unref);
    g_clear_pointer(&view->routes, g_ptr_array_unref);
    g_free(view);
}

static bool
is_link_local(const IpAddr *ip)
{
    return ip->family == AF_INET6 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

static bool
subnet_check_one(const HostView *view, const char *name, const IpAddr *ip, unsigned prefix,
                 const char *own_bridge, GError **err)
{
    IpAddr net = ip_mask(ip, prefix);
    g_autofree char *net_text = ip_format(&net);

    if (is_link_local(ip))
        return true;
    for (guint i = 0; i < view->addresses->len; i++) {
        const NetlinkAddress *a = g_ptr_array_index(view->addresses, i);
        g_autofree char *text = NULL;

        if (g_strcmp0(a->ifname, own_bridge) == 0 || !ip_in_subnet(&a->ip, &net, prefix))
            continue;
        text = ip_format(&a->ip);
        return kiln_error_set(
            err, VIR_ERR_INTERNAL_ERROR,
            "Network is already in use by interface %s: it has the address %s/%u, "
            "which is in %s/%u of network '%s'; give the network another address",
            a->ifname, text, a->prefix, net_text, prefix, name);
    }
    for (guint i = 0; i < view->routes->len; i++) {
        const NetlinkRoute *r = g_ptr_array_index(view->routes, i);
        g_autofree char *text = NULL;

        if (g_strcmp0(r->ifname, own_bridge) == 0 || r->prefix < prefix ||
            !ip_in_subnet(&r->net, &net, prefix))
            continue;
        text = ip_format(&r->net);
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "Network is already in use by interface %s: the host has a route to "
                              "%s/%u, which is in %s/%u of network '%s'; give the network another "
                              "address",
                              r->ifname[0] ? r->ifname : "(none)", text, r->prefix, net_text,
                              prefix, name);
    }
    return true;
}

bool
subnet_check(const HostView *view, const NetworkDef *def, const char *own_bridge, GError **err)
{
    for (guint i = 0; i < def->ips->len; i++) {
        IpAddr ip;
        unsigned prefix = network_ip_prefix(g_ptr_array_index(def->ips, i), &ip);

        if (!subnet_check_one(view, def->name, &ip, prefix, own_bridge, err))
            return false;
    }
    for (guint i = 0; i < def->routes->len; i++) {
        IpAddr ip;
        unsigned prefix = network_route_prefix(g_ptr_array_index(def->routes, i), &ip);

        if (!subnet_check_one(view, def->name, &ip, prefix, own_bridge, err))
            return false;
    }
    return true;
}

static bool
overlaps(const IpAddr *a, unsigned a_prefix, const IpAddr *b, unsigned b_prefix)
{
    return ip_in_subnet(a, b, MIN(a_prefix, b_prefix));
}

bool
subnet_choose(const HostView *view, GPtrArray *taken, unsigned *ret_n, GError **err)
{
    for (unsigned try = 0; try < 256; try++) {
        unsigned n = (122 + try) % 256;
        IpAddr net = { .family = AF_INET, .bytes = { 192, 168, (uint8_t)n, 0 } };
        bool free_net = true;

        for (guint i = 0; free_net && i < view->addresses->len; i++) {
            const NetlinkAddress *a = g_ptr_array_index(view->addresses, i);

            free_net = !overlaps(&a->ip, a->prefix, &net, 24);
        }
        for (guint i = 0; free_net && i < view->routes->len; i++) {
            const NetlinkRoute *r = g_ptr_array_index(view->routes, i);

            free_net = r->prefix == 0 || !overlaps(&r->net, r->prefix, &net, 24);
        }
        for (guint i = 0; free_net && i < taken->len; i++) {
            IpAddr ip;

            free_net = !ip_parse(g_ptr_array_index(taken, i), &ip) || !ip_in_subnet(&ip, &net, 24);
        }
        if (free_net) {
            *ret_n = n;
            return true;
        }
    }
    return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                          "no 192.168.N.0/24 is free on this host for network 'default'; define it "
                          "with an address of your own choice");
}

bool
subnet_check_ra(const HostView *view, int (*accept_ra)(const char *ifname), GError **err)
{
    for (guint i = 0; i < view->routes->len; i++) {
        const NetlinkRoute *r = g_ptr_array_index(view->routes, i);

        if (r->net.family != AF_INET6 || !r->from_ra || !r->ifname[0] || accept_ra(r->ifname) == 2)
            continue;
        return kiln_error_set(
            err, VIR_ERR_INTERNAL_ERROR,
            "Check the host setup: interface %s has IPv6 routes learnt from router "
            "advertisements, and enabling IPv6 forwarding without accept_ra set "
            "to 2 would drop them; set net.ipv6.conf.%s.accept_ra=2",
            r->ifname, r->ifname);
    }
    return true;
}
