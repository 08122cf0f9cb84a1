/* vm_devices.c - objects, back ends and devices of the options, made in the order of their needs.
 *
 * The short forms of qemu(1) (-drive, -nic, -serial) are rewritten as the long ones first.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/stat.h>

#include "block/block.h"
#include "hw/char/chardev.h"
#include "hw/core/device.h"
#include "hw/virtio/rng.h"
#include "launcher/keyval.h"
#include "launcher/vm.h"
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
    uint64_t poll = 0;
    IoLoop *loop;

    if (!id)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-object iothread: wants id=");
    if (!keyval_check("-object iothread", object, keys, err) ||
        !keyval_uint("-object iothread", object, "poll-max-ns", 0, UINT32_MAX, &poll, err))
        return false;
    loop = io_loop_new(id, err);
    if (!loop)
        return false;
    io_loop_set_busy_poll(loop, poll);
    return machine_object_add(vm->machine, OBJECT_IOTHREAD, id, loop, (GDestroyNotify)io_loop_free,
                              err);
}

bool
vm_add_objects(Vm *vm, GError **err)
{
    for (guint i = 0; i < vm->options->objects->len; i++) {
        JsonObject *object = g_ptr_array_index(vm->options->objects, i);
        const char *type = keyval_text(object, "qom-type");
        g_autoptr(GHashTable) props = NULL;

        if (g_str_has_prefix(type, "memory-backend-"))
            continue; /* made with the memory, before the machine */
        if (!strcmp(type, "iothread")) {
            if (!devices_add_iothread(vm, object, err))
                return false;
            continue;
        }
        props = keyval_table("-object", object, err);
        if (!props || !rng_object_add(vm->machine, props, err))
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

static BlockNode *
devices_find_node(void *opaque, const char *name)
{
    return machine_object_find(((Vm *)opaque)->machine, OBJECT_BLOCK_NODE, name);
}

/* When the guest ends, its devices are gone by now: what they left in the host's cache must not be
 * lost with the host's power. */
static void
devices_close_node(void *opaque)
{
    BlockNode *node = opaque;
    int r = block_node_flush(node);

    if (r < 0)
        vm_warn("image '%s' cannot be flushed, what was written last may be lost: %s",
                block_node_filename(node), g_strerror(-r));
    block_node_unref(node);
}

static bool
devices_add_blockdev(Vm *vm, JsonObject *options, GError **err)
{
    const BlockOpenOps ops = {
        .opaque = vm,
        .open_file = devices_open_file,
        .find_node = devices_find_node,
    };
    BlockNode *node;

    if (!keyval_text(options, "node-name"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-blockdev: wants node-name=");
    node = block_node_open(options, &ops, err);
    if (!node)
        return false;
    return machine_object_add(vm->machine, OBJECT_BLOCK_NODE, keyval_text(options, "node-name"),
                              node, devices_close_node, err);
}

static bool
devices_add_chardev(Vm *vm, JsonObject *options, GError **err)
{
    g_autoptr(GHashTable) props = keyval_table("-chardev", options, err);
    Chardev *chardev = props ? chardev_new(vm->machine, props, err) : NULL;

    if (!chardev)
        return false;
    return machine_object_add(vm->machine, OBJECT_CHARDEV, chardev_id(chardev), chardev,
                              (GDestroyNotify)chardev_free, err);
}

static int
devices_take_fd(void *opaque, const char *text, GError **err)
{
    return vm_take_fd(opaque, text, err);
}

static bool
devices_add_netdev(Vm *vm, JsonObject *options, GError **err)
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
    return machine_object_add(vm->machine, OBJECT_NETDEV, net_backend_id(backend), backend,
                              (GDestroyNotify)net_backend_free, err);
}

bool
vm_add_backends(Vm *vm, GError **err)
{
    const Options *o = vm->options;

    for (guint i = 0; i < o->chardevs->len; i++)
        if (!devices_add_chardev(vm, g_ptr_array_index(o->chardevs, i), err))
            return false;
    for (guint i = 0; i < o->blockdevs->len; i++)
        if (!devices_add_blockdev(vm, g_ptr_array_index(o->blockdevs, i), err))
            return false;
    for (guint i = 0; i < o->netdevs->len; i++)
        if (!devices_add_netdev(vm, g_ptr_array_index(o->netdevs, i), err))
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
            g_auto(GStrv) parts = g_strsplit(l->data, ".", 2);
            JsonObject *global = g_ptr_array_index(vm->options->globals, i);

            if (parts[0] && parts[1] && class && device_class_find(parts[0]) == class &&
                !g_hash_table_contains(props, parts[1]))
                g_hash_table_insert(props, g_strdup(parts[1]),
                                    g_strdup(keyval_text(global, l->data)));
        }
    }
}

