/* domain_job.c - the calls about the job that moves a guest's memory, and about the last that did.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"

WireParams *
domain_reply_job(const DomainJobProgress *job)
{
    WireParams *params = wire_params_new();

    wire_params_add_int(params, VIR_DOMAIN_JOB_OPERATION, job->operation);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_TIME_ELAPSED, job->elapsed_ms);
    if (job->stood_still)
        wire_params_add_ullong(params, VIR_DOMAIN_JOB_DOWNTIME, job->downtime_ms);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_DATA_TOTAL, job->total);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_DATA_PROCESSED, job->processed);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_DATA_REMAINING, job->remaining);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_MEMORY_TOTAL, job->total);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_MEMORY_PROCESSED, job->processed);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_MEMORY_REMAINING, job->remaining);
    if (job->page_size == 0)
        return params;
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_MEMORY_BPS, job->bps);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_MEMORY_CONSTANT, job->constant);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_MEMORY_NORMAL, job->normal);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_MEMORY_NORMAL_BYTES, job->normal_bytes);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_MEMORY_ITERATION, job->iteration);
    wire_params_add_ullong(params, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, job->page_size);
    return params;
}

bool
call_domain_get_job_info(Call *call, const DomainArgs *args, DomainGetJobInfoRet *ret, GError **err)
{
    DomainJobProgress progress;

    (void)args;
    ret->type = VIR_DOMAIN_JOB_NONE;
    if (!domain_job_progress(call->domain, &progress, err))
        return false;
    if (!progress.operation)
        return true;
    ret->type = VIR_DOMAIN_JOB_UNBOUNDED;
    ret->time_elapsed = progress.elapsed_ms;
    ret->data_total = ret->mem_total = progress.total;
    ret->data_processed = ret->mem_processed = progress.processed;
    ret->data_remaining = ret->mem_remaining = progress.remaining;
    return true;
}

bool
call_domain_get_job_stats(Call *call, const DomainFlagsArgs *args, DomainGetJobStatsRet *ret,
                          GError **err)
{
    DomainJobProgress job;

    ret->type = VIR_DOMAIN_JOB_NONE;
    if (args->flags & VIR_DOMAIN_JOB_STATS_COMPLETED)
        domain_job_finished(call->domain, args->flags & VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED, &job);
    else if (!domain_job_progress(call->domain, &job, err))
        return false;
    if (!job.operation)
        return true;
    ret->type = job.completed ? VIR_DOMAIN_JOB_COMPLETED : VIR_DOMAIN_JOB_UNBOUNDED;
    wire_params_steal(domain_reply_job(&job), &ret->params.params_len, &ret->params.params_val);
    return true;
}

bool
call_domain_abort_job(Call *call, const DomainArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return domain_job_abort(call->domain, err);
}

bool
call_domain_abort_job_flags(Call *call, const DomainFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    if (args->flags & VIR_DOMAIN_ABORT_JOB_POSTCOPY)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "current job is not outgoing migration in post-copy mode");
    return domain_job_abort(call->domain, err);
}
