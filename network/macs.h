/* macs.h - which guest has which MAC on a bridge, as JSON for libnss-libvirt's guest-name module
 * (/var/lib/libvirt/dnsmasq/BRIDGE.macs): [ { "domain": NAME, "macs": [ … ] }, … ].
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_MACS_H
#define KILN_NETWORK_MACS_H

#include <glib.h>

typedef struct {
    const char *domain;
    const char *mac;
} MacsEntry;

/* @entries: MacsEntry *, any order; guests and their MACs are sorted. */
char *macs_format(GPtrArray *entries);

#endif
