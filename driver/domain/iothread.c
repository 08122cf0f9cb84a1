/* iothread.c - I/O threads that come, go and change (virDomainAddIOThread, virDomainDelIOThread,
 * virDomainSetIOThreadParams), and what they are like (the group iothread of bulk statistics).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/attach.h"
#include "driver/domain/qmp_answer.h"
#include "driver/domain/tune.h"
#include "util/error.h"

static bool
check_id(unsigned id, GError **err)
{
    return id != 0 ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG, "invalid value of 0 for iothread_id");
}

static DomainIothread *
find(const DomainDef *def, unsigned id, GError **err)
{
    DomainIothread *thread = domain_def_iothread(def, id);

    if (!thread)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "cannot find IOThread '%u' in iothreadids list",
                       id);
    return thread;
}

static JsonObject *
object_named(unsigned id)
{
    g_autofree char *name = g_strdup_printf("iothread%u", id);
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, "id", name);
    return arguments;
}

/* --- coming ----------------------------------------------------------------------------------- */

static bool
add_note(DomainDef *def, const DomainDef *live, void *opaque, GError **err)
{
    unsigned id = *(unsigned *)opaque;
    DomainIothread *thread;

    (void)live;
    if (domain_def_iothread(def, id))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "an IOThread is already using iothread_id '%u'", id);
    thread = xml_type_new(&domain_iothread_type);
    thread->id = id;
    g_ptr_array_add(def->iothread_ids, thread);
    def->iothreads = def->iothread_ids->len;
    return true;
}

static bool
add_apply(DomainRun *run, DomainDef *live, void *opaque, GError **err)
{
    unsigned id = *(unsigned *)opaque;
    JsonObject *arguments;

    if (!add_note(live, NULL, opaque, err))
        return false;
    arguments = object_named(id);
    json_object_set_string_member(arguments, "qom-type", "iothread");
    if (!qmp_command(run->qmp, "object-add", arguments, DOMAIN_QMP_SECONDS, err))
        return false;
    if (domain_monitor_threads(run, err) && domain_tune_iothread(run, live, id, err))
        return true;
    qmp_command(run->qmp, "object-del", object_named(id), DOMAIN_QMP_SECONDS, NULL);
    domain_monitor_threads(run, NULL);
    return false;
}

static const DomainTuning add_change = { "add an I/O thread", add_note, add_apply, NULL };

bool
domain_add_iothread(Domain *domain, unsigned id, unsigned flags, GError **err)
{
    return check_id(id, err) && domain_tune(domain, &add_change, &id, flags, err);
}

/* --- going ------------------------------------------------------------------------------------ */

static bool
check_unused(const DomainDef *def, unsigned id, GError **err)
{
    for (guint i = 0; i < def->disks->len; i++) {
        const DomainDisk *disk = def->disks->pdata[i];

        if (disk->iothread == id)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "cannot remove IOThread %u since it is being used by disk '%s'",
                                  id, disk->target);
    }
    for (guint i = 0; i < def->controllers->len; i++)
        if (((const DomainController *)def->controllers->pdata[i])->iothread == id)
            return kiln_error_set(
                err, VIR_ERR_INVALID_ARG,
                "cannot remove IOThread '%u' since it is being used by controller", id);
    return true;
}

static void
forget_schedule(GPtrArray *schedules, unsigned id)
{
    for (guint i = schedules->len; i-- > 0;) {
        DomainSched *schedule = schedules->pdata[i];
        g_autoptr(GArray) ids = xml_cpuset_numbers(schedule->ids);

        for (guint k = ids->len; k-- > 0;)
            if (g_array_index(ids, unsigned, k) == id)
                g_array_remove_index(ids, k);
        if (!schedule->ids || !xml_cpuset_has(schedule->ids, id))
            continue;
        g_free(schedule->ids);
        schedule->ids = ids->len > 0 ? xml_cpuset_format(ids) : NULL;
        if (schedule->ids)
            continue;
        g_ptr_array_remove_index(schedules, i);
        g_free(schedule);
    }
}

