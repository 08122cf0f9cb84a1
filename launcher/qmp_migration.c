/* qmp_migration.c - QMP commands that save a guest and load it again.
 *
 * QEMU 7.2 qapi/migration.json: migrate, migrate_cancel, migrate-incoming, query-migrate, and of
 * parameters and capabilities those that are offered.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/migration.h"
#include "launcher/qmp_handlers.h"
#include "util/error.h"

#define DOWNTIME_MAX_MS 2000000 /* as there */

QMP_HANDLER(qmp_migrate)
{
    Vm *vm = qmp_session_vm(session);
    int fd = migration_open(vm, json_object_get_string_member(args, "uri"), true, err);

    if (fd >= 0)
        migration_send(vm, fd, err);
    return NULL;
}

QMP_HANDLER(qmp_migrate_cancel)
{
    (void)args;
    migration_cancel(qmp_session_vm(session), err);
    return NULL;
}

QMP_HANDLER(qmp_migrate_incoming)
{
    Vm *vm = qmp_session_vm(session);
    int fd = migration_open(vm, json_object_get_string_member(args, "uri"), false, err);

    if (fd >= 0)
        migration_receive(vm, fd, !vm->options->paused, false, err);
    return NULL;
}

QMP_HANDLER(qmp_query_migrate)
{
    (void)args;
    (void)err;
    return qmp_node_object(migration_query(qmp_session_vm(session)));
}

/* A number that @args may have; *@ret stays where they do not. */
static bool
take_number(JsonObject *args, const char *name, gint64 max, gint64 *ret, GError **err)
{
    JsonNode *node = json_object_get_member(args, name);

    if (!node)
        return true;
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_INT64 ||
        json_node_get_int(node) < 0 || json_node_get_int(node) > max)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "Parameter '%s' expects a number up to %" G_GINT64_FORMAT, name, max);
    *ret = json_node_get_int(node);
    return true;
}

QMP_HANDLER(qmp_migrate_set_parameters)
{
    Vm *vm = qmp_session_vm(session);
    gint64 bandwidth = -1, downtime = -1;
    JsonObjectIter iter;
    const char *name;

    json_object_iter_init(&iter, args);
    while (json_object_iter_next(&iter, &name, NULL)) {
        if (g_str_equal(name, "max-bandwidth") || g_str_equal(name, "downtime-limit"))
            continue;
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "parameter '%s' is not offered: there are max-bandwidth and downtime-limit",
                       name);
        return NULL;
    }
    if (!take_number(args, "max-bandwidth", G_MAXINT64, &bandwidth, err) ||
        !take_number(args, "downtime-limit", DOWNTIME_MAX_MS, &downtime, err))
        return NULL;
    if (bandwidth >= 0)
        __atomic_store_n(&vm->migrate_bandwidth, (uint64_t)bandwidth, __ATOMIC_RELAXED);
    if (downtime >= 0)
        __atomic_store_n(&vm->migrate_downtime, (uint64_t)downtime, __ATOMIC_RELAXED);
    return NULL;
}

QMP_HANDLER(qmp_query_migrate_parameters)
{
    const Vm *vm = qmp_session_vm(session);
    JsonObject *answer = json_object_new();

    (void)args;
    (void)err;
    json_object_set_int_member(answer, "max-bandwidth", (gint64)vm->migrate_bandwidth);
    json_object_set_int_member(answer, "downtime-limit", (gint64)vm->migrate_downtime);
    return qmp_node_object(answer);
}

/* Events are always told; nothing else can be switched on. */
QMP_HANDLER(qmp_migrate_set_capabilities)
{
    JsonNode *node = json_object_get_member(args, "capabilities");
    JsonArray *list = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

    (void)session;
    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonNode *one = json_array_get_element(list, i);
        JsonObject *object = JSON_NODE_HOLDS_OBJECT(one) ? json_node_get_object(one) : NULL;
        const char *name =
            object ? json_object_get_string_member_with_default(object, "capability", NULL) : NULL;

        if (!name) {
            list = NULL;
        } else if (json_object_get_boolean_member_with_default(object, "state", false) !=
                   g_str_equal(name, "events")) {
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                           "capability '%s' is not offered: only 'events' is, and is always on",
                           name);
            return NULL;
        }
    }
    if (!list)
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "Parameter 'capabilities' expects a list of capability and state");
    return NULL;
}

QMP_HANDLER(qmp_query_migrate_capabilities)
{
    JsonObject *events = json_object_new();
    JsonArray *list = json_array_new();

    (void)session;
    (void)args;
    (void)err;
    json_object_set_string_member(events, "capability", "events");
    json_object_set_boolean_member(events, "state", true);
    json_array_add_object_element(list, events);
    return qmp_node_array(list);
}
