/* port.c - how a guest's NIC joins a network, a host bridge, or nothing but a tap.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/private.h"

#include "network/hook.h"
#include "network/macs.h"
#include "network/netlink.h"
#include "network/tap.h"
#include "network/tc.h"
#include "util/error.h"
#include "util/file.h"
#include "util/uuid.h"
#include "xml/xmltab.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { TAP_TRIES = 4096 };

void
port_free(Port *port)
{
    if (!port)
        return;
    g_free(port->ifname);
    g_free(port->network);
    g_free(port->domain);
    g_free(port->domain_uuid);
    g_free(port->mac);
    g_free(port);
}

void
network_port_free(NetworkPort *port)
{
    if (!port)
        return;
    for (unsigned i = 0; i < port->n_fds; i++)
        if (port->fds[i] >= 0)
            close(port->fds[i]);
    g_free(port->fds);
    g_free(port->ifname);
    g_free(port->bridge);
    g_free(port->portgroup);
    g_free(port);
}

unsigned
network_count_ports(NetworkManager *m, const char *network)
{
    GHashTableIter iter;
    gpointer value;
    unsigned n = 0;

    g_hash_table_iter_init(&iter, m->ports);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        n += g_strcmp0(((Port *)value)->network, network) == 0;
    return n;
}

void
network_write_macs(Network *network, const NetworkDef *live)
{
    NetworkManager *m = network->manager;
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(DnsmasqPaths) paths = NULL;
    g_autoptr(GError) err = NULL;
    g_autofree char *text = NULL;
    GHashTableIter iter;
    gpointer value;

    if (!network_def_owns_bridge(live) || !dnsmasq_config_needed(live))
        return;
    g_hash_table_iter_init(&iter, m->ports);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Port *port = value;
        MacsEntry *entry;

        if (!port->domain || g_strcmp0(port->network, network->object.name) != 0)
            continue;
        entry = g_new0(MacsEntry, 1);
        entry->domain = port->domain;
        entry->mac = port->mac;
        g_ptr_array_add(entries, entry);
    }
    text = macs_format(entries);
    paths = network_dnsmasq_paths(network, live);
    if (!file_write_atomic(paths->macs, text, strlen(text), 0644, &err))
        registry_warn(&m->registry, "guests' names on network '%s' are not written: %s",
                      network->object.name, err->message);
}

static const Port *
register_port(NetworkManager *m, const NetworkPortRequest *req, const char *ifname,
              const uint8_t id[16])
{
    static const uint8_t no_uuid[16];
    Port *port = g_new0(Port, 1);

    port->ifname = g_strdup(ifname);
    port->network = req->kind == NETWORK_PORT_NETWORK ? g_strdup(req->source) : NULL;
    port->domain = g_strdup(req->domain_name);
    port->domain_uuid = kiln_uuid_format(req->domain_uuid ? req->domain_uuid : no_uuid);
    port->mac = xml_mac_format(req->mac);
    memcpy(port->id, id, sizeof(port->id));
    g_mutex_lock(&m->registry.lock);
    g_hash_table_replace(m->ports, port->ifname, port);
    g_mutex_unlock(&m->registry.lock);
    return port;
}

/* The port is gone from the table, but not freed. */
static Port *
unregister_port(NetworkManager *m, const char *ifname)
{
    gpointer port = NULL;

    g_mutex_lock(&m->registry.lock);
    g_hash_table_steal_extended(m->ports, ifname, NULL, &port);
    g_mutex_unlock(&m->registry.lock);
    return port;
}

/* Tells the hook of a port, in the form of libvirt's <networkport>. */
static bool
run_port_hook(Network *network, const Port *port, const char *operation, const char *sub_operation,
              GError **err)
{
    g_autofree char *net = network_def_format(network->live);
    g_autofree char *id = kiln_uuid_format(port->id);
    g_autofree char *owner = xml_escape(port->domain ? port->domain : "");
    g_autofree char *bridge = xml_escape(network->live->bridge->name);
    g_autofree char *xml = g_strdup_printf("%s<networkport>\n"
                                           "  <uuid>%s</uuid>\n"
                                           "  <owner>\n"
                                           "    <name>%s</name>\n"
                                           "    <uuid>%s</uuid>\n"
                                           "  </owner>\n"
                                           "  <mac address='%s'/>\n"
                                           "  <plug type='network' bridge='%s'/>\n"
                                           "</networkport>\n",
                                           net, id, owner, port->domain_uuid, port->mac, bridge);

    return hook_run(network->manager->hook_program, network->object.name, operation, sub_operation,
                    xml, err);
}

