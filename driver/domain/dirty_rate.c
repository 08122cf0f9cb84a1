/* dirty_rate.c - how fast a guest writes to its memory (virDomainStartDirtyRateCalc, the group
 * dirtyrate of bulk statistics), as the VMM measures it by samples of pages.
 *
 * Leaves out the modes of the dirty bitmap and the dirty ring.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/private.h"
#include "driver/domain/qmp_answer.h"
#include "util/error.h"

enum { SECONDS_MIN = 1, SECONDS_MAX = 60 };

void
domain_dirty_rate_ordered(DomainRun *run)
{
    g_mutex_lock(&run->domain->lock);
    run->rate_orders++;
    g_mutex_unlock(&run->domain->lock);
}

bool
domain_start_dirty_rate(Domain *domain, int seconds, unsigned flags, GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    JsonObject *arguments;
    bool ok;

    if (seconds < SECONDS_MIN || seconds > SECONDS_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "seconds=%d is invalid, please choose value within [%d, %d].",
                              seconds, SECONDS_MIN, SECONDS_MAX);
    if (flags != VIR_DOMAIN_DIRTYRATE_MODE_PAGE_SAMPLING)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "only page-sampling is a mode of calculation that is supported");
    if (!domain_job_begin(domain, "dirty rate", err))
        return false;
    run = domain_run_get(domain, err);
    if (run) {
        arguments = json_object_new();
        json_object_set_int_member(arguments, "calc-time", seconds);
    }
    if (run)
        domain_dirty_rate_ordered(run);
    ok = run && qmp_command(run->qmp, "calc-dirty-rate", arguments, DOMAIN_QMP_SECONDS, err);
    domain_job_end(domain);
    return ok;
}

bool
domain_dirty_rate(Domain *domain, DomainDirtyRate *ret, GError **err)
{
    static const char *const states[] = {
        [VIR_DOMAIN_DIRTYRATE_UNSTARTED] = "unstarted",
        [VIR_DOMAIN_DIRTYRATE_MEASURING] = "measuring",
        [VIR_DOMAIN_DIRTYRATE_MEASURED] = "measured",
    };
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autoptr(JsonNode) answer = NULL;
    JsonObject *info;
    unsigned orders;
    bool unstarted;

    if (!run)
        return false;
    g_mutex_lock(&domain->lock);
    orders = run->rate_orders;
    unstarted = run->rate_unstarted == orders + 1;
    g_mutex_unlock(&domain->lock);
    /* bulk statistics ask of every guest, and hardly any has ever been measured */
    if (unstarted) {
        *ret = (DomainDirtyRate){ .status = VIR_DOMAIN_DIRTYRATE_UNSTARTED };
        return true;
    }
    answer = qmp_execute(run->qmp, "query-dirty-rate", NULL, DOMAIN_QMP_SECONDS, err);
    if (!answer)
        return false;
    info = JSON_NODE_HOLDS_OBJECT(answer) ? json_node_get_object(answer) : NULL;
    *ret = (DomainDirtyRate){
        .status = -1,
        .begun = qmp_number(info, "start-time"),
        .seconds = (int)qmp_number(info, "calc-time"),
        .mib_per_second = qmp_number(info, "dirty-rate"),
    };
    for (int i = 0; i < (int)G_N_ELEMENTS(states); i++)
        if (strcmp(qmp_text(info, "status"), states[i]) == 0)
            ret->status = i;
    if (ret->status == VIR_DOMAIN_DIRTYRATE_UNSTARTED) {
        g_mutex_lock(&domain->lock);
        run->rate_unstarted = orders + 1;
        g_mutex_unlock(&domain->lock);
    }
    return ret->status >= 0 || kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                                              "the VMM's answer to query-dirty-rate is malformed");
}
