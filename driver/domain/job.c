/* job.c - one change at a time for a domain, in order of arrival; and the run's reference count.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <unistd.h>

#include "driver/domain/agent.h"
#include "driver/domain/perf.h"
#include "util/error.h"

struct DomainJobWaiter {
    GCond turn;
};

/* Called with the lock held. */
static void
job_pass_on(Domain *domain)
{
    DomainJobWaiter *next = g_queue_peek_head(&domain->job_waiters);

    if (next && !domain->job)
        g_cond_signal(&next->turn);
}

static bool
job_wait(Domain *domain, gint64 deadline, GError **err)
{
    DomainJobWaiter self;
    bool ok = true;

    g_cond_init(&self.turn);
    g_queue_push_tail(&domain->job_waiters, &self);
    while (ok && (domain->job || g_queue_peek_head(&domain->job_waiters) != &self)) {
        if (deadline < 0)
            g_cond_wait(&self.turn, &domain->lock);
        else if (!g_cond_wait_until(&self.turn, &domain->lock, deadline))
            ok = false;
    }
    g_queue_remove(&domain->job_waiters, &self);
    if (!ok) {
        kiln_error_set(err, VIR_ERR_OPERATION_TIMEOUT,
                       "cannot acquire state change lock (held by %s of domain '%s')",
                       domain->job ? domain->job : "nothing", domain->name);
        job_pass_on(domain);
    }
    g_cond_clear(&self.turn);
    return ok;
}

static bool
job_begin(Domain *domain, const char *name, gint64 deadline, GError **err)
{
    bool ok;

    g_mutex_lock(&domain->lock);
    ok = job_wait(domain, deadline, err);
    if (ok && domain->removed && deadline >= 0) {
        job_pass_on(domain);
        ok = kiln_error_set(err, VIR_ERR_NO_DOMAIN, "domain '%s' has been removed", domain->name);
    } else if (ok) {
        domain->job = name;
        domain->job_since = g_get_monotonic_time();
    }
    g_mutex_unlock(&domain->lock);
    return ok;
}

bool
domain_job_begin(Domain *domain, const char *name, GError **err)
{
    return job_begin(domain, name,
                     g_get_monotonic_time() + DOMAIN_JOB_SECONDS * (gint64)G_USEC_PER_SEC, err);
}

void
domain_job_begin_wait(Domain *domain, const char *name)
{
    job_begin(domain, name, -1, NULL);
}

void
domain_job_end(Domain *domain)
{
    g_mutex_lock(&domain->lock);
    domain->job = NULL;
    job_pass_on(domain);
    g_mutex_unlock(&domain->lock);
}

int
domain_control_state(Domain *domain, unsigned *ret_details, uint64_t *ret_ms, GError **err)
{
    int state = VIR_DOMAIN_CONTROL_OK;
    uint64_t ms = 0;
    bool active;

    g_mutex_lock(&domain->lock);
    active = domain->live != NULL;
    if (active && domain->job) {
        state = VIR_DOMAIN_CONTROL_JOB;
        ms = (g_get_monotonic_time() - domain->job_since) / 1000;
    }
    g_mutex_unlock(&domain->lock);
    if (!active) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
        return -1;
    }
    *ret_details = 0;
    *ret_ms = ms;
    return state;
}

DomainRun *
domain_run_ref(DomainRun *run)
{
    g_atomic_int_inc(&run->refs);
    return run;
}

static void
port_free(void *data)
{
    DomainPort *port = data;

    g_free(port->source);
    g_free(port->portgroup);
    g_free(port->ifname);
    g_free(port->domain_name);
    g_free(port);
}

static void
close_master(void *data)
{
    close(*(int *)data);
}

void
domain_run_unref(DomainRun *run)
{
    if (!run || !g_atomic_int_dec_and_test(&run->refs))
        return;
    if (run->qmp)
        qmp_close(run->qmp);
    qmp_unref(run->qmp);
    domain_process_clear(&run->process);
    g_free(run->monitor_path);
    g_free(run->log_path);
    g_array_unref(run->vcpu_tids);
    g_array_unref(run->iothreads);
    g_ptr_array_unref(run->gone);
    g_ptr_array_unref(run->kept);
    g_ptr_array_unref(run->block_events);
    g_cond_clear(&run->unplugged);
    g_ptr_array_unref(run->ports);
    g_ptr_array_unref(run->sockets);
    g_array_unref(run->masters);
    cgroup_free(run->cgroup);
    domain_perf_free(run->perf);
    domain_agent_free(run->agent);
    domain_unref(run->domain);
    g_free(run);
}

DomainRun *
domain_run_new(Domain *domain)
{
    DomainRun *run = g_new0(DomainRun, 1);

    run->refs = 1;
    run->domain = domain_ref(domain);
    domain_process_init(&run->process);
    run->perf = domain_perf_new();
    run->agent = domain_agent_new();
    run->vcpu_tids = g_array_new(FALSE, TRUE, sizeof(pid_t));
    run->iothreads = g_array_new(FALSE, TRUE, sizeof(DomainRunThread));
    run->gone = g_ptr_array_new_with_free_func(g_free);
    run->kept = g_ptr_array_new_with_free_func(g_free);
    run->block_events = g_ptr_array_new_with_free_func(g_free);
    g_cond_init(&run->unplugged);
    run->ports = g_ptr_array_new_with_free_func(port_free);
    run->sockets = g_ptr_array_new_with_free_func(g_free);
    run->masters = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_set_clear_func(run->masters, close_master);
    run->stop_reason = VIR_DOMAIN_SHUTOFF_CRASHED;
    run->stop_detail = VIR_DOMAIN_EVENT_STOPPED_FAILED;
    return run;
}

DomainRun *
domain_run_get(Domain *domain, GError **err)
{
    DomainRun *run = NULL;

    g_mutex_lock(&domain->lock);
    if (domain->live)
        run = domain_run_ref(domain->run);
    g_mutex_unlock(&domain->lock);
    if (!run)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    return run;
}
