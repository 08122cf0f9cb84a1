/* argv_net.c - network cards on the command line of kiln-vmm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>

#include "driver/domain/argv.h"
#include "network/network.h"
#include "util/error.h"
#include "xml/domain_model.h"

static void
append_fds(GString *text, const char *name, const int *fds, unsigned n)
{
    g_string_append_printf(text, ",%s=", name);
    for (unsigned i = 0; i < n; i++)
        g_string_append_printf(text, i == 0 ? "%d" : ":%d", fds[i]);
}

/* hostfwd for one <portForward>: QEMU forwards single ports, so a range is spelled out. */
static bool
append_forward(const DomainPortForward *forward, GString *text, GError **err)
{
    const char *proto = forward->proto == 2 ? "udp" : "tcp";

    for (guint i = 0; i < forward->ranges->len; i++) {
        const DomainPortRange *range = forward->ranges->pdata[i];
        uint64_t end = range->end == XML_UNSET ? range->start : range->end;
        uint64_t to = range->to == XML_UNSET ? range->start : range->to;

        if (range->exclude == TRISTATE_ON)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "<portForward><range exclude='yes'/> is not offered for user "
                                  "networking");
        for (uint64_t port = range->start; port <= end; port++)
            g_string_append_printf(text, ",hostfwd=%s:%s:%u-:%u", proto,
                                   forward->address ? forward->address : "", (unsigned)port,
                                   (unsigned)(port - range->start + to));
    }
    return true;
}

static bool
net_user(Argv *argv, const DomainInterface *net, const char *id, GError **err)
{
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_printf(text, "user,id=%s", id);
    for (guint i = 0; i < net->ips->len; i++) {
        const DomainIp *ip = net->ips->pdata[i];
        bool v6 = strchr(ip->address, ':') != NULL;

        g_string_append_printf(text, ",%s=%s/%" G_GUINT64_FORMAT, v6 ? "ipv6-net" : "net",
                               ip->address,
                               ip->prefix != XML_UNSET ? ip->prefix
                               : v6                    ? 64
                                                       : 24);
    }
    for (guint i = 0; i < net->port_forwards->len; i++)
        if (!append_forward(net->port_forwards->pdata[i], text, err))
            return false;
    argv_add(argv, "-netdev", text->str);
    return true;
}

static bool
net_tap(Argv *argv, DomainInterface *net, const char *id, GError **err)
{
    g_autofree int *taps = g_new(int, NETWORK_PORT_MAX_QUEUES);
    g_autofree int *vhosts = g_new(int, NETWORK_PORT_MAX_QUEUES);
    g_autoptr(GString) text = g_string_new(NULL);
    unsigned n_taps = 0, n_vhosts = 0;

    if (!argv->config->ops->taps(argv->config->opaque, net, taps, &n_taps, vhosts, &n_vhosts, err))
        return false;
    g_string_printf(text, "tap,id=%s", id);
    append_fds(text, "fds", taps, n_taps);
    if (n_vhosts > 0) {
        g_string_append(text, ",vhost=on");
        append_fds(text, "vhostfds", vhosts, n_vhosts);
    }
    argv_add(argv, "-netdev", text->str);
    return true;
}

/* The card's boot ROM: none, another one, or none in sight. */
static bool
net_rom(Argv *argv, const DomainDeviceInfo *info, GString *out, GError **err)
{
    g_autofree char *name = NULL;

    if (info->rom_enabled == TRISTATE_OFF) {
        g_string_append(out, ",romfile=");
        return true;
    }
    if (info->rom_bar)
        g_string_append_printf(out, ",rombar=%d", info->rom_bar == TRISTATE_ON);
    if (info->rom_file &&
        !(name = argv_file(argv, info->rom_file, O_RDONLY, "ROM of an interface", err)))
        return false;
    argv_text(out, "romfile", name);
    return true;
}

static void
net_virtio(const DomainInterface *net, GString *text)
{
    uint64_t queues = net->queues == XML_UNSET ? 1 : net->queues;

    if (queues > 1)
        /* a vector for each direction of each queue pair, configuration and control */
        g_string_append_printf(text, ",mq=on,vectors=%" G_GUINT64_FORMAT, 2 * queues + 2);
    argv_uint(text, "rx_queue_size", net->rx_queue_size);
    argv_uint(text, "tx_queue_size", net->tx_queue_size);
    argv_uint(text, "host_mtu", net->mtu);
    argv_switch(text, "event_idx", net->event_idx);
    argv_virtio(text, &net->virtio);
    argv_switch(text, "csum", net->host.csum);
    argv_switch(text, "gso", net->host.gso);
    argv_switch(text, "host_tso4", net->host.tso4);
    argv_switch(text, "host_tso6", net->host.tso6);
    argv_switch(text, "host_ecn", net->host.ecn);
    argv_switch(text, "host_ufo", net->host.ufo);
    argv_switch(text, "mrg_rxbuf", net->host.mrg_rxbuf);
    argv_switch(text, "guest_csum", net->guest.csum);
    argv_switch(text, "guest_tso4", net->guest.tso4);
    argv_switch(text, "guest_tso6", net->guest.tso6);
    argv_switch(text, "guest_ecn", net->guest.ecn);
    argv_switch(text, "guest_ufo", net->guest.ufo);
}

static bool
net_device(Argv *argv, const DomainInterface *net, const char *netdev, GError **err)
{
    const char *model = domain_interface_model(net);
    g_autoptr(GString) text = g_string_new(model);

    g_string_append_printf(text, ",netdev=%s,id=%s,mac=%s", netdev, net->info.alias, net->mac);
    argv_pci_address(argv, &net->info, text);
    argv_uint(text, "bootindex", argv_net_boot_order(argv->def, net));
    if (!net_rom(argv, &net->info, text, err))
        return false;
    if (g_str_has_prefix(model, "virtio-net-pci"))
        net_virtio(net, text);
    argv_add(argv, "-device", text->str);
    return true;
}

bool
argv_interface(Argv *argv, DomainInterface *net, GError **err)
{
    g_autofree char *netdev = g_strdup_printf("host%s", net->info.alias);
    bool ok;

    if (!domain_model_is_built(domain_interface_model(net)))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<interface> with model '%s' is not offered; use 'virtio'",
                              net->model);
    switch (net->type) {
    case DOMAIN_NET_USER:
        ok = net_user(argv, net, netdev, err);
        break;
    case DOMAIN_NET_NETWORK:
    case DOMAIN_NET_BRIDGE:
    case DOMAIN_NET_ETHERNET:
    case DOMAIN_NET_DIRECT:
        ok = net_tap(argv, net, netdev, err);
        break;
    default:
        ok = kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "<interface type='%s'> is not offered yet",
                            domain_net_types[net->type]);
    }
    return ok && net_device(argv, net, netdev, err);
}

bool
argv_interfaces(Argv *argv, GError **err)
{
    for (guint i = 0; i < argv->def->interfaces->len; i++)
        if (!argv_interface(argv, argv->def->interfaces->pdata[i], err))
            return false;
    return true;
}
