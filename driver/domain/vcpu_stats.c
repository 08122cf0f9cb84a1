/* vcpu_stats.c - what the hypervisor counts of each processor of a running guest, as the VMM tells
 * it (QMP query-stats).
 *
 * libvirt: virConnectGetAllDomainStats, VIR_DOMAIN_STATS_VCPU and VIR_DOMAIN_STATS_CPU_TOTAL.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/private.h"
#include "driver/domain/qmp_answer.h"

enum { STATS_MAX = 256 /* of one processor */, NAME_MAX_CHARS = 60 };

static void
stat_free(gpointer data)
{
    DomainVcpuStat *stat = data;

    g_free(stat->name);
    g_free(stat);
}

/* As libvirt marks a counter by its kind; NULL for those of many values. */
static const char *
suffix_of(const char *type)
{
    static const struct {
        const char *type, *suffix;
    } all[] = { { "cumulative", "sum" }, { "instant", "cur" }, { "peak", "max" } };

    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        if (strcmp(all[i].type, type) == 0)
            return all[i].suffix;
    return NULL;
}

static JsonArray *
member_list(JsonObject *object, const char *name)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;

    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static bool
is_name(const char *text)
{
    return *text && strlen(text) <= NAME_MAX_CHARS &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(text);
}

/* char * -> suffix of each counter of a vCPU that has one value; NULL when the VMM has none. */
static GHashTable *
ask_suffixes(DomainRun *run)
{
    g_autoptr(JsonNode) owner = NULL;
    JsonArray *list = qmp_execute_list(run->qmp, "query-stats-schemas", NULL, &owner, NULL), *stats;
    g_autoptr(GHashTable) suffixes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *one = qmp_element(list, i);

        stats = strcmp(qmp_text(one, "target"), "vcpu") == 0 ? member_list(one, "stats") : NULL;
        for (guint j = 0; stats && j < MIN(json_array_get_length(stats), STATS_MAX); j++) {
            const char *name = qmp_text(qmp_element(stats, j), "name");
            const char *suffix = suffix_of(qmp_text(qmp_element(stats, j), "type"));

            if (suffix && is_name(name))
                g_hash_table_replace(suffixes, g_strdup(name), (gpointer)suffix);
        }
    }
    return list ? g_steal_pointer(&suffixes) : NULL;
}

/* char *path -> vCPU's number. */
static GHashTable *
ask_paths(DomainRun *run)
{
    g_autoptr(JsonNode) owner = NULL;
    JsonArray *cpus = qmp_execute_list(run->qmp, "query-cpus-fast", NULL, &owner, NULL);
    g_autoptr(GHashTable) paths = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; cpus && i < json_array_get_length(cpus); i++) {
        JsonObject *cpu = qmp_element(cpus, i);

        g_hash_table_replace(paths, g_strdup(qmp_text(cpu, "qom-path")),
                             GINT_TO_POINTER((int)qmp_number(cpu, "cpu-index")));
    }
    return cpus ? g_steal_pointer(&paths) : NULL;
}

/* {"target": "vcpu"}, and with @names only those (NULL-terminated). */
static JsonObject *
arguments_for(const char *const *names)
{
    JsonObject *arguments = json_object_new(), *provider = json_object_new();
    JsonArray *providers = json_array_new(), *list = names ? json_array_new() : NULL;

    json_object_set_string_member(arguments, "target", "vcpu");
    json_object_set_string_member(provider, "provider", "kvm");
    for (; list && *names; names++)
        json_array_add_string_element(list, *names);
    if (list)
        json_object_set_array_member(provider, "names", list);
    json_array_add_object_element(providers, provider);
    json_object_set_array_member(arguments, "providers", providers);
    return arguments;
}

static void
add_stat(GPtrArray *list, unsigned vcpu, const char *name, const char *suffix, JsonNode *value)
{
    DomainVcpuStat *stat = g_new0(DomainVcpuStat, 1);

    stat->vcpu = vcpu;
    stat->name = g_strdup_printf("%s.%s", name, suffix);
    stat->is_flag = json_node_get_value_type(value) == G_TYPE_BOOLEAN;
    stat->value =
        stat->is_flag ? (uint64_t)json_node_get_boolean(value) : (uint64_t)json_node_get_int(value);
    g_ptr_array_add(list, stat);
}

GPtrArray *
domain_vcpu_stats(Domain *domain)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, NULL);
    g_autoptr(GHashTable) suffixes = run ? ask_suffixes(run) : NULL;
    g_autoptr(GHashTable) paths = suffixes ? ask_paths(run) : NULL;
    g_autoptr(JsonNode) owner = NULL;
    JsonArray *answer =
        paths ? qmp_execute_list(run->qmp, "query-stats", arguments_for(NULL), &owner, NULL) : NULL;
    GPtrArray *list = g_ptr_array_new_with_free_func(stat_free);

    for (guint i = 0; answer && i < json_array_get_length(answer); i++) {
        JsonObject *one = qmp_element(answer, i);
        JsonArray *stats = member_list(one, "stats");
        gpointer vcpu;

        if (!g_hash_table_lookup_extended(paths, qmp_text(one, "qom-path"), NULL, &vcpu))
            continue;
        for (guint j = 0; stats && j < MIN(json_array_get_length(stats), STATS_MAX); j++) {
            JsonObject *stat = qmp_element(stats, j);
            const char *name = qmp_text(stat, "name"), *suffix;
            JsonNode *value = stat ? json_object_get_member(stat, "value") : NULL;

            suffix = g_hash_table_lookup(suffixes, name);
            if (suffix && value && JSON_NODE_HOLDS_VALUE(value))
                add_stat(list, GPOINTER_TO_UINT(vcpu), name, suffix, value);
        }
    }
    return list;
}

bool
domain_halt_poll(Domain *domain, uint64_t *ret_success, uint64_t *ret_fail)
{
    static const char *const names[] = { "halt_poll_success_ns", "halt_poll_fail_ns", NULL };
    g_autoptr(DomainRun) run = domain_run_get(domain, NULL);
    g_autoptr(JsonNode) owner = NULL;
    JsonArray *answer =
        run ? qmp_execute_list(run->qmp, "query-stats", arguments_for(names), &owner, NULL) : NULL;

    *ret_success = *ret_fail = 0;
    for (guint i = 0; answer && i < json_array_get_length(answer); i++) {
        JsonArray *stats = member_list(qmp_element(answer, i), "stats");

        for (guint j = 0; stats && j < json_array_get_length(stats); j++) {
            JsonObject *stat = qmp_element(stats, j);

            *(strcmp(qmp_text(stat, "name"), names[0]) == 0 ? ret_success : ret_fail) +=
                (uint64_t)qmp_number(stat, "value");
        }
    }
    return answer != NULL;
}
