/* manager.c - the table of node devices: finding, listing, events.
 *
 * Who is above whom is looked up in the paths of sysfs when somebody asks, so that the order in
 * which devices come does not matter.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/nodedev/private.h"
#include "util/error.h"

#define COMPUTER "computer"

typedef struct {
    char *name, *syspath; /* no path: the computer */
    DeviceCap cap;
    unsigned flags;
    char *wwnn, *wwpn; /* NULL unless a host adapter */
} Device;

struct NodeDevices {
    const NodeDeviceOps *ops;
    void *opaque;
    DeviceSource *source;

    GMutex start; /* held while the source starts; taken before lock */
    bool started; /* with start */
    bool told;    /* clients may have seen the table: changes are events. With lock */

    GMutex binding; /* held while a device changes hands; alone */

    GMutex lock;         /* the tables */
    GHashTable *by_name; /* name → Device, owned */
    GHashTable *by_path; /* path → the same */
};

static void
device_free(gpointer opaque)
{
    Device *device = opaque;

    g_free(device->name);
    g_free(device->syspath);
    g_free(device->wwnn);
    g_free(device->wwpn);
    g_free(device);
}

NodeDevices *
node_devices_new_from(DeviceSource *source, const NodeDeviceOps *ops, void *opaque)
{
    NodeDevices *devices = g_new0(NodeDevices, 1);

    devices->source = source;
    devices->ops = ops;
    devices->opaque = opaque;
    g_mutex_init(&devices->start);
    g_mutex_init(&devices->binding);
    g_mutex_init(&devices->lock);
    devices->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, device_free);
    devices->by_path = g_hash_table_new(g_str_hash, g_str_equal);
    return devices;
}

NodeDevices *
node_devices_new(const NodeDeviceOps *ops, void *opaque)
{
    return node_devices_new_from(device_source_udev(), ops, opaque);
}

void
node_devices_free(NodeDevices *devices)
{
    if (!devices)
        return;
    devices->source->free(devices->source);
    g_hash_table_unref(devices->by_path);
    g_hash_table_unref(devices->by_name);
    g_mutex_clear(&devices->lock);
    g_mutex_clear(&devices->binding);
    g_mutex_clear(&devices->start);
    g_free(devices);
}

/* --- devices come and go; with the lock held -------------------------------------------------- */

static void
enter(NodeDevices *devices, Device *device)
{
    g_hash_table_insert(devices->by_name, device->name, device);
    if (device->syspath)
        g_hash_table_insert(devices->by_path, device->syspath, device);
}

static void
drop(NodeDevices *devices, Device *device)
{
    if (device->syspath)
        g_hash_table_remove(devices->by_path, device->syspath);
    g_hash_table_remove(devices->by_name, device->name);
}

static void
tell_lifecycle(NodeDevices *devices, const char *name, int event)
{
    if (devices->told)
        devices->ops->lifecycle(devices->opaque, name, event);
}

static void
remove_path(NodeDevices *devices, const char *syspath)
{
    Device *device = g_hash_table_lookup(devices->by_path, syspath);

    if (!device)
        return;
    tell_lifecycle(devices, device->name, VIR_NODE_DEVICE_EVENT_DELETED);
    drop(devices, device);
}

static void
add_device(NodeDevices *devices, Device *device)
{
    Device *same = g_hash_table_lookup(devices->by_name, device->name);
    Device *there = g_hash_table_lookup(devices->by_path, device->syspath);

    /* The same place under another name: another medium, another MAC. */
    if (there && there != same)
        remove_path(devices, device->syspath);
    if (same)
        drop(devices, same);
    enter(devices, device);
    if (!same)
        tell_lifecycle(devices, device->name, VIR_NODE_DEVICE_EVENT_CREATED);
    else if (devices->told)
        devices->ops->updated(devices->opaque, device->name);
}

