/* start.c - bringing a guest up, from definition to running vCPUs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/domain/agent.h"
#include "driver/domain/graphics.h"
#include "driver/domain/log.h"
#include "driver/domain/perf.h"
#include "driver/domain/resources.h"
#include "driver/domain/tune.h"
#include "driver/node/firmware.h"
#include "util/error.h"
#include "util/flags.h"
#include "util/file.h"

/* Of a domain that comes with its definition. */
enum {
    CREATE_FLAGS = VIR_DOMAIN_START_PAUSED | VIR_DOMAIN_START_AUTODESTROY |
                   VIR_DOMAIN_START_VALIDATE | VIR_DOMAIN_START_RESET_NVRAM,
};

/* --- before anything is made ------------------------------------------------------------------ */

bool
domain_check_actions(const DomainDef *def, GError **err)
{
    const struct {
        const char *element;
        int action;
    } actions[] = {
        { "on_poweroff", def->on_poweroff },
        { "on_reboot", def->on_reboot },
        { "on_crash", def->on_crash },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++)
        if (actions[i].action == DOMAIN_ACTION_RENAME_RESTART)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "<%s>rename-restart</%s> is not offered; use restart or preserve",
                                  actions[i].element, actions[i].element);
    if (def->on_poweroff == DOMAIN_ACTION_RESTART && def->on_reboot == DOMAIN_ACTION_DESTROY)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "<on_poweroff>restart</on_poweroff> with <on_reboot>destroy</on_reboot> "
            "is not offered");
    return true;
}

static bool
same_image(const struct stat *a, const struct stat *b)
{
    if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
        return a->st_rdev == b->st_rdev;
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether the running guest @other has the image of @st open in a way that clashes with @disk. */
static bool
other_uses(Domain *other, const DomainDisk *disk, const struct stat *st)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    bool used = false;

    g_mutex_lock(&other->lock);
    for (guint i = 0; other->live && i < other->live->disks->len; i++) {
        const DomainDisk *theirs = other->live->disks->pdata[i];

        if (domain_disk_path(theirs) && !(theirs->readonly && disk->readonly) &&
            !(theirs->shareable && disk->shareable))
            g_ptr_array_add(paths, g_strdup(domain_disk_path(theirs)));
    }
    g_mutex_unlock(&other->lock);
    for (guint i = 0; i < paths->len && !used; i++) {
        struct stat their_st;

        used = stat(paths->pdata[i], &their_st) == 0 && same_image(st, &their_st);
    }
    return used;
}

/* The block layer's lock would refuse the second guest too, but cannot name the first. */
bool
domain_disk_check(Domain *domain, const DomainDisk *disk, GError **err)
{
    g_autoptr(GPtrArray) others = NULL;
    struct stat st;

    if (!domain_disk_path(disk))
        return true;
    if (stat(domain_disk_path(disk), &st) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "cannot access storage file '%s' of disk '%s'",
                                    domain_disk_path(disk), disk->target);
    others = domain_manager_list(domain->manager, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    for (guint k = 0; k < others->len; k++) {
        g_autofree char *name = NULL;

        if (others->pdata[k] == domain || !other_uses(others->pdata[k], disk, &st))
            continue;
        name = domain_dup_name(others->pdata[k]);
        return kiln_error_set(err, VIR_ERR_RESOURCE_BUSY,
                              "'%s' of disk '%s' is in use by domain '%s'; shut that one down, or "
                              "make the disk <readonly/> or <shareable/> in both",
                              domain_disk_path(disk), disk->target, name);
    }
    return true;
}

static bool
check_disks(Domain *domain, const DomainDef *def, bool boot, GError **err)
{
    for (guint i = 0; i < def->disks->len; i++)
        if (!domain_disk_may_miss(def->disks->pdata[i], boot) &&
            !domain_disk_check(domain, def->disks->pdata[i], err))
            return false;
    return true;
}

/* --- the process ------------------------------------------------------------------------------ */

static bool
run_is_killed(DomainRun *run)
{
    bool killed;

    g_mutex_lock(&run->domain->lock);
    killed = run->killed;
    g_mutex_unlock(&run->domain->lock);
    return killed;
}

static bool
run_is_dead(void *opaque)
{
    DomainRun *run = opaque;

    return run_is_killed(run) || domain_process_wait(&run->process, 0, NULL);
}

/* Turns a failure to reach the monitor into the VMM's own reason, which it wrote to its log. */
static bool
monitor_error(DomainRun *run, off_t mark, GError *failure, GError **err)
{
    g_autoptr(GError) taken = failure;
    g_autofree char *said = NULL;

    if (run_is_killed(run))
        return kiln_error_set(err, VIR_ERR_OPERATION_ABORTED,
                              "the domain was destroyed while starting");
    /* a process that ends closes its sockets before its last words are waited for */
    domain_process_wait(&run->process, 1000, NULL);
    said = domain_log_since(run->log_path, mark);
    if (*said)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "process exited while connecting to monitor: %s (log: %s)", said,
                              run->log_path);
    return kiln_error_set(err, kiln_error_code(taken), "%s (log: %s)", taken->message,
                          run->log_path);
}

