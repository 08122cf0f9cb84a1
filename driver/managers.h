/* managers.h - the managers of networks, storage, domains and secrets, wired to the event hub and
 * to each other.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_MANAGERS_H
#define KILN_DRIVER_MANAGERS_H

#include <glib.h>
#include <stdbool.h>

#include "driver/calls/call.h"
#include "driver/config.h"

/* Makes the managers from @config and the paths, events and node of @services, and fills their
 * part of it. @services must stay where it is. Touches nothing on the host. */
void managers_init(CallServices *services, const DaemonConfig *config);

/* Loads secrets, storage and networks, then domains, which may need them. */
bool managers_load(CallServices *services, GError **err);

/* Active domains and networks. */
guint managers_count_active(const CallServices *services);

/* Frees them; guests and networks go on. No call may be at work. */
void managers_clear(CallServices *services);

#endif
