/* vm_cpus.c - processors by place: which are there, which can come, coming and going.
 *
 * Names of types, properties and events as in QEMU 7.2 (qapi/machine.json, qapi/acpi.json). KVM
 * never takes a vCPU away: one that is unplugged is parked, and used again when the same one is
 * plugged in.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vm_cpus.h"

#include <inttypes.h>
#include <string.h>

#include "hw/acpi/cpu_hotplug.h"
#include "hw/core/device.h"
#include "launcher/gdb.h"
#include "launcher/keyval.h"
#include "launcher/vcpu_msr.h"
#include "launcher/vm_firmware.h"
#include "util/error.h"

#define TYPE_SUFFIX "-x86_64-cpu"

typedef struct {
    char *id;     /* of device_add; NULL */
    Vcpu *parked; /* not in vm->vcpus; NULL */
    /* From the guest, guarded by VmCpus.lock. */
    bool ejected, said;
    uint32_t event, status;
} VmCpu;

struct VmCpus {
    char *type;
    unsigned n;
    VmCpu *slots;
    GMutex lock;
    GSource *wake; /* guarded by lock */
};

VmCpus *
vm_cpus_new(Vm *vm)
{
    VmCpus *cpus = g_new0(VmCpus, 1);
    const char *text = vm->options->cpu ? vm->options->cpu : "host";
    const char *end = strchr(text, ',');

    if (g_str_has_prefix(text, "model="))
        text += strlen("model=");
    cpus->type = g_strdup_printf("%.*s" TYPE_SUFFIX, end ? (int)(end - text) : -1, text);
    cpus->n = vm->topology.max_cpus;
    cpus->slots = g_new0(VmCpu, cpus->n);
    g_mutex_init(&cpus->lock);
    return cpus;
}

void
vm_cpus_free(VmCpus *cpus)
{
    if (!cpus)
        return;
    for (unsigned i = 0; i < cpus->n; i++) {
        g_free(cpus->slots[i].id);
        vcpu_free(cpus->slots[i].parked);
    }
    if (cpus->wake)
        g_source_destroy(cpus->wake);
    g_free(cpus->slots);
    g_free(cpus->type);
    g_mutex_clear(&cpus->lock);
    g_free(cpus);
}

const char *
vm_cpu_type(const Vm *vm)
{
    return vm->cpus->type;
}

bool
vm_cpu_is_driver(const char *driver)
{
    return g_str_has_suffix(driver, TYPE_SUFFIX);
}

const char *
vm_cpu_id(const Vm *vm, unsigned index)
{
    return vm->cpus->slots[index].id;
}

bool
vm_cpu_is_present(const Vm *vm, unsigned index)
{
    return vm->machine->config.cpus[index].present;
}

char *
vm_cpu_path(const Vm *vm, unsigned index)
{
    const char *id = vm_cpu_id(vm, index);

    return id ? g_strconcat("/machine/peripheral/", id, NULL)
              : g_strdup_printf("/machine/unattached/device[%u]", index);
}

static Vcpu *
cpus_new_vcpu(Vm *vm, unsigned index, GError **err)
{
    VcpuOps ops = vm_vcpu_ops;

    ops.opaque = vm;
    return vcpu_new(vm->kvm, index, &vm->topology, vm->cpu, vm->machine->mmio, vm->machine->pio,
                    &ops, err);
}

bool
vm_make_vcpus(Vm *vm, GError **err)
{
    if (!vcpu_msr_filter(vm->kvm, vm->cpu, vm->ignore_msrs, err))
        return false;
    for (unsigned i = 0; i < vm->topology.cpus; i++) {
        Vcpu *vcpu = cpus_new_vcpu(vm, i, err);

        if (!vcpu)
            return false;
        g_ptr_array_add(vm->vcpus, vcpu);
    }
    return true;
}

/* ---- coming ---- */

static bool
cpus_number(const char *what, JsonObject *options, const char *key, unsigned count, unsigned *ret,
            GError **err)
{
    uint64_t value = UINT64_MAX;

    if (!keyval_uint(what, options, key, 0, count - 1, &value, err))
        return false;
    /* A level with one place only need not be named. */
    if (value == UINT64_MAX && count > 1)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: a processor wants %s=, 0 to %u",
                              what, key, count - 1);
    *ret = value == UINT64_MAX ? 0 : (unsigned)value;
    return true;
}