static bool
spawn_vmm(DomainRun *run, const DomainDef *def, const DomainResources *resources, char **argv,
          int log, GError **err)
{
    char *environment[] = { (char *)"LC_ALL=C", (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                            NULL };
    CgroupJoin join;
    int gate;
    Spawn spawn = {
        .argv = argv,
        .environment = environment,
        .fds = (const SpawnFd *)resources->fds->data,
        .n_fds = resources->fds->len,
        .output = log,
        .join = &join,
    };
    cpu_set_t *cpus;
    bool ok;

    if (!cgroup_open_join(run->cgroup, &join, err))
        return false;
    spawn.cpus = cpus = domain_tune_initial_cpus(def, &spawn.cpus_size);
    ok = domain_spawn(&spawn, &run->process, &gate, err);
    if (cpus)
        CPU_FREE(cpus);
    cgroup_close_join(&join);
    if (!ok)
        return false;
    /* whoever finds this file when the daemon dies knows what to kill */
    if (!domain_status_save(run, def, true, err)) {
        close(gate);
        return false;
    }
    return domain_spawn_release(argv[0], gate, err);
}

static bool
reach_monitor(DomainRun *run, off_t mark, GError **err)
{
    gint64 deadline = g_get_monotonic_time() + DOMAIN_START_SECONDS * (gint64)G_USEC_PER_SEC;
    GError *failure = NULL;

    run->qmp = qmp_connect(run->monitor_path, run->domain->manager->loop, &domain_monitor_ops, run,
                           &failure);
    if (run->qmp && qmp_handshake(run->qmp, deadline, run_is_dead, run, &failure) &&
        domain_monitor_threads(run, &failure))
        return true;
    return monitor_error(run, mark, failure, err);
}

/* What the VMM takes only once it runs. */
static bool
configure_devices(DomainRun *run, const DomainDef *def, bool loaded, GError **err)
{
    run->balloon_kib = def->memory;
    if (!domain_graphics_set_passwords(run, def, err))
        return false;
    if (!def->balloon || !def->balloon->info.alias)
        return true;
    /* a loaded balloon knows its size */
    if (def->current_memory < def->memory && !loaded) {
        JsonObject *arguments = json_object_new();

        json_object_set_int_member(arguments, "value", (gint64)def->current_memory * 1024);
        if (!qmp_command(run->qmp, "balloon", arguments, DOMAIN_QMP_SECONDS, err))
            return false;
    }
    return def->balloon->stats_period == XML_UNSET || def->balloon->stats_period == 0 ||
           domain_monitor_balloon_period(run, def->balloon->info.alias, def->balloon->stats_period,
                                         err);
}

/* Everything up to a guest that stands ready, its vCPUs not yet running, booted or loaded from
 * @saved. On failure the caller releases. */
static bool
run_prepare(DomainRun *run, DomainDef *live, int saved, GError **err)
{
    DomainManager *manager = run->domain->manager;
    g_autofree char *user = manager->drops ? g_strdup_printf("%u:%u", (unsigned)manager->vmm_uid,
                                                             (unsigned)manager->vmm_gid)
                                           : NULL;
    g_autofree char *nvram = g_build_filename(manager->lib_dir, "nvram", NULL);
    g_autofree char *tls_dir = domain_tls_dir(manager, "libvirt-nbd");
    g_autoptr(GPtrArray) firmwares = host_firmware_list("", live->os.arch);
    DomainResources resources;
    ArgvConfig config = {
        .vmm = manager->vmm,
        .kvm_device = manager->kvm_device,
        .sandbox_user = user,
        .nvram_dir = nvram,
        .tls_dir = tls_dir,
        .vnc_tls_dir = manager->vnc_tls_dir,
        .vnc_tls_verify = manager->vnc_tls_verify,
        .vnc_password = manager->vnc_password != NULL,
        .firmwares = firmwares,
        .host_model = domain_resources_host_model,
        .incoming = saved >= 0,
        .crypto =
            manager->ops && manager->ops->has_secrets && manager->ops->has_secrets(manager->opaque),
        .ops = &domain_resources_ops,
        .opaque = &resources,
    };
    g_autoptr(GPtrArray) argv = NULL;
    off_t mark = 0;
    int log = -1;
    bool ok;

    domain_resources_init(&resources, run, live);
    ok = domain_hook_run(manager, "prepare", "begin", live, err) &&
         (log = domain_log_open(run->log_path, err)) >= 0 &&
         (argv = argv_build(&config, live, err)) != NULL && domain_tune_group(run, live, err) &&
         domain_hook_run(manager, "start", "begin", live, err);
    if (ok) {
        domain_log_command(log, (char *const *)argv->pdata);
        mark = domain_log_mark(log);
        ok = spawn_vmm(run, live, &resources, (char **)argv->pdata, log, err);
    }
    /* the VMM alone holds them from now on: a tap goes when its guest goes */
    domain_resources_clear(&resources);
    if (log >= 0)
        close(log);
    return ok && reach_monitor(run, mark, err) && domain_tune_threads(run, live, err) &&
           domain_perf_start(run, live, err) && (saved < 0 || domain_run_load(run, saved, err)) &&
           configure_devices(run, live, saved >= 0, err) &&
           domain_hook_run(manager, "started", "begin", live, err);
}

/* Makes the prepared run what clients see. */
static void
run_publish(DomainRun *run, DomainDef *live, const void *client)
{
    Domain *domain = run->domain;

    domain_registry_take_id(domain, run->id);
    g_mutex_lock(&domain->lock);
    domain->live = live;
    domain->id = run->id;
    domain->updated = false;
    run->client = client;
    run->started = true;
    domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_STARTING_UP);
    g_mutex_unlock(&domain->lock);
    if (domain_has_agent_channel(live))
        domain_event_send(domain, VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
                          VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED,
                          VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_DOMAIN_STARTED, 0, NULL);
    domain_run_watch(run);
}

