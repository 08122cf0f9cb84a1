/* sandbox.h - giving up rights before the guest runs.
 *
 * In two steps: sandbox_new() while there is one thread and nothing is open, sandbox_enter() when
 * everything is. The vCPU threads start after that, each narrowing its own list further.
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

/* Whether a network card of @options needs the host's network, so that the sandbox keeps it. */
bool sandbox_has_user_network(const Options *options);

/* Reads -sandbox and moves into namespaces of our own whose contents are still the host's. What
 * -sandbox on asks for and cannot be had is an error; without the option it is a warning. */
Sandbox *sandbox_new(const Options *options, GError **err);
void sandbox_free(Sandbox *sandbox);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sandbox, sandbox_free)

/* Empty root, no network (unless user networking needs it), limits, own user, no capabilities, no
 * new ones; every thread under the list of system calls of its kind. */
bool sandbox_enter(Sandbox *sandbox, Vm *vm, GError **err);

#endif
