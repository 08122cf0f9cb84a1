/* tune.c - where a guest's threads run and how much they may: <vcpu cpuset>, <cputune>, <numatune>.
 *
 * libvirt formatdomain "CPU Tuning", "NUMA Node Tuning". Memory policies are set by the VMM itself
 * (memory-backend host-nodes, policy); here the control group backs them up where it can.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/tune.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "xml/xmltab.h"

enum { TUNE_DEFAULT_PERIOD = 100000 };

static const char *
pin_of(const GPtrArray *pins, uint64_t id)
{
    for (guint i = 0; i < pins->len; i++) {
        const DomainPin *pin = pins->pdata[i];

        if (pin->id == id)
            return pin->cpuset;
    }
    return NULL;
}

const char *
domain_tune_vcpu_cpus(const DomainDef *def, unsigned index)
{
    const char *cpus = def->cputune ? pin_of(def->cputune->vcpupins, index) : NULL;

    return cpus ? cpus : def->vcpu_cpuset;
}

const char *
domain_tune_iothread_cpus(const DomainDef *def, unsigned id)
{
    const char *cpus = def->cputune ? pin_of(def->cputune->iothreadpins, id) : NULL;

    return cpus ? cpus : def->vcpu_cpuset;
}

const char *
domain_tune_emulator_cpus(const DomainDef *def)
{
    return def->cputune && def->cputune->emulatorpin ? def->cputune->emulatorpin : def->vcpu_cpuset;
}

static cpu_set_t *
cpu_set_of(const char *cpus, size_t *ret_size)
{
    g_autoptr(GArray) numbers = xml_cpuset_numbers(cpus);
    unsigned top = numbers->len > 0 ? g_array_index(numbers, unsigned, numbers->len - 1) : 0;
    cpu_set_t *set = CPU_ALLOC(top + 1);

    *ret_size = CPU_ALLOC_SIZE(top + 1);
    CPU_ZERO_S(*ret_size, set);
    for (guint i = 0; i < numbers->len; i++)
        CPU_SET_S(g_array_index(numbers, unsigned, i), *ret_size, set);
    return set;
}

cpu_set_t *
domain_tune_initial_cpus(const DomainDef *def, size_t *ret_size)
{
    const char *cpus = domain_tune_emulator_cpus(def);

    return cpus ? cpu_set_of(cpus, ret_size) : NULL;
}

bool
domain_tune_bind(pid_t tid, const char *cpus, GError **err)
{
    g_autofree char *all = NULL;
    cpu_set_t *set;
    size_t size;
    bool ok;

    if (!cpus) {
        long n = sysconf(_SC_NPROCESSORS_CONF);

        cpus = all = g_strdup_printf("0-%ld", MAX(n, 1) - 1);
    }
    set = cpu_set_of(cpus, &size);
    ok = sched_setaffinity(tid, size, set) == 0 ||
         kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                              "cannot bind thread %d to host CPUs '%s'", (int)tid, cpus);
    CPU_FREE(set);
    return ok;
}

/* --- the group -------------------------------------------------------------------------------- */

static bool
has_quota(int64_t quota)
{
    return quota != XML_UNSET_INT && quota > 0;
}

static bool
needs_group(const DomainDef *def)
{
    const DomainCputune *tune = def->cputune;

    if (def->memtune || def->blkiotune)
        return true;
    return tune &&
           (tune->shares != XML_UNSET || has_quota(tune->global_quota) || has_quota(tune->quota) ||
            has_quota(tune->emulator_quota) || has_quota(tune->iothread_quota));
}

static uint64_t
period_or_default(uint64_t period)
{
    return period == XML_UNSET ? TUNE_DEFAULT_PERIOD : period;
}

bool
domain_tune_group(DomainRun *run, const DomainDef *def, GError **err)
{
    CgroupHost *host = run->domain->manager->cgroups;
    const DomainCputune *tune = def->cputune;
    g_autofree char *name = g_strdup_printf("%d-%s", run->id, def->name);
    GError *failure = NULL;

    run->cgroup = cgroup_create(host, name, &failure);
    if (failure && needs_group(def)) {
        g_propagate_error(err, failure);
        return false;
    }
    g_clear_error(&failure); /* nothing asks for the group: the guest runs without */
    if (tune && tune->shares != XML_UNSET && !cgroup_set_shares(run->cgroup, tune->shares, err))
        return false;
    if (tune && has_quota(tune->global_quota) &&
        !cgroup_set_quota(run->cgroup, NULL, period_or_default(tune->global_period),
                          tune->global_quota, err))
        return false;
    if (!domain_tune_resources(run, def, err))
        return false;
    /* the VMM binds memory by itself in the other modes; this one is for the group alone */
    if (def->numatune && def->numatune->nodeset &&
        (def->numatune->mode == DOMAIN_NUMA_RESTRICTIVE ||
         (def->numatune->mode == DOMAIN_NUMA_STRICT && cgroup_host_has(host, CGROUP_CPUSET))) &&
        !cgroup_set_mems(run->cgroup, def->numatune->nodeset, err))
        return false;
    return true;
}

/* --- threads ---------------------------------------------------------------------------------- */

static bool
schedule(pid_t tid, const GPtrArray *scheds, uint64_t id, GError **err)
{
    static const int policies[] = { SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_FIFO, SCHED_RR };

    for (guint i = 0; scheds && i < scheds->len; i++) {
        const DomainSched *sched = scheds->pdata[i];
        struct sched_param param = { 0 };

        if (sched->ids && !xml_cpuset_has(sched->ids, id))
            continue;
        if (sched->scheduler >= 3 && sched->priority != XML_UNSET)
            param.sched_priority = sched->priority;
        if (sched_setscheduler(tid, policies[sched->scheduler], &param) < 0)
            return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                        "cannot set the scheduler of thread %d", (int)tid);
    }
    return true;
}

