/* vcpu_plug.c - changing how many processors a guest has, and which: in its definition, and in the
 * running guest by QMP device_add and device_del.
 *
 * libvirt: virDomainSetVcpusFlags, virDomainSetVcpu; formatdomain "CPU Allocation". Left out:
 * asking the guest agent.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/tune.h"
#include "driver/domain/vcpu_plug.h"
#include "util/error.h"
#include "xml/xmltab.h"

enum { UNPLUG_TRIES = 100, UNPLUG_TRY_MS = 100 };

/* What a call wants. */
typedef struct {
    const GArray *ids; /* unsigned: these; NULL: as many as @count */
    unsigned count;
    bool online;       /* of @ids */
    bool hotpluggable; /* those that are added to a definition can go again while the guest runs */
    bool maximum;
} VcpuChange;

void
domain_vcpu_place(const DomainDef *def, unsigned index, DomainVcpuPlace *ret)
{
    const DomainTopology *t = def->cpu ? def->cpu->topology : NULL;
    unsigned threads = t ? (unsigned)t->threads : 1, cores = t ? (unsigned)t->cores : 1;
    unsigned dies = t && t->dies != XML_UNSET ? (unsigned)t->dies : 1;

    *ret = (DomainVcpuPlace){
        .thread = index % threads,
        .core = index / threads % cores,
        .die = index / threads / cores % dies,
        .socket = index / threads / cores / dies,
    };
}

char *
domain_vcpu_driver(const DomainDef *def)
{
    const DomainCpu *cpu = def->cpu;

    return g_strdup_printf(
        "%s-x86_64-cpu", cpu && cpu->mode == DOMAIN_CPU_CUSTOM && cpu->model ? cpu->model : "host");
}

/* --- definitions ------------------------------------------------------------------------------ */

/* Names every processor in <vcpus>, so that single ones can be told apart. */
static void
list_vcpus(DomainDef *def)
{
    GPtrArray *list = g_ptr_array_new();

    for (unsigned i = 0; i < def->vcpus; i++) {
        DomainVcpu *vcpu = g_new0(DomainVcpu, 1);

        domain_def_vcpu(def, i, vcpu);
        g_ptr_array_add(list, vcpu);
    }
    for (guint i = 0; i < def->vcpu_list->len; i++)
        g_free(def->vcpu_list->pdata[i]);
    g_ptr_array_set_size(def->vcpu_list, 0);
    for (guint i = 0; i < list->len; i++)
        g_ptr_array_add(def->vcpu_list, list->pdata[i]);
    g_ptr_array_unref(list);
}

static void
count_vcpus(DomainDef *def)
{
    unsigned on = 0;

    for (guint i = 0; i < def->vcpu_list->len; i++)
        on += ((const DomainVcpu *)def->vcpu_list->pdata[i])->enabled == TRISTATE_ON;
    def->vcpus_current = on == def->vcpus ? XML_UNSET : on;
}

static bool
change_maximum(DomainDef *def, unsigned count, GError **err)
{
    const DomainTopology *t = def->cpu ? def->cpu->topology : NULL;

    if (t && t->sockets * (t->dies == XML_UNSET ? 1 : t->dies) * t->cores * t->threads != count)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "CPU topology doesn't match the desired vcpu count");
    for (guint i = 0; def->cpu && def->cpu->numa && i < def->cpu->numa->cells->len; i++) {
        const DomainNumaCell *cell = def->cpu->numa->cells->pdata[i];
        g_autoptr(GArray) cpus = xml_cpuset_numbers(cell->cpus ? cell->cpus : "");

        if (cpus->len > 0 && g_array_index(cpus, unsigned, cpus->len - 1) >= count)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "number of vCPUs of the NUMA cells is more than %u", count);
    }
    for (guint i = def->vcpu_list->len; i > 0; i--)
        if (((const DomainVcpu *)def->vcpu_list->pdata[i - 1])->id >= count)
            g_free(g_ptr_array_steal_index(def->vcpu_list, i - 1));
    if (def->vcpus_current == XML_UNSET && def->vcpus < count)
        def->vcpus_current = def->vcpus;
    def->vcpus = count;
    if (def->vcpus_current != XML_UNSET && def->vcpus_current >= count)
        def->vcpus_current = XML_UNSET;
    if (def->vcpu_list->len) {
        list_vcpus(def);
        count_vcpus(def);
    }
    return true;
}

