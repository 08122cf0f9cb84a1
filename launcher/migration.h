/* migration.h - writing a guest into a descriptor, and beginning a guest from one: QMP migrate,
 * -incoming.
 *
 * A guest that runs goes on while its memory is written, round by round: at first all of it, then
 * what it has written meanwhile, until so little is left that it need not stand still for longer
 * than migrate_downtime. Into a file it is written once, standing still. All functions run in the
 * main thread; the bytes are moved in a thread of their own, so that QMP goes on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_MIGRATION_H
#define KILN_LAUNCHER_MIGRATION_H

#include "launcher/vm.h"

typedef struct Migration Migration;

/* Opens what @uri names: "fd:NAME" (a number, or given by QMP getfd) or "file:PATH" ("/dev/fdset/N"
 * too). The caller owns the descriptor; -1 with @err. */
int migration_open(Vm *vm, const char *uri, bool write, GError **err);

/* Begins to write the guest into @fd, which is taken also on failure. Then it is in VM_POSTMIGRATE,
 * or goes on as before if that fails or is cancelled. MIGRATION and MIGRATION_PASS events tell. */
bool migration_send(Vm *vm, int fd, GError **err);

/* Begins to load the guest, which waits for that (-incoming), from @fd, which is taken; from who
 * connects to it, if it is a socket that listens. Then it
 * runs if @resume and it did when it was saved, else it is paused. A failure ends the process if
 * @fatal; otherwise the guest can only be quit. */
bool migration_receive(Vm *vm, int fd, bool resume, bool fatal, GError **err);

/* Ends the writing of a guest, which goes on. True also when nothing is being written. */
bool migration_cancel(Vm *vm, GError **err);

/* What query-migrate answers. The caller's. */
JsonObject *migration_query(const Vm *vm);

/* Ends what is under way. NULL is accepted. */
void migration_free(Migration *migration);

#endif