static bool
cpus_find_place(Vm *vm, const char *what, JsonObject *options, unsigned *ret, GError **err)
{
    static const char *const legal[] = { "driver",  "id",        "socket-id", "die-id",
                                         "core-id", "thread-id", "node-id",   NULL };
    const Topology *t = &vm->topology;
    const char *driver = keyval_text(options, "driver");
    TopologyPlace want = { 0 };
    uint64_t node = UINT64_MAX;

    if (strcmp(driver, vm->cpus->type))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s: processors of this guest are '%s', not '%s'", what,
                              vm->cpus->type, driver);
    if (!keyval_check(what, options, legal, err) ||
        !cpus_number(what, options, "socket-id", t->sockets, &want.socket, err) ||
        !cpus_number(what, options, "die-id", t->dies, &want.die, err) ||
        !cpus_number(what, options, "core-id", t->cores, &want.core, err) ||
        !cpus_number(what, options, "thread-id", t->threads, &want.thread, err) ||
        !keyval_uint(what, options, "node-id", 0, UINT32_MAX, &node, err))
        return false;
    *ret = ((want.socket * t->dies + want.die) * t->cores + want.core) * t->threads + want.thread;
    if (vm_cpu_is_present(vm, *ret))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s: processor %u, with APIC id %u, is there already", what, *ret,
                              topology_apic_id(t, *ret));
    if (node != UINT64_MAX && node != vm->machine->config.cpus[*ret].node)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s: processor %u is on node %u, not %" PRIu64, what, *ret,
                              vm->machine->config.cpus[*ret].node, node);
    return true;
}

static bool
cpus_check_id(Vm *vm, const char *what, const char *id, GError **err)
{
    bool used = id && machine_device_find(vm->machine, id);

    for (unsigned i = 0; i < vm->cpus->n; i++)
        used |= id && !g_strcmp0(vm->cpus->slots[i].id, id);
    return !used || kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                   "%s: there is a device with the id '%s' already", what, id);
}

static void
cpus_insert(Vm *vm, Vcpu *vcpu)
{
    guint at = 0;

    while (at < vm->vcpus->len && vcpu_index(g_ptr_array_index(vm->vcpus, at)) < vcpu_index(vcpu))
        at++;
    g_ptr_array_insert(vm->vcpus, (gint)at, vcpu);
}

/* The thread of a new vCPU of a guest whose others have theirs. It waits for the guest's own call.
 */
static bool
cpus_start(Vm *vm, Vcpu *vcpu, GError **err)
{
    static const BootEntry without_firmware;

    if (!vcpu_reset(vcpu, vm_boots_firmware(vm) ? NULL : &without_firmware, err) ||
        !vcpu_start(vcpu, err))
        return false;
    if (vm->gdb)
        gdb_arm_vcpu(vm->gdb, vcpu);
    if (vm->state == VM_RUNNING)
        vcpu_resume(vcpu);
    return true;
}

bool
vm_cpu_plug(Vm *vm, const char *what, JsonObject *options, GError **err)
{
    const char *id = keyval_text(options, "id");
    bool started = vcpu_thread_id(g_ptr_array_index(vm->vcpus, 0)) != 0;
    VmCpu *slot;
    Vcpu *vcpu;
    unsigned index = 0;

    if (!cpus_find_place(vm, what, options, &index, err) || !cpus_check_id(vm, what, id, err))
        return false;
    slot = &vm->cpus->slots[index];
    vcpu = slot->parked ? g_steal_pointer(&slot->parked) : cpus_new_vcpu(vm, index, err);
    if (!vcpu)
        return false;
    if (started && !cpus_start(vm, vcpu, err)) {
        vcpu_park(vcpu);
        slot->parked = vcpu;
        return false;
    }
    slot->id = g_strdup(id);
    cpus_insert(vm, vcpu);
    cpu_hotplug_plug(vm->machine, index, started);
    if (!started || vm->state != VM_PRELAUNCH)
        return true;
    /* Firmware and tables begin with it. */
    machine_reset(vm->machine);
    return vm_boot(vm, err);
}

