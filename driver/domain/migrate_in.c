/* migrate_in.c - a guest comes from another host: Prepare and Finish of libvirt's migration
 * protocol, version 3.
 *
 * Between the two its VMM waits for it and loads it. The domain is there meanwhile, paused, and is
 * destroyed with the client that prepared it; a daemon that finds it half loaded ends it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "driver/domain/migrate.h"
#include "driver/domain/save_file.h"
#include "util/error.h"
#include "util/uuid.h"

/* What libvirt says of that code. */
#define MIGRATE_ABORTED "migration successfully aborted"

/* --- Prepare ---------------------------------------------------------------------------------- */

/* @xml as it would be defined here, with the aliases it ran with. */
static DomainDef *
incoming_def(DomainManager *manager, const DomainMigrate *migrate, GError **err)
{
    const SaveHead head = { .xml = (char *)migrate->xml };
    g_autoptr(DomainDef) def = NULL;

    if (!migrate->xml) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "no domain XML passed");
        return NULL;
    }
    def = save_head_def(&head, &manager->defaults, true, err);
    if (def && migrate->name) {
        g_free(def->name);
        def->name = g_strdup(migrate->name);
    }
    return def ? domain_hook_filter(manager, "migrate", g_steal_pointer(&def), err) : NULL;
}

/* What the file system has of where the guest is waited for goes with its run. */
static void
forget_path_with_run(Domain *domain, const char *uri)
{
    g_mutex_lock(&domain->lock);
    if (domain->run && g_str_has_prefix(uri, "unix://"))
        g_ptr_array_add(domain->run->sockets, g_strdup(uri + strlen("unix://")));
    g_mutex_unlock(&domain->lock);
}

/* In a job. Takes @def. */
static bool
prepare_run(Domain *domain, DomainDef *def, const DomainMigrate *migrate, const void *client,
            char **ret_uri, GError **err)
{
    g_autoptr(DomainDef) taken = def;
    bool ok;
    int fd;

    if (domain_is_active(domain))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain '%s' is already active",
                              def->name);
    fd = migrate_listen(migrate->uri, migrate->listen_address, ret_uri, err);
    if (fd < 0)
        return false;
    ok = domain_run_start(domain, g_steal_pointer(&taken), DOMAIN_START_INCOMING, client, fd, err);
    close(fd);
    if (ok)
        forget_path_with_run(domain, *ret_uri);
    else if (g_str_has_prefix(*ret_uri, "unix://"))
        unlink(*ret_uri + strlen("unix://"));
    if (!ok)
        g_clear_pointer(ret_uri, g_free);
    return ok;
}

bool
domain_manager_migrate_prepare(DomainManager *manager, const DomainMigrate *migrate,
                               const void *client, char **ret_cookie, char **ret_uri, GError **err)
{
    MigrateCookie *cookie = NULL;
    g_autoptr(DomainDef) def = NULL;
    g_autoptr(Domain) domain = NULL;
    g_autofree char *name = NULL;
    uint8_t uuid[16];
    bool is_new, transient, ok;

    if (!migrate_check_flags(migrate->flags, err) || !(cookie = migrate_cookie_read(migrate, err)))
        return false;
    ok = migrate_cookie_check_host(manager, cookie, err) &&
         (def = incoming_def(manager, migrate, err)) != NULL;
    if (ok) {
        name = g_strdup(def->name);
        domain_def_uuid(def, uuid);
    }
    if (ok) {
        domain = domain_registry_claim_job(manager, def, "incoming migration", &is_new, err);
        ok = domain && prepare_run(domain, g_steal_pointer(&def), migrate, client, ret_uri, err);
        if (domain) {
            g_mutex_lock(&domain->lock);
            transient = !domain->config && !domain->live;
            g_mutex_unlock(&domain->lock);
            if (!ok && transient)
                domain_registry_remove(domain);
            domain_job_end(domain);
        }
    }
    if (ok)
        *ret_cookie = migrate_cookie_make(manager, name, uuid, cookie->persistent);
    xml_type_free(&migrate_cookie_type, cookie);
    return ok;
}

/* --- Finish ----------------------------------------------------------------------------------- */