/* Orders of those that are on say nothing any more. */
static void
set_online(DomainDef *def, unsigned index, bool online, bool hotpluggable)
{
    DomainVcpu *vcpu = def->vcpu_list->pdata[index];

    vcpu->enabled = online ? TRISTATE_ON : TRISTATE_OFF;
    vcpu->order = XML_UNSET;
    if (hotpluggable || !online)
        vcpu->hotpluggable = TRISTATE_ON;
}

static bool
change_count(DomainDef *def, const VcpuChange *change, GError **err)
{
    unsigned on = domain_def_vcpus_current(def);

    if (change->count > def->vcpus)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "requested vcpus is greater than max allowable vcpus for the "
                              "persistent domain: %u > %" G_GUINT64_FORMAT,
                              change->count, def->vcpus);
    if (def->vcpu_list->len == 0 && !change->hotpluggable) {
        def->vcpus_current = change->count == def->vcpus ? XML_UNSET : change->count;
        return true;
    }
    list_vcpus(def);
    for (unsigned i = 0; i < def->vcpus && on < change->count; i++)
        if (((const DomainVcpu *)def->vcpu_list->pdata[i])->enabled != TRISTATE_ON) {
            set_online(def, i, true, change->hotpluggable);
            on++;
        }
    for (unsigned i = (unsigned)def->vcpus; i-- > 1 && on > change->count;)
        if (((const DomainVcpu *)def->vcpu_list->pdata[i])->enabled == TRISTATE_ON) {
            set_online(def, i, false, false);
            on--;
        }
    count_vcpus(def);
    return true;
}

static bool
change_config(DomainDef *def, void *opaque, GError **err)
{
    const VcpuChange *change = opaque;

    if (change->maximum)
        return change_maximum(def, change->count, err);
    if (!change->ids)
        return change_count(def, change, err);
    list_vcpus(def);
    for (guint i = 0; i < change->ids->len; i++) {
        unsigned id = g_array_index(change->ids, unsigned, i);

        if (id >= def->vcpus)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "requested vcpu '%u' is not present in the domain", id);
        if (id == 0)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "vCPU '0' can't be modified");
        set_online(def, id, change->online, true);
    }
    count_vcpus(def);
    return true;
}

/* --- the running guest ------------------------------------------------------------------------ */

typedef struct {
    unsigned id;
    bool online;
} VcpuNow;

static bool
change_live(DomainDef *def, void *opaque, GError **err)
{
    const VcpuNow *now = opaque;

    (void)err;
    list_vcpus(def);
    if (now->id < def->vcpus)
        set_online(def, now->id, now->online, true);
    domain_live_number_vcpus(def);
    count_vcpus(def);
    return true;
}

static bool
note_live(Domain *domain, unsigned id, bool online, GError **err)
{
    VcpuNow now = { id, online };

    return domain_impact_apply(domain, VIR_DOMAIN_AFFECT_LIVE, change_live, &now, err);
}

static bool
plug(Domain *domain, DomainRun *run, unsigned id, GError **err)
{
    JsonObject *arguments = json_object_new();
    g_autofree char *alias = g_strdup_printf("vcpu%u", id), *type = NULL;
    g_autoptr(DomainDef) def = NULL;
    DomainVcpuPlace place;

    g_mutex_lock(&domain->lock);
    type = domain_vcpu_driver(domain->live);
    domain_vcpu_place(domain->live, id, &place);
    g_mutex_unlock(&domain->lock);
    json_object_set_string_member(arguments, "driver", type);
    json_object_set_string_member(arguments, "id", alias);
    json_object_set_int_member(arguments, "socket-id", place.socket);
    json_object_set_int_member(arguments, "die-id", place.die);
    json_object_set_int_member(arguments, "core-id", place.core);
    json_object_set_int_member(arguments, "thread-id", place.thread);
    if (!qmp_command(run->qmp, "device_add", arguments, DOMAIN_QMP_SECONDS, err) ||
        !note_live(domain, id, true, err) || !domain_monitor_vcpus(run, err))
        return false;
    g_mutex_lock(&domain->lock);
    def = domain_def_copy(domain->live);
    g_mutex_unlock(&domain->lock);
    return domain_tune_vcpu(run, def, id, err);
}

