/* save.c - saving a running guest into a file, and what is done with the files of managed saves.
 *
 * Follows virDomainSave*, virDomainManagedSave* and virDomainSaveImage* of libvirt 9.0.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/private.h"
#include "driver/domain/save_file.h"
#include "util/error.h"
#include "util/flags.h"
#include "util/file.h"

enum {
    SAVE_FLAGS = VIR_DOMAIN_SAVE_BYPASS_CACHE | VIR_DOMAIN_SAVE_RUNNING | VIR_DOMAIN_SAVE_PAUSED,
    STATE_FLAGS = VIR_DOMAIN_SAVE_RUNNING | VIR_DOMAIN_SAVE_PAUSED,
};

static bool
check_flags(unsigned flags, unsigned known, const char *function, GError **err)
{
    if (!kiln_flags_check(flags, known, function, err))
        return false;
    return (flags & STATE_FLAGS) != STATE_FLAGS ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "running and paused flags in %s are mutually exclusive", function);
}

static bool
check_path(const char *path, GError **err)
{
    return g_path_is_absolute(path) ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG, "'%s' is not an absolute path", path);
}

char *
domain_managed_save_path(const DomainManager *manager, const char *name)
{
    return g_strdup_printf("%s/save/%s.save", manager->lib_dir, name);
}

bool
domain_has_managed_save(Domain *domain)
{
    bool has;

    g_mutex_lock(&domain->lock);
    has = domain->managed_save;
    g_mutex_unlock(&domain->lock);
    return has;
}

void
domain_managed_save_set(Domain *domain, bool there)
{
    g_mutex_lock(&domain->lock);
    domain->managed_save = there;
    if (domain->state == VIR_DOMAIN_SHUTOFF && there)
        domain_state_set(domain, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SAVED);
    g_mutex_unlock(&domain->lock);
}

/* --- saving ---------------------------------------------------------------------------------- */

/* Packs what comes through a pipe, in a thread. */
typedef struct {
    int from, to;
    GThread *thread;
} Packer;

static gpointer
packer_main(gpointer opaque)
{
    Packer *packer = opaque;
    int ret = save_pack(packer->from, packer->to);

    /* a VMM that still writes sees the end of it */
    close(packer->from);
    return GINT_TO_POINTER(ret);
}

/* The descriptor that the VMM is to write to, the caller's. */
static int
packer_start(Packer *packer, int to, GError **err)
{
    int pipe[2];

    if (pipe2(pipe, O_CLOEXEC) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot make a pipe");
        return -1;
    }
    packer->from = pipe[0];
    packer->to = to;
    packer->thread = g_thread_new("save", packer_main, packer);
    return pipe[1];
}

static bool
packer_end(Packer *packer, GError **err)
{
    int ret = GPOINTER_TO_INT(g_thread_join(packer->thread));

    return ret == 0 || kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, ret,
                                            "the saved guest cannot be written");
}

static bool
send_stream(DomainRun *run, int fd, GError **err)
{
    JsonObject *arguments = json_object_new();
    g_autoptr(JsonNode) taken = NULL;

    json_object_set_string_member(arguments, "fdname", "save");
    taken = qmp_execute_fd(run->qmp, "getfd", arguments, fd, DOMAIN_QMP_SECONDS, err);
    if (!taken)
        return false;
    arguments = json_object_new();
    json_object_set_string_member(arguments, "uri", "fd:save");
    return qmp_command(run->qmp, "migrate", arguments, DOMAIN_SAVE_SECONDS, err) &&
           domain_job_follow(run, err);
}

/* The guest, standing still, into the file behind its head. */
static bool
write_guest(DomainRun *run, SaveFile *file, SaveFormat format, GError **err)
{
    Packer packer;
    int fd;
    bool ok;

    if (format == SAVE_FORMAT_RAW)
        return send_stream(run, file->fd, err);
    fd = packer_start(&packer, file->fd, err);
    if (fd < 0)
        return false;
    ok = send_stream(run, fd, err);
    close(fd);
    /* what the packer met is why the VMM failed */
    if (ok)
        return packer_end(&packer, err);
    packer_end(&packer, NULL);
    return false;
}

