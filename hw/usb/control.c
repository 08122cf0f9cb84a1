/* control.c - endpoint 0 of every USB device: the stages of a control transfer and the standard
 * requests.
 *
 * Universal Serial Bus 2.0, sections 8.5.3, 9.3, 9.4, 9.6; Universal Serial Bus 3.1, 9.4 and 9.6.2.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/usb.h"
#include "hw/core/bytes.h"

#include <string.h>

enum {
    STAGE_IDLE,
    STAGE_OUT,    /* takes data, then does the request with the status stage */
    STAGE_IN,     /* the request is done, its answer waits to be read */
    STAGE_STATUS, /* only the status is left */
    GET_STATUS = 0,
    CLEAR_FEATURE = 1,
    SET_FEATURE = 3,
    SET_ADDRESS = 5,
    GET_DESCRIPTOR = 6,
    GET_CONFIGURATION = 8,
    SET_CONFIGURATION = 9,
    GET_INTERFACE = 10,
    SET_INTERFACE = 11,
    SET_SEL = 0x30,
    SET_ISOCH_DELAY = 0x31,
    TO_DEVICE = 0,
    TO_INTERFACE = 1,
    TO_ENDPOINT = 2,
    FEATURE_HALT = 0,
    FEATURE_WAKEUP = 1,
    FEATURE_U1 = 48,
    FEATURE_U2 = 49,
    DT_DEVICE = 1,
    DT_CONFIG = 2,
    DT_STRING = 3,
    DT_QUALIFIER = 6,
    DT_OTHER_SPEED = 7,
    DT_BOS = 15,
    DEVICE_BYTES = 18,
    QUALIFIER_BYTES = 10,
    STRING_MAKER = 1,
    STRING_NAME = 2,
    STRING_SERIAL = 3,
    LANGUAGE_ENGLISH = 0x0409,
    CONFIG_ATTRIBUTES = 7,
    CONFIG_SELF_POWERED = 0x40,
};

static unsigned
describe_device(const UsbDevice *dev, uint8_t *d)
{
    static const uint16_t versions[USB_SPEEDS] = { 0x0110, 0x0110, 0x0200, 0x0300 };
    const UsbClass *class = dev->class;

    d[0] = DEVICE_BYTES;
    d[1] = DT_DEVICE;
    bytes_store(d + 2, versions[dev->speed], 2);
    d[4] = class->device_class;
    d[5] = class->subclass;
    d[6] = class->protocol;
    d[7] = dev->speed == USB_SUPER ? 9 : dev->speed == USB_LOW ? 8 : 64;
    bytes_store(d + 8, class->vendor, 2);
    bytes_store(d + 10, class->product, 2);
    bytes_store(d + 12, class->version, 2);
    d[14] = STRING_MAKER;
    d[15] = STRING_NAME;
    d[16] = STRING_SERIAL;
    d[17] = 1;
    return DEVICE_BYTES;
}

/* What the device would be at its other speed; 0 when it has none. */
static unsigned
describe_qualifier(const UsbDevice *dev, uint8_t *d)
{
    UsbSpeed other = dev->speed == USB_HIGH ? USB_FULL : USB_HIGH;

    if (dev->speed == USB_LOW || dev->speed == USB_SUPER || !dev->class->config[USB_HIGH] ||
        !dev->class->config[other])
        return 0;
    d[0] = QUALIFIER_BYTES;
    d[1] = DT_QUALIFIER;
    bytes_store(d + 2, 0x0200, 2);
    d[4] = dev->class->device_class;
    d[5] = dev->class->subclass;
    d[6] = dev->class->protocol;
    d[7] = 64;
    d[8] = 1;
    d[9] = 0;
    return QUALIFIER_BYTES;
}

static unsigned
describe_config(const UsbDevice *dev, UsbSpeed speed, uint8_t type, uint8_t *d)
{
    const uint8_t *config = dev->class->config[speed];
    unsigned n = config ? bytes_load16(config + 2) : 0;

    if (n == 0 || n > USB_CONTROL_MAX)
        return 0;
    memcpy(d, config, n);
    d[1] = type;
    return n;
}

/* Two capabilities: USB 2.0 extension and SuperSpeed (USB 3.1, 9.6.2). */
static unsigned
describe_bos(const UsbDevice *dev, uint8_t *d)
{
    static const uint8_t bos[] = {
        5, DT_BOS, 22, 0, 2, /* head: 22 bytes, 2 capabilities */
        7, 0x10, 2, 2, 0, 0, 0, /* LPM, as every SuperSpeed device has to say */
        10, 0x10, 3, 0, 0x0e, 0, 1, 0x0a, 0xff, 0x07, /* full, high and super; latencies */
    };

    if (dev->speed != USB_SUPER)
        return 0;
    memcpy(d, bos, sizeof(bos));
    return sizeof(bos);
}

