/* monitor.c - what a guest's VMM tells by itself, and the questions asked of it.
 *
 * QMP events SHUTDOWN, RESET, STOP, RESUME, SUSPEND, WAKEUP, GUEST_PANICKED, BALLOON_CHANGE,
 * RTC_CHANGE, VSERPORT_CHANGE, WATCHDOG, DEVICE_DELETED, DEVICE_UNPLUG_GUEST_ERROR and those of
 * block jobs (QEMU QMP reference, run-state.json, machine.json, char.json, qdev.json,
 * block-core.json). What follows from them and may take time is done in a worker.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "driver/domain/agent.h"
#include "driver/domain/monitor_events.h"
#include "driver/domain/qmp_answer.h"
#include "driver/domain/vcpu_plug.h"
#include "util/error.h"

enum { DOMAIN_EXIT_MS = 5000 }; /* end of the monitor to end of the process */

void
domain_state_set(Domain *domain, int state, int reason)
{
    domain->state = state;
    domain->reason = reason;
}

/* --- what follows --------------------------------------------------------------------------------
 */

typedef enum { END_DESTROY, END_RESTART, END_PRESERVE } EndAction;

/* What the definition wants after a power-off or a reset that came as one. */
static EndAction
end_action(Domain *domain, DomainRun *run)
{
    int action = run->shutdown_by_reset ? domain->live->on_reboot : domain->live->on_poweroff;

    if (run->reset_after_shutdown)
        return END_RESTART;
    switch (action) {
    case DOMAIN_ACTION_RESTART:
        return END_RESTART;
    case DOMAIN_ACTION_PRESERVE:
        return END_PRESERVE;
    default:
        return END_DESTROY;
    }
}

/* Resets a guest that has powered off or panicked and lets it run again. */
static bool
restart_in_place(DomainRun *run, GError **err)
{
    Domain *domain = run->domain;

    if (!qmp_command(run->qmp, "system_reset", NULL, DOMAIN_QMP_SECONDS, err))
        return false;
    /* before it runs, for it may crash or power off again before the answer is here */
    g_mutex_lock(&domain->lock);
    run->own_resume = true;
    run->shutdown_seen = run->shutdown_by_reset = run->panicked = false;
    run->reset_after_shutdown = false;
    domain_state_set(domain, VIR_DOMAIN_RUNNING,
                     domain->state == VIR_DOMAIN_CRASHED ? VIR_DOMAIN_RUNNING_CRASHED
                                                         : VIR_DOMAIN_RUNNING_BOOTED);
    g_mutex_unlock(&domain->lock);
    if (!qmp_command(run->qmp, "cont", NULL, DOMAIN_QMP_SECONDS, err))
        return false;
    g_mutex_lock(&domain->lock);
    run->own_resume = false;
    g_mutex_unlock(&domain->lock);
    domain_status_refresh(domain);
    return true;
}

void
domain_run_quit(DomainRun *run, int reason, int detail)
{
    g_autoptr(GError) err = NULL;

    if (!qmp_command(run->qmp, "quit", NULL, DOMAIN_QUIT_SECONDS, &err) ||
        !domain_process_wait(&run->process, DOMAIN_QUIT_SECONDS * 1000, NULL))
        domain_process_signal(&run->process, SIGTERM);
    domain_run_stop(run, reason, detail);
}

/* In a job. */
static void
finish_end(DomainRun *run, EndAction action, int reason, int detail)
{
    Domain *domain = run->domain;
    g_autoptr(GError) err = NULL;

    if (action == END_RESTART && !restart_in_place(run, &err)) {
        domain_manager_warn(domain->manager, "cannot restart domain '%s': %s", domain->name,
                            err->message);
        action = END_DESTROY;
    }
    if (action == END_DESTROY)
        domain_run_quit(run, reason, detail);
}

