/* vm_drives.c - disks by the short options: -drive, -hda to -hdd, -cdrom.
 *
 * qemu-system-x86_64(1), "Block device options". Each becomes a file node, a format node over it
 * and, unless if=none, a device named as the drive.
 *
 * Leaves out: floppies, pflash (which are other rooms').
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "block/image.h"
#include "hw/core/device.h"
#include "launcher/keyval.h"
#include "launcher/vm.h"
#include "launcher/vm_limits.h"
#include "launcher/vm_overlay.h"
#include "launcher/vm_secrets.h"
#include "launcher/vm_tls.h"
#include "util/error.h"

static void
drives_set(JsonObject *obj, const char *key, const char *value)
{
    if (value)
        json_object_set_string_member(obj, key, value);
}

/* Moves member @from of @obj to @to as @key, if it is there. */
static void
drives_move(JsonObject *obj, const char *from, JsonObject *to, const char *key)
{
    drives_set(to, key, keyval_text(obj, from));
    json_object_remove_member(obj, from);
}

/* ---- images ---- */

static int
drives_open_file(void *opaque, const char *path, int flags, GError **err)
{
    return fdset_open(((Vm *)opaque)->fdsets, path, flags, 0, err);
}

static BlockNode *
drives_find_node(void *opaque, const char *name)
{
    return machine_object_find(((Vm *)opaque)->machine, OBJECT_BLOCK_NODE, name);
}

/* When the guest ends, its devices are gone by now: what they left in the host's cache must not be
 * lost with the host's power. */
static void
drives_close_node(void *opaque)
{
    BlockNode *node = opaque;
    int r = block_node_flush(node);

    if (r < 0)
        vm_warn("image '%s' cannot be flushed, what was written last may be lost: %s",
                block_node_filename(node), g_strerror(-r));
    block_node_unref(node);
}

/* The format of @options without a driver is guessed by the image's first bytes. */
static bool
drives_add_node(Vm *vm, JsonObject *options, GError **err)
{
    BlockOpenOps ops = {
        .opaque = vm,
        .open_file = drives_open_file,
        .find_node = drives_find_node,
        .inactive = vm->images_away,
    };
    bool guess = !keyval_text(options, "driver");
    BlockNode *node;

    vm_secrets_serve(&ops);
    vm_tls_serve(&ops);
    vm_limits_serve(&ops);
    node = guess ? block_node_open_probed(options, &ops, err) : block_node_open(options, &ops, err);
    if (!node)
        return false;
    if (guess && !strcmp(block_node_driver(node), "raw") && !block_node_read_only(node))
        vm_warn("image '%s' has no format= and looks raw: the guest may not write first bytes that "
                "look like another format; say format=raw to let it",
                block_node_filename(node));
    if ((!block_node_needs_zstd(node) || !vm->need_zstd || vm->need_zstd(err)) &&
        machine_object_add(vm->machine, OBJECT_BLOCK_NODE, keyval_text(options, "node-name"), node,
                           drives_close_node, err))
        return true;
    block_node_unref(node);
    return false;
}

typedef struct {
    bool take, good;
    GError **err;
} DrivesHandover;

static void
drives_hand_over(const char *id, void *object, void *opaque)
{
    DrivesHandover *h = opaque;

    (void)id;
    if (h->good)
        h->good =
            h->take ? block_node_activate(object, h->err) : block_node_deactivate(object, h->err);
}

bool
vm_images_give(Vm *vm, GError **err)
{
    DrivesHandover h = { false, true, err };

    vm->images_away = true;
    machine_object_visit(vm->machine, OBJECT_BLOCK_NODE, drives_hand_over, &h);
    return h.good;
}

bool
vm_images_take(Vm *vm, GError **err)
{
    DrivesHandover h = { true, true, err };

    machine_object_visit(vm->machine, OBJECT_BLOCK_NODE, drives_hand_over, &h);
    vm->images_away = !h.good;
    return h.good;
}

