/* private.h - the manager and its networks, as the files of this room see them.
 *
 * Locks are the registry's. `change` is held while anything changes: a definition, a start or stop,
 * a port; whoever holds it may read all fields without `lock`.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_PRIVATE_H
#define KILN_NETWORK_PRIVATE_H

#include "network/dnsmasq.h"
#include "network/network.h"
#include "util/registry.h"
#include "xml/network.h"

#include <libvirt/libvirt.h>

typedef struct {
    char *ifname;  /* constant, as is all else here */
    char *network; /* NULL unless of a network */
    char *dev;     /* of the network's devices, the one that a macvtap lies on; else NULL */
    char *domain, *domain_uuid;
    char *mac;
    uint8_t id[16];
} Port;

struct NetworkManager {
    Registry registry;
    char *dnsmasq_dir, *hook_program, *leases_helper, *dnsmasq; /* constant */
    bool privileged;
    const NetworkOps *ops;
    void *opaque;

    GHashTable *ports;               /* ifname → Port */
    unsigned next_tap, next_macvtap; /* numbers for the next vnetN and macvtapN; with `change` */

    /* The keeper: a thread that waits for dnsmasqs to end. */
    GMainContext *keeper;
    GMainLoop *keeper_loop;
    GThread *keeper_thread;
};

struct Network {
    RegistryObject object;
    NetworkManager *manager;

    NetworkDef *def;  /* the persistent definition, NULL if transient */
    NetworkDef *live; /* what runs, NULL if it does not */

    GSource *dnsmasq_watch; /* with `change` */
    unsigned dnsmasq_restarts;
    gint64 dnsmasq_started; /* g_get_monotonic_time() */
};

/* manager.c */
/* With `change` held; borrowed. */
Network *network_manager_add(NetworkManager *manager, const NetworkDef *def);
void network_manager_event(Network *network, int event);

/* Takes `lock` and replaces a definition. */
void network_set_def(Network *network, NetworkDef *def);
void network_set_live(Network *network, NetworkDef *live);
DnsmasqPaths *network_dnsmasq_paths(const Network *network, const NetworkDef *def);

/* life.c; all with `change` held */
bool network_start_locked(Network *network, NetworkDef *live, GError **err);
bool network_stop_locked(Network *network, GError **err);
/* Gives @def a bridge name that no other network and no interface has, if it needs one. */
bool network_choose_bridge(NetworkManager *manager, NetworkDef *def, GError **err);

/* Run the administrator's hooks, with @def or @xml as the data of the hook. */
bool network_run_hook(const Network *network, const NetworkDef *def, const char *operation,
                      const char *sub_operation, GError **err);
bool network_run_hook_with(const Network *network, const char *xml, const char *operation,
                           const char *sub_operation, GError **err);

/* bringup.c */
/* Refuses by name what @def asks for and Kiln does not apply (VIR_ERR_CONFIG_UNSUPPORTED). */
bool network_check_applied(const NetworkDef *def, GError **err);
/* Whether the host has room for it: no interface of the bridge's name, no address in its networks.
 */
bool network_check_free(const NetworkDef *live, GError **err);
/* Whether its bridge is there. */
bool network_is_there(const NetworkDef *live);
/* Adds what a running network lacks, because a start was cut short or someone took it away. */
bool network_complete(const NetworkDef *live, GError **err);
/* Makes bridge, addresses, routes and rules of @live, or nothing. */
bool network_bring_up(const NetworkDef *live, GError **err);
/* Replaces the rules of a running network. */
bool network_apply_rules(const NetworkDef *live, GError **err);
/* Takes away what is there of it. */
void network_take_down(const NetworkDef *live);

/* keeper.c; with `change` held */
/* Starts the network's dnsmasq if it needs one, or takes up the one that runs, and watches it. */
bool network_serve(Network *network, const NetworkDef *live, bool adopt, GError **err);
void network_unserve(Network *network, const NetworkDef *live, bool drop_leases);
void network_keeper_start(NetworkManager *manager);
void network_keeper_stop(NetworkManager *manager);

/* One direction of a network's or portgroup's <bandwidth>, which may be NULL. */
NetworkLimit network_limit_of(const NetworkRate *rate);

/* port.c */
void port_free(Port *port);
/* Puts the guests' names and MACs where libnss-libvirt reads them; with `change` held. */
void network_write_macs(Network *network, const NetworkDef *live);
/* Puts the taps of guests that are on the network back on its bridge; with `change` held. */
void network_rejoin_ports(Network *network, const NetworkDef *live);
/* With `lock` held. */
unsigned network_count_ports(NetworkManager *manager, const char *network);

#endif
