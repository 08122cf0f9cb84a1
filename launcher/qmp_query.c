/* qmp_query.c - QMP commands that only tell: the guest, its memory, threads.
 *
 * Shapes of the answers: QEMU 7.2
 * qapi/{control,machine,machine-target,misc,run-state,char,qom}.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/char/chardev.h"
#include "hw/pci/board.h"
#include "launcher/qmp_handlers.h"
#include "util/error.h"
#include "util/ioloop.h"

/* The version of QEMU whose commands and events these are. */
enum { QMP_VERSION_MAJOR = 7, QMP_VERSION_MINOR = 2, QMP_VERSION_MICRO = 0 };

JsonObject *
qmp_version_object(void)
{
    JsonObject *version = json_object_new(), *numbers = json_object_new();

    json_object_set_int_member(numbers, "micro", QMP_VERSION_MICRO);
    json_object_set_int_member(numbers, "minor", QMP_VERSION_MINOR);
    json_object_set_int_member(numbers, "major", QMP_VERSION_MAJOR);
    json_object_set_object_member(version, "qemu", numbers);
    json_object_set_string_member(version, "package", "kiln-" KILN_VERSION);
    return version;
}

/* Handlers that need neither arguments nor errors. */
#define QUERY(name)                                                                                \
    JsonNode *name(QmpSession *session, G_GNUC_UNUSED JsonObject *args, G_GNUC_UNUSED GError **err)

QUERY(qmp_query_version)
{
    (void)session;
    return qmp_node_object(qmp_version_object());
}

QUERY(qmp_query_status)
{
    Vm *vm = qmp_session_vm(session);
    JsonObject *status = json_object_new();

    json_object_set_string_member(status, "status", vm_state_name(vm->state));
    json_object_set_boolean_member(status, "singlestep", FALSE);
    json_object_set_boolean_member(status, "running", vm->state == VM_RUNNING);
    return qmp_node_object(status);
}

QUERY(qmp_query_name)
{
    Vm *vm = qmp_session_vm(session);
    JsonObject *name = json_object_new();

    if (vm->name)
        json_object_set_string_member(name, "name", vm->name);
    return qmp_node_object(name);
}

QUERY(qmp_query_uuid)
{
    Vm *vm = qmp_session_vm(session);
    JsonObject *uuid = json_object_new();
    g_autofree char *lower = NULL;

    if (vm->has_uuid)
        lower = g_ascii_strdown(vm->options->uuid, -1);
    json_object_set_string_member(uuid, "UUID",
                                  lower ? lower : "00000000-0000-0000-0000-000000000000");
    return qmp_node_object(uuid);
}

QUERY(qmp_query_kvm)
{
    JsonObject *kvm = json_object_new();

    (void)session;
    json_object_set_boolean_member(kvm, "enabled", TRUE);
    json_object_set_boolean_member(kvm, "present", TRUE);
    return qmp_node_object(kvm);
}

QUERY(qmp_query_target)
{
    JsonObject *target = json_object_new();

    (void)session;
    json_object_set_string_member(target, "arch", "x86_64");
    return qmp_node_object(target);
}

QUERY(qmp_query_machines)
{
    JsonArray *list = json_array_new();

    (void)session;
    for (unsigned i = 0; board_list[i]; i++) {
        JsonObject *machine = json_object_new();

        json_object_set_string_member(machine, "name", board_list[i]->name);
        json_object_set_string_member(machine, "alias", board_list[i]->aliases[0]);
        if (i == 0)
            json_object_set_boolean_member(machine, "is-default", TRUE);
        json_object_set_int_member(machine, "cpu-max", TOPOLOGY_MAX_CPUS);
        json_object_set_boolean_member(machine, "hotpluggable-cpus", TRUE);
        json_object_set_boolean_member(machine, "numa-mem-supported", TRUE);
        json_object_set_boolean_member(machine, "deprecated", FALSE);
        json_array_add_object_element(list, machine);
    }
    return qmp_node_array(list);
}

QUERY(qmp_query_current_machine)
{
    JsonObject *machine = json_object_new();

    json_object_set_boolean_member(machine, "wakeup-suspend-support",
                                   qmp_session_vm(session)->machine->config.s3);
    return qmp_node_object(machine);
}

QUERY(qmp_query_memory_size_summary)
{
    Vm *vm = qmp_session_vm(session);
    JsonObject *summary = json_object_new();

    json_object_set_int_member(summary, "base-memory", guest_memory_size(vm->machine->memory));
    json_object_set_int_member(summary, "plugged-memory", 0);
    return qmp_node_object(summary);
}

static void
query_iothread(const char *id, void *object, void *opaque)
{
    JsonObject *thread;

    if (*id == '#') /* made by a device for itself, not asked for */
        return;
    thread = json_object_new();
    json_object_set_string_member(thread, "id", id);
    json_object_set_int_member(thread, "thread-id", io_loop_thread_id(object));
    json_object_set_int_member(thread, "poll-max-ns", io_loop_busy_poll(object));
    json_object_set_int_member(thread, "poll-grow", 0);
    json_object_set_int_member(thread, "poll-shrink", 0);
    json_object_set_int_member(thread, "aio-max-batch", 0);
    json_array_add_object_element(opaque, thread);
}

QUERY(qmp_query_iothreads)
{
    JsonArray *list = json_array_new();

    machine_object_visit(qmp_session_vm(session)->machine, OBJECT_IOTHREAD, query_iothread, list);
    return qmp_node_array(list);
}

QUERY(qmp_query_chardev)
{
    return qmp_node_array(chardev_query(qmp_session_vm(session)->machine));
}

static void
query_device(Device *dev, void *opaque)
{
    g_autofree char *type = g_strdup_printf("child<%s>", dev->class->name);
    JsonObject *property;

    if (!dev->id)
        return;
    property = json_object_new();
    json_object_set_string_member(property, "name", dev->id);
    json_object_set_string_member(property, "type", type);
    json_array_add_object_element(opaque, property);
}

/* Of QEMU's tree of objects the one place that tells which devices there are. */
JsonNode *
qmp_qom_list(QmpSession *session, JsonObject *args, GError **err)
{
    const char *path = json_object_get_string_member(args, "path");
    JsonArray *list;

    if (strcmp(path, "/machine/peripheral") != 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "Device '%s' not found: only /machine/peripheral can be listed", path);
        return NULL;
    }
    list = json_array_new();
    machine_device_visit(qmp_session_vm(session)->machine, query_device, list);
    return qmp_node_array(list);
}
