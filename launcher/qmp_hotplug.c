/* qmp_hotplug.c - QMP commands that add devices and back ends to a guest, and take them away.
 *
 * QEMU 7.2 qapi/{qdev,net,char}.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "block/secrets.h"
#include "hw/char/chardev.h"
#include "hw/core/device.h"
#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "launcher/sandbox.h"
#include "launcher/vm_cpus.h"
#include "launcher/vm_vnc.h"
#include "util/error.h"

/* A descriptor that came by getfd becomes its number. */
static bool
take_vhostfd(Vm *vm, const char *driver, GHashTable *props, GError **err)
{
    const char *name = driver && g_str_has_prefix(driver, "vhost-vsock")
                           ? g_hash_table_lookup(props, "vhostfd")
                           : NULL;
    int fd = name ? vm_take_fd(vm, name, err) : 0;

    if (name && fd >= 0)
        g_hash_table_replace(props, g_strdup("vhostfd"), g_strdup_printf("%d", fd));
    return fd >= 0;
}

QMP_HANDLER(qmp_device_add)
{
    const char *driver = keyval_text(args, "driver");
    g_autoptr(GHashTable) props = keyval_table("device_add", args, err);

    if (!props || !take_vhostfd(qmp_session_vm(session), driver, props, err))
        return NULL;
    if (!driver)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'driver' is missing");
    else if (vm_cpu_is_driver(driver))
        vm_cpu_plug(qmp_session_vm(session), "device_add", args, err);
    else
        device_plug(qmp_session_vm(session)->machine, driver, props, err);
    return NULL;
}

QMP_HANDLER(qmp_device_del)
{
    const char *id = json_object_get_string_member(args, "id");
    const char *prefix = "/machine/peripheral/";
    bool is_cpu;
    Device *dev;

    if (g_str_has_prefix(id, prefix))
        id += strlen(prefix);
    if (vm_cpu_unplug(qmp_session_vm(session), id, &is_cpu, err) || is_cpu)
        return NULL;
    dev = machine_device_find(qmp_session_vm(session)->machine, id);
    if (!dev)
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "Device '%s' not found", id);
    else if (dev->unplug)
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                       "Device %s is already in the process of unplug", id);
    else
        device_unplug(dev, err);
    return NULL;
}

QMP_HANDLER(qmp_netdev_add)
{
    Vm *vm = qmp_session_vm(session);

    if (!g_strcmp0(keyval_text(args, "type"), "user") && vm->confine &&
        !sandbox_has_user_network(vm->options))
        kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                       "netdev_add: the sandbox of this guest has no network for type=user; start "
                       "the guest with -netdev user, or with -sandbox off");
    else
        vm_add_netdev(vm, args, err);
    return NULL;
}

QMP_HANDLER(qmp_netdev_del)
{
    machine_object_remove(qmp_session_vm(session)->machine, OBJECT_NETDEV,
                          json_object_get_string_member(args, "id"), err);
    return NULL;
}

QMP_HANDLER(qmp_chardev_remove)
{
    machine_object_remove(qmp_session_vm(session)->machine, OBJECT_CHARDEV,
                          json_object_get_string_member(args, "id"), err);
    return NULL;
}

/* Objects that a running guest can still get: their kinds share one space of names. */
static const ObjectKind hotplug_kinds[] = { OBJECT_IOTHREAD, OBJECT_RNG };

QMP_HANDLER(qmp_object_add)
{
    Vm *vm = qmp_session_vm(session);
    const char *type = keyval_text(args, "qom-type");

    if (!g_strcmp0(type, "tls-creds-x509") && vm->confine)
        kiln_error_set(
            err, VIR_ERR_OPERATION_UNSUPPORTED,
            "object-add: the sandbox of this guest has no files to read a %s from; start "
            "the guest with -object %s",
            type, type);
    else
        vm_add_object(vm, args, err);
    return NULL;
}

QMP_HANDLER(qmp_object_del)
{
    Machine *machine = qmp_session_vm(session)->machine;
    const char *id = json_object_get_string_member(args, "id");

    if (block_secrets_remove(qmp_session_vm(session)->secrets, id))
        return NULL;
    if (!g_strcmp0(id, qmp_session_vm(session)->main_loop_id)) {
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                       "object '%s' is in use, can not be deleted: it is the main loop", id);
        return NULL;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(hotplug_kinds); i++) {
        if (machine_object_find(machine, hotplug_kinds[i], id)) {
            machine_object_remove(machine, hotplug_kinds[i], id, err);
            return NULL;
        }
    }
    kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "object '%s' not found", id);
    return NULL;
}