static unsigned
describe_string(const UsbDevice *dev, uint8_t index, uint8_t *d)
{
    g_autofree char *path = NULL, *made = NULL;
    const char *text;
    unsigned n = 2;

    d[1] = DT_STRING;
    if (index == 0) {
        d[0] = 4;
        bytes_store(d + 2, LANGUAGE_ENGLISH, 2);
        return 4;
    }
    switch (index) {
    case STRING_MAKER:
        text = dev->class->maker;
        break;
    case STRING_NAME:
        text = dev->class->name;
        break;
    case STRING_SERIAL:
        path = usb_port_path(dev->port);
        made = g_strdup_printf("%04x-%s", dev->class->product, path);
        text = dev->serial ? dev->serial : made;
        break;
    default:
        return 0;
    }
    for (; *text && n < 254; text++) {
        d[n++] = (uint8_t)*text;
        d[n++] = 0;
    }
    d[0] = (uint8_t)n;
    return n;
}

static int
get_descriptor(UsbDevice *dev, const UsbSetup *setup, uint8_t *data)
{
    uint8_t type = (uint8_t)(setup->value >> 8), index = (uint8_t)setup->value;
    const uint8_t *own = NULL;
    unsigned n = 0;

    if ((setup->type & 0x1f) == TO_INTERFACE || (type != DT_DEVICE && type != DT_CONFIG &&
                                                 type != DT_STRING && dev->class->descriptor)) {
        n = dev->class->descriptor ? dev->class->descriptor(dev, type, index, &own) : 0;
        if (n > 0 && n <= USB_CONTROL_MAX)
            memcpy(data, own, n);
        if (n > 0)
            return (int)n;
    }
    switch (type) {
    case DT_DEVICE:
        n = describe_device(dev, data);
        break;
    case DT_CONFIG:
        n = index == 0 ? describe_config(dev, dev->speed, DT_CONFIG, data) : 0;
        break;
    case DT_STRING:
        n = describe_string(dev, index, data);
        break;
    case DT_QUALIFIER:
        n = describe_qualifier(dev, data);
        break;
    case DT_OTHER_SPEED:
        if (describe_qualifier(dev, data))
            n = describe_config(dev, dev->speed == USB_HIGH ? USB_FULL : USB_HIGH, DT_OTHER_SPEED,
                                data);
        break;
    case DT_BOS:
        n = describe_bos(dev, data);
        break;
    }
    return n > 0 ? (int)n : -1;
}

static int
get_status(UsbDevice *dev, const UsbSetup *setup, uint8_t *data)
{
    unsigned endpoint = (setup->index & 15) + (setup->index & 0x80 ? 16 : 0);

    data[0] = data[1] = 0;
    switch (setup->type & 0x1f) {
    case TO_DEVICE:
        data[0] = (uint8_t)((dev->class->config[dev->speed][CONFIG_ATTRIBUTES] & CONFIG_SELF_POWERED
                                 ? 1
                                 : 0) |
                            (dev->remote_wakeup ? 2 : 0));
        break;
    case TO_ENDPOINT:
        data[0] = dev->halted >> endpoint & 1;
        break;
    }
    return 2;
}

static int
set_feature(UsbDevice *dev, const UsbSetup *setup, bool on)
{
    unsigned endpoint = (setup->index & 15) + (setup->index & 0x80 ? 16 : 0);

    if ((setup->type & 0x1f) == TO_DEVICE && setup->value == FEATURE_WAKEUP) {
        dev->remote_wakeup = on;
        return 0;
    }
    if ((setup->type & 0x1f) == TO_DEVICE && dev->speed == USB_SUPER &&
        (setup->value == FEATURE_U1 || setup->value == FEATURE_U2))
        return 0;
    if ((setup->type & 0x1f) == TO_INTERFACE && dev->speed == USB_SUPER && setup->value == 0)
        return 0; /* function suspend */
    if ((setup->type & 0x1f) != TO_ENDPOINT || setup->value != FEATURE_HALT)
        return -1;
    if (on) {
        dev->halted |= 1u << endpoint;
    } else {
        dev->halted &= ~(1u << endpoint);
        if (dev->class->unhalted)
            dev->class->unhalted(dev, endpoint);
        usb_wakeup(dev, endpoint);
    }
    return 0;
}

static int
set_configuration(UsbDevice *dev, uint8_t value)
{
    if (value > 1)
        return -1;
    dev->configuration = value;
    dev->halted = 0;
    if (dev->class->configured)
        dev->class->configured(dev, value);
    return 0;
}