/* --- what a port joins ------------------------------------------------------------------ */

static const NetworkPortgroup *
find_portgroup(const NetworkDef *live, const char *name)
{
    for (guint i = 0; i < live->portgroups->len; i++) {
        const NetworkPortgroup *group = g_ptr_array_index(live->portgroups, i);

        if (name ? strcmp(group->name, name) == 0 : group->is_default == TRISTATE_ON)
            return group;
    }
    return NULL;
}

/* The running network of @req, or NULL with @err. */
static Network *
find_running(NetworkManager *m, const NetworkPortRequest *req, GError **err)
{
    Network *network = registry_peek(&m->registry, req->source);

    if (!network)
        kiln_error_set(err, VIR_ERR_NO_NETWORK, "no network with matching name '%s'", req->source);
    else if (!network->live)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "network '%s' is not active", req->source);
    else
        return network;
    return NULL;
}

static bool
has_limit(const NetworkPortRequest *req)
{
    return req->inbound.average || req->inbound.floor || req->outbound.average ||
           req->outbound.floor;
}

/* The portgroup of @req, whose settings it takes over. */
static bool
check_portgroup(const NetworkDef *live, NetworkPortRequest *req, char **ret_name, GError **err)
{
    const NetworkPortgroup *group = find_portgroup(live, req->portgroup);
    const char *what = NULL;

    if (!group && req->portgroup)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "network '%s' has no portgroup '%s'",
                              live->name, req->portgroup);
    if (!group)
        return true;
    if (group->vlan)
        what = "<vlan>";
    else if (group->virtualport)
        what = "<virtualport>";
    if (what)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "portgroup '%s' of network '%s' has "
                              "%s, which is not offered",
                              group->name, live->name, what);
    *ret_name = g_strdup(group->name);
    if (group->bandwidth && !has_limit(req)) {
        req->inbound = network_limit_of(group->bandwidth->inbound);
        req->outbound = network_limit_of(group->bandwidth->outbound);
    }
    return true;
}

static bool
check_bridge(Netlink *nl, const char *bridge, NetlinkLink *ret, GError **err)
{
    GError *inner = NULL;

    if (netlink_link_find(nl, bridge, ret, &inner)) {
        if (strcmp(ret->kind, "bridge") == 0)
            return true;
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "interface '%s' is not a bridge of "
            "Linux%s",
            bridge, strcmp(ret->kind, "openvswitch") == 0 ? " (Open vSwitch is not offered)" : "");
    }
    if (inner)
        g_propagate_error(err, inner);
    else
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                       "Cannot get interface MTU on '%s': there is no such "
                       "bridge on this host",
                       bridge);
    return false;
}

/* --- the tap ---------------------------------------------------------------------------- */

/* Numbers go up and are not used again while the daemon lives, so that what belonged to a guest
 * that is gone (counters, filters) is not taken for the next one's. */
static bool
open_numbered(NetworkManager *m, const char *name, const NetworkPortRequest *req, unsigned queues,
              NetworkPort *port, GError **err)
{
    const char *percent = strstr(name, "%d");

    for (unsigned i = 0; i < TAP_TRIES; i++) {
        g_autofree char *exact =
            g_strdup_printf("%.*s%u%s", (int)(percent - name), name, m->next_tap++, percent + 2);
        g_autoptr(GError) failure = NULL;
        char actual[IFNAMSIZ];

        if (tap_open(exact, queues, req->vnet_hdr, false, actual, port->fds, &failure)) {
            port->ifname = g_strdup(actual);
            return true;
        }
        if (kiln_error_code(failure) != VIR_ERR_RESOURCE_BUSY) {
            g_propagate_error(err, g_steal_pointer(&failure));
            return false;
        }
    }
    return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                          "no free tap interface name like '%s' in %d "
                          "tries",
                          name, TAP_TRIES);
}

static bool
open_tap(NetworkManager *m, const NetworkPortRequest *req, NetworkPort *port, GError **err)
{
    unsigned queues = MAX(req->queues, 1);
    const char *name = req->ifname ? req->ifname : "vnet%d";
    bool existing = req->kind == NETWORK_PORT_ETHERNET && !req->managed;
    char actual[IFNAMSIZ];

    if (queues > NETWORK_PORT_MAX_QUEUES)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "a NIC can have at most %d queues, not "
                              "%u",
                              NETWORK_PORT_MAX_QUEUES, queues);
    if (existing && (!req->ifname || strchr(req->ifname, '%')))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "an unmanaged tap needs <target dev=''/>");
    if (!tap_name_valid(name, true))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "'%s' cannot be the name of a network "
                              "interface",
                              name);
    port->fds = g_new(int, queues);
    memset(port->fds, -1, queues * sizeof(int));
    if (strstr(name, "%d")) {
        if (!open_numbered(m, name, req, queues, port, err))
            return false;
    } else {
        if (!tap_open(name, queues, req->vnet_hdr, existing, actual, port->fds, err))
            return false;
        port->ifname = g_strdup(actual);
    }
    port->n_fds = queues;
    return true;
}