static bool
is_there(DomainRun *run, unsigned id)
{
    bool there;

    g_mutex_lock(&run->domain->lock);
    there = id < run->vcpu_tids->len && g_array_index(run->vcpu_tids, pid_t, id) != 0;
    g_mutex_unlock(&run->domain->lock);
    return there;
}

/* The guest may take its time, or not answer at all. */
static bool
unplug(Domain *domain, DomainRun *run, unsigned id, GError **err)
{
    JsonObject *arguments = json_object_new();
    g_autofree char *alias = g_strdup_printf("vcpu%u", id);

    json_object_set_string_member(arguments, "id", alias);
    if (!qmp_command(run->qmp, "device_del", arguments, DOMAIN_QMP_SECONDS, err))
        return false;
    for (unsigned i = 0; i < UNPLUG_TRIES; i++) {
        if (!domain_monitor_vcpus(run, err))
            return false;
        if (!is_there(run, id))
            return note_live(domain, id, false, err);
        g_usleep(UNPLUG_TRY_MS * 1000);
    }
    return kiln_error_set(err, VIR_ERR_OPERATION_TIMEOUT,
                          "vcpu unplug request timed out: the guest has not let go of vcpu %u. "
                          "Unplug result must be manually inspected in the domain",
                          id);
}

/* Puts the live definition in step with a guest that let go of processors after nobody waited. */
static bool
catch_up(Domain *domain, DomainRun *run, GError **err)
{
    unsigned n;

    if (!domain_monitor_vcpus(run, err))
        return false;
    g_mutex_lock(&domain->lock);
    n = (unsigned)domain->live->vcpus;
    g_mutex_unlock(&domain->lock);
    for (unsigned i = 0; i < n; i++) {
        DomainVcpu vcpu = { 0 };

        g_mutex_lock(&domain->lock);
        domain_def_vcpu(domain->live, i, &vcpu);
        g_mutex_unlock(&domain->lock);
        if ((vcpu.enabled == TRISTATE_ON) != is_there(run, i) &&
            !note_live(domain, i, is_there(run, i), err))
            return false;
    }
    return true;
}

void
domain_vcpus_catch_up(DomainRun *run)
{
    Domain *domain = run->domain;
    g_autoptr(GError) err = NULL;
    bool current;

    domain_job_begin_wait(domain, "the end of a processor");
    g_mutex_lock(&domain->lock);
    current = domain->run == run && domain->live;
    g_mutex_unlock(&domain->lock);
    if (current && !catch_up(domain, run, &err))
        domain_manager_warn(domain->manager, "domain '%s': %s", domain->name, err->message);
    domain_job_end(domain);
}

/* Which ones have to come or go; unsigned each. */
static GArray *
choose(const DomainDef *def, const VcpuChange *change, bool *ret_online, GError **err)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(unsigned));
    unsigned on = domain_def_vcpus_current(def), want = change->count;
    DomainVcpu vcpu;

    if (want > def->vcpus) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "requested vcpus is greater than max allowable vcpus for the live domain: "
                       "%u > %" G_GUINT64_FORMAT,
                       want, def->vcpus);
        return NULL;
    }
    *ret_online = want > on;
    for (unsigned i = 0; i < def->vcpus && on < want; i++) {
        domain_def_vcpu(def, i, &vcpu);
        if (vcpu.enabled != TRISTATE_ON) {
            g_array_append_val(ids, i);
            on++;
        }
    }
    for (unsigned i = (unsigned)def->vcpus; i-- > 0 && on > want;) {
        domain_def_vcpu(def, i, &vcpu);
        if (vcpu.enabled == TRISTATE_ON && vcpu.hotpluggable == TRISTATE_ON && i > 0) {
            g_array_append_val(ids, i);
            on--;
        }
    }
    if (on == want)
        return g_steal_pointer(&ids);
    kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                   "failed to find appropriate hotpluggable vcpus to reach the desired target vcpu "
                   "count");
    return NULL;
}

