/* hooks.c - the administrator's script that is told of a guest's life.
 *
 * Follows libvirt's hooks page (hooks.html, /etc/libvirt/hooks/qemu): arguments NAME OPERATION
 * SUB-OPERATION "-", the definition on standard input. One script, no qemu.d directory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/domain/private.h"
#include "util/error.h"

enum { HOOK_ERROR_MAX = 4096 }; /* bytes of a script's complaint that go into the error */

/* A file in memory, not a pipe: a script may end without reading it. */
static int
definition_fd(const DomainDef *def, GError **err)
{
    g_autofree char *xml = domain_def_format(def, DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_JOINED);
    size_t len = strlen(xml);
    int fd = memfd_create("definition", MFD_CLOEXEC);

    if (fd < 0 || write(fd, xml, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                             "cannot hand the definition of '%s' to its hook script", def->name);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

bool
domain_hook_run(DomainManager *manager, const char *name, const char *operation,
                const char *sub_operation, const DomainDef *def, GError **err)
{
    const char *argv[] = { manager->hook_program, name, operation, sub_operation, "-", NULL };
    g_autoptr(GSubprocessLauncher) launcher = NULL;
    g_autoptr(GSubprocess) child = NULL;
    g_autoptr(GError) reason = NULL;
    g_autofree char *said = NULL, *valid = NULL;
    int input;

    if (!manager->hook_program || access(manager->hook_program, X_OK) < 0)
        return true;
    if ((input = definition_fd(def, err)) < 0)
        return false;
    launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDERR_PIPE |
                                         G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
    g_subprocess_launcher_take_stdin_fd(launcher, input);
    child = g_subprocess_launcher_spawnv(launcher, argv, &reason);
    if (!child)
        return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED, "cannot run hook script %s: %s",
                              manager->hook_program, reason->message);
    if (!g_subprocess_communicate_utf8(child, NULL, NULL, NULL, &said, &reason)) {
        g_clear_error(&reason); /* what it said is not UTF-8 */
        g_subprocess_wait(child, NULL, NULL);
    }
    if (g_subprocess_get_successful(child))
        return true;
    valid =
        g_utf8_make_valid(said ? said : "", said ? (gssize)MIN(strlen(said), HOOK_ERROR_MAX) : 0);
    g_strstrip(valid);
    if (g_subprocess_get_if_exited(child))
        return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED,
                              "%s %s %s %s - exited with status %d: %s", manager->hook_program,
                              name, operation, sub_operation, g_subprocess_get_exit_status(child),
                              valid);
    return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED,
                          "%s %s %s %s - was killed by signal %d: %s", manager->hook_program, name,
                          operation, sub_operation, g_subprocess_get_term_sig(child), valid);
}
