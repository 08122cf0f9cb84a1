/* progress.c - how far a job of a domain that moves the guest's memory has come, and its end before
 * time (virDomainGetJobInfo, virDomainAbortJob).
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
    domain->progress = (DomainProgress){ .operation = operation, .begun = g_get_monotonic_time() };
    g_mutex_unlock(&domain->lock);
}

static uint64_t
member(JsonObject *object, const char *name)
{
    return (uint64_t)MAX(0, object ? json_object_get_int_member_with_default(object, name, 0) : 0);
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
    domain->progress.total = member(ram, "total");
    domain->progress.processed = member(ram, "transferred");
    domain->progress.remaining = member(ram, "remaining");
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
    domain->progress = (DomainProgress){ .operation = 0 };
    g_mutex_unlock(&domain->lock);
    return done > 0;
}

bool
domain_job_progress(Domain *domain, DomainJobProgress *ret, GError **err)
{
    bool active;

    g_mutex_lock(&domain->lock);
    active = domain->live != NULL;
    *ret = (DomainJobProgress){ .operation = domain->progress.operation,
                                .total = domain->progress.total,
                                .processed = domain->progress.processed,
                                .remaining = domain->progress.remaining };
    if (ret->operation)
        ret->elapsed_ms = (uint64_t)(g_get_monotonic_time() - domain->progress.begun) / 1000;
    g_mutex_unlock(&domain->lock);
    return active || kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
}

bool
domain_job_abort(Domain *domain, GError **err)
{
    bool active, can;

    g_mutex_lock(&domain->lock);
    active = domain->live != NULL;
    can = domain->progress.operation == VIR_DOMAIN_JOB_OPERATION_SAVE ||
          domain->progress.operation == VIR_DOMAIN_JOB_OPERATION_SNAPSHOT ||
          domain->progress.operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT;
    if (can)
        domain->progress.cancel = true;
    g_mutex_unlock(&domain->lock);
    if (!active)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    return can || kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "no job is active on the domain");
}
