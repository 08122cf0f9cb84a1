/* monitor_devices.c - what a guest's VMM tells of its disks and viewers: QMP BLOCK_IO_ERROR,
 * DEVICE_TRAY_MOVED, VNC_CONNECTED, VNC_INITIALIZED and VNC_DISCONNECTED (QEMU QMP reference,
 * block-core.json, block.json, ui.json).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/monitor_events.h"
#include "driver/domain/qmp_answer.h"

/* With the state lock held. */
static DomainDisk *
find_disk(Domain *domain, const char *alias)
{
    for (guint i = 0; domain->live && i < domain->live->disks->len; i++) {
        DomainDisk *disk = domain->live->disks->pdata[i];

        if (g_strcmp0(disk->info.alias, alias) == 0)
            return disk;
    }
    return NULL;
}

/* --- failed reading and writing --------------------------------------------------------------- */

/* Its STOP follows, and is then no news. */
static void
pause_for_error(DomainRun *run)
{
    Domain *domain = run->domain;
    bool paused;

    g_mutex_lock(&domain->lock);
    paused = domain->state == VIR_DOMAIN_RUNNING;
    if (paused)
        domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR);
    g_mutex_unlock(&domain->lock);
    if (!paused)
        return;
    domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR);
    domain_run_post(run, domain_monitor_state_changed);
}

void
domain_on_io_error(DomainRun *run, JsonObject *data)
{
    static const char *const actions[] = {
        [VIR_DOMAIN_EVENT_IO_ERROR_NONE] = "ignore",
        [VIR_DOMAIN_EVENT_IO_ERROR_PAUSE] = "stop",
        [VIR_DOMAIN_EVENT_IO_ERROR_REPORT] = "report",
    };
    Domain *domain = run->domain;
    const char *path = qmp_text(data, "qom-path"), *last = strrchr(path, '/');
    const char *reason =
        data && json_object_get_boolean_member_with_default(data, "nospace", FALSE) ? "enospc" : "";
    g_autofree char *alias = g_strdup(last ? last + 1 : path), *source = NULL;
    const DomainDisk *disk;
    int action = VIR_DOMAIN_EVENT_IO_ERROR_NONE;

    for (int i = 0; i < (int)G_N_ELEMENTS(actions); i++)
        if (strcmp(qmp_text(data, "action"), actions[i]) == 0)
            action = i;
    g_mutex_lock(&domain->lock);
    disk = find_disk(domain, alias);
    source = g_strdup(disk && domain_disk_path(disk) ? domain_disk_path(disk) : "");
    g_mutex_unlock(&domain->lock);
    domain_event_io_error(domain, source, alias, action, reason);
    if (action == VIR_DOMAIN_EVENT_IO_ERROR_PAUSE)
        pause_for_error(run);
}

/* --- trays ------------------------------------------------------------------------------------ */

void
domain_on_tray(DomainRun *run, JsonObject *data)
{
    Domain *domain = run->domain;
    const char *alias = qmp_text(data, "id");
    bool open = data && json_object_get_boolean_member_with_default(data, "tray-open", FALSE);
    DomainDisk *disk;

    g_mutex_lock(&domain->lock);
    disk = find_disk(domain, alias);
    if (disk)
        disk->tray = open ? DOMAIN_TRAY_OPEN : DOMAIN_TRAY_ABSENT;
    g_mutex_unlock(&domain->lock);
    if (!disk)
        return;
    domain_event_send(domain, VIR_DOMAIN_EVENT_ID_TRAY_CHANGE,
                      open ? VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN : VIR_DOMAIN_EVENT_TRAY_CHANGE_CLOSE,
                      0, 0, alias);
    domain_run_post(run, domain_monitor_state_changed);
}

/* --- viewers ---------------------------------------------------------------------------------- */

static DomainEventAddress
address_of(JsonObject *end)
{
    const char *family = qmp_text(end, "family");

    return (DomainEventAddress){
        .family = strcmp(family, "ipv6") == 0   ? VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_IPV6
                  : strcmp(family, "unix") == 0 ? VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_UNIX
                                                : VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_IPV4,
        .node = qmp_text(end, "host"),
        .service = qmp_text(end, "service"),
    };
}

static void
on_viewer(DomainRun *run, int phase, JsonObject *data)
{
    JsonObject *server = qmp_object(data, "server"), *client = qmp_object(data, "client");

    domain_event_graphics(run->domain, &(DomainEventGraphics){
                                           .phase = phase,
                                           .local = address_of(server),
                                           .remote = address_of(client),
                                           .auth = qmp_text(server, "auth"),
                                           .x509_name = qmp_text(client, "x509_dname"),
                                           .sasl_name = qmp_text(client, "sasl_username"),
                                       });
}

void
domain_on_viewer_connected(DomainRun *run, JsonObject *data)
{
    on_viewer(run, VIR_DOMAIN_EVENT_GRAPHICS_CONNECT, data);
}

void
domain_on_viewer_ready(DomainRun *run, JsonObject *data)
{
    on_viewer(run, VIR_DOMAIN_EVENT_GRAPHICS_INITIALIZE, data);
}

void
domain_on_viewer_gone(DomainRun *run, JsonObject *data)
{
    on_viewer(run, VIR_DOMAIN_EVENT_GRAPHICS_DISCONNECT, data);
}