bool
domain_run_continue(DomainRun *run, int reason, GError **err)
{
    Domain *domain = run->domain;

    g_mutex_lock(&domain->lock);
    run->own_resume = true;
    g_mutex_unlock(&domain->lock);
    if (!qmp_command(run->qmp, "cont", NULL, DOMAIN_QMP_SECONDS, err))
        return false;
    g_mutex_lock(&domain->lock);
    run->own_resume = false;
    if (domain->state == VIR_DOMAIN_PAUSED) /* not if the guest has ended already */
        domain_state_set(domain, VIR_DOMAIN_RUNNING, reason);
    g_mutex_unlock(&domain->lock);
    return true;
}

static void
run_abandon(DomainRun *run, const DomainDef *live)
{
    Domain *domain = run->domain;

    g_mutex_lock(&domain->lock);
    domain->run = NULL;
    domain_state_set(domain, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_FAILED);
    g_mutex_unlock(&domain->lock);
    domain_run_release(run, live, "failed");
    domain_run_unref(run);
}

static DomainRun *
run_begin(Domain *domain)
{
    DomainManager *manager = domain->manager;
    DomainRun *run = domain_run_new(domain);

    run->id = domain_registry_new_id(domain);
    run->monitor_path = domain_monitor_path(domain);
    run->log_path = g_strdup_printf("%s/%s.log", manager->log_dir, domain->name);
    g_mutex_lock(&domain->lock);
    domain->run = run;
    g_mutex_unlock(&domain->lock);
    return run;
}

