/* viewer.c - viewers of a guest's screen that come by way of the daemon.
 *
 * QMP getfd, add_client, closefd (QEMU QMP reference, ui.json and misc.json).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/private.h"
#include "util/error.h"

/* Whether <graphics> number @index is one that viewers can be handed to. */
static bool
check_graphics(Domain *domain, unsigned index, GError **err)
{
    const DomainGraphics *graphics = NULL;
    bool ok;

    g_mutex_lock(&domain->lock);
    if (domain->live && index < domain->live->graphics->len)
        graphics = domain->live->graphics->pdata[index];
    ok = graphics && graphics->type == DOMAIN_GRAPHICS_VNC;
    if (!graphics)
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "No graphics backend with index %u", index);
    else if (!ok)
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "Can only open VNC graphics backends, and number %u is none", index);
    g_mutex_unlock(&domain->lock);
    return ok;
}

bool
domain_open_graphics(Domain *domain, unsigned index, int fd, bool skip_auth, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autoptr(JsonNode) taken = NULL;
    g_autofree char *name = NULL;
    JsonObject *args;

    if (!run || !check_graphics(domain, index, err))
        return false;
    /* A name of its own for as long as @fd is open here. */
    name = g_strdup_printf("viewer-%d", fd);
    args = json_object_new();
    json_object_set_string_member(args, "fdname", name);
    taken = qmp_execute_fd(run->qmp, "getfd", args, fd, DOMAIN_QMP_SECONDS, err);
    if (!taken)
        return false;
    args = json_object_new();
    json_object_set_string_member(args, "protocol", "vnc");
    json_object_set_string_member(args, "fdname", name);
    json_object_set_boolean_member(args, "skipauth", skip_auth);
    if (qmp_command(run->qmp, "add_client", args, DOMAIN_QMP_SECONDS, err))
        return true;
    args = json_object_new();
    json_object_set_string_member(args, "fdname", name);
    qmp_command(run->qmp, "closefd", args, DOMAIN_QMP_SECONDS, NULL);
    return false;
}
