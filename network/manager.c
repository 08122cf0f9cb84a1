/* manager.c - the registry of networks: making, finding, reading.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/private.h"

#include "network/leases.h"
#include "util/error.h"
#include "xml/xmltab.h"

#include <string.h>
#include <time.h>

/* --- the manager ------------------------------------------------------------------------ */

static void
manager_free(Registry *registry)
{
    NetworkManager *m = (NetworkManager *)registry;

    g_hash_table_unref(m->ports);
    g_free(m->dnsmasq_dir);
    g_free(m->hook_program);
    g_free(m->leases_helper);
    g_free(m->dnsmasq);
    g_free(m);
}

static void
network_free(RegistryObject *object)
{
    Network *network = (Network *)object;

    network_def_free(network->def);
    network_def_free(network->live);
    g_free(network);
}

static const RegistryClass network_class = {
    .what = "network",
    .brief = "network",
    .edit = "virsh net-edit NETWORK",
    .missing = VIR_ERR_NO_NETWORK,
    .parse = (void *(*)(const char *, unsigned, GError **))network_def_parse,
    .format = (char *(*)(const void *))network_def_format,
    .free = (GDestroyNotify)network_def_free,
    .def_name = offsetof(NetworkDef, name),
    .def_uuid = offsetof(NetworkDef, uuid),
    .object_free = network_free,
    .registry_free = manager_free,
};

NetworkManager *
network_manager_new(const NetworkConfig *config, const NetworkOps *ops, void *opaque)
{
    NetworkManager *m = g_new0(NetworkManager, 1);

    registry_init(&m->registry, &network_class, config->config_dir, config->run_dir,
                  ops ? ops->warn : NULL, opaque);
    m->dnsmasq_dir = g_strdup(config->dnsmasq_dir);
    m->hook_program = g_strdup(config->hook_program);
    m->leases_helper = g_strdup(config->leases_helper);
    m->dnsmasq = g_strdup(config->dnsmasq ? config->dnsmasq : "/usr/sbin/dnsmasq");
    m->privileged = config->privileged;
    m->ops = ops;
    m->opaque = opaque;
    m->ports = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)port_free);
    return m;
}

void
network_manager_free(NetworkManager *m)
{
    if (!m)
        return;
    network_keeper_stop(m);
    registry_close(&m->registry);
}

void
network_manager_event(Network *network, int event)
{
    NetworkManager *m = network->manager;

    if (m->ops && m->ops->lifecycle)
        m->ops->lifecycle(m->opaque, network->object.name, network->object.uuid, event, 0);
}

/* --- networks --------------------------------------------------------------------------- */

Network *
network_ref(Network *network)
{
    return registry_ref(network);
}

void
network_unref(Network *network)
{
    registry_unref(network);
}

Network *
network_manager_add(NetworkManager *m, const NetworkDef *def)
{
    Network *network = g_new0(Network, 1);

    network->manager = m;
    registry_object_init(&m->registry, &network->object, def);
    registry_enter(&network->object);
    return network;
}

void
network_set_def(Network *network, NetworkDef *def)
{
    registry_replace(&network->object, &network->def, def);
}

void
network_set_live(Network *network, NetworkDef *live)
{
    registry_replace(&network->object, &network->live, live);
}

DnsmasqPaths *
network_dnsmasq_paths(const Network *network, const NetworkDef *def)
{
    const NetworkManager *m = network->manager;

    return dnsmasq_paths_new(m->dnsmasq_dir, m->registry.run_dir, def->name, def->bridge->name);
}

Network *
network_manager_lookup_name(NetworkManager *m, const char *name, GError **err)
{
    return registry_lookup_name(&m->registry, name, err);
}

Network *
network_manager_lookup_uuid(NetworkManager *m, const uint8_t uuid[16], GError **err)
{
    return registry_lookup_uuid(&m->registry, uuid, err);
}

static bool
matches(const void *object, const void *what)
{
    const Network *n = object;
    unsigned flags = *(const unsigned *)what;

    return registry_allows(flags, VIR_CONNECT_LIST_NETWORKS_ACTIVE,
                           VIR_CONNECT_LIST_NETWORKS_INACTIVE, n->live != NULL) &&
           registry_allows(flags, VIR_CONNECT_LIST_NETWORKS_PERSISTENT,
                           VIR_CONNECT_LIST_NETWORKS_TRANSIENT, n->def != NULL) &&
           registry_allows(flags, VIR_CONNECT_LIST_NETWORKS_AUTOSTART,
                           VIR_CONNECT_LIST_NETWORKS_NO_AUTOSTART, n->object.autostart);
}

GPtrArray *
network_manager_list(NetworkManager *m, unsigned flags)
{
    return registry_list(&m->registry, matches, &flags);
}

/* --- reading one ------------------------------------------------------------------------ */

const char *
network_name(const Network *network)
{
    return network->object.name;
}

const uint8_t *
network_uuid(const Network *network)
{
    return network->object.uuid;
}

