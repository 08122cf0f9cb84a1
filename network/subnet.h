/* subnet.h - which networks the host is in already: clashes with a network to be started, and a
 * free one for `default`.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_SUBNET_H
#define KILN_NETWORK_SUBNET_H

#include "network/netlink.h"
#include "xml/network.h"

/* What the host has; made from netlink, or by hand in tests. */
typedef struct {
    GPtrArray *addresses; /* NetlinkAddress */
    GPtrArray *routes;    /* NetlinkRoute */
} HostView;

HostView *host_view_read(Netlink *nl, GError **err);
void host_view_free(HostView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostView, host_view_free)

/* Whether the addresses of @def are free on the host. What is on @own_bridge (may be NULL) does not
 * count. A clash is: an address of the host within one of the networks, or a route of the host to
 * the same network or a part of it. A wider route (a VPN's 10.0.0.0/8) is none: the narrower one
 * wins in the kernel. VIR_ERR_INTERNAL_ERROR, as in libvirt, naming interface and address. */
bool subnet_check(const HostView *view, const NetworkDef *def, const char *own_bridge,
                  GError **err);

/* Chooses N for a new 192.168.N.0/24, from 122 on and round to 0, that no address or route (but the
 * default routes) of the host overlaps at all and that is in none of @taken (char *, addresses of
 * defined networks as in XML). False with @err when all 256 are taken. */
bool subnet_choose(const HostView *view, GPtrArray *taken, unsigned *ret_n, GError **err);

/* Refuses to switch IPv6 forwarding on while a route learnt from router advertisements would be
 * lost by it: the kernel stops taking advertisements on an interface whose accept_ra is not 2 once
 * forwarding is on. @accept_ra tells the setting of an interface. */
bool subnet_check_ra(const HostView *view, int (*accept_ra)(const char *ifname), GError **err);

#endif
