/* hook.h - runs the administrator's hook scripts with libvirt's arguments (libvirt, "Hooks for
 * specific system management").
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_HOOK_H
#define KILN_UTIL_HOOK_H

#include <glib.h>
#include <stdbool.h>

typedef struct {
    const char *program; /* and the folder PROGRAM.d; neither need be there. NULL: no hooks */
    const char *name, *operation, *sub_operation; /* the arguments, behind which comes "-" */
    const char *input;                            /* on standard input */
} HookCall;

/* Whether the file @program is there and may not be executed: then it is not run. */
bool hook_is_disabled(const char *program);

/* Runs the script and then, in the order of their names, the executable files of the folder beside
 * it, one after the other, and waits for them. With @ret_output what one of them writes is what the
 * next one reads, and what the last one wrote is returned, or NULL when none wrote more than white
 * space; without, what they write is thrown away. The caller frees it. VIR_ERR_HOOK_SCRIPT_FAILED
 * with a script's standard error when it cannot be run, or ends with anything but 0; those behind
 * it are not run. Any thread. */
bool hook_run(const HookCall *call, char **ret_output, GError **err);

#endif
