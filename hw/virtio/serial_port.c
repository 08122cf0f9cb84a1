/* serial_port.c - ports of a virtio console device: bytes between a guest and a character device
 * (virtio 1.2, section 5.3.6).
 *
 * Both directions hold the sender back when the receiver is slow: output that the character device
 * does not take stays on the guest's ring, and of input no more is taken ahead than fits a small
 * buffer. A guest that has not opened a port gets no input for it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/serial.h"

#include <string.h>

#include "util/error.h"

/* ---- from the guest ---- */

/* Writes the rest of the chain at hand; false when the character device is full. */
static bool
out_write(VirtioPort *port)
{
    const VirtChain *chain = &port->out_chain;
    const struct iovec *iov = virt_chain_out(chain);
    uint64_t at = 0;

    for (unsigned i = 0; i < chain->n_out && port->chardev; at += iov[i++].iov_len) {
        size_t skip, n, left;

        if (port->out_done >= at + iov[i].iov_len)
            continue;
        skip = port->out_done - at;
        left = iov[i].iov_len - skip;
        n = chardev_write(port->chardev, (const uint8_t *)iov[i].iov_base + skip, left);
        port->out_done += n;
        if (n < left)
            return false;
    }
    port->out_done = 0;
    port->out_held = false;
    virt_queue_push(port->out, chain->head, 0);
    return true;
}

void
virtio_port_out(VirtioPort *port)
{
    unsigned turn = 0;

    if (port->out_held && !out_write(port))
        return;
    while (virt_queue_next(port->out, &port->out_chain, &turn)) {
        port->out_held = true;
        if (!out_write(port))
            return; /* notifications stay off: port_writable() goes on */
    }
}

static void
port_writable(void *opaque)
{
    VirtioPort *port = opaque;

    virt_queue_schedule_remote(port->out);
}

/* ---- to the guest ---- */

static bool
takes_input(const VirtioPort *port)
{
    return g_atomic_int_get(&port->guest_open) || !virtio_serial_multiport(port->serial);
}

void
virtio_port_in(VirtioPort *port)
{
    bool room = false;
    unsigned turn = 0;

    if (!port->in->running)
        return;
    g_mutex_lock(&port->lock);
    while (port->input_len > 0 && takes_input(port) &&
           virt_queue_next(port->in, &port->in_chain, &turn)) {
        const VirtChain *chain = &port->in_chain;
        size_t n = iov_write(virt_chain_in(chain), chain->n_in, 0,
                                  port->input + port->input_start, port->input_len);

        port->input_start += (uint32_t)n;
        port->input_len -= (uint32_t)n;
        virt_queue_push(port->in, chain->head, n);
        if (chain->in_len == 0)
            break;
    }
    if (port->input_len == 0) {
        port->input_start = 0;
        room = port->input_full && takes_input(port);
        port->input_full = port->input_full && !room;
    }
    g_mutex_unlock(&port->lock);
    if (room && port->chardev)
        chardev_accept_input(port->chardev);
}

/* The buffer is filled once it is empty: simple, and bytes come in large pieces when many do. */
static size_t
port_can_read(void *opaque)
{
    VirtioPort *port = opaque;
    size_t n = 0;

    g_mutex_lock(&port->lock);
    if (takes_input(port))
        n = VIRTIO_PORT_INPUT - port->input_start - port->input_len;
    port->input_full = n == 0;
    g_mutex_unlock(&port->lock);
    return n;
}

static void
port_read(void *opaque, const uint8_t *data, size_t len)
{
    VirtioPort *port = opaque;

    g_mutex_lock(&port->lock);
    len = MIN(len, (size_t)VIRTIO_PORT_INPUT - port->input_start - port->input_len);
    memcpy(port->input + port->input_start + port->input_len, data, len);
    port->input_len += (uint32_t)len;
    g_mutex_unlock(&port->lock);
    virt_queue_schedule_remote(port->in);
}

/* ---- open and closed ---- */

void
virtio_port_set_guest_open(VirtioPort *port, bool open)
{
    Machine *machine = port->device.machine;
    JsonObject *data;

    if (g_atomic_int_get(&port->guest_open) == open)
        return;
    g_mutex_lock(&port->lock);
    g_atomic_int_set(&port->guest_open, open);
    if (!open)
        port->input_start = port->input_len = 0;
    port->input_full = false;
    g_mutex_unlock(&port->lock);
    if (port->chardev) {
        chardev_set_frontend_open(port->chardev, open);
        chardev_accept_input(port->chardev);
    }
    if (port->device.id) {
        data = json_object_new();
        json_object_set_string_member(data, "id", port->device.id);
        json_object_set_boolean_member(data, "open", open);
        machine->ops->event(machine->host, "VSERPORT_CHANGE", data);
    }
}

