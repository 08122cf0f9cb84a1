/* network.h - <network>: a host network as XML (libvirt formatnetwork, schema network.rng of 9.0).
 *
 * Fields hold what the XML says; addresses are kept as checked, canonical text. Lists are never
 * NULL; absent numbers are XML_UNSET, absent enums and tristates 0, absent strings and sub-structs
 * NULL. Kept but not applied today: vlan, virtualport, zone, macTableManager='libvirt',
 * trustGuestRxFilters; network/ refuses them by name where they would matter. Not in the 9.0 schema
 * and so ignored like there: title, description, <domain register=''/>.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_NETWORK_H
#define KILN_XML_NETWORK_H

#include "xml/network_ip.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Names become file names ("NAME.addnhosts") and interface names. */
enum { NETWORK_NAME_MAX = 200, NETWORK_BRIDGE_NAME_MAX = 15 };

/* Order is that of network_forward_modes[]; 0 is "no <forward>", an isolated network. */
typedef enum {
    NETWORK_FORWARD_NONE,
    NETWORK_FORWARD_NAT,
    NETWORK_FORWARD_ROUTE,
    NETWORK_FORWARD_OPEN,
    NETWORK_FORWARD_BRIDGE,
    NETWORK_FORWARD_PRIVATE,
    NETWORK_FORWARD_VEPA,
    NETWORK_FORWARD_PASSTHROUGH,
    NETWORK_FORWARD_HOSTDEV,
    NETWORK_FORWARD_NAMED_NONE, /* read only: becomes no <forward> */
} NetworkForwardMode;
extern const char *const network_forward_modes[];

typedef enum {
    NETWORK_LEASE_UNSET,
    NETWORK_LEASE_SECONDS,
    NETWORK_LEASE_MINUTES,
    NETWORK_LEASE_HOURS,
} NetworkLeaseUnit;

typedef enum {
    NETWORK_MAC_TABLE_UNSET,
    NETWORK_MAC_TABLE_KERNEL,
    NETWORK_MAC_TABLE_LIBVIRT,
} NetworkMacTable;

typedef struct {
    char *start, *end;
} NetworkNatAddress;

typedef struct {
    uint64_t start, end;
} NetworkNatPort;

typedef struct {
    int ipv6; /* Tristate */
    NetworkNatAddress *address;
    NetworkNatPort *port;
} NetworkNat;

typedef struct {
    char *dev;
    uint64_t connections;
} NetworkForwardInterface;

typedef struct {
    char *type; /* "pci" */
    uint64_t domain, bus, slot, function;
} NetworkForwardAddress;

typedef struct {
    char *dev;
    int mode;     /* NetworkForwardMode, never NONE */
    int managed;  /* Tristate, hostdev only */
    char *driver; /* "kvm" or "vfio" */
    NetworkNat *nat;
    char *pf;
    GPtrArray *interfaces; /* NetworkForwardInterface; the first repeats @dev */
    GPtrArray *addresses;  /* NetworkForwardAddress */
} NetworkForward;

typedef struct {
    char *name, *zone;
    int stp;        /* Tristate; always set in a mode with its own bridge */
    uint64_t delay; /* seconds */
    int mac_table;  /* NetworkMacTable */
} NetworkBridge;

typedef struct {
    char *name;
    int local_only; /* Tristate */
} NetworkDomain;

typedef struct {
    char *domain, *addr;
} NetworkForwarder;

typedef struct {
    char *name, *value;
} NetworkTxt;

typedef struct {
    char *service, *protocol, *domain, *target;
    uint64_t port, priority, weight;
} NetworkSrv;

typedef struct {
    char *ip;
    GPtrArray *hostnames; /* char * */
} NetworkDnsHost;

typedef struct {
    int enable, forward_plain_names; /* Tristate */
    GPtrArray *forwarders, *txts, *srvs, *hosts;
} NetworkDns;

typedef struct {
    uint64_t id;
    int native_mode; /* 0, 1 tagged, 2 untagged */
} NetworkVlanTag;

typedef struct {
    int trunk; /* Tristate */
    GPtrArray *tags;
} NetworkVlan;

typedef struct {
    uint64_t average, peak, burst, floor; /* KiB/s, KiB/s, KiB, KiB/s */
} NetworkRate;

