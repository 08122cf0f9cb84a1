/* qmp_stats.c - QMP commands about KVM's counters.
 *
 * Shapes of the arguments and answers: QEMU 7.2 qapi/stats.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "launcher/kvm_stats.h"
#include "launcher/qmp_handlers.h"
#include "launcher/vm_cpus.h"
#include "util/error.h"

#define PROVIDER "kvm"

/* What a client wants of query-stats. */
typedef struct {
    bool provider;    /* KVM's at all */
    JsonArray *names; /* NULL: all */
    JsonArray *vcpus; /* their paths; NULL: all */
} Filter;

static const char *
element_text(JsonArray *list, guint i)
{
    JsonNode *node = json_array_get_element(list, i);

    return JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
}

/* NULL stands for all. */
static bool
list_has(JsonArray *list, const char *text)
{
    for (guint i = 0; list && i < json_array_get_length(list); i++)
        if (g_strcmp0(element_text(list, i), text) == 0)
            return true;
    return !list;
}

static bool
member_list(JsonObject *object, const char *name, JsonArray **ret, GError **err)
{
    JsonNode *node = json_object_get_member(object, name);

    *ret = NULL;
    if (!node)
        return true;
    if (!JSON_NODE_HOLDS_ARRAY(node))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "Invalid parameter type for '%s', expected: array", name);
    *ret = json_node_get_array(node);
    return true;
}

static bool
filter_read(JsonObject *args, Filter *ret, GError **err)
{
    JsonArray *providers;

    *ret = (Filter){ 0 };
    if (!member_list(args, "vcpus", &ret->vcpus, err) ||
        !member_list(args, "providers", &providers, err))
        return false;
    ret->provider = !providers;
    for (guint i = 0; providers && i < json_array_get_length(providers); i++) {
        JsonNode *node = json_array_get_element(providers, i);
        JsonObject *one = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        JsonNode *name = one ? json_object_get_member(one, "provider") : NULL;

        if (!name || !JSON_NODE_HOLDS_VALUE(name))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'provider' is missing");
        if (g_strcmp0(json_node_get_string(name), PROVIDER) != 0)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "Parameter 'provider' does not accept another value than "
                                  "'" PROVIDER "'");
        ret->provider = true;
        if (!member_list(one, "names", &ret->names, err))
            return false;
    }
    return true;
}

static void
add_value(JsonObject *object, const KvmStat *stat)
{
    if (stat->unit == KVM_STATS_UNIT_BOOLEAN) {
        json_object_set_boolean_member(object, "value", stat->n_values && stat->values[0]);
    } else if (stat->n_values == 1) {
        json_object_set_int_member(object, "value", (gint64)stat->values[0]);
    } else {
        JsonArray *values = json_array_new();

        for (unsigned i = 0; i < stat->n_values; i++)
            json_array_add_int_element(values, (gint64)stat->values[i]);
        json_object_set_array_member(object, "value", values);
    }
}

/* Adds those of one vCPU (at @path) or of the virtual machine (NULL). */
static bool
add_stats(JsonArray *list, int fd, const char *path, const Filter *filter, GError **err)
{
    g_autoptr(GPtrArray) stats = kvm_stats_read(fd, err);
    JsonArray *values;
    JsonObject *one;

    if (!stats)
        return false;
    values = json_array_new();
    for (guint i = 0; i < stats->len; i++) {
        const KvmStat *stat = stats->pdata[i];
        JsonObject *value;

        if (!list_has(filter->names, stat->name))
            continue;
        value = json_object_new();
        json_object_set_string_member(value, "name", stat->name);
        add_value(value, stat);
        json_array_add_object_element(values, value);
    }
    one = json_object_new();
    json_object_set_string_member(one, "provider", PROVIDER);
    if (path)
        json_object_set_string_member(one, "qom-path", path);
    json_object_set_array_member(one, "stats", values);
    json_array_add_object_element(list, one);
    return true;
}

