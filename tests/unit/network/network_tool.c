/* network_tool.c - host networks without a daemon, for the lab suite: each run takes up what an
 * earlier one left, does one thing, and ends with the networks still up.
 *
 *   network-tool ROOT COMMAND [ARGUMENT]...
 *
 * ROOT holds networks/ (definitions), run/ and dnsmasq/; a hook is looked for at ROOT/hook.
 * KILN_LEASES names kiln-leases.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/network.h"
#include "util/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    NetworkManager *manager;
    Network *network; /* of the first argument, if there is one of that name */
    char **args;
    int n;
} Tool;

static void
event(void *opaque, const char *name, const uint8_t uuid[16], int what, int detail)
{
    static const char *const words[] = { "defined", "undefined", "started", "stopped" };

    (void)opaque;
    (void)uuid;
    (void)detail;
    fprintf(stderr, "event: %s %s\n", name, words[what]);
}

static void
warn(void *opaque, const char *message)
{
    (void)opaque;
    fprintf(stderr, "warning: %s\n", message);
}

static void
check_line(void *opaque, const char *what, const char *found, const char *remedy)
{
    (void)opaque;
    printf("%s %s: %s\n", remedy ? "bad" : "good", what, found);
}

static bool
print_text(char *text)
{
    if (text)
        puts(text);
    g_free(text);
    return text != NULL;
}

static bool
do_list(Tool *t, GError **err)
{
    g_autoptr(GPtrArray) list = network_manager_list(t->manager, 0);

    (void)err;
    for (guint i = 0; i < list->len; i++) {
        Network *n = g_ptr_array_index(list, i);

        printf("%s %s %s %s\n", network_name(n), network_is_active(n) ? "active" : "inactive",
               network_is_persistent(n) ? "persistent" : "transient",
               network_autostart(n) ? "autostart" : "manual");
    }
    return true;
}

static bool
do_xml(Tool *t, GError **err)
{
    return print_text(network_xml(t->network, (unsigned)(t->n > 1), err));
}

static bool
do_bridge(Tool *t, GError **err)
{
    return print_text(network_bridge_name(t->network, err));
}

static bool
do_leases(Tool *t, GError **err)
{
    g_autoptr(GPtrArray) leases = network_leases(t->network, t->n > 1 ? t->args[1] : NULL, err);

    for (guint i = 0; leases && i < leases->len; i++) {
        const NetworkLease *l = g_ptr_array_index(leases, i);

        printf("%s %s/%u %s %s\n", l->mac ? l->mac : "-", l->ip, l->prefix,
               l->hostname ? l->hostname : "-", l->iface);
    }
    return leases != NULL;
}

static bool
do_define(Tool *t, GError **err)
{
    g_autofree char *xml = NULL;
    g_autoptr(Network) made = NULL;

    if (!g_file_get_contents(t->args[0], &xml, NULL, err))
        return false;
    made = network_manager_define(t->manager, xml, 0, err);
    return made != NULL;
}

static bool
do_create(Tool *t, GError **err)
{
    g_autofree char *xml = NULL;
    g_autoptr(Network) made = NULL;

    if (!g_file_get_contents(t->args[0], &xml, NULL, err))
        return false;
    made = network_manager_create(t->manager, xml, 0, err);
    return made != NULL;
}

static bool
do_start(Tool *t, GError **err)
{
    return network_start(t->network, err);
}

static bool
do_destroy(Tool *t, GError **err)
{
    return network_destroy(t->network, err);
}

static bool
do_undefine(Tool *t, GError **err)
{
    return network_undefine(t->network, err);
}

static bool
do_autostart(Tool *t, GError **err)
{
    return network_set_autostart(t->network, t->n < 2 || strcmp(t->args[1], "off") != 0, err);
}

/* NAME COMMAND SECTION XML FLAGS, the numbers as in libvirt */
static bool
do_update(Tool *t, GError **err)
{
    if (t->n < 5)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "update NAME COMMAND SECTION XML FLAGS");
    return network_update(t->network, (unsigned)atoi(t->args[1]), (unsigned)atoi(t->args[2]), -1,
                          t->args[3], (unsigned)atoi(t->args[4]), err);
}

