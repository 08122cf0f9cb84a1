/* manager.c - the registry of networks: making, finding, reading.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/private.h"

#include "network/leases.h"
#include "util/error.h"
#include "xml/xmltab.h"

#include <string.h>
#include <time.h>

static guint
uuid_hash(gconstpointer key)
{
    guint hash;

    memcpy(&hash, key, sizeof(hash));
    return hash;
}

static gboolean
uuid_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, 16) == 0;
}

NetworkManager *
network_manager_new(const NetworkConfig *config, const NetworkOps *ops, void *opaque)
{
    NetworkManager *m = g_new0(NetworkManager, 1);

    g_atomic_ref_count_init(&m->refs);
    m->config_dir = g_strdup(config->config_dir);
    m->autostart_dir = g_strdup_printf("%s/autostart", config->config_dir);
    m->run_dir = g_strdup(config->run_dir);
    m->dnsmasq_dir = g_strdup(config->dnsmasq_dir);
    m->hook_program = g_strdup(config->hook_program);
    m->leases_helper = g_strdup(config->leases_helper);
    m->dnsmasq = g_strdup(config->dnsmasq ? config->dnsmasq : "/usr/sbin/dnsmasq");
    m->privileged = config->privileged;
    m->ops = ops;
    m->opaque = opaque;
    g_mutex_init(&m->change);
    g_mutex_init(&m->lock);
    m->by_name =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)network_unref);
    m->by_uuid = g_hash_table_new(uuid_hash, uuid_equal);
    m->ports = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)port_free);
    return m;
}

void
network_manager_unref(NetworkManager *m)
{
    if (!m || !g_atomic_ref_count_dec(&m->refs))
        return;
    g_hash_table_unref(m->by_uuid);
    g_hash_table_unref(m->by_name);
    g_hash_table_unref(m->ports);
    g_mutex_clear(&m->change);
    g_mutex_clear(&m->lock);
    g_free(m->config_dir);
    g_free(m->autostart_dir);
    g_free(m->run_dir);
    g_free(m->dnsmasq_dir);
    g_free(m->hook_program);
    g_free(m->leases_helper);
    g_free(m->dnsmasq);
    g_free(m);
}

void
network_manager_free(NetworkManager *m)
{
    if (!m)
        return;
    network_keeper_stop(m);
    /* Networks refer to the manager: let go of them, so that the last reference can go. */
    g_mutex_lock(&m->change);
    g_hash_table_remove_all(m->by_uuid);
    g_hash_table_remove_all(m->by_name);
    g_mutex_unlock(&m->change);
    network_manager_unref(m);
}

void
network_manager_warn(NetworkManager *m, const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list args;

    if (!m->ops || !m->ops->warn)
        return;
    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    m->ops->warn(m->opaque, message);
}

void
network_manager_event(Network *network, int event)
{
    NetworkManager *m = network->manager;

    if (m->ops && m->ops->lifecycle)
        m->ops->lifecycle(m->opaque, network->name, network->uuid, event, 0);
}

/* --- networks --------------------------------------------------------------------------- */

Network *
network_ref(Network *network)
{
    g_atomic_ref_count_inc(&network->refs);
    return network;
}

void
network_unref(Network *network)
{
    if (!network || !g_atomic_ref_count_dec(&network->refs))
        return;
    network_def_free(network->def);
    network_def_free(network->live);
    g_free(network->name);
    network_manager_unref(network->manager);
    g_free(network);
}

Network *
network_manager_add(NetworkManager *m, const NetworkDef *def)
{
    Network *network = g_new0(Network, 1);

    g_atomic_ref_count_init(&network->refs);
    g_atomic_ref_count_inc(&m->refs);
    network->manager = m;
    network->name = g_strdup(def->name);
    xml_uuid_parse(def->uuid, network->uuid);
    g_mutex_lock(&m->lock);
    network->registered = true;
    g_hash_table_insert(m->by_uuid, network->uuid, network);
    g_hash_table_insert(m->by_name, network->name, network);
    g_mutex_unlock(&m->lock);
    return network;
}

void
network_manager_drop(NetworkManager *m, Network *network)
{
    g_mutex_lock(&m->lock);
    network->registered = false;
    g_hash_table_remove(m->by_uuid, network->uuid);
    g_hash_table_remove(m->by_name, network->name);
    g_mutex_unlock(&m->lock);
}

static void
replace_def(Network *network, NetworkDef **place, NetworkDef *def)
{
    NetworkDef *old;

    g_mutex_lock(&network->manager->lock);
    old = *place;
    *place = def;
    g_mutex_unlock(&network->manager->lock);
    network_def_free(old);
}

void
network_set_def(Network *network, NetworkDef *def)
{
    replace_def(network, &network->def, def);
}