/* Whether @args asks for processors ("vcpu") and not for the virtual machine ("vm"). */
static bool
target_read(JsonObject *args, bool *ret_vcpu, GError **err)
{
    const char *target = json_object_get_string_member(args, "target");

    *ret_vcpu = strcmp(target, "vcpu") == 0;
    return *ret_vcpu || strcmp(target, "vm") == 0 ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'target' does not accept value '%s'",
                          target);
}

QMP_HANDLER(qmp_query_stats)
{
    Vm *vm = qmp_session_vm(session);
    g_autoptr(JsonArray) list = json_array_new();
    Filter filter;
    bool vcpu, ok;

    if (!target_read(args, &vcpu, err) || !filter_read(args, &filter, err))
        return NULL;
    if (filter.vcpus && !vcpu) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'vcpus' is unexpected");
        return NULL;
    }
    ok = !filter.provider || vcpu || add_stats(list, vm->kvm->stats_fd, NULL, &filter, err);
    for (guint i = 0; ok && vcpu && filter.provider && i < vm->vcpus->len; i++) {
        const Vcpu *each = g_ptr_array_index(vm->vcpus, i);
        g_autofree char *path = vm_cpu_path(vm, vcpu_index(each));

        ok = !list_has(filter.vcpus, path) ||
             add_stats(list, vcpu_stats_fd(each), path, &filter, err);
    }
    return ok ? qmp_node_array(g_steal_pointer(&list)) : NULL;
}

static JsonObject *
schema_of(const KvmStat *stat)
{
    static const char *const kinds[] = { "cumulative", "instant", "peak", "linear-histogram",
                                         "log2-histogram" };
    static const char *const units[] = { NULL, "bytes", "seconds", "cycles", "boolean" };
    unsigned kind = stat->kind >> KVM_STATS_TYPE_SHIFT, unit = stat->unit >> KVM_STATS_UNIT_SHIFT;
    JsonObject *schema;

    if (kind >= G_N_ELEMENTS(kinds) || unit >= G_N_ELEMENTS(units))
        return NULL; /* of a kernel to come */
    schema = json_object_new();
    json_object_set_string_member(schema, "name", stat->name);
    json_object_set_string_member(schema, "type", kinds[kind]);
    if (units[unit])
        json_object_set_string_member(schema, "unit", units[unit]);
    json_object_set_int_member(schema, "exponent", stat->exponent);
    if (stat->exponent)
        json_object_set_int_member(schema, "base", stat->base == KVM_STATS_BASE_POW2 ? 2 : 10);
    if (stat->kind == KVM_STATS_TYPE_LINEAR_HIST)
        json_object_set_int_member(schema, "bucket-size", stat->bucket_size);
    return schema;
}

static bool
add_schemas(JsonArray *list, int fd, const char *target, GError **err)
{
    g_autoptr(GPtrArray) stats = kvm_stats_read(fd, err);
    JsonArray *schemas;
    JsonObject *one;

    if (!stats)
        return false;
    schemas = json_array_new();
    for (guint i = 0; i < stats->len; i++) {
        JsonObject *schema = schema_of(stats->pdata[i]);

        if (schema)
            json_array_add_object_element(schemas, schema);
    }
    one = json_object_new();
    json_object_set_string_member(one, "provider", PROVIDER);
    json_object_set_string_member(one, "target", target);
    json_object_set_array_member(one, "stats", schemas);
    json_array_add_object_element(list, one);
    return true;
}

QMP_HANDLER(qmp_query_stats_schemas)
{
    Vm *vm = qmp_session_vm(session);
    const char *provider = json_object_get_string_member_with_default(args, "provider", PROVIDER);
    g_autoptr(JsonArray) list = json_array_new();

    if (strcmp(provider, PROVIDER) != 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'provider' does not accept value '%s'",
                       provider);
        return NULL;
    }
    /* every vCPU has the same */
    return add_schemas(list, vm->kvm->stats_fd, "vm", err) &&
                   add_schemas(list, vcpu_stats_fd(g_ptr_array_index(vm->vcpus, 0)), "vcpu", err)
               ? qmp_node_array(g_steal_pointer(&list))
               : NULL;
}
