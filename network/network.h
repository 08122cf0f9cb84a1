/* network.h - host networks: the registry of virtual networks, their life, and the ports by which
 * guests join them.
 *
 * Follows libvirt's network objects (formatnetwork, virNetwork* API of libvirt 9.0). Forward modes
 * nat, route, open, bridge, private, vepa, passthrough and none (isolated) run; hostdev is kept in
 * definitions and refused at start.
 *
 * Threads: every function may be called from any thread. Queries take one short lock; whatever
 * changes a network (define, start, stop, update, a port) is done one at a time, however long the
 * programs it starts take, and holds no query up but network_is_active(). Callbacks of NetworkOps
 * come without the short lock, but may come while a change is under way: they must not call back
 * into a change, nor ask that.
 *
 * Errors are GErrors in KILN_ERROR with libvirt's codes. ret_ parameters are untouched on failure.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_NETWORK_H
#define KILN_NETWORK_NETWORK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct NetworkManager NetworkManager;
typedef struct Network Network;

/* Where things are. Strings are copied by network_manager_new(). */
typedef struct {
    const char *config_dir;    /* /etc/kiln/networks: NAME.xml and autostart/ links */
    const char *run_dir;       /* /run/kiln/network: status XML, pid files */
    const char *dnsmasq_dir;   /* /var/lib/libvirt/dnsmasq: configuration and leases, where
                                * libnss-libvirt looks */
    const char *hook_program;  /* /etc/kiln/hooks/network; need not exist. NULL: no hooks */
    const char *leases_helper; /* kiln-leases, absolute */
    const char *dnsmasq;       /* dnsmasq, absolute; NULL: /usr/sbin/dnsmasq */
    bool privileged;           /* false (session): networks may not be defined or started */
} NetworkConfig;

typedef struct {
    /* A life cycle event: virNetworkEventLifecycleType and its detail (always 0 today). */
    void (*lifecycle)(void *opaque, const char *name, const uint8_t uuid[16], int event,
                      int detail);
    /* Something an administrator should find in the log: a dnsmasq restarted, a definition that
     * could not be read. */
    void (*warn)(void *opaque, const char *message);
} NetworkOps;

/* @ops and @opaque must outlive the manager; either callback may be NULL. Touches nothing on the
 * host. */
NetworkManager *network_manager_new(const NetworkConfig *config, const NetworkOps *ops,
                                    void *opaque);

/* Reads the definitions, takes up the networks that a former daemon left running (restarting a
 * dnsmasq that died meanwhile), makes `default` when there has never been one, and starts what is
 * marked autostart. A single bad definition or a network that will not start is told through
 * warn() and passed over; false only when the directories cannot be used. A session manager has
 * nothing to load. Call once, before anything else, from any thread. */
bool network_manager_load(NetworkManager *manager, GError **err);

/* Stops watching; networks stay up. Networks still referenced elsewhere stay readable. */
void network_manager_free(NetworkManager *manager);

/* --- finding ---------------------------------------------------------------------------- */

/* A new reference, or NULL with VIR_ERR_NO_NETWORK (43). */
Network *network_manager_lookup_name(NetworkManager *manager, const char *name, GError **err);
Network *network_manager_lookup_uuid(NetworkManager *manager, const uint8_t uuid[16], GError **err);

/* Networks (Network *, references owned by the array) that match @flags, which are
 * virConnectListAllNetworksFlags; groups without a flag do not filter. Sorted by name. */
GPtrArray *network_manager_list(NetworkManager *manager, unsigned flags);

Network *network_ref(Network *network);
void network_unref(Network *network);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Network, network_unref)

/* --- reading one ------------------------------------------------------------------------ */

/* The network's own; constant for its life. */
const char *network_name(const Network *network);
const uint8_t *network_uuid(const Network *network);

/* Waits for the end of a start or a stop of the network, ten seconds at most. */
bool network_is_active(Network *network);
bool network_is_persistent(Network *network);
bool network_autostart(Network *network);

/* @flags: VIR_NETWORK_XML_INACTIVE. g_free() the result. */
char *network_xml(Network *network, unsigned flags, GError **err);

/* VIR_ERR_INTERNAL_ERROR when the network has no bridge, as libvirt. g_free() the result. */
char *network_bridge_name(Network *network, GError **err);

typedef struct {
    char *iface;    /* the bridge */
    int64_t expiry; /* seconds since 1970; 0: never */
    int type;       /* virIPAddrType */
    char *mac;      /* "52:54:00:..", NULL if unknown */
    char *iaid;     /* IPv6 only, else NULL */
    char *ip;
    unsigned prefix;
    char *hostname;  /* NULL if the client gave none */
    char *client_id; /* client id or DUID, NULL if none */
} NetworkLease;
void network_lease_free(NetworkLease *lease);

/* Leases not yet expired (NetworkLease *, owned by the array), of @mac only unless NULL. An empty
 * array for a network without DHCP. */
GPtrArray *network_leases(Network *network, const char *mac, GError **err);

/* --- changing --------------------------------------------------------------------------- */

/* Defines persistently (virNetworkDefineXMLFlags: VALIDATE). A running network keeps its live
 * definition until restarted. New reference. */
Network *network_manager_define(NetworkManager *manager, const char *xml, unsigned flags,
                                GError **err);
/* Starts a transient network, or a persistent inactive one of the same name and UUID with this XML
 * for the run (virNetworkCreateXMLFlags: VALIDATE). New reference. */
Network *network_manager_create(NetworkManager *manager, const char *xml, unsigned flags,
                                GError **err);

