/* migrate_out.c - a guest goes to another host: Begin, Perform and Confirm of libvirt's migration
 * protocol, version 3.
 *
 * The domain's job lasts from Begin, where the client asks for that
 * (VIR_MIGRATE_CHANGE_PROTECTION), else from Perform, to Confirm or a Perform that fails. Whatever
 * fails before all of the guest has gone, the guest goes on here. Who goes away between Perform and
 * Confirm leaves it paused here: only the client knew whether it runs there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/migrate.h"
#include "driver/domain/save_file.h"
#include "util/error.h"

enum { MIB = 1 << 20 };

static void
set_step(Domain *domain, int step, const void *client)
{
    g_mutex_lock(&domain->lock);
    domain->migration = step;
    domain->migrator = client;
    g_mutex_unlock(&domain->lock);
}

/* --- Begin ------------------------------------------------------------------------------------ */

/* The persistent definition that is to be made there; NULL: none, or made of the live one. */
static char *
persistent_xml(Domain *domain, const DomainMigrate *migrate)
{
    char *xml = NULL;

    if (!(migrate->flags & VIR_MIGRATE_PERSIST_DEST))
        return NULL;
    if (migrate->persist_xml)
        return g_strdup(migrate->persist_xml);
    g_mutex_lock(&domain->lock);
    if (domain->config)
        xml = domain_def_format(domain->config, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
    g_mutex_unlock(&domain->lock);
    return xml;
}

static char *
begin_with(Domain *domain, const DomainMigrate *migrate, const DomainDef *def, char **ret_cookie)
{
    g_autofree char *persistent = persistent_xml(domain, migrate);

    *ret_cookie = migrate_cookie_make(domain->manager, migrate->name ? migrate->name : def->name,
                                      domain->uuid, persistent);
    return domain_def_format(def, DOMAIN_FORMAT_SECURE);
}

static char *
begin_run(DomainRun *run, const DomainMigrate *migrate, char **ret_cookie, GError **err)
{
    Domain *domain = run->domain;
    g_autoptr(DomainDef) def = NULL;

    g_mutex_lock(&domain->lock);
    def = domain_def_copy(domain->live);
    g_mutex_unlock(&domain->lock);
    if (!migrate_check_guest(run, def, err) ||
        (!(migrate->flags & VIR_MIGRATE_UNSAFE) && !migrate_check_safe(def, err)))
        return NULL;
    if (migrate->xml && !(def = save_def_replace(g_steal_pointer(&def), migrate->xml,
                                                 &domain->manager->defaults, err)))
        return NULL;
    return begin_with(domain, migrate, def, ret_cookie);
}

char *
domain_migrate_begin(Domain *domain, const DomainMigrate *migrate, const void *client,
                     char **ret_cookie, GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    char *xml;

    if (!migrate_check_flags(migrate->flags, err))
        return NULL;
    if (!domain_job_begin(domain, "migration", err))
        return NULL;
    run = domain_run_get(domain, err);
    xml = run ? begin_run(run, migrate, ret_cookie, err) : NULL;
    if (xml && (migrate->flags & VIR_MIGRATE_CHANGE_PROTECTION))
        set_step(domain, MIGRATION_BEGUN, client);
    else
        domain_job_end(domain);
    return xml;
}

/* --- Perform ---------------------------------------------------------------------------------- */

bool
domain_migrate_limits(DomainRun *run, int64_t bandwidth, int64_t downtime_ms, GError **err)
{
    JsonObject *arguments = json_object_new();

    if (bandwidth >= 0)
        json_object_set_int_member(arguments, "max-bandwidth", bandwidth);
    if (downtime_ms >= 0)
        json_object_set_int_member(arguments, "downtime-limit", downtime_ms);
    return qmp_command(run->qmp, "migrate-set-parameters", arguments, DOMAIN_QMP_SECONDS, err);
}

static bool
perform_send(DomainRun *run, const DomainMigrate *migrate, int fd, GError **err)
{
    Domain *domain = run->domain;
    JsonObject *arguments = json_object_new();
    g_autoptr(JsonNode) taken = NULL;
    uint64_t mib = migrate->bandwidth;

    json_object_set_string_member(arguments, "fdname", "migrate");
    taken = qmp_execute_fd(run->qmp, "getfd", arguments, fd, DOMAIN_QMP_SECONDS, err);
    if (!taken)
        return false;
    g_mutex_lock(&domain->lock);
    if (mib == 0)
        mib = domain->migrate_speed;
    g_mutex_unlock(&domain->lock);
    /* 0: as fast as it goes */
    if (!domain_migrate_limits(run, (int64_t)(MIN(mib, G_MAXINT64 / MIB) * MIB), -1, err))
        return false;
    arguments = json_object_new();
    json_object_set_string_member(arguments, "uri", "fd:migrate");
    return qmp_command(run->qmp, "migrate", arguments, DOMAIN_SAVE_SECONDS, err) &&
           domain_job_follow(run, err);
}

/* The VMM has let the guest go on, or could not. */
static void
perform_failed(DomainRun *run, bool held)
{
    Domain *domain = run->domain;
    int state, reason;

    if (held) {
        domain_guest_let_go(run, VIR_DOMAIN_RUNNING_MIGRATION_CANCELED);
        return;
    }
    state = domain_monitor_state(run, &reason, NULL);
    g_mutex_lock(&domain->lock);
    if (state == VIR_DOMAIN_PAUSED && domain->state == VIR_DOMAIN_RUNNING)
        domain_state_set(domain, VIR_DOMAIN_PAUSED, reason);
    g_mutex_unlock(&domain->lock);
}

static bool
perform_run(DomainRun *run, const DomainMigrate *migrate, GError **err)
{
    Domain *domain = run->domain;
    bool running, ready, held, ok, stopped = false;
    int fd;

    g_mutex_lock(&domain->lock);
    running = domain->state == VIR_DOMAIN_RUNNING;
    ready = running || domain->state == VIR_DOMAIN_PAUSED;
    domain->migrate_running = running;
    g_mutex_unlock(&domain->lock);
    if (!ready)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "the guest has powered off or crashed: there is nothing to migrate");
    if (!migrate->uri)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "no URI of the destination is given");
    if ((fd = migrate_connect(migrate->uri, err)) < 0)
        return false;
    held = running && !(migrate->flags & VIR_MIGRATE_LIVE);
    if (held && !domain_guest_hold(run, VIR_DOMAIN_PAUSED_MIGRATION, err)) {
        close(fd);
        return false;
    }
    domain_job_report(domain, VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT);
    g_mutex_lock(&domain->lock);
    domain->progress.cancel_on_error = migrate->flags & VIR_MIGRATE_ABORT_ON_ERROR;
    run->own_stop = run->own_resume = true;
    g_mutex_unlock(&domain->lock);
    ok = perform_send(run, migrate, fd, err);
    close(fd);
    g_mutex_lock(&domain->lock);
    domain->progress = (DomainProgress){ .begun = 0 };
    run->own_stop = run->own_resume = false;
    stopped = ok && domain->state == VIR_DOMAIN_RUNNING;
    if (stopped)
        domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION);
    g_mutex_unlock(&domain->lock);
    if (!ok)
        perform_failed(run, held);
    domain_status_refresh(domain);
    if (stopped)
        domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_SUSPENDED,
                               VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED);
    return ok;
}

