/* core.c - USB buses and ports, plugging devices into them, and packets to them.
 *
 * Universal Serial Bus 2.0, chapters 4, 8 and 10.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/usb.h"
#include "hw/core/iov.h"
#include "util/error.h"

/* ---- buses ---- */

bool
usb_bus_init(UsbBus *bus, Device *owner, const char *name, const UsbBusOps *ops, void *opaque,
             IoLoop *loop, unsigned n, unsigned speeds, GError **err)
{
    unsigned number = 0;

    bus->ops = ops;
    bus->opaque = opaque;
    bus->lock = &owner->lock;
    bus->loop = loop;
    bus->n_ports = n;
    bus->ports = g_new0(UsbPort, n);
    for (unsigned i = 0; i < n; i++)
        bus->ports[i] = (UsbPort){ .bus = bus, .number = i + 1, .speeds = speeds };
    if (owner->id) {
        bus->name = g_strdup_printf("%s.0", owner->id);
    } else {
        do {
            g_free(bus->name);
            bus->name = g_strdup_printf("%s.%u", name, number++);
        } while (g_hash_table_contains(owner->machine->buses, bus->name));
    }
    bus->bus = (Bus){ .name = bus->name,
                      .kind = BUS_USB,
                      .owner = owner,
                      .impl = bus,
                      .hotplug = &bus_hotplug_plain };
    return bus_add(owner->machine, &bus->bus, err);
}

void
usb_bus_fini(UsbBus *bus)
{
    if (bus->bus.owner)
        bus_remove(bus->bus.owner->machine, &bus->bus);
    g_clear_pointer(&bus->ports, g_free);
    g_clear_pointer(&bus->name, g_free);
    bus->n_ports = 0;
}

bool
usb_bus_join(UsbBus *bus, Device *device, unsigned first, unsigned n,
             const UsbCompanionOps *companion, void *opaque, GError **err)
{
    if (!bus->ops->joined)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "masterbus=%s: the controller of that bus (%s) has no companions; it "
                            "has to be an EHCI one",
                            bus->bus.name, bus->bus.owner->class->name);
    if (first > bus->n_ports || n > bus->n_ports - first)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "firstport=%u: bus '%s' has %u ports, so that it may be 0 to %u", first,
                            bus->bus.name, bus->n_ports, bus->n_ports - n);
    for (unsigned i = 0; i < n; i++) {
        if (bus->ports[first + i].companion)
            return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                "firstport=%u: port %u of bus '%s' has a companion controller "
                                "already",
                                first, first + i, bus->bus.name);
    }
    g_mutex_lock(bus->lock);
    for (unsigned i = 0; i < n; i++) {
        UsbPort *port = &bus->ports[first + i];

        port->companion = companion;
        port->companion_opaque = opaque;
        port->companion_port = i;
        port->speeds |= 1u << USB_LOW | 1u << USB_FULL;
        bus->ops->joined(bus, port);
    }
    g_mutex_unlock(bus->lock);
    return true;
}

void
usb_bus_leave(UsbBus *bus, void *opaque)
{
    g_mutex_lock(bus->lock);
    for (unsigned i = 0; i < bus->n_ports; i++) {
        UsbPort *port = &bus->ports[i];

        if (!port->companion || port->companion_opaque != opaque)
            continue;
        port->companion = NULL;
        port->speeds &= ~(1u << USB_LOW | 1u << USB_FULL);
        if (port->given)
            port->enabled = false;
        port->given = false;
    }
    g_mutex_unlock(bus->lock);
}

char *
usb_port_path(const UsbPort *port)
{
    g_autofree char *before = NULL;

    if (!port->hub)
        return g_strdup_printf("%u", port->number);
    before = usb_port_path(port->hub->port);
    return g_strdup_printf("%s.%u", before, port->number);
}

static unsigned
port_depth(const UsbPort *port)
{
    unsigned depth = 0;

    for (; port->hub; port = port->hub->port)
        depth++;
    return depth;
}

static UsbPort *
device_ports(UsbDevice *dev, unsigned *ret_n)
{
    *ret_n = 0;
    return dev && dev->class->ports ? dev->class->ports(dev, ret_n) : NULL;
}

/* ---- plugging ---- */

/* The port that "1.2" names, NULL with @err. */
static UsbPort *
bus_find_port(UsbBus *bus, UsbDevice *dev, const char *path, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);
    UsbPort *ports = bus->ports, *port = NULL;
    unsigned n = bus->n_ports;

    for (unsigned i = 0; parts[i]; i++) {
        guint64 number;

        if (!g_ascii_string_to_unsigned(parts[i], 10, 1, n ? n : 1, &number, NULL) || n == 0) {
            device_error(&dev->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                         "bus '%s' has no port '%s': %s", bus->bus.name, path,
                         port && n == 0 ? "there is no hub on the way" : "the number is too high");
            return NULL;
        }
        port = &ports[number - 1];
        ports = device_ports(port->dev, &n);
    }
    if (port && port->dev) {
        device_error(&dev->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                     "port '%s' of bus '%s' is taken by %s", path, bus->bus.name,
                     port->dev->device.class->name);
        return NULL;
    }
    return port;
}