static void
after_shutdown(DomainRun *run)
{
    Domain *domain = run->domain;
    EndAction action = END_PRESERVE;
    bool current;

    domain_job_begin_wait(domain, "the guest's power-off");
    g_mutex_lock(&domain->lock);
    current = domain->run == run && domain->live && run->shutdown_seen;
    if (current && (action = end_action(domain, run)) == END_PRESERVE)
        domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_SHUTTING_DOWN);
    g_mutex_unlock(&domain->lock);
    if (current && action == END_PRESERVE) {
        domain_status_refresh(domain);
        domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_SUSPENDED,
                               VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
    } else if (current) {
        finish_end(run, action, VIR_DOMAIN_SHUTOFF_SHUTDOWN, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN);
    }
    domain_job_end(domain);
}

static void
after_panic(DomainRun *run)
{
    Domain *domain = run->domain;
    EndAction action = END_PRESERVE;
    bool current, dump;
    int wanted;

    domain_job_begin_wait(domain, "the guest's crash");
    g_mutex_lock(&domain->lock);
    current = domain->run == run && domain->live && run->panicked;
    wanted = current ? domain->live->on_crash : DOMAIN_ACTION_PRESERVE;
    g_mutex_unlock(&domain->lock);
    dump = wanted == DOMAIN_ACTION_COREDUMP_DESTROY || wanted == DOMAIN_ACTION_COREDUMP_RESTART;
    if (wanted == DOMAIN_ACTION_RESTART || wanted == DOMAIN_ACTION_COREDUMP_RESTART)
        action = END_RESTART;
    else if (wanted != DOMAIN_ACTION_PRESERVE)
        action = END_DESTROY;
    if (current) {
        domain_status_refresh(domain);
        if (dump)
            domain_dump_auto(run, "has crashed");
        finish_end(run, action, VIR_DOMAIN_SHUTOFF_CRASHED, VIR_DOMAIN_EVENT_STOPPED_CRASHED);
    }
    domain_job_end(domain);
}

static void
after_exit(DomainRun *run)
{
    Domain *domain = run->domain;
    int reason, detail;

    domain_job_begin_wait(domain, "the guest's end");
    g_mutex_lock(&domain->lock);
    reason = run->stop_reason;
    detail = run->stop_detail;
    if (run->shutdown_seen && !run->killed) {
        reason = VIR_DOMAIN_SHUTOFF_SHUTDOWN;
        detail = VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN;
    }
    g_mutex_unlock(&domain->lock);
    domain_run_stop(run, reason, detail);
    domain_job_end(domain);
}

/* A VMM that closed its monitor and lives on cannot be steered: it is ended. */
static void
after_close(DomainRun *run)
{
    if (domain_process_wait(&run->process, DOMAIN_EXIT_MS, NULL))
        return;
    domain_manager_warn(run->domain->manager,
                        "the VMM of domain '%s' (process %d) closed its monitor and is killed",
                        run->domain->name, (int)run->process.pid);
    domain_process_signal(&run->process, SIGKILL);
}

static bool
data_flag(JsonObject *data, const char *name)
{
    return data && json_object_get_boolean_member_with_default(data, name, FALSE);
}

static void
set_port(DomainRun *run, const char *alias, bool open)
{
    Domain *domain = run->domain;
    bool agent = false;

    g_mutex_lock(&domain->lock);
    if (domain->live && domain->run == run)
        agent = domain_live_channel_state(run, domain->live, alias, open);
    g_mutex_unlock(&domain->lock);
    if (agent)
        domain_event_send(domain, VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
                          open ? VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED
                               : VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED,
                          VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL, 0, NULL);
}

/* Which channels the guest has open after nobody listened for a while. */
static void
ports_catch_up(DomainRun *run)
{
    g_autoptr(JsonNode) owner = NULL;
    JsonArray *list = qmp_execute_list(run->qmp, "query-chardev", NULL, &owner, NULL);

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *chardev = qmp_element(list, i);
        const char *label = qmp_text(chardev, "label");

        if (g_str_has_prefix(label, "char"))
            set_port(run, label + strlen("char"), data_flag(chardev, "frontend-open"));
    }
}

