/* vm_devices.c - objects, back ends and devices of the options, made in the order of their needs.
 *
 * The short forms of qemu(1) (-nic, -serial, -parallel; -drive in vm_drives.c) are rewritten as the
 * long ones first.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "block/pool.h"
#include "hw/char/chardev.h"
#include "hw/core/device.h"
#include "hw/core/loop.h"
#include "hw/virtio/rng.h"
#include "launcher/chardev_words.h"
#include "launcher/keyval.h"
#include "launcher/vm.h"
#include "launcher/vm_cpus.h"
#include "launcher/vm_display.h"
#include "launcher/vm_limits.h"
#include "launcher/vm_vnc.h"
#include "net/net.h"
#include "util/error.h"
#include "util/ioloop.h"

static void
devices_set(JsonObject *obj, const char *key, const char *value)
{
    if (value)
        json_object_set_string_member(obj, key, value);
}

/* Moves member @from of @obj to @to as @key, if it is there. */
static void
devices_move(JsonObject *obj, const char *from, JsonObject *to, const char *key)
{
    devices_set(to, key, keyval_text(obj, from));
    json_object_remove_member(obj, from);
}

/* ---- objects ---- */

/* What QEMU's have where nothing is said, and the loops here do without. */
static const char *const devices_loop_without[] = { "poll-grow", "poll-shrink", "aio-max-batch" };

/* The properties that all loops have; @keys: those that this one may. */
static bool
devices_set_loop(const char *what, JsonObject *object, const char *const *keys, IoLoop *loop,
                 GError **err)
{
    uint64_t min = BLOCK_POOL_MIN, max = BLOCK_POOL_MAX;

    if (!keyval_check(what, object, keys, err) ||
        !keyval_uint(what, object, "thread-pool-min", 0, INT_MAX, &min, err) ||
        !keyval_uint(what, object, "thread-pool-max", 0, INT_MAX, &max, err))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(devices_loop_without); i++) {
        uint64_t value = 0;

        if (!keyval_uint(what, object, devices_loop_without[i], 0, INT64_MAX, &value, err))
            return false;
        if (value != 0)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "%s: %s=%" G_GUINT64_FORMAT
                                  " is not supported: it chooses by itself how long it polls and "
                                  "how much it submits; leave it out",
                                  what, devices_loop_without[i], value);
    }
    if (block_pool_set_sizes(loop, (unsigned)min, (unsigned)max, err))
        return true;
    g_prefix_error(err, "%s: ", what);
    return false;
}

static bool
devices_add_iothread(Vm *vm, JsonObject *object, GError **err)
{
    static const char *const keys[] = { "qom-type",
                                        "id",
                                        "poll-max-ns",
                                        "poll-grow",
                                        "poll-shrink",
                                        "aio-max-batch",
                                        "thread-pool-min",
                                        "thread-pool-max",
                                        NULL };
    const char *id = keyval_text(object, "id");
    g_autoptr(IoLoop) loop = NULL;
    uint64_t poll = 0;

    if (!id)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-object iothread: wants id=");
    if (!g_strcmp0(id, vm->main_loop_id))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "there is an object '%s' already",
                              id);
    if (!keyval_uint("-object iothread", object, "poll-max-ns", 0, UINT32_MAX, &poll, err) ||
        !(loop = io_loop_new(id, err)) ||
        !devices_set_loop("-object iothread", object, keys, loop, err))
        return false;
    io_loop_set_busy_poll(loop, poll);
    if (!machine_object_add(vm->machine, OBJECT_IOTHREAD, id, loop, (GDestroyNotify)io_loop_free,
                            err))
        return false;
    (void)g_steal_pointer(&loop);
    return true;
}

/* QEMU's main loop does the work of devices without an I/O thread of their own; here that is
 * another loop. */
