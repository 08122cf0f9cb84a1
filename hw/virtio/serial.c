/* serial.c - virtio console device: queues of all ports and the control queues
 * (virtio 1.2, section 5.3).
 *
 * Leaves out: console size (the SIZE feature).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/serial.h"

#include <string.h>

#include "hw/core/bytes.h"
#include "util/error.h"

enum {
    F_MULTIPORT = 1,
    F_EMERG_WRITE = 2,
    CONFIG_SIZE = 12,
    CONFIG_MAX_PORTS = 4,
    CONFIG_EMERG = 8,
    QUEUE_SIZE = 128,
    CONTROL_QUEUE_SIZE = 32,
    CONTROL_IN = 2,
    CONTROL_OUT = 3,
    CONTROL_SIZE = 8,
    CONTROL_TEXT = 256, /* longest port name that is told */
};

typedef struct {
    uint32_t port;
    uint16_t event, value;
} Control;

struct VirtioSerial {
    VirtioDevice virtio; /* first */
    uint32_t max_ports;
    bool emergency_write;

    Bus bus;
    char *bus_name;
    bool bus_added;
    IoLoop *loop;
    VirtioPort *ports[VIRTIO_SERIAL_MAX_PORTS]; /* changed in the loop's thread only */
    /* the loop's thread */
    VirtChain chain;
    Control pending[VIRTIO_CONTROL_PENDING];
    unsigned pending_start, n_pending;
};

IoLoop *
virtio_serial_loop(VirtioSerial *serial)
{
    return serial->loop;
}

VirtioSerial *
virtio_serial_of_bus(Bus *bus)
{
    return bus->impl;
}

bool
virtio_serial_multiport(const VirtioSerial *serial)
{
    return virtio_has_feature(&serial->virtio, F_MULTIPORT);
}

/* Port whose queue this is; queues 2 and 3 are for control (5.3.2). */
static unsigned
queue_port(const VirtQueue *q)
{
    return q->index < CONTROL_IN ? 0 : q->index / 2 - 1;
}

static VirtQueue *
port_queue(VirtioSerial *serial, unsigned port, unsigned direction)
{
    return &serial->virtio.queues[(port == 0 ? 0 : 2 * (port + 1)) + direction];
}

/* ---- control ---- */

static void
control_flush(VirtioSerial *serial)
{
    VirtQueue *q = &serial->virtio.queues[CONTROL_IN];
    unsigned turn = 0;

    if (!q->running)
        return;
    while (serial->n_pending > 0 && virt_queue_next(q, &serial->chain, &turn)) {
        const Control *msg = &serial->pending[serial->pending_start];
        const VirtioPort *port = serial->ports[msg->port];
        uint8_t buf[CONTROL_SIZE + CONTROL_TEXT];
        size_t len = CONTROL_SIZE;

        bytes_store(buf, msg->port, 4);
        bytes_store(buf + 4, msg->event, 2);
        bytes_store(buf + 6, msg->value, 2);
        if (msg->event == VIRTIO_CONSOLE_PORT_NAME && port && port->name) {
            size_t n = MIN(strlen(port->name) + 1, (size_t)CONTROL_TEXT);

            memcpy(buf + len, port->name, n);
            len += n;
        }
        len = iov_write(virt_chain_in(&serial->chain), serial->chain.n_in, 0, buf, len);
        virt_queue_push(q, serial->chain.head, len);
        serial->pending_start = (serial->pending_start + 1) % VIRTIO_CONTROL_PENDING;
        serial->n_pending--;
    }
}

void
virtio_serial_send(VirtioSerial *serial, const VirtioPort *port, unsigned event, unsigned value)
{
    unsigned at = (serial->pending_start + serial->n_pending) % VIRTIO_CONTROL_PENDING;

    if (!virtio_serial_multiport(serial) || !serial->virtio.queues[CONTROL_IN].running ||
        serial->n_pending == VIRTIO_CONTROL_PENDING)
        return;
    serial->pending[at] = (Control){ port->number, (uint16_t)event, (uint16_t)value };
    serial->n_pending++;
    control_flush(serial);
}