/* What went while no daemon listened. */
static void
after_reconnect(DomainRun *run)
{
    Domain *domain = run->domain;
    bool current;

    domain_job_begin_wait(domain, "taking up the guest's devices");
    g_mutex_lock(&domain->lock);
    current = domain->run == run && domain->live;
    g_mutex_unlock(&domain->lock);
    if (current) {
        domain_devices_catch_up(run);
        domain_block_settle(run, NULL, NULL);
    }
    domain_job_end(domain);
    if (current)
        ports_catch_up(run);
}

/* In a job, so that the file is not written again behind the back of one who ends the run. */
void
domain_monitor_state_changed(DomainRun *run)
{
    Domain *domain = run->domain;
    bool current;

    domain_job_begin_wait(domain, "the guest's change of state");
    g_mutex_lock(&domain->lock);
    current = domain->run == run;
    g_mutex_unlock(&domain->lock);
    if (current)
        domain_status_refresh(domain);
    domain_job_end(domain);
}

/* --- events, in the manager's I/O thread ------------------------------------------------------ */

static void
on_shutdown(DomainRun *run, JsonObject *data)
{
    Domain *domain = run->domain;
    bool guest = data_flag(data, "guest");
    const char *reason = qmp_text(data, "reason");
    bool told;

    domain_agent_guest_ends(run->agent);
    g_mutex_lock(&domain->lock);
    told = run->shutdown_seen || run->killed || g_str_equal(reason, "host-qmp-quit") ||
           g_str_equal(reason, "host-signal");
    if (!told) {
        run->shutdown_seen = true;
        run->shutdown_by_reset = g_str_equal(reason, "guest-reset");
        if (!run->reset_after_shutdown)
            domain_state_set(domain, VIR_DOMAIN_SHUTDOWN, VIR_DOMAIN_SHUTDOWN_UNKNOWN);
    }
    g_mutex_unlock(&domain->lock);
    if (told)
        return;
    if (!run->reset_after_shutdown)
        domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_SHUTDOWN,
                               guest ? VIR_DOMAIN_EVENT_SHUTDOWN_GUEST
                                     : VIR_DOMAIN_EVENT_SHUTDOWN_HOST);
    domain_run_post(run, after_shutdown);
}

/* The guest has gone to sleep in memory, or woken. */
static void
on_sleep_state(DomainRun *run, int from, int to, int reason, int lifecycle, int detail, int event)
{
    Domain *domain = run->domain;
    bool news;

    g_mutex_lock(&domain->lock);
    news = domain->state == from && !run->shutdown_seen && !run->panicked;
    if (news)
        domain_state_set(domain, to, reason);
    g_mutex_unlock(&domain->lock);
    if (!news)
        return;
    domain_event_lifecycle(domain, lifecycle, detail);
    domain_event_send(domain, event, 0, 0, 0, NULL);
    domain_run_post(run, domain_monitor_state_changed);
}

static void
on_suspend(DomainRun *run, JsonObject *data)
{
    (void)data;
    domain_agent_guest_ends(run->agent);
    on_sleep_state(run, VIR_DOMAIN_RUNNING, VIR_DOMAIN_PMSUSPENDED, VIR_DOMAIN_PMSUSPENDED_UNKNOWN,
                   VIR_DOMAIN_EVENT_PMSUSPENDED, VIR_DOMAIN_EVENT_PMSUSPENDED_MEMORY,
                   VIR_DOMAIN_EVENT_ID_PMSUSPEND);
}

static void
on_wakeup(DomainRun *run, JsonObject *data)
{
    (void)data;
    on_sleep_state(run, VIR_DOMAIN_PMSUSPENDED, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_WAKEUP,
                   VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_WAKEUP,
                   VIR_DOMAIN_EVENT_ID_PMWAKEUP);
}

