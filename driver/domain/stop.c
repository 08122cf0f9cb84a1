/* stop.c - the end of a run: nothing of it stays on the host.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/log.h"
#include "driver/domain/snapshot.h"
#include "util/error.h"

enum { DOMAIN_KILL_MS = 10000 }; /* for the kernel to end a killed process */

static void
sockets_remove(DomainRun *run)
{
    for (guint i = 0; i < run->sockets->len; i++) {
        const char *path = run->sockets->pdata[i];
        g_autofree char *dir = g_path_get_dirname(path);

        unlink(path);
        if (g_str_has_prefix(dir, run->domain->manager->lib_dir))
            rmdir(dir); /* the guest's own channel directory, once it is empty */
    }
}

void
domain_run_release(DomainRun *run, const DomainDef *def, const char *reason)
{
    DomainManager *manager = run->domain->manager;
    bool ran = run->process.pid > 0;

    domain_process_signal(&run->process, SIGKILL);
    if (!domain_process_wait(&run->process, DOMAIN_KILL_MS, NULL))
        domain_manager_warn(manager, "process %d of domain '%s' does not end",
                            (int)run->process.pid, def->name);
    if (run->qmp)
        qmp_close(run->qmp);
    domain_run_unwatch(run);
    if (ran && run->log_path)
        domain_log_end(run->log_path, reason);
    domain_hook_run(manager, "stopped", "end", def, NULL);
    for (guint i = 0; i < run->ports->len; i++) {
        const DomainPort *port = run->ports->pdata[i];

        network_port_close(manager->networks, &port->request, port->ifname);
    }
    sockets_remove(run);
    cgroup_remove(run->cgroup);
    domain_hook_run(manager, "release", "end", def, NULL);
    domain_status_remove(manager, def->name);
}

static const char *
reason_name(int reason)
{
    switch (reason) {
    case VIR_DOMAIN_SHUTOFF_SHUTDOWN:
        return "shutdown";
    case VIR_DOMAIN_SHUTOFF_DESTROYED:
        return "destroyed";
    case VIR_DOMAIN_SHUTOFF_CRASHED:
        return "crashed";
    case VIR_DOMAIN_SHUTOFF_FAILED:
        return "failed";
    case VIR_DOMAIN_SHUTOFF_SAVED:
        return "saved";
    case VIR_DOMAIN_SHUTOFF_MIGRATED:
        return "migrated";
    case VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT:
        return "from-snapshot";
    default:
        return "unknown";
    }
}

void
domain_run_stop(DomainRun *run, int reason, int event_detail)
{
    Domain *domain = run->domain;
    g_autoptr(DomainDef) def = NULL;
    bool transient, reverting;

    g_mutex_lock(&domain->lock);
    if (domain->run == run && domain->live)
        def = domain_def_copy(domain->live);
    g_mutex_unlock(&domain->lock);
    if (!def)
        return;
    domain_run_release(run, def, reason_name(reason));
    domain_console_drain(run);
    domain_console_forget(domain);
    domain_registry_drop_id(domain, run->id);

    g_mutex_lock(&domain->lock);
    transient = !domain->config;
    reverting = domain->reverting;
    domain->run = NULL;
    domain->id = -1;
    if (transient && !reverting) {
        /* those who still hold the domain may ask for its XML */
        domain->config = g_steal_pointer(&domain->live);
        domain->config->id = XML_UNSET;
    } else {
        g_clear_pointer(&domain->live, domain_def_free);
    }
    domain->updated = false;
    domain->agent_timeout = VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK;
    domain_state_set(domain, VIR_DOMAIN_SHUTOFF, reason);
    g_mutex_unlock(&domain->lock);
    if (transient && !reverting) {
        domain_snapshots_forget(domain, NULL);
        domain_registry_remove(domain);
    }
    domain_event_lifecycle_id(domain, run->id, VIR_DOMAIN_EVENT_STOPPED, event_detail);
    domain_run_unref(run);
}
