/* vcpu.c - a guest's processors: how many, where they run, where they may run.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/tune.h"
#include "util/error.h"

int
domain_vcpu_count(Domain *domain, unsigned flags, GError **err)
{
    const DomainDef *def;
    int count = -1;

    if (flags & VIR_DOMAIN_VCPU_GUEST) {
        if ((flags & VIR_DOMAIN_VCPU_CONFIG) || !domain_is_active(domain)) {
            kiln_error_set(err, VIR_ERR_INVALID_ARG,
                           "VIR_DOMAIN_VCPU_GUEST is about a running guest");
            return -1;
        }
        return domain_guest_vcpu_count(domain, flags & VIR_DOMAIN_VCPU_MAXIMUM, err);
    }
    g_mutex_lock(&domain->lock);
    def = domain_impact_def(domain, flags & (VIR_DOMAIN_VCPU_LIVE | VIR_DOMAIN_VCPU_CONFIG), err);
    if (def)
        count = flags & VIR_DOMAIN_VCPU_MAXIMUM ? def->vcpus : domain_def_vcpus_current(def);
    g_mutex_unlock(&domain->lock);
    return count;
}

GArray *
domain_vcpu_infos(Domain *domain, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, NULL);
    g_autoptr(GArray) tids = NULL;
    GArray *infos;

    if (!run) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "cannot list vcpu information for an inactive domain");
        return NULL;
    }
    g_mutex_lock(&domain->lock);
    tids = g_array_ref(run->vcpu_tids);
    g_mutex_unlock(&domain->lock);
    infos = g_array_new(FALSE, FALSE, sizeof(DomainVcpuInfo));
    for (guint i = 0; i < tids->len; i++) {
        pid_t tid = g_array_index(tids, pid_t, i);
        DomainVcpuInfo info = {
            .number = i,
            .state = VIR_VCPU_RUNNING,
            .cpu_time = domain_process_cpu_time(run->process.pid, tid),
            .cpu = domain_process_last_cpu(run->process.pid, tid),
        };

        if (tid != 0)
            domain_process_waits(run->process.pid, tid, &info.wait, &info.delay);
        if (tid != 0)
            g_array_append_val(infos, info);
    }
    return infos;
}

/* --- pins ------------------------------------------------------------------------------------- */

static void
pin_info_free(void *data)
{
    DomainPinInfo *info = data;

    g_free(info->cpus);
    g_free(info);
}

static void
add_pin(GPtrArray *list, unsigned id, const char *cpus)
{
    DomainPinInfo *info = g_new0(DomainPinInfo, 1);

    info->id = id;
    info->cpus = g_strdup(cpus);
    g_ptr_array_add(list, info);
}

GPtrArray *
domain_pins(Domain *domain, DomainPinKind kind, unsigned flags, GError **err)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(pin_info_free);
    const DomainDef *def;

    g_mutex_lock(&domain->lock);
    def = domain_impact_def(domain, flags, err);
    if (def && kind == DOMAIN_PIN_VCPU)
        for (unsigned i = 0; i < def->vcpus; i++)
            add_pin(list, i, domain_tune_vcpu_cpus(def, i));
    else if (def && kind == DOMAIN_PIN_IOTHREAD)
        for (guint i = 0; i < def->iothread_ids->len; i++) {
            unsigned id = ((const DomainIothread *)def->iothread_ids->pdata[i])->id;

            add_pin(list, id, domain_tune_iothread_cpus(def, id));
        }
    else if (def)
        add_pin(list, 0, domain_tune_emulator_cpus(def));
    g_mutex_unlock(&domain->lock);
    return def ? g_steal_pointer(&list) : NULL;
}

typedef struct {
    DomainPinKind kind;
    unsigned id;
    const char *cpus;
} PinChange;

static void
pins_set(GPtrArray *pins, uint64_t id, const char *cpus)
{
    DomainPin *pin = NULL;

    for (guint i = 0; i < pins->len && !pin; i++)
        if (((DomainPin *)pins->pdata[i])->id == id)
            pin = pins->pdata[i];
    if (!pin) {
        pin = g_new0(DomainPin, 1);
        pin->id = id;
        g_ptr_array_add(pins, pin);
    }
    g_free(pin->cpuset);
    pin->cpuset = g_strdup(cpus);
}