static void
forget_pin(GPtrArray *pins, unsigned id)
{
    for (guint i = pins->len; i-- > 0;) {
        DomainPin *pin = pins->pdata[i];

        if (pin->id != id)
            continue;
        g_ptr_array_remove_index(pins, i);
        g_free(pin->cpuset);
        g_free(pin);
    }
}

static bool
del_note(DomainDef *def, const DomainDef *live, void *opaque, GError **err)
{
    unsigned id = *(unsigned *)opaque;
    DomainIothread *thread = find(def, id, err);

    (void)live;
    if (!thread || !check_unused(def, id, err))
        return false;
    g_ptr_array_remove(def->iothread_ids, thread);
    xml_type_free(&domain_iothread_type, thread);
    def->iothreads = def->iothread_ids->len > 0 ? def->iothread_ids->len : XML_UNSET;
    if (def->cputune) {
        forget_pin(def->cputune->iothreadpins, id);
        forget_schedule(def->cputune->iothreadscheds, id);
    }
    return true;
}

static bool
del_apply(DomainRun *run, DomainDef *live, void *opaque, GError **err)
{
    unsigned id = *(unsigned *)opaque;

    return del_note(live, NULL, opaque, err) &&
           qmp_command(run->qmp, "object-del", object_named(id), DOMAIN_QMP_SECONDS, err) &&
           domain_monitor_threads(run, err);
}

static const DomainTuning del_change = { "remove an I/O thread", del_note, del_apply, NULL };

bool
domain_del_iothread(Domain *domain, unsigned id, unsigned flags, GError **err)
{
    return check_id(id, err) && domain_tune(domain, &del_change, &id, flags, err);
}

/* --- changing --------------------------------------------------------------------------------- */

typedef struct {
    unsigned id;
    const DomainIothreadParams *params;
} WantedParams;

/* Of the pool what is not given stays as it is. */
static bool
pool_note(DomainIothread *thread, const DomainIothreadParams *params, GError **err)
{
    if (params->pool_min != XML_UNSET_INT)
        thread->pool_min = params->pool_min < 0 ? XML_UNSET : (uint64_t)params->pool_min;
    if (params->pool_max != XML_UNSET_INT)
        thread->pool_max = params->pool_max < 0 ? XML_UNSET : (uint64_t)params->pool_max;
    return (thread->pool_min == XML_UNSET ||
            (thread->pool_max != XML_UNSET && thread->pool_min <= thread->pool_max)) ||
           kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                          "thread_pool_min (%" G_GUINT64_FORMAT
                          ") can't be greater than thread_pool_max (%" G_GINT64_FORMAT ")",
                          thread->pool_min,
                          thread->pool_max == XML_UNSET ? -1 : (gint64)thread->pool_max);
}

static bool
set_note(DomainDef *config, const DomainDef *live, void *opaque, GError **err)
{
    const WantedParams *wanted = opaque;
    const DomainIothreadParams *params = wanted->params;
    DomainIothread *thread = find(config, wanted->id, err);

    (void)live;
    if (thread && (params->poll_max_ns != XML_UNSET || params->poll_grow != XML_UNSET ||
                   params->poll_shrink != XML_UNSET))
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "configuring persistent polling values is not supported");
    return thread && pool_note(thread, params, err);
}

static bool
set_number(DomainRun *run, const char *path, const char *property, gint64 value, GError **err)
{
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, "path", path);
    json_object_set_string_member(arguments, "property", property);
    json_object_set_int_member(arguments, "value", value);
    return qmp_command(run->qmp, "qom-set", arguments, DOMAIN_QMP_SECONDS, err);
}

/* What the running guest's pool may have at most; -1 with @err. */
static gint64
pool_max(DomainRun *run, const char *path, GError **err)
{
    JsonObject *arguments = json_object_new();
    g_autoptr(JsonNode) value = NULL;

    json_object_set_string_member(arguments, "path", path);
    json_object_set_string_member(arguments, "property", "thread-pool-max");
    value = qmp_execute(run->qmp, "qom-get", arguments, DOMAIN_QMP_SECONDS, err);
    return value ? json_node_get_int(value) : -1;
}