/* In a job: the persistent definition that the source has sent, or what runs. */
static bool
finish_define(Domain *domain, const char *xml, GError **err)
{
    DomainManager *manager = domain->manager;
    g_autofree char *own = NULL;
    g_autoptr(DomainDef) def = NULL;
    bool was_persistent, ok;
    uint8_t uuid[16];

    g_mutex_lock(&domain->lock);
    was_persistent = domain->config != NULL;
    if (!xml && domain->live)
        own = domain_def_format(domain->live, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
    g_mutex_unlock(&domain->lock);
    if (!(def = domain_def_parse(xml ? xml : own, 0, &manager->defaults, err)))
        return false;
    domain_def_uuid(def, uuid);
    if (memcmp(uuid, domain->uuid, sizeof(uuid)) != 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "the persistent definition is that of another domain, '%s'",
                              def->name);
    g_free(def->name);
    def->name = domain_dup_name(domain);
    g_mutex_lock(&manager->define_lock);
    ok = domain_definition_replace(domain, g_steal_pointer(&def), err);
    g_mutex_unlock(&manager->define_lock);
    if (ok)
        domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_DEFINED,
                               was_persistent ? VIR_DOMAIN_EVENT_DEFINED_UPDATED
                                              : VIR_DOMAIN_EVENT_DEFINED_ADDED);
    return ok;
}

/* In a job. After a failure it must not run. */
static bool
finish_run(DomainRun *run, const DomainMigrate *migrate, const MigrateCookie *cookie, GError **err)
{
    Domain *domain = run->domain;
    bool paused = migrate->flags & VIR_MIGRATE_PAUSED;

    domain_job_report(domain, VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN);
    if (!domain_job_follow(run, err) ||
        ((migrate->flags & VIR_MIGRATE_PERSIST_DEST) &&
         !finish_define(domain, migrate->persist_xml ? migrate->persist_xml : cookie->persistent,
                        err)) ||
        (!paused && !domain_run_continue(run, VIR_DOMAIN_RUNNING_MIGRATED, err)))
        return false;
    g_mutex_lock(&domain->lock);
    run->incoming = false;
    run->client = NULL;
    if (paused && domain->state == VIR_DOMAIN_PAUSED)
        domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER);
    g_mutex_unlock(&domain->lock);
    domain_status_refresh(domain);
    if (paused)
        domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_SUSPENDED,
                               VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
    else
        domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_MIGRATED);
    return true;
}

static DomainRun *
run_incoming(Domain *domain, const void *client, GError **err)
{
    DomainRun *run = NULL;

    g_mutex_lock(&domain->lock);
    if (domain->live && domain->run->incoming && domain->run->client == client)
        run = domain_run_ref(domain->run);
    g_mutex_unlock(&domain->lock);
    if (!run)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "domain '%s' is not processing incoming migration", domain->name);
    return run;
}

static Domain *
finish_live(DomainManager *manager, const DomainMigrate *migrate, const MigrateCookie *cookie,
            const void *client, bool cancelled, GError **err)
{
    g_autoptr(Domain) domain = domain_manager_lookup_name(manager, migrate->name, err);
    g_autoptr(DomainRun) run = NULL;
    bool ok = false;

    if (!domain || !domain_job_begin(domain, "incoming migration", err))
        return NULL;
    run = run_incoming(domain, client, err);
    if (run && cancelled)
        kiln_error_set(err, VIR_ERR_MIGRATE_FINISH_OK, MIGRATE_ABORTED);
    else if (run)
        ok = finish_run(run, migrate, cookie, err);
    if (run && !ok)
        domain_run_stop(run, VIR_DOMAIN_SHUTOFF_FAILED, VIR_DOMAIN_EVENT_STOPPED_FAILED);
    domain_job_end(domain);
    return ok ? g_steal_pointer(&domain) : NULL;
}

Domain *
domain_manager_migrate_finish(DomainManager *manager, const DomainMigrate *migrate,
                              const void *client, bool cancelled, char **ret_cookie, GError **err)
{
    MigrateCookie *cookie = NULL;
    Domain *domain;

    if (!migrate_check_flags(migrate->flags, err))
        return NULL;
    if (!migrate->name) {
        kiln_error_set(err, VIR_ERR_NO_DOMAIN, "missing domain name");
        return NULL;
    }
    if (!(cookie = migrate->cookie_length == 0 && cancelled ? xml_type_new(&migrate_cookie_type)
                                                            : migrate_cookie_read(migrate, err)))
        return NULL;
    domain = finish_live(manager, migrate, cookie, client, cancelled, err);
    if (domain)
        *ret_cookie = migrate_cookie_make(manager, migrate->name, domain->uuid, NULL);
    xml_type_free(&migrate_cookie_type, cookie);
    return domain;
}
