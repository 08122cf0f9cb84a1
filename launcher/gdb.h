/* gdb.h - the server of GDB's remote protocol: -gdb, -s, and the monitor's gdbserver.
 *
 * All of it runs in the main thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_GDB_H
#define KILN_LAUNCHER_GDB_H

#include "launcher/qmp_dispatch.h"
#include "launcher/vm.h"

typedef struct Gdb Gdb;

/* Waits for a debugger on @device: the words of -serial, "chardev:ID", or "none" for no more. What
 * was there before ends. @session carries out "monitor" commands and outlives it. */
bool gdb_start(Vm *vm, QmpSession *session, const char *device, GError **err);
/* Lets go of the guest: no breakpoint stays behind. NULL is accepted. */
void gdb_free(Gdb *gdb);

/* A vCPU has left the guest for a debug exception: looks at all of them. False when each was the
 * guest's own, and has been given back to it. */
bool gdb_look(Gdb *gdb);
/* The guest stands still now, all vCPUs are out. */
void gdb_guest_stopped(Gdb *gdb);
/* The process is about to end. */
void gdb_guest_ends(Gdb *gdb, int status);
/* A vCPU that came while the guest runs gets its breakpoints. */
void gdb_arm_vcpu(Gdb *gdb, Vcpu *vcpu);
/* There are breakpoints written into the guest's memory. NULL is accepted. */
bool gdb_changes_memory(const Gdb *gdb);

#endif