static bool
set_up_tap(Netlink *nl, const NetworkPortRequest *req, NetworkPort *port, uint64_t mtu,
           GError **err)
{
    uint8_t mac[6];

    if (req->kind == NETWORK_PORT_ETHERNET && !req->managed)
        return true;
    /* 0xfe: higher than any guest's, so that a bridge does not take this address for its own. */
    memcpy(mac, req->mac, sizeof(mac));
    if (req->kind != NETWORK_PORT_ETHERNET)
        mac[0] = 0xfe;
    return netlink_link_set_mac(nl, port->ifname, mac, err) &&
           (mtu == 0 || netlink_link_set_mtu(nl, port->ifname, mtu, err)) &&
           (!port->bridge || netlink_link_set_master(nl, port->ifname, port->bridge, err)) &&
           (!req->isolated || netlink_port_set_isolated(nl, port->ifname, true, err)) &&
           netlink_link_set_up(nl, port->ifname, !req->link_down, err);
}

static bool
limit_tap(Netlink *nl, const NetworkPortRequest *req, const char *ifname, GError **err)
{
    if (req->inbound.floor || req->outbound.floor)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<bandwidth> with a 'floor' is not offered: use 'average' to limit "
                              "the others, or remove it");
    return tc_limit_sent(nl, ifname, &req->inbound, err) &&
           tc_limit_received(nl, ifname, &req->outbound, err);
}

static NetworkPort *
open_locked(NetworkManager *m, const NetworkPortRequest *req, GError **err)
{
    g_autoptr(NetworkPort) port = g_new0(NetworkPort, 1);
    g_autoptr(Netlink) nl = netlink_open(err);
    NetworkPortRequest actual = *req;
    const Port *registered;
    Network *network = NULL;
    NetlinkLink link = { 0 };
    uint64_t mtu = req->mtu;

    if (!nl)
        return NULL;
    if (req->kind == NETWORK_PORT_NETWORK) {
        network = find_running(m, req, err);
        if (!network || !check_portgroup(network->live, &actual, &port->portgroup, err))
            return NULL;
        port->bridge = g_strdup(network->live->bridge->name);
        actual.isolated |= network->live->port_isolated == TRISTATE_ON;
        if (mtu == 0 && network->live->mtu != XML_UNSET)
            mtu = network->live->mtu;
    } else if (req->kind == NETWORK_PORT_BRIDGE) {
        port->bridge = g_strdup(req->source);
    }
    if (port->bridge && !check_bridge(nl, port->bridge, &link, err))
        return NULL;
    if (mtu == 0)
        mtu = link.mtu;
    if (getrandom(port->id, sizeof(port->id), 0) != sizeof(port->id)) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "cannot make up a port's id");
        return NULL;
    }
    port->id[6] = 0x40 | (port->id[6] & 0x0f);
    port->id[8] = 0x80 | (port->id[8] & 0x3f);
    if (!open_tap(m, req, port, err) || !set_up_tap(nl, &actual, port, mtu, err) ||
        !limit_tap(nl, &actual, port->ifname, err))
        return NULL;
    port->mtu = netlink_link_find(nl, port->ifname, &link, NULL) ? link.mtu : mtu;
    registered = register_port(m, req, port->ifname, port->id);
    if (network) {
        network_write_macs(network, network->live);
        if (!run_port_hook(network, registered, "port-created", "begin", err)) {
            port_free(unregister_port(m, port->ifname));
            network_write_macs(network, network->live);
            return NULL;
        }
    }
    return g_steal_pointer(&port);
}

NetworkPort *
network_port_open(NetworkManager *m, const NetworkPortRequest *req, GError **err)
{
    NetworkPort *port;

    g_mutex_lock(&m->registry.change);
    port = open_locked(m, req, err);
    g_mutex_unlock(&m->registry.change);
    return port;
}

/* --- after a daemon restart, and at the end --------------------------------------------- */