static bool
devices_add_device(Vm *vm, JsonObject *options, GError **err)
{
    const char *driver = keyval_text(options, "driver");
    g_autoptr(GHashTable) props = keyval_table("-device", options, err);

    if (!props)
        return false;
    if (!driver)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-device: wants a name first");
    devices_apply_globals(vm, driver, props);
    return device_new(vm->machine, driver, props, err) != NULL;
}

/* The cache modes of qemu(1): direct, no-flush, and whether the disk tells of a write cache. */
static const struct {
    const char *name;
    bool direct, no_flush, write_cache;
} drive_caches[] = {
    { "none", true, false, true },           { "writeback", false, false, true },
    { "writethrough", false, false, false }, { "directsync", true, false, false },
    { "unsafe", false, true, true },
};

static bool
devices_drive_cache(JsonObject *drive, JsonObject *file, JsonObject *device, GError **err)
{
    const char *name = keyval_text(drive, "cache");

    for (size_t i = 0; i < G_N_ELEMENTS(drive_caches); i++) {
        if (strcmp(drive_caches[i].name, name ? name : "writeback"))
            continue;
        devices_set(file, "cache.direct", drive_caches[i].direct ? "on" : "off");
        devices_set(file, "cache.no-flush", drive_caches[i].no_flush ? "on" : "off");
        devices_set(device, "write-cache", drive_caches[i].write_cache ? "on" : "off");
        json_object_remove_member(drive, "cache");
        return true;
    }
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "-drive: cache=%s; it can be: none, writeback, writethrough, directsync, "
                          "unsafe",
                          name);
}

/* -drive is a file node, a format node over it, and with if=virtio a disk. */
static bool
devices_add_drive(Vm *vm, JsonObject *given, unsigned index, GError **err)
{
    g_autoptr(JsonObject) drive = keyval_parse("-drive", "", NULL, err);
    g_autoptr(JsonObject) file = json_object_new();
    g_autoptr(JsonObject) format = json_object_new();
    g_autoptr(JsonObject) device = json_object_new();
    g_autoptr(GList) members = json_object_get_members(given);
    g_autofree char *id = g_strdup_printf("virtio%u", index), *file_node = NULL;
    const char *bus = keyval_text(given, "if"), *name = keyval_text(given, "file");
    bool read_only = false, snapshot = false, share = false;
    struct stat st;

    for (GList *l = members; l; l = l->next)
        json_object_set_member(drive, l->data, json_object_dup_member(given, l->data));
    if (!name)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-drive: wants file=");
    if (!bus || (strcmp(bus, "virtio") && strcmp(bus, "none")))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-drive file=%s: if=%s is not offered yet; use if=virtio", name,
                              bus ? bus : "ide");
    if (!keyval_bool("-drive", drive, "readonly", &read_only, err) ||
        !keyval_bool("-drive", drive, "read-only", &read_only, err) ||
        !keyval_bool("-drive", drive, "share-rw", &share, err) ||
        !keyval_bool("-drive", drive, "snapshot", &snapshot, err) ||
        !devices_drive_cache(drive, file, device, err))
        return false;
    if (snapshot)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-drive file=%s: snapshot=on is not offered yet", name);
    if (keyval_text(drive, "media") && strcmp(keyval_text(drive, "media"), "disk"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-drive file=%s: media=%s is not offered yet", name,
                              keyval_text(drive, "media"));
    if (keyval_text(drive, "id")) {
        g_free(id);
        id = g_strdup(keyval_text(drive, "id"));
    }
    if (keyval_text(drive, "node-name")) {
        g_free(id);
        id = g_strdup(keyval_text(drive, "node-name"));
    }
    file_node = g_strconcat(id, "-file", NULL);
    devices_set(file, "driver",
                stat(name, &st) == 0 && S_ISBLK(st.st_mode) ? "host_device" : "file");
    devices_set(file, "node-name", file_node);
    devices_set(file, "read-only", read_only ? "on" : "off");
    devices_move(drive, "file", file, "filename");
    devices_move(drive, "aio", file, "aio");
    devices_move(drive, "file.locking", file, "locking");
    devices_move(drive, "discard", file, "discard");
    devices_set(format, "discard", keyval_text(file, "discard"));
    devices_set(format, "driver",
                keyval_text(drive, "format") ? keyval_text(drive, "format") : "raw");
    devices_set(format, "node-name", id);
    devices_set(format, "read-only", read_only ? "on" : "off");
    devices_set(format, "file", file_node);
    devices_move(drive, "detect-zeroes", format, "detect-zeroes");
    if (!devices_add_blockdev(vm, file, err) || !devices_add_blockdev(vm, format, err))
        return false;
    if (!strcmp(bus, "none"))
        return true;
    devices_set(device, "driver", "virtio-blk-pci");
    devices_set(device, "drive", id);
    if (share)
        devices_set(device, "share-rw", "on");
    devices_move(drive, "serial", device, "serial");
    devices_move(drive, "werror", device, "werror");
    devices_move(drive, "rerror", device, "rerror");
    return devices_add_device(vm, device, err);
}

