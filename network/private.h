/* private.h - the manager and its networks, as the files of this room see them.
 *
 * Locks, in the order in which they are taken:
 *   change   held while anything changes: a definition, a start or stop, a port. May be held long.
 *   lock     short; guards the tables of the manager and all fields of networks and ports that are
 *            not marked constant. Whoever holds `change` may read them without it, and takes it to
 *            write.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_PRIVATE_H
#define KILN_NETWORK_PRIVATE_H

#include "network/dnsmasq.h"
#include "network/network.h"
#include "xml/network.h"

#include <libvirt/libvirt.h>

typedef struct {
    char *ifname;  /* constant, as is all else here */
    char *network; /* NULL unless of a network */
    char *domain, *domain_uuid;
    char *mac;
    uint8_t id[16];
} Port;

struct NetworkManager {
    gatomicrefcount refs;
    char *config_dir, *autostart_dir, *run_dir, *dnsmasq_dir; /* constant */
    char *hook_program, *leases_helper, *dnsmasq;
    bool privileged;
    const NetworkOps *ops;
    void *opaque;

    GMutex change, lock;
    GHashTable *by_name; /* name → Network, a reference */
    GHashTable *by_uuid; /* uuid → the same, no reference */
    GHashTable *ports;   /* ifname → Port */
    unsigned next_tap;   /* number for the next vnetN; with `change` */

    /* The keeper: a thread that waits for dnsmasqs to end. */
    GMainContext *keeper;
    GMainLoop *keeper_loop;
    GThread *keeper_thread;
};

struct Network {
    gatomicrefcount refs;
    NetworkManager *manager; /* a reference */
    char *name;              /* constant */
    uint8_t uuid[16];        /* constant */

    NetworkDef *def;  /* the persistent definition, NULL if transient */
    NetworkDef *live; /* what runs, NULL if it does not */
    bool autostart;
    bool registered;

    GSource *dnsmasq_watch; /* with `change` */
    unsigned dnsmasq_restarts;
    gint64 dnsmasq_started; /* g_get_monotonic_time() */
};

/* manager.c */
/* With `change` held; @ret is borrowed. NULL when there is none. */
Network *network_manager_peek_name(NetworkManager *manager, const char *name);
Network *network_manager_peek_uuid(NetworkManager *manager, const uint8_t uuid[16]);
Network *network_manager_add(NetworkManager *manager, const NetworkDef *def);
void network_manager_drop(NetworkManager *manager, Network *network);
void network_manager_warn(NetworkManager *manager, const char *format, ...) G_GNUC_PRINTF(2, 3);
void network_manager_event(Network *network, int event);
void network_manager_unref(NetworkManager *manager);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NetworkManager, network_manager_unref)

/* Takes `lock` and replaces a definition. */
void network_set_def(Network *network, NetworkDef *def);
void network_set_live(Network *network, NetworkDef *live);
DnsmasqPaths *network_dnsmasq_paths(const Network *network, const NetworkDef *def);

/* life.c; all with `change` held */
bool network_start_locked(Network *network, NetworkDef *live, GError **err);
bool network_stop_locked(Network *network, GError **err);
/* Gives @def a bridge name that no other network and no interface has, if it needs one. */
bool network_choose_bridge(NetworkManager *manager, NetworkDef *def, GError **err);

/* False with VIR_ERR_NO_NETWORK when the network was dropped from the registry meanwhile. */
bool network_check_registered(const Network *network, GError **err);
bool network_run_hook(const Network *network, const NetworkDef *def, const char *operation,
                      const char *sub_operation, GError **err);

/* store.c */
bool network_store_def(NetworkManager *manager, const NetworkDef *def, GError **err);
bool network_store_remove(NetworkManager *manager, const char *name, GError **err);
bool network_store_autostart(NetworkManager *manager, const char *name, bool on, GError **err);
bool network_store_live(NetworkManager *manager, const NetworkDef *live, GError **err);
void network_store_remove_live(NetworkManager *manager, const char *name);
/* All readable definitions in the directory (NetworkDef *); unreadable ones are told and passed
 * over. */
GPtrArray *network_store_load(NetworkManager *manager, const char *dir, GError **err);
bool network_store_is_autostart(NetworkManager *manager, const char *name);

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