/* NULL for what clients are not told of. */
static Device *
device_from(const char *root, const DeviceFacts *facts)
{
    int cap = device_cap(facts);
    char *name = cap < 0 ? NULL : device_name(root, facts, (DeviceCap)cap);
    Device *device;

    if (!name)
        return NULL;
    device = g_new0(Device, 1);
    device->name = name;
    device->syspath = g_strdup(facts->syspath);
    device->cap = (DeviceCap)cap;
    device->flags = device_flags(root, facts, device->cap);
    if (cap == CAP_SCSI_HOST) {
        device->wwnn = device_wwn(root, facts, "node_name");
        device->wwpn = device_wwn(root, facts, "port_name");
    }
    return device;
}

static void
found(void *opaque, const char *action, const DeviceFacts *facts)
{
    NodeDevices *devices = opaque;
    bool moved = strcmp(action, "move") == 0;
    const char *old = moved ? device_property(facts, "DEVPATH_OLD") : NULL;
    Device *device = NULL;

    if (moved || strcmp(action, "add") == 0 || strcmp(action, "change") == 0)
        device = device_from(devices->source->root, facts);
    g_mutex_lock(&devices->lock);
    if (old) {
        g_autofree char *path = g_strdup_printf("/sys%s", old);

        remove_path(devices, path);
    }
    if (device)
        add_device(devices, device);
    else if (strcmp(action, "remove") == 0)
        remove_path(devices, facts->syspath);
    g_mutex_unlock(&devices->lock);
}

void
node_devices_watch(NodeDevices *devices)
{
    g_mutex_lock(&devices->start);
    if (!devices->started) {
        Device *computer = g_new0(Device, 1);

        devices->started = true;
        computer->name = g_strdup(COMPUTER);
        computer->cap = CAP_SYSTEM;
        computer->flags = 1U << CAP_SYSTEM;
        g_mutex_lock(&devices->lock);
        enter(devices, computer);
        g_mutex_unlock(&devices->lock);
        devices->source->start(devices->source, found, devices);
        g_mutex_lock(&devices->lock);
        devices->told = true;
        g_mutex_unlock(&devices->lock);
    }
    g_mutex_unlock(&devices->start);
}

/* --- finding ---------------------------------------------------------------------------------- */

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *
node_devices_list(NodeDevices *devices, unsigned flags)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    unsigned states = VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE | VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE;
    GHashTableIter iter;
    gpointer value;

    node_devices_watch(devices);
    /* All of them are active: those that are not would be mediated devices to be made. */
    if ((flags & states) == VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE)
        return names;
    g_mutex_lock(&devices->lock);
    g_hash_table_iter_init(&iter, devices->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Device *device = value;

        if (!(flags & ~states) || (device->flags & flags))
            g_ptr_array_add(names, g_strdup(device->name));
    }
    g_mutex_unlock(&devices->lock);
    g_ptr_array_sort(names, compare_names);
    return names;
}

unsigned
node_device_cap_flag(const char *cap)
{
    for (int i = 0; i < CAP_COUNT; i++)
        if (strcmp(cap, device_cap_name((DeviceCap)i)) == 0)
            return 1U << i;
    return 0;
}

/* With the lock held, borrowed; the lock is let go of when it fails. */
static const Device *
lock_device(NodeDevices *devices, const char *name, GError **err)
{
    const Device *device;

    node_devices_watch(devices);
    g_mutex_lock(&devices->lock);
    device = g_hash_table_lookup(devices->by_name, name);
    if (device)
        return device;
    g_mutex_unlock(&devices->lock);
    kiln_error_set(err, VIR_ERR_NO_NODE_DEVICE, "no node device with matching name '%s'", name);
    return NULL;
}

bool
node_devices_has(NodeDevices *devices, const char *name, GError **err)
{
    if (!lock_device(devices, name, err))
        return false;
    g_mutex_unlock(&devices->lock);
    return true;
}

