/* progress.c - how far a job of a domain that moves the guest's memory has come, its end before
 * time, and what is told of it when it is done (virDomainGetJobStats, virDomainAbortJob).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/private.h"
#include "util/error.h"

enum { FOLLOW_FIRST_MS = 5, FOLLOW_MOST_MS = 100 };

void
domain_job_report(Domain *domain, int operation)
{
    g_mutex_lock(&domain->lock);
    domain->progress =
        (DomainProgress){ .now.operation = operation, .begun = g_get_monotonic_time() };
    domain->finished = (DomainJobProgress){ .operation = 0 };
    g_mutex_unlock(&domain->lock);
}

/* With the state lock held. */
static uint64_t
elapsed_ms(const DomainProgress *progress)
{
    return (uint64_t)(g_get_monotonic_time() - progress->begun) / 1000;
}

/* With the state lock held: nothing is kept of a job that failed, and of a start. */
static void
progress_end(Domain *domain, bool done)
{
    domain->finished = (DomainJobProgress){ .operation = 0 };
    if (done && domain->progress.now.operation != VIR_DOMAIN_JOB_OPERATION_RESTORE) {
        domain->finished = domain->progress.now;
        domain->finished.completed = true;
        domain->finished.elapsed_ms = elapsed_ms(&domain->progress);
    }
    domain->progress = (DomainProgress){ .begun = 0 };
}

void
domain_job_done(Domain *domain, uint64_t bytes)
{
    g_mutex_lock(&domain->lock);
    domain->progress.now.total = domain->progress.now.processed = bytes;
    progress_end(domain, bytes > 0);
    g_mutex_unlock(&domain->lock);
}

void
domain_job_tell(Domain *domain)
{
    DomainJobProgress job;

    domain_job_finished(domain, true, &job);
    if (job.operation)
        domain_event_job(domain, &job);
}

void
domain_job_finished(Domain *domain, bool keep, DomainJobProgress *ret)
{
    g_mutex_lock(&domain->lock);
    *ret = domain->finished;
    if (!keep)
        domain->finished = (DomainJobProgress){ .operation = 0 };
    g_mutex_unlock(&domain->lock);
}

static uint64_t
member(JsonObject *object, const char *name)
{
    return (uint64_t)MAX(0, object ? json_object_get_int_member_with_default(object, name, 0) : 0);
}

/* With the state lock held: what query-migrate says, of which "ram" is @ram. */
static void
progress_read(DomainJobProgress *now, JsonObject *answer, JsonObject *ram)
{
    double mbps = ram ? json_object_get_double_member_with_default(ram, "mbps", 0) : 0;

    now->total = member(ram, "total");
    now->processed = member(ram, "transferred");
    now->remaining = member(ram, "remaining");
    now->bps = mbps > 0 && mbps < 1e12 ? (uint64_t)(mbps * 1e6 / 8) : 0;
    now->constant = member(ram, "duplicate");
    now->normal = member(ram, "normal");
    now->normal_bytes = member(ram, "normal-bytes");
    now->page_size = member(ram, "page-size");
    now->iteration = member(ram, "dirty-sync-count");
    now->stood_still = json_object_has_member(answer, "downtime");
    now->downtime_ms = member(answer, "downtime");
}

/* Notes how far it is; true when somebody wants it to end. */
static bool
progress_note(DomainRun *run, JsonObject *answer)
{
    Domain *domain = run->domain;
    JsonNode *node = json_object_get_member(answer, "ram");
    JsonObject *ram = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    bool cancel, look;
    int reason;

    g_mutex_lock(&domain->lock);
    progress_read(&domain->progress.now, answer, ram);
    cancel = domain->progress.cancel;
    domain->progress.cancel = false;
    look = domain->progress.cancel_on_error;
    g_mutex_unlock(&domain->lock);
    return cancel || (look && domain_monitor_state(run, &reason, NULL) == VIR_DOMAIN_PAUSED &&
                      reason == VIR_DOMAIN_PAUSED_IOERROR);
}

/* What query-migrate says: 0 to go on, 1 done, -1 with @err. */
static int
progress_ask(DomainRun *run, GError **err)
{
    g_autoptr(JsonNode) answer =
        qmp_execute(run->qmp, "query-migrate", NULL, DOMAIN_QMP_SECONDS, err);
    JsonObject *object;
    const char *status, *why;

    if (!answer)
        return -1;
    if (!JSON_NODE_HOLDS_OBJECT(answer)) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "query-migrate did not answer with an object");
        return -1;
    }
    object = json_node_get_object(answer);
    if (progress_note(run, object))
        (void)qmp_command(run->qmp, "migrate_cancel", NULL, DOMAIN_QMP_SECONDS, NULL);
    status = json_object_get_string_member_with_default(object, "status", "");
    why = json_object_get_string_member_with_default(object, "error-desc", NULL);
    if (g_strcmp0(status, "completed") == 0)
        return 1;
    if (g_strcmp0(status, "active") == 0 || g_strcmp0(status, "cancelling") == 0)
        return 0;
    if (g_strcmp0(status, "cancelled") == 0)
        kiln_error_set(err, VIR_ERR_OPERATION_ABORTED, "canceled by client");
    else
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "%s", why ? why : "the VMM does not say why");
    return -1;
}

bool
domain_job_follow(DomainRun *run, GError **err)
{
    Domain *domain = run->domain;
    gulong ms = FOLLOW_FIRST_MS;
    int done;

    while ((done = progress_ask(run, err)) == 0) {
        g_usleep(ms * 1000);
        ms = MIN(ms * 2, (gulong)FOLLOW_MOST_MS);
    }
    g_mutex_lock(&domain->lock);
    progress_end(domain, done > 0);
    g_mutex_unlock(&domain->lock);
    return done > 0;
}

bool
domain_job_progress(Domain *domain, DomainJobProgress *ret, GError **err)
{
    bool active;

    g_mutex_lock(&domain->lock);
    active = domain->live != NULL;
    *ret = domain->progress.now;
    if (ret->operation)
        ret->elapsed_ms = elapsed_ms(&domain->progress);
    g_mutex_unlock(&domain->lock);
    return active || kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
}

bool
domain_job_abort(Domain *domain, GError **err)
{
    bool active, can;
    int operation;

    g_mutex_lock(&domain->lock);
    active = domain->live != NULL;
    operation = domain->progress.now.operation;
    can = operation == VIR_DOMAIN_JOB_OPERATION_SAVE ||
          operation == VIR_DOMAIN_JOB_OPERATION_SNAPSHOT ||
          operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT;
    if (can)
        domain->progress.cancel = true;
    g_mutex_unlock(&domain->lock);
    if (!active)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    if (operation == VIR_DOMAIN_JOB_OPERATION_DUMP)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "cannot abort memory-only dump");
    return can || kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "no job is active on the domain");
}
