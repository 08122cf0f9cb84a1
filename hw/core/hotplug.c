/* hotplug.c - devices that come and go while the guest runs.
 *
 * Events and their order: QEMU 7.2 qapi/qdev.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/device.h"

#include "util/error.h"

const BusHotplug bus_hotplug_plain = { 0 };

static void
hotplug_set_running(Device *dev, const DeviceClass *class)
{
    if (class->base)
        hotplug_set_running(dev, class->base);
    if (class->set_running)
        class->set_running(dev, true);
}

static bool
hotplug_check(Machine *machine, const DeviceClass *class, GHashTable *props, GError **err)
{
    const char *name = g_hash_table_lookup(props, "bus");
    Bus *bus;

    if (!class->hotpluggable)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "Device '%s' does not support hotplugging", class->name);
    bus = bus_find(machine, class->bus, name, err);
    if (!bus)
        return false;
    if (!bus->hotplug)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "Bus '%s' does not support hotplugging", bus->name);
    return !bus->hotplug->check || bus->hotplug->check(bus, props, err);
}

Device *
device_plug(Machine *machine, const char *driver, GHashTable *props, GError **err)
{
    const DeviceClass *class = device_class_find(driver);
    Device *dev;

    if (class && !class->abstract && !class->board && !hotplug_check(machine, class, props, err))
        return NULL;
    dev = device_new(machine, driver, props, err);
    if (!dev)
        return NULL;
    if (machine->running)
        hotplug_set_running(dev, dev->class);
    if (dev->bus->hotplug->plugged)
        dev->bus->hotplug->plugged(dev->bus, dev);
    return dev;
}

bool
device_unplug(Device *dev, GError **err)
{
    if (!dev->class->hotpluggable || !dev->bus || !dev->bus->hotplug)
        return device_error(dev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "it does not support hotplugging");
    /* Asking again is allowed: the guest may not have listened the first time. */
    __atomic_store_n(&dev->unplugging, true, __ATOMIC_SEQ_CST);
    if (dev->bus->hotplug->unplug) {
        if (dev->bus->hotplug->unplug(dev->bus, dev, err))
            return true;
        __atomic_store_n(&dev->unplugging, false, __ATOMIC_SEQ_CST);
        return false;
    }
    device_unplug_later(dev);
    return true;
}

static JsonObject *
hotplug_event(const Device *dev)
{
    JsonObject *data = json_object_new();
    g_autofree char *path = g_strdup_printf("/machine/peripheral%s%s", dev->id ? "/" : "-anon/",
                                            dev->id ? dev->id : dev->path);

    if (dev->id)
        json_object_set_string_member(data, "device", dev->id);
    json_object_set_string_member(data, "path", path);
    return data;
}

void
device_delete(Device *dev)
{
    Machine *machine = dev->machine;
    JsonObject *data = hotplug_event(dev);

    for (guint i = machine->devices->len; i > 0; i = MIN(i - 1, machine->devices->len)) {
        Device *child = g_ptr_array_index(machine->devices, i - 1);

        if (child->bus && child->bus->owner == dev)
            device_delete(child);
    }
    device_free(dev);
    machine->ops->event(machine->host, "DEVICE_DELETED", data);
}

static gboolean
hotplug_free_source(gpointer opaque)
{
    device_delete(opaque);
    return G_SOURCE_REMOVE;
}

void
device_unplug_later(Device *dev)
{
    Machine *machine = dev->machine;

    g_mutex_lock(&machine->devices_lock);
    /* One that is being freed stays in reach of the guest for a while: that must not begin anew. */
    if (!dev->unplug && dev->realized) {
        dev->unplug = g_idle_source_new();
        g_source_set_priority(dev->unplug, G_PRIORITY_DEFAULT);
        g_source_set_callback(dev->unplug, hotplug_free_source, dev, NULL);
        g_source_attach(dev->unplug, machine->context);
        g_source_unref(dev->unplug);
    }
    g_mutex_unlock(&machine->devices_lock);
}

void
device_unplug_refused(Device *dev)
{
    Machine *machine = dev->machine;

    __atomic_store_n(&dev->unplugging, false, __ATOMIC_SEQ_CST);
    machine->ops->event(machine->host, "DEVICE_UNPLUG_GUEST_ERROR", hotplug_event(dev));
}
