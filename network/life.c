/* life.c - define, start, stop, undefine: the life of a network.
 *
 * A failed start leaves nothing behind. Error codes and wording follow libvirt's network driver.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/private.h"

#include "network/netlink.h"
#include "util/error.h"
#include "util/hook.h"
#include "xml/xmltab.h"

#include <string.h>

enum { BRIDGES_MAX = 256 };

static bool
check_privileged(const NetworkManager *m, GError **err)
{
    return m->privileged || kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                                           "host networks need the system daemon "
                                           "(qemu:///system); a session's guests go online with "
                                           "<interface type='user'>");
}

/* --- bridge names ----------------------------------------------------------------------- */

static bool
def_has_bridge(const NetworkDef *def, const char *bridge)
{
    return def && network_def_owns_bridge(def) && def->bridge->name &&
           strcmp(def->bridge->name, bridge) == 0;
}

/* The network other than @self that has a bridge of that name, or NULL. */
static const Network *
bridge_owner(NetworkManager *m, const char *bridge, const char *self)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, m->registry.by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Network *n = value;

        if (strcmp(n->object.name, self) != 0 &&
            (def_has_bridge(n->def, bridge) || def_has_bridge(n->live, bridge)))
            return n;
    }
    return NULL;
}

bool
network_choose_bridge(NetworkManager *m, NetworkDef *def, GError **err)
{
    const char *given = def->bridge ? def->bridge->name : NULL;
    const Network *owner;
    const char *percent;

    if (!network_def_owns_bridge(def))
        return true;
    percent = given ? strstr(given, "%d") : NULL;
    if (given && !percent) {
        owner = bridge_owner(m, given, def->name);
        return !owner || kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                                        "bridge name '%s' already in use "
                                        "by network '%s'",
                                        given, owner->object.name);
    }
    for (unsigned i = 0; i < BRIDGES_MAX; i++) {
        g_autofree char *name =
            percent ? g_strdup_printf("%.*s%u%s", (int)(percent - given), given, i, percent + 2)
                    : g_strdup_printf("virbr%u", i);

        if (strlen(name) > NETWORK_BRIDGE_NAME_MAX)
            break;
        if (bridge_owner(m, name, def->name) || netlink_link_exists(name))
            continue;
        g_free(def->bridge->name);
        def->bridge->name = g_steal_pointer(&name);
        return true;
    }
    return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "Bridge generation exceeded max id %d",
                          BRIDGES_MAX - 1);
}

/* --- start and stop --------------------------------------------------------------------- */

bool
network_run_hook_with(const Network *network, const char *xml, const char *operation,
                      const char *sub, GError **err)
{
    NetworkManager *m = network->manager;
    g_autofree char *input = g_strdup_printf("<hookData>\n%s</hookData>\n", xml);
    const HookCall call = { m->hook_program, network->object.name, operation, sub, input };

    if (hook_is_disabled(m->hook_program))
        registry_warn(&m->registry, "hook script %s is not executable, and is not run",
                      m->hook_program);
    return hook_run(&call, NULL, err);
}

bool
network_run_hook(const Network *network, const NetworkDef *def, const char *operation,
                 const char *sub, GError **err)
{
    g_autofree char *xml = network_def_format(def);

    return network_run_hook_with(network, xml, operation, sub, err);
}

/* What a running network shows that its definition leaves open. */
static void
fill_live(NetworkDef *live)
{
    NetworkForward *forward = live->forward;

    if (!forward || forward->mode != NETWORK_FORWARD_NAT)
        return;
    if (!forward->nat)
        forward->nat = network_nat_new();
    if (!forward->nat->port)
        forward->nat->port = network_nat_port_new(1024, 65535);
}

static bool
start_turn(Network *network, NetworkDef *live, GError **err)
{
    NetworkManager *m = network->manager;
    g_autoptr(NetworkDef) def = live;

    fill_live(def);
    if (!network_check_applied(def, err) || !network_run_hook(network, def, "start", "begin", err))
        return false;
    /* Known on disk before it is on the host: a daemon killed between leaves nothing unknown. */
    if (!network_check_free(def, err) || !registry_store_active(&m->registry, def, err))
        return false;
    if (!network_bring_up(def, err))
        goto forget;
    if (!network_serve(network, def, false, err))
        goto down;
    network_rejoin_ports(network, def);
    network_set_live(network, g_steal_pointer(&def));
    if (!network_run_hook(network, network->live, "started", "begin", err)) {
        def = network_def_copy(network->live);
        network_set_live(network, NULL);
        goto unserve;
    }
    network_manager_event(network, VIR_NETWORK_EVENT_STARTED);
    return true;

unserve:
    network_unserve(network, def, network->def == NULL);
down:
    network_take_down(def);
forget:
    registry_remove_active(&network->object);
    return false;
}

bool
network_start_locked(Network *network, NetworkDef *live, GError **err)
{
    bool ok;

    registry_set_turning(&network->object, true);
    ok = start_turn(network, live, err);
    registry_set_turning(&network->object, false);
    return ok;
}