static int
standard_request(UsbDevice *dev, const UsbSetup *setup, uint8_t *data)
{
    switch (setup->request | (setup->type & USB_TYPE_IN) << 1) {
    case GET_STATUS | 0x100:
        return get_status(dev, setup, data);
    case CLEAR_FEATURE:
        return set_feature(dev, setup, false);
    case SET_FEATURE:
        return set_feature(dev, setup, true);
    case SET_ADDRESS:
        if (setup->value > 127)
            return -1;
        dev->address = (uint8_t)setup->value;
        return 0;
    case GET_DESCRIPTOR | 0x100:
        return get_descriptor(dev, setup, data);
    case GET_CONFIGURATION | 0x100:
        data[0] = dev->configuration;
        return 1;
    case SET_CONFIGURATION:
        return set_configuration(dev, (uint8_t)setup->value);
    case GET_INTERFACE | 0x100:
        data[0] = 0;
        return dev->configuration ? 1 : -1;
    case SET_INTERFACE:
        return dev->configuration && setup->value == 0 ? 0 : -1;
    case SET_SEL:
    case SET_ISOCH_DELAY:
        return dev->speed == USB_SUPER ? 0 : -1;
    }
    return -1;
}

/* Does the request whose data, if it brings some, is in dev->control. */
static bool
control_request(UsbDevice *dev)
{
    const UsbSetup setup = {
        .type = dev->setup[0],
        .request = dev->setup[1],
        .value = bytes_load16(dev->setup + 2),
        .index = bytes_load16(dev->setup + 4),
        .length = (uint16_t)MIN(bytes_load16(dev->setup + 6), USB_CONTROL_MAX),
    };
    int n = -1;

    if ((setup.type & USB_TYPE_MASK) == 0)
        n = standard_request(dev, &setup, dev->control);
    if (n < 0 && dev->class->control)
        n = dev->class->control(dev, &setup, dev->control);
    if (n < 0)
        return false;
    if (setup.type & USB_TYPE_IN)
        dev->control_length = (uint16_t)MIN((unsigned)n, setup.length);
    return true;
}

static void
control_stall(UsbDevice *dev, UsbPacket *packet)
{
    dev->stage = STAGE_IDLE;
    packet->status = USB_STALL;
}

static void
control_setup(UsbDevice *dev, UsbPacket *packet)
{
    unsigned wanted;

    /* A device cannot refuse the SETUP itself: it stalls what comes next. */
    dev->stage = STAGE_IDLE;
    if (packet->length != sizeof(dev->setup))
        return;
    usb_packet_read(packet, dev->setup, sizeof(dev->setup));
    wanted = bytes_load16(dev->setup + 6);
    dev->control_at = dev->control_length = 0;
    if (dev->setup[0] & USB_TYPE_IN) {
        if (control_request(dev))
            dev->stage = STAGE_IN;
    } else if (wanted <= USB_CONTROL_MAX) {
        dev->control_length = (uint16_t)wanted;
        dev->stage = wanted ? STAGE_OUT : STAGE_STATUS;
    }
}

static void
control_in(UsbDevice *dev, UsbPacket *packet)
{
    switch (dev->stage) {
    case STAGE_IN:
        dev->control_at = (uint16_t)(dev->control_at +
                                     usb_packet_write(packet, dev->control + dev->control_at,
                                                      (uint32_t)dev->control_length -
                                                          dev->control_at));
        break;
    case STAGE_OUT: /* the host may send less than it said */
    case STAGE_STATUS:
        dev->control_length = dev->control_at;
        if (control_request(dev))
            dev->stage = STAGE_IDLE;
        else
            control_stall(dev, packet);
        break;
    default:
        control_stall(dev, packet);
        break;
    }
}

static void
control_out(UsbDevice *dev, UsbPacket *packet)
{
    if (dev->stage == STAGE_IN) {
        dev->stage = STAGE_IDLE; /* status of a request that was read */
    } else if (dev->stage == STAGE_OUT &&
               packet->length <= (uint32_t)dev->control_length - dev->control_at) {
        dev->control_at = (uint16_t)(dev->control_at + usb_packet_read(packet,
                                                                       dev->control +
                                                                           dev->control_at,
                                                                       packet->length));
    } else {
        control_stall(dev, packet);
    }
}

void
usb_control_run(UsbDevice *dev, UsbPacket *packet)
{
    if (packet->token == USB_SETUP)
        control_setup(dev, packet);
    else if (packet->token == USB_IN)
        control_in(dev, packet);
    else
        control_out(dev, packet);
}

void
usb_control_reset(UsbDevice *dev)
{
    dev->address = dev->configuration = 0;
    dev->remote_wakeup = false;
    dev->halted = 0;
    dev->stage = STAGE_IDLE;
    dev->control_at = dev->control_length = 0;
}
