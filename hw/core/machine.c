/* machine.c - one guest as the devices see it: objects, interrupt lines, clocks, reset.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/machine.h"

#include "hw/core/device.h"
#include "hw/core/timer.h"
#include "hw/display/display.h"
#include "hw/input/input.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

typedef struct {
    char *id;
    void *object;
    GDestroyNotify destroy;
    GPtrArray *users; /* Device */
    bool shared;      /* has room for several */
} MachineObject;

static void
machine_object_free(gpointer data)
{
    MachineObject *object = data;

    if (object->destroy)
        object->destroy(object->object);
    g_ptr_array_unref(object->users);
    g_free(object->id);
    g_free(object);
}

static void
machine_config_copy(MachineConfig *to, const MachineConfig *from)
{
    *to = *from;
    to->name = g_strdup(from->name);
    to->cpus = g_memdup2(from->cpus, from->max_cpus * sizeof(MachineCpu));
    to->nodes = g_memdup2(from->nodes, from->n_nodes * sizeof(MachineNode));
    for (uint32_t i = 0; i < to->n_nodes; i++)
        to->nodes[i].distances = g_memdup2(from->nodes[i].distances, from->n_nodes);
}

static void
machine_config_clear(MachineConfig *config)
{
    for (uint32_t i = 0; i < config->n_nodes; i++)
        g_free(config->nodes[i].distances);
    g_free(config->nodes);
    g_free(config->cpus);
    g_free((char *)config->name);
}

Machine *
machine_new(const MachineConfig *config, const MachineOps *ops, void *host, GMainContext *context)
{
    Machine *machine = g_new0(Machine, 1);

    machine->ops = ops;
    machine->host = host;
    machine_config_copy(&machine->config, config);
    machine->context = g_main_context_ref(context ? context : g_main_context_default());
    machine->memory = guest_memory_new();
    machine->mmio = address_map_new("memory", 0);
    machine->pio = address_map_new("io", 0x10000);
    machine->layout = memory_layout_new(machine);
    for (int i = 0; i < OBJECT_KINDS; i++)
        machine->objects[i] =
            g_hash_table_new_full(g_str_hash, g_str_equal, NULL, machine_object_free);
    machine->timers = g_ptr_array_new();
    machine->devices = g_ptr_array_new();
    machine->devices_by_id = g_hash_table_new(g_str_hash, g_str_equal);
    machine->buses = g_hash_table_new(g_str_hash, g_str_equal);
    g_mutex_init(&machine->devices_lock);
    g_mutex_init(&machine->gsi_lock);
    machine->gsi_levels = g_hash_table_new(NULL, NULL);
    machine->input = input_new(machine->context);
    machine->displays = displays_new(machine->context);
    return machine;
}

void
machine_free(Machine *machine)
{
    if (!machine)
        return;
    while (machine->devices->len > 0)
        device_free(g_ptr_array_index(machine->devices, machine->devices->len - 1));
    for (int i = 0; i < OBJECT_KINDS; i++)
        g_hash_table_unref(machine->objects[i]);
    displays_free(machine->displays);
    input_free(machine->input);
    g_hash_table_unref(machine->gsi_levels);
    g_mutex_clear(&machine->gsi_lock);
    g_mutex_clear(&machine->devices_lock);
    g_hash_table_unref(machine->buses);
    g_hash_table_unref(machine->devices_by_id);
    g_ptr_array_unref(machine->devices);
    g_ptr_array_unref(machine->timers);
    memory_layout_free(machine->layout);
    address_map_free(machine->pio);
    address_map_free(machine->mmio);
    guest_memory_free(machine->memory);
    g_main_context_unref(machine->context);
    machine_config_clear(&machine->config);
    g_free(machine);
}

const char *
machine_object_kind_name(ObjectKind kind)
{
    static const char *const names[OBJECT_KINDS] = {
        [OBJECT_BLOCK_NODE] = "block node", [OBJECT_NETDEV] = "netdev",
        [OBJECT_CHARDEV] = "chardev",       [OBJECT_IOTHREAD] = "iothread",
        [OBJECT_RNG] = "rng object",
    };

    return names[kind];
}

bool
machine_object_add(Machine *machine, ObjectKind kind, const char *id, void *object,
                   GDestroyNotify destroy, GError **err)
{
    MachineObject *entry;

    if (g_hash_table_contains(machine->objects[kind], id))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "there is a %s '%s' already",
                              machine_object_kind_name(kind), id);
    entry = g_new0(MachineObject, 1);
    entry->id = g_strdup(id);
    entry->object = object;
    entry->destroy = destroy;
    entry->users = g_ptr_array_new();
    entry->shared = kind == OBJECT_IOTHREAD;
    g_hash_table_insert(machine->objects[kind], entry->id, entry);
    return true;
}

void *
machine_object_find(Machine *machine, ObjectKind kind, const char *id)
{
    MachineObject *entry = g_hash_table_lookup(machine->objects[kind], id);

    return entry ? entry->object : NULL;
}

void
machine_object_share(Machine *machine, ObjectKind kind, const char *id)
{
    MachineObject *entry = g_hash_table_lookup(machine->objects[kind], id);

    if (entry)
        entry->shared = true;
}

static const char *
machine_user_name(MachineObject *entry)
{
    return ((Device *)g_ptr_array_index(entry->users, 0))->path;
}

bool
machine_object_remove(Machine *machine, ObjectKind kind, const char *id, GError **err)
{
    MachineObject *entry = g_hash_table_lookup(machine->objects[kind], id);

    if (!entry)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "there is no %s '%s'",
                              machine_object_kind_name(kind), id);
    if (entry->users->len > 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "%s '%s' is in use by device '%s'",
                              machine_object_kind_name(kind), id, machine_user_name(entry));
    g_hash_table_remove(machine->objects[kind], id);
    return true;
}

