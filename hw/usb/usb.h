/* usb.h - USB as devices and host controllers see it: buses, ports, devices and packets.
 *
 * Universal Serial Bus 2.0 and 3.1. A controller offers a UsbBus; devices (and hubs) are plugged
 * into its ports, named "1" or, behind a hub, "1.2". A packet is one transaction or, for a
 * controller that thinks in larger pieces, all those of one transfer; its buffers lie in guest RAM
 * and are used only while the device's packet function runs. A device with nothing to say answers
 * USB_NAK and calls usb_wakeup() later: nothing is ever in flight, so that a reset, an unplug or a
 * cancelled transfer leaves no request behind that could complete.
 *
 * Threads: all of a bus is guarded by its controller's lock, also for companion controllers, whose
 * own locks come behind it. Packets are handled in the controller's I/O loop, with that lock held.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_USB_USB_H
#define KILN_HW_USB_USB_H

#include <sys/uio.h>

#include "hw/core/device.h"
#include "util/ioloop.h"

typedef struct UsbBus UsbBus;
typedef struct UsbPort UsbPort;
typedef struct UsbDevice UsbDevice;
typedef struct UsbCompanionOps UsbCompanionOps;

typedef enum { USB_LOW, USB_FULL, USB_HIGH, USB_SUPER, USB_SPEEDS } UsbSpeed;
typedef enum { USB_OUT, USB_IN, USB_SETUP } UsbToken;

/* How a packet ends. */
typedef enum {
    USB_OK,
    USB_NAK,    /* not now; usb_wakeup() tells when to try again */
    USB_STALL,  /* the endpoint is halted, or the control request unknown */
    USB_BABBLE, /* more data than there is room for */
    USB_NO_DEVICE,
} UsbStatus;

enum {
    USB_DEPTH_MAX = 5,      /* hubs one behind another */
    USB_PORTS_MAX = 15,     /* of a root hub, in each speed */
    USB_CONTROL_MAX = 4096, /* most bytes of a control transfer's data */
    USB_ENDPOINTS = 32,     /* number, + 16 for IN */
};

typedef struct {
    UsbToken token;
    uint8_t endpoint; /* 0 to 15 */
    const struct iovec *iov;
    unsigned n_iov;
    uint32_t length; /* bytes of @iov */
    uint32_t actual; /* bytes moved */
    UsbStatus status;
} UsbPacket;

typedef struct {
    uint8_t type, request;
    uint16_t value, index, length;
} UsbSetup;

/* Bits of UsbSetup.type */
enum { USB_TYPE_IN = 0x80, USB_TYPE_CLASS = 0x20, USB_TYPE_VENDOR = 0x40, USB_TYPE_MASK = 0x60 };

/* What a model is. Functions may be NULL; all are called with the bus's lock held. */
typedef struct {
    uint16_t vendor, product, version;
    uint8_t device_class, subclass, protocol;
    const char *maker, *name;
    int model; /* for models that share a class's code */
    /* Configuration descriptor by speed, NULL: it does not run at that speed. */
    const uint8_t *config[USB_SPEEDS];
    /* A descriptor that is the class's own (HID reports). Returns its length or 0. */
    unsigned (*descriptor)(UsbDevice *dev, uint8_t type, uint8_t index, const uint8_t **ret);
    /* A request that is not standard; @data holds setup->length bytes, or has room for them.
     * Returns the bytes it put there, or -1 to stall. */
    int (*control)(UsbDevice *dev, const UsbSetup *setup, uint8_t *data);
    /* A packet of another endpoint than 0: sets status and actual. */
    void (*packet)(UsbDevice *dev, UsbPacket *packet);
    /* A halted endpoint (number, + 16 for IN) is cleared. */
    void (*unhalted)(UsbDevice *dev, unsigned endpoint);
    /* The guest has chosen a configuration (0: none), also through a reset. */
    void (*configured)(UsbDevice *dev, uint8_t configuration);
    void (*reset)(UsbDevice *dev);
    /* Of a hub: its ports. */
    UsbPort *(*ports)(UsbDevice *dev, unsigned *ret_n);
} UsbClass;

/* One place to plug a device into. */
struct UsbPort {
    UsbBus *bus;
    UsbDevice *hub;  /* NULL: the root hub's */
    unsigned number; /* from 1 */
    unsigned speeds; /* bits 1 << UsbSpeed it takes */
    bool enabled;    /* passes packets on: the controller or hub sets it */
    UsbDevice *dev;
    const UsbCompanionOps *companion; /* of the controller that also has the port; NULL: none */
    void *companion_opaque;
    unsigned companion_port; /* its number there, from 0 */
    bool given;              /* the companion has it now, not the bus's own controller */
};

