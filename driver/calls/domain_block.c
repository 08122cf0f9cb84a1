/* domain_block.c - the calls about images of running guests: sizes and block jobs.
 *
 * Left out: virDomainBlockCopy and the copying form of virDomainBlockRebase, relative names
 * (RELATIVE), deleting what was committed (DELETE).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"
#include "util/error.h"

enum { MIB = 1 << 20, KIB = 1 << 10 };

/* A bandwidth of the API, MiB a second unless @bytes, in bytes. */
static bool
bandwidth_bytes(uint64_t given, bool bytes, uint64_t *ret, GError **err)
{
    if (given > (uint64_t)INT64_MAX / (bytes ? 1 : MIB))
        return kiln_error_set(err, VIR_ERR_OVERFLOW, "bandwidth must be less than %llu",
                              (unsigned long long)INT64_MAX / (bytes ? 1 : MIB));
    *ret = bytes ? given : given * MIB;
    return true;
}

bool
call_domain_block_resize(Call *call, const DomainBlockResizeArgs *args, WireVoid *ret, GError **err)
{
    bool bytes = args->flags & VIR_DOMAIN_BLOCK_RESIZE_BYTES;

    (void)ret;
    if (!call_check_flags(args->flags, VIR_DOMAIN_BLOCK_RESIZE_BYTES, "virDomainBlockResize", err))
        return false;
    if (args->size > (uint64_t)INT64_MAX / (bytes ? 1 : KIB))
        return kiln_error_set(err, VIR_ERR_OVERFLOW, "size must be less than %llu",
                              (unsigned long long)INT64_MAX / (bytes ? 1 : KIB));
    return domain_block_resize(call->domain, args->path, bytes ? args->size : args->size * KIB,
                               err);
}

bool
call_domain_block_pull(Call *call, const DomainBlockSpeedArgs *args, WireVoid *ret, GError **err)
{
    uint64_t bandwidth = 0;

    (void)ret;
    return call_check_flags(args->flags, VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES,
                            "virDomainBlockPull", err) &&
           bandwidth_bytes(args->bandwidth, args->flags & VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES,
                           &bandwidth, err) &&
           domain_block_pull(call->domain, args->path, NULL, bandwidth, err);
}

bool
call_domain_block_rebase(Call *call, const DomainBlockRebaseArgs *args, WireVoid *ret, GError **err)
{
    uint64_t bandwidth = 0;

    (void)ret;
    if (args->flags & VIR_DOMAIN_BLOCK_REBASE_COPY)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "copying a running guest's disk is not offered");
    return call_check_flags(args->flags, VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES,
                            "virDomainBlockRebase", err) &&
           bandwidth_bytes(args->bandwidth, args->flags & VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES,
                           &bandwidth, err) &&
           domain_block_pull(call->domain, args->path, args->base ? *args->base : NULL, bandwidth,
                             err);
}

bool
call_domain_block_commit(Call *call, const DomainBlockCommitArgs *args, WireVoid *ret, GError **err)
{
    const unsigned flags = VIR_DOMAIN_BLOCK_COMMIT_SHALLOW | VIR_DOMAIN_BLOCK_COMMIT_ACTIVE |
                           VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES;
    uint64_t bandwidth = 0;

    (void)ret;
    return call_check_flags(args->flags, flags, "virDomainBlockCommit", err) &&
           bandwidth_bytes(args->bandwidth, args->flags & VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES,
                           &bandwidth, err) &&
           domain_block_commit(call->domain, args->path, args->base ? *args->base : NULL,
                               args->top ? *args->top : NULL, bandwidth, args->flags, err);
}

bool
call_domain_get_block_job_info(Call *call, const DomainPathFlagsArgs *args,
                               DomainGetBlockJobInfoRet *ret, GError **err)
{
    bool bytes = args->flags & VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES, found = false;
    DomainBlockJob job = { 0 };

    if (!call_check_flags(args->flags, VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES,
                          "virDomainGetBlockJobInfo", err) ||
        !domain_block_job_info(call->domain, args->path, &job, &found, err))
        return false;
    *ret = (DomainGetBlockJobInfoRet){
        .found = found,
        .type = job.type,
        .bandwidth = bytes ? job.bandwidth : (job.bandwidth + MIB - 1) / MIB,
        .cur = job.cur,
        .end = job.end,
    };
    return true;
}

bool
call_domain_block_job_abort(Call *call, const DomainPathFlagsArgs *args, WireVoid *ret,
                            GError **err)
{
    (void)ret;
    return call_check_flags(args->flags,
                            VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC | VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT,
                            "virDomainBlockJobAbort", err) &&
           domain_block_job_abort(call->domain, args->path, args->flags, err);
}

bool
call_domain_block_job_set_speed(Call *call, const DomainBlockSpeedArgs *args, WireVoid *ret,
                                GError **err)
{
    uint64_t bandwidth = 0;

    (void)ret;
    return call_check_flags(args->flags, VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES,
                            "virDomainBlockJobSetSpeed", err) &&
           bandwidth_bytes(args->bandwidth,
                           args->flags & VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES, &bandwidth,
                           err) &&
           domain_block_job_speed(call->domain, args->path, bandwidth, err);
}