typedef struct {
    NetworkRate *inbound, *outbound;
} NetworkBandwidth;

typedef struct {
    char *type;
    uint64_t manager_id, type_id, type_id_version;
    char *instance_id, *profile_id, *interface_id;
} NetworkVirtualPort;

typedef struct {
    uint64_t expiry; /* 0: never */
    int unit;        /* NetworkLeaseUnit */
} NetworkLeaseTime;

typedef struct {
    char *start, *end;
    NetworkLeaseTime *lease;
} NetworkRange;

typedef struct {
    char *mac, *id, *name, *ip;
    NetworkLeaseTime *lease;
} NetworkDhcpHost;

typedef struct {
    char *file, *server;
} NetworkBootp;

typedef struct {
    GPtrArray *ranges, *hosts;
    NetworkBootp *bootp;
} NetworkDhcp;

typedef struct {
    char *family; /* as written: NULL means ipv4 */
    char *address, *netmask;
    uint64_t prefix;
    int local_ptr; /* Tristate */
    char *tftp_root;
    NetworkDhcp *dhcp;
} NetworkIp;

typedef struct {
    char *family, *address, *netmask;
    uint64_t prefix;
    char *gateway;
    uint64_t metric;
} NetworkRoute;

typedef struct {
    char *name;
    int is_default, trust_rx_filters; /* Tristate */
    NetworkVlan *vlan;
    NetworkVirtualPort *virtualport;
    NetworkBandwidth *bandwidth;
} NetworkPortgroup;

typedef struct {
    uint64_t connections;       /* live XML only */
    int ipv6, trust_rx_filters; /* Tristate */
    char *name;
    char *uuid;     /* canonical text */
    char *metadata; /* the whole element, verbatim */
    NetworkForward *forward;
    NetworkBridge *bridge;
    uint64_t mtu;
    char *mac;
    NetworkDomain *domain;
    NetworkDns *dns;
    NetworkVlan *vlan;
    NetworkBandwidth *bandwidth;
    int port_isolated; /* Tristate */
    GPtrArray *ips, *routes;
    NetworkVirtualPort *virtualport;
    GPtrArray *portgroups;
    GPtrArray *dnsmasq_options; /* char *, of the dnsmasq namespace */
} NetworkDef;

typedef enum {
    NETWORK_DEF_VALIDATE = 1 << 0, /* check against the schema first */
} NetworkDefFlags;

/* Parses and checks one <network>. Makes up the UUID, the MAC of a network with its own bridge,
 * and the defaults that clients read back (stp, delay). NULL with @err: VIR_ERR_XML_ERROR,
 * VIR_ERR_XML_DETAIL, VIR_ERR_CONFIG_UNSUPPORTED … as libvirt. Any thread. */
NetworkDef *network_def_parse(const char *xml, unsigned flags, GError **err);
char *network_def_format(const NetworkDef *def);
NetworkDef *network_def_copy(const NetworkDef *def);
void network_def_free(NetworkDef *def);
NetworkBridge *network_bridge_new(void);
NetworkNat *network_nat_new(void);
NetworkNatPort *network_nat_port_new(uint64_t start, uint64_t end);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NetworkDef, network_def_free)

NetworkForwardMode network_def_mode(const NetworkDef *def);
/* Whether the mode has a bridge of the network's own: isolated, nat, route, open. */
bool network_def_owns_bridge(const NetworkDef *def);
/* Guests join devices of the host, by macvtap: there is no bridge. */
bool network_def_is_direct(const NetworkDef *def);
bool network_def_dns_enabled(const NetworkDef *def);

/* The address of an <ip> or <route> and its prefix length, which is the classful one when the XML
 * gives neither netmask nor prefix, as in libvirt. */
unsigned network_ip_prefix(const NetworkIp *ip, IpAddr *ret_address);
unsigned network_route_prefix(const NetworkRoute *route, IpAddr *ret_address);

/* Applies one virNetworkUpdate to @def, whose checks are run again afterwards. On failure @def may
 * be changed: work on a copy. */
bool network_def_update(NetworkDef *def, unsigned command, unsigned section, int parent_index,
                        const char *xml, GError **err);

#endif