static void
control_take(VirtioSerial *serial, const Control *msg)
{
    VirtioPort *port = msg->port < serial->max_ports ? serial->ports[msg->port] : NULL;

    if (msg->event == VIRTIO_CONSOLE_DEVICE_READY) {
        for (unsigned i = 0; msg->value == 1 && i < serial->max_ports; i++) {
            if (serial->ports[i])
                virtio_serial_send(serial, serial->ports[i], VIRTIO_CONSOLE_PORT_ADD, 1);
        }
        return;
    }
    if (!port)
        return;
    if (msg->event == VIRTIO_CONSOLE_PORT_READY && msg->value == 1) {
        if (port->console)
            virtio_serial_send(serial, port, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
        if (port->name)
            virtio_serial_send(serial, port, VIRTIO_CONSOLE_PORT_NAME, 1);
        if (port->host_open)
            virtio_serial_send(serial, port, VIRTIO_CONSOLE_PORT_OPEN, 1);
    } else if (msg->event == VIRTIO_CONSOLE_PORT_OPEN) {
        virtio_port_set_guest_open(port, msg->value != 0);
    }
}

static void
control_out_handle(VirtQueue *q)
{
    VirtioSerial *serial = (VirtioSerial *)q->dev;
    unsigned turn = 0;

    while (virt_queue_next(q, &serial->chain, &turn)) {
        uint8_t buf[CONTROL_SIZE];
        size_t n =
            iov_read(virt_chain_out(&serial->chain), serial->chain.n_out, 0, buf, sizeof(buf));

        virt_queue_push(q, serial->chain.head, 0);
        if (n == sizeof(buf)) {
            Control msg = { bytes_load32(buf), bytes_load16(buf + 4), bytes_load16(buf + 6) };

            control_take(serial, &msg);
        }
    }
}

/* ---- queues ---- */

static void
serial_handle(VirtQueue *q)
{
    VirtioSerial *serial = (VirtioSerial *)q->dev;
    VirtioPort *port;

    if (q->index == CONTROL_IN) {
        control_flush(serial);
        return;
    }
    if (q->index == CONTROL_OUT) {
        control_out_handle(q);
        return;
    }
    port = serial->ports[queue_port(q)];
    if (port && (q->index & 1)) {
        virtio_port_out(port);
    } else if (port) {
        virtio_port_in(port);
    } else if (q->index & 1) {
        unsigned turn = 0;

        while (virt_queue_next(q, &serial->chain, &turn))
            virt_queue_push(q, serial->chain.head, 0);
    }
}

static void
serial_queue_stop(VirtQueue *q)
{
    VirtioSerial *serial = (VirtioSerial *)q->dev;

    if (q->index == CONTROL_IN)
        serial->n_pending = 0;
    else if (q->index != CONTROL_OUT && serial->ports[queue_port(q)])
        virtio_port_stop(serial->ports[queue_port(q)]);
}

static void
serial_reset(VirtioDevice *dev)
{
    VirtioSerial *serial = (VirtioSerial *)dev;

    for (unsigned i = 0; i < serial->max_ports; i++) {
        if (serial->ports[i])
            virtio_port_reset(serial->ports[i]);
    }
}

/* ---- configuration ---- */

static void
serial_config_read(VirtioDevice *dev, uint8_t *config)
{
    bytes_store(config + CONFIG_MAX_PORTS, ((VirtioSerial *)dev)->max_ports, 4);
}

/* One character, for a guest that has nothing else left (5.3.4). */
static void
serial_config_write(VirtioDevice *dev, const uint8_t *config, unsigned offset, unsigned size)
{
    VirtioSerial *serial = (VirtioSerial *)dev;

    if (offset + size <= CONFIG_EMERG || !serial->emergency_write)
        return;
    for (unsigned i = 0; i < serial->max_ports; i++) {
        VirtioPort *port = __atomic_load_n(&serial->ports[i], __ATOMIC_ACQUIRE);

        if (port && port->console && port->chardev) {
            chardev_write(port->chardev, config + CONFIG_EMERG, 1);
            return;
        }
    }
}

/* ---- ports ---- */

typedef struct {
    VirtioSerial *serial;
    VirtioPort *port;
} PlugCall;

static void
plug(void *opaque)
{
    const PlugCall *call = opaque;
    VirtioSerial *serial = call->serial;
    VirtioPort *port = call->port;

    port->in = port_queue(serial, port->number, 0);
    port->out = port_queue(serial, port->number, 1);
    __atomic_store_n(&serial->ports[port->number], port, __ATOMIC_RELEASE);
    if (virtio_status(&serial->virtio) & VIRTIO_STATUS_DRIVER_OK)
        virtio_serial_send(serial, port, VIRTIO_CONSOLE_PORT_ADD, 1);
}

static void
unplug(void *opaque)
{
    const PlugCall *call = opaque;
    VirtioPort *port = call->port;

    virtio_serial_send(call->serial, port, VIRTIO_CONSOLE_PORT_REMOVE, 1);
    virtio_port_stop(port);
    __atomic_store_n(&call->serial->ports[port->number], NULL, __ATOMIC_RELEASE);
}

bool
virtio_serial_plug(VirtioSerial *serial, VirtioPort *port, GError **err)
{
    PlugCall call = { .serial = serial, .port = port };
    uint32_t nr = port->nr;

    /* port 0 is what a driver without multiport knows: a console */
    for (uint32_t i = port->console ? 0 : 1; nr == UINT32_MAX && i < serial->max_ports; i++) {
        if (!serial->ports[i])
            nr = i;
    }
    if (nr == UINT32_MAX)
        return device_error(&port->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "all %u ports of bus '%s' are taken: raise max_ports",
                            serial->max_ports, serial->bus_name);
    if (nr >= serial->max_ports)
        return device_error(&port->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "nr=%u is beyond the last port %u of bus '%s'", nr,
                            serial->max_ports - 1, serial->bus_name);
    if (nr == 0 && !port->console)
        return device_error(&port->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "nr=0 is kept for a virtconsole");
    if (serial->ports[nr])
        return device_error(&port->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "port %u of bus '%s' is taken by device '%s'", nr, serial->bus_name,
                            serial->ports[nr]->device.path);
    port->number = nr;
    port->serial = serial;
    io_loop_run_sync(serial->loop, plug, &call);
    return true;
}

void
virtio_serial_unplug(VirtioPort *port)
{
    PlugCall call = { .serial = port->serial, .port = port };

    if (port->serial)
        io_loop_run_sync(port->serial->loop, unplug, &call);
    port->serial = NULL;
}

/* ---- making ---- */

static bool
serial_realize(VirtioDevice *dev, GError **err)
{
    VirtioSerial *serial = (VirtioSerial *)dev;
    Device *device = virtio_base(dev);
    unsigned n = 2 * (serial->max_ports + 1);

    serial->loop = machine_io_loop(device->machine, err);
    if (!serial->loop)
        return false;
    dev->host_features |= VIRTIO_F(F_MULTIPORT);
    if (serial->emergency_write)
        dev->host_features |= VIRTIO_F(F_EMERG_WRITE);
    /* a vector for each of up to 64 queues would cost more than it brings */
    dev->default_vectors = 2;
    virtio_queues_reserve(dev, n);
    for (unsigned i = 0; i < n; i++)
        virtio_queue_add(dev, i == CONTROL_IN || i == CONTROL_OUT ? CONTROL_QUEUE_SIZE : QUEUE_SIZE,
                         serial->loop, serial_handle);
    serial->bus_name =
        device->id ? g_strdup_printf("%s.0", device->id) : g_strdup("virtio-serial-bus.0");
    serial->bus = (Bus){ .name = serial->bus_name,
                         .kind = BUS_VIRTIO_SERIAL,
                         .owner = device,
                         .impl = serial,
                         .hotplug = &bus_hotplug_plain };
    serial->bus_added = bus_add(device->machine, &serial->bus, err);
    return serial->bus_added;
}

static void
serial_unrealize(VirtioDevice *dev)
{
    VirtioSerial *serial = (VirtioSerial *)dev;

    for (unsigned i = 0; i < VIRTIO_SERIAL_MAX_PORTS; i++) {
        if (serial->ports[i])
            virtio_serial_unplug(serial->ports[i]);
    }
    if (serial->bus_added)
        bus_remove(virtio_base(dev)->machine, &serial->bus);
    serial->bus_added = false;
    g_clear_pointer(&serial->bus_name, g_free);
    virt_chain_clear(&serial->chain);
}

static const DeviceProp serial_props[] = {
    { "max_ports", PROP_UINT32, offsetof(VirtioSerial, max_ports), "31", .min = 1,
      .max = VIRTIO_SERIAL_MAX_PORTS },
    { "emergency-write", PROP_BOOL, offsetof(VirtioSerial, emergency_write), "on",
      .help = "offer the emergency character" },
};

static const VirtioClass serial_virtio_class = {
    .name = "virtio-serial",
    .id = VIRTIO_ID_CONSOLE,
    .legacy_id = 0x1003,
    .class_code = 0x078000,
    .config_size = CONFIG_SIZE,
    .realize = serial_realize,
    .unrealize = serial_unrealize,
    .config_read = serial_config_read,
    .config_write = serial_config_write,
    .queue_stop = serial_queue_stop,
    .reset = serial_reset,
};

static const char *const serial_aliases[] = { "virtio-serial", NULL };
static const DeviceVariant serial_variants[] = VIRTIO_VARIANTS("virtio-serial-pci");

const DeviceClass virtio_serial_pci_class = {
    .name = "virtio-serial-pci",
    .aliases = serial_aliases,
    .variants = serial_variants,
    .description = "virtio console device, a bus of ports",
    .bus = BUS_PCI,
    .base = &virtio_device_class,
    .hotpluggable = true,
    .state_size = sizeof(VirtioSerial),
    .props = serial_props,
    .n_props = G_N_ELEMENTS(serial_props),
    .details = &serial_virtio_class,
};