static bool
limit(DomainRun *run, const char *sub, uint64_t period, int64_t quota, pid_t tid, GError **err)
{
    return !has_quota(quota) ||
           (cgroup_set_quota(run->cgroup, sub, period_or_default(period), quota, err) &&
            cgroup_add_thread(run->cgroup, sub, tid, err));
}

static bool
tune_vcpu(DomainRun *run, const DomainDef *def, unsigned index, pid_t tid, GError **err)
{
    const DomainCputune *tune = def->cputune;
    g_autofree char *sub = g_strdup_printf("vcpu%u", index);
    const char *cpus = domain_tune_vcpu_cpus(def, index);

    /* threads begin where the process was put, which may not be where they belong */
    if ((cpus || domain_tune_emulator_cpus(def)) && !domain_tune_bind(tid, cpus, err))
        return false;
    return !tune || (schedule(tid, tune->vcpuscheds, index, err) &&
                     limit(run, sub, tune->period, tune->quota, tid, err));
}

static bool
tune_iothread(DomainRun *run, const DomainDef *def, const DomainRunThread *thread, GError **err)
{
    const DomainCputune *tune = def->cputune;
    g_autofree char *sub = g_strdup_printf("iothread%u", thread->id);
    const char *cpus = domain_tune_iothread_cpus(def, thread->id);

    if ((cpus || domain_tune_emulator_cpus(def)) && !domain_tune_bind(thread->tid, cpus, err))
        return false;
    return !tune ||
           (schedule(thread->tid, tune->iothreadscheds, thread->id, err) &&
            limit(run, sub, tune->iothread_period, tune->iothread_quota, thread->tid, err));
}

bool
domain_tune_vcpu(DomainRun *run, const DomainDef *def, unsigned index, GError **err)
{
    pid_t tid = index < run->vcpu_tids->len ? g_array_index(run->vcpu_tids, pid_t, index) : 0;

    return tid == 0 || tune_vcpu(run, def, index, tid, err);
}

bool
domain_tune_iothread(DomainRun *run, const DomainDef *def, unsigned id, GError **err)
{
    for (guint i = 0; i < run->iothreads->len; i++) {
        const DomainRunThread *thread = &g_array_index(run->iothreads, DomainRunThread, i);

        if (thread->id == id)
            return tune_iothread(run, def, thread, err);
    }
    return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the VMM has no I/O thread %u", id);
}

bool
domain_tune_threads(DomainRun *run, const DomainDef *def, GError **err)
{
    const DomainCputune *tune = def->cputune;

    for (guint i = 0; i < run->vcpu_tids->len; i++)
        if (!domain_tune_vcpu(run, def, i, err))
            return false;
    for (guint i = 0; i < run->iothreads->len; i++)
        if (!tune_iothread(run, def, &g_array_index(run->iothreads, DomainRunThread, i), err))
            return false;
    if (!tune)
        return true;
    if (tune->emulatorsched) {
        g_autoptr(GPtrArray) one = g_ptr_array_new();

        g_ptr_array_add(one, tune->emulatorsched);
        if (!schedule(run->process.pid, one, 0, err))
            return false;
    }
    return limit(run, "emulator", tune->emulator_period, tune->emulator_quota, run->process.pid,
                 err);
}

/* As limit(), which may also take one away. */
static bool
limit_again(DomainRun *run, const char *sub, uint64_t period, int64_t quota, pid_t tid,
            GError **err)
{
    return cgroup_set_quota(run->cgroup, sub, period_or_default(period),
                            has_quota(quota) ? quota : -1, err) &&
           (tid == 0 || cgroup_add_thread(run->cgroup, sub, tid, err));
}

static bool
is_wanted(const DomainSchedule *wanted, DomainCpuLimit which)
{
    return wanted->period[which] != XML_UNSET || wanted->quota[which] != XML_UNSET_INT;
}

bool
domain_tune_limits(DomainRun *run, const DomainDef *def, const DomainSchedule *wanted, GError **err)
{
    const DomainCputune *tune = def->cputune;

    if (wanted->shares != XML_UNSET && !cgroup_set_shares(run->cgroup, tune->shares, err))
        return false;
    if (is_wanted(wanted, DOMAIN_CPU_LIMIT_GLOBAL) &&
        !limit_again(run, NULL, tune->global_period, tune->global_quota, 0, err))
        return false;
    for (guint i = 0; is_wanted(wanted, DOMAIN_CPU_LIMIT_VCPU) && i < run->vcpu_tids->len; i++) {
        g_autofree char *sub = g_strdup_printf("vcpu%u", i);
        pid_t tid = g_array_index(run->vcpu_tids, pid_t, i);

        if (tid != 0 && !limit_again(run, sub, tune->period, tune->quota, tid, err))
            return false;
    }
    for (guint i = 0; is_wanted(wanted, DOMAIN_CPU_LIMIT_IOTHREAD) && i < run->iothreads->len;
         i++) {
        const DomainRunThread *thread = &g_array_index(run->iothreads, DomainRunThread, i);
        g_autofree char *sub = g_strdup_printf("iothread%u", thread->id);

        if (!limit_again(run, sub, tune->iothread_period, tune->iothread_quota, thread->tid, err))
            return false;
    }
    return !is_wanted(wanted, DOMAIN_CPU_LIMIT_EMULATOR) ||
           limit_again(run, "emulator", tune->emulator_period, tune->emulator_quota,
                       run->process.pid, err);
}