/* A guest that slept runs again after a reset. */
static void
on_reset(DomainRun *run, JsonObject *data)
{
    domain_agent_guest_ends(run->agent);
    domain_event_send(run->domain, VIR_DOMAIN_EVENT_ID_REBOOT, 0, 0, 0, NULL);
    on_wakeup(run, data);
}

static void
on_stop(DomainRun *run, JsonObject *data)
{
    Domain *domain = run->domain;
    bool news;

    (void)data;
    g_mutex_lock(&domain->lock);
    news = domain->state == VIR_DOMAIN_RUNNING && !run->own_stop && !run->shutdown_seen &&
           !run->panicked;
    if (news)
        domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_UNKNOWN);
    g_mutex_unlock(&domain->lock);
    if (!news)
        return;
    domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
    domain_run_post(run, domain_monitor_state_changed);
}

static void
on_resume(DomainRun *run, JsonObject *data)
{
    Domain *domain = run->domain;
    bool news;

    (void)data;
    g_mutex_lock(&domain->lock);
    news = domain->state == VIR_DOMAIN_PAUSED && !run->own_resume;
    if (news)
        domain_state_set(domain, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNPAUSED);
    g_mutex_unlock(&domain->lock);
    if (!news)
        return;
    domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_UNPAUSED);
    domain_run_post(run, domain_monitor_state_changed);
}

static void
on_panic(DomainRun *run, JsonObject *data)
{
    Domain *domain = run->domain;
    bool news;

    (void)data;
    g_mutex_lock(&domain->lock);
    news = !run->panicked && !run->killed;
    if (news) {
        run->panicked = true;
        domain_state_set(domain, VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED);
    }
    g_mutex_unlock(&domain->lock);
    if (!news)
        return;
    domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_CRASHED, VIR_DOMAIN_EVENT_CRASHED_PANICKED);
    domain_run_post(run, after_panic);
}

static void
on_balloon(DomainRun *run, JsonObject *data)
{
    Domain *domain = run->domain;
    uint64_t kib = (uint64_t)MAX(0, qmp_number(data, "actual")) / 1024;

    g_mutex_lock(&domain->lock);
    run->balloon_kib = kib;
    g_mutex_unlock(&domain->lock);
    domain_event_send(domain, VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, 0, 0, kib, NULL);
}

static void
on_rtc(DomainRun *run, JsonObject *data)
{
    domain_event_send(run->domain, VIR_DOMAIN_EVENT_ID_RTC_CHANGE, 0, 0,
                      (uint64_t)qmp_number(data, "offset"), NULL);
}

static void
on_port(DomainRun *run, JsonObject *data)
{
    set_port(run, qmp_text(data, "id"), data_flag(data, "open"));
}

/* Of a guest that stands still since its watchdog's alarm: it goes on once its core is written. */
static void
after_watchdog(DomainRun *run)
{
    Domain *domain = run->domain;
    bool dump = false, current;

    domain_job_begin_wait(domain, "the guest's watchdog");
    g_mutex_lock(&domain->lock);
    current = domain->run == run && domain->live && domain->state == VIR_DOMAIN_PAUSED &&
              domain->reason == VIR_DOMAIN_PAUSED_WATCHDOG;
    for (guint i = 0; current && i < domain->live->watchdogs->len; i++)
        dump |= ((const DomainWatchdog *)domain->live->watchdogs->pdata[i])->action ==
                DOMAIN_WATCHDOG_DUMP;
    g_mutex_unlock(&domain->lock);
    if (current)
        domain_status_refresh(domain);
    if (dump) {
        domain_dump_auto(run, "did not feed its watchdog");
        domain_guest_let_go(run, VIR_DOMAIN_RUNNING_UNPAUSED);
    }
    domain_job_end(domain);
}

