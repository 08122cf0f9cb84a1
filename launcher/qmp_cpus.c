/* qmp_cpus.c - QMP commands about processors: those that are there, those that can come.
 *
 * Shapes of the answers: QEMU 7.2 qapi/machine.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/qmp_handlers.h"
#include "launcher/vm_cpus.h"

static JsonObject *
cpus_place(const Vm *vm, unsigned index)
{
    TopologyPlace place = topology_place(&vm->topology, index);
    JsonObject *props = json_object_new();

    json_object_set_int_member(props, "socket-id", place.socket);
    json_object_set_int_member(props, "die-id", place.die);
    json_object_set_int_member(props, "core-id", place.core);
    json_object_set_int_member(props, "thread-id", place.thread);
    if (vm->machine->config.n_nodes > 0)
        json_object_set_int_member(props, "node-id", vm->machine->config.cpus[index].node);
    return props;
}

QMP_HANDLER(qmp_query_cpus_fast)
{
    Vm *vm = qmp_session_vm(session);
    JsonArray *list = json_array_new();

    (void)args;
    (void)err;
    for (guint i = 0; i < vm->vcpus->len; i++) {
        const Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);
        g_autofree char *path = vm_cpu_path(vm, vcpu_index(vcpu));
        JsonObject *cpu = json_object_new();

        json_object_set_int_member(cpu, "cpu-index", vcpu_index(vcpu));
        json_object_set_string_member(cpu, "qom-path", path);
        json_object_set_int_member(cpu, "thread-id", vcpu_thread_id(vcpu));
        json_object_set_string_member(cpu, "target", "x86_64");
        json_object_set_object_member(cpu, "props", cpus_place(vm, vcpu_index(vcpu)));
        json_array_add_object_element(list, cpu);
    }
    return qmp_node_array(list);
}

/* The last one first, as clients of QEMU have always found them. */
QMP_HANDLER(qmp_query_hotpluggable_cpus)
{
    Vm *vm = qmp_session_vm(session);
    JsonArray *list = json_array_new();

    (void)args;
    (void)err;
    for (unsigned i = vm->topology.max_cpus; i-- > 0;) {
        JsonObject *cpu = json_object_new();

        json_object_set_object_member(cpu, "props", cpus_place(vm, i));
        json_object_set_int_member(cpu, "vcpus-count", 1);
        if (vm_cpu_is_present(vm, i)) {
            g_autofree char *path = vm_cpu_path(vm, i);

            json_object_set_string_member(cpu, "qom-path", path);
        }
        json_object_set_string_member(cpu, "type", vm_cpu_type(vm));
        json_array_add_object_element(list, cpu);
    }
    return qmp_node_array(list);
}