/* At no time the lower size may be above the upper one: one that grows beyond it comes second. */
static bool
set_pool(DomainRun *run, const char *path, const DomainIothreadParams *params, GError **err)
{
    bool min = params->pool_min != XML_UNSET_INT, max = params->pool_max != XML_UNSET_INT;
    bool max_first = false;

    if (min && max) {
        gint64 now = pool_max(run, path, err);

        if (now < 0)
            return false;
        max_first = now < params->pool_min;
    }
    return (!max_first || set_number(run, path, "thread-pool-max", params->pool_max, err)) &&
           (!min || set_number(run, path, "thread-pool-min", params->pool_min, err)) &&
           (!max || max_first || set_number(run, path, "thread-pool-max", params->pool_max, err));
}

static bool
set_apply(DomainRun *run, DomainDef *live, void *opaque, GError **err)
{
    const WantedParams *wanted = opaque;
    const DomainIothreadParams *params = wanted->params;
    g_autofree char *path = g_strdup_printf("/objects/iothread%u", wanted->id);
    DomainIothread *thread = find(live, wanted->id, err);

    if (!thread)
        return false;
    /* the loop chooses both by itself */
    if ((params->poll_grow != XML_UNSET && params->poll_grow != 0) ||
        (params->poll_shrink != XML_UNSET && params->poll_shrink != 0))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "poll_grow and poll_shrink other than 0 are not supported by Kiln");
    if (params->pool_min == -1 || params->pool_max == -1)
        return kiln_error_set(
            err, VIR_ERR_OPERATION_INVALID,
            "thread_pool_min and thread_pool_max of a running I/O thread cannot be "
            "-1: say how many threads");
    return pool_note(thread, params, err) &&
           (params->poll_max_ns == XML_UNSET ||
            set_number(run, path, "poll-max-ns", (gint64)params->poll_max_ns, err)) &&
           set_pool(run, path, params, err);
}

static const DomainTuning set_change = { "change an I/O thread", set_note, set_apply, NULL };

bool
domain_set_iothread(Domain *domain, unsigned id, const DomainIothreadParams *params, unsigned flags,
                    GError **err)
{
    WantedParams wanted = { id, params };

    if (!check_id(id, err))
        return false;
    if (params->poll_max_ns != XML_UNSET && params->poll_max_ns > G_MAXINT)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "poll-max-ns (%" G_GUINT64_FORMAT
                              ") must be less than or equal to %d",
                              params->poll_max_ns, G_MAXINT);
    if ((params->pool_min != XML_UNSET_INT && params->pool_min < -1) ||
        (params->pool_max != XML_UNSET_INT && (params->pool_max < -1 || params->pool_max == 0)))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "thread_pool_min and thread_pool_max of an I/O thread must be -1 or "
                              "a number of threads");
    return domain_tune(domain, &set_change, &wanted, flags, err);
}

/* --- telling ---------------------------------------------------------------------------------- */

GArray *
domain_iothread_stats(Domain *domain, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autoptr(JsonNode) owner = NULL;
    JsonArray *list = NULL;
    GArray *stats;
    bool any;

    if (!run)
        return NULL;
    g_mutex_lock(&domain->lock);
    any = domain->live && domain->live->iothread_ids->len > 0;
    g_mutex_unlock(&domain->lock);
    if (any && !(list = qmp_execute_list(run->qmp, "query-iothreads", NULL, &owner, err)))
        return NULL;
    stats = g_array_new(FALSE, FALSE, sizeof(DomainIothreadStats));
    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *thread = qmp_element(list, i);
        DomainIothreadStats entry = {
            .id = domain_monitor_iothread_number(qmp_text(thread, "id")),
            .poll_max_ns = (uint64_t)qmp_number(thread, "poll-max-ns"),
            .poll_grow = (unsigned)qmp_number(thread, "poll-grow"),
            .poll_shrink = (unsigned)qmp_number(thread, "poll-shrink"),
        };

        if (entry.id > 0)
            g_array_append_val(stats, entry);
    }
    return stats;
}
