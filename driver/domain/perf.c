/* perf.c - what the processors and the kernel count for a guest: <perf>, virDomainGetPerfEvents,
 * virDomainSetPerfEvents, and the group perf of bulk statistics.
 *
 * Linux perf_event_open(2). Each thread that the process has is counted by itself, with those that
 * it starts later; a counter is their sum. The events of Intel's cache monitoring (cmt, mbmt, mbml)
 * have left Linux in version 4.14.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/domain/attach.h"
#include "util/error.h"

struct DomainPerf {
    GMutex lock;
    GArray *fds[DOMAIN_PERF_EVENTS]; /* int, of each thread; NULL: off */
};

typedef struct {
    const char *name;
    int type; /* perf_type_id; -1: gone from Linux */
    uint64_t config;
} PerfEvent;
static const PerfEvent events[DOMAIN_PERF_EVENTS];

const char *
domain_perf_name(unsigned event)
{
    return event < DOMAIN_PERF_EVENTS ? events[event].name : NULL;
}

/* -1: none such. */
static int
find_event(const char *name)
{
    for (int i = 0; i < DOMAIN_PERF_EVENTS; i++)
        if (strcmp(events[i].name, name) == 0)
            return i;
    return -1;
}

/* --- counters --------------------------------------------------------------------------------- */

DomainPerf *
domain_perf_new(void)
{
    DomainPerf *perf = g_new0(DomainPerf, 1);

    g_mutex_init(&perf->lock);
    return perf;
}

static void
close_fd(void *fd)
{
    close(*(int *)fd);
}

static void
perf_off(DomainPerf *perf, int event)
{
    g_mutex_lock(&perf->lock);
    g_clear_pointer(&perf->fds[event], g_array_unref);
    g_mutex_unlock(&perf->lock);
}

void
domain_perf_free(DomainPerf *perf)
{
    if (!perf)
        return;
    for (int i = 0; i < DOMAIN_PERF_EVENTS; i++)
        perf_off(perf, i);
    g_mutex_clear(&perf->lock);
    g_free(perf);
}

static bool
perf_is_on(DomainPerf *perf, int event)
{
    bool on;

    g_mutex_lock(&perf->lock);
    on = perf->fds[event] != NULL;
    g_mutex_unlock(&perf->lock);
    return on;
}

static bool
perf_on(DomainPerf *perf, int event, pid_t pid, GError **err)
{
    struct perf_event_attr attr = {
        .type = (uint32_t)events[event].type,
        .size = sizeof attr,
        .config = events[event].config,
        .inherit = 1,
    };
    g_autofree char *path = g_strdup_printf("/proc/%d/task", (int)pid);
    g_autoptr(GDir) tasks = NULL;
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    const char *task;

    if (perf_is_on(perf, event))
        return true;
    if (events[event].type < 0)
        return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                              "unable to enable host cpu perf event for %s: Linux no longer has it",
                              events[event].name);
    g_array_set_clear_func(fds, close_fd);
    tasks = g_dir_open(path, 0, NULL);
    while (tasks && (task = g_dir_read_name(tasks))) {
        int fd = (int)syscall(SYS_perf_event_open, &attr, atoi(task), -1, -1, PERF_FLAG_FD_CLOEXEC);

        if (fd < 0 && errno == ESRCH)
            continue; /* the thread has ended meanwhile */
        if (fd < 0)
            return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                        "unable to open host cpu perf event for %s",
                                        events[event].name);
        g_array_append_val(fds, fd);
    }
    g_mutex_lock(&perf->lock);
    if (!perf->fds[event])
        perf->fds[event] = g_steal_pointer(&fds);
    g_mutex_unlock(&perf->lock);
    return true;
}

/* False when it is off. */
static bool
perf_read(DomainPerf *perf, int event, uint64_t *ret)
{
    bool on;

    *ret = 0;
    g_mutex_lock(&perf->lock);
    on = perf->fds[event] != NULL;
    for (guint i = 0; on && i < perf->fds[event]->len; i++) {
        uint64_t value;

        if (read(g_array_index(perf->fds[event], int, i), &value, sizeof value) == sizeof value)
            *ret += value;
    }
    g_mutex_unlock(&perf->lock);
    return on;
}

/* --- definitions ------------------------------------------------------------------------------ */

static DomainPerfEvent *
find_in(const DomainDef *def, const char *name)
{
    for (guint i = 0; i < def->perf_events->len; i++) {
        DomainPerfEvent *event = def->perf_events->pdata[i];

        if (strcmp(event->name, name) == 0)
            return event;
    }
    return NULL;
}