/* Tells of a guest that was loaded: before it runs, as libvirt does. */
static void
events_loaded(DomainRun *run, bool paused)
{
    domain_event_lifecycle_id(run->domain, run->id, VIR_DOMAIN_EVENT_STARTED,
                              VIR_DOMAIN_EVENT_STARTED_RESTORED);
    if (paused)
        domain_event_lifecycle_id(run->domain, run->id, VIR_DOMAIN_EVENT_SUSPENDED,
                                  VIR_DOMAIN_EVENT_SUSPENDED_RESTORED);
    else
        domain_event_lifecycle_id(run->domain, run->id, VIR_DOMAIN_EVENT_RESUMED,
                                  VIR_DOMAIN_EVENT_RESUMED_UNPAUSED);
}

static void
events_booted(DomainRun *run, bool paused, bool snapshot)
{
    if (!paused)
        domain_event_lifecycle_id(run->domain, run->id, VIR_DOMAIN_EVENT_RESUMED,
                                  VIR_DOMAIN_EVENT_RESUMED_UNPAUSED);
    domain_event_lifecycle_id(run->domain, run->id, VIR_DOMAIN_EVENT_STARTED,
                              snapshot ? VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT
                                       : VIR_DOMAIN_EVENT_STARTED_BOOTED);
    if (paused)
        domain_event_lifecycle_id(run->domain, run->id, VIR_DOMAIN_EVENT_SUSPENDED,
                                  snapshot ? VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT
                                           : VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
}

/* Nothing more until it is there. */
static bool
run_wait(DomainRun *run, const DomainDef *live, GError **err)
{
    Domain *domain = run->domain;

    g_mutex_lock(&domain->lock);
    if (domain->state == VIR_DOMAIN_PAUSED)
        domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION);
    g_mutex_unlock(&domain->lock);
    if (!domain_status_save(run, live, true, err)) {
        domain_run_stop(run, VIR_DOMAIN_SHUTOFF_FAILED, VIR_DOMAIN_EVENT_STOPPED_FAILED);
        return false;
    }
    domain_event_lifecycle_id(domain, run->id, VIR_DOMAIN_EVENT_STARTED,
                              VIR_DOMAIN_EVENT_STARTED_MIGRATED);
    return true;
}

