/* xhci_port.c - the ports of the root hub (xHCI 4.19, 5.4.8) and devices coming and going.
 *
 * Each connector is two ports, one of USB 2 and one of USB 3; a device shows on that of its speed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/xhci.h"

#include "util/error.h"

enum {
    PORT_CONNECTED = 1 << 0,
    PORT_ENABLED = 1 << 1,
    PORT_RESET = 1 << 4,
    PORT_POWER = 1 << 9,
    PORT_LINK_SHIFT = 5,
    PORT_LINK_MASK = 15 << 5,
    PORT_SPEED_SHIFT = 10,
    PORT_SPEED_MASK = 15 << 10,
    PORT_LINK_WRITE = 1 << 16,
    PORT_CONNECT_CHANGE = 1 << 17,
    PORT_ENABLE_CHANGE = 1 << 18,
    PORT_WARM_CHANGE = 1 << 19,
    PORT_RESET_CHANGE = 1 << 21,
    PORT_LINK_CHANGE = 1 << 22,
    PORT_CHANGES = 0x7f << 17,
    PORT_WAKE_BITS = 7 << 25,
    PORT_INDICATOR = 3 << 14,
    LINK_U0 = 0,
    LINK_U3 = 3,
    LINK_NONE = 5, /* RxDetect */
    LINK_POLLING = 7,
    LINK_RESUME = 15,
    STS_PORT = 1 << 4,
    REG_PORTSC = 0,
};
#define PORT_WARM_RESET (UINT32_C(1) << 31)

static void
port_set_link(XhciPort *port, unsigned state)
{
    port->portsc = (port->portsc & ~(uint32_t)PORT_LINK_MASK) | state << PORT_LINK_SHIFT;
}

static unsigned
port_link(const XhciPort *port)
{
    return (port->portsc & PORT_LINK_MASK) >> PORT_LINK_SHIFT;
}

/* Sets change bits; an event follows when one was not set before. */
static void
port_change(Xhci *xhci, XhciPort *port, uint32_t bits)
{
    if ((port->portsc & bits) == bits)
        return;
    port->portsc |= bits;
    if (!xhci_running(xhci))
        return;
    port->event = true;
    xhci->usbsts |= STS_PORT;
    xhci_schedule(xhci);
}

void
xhci_ports_post(Xhci *xhci)
{
    for (unsigned i = 0; i < xhci->n_ports; i++) {
        if (!xhci->ports[i].event)
            continue;
        if (xhci_event_room(xhci, 0) == 0) {
            xhci->starved = true;
            return;
        }
        xhci->ports[i].event = false;
        xhci_event_post(xhci, 0, (uint64_t)(i + 1) << 24, (uint32_t)CC_SUCCESS << 24,
                        TRB_PORT_EVENT << 10);
    }
}

/* The xHCI port on which a device shows; NULL when the connector has none of its speed. */
static XhciPort *
port_of(Xhci *xhci, const UsbPort *root, const UsbDevice *dev)
{
    for (unsigned i = 0; i < xhci->n_ports; i++) {
        if (xhci->ports[i].port == root && xhci->ports[i].super == (dev->speed == USB_SUPER))
            return &xhci->ports[i];
    }
    return NULL;
}

/* State of a port with what is plugged in now; no change bits. */
static void
port_settle(XhciPort *port)
{
    static const uint8_t speeds[USB_SPEEDS] = { 2, 1, 3, 4 };
    UsbDevice *dev = port->port->dev;

    port->portsc &= PORT_WAKE_BITS;
    port->portsc |= PORT_POWER;
    if (!dev || dev->gone || (dev->speed == USB_SUPER) != port->super) {
        port_set_link(port, LINK_NONE);
        return;
    }
    port->portsc |= PORT_CONNECTED | (uint32_t)speeds[dev->speed] << PORT_SPEED_SHIFT;
    /* A USB 3 link trains itself; a USB 2 port waits for a reset. */
    port_set_link(port, port->super ? LINK_U0 : LINK_POLLING);
    if (port->super)
        port->portsc |= PORT_ENABLED;
    port->port->enabled = port->super;
}

static void
xhci_attached(UsbBus *bus, UsbPort *root, bool attached)
{
    Xhci *xhci = bus->opaque;
    XhciPort *port = port_of(xhci, root, root->dev);
    uint32_t changes;

    if (!port)
        return;
    changes = port->portsc & PORT_CHANGES;
    if (attached) {
        port_settle(port);
    } else {
        port->portsc &= PORT_WAKE_BITS;
        port->portsc |= PORT_POWER;
        port_set_link(port, LINK_NONE);
        root->enabled = false;
        /* Transfers to it fail from now on: have them looked at. */
        for (unsigned i = 0; i < XHCI_SLOTS; i++) {
            for (unsigned e = 0; e < XHCI_ENDPOINTS; e++) {
                if (xhci->slots[i].endpoints[e].waiting)
                    xhci->slots[i].kicked |= 1u << e;
            }
        }
        xhci_schedule(xhci);
    }
    port->portsc |= changes;
    port_change(xhci, port, PORT_CONNECT_CHANGE);
}