void
network_set_live(Network *network, NetworkDef *live)
{
    replace_def(network, &network->live, live);
}

DnsmasqPaths *
network_dnsmasq_paths(const Network *network, const NetworkDef *def)
{
    const NetworkManager *m = network->manager;

    return dnsmasq_paths_new(m->dnsmasq_dir, m->run_dir, def->name, def->bridge->name);
}

Network *
network_manager_peek_name(NetworkManager *m, const char *name)
{
    return g_hash_table_lookup(m->by_name, name);
}

Network *
network_manager_peek_uuid(NetworkManager *m, const uint8_t uuid[16])
{
    return g_hash_table_lookup(m->by_uuid, uuid);
}

Network *
network_manager_lookup_name(NetworkManager *m, const char *name, GError **err)
{
    Network *network;

    g_mutex_lock(&m->lock);
    network = network_manager_peek_name(m, name);
    if (network)
        network_ref(network);
    g_mutex_unlock(&m->lock);
    if (!network)
        kiln_error_set(err, VIR_ERR_NO_NETWORK, "no network with matching name '%s'", name);
    return network;
}

Network *
network_manager_lookup_uuid(NetworkManager *m, const uint8_t uuid[16], GError **err)
{
    g_autofree char *text = NULL;
    Network *network;

    g_mutex_lock(&m->lock);
    network = network_manager_peek_uuid(m, uuid);
    if (network)
        network_ref(network);
    g_mutex_unlock(&m->lock);
    if (network)
        return network;
    text = xml_uuid_format(uuid);
    kiln_error_set(err, VIR_ERR_NO_NETWORK, "no network with matching uuid '%s'", text);
    return NULL;
}

/* Whether a group of two opposite flags lets through something that is @is the first. */
static bool
group_allows(unsigned flags, unsigned yes, unsigned no, bool is)
{
    return !(flags & (yes | no)) || (flags & (is ? yes : no));
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    const Network *x = *(Network *const *)a, *y = *(Network *const *)b;

    return strcmp(x->name, y->name);
}

GPtrArray *
network_manager_list(NetworkManager *m, unsigned flags)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)network_unref);
    GHashTableIter iter;
    gpointer value;

    g_mutex_lock(&m->lock);
    g_hash_table_iter_init(&iter, m->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Network *n = value;

        if (group_allows(flags, VIR_CONNECT_LIST_NETWORKS_ACTIVE,
                         VIR_CONNECT_LIST_NETWORKS_INACTIVE, n->live != NULL) &&
            group_allows(flags, VIR_CONNECT_LIST_NETWORKS_PERSISTENT,
                         VIR_CONNECT_LIST_NETWORKS_TRANSIENT, n->def != NULL) &&
            group_allows(flags, VIR_CONNECT_LIST_NETWORKS_AUTOSTART,
                         VIR_CONNECT_LIST_NETWORKS_NO_AUTOSTART, n->autostart))
            g_ptr_array_add(list, network_ref(n));
    }
    g_mutex_unlock(&m->lock);
    g_ptr_array_sort(list, compare_names);
    return list;
}

/* --- reading one ------------------------------------------------------------------------ */

const char *
network_name(const Network *network)
{
    return network->name;
}

const uint8_t *
network_uuid(const Network *network)
{
    return network->uuid;
}

bool
network_is_active(Network *network)
{
    bool active;

    g_mutex_lock(&network->manager->lock);
    active = network->live != NULL;
    g_mutex_unlock(&network->manager->lock);
    return active;
}

bool
network_is_persistent(Network *network)
{
    bool persistent;

    g_mutex_lock(&network->manager->lock);
    persistent = network->def != NULL;
    g_mutex_unlock(&network->manager->lock);
    return persistent;
}

bool
network_autostart(Network *network)
{
    bool autostart;

    g_mutex_lock(&network->manager->lock);
    autostart = network->autostart;
    g_mutex_unlock(&network->manager->lock);
    return autostart;
}

static bool
gone(const Network *network, GError **err)
{
    return kiln_error_set(err, VIR_ERR_NO_NETWORK, "no network with matching name '%s'",
                          network->name);
}

/* A copy of the live or (@inactive, or when it does not run) the persistent definition, so that
 * nothing slow is done under the lock. */
static NetworkDef *
copy_def(Network *network, bool inactive, GError **err)
{
    NetworkManager *m = network->manager;
    const NetworkDef *from;
    NetworkDef *copy = NULL;

    g_mutex_lock(&m->lock);
    from = network->live && !(inactive && network->def) ? network->live : network->def;
    if (from)
        copy = network_def_copy(from);
    if (copy && from == network->live) {
        unsigned ports = network_count_ports(m, network->name);

        copy->connections = ports && !inactive ? ports : XML_UNSET;
    }
    g_mutex_unlock(&m->lock);
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
                       network->name);
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