bool
domain_migrate_perform(Domain *domain, const DomainMigrate *migrate, const void *client,
                       GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    bool begun, ok;

    if (!migrate_check_flags(migrate->flags, err))
        return false;
    g_mutex_lock(&domain->lock);
    begun = domain->migration == MIGRATION_BEGUN && domain->migrator == client;
    if (begun)
        domain->migration = MIGRATION_PERFORMING;
    g_mutex_unlock(&domain->lock);
    if (!begun) {
        if (!domain_job_begin(domain, "migration", err))
            return false;
        set_step(domain, MIGRATION_PERFORMING, client);
    }
    run = domain_run_get(domain, err);
    ok = run && perform_run(run, migrate, err);
    /* a client whose Perform has failed does not confirm that */
    set_step(domain, ok ? MIGRATION_PERFORMED : MIGRATION_NONE, ok ? client : NULL);
    if (!ok)
        domain_job_end(domain);
    return ok;
}

/* --- Confirm ---------------------------------------------------------------------------------- */

/* The step that @client's migration is at, which becomes another one that nobody else ends. */
static int
take_step(Domain *domain, const void *client)
{
    int step = MIGRATION_NONE;

    g_mutex_lock(&domain->lock);
    if (domain->migrator == client && domain->migration != MIGRATION_PERFORMING) {
        step = domain->migration;
        domain->migration = step == MIGRATION_NONE ? step : MIGRATION_PERFORMING;
    }
    g_mutex_unlock(&domain->lock);
    return step;
}

static void
undefine_source(Domain *domain)
{
    g_autoptr(GError) err = NULL;

    if (!domain_undefine(domain,
                         VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_KEEP_NVRAM |
                             VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA,
                         &err))
        domain_manager_warn(domain->manager, "domain '%s' has gone, but stays defined: %s",
                            domain->name, err->message);
}

static bool
is_persistent(Domain *domain)
{
    bool persistent;

    g_mutex_lock(&domain->lock);
    persistent = domain->config != NULL && !domain->removed;
    g_mutex_unlock(&domain->lock);
    return persistent;
}