/* Its STOP follows, and is then no news. */
static void
on_watchdog(DomainRun *run, JsonObject *data)
{
    static const char *const actions[] = {
        [VIR_DOMAIN_EVENT_WATCHDOG_NONE] = "none",
        [VIR_DOMAIN_EVENT_WATCHDOG_PAUSE] = "pause",
        [VIR_DOMAIN_EVENT_WATCHDOG_RESET] = "reset",
        [VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF] = "poweroff",
        [VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN] = "shutdown",
        [VIR_DOMAIN_EVENT_WATCHDOG_DEBUG] = "debug",
        [VIR_DOMAIN_EVENT_WATCHDOG_INJECTNMI] = "inject-nmi",
    };
    Domain *domain = run->domain;
    const char *action = qmp_text(data, "action");
    bool paused = false;

    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++)
        if (strcmp(action, actions[i]) == 0)
            domain_event_send(domain, VIR_DOMAIN_EVENT_ID_WATCHDOG, (int)i, 0, 0, NULL);
    g_mutex_lock(&domain->lock);
    if (strcmp(action, "pause") == 0 && domain->state == VIR_DOMAIN_RUNNING) {
        domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_WATCHDOG);
        paused = true;
    }
    g_mutex_unlock(&domain->lock);
    if (!paused)
        return;
    domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG);
    domain_run_post(run, after_watchdog);
}

static void
on_deleted(DomainRun *run, JsonObject *data)
{
    const char *device = qmp_text(data, "device");

    if (g_str_has_prefix(device, "vcpu"))
        domain_run_post(run, domain_vcpus_catch_up);
    else if (*device)
        domain_device_gone(run, device);
}

static void
on_unplug_refused(DomainRun *run, JsonObject *data)
{
    const char *device = qmp_text(data, "device");

    if (*device)
        domain_device_kept(run, device);
}

static void
on_block_job(DomainRun *run, const char *name, JsonObject *data)
{
    domain_block_event(run, name, qmp_text(data, "device"), *qmp_text(data, "error"));
}

static void
on_block_completed(DomainRun *run, JsonObject *data)
{
    on_block_job(run, "completed", data);
}

static void
on_block_cancelled(DomainRun *run, JsonObject *data)
{
    on_block_job(run, "cancelled", data);
}

static void
on_block_ready(DomainRun *run, JsonObject *data)
{
    on_block_job(run, "ready", data);
}

/* A round of going through the guest's memory begins; a saved guest's is the only one. */
static void
on_migration_pass(DomainRun *run, JsonObject *data)
{
    gint64 pass = data ? json_object_get_int_member_with_default(data, "pass", 0) : 0;

    if (pass > 0)
        domain_event_send(run->domain, VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, 0, 0,
                          (uint64_t)MIN(pass, G_MAXINT32), NULL);
}

static const struct {
    const char *name;
    void (*handle)(DomainRun *run, JsonObject *data);
} monitor_events[] = {
    { "SHUTDOWN", on_shutdown },
    { "RESET", on_reset },
    { "STOP", on_stop },
    { "RESUME", on_resume },
    { "SUSPEND", on_suspend },
    { "WAKEUP", on_wakeup },
    { "GUEST_PANICKED", on_panic },
    { "BALLOON_CHANGE", on_balloon },
    { "RTC_CHANGE", on_rtc },
    { "VSERPORT_CHANGE", on_port },
    { "WATCHDOG", on_watchdog },
    { "DEVICE_DELETED", on_deleted },
    { "DEVICE_UNPLUG_GUEST_ERROR", on_unplug_refused },
    { "BLOCK_JOB_COMPLETED", on_block_completed },
    { "BLOCK_JOB_CANCELLED", on_block_cancelled },
    { "BLOCK_JOB_READY", on_block_ready },
    { "BLOCK_IO_ERROR", domain_on_io_error },
    { "DEVICE_TRAY_MOVED", domain_on_tray },
    { "VNC_CONNECTED", domain_on_viewer_connected },
    { "VNC_INITIALIZED", domain_on_viewer_ready },
    { "VNC_DISCONNECTED", domain_on_viewer_gone },
    { "BLOCK_WRITE_THRESHOLD", domain_block_threshold_event },
    { "MIGRATION_PASS", on_migration_pass },
};