void *
machine_object_claim(Machine *machine, ObjectKind kind, const char *id, Device *user, GError **err)
{
    MachineObject *entry = g_hash_table_lookup(machine->objects[kind], id);

    if (!entry) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "there is no %s '%s'",
                       machine_object_kind_name(kind), id);
        return NULL;
    }
    if (entry->users->len > 0 && !entry->shared) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s '%s' is in use by device '%s' already",
                       machine_object_kind_name(kind), id, machine_user_name(entry));
        return NULL;
    }
    g_ptr_array_add(entry->users, user);
    return entry->object;
}

void
machine_object_release(Machine *machine, ObjectKind kind, const char *id, Device *user)
{
    MachineObject *entry = g_hash_table_lookup(machine->objects[kind], id);

    if (entry)
        g_ptr_array_remove(entry->users, user);
}

static gint
machine_compare_ids(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void
machine_object_visit(Machine *machine, ObjectKind kind, MachineObjectVisit fn, void *opaque)
{
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, machine->objects[kind]);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        g_ptr_array_add(ids, key);
    g_ptr_array_sort(ids, machine_compare_ids);
    for (guint i = 0; i < ids->len; i++) {
        const char *id = g_ptr_array_index(ids, i);

        fn(id, machine_object_find(machine, kind, id), opaque);
    }
}

Device *
machine_device_find(Machine *machine, const char *id)
{
    return g_hash_table_lookup(machine->devices_by_id, id);
}

void
machine_device_visit(Machine *machine, MachineDeviceVisit fn, void *opaque)
{
    for (guint i = 0; i < machine->devices->len; i++)
        fn(g_ptr_array_index(machine->devices, i), opaque);
}

bool
machine_can_hotplug(Machine *machine)
{
    GHashTableIter iter;
    gpointer bus;

    g_hash_table_iter_init(&iter, machine->buses);
    while (g_hash_table_iter_next(&iter, NULL, &bus))
        if (((Bus *)bus)->hotplug)
            return true;
    return false;
}

void
machine_reset(Machine *machine)
{
    address_map_begin(machine->mmio);
    address_map_begin(machine->pio);
    memory_layout_begin(machine->layout);
    for (guint i = machine->devices->len; i > 0; i--) {
        Device *dev = g_ptr_array_index(machine->devices, i - 1);

        for (const DeviceClass *class = dev->class; class; class = class->base) {
            if (class->reset)
                class->reset(dev);
        }
    }
    memory_layout_commit(machine->layout);
    address_map_commit(machine->pio);
    address_map_commit(machine->mmio);
}

static void
device_set_running(Device *dev, bool running)
{
    for (const DeviceClass *class = dev->class; class; class = class->base) {
        if (class->set_running)
            class->set_running(dev, running);
    }
}

void
machine_set_running(Machine *machine, bool running)
{
    if (machine->running == running)
        return;
    machine->running = running;
    /* Users stop before what they stand on, and start after it. */
    for (guint i = 0; i < machine->devices->len; i++) {
        guint at = running ? i : machine->devices->len - 1 - i;

        device_set_running(g_ptr_array_index(machine->devices, at), running);
    }
    for (guint i = 0; running && i < machine->timers->len; i++)
        device_timer_resync(g_ptr_array_index(machine->timers, i));
}

/* Counts how many sources hold @gsi high, and drives the line when that begins or ends. */
static void
machine_gsi_count(Machine *machine, uint32_t gsi, bool up)
{
    gpointer key = GUINT_TO_POINTER(gsi);
    guint level = GPOINTER_TO_UINT(g_hash_table_lookup(machine->gsi_levels, key));

    if (gsi == (uint32_t)GSI_NONE)
        return;
    g_hash_table_insert(machine->gsi_levels, key, GUINT_TO_POINTER(up ? level + 1 : level - 1));
    if (level == (up ? 0 : 1))
        machine->ops->set_gsi(machine->host, gsi, up);
}

void
gsi_source_set(GsiSource *source, bool level)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&source->machine->gsi_lock);

    if (source->level == level)
        return;
    source->level = level;
    machine_gsi_count(source->machine, source->gsi, level);
}

void
gsi_source_disconnect(GsiSource *source)
{
    if (!source->machine)
        return;
    gsi_source_set(source, false);
    source->machine = NULL;
}

void
gsi_source_move(GsiSource *source, uint32_t gsi)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&source->machine->gsi_lock);

    if (source->gsi == gsi)
        return;
    if (source->level)
        machine_gsi_count(source->machine, source->gsi, false);
    source->gsi = gsi;
    if (source->level)
        machine_gsi_count(source->machine, source->gsi, true);
}

static int64_t
machine_host_clock(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

void
machine_default_mac(Machine *machine, uint8_t ret_mac[6])
{
    static const uint8_t first[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

    memcpy(ret_mac, first, sizeof(first));
    ret_mac[5] = (uint8_t)(ret_mac[5] + machine->default_macs++);
}

int64_t
machine_clock_ns(Machine *machine)
{
    if (machine->ops->clock_ns)
        return machine->ops->clock_ns(machine->host);
    return machine_host_clock(CLOCK_MONOTONIC);
}

int64_t
machine_wall_ns(Machine *machine)
{
    if (machine->ops->wall_ns)
        return machine->ops->wall_ns(machine->host);
    return machine_host_clock(CLOCK_REALTIME);
}

int
machine_open_file(Machine *machine, const char *path, int flags, mode_t mode, GError **err)
{
    int fd;

    if (machine->ops->open_file)
        return machine->ops->open_file(machine->host, path, flags, mode, err);
    fd = open(path, flags | O_CLOEXEC, mode);
    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open '%s'", path);
    return fd;
}