/* ---- going ---- */

bool
vm_cpu_unplug(Vm *vm, const char *id, bool *ret_found, GError **err)
{
    unsigned index = 0;

    while (index < vm->cpus->n && g_strcmp0(vm->cpus->slots[index].id, id))
        index++;
    *ret_found = index < vm->cpus->n;
    if (!*ret_found)
        return false;
    if (index == 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "device_del: a guest cannot do without its first processor");
    cpu_hotplug_unplug(vm->machine, index);
    return true;
}

static void
cpus_remove(Vm *vm, unsigned index)
{
    VmCpu *slot = &vm->cpus->slots[index];
    JsonObject *data = json_object_new();
    g_autofree char *path = vm_cpu_path(vm, index);

    for (guint i = 0; i < vm->vcpus->len; i++)
        if (vcpu_index(g_ptr_array_index(vm->vcpus, i)) == index)
            slot->parked = g_ptr_array_steal_index(vm->vcpus, i);
    if (slot->parked)
        vcpu_park(slot->parked);
    cpu_hotplug_gone(vm->machine, index);
    if (slot->id)
        json_object_set_string_member(data, "device", slot->id);
    json_object_set_string_member(data, "path", path);
    g_clear_pointer(&slot->id, g_free);
    vm_emit(vm, "DEVICE_DELETED", data);
}

static void
cpus_say(Vm *vm, unsigned index, uint32_t event, uint32_t status)
{
    JsonObject *data = json_object_new(), *info = json_object_new();
    g_autofree char *slot = g_strdup_printf("%u", index);

    if (vm->cpus->slots[index].id)
        json_object_set_string_member(info, "device", vm->cpus->slots[index].id);
    json_object_set_string_member(info, "slot", slot);
    json_object_set_string_member(info, "slot-type", "CPU");
    json_object_set_int_member(info, "source", event);
    json_object_set_int_member(info, "status", status);
    json_object_set_object_member(data, "info", info);
    vm_emit(vm, "ACPI_DEVICE_OST", data);
}

static gboolean
cpus_run(void *opaque)
{
    Vm *vm = opaque;
    VmCpus *cpus = vm->cpus;

    g_mutex_lock(&cpus->lock);
    cpus->wake = NULL;
    for (unsigned i = 0; i < cpus->n; i++) {
        VmCpu copy = cpus->slots[i];

        if (!copy.said && !copy.ejected)
            continue;
        cpus->slots[i].said = cpus->slots[i].ejected = false;
        g_mutex_unlock(&cpus->lock);
        if (copy.said)
            cpus_say(vm, i, copy.event, copy.status);
        if (copy.ejected)
            cpus_remove(vm, i);
        g_mutex_lock(&cpus->lock);
    }
    g_mutex_unlock(&cpus->lock);
    return G_SOURCE_REMOVE;
}

/* With the lock held. */
static void
cpus_wake(Vm *vm)
{
    VmCpus *cpus = vm->cpus;

    if (cpus->wake)
        return;
    cpus->wake = g_idle_source_new();
    g_source_set_priority(cpus->wake, G_PRIORITY_DEFAULT);
    g_source_set_callback(cpus->wake, cpus_run, vm, NULL);
    g_source_attach(cpus->wake, NULL);
    g_source_unref(cpus->wake);
}

void
vm_cpu_ejected(void *host, unsigned index)
{
    Vm *vm = host;

    g_mutex_lock(&vm->cpus->lock);
    vm->cpus->slots[index].ejected = true;
    cpus_wake(vm);
    g_mutex_unlock(&vm->cpus->lock);
}

void
vm_cpu_status(void *host, unsigned index, uint32_t event, uint32_t status)
{
    Vm *vm = host;
    VmCpu *slot = &vm->cpus->slots[index];

    g_mutex_lock(&vm->cpus->lock);
    slot->said = true;
    slot->event = event;
    slot->status = status;
    cpus_wake(vm);
    g_mutex_unlock(&vm->cpus->lock);
}