/* An endpoint that was waiting is looked at again, and a sleeping port resumes. */
static void
xhci_wakeup(UsbBus *bus, UsbDevice *dev, unsigned endpoint)
{
    Xhci *xhci = bus->opaque;
    unsigned at = (endpoint & 15) * 2 + (endpoint & 16 ? 1 : 0);
    UsbPort *root = dev->port;
    XhciPort *port;

    while (root->hub)
        root = root->hub->port;
    port = root->dev ? port_of(xhci, root, root->dev) : NULL;
    if (port && dev->remote_wakeup && port_link(port) == LINK_U3) {
        port_set_link(port, LINK_RESUME);
        port_change(xhci, port, PORT_LINK_CHANGE);
    }
    if (at == 0 || at > XHCI_ENDPOINTS)
        return;
    for (unsigned i = 0; i < XHCI_SLOTS; i++) {
        XhciSlot *slot = &xhci->slots[i];

        if (slot->enabled && slot->endpoints[at - 1].waiting &&
            xhci_slot_device(xhci, slot) == dev) {
            slot->kicked |= 1u << (at - 1);
            xhci_schedule(xhci);
        }
    }
}

const UsbBusOps xhci_bus_ops = { xhci_attached, xhci_wakeup };

static void
port_reset(Xhci *xhci, XhciPort *port, bool warm)
{
    if (!(port->portsc & PORT_CONNECTED) || !port->port->dev)
        return;
    usb_device_reset(port->port->dev);
    port->port->enabled = true;
    port->portsc |= PORT_ENABLED;
    port_set_link(port, LINK_U0);
    port_change(xhci, port, PORT_RESET_CHANGE | (warm && port->super ? PORT_WARM_CHANGE : 0));
}

static void
port_write_link(Xhci *xhci, XhciPort *port, unsigned state)
{
    unsigned now = port_link(port);

    switch (state) {
    case LINK_U0:
        if (now != LINK_U0 && (port->portsc & PORT_ENABLED)) {
            port_set_link(port, LINK_U0);
            port_change(xhci, port, PORT_LINK_CHANGE);
        }
        break;
    case LINK_U3:
        if (now < LINK_U3 && (port->portsc & PORT_ENABLED))
            port_set_link(port, LINK_U3);
        break;
    case LINK_RESUME:
        if (now == LINK_U3)
            port_set_link(port, LINK_RESUME);
        break;
    case LINK_NONE:
        break;
    }
}

static void
port_write_status(Xhci *xhci, XhciPort *port, uint32_t value)
{
    if ((value & PORT_WARM_RESET) && port->super) {
        port_reset(xhci, port, true);
        return;
    }
    if (value & PORT_RESET) {
        port_reset(xhci, port, false);
        return;
    }
    port->portsc &= ~(value & PORT_CHANGES);
    if (value & PORT_ENABLED) { /* writing one disables */
        port->portsc &= ~(uint32_t)PORT_ENABLED;
        port->port->enabled = false;
    }
    if (value & PORT_LINK_WRITE)
        port_write_link(xhci, port, (value & PORT_LINK_MASK) >> PORT_LINK_SHIFT);
    port->portsc = (port->portsc & ~(uint32_t)(PORT_WAKE_BITS | PORT_INDICATOR | PORT_POWER)) |
                   (value & (PORT_WAKE_BITS | PORT_INDICATOR | PORT_POWER));
}

uint32_t
xhci_port_read(Xhci *xhci, unsigned n, unsigned offset)
{
    return n < xhci->n_ports && offset == REG_PORTSC ? xhci->ports[n].portsc : 0;
}

void
xhci_port_write(Xhci *xhci, unsigned n, unsigned offset, uint32_t value)
{
    if (n < xhci->n_ports && offset == REG_PORTSC)
        port_write_status(xhci, &xhci->ports[n], value);
}

void
xhci_ports_reset(Xhci *xhci)
{
    for (unsigned i = 0; i < xhci->n_ports; i++) {
        XhciPort *port = &xhci->ports[i];

        port->event = false;
        port->portsc = 0;
        if (port->port->dev && (port->port->dev->speed == USB_SUPER) == port->super) {
            usb_device_reset(port->port->dev);
            port->port->enabled = false;
        }
        port_settle(port);
        if (port->portsc & PORT_CONNECTED)
            port->portsc |= PORT_CONNECT_CHANGE;
    }
}

/* USB 3 ports come first: OVMF takes the connector of a boot disk for the number of its port. */
void
xhci_ports_init(Xhci *xhci)
{
    xhci->n_ports = xhci->p2 + xhci->p3;
    for (unsigned i = 0; i < xhci->n_ports; i++) {
        unsigned connector = i < xhci->p3 ? i : i - xhci->p3;

        xhci->ports[i].super = i < xhci->p3;
        xhci->ports[i].port = &xhci->bus.ports[connector];
        xhci->bus.ports[connector].speeds |=
            xhci->ports[i].super ? 1u << USB_SUPER
                                 : 1u << USB_LOW | 1u << USB_FULL | 1u << USB_HIGH;
    }
}