static bool
reclaim_locked(NetworkManager *m, const NetworkPortRequest *req, const char *ifname,
               const uint8_t id[16], GError **err)
{
    g_autoptr(Netlink) nl = netlink_open(err);
    const char *bridge = req->kind == NETWORK_PORT_BRIDGE ? req->source : NULL;
    Network *network = NULL;
    NetlinkLink link, master;
    unsigned number;

    if (!nl)
        return false;
    if (req->kind == NETWORK_PORT_NETWORK) {
        network = find_running(m, req, err);
        if (!network)
            return false;
        bridge = network->live->bridge->name;
    }
    if (!netlink_link_find(nl, ifname, &link, err)) {
        if (err && !*err)
            kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "tap interface '%s' is gone", ifname);
        return false;
    }
    if (bridge &&
        (!check_bridge(nl, bridge, &master, err) ||
         (link.master != master.index && !netlink_link_set_master(nl, ifname, bridge, err))))
        return false;
    if (sscanf(ifname, "vnet%u", &number) == 1 && number >= m->next_tap && number < G_MAXINT)
        m->next_tap = number + 1;
    register_port(m, req, ifname, id);
    if (network)
        network_write_macs(network, network->live);
    return true;
}

bool
network_port_reclaim(NetworkManager *m, const NetworkPortRequest *req, const char *ifname,
                     const uint8_t id[16], GError **err)
{
    g_autoptr(GError) inner = NULL;
    bool ok;

    g_mutex_lock(&m->registry.change);
    ok = reclaim_locked(m, req, ifname, id, &inner);
    g_mutex_unlock(&m->registry.change);
    if (!ok)
        g_propagate_error(err, g_steal_pointer(&inner));
    return ok;
}

void
network_port_close(NetworkManager *m, const NetworkPortRequest *req, const char *ifname)
{
    bool ours = req->kind != NETWORK_PORT_ETHERNET || req->managed;
    g_autoptr(GError) err = NULL;
    Network *network = NULL;
    Port *port;

    g_mutex_lock(&m->registry.change);
    port = unregister_port(m, ifname);
    /* A name that is not in the table is not ours to delete. */
    if (port && ours) {
        g_autoptr(Netlink) nl = netlink_open(NULL);

        if (nl)
            netlink_link_delete(nl, ifname, NULL);
    }
    if (port && port->network)
        network = registry_peek(&m->registry, port->network);
    if (network && network->live) {
        network_write_macs(network, network->live);
        if (!run_port_hook(network, port, "port-deleted", "end", &err))
            registry_warn(&m->registry, "%s", err->message);
    }
    port_free(port);
    g_mutex_unlock(&m->registry.change);
}

void
network_rejoin_ports(Network *network, const NetworkDef *live)
{
    NetworkManager *m = network->manager;
    g_autoptr(Netlink) nl = netlink_open(NULL);
    GHashTableIter iter;
    gpointer value;

    if (!nl || !live->bridge)
        return;
    g_hash_table_iter_init(&iter, m->ports);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Port *port = value;
        g_autoptr(GError) err = NULL;

        if (g_strcmp0(port->network, network->object.name) == 0 &&
            !netlink_link_set_master(nl, port->ifname, live->bridge->name, &err))
            registry_warn(&m->registry, "guest '%s' stays off network '%s': %s", port->domain,
                          network->object.name, err->message);
    }
    network_write_macs(network, live);
}

bool
network_port_set_link(const char *ifname, bool up, GError **err)
{
    g_autoptr(Netlink) nl = netlink_open(err);

    return nl && netlink_link_set_up(nl, ifname, up, err);
}

bool
network_port_set_limits(const char *ifname, const NetworkLimit *inbound,
                        const NetworkLimit *outbound, GError **err)
{
    g_autoptr(Netlink) nl = netlink_open(err);
    const NetworkPortRequest wanted = { .inbound = *inbound, .outbound = *outbound };

    return nl && tc_unlimit(nl, ifname, err) && limit_tap(nl, &wanted, ifname, err);
}

bool
network_port_stats(const char *ifname, NetworkPortStats *ret, GError **err)
{
    g_autoptr(Netlink) nl = netlink_open(err);
    g_autoptr(GError) inner = NULL;
    NetlinkLink link;

    if (!nl)
        return false;
    if (!netlink_link_find(nl, ifname, &link, &inner)) {
        if (inner)
            g_propagate_error(err, g_steal_pointer(&inner));
        else
            kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "Interface '%s' not found", ifname);
        return false;
    }
    *ret = (NetworkPortStats){
        .rx_bytes = link.tx_bytes,
        .rx_packets = link.tx_packets,
        .rx_errs = link.tx_errors,
        .rx_drop = link.tx_dropped,
        .tx_bytes = link.rx_bytes,
        .tx_packets = link.rx_packets,
        .tx_errs = link.rx_errors,
        .tx_drop = link.rx_dropped,
    };
    return true;
}