bool
domain_guest_hold(DomainRun *run, int reason, GError **err)
{
    Domain *domain = run->domain;
    bool ok;

    g_mutex_lock(&domain->lock);
    run->own_stop = true;
    g_mutex_unlock(&domain->lock);
    ok = qmp_command(run->qmp, "stop", NULL, DOMAIN_QMP_SECONDS, err);
    g_mutex_lock(&domain->lock);
    run->own_stop = false;
    if (ok && domain->state == VIR_DOMAIN_RUNNING)
        domain_state_set(domain, VIR_DOMAIN_PAUSED, reason);
    ok = ok && domain->state == VIR_DOMAIN_PAUSED;
    g_mutex_unlock(&domain->lock);
    if (!ok && err && !*err)
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "guest unexpectedly quit");
    if (!ok)
        return false;
    domain_status_refresh(domain);
    domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_SUSPENDED,
                           reason == VIR_DOMAIN_PAUSED_MIGRATION
                               ? VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED
                               : VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
    return true;
}

void
domain_guest_let_go(DomainRun *run, int reason)
{
    Domain *domain = run->domain;
    g_autoptr(GError) err = NULL;
    bool ok;

    g_mutex_lock(&domain->lock);
    ok = !run->killed && domain->state == VIR_DOMAIN_PAUSED;
    run->own_resume = ok;
    g_mutex_unlock(&domain->lock);
    if (!ok)
        return;
    ok = qmp_command(run->qmp, "cont", NULL, DOMAIN_QMP_SECONDS, &err);
    g_mutex_lock(&domain->lock);
    run->own_resume = false;
    if (ok && domain->state == VIR_DOMAIN_PAUSED)
        domain_state_set(domain, VIR_DOMAIN_RUNNING, reason);
    g_mutex_unlock(&domain->lock);
    if (!ok) {
        domain_manager_warn(domain->manager, "domain '%s' stays paused: %s", domain->name,
                            err->message);
        return;
    }
    domain_status_refresh(domain);
    domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_RESUMED,
                           reason == VIR_DOMAIN_RUNNING_MIGRATION_CANCELED
                               ? VIR_DOMAIN_EVENT_RESUMED_MIGRATED
                               : VIR_DOMAIN_EVENT_RESUMED_UNPAUSED);
}

/* What goes into the file; @xml (may be NULL) takes the place of the definition. */
static bool
make_head(Domain *domain, const char *xml, unsigned flags, SaveHead *head, GError **err)
{
    DomainManager *manager = domain->manager;
    g_autoptr(DomainDef) def = NULL;
    bool was_running;

    g_mutex_lock(&domain->lock);
    def = domain_def_copy(domain->live);
    was_running = domain->state == VIR_DOMAIN_RUNNING;
    g_mutex_unlock(&domain->lock);
    if (xml && !(def = save_def_replace(g_steal_pointer(&def), xml, &manager->defaults, err)))
        return false;
    head->xml = domain_def_format(def, DOMAIN_FORMAT_SECURE);
    head->running = flags & VIR_DOMAIN_SAVE_RUNNING  ? true
                    : flags & VIR_DOMAIN_SAVE_PAUSED ? false
                                                     : was_running;
    head->format = manager->save_format;
    return true;
}

/* A guest that runs on, until it stands still at the end of what is written. */
static bool
write_running(DomainRun *run, SaveFile *file, SaveFormat format, GError **err)
{
    Domain *domain = run->domain;
    bool ok, stopped;

    g_mutex_lock(&domain->lock);
    run->own_stop = run->own_resume = true;
    g_mutex_unlock(&domain->lock);
    ok = write_guest(run, file, format, err);
    g_mutex_lock(&domain->lock);
    run->own_stop = run->own_resume = false;
    stopped = ok && domain->state == VIR_DOMAIN_RUNNING;
    if (stopped)
        domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_SNAPSHOT);
    g_mutex_unlock(&domain->lock);
    if (!stopped)
        return ok;
    domain_status_refresh(domain);
    domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
    return true;
}

