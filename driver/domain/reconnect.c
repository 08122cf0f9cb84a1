/* reconnect.c - taking up the guests that a former daemon left running.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <string.h>

#include "driver/domain/perf.h"
#include "driver/domain/status.h"
#include "util/error.h"
#include "util/file.h"
#include "util/uuid.h"

enum { RECONNECT_SECONDS = 10 };

/* A status file with the domain it belongs to. */
typedef struct {
    char *name; /* of the file, without ".status" */
    DomainStatus *status;
    Domain *domain;
} Reconnect;

static void
reconnect_free(Reconnect *item)
{
    xml_type_free(&domain_status_type, item->status);
    domain_unref(item->domain);
    g_free(item->name);
    g_free(item);
}

static void
port_restore(DomainRun *run, const DomainStatusPort *saved)
{
    DomainPort *port = g_new0(DomainPort, 1);

    port->source = g_strdup(saved->source);
    port->portgroup = g_strdup(saved->portgroup);
    port->ifname = g_strdup(saved->ifname);
    port->domain_name = g_strdup(run->domain->name);
    kiln_uuid_parse(saved->id, port->id);
    port->request = (NetworkPortRequest){
        .kind = saved->kind,
        .source = port->source,
        .portgroup = port->portgroup,
        .domain_name = port->domain_name,
        .domain_uuid = run->domain->uuid,
        .isolated = saved->isolated,
        .managed = saved->managed,
        .vnet_hdr = true,
    };
    xml_mac_parse(saved->mac, port->request.mac);
    g_ptr_array_add(run->ports, port);
}

static DomainRun *
run_restore(Domain *domain, const DomainStatus *status)
{
    DomainManager *manager = domain->manager;
    DomainRun *run = domain_run_new(domain);
    g_autofree char *group = g_strdup_printf("%d-%s", (int)status->def->id, status->def->name);

    run->id = status->def->id;
    run->monitor_path = g_strdup(status->monitor);
    run->fill_orders = 1; /* there may have been some */
    run->log_path = g_strdup_printf("%s/%s.log", manager->log_dir, status->def->name);
    run->cgroup = cgroup_find(manager->cgroups, group);
    run->reset_after_shutdown = status->reset_after_shutdown;
    if (status->agent_timeout != XML_UNSET_INT)
        domain->agent_timeout = (int)status->agent_timeout;
    for (guint i = 0; i < status->ports->len; i++)
        port_restore(run, status->ports->pdata[i]);
    for (guint i = 0; i < status->sockets->len; i++)
        g_ptr_array_add(run->sockets, g_strdup(status->sockets->pdata[i]));
    return run;
}

/* The process may have been replaced by another with its number, and its monitor by another's. */
static bool
check_identity(DomainRun *run, const DomainDef *def, GError **err)
{
    g_autoptr(JsonNode) answer = qmp_execute(run->qmp, "query-uuid", NULL, DOMAIN_QMP_SECONDS, err);
    const char *uuid;

    if (!answer)
        return false;
    uuid =
        JSON_NODE_HOLDS_OBJECT(answer)
            ? json_object_get_string_member_with_default(json_node_get_object(answer), "UUID", "")
            : NULL;
    return (uuid && g_ascii_strcasecmp(uuid, def->uuid) == 0) ||
           kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                          "the monitor is that of another guest, UUID %s", uuid ? uuid : "unknown");
}

static bool
run_connect(DomainRun *run, const DomainDef *def, int *ret_state, int *ret_reason, GError **err)
{
    gint64 deadline = g_get_monotonic_time() + RECONNECT_SECONDS * (gint64)G_USEC_PER_SEC;

    run->qmp =
        qmp_connect(run->monitor_path, run->domain->manager->loop, &domain_monitor_ops, run, err);
    if (!run->qmp || !qmp_handshake(run->qmp, deadline, NULL, NULL, err) ||
        !check_identity(run, def, err) || !domain_monitor_threads(run, err))
        return false;
    /* a former daemon's save or migration, whose file or client is gone */
    (void)qmp_command(run->qmp, "migrate_cancel", NULL, DOMAIN_QMP_SECONDS, NULL);
    *ret_state = domain_monitor_state(run, ret_reason, err);
    return *ret_state != VIR_DOMAIN_NOSTATE;
}

/* What the file said of the reason holds while the state is still the same. */
static void
state_restore(Domain *domain, const DomainStatus *status, int state, int reason)
{
    if ((int)status->state == state ||
        (state == VIR_DOMAIN_PAUSED && status->state == VIR_DOMAIN_CRASHED)) {
        state = status->state;
        reason = status->reason;
    }
    domain_state_set(domain, state, reason);
}

