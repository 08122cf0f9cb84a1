/* memory.c - how much memory a guest has now, and what it says of it.
 *
 * QMP balloon, query-balloon, and the balloon's guest-stats (QEMU QMP reference, machine.json;
 * docs/interop/virtio-balloon-stats).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/private.h"
#include "util/error.h"

static JsonObject *
node_object(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* --- setting ---------------------------------------------------------------------------------- */

typedef struct {
    uint64_t kib;
    bool maximum;
} MemoryChange;

static bool
memory_change(DomainDef *def, void *opaque, GError **err)
{
    const MemoryChange *change = opaque;

    if (change->maximum) {
        if (def->cpu && def->cpu->numa)
            return kiln_error_set(
                err, VIR_ERR_OPERATION_UNSUPPORTED,
                "the maximum memory of a guest with NUMA cells is set in its cells");
        def->memory = change->kib;
        def->current_memory = MIN(def->current_memory, change->kib);
        return true;
    }
    if (change->kib > def->memory)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "cannot set memory higher than max memory: %" G_GUINT64_FORMAT
                              " KiB is more than %" G_GUINT64_FORMAT " KiB",
                              change->kib, def->memory);
    def->current_memory = change->kib;
    return true;
}

static char *
balloon_alias(Domain *domain)
{
    char *alias = NULL;

    g_mutex_lock(&domain->lock);
    if (domain->live && domain->live->balloon &&
        domain->live->balloon->model != DOMAIN_BALLOON_NONE)
        alias = g_strdup(domain->live->balloon->info.alias);
    g_mutex_unlock(&domain->lock);
    return alias;
}

static bool
memory_set_live(Domain *domain, uint64_t kib, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autofree char *alias = balloon_alias(domain);
    JsonObject *arguments;

    if (!run)
        return false;
    if (!alias)
        return kiln_error_set(
            err, VIR_ERR_OPERATION_INVALID,
            "Unable to change memory of active domain without the balloon device and "
            "guest OS balloon driver");
    arguments = json_object_new();
    json_object_set_int_member(arguments, "value", (gint64)kib * 1024);
    return qmp_command(run->qmp, "balloon", arguments, DOMAIN_QMP_SECONDS, err);
}

/* In a job. */
static bool
memory_set(Domain *domain, MemoryChange *change, unsigned flags, GError **err)
{
    uint64_t most = 0;
    bool ok;

    g_mutex_lock(&domain->lock);
    ok = domain_impact(domain, &flags, err);
    if (domain->live)
        most = domain->live->memory;
    g_mutex_unlock(&domain->lock);
    if (!ok)
        return false;
    if (change->maximum && (flags & VIR_DOMAIN_AFFECT_LIVE))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "cannot resize the maximum memory on an active domain");
    if ((flags & VIR_DOMAIN_AFFECT_LIVE) && change->kib <= most &&
        !memory_set_live(domain, change->kib, err))
        return false;
    return domain_impact_apply(domain, flags, memory_change, change, err);
}

bool
domain_set_memory(Domain *domain, uint64_t kib, unsigned flags, GError **err)
{
    MemoryChange change = { kib, flags & VIR_DOMAIN_MEM_MAXIMUM };
    bool ok;

    if (kib == 0 || kib > (uint64_t)G_MAXINT64 / 1024)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "%" G_GUINT64_FORMAT " KiB of memory is out of "
                              "range",
                              kib);
    if (!domain_job_begin(domain, "memory", err))
        return false;
    ok = memory_set(domain, &change, flags & ~(unsigned)VIR_DOMAIN_MEM_MAXIMUM, err);
    domain_job_end(domain);
    return ok;
}

/* --- statistics ------------------------------------------------------------------------------- */

static bool
period_change(DomainDef *def, void *opaque, GError **err)
{
    if (!def->balloon || def->balloon->model == DOMAIN_BALLOON_NONE)
        return kiln_error_set(
            err, VIR_ERR_OPERATION_INVALID,
            "No memory balloon device configured, can not set the collection period");
    def->balloon->stats_period = *(const unsigned *)opaque;
    return true;
}