bool
vm_add_blockdev(Vm *vm, JsonObject *options, GError **err)
{
    if (!keyval_text(options, "node-name"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-blockdev: wants node-name=");
    if (!keyval_text(options, "driver"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-blockdev: wants driver=");
    return drives_add_node(vm, options, err);
}

/* Options of the protocol node for a file name as people type it: a path, file:PATH, nbd://… */
static JsonObject *
drives_file(const char *filename, GError **err)
{
    if (!g_str_has_prefix(filename, "json:"))
        return block_filename_options(filename, err);
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                   "'%s': a file name that is a block node is not taken here; use -blockdev",
                   filename);
    return NULL;
}

bool
vm_add_image(Vm *vm, const char *node, const char *format, const char *filename, GError **err)
{
    g_autoptr(JsonObject) options = json_object_new();
    JsonObject *file = drives_file(filename, err);

    if (!file)
        return false;
    drives_set(file, "read-only", "on");
    drives_set(options, "driver", format);
    drives_set(options, "node-name", node);
    drives_set(options, "read-only", "on");
    json_object_set_object_member(options, "file", file);
    return vm_add_blockdev(vm, options, err);
}

/* ---- -drive ---- */

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
drives_cache(JsonObject *drive, JsonObject *file, JsonObject *device, GError **err)
{
    const char *name = keyval_text(drive, "cache");

    for (size_t i = 0; i < G_N_ELEMENTS(drive_caches); i++) {
        if (strcmp(drive_caches[i].name, name ? name : "writeback"))
            continue;
        drives_set(file, "cache.direct", drive_caches[i].direct ? "on" : "off");
        drives_set(file, "cache.no-flush", drive_caches[i].no_flush ? "on" : "off");
        drives_set(device, "write-cache", drive_caches[i].write_cache ? "on" : "off");
        json_object_remove_member(drive, "cache");
        return true;
    }
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "-drive: cache=%s; it can be: none, writeback, writethrough, directsync, "
                          "unsafe",
                          name);
}

/* Where a drive goes: interface, medium, bus and unit. */
typedef struct {
    const char *interface;
    bool cdrom;
    uint64_t bus, unit;
    bool read_only, share, throw_away;
} DrivePlace;

bool
vm_need_ide(Vm *vm, GError **err)
{
    if (bus_find(vm->machine, BUS_IDE, "ide.0", NULL))
        return true;
    return device_new_board(vm->machine, "ich9-ahci", err, "bus", "pcie.0", "addr", "1f.2", NULL) !=
           NULL;
}

/* Units of one bus of the interface on this machine. */
static unsigned
drives_units(Vm *vm, const char *interface)
{
    if (!strcmp(interface, "ide"))
        return bus_find(vm->machine, BUS_IDE, "ide.2", NULL) ? 1 : 2;
    return !strcmp(interface, "scsi") ? 7 : 1;
}

static bool
drives_taken(Vm *vm, const DrivePlace *place)
{
    for (guint i = 0; i < vm->drive_devices->len; i++) {
        JsonObject *other = g_ptr_array_index(vm->drive_devices, i);

        if (!strcmp(json_object_get_string_member(other, "#if"), place->interface) &&
            (uint64_t)json_object_get_int_member(other, "#bus") == place->bus &&
            (uint64_t)json_object_get_int_member(other, "#unit") == place->unit)
            return true;
    }
    return false;
}

static unsigned
drives_ide_places(Vm *vm, unsigned units)
{
    for (unsigned n = 0;; n++) {
        g_autofree char *bus = g_strdup_printf("ide.%u", n);

        if (!bus_find(vm->machine, BUS_IDE, bus, NULL))
            return n * units;
    }
}

static bool
drives_place(Vm *vm, JsonObject *drive, DrivePlace *place, GError **err)
{
    static const char *const interfaces[] = { "ide", "scsi", "virtio", "none", NULL };
    const char *name = keyval_text(drive, "file"), *media = keyval_text(drive, "media");
    uint64_t index = UINT64_MAX, units;
    bool placed = json_object_has_member(drive, "bus") || json_object_has_member(drive, "unit");

    place->interface = keyval_text(drive, "if") ? keyval_text(drive, "if") : "ide";
    if (!g_strv_contains(interfaces, place->interface))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-drive: if=%s is not offered; it can be: ide, scsi, virtio, none",
                              place->interface);
    if (media && strcmp(media, "disk") && strcmp(media, "cdrom"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-drive: media=%s; it can be: disk, cdrom", media);
    place->cdrom = !g_strcmp0(media, "cdrom");
    if (place->cdrom && !strcmp(place->interface, "virtio"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-drive: media=cdrom wants if=ide or if=scsi, not if=virtio");
    if (!name && !(place->cdrom && strcmp(place->interface, "none")))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-drive: wants file=");
    place->read_only = place->cdrom;
    place->throw_away = vm->options->snapshot;
    if (!keyval_bool("-drive", drive, "readonly", &place->read_only, err) ||
        !keyval_bool("-drive", drive, "read-only", &place->read_only, err) ||
        !keyval_bool("-drive", drive, "share-rw", &place->share, err) ||
        !keyval_bool("-drive", drive, "snapshot", &place->throw_away, err) ||
        !keyval_uint("-drive", drive, "index", 0, 255, &index, err) ||
        !keyval_uint("-drive", drive, "bus", 0, 255, &place->bus, err) ||
        !keyval_uint("-drive", drive, "unit", 0, 255, &place->unit, err))
        return false;
    place->throw_away = place->throw_away && !place->read_only;
    if (!strcmp(place->interface, "ide") && !vm_need_ide(vm, err))
        return false;
    units = drives_units(vm, place->interface);
    if (index != UINT64_MAX) {
        place->bus = index / units;
        place->unit = index % units;
        placed = true;
    }
    for (index = 0; !placed && drives_taken(vm, place); index++) {
        place->bus = (index + 1) / units;
        place->unit = (index + 1) % units;
    }
    if (!strcmp(place->interface, "ide")) {
        g_autofree char *bus = g_strdup_printf("ide.%u", (unsigned)place->bus);

        if (place->unit >= units || !bus_find(vm->machine, BUS_IDE, bus, NULL))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-drive: bus=%u,unit=%u (index=%u): this machine has %u places "
                                  "for if=ide; use if=virtio or if=scsi",
                                  (unsigned)place->bus, (unsigned)place->unit,
                                  (unsigned)(place->bus * units + place->unit),
                                  drives_ide_places(vm, units));
    }
    if (strcmp(place->interface, "none") && drives_taken(vm, place))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-drive: there is a drive at if=%s, bus %u, unit %u already",
                              place->interface, (unsigned)place->bus, (unsigned)place->unit);
    return true;
}

static char *
drives_name(JsonObject *drive, const DrivePlace *place)
{
    if (keyval_text(drive, "node-name"))
        return g_strdup(keyval_text(drive, "node-name"));
    if (keyval_text(drive, "id"))
        return g_strdup(keyval_text(drive, "id"));
    if (!strcmp(place->interface, "virtio") || !strcmp(place->interface, "none"))
        return g_strdup_printf("%s%u", place->interface, (unsigned)place->bus);
    return g_strdup_printf("%s%u-%s%u", place->interface, (unsigned)place->bus,
                           place->cdrom ? "cd" : "hd", (unsigned)place->unit);
}

static void
drives_copy_member(JsonObject *from, const char *name, JsonNode *value, void *to)
{
    (void)from;
    json_object_set_member(to, name, json_node_copy(value));
}

/* Limits are those of the image that the guest has. */
static void
drives_move_limits(JsonObject *drive, JsonObject *to)
{
    g_autoptr(GList) keys = json_object_get_members(drive);

    for (GList *l = keys; l; l = l->next) {
        g_autofree char *key = g_strdup(l->data);

        if (g_str_has_prefix(key, "throttling."))
            drives_move(drive, key, to, key);
    }
}

static bool
drives_add_image(Vm *vm, JsonObject *drive, JsonObject *more, const DrivePlace *place,
                 const char *name, GError **err)
{
    g_autoptr(JsonObject) format = json_object_new();
    g_autoptr(JsonObject) file = drives_file(keyval_text(drive, "file"), err);
    g_autofree char *file_node = g_strconcat(name, "-file", NULL);
    g_autofree char *base = g_strconcat(name, place->throw_away ? "-base" : "", NULL);
    const char *read_only = place->read_only || place->throw_away ? "on" : "off";
    g_autoptr(JsonObject) overlay = json_object_new();

    if (!file)
        return false;
    json_object_foreach_member(more, drives_copy_member, file);
    json_object_remove_member(drive, "file");
    drives_set(file, "node-name", file_node);
    drives_set(file, "read-only", read_only);
    drives_move(drive, "aio", file, "aio");
    drives_move(drive, "file.locking", file, "locking");
    drives_move(drive, "discard", file, "discard");
    drives_set(format, "discard", keyval_text(file, "discard"));
    drives_set(format, "driver", keyval_text(drive, "format"));
    drives_set(format, "node-name", base);
    drives_set(format, "read-only", read_only);
    drives_set(format, "file", file_node);
    drives_move_limits(drive, place->throw_away ? overlay : format);
    drives_move(drive, "detect-zeroes", place->throw_away ? overlay : format, "detect-zeroes");
    if (!drives_add_node(vm, file, err) || !drives_add_node(vm, format, err))
        return false;
    drives_set(overlay, "node-name", name);
    drives_set(overlay, "discard", keyval_text(format, "discard"));
    return !place->throw_away || vm_add_overlay(vm, base, overlay, err);
}

/* What vm_add_drive_devices() will make; "#…" is for us. */
static void
drives_plan(Vm *vm, JsonObject *drive, JsonObject *device, const DrivePlace *place,
            const char *name, bool has_image)
{
    g_autofree char *bus = NULL, *unit = g_strdup_printf("%u", (unsigned)place->unit);

    drives_set(device, "#if", place->interface);
    json_object_set_int_member(device, "#bus", (int64_t)place->bus);
    json_object_set_int_member(device, "#unit", (int64_t)place->unit);
    if (has_image)
        drives_set(device, "drive", name);
    if (!strcmp(place->interface, "virtio")) {
        drives_set(device, "driver", "virtio-blk-pci");
    } else if (!strcmp(place->interface, "scsi")) {
        bus = g_strdup_printf("scsi%u.0", (unsigned)place->bus);
        drives_set(device, "driver", place->cdrom ? "scsi-cd" : "scsi-hd");
        drives_set(device, "bus", bus);
        drives_set(device, "scsi-id", unit);
        drives_set(device, "id", name);
    } else {
        bus = g_strdup_printf("ide.%u", (unsigned)place->bus);
        drives_set(device, "driver", place->cdrom ? "ide-cd" : "ide-hd");
        drives_set(device, "bus", bus);
        drives_set(device, "unit", unit);
        drives_set(device, "id", name);
    }
    if (place->share)
        drives_set(device, "share-rw", "on");
    drives_move(drive, "serial", device, "serial");
    drives_move(drive, "werror", device, "werror");
    drives_move(drive, "rerror", device, "rerror");
    g_ptr_array_add(vm->drive_devices, json_object_ref(device));
}

static bool
drives_add(Vm *vm, JsonObject *given, GError **err)
{
    g_autoptr(JsonObject) drive = json_object_new();
    g_autoptr(JsonObject) file = json_object_new();
    g_autoptr(JsonObject) device = json_object_new();
    g_autoptr(GList) members = json_object_get_members(given);
    g_autofree char *name = NULL;
    DrivePlace place = { 0 };
    bool has_image;

    for (GList *l = members; l; l = l->next)
        json_object_set_member(drive, l->data, json_object_dup_member(given, l->data));
    if (!drives_place(vm, drive, &place, err) || !drives_cache(drive, file, device, err))
        return false;
    name = drives_name(drive, &place);
    if (machine_object_find(vm->machine, OBJECT_BLOCK_NODE, name))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-drive: there is a drive or block node '%s' already; give this one "
                              "another id=",
                              name);
    has_image = keyval_text(drive, "file") != NULL;
    if (has_image && !drives_add_image(vm, drive, file, &place, name, err))
        return false;
    if (strcmp(place.interface, "none"))
        drives_plan(vm, drive, device, &place, name, has_image);
    return true;
}

/* -hda FILE and its like: drive @index of the board's first controller. */
static bool
drives_add_short(Vm *vm, const char *filename, unsigned index, bool cdrom, GError **err)
{
    g_autoptr(JsonObject) drive = json_object_new();
    g_autofree char *number = g_strdup_printf("%u", index);

    if (!filename)
        return true;
    drives_set(drive, "file", filename);
    drives_set(drive, "if", "ide");
    drives_set(drive, "index", number);
    drives_set(drive, "media", cdrom ? "cdrom" : "disk");
    return drives_add(vm, drive, err);
}

bool
vm_add_drive_images(Vm *vm, GError **err)
{
    const Options *o = vm->options;

    if (!drives_add_short(vm, o->hda, 0, false, err) ||
        !drives_add_short(vm, o->hdb, 1, false, err) ||
        !drives_add_short(vm, o->hdc, 2, false, err) ||
        !drives_add_short(vm, o->hdd, 3, false, err) ||
        !drives_add_short(vm, o->cdrom, 2, true, err))
        return false;
    for (guint i = 0; i < o->drives->len; i++) {
        JsonObject *drive = g_ptr_array_index(o->drives, i);

        /* Flash is made by vm_firmware.c. */
        if (g_strcmp0(keyval_text(drive, "if"), "pflash") && !drives_add(vm, drive, err))
            return false;
    }
    return true;
}

/* A controller for if=scsi, unless a -device made one. */
static bool
drives_need_scsi(Vm *vm, unsigned number, GError **err)
{
    g_autofree char *bus = g_strdup_printf("scsi%u.0", number), *id = NULL;
    g_autoptr(JsonObject) device = json_object_new();

    if (bus_find(vm->machine, BUS_SCSI, bus, NULL))
        return true;
    id = g_strdup_printf("scsi%u", number);
    drives_set(device, "driver", "virtio-scsi-pci");
    drives_set(device, "id", id);
    return vm_add_device(vm, device, err);
}

bool
vm_add_drive_devices(Vm *vm, GError **err)
{
    for (guint i = 0; i < vm->drive_devices->len; i++) {
        JsonObject *device = g_ptr_array_index(vm->drive_devices, i);

        if (!strcmp(json_object_get_string_member(device, "#if"), "scsi") &&
            !drives_need_scsi(vm, (unsigned)json_object_get_int_member(device, "#bus"), err))
            return false;
        json_object_remove_member(device, "#if");
        json_object_remove_member(device, "#bus");
        json_object_remove_member(device, "#unit");
        if (!vm_add_device(vm, device, err))
            return false;
    }
    g_ptr_array_set_size(vm->drive_devices, 0);
    return true;
}