bool
domain_save_memory(DomainRun *run, const char *path, bool running, bool live, GError **err)
{
    g_auto(SaveFile) file = { .fd = -1 };
    g_auto(SaveHead) head = { NULL };
    bool ok;

    if (!make_head(run->domain, NULL, running ? VIR_DOMAIN_SAVE_RUNNING : VIR_DOMAIN_SAVE_PAUSED,
                   &head, err))
        return false;
    /* packed on its way through a pipe: in a file that it writes itself the VMM puts each page in
     * its place, for which the guest stands still from the beginning */
    if (live)
        head.format = SAVE_FORMAT_ZSTD;
    if (!save_file_create(&file, path, &head, err))
        return false;
    domain_job_report(run->domain, VIR_DOMAIN_JOB_OPERATION_SNAPSHOT);
    ok = live ? write_running(run, &file, head.format, err)
              : write_guest(run, &file, head.format, err);
    if (!ok || !save_file_commit(&file, err)) {
        domain_job_done(run->domain, 0);
        return false;
    }
    domain_job_tell(run->domain);
    return true;
}

/* In a job. */
static bool
save_run(DomainRun *run, const char *path, const char *xml, unsigned flags, GError **err)
{
    Domain *domain = run->domain;
    g_auto(SaveFile) file = { .fd = -1 };
    g_auto(SaveHead) head = { NULL };
    bool was_running, ok;

    g_mutex_lock(&domain->lock);
    was_running = domain->state == VIR_DOMAIN_RUNNING;
    ok = was_running || domain->state == VIR_DOMAIN_PAUSED;
    g_mutex_unlock(&domain->lock);
    if (!ok)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "the guest has powered off or crashed: there is nothing to save");
    if (!make_head(domain, xml, flags, &head, err) || !save_file_create(&file, path, &head, err) ||
        ((flags & VIR_DOMAIN_SAVE_BYPASS_CACHE) && !save_file_bypass_cache(file.fd, path, err)) ||
        (was_running && !domain_guest_hold(run, VIR_DOMAIN_PAUSED_SAVE, err)))
        return false;
    domain_job_report(domain, VIR_DOMAIN_JOB_OPERATION_SAVE);
    ok = write_guest(run, &file, head.format, err) && save_file_commit(&file, err);
    if (!ok)
        domain_job_done(domain, 0);
    if (!ok && was_running)
        domain_guest_let_go(run, VIR_DOMAIN_RUNNING_SAVE_CANCELED);
    return ok;
}

/* @path NULL: the managed save. */
static bool
save_domain(Domain *domain, const char *path, const char *xml, unsigned flags, GError **err)
{
    g_autofree char *managed = NULL, *dir = NULL;
    g_autoptr(DomainRun) run = NULL;
    bool persistent, ok;

    if (!domain_job_begin(domain, "save", err))
        return false;
    run = domain_run_get(domain, err);
    g_mutex_lock(&domain->lock);
    persistent = domain->config != NULL;
    g_mutex_unlock(&domain->lock);
    ok = run && domain_block_job_check(run, NULL, err);
    if (ok && !path) {
        path = managed = domain_managed_save_path(domain->manager, domain->name);
        dir = g_path_get_dirname(managed);
        ok = (persistent || kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                                           "cannot do managed save for transient domain")) &&
             file_make_dirs(dir, 0700, err);
    }
    ok = ok && save_run(run, path, xml, flags, err);
    if (ok) {
        if (managed)
            domain_managed_save_set(domain, true);
        domain_job_tell(domain);
        domain_run_quit(run, VIR_DOMAIN_SHUTOFF_SAVED, VIR_DOMAIN_EVENT_STOPPED_SAVED);
    }
    domain_job_end(domain);
    return ok;
}

bool
domain_save(Domain *domain, const char *path, const char *xml, unsigned flags, GError **err)
{
    return check_flags(flags, SAVE_FLAGS, "virDomainSaveFlags", err) && check_path(path, err) &&
           save_domain(domain, path, xml, flags, err);
}

bool
domain_managed_save(Domain *domain, const char *xml, unsigned flags, GError **err)
{
    return check_flags(flags, SAVE_FLAGS, "virDomainManagedSave", err) &&
           save_domain(domain, NULL, xml, flags, err);
}

/* --- what is saved --------------------------------------------------------------------------- */

