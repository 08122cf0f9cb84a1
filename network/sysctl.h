/* sysctl.h - the kernel settings a network needs below /proc/sys/net.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_SYSCTL_H
#define KILN_NETWORK_SYSCTL_H

#include <glib.h>
#include <stdbool.h>

/* net.ipv4.ip_forward and net.ipv6.conf.all.forwarding. Left on when networks stop, as in libvirt:
 * something else may have come to rely on them. */
bool sysctl_enable_forwarding(bool v4, bool v6, GError **err);

/* IPv6 on a bridge of Kiln's: off altogether without @ipv6; with it no addresses or routes are
 * taken from router advertisements of guests. A kernel without IPv6 is an error only with @ipv6. */
bool sysctl_set_bridge_ipv6(const char *bridge, bool ipv6, GError **err);

/* net.ipv6.conf.IFNAME.accept_ra, or -1 when it cannot be read. */
int sysctl_accept_ra(const char *ifname);

#endif