bool
domain_migrate_confirm(Domain *domain, const DomainMigrate *migrate, const void *client,
                       bool cancelled, GError **err)
{
    bool gone = !cancelled;
    bool undefine = migrate->flags & VIR_MIGRATE_UNDEFINE_SOURCE && is_persistent(domain);
    int step = take_step(domain, client);
    g_autoptr(DomainRun) run = NULL;
    bool running;

    if (step == MIGRATION_NONE)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain '%s' is not being migrated",
                              domain->name);
    run = domain_run_get(domain, NULL);
    g_mutex_lock(&domain->lock);
    running = domain->migrate_running;
    g_mutex_unlock(&domain->lock);
    gone = gone && step == MIGRATION_PERFORMED;
    if (run && gone) {
        domain_run_quit(run, VIR_DOMAIN_SHUTOFF_MIGRATED, VIR_DOMAIN_EVENT_STOPPED_MIGRATED);
        domain_job_tell(domain);
    } else if (run && step == MIGRATION_PERFORMED) {
        domain_job_done(domain, 0);
        if (running)
            domain_guest_let_go(run, VIR_DOMAIN_RUNNING_MIGRATION_CANCELED);
    }
    set_step(domain, MIGRATION_NONE, NULL);
    domain_job_end(domain);
    if (gone && undefine)
        undefine_source(domain);
    return gone || cancelled ||
           kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                          "the guest has not gone: its migration was not performed");
}

/* Its client has gone, and was not in the middle of a call. */
static void
abandon(DomainRun *run)
{
    Domain *domain = run->domain;
    int step;

    g_mutex_lock(&domain->lock);
    step = domain->migration;
    if (step == MIGRATION_BEGUN || step == MIGRATION_PERFORMED) {
        domain->migration = MIGRATION_NONE;
        domain->migrator = NULL;
    } else {
        step = MIGRATION_NONE;
    }
    g_mutex_unlock(&domain->lock);
    if (step == MIGRATION_NONE)
        return;
    if (step == MIGRATION_PERFORMED)
        domain_manager_warn(domain->manager,
                            "the client that migrated domain '%s' has gone without saying whether "
                            "it runs at its destination: it stays paused here",
                            domain->name);
    domain_job_end(domain);
}

void
domain_migrate_client_gone(DomainRun *run, const void *client)
{
    Domain *domain = run->domain;
    bool ours;

    g_mutex_lock(&domain->lock);
    ours = domain->migrator == client && client;
    if (ours && domain->migration == MIGRATION_PERFORMING)
        domain->progress.cancel = true;
    g_mutex_unlock(&domain->lock);
    if (ours)
        domain_run_post(run, abandon);
}

bool
domain_migrate_is_under_way(Domain *domain)
{
    bool under_way;

    g_mutex_lock(&domain->lock);
    under_way = domain->progress.now.operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT;
    g_mutex_unlock(&domain->lock);
    return under_way;
}

/* --- limits ----------------------------------------------------------------------------------- */

bool
domain_migrate_set_speed(Domain *domain, uint64_t mib, GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    bool active;

    if (mib > DOMAIN_MIGRATE_SPEED_MAX)
        return kiln_error_set(err, VIR_ERR_OVERFLOW,
                              "bandwidth must be less than %" G_GUINT64_FORMAT,
                              DOMAIN_MIGRATE_SPEED_MAX + 1);
    g_mutex_lock(&domain->lock);
    domain->migrate_speed = mib;
    active = domain->migration == MIGRATION_PERFORMING;
    g_mutex_unlock(&domain->lock);
    return !active || !(run = domain_run_get(domain, NULL)) ||
           domain_migrate_limits(run, (int64_t)(mib * MIB), -1, err);
}

uint64_t
domain_migrate_speed(Domain *domain)
{
    uint64_t mib;

    g_mutex_lock(&domain->lock);
    mib = domain->migrate_speed;
    g_mutex_unlock(&domain->lock);
    return mib ? mib : DOMAIN_MIGRATE_SPEED_MAX;
}

bool
domain_migrate_set_downtime(Domain *domain, uint64_t ms, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);

    return run && domain_migrate_limits(run, -1, (int64_t)MIN(ms, (uint64_t)G_MAXINT64), err);
}

bool
domain_migrate_downtime(Domain *domain, uint64_t *ret_ms, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autoptr(JsonNode) answer = NULL;

    if (!run || !(answer = qmp_execute(run->qmp, "query-migrate-parameters", NULL,
                                       DOMAIN_QMP_SECONDS, err)))
        return false;
    if (!JSON_NODE_HOLDS_OBJECT(answer))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "query-migrate-parameters did not answer with an object");
    *ret_ms = (uint64_t)MAX(0, json_object_get_int_member_with_default(json_node_get_object(answer),
                                                                       "downtime-limit", 0));
    return true;
}