/* NAME [QUEUES [PORTGROUP]]: opens a port, says what came of it, holds it until its input ends. */
static bool
do_port(Tool *t, GError **err)
{
    static const uint8_t uuid[16] = { 1 };
    NetworkPortRequest req = {
        .kind = NETWORK_PORT_NETWORK,
        .source = t->args[0],
        .domain_name = "guest",
        .domain_uuid = uuid,
        .mac = { 0x52, 0x54, 0, 1, 2, 3 },
        .vnet_hdr = true,
        .queues = t->n > 1 ? (unsigned)atoi(t->args[1]) : 1,
        .portgroup = t->n > 2 ? t->args[2] : NULL,
    };
    g_autoptr(NetworkPort) port = network_port_open(t->manager, &req, err);
    char byte;

    if (!port)
        return false;
    printf("%s %s mtu %u fds %u\n", port->ifname, port->bridge, (unsigned)port->mtu, port->n_fds);
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        continue;
    network_port_close(t->manager, &req, port->ifname);
    return true;
}

static bool
do_watch(Tool *t, GError **err)
{
    (void)err;
    sleep((unsigned)atoi(t->args[0]));
    return true;
}

static bool
do_load(Tool *t, GError **err)
{
    (void)t;
    (void)err;
    return true;
}

static const struct {
    const char *name;
    int args;
    bool of_network;
    bool (*run)(Tool *tool, GError **err);
} commands[] = {
    { "load", 0, false, do_load },
    { "list", 0, false, do_list },
    { "define", 1, false, do_define },
    { "create", 1, false, do_create },
    { "watch", 1, false, do_watch },
    { "port", 1, false, do_port },
    { "xml", 1, true, do_xml },
    { "bridge", 1, true, do_bridge },
    { "leases", 1, true, do_leases },
    { "start", 1, true, do_start },
    { "destroy", 1, true, do_destroy },
    { "undefine", 1, true, do_undefine },
    { "autostart", 1, true, do_autostart },
    { "update", 1, true, do_update },
};

static bool
run(Tool *t, const char *command, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, command) != 0 || t->n < commands[i].args)
            continue;
        if (commands[i].of_network) {
            t->network = network_manager_lookup_name(t->manager, t->args[0], err);
            if (!t->network)
                return false;
        }
        return commands[i].run(t, err);
    }
    return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unknown command '%s'", command);
}

int
main(int argc, char **argv)
{
    static const NetworkOps ops = { event, warn };
    const char *root = argc > 2 ? argv[1] : NULL;
    g_autofree char *config_dir = g_strdup_printf("%s/networks", root ? root : "");
    g_autofree char *run_dir = g_strdup_printf("%s/run", root ? root : "");
    g_autofree char *dnsmasq_dir = g_strdup_printf("%s/dnsmasq", root ? root : "");
    g_autofree char *hook = g_strdup_printf("%s/hook", root ? root : "");
    NetworkConfig config = {
        config_dir, run_dir, dnsmasq_dir, hook, g_getenv("KILN_LEASES"), g_getenv("KILN_DNSMASQ"),
        true
    };
    g_autoptr(GError) err = NULL;
    Tool tool = { .args = argv + 3, .n = argc - 3 };
    bool ok;

    if (!root) {
        fprintf(stderr, "network-tool ROOT COMMAND [ARGUMENT]...\n");
        return 2;
    }
    if (strcmp(argv[2], "check") == 0) {
        network_check_host(&config, check_line, NULL);
        return 0;
    }
    tool.manager = network_manager_new(&config, &ops, NULL);
    ok = network_manager_load(tool.manager, &err) && run(&tool, argv[2], &err);
    if (!ok)
        fprintf(stderr, "error %d: %s\n", kiln_error_code(err), err->message);
    network_unref(tool.network);
    network_manager_free(tool.manager);
    return ok ? 0 : 1;
}
