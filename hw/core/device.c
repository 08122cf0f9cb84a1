/* device.c - making, resetting and freeing devices by their classes' tables.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/device.h"

#include "hw/core/props.h"
#include "util/error.h"

#include <stdarg.h>
#include <string.h>

bool
device_class_is(const DeviceClass *class, const DeviceClass *base)
{
    for (; class; class = class->base) {
        if (class == base)
            return true;
    }
    return false;
}

bool
device_error(Device *dev, GError **err, int code, const char *format, ...)
{
    g_autofree char *detail = NULL;
    va_list args;

    va_start(args, format);
    detail = g_strdup_vprintf(format, args);
    va_end(args);
    if (dev->id)
        return kiln_error_set(err, code, "device '%s' (%s): %s", dev->id, dev->class->name, detail);
    return kiln_error_set(err, code, "device %s: %s", dev->class->name, detail);
}

bool
bus_add(Machine *machine, Bus *bus, GError **err)
{
    if (g_hash_table_contains(machine->buses, bus->name))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "there is a bus '%s' already",
                              bus->name);
    g_hash_table_insert(machine->buses, (char *)bus->name, bus);
    return true;
}

void
bus_remove(Machine *machine, Bus *bus)
{
    if (bus->name && g_hash_table_lookup(machine->buses, bus->name) == bus)
        g_hash_table_remove(machine->buses, bus->name);
}

static gint
bus_compare_names(gconstpointer a, gconstpointer b)
{
    const Bus *x = *(Bus *const *)a, *y = *(Bus *const *)b;

    return strcmp(x->name, y->name);
}

Bus *
bus_find(Machine *machine, BusKind kind, const char *name, GError **err)
{
    static const char *const kinds[] = { "system", "ISA",  "PCI", "virtio-serial",
                                         "IDE",    "SCSI", "USB" };
    g_autoptr(GPtrArray) found = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    if (name) {
        Bus *bus = g_hash_table_lookup(machine->buses, name);

        if (!bus)
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "there is no bus '%s'", name);
        else if (bus->kind != kind)
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "bus '%s' is a %s bus, not a %s bus",
                           name, kinds[bus->kind], kinds[kind]);
        else
            return bus;
        return NULL;
    }
    g_hash_table_iter_init(&iter, machine->buses);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Bus *bus = value;

        if (bus->kind == kind && (!bus->owner || kind >= BUS_VIRTIO_SERIAL))
            g_ptr_array_add(found, bus);
    }
    if (found->len == 0) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "there is no %s bus to plug it into",
                       kinds[kind]);
        return NULL;
    }
    g_ptr_array_sort(found, bus_compare_names);
    return g_ptr_array_index(found, 0);
}

static void
device_add_nodes(Device *dev, const DeviceClass *class, GString *path)
{
    g_autofree char *node = NULL;

    if (class->base)
        device_add_nodes(dev, class->base, path);
    node = class->firmware_node ? class->firmware_node(dev) : NULL;
    if (node)
        g_string_append_printf(path, "/%s", node);
}

char *
device_firmware_path(Device *dev)
{
    g_autofree char *parent =
        dev->bus && dev->bus->owner ? device_firmware_path(dev->bus->owner) : NULL;
    GString *path = g_string_new(parent ? parent : "");

    device_add_nodes(dev, dev->class, path);
    return g_string_free(path, FALSE);
}

static bool
device_realize(Device *dev, const DeviceClass *class, GError **err)
{
    if (class->base && !device_realize(dev, class->base, err))
        return false;
    return !class->realize || class->realize(dev, err);
}

static void
device_ready(Device *dev, const DeviceClass *class)
{
    if (class->base)
        device_ready(dev, class->base);
    if (class->ready)
        class->ready(dev);
}

/* A name that saved state can find again in a machine made by the same options. */
static char *
device_make_path(Machine *machine, const DeviceClass *class, const char *id)
{
    unsigned same = 0;

    if (id)
        return g_strdup_printf("/%s", id);
    for (guint i = 0; i < machine->devices->len; i++) {
        Device *other = g_ptr_array_index(machine->devices, i);

        if (other->class == class && !other->id)
            same++;
    }
    return g_strdup_printf("%s[%u]", class->name, same);
}

static Device *
device_make(Machine *machine, const DeviceClass *class, GHashTable *props, GError **err)
{
    const char *id = g_hash_table_lookup(props, "id");
    const char *bus = g_hash_table_lookup(props, "bus");
    Device *dev;

    if (id && machine_device_find(machine, id)) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "there is a device with id '%s' already",
                       id);
        return NULL;
    }
    dev = g_malloc0(class->state_size);
    dev->class = class;
    dev->machine = machine;
    dev->id = g_strdup(id);
    dev->path = device_make_path(machine, class, id);
    g_mutex_init(&dev->lock);
    g_mutex_lock(&machine->devices_lock);
    g_ptr_array_add(machine->devices, dev);
    g_mutex_unlock(&machine->devices_lock);
    if (id)
        g_hash_table_insert(machine->devices_by_id, dev->id, dev);

    if (class->bus == BUS_SYSTEM && bus) {
        device_error(dev, err, VIR_ERR_CONFIG_UNSUPPORTED, "it is plugged into no bus, not '%s'",
                     bus);
        goto fail;
    }
    if (class->bus != BUS_SYSTEM) {
        dev->bus = bus_find(machine, class->bus, bus, err);
        if (!dev->bus) {
            g_prefix_error(err, "device %s: ", class->name);
            goto fail;
        }
        dev->bus->children++;
    }
    if (!props_apply(dev, props, err) || !device_realize(dev, class, err))
        goto fail;
    dev->realized = true;
    device_ready(dev, class);
    return dev;