static UsbPort *
free_port(UsbPort *ports, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!ports[i].dev)
            return &ports[i];
    }
    for (unsigned i = 0; i < n; i++) {
        unsigned m;
        UsbPort *below = device_ports(ports[i].dev, &m), *found = free_port(below, m);

        if (found)
            return found;
    }
    return NULL;
}

UsbSpeed
usb_device_best_speed(const UsbDevice *dev, unsigned speeds)
{
    for (int speed = USB_SUPER; speed >= USB_LOW; speed--) {
        if (dev->usb_version == 1 && speed > USB_FULL)
            continue;
        if (dev->class->config[speed] && (speeds & 1u << speed))
            return (UsbSpeed)speed;
    }
    return USB_SPEEDS;
}

UsbPort *
usb_device_root_port(const UsbDevice *dev)
{
    UsbPort *port = dev->port;

    while (port->hub)
        port = port->hub->port;
    return port;
}

static bool
usb_device_realize(Device *device, GError **err)
{
    UsbDevice *dev = usb_device(device);
    UsbBus *bus = device->bus->impl;
    UsbPort *port;

    dev->class = device->class->details;
    if (dev->port_path) {
        port = bus_find_port(bus, dev, dev->port_path, err);
        if (!port)
            return false;
    } else {
        port = free_port(bus->ports, bus->n_ports);
        if (!port)
            return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                "every port of bus '%s' is taken: plug in a usb-hub first",
                                bus->bus.name);
    }
    if (port_depth(port) > USB_DEPTH_MAX)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "it is behind %u hubs, at most %d may follow one another",
                            port_depth(port), USB_DEPTH_MAX);
    dev->speed = usb_device_best_speed(dev, port->speeds);
    if (dev->speed == USB_SPEEDS)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "it has no speed in common with port %u of bus '%s'", port->number,
                            bus->bus.name);
    dev->port = port;
    return true;
}

/* The guest sees the device only when all of it is there. */
static void
usb_device_ready(Device *device)
{
    UsbDevice *dev = usb_device(device);
    UsbPort *port = dev->port;

    usb_lock(dev);
    port->dev = dev;
    port->enabled = false;
    if (!port->hub)
        port->bus->ops->attached(port->bus, port, true);
    else
        usb_wakeup(port->hub, 16 + 1);
    usb_unlock(dev);
}

static void
usb_device_unrealize(Device *device)
{
    UsbDevice *dev = usb_device(device);
    UsbPort *port = dev->port;

    if (!port)
        return;
    usb_lock(dev);
    dev->gone = true;
    if (port->dev == dev) {
        if (!port->hub && port->bus->ports)
            port->bus->ops->attached(port->bus, port, false);
        port->dev = NULL;
        port->enabled = false;
        if (port->hub)
            usb_wakeup(port->hub, 16 + 1);
    }
    usb_unlock(dev);
}

/* ---- packets ---- */

void
usb_packet_run(UsbDevice *dev, UsbPacket *packet)
{
    unsigned bit = packet->endpoint + (packet->token == USB_IN ? 16 : 0);

    packet->actual = 0;
    packet->status = USB_OK;
    if (!dev || dev->gone) {
        packet->status = USB_NO_DEVICE;
    } else if (packet->endpoint == 0) {
        usb_control_run(dev, packet);
    } else if (packet->endpoint > 15 || packet->token == USB_SETUP || dev->configuration == 0 ||
               (dev->halted >> bit & 1)) {
        packet->status = USB_STALL;
    } else if (dev->class->packet) {
        dev->class->packet(dev, packet);
        if (packet->status == USB_STALL)
            dev->halted |= 1u << bit;
    } else {
        packet->status = USB_STALL;
    }
}

static UsbDevice *
device_find(UsbDevice *dev, uint8_t address)
{
    unsigned n;
    UsbPort *ports;

    if (dev->address == address)
        return dev;
    ports = device_ports(dev, &n);
    for (unsigned i = 0; i < n; i++) {
        UsbDevice *found = usb_port_find(&ports[i], address);

        if (found)
            return found;
    }
    return NULL;
}

UsbDevice *
usb_port_find(UsbPort *port, uint8_t address)
{
    return port->dev && port->enabled ? device_find(port->dev, address) : NULL;
}

