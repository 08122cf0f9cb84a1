/* qmp.h - the QMP server of a guest: sessions over character devices, events to all of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_QMP_H
#define KILN_LAUNCHER_QMP_H

#include "launcher/qmp_dispatch.h"
#include "launcher/vm.h"

typedef struct Qmp Qmp;

/* Attaches a session to each -mon and -qmp of the options, and takes the guest's events. Main
 * thread. */
Qmp *qmp_new(Vm *vm, GError **err);
void qmp_free(Qmp *qmp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qmp, qmp_free)

/* Sends what is queued, as far as the other ends take it at once. Main thread. */
void qmp_flush(Qmp *qmp);

/* For the commands: the guest, and the newest descriptor that came over the session (-1: none),
 * which is then the caller's. */
Vm *qmp_session_vm(QmpSession *session);
int qmp_session_take_fd(QmpSession *session);
/* gdb_start(), with a session that is nobody's. Main thread. */
bool qmp_session_start_gdb(QmpSession *session, const char *device, GError **err);
/* After the answer to the present command has gone out. */
void qmp_session_quit_after(QmpSession *session);

extern const QmpCommandTable qmp_commands;

#endif
