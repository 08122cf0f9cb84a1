/* domain_block.c - the calls about images of running guests: sizes, block jobs, and how far an
 * image may fill before clients hear of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

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
    if (args->size > (uint64_t)INT64_MAX / (bytes ? 1 : KIB))
        return kiln_error_set(err, VIR_ERR_OVERFLOW, "size must be less than %llu",
                              (unsigned long long)INT64_MAX / (bytes ? 1 : KIB));
    return domain_block_resize(call->domain, args->path, bytes ? args->size : args->size * KIB,
                               err);
}

bool
call_domain_set_block_threshold(Call *call, const DomainBlockResizeArgs *args, WireVoid *ret,
                                GError **err)
{
    (void)ret;
    if (args->size > INT64_MAX)
        return kiln_error_set(err, VIR_ERR_OVERFLOW, "threshold must be less than %llu",
                              (unsigned long long)INT64_MAX);
    return domain_set_block_threshold(call->domain, args->path, args->size, err);
}

bool
call_domain_block_pull(Call *call, const DomainBlockSpeedArgs *args, WireVoid *ret, GError **err)
{
    uint64_t bandwidth = 0;

    (void)ret;
    return bandwidth_bytes(args->bandwidth, args->flags & VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES,
                           &bandwidth, err) &&
           domain_block_pull(call->domain, args->path, NULL, bandwidth, false, err);
}

/* The older form of virDomainBlockCopy(). */
static bool
rebase_copy(Call *call, const DomainBlockRebaseArgs *args, GError **err)
{
    const unsigned flags = VIR_DOMAIN_BLOCK_REBASE_COPY | VIR_DOMAIN_BLOCK_REBASE_COPY_RAW |
                           VIR_DOMAIN_BLOCK_REBASE_COPY_DEV | VIR_DOMAIN_BLOCK_REBASE_SHALLOW |
                           VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT |
                           VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES;
    DomainBlockCopy how = {
        .dest = args->base ? *args->base : NULL,
        .block = args->flags & VIR_DOMAIN_BLOCK_REBASE_COPY_DEV,
        .raw = args->flags & VIR_DOMAIN_BLOCK_REBASE_COPY_RAW,
    };

    if (args->flags & VIR_DOMAIN_BLOCK_REBASE_SHALLOW)
        how.flags |= VIR_DOMAIN_BLOCK_COPY_SHALLOW;
    if (args->flags & VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT)
        how.flags |= VIR_DOMAIN_BLOCK_COPY_REUSE_EXT;
    if (!how.dest)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "a copy wants a destination");
    return call_check_flags(args->flags, flags, "virDomainBlockRebase", err) &&
           bandwidth_bytes(args->bandwidth, args->flags & VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES,
                           &how.bandwidth, err) &&
           domain_block_copy(call->domain, args->path, &how, err);
}

bool
call_domain_block_copy(Call *call, const DomainBlockCopyArgs *args, WireVoid *ret, GError **err)
{
    DomainBlockCopy how = { .xml = args->destxml, .flags = args->flags };

    (void)ret;
    for (guint i = 0; i < args->params.params_len; i++) {
        const WireTypedParam *param = &args->params.params_val[i];
        const WireTypedValue *value = &param->value;

        if (strcmp(param->field, VIR_DOMAIN_BLOCK_COPY_BANDWIDTH) == 0 &&
            value->type == VIR_TYPED_PARAM_ULLONG)
            how.bandwidth = value->WireTypedValue_u.ul;
        else if (strcmp(param->field, VIR_DOMAIN_BLOCK_COPY_GRANULARITY) == 0 &&
                 value->type == VIR_TYPED_PARAM_UINT)
            how.granularity = value->WireTypedValue_u.ui;
        else if (strcmp(param->field, VIR_DOMAIN_BLOCK_COPY_BUF_SIZE) != 0)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "parameter '%s' is unknown, or has a value of a wrong type",
                                  param->field);
    }
    return domain_block_copy(call->domain, args->path, &how, err);
}

bool
call_domain_block_rebase(Call *call, const DomainBlockRebaseArgs *args, WireVoid *ret, GError **err)
{
    const unsigned of_copies = VIR_DOMAIN_BLOCK_REBASE_SHALLOW | VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT |
                               VIR_DOMAIN_BLOCK_REBASE_COPY_RAW | VIR_DOMAIN_BLOCK_REBASE_COPY_DEV;
    uint64_t bandwidth = 0;

    (void)ret;
    if (args->flags & VIR_DOMAIN_BLOCK_REBASE_COPY)
        return rebase_copy(call, args, err);
    if (args->flags & of_copies)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "use of flags requires a copy job");
    return bandwidth_bytes(args->bandwidth, args->flags & VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES,
                           &bandwidth, err) &&
           domain_block_pull(call->domain, args->path, args->base ? *args->base : NULL, bandwidth,
                             args->flags & VIR_DOMAIN_BLOCK_REBASE_RELATIVE, err);
}

bool
call_domain_block_commit(Call *call, const DomainBlockCommitArgs *args, WireVoid *ret, GError **err)
{
    uint64_t bandwidth = 0;

    (void)ret;
    return bandwidth_bytes(args->bandwidth, args->flags & VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES,
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

    if (!domain_block_job_info(call->domain, args->path, &job, &found, err))
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
    return domain_block_job_abort(call->domain, args->path, args->flags, err);
}

bool
call_domain_block_job_set_speed(Call *call, const DomainBlockSpeedArgs *args, WireVoid *ret,
                                GError **err)
{
    uint64_t bandwidth = 0;

    (void)ret;
    return bandwidth_bytes(args->bandwidth,
                           args->flags & VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES, &bandwidth,
                           err) &&
           domain_block_job_speed(call->domain, args->path, bandwidth, err);
}
