/* dnsmasq_config.h - the files dnsmasq(8) is run from, as text: configuration, static DHCP hosts,
 * DNS hosts. Names, places and meaning as libvirt writes them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_DNSMASQ_CONFIG_H
#define KILN_NETWORK_DNSMASQ_CONFIG_H

#include "xml/network.h"

typedef struct {
    char *conf, *hosts, *addn_hosts; /* the files */
    char *pid;
    char *status, *macs; /* leases and guests' MACs, for libnss-libvirt */
} DnsmasqPaths;

/* @dir: dnsmasq's state, @run_dir: pid files. Files are named after the network, but status and
 * macs after the bridge. */
DnsmasqPaths *dnsmasq_paths_new(const char *dir, const char *run_dir, const char *network,
                                const char *bridge);
void dnsmasq_paths_free(DnsmasqPaths *paths);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DnsmasqPaths, dnsmasq_paths_free)

/* Whether @def needs a dnsmasq at all: it has an address, and DNS or DHCP is wanted. */
bool dnsmasq_config_needed(const NetworkDef *def);

/* @def has its bridge name. */
char *dnsmasq_config_text(const NetworkDef *def, const DnsmasqPaths *paths);
/* Whether both definitions give the same configuration, so that only host files differ. */
bool dnsmasq_config_same(const NetworkDef *a, const NetworkDef *b, const DnsmasqPaths *paths);
char *dnsmasq_hosts_text(const NetworkDef *def);
char *dnsmasq_addn_hosts_text(const NetworkDef *def);

#endif
