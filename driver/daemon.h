/* daemon.h - the whole of virtkilnd put together: managers, workers, server, sockets.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DAEMON_H
#define KILN_DRIVER_DAEMON_H

#include <glib.h>
#include <stdbool.h>

#include "driver/config.h"
#include "driver/paths.h"

/* Belongs to the main loop's thread. */
typedef struct Daemon Daemon;

/* Puts everything together in GLib's default context; touches nothing on the host yet. @paths is
 * borrowed. Takes over @config. */
Daemon *daemon_new(const DaemonPaths *paths, DaemonConfig *config, GError **err);

/* Takes the sockets of systemd, or makes those of the configuration. A name that another daemon
 * holds is passed over with a warning; an error when none is left. */
bool daemon_listen(Daemon *daemon, GError **err);

/* Reads definitions and takes up what runs already. Before clients are served. */
bool daemon_load(Daemon *daemon, GError **err);

/* Uses other settings from now on (takes over @config): limits, workers, log. Sockets and their
 * authentication stay as they are until the next start. */
void daemon_reload(Daemon *daemon, DaemonConfig *config);

/* Nothing is connected and no guest or network runs. */
bool daemon_is_idle(Daemon *daemon);

/* Tells clients, lets the calls at work end, disconnects, frees. Guests and networks go on. */
void daemon_free(Daemon *daemon);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Daemon, daemon_free)

#endif
