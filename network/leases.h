/* leases.h - the leases of one bridge as JSON, in the form and place libvirt keeps them
 * (/var/lib/libvirt/dnsmasq/BRIDGE.status), which libnss-libvirt reads.
 *
 * The file is an array of objects: "ip-address", "mac-address", "hostname", "client-id", "iaid",
 * "server-duid", "expiry-time" (seconds since 1970; 0 never). kiln-leases writes it, called by
 * dnsmasq; the daemon only reads it. dnsmasq runs with leasefile-ro, so this file is also where it
 * gets its leases back from when it starts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_LEASES_H
#define KILN_NETWORK_LEASES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { LEASES_FILE_MAX = 32 * 1024 * 1024 };

typedef struct {
    char *ip;
    char *mac; /* all but @ip may be NULL */
    char *hostname;
    char *client_id;
    char *iaid; /* set for IPv6 leases only */
    char *server_duid;
    int64_t expiry; /* 0: never */
} Lease;
void lease_free(Lease *lease);

/* The leases in @text (Lease *, owned by the array). Unknown members are passed over. NULL with
 * VIR_ERR_INTERNAL_ERROR for what is not such a file; empty text is an empty list. */
GPtrArray *leases_parse(const char *text, size_t len, GError **err);
char *leases_format(GPtrArray *leases);

/* Drops the lease of @ip and all that ended before @now. */
void leases_drop(GPtrArray *leases, const char *ip, int64_t now);

/* The same leases in the form of dnsmasq's own lease file, as the script prints them for "init". */
char *leases_format_dnsmasq(GPtrArray *leases);

/* An empty list when there is no such file. */
GPtrArray *leases_read(const char *path, GError **err);

#endif