/* The balloon, as far as it is known; a VMM without one answers with an error. */
static void
balloon_restore(DomainRun *run, const DomainDef *def)
{
    g_autoptr(JsonNode) answer =
        qmp_execute(run->qmp, "query-balloon", NULL, DOMAIN_QMP_SECONDS, NULL);

    run->balloon_kib = def->memory;
    if (answer && JSON_NODE_HOLDS_OBJECT(answer))
        run->balloon_kib = json_object_get_int_member_with_default(
                               json_node_get_object(answer), "actual", (gint64)def->memory * 1024) /
                           1024;
}

static void
ports_reclaim(DomainRun *run)
{
    DomainManager *manager = run->domain->manager;

    for (guint i = 0; i < run->ports->len; i++) {
        const DomainPort *port = run->ports->pdata[i];
        g_autoptr(GError) err = NULL;

        if (manager->networks &&
            !network_port_reclaim(manager->networks, &port->request, port->ifname, port->id, &err))
            domain_manager_warn(manager, "interface %s of domain '%s' is cut off: %s", port->ifname,
                                run->domain->name, err->message);
    }
}

/* The guest has ended, or cannot be reached: clears up after it. Takes @item's definition. */
static void
reconnect_give_up(Reconnect *item, DomainRun *run, const char *why)
{
    Domain *domain = item->domain;
    bool transient;

    domain_manager_warn(domain->manager, "domain '%s' has ended while no daemon ran: %s",
                        domain->name, why);
    domain_run_release(run, item->status->def, item->status->starting ? "failed" : "crashed");
    g_mutex_lock(&domain->lock);
    domain->run = NULL;
    domain_state_set(domain, VIR_DOMAIN_SHUTOFF,
                     item->status->starting ? VIR_DOMAIN_SHUTOFF_FAILED
                                            : VIR_DOMAIN_SHUTOFF_CRASHED);
    transient = !domain->config;
    g_mutex_unlock(&domain->lock);
    if (transient)
        domain_registry_remove(domain);
    domain_run_unref(run);
}

static void
reconnect_one(Reconnect *item)
{
    Domain *domain = item->domain;
    DomainStatus *status = item->status;
    g_autoptr(GError) err = NULL;
    DomainRun *run = run_restore(domain, status);
    int state = VIR_DOMAIN_NOSTATE, reason = 0;

    g_mutex_lock(&domain->lock);
    domain->run = run;
    g_mutex_unlock(&domain->lock);
    if (!domain_process_open(&run->process, status->pid, status->start_time, &err) ||
        status->starting || status->autodestroy ||
        !run_connect(run, status->def, &state, &reason, &err) ||
        !domain_hook_run(domain->manager, "reconnect", "begin", status->def, &err)) {
        reconnect_give_up(item, run,
                          err                ? err->message
                          : status->starting ? "it was being started"
                                             : "its client has gone with the daemon");
        return;
    }
    if (!domain_perf_start(run, status->def, &err))
        domain_manager_warn(domain->manager, "events of domain '%s' are not counted: %s",
                            domain->name, err->message);
    ports_reclaim(run);
    balloon_restore(run, status->def);
    domain_registry_take_id(domain, run->id);
    g_mutex_lock(&domain->lock);
    domain->live = g_steal_pointer(&status->def);
    domain->id = run->id;
    run->started = true;
    state_restore(domain, status, state, reason);
    g_mutex_unlock(&domain->lock);
    domain_run_watch(run);
    domain_monitor_catch_up(run);
}

/* --- the files -------------------------------------------------------------------------------- */

static Reconnect *
status_load(DomainManager *manager, const char *file, GError **err)
{
    g_autofree char *path = g_build_filename(manager->run_dir, file, NULL);
    size_t len = 0;
    g_autofree char *text = file_read_limited(path, XML_MAX_LENGTH, &len, err);
    DomainStatus *status;
    Reconnect *item;
    bool is_new;

    if (!text || !(status = xml_type_parse_text(&domain_status_type, text, len, "domain_status",
                                                XML_STATUS, err)))
        return NULL;
    item = g_new0(Reconnect, 1);
    item->status = status;
    item->name = g_strndup(file, strlen(file) - strlen(".status"));
    if (!status->def || status->def->id == XML_UNSET) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "it holds no running domain");
    } else if (domain_def_complete(status->def, &manager->defaults, err) &&
               (item->domain = domain_registry_claim(manager, status->def, &is_new, err))) {
        return item;
    }
    reconnect_free(item);
    return NULL;
}

void
domain_reconnect_all(DomainManager *manager)
{
    g_autoptr(GDir) dir = g_dir_open(manager->run_dir, 0, NULL);
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func((GDestroyNotify)reconnect_free);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autoptr(GError) err = NULL;
        Reconnect *item;

        if (!g_str_has_suffix(name, ".status"))
            continue;
        item = status_load(manager, name, &err);
        if (item)
            g_ptr_array_add(items, item);
        else
            domain_manager_warn(manager, "cannot take up the guest of '%s/%s': %s",
                                manager->run_dir, name, err->message);
    }
    for (guint i = 0; i < items->len; i++)
        reconnect_one(items->pdata[i]);
}
