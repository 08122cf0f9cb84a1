/* leaseshelper.c - kiln-leases: the script dnsmasq runs for each change of a DHCP lease
 * (dnsmasq(8), --dhcp-script with --leasefile-ro).
 *
 *   kiln-leases add|old|del MAC-OR-DUID IP [HOSTNAME]     keeps BRIDGE.status up to date
 *   kiln-leases init                                      prints the leases kept
 *
 * The bridge is in KILN_BRIDGE, and the directory in KILN_LEASES_DIR; the daemon sets both when it
 * starts dnsmasq. Actions it does not know ("arp-add", "tftp") are none of its business and
 * succeed. Several may run at once: a lock on the directory keeps them in order.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/leases.h"
#include "util/error.h"
#include "util/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static const char *
env(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

static Lease *
lease_from_call(int argc, char **argv)
{
    const char *expires = env("DNSMASQ_LEASE_EXPIRES");
    const char *iaid = env("DNSMASQ_IAID");
    Lease *lease = g_new0(Lease, 1);

    lease->ip = g_strdup(argv[3]);
    lease->hostname = g_strdup(argc > 4 ? argv[4] : env("DNSMASQ_SUPPLIED_HOSTNAME"));
    lease->server_duid = g_strdup(env("DNSMASQ_SERVER_DUID"));
    lease->expiry = expires ? g_ascii_strtoll(expires, NULL, 10) : 0;
    if (iaid) {
        /* DHCPv6 knows clients by DUID; the MAC is there only if dnsmasq has seen it. */
        lease->iaid = g_strdup(iaid);
        lease->client_id = g_strdup(argv[2]);
        lease->mac = g_strdup(env("DNSMASQ_MAC"));
    } else {
        lease->mac = g_strdup(argv[2]);
        lease->client_id = g_strdup(env("DNSMASQ_CLIENT_ID"));
    }
    return lease;
}

static int
fail(GError *err)
{
    fprintf(stderr, "kiln-leases: %s\n", err->message);
    g_error_free(err);
    return EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
    const char *bridge = env("KILN_BRIDGE") ? env("KILN_BRIDGE") : env("DNSMASQ_INTERFACE");
    const char *dir = env("KILN_LEASES_DIR");
    const char *action = argc > 1 ? argv[1] : "";
    bool init = strcmp(action, "init") == 0;
    bool drop = strcmp(action, "del") == 0;
    bool keep = strcmp(action, "add") == 0 || strcmp(action, "old") == 0;
    g_autoptr(GPtrArray) leases = NULL;
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    GError *err = NULL;
    int dir_fd;

    if (!init && !drop && !keep)
        return EXIT_SUCCESS;
    if (!bridge || strchr(bridge, '/') || !dir || (!init && argc < 4)) {
        fprintf(stderr, "kiln-leases: meant to be run by dnsmasq that virtkilnd started\n");
        return EXIT_FAILURE;
    }
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || flock(dir_fd, LOCK_EX) < 0) {
        perror("kiln-leases: cannot lock the directory of leases");
        return EXIT_FAILURE;
    }
    path = g_strdup_printf("%s/%s.status", dir, bridge);
    leases = leases_read(path, &err);
    if (!leases && init)
        return fail(err);
    if (!leases) {
        /* A broken file must not stop leases for ever: start anew. */
        fprintf(stderr, "kiln-leases: %s; it is written anew\n", err->message);
        g_clear_error(&err);
        leases = g_ptr_array_new_with_free_func((GDestroyNotify)lease_free);
    }
    leases_drop(leases, init ? NULL : argv[3], time(NULL));
    if (init) {
        text = leases_format_dnsmasq(leases);
        return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    if (keep)
        g_ptr_array_add(leases, lease_from_call(argc, argv));
    text = leases_format(leases);
    if (!file_write_atomic(path, text, strlen(text), 0644, &err))
        return fail(err);
    return EXIT_SUCCESS;
}
