/* lifecycle.c - what clients do to a running guest: destroy, shut down, reboot, reset, suspend,
 * resume.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/agent.h"
#include "driver/domain/qmp_parse.h"
#include "util/error.h"

enum { DOMAIN_TERM_MS = 10000 }; /* SIGTERM to exit */

/* --- destroy ---------------------------------------------------------------------------------- */

/* The run to destroy, also one that only starts. */
static DomainRun *
run_to_kill(Domain *domain, GError **err)
{
    DomainRun *run = NULL;

    g_mutex_lock(&domain->lock);
    if (domain->run) {
        run = domain_run_ref(domain->run);
        run->killed = true;
        run->stop_reason = VIR_DOMAIN_SHUTOFF_DESTROYED;
        run->stop_detail = VIR_DOMAIN_EVENT_STOPPED_DESTROYED;
    }
    g_mutex_unlock(&domain->lock);
    if (!run)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    return run;
}

bool
domain_destroy(Domain *domain, unsigned flags, GError **err)
{
    g_autoptr(DomainRun) run = NULL;

    if (!(run = run_to_kill(domain, err)))
        return false;
    /* before the job is waited for: whoever has it may be waiting for this guest's monitor */
    domain_process_signal(&run->process, SIGTERM);
    if (!domain_process_wait(&run->process, DOMAIN_TERM_MS, NULL)) {
        if (flags & VIR_DOMAIN_DESTROY_GRACEFUL) {
            g_mutex_lock(&domain->lock);
            run->killed = false;
            g_mutex_unlock(&domain->lock);
            return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                                  "failed to terminate process %d with SIGTERM: %s",
                                  (int)run->process.pid, g_strerror(EBUSY));
        }
        domain_process_signal(&run->process, SIGKILL);
    }
    domain_job_begin_wait(domain, "destroy");
    domain_run_stop(run, VIR_DOMAIN_SHUTOFF_DESTROYED, VIR_DOMAIN_EVENT_STOPPED_DESTROYED);
    domain_job_end(domain);
    if (flags & VIR_DOMAIN_DESTROY_REMOVE_LOGS)
        unlink(run->log_path);
    return true;
}

static void
destroy_with_client(DomainRun *run)
{
    domain_destroy(run->domain, 0, NULL);
}

void
domain_manager_client_gone(DomainManager *manager, const void *client)
{
    g_autoptr(GPtrArray) all = domain_manager_list(manager, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    for (guint i = 0; i < all->len; i++) {
        Domain *domain = all->pdata[i];
        g_autoptr(DomainRun) migrating = NULL;
        DomainRun *run = NULL;

        g_mutex_lock(&domain->lock);
        if (domain->run && domain->run->client == client)
            run = domain_run_ref(domain->run);
        g_mutex_unlock(&domain->lock);
        domain_console_hang_up(domain, client);
        migrating = domain_run_get(domain, NULL);
        if (migrating)
            domain_migrate_client_gone(migrating, client);
        if (run)
            domain_run_post(run, destroy_with_client);
        domain_run_unref(run);
    }
}

/* --- shutdown, reboot, reset ------------------------------------------------------------------ */

/* Presses the power button; @reset: the guest is reset once it has powered off. */
static bool
press_button(Domain *domain, const char *job, bool reset, GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    bool ok;

    if (!domain_job_begin(domain, job, err))
        return false;
    run = domain_run_get(domain, err);
    if (run) {
        g_mutex_lock(&domain->lock);
        run->reset_after_shutdown = reset && domain->live->on_reboot != DOMAIN_ACTION_DESTROY;
        g_mutex_unlock(&domain->lock);
    }
    ok = run && qmp_command(run->qmp, "system_powerdown", NULL, DOMAIN_QMP_SECONDS, err);
    if (ok)
        domain_status_refresh(domain);
    domain_job_end(domain);
    return ok;
}

/* As libvirt chooses: the agent when it is asked for, or there and nothing was said; the power
 * button when that fails and was not ruled out. */
static bool
ask_guest(Domain *domain, bool button, bool agent, bool reboot, GError **err)
{
    bool restarts;

    g_mutex_lock(&domain->lock);
    restarts = domain->live && domain->live->on_poweroff == DOMAIN_ACTION_RESTART;
    g_mutex_unlock(&domain->lock);
    if (agent || (!button && domain_agent_is_there(domain))) {
        g_autoptr(GError) why = NULL;

        if (domain_agent_shutdown(domain, reboot || restarts ? "reboot" : "powerdown", &why))
            return true;
        if (agent && !button) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
    }
    return press_button(domain, reboot ? "reboot" : "shutdown", reboot, err);
}

bool
domain_shutdown(Domain *domain, unsigned flags, GError **err)
{
    const unsigned button = VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN;
    const unsigned agent = VIR_DOMAIN_SHUTDOWN_GUEST_AGENT;

    return ask_guest(domain, flags & button, flags & agent, false, err);
}

bool
domain_reboot(Domain *domain, unsigned flags, GError **err)
{
    const unsigned button = VIR_DOMAIN_REBOOT_ACPI_POWER_BTN;
    const unsigned agent = VIR_DOMAIN_REBOOT_GUEST_AGENT;

    return ask_guest(domain, flags & button, flags & agent, true, err);
}

bool
domain_reset(Domain *domain, GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    bool ok;

    if (!domain_job_begin(domain, "reset", err))
        return false;
    run = domain_run_get(domain, err);
    ok = run && qmp_command(run->qmp, "system_reset", NULL, DOMAIN_QMP_SECONDS, err);
    if (ok) {
        g_mutex_lock(&domain->lock);
        run->shutdown_seen = run->shutdown_by_reset = run->panicked = false;
        if (domain->state == VIR_DOMAIN_CRASHED)
            domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_CRASHED);
        else if (domain->state == VIR_DOMAIN_PAUSED &&
                 domain->reason == VIR_DOMAIN_PAUSED_SHUTTING_DOWN)
            domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER);
        g_mutex_unlock(&domain->lock);
        domain_status_refresh(domain);
    }
    domain_job_end(domain);
    return ok;
}

