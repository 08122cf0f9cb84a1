/* port.c - how a guest's NIC joins a network, a host bridge, a device, or nothing but a tap.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/private.h"

#include "network/macs.h"
#include "network/macvtap.h"
#include "network/netlink.h"
#include "network/ports.h"
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
    g_free(port->dev);
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
    g_free(port->dev);
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

static unsigned
count_users(NetworkManager *m, const char *network, const char *dev)
{
    GHashTableIter iter;
    gpointer value;
    unsigned n = 0;

    g_hash_table_iter_init(&iter, m->ports);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Port *port = value;

        n += g_strcmp0(port->network, network) == 0 && g_strcmp0(port->dev, dev) == 0;
    }
    return n;
}

/* What depends on which guests have joined: their names for DNS, and how many a device serves. */
static void
show_ports(Network *network)
{
    NetworkManager *m = network->manager;
    const NetworkDef *live = network->live;

    network_write_macs(network, live);
    if (!network_def_is_direct(live))
        return;
    g_mutex_lock(&m->registry.lock);
    for (guint i = 0; i < live->forward->interfaces->len; i++) {
        NetworkForwardInterface *at = live->forward->interfaces->pdata[i];
        unsigned n = count_users(m, network->object.name, at->dev);

        at->connections = n ? n : XML_UNSET;
    }
    g_mutex_unlock(&m->registry.lock);
}

