/* domain_net.h - <interface> of a guest (libvirt formatdomain "Network interfaces", schema of 9.0).
 *
 * Types network, bridge, direct, user, ethernet and null are read whole; the sources of the others,
 * virtual ports, filters and tuning that Kiln does not apply are kept in @kept.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_NET_H
#define KILN_XML_DOMAIN_NET_H

#include "xml/domain_device.h"

typedef enum {
    DOMAIN_NET_NONE,
    DOMAIN_NET_USER,
    DOMAIN_NET_ETHERNET,
    DOMAIN_NET_VHOSTUSER,
    DOMAIN_NET_SERVER,
    DOMAIN_NET_CLIENT,
    DOMAIN_NET_MCAST,
    DOMAIN_NET_NETWORK,
    DOMAIN_NET_BRIDGE,
    DOMAIN_NET_INTERNAL,
    DOMAIN_NET_DIRECT,
    DOMAIN_NET_HOSTDEV,
    DOMAIN_NET_UDP,
    DOMAIN_NET_VDPA,
    DOMAIN_NET_NULL,
    DOMAIN_NET_VDS,
} DomainNetType;
extern const char *const domain_net_types[];

/* <source mode=''> of DIRECT */
typedef enum {
    DOMAIN_DIRECT_ABSENT,
    DOMAIN_DIRECT_VEPA,
    DOMAIN_DIRECT_BRIDGE,
    DOMAIN_DIRECT_PRIVATE,
    DOMAIN_DIRECT_PASSTHROUGH,
} DomainDirectMode;

typedef enum { DOMAIN_LINK_ABSENT, DOMAIN_LINK_UP, DOMAIN_LINK_DOWN } DomainLink;

typedef enum {
    DOMAIN_NET_DRIVER_ABSENT,
    DOMAIN_NET_DRIVER_QEMU,
    DOMAIN_NET_DRIVER_VHOST
} DomainNetDriver;

typedef struct {
    int family; /* 0, 1 ipv4, 2 ipv6 */
    char *address, *peer;
    uint64_t prefix;
} DomainIp;

typedef struct {
    int family; /* 0, 1 ipv4, 2 ipv6 */
    char *address, *netmask, *gateway;
    uint64_t prefix, metric;
} DomainRoute;

typedef struct {
    uint64_t start, end, to;
    int exclude; /* yes/no */
} DomainPortRange;

typedef struct {
    int proto; /* 1 tcp, 2 udp */
    char *address, *dev;
    GPtrArray *ranges; /* DomainPortRange */
} DomainPortForward;

typedef struct {
    uint64_t average, peak, floor, burst; /* KiB/s, KiB/s, KiB/s, KiB */
} DomainBandwidth;

typedef struct {
    int csum, gso, tso4, tso6, ecn, ufo, mrg_rxbuf; /* on/off */
} DomainNetOffloads;

typedef struct {
    char *name, *value;
} DomainFilterParameter;

typedef struct {
    int type;                   /* DomainNetType; always set */
    int hostdev_managed;        /* HOSTDEV, yes/no */
    char *hostdev_driver;       /* HOSTDEV */
    int trust_guest_rx_filters; /* yes/no */
    char *mac;                  /* always set after completion */
    int mac_type, mac_check;
    char *network;            /* source; NETWORK, and live BRIDGE made from one */
    char *portgroup;          /* source; NETWORK */
    char *port_id;            /* source portid; live, a UUID */
    char *bridge;             /* source; BRIDGE, and live NETWORK: the bridge joined */
    int mac_table;            /* source macTableManager: 1 kernel, 2 libvirt; live */
    char *source_dev;         /* source; USER (passt), DIRECT, and live NETWORK: what a macvtap
                               * lies on */
    int source_mode;          /* DomainDirectMode; DIRECT, and live NETWORK with @source_dev */
    GPtrArray *source_ips;    /* DomainIp; ETHERNET: on the host's side */
    GPtrArray *source_routes; /* DomainRoute */
    GPtrArray *kept;          /* XmlKept */
    int vlan_trunk;           /* yes/no */
    GPtrArray *vlan_tags;     /* DomainVlanTag */
    uint64_t bandwidth_class; /* live */
    DomainBandwidth *inbound, *outbound;
    char *script, *downscript;
    GPtrArray *ips;           /* DomainIp; in the guest (USER) */
    GPtrArray *routes;        /* DomainRoute */
    GPtrArray *port_forwards; /* DomainPortForward; USER */
    char *ifname;             /* <target dev>: tap; names made by the daemon are live only */
    int managed;              /* <target managed>, yes/no */
    char *model;              /* "virtio" … */
    int driver;               /* DomainNetDriver */
    uint64_t queues, rx_queue_size, tx_queue_size;
    int txmode;
    int ioeventfd, event_idx, rss, rss_hash_report; /* on/off */
    DomainVirtioOptions virtio;
    DomainNetOffloads host, guest;
    char *backend_type; /* "passt" */
    char *backend_tap, *backend_vhost, *backend_log;
    char *filter;                 /* <filterref filter=> */
    GPtrArray *filter_parameters; /* DomainFilterParameter */
    int link;                     /* DomainLink */
    uint64_t mtu;
    uint64_t sndbuf;
    int isolated; /* <port isolated=>, yes/no */
    DomainDeviceInfo info;
} DomainInterface;

typedef struct {
    uint64_t id;
    int native_mode; /* 1 tagged, 2 untagged */
} DomainVlanTag;

/* A random MAC address of QEMU's range for one that has none. Completing a definition does it. */
void domain_interface_give_mac(DomainInterface *net);

/* Shows a running guest's interface of a network as libvirt shows it to clients: as one of type
 * 'direct' if that is how it joined. */
void domain_interface_show_joined(DomainInterface *net);

extern const XmlType domain_bandwidth_type;
extern const XmlType domain_interface_type;

#endif
