/* update_tuning.c - changing what a guest may use of the host: processor time, and bandwidth of its
 * interfaces (virDomainSetSchedulerParametersFlags, virDomainSetInterfaceParameters).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/attach.h"
#include "driver/domain/tune.h"
#include "driver/domain/update.h"
#include "util/error.h"

/* libvirt's limits, which are the kernel's. */
enum { PERIOD_MIN = 1000, PERIOD_MAX = 1000000, QUOTA_MIN = 1000, SHARES_MIN = 2 };
enum { SHARES_MAX = 262144 };
#define QUOTA_MAX ((int64_t)(UINT64_MAX >> 11))

/* --- processor time --------------------------------------------------------------------------- */

static bool
check_schedule(const DomainSchedule *wanted, GError **err)
{
    if (wanted->shares != XML_UNSET && (wanted->shares < SHARES_MIN || wanted->shares > SHARES_MAX))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "shares '%" G_GUINT64_FORMAT "' must be in range [%d, %d]",
                              wanted->shares, SHARES_MIN, SHARES_MAX);
    for (int i = 0; i < DOMAIN_CPU_LIMITS; i++) {
        uint64_t period = wanted->period[i];
        int64_t quota = wanted->quota[i];

        if (period != XML_UNSET && period != 0 && (period < PERIOD_MIN || period > PERIOD_MAX))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "value of period '%" G_GUINT64_FORMAT
                                  "' is out of range: [%d, %d]",
                                  period, PERIOD_MIN, PERIOD_MAX);
        if (quota != XML_UNSET_INT && quota > 0 && (quota < QUOTA_MIN || quota > QUOTA_MAX))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "value of quota '%" G_GINT64_FORMAT
                                  "' is out of range: [%d, %" G_GINT64_FORMAT "]",
                                  quota, QUOTA_MIN, QUOTA_MAX);
    }
    return true;
}

static void
schedule_note(DomainDef *def, const DomainSchedule *wanted)
{
    DomainCputune *tune =
        def->cputune ? def->cputune : (def->cputune = xml_type_new(&domain_cputune_type));
    uint64_t *periods[DOMAIN_CPU_LIMITS] = {
        [DOMAIN_CPU_LIMIT_VCPU] = &tune->period,
        [DOMAIN_CPU_LIMIT_EMULATOR] = &tune->emulator_period,
        [DOMAIN_CPU_LIMIT_GLOBAL] = &tune->global_period,
        [DOMAIN_CPU_LIMIT_IOTHREAD] = &tune->iothread_period,
    };
    int64_t *quotas[DOMAIN_CPU_LIMITS] = {
        [DOMAIN_CPU_LIMIT_VCPU] = &tune->quota,
        [DOMAIN_CPU_LIMIT_EMULATOR] = &tune->emulator_quota,
        [DOMAIN_CPU_LIMIT_GLOBAL] = &tune->global_quota,
        [DOMAIN_CPU_LIMIT_IOTHREAD] = &tune->iothread_quota,
    };

    if (wanted->shares != XML_UNSET)
        tune->shares = wanted->shares;
    for (int i = 0; i < DOMAIN_CPU_LIMITS; i++) {
        if (wanted->period[i] != XML_UNSET)
            *periods[i] = wanted->period[i] ? wanted->period[i] : XML_UNSET;
        if (wanted->quota[i] != XML_UNSET_INT)
            *quotas[i] = wanted->quota[i] ? wanted->quota[i] : XML_UNSET_INT;
    }
}

static bool
schedule_note_config(DomainDef *config, const DomainDef *live, void *wanted, GError **err)
{
    (void)live, (void)err;
    schedule_note(config, wanted);
    return true;
}

static bool
schedule_apply(DomainRun *run, DomainDef *live, void *wanted, GError **err)
{
    schedule_note(live, wanted);
    return domain_tune_limits(run, live, wanted, err);
}

static void
schedule_tell(Domain *domain, void *opaque)
{
    static const struct {
        const char *period, *quota;
    } names[DOMAIN_CPU_LIMITS] = {
        [DOMAIN_CPU_LIMIT_VCPU] = { VIR_DOMAIN_TUNABLE_CPU_VCPU_PERIOD,
                                    VIR_DOMAIN_TUNABLE_CPU_VCPU_QUOTA },
        [DOMAIN_CPU_LIMIT_EMULATOR] = { VIR_DOMAIN_TUNABLE_CPU_EMULATOR_PERIOD,
                                        VIR_DOMAIN_TUNABLE_CPU_EMULATOR_QUOTA },
        [DOMAIN_CPU_LIMIT_GLOBAL] = { VIR_DOMAIN_TUNABLE_CPU_GLOBAL_PERIOD,
                                      VIR_DOMAIN_TUNABLE_CPU_GLOBAL_QUOTA },
        [DOMAIN_CPU_LIMIT_IOTHREAD] = { VIR_DOMAIN_TUNABLE_CPU_IOTHREAD_PERIOD,
                                        VIR_DOMAIN_TUNABLE_CPU_IOTHREAD_QUOTA },
    };
    const DomainSchedule *wanted = opaque;
    DomainParam params[1 + 2 * DOMAIN_CPU_LIMITS];
    unsigned n = 0;

    if (wanted->shares != XML_UNSET)
        params[n++] = (DomainParam){ VIR_DOMAIN_TUNABLE_CPU_CPU_SHARES, .value = wanted->shares };
    for (int i = 0; i < DOMAIN_CPU_LIMITS; i++) {
        if (wanted->period[i] != XML_UNSET)
            params[n++] = (DomainParam){ names[i].period, .value = wanted->period[i] };
        if (wanted->quota[i] != XML_UNSET_INT)
            params[n++] = (DomainParam){ names[i].quota, .value = (uint64_t)wanted->quota[i],
                                         .negative = true };
    }
    if (n > 0)
        domain_event_tunable(domain, params, n);
}

