/* dnsmasq.h - runs one network's dnsmasq: start, find again, reload, stop.
 *
 * dnsmasq goes to the background by itself once it listens, and outlives the daemon. It is known by
 * its pid file and by its own configuration file on its command line, so that a reused pid is never
 * mistaken for it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_DNSMASQ_H
#define KILN_NETWORK_DNSMASQ_H

#include "network/dnsmasq_config.h"

#include <sys/types.h>

typedef struct {
    const char *program; /* dnsmasq */
    const char *helper;  /* kiln-leases */
    const char *dir;     /* where the leases are kept */
} DnsmasqSetup;

/* Writes configuration and host files, each atomically. */
bool dnsmasq_write_files(const NetworkDef *def, const DnsmasqPaths *paths, GError **err);

/* Runs dnsmasq and waits until it is in the background (the caller's thread blocks meanwhile).
 * Failure is VIR_ERR_INTERNAL_ERROR with what dnsmasq said on stderr. */
bool dnsmasq_start(const DnsmasqSetup *setup, const char *bridge, const DnsmasqPaths *paths,
                   pid_t *ret_pid, GError **err);

/* The pid of the running dnsmasq of @paths, or 0. */
pid_t dnsmasq_find(const DnsmasqPaths *paths);

/* Makes it read its host files again. */
bool dnsmasq_reload(const DnsmasqPaths *paths, GError **err);

/* Ends it, by force after three seconds, and waits until it is gone. */
void dnsmasq_stop(const DnsmasqPaths *paths);

/* Removes the files of dnsmasq_write_files() and the pid file; the leases too with @leases. */
void dnsmasq_remove_files(const DnsmasqPaths *paths, bool leases);

#endif
