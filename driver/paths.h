/* paths.h - where the daemon keeps things: one struct for system mode, session mode and a daemon
 * below a prefix (virtkilnd --root DIR, used by tests).
 *
 * System mode uses /etc/kiln, /var/lib/kiln, /var/log/kiln, /run/kiln and libvirt's own places for
 * what other programs look up there (sockets, images, dnsmasq's lease files). Session mode uses the
 * XDG base directories.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_PATHS_H
#define KILN_DRIVER_PATHS_H

#include <glib.h>
#include <stdbool.h>

/* Immutable once made; any thread may read it. All paths are absolute. */
typedef struct DaemonPaths {
    bool session; /* an ordinary user's daemon */
    char *root;   /* prefix before every path below, "" if none */

    char *etc_dir;           /* configuration: /etc/kiln */
    char *config_file;       /* virtkilnd.conf in etc_dir */
    char *domains_dir;       /* NAME.xml of persistent domains */
    char *domains_autostart; /* links to domains_dir */
    char *networks_dir;      /* NAME.xml of persistent networks */
    char *networks_autostart;
    char *secrets_dir; /* UUID.xml and values of secrets */
    char *storage_dir; /* NAME.xml of persistent storage pools */
    char *hooks_dir;   /* administrator's hook scripts: hooks/qemu, hooks/network, ... */

    char *lib_dir; /* state that outlives a reboot: /var/lib/kiln */
    char *nvram_dir, *save_dir, *snapshot_dir, *dump_dir;
    char *channel_dir; /* unix sockets of channels without a path of their own */
    char *images_dir;  /* /var/lib/libvirt/images */
    char *pki_dir;     /* TLS credentials, as libvirt has them: /etc/pki */
    char *dnsmasq_dir; /* dnsmasq configuration, leases, status: /var/lib/libvirt/dnsmasq */

    char *log_dir; /* NAME.log of each guest: /var/log/kiln */

    char *run_dir;      /* gone after a reboot: /run/kiln */
    char *domains_run;  /* status XML, control sockets, pid files of running domains */
    char *networks_run; /* status XML, pid files of active networks */
    char *storage_run;  /* definitions of active storage pools */
    char *socket_dir;   /* the daemon's own sockets: /run/libvirt */

    char *vmm;           /* the kiln-vmm binary */
    char *img;           /* the kiln-img binary, beside kiln-vmm unless named */
    char *leases_helper; /* the program dnsmasq tells of its leases */
} DaemonPaths;

/* Paths of the system (@session false) or of the calling user (@session true), all below @root
 * when that is not NULL. Programs are the installed ones even then; KILN_VMM, KILN_IMG and
 * KILN_LEASES in the environment name others. Fails with VIR_ERR_INTERNAL_ERROR when a session's
 * XDG directories are unknown. */
DaemonPaths *daemon_paths_new(const char *root, bool session, GError **err);

/* Makes every directory, private ones 0700, those that guests or other programs pass through
 * 0711 or 0755. Existing ones are left as they are. Fails with VIR_ERR_SYSTEM_ERROR naming the
 * directory. */
bool daemon_paths_create(const DaemonPaths *paths, GError **err);

void daemon_paths_free(DaemonPaths *paths);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DaemonPaths, daemon_paths_free)

#endif
