/* load.c - what the manager does when the daemon starts: definitions, networks that still run, the
 * first `default`, autostart.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/private.h"

#include "network/netlink.h"
#include "network/subnet.h"
#include "util/error.h"
#include "util/file.h"
#include "xml/xmltab.h"

#include <string.h>
#include <unistd.h>

static bool
load_definitions(NetworkManager *m, GError **err)
{
    g_autoptr(GPtrArray) defs = network_store_load(m, m->config_dir, err);

    if (!defs)
        return false;
    g_ptr_array_set_free_func(defs, NULL);
    for (guint i = 0; i < defs->len; i++) {
        NetworkDef *def = g_ptr_array_index(defs, i);
        g_autoptr(GError) bad = NULL;
        uint8_t uuid[16];
        Network *network;

        xml_uuid_parse(def->uuid, uuid);
        if (network_manager_peek_uuid(m, uuid)) {
            network_manager_warn(m,
                                 "network '%s' is passed over: network '%s' has the same uuid %s",
                                 def->name, network_manager_peek_uuid(m, uuid)->name, def->uuid);
            network_def_free(def);
            continue;
        }
        /* A file put there by hand may leave out the bridge; keep what was chosen. */
        if (network_def_owns_bridge(def) && !def->bridge->name &&
            (!network_choose_bridge(m, def, &bad) || !network_store_def(m, def, &bad))) {
            network_manager_warn(m, "network '%s' is passed over: %s", def->name, bad->message);
            network_def_free(def);
            continue;
        }
        network = network_manager_add(m, def);
        network->autostart = network_store_is_autostart(m, def->name);
        network_set_def(network, def);
    }
    return true;
}

static void
recover_one(NetworkManager *m, const NetworkDef *live)
{
    Network *network = network_manager_peek_name(m, live->name);
    g_autoptr(GError) err = NULL;

    if (!network)
        network = network_manager_add(m, live);
    if (!network_is_there(live)) {
        network_manager_warn(m,
                             "network '%s' was running, but its bridge is gone; what is "
                             "left of it is cleared away",
                             live->name);
        network_unserve(network, live, false);
        network_take_down(live);
        network_store_remove_live(m, live->name);
        if (!network->def)
            network_manager_drop(m, network);
        return;
    }
    network_set_live(network, network_def_copy(live));
    if (!network_complete(live, &err))
        network_manager_warn(m, "network '%s' runs on, but: %s", live->name, err->message);
    g_clear_error(&err);
    if (network_def_owns_bridge(live) && !network_serve(network, live, true, &err))
        network_manager_warn(m, "network '%s' runs on, but: %s", live->name, err->message);
}

static bool
recover_running(NetworkManager *m, GError **err)
{
    g_autoptr(GPtrArray) lives = network_store_load(m, m->run_dir, err);

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
    g_hash_table_iter_init(&iter, m->by_name);
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
    if (!network_choose_bridge(m, def, err) || !network_store_def(m, def, err) ||
        !network_store_autostart(m, "default", true, err)) {
        network_def_free(def);
        return false;
    }
    network = network_manager_add(m, def);
    network->autostart = true;
    network_set_def(network, def);
    return true;
}

/* Marked networks start once in the life of the host (or of the run directory), so that a restart
 * of the daemon does not bring back what was stopped by hand. */
static void
autostart_all(NetworkManager *m)
{
    g_autofree char *flag = g_strdup_printf("%s/autostarted", m->run_dir);
    GHashTableIter iter;
    gpointer value;

    if (access(flag, F_OK) == 0)
        return;
    g_hash_table_iter_init(&iter, m->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Network *network = value;
        g_autoptr(GError) err = NULL;

        if (!network->autostart || network->live)
            continue;
        if (!network_start_locked(network, network_def_copy(network->def), &err))
            network_manager_warn(m, "network '%s' does not start: %s", network->name, err->message);
    }
    file_write_atomic(flag, "", 0, 0644, NULL);
}

bool
network_manager_load(NetworkManager *m, GError **err)
{
    g_autoptr(GError) no_default = NULL;
    bool ok;

    if (!m->privileged)
        return true;
    if (!file_make_dirs(m->config_dir, 0700, err) || !file_make_dirs(m->run_dir, 0755, err))
        return false;
    g_mutex_lock(&m->change);
    network_keeper_start(m);
    ok = load_definitions(m, err) && recover_running(m, err);
    if (ok && access(m->autostart_dir, F_OK) < 0 && !network_manager_peek_name(m, "default") &&
        !make_default(m, &no_default))
        network_manager_warn(m, "network 'default' is not made: %s", no_default->message);
    if (ok)
        autostart_all(m);
    g_mutex_unlock(&m->change);
    return ok;
}