static void
monitor_event(void *opaque, const char *name, JsonObject *data)
{
    domain_event_monitor(((DomainRun *)opaque)->domain, name, data);
    for (size_t i = 0; i < G_N_ELEMENTS(monitor_events); i++)
        if (strcmp(name, monitor_events[i].name) == 0)
            monitor_events[i].handle(opaque, data);
}

static void
monitor_closed(void *opaque, const char *reason)
{
    (void)reason;
    domain_run_post(opaque, after_close);
}

const QmpOps domain_monitor_ops = { .event = monitor_event, .closed = monitor_closed };

static void
process_ended(void *opaque, uint32_t events)
{
    (void)events;
    domain_run_post(opaque, after_exit);
}

void
domain_run_watch(DomainRun *run)
{
    int r = io_loop_add_fd(run->domain->manager->loop, run->process.fd, EPOLLIN | EPOLLONESHOT,
                           process_ended, domain_run_ref(run));

    run->watched = r == 0;
    if (r == 0)
        return;
    domain_manager_warn(run->domain->manager, "the end of process %d cannot be awaited: %s",
                        (int)run->process.pid, g_strerror(-r));
    domain_run_unref(run);
}

void
domain_run_unwatch(DomainRun *run)
{
    if (!run->watched)
        return;
    run->watched = false;
    io_loop_remove_fd(run->domain->manager->loop, run->process.fd);
    domain_run_unref(run);
}

void
domain_monitor_catch_up(DomainRun *run)
{
    Domain *domain = run->domain;
    int state;

    g_mutex_lock(&domain->lock);
    state = domain->state;
    run->shutdown_seen = state == VIR_DOMAIN_SHUTDOWN;
    run->panicked = state == VIR_DOMAIN_CRASHED && domain->live->on_crash != DOMAIN_ACTION_PRESERVE;
    g_mutex_unlock(&domain->lock);
    if (state == VIR_DOMAIN_SHUTDOWN)
        domain_run_post(run, after_shutdown);
    else if (run->panicked)
        domain_run_post(run, after_panic);
    domain_run_post(run, domain_monitor_state_changed);
    domain_run_post(run, after_reconnect);
}

/* --- questions ----------------------------------------------------------------------------------
 */

int
domain_monitor_state(DomainRun *run, int *ret_reason, GError **err)
{
    static const struct {
        const char *status;
        int state, reason;
    } states[] = {
        { "running", VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNKNOWN },
        { "shutdown", VIR_DOMAIN_SHUTDOWN, VIR_DOMAIN_SHUTDOWN_UNKNOWN },
        { "suspended", VIR_DOMAIN_PMSUSPENDED, VIR_DOMAIN_PMSUSPENDED_UNKNOWN },
        { "guest-panicked", VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED },
        { "io-error", VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR },
        { "watchdog", VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_WATCHDOG },
    };
    g_autoptr(JsonNode) answer =
        qmp_execute(run->qmp, "query-status", NULL, DOMAIN_QMP_SECONDS, err);
    const char *status;

    if (!answer)
        return VIR_DOMAIN_NOSTATE;
    if (!JSON_NODE_HOLDS_OBJECT(answer)) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "query-status did not answer with an object");
        return VIR_DOMAIN_NOSTATE;
    }
    status = qmp_text(json_node_get_object(answer), "status");
    for (size_t i = 0; i < G_N_ELEMENTS(states); i++)
        if (strcmp(status, states[i].status) == 0) {
            *ret_reason = states[i].reason;
            return states[i].state;
        }
    *ret_reason = VIR_DOMAIN_PAUSED_UNKNOWN;
    return VIR_DOMAIN_PAUSED;
}

unsigned
domain_monitor_iothread_number(const char *id)
{
    return g_str_has_prefix(id, "iothread") ? strtoul(id + strlen("iothread"), NULL, 10) : 0;
}