static gint
compare(gconstpointer a, gconstpointer b)
{
    const DomainPerfEvent *const *one = a, *const *two = b;

    return find_event((*one)->name) - find_event((*two)->name);
}

static bool
note(DomainDef *def, const DomainDef *live, void *opaque, GError **err)
{
    const int *wanted = opaque;

    (void)live;
    (void)err;
    for (int i = 0; i < DOMAIN_PERF_EVENTS; i++) {
        DomainPerfEvent *event = find_in(def, events[i].name);

        if (wanted[i] < 0)
            continue;
        if (!event) {
            event = g_new0(DomainPerfEvent, 1);
            event->name = g_strdup(events[i].name);
            g_ptr_array_add(def->perf_events, event);
        }
        event->enabled = wanted[i] ? TRISTATE_ON : TRISTATE_OFF;
    }
    g_ptr_array_sort(def->perf_events, compare);
    return true;
}

bool
domain_perf_start(DomainRun *run, const DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->perf_events->len; i++) {
        const DomainPerfEvent *event = def->perf_events->pdata[i];
        int index = find_event(event->name);

        if (event->enabled != TRISTATE_ON)
            continue;
        if (index < 0)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "perf event '%s' is not supported by Kiln", event->name);
        if (!perf_on(run->perf, index, run->process.pid, err))
            return false;
    }
    return true;
}

/* --- calls ------------------------------------------------------------------------------------ */

bool
domain_perf_events(Domain *domain, unsigned flags, bool ret[DOMAIN_PERF_EVENTS], GError **err)
{
    const DomainDef *def;

    g_mutex_lock(&domain->lock);
    def = domain_impact_def(domain, flags, err);
    for (int i = 0; def && i < DOMAIN_PERF_EVENTS; i++) {
        const DomainPerfEvent *event = find_in(def, events[i].name);

        ret[i] = event && event->enabled == TRISTATE_ON;
    }
    g_mutex_unlock(&domain->lock);
    return def != NULL;
}

static bool
apply(DomainRun *run, DomainDef *live, void *opaque, GError **err)
{
    const int *wanted = opaque;
    bool was[DOMAIN_PERF_EVENTS], ok = true;

    for (int i = 0; i < DOMAIN_PERF_EVENTS; i++)
        was[i] = perf_is_on(run->perf, i);
    for (int i = 0; ok && i < DOMAIN_PERF_EVENTS; i++)
        ok = wanted[i] != 1 || perf_on(run->perf, i, run->process.pid, err);
    for (int i = 0; i < DOMAIN_PERF_EVENTS; i++)
        if (ok ? wanted[i] == 0 : !was[i])
            perf_off(run->perf, i);
    return ok && note(live, NULL, opaque, err);
}

static const DomainTuning perf_change = { "perf events", note, apply, NULL };

bool
domain_set_perf_events(Domain *domain, const int wanted[DOMAIN_PERF_EVENTS], unsigned flags,
                       GError **err)
{
    return domain_tune(domain, &perf_change, (void *)wanted, flags, err);
}

void
domain_perf_stats(Domain *domain, DomainPerfTake take, void *opaque)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, NULL);
    uint64_t value;

    for (int i = 0; run && i < DOMAIN_PERF_EVENTS; i++)
        if (perf_read(run->perf, i, &value))
            take(opaque, events[i].name, value);
}

/* libvirt's names, in its order. */
static const PerfEvent events[DOMAIN_PERF_EVENTS] = {
    { "cmt", -1, 0 },
    { "mbmt", -1, 0 },
    { "mbml", -1, 0 },
    { "cpu_cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES },
    { "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS },
    { "cache_references", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_REFERENCES },
    { "cache_misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES },
    { "branch_instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_INSTRUCTIONS },
    { "branch_misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES },
    { "bus_cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BUS_CYCLES },
    { "stalled_cycles_frontend", PERF_TYPE_HARDWARE, PERF_COUNT_HW_STALLED_CYCLES_FRONTEND },
    { "stalled_cycles_backend", PERF_TYPE_HARDWARE, PERF_COUNT_HW_STALLED_CYCLES_BACKEND },
    { "ref_cpu_cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_REF_CPU_CYCLES },
    { "cpu_clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK },
    { "task_clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK },
    { "page_faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS },
    { "context_switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES },
    { "cpu_migrations", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS },
    { "page_faults_min", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MIN },
    { "page_faults_maj", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MAJ },
    { "alignment_faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_ALIGNMENT_FAULTS },
    { "emulation_faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_EMULATION_FAULTS },
};
