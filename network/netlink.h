/* netlink.h - the kernel's links, addresses and routes by rtnetlink (rtnetlink(7), Linux
 * Documentation/networking; message building and transport by libnl-3).
 *
 * Errors are VIR_ERR_SYSTEM_ERROR naming the interface, what was tried and the kernel's reason.
 * A Netlink may be used by one thread at a time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_NETLINK_H
#define KILN_NETWORK_NETLINK_H

#include "xml/network_ip.h"

#include <glib.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Netlink Netlink;

Netlink *netlink_open(GError **err);
void netlink_close(Netlink *nl);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Netlink, netlink_close)

typedef struct {
    unsigned index, master, below; /* below: the device that a macvtap lies on */
    unsigned mtu, flags;           /* flags: IFF_UP … */
    char name[IFNAMSIZ];
    char kind[16]; /* "bridge", "tun", "veth" …, "" for a plain device */
    uint8_t mac[6];
    uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
    uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
} NetlinkLink;

/* False without @err set when there is no such link; false with it when the kernel would not
 * say. */
bool netlink_link_find(Netlink *nl, const char *name, NetlinkLink *ret, GError **err);
/* The same as a question. Not if_nametoindex(3): for a name that is not there its ioctl makes the
 * kernel run modprobe twice and wait for it. */
bool netlink_link_exists(const char *name);

/* @delay: the forward delay in seconds, set before STP is switched on as the kernel wants it.
 * @mtu 0: the kernel's default. */
bool netlink_bridge_add(Netlink *nl, const char *name, const uint8_t mac[6], bool stp,
                        uint64_t delay, uint64_t mtu, GError **err);
/* A macvtap interface over @below, down, that takes all multicast frames: guests join groups, for
 * IPv6 to begin with, without the host's knowledge. @mode: MACVLAN_MODE_…. VIR_ERR_RESOURCE_BUSY
 * when there is an interface @name. */
bool netlink_macvtap_add(Netlink *nl, const char *name, const NetlinkLink *below,
                         const uint8_t mac[6], uint32_t mode, GError **err);
/* Deleting a link that is not there succeeds. */
bool netlink_link_delete(Netlink *nl, const char *name, GError **err);
bool netlink_link_set_up(Netlink *nl, const char *name, bool up, GError **err);
bool netlink_link_set_mac(Netlink *nl, const char *name, const uint8_t mac[6], GError **err);
bool netlink_link_set_mtu(Netlink *nl, const char *name, uint64_t mtu, GError **err);
/* @bridge NULL: out of any bridge. */
bool netlink_link_set_master(Netlink *nl, const char *name, const char *bridge, GError **err);
/* Isolated bridge ports exchange no frames with each other (IFLA_BRPORT_ISOLATED). */
bool netlink_port_set_isolated(Netlink *nl, const char *name, bool isolated, GError **err);

/* What is there already is left as it is. */
bool netlink_address_add(Netlink *nl, const char *name, const IpAddr *ip, unsigned prefix,
                         GError **err);
bool netlink_route_add(Netlink *nl, const char *name, const IpAddr *net, unsigned prefix,
                       const IpAddr *gateway, uint64_t metric, GError **err);

typedef struct {
    char ifname[IFNAMSIZ];
    IpAddr ip;
    unsigned prefix;
} NetlinkAddress;

typedef struct {
    char ifname[IFNAMSIZ]; /* "" for a route without a device */
    IpAddr net;
    unsigned prefix;
    bool from_ra; /* learnt from an IPv6 router advertisement */
} NetlinkRoute;

/* The link's index, or false with @err for one that is not there. */
bool netlink_link_index(Netlink *nl, const char *name, unsigned *ret_index, GError **err);

/* Sends a request with NLM_F_ACK and waits for its answer: 0 or -errno. @msg stays the caller's. */
struct nl_msg;
int netlink_transact(Netlink *nl, struct nl_msg *msg);

/* All addresses, and the unicast routes of the main table (NetlinkAddress / NetlinkRoute, g_free()d
 * by the array). NULL on failure. */
GPtrArray *netlink_addresses(Netlink *nl, GError **err);
GPtrArray *netlink_routes(Netlink *nl, GError **err);

#endif
