/* hub.c - usb-hub: eight ports at full speed (0409:55aa).
 *
 * Universal Serial Bus 2.0, chapter 11. What runs at high speed on a root port is a full-speed
 * device behind this hub, as behind any USB 1.1 hub.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/usb.h"

#include <string.h>

#include "hw/core/bytes.h"

enum {
    HUB_PORTS_MAX = 8,
    GET_STATUS = 0,
    CLEAR_FEATURE = 1,
    SET_FEATURE = 3,
    GET_DESCRIPTOR = 6,
    SET_DESCRIPTOR = 7,
    HUB_IN = 0xa0,
    HUB_OUT = 0x20,
    PORT_IN = 0xa3,
    PORT_OUT = 0x23,
    DT_HUB = 0x29,
    FEATURE_ENABLE = 1,
    FEATURE_SUSPEND = 2,
    FEATURE_RESET = 4,
    FEATURE_POWER = 8,
    FEATURE_C_CONNECTION = 16,
    FEATURE_C_RESET = 20,
    STATUS_CONNECTION = 0x001,
    STATUS_ENABLE = 0x002,
    STATUS_SUSPEND = 0x004,
    STATUS_POWER = 0x100,
    STATUS_LOW_SPEED = 0x200,
    CHANGE_CONNECTION = 0x01,
    CHANGE_ENABLE = 0x02,
    CHANGE_RESET = 0x10,
};

typedef struct {
    uint16_t status, change;
} HubPort;

typedef struct {
    UsbDevice usb; /* first */
    uint32_t n_ports;
    UsbPort ports[HUB_PORTS_MAX];
    HubPort states[HUB_PORTS_MAX];
} UsbHub;

/* Brings a port's status in step with what is plugged in. */
static void
hub_look(UsbHub *hub, unsigned i)
{
    HubPort *state = &hub->states[i];
    UsbDevice *dev = hub->ports[i].dev;
    bool present = dev && !dev->gone && (state->status & STATUS_POWER);

    if (present == !!(state->status & STATUS_CONNECTION))
        return;
    state->change |= CHANGE_CONNECTION;
    if (present) {
        state->status |= STATUS_CONNECTION;
        if (dev->speed == USB_LOW)
            state->status |= STATUS_LOW_SPEED;
    } else {
        if (state->status & STATUS_ENABLE)
            state->change |= CHANGE_ENABLE;
        state->status &= STATUS_POWER;
        hub->ports[i].enabled = false;
    }
}

static void
hub_disable(UsbHub *hub, unsigned i)
{
    hub->states[i].status &= (uint16_t) ~(STATUS_ENABLE | STATUS_SUSPEND);
    hub->ports[i].enabled = false;
}

static int
hub_set_feature(UsbHub *hub, unsigned i, uint16_t feature)
{
    HubPort *state = &hub->states[i];

    hub_look(hub, i); /* the device may have gone without anybody asking since */
    switch (feature) {
    case FEATURE_POWER:
        state->status |= STATUS_POWER;
        break;
    case FEATURE_SUSPEND:
        if (state->status & STATUS_ENABLE)
            state->status |= STATUS_SUSPEND;
        break;
    case FEATURE_RESET:
        if (state->status & STATUS_CONNECTION) {
            usb_device_reset(hub->ports[i].dev);
            state->status = (uint16_t)((state->status & ~STATUS_SUSPEND) | STATUS_ENABLE);
            hub->ports[i].enabled = true;
        }
        state->change |= CHANGE_RESET;
        break;
    default:
        return -1;
    }
    hub_look(hub, i);
    usb_wakeup(&hub->usb, 16 + 1);
    return 0;
}

static int
hub_clear_feature(UsbHub *hub, unsigned i, uint16_t feature)
{
    switch (feature) {
    case FEATURE_ENABLE:
        hub_disable(hub, i);
        return 0;
    case FEATURE_SUSPEND:
        hub->states[i].status &= (uint16_t)~STATUS_SUSPEND;
        return 0;
    case FEATURE_POWER:
        hub_disable(hub, i);
        hub->states[i].status = 0;
        return 0;
    default:
        if (feature < FEATURE_C_CONNECTION || feature > FEATURE_C_RESET)
            return -1;
        hub->states[i].change &= (uint16_t) ~(1u << (feature - FEATURE_C_CONNECTION));
        return 0;
    }
}

static int
hub_describe(const UsbHub *hub, uint8_t *d)
{
    d[0] = 9;
    d[1] = DT_HUB;
    d[2] = (uint8_t)hub->n_ports;
    bytes_store(d + 3, 0x000a, 2); /* each port powered and, if it were, protected by itself */
    d[5] = 1;                      /* 2 ms until power is good */
    d[6] = 0;
    d[7] = 0; /* all can be removed */
    d[8] = 0xff;
    return 9;
}