static bool
devices_add_nic(Vm *vm, JsonObject *nic, unsigned index, GError **err)
{
    g_autoptr(JsonObject) device = json_object_new();
    const char *model = keyval_text(nic, "model"), *type = keyval_text(nic, "type");
    g_autofree char *id = g_strdup_printf("nic%u", index);

    if (!g_strcmp0(type, "none"))
        return true;
    if (model && strcmp(model, "virtio") && strcmp(model, "virtio-net-pci"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-nic: model=%s is not offered yet; use model=virtio", model);
    json_object_remove_member(nic, "model");
    if (!keyval_text(nic, "id"))
        devices_set(nic, "id", id);
    devices_set(device, "driver", "virtio-net-pci");
    devices_set(device, "netdev", keyval_text(nic, "id"));
    devices_move(nic, "mac", device, "mac");
    devices_move(nic, "addr", device, "addr");
    return devices_add_netdev(vm, nic, err) && devices_add_device(vm, device, err);
}

bool
vm_add_chardev_words(Vm *vm, const char *what, const char *text, const char *id, GError **err)
{
    g_autoptr(JsonObject) chardev = NULL;
    g_autofree char *options = NULL;
    const char *rest = strchr(text, ':');

    if (!strcmp(text, "mon:stdio"))
        text = "stdio";
    if (!strcmp(text, "stdio") || !strcmp(text, "pty") || !strcmp(text, "null"))
        options = g_strdup_printf("%s,id=%s", text, id);
    else if (g_str_has_prefix(text, "file:"))
        options = g_strdup_printf("file,id=%s,path=%s", id, rest + 1);
    else if (g_str_has_prefix(text, "unix:"))
        options = g_strdup_printf("socket,id=%s,path=%s", id, rest + 1);
    else
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s %s; it can be: stdio, pty, null, file:FILE, unix:PATH,…", what,
                              text);
    chardev = keyval_parse(what, options, "backend", err);
    return chardev && devices_add_chardev(vm, chardev, err);
}

static bool
devices_add_serial(Vm *vm, const char *text, unsigned index, GError **err)
{
    g_autofree char *id = g_strdup_printf("serial%u", index), *number = NULL;
    g_autoptr(JsonObject) device = json_object_new();

    if (!strcmp(text, "none"))
        return true;
    number = g_strdup_printf("%u", index);
    devices_set(device, "driver", "isa-serial");
    devices_set(device, "index", number);
    if (g_str_has_prefix(text, "chardev:")) {
        devices_set(device, "chardev", text + strlen("chardev:"));
        return devices_add_device(vm, device, err);
    }
    devices_set(device, "chardev", id);
    return vm_add_chardev_words(vm, "-serial", text, id, err) &&
           devices_add_device(vm, device, err);
}

bool
vm_add_devices(Vm *vm, GError **err)
{
    const Options *o = vm->options;

    for (guint i = 0; i < o->serials->len; i++)
        if (!devices_add_serial(vm, g_ptr_array_index(o->serials, i), i, err))
            return false;
    if (o->nographic && o->serials->len == 0 && !o->nodefaults &&
        !devices_add_serial(vm, "stdio", 0, err))
        return false;
    for (guint i = 0; i < o->devices->len; i++)
        if (!devices_add_device(vm, g_ptr_array_index(o->devices, i), err))
            return false;
    for (guint i = 0; i < o->drives->len; i++)
        if (!devices_add_drive(vm, g_ptr_array_index(o->drives, i), i, err))
            return false;
    for (guint i = 0; i < o->nics->len; i++)
        if (!devices_add_nic(vm, g_ptr_array_index(o->nics, i), i, err))
            return false;
    return true;
}