static bool
devices_add_main_loop(Vm *vm, JsonObject *object, GError **err)
{
    static const char *const keys[] = { "qom-type",        "id", "aio-max-batch", "thread-pool-min",
                                        "thread-pool-max", NULL };
    const char *id = keyval_text(object, "id");
    IoLoop *loop;

    if (!id)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-object main-loop: wants id=");
    if (vm->main_loop_id)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-object main-loop: there is one already, '%s'", vm->main_loop_id);
    if (machine_object_find(vm->machine, OBJECT_IOTHREAD, id))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "there is an object '%s' already",
                              id);
    loop = machine_io_loop(vm->machine, err);
    if (!loop || !devices_set_loop("-object main-loop", object, keys, loop, err))
        return false;
    vm->main_loop_id = g_strdup(id);
    return true;
}

bool
vm_add_object(Vm *vm, JsonObject *object, GError **err)
{
    const char *type = keyval_text(object, "qom-type");
    g_autoptr(GHashTable) props = NULL;

    if (type && !strcmp(type, "iothread"))
        return devices_add_iothread(vm, object, err);
    if (type && !strcmp(type, "main-loop"))
        return devices_add_main_loop(vm, object, err);
    if (type && !strcmp(type, "throttle-group"))
        return vm_limits_add_object(vm, object, err);
    if (type && vm_vnc_takes_object(type))
        return vm_vnc_add_object(vm, object, err);
    if (!type || !g_str_has_prefix(type, "rng-"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-object %s: no such object, or none that can come later; "
                              "'-object help' lists them",
                              type ? type : "");
    props = keyval_table("-object", object, err);
    return props && rng_object_add(vm->machine, props, err);
}

bool
vm_add_objects(Vm *vm, GError **err)
{
    for (guint i = 0; i < vm->options->objects->len; i++) {
        JsonObject *object = g_ptr_array_index(vm->options->objects, i);

        /* Memory was made before the machine. */
        if (!g_str_has_prefix(keyval_text(object, "qom-type"), "memory-backend-") &&
            !vm_add_object(vm, object, err))
            return false;
    }
    return true;
}

/* ---- back ends ---- */

static int
devices_open_file(void *opaque, const char *path, int flags, GError **err)
{
    return fdset_open(((Vm *)opaque)->fdsets, path, flags, 0, err);
}

/* Standard input and output are one's, and go away in the background. */
static bool
devices_take_stdio(Vm *vm, const char *id, GError **err)
{
    if (vm->options->daemonize)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "chardev '%s': -daemonize leaves no terminal to it; use another back "
                              "end, and -display none for -nographic",
                              id);
    if (vm->stdio_id && machine_object_find(vm->machine, OBJECT_CHARDEV, vm->stdio_id))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "chardev '%s': standard input and output are those of '%s' already; "
                              "with mon:stdio a serial port and the monitor share them",
                              id, vm->stdio_id);
    g_free(vm->stdio_id);
    vm->stdio_id = g_strdup(id);
    return true;
}

/* Checks what concerns more than this one; says so when all waits for a client. */
static bool
devices_check_chardev(Vm *vm, JsonObject *options, GError **err)
{
    const char *id = keyval_text(options, "id"), *type = keyval_text(options, "backend");
    bool server = false, wait;

    if (!type)
        type = keyval_text(options, "type");
    if (!id || !type)
        return true;
    if (!strcmp(type, "stdio"))
        return devices_take_stdio(vm, id, err);
    if (strcmp(type, "socket"))
        return true;
    if (!keyval_bool("-chardev", options, "server", &server, err))
        return false;
    wait = server;
    if (!keyval_bool("-chardev", options, "wait", &wait, err))
        return false;
    if (server && wait)
        vm_warn("chardev '%s' waits for a client before the guest begins; wait=off does not", id);
    return true;
}