static int
hub_control(UsbDevice *dev, const UsbSetup *setup, uint8_t *data)
{
    UsbHub *hub = (UsbHub *)dev;
    unsigned i = (setup->index & 0xffu) - 1;

    switch (setup->type << 8 | setup->request) {
    case HUB_IN << 8 | GET_DESCRIPTOR:
        return hub_describe(hub, data);
    case HUB_IN << 8 | GET_STATUS:
        memset(data, 0, 4);
        return 4;
    case HUB_OUT << 8 | CLEAR_FEATURE:
        return 0;
    case PORT_IN << 8 | GET_STATUS:
        if (i >= hub->n_ports)
            return -1;
        hub_look(hub, i);
        bytes_store(data, hub->states[i].status, 2);
        bytes_store(data + 2, hub->states[i].change, 2);
        return 4;
    case PORT_OUT << 8 | SET_FEATURE:
        return i < hub->n_ports ? hub_set_feature(hub, i, setup->value) : -1;
    case PORT_OUT << 8 | CLEAR_FEATURE:
        return i < hub->n_ports ? hub_clear_feature(hub, i, setup->value) : -1;
    }
    return -1;
}

static void
hub_packet(UsbDevice *dev, UsbPacket *packet)
{
    UsbHub *hub = (UsbHub *)dev;
    uint8_t bits[2] = { 0 };
    unsigned n = hub->n_ports / 8 + 1;

    if (packet->token != USB_IN || packet->endpoint != 1) {
        packet->status = USB_STALL;
        return;
    }
    for (unsigned i = 0; i < hub->n_ports; i++) {
        hub_look(hub, i);
        if (hub->states[i].change)
            bits[(i + 1) / 8] |= (uint8_t)(1u << ((i + 1) % 8));
    }
    if (!(bits[0] | bits[1]))
        packet->status = USB_NAK;
    else if (packet->length < n)
        packet->status = USB_BABBLE;
    else
        usb_packet_write(packet, bits, n);
}

static UsbPort *
hub_ports(UsbDevice *dev, unsigned *ret_n)
{
    UsbHub *hub = (UsbHub *)dev;

    *ret_n = hub->n_ports;
    return hub->ports;
}

static void
hub_reset(UsbDevice *dev)
{
    UsbHub *hub = (UsbHub *)dev;

    for (unsigned i = 0; i < hub->n_ports; i++) {
        hub->states[i] = (HubPort){ .status = STATUS_POWER };
        hub->ports[i].enabled = false;
        hub_look(hub, i);
    }
}

static bool
hub_realize(Device *device, GError **err)
{
    UsbHub *hub = (UsbHub *)device;

    (void)err;
    for (unsigned i = 0; i < hub->n_ports; i++) {
        hub->ports[i] = (UsbPort){ .bus = hub->usb.port->bus,
                                   .hub = &hub->usb,
                                   .number = i + 1,
                                   .speeds = 1u << USB_LOW | 1u << USB_FULL };
        hub->states[i].status = STATUS_POWER;
    }
    return true;
}

/* What is plugged into the hub goes with it. */
static void
hub_unrealize(Device *device)
{
    UsbHub *hub = (UsbHub *)device;

    for (unsigned i = 0; i < hub->n_ports; i++) {
        if (hub->ports[i].dev)
            device_delete(&hub->ports[i].dev->device);
    }
}

static bool
hub_after_load(void *state, GError **err)
{
    UsbHub *hub = state;

    (void)err;
    for (unsigned i = 0; i < hub->n_ports; i++) {
        hub->ports[i].enabled = hub->states[i].status & STATUS_ENABLE;
        hub_look(hub, i);
    }
    return true;
}

static const uint8_t hub_config[] = {
    9, 2, 25,   0, 1, 1, 0,    0xe0, 0, /* self-powered, remote wakeup */
    9, 4, 0,    0, 1, 9, 0,    0,    0, /* hub */
    7, 5, 0x81, 3, 2, 0, 0xff,          /* changes, polled every 255 ms */
};

static const SavedField hub_port_fields[] = {
    SAVED(HubPort, status, 1),
    SAVED(HubPort, change, 1),
};

static const SavedTable hub_port_saved = {
    .name = "usb-hub-port",
    .version = 1,
    .oldest = 1,
    .fields = hub_port_fields,
    .n_fields = G_N_ELEMENTS(hub_port_fields),
};

static const SavedField hub_fields[] = {
    SAVED_STRUCTS(UsbHub, states, hub_port_saved, 1),
};

static const SavedTable hub_saved = {
    .name = "usb-hub",
    .version = 1,
    .oldest = 1,
    .fields = hub_fields,
    .n_fields = G_N_ELEMENTS(hub_fields),
    .after_load = hub_after_load,
};

static const DeviceProp hub_props[] = {
    { "ports", PROP_UINT32, offsetof(UsbHub, n_ports), "8", .min = 1, .max = HUB_PORTS_MAX,
      .help = "number of ports" },
};

static const UsbClass hub_details = {
    .vendor = 0x0409,
    .product = 0x55aa,
    .version = 0x0101,
    .device_class = 9,
    .maker = "Kiln",
    .name = "Kiln USB Hub",
    .config = { [USB_FULL] = hub_config },
    .control = hub_control,
    .packet = hub_packet,
    .ports = hub_ports,
    .reset = hub_reset,
};

const DeviceClass usb_hub_class = {
    .name = "usb-hub",
    .description = "USB 1.1 hub with eight ports",
    .base = &usb_device_class,
    .bus = BUS_USB,
    .hotpluggable = true,
    .state_size = sizeof(UsbHub),
    .props = hub_props,
    .n_props = G_N_ELEMENTS(hub_props),
    .saved = &hub_saved,
    .realize = hub_realize,
    .unrealize = hub_unrealize,
    .details = &hub_details,
};