void
virtio_port_reset(VirtioPort *port)
{
    virtio_port_set_guest_open(port, false);
    port->out_done = 0;
}

void
virtio_port_stop(VirtioPort *port)
{
    if (port->out_held && port->out->running)
        virt_queue_unpop(port->out);
    port->out_held = false;
}

/* A console's guest is let write whether or not somebody listens, so for it the host is always
 * there. */
static void
host_open_apply(void *opaque)
{
    VirtioPort *port = opaque;
    bool open = port->console || (port->chardev && chardev_is_open(port->chardev));

    if (port->host_open == open)
        return;
    port->host_open = open;
    virtio_serial_send(port->serial, port, VIRTIO_CONSOLE_PORT_OPEN, open);
}

static void
port_event(void *opaque, ChardevEvent event)
{
    VirtioPort *port = opaque;

    (void)event;
    io_loop_run_sync(virtio_serial_loop(port->serial), host_open_apply, port);
}

static const ChardevFrontend port_frontend = {
    .can_read = port_can_read,
    .read = port_read,
    .event = port_event,
    .writable = port_writable,
};

/* ---- making ---- */

static bool
port_realize(Device *device, GError **err)
{
    VirtioPort *port = (VirtioPort *)device;

    g_mutex_init(&port->lock);
    port->chardev = port->chardev_prop.object;
    port->console = device_class_is(device->class, &virtconsole_class);
    port->host_open = port->console || (port->chardev && chardev_is_open(port->chardev));
    if (!virtio_serial_plug(virtio_serial_of_bus(device->bus), port, err))
        return false;
    if (port->chardev && !chardev_attach(port->chardev, &port_frontend, port, err))
        return false;
    port->attached = port->chardev != NULL;
    return true;
}

static void
port_unrealize(Device *device)
{
    VirtioPort *port = (VirtioPort *)device;

    if (port->attached)
        chardev_detach(port->chardev, port);
    port->attached = false;
    virtio_serial_unplug(port);
    virt_chain_clear(&port->in_chain);
    virt_chain_clear(&port->out_chain);
    g_mutex_clear(&port->lock);
}

static void
port_before_save(void *state)
{
    VirtioPort *port = state;

    port->saved_guest_open = (uint8_t)g_atomic_int_get(&port->guest_open);
}

static bool
port_after_load(void *state, GError **err)
{
    VirtioPort *port = state;

    if (port->input_start > VIRTIO_PORT_INPUT ||
        port->input_len > VIRTIO_PORT_INPUT - port->input_start || port->saved_guest_open > 1)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "%u bytes at %u do not fit the input buffer of a port",
                              port->input_len, port->input_start);
    virtio_port_set_guest_open(port, port->saved_guest_open);
    return true;
}

static const SavedField port_fields[] = {
    SAVED(VirtioPort, saved_guest_open, 1), SAVED(VirtioPort, out_done, 1),
    SAVED(VirtioPort, input_start, 1),      SAVED(VirtioPort, input_len, 1),
    SAVED_BYTES(VirtioPort, input, 1),
};

static const SavedTable port_saved = {
    .name = "virtio-port",
    .version = 1,
    .oldest = 1,
    .fields = port_fields,
    .n_fields = G_N_ELEMENTS(port_fields),
    .before_save = port_before_save,
    .after_load = port_after_load,
};

static const DeviceProp port_props[] = {
    { "chardev", PROP_CHARDEV, offsetof(VirtioPort, chardev_prop), .help = "id of a -chardev" },
    { "name", PROP_STRING, offsetof(VirtioPort, name), .help = "the guest finds it by" },
    { "nr", PROP_UINT32, offsetof(VirtioPort, nr), "4294967295",
      .help = "number of the port; the default is the next free one" },
};

const DeviceClass virtio_port_class = {
    .name = "virtio-serial-port",
    .abstract = true,
    .bus = BUS_VIRTIO_SERIAL,
    .state_size = sizeof(VirtioPort),
    .props = port_props,
    .n_props = G_N_ELEMENTS(port_props),
    .saved = &port_saved,
    .realize = port_realize,
    .unrealize = port_unrealize,
};

const DeviceClass virtconsole_class = {
    .name = "virtconsole",
    .description = "console port of a virtio-serial device",
    .bus = BUS_VIRTIO_SERIAL,
    .base = &virtio_port_class,
    .hotpluggable = true,
    .state_size = sizeof(VirtioPort),
};

const DeviceClass virtserialport_class = {
    .name = "virtserialport",
    .description = "port of a virtio-serial device",
    .bus = BUS_VIRTIO_SERIAL,
    .base = &virtio_port_class,
    .hotpluggable = true,
    .state_size = sizeof(VirtioPort),
};