bool
domain_set_memory_stats_period(Domain *domain, unsigned seconds, unsigned flags, GError **err)
{
    bool ok;

    if (!domain_job_begin(domain, "memory statistics", err))
        return false;
    g_mutex_lock(&domain->lock);
    ok = domain_impact(domain, &flags, err);
    g_mutex_unlock(&domain->lock);
    if (ok && (flags & VIR_DOMAIN_AFFECT_LIVE)) {
        g_autoptr(DomainRun) run = domain_run_get(domain, err);
        g_autofree char *alias = balloon_alias(domain);

        ok = run && (!alias || domain_monitor_balloon_period(run, alias, seconds, err));
    }
    ok = ok && domain_impact_apply(domain, flags, period_change, &seconds, err);
    domain_job_end(domain);
    return ok;
}

static void
add_stat(GArray *stats, int tag, uint64_t value)
{
    DomainMemoryStat stat = { tag, value };

    g_array_append_val(stats, stat);
}

/* What the guest's driver last told; values it does not know are all ones. */
static void
add_guest_stats(JsonObject *answer, GArray *stats)
{
    static const struct {
        const char *name;
        int tag;
        unsigned scale;
    } names[] = {
        { "stat-swap-in", VIR_DOMAIN_MEMORY_STAT_SWAP_IN, 1024 },
        { "stat-swap-out", VIR_DOMAIN_MEMORY_STAT_SWAP_OUT, 1024 },
        { "stat-major-faults", VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT, 1 },
        { "stat-minor-faults", VIR_DOMAIN_MEMORY_STAT_MINOR_FAULT, 1 },
        { "stat-free-memory", VIR_DOMAIN_MEMORY_STAT_UNUSED, 1024 },
        { "stat-total-memory", VIR_DOMAIN_MEMORY_STAT_AVAILABLE, 1024 },
        { "stat-available-memory", VIR_DOMAIN_MEMORY_STAT_USABLE, 1024 },
        { "stat-disk-caches", VIR_DOMAIN_MEMORY_STAT_DISK_CACHES, 1024 },
        { "stat-htlb-pgalloc", VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGALLOC, 1 },
        { "stat-htlb-pgfail", VIR_DOMAIN_MEMORY_STAT_HUGETLB_PGFAIL, 1 },
    };
    int64_t updated = json_object_get_int_member_with_default(answer, "last-update", -1);
    JsonObject *told = node_object(json_object_get_member(answer, "stats"));

    for (size_t i = 0; told && updated > 0 && i < G_N_ELEMENTS(names); i++) {
        int64_t value = json_object_get_int_member_with_default(told, names[i].name, -1);

        if (value >= 0)
            add_stat(stats, names[i].tag, (uint64_t)value / names[i].scale);
    }
    if (updated >= 0)
        add_stat(stats, VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE, updated);
}

GArray *
domain_memory_stats(Domain *domain, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autofree char *alias = balloon_alias(domain);
    GArray *stats;
    uint64_t balloon;

    if (!run)
        return NULL;
    stats = g_array_new(FALSE, FALSE, sizeof(DomainMemoryStat));
    g_mutex_lock(&domain->lock);
    balloon = run->balloon_kib;
    g_mutex_unlock(&domain->lock);
    add_stat(stats, VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, balloon);
    if (alias) {
        g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", alias);
        JsonObject *arguments = json_object_new();
        g_autoptr(JsonNode) answer = NULL;

        json_object_set_string_member(arguments, "path", path);
        json_object_set_string_member(arguments, "property", "guest-stats");
        answer = qmp_execute(run->qmp, "qom-get", arguments, DOMAIN_QMP_SECONDS, NULL);
        if (node_object(answer))
            add_guest_stats(node_object(answer), stats);
    }
    add_stat(stats, VIR_DOMAIN_MEMORY_STAT_RSS, domain_process_resident(run->process.pid) / 1024);
    return stats;
}