/* What a companion controller (EHCI 1.0, 4.2) is told of the ports that it shares with its master,
 * the bus's own controller. Calls with the bus's lock held. */
struct UsbCompanionOps {
    /* The port has been given or taken away, or what is plugged into it has come or gone. */
    void (*changed)(void *opaque, unsigned i);
    /* A device behind the port, which the companion has, has something to say. */
    void (*wakeup)(void *opaque, unsigned i, UsbDevice *dev);
};

typedef struct {
    /* A device has come to, or is about to leave (@attached false), a root port. */
    void (*attached)(UsbBus *bus, UsbPort *port, bool attached);
    /* An endpoint (number, + 16 for IN) has something to say. */
    void (*wakeup)(UsbBus *bus, UsbDevice *dev, unsigned endpoint);
    /* A companion has joined at the port. NULL: the controller has none. */
    void (*joined)(UsbBus *bus, UsbPort *port);
} UsbBusOps;

struct UsbBus {
    Bus bus; /* BUS_USB */
    const UsbBusOps *ops;
    void *opaque; /* the controller's */
    GMutex *lock;
    IoLoop *loop;
    UsbPort *ports;
    unsigned n_ports;
    char *name;
};

struct UsbDevice {
    Device device; /* first */
    const UsbClass *class;
    UsbPort *port;
    UsbSpeed speed;
    bool gone;

    /* properties */
    char *port_path; /* "1.2"; NULL: the first free one */
    char *serial;
    uint32_t usb_version; /* 1: no more than full speed */
    bool msos;            /* accepted */
    char *display;        /* accepted */

    /* registers */
    uint8_t address, configuration;
    bool remote_wakeup;
    uint32_t halted; /* bits by endpoint */
    uint8_t setup[8];
    uint8_t stage; /* of the control transfer */
    uint16_t control_length, control_at;
    uint8_t control[USB_CONTROL_MAX];
};

extern const DeviceClass usb_device_class;

static inline UsbDevice *
usb_device(Device *dev)
{
    return (UsbDevice *)dev;
}

/* ---- for controllers ---- */

/* Adds the bus "ID.0", or NAME.0 without an id; @n ports of @speeds. */
bool usb_bus_init(UsbBus *bus, Device *owner, const char *name, const UsbBusOps *ops, void *opaque,
                  IoLoop *loop, unsigned n, unsigned speeds, GError **err);
void usb_bus_fini(UsbBus *bus);

/* Makes @companion's owner, @device, a companion of the bus's controller for @n ports from @first
 * (0 is the first) on. It then uses the bus's lock and loop. */
bool usb_bus_join(UsbBus *bus, Device *device, unsigned first, unsigned n,
                  const UsbCompanionOps *companion, void *opaque, GError **err);
void usb_bus_leave(UsbBus *bus, void *opaque);

/* The fastest of @speeds (bits 1 << UsbSpeed) that the device runs at; USB_SPEEDS: none. */
UsbSpeed usb_device_best_speed(const UsbDevice *dev, unsigned speeds);
/* The root port behind which the device is. */
UsbPort *usb_device_root_port(const UsbDevice *dev);

/* Carries @packet out. Loop, lock held; @dev may be NULL. */
void usb_packet_run(UsbDevice *dev, UsbPacket *packet);
/* The device that answers to @address behind @port, through enabled ports only. */
UsbDevice *usb_port_find(UsbPort *port, uint8_t address);
/* Follows a route of hub ports, four bits each, low ones first. */
UsbDevice *usb_port_route(UsbPort *port, uint32_t route);
/* A reset signalled to the device: address 0, not configured. */
void usb_device_reset(UsbDevice *dev);

/* ---- for devices ---- */

/* Something has come for the endpoint (number, + 16 for IN). */
void usb_wakeup(UsbDevice *dev, unsigned endpoint);

/* Move bytes between a packet and @data; return how many, and count them in actual. */
uint32_t usb_packet_write(UsbPacket *packet, const void *data, uint32_t len);
uint32_t usb_packet_read(UsbPacket *packet, void *data, uint32_t len);

static inline void
usb_lock(UsbDevice *dev)
{
    g_mutex_lock(dev->port->bus->lock);
}

static inline void
usb_unlock(UsbDevice *dev)
{
    g_mutex_unlock(dev->port->bus->lock);
}

/* ---- control.c ---- */

void usb_control_run(UsbDevice *dev, UsbPacket *packet);
void usb_control_reset(UsbDevice *dev);
/* The path of hub ports, "1.2". Caller frees. */
char *usb_port_path(const UsbPort *port);

#endif
