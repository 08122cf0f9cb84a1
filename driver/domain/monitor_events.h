/* monitor_events.h - handlers of QMP events that stand in files of their own.
 *
 * All run in the thread of the manager's context and must not execute commands. @data may be NULL.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_MONITOR_EVENTS_H
#define KILN_DRIVER_DOMAIN_MONITOR_EVENTS_H

#include "driver/domain/private.h"

void domain_on_io_error(DomainRun *run, JsonObject *data);
void domain_on_tray(DomainRun *run, JsonObject *data);
void domain_on_viewer_connected(DomainRun *run, JsonObject *data);
void domain_on_viewer_ready(DomainRun *run, JsonObject *data);
void domain_on_viewer_gone(DomainRun *run, JsonObject *data);

/* In a worker: brings the status file in step with the live definition and state. */
void domain_monitor_state_changed(DomainRun *run);

#endif
