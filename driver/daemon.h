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

/* Reads definitions and takes up what runs already, beside the main loop: clients can connect
 * meanwhile, and their other calls wait. @loaded is told in the main loop's thread, with @err NULL
 * when all went well (@err is the daemon's). It is not told when the daemon is freed before. */
typedef void (*DaemonLoaded)(const GError *err, void *opaque);
void daemon_load(Daemon *daemon, DaemonLoaded loaded, void *opaque);

/* Uses other settings from now on (takes over @config): limits, workers, log. Sockets and their
 * authentication stay as they are until the next start. */
void daemon_reload(Daemon *daemon, DaemonConfig *config);

/* Everything is loaded, nothing is connected and no guest or network runs. */
bool daemon_is_idle(Daemon *daemon);

/* Waits for loading to end, tells clients, lets the calls at work end, disconnects, frees. Guests
 * and networks go on. */
void daemon_free(Daemon *daemon);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Daemon, daemon_free)

#endif
