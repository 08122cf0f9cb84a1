/* hooks.c - the administrator's script that is told of a guest's life.
 *
 * Follows libvirt's hooks page (hooks.html, /etc/libvirt/hooks/qemu): arguments NAME OPERATION
 * SUB-OPERATION "-", the definition on standard input. One script, no qemu.d directory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/private.h"
#include "util/error.h"

enum { HOOK_ERROR_MAX = 4096 };      /* bytes of a script's complaint that go into the error */

bool
domain_hook_run(DomainManager *manager, const char *name, const char *operation,
                const char *sub_operation, const DomainDef *def, GError **err)
{
    const char *argv[] = { manager->hook_program, name, operation, sub_operation, "-", NULL };
    g_autoptr(GSubprocessLauncher) launcher = NULL;
    g_autoptr(GSubprocess) child = NULL;
    g_autoptr(GError) reason = NULL;
    g_autofree char *xml = NULL, *said = NULL, *valid = NULL;

    if (!manager->hook_program || access(manager->hook_program, X_OK) < 0)
        return true;
    xml = domain_def_format(def, DOMAIN_FORMAT_SECURE);
    launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE |
                                         G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
    child = g_subprocess_launcher_spawnv(launcher, argv, &reason);
    if (!child)
        return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED, "cannot run hook script %s: %s",
                              manager->hook_program, reason->message);
    /* a script that does not read its input makes this fail, which is its right */
    if (!g_subprocess_communicate_utf8(child, xml, NULL, NULL, &said, &reason)) {
        g_clear_error(&reason);
        g_subprocess_wait(child, NULL, NULL);
    }
    if (g_subprocess_get_successful(child))
        return true;
    valid = g_utf8_make_valid(said ? said : "", said ? (gssize)MIN(strlen(said), HOOK_ERROR_MAX) : 0);
    g_strstrip(valid);
    if (g_subprocess_get_if_exited(child))
        return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED,
                              "%s %s %s %s - exited with status %d: %s", manager->hook_program, name,
                              operation, sub_operation, g_subprocess_get_exit_status(child), valid);
    return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED, "%s %s %s %s - was killed by signal %d: %s",
                          manager->hook_program, name, operation, sub_operation,
                          g_subprocess_get_term_sig(child), valid);
}
