/* udev.c - devices of the host through libudev (systemd 252), and what happens to them.
 *
 * Where udevd runs its own messages are listened to, which come when it has named the device; else
 * the kernel's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <glib-unix.h>
#include <libudev.h>
#include <string.h>
#include <unistd.h>

#include "driver/nodedev/private.h"
#include "util/file.h"

typedef struct {
    DeviceSource source;
    GMutex lock; /* libudev's context is no thread's in particular, but one at a time's */
    struct udev *udev;
    struct udev_monitor *monitor;
    GSource *watch;
    DeviceFound found;
    void *opaque;
} UdevSource;

/* Subsystems without devices that clients are told of, but with many. */
static const char *const passed_over[] = {
    "acpi", "tty", "vc", "i2c", "cpu", "memory", "workqueue"
};

static DeviceFacts *
facts_of(struct udev_device *device)
{
    DeviceFacts *facts = device_facts_new(udev_device_get_syspath(device));
    g_autoptr(GPtrArray) links = g_ptr_array_new();
    struct udev_list_entry *entry;

    facts->subsystem = g_strdup(udev_device_get_subsystem(device));
    facts->sysname = g_strdup(udev_device_get_sysname(device));
    facts->devtype = g_strdup(udev_device_get_devtype(device));
    facts->driver = g_strdup(udev_device_get_property_value(device, "DRIVER"));
    facts->devnode = g_strdup(udev_device_get_devnode(device));
    udev_list_entry_foreach(entry, udev_device_get_properties_list_entry(device))
        g_hash_table_replace(facts->properties, g_strdup(udev_list_entry_get_name(entry)),
                             g_strdup(udev_list_entry_get_value(entry)));
    udev_list_entry_foreach(entry, udev_device_get_devlinks_list_entry(device))
        g_ptr_array_add(links, g_strdup(udev_list_entry_get_name(entry)));
    g_ptr_array_add(links, NULL);
    facts->links = (char **)g_ptr_array_free(g_steal_pointer(&links), FALSE);
    return facts;
}

static DeviceFacts *
udev_look(DeviceSource *source, const char *syspath)
{
    UdevSource *self = (UdevSource *)source;
    struct udev_device *device;
    DeviceFacts *facts = NULL;

    g_mutex_lock(&self->lock);
    device = udev_device_new_from_syspath(self->udev, syspath);
    if (device) {
        facts = facts_of(device);
        udev_device_unref(device);
    }
    g_mutex_unlock(&self->lock);
    return facts;
}

static gboolean
udev_happened(gint fd, GIOCondition condition, gpointer opaque)
{
    UdevSource *self = opaque;

    (void)fd;
    (void)condition;
    for (;;) {
        g_autoptr(DeviceFacts) facts = NULL;
        g_autofree char *action = NULL;
        struct udev_device *device;

        g_mutex_lock(&self->lock);
        device = udev_monitor_receive_device(self->monitor);
        if (device) {
            action = g_strdup(udev_device_get_action(device));
            facts = facts_of(device);
            udev_device_unref(device);
        }
        g_mutex_unlock(&self->lock);
        if (!facts)
            return G_SOURCE_CONTINUE;
        self->found(self->opaque, action ? action : "", facts);
    }
}

static void
watch(UdevSource *self)
{
    const char *whose = access("/run/udev/control", F_OK) == 0 ? "udev" : "kernel";

    self->monitor = udev_monitor_new_from_netlink(self->udev, whose);
    if (!self->monitor)
        return;
    /* Best effort: thousands of devices come at once when a big disk array does. */
    udev_monitor_set_receive_buffer_size(self->monitor, 1024 * 1024);
    if (udev_monitor_enable_receiving(self->monitor) < 0)
        return;
    self->watch = g_unix_fd_source_new(udev_monitor_get_fd(self->monitor), G_IO_IN);
    g_source_set_callback(self->watch, G_SOURCE_FUNC(udev_happened), self, NULL);
    g_source_attach(self->watch, NULL);
}

static void
udev_start(DeviceSource *source, DeviceFound found, void *opaque)
{
    UdevSource *self = (UdevSource *)source;
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    struct udev_enumerate *all;
    struct udev_list_entry *entry;

    g_mutex_lock(&self->lock);
    self->found = found;
    self->opaque = opaque;
    /* Watched first: what comes while we look is told twice, not never. */
    watch(self);
    all = udev_enumerate_new(self->udev);
    for (size_t i = 0; i < G_N_ELEMENTS(passed_over); i++)
        udev_enumerate_add_nomatch_subsystem(all, passed_over[i]);
    udev_enumerate_scan_devices(all);
    udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(all))
        g_ptr_array_add(paths, g_strdup(udev_list_entry_get_name(entry)));
    udev_enumerate_unref(all);
    g_mutex_unlock(&self->lock);
    for (guint i = 0; i < paths->len; i++) {
        g_autoptr(DeviceFacts) facts = udev_look(source, paths->pdata[i]);

        if (facts)
            found(opaque, "add", facts);
    }
}

static void
udev_free(DeviceSource *source)
{
    UdevSource *self = (UdevSource *)source;

    if (self->watch) {
        g_source_destroy(self->watch);
        g_source_unref(self->watch);
    }
    if (self->monitor)
        udev_monitor_unref(self->monitor);
    udev_unref(self->udev);
    g_mutex_clear(&self->lock);
    g_free(self);
}

static int
udev_write(DeviceSource *source, const char *path, const char *text)
{
    (void)source;
    return file_put_setting(path, text);
}

static bool
udev_load(DeviceSource *source, const char *module)
{
    const char *argv[] = { "/sbin/modprobe", "-b", module, NULL };
    int status;

    (void)source;
    return g_spawn_sync(NULL, (char **)argv, NULL,
                        G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL,
                        NULL, &status, NULL) &&
           g_spawn_check_wait_status(status, NULL);
}

DeviceSource *
device_source_udev(void)
{
    UdevSource *self = g_new0(UdevSource, 1);

    g_mutex_init(&self->lock);
    self->source = (DeviceSource){ "", udev_start, udev_look, udev_free, udev_write, udev_load };
    self->udev = udev_new();
    return &self->source;
}
