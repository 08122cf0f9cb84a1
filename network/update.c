/* update.c - virNetworkUpdate: a change of a network's definition, of the running network, or both.
 *
 * The running network goes on with what it had when the change cannot be brought to it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/private.h"

#include "util/error.h"

/* Brings a running network to its new definition. Host files alone are read again on a signal; what
 * is in dnsmasq's configuration needs a new dnsmasq. */
static bool
update_running(Network *network, const NetworkDef *now, unsigned section, GError **err)
{
    g_autoptr(DnsmasqPaths) paths = NULL;

    if (!network_def_owns_bridge(now) || section == VIR_NETWORK_SECTION_PORTGROUP)
        return true;
    if (section == VIR_NETWORK_SECTION_FORWARD_INTERFACE)
        return network_apply_rules(now, err);
    paths = network_dnsmasq_paths(network, now);
    if (dnsmasq_find(paths) && dnsmasq_config_same(network->live, now, paths))
        return dnsmasq_write_files(now, paths, err) && dnsmasq_reload(paths, err);
    if (dnsmasq_config_needed(now))
        return network_serve(network, now, false, err);
    network_unserve(network, now, false);
    return true;
}

static bool
update_live(Network *network, unsigned command, unsigned section, int parent_index, const char *xml,
            GError **err)
{
    g_autoptr(NetworkDef) now = network_def_copy(network->live);
    g_autoptr(GError) again = NULL;

    if (!network_def_update(now, command, section, parent_index, xml, err) ||
        !network_check_applied(now, err))
        return false;
    if (update_running(network, now, section, err) &&
        registry_store_active(&network->manager->registry, now, err)) {
        network_set_live(network, g_steal_pointer(&now));
        if (!network_run_hook(network, network->live, "updated", "begin", &again))
            registry_warn(&network->manager->registry, "%s", again->message);
        return true;
    }
    /* Back to what ran before. */
    if (!update_running(network, network->live, section, &again))
        registry_warn(&network->manager->registry,
                      "network '%s' could not be put back after a failed "
                      "update: %s",
                      network->object.name, again->message);
    return false;
}

bool
network_update(Network *network, unsigned command, unsigned section, int parent_index,
               const char *xml, unsigned flags, GError **err)
{
    NetworkManager *m = network->manager;
    bool live = flags & VIR_NETWORK_UPDATE_AFFECT_LIVE;
    bool config = flags & VIR_NETWORK_UPDATE_AFFECT_CONFIG;
    g_autoptr(NetworkDef) def = NULL;
    bool ok = false;

    g_mutex_lock(&m->registry.change);
    if (!registry_check(&network->object, err))
        goto out;
    if (!live && !config) {
        live = network->live != NULL;
        config = !live;
    }
    if (live && !network->live) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "network is not running");
        goto out;
    }
    if (config && !network->def) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "cannot change persistent config of a "
                       "transient network");
        goto out;
    }
    if (config) {
        def = network_def_copy(network->def);
        if (!network_def_update(def, command, section, parent_index, xml, err))
            goto out;
    }
    if (live && !update_live(network, command, section, parent_index, xml, err))
        goto out;
    if (config) {
        if (!registry_store(&m->registry, def, err))
            goto out;
        network_set_def(network, g_steal_pointer(&def));
    }
    ok = true;
out:
    g_mutex_unlock(&m->registry.change);
    return ok;
}