static bool
pin_change(DomainDef *def, void *opaque, GError **err)
{
    const PinChange *change = opaque;

    if (change->kind == DOMAIN_PIN_VCPU && change->id >= def->vcpus)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "vcpu %u is out of range of the %" G_GUINT64_FORMAT " of the domain",
                              change->id, def->vcpus);
    if (change->kind == DOMAIN_PIN_IOTHREAD && !domain_def_iothread(def, change->id))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "iothread %u not found", change->id);
    if (!def->cputune)
        def->cputune = xml_type_new(&domain_cputune_type);
    switch (change->kind) {
    case DOMAIN_PIN_VCPU:
        pins_set(def->cputune->vcpupins, change->id, change->cpus);
        break;
    case DOMAIN_PIN_IOTHREAD:
        pins_set(def->cputune->iothreadpins, change->id, change->cpus);
        break;
    case DOMAIN_PIN_EMULATOR:
        g_free(def->cputune->emulatorpin);
        def->cputune->emulatorpin = g_strdup(change->cpus);
        break;
    }
    return true;
}

/* The thread of a running guest; 0 when there is none such. */
static pid_t
pin_thread(const DomainRun *run, const PinChange *change)
{
    switch (change->kind) {
    case DOMAIN_PIN_VCPU:
        return change->id < run->vcpu_tids->len ? g_array_index(run->vcpu_tids, pid_t, change->id)
                                                : 0;
    case DOMAIN_PIN_IOTHREAD:
        for (guint i = 0; i < run->iothreads->len; i++)
            if (g_array_index(run->iothreads, DomainRunThread, i).id == change->id)
                return g_array_index(run->iothreads, DomainRunThread, i).tid;
        return 0;
    default:
        return run->process.pid;
    }
}

static bool
pin_live(Domain *domain, const PinChange *change, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    pid_t tid = run ? pin_thread(run, change) : 0;
    bool offline = false;

    if (!run)
        return false;
    if (tid == 0 && change->kind == DOMAIN_PIN_VCPU) {
        g_mutex_lock(&domain->lock);
        offline = domain->live && change->id < domain->live->vcpus;
        g_mutex_unlock(&domain->lock);
    }
    /* it runs there once it is plugged in */
    if (offline)
        return true;
    if (tid == 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "the running guest has no %s %u",
                              change->kind == DOMAIN_PIN_VCPU ? "vcpu" : "iothread", change->id);
    return domain_tune_bind(tid, change->cpus, err);
}

static void
pin_tell(Domain *domain, const PinChange *change)
{
    g_autofree char *name = change->kind == DOMAIN_PIN_VCPU
                                ? g_strdup_printf(VIR_DOMAIN_TUNABLE_CPU_VCPUPIN, change->id)
                            : change->kind == DOMAIN_PIN_IOTHREAD
                                ? g_strdup_printf(VIR_DOMAIN_TUNABLE_CPU_IOTHREADSPIN, change->id)
                                : g_strdup(VIR_DOMAIN_TUNABLE_CPU_EMULATORPIN);

    domain_event_tunable(domain, &(DomainParam){ name, .text = change->cpus }, 1);
}

bool
domain_pin(Domain *domain, DomainPinKind kind, unsigned id, const char *cpus, unsigned flags,
           GError **err)
{
    PinChange change = { kind, id, cpus };
    bool ok;

    if (!*cpus)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "the map of host CPUs is empty");
    if (!domain_job_begin(domain, "pin", err))
        return false;
    g_mutex_lock(&domain->lock);
    ok = domain_impact(domain, &flags, err);
    g_mutex_unlock(&domain->lock);
    ok = ok && (!(flags & VIR_DOMAIN_AFFECT_LIVE) || pin_live(domain, &change, err)) &&
         domain_impact_apply(domain, flags, pin_change, &change, err);
    if (ok && (flags & VIR_DOMAIN_AFFECT_LIVE))
        pin_tell(domain, &change);
    domain_job_end(domain);
    return ok;
}