/* @dev: the network's device that was chosen, or NULL. */
static const Port *
register_port(NetworkManager *m, const NetworkPortRequest *req, const char *ifname,
              const uint8_t id[16], const char *dev)
{
    static const uint8_t no_uuid[16];
    Port *port = g_new0(Port, 1);

    port->ifname = g_strdup(ifname);
    port->network = req->kind == NETWORK_PORT_NETWORK ? g_strdup(req->source) : NULL;
    port->dev = port->network ? g_strdup(dev) : NULL;
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

/* Attributes of <plug>: what the port joins. */
static char *
port_plug(const NetworkDef *live, const Port *port)
{
    const NetworkBridge *bridge = live->bridge;
    const char *joined = port->dev ? port->dev : bridge && bridge->name ? bridge->name : "";
    g_autofree char *name = xml_escape(joined);

    return port->dev ? g_strdup_printf("type='direct' dev='%s' mode='%s'", name,
                                       network_forward_modes[network_def_mode(live)])
                     : g_strdup_printf("type='network' bridge='%s'", name);
}

/* In the form of libvirt's <networkport>. */
static char *
port_format(const NetworkDef *live, const Port *port)
{
    g_autofree char *id = kiln_uuid_format(port->id);
    g_autofree char *owner = xml_escape(port->domain ? port->domain : "");
    g_autofree char *plug = port_plug(live, port);

    return g_strdup_printf("<networkport>\n"
                           "  <uuid>%s</uuid>\n"
                           "  <owner>\n"
                           "    <name>%s</name>\n"
                           "    <uuid>%s</uuid>\n"
                           "  </owner>\n"
                           "  <mac address='%s'/>\n"
                           "  <plug %s/>\n"
                           "</networkport>\n",
                           id, owner, port->domain_uuid, port->mac, plug);
}

/* Tells the hook of a port. */
static bool
run_port_hook(Network *network, const Port *port, const char *operation, const char *sub_operation,
              GError **err)
{
    g_autofree char *net = network_def_format(network->live);
    g_autofree char *own = port_format(network->live, port);
    g_autofree char *xml = g_strconcat(net, own, NULL);

    return network_run_hook_with(network, xml, operation, sub_operation, err);
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

static NetworkDirectMode
direct_mode(const NetworkDef *live)
{
    switch (network_def_mode(live)) {
    case NETWORK_FORWARD_PRIVATE:
        return NETWORK_DIRECT_PRIVATE;
    case NETWORK_FORWARD_VEPA:
        return NETWORK_DIRECT_VEPA;
    case NETWORK_FORWARD_PASSTHROUGH:
        return NETWORK_DIRECT_PASSTHROUGH;
    default:
        return NETWORK_DIRECT_BRIDGE;
    }
}

/* The device that serves the fewest guests; one that is passed through serves one. */
static bool
choose_device(NetworkManager *m, const NetworkDef *live, NetworkPort *port, GError **err)
{
    unsigned least = UINT_MAX;

    port->mode = direct_mode(live);
    if (port->mode == NETWORK_DIRECT_PASSTHROUGH)
        least = 1;
    for (guint i = 0; i < live->forward->interfaces->len; i++) {
        const NetworkForwardInterface *at = live->forward->interfaces->pdata[i];
        unsigned n = count_users(m, live->name, at->dev);

        if (n >= least)
            continue;
        least = n;
        g_free(port->dev);
        port->dev = g_strdup(at->dev);
    }
    if (!port->dev)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "network '%s' requires exclusive access to interfaces, but none are "
                              "available",
                              live->name);
    return true;
}

/* Finds out what @req joins: a bridge, a device or nothing. @actual gets what a network adds. */
static bool
choose_place(NetworkManager *m, const NetworkPortRequest *req, NetworkPortRequest *actual,
             NetworkPort *port, Network **ret_network, GError **err)
{
    const NetworkDef *live;

    if (req->kind == NETWORK_PORT_BRIDGE) {
        port->bridge = g_strdup(req->source);
    } else if (req->kind == NETWORK_PORT_DIRECT) {
        port->dev = g_strdup(req->source);
        port->mode = req->mode;
    }
    if (req->kind != NETWORK_PORT_NETWORK)
        return true;
    *ret_network = find_running(m, req, err);
    if (!*ret_network)
        return false;
    live = (*ret_network)->live;
    actual->isolated |= live->port_isolated == TRISTATE_ON;
    if (actual->mtu == 0 && live->mtu != XML_UNSET)
        actual->mtu = live->mtu;
    if (!check_portgroup(live, actual, &port->portgroup, err))
        return false;
    if (network_def_is_direct(live))
        return choose_device(m, live, port, err);
    port->bridge = g_strdup(live->bridge->name);
    return true;
}

/* --- the tap ---------------------------------------------------------------------------- */

/* @name is exact. */
static bool
open_named(Netlink *nl, const char *name, const NetworkPortRequest *req, unsigned queues,
           bool existing, NetworkPort *port, GError **err)
{
    char actual[IFNAMSIZ];

    if (port->dev) {
        if (!macvtap_open(nl, name, port->dev, port->mode, req->mac, queues, req->vnet_hdr,
                          port->fds, err))
            return false;
        port->ifname = g_strdup(name);
        return true;
    }
    if (!tap_open(name, queues, req->vnet_hdr, existing, actual, port->fds, err))
        return false;
    port->ifname = g_strdup(actual);
    return true;
}

/* Numbers go up and are not used again while the daemon lives, so that what belonged to a guest
 * that is gone (counters, filters) is not taken for the next one's. */
static bool
open_numbered(NetworkManager *m, Netlink *nl, const char *name, const NetworkPortRequest *req,
              unsigned queues, NetworkPort *port, GError **err)
{
    unsigned *next = port->dev ? &m->next_macvtap : &m->next_tap;
    const char *percent = strstr(name, "%d");

    for (unsigned i = 0; i < TAP_TRIES; i++) {
        g_autofree char *exact =
            g_strdup_printf("%.*s%u%s", (int)(percent - name), name, (*next)++, percent + 2);
        g_autoptr(GError) failure = NULL;

        if (open_named(nl, exact, req, queues, false, port, &failure))
            return true;
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
open_tap(NetworkManager *m, Netlink *nl, const NetworkPortRequest *req, NetworkPort *port,
         GError **err)
{
    unsigned queues = MAX(req->queues, 1);
    const char *name = req->ifname ? req->ifname : port->dev ? "macvtap%d" : "vnet%d";
    bool existing = req->kind == NETWORK_PORT_ETHERNET && !req->managed;

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
    if (strstr(name, "%d") ? !open_numbered(m, nl, name, req, queues, port, err)
                           : !open_named(nl, name, req, queues, existing, port, err))
        return false;
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
    if (port->bridge)
        mac[0] = 0xfe;
    return (port->dev || netlink_link_set_mac(nl, port->ifname, mac, err)) &&
           (mtu == 0 || netlink_link_set_mtu(nl, port->ifname, mtu, err)) &&
           (!port->bridge || netlink_link_set_master(nl, port->ifname, port->bridge, err)) &&
           (!req->isolated || !port->bridge ||
            netlink_port_set_isolated(nl, port->ifname, true, err)) &&
           netlink_link_set_up(nl, port->ifname, !req->link_down, err);
}

/* What a tap sends is what the guest gets; a macvtap is the guest's own side. */
static bool
is_guests_side(Netlink *nl, const char *ifname)
{
    NetlinkLink link = { 0 };

    return netlink_link_find(nl, ifname, &link, NULL) && strcmp(link.kind, "macvtap") == 0;
}

static bool
limit_tap(Netlink *nl, const NetworkPortRequest *req, const char *ifname, GError **err)
{
    if (req->inbound.floor || req->outbound.floor)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<bandwidth> with a 'floor' is not offered: use 'average' to limit "
                              "the others, or remove it");
    if (is_guests_side(nl, ifname))
        return tc_limit_sent(nl, ifname, &req->outbound, err) &&
               tc_limit_received(nl, ifname, &req->inbound, err);
    return tc_limit_sent(nl, ifname, &req->inbound, err) &&
           tc_limit_received(nl, ifname, &req->outbound, err);
}

/* What is left of @port on the host after a failure goes with its descriptors, but for a macvtap.
 */
static bool
open_locked(NetworkManager *m, Netlink *nl, const NetworkPortRequest *req, NetworkPort *port,
            GError **err)
{
    NetworkPortRequest actual = *req;
    const Port *registered;
    Network *network = NULL;
    NetlinkLink link = { 0 };
    uint64_t mtu;

    if (!choose_place(m, req, &actual, port, &network, err) ||
        (port->bridge && !check_bridge(nl, port->bridge, &link, err)))
        return false;
    mtu = actual.mtu ? actual.mtu : link.mtu;
    if (getrandom(port->id, sizeof(port->id), 0) != sizeof(port->id))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "cannot make up a port's id");
    port->id[6] = 0x40 | (port->id[6] & 0x0f);
    port->id[8] = 0x80 | (port->id[8] & 0x3f);
    if (!open_tap(m, nl, req, port, err) || !set_up_tap(nl, &actual, port, mtu, err) ||
        !limit_tap(nl, &actual, port->ifname, err))
        return false;
    port->mtu = netlink_link_find(nl, port->ifname, &link, NULL) ? link.mtu : mtu;
    registered = register_port(m, req, port->ifname, port->id, port->dev);
    if (!network)
        return true;
    show_ports(network);
    if (run_port_hook(network, registered, "port-created", "begin", err))
        return true;
    port_free(unregister_port(m, port->ifname));
    show_ports(network);
    return false;
}

NetworkPort *
network_port_open(NetworkManager *m, const NetworkPortRequest *req, GError **err)
{
    g_autoptr(Netlink) nl = netlink_open(err);
    NetworkPort *port = g_new0(NetworkPort, 1);
    bool ok;

    g_mutex_lock(&m->registry.change);
    ok = nl && open_locked(m, nl, req, port, err);
    if (!ok && port->dev && port->ifname)
        netlink_link_delete(nl, port->ifname, NULL);
    g_mutex_unlock(&m->registry.change);
    if (!ok)
        g_clear_pointer(&port, network_port_free);
    return port;
}

/* --- after a daemon restart, and at the end --------------------------------------------- */

/* Which of the network's devices the macvtap @ifname lies on; borrowed. */
static const char *
device_of(Netlink *nl, const NetworkDef *live, const NetworkPortRequest *req, const char *ifname)
{
    NetlinkLink link = { 0 }, below = { 0 };

    if (!macvtap_find(nl, ifname, req->mac, &link))
        return NULL;
    for (guint i = 0; i < live->forward->interfaces->len; i++) {
        const NetworkForwardInterface *at = live->forward->interfaces->pdata[i];

        if (netlink_link_find(nl, at->dev, &below, NULL) && below.index == link.below)
            return at->dev;
    }
    return NULL;
}

static bool
reclaim_locked(NetworkManager *m, const NetworkPortRequest *req, const char *ifname,
               const uint8_t id[16], GError **err)
{
    g_autoptr(Netlink) nl = netlink_open(err);
    const char *bridge = req->kind == NETWORK_PORT_BRIDGE ? req->source : NULL;
    const char *dev = NULL;
    Network *network = NULL;
    NetlinkLink link, master;
    unsigned number;

    if (!nl)
        return false;
    if (req->kind == NETWORK_PORT_NETWORK) {
        network = find_running(m, req, err);
        if (!network)
            return false;
        if (network_def_is_direct(network->live))
            dev = device_of(nl, network->live, req, ifname);
        else
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
    if (sscanf(ifname, "macvtap%u", &number) == 1 && number >= m->next_macvtap && number < G_MAXINT)
        m->next_macvtap = number + 1;
    register_port(m, req, ifname, id, dev);
    if (network)
        show_ports(network);
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
    g_autoptr(Netlink) nl = netlink_open(NULL);
    g_autoptr(GError) err = NULL;
    Network *network = NULL;
    Port *port;

    g_mutex_lock(&m->registry.change);
    port = unregister_port(m, ifname);
    /* A name that is not in the table is not ours to delete, unless it is the macvtap of a guest
     * that ended while no daemon ran. */
    if (nl && ours && (port || macvtap_find(nl, ifname, req->mac, NULL)))
        netlink_link_delete(nl, ifname, NULL);
    if (port && port->network)
        network = registry_peek(&m->registry, port->network);
    if (network && network->live) {
        show_ports(network);
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

    if (!nl || network_def_is_direct(live))
        return;
    g_hash_table_iter_init(&iter, m->ports);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Port *port = value;
        g_autoptr(GError) err = NULL;

        if (g_strcmp0(port->network, network->object.name) == 0 && !port->dev &&
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
    if (strcmp(link.kind, "macvtap") == 0)
        *ret = (NetworkPortStats){ ret->tx_bytes, ret->tx_packets, ret->tx_errs, ret->tx_drop,
                                   ret->rx_bytes, ret->rx_packets, ret->rx_errs, ret->rx_drop };
    return true;
}

/* --- ports as clients see them ------------------------------------------------------------ */

static gint
compare_ids(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, sizeof(NetworkPortId));
}

GArray *
network_ports(Network *network, GError **err)
{
    NetworkManager *m = network->manager;
    GArray *ids;
    GHashTableIter iter;
    gpointer value;

    g_mutex_lock(&m->registry.lock);
    if (!network->live) {
        g_mutex_unlock(&m->registry.lock);
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "network '%s' is not active",
                       network->object.name);
        return NULL;
    }
    ids = g_array_new(FALSE, FALSE, sizeof(NetworkPortId));
    g_hash_table_iter_init(&iter, m->ports);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Port *port = value;

        if (g_strcmp0(port->network, network->object.name) == 0)
            g_array_append_vals(ids, port->id, 1);
    }
    g_mutex_unlock(&m->registry.lock);
    g_array_sort(ids, compare_ids);
    return ids;
}

/* With `lock` held. */
static const Port *
find_port(Network *network, const uint8_t id[16], GError **err)
{
    g_autofree char *uuid = NULL;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, network->manager->ports);
    while (network->live && g_hash_table_iter_next(&iter, NULL, &value)) {
        const Port *port = value;

        if (g_strcmp0(port->network, network->object.name) == 0 && memcmp(port->id, id, 16) == 0)
            return port;
    }
    uuid = kiln_uuid_format(id);
    kiln_error_set(err, VIR_ERR_NO_NETWORK_PORT, "Network port with UUID %s does not exist", uuid);
    return NULL;
}

bool
network_has_port(Network *network, const uint8_t id[16], GError **err)
{
    bool has;

    g_mutex_lock(&network->manager->registry.lock);
    has = find_port(network, id, err) != NULL;
    g_mutex_unlock(&network->manager->registry.lock);
    return has;
}

char *
network_port_xml(Network *network, const uint8_t id[16], GError **err)
{
    const Port *port;
    char *xml;

    g_mutex_lock(&network->manager->registry.lock);
    port = find_port(network, id, err);
    xml = port ? port_format(network->live, port) : NULL;
    g_mutex_unlock(&network->manager->registry.lock);
    return xml;
}
