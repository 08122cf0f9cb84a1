/* restore.c - beginning a run from a saved guest: virDomainRestore*, and the start of a domain that
 * has a managed save.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <unistd.h>

#include "driver/domain/private.h"
#include "driver/domain/save_file.h"
#include "util/error.h"
#include "util/flags.h"

enum {
    RESTORE_FLAGS = VIR_DOMAIN_SAVE_BYPASS_CACHE | VIR_DOMAIN_SAVE_RUNNING |
                    VIR_DOMAIN_SAVE_PAUSED | VIR_DOMAIN_SAVE_RESET_NVRAM,
    STATE_FLAGS = VIR_DOMAIN_SAVE_RUNNING | VIR_DOMAIN_SAVE_PAUSED,
};

bool
domain_run_load(DomainRun *run, int fd, GError **err)
{
    JsonObject *arguments = json_object_new();
    g_autoptr(JsonNode) taken = NULL;

    json_object_set_string_member(arguments, "fdname", "restore");
    taken = qmp_execute_fd(run->qmp, "getfd", arguments, fd, DOMAIN_QMP_SECONDS, err);
    if (!taken)
        return false;
    if (!run->incoming)
        domain_job_report(run->domain, VIR_DOMAIN_JOB_OPERATION_RESTORE);
    arguments = json_object_new();
    json_object_set_string_member(arguments, "uri", "fd:restore");
    return qmp_command(run->qmp, "migrate-incoming", arguments, DOMAIN_QMP_SECONDS, err) &&
           (run->incoming || domain_job_follow(run, err));
}

static bool
check_flags(unsigned flags, GError **err)
{
    if (!kiln_flags_check(flags, RESTORE_FLAGS, "virDomainRestoreFlags", err))
        return false;
    return (flags & STATE_FLAGS) != STATE_FLAGS ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "running and paused flags in virDomainRestoreFlags are mutually "
                          "exclusive");
}

/* Takes @def. */
static bool
restore_into(DomainManager *manager, DomainDef *def, int fd, unsigned start, GError **err)
{
    g_autoptr(Domain) domain = NULL;
    bool is_new, ok, transient;

    if (!(domain = domain_registry_claim_job(manager, def, "restore", &is_new, err))) {
        domain_def_free(def);
        return false;
    }
    if (domain_is_active(domain)) {
        ok = kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain '%s' is already active",
                            def->name);
        domain_def_free(def);
    } else {
        ok = domain_run_start(domain, def, start, NULL, fd, err);
    }
    g_mutex_lock(&domain->lock);
    transient = !domain->config && !domain->live;
    g_mutex_unlock(&domain->lock);
    if (!ok && transient)
        domain_registry_remove(domain);
    domain_job_end(domain);
    return ok;
}

bool
domain_manager_restore(DomainManager *manager, const char *path, const char *xml, unsigned flags,
                       GError **err)
{
    g_auto(SaveHead) head = { NULL };
    g_autoptr(DomainDef) def = NULL;
    unsigned start = 0;
    bool ok;
    int fd;

    if (!check_flags(flags, err))
        return false;
    if (!g_path_is_absolute(path))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "'%s' is not an absolute path", path);
    fd = save_file_open(path, O_RDONLY, &head, err);
    if (fd < 0)
        return false;
    def = save_head_def(&head, &manager->defaults, true, err);
    if (def && xml)
        def = save_def_replace(g_steal_pointer(&def), xml, &manager->defaults, err);
    if (def)
        def = domain_hook_filter(manager, "restore", g_steal_pointer(&def), err);
    if (flags & STATE_FLAGS)
        head.running = flags & VIR_DOMAIN_SAVE_RUNNING;
    if (!head.running)
        start |= VIR_DOMAIN_START_PAUSED;
    if (flags & VIR_DOMAIN_SAVE_RESET_NVRAM)
        start |= VIR_DOMAIN_START_RESET_NVRAM;
    ok = def &&
         (!(flags & VIR_DOMAIN_SAVE_BYPASS_CACHE) || save_file_bypass_cache(fd, path, err)) &&
         restore_into(manager, g_steal_pointer(&def), fd, start, err);
    close(fd);
    return ok;
}

bool
domain_start_managed(Domain *domain, unsigned flags, const void *client, GError **err)
{
    DomainManager *manager = domain->manager;
    g_autofree char *path = domain_managed_save_path(manager, domain->name);
    g_auto(SaveHead) head = { NULL };
    g_autoptr(DomainDef) def = NULL;
    g_autoptr(GError) left = NULL;
    bool ok;
    int fd;

    if (domain_is_active(domain))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is already running");
    fd = save_file_open(path, O_RDONLY, &head, err);
    if (fd < 0)
        return false;
    def = save_head_def(&head, &manager->defaults, true, err);
    if (def)
        def = domain_hook_filter(manager, "restore", g_steal_pointer(&def), err);
    if (!head.running)
        flags |= VIR_DOMAIN_START_PAUSED;
    ok = def &&
         (!(flags & VIR_DOMAIN_START_BYPASS_CACHE) || save_file_bypass_cache(fd, path, err)) &&
         domain_run_start(domain, g_steal_pointer(&def), flags, client, fd, err);
    close(fd);
    if (ok && !domain_managed_save_drop(domain, &left))
        domain_manager_warn(manager, "the managed save of domain '%s' stays: %s", domain->name,
                            left->message);
    return ok;
}