bool network_start(Network *network, GError **err);
bool network_destroy(Network *network, GError **err);
bool network_undefine(Network *network, GError **err);
bool network_set_autostart(Network *network, bool autostart, GError **err);

/* virNetworkUpdate with @command and @section in their documented order (the caller undoes the
 * swap of clients without feature 16); @flags: virNetworkUpdateFlags. */
bool network_update(Network *network, unsigned command, unsigned section, int parent_index,
                    const char *xml, unsigned flags, GError **err);

/* --- ports: how a guest's NIC joins ----------------------------------------------------- */

typedef enum {
    NETWORK_PORT_NETWORK,  /* <interface type='network'>: source is a network's name */
    NETWORK_PORT_BRIDGE,   /* type='bridge': source is a host bridge's name */
    NETWORK_PORT_ETHERNET, /* type='ethernet': a bare tap, source ignored */
    NETWORK_PORT_DIRECT,   /* type='direct': source is a device of the host, joined by macvtap */
} NetworkPortKind;

/* How guests on one device see each other: by way of an outer switch, at once, not at all; or the
 * guest has the device to itself. */
typedef enum {
    NETWORK_DIRECT_VEPA = 1,
    NETWORK_DIRECT_BRIDGE,
    NETWORK_DIRECT_PRIVATE,
    NETWORK_DIRECT_PASSTHROUGH,
} NetworkDirectMode;

enum { NETWORK_PORT_MAX_QUEUES = 256 };

/* One direction of <bandwidth>, 0 for what is not given: KiB/s, and KiB for the burst. */
typedef struct {
    uint64_t average, peak, burst, floor;
} NetworkLimit;

typedef struct {
    NetworkPortKind kind;
    const char *source;
    NetworkDirectMode mode; /* DIRECT */
    const char *portgroup;  /* NULL: the network's default one, if any */
    const char *domain_name;
    const uint8_t *domain_uuid; /* 16 bytes */
    uint8_t mac[6];             /* the guest's; a tap gets it with 0xfe as its first byte */
    const char *ifname;         /* exact name, a "name%d" template, or NULL for "vnet%d" and
                                 * "macvtap%d" */
    unsigned queues;            /* 0 counts as 1 */
    uint64_t mtu;               /* 0: the network's or the bridge's */
    bool vnet_hdr;              /* IFF_VNET_HDR */
    bool isolated;              /* <port isolated='yes'/>: no traffic between isolated ports */
    bool managed;               /* ethernet: false opens an existing tap named @ifname and leaves
                                 * its address, MTU and state alone */
    bool link_down;             /* <link state='down'/>: the tap is left down */
    /* <bandwidth>, inbound is towards the guest. All 0: the portgroup's. A floor is refused. */
    NetworkLimit inbound, outbound;
} NetworkPortRequest;

typedef struct {
    char *ifname;
    char *bridge;           /* NULL without one */
    char *dev;              /* what a macvtap lies on, NULL for a tap */
    NetworkDirectMode mode; /* with @dev */
    char *portgroup;        /* the one used, or NULL */
    uint8_t id[16];         /* portid of <source>, for kind NETWORK */
    uint64_t mtu;           /* of the tap as it is now */
    int *fds;               /* close-on-exec tap queues, non-blocking */
    unsigned n_fds;
} NetworkPort;
void network_port_free(NetworkPort *port); /* closes the descriptors still in @fds */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NetworkPort, network_port_free)

/* Makes the tap, names it, attaches it to the bridge and brings it up. The tap lives as long as one
 * of the descriptors is open in some process; a macvtap, on a network of such a mode or for kind
 * DIRECT, until network_port_close(). NULL with nothing left behind on failure;
 * VIR_ERR_OPERATION_INVALID (55) when the network is not active, VIR_ERR_NO_NETWORK when unknown.
 */
NetworkPort *network_port_open(NetworkManager *manager, const NetworkPortRequest *request,
                               GError **err);

/* After a daemon restart: the guest still holds @ifname; counts the port again and puts the tap
 * back on its network's bridge if it is not there. False with @err when the network or the tap is
 * gone. */
bool network_port_reclaim(NetworkManager *manager, const NetworkPortRequest *request,
                          const char *ifname, const uint8_t id[16], GError **err);

/* The guest is gone: forgets the port, deletes the tap if something still holds it, runs the
 * port-deleted hook. Never fails; @ifname may be gone already. Only @kind, @managed and @mac
 * of @request are looked at. */
void network_port_close(NetworkManager *manager, const NetworkPortRequest *request,
                        const char *ifname);

/* Brings the tap up or down (<link state=''/> of a running guest). */
bool network_port_set_link(const char *ifname, bool up, GError **err);

/* Limits the tap anew, in place of former limits; all 0: not at all. A floor is refused. */
bool network_port_set_limits(const char *ifname, const NetworkLimit *inbound,
                             const NetworkLimit *outbound, GError **err);

typedef struct {
    uint64_t rx_bytes, rx_packets, rx_errs, rx_drop; /* as the guest sees them */
    uint64_t tx_bytes, tx_packets, tx_errs, tx_drop;
} NetworkPortStats;
/* Counters of the tap, seen from the guest (the tap's transmit is the guest's receive). */
bool network_port_stats(const char *ifname, NetworkPortStats *ret_stats, GError **err);

/* --- the doctor ------------------------------------------------------------------------- */

/* Reports what this host can do for networks, one call of @line each: what was looked at, what was
 * found, and what helps (NULL: all is well). Changes nothing. */
typedef void (*NetworkCheckFunc)(void *opaque, const char *what, const char *found,
                                 const char *remedy);
void network_check_host(const NetworkConfig *config, NetworkCheckFunc line, void *opaque);

#endif