static bool
check_ids(const DomainDef *def, const VcpuChange *change, GError **err)
{
    for (guint i = 0; i < change->ids->len; i++) {
        unsigned id = g_array_index(change->ids, unsigned, i);
        DomainVcpu vcpu;

        if (id >= def->vcpus)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "requested vcpu '%u' is not present in the domain", id);
        domain_def_vcpu(def, id, &vcpu);
        if ((vcpu.enabled == TRISTATE_ON) == change->online)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "vcpu '%u' is already in requested state", id);
        if (id == 0 || vcpu.hotpluggable != TRISTATE_ON)
            return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                                  "vcpu '%u' can't be hotunplugged", id);
    }
    return true;
}

static bool
set_live(Domain *domain, const VcpuChange *change, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autoptr(GArray) chosen = NULL;
    const GArray *ids = change->ids;
    bool online = change->online, ok;

    if (!run || !catch_up(domain, run, err))
        return false;
    g_mutex_lock(&domain->lock);
    if (ids)
        ok = check_ids(domain->live, change, err);
    else
        ok = (ids = chosen = choose(domain->live, change, &online, err)) != NULL;
    g_mutex_unlock(&domain->lock);
    for (guint i = 0; ok && i < ids->len; i++) {
        unsigned id = g_array_index(ids, unsigned, i);

        ok = online ? plug(domain, run, id, err) : unplug(domain, run, id, err);
    }
    return ok;
}

/* --- calls ------------------------------------------------------------------------------------ */

static bool
set_both(Domain *domain, VcpuChange *change, unsigned flags, GError **err)
{
    bool ok;

    if (!domain_job_begin(domain, "vcpus", err))
        return false;
    g_mutex_lock(&domain->lock);
    ok = domain_impact(domain, &flags, err);
    g_mutex_unlock(&domain->lock);
    if (ok && change->maximum && (flags & VIR_DOMAIN_AFFECT_LIVE))
        ok = kiln_error_set(err, VIR_ERR_INVALID_ARG,
                            "maximum vcpu count of a live domain can't be modified");
    ok = ok && (!(flags & VIR_DOMAIN_AFFECT_LIVE) || set_live(domain, change, err)) &&
         (!(flags & VIR_DOMAIN_AFFECT_CONFIG) ||
          domain_impact_apply(domain, VIR_DOMAIN_AFFECT_CONFIG, change_config, change, err));
    domain_job_end(domain);
    return ok;
}

bool
domain_set_vcpus(Domain *domain, unsigned count, unsigned flags, GError **err)
{
    VcpuChange change = {
        .count = count,
        .maximum = flags & VIR_DOMAIN_VCPU_MAXIMUM,
        .hotpluggable = flags & VIR_DOMAIN_VCPU_HOTPLUGGABLE,
    };

    if (count == 0 || count > UINT16_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "argument out of range: %u vcpus", count);
    if (flags & VIR_DOMAIN_VCPU_GUEST)
        return flags & (VIR_DOMAIN_VCPU_CONFIG | VIR_DOMAIN_VCPU_MAXIMUM)
                   ? kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                    "VIR_DOMAIN_VCPU_GUEST is about the vCPUs of a running guest")
                   : domain_set_guest_vcpu_count(domain, count, err);
    return set_both(domain, &change, flags & (VIR_DOMAIN_VCPU_LIVE | VIR_DOMAIN_VCPU_CONFIG), err);
}

bool
domain_set_vcpu(Domain *domain, const char *map, int state, unsigned flags, GError **err)
{
    g_autofree char *canonical = NULL;
    g_autoptr(GArray) ids = NULL;
    VcpuChange change = { .online = state != 0 };

    if (state != 0 && state != 1)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unsupported state value");
    canonical = xml_cpuset_canonical(map, UINT16_MAX, err);
    if (!canonical)
        return false;
    ids = xml_cpuset_numbers(canonical);
    if (ids->len == 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "no vcpus selected for modification");
    change.ids = ids;
    return set_both(domain, &change, flags, err);
}