bool
vm_add_chardev(Vm *vm, JsonObject *options, GError **err)
{
    g_autoptr(GHashTable) props = keyval_table("-chardev", options, err);
    g_autoptr(Chardev) chardev = NULL;

    if (!props || !devices_check_chardev(vm, options, err))
        return false;
    chardev = chardev_new(vm->machine, props, err);
    if (!chardev || !machine_object_add(vm->machine, OBJECT_CHARDEV, chardev_id(chardev), chardev,
                                        (GDestroyNotify)chardev_free, err))
        return false;
    if (chardev_is_mux(chardev))
        machine_object_share(vm->machine, OBJECT_CHARDEV, chardev_id(chardev));
    g_steal_pointer(&chardev);
    return true;
}

static int
devices_take_fd(void *opaque, const char *text, GError **err)
{
    return vm_take_fd(opaque, text, err);
}

bool
vm_add_netdev(Vm *vm, JsonObject *options, GError **err)
{
    const NetOpenOps ops = {
        .opaque = vm,
        .open_file = devices_open_file,
        .take_fd = devices_take_fd,
    };
    g_autoptr(GHashTable) props = keyval_table("-netdev", options, err);
    NetBackend *backend = props ? net_backend_open(props, &ops, err) : NULL;

    if (!backend)
        return false;
    if (machine_object_add(vm->machine, OBJECT_NETDEV, net_backend_id(backend), backend,
                           (GDestroyNotify)net_backend_free, err))
        return true;
    net_backend_free(backend);
    return false;
}

bool
vm_add_backends(Vm *vm, GError **err)
{
    const Options *o = vm->options;

    for (guint i = 0; i < o->chardevs->len; i++)
        if (!vm_add_chardev(vm, g_ptr_array_index(o->chardevs, i), err))
            return false;
    for (guint i = 0; i < o->blockdevs->len; i++)
        if (!vm_add_blockdev(vm, g_ptr_array_index(o->blockdevs, i), err))
            return false;
    for (guint i = 0; i < o->netdevs->len; i++)
        if (!vm_add_netdev(vm, g_ptr_array_index(o->netdevs, i), err))
            return false;
    return true;
}

/* ---- devices ---- */

/* -global: for each device of that class, where the device itself does not say otherwise. */
static void
devices_apply_globals(Vm *vm, const char *driver, GHashTable *props)
{
    const DeviceClass *class = device_class_find(driver);

    for (guint i = 0; i < vm->options->globals->len; i++) {
        g_autoptr(GList) keys = json_object_get_members(g_ptr_array_index(vm->options->globals, i));

        for (GList *l = keys; l; l = l->next) {
            const char *key = l->data, *dot = strrchr(key, '.'); /* cfi.pflash01.drive */
            g_autofree char *model = dot ? g_strndup(key, (gsize)(dot - key)) : NULL;
            JsonObject *global = g_ptr_array_index(vm->options->globals, i);

            if (model && class && device_class_find(model) == class &&
                !g_hash_table_contains(props, dot + 1))
                g_hash_table_insert(props, g_strdup(dot + 1), g_strdup(keyval_text(global, key)));
        }
    }
}

bool
vm_add_device(Vm *vm, JsonObject *options, GError **err)
{
    const DeviceClass *class;
    const char *driver = keyval_text(options, "driver");
    g_autoptr(GHashTable) props = keyval_table("-device", options, err);

    if (!props)
        return false;
    if (!driver)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-device: wants a name first");
    if (vm_cpu_is_driver(driver))
        return vm_cpu_plug(vm, "-device", options, err);
    class = device_class_find(driver);
    if (class && class->bus == BUS_IDE && !vm_need_ide(vm, err))
        return false;
    devices_apply_globals(vm, driver, props);
    return device_new(vm->machine, driver, props, err) != NULL;
}

