/* status.c - the status file of a running guest, from which a new daemon takes it up.
 *
 * One XML file per guest in the run directory, replaced as a whole at every change of state.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/status.h"

#include <string.h>

#include "util/error.h"
#include "util/file.h"
#include "util/uuid.h"

char *
domain_status_path(DomainManager *manager, const char *name)
{
    return g_strdup_printf("%s/%s.status", manager->run_dir, name);
}

char *
domain_monitor_path(Domain *domain)
{
    g_autofree char *uuid = kiln_uuid_format(domain->uuid);

    return g_strdup_printf("%s/%s.monitor", domain->manager->run_dir, uuid);
}

static DomainStatusPort *
status_port_new(const DomainPort *port)
{
    DomainStatusPort *entry = xml_type_new(&domain_status_port_type);

    entry->kind = port->request.kind;
    entry->source = g_strdup(port->source);
    entry->portgroup = g_strdup(port->portgroup);
    entry->ifname = g_strdup(port->ifname);
    entry->mac = xml_mac_format(port->request.mac);
    entry->id = kiln_uuid_format(port->id);
    entry->isolated = port->request.isolated;
    entry->managed = port->request.managed;
    return entry;
}

bool
domain_status_save(DomainRun *run, const DomainDef *def, bool starting, GError **err)
{
    Domain *domain = run->domain;
    g_autofree char *path = domain_status_path(domain->manager, def->name);
    DomainStatus *status = xml_type_new(&domain_status_type);
    g_autofree char *text = NULL;

    status->pid = run->process.pid;
    status->start_time = run->process.start_time;
    status->monitor = g_strdup(run->monitor_path);
    for (guint i = 0; i < run->ports->len; i++)
        g_ptr_array_add(status->ports, status_port_new(run->ports->pdata[i]));
    for (guint i = 0; i < run->sockets->len; i++)
        g_ptr_array_add(status->sockets, g_strdup(run->sockets->pdata[i]));
    g_mutex_lock(&domain->lock);
    status->starting = starting || run->incoming;
    status->state = domain->state;
    status->reason = domain->reason;
    status->autodestroy = run->client != NULL;
    status->reset_after_shutdown = run->reset_after_shutdown;
    status->agent_timeout = domain->agent_timeout;
    /* formatted under the lock: the definition may be the live one */
    status->def = (DomainDef *)def;
    text = xml_type_format(&domain_status_type, status, XML_STATUS | XML_SECURE);
    status->def = NULL;
    g_mutex_unlock(&domain->lock);
    xml_type_free(&domain_status_type, status);
    return file_write_atomic(path, text, strlen(text), 0600, err);
}

void
domain_status_refresh(Domain *domain)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(DomainRun) run = domain_run_get(domain, NULL);
    g_autoptr(DomainDef) def = NULL;

    if (!run)
        return;
    g_mutex_lock(&domain->lock);
    if (domain->live)
        def = domain_def_copy(domain->live);
    g_mutex_unlock(&domain->lock);
    if (def && !domain_status_save(run, def, false, &err))
        domain_manager_warn(domain->manager, "cannot save the status of domain '%s': %s", def->name,
                            err->message);
}

void
domain_status_remove(DomainManager *manager, const char *name)
{
    g_autofree char *path = domain_status_path(manager, name);

    file_remove(path, NULL);
}

G_STATIC_ASSERT(NETWORK_PORT_NETWORK == 0 && NETWORK_PORT_DIRECT == 3);

static const XmlRow port_rows[] = {
    { NULL, "kind", XML_UINT, offsetof(DomainStatusPort, kind), XML_REQUIRED,
      .max = NETWORK_PORT_DIRECT },
    { NULL, "source", XML_STRING, offsetof(DomainStatusPort, source) },
    { NULL, "portgroup", XML_STRING, offsetof(DomainStatusPort, portgroup) },
    { NULL, "ifname", XML_STRING, offsetof(DomainStatusPort, ifname), XML_REQUIRED },
    { NULL, "mac", XML_MAC, offsetof(DomainStatusPort, mac), XML_REQUIRED },
    { NULL, "id", XML_UUID, offsetof(DomainStatusPort, id), XML_REQUIRED },
    { "isolated", NULL, XML_PRESENT, offsetof(DomainStatusPort, isolated) },
    { "managed", NULL, XML_PRESENT, offsetof(DomainStatusPort, managed) },
};

const XmlType domain_status_port_type = {
    .name = "port",
    .size = sizeof(DomainStatusPort),
    XML_TYPE_ROWS(port_rows),
};

static const XmlRow status_rows[] = {
    { NULL, "state", XML_UINT, offsetof(DomainStatus, state), XML_REQUIRED },
    { NULL, "reason", XML_UINT, offsetof(DomainStatus, reason), XML_REQUIRED },
    { "starting", NULL, XML_PRESENT, offsetof(DomainStatus, starting) },
    { "autodestroy", NULL, XML_PRESENT, offsetof(DomainStatus, autodestroy) },
    { "resetAfterShutdown", NULL, XML_PRESENT, offsetof(DomainStatus, reset_after_shutdown) },
    { "agent", "timeout", XML_INT, offsetof(DomainStatus, agent_timeout),
      .min = (uint64_t)VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, .max = G_MAXINT },
    { "process", "pid", XML_UINT, offsetof(DomainStatus, pid), XML_REQUIRED, .max = G_MAXINT },
    { "process", "startTime", XML_UINT, offsetof(DomainStatus, start_time), XML_REQUIRED },
    { "monitor", "path", XML_STRING, offsetof(DomainStatus, monitor), XML_REQUIRED },
    { "port", NULL, XML_LIST, offsetof(DomainStatus, ports), .type = &domain_status_port_type },
    { "socket", "path", XML_STRINGS, offsetof(DomainStatus, sockets) },
    { "domain", NULL, XML_STRUCT, offsetof(DomainStatus, def), .type = &domain_def_type },
};

const XmlType domain_status_type = {
    .name = "kilnstatus",
    .size = sizeof(DomainStatus),
    XML_TYPE_ROWS(status_rows),
};