/* Threads are bound and limited by the numbers the VMM tells: it may only name its own. */
static bool
is_own_thread(const DomainRun *run, int64_t tid)
{
    g_autofree char *path =
        g_strdup_printf("/proc/%d/task/%" G_GINT64_FORMAT, (int)run->process.pid, tid);

    return tid > 0 && tid <= G_MAXINT && g_file_test(path, G_FILE_TEST_IS_DIR);
}

static bool
refuse_thread(int64_t tid, GError **err)
{
    return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                          "the VMM names thread %" G_GINT64_FORMAT ", which is not its own", tid);
}

/* The threads of the vCPUs, by their index. *ret_foreign is a thread that is not the VMM's, if it
 * named one. */
static GArray *
ask_vcpus(DomainRun *run, int64_t *ret_foreign, GError **err)
{
    g_autoptr(JsonNode) cpus = NULL;
    JsonArray *cpu_list = qmp_execute_list(run->qmp, "query-cpus-fast", NULL, &cpus, err);
    g_autoptr(GArray) tids = g_array_new(FALSE, TRUE, sizeof(pid_t));

    *ret_foreign = 0;
    if (!cpu_list)
        return NULL;
    for (guint i = 0; i < json_array_get_length(cpu_list); i++) {
        JsonObject *cpu = qmp_element(cpu_list, i);
        int64_t index = qmp_number(cpu, "cpu-index"), tid = qmp_number(cpu, "thread-id");

        if (index < 0 || index >= 4096) {
            kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                           "query-cpus-fast names a vCPU %" G_GINT64_FORMAT, index);
            return NULL;
        }
        if (!is_own_thread(run, tid)) {
            *ret_foreign = tid;
            refuse_thread(tid, err);
            return NULL;
        }
        if (tids->len <= index)
            g_array_set_size(tids, index + 1);
        g_array_index(tids, pid_t, index) = tid;
    }
    return g_steal_pointer(&tids);
}

bool
domain_monitor_vcpus(DomainRun *run, GError **err)
{
    g_autoptr(GError) failure = NULL;
    int64_t foreign;
    GArray *tids = ask_vcpus(run, &foreign, &failure), *old;

    /* A processor that the guest lets go takes its thread along, maybe since it was named. */
    if (!tids && foreign > 0) {
        g_clear_error(&failure);
        tids = ask_vcpus(run, &foreign, &failure);
    }
    if (!tids) {
        g_propagate_error(err, g_steal_pointer(&failure));
        return false;
    }
    g_mutex_lock(&run->domain->lock);
    old = run->vcpu_tids;
    run->vcpu_tids = tids;
    g_mutex_unlock(&run->domain->lock);
    g_array_unref(old);
    return true;
}

bool
domain_monitor_threads(DomainRun *run, GError **err)
{
    g_autoptr(JsonNode) threads = NULL;
    JsonArray *thread_list;

    if (!domain_monitor_vcpus(run, err))
        return false;
    thread_list = qmp_execute_list(run->qmp, "query-iothreads", NULL, &threads, err);
    if (!thread_list)
        return false;
    g_array_set_size(run->iothreads, 0);
    for (guint i = 0; i < json_array_get_length(thread_list); i++) {
        JsonObject *thread = qmp_element(thread_list, i);
        int64_t tid = qmp_number(thread, "thread-id");
        DomainRunThread entry = { domain_monitor_iothread_number(qmp_text(thread, "id")), tid };

        if (!is_own_thread(run, tid))
            return refuse_thread(tid, err);
        if (entry.id > 0)
            g_array_append_val(run->iothreads, entry);
    }
    return true;
}

bool
domain_monitor_balloon_period(DomainRun *run, const char *alias, uint64_t seconds, GError **err)
{
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", alias);
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, "path", path);
    json_object_set_string_member(arguments, "property", "guest-stats-polling-interval");
    json_object_set_int_member(arguments, "value", seconds);
    return qmp_command(run->qmp, "qom-set", arguments, DOMAIN_QMP_SECONDS, err);
}
