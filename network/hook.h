/* hook.h - runs the administrator's network hook with libvirt's arguments (libvirt "Hooks for
 * specific system management").
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_HOOK_H
#define KILN_NETWORK_HOOK_H

#include <glib.h>
#include <stdbool.h>

/* Runs `@program NAME OPERATION SUB_OPERATION -` with `<hookData>` around @xml on standard input,
 * and waits for it. Succeeds at once when @program is NULL or not there. VIR_ERR_HOOK_SCRIPT_FAILED
 * with the script's stderr when it cannot be run or returns anything but 0. */
bool hook_run(const char *program, const char *name, const char *operation,
              const char *sub_operation, const char *xml, GError **err);

#endif