bool
domain_managed_save_drop(Domain *domain, GError **err)
{
    g_autofree char *path = domain_managed_save_path(domain->manager, domain->name);

    if (!file_remove(path, err))
        return false;
    domain_managed_save_set(domain, false);
    return true;
}

bool
domain_managed_save_remove(Domain *domain, GError **err)
{
    bool ok;

    if (!domain_job_begin(domain, "managed save removal", err))
        return false;
    ok = (domain_has_managed_save(domain) ||
          kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                         "domain does not have managed save image")) &&
         domain_managed_save_drop(domain, err);
    domain_job_end(domain);
    return ok;
}

char *
domain_save_image_xml(DomainManager *manager, const char *path, unsigned flags, GError **err)
{
    unsigned format = DOMAIN_FORMAT_INACTIVE;
    g_auto(SaveHead) head = { NULL };
    g_autoptr(DomainDef) def = NULL;
    int fd;

    if (!check_flags(flags, VIR_DOMAIN_SAVE_IMAGE_XML_SECURE, "virDomainSaveImageGetXMLDesc",
                     err) ||
        !check_path(path, err) || (fd = save_file_open(path, O_RDONLY, &head, err)) < 0)
        return NULL;
    close(fd);
    if (!(def = save_head_def(&head, &manager->defaults, false, err)))
        return NULL;
    if (flags & VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)
        format |= DOMAIN_FORMAT_SECURE;
    return domain_def_format(def, format);
}

bool
domain_save_image_define(DomainManager *manager, const char *path, const char *xml, unsigned flags,
                         GError **err)
{
    g_auto(SaveHead) head = { NULL };
    g_autoptr(DomainDef) def = NULL;
    bool ok;
    int fd;

    if (!check_flags(flags, STATE_FLAGS, "virDomainSaveImageDefineXML", err) ||
        !check_path(path, err) || (fd = save_file_open(path, O_RDWR, &head, err)) < 0)
        return false;
    def = save_head_def(&head, &manager->defaults, false, err);
    if (def)
        def = save_def_replace(g_steal_pointer(&def), xml, &manager->defaults, err);
    if (def) {
        g_free(head.xml);
        head.xml = domain_def_format(def, DOMAIN_FORMAT_SECURE);
        if (flags & STATE_FLAGS)
            head.running = flags & VIR_DOMAIN_SAVE_RUNNING;
    }
    ok = def && save_file_set_head(fd, path, &head, err);
    close(fd);
    return ok;
}

static bool
check_managed(Domain *domain, GError **err)
{
    return domain_has_managed_save(domain) ||
           kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                          "domain does not have managed save image");
}

char *
domain_managed_save_xml(Domain *domain, unsigned flags, GError **err)
{
    g_autofree char *name = domain_dup_name(domain);
    g_autofree char *path = domain_managed_save_path(domain->manager, name);

    if (!check_flags(flags, VIR_DOMAIN_SAVE_IMAGE_XML_SECURE, "virDomainManagedSaveGetXMLDesc",
                     err) ||
        !check_managed(domain, err))
        return NULL;
    return domain_save_image_xml(domain->manager, path, flags, err);
}

bool
domain_managed_save_define(Domain *domain, const char *xml, unsigned flags, GError **err)
{
    g_autofree char *path = NULL;
    bool ok;

    if (!domain_job_begin(domain, "managed save definition", err))
        return false;
    path = domain_managed_save_path(domain->manager, domain->name);
    ok = check_managed(domain, err) &&
         domain_save_image_define(domain->manager, path, xml, flags, err);
    domain_job_end(domain);
    return ok;
}

void
domain_managed_save_find(DomainManager *manager)
{
    g_autoptr(GPtrArray) all = domain_manager_list(manager, VIR_CONNECT_LIST_DOMAINS_PERSISTENT);
    g_autofree char *dir = g_build_filename(manager->lib_dir, "save", NULL);

    file_sweep_temporaries(dir, ".save");
    for (guint i = 0; i < all->len; i++) {
        Domain *domain = all->pdata[i];
        g_autofree char *path = domain_managed_save_path(manager, domain->name);

        if (access(path, F_OK) == 0)
            domain_managed_save_set(domain, true);
    }
}
