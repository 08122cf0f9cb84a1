/* user_options.c - options of the user back end: QEMU's names and defaults.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/offload.h"
#include "net/user.h"

#include <string.h>

#include "util/error.h"

static bool
option_error(const NetBackend *backend, GError **err, const char *name, const char *text,
             const char *what)
{
    return net_backend_error(backend, err, VIR_ERR_CONFIG_UNSUPPORTED, "%s=%s is not %s", name,
                             text, what);
}

/* "" is 0.0.0.0. */
static bool
address_parse(const char *text, struct in_addr *ret)
{
    ret->s_addr = 0;
    return !*text || inet_pton(AF_INET, text, ret) == 1;
}

static bool
port_parse(const char *text, uint16_t *ret)
{
    guint64 port;

    if (!g_ascii_string_to_unsigned(text, 10, 1, 65535, &port, NULL))
        return false;
    *ret = (uint16_t)port;
    return true;
}

bool
user_forward_parse(const NetBackend *backend, const char *text, UserForward *ret, GError **err)
{
    g_auto(GStrv) sides = g_strsplit(text, "-", 2);
    g_auto(GStrv) host = sides[0] ? g_strsplit(sides[0], ":", -1) : NULL;
    g_auto(GStrv) guest = sides[0] && sides[1] ? g_strsplit(sides[1], ":", -1) : NULL;

    if (!host || !guest || g_strv_length(host) != 3 || g_strv_length(guest) != 2 ||
        (strcmp(host[0], "tcp") != 0 && strcmp(host[0], "udp") != 0 && *host[0]) ||
        !address_parse(host[1], &ret->host) || !port_parse(host[2], &ret->host_port) ||
        !address_parse(guest[0], &ret->guest) || !port_parse(guest[1], &ret->guest_port))
        return option_error(backend, err, "hostfwd", text,
                            "of the form tcp|udp:[ADDRESS]:PORT-[ADDRESS]:PORT");
    ret->udp = strcmp(host[0], "udp") == 0;
    return true;
}

/* An address inside the network; the default is the network's address plus @fallback. */
static bool
inner_address(const NetBackend *backend, GHashTable *props, const char *name,
              const SlirpConfig *config, uint32_t fallback, struct in_addr *ret, GError **err)
{
    const char *text = g_hash_table_lookup(props, name);

    if (!text) {
        ret->s_addr = config->vnetwork.s_addr | (htonl(fallback) & ~config->vnetmask.s_addr);
        return true;
    }
    if (inet_pton(AF_INET, text, ret) != 1)
        return option_error(backend, err, name, text, "an IPv4 address");
    if ((ret->s_addr & config->vnetmask.s_addr) != config->vnetwork.s_addr)
        return option_error(backend, err, name, text, "an address of the guest's network");
    return true;
}

/* "10.0.2.0/24", "10.0.2.0/255.255.255.0", or an address with the mask of its class. */
static bool
network_parse(const NetBackend *backend, const char *text, SlirpConfig *config, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 2);
    guint64 bits;

    if (!parts[0] || inet_pton(AF_INET, parts[0], &config->vnetwork) != 1)
        return option_error(backend, err, "net", text, "an IPv4 network such as 10.0.2.0/24");
    if (!parts[1])
        config->vnetmask.s_addr = htonl(0xffffff00);
    else if (g_ascii_string_to_unsigned(parts[1], 10, 4, 30, &bits, NULL))
        config->vnetmask.s_addr = htonl(UINT32_MAX << (32 - bits));
    else if (inet_pton(AF_INET, parts[1], &config->vnetmask) != 1)
        return option_error(backend, err, "net", text, "an IPv4 network such as 10.0.2.0/24");
    config->vnetwork.s_addr &= config->vnetmask.s_addr;
    return true;
}

static bool
address6(const NetBackend *backend, GHashTable *props, const char *name, const char *fallback,
         struct in6_addr *ret, GError **err)
{
    const char *text = g_hash_table_lookup(props, name);

    if (inet_pton(AF_INET6, text ? text : fallback, ret) == 1)
        return true;
    return option_error(backend, err, name, text, "an IPv6 address");
}

bool
user_config_parse(const NetBackend *backend, GHashTable *props, SlirpConfig *config,
                  char ***ret_search, GError **err)
{
    const char *net = g_hash_table_lookup(props, "net");
    const char *search = g_hash_table_lookup(props, "dnssearch");
    bool ipv4 = true, ipv6 = true, restricted = false;
    uint64_t prefix = 64;

    *config =
        (SlirpConfig){ .version = 4, .if_mtu = OFFLOAD_STACK_MTU, .if_mru = OFFLOAD_STACK_MTU };
    if (!net_option_bool(backend, props, "ipv4", &ipv4, err) ||
        !net_option_bool(backend, props, "ipv6", &ipv6, err) ||
        !net_option_bool(backend, props, "restrict", &restricted, err) ||
        !network_parse(backend, net ? net : "10.0.2.0/24", config, err) ||
        !inner_address(backend, props, "host", config, 2, &config->vhost, err) ||
        !inner_address(backend, props, "dns", config, 3, &config->vnameserver, err) ||
        !inner_address(backend, props, "dhcpstart", config, 15, &config->vdhcp_start, err) ||
        !address6(backend, props, "ipv6-prefix", "fec0::", &config->vprefix_addr6, err) ||
        !address6(backend, props, "ipv6-host", "fec0::2", &config->vhost6, err) ||
        !address6(backend, props, "ipv6-dns", "fec0::3", &config->vnameserver6, err) ||
        !net_option_uint(backend, props, "ipv6-prefixlen", 126, &prefix, err))
        return false;
    if (!ipv4 && !ipv6)
        return net_backend_error(backend, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "ipv4=off and ipv6=off together leave nothing");
    if (config->vhost.s_addr == config->vnameserver.s_addr ||
        config->vhost.s_addr == config->vdhcp_start.s_addr ||
        config->vnameserver.s_addr == config->vdhcp_start.s_addr)
        return net_backend_error(backend, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "host, dns and dhcpstart must be three addresses");
    config->restricted = restricted;
    config->in_enabled = ipv4;
    config->in6_enabled = ipv6;
    config->vprefix_len = (uint8_t)prefix;
    config->vhostname = g_hash_table_lookup(props, "hostname");
    config->vdomainname = g_hash_table_lookup(props, "domainname");
    *ret_search = search ? g_strsplit(search, "\n", -1) : NULL;
    config->vdnssearch = (const char **)*ret_search;
    return true;
}
