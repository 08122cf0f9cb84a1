/* sandbox.h - giving up rights before the guest runs.
 *
 * In three steps: sandbox_new() while there is one thread and nothing is open, sandbox_enter() when
 * everything is, sandbox_confine_main() last. Between the last two the vCPU threads start, each
 * confining itself.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_SANDBOX_H
#define KILN_LAUNCHER_SANDBOX_H

#include <glib.h>
#include <stdbool.h>

#include "launcher/options.h"
#include "launcher/vm.h"

typedef struct Sandbox Sandbox;

/* Closes descriptors that were inherited and that no option names. Before anything is opened. */
void sandbox_close_stray(const Options *options);

/* Reads -sandbox and moves into namespaces of our own whose contents are still the host's. What -sandbox on asks for and cannot be had is an error; without the
 * option it is a warning. */
Sandbox *sandbox_new(const Options *options, GError **err);
void sandbox_free(Sandbox *sandbox);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sandbox, sandbox_free)

/* Empty root, no network (unless user networking needs it), limits, own user, no capabilities, no new
 * ones; I/O threads under their system call list. */
bool sandbox_enter(Sandbox *sandbox, Vm *vm, GError **err);

/* The main thread, and every thread that has no list yet, under the widest list. */
bool sandbox_confine_main(Sandbox *sandbox, GError **err);

#endif
