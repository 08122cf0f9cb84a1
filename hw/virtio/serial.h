/* serial.h - what a virtio-serial device and its ports know of each other (virtio 1.2, 5.3).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VIRTIO_SERIAL_H
#define KILN_HW_VIRTIO_SERIAL_H

#include "hw/char/chardev.h"
#include "hw/virtio/virtio.h"

typedef struct VirtioSerial VirtioSerial;

enum {
    VIRTIO_SERIAL_MAX_PORTS = 31,
    VIRTIO_PORT_INPUT = 4096,     /* bytes taken from the character device ahead of the guest */
    VIRTIO_CONTROL_PENDING = 256, /* messages kept for a driver that gives no buffers */
};

/* Control messages (5.3.6.2) */
enum {
    VIRTIO_CONSOLE_DEVICE_READY = 0,
    VIRTIO_CONSOLE_PORT_ADD = 1,
    VIRTIO_CONSOLE_PORT_REMOVE = 2,
    VIRTIO_CONSOLE_PORT_READY = 3,
    VIRTIO_CONSOLE_CONSOLE_PORT = 4,
    VIRTIO_CONSOLE_RESIZE = 5,
    VIRTIO_CONSOLE_PORT_OPEN = 6,
    VIRTIO_CONSOLE_PORT_NAME = 7,
};

/* A port: a device of its own on the bus of a virtio-serial device. */
typedef struct {
    Device device; /* first */
    PropObject chardev_prop;
    char *name;  /* NULL: none */
    uint32_t nr; /* property; UINT32_MAX: the next free one */

    VirtioSerial *serial; /* NULL while not plugged */
    Chardev *chardev;     /* NULL: output is dropped, there is no input */
    bool attached, console;
    unsigned number;

    /* the loop's thread */
    VirtQueue *in, *out;
    VirtChain in_chain, out_chain;
    bool out_held;     /* out_chain waits for room in the chardev */
    uint64_t out_done; /* bytes of the chain at the head that are written already */
    bool host_open;    /* somebody is at the other end */

    GMutex lock;    /* guards what follows */
    int guest_open; /* the driver has opened it; atomic */
    uint8_t input[VIRTIO_PORT_INPUT];
    uint32_t input_start, input_len;
    bool input_full;          /* the chardev waits for room */
    uint8_t saved_guest_open; /* saved state's copy */
} VirtioPort;

extern const DeviceClass virtio_serial_pci_class;
extern const DeviceClass virtio_port_class, virtconsole_class, virtserialport_class;

/* serial.c */

/* Plugs the port in at port->nr, or where there is room; tells a driver that is up. Main thread. */
bool virtio_serial_plug(VirtioSerial *serial, VirtioPort *port, GError **err);
void virtio_serial_unplug(VirtioPort *port);
IoLoop *virtio_serial_loop(VirtioSerial *serial);
VirtioSerial *virtio_serial_of_bus(Bus *bus);
/* Whether the driver knows of more than port 0. */
bool virtio_serial_multiport(const VirtioSerial *serial);
/* Sends a control message, or forgets it when the driver leaves too many unread. The loop's thread.
 */
void virtio_serial_send(VirtioSerial *serial, const VirtioPort *port, unsigned event,
                        unsigned value);

/* serial_port.c; the loop's thread */

void virtio_port_out(VirtioPort *port);
void virtio_port_in(VirtioPort *port);
/* Before its queues stop: gives back what it holds. */
void virtio_port_stop(VirtioPort *port);
void virtio_port_set_guest_open(VirtioPort *port, bool open);
/* The driver is gone (reset). Device's lock or the loop. */
void virtio_port_reset(VirtioPort *port);

#endif
