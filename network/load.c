/* load.c - what the manager does when the daemon starts: definitions, networks that still run, the
 * first `default`, autostart.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/private.h"

#include "network/netlink.h"
#include "network/subnet.h"
#include "util/deffiles.h"
#include "util/file.h"

static bool
load_definitions(NetworkManager *m, GError **err)
{
    g_autoptr(GPtrArray) defs = registry_load(&m->registry, m->registry.config_dir, err);

    if (!defs)
        return false;
    g_ptr_array_set_free_func(defs, NULL);
    for (guint i = 0; i < defs->len; i++) {
        NetworkDef *def = g_ptr_array_index(defs, i);
        g_autoptr(GError) bad = NULL;
        Network *network;

        /* A file put there by hand may leave out the bridge; keep what was chosen. */
        if (network_def_owns_bridge(def) && !def->bridge->name &&
            (!network_choose_bridge(m, def, &bad) || !registry_store(&m->registry, def, &bad))) {
            registry_warn(&m->registry, "network '%s' is passed over: %s", def->name, bad->message);
            network_def_free(def);
            continue;
        }
        network = network_manager_add(m, def);
        network->object.autostart = def_file_is_autostart(m->registry.config_dir, def->name);
        network_set_def(network, def);
    }
    return true;
}

static void
recover_one(NetworkManager *m, const NetworkDef *live)
{
    Network *network = registry_peek(&m->registry, live->name);
    g_autoptr(GError) err = NULL;

    if (!network)
        network = network_manager_add(m, live);
    if (!network_is_there(live)) {
        registry_warn(&m->registry,
                      "network '%s' was running, but its bridge is gone; what is "
                      "left of it is cleared away",
                      live->name);
        network_unserve(network, live, false);
        network_take_down(live);
        registry_remove_active(&network->object);
        if (!network->def)
            registry_drop(&network->object);
        return;
    }
    network_set_live(network, network_def_copy(live));
    if (!network_complete(live, &err))
        registry_warn(&m->registry, "network '%s' runs on, but: %s", live->name, err->message);
    g_clear_error(&err);
    if (network_def_owns_bridge(live) && !network_serve(network, live, true, &err))
        registry_warn(&m->registry, "network '%s' runs on, but: %s", live->name, err->message);
}

static bool
recover_running(NetworkManager *m, GError **err)
{
    g_autoptr(GPtrArray) lives = registry_load(&m->registry, m->registry.run_dir, err);

    if (!lives)
        return false;
    for (guint i = 0; i < lives->len; i++)
        recover_one(m, g_ptr_array_index(lives, i));
    return true;
}

/* The network every libvirt client expects: NAT and DHCP on 192.168.122.0/24, or on the next such
 * network that is free. The autostart directory is made with it, and so tells later starts that
 * there has been one, also when the administrator has undefined it since. */
static bool
make_default(NetworkManager *m, GError **err)
{
    g_autoptr(GPtrArray) taken = g_ptr_array_new();
    g_autoptr(HostView) view = NULL;
    g_autoptr(Netlink) nl = NULL;
    g_autofree char *xml = NULL;
    NetworkDef *def;
    Network *network;
    GHashTableIter iter;
    gpointer value;
    unsigned n;

    nl = netlink_open(err);
    view = nl ? host_view_read(nl, err) : NULL;
    if (!view)
        return false;
    g_hash_table_iter_init(&iter, m->registry.by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const NetworkDef *other = ((Network *)value)->def;

        for (guint i = 0; other && i < other->ips->len; i++)
            g_ptr_array_add(taken, ((NetworkIp *)g_ptr_array_index(other->ips, i))->address);
    }
    if (!subnet_choose(view, taken, &n, err))
        return false;
    xml = g_strdup_printf("<network>\n"
                          "  <name>default</name>\n"
                          "  <forward mode='nat'/>\n"
                          "  <ip address='192.168.%u.1' netmask='255.255.255.0'>\n"
                          "    <dhcp>\n"
                          "      <range start='192.168.%u.2' end='192.168.%u.254'/>\n"
                          "    </dhcp>\n"
                          "  </ip>\n"
                          "</network>\n",
                          n, n, n);
    def = network_def_parse(xml, 0, err);
    if (!def)
        return false;
    if (!network_choose_bridge(m, def, err) || !registry_store(&m->registry, def, err) ||
        !def_file_set_autostart(m->registry.config_dir, "default", true, err)) {
        network_def_free(def);
        return false;
    }
    network = network_manager_add(m, def);
    network->object.autostart = true;
    network_set_def(network, def);
    return true;
}

static bool
start(RegistryObject *object, GError **err)
{
    Network *network = (Network *)object;

    return network->live || network_start_locked(network, network_def_copy(network->def), err);
}

bool
network_manager_load(NetworkManager *m, GError **err)
{
    g_autoptr(GError) no_default = NULL;
    bool ok;

    if (!m->privileged)
        return true;
    if (!file_make_dirs(m->registry.config_dir, 0700, err) ||
        !file_make_dirs(m->registry.run_dir, 0755, err))
        return false;
    g_mutex_lock(&m->registry.change);
    network_keeper_start(m);
    ok = load_definitions(m, err) && recover_running(m, err);
    if (ok && registry_wants_default(&m->registry) && !make_default(m, &no_default))
        registry_warn(&m->registry, "network 'default' is not made: %s", no_default->message);
    if (ok)
        registry_autostart(&m->registry, start);
    g_mutex_unlock(&m->registry.change);
    return ok;
}