/* --- suspend, resume -------------------------------------------------------------------------- */

/* In a job. True without a change when the guest is paused already. */
static bool
stop_vcpus(Domain *domain, DomainRun *run, bool *ret_changed, GError **err)
{
    int state;

    g_mutex_lock(&domain->lock);
    state = domain->state;
    run->own_stop = state == VIR_DOMAIN_RUNNING;
    g_mutex_unlock(&domain->lock);
    *ret_changed = state == VIR_DOMAIN_RUNNING;
    if (state == VIR_DOMAIN_PAUSED)
        return true;
    if (state == VIR_DOMAIN_PMSUSPENDED)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is pmsuspended");
    if (state != VIR_DOMAIN_RUNNING)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    if (!qmp_command(run->qmp, "stop", NULL, DOMAIN_QMP_SECONDS, err)) {
        g_mutex_lock(&domain->lock);
        run->own_stop = false;
        g_mutex_unlock(&domain->lock);
        return false;
    }
    g_mutex_lock(&domain->lock);
    run->own_stop = false;
    if (domain->state == VIR_DOMAIN_RUNNING)
        domain_state_set(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER);
    g_mutex_unlock(&domain->lock);
    return true;
}

bool
domain_suspend(Domain *domain, GError **err)
{
    /* one on its way to another host gets there sooner when it stands still */
    bool leaving = domain_migrate_is_under_way(domain), changed = false, ok;
    g_autoptr(DomainRun) run = NULL;

    if (!leaving && !domain_job_begin(domain, "suspend", err))
        return false;
    run = domain_run_get(domain, err);
    ok = run && stop_vcpus(domain, run, &changed, err);
    if (ok && changed) {
        domain_status_refresh(domain);
        domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_SUSPENDED,
                               VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
    }
    if (!leaving)
        domain_job_end(domain);
    return ok;
}

/* In a job. */
static bool
start_vcpus(Domain *domain, DomainRun *run, GError **err)
{
    int state, reason;
    bool ok;

    g_mutex_lock(&domain->lock);
    state = domain->state;
    reason = domain->reason;
    run->own_resume = true;
    g_mutex_unlock(&domain->lock);
    if (state == VIR_DOMAIN_RUNNING)
        ok = kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is already running");
    else if (state == VIR_DOMAIN_PMSUSPENDED)
        ok = kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                            "domain is pmsuspended: wake it with virDomainPMWakeup");
    else if (state != VIR_DOMAIN_PAUSED || reason == VIR_DOMAIN_PAUSED_SHUTTING_DOWN)
        ok = kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                            "the guest has powered off or crashed; reset it before it is resumed");
    else
        ok = qmp_command(run->qmp, "cont", NULL, DOMAIN_QMP_SECONDS, err);
    g_mutex_lock(&domain->lock);
    run->own_resume = false;
    if (ok && domain->state == VIR_DOMAIN_PAUSED)
        domain_state_set(domain, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNPAUSED);
    g_mutex_unlock(&domain->lock);
    return ok;
}

bool
domain_resume(Domain *domain, GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    bool ok;

    if (!domain_job_begin(domain, "resume", err))
        return false;
    run = domain_run_get(domain, err);
    ok = run && start_vcpus(domain, run, err);
    if (ok) {
        domain_status_refresh(domain);
        domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_UNPAUSED);
    }
    domain_job_end(domain);
    return ok;
}

bool
domain_pm_wakeup(Domain *domain, GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    bool ok;

    if (!domain_job_begin(domain, "waking the guest", err))
        return false;
    run = domain_run_get(domain, err);
    ok = run && qmp_command(run->qmp, "system_wakeup", NULL, DOMAIN_QMP_SECONDS, err);
    domain_job_end(domain);
    return ok;
}

/* A line for the human monitor; what it says, with lines ended as virsh prints them. */
static char *
human_command(DomainRun *run, const char *command, int fd, GError **err)
{
    JsonObject *args = json_object_new();
    g_autoptr(JsonNode) value = NULL;
    g_autoptr(GString) text = NULL;

    json_object_set_string_member(args, "command-line", command);
    value = qmp_execute_fd(run->qmp, "human-monitor-command", args, fd, DOMAIN_QMP_SECONDS, err);
    if (!value)
        return NULL;
    text = g_string_new(JSON_NODE_HOLDS_VALUE(value) ? json_node_get_string(value) : "");
    g_string_replace(text, "\r\n", "\n", 0);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

char *
domain_monitor_command(Domain *domain, const char *command, int fd, bool hmp, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autoptr(JsonObject) request = NULL;
    g_autoptr(JsonObject) reply = NULL;
    g_autoptr(JsonNode) node = NULL;

    if (!run)
        return NULL;
    domain_dirty_rate_ordered(run); /* who knows */
    if (hmp)
        return human_command(run, command, fd, err);
    if (!(request = qmp_parse_object(command, strlen(command), err)))
        return NULL;
    if (!json_object_has_member(request, "execute")) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "a QMP command needs a member 'execute'");
        return NULL;
    }
    reply = qmp_execute_raw(run->qmp, request, fd, DOMAIN_QMP_SECONDS, err);
    if (!reply)
        return NULL;
    node = json_node_new(JSON_NODE_OBJECT);
    json_node_set_object(node, reply);
    return json_to_string(node, FALSE);
}
