/* qmp_control.c - QMP commands that act on the guest as a whole, or on descriptors.
 *
 * QEMU 7.2 qapi/{misc,run-state,machine}.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "util/error.h"

#define COMMAND(name)                                                                              \
    JsonNode *name(G_GNUC_UNUSED QmpSession *session, G_GNUC_UNUSED JsonObject *args,              \
                   G_GNUC_UNUSED GError **err)

COMMAND(qmp_stop)
{
    vm_pause(qmp_session_vm(session), VM_PAUSED);
    return NULL;
}

COMMAND(qmp_cont)
{
    vm_resume(qmp_session_vm(session), err);
    return NULL;
}

COMMAND(qmp_system_reset)
{
    vm_reset(qmp_session_vm(session), false, "host-qmp-system-reset", err);
    return NULL;
}

COMMAND(qmp_system_powerdown)
{
    vm_powerdown(qmp_session_vm(session));
    return NULL;
}

COMMAND(qmp_system_wakeup)
{
    vm_wakeup(qmp_session_vm(session), ACPI_WAKE_OTHER, err);
    return NULL;
}

COMMAND(qmp_inject_nmi)
{
    vm_inject_nmi(qmp_session_vm(session), err);
    return NULL;
}

COMMAND(qmp_quit)
{
    qmp_session_quit_after(session);
    return NULL;
}

COMMAND(qmp_set_action)
{
    static const char *const reboot[] = { "reset", "shutdown", NULL };
    static const char *const shutdown[] = { "poweroff", "pause", NULL };
    static const char *const panic[] = { "pause", "shutdown", "exit-failure", "none", NULL };
    VmActions *actions = &qmp_session_vm(session)->actions;
    int on_reboot = actions->reboot_ends, on_shutdown = actions->shutdown_pauses;
    int on_panic = actions->panic, on_watchdog = actions->watchdog;

    if (keyval_enum("set-action", args, "reboot", reboot, &on_reboot, err) &&
        keyval_enum("set-action", args, "shutdown", shutdown, &on_shutdown, err) &&
        keyval_enum("set-action", args, "panic", panic, &on_panic, err) &&
        keyval_enum("set-action", args, "watchdog", vm_watchdog_actions, &on_watchdog, err))
        *actions = (VmActions){ on_reboot, on_shutdown, on_panic, on_watchdog };
    return NULL;
}

COMMAND(qmp_watchdog_set_action)
{
    keyval_enum("watchdog-set-action", args, "action", vm_watchdog_actions,
                &qmp_session_vm(session)->actions.watchdog, err);
    return NULL;
}

static void
control_close(void *fd)
{
    close(GPOINTER_TO_INT(fd));
}

COMMAND(qmp_getfd)
{
    Vm *vm = qmp_session_vm(session);
    const char *name = json_object_get_string_member(args, "fdname");
    int fd;

    if (g_ascii_isdigit(*name)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "Parameter 'fdname' expects a name not starting "
                       "with a digit");
        return NULL;
    }
    fd = qmp_session_take_fd(session);
    if (fd < 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "No file descriptor supplied via SCM_RIGHTS");
        return NULL;
    }
    if (!vm->named_fds)
        vm->named_fds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, control_close);
    g_hash_table_replace(vm->named_fds, g_strdup(name), GINT_TO_POINTER(fd));
    return NULL;
}

COMMAND(qmp_closefd)
{
    Vm *vm = qmp_session_vm(session);
    const char *name = json_object_get_string_member(args, "fdname");

    if (!vm->named_fds || !g_hash_table_remove(vm->named_fds, name))
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "File descriptor named '%s' not found", name);
    return NULL;
}

COMMAND(qmp_add_fd)
{
    JsonObject *added;
    int64_t set = json_object_get_int_member_with_default(args, "fdset-id", -1);
    const char *opaque = json_object_get_string_member_with_default(args, "opaque", NULL);
    int fd;

    if (json_object_has_member(args, "fdset-id") && set < 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "Parameter 'fdset-id' expects a non-negative value");
        return NULL;
    }
    fd = qmp_session_take_fd(session);
    if (fd < 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "No file descriptor supplied via SCM_RIGHTS");
        return NULL;
    }
    added = json_object_new();
    json_object_set_int_member(added, "fdset-id",
                               fdset_add(qmp_session_vm(session)->fdsets, set, fd, opaque));
    json_object_set_int_member(added, "fd", fd);
    return qmp_node_object(added);
}

COMMAND(qmp_remove_fd)
{
    int64_t set = json_object_get_int_member(args, "fdset-id");
    int64_t fd = json_object_get_int_member_with_default(args, "fd", -1);

    if (fd < -1 || fd > INT32_MAX || !fdset_remove(qmp_session_vm(session)->fdsets, set, fd))
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "File descriptor named 'fdset-id:%" G_GINT64_FORMAT "' not found", set);
    return NULL;
}

COMMAND(qmp_query_fdsets)
{
    return qmp_node_array(fdset_list(qmp_session_vm(session)->fdsets));
}