fail:
    device_free(dev);
    return NULL;
}

/* @props with what the variant adds where they do not say otherwise. */
static GHashTable *
device_variant_props(const DeviceVariant *variant, GHashTable *props)
{
    GHashTable *all = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer name, value;

    for (unsigned i = 0; variant->defaults[i]; i += 2)
        g_hash_table_insert(all, (char *)variant->defaults[i], (char *)variant->defaults[i + 1]);
    g_hash_table_iter_init(&iter, props);
    while (g_hash_table_iter_next(&iter, &name, &value))
        g_hash_table_insert(all, name, value);
    return all;
}

Device *
device_new(Machine *machine, const char *driver, GHashTable *props, GError **err)
{
    const DeviceClass *class = device_class_find(driver);
    const DeviceVariant *variant = class ? device_variant_find(class, driver) : NULL;
    g_autoptr(GHashTable) all = variant ? device_variant_props(variant, props) : NULL;

    if (!class || class->abstract) {
        const char *nearest = NULL;
        unsigned best = 5;
        size_t n;
        const DeviceClass *const *list = device_class_list(&n);

        for (size_t i = 0; i < n; i++) {
            unsigned d = props_distance(driver, list[i]->name);

            if (d < best && 2 * d < strlen(driver) && !list[i]->abstract && !list[i]->board) {
                best = d;
                nearest = list[i]->name;
            }
        }
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "there is no device model '%s'%s%s%s; see -device help", driver,
                       nearest ? ", did you mean '" : "", nearest ? nearest : "",
                       nearest ? "'" : "");
        return NULL;
    }
    if (class->board) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "device model '%s' is part of the board and cannot be added", driver);
        return NULL;
    }
    return device_make(machine, class, all ? all : props, err);
}

Device *
device_new_board(Machine *machine, const char *driver, GError **err, ...)
{
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    const DeviceClass *class = device_class_find(driver);
    const char *name;
    va_list args;

    va_start(args, err);
    while ((name = va_arg(args, const char *)) != NULL)
        g_hash_table_insert(props, (char *)name, va_arg(args, char *));
    va_end(args);
    if (!class) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "this build has no device model '%s'", driver);
        return NULL;
    }
    return device_make(machine, class, props, err);
}

void
device_free(Device *dev)
{
    Machine *machine = dev->machine;
    GSource *unplug;

    g_mutex_lock(&machine->devices_lock);
    dev->realized = false;
    unplug = g_steal_pointer(&dev->unplug);
    g_mutex_unlock(&machine->devices_lock);
    if (unplug)
        g_source_destroy(unplug);
    for (const DeviceClass *class = dev->class; class; class = class->base) {
        if (class->unrealize)
            class->unrealize(dev);
    }
    props_clear(dev);
    if (dev->bus)
        dev->bus->children--;
    if (dev->id && g_hash_table_lookup(machine->devices_by_id, dev->id) == dev)
        g_hash_table_remove(machine->devices_by_id, dev->id);
    g_mutex_lock(&machine->devices_lock);
    g_ptr_array_remove(machine->devices, dev);
    g_mutex_unlock(&machine->devices_lock);
    g_mutex_clear(&dev->lock);
    g_free(dev->id);
    g_free(dev->path);
    g_free(dev);
}

char *
device_help_classes(void)
{
    GString *text = g_string_new(NULL);
    size_t n;
    const DeviceClass *const *list = device_class_list(&n);

    for (size_t i = 0; i < n; i++) {
        static const char *const buses[] = { "",          ", bus ISA",
                                             ", bus PCI", ", bus virtio-serial",
                                             ", bus IDE", ", bus SCSI",
                                             ", bus USB" };
        const DeviceClass *class = list[i];

        if (class->abstract || class->board)
            continue;
        g_string_append_printf(text, "name \"%s\"%s", class->name, buses[class->bus]);
        for (size_t j = 0; class->aliases && class->aliases[j]; j++)
            g_string_append_printf(text, ", alias \"%s\"", class->aliases[j]);
        for (const DeviceVariant *v = class->variants; v && v->name; v++)
            g_string_append_printf(text, ", alias \"%s\"", v->name);
        if (class->description)
            g_string_append_printf(text, ", desc \"%s\"", class->description);
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}

char *
device_help_props(const DeviceClass *class)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%s options:\n", class->name);
    for (; class; class = class->base) {
        for (size_t i = 0; i < class->n_props; i++) {
            const DeviceProp *prop = &class->props[i];
            g_autofree char *names =
                prop->kind == PROP_ENUM ? g_strjoinv(", ", (char **)prop->names) : NULL;

            g_string_append_printf(text, "  %s=<%s>", prop->name,
                                   names ? names : props_kind_name(prop->kind));
            if (prop->help)
                g_string_append_printf(text, " - %s", prop->help);
            if (prop->fallback)
                g_string_append_printf(text, " (default: %s)", prop->fallback);
            if (prop->required)
                g_string_append(text, " (required)");
            g_string_append_c(text, '\n');
        }
    }
    return g_string_free(text, FALSE);
}
