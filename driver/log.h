/* log.h - where the daemon's own messages go.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_LOG_H
#define KILN_DRIVER_LOG_H

#include <glib.h>

/* Sends GLib's log to the journal when stderr is connected to it, else to stderr as lines of time,
 * level and text. Once, before any thread. */
void daemon_log_init(void);

/* Drops messages below @level: 1 debug, 2 info, 3 warnings, 4 errors. Any thread. */
void daemon_log_set_level(guint level);

#endif