UsbDevice *
usb_port_route(UsbPort *port, uint32_t route)
{
    UsbDevice *dev = port->dev;

    for (unsigned i = 0; i < USB_DEPTH_MAX && dev && (route & 15); i++, route >>= 4) {
        unsigned n;
        UsbPort *ports = device_ports(dev, &n);

        if ((route & 15) > n)
            return NULL;
        dev = ports[(route & 15) - 1].dev;
    }
    return dev;
}

void
usb_wakeup(UsbDevice *dev, unsigned endpoint)
{
    if (dev->port && dev->port->bus->ports)
        dev->port->bus->ops->wakeup(dev->port->bus, dev, endpoint);
}

uint32_t
usb_packet_write(UsbPacket *packet, const void *data, uint32_t len)
{
    uint32_t n = (uint32_t)iov_write(packet->iov, packet->n_iov, packet->actual, data, len);

    packet->actual += n;
    return n;
}

uint32_t
usb_packet_read(UsbPacket *packet, void *data, uint32_t len)
{
    uint32_t n = (uint32_t)iov_read(packet->iov, packet->n_iov, packet->actual, data, len);

    packet->actual += n;
    return n;
}

/* ---- the base class ---- */

void
usb_device_reset(UsbDevice *dev)
{
    usb_control_reset(dev);
    if (dev->class->configured)
        dev->class->configured(dev, 0);
    if (dev->class->reset)
        dev->class->reset(dev);
}

static void
usb_device_power_on(Device *device)
{
    UsbDevice *dev = usb_device(device);

    usb_lock(dev);
    usb_device_reset(dev);
    dev->port->enabled = false;
    usb_unlock(dev);
}

static bool
usb_device_after_load(void *state, GError **err)
{
    UsbDevice *dev = state;

    if (dev->control_length > USB_CONTROL_MAX || dev->control_at > dev->control_length ||
        dev->stage > 3 || dev->address > 127)
        return device_error(&dev->device, err, VIR_ERR_OPERATION_FAILED,
                            "its saved control transfer does not fit");
    if (dev->class->configured)
        dev->class->configured(dev, dev->configuration);
    return true;
}

/* "hub@1/storage@2": the way from the controller's port, as SeaBIOS names it. */
static char *
usb_device_firmware_node(Device *device)
{
    enum { INTERFACE_CLASS = 14, CLASS_STORAGE = 8 };
    UsbDevice *dev = usb_device(device);
    const uint8_t *config = dev->class->config[dev->speed];
    g_autofree char *before =
        dev->port->hub ? usb_device_firmware_node(&dev->port->hub->device) : NULL;
    const char *name = dev->class->ports                          ? "hub"
                       : config[INTERFACE_CLASS] == CLASS_STORAGE ? "storage"
                                                                  : "usb-device";

    return g_strdup_printf("%s%s%s@%x", before ? before : "", before ? "/" : "", name,
                           dev->port->number);
}

static const DeviceProp usb_device_props[] = {
    { "port", PROP_STRING, offsetof(UsbDevice, port_path),
      .help = "port of the bus, behind hubs as 1.2; the first free one when left out" },
    { "serial", PROP_STRING, offsetof(UsbDevice, serial), .help = "serial number" },
    { "msos-desc", PROP_BOOL, offsetof(UsbDevice, msos), "on",
      .help = "accepted; there are no Microsoft descriptors" },
};

static const SavedField usb_device_fields[] = {
    SAVED(UsbDevice, address, 1),        SAVED(UsbDevice, configuration, 1),
    SAVED(UsbDevice, remote_wakeup, 1),  SAVED(UsbDevice, halted, 1),
    SAVED_BYTES(UsbDevice, setup, 1),    SAVED(UsbDevice, stage, 1),
    SAVED(UsbDevice, control_length, 1), SAVED(UsbDevice, control_at, 1),
    SAVED_BYTES(UsbDevice, control, 1),
};

static const SavedTable usb_device_saved = {
    .name = "usb-device",
    .version = 1,
    .oldest = 1,
    .fields = usb_device_fields,
    .n_fields = G_N_ELEMENTS(usb_device_fields),
    .after_load = usb_device_after_load,
};

const DeviceClass usb_device_class = {
    .name = "usb-device",
    .bus = BUS_USB,
    .abstract = true,
    .state_size = sizeof(UsbDevice),
    .props = usb_device_props,
    .n_props = G_N_ELEMENTS(usb_device_props),
    .saved = &usb_device_saved,
    .realize = usb_device_realize,
    .ready = usb_device_ready,
    .reset = usb_device_power_on,
    .unrealize = usb_device_unrealize,
    .firmware_node = usb_device_firmware_node,
};