bool
network_stop_locked(Network *network, GError **err)
{
    NetworkManager *m = network->manager;
    g_autoptr(GError) hook = NULL;
    g_autoptr(NetworkDef) live = NULL;

    if (!network->live)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "network '%s' is not active",
                              network->object.name);
    registry_set_turning(&network->object, true);
    live = network_def_copy(network->live);
    network_unserve(network, live, network->def == NULL);
    network_take_down(live);
    registry_remove_active(&network->object);
    network_set_live(network, NULL);
    if (!network_run_hook(network, live, "stopped", "end", &hook))
        registry_warn(&m->registry, "%s", hook->message);
    network_manager_event(network, VIR_NETWORK_EVENT_STOPPED);
    registry_set_turning(&network->object, false);
    if (!network->def)
        registry_drop(&network->object);
    return true;
}

bool
network_start(Network *network, GError **err)
{
    NetworkManager *m = network->manager;
    bool ok = false;

    g_mutex_lock(&m->registry.change);
    if (!check_privileged(m, err) || !registry_check(&network->object, err))
        ;
    else if (network->live)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "network is already active");
    else
        ok = network_start_locked(network, network_def_copy(network->def), err);
    g_mutex_unlock(&m->registry.change);
    return ok;
}

bool
network_destroy(Network *network, GError **err)
{
    NetworkManager *m = network->manager;
    bool ok;

    g_mutex_lock(&m->registry.change);
    ok = registry_check(&network->object, err) && network_stop_locked(network, err);
    g_mutex_unlock(&m->registry.change);
    return ok;
}

/* --- define and create ------------------------------------------------------------------ */

static NetworkDef *
parse_def(NetworkManager *m, const char *xml, unsigned flags, GError **err)
{
    g_autoptr(NetworkDef) def = network_def_parse(xml, flags, err);

    /* How many use it is what the daemon says, not what a client says. */
    if (def)
        def->connections = XML_UNSET;
    for (guint i = 0; def && def->forward && i < def->forward->interfaces->len; i++)
        ((NetworkForwardInterface *)def->forward->interfaces->pdata[i])->connections = XML_UNSET;
    return def && network_choose_bridge(m, def, err) ? g_steal_pointer(&def) : NULL;
}

Network *
network_manager_define(NetworkManager *m, const char *xml, unsigned flags, GError **err)
{
    unsigned parse_flags = flags & VIR_NETWORK_DEFINE_VALIDATE ? NETWORK_DEF_VALIDATE : 0;
    g_autoptr(NetworkDef) def = NULL;
    Network *network = NULL;

    g_mutex_lock(&m->registry.change);
    if (check_privileged(m, err))
        def = parse_def(m, xml, parse_flags, err);
    if (!def || !registry_find_same(&m->registry, def, &network, err) ||
        !registry_store(&m->registry, def, err)) {
        g_mutex_unlock(&m->registry.change);
        return NULL;
    }
    if (!network)
        network = network_manager_add(m, def);
    network_set_def(network, g_steal_pointer(&def));
    network_ref(network);
    network_manager_event(network, VIR_NETWORK_EVENT_DEFINED);
    g_mutex_unlock(&m->registry.change);
    return network;
}

Network *
network_manager_create(NetworkManager *m, const char *xml, unsigned flags, GError **err)
{
    unsigned parse_flags = flags & VIR_NETWORK_CREATE_VALIDATE ? NETWORK_DEF_VALIDATE : 0;
    g_autoptr(NetworkDef) def = NULL;
    Network *network = NULL;
    bool ok = false;

    g_mutex_lock(&m->registry.change);
    if (check_privileged(m, err))
        def = parse_def(m, xml, parse_flags, err);
    if (def && registry_find_same(&m->registry, def, &network, err)) {
        if (network && network->live) {
            kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "network is already active as '%s'",
                           network->object.name);
        } else {
            if (!network)
                network = network_manager_add(m, def);
            network_ref(network);
            ok = network_start_locked(network, g_steal_pointer(&def), err);
            if (!ok && !network->def)
                registry_drop(&network->object);
            if (!ok)
                network_unref(network);
        }
    }
    g_mutex_unlock(&m->registry.change);
    return ok ? network : NULL;
}

bool
network_undefine(Network *network, GError **err)
{
    NetworkManager *m = network->manager;
    bool ok = false;

    g_mutex_lock(&m->registry.change);
    if (!registry_check(&network->object, err))
        ;
    else if (!network->def)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "can't undefine transient network");
    else
        ok = registry_remove(&network->object, err);
    if (ok) {
        if (!network->live && network_def_owns_bridge(network->def)) {
            g_autoptr(DnsmasqPaths) paths = network_dnsmasq_paths(network, network->def);

            dnsmasq_remove_files(paths, true);
        }
        network_set_def(network, NULL);
        g_mutex_lock(&m->registry.lock);
        network->object.autostart = false;
        g_mutex_unlock(&m->registry.lock);
        network_manager_event(network, VIR_NETWORK_EVENT_UNDEFINED);
        if (!network->live)
            registry_drop(&network->object);
    }
    g_mutex_unlock(&m->registry.change);
    return ok;
}

bool
network_set_autostart(Network *network, bool autostart, GError **err)
{
    NetworkManager *m = network->manager;
    bool ok = false;

    g_mutex_lock(&m->registry.change);
    if (!registry_check(&network->object, err))
        ;
    else if (!network->def)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "cannot set autostart for transient network");
    else
        ok = registry_set_autostart(&network->object, autostart, err);
    g_mutex_unlock(&m->registry.change);
    return ok;
}