/* The device of a -nic model=; NULL with @err when there is none. */
static const char *
devices_nic_model(const char *model, GError **err)
{
    static const char *const models[] = { "virtio", "virtio-net-pci", "e1000", "e1000e",
                                          "rtl8139" };
    g_autoptr(GString) known = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(models); i++) {
        if (!model || !strcmp(model, models[i]))
            return i == 0 ? "virtio-net-pci" : models[i];
        g_string_append_printf(known, "%s%s", i ? ", " : "", models[i]);
    }
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-nic: model=%s is not offered; there are: %s",
                   model, known->str);
    return NULL;
}

static bool
devices_add_nic(Vm *vm, JsonObject *nic, unsigned index, GError **err)
{
    g_autoptr(JsonObject) device = json_object_new();
    const char *type = keyval_text(nic, "type"), *driver;
    g_autofree char *id = g_strdup_printf("nic%u", index);

    if (!g_strcmp0(type, "none"))
        return true;
    driver = devices_nic_model(keyval_text(nic, "model"), err);
    if (!driver)
        return false;
    json_object_remove_member(nic, "model");
    if (!keyval_text(nic, "id"))
        devices_set(nic, "id", id);
    devices_set(device, "driver", driver);
    devices_set(device, "netdev", keyval_text(nic, "id"));
    devices_move(nic, "mac", device, "mac");
    devices_move(nic, "addr", device, "addr");
    return vm_add_netdev(vm, nic, err) && vm_add_device(vm, device, err);
}

bool
vm_add_chardev_words(Vm *vm, const char *what, const char *text, const char *id, GError **err)
{
    g_autofree char *options = chardev_words(what, text, id, err);
    g_autoptr(JsonObject) chardev = options ? keyval_parse(what, options, "backend", err) : NULL;

    return chardev && vm_add_chardev(vm, chardev, err);
}

/* -serial, -parallel and -debugcon: @kind and @index name the back end. */
static bool
devices_add_port(Vm *vm, const char *kind, const char *text, unsigned index, GError **err)
{
    g_autofree char *id = g_strdup_printf("%s%u", kind, index), *number = NULL;
    g_autofree char *driver = g_strconcat("isa-", kind, NULL),
                    *option = g_strconcat("-", kind, NULL);
    g_autoptr(JsonObject) device = json_object_new();

    if (!strcmp(text, "none"))
        return true;
    number = g_strdup_printf("%u", index);
    devices_set(device, "driver", driver);
    if (strcmp(kind, "debugcon"))
        devices_set(device, "index", number);
    if (g_str_has_prefix(text, "chardev:")) {
        devices_set(device, "chardev", text + strlen("chardev:"));
        return vm_add_device(vm, device, err);
    }
    devices_set(device, "chardev", id);
    return vm_add_chardev_words(vm, option, text, id, err) && vm_add_device(vm, device, err);
}

bool
vm_add_devices(Vm *vm, GError **err)
{
    const Options *o = vm->options;

    for (guint i = 0; i < o->serials->len; i++)
        if (!devices_add_port(vm, "serial", g_ptr_array_index(o->serials, i), i, err))
            return false;
    for (guint i = 0; i < o->parallels->len; i++)
        if (!devices_add_port(vm, "parallel", g_ptr_array_index(o->parallels, i), i, err))
            return false;
    if (o->debugcon && !devices_add_port(vm, "debugcon", o->debugcon, 0, err))
        return false;
    if (chardev_words_on_terminal(o) &&
        !devices_add_port(vm, "serial", chardev_words_shared(o, 0) ? "mon:stdio" : "stdio", 0, err))
        return false;
    if (!vm_usb_add_controller(vm, err))
        return false;
    for (guint i = 0; i < o->devices->len; i++)
        if (!vm_add_device(vm, g_ptr_array_index(o->devices, i), err))
            return false;
    if (!vm_add_drive_devices(vm, err) || !vm_display_add_card(vm, err))
        return false;
    for (guint i = 0; i < o->nics->len; i++)
        if (!devices_add_nic(vm, g_ptr_array_index(o->nics, i), i, err))
            return false;
    return vm_usb_add_devices(vm, err) && vm_vnc_start(vm, err);
}