static const DomainTuning schedule_change = { "scheduler", schedule_note_config, schedule_apply,
                                              schedule_tell };

bool
domain_set_schedule(Domain *domain, const DomainSchedule *wanted, unsigned flags, GError **err)
{
    return domain_can_schedule(domain, err) && check_schedule(wanted, err) &&
           domain_tune(domain, &schedule_change, (void *)wanted, flags, err);
}

/* --- bandwidth -------------------------------------------------------------------------------- */

/* The interface with MAC address or tap @name. */
static DomainInterface *
find_interface(const DomainDef *def, const char *name)
{
    for (guint i = 0; def && i < def->interfaces->len; i++) {
        DomainInterface *net = def->interfaces->pdata[i];

        if (g_strcmp0(net->ifname, name) == 0 || g_ascii_strcasecmp(net->mac, name) == 0)
            return net;
    }
    return NULL;
}

static bool
no_interface(const char *name, GError **err)
{
    return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Can't find device %s", name);
}

static void
limit_get(const DomainBandwidth *bandwidth, DomainLimit *ret)
{
    *ret = (DomainLimit){ 0 };
    if (!bandwidth)
        return;
    ret->given = true;
    ret->average = bandwidth->average == XML_UNSET ? 0 : bandwidth->average;
    ret->peak = bandwidth->peak == XML_UNSET ? 0 : bandwidth->peak;
    ret->burst = bandwidth->burst == XML_UNSET ? 0 : bandwidth->burst;
    ret->floor = bandwidth->floor == XML_UNSET ? 0 : bandwidth->floor;
}

bool
domain_interface_limits(Domain *domain, const char *name, unsigned flags, DomainLimits *ret,
                        GError **err)
{
    const DomainDef *def;
    const DomainInterface *net = NULL;

    g_mutex_lock(&domain->lock);
    def = domain_impact_def(domain, flags, err);
    if (def && !(net = find_interface(def, name)))
        no_interface(name, err);
    if (net) {
        limit_get(net->inbound, &ret->inbound);
        limit_get(net->outbound, &ret->outbound);
    }
    g_mutex_unlock(&domain->lock);
    return net != NULL;
}

static void
limit_set(DomainBandwidth **bandwidth, const DomainLimit *limit)
{
    if (!limit->given)
        return;
    xml_type_free(&domain_bandwidth_type, *bandwidth);
    *bandwidth = NULL;
    if (!limit->average && !limit->floor)
        return;
    *bandwidth = xml_type_new(&domain_bandwidth_type);
    (*bandwidth)->average = limit->average ? limit->average : XML_UNSET;
    (*bandwidth)->peak = limit->peak ? limit->peak : XML_UNSET;
    (*bandwidth)->burst = limit->burst ? limit->burst : XML_UNSET;
    (*bandwidth)->floor = limit->floor ? limit->floor : XML_UNSET;
}

static void
limits_note(DomainInterface *net, const DomainLimits *limits)
{
    limit_set(&net->inbound, &limits->inbound);
    limit_set(&net->outbound, &limits->outbound);
}

/* A definition that had them could not be started. */
static bool
can_limit(const DomainInterface *net, GError **err)
{
    return net->type != DOMAIN_NET_USER ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "bandwidth of interface '%s' cannot be limited: it has user networking; "
                          "use an interface of a network or a bridge",
                          net->mac);
}

typedef struct {
    const char *name;
    const DomainLimits *limits;
} WantedLimits;

static bool
limits_note_config(DomainDef *config, const DomainDef *live, void *opaque, GError **err)
{
    const WantedLimits *wanted = opaque;
    const DomainInterface *now = live ? find_interface(live, wanted->name) : NULL;
    DomainInterface *net = find_interface(config, now ? now->mac : wanted->name);

    if (!net)
        return no_interface(wanted->name, err);
    if (!can_limit(net, err))
        return false;
    limits_note(net, wanted->limits);
    return true;
}

static bool
limits_apply(DomainRun *run, DomainDef *live, void *opaque, GError **err)
{
    const WantedLimits *wanted = opaque;
    DomainInterface *net = find_interface(live, wanted->name), *before;
    bool ok;

    (void)run;
    if (!net)
        return no_interface(wanted->name, err);
    if (!can_limit(net, err))
        return false;
    before = xml_type_copy(&domain_interface_type, net);
    limits_note(net, wanted->limits);
    ok = domain_bandwidth_set(net, err);
    if (!ok && net->ifname)
        domain_bandwidth_set(before, NULL);
    xml_type_free(&domain_interface_type, before);
    return ok;
}

static const DomainTuning limits_change = { "bandwidth", limits_note_config, limits_apply, NULL };

bool
domain_set_interface_limits(Domain *domain, const char *name, const DomainLimits *limits,
                            unsigned flags, GError **err)
{
    WantedLimits wanted = { name, limits };

    if ((limits->inbound.peak || limits->inbound.burst) && !limits->inbound.average &&
        !limits->inbound.floor)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "inbound peak and burst need an average or floor");
    if ((limits->outbound.peak || limits->outbound.burst) && !limits->outbound.average)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "outbound peak and burst need an average");
    return domain_tune(domain, &limits_change, &wanted, flags, err);
}
