/* hook.c - runs the administrator's network hook.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/hook.h"

#include "util/error.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

bool
hook_run(const char *program, const char *name, const char *operation, const char *sub_operation,
         const char *xml, GError **err)
{
    g_autoptr(GSubprocess) hook = NULL;
    g_autofree char *input = NULL;
    g_autofree char *said = NULL;
    g_autoptr(GError) inner = NULL;

    if (!program || access(program, F_OK) < 0)
        return true;
    if (access(program, X_OK) < 0)
        return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED,
                              "Hook script %s is not executable: make it so or remove it", program);
    input = g_strdup_printf("<hookData>\n%s</hookData>\n", xml);
    hook = g_subprocess_new(G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE |
                                G_SUBPROCESS_FLAGS_STDERR_PIPE,
                            &inner, program, name, operation, sub_operation, "-", NULL);
    if (!hook)
        return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED, "cannot run hook script %s: %s",
                              program, inner->message);
    /* A hook that does not read its input breaks the pipe; that is its right. */
    if (!g_subprocess_communicate_utf8(hook, input, NULL, NULL, &said, &inner) &&
        !g_error_matches(inner, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE))
        return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED, "hook script %s: %s", program,
                              inner->message);
    if (!g_subprocess_wait(hook, NULL, NULL) || !g_subprocess_get_successful(hook))
        return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED,
                              "Hook script execution failed: %s %s %s %s: %s", program, name,
                              operation, sub_operation, said ? g_strchomp(said) : "no output");
    return true;
}