bool
network_is_active(Network *network)
{
    bool active;

    registry_lock_settled(&network->object);
    active = network->live != NULL;
    g_mutex_unlock(&network->manager->registry.lock);
    return active;
}

bool
network_is_persistent(Network *network)
{
    bool persistent;

    g_mutex_lock(&network->manager->registry.lock);
    persistent = network->def != NULL;
    g_mutex_unlock(&network->manager->registry.lock);
    return persistent;
}

bool
network_autostart(Network *network)
{
    return registry_flag(&network->object, &network->object.autostart);
}

static bool
gone(const Network *network, GError **err)
{
    return kiln_error_set(err, VIR_ERR_NO_NETWORK, "no network with matching name '%s'",
                          network->object.name);
}

/* A copy of the live or (@inactive, or when it does not run) the persistent definition, so that
 * nothing slow is done under the lock. */
static NetworkDef *
copy_def(Network *network, bool inactive, GError **err)
{
    NetworkManager *m = network->manager;
    const NetworkDef *from;
    NetworkDef *copy = NULL;

    g_mutex_lock(&m->registry.lock);
    from = network->live && !(inactive && network->def) ? network->live : network->def;
    if (from)
        copy = network_def_copy(from);
    if (copy && from == network->live) {
        unsigned ports = network_count_ports(m, network->object.name);

        copy->connections = ports && !inactive ? ports : XML_UNSET;
    }
    g_mutex_unlock(&m->registry.lock);
    if (!copy)
        gone(network, err);
    return copy;
}

char *
network_xml(Network *network, unsigned flags, GError **err)
{
    g_autoptr(NetworkDef) def = copy_def(network, flags & VIR_NETWORK_XML_INACTIVE, err);

    return def ? network_def_format(def) : NULL;
}

char *
network_bridge_name(Network *network, GError **err)
{
    g_autoptr(NetworkDef) def = copy_def(network, false, err);

    if (!def)
        return NULL;
    if (!def->bridge || !def->bridge->name) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "network '%s' does not have a bridge name.",
                       network->object.name);
        return NULL;
    }
    return g_strdup(def->bridge->name);
}

void
network_lease_free(NetworkLease *lease)
{
    if (!lease)
        return;
    g_free(lease->iface);
    g_free(lease->mac);
    g_free(lease->iaid);
    g_free(lease->ip);
    g_free(lease->hostname);
    g_free(lease->client_id);
    g_free(lease);
}

/* The prefix of the network's <ip> that @ip is in, or the family's whole length. */
static unsigned
lease_prefix(const NetworkDef *def, const IpAddr *ip)
{
    for (guint i = 0; i < def->ips->len; i++) {
        IpAddr net;
        unsigned prefix = network_ip_prefix(g_ptr_array_index(def->ips, i), &net);

        if (ip_in_subnet(ip, &net, prefix))
            return prefix;
    }
    return ip_bits(ip);
}

GPtrArray *
network_leases(Network *network, const char *mac, GError **err)
{
    g_autoptr(NetworkDef) def = copy_def(network, false, err);
    g_autoptr(GPtrArray) out = NULL;
    g_autoptr(GPtrArray) leases = NULL;
    g_autoptr(DnsmasqPaths) paths = NULL;
    int64_t now = time(NULL);
    uint8_t want[6], have[6];

    if (!def)
        return NULL;
    if (mac && !xml_mac_parse(mac, want)) {
        kiln_error_set(err, VIR_ERR_INVALID_MAC, "%s", mac);
        return NULL;
    }
    out = g_ptr_array_new_with_free_func((GDestroyNotify)network_lease_free);
    if (!network_def_owns_bridge(def))
        return g_steal_pointer(&out);
    paths = network_dnsmasq_paths(network, def);
    leases = leases_read(paths->status, err);
    if (!leases)
        return NULL;
    for (guint i = 0; i < leases->len; i++) {
        const Lease *lease = g_ptr_array_index(leases, i);
        NetworkLease *to;
        IpAddr ip;

        if ((lease->expiry != 0 && lease->expiry < now) || !ip_parse(lease->ip, &ip) ||
            (mac && (!lease->mac || !xml_mac_parse(lease->mac, have) ||
                     memcmp(want, have, sizeof(want)) != 0)))
            continue;
        to = g_new0(NetworkLease, 1);
        to->iface = g_strdup(def->bridge->name);
        to->expiry = lease->expiry;
        to->type = lease->iaid ? VIR_IP_ADDR_TYPE_IPV6 : VIR_IP_ADDR_TYPE_IPV4;
        to->mac = g_strdup(lease->mac);
        to->iaid = g_strdup(lease->iaid);
        to->ip = g_strdup(lease->ip);
        to->prefix = lease_prefix(def, &ip);
        to->hostname = g_strdup(lease->hostname);
        to->client_id = g_strdup(lease->client_id);
        g_ptr_array_add(out, to);
    }
    return g_steal_pointer(&out);
}