char *
node_devices_find_wwn(NodeDevices *devices, const char *wwnn, const char *wwpn, GError **err)
{
    GHashTableIter iter;
    gpointer value;
    char *name = NULL;

    node_devices_watch(devices);
    g_mutex_lock(&devices->lock);
    g_hash_table_iter_init(&iter, devices->by_name);
    while (!name && g_hash_table_iter_next(&iter, NULL, &value)) {
        const Device *device = value;

        if (g_strcmp0(device->wwnn, wwnn) == 0 && g_strcmp0(device->wwpn, wwpn) == 0)
            name = g_strdup(device->name);
    }
    g_mutex_unlock(&devices->lock);
    if (!name)
        kiln_error_set(err, VIR_ERR_NO_NODE_DEVICE,
                       "no node device with matching wwnn '%s' and wwpn '%s'", wwnn, wwpn);
    return name;
}

/* With the lock held: the name of the nearest device above @device, NULL above the computer. */
static const char *
parent_of(const NodeDevices *devices, const Device *device)
{
    g_autofree char *path = g_strdup(device->syspath);
    char *slash;

    if (!path)
        return NULL;
    while ((slash = strrchr(path, '/'))) {
        const Device *above;

        *slash = '\0';
        above = g_hash_table_lookup(devices->by_path, path);
        if (above)
            return above->name;
    }
    return COMPUTER;
}

bool
node_device_parent(NodeDevices *devices, const char *name, char **ret_parent, GError **err)
{
    const Device *device = lock_device(devices, name, err);

    if (!device)
        return false;
    *ret_parent = g_strdup(parent_of(devices, device));
    g_mutex_unlock(&devices->lock);
    return true;
}

GPtrArray *
node_device_caps(NodeDevices *devices, const char *name, GError **err)
{
    const Device *device = lock_device(devices, name, err);
    GPtrArray *caps;

    if (!device)
        return NULL;
    caps = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(caps, g_strdup(device_cap_name(device->cap)));
    for (int i = 0; i < CAP_COUNT; i++)
        if ((device->flags & (1U << i)) && i != (int)device->cap)
            g_ptr_array_add(caps, g_strdup(device_cap_name((DeviceCap)i)));
    g_mutex_unlock(&devices->lock);
    return caps;
}

/* What the device of @path is now. */
static DeviceFacts *
look_at(NodeDevices *devices, const char *name, const char *path, GError **err)
{
    DeviceFacts *facts = devices->source->look(devices->source, path);

    if (!facts)
        kiln_error_set(err, VIR_ERR_NO_NODE_DEVICE, "no node device with matching name '%s'", name);
    return facts;
}

char *
node_device_xml(NodeDevices *devices, const char *name, GError **err)
{
    const Device *device = lock_device(devices, name, err);
    g_autofree char *path = NULL, *parent = NULL;
    g_autoptr(DeviceFacts) facts = NULL;
    DeviceCap cap;

    if (!device)
        return NULL;
    path = g_strdup(device->syspath);
    parent = g_strdup(parent_of(devices, device));
    cap = device->cap;
    g_mutex_unlock(&devices->lock);
    if (path && !(facts = look_at(devices, name, path, err)))
        return NULL;
    return device_format(devices->source->root, facts, cap, name, parent);
}

DeviceSource *
node_devices_lock_pci(NodeDevices *devices, const char *name, DeviceFacts **ret, GError **err)
{
    const Device *device = lock_device(devices, name, err);
    g_autofree char *path = NULL;

    if (!device)
        return NULL;
    if (device->cap == CAP_PCI)
        path = g_strdup(device->syspath);
    g_mutex_unlock(&devices->lock);
    if (!path) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "device %s is not a PCI device", name);
        return NULL;
    }
    g_mutex_lock(&devices->binding);
    if ((*ret = look_at(devices, name, path, err)))
        return devices->source;
    g_mutex_unlock(&devices->binding);
    return NULL;
}

void
node_devices_unlock_pci(NodeDevices *devices)
{
    g_mutex_unlock(&devices->binding);
}