bool
domain_run_start(Domain *domain, DomainDef *def, unsigned flags, const void *client, int saved,
                 GError **err)
{
    g_autoptr(DomainDef) wanted = def;
    bool paused = flags & VIR_DOMAIN_START_PAUSED, snapshot = flags & DOMAIN_START_FROM_SNAPSHOT;
    g_autoptr(DomainRun) run = NULL;
    DomainDef *live;

    if (domain_is_active(domain))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is already running");
    if (!domain_disks_resolve(domain->manager, wanted, err) ||
        !domain_def_unsupported(wanted, err) || !domain_check_actions(wanted, err) ||
        !check_disks(domain, wanted, saved < 0, err))
        return false;
    run = domain_run_ref(run_begin(domain));
    run->reset_nvram = flags & VIR_DOMAIN_START_RESET_NVRAM;
    run->incoming = flags & DOMAIN_START_INCOMING;
    live = domain_live_new(wanted, run->id);
    domain_disks_drop_missing(run, live, saved < 0);
    if (!run_prepare(run, live, saved, err)) {
        run_abandon(run, live);
        domain_def_free(live);
        return false;
    }
    run_publish(run, live,
                flags & (VIR_DOMAIN_START_AUTODESTROY | DOMAIN_START_INCOMING) ? client : NULL);
    if (run->incoming)
        return run_wait(run, live, err);
    if (!domain_status_save(run, live, false, err) ||
        (!paused && !domain_run_continue(run,
                                         snapshot    ? VIR_DOMAIN_RUNNING_FROM_SNAPSHOT
                                         : saved < 0 ? VIR_DOMAIN_RUNNING_BOOTED
                                                     : VIR_DOMAIN_RUNNING_RESTORED,
                                         err))) {
        domain_run_stop(run, VIR_DOMAIN_SHUTOFF_FAILED, VIR_DOMAIN_EVENT_STOPPED_FAILED);
        return false;
    }
    if (paused) {
        g_mutex_lock(&domain->lock);
        if (domain->state == VIR_DOMAIN_PAUSED)
            domain_state_set(domain, VIR_DOMAIN_PAUSED,
                             snapshot ? VIR_DOMAIN_PAUSED_FROM_SNAPSHOT : VIR_DOMAIN_PAUSED_USER);
        g_mutex_unlock(&domain->lock);
    }
    if (saved < 0 || snapshot)
        events_booted(run, paused, snapshot);
    else
        events_loaded(run, paused);
    domain_status_refresh(domain);
    return true;
}

/* In a job: from the managed save, if there is one that is not to be thrown away. */
static bool
start_defined(Domain *domain, unsigned flags, const void *client, GError **err)
{
    DomainDef *def = NULL;

    if (domain_has_managed_save(domain)) {
        if (!(flags & VIR_DOMAIN_START_FORCE_BOOT))
            return domain_start_managed(domain, flags, client, err);
        if (!domain_managed_save_drop(domain, err))
            return false;
    }
    g_mutex_lock(&domain->lock);
    if (domain->config)
        def = domain_def_copy(domain->config);
    g_mutex_unlock(&domain->lock);
    return (def || kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is already running")) &&
           domain_run_start(domain, def, flags, client, -1, err);
}

bool
domain_start(Domain *domain, unsigned flags, const void *client, GError **err)
{
    bool ok;

    if (!domain_job_begin(domain, "start", err))
        return false;
    ok = start_defined(domain, flags, client, err);
    domain_job_end(domain);
    return ok;
}

Domain *
domain_manager_create(DomainManager *manager, const char *xml, unsigned flags, const void *client,
                      GError **err)
{
    unsigned parse = flags & VIR_DOMAIN_START_VALIDATE ? DOMAIN_PARSE_VALIDATE : 0;
    g_autoptr(Domain) domain = NULL;
    DomainDef *def;
    bool is_new, ok, transient;

    if (!kiln_flags_check(flags, CREATE_FLAGS, "virDomainCreateXML", err) ||
        !(def = domain_def_parse(xml, parse, &manager->defaults, err)))
        return NULL;
    if (!(domain = domain_registry_claim_job(manager, def, "create", &is_new, err))) {
        domain_def_free(def);
        return NULL;
    }
    if (domain_is_active(domain)) {
        ok = kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain '%s' is already active",
                            def->name);
        domain_def_free(def);
    } else if (!domain_definition_new(domain, def, err)) {
        ok = false;
        domain_def_free(def);
    } else {
        ok = domain_run_start(domain, def, flags, client, -1, err);
    }
    g_mutex_lock(&domain->lock);
    transient = !domain->config && !domain->live;
    g_mutex_unlock(&domain->lock);
    if (!ok && transient)
        domain_registry_remove(domain);
    domain_job_end(domain);
    return ok ? g_steal_pointer(&domain) : NULL;
}
