/* hid.c - usb-kbd, usb-mouse and usb-tablet (0627:0001).
 *
 * Device Class Definition for Human Interface Devices 1.11, section 7; boot protocol in appendix B.
 * What the user does waits in a queue, one entry for each report, so that nothing typed between two
 * polls is lost. A movement joins the entry before it while that has not been read.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/hid_desc.h"
#include "hw/usb/usb.h"

#include <string.h>

#include "hw/core/bytes.h"
#include "hw/core/timer.h"
#include "hw/input/input.h"
#include "util/error.h"

enum {
    GET_REPORT = 1,
    GET_IDLE = 2,
    GET_PROTOCOL = 3,
    SET_REPORT = 9,
    SET_IDLE = 10,
    SET_PROTOCOL = 11,
    DT_HID = 0x21,
    DT_REPORT = 0x22,
    KEYS = 6,
    KEY_QUEUE = 256,
    POINTER_QUEUE = 64,
    REPORT_MAX = 8,
    USAGE_MODIFIERS = 0xe0,
    USAGE_ROLLOVER = 1,
    USAGE_UP = 0x100, /* in the queue: let go */
    MOVE_MAX = 1 << 20,
    IDLE_UNIT_NS = 4000000,
    ENDPOINT_IN = 16 + 1,
    INTERFACE_OUT = 0x21,
    INTERFACE_IN = 0xa1,
};

/* One state of the pointer: steps since the one before, or the position. */
typedef struct {
    int32_t x, y, wheel;
    uint8_t buttons;
} HidPointer;

typedef struct {
    UsbDevice usb; /* first */
    HidKind kind;
    InputSink *sink;
    DeviceTimer *timer; /* of idle reports */

    uint8_t protocol, idle, leds; /* protocol 0 boot, 1 report */
    bool changed;                 /* there is something to report */
    int64_t reported;             /* guest's clock at the last report */
    uint8_t modifiers, keys[KEY_QUEUE];
    uint16_t n_keys; /* held */
    uint16_t key_queue[KEY_QUEUE];
    uint16_t n_key_queue;
    HidPointer now;     /* being made by events */
    HidPointer pointers[POINTER_QUEUE];
    uint16_t n_pointers;
    HidPointer told;
} UsbHid;

/* ---- keyboard ---- */

static bool
hid_key_change(UsbHid *hid, uint16_t entry)
{
    uint8_t usage = (uint8_t)entry;
    bool down = !(entry & USAGE_UP);
    unsigned at;

    if (usage >= USAGE_MODIFIERS) {
        uint8_t old = hid->modifiers, bit = (uint8_t)(1u << (usage & 7));

        hid->modifiers = down ? old | bit : old & (uint8_t)~bit;
        return hid->modifiers != old;
    }
    for (at = 0; at < hid->n_keys && hid->keys[at] != usage; at++)
        ;
    if (down == (at < hid->n_keys))
        return false;
    if (down && hid->n_keys < KEY_QUEUE) {
        hid->keys[hid->n_keys++] = usage;
    } else if (!down) {
        hid->n_keys--;
        memmove(hid->keys + at, hid->keys + at + 1, hid->n_keys - at);
    }
    return true;
}

/* Takes entries until one changes something. */
static bool
hid_next_key(UsbHid *hid)
{
    bool changed = false;

    while (!changed && hid->n_key_queue > 0) {
        changed = hid_key_change(hid, hid->key_queue[0]);
        hid->n_key_queue--;
        memmove(hid->key_queue, hid->key_queue + 1, hid->n_key_queue * sizeof(uint16_t));
    }
    return changed;
}

static void
hid_key_event(UsbHid *hid, const InputEvent *event)
{
    unsigned usage = key_code_number((KeyCode)event->code, KEYSET_USB);

    /* A full queue keeps room for letting go. */
    if (usage == 0 || hid->n_key_queue >= (event->value ? KEY_QUEUE * 3 / 4 : KEY_QUEUE))
        return;
    hid->key_queue[hid->n_key_queue++] = (uint16_t)(usage | (event->value ? 0 : USAGE_UP));
}

/* ---- pointers ---- */

static void
hid_queue_pointer(UsbHid *hid)
{
    HidPointer *last = hid->n_pointers ? &hid->pointers[hid->n_pointers - 1] : NULL;

    if (last && ((last->buttons == hid->now.buttons && hid->kind == HID_MOUSE) ||
                 (last->buttons == hid->now.buttons && hid->now.wheel == 0) ||
                 hid->n_pointers == POINTER_QUEUE)) {
        if (hid->kind == HID_MOUSE) {
            last->x = CLAMP(last->x + hid->now.x, -MOVE_MAX, MOVE_MAX);
            last->y = CLAMP(last->y + hid->now.y, -MOVE_MAX, MOVE_MAX);
        } else {
            last->x = hid->now.x;
            last->y = hid->now.y;
        }
        last->wheel = CLAMP(last->wheel + hid->now.wheel, -MOVE_MAX, MOVE_MAX);
        last->buttons = hid->now.buttons;
    } else {
        hid->pointers[hid->n_pointers++] = hid->now;
    }
    hid->now.wheel = 0;
    if (hid->kind == HID_MOUSE)
        hid->now.x = hid->now.y = 0;
}

static void
hid_pointer_event(UsbHid *hid, const InputEvent *event)
{
    static const uint8_t bits[INPUT_BUTTONS] = {
        [INPUT_BUTTON_LEFT] = 1,  [INPUT_BUTTON_RIGHT] = 2,  [INPUT_BUTTON_MIDDLE] = 4,
        [INPUT_BUTTON_SIDE] = 8, [INPUT_BUTTON_EXTRA] = 16,
    };
    int32_t *axis = event->code == INPUT_X ? &hid->now.x : &hid->now.y;

    if (event->kind == INPUT_ABS) {
        *axis = event->value;
    } else if (event->kind == INPUT_REL) {
        *axis = CLAMP(*axis + event->value, -MOVE_MAX, MOVE_MAX);
    } else if (event->code == INPUT_BUTTON_WHEEL_UP || event->code == INPUT_BUTTON_WHEEL_DOWN) {
        if (event->value)
            hid->now.wheel += event->code == INPUT_BUTTON_WHEEL_UP ? 1 : -1;
        hid_queue_pointer(hid);
    } else {
        if (event->value)
            hid->now.buttons |= bits[event->code];
        else
            hid->now.buttons &= (uint8_t)~bits[event->code];
        /* A click is two reports, however fast it was. */
        hid_queue_pointer(hid);
    }
}

/* Takes the next state, or as much of its movement as a report holds. */
static bool
hid_next_pointer(UsbHid *hid)
{
    HidPointer *first = &hid->pointers[0];

    if (hid->n_pointers == 0)
        return false;
    hid->told = *first;
    hid->told.wheel = CLAMP(first->wheel, -127, 127);
    first->wheel -= hid->told.wheel;
    if (hid->kind == HID_MOUSE) {
        hid->told.x = CLAMP(first->x, -127, 127);
        hid->told.y = CLAMP(first->y, -127, 127);
        first->x -= hid->told.x;
        first->y -= hid->told.y;
    }
    if (first->wheel == 0 && (hid->kind == HID_TABLET || (first->x == 0 && first->y == 0))) {
        hid->n_pointers--;
        memmove(hid->pointers, hid->pointers + 1, hid->n_pointers * sizeof(HidPointer));
    }
    return true;
}

/* ---- reports ---- */

static unsigned
hid_fill_report(UsbHid *hid, uint8_t *ret)
{
    memset(ret, 0, REPORT_MAX);
    switch (hid->kind) {
    case HID_KEYBOARD:
        ret[0] = hid->modifiers;
        if (hid->n_keys > KEYS)
            memset(ret + 2, USAGE_ROLLOVER, KEYS);
        else
            memcpy(ret + 2, hid->keys, hid->n_keys);
        return 8;
    case HID_MOUSE:
        ret[0] = hid->told.buttons;
        ret[1] = (uint8_t)hid->told.x;
        ret[2] = (uint8_t)hid->told.y;
        ret[3] = (uint8_t)hid->told.wheel;
        return hid->protocol ? 4 : 3;
    default:
        ret[0] = hid->told.buttons;
        bytes_store(ret + 1, (uint16_t)hid->told.x, 2);
        bytes_store(ret + 3, (uint16_t)hid->told.y, 2);
        ret[5] = (uint8_t)hid->told.wheel;
        return 6;
    }
}

static bool
hid_idle_over(UsbHid *hid, int64_t now)
{
    return hid->idle && now - hid->reported >= hid->idle * (int64_t)IDLE_UNIT_NS;
}

static void
hid_packet(UsbDevice *dev, UsbPacket *packet)
{
    UsbHid *hid = (UsbHid *)dev;
    int64_t now = machine_clock_ns(dev->device.machine);
    uint8_t report[REPORT_MAX];
    unsigned n;

    if (packet->token != USB_IN || packet->endpoint != 1) {
        packet->status = USB_STALL;
        return;
    }
    if (!(hid->kind == HID_KEYBOARD ? hid_next_key(hid) : hid_next_pointer(hid)) &&
        !hid->changed && !hid_idle_over(hid, now)) {
        packet->status = USB_NAK;
        return;
    }
    hid->changed = false;
    hid->reported = now;
    n = hid_fill_report(hid, report);
    if (n > packet->length)
        packet->status = USB_BABBLE;
    else
        usb_packet_write(packet, report, n);
    /* Movement told once is over; a report asked for again shows none. */
    hid->told.wheel = 0;
    if (hid->kind == HID_MOUSE)
        hid->told.x = hid->told.y = 0;
    if (hid->idle)
        device_timer_set(hid->timer, now + hid->idle * (int64_t)IDLE_UNIT_NS);
}

static void
hid_timer(void *opaque)
{
    usb_wakeup(opaque, ENDPOINT_IN);
}

static int
hid_control(UsbDevice *dev, const UsbSetup *setup, uint8_t *data)
{
    UsbHid *hid = (UsbHid *)dev;

    switch (setup->type << 8 | setup->request) {
    case INTERFACE_IN << 8 | GET_REPORT:
        return (int)hid_fill_report(hid, data);
    case INTERFACE_OUT << 8 | SET_REPORT:
        if (hid->kind != HID_KEYBOARD || setup->length < 1)
            return -1;
        /* HID's order is Num, Caps, Scroll. */
        hid->leds = (uint8_t)((data[0] & 1 ? INPUT_LED_NUM : 0) |
                              (data[0] & 2 ? INPUT_LED_CAPS : 0) |
                              (data[0] & 4 ? INPUT_LED_SCROLL : 0));
        input_sink_set_leds(hid->sink, hid->leds);
        return 0;
    case INTERFACE_IN << 8 | GET_IDLE:
        data[0] = hid->idle;
        return 1;
    case INTERFACE_OUT << 8 | SET_IDLE:
        hid->idle = (uint8_t)(setup->value >> 8);
        if (hid->idle)
            device_timer_set(hid->timer, machine_clock_ns(dev->device.machine) +
                                             hid->idle * (int64_t)IDLE_UNIT_NS);
        else
            device_timer_cancel(hid->timer);
        return 0;
    case INTERFACE_IN << 8 | GET_PROTOCOL:
        if (hid->kind == HID_TABLET)
            return -1;
        data[0] = hid->protocol;
        return 1;
    case INTERFACE_OUT << 8 | SET_PROTOCOL:
        if (hid->kind == HID_TABLET || setup->value > 1)
            return -1;
        hid->protocol = (uint8_t)setup->value;
        return 0;
    }
    return -1;
}

static unsigned
hid_descriptor(UsbDevice *dev, uint8_t type, uint8_t index, const uint8_t **ret)
{
    UsbHid *hid = (UsbHid *)dev;

    if (index != 0)
        return 0;
    if (type == DT_REPORT) {
        *ret = hid_report[hid->kind];
        return hid_report_len[hid->kind];
    }
    if (type == DT_HID) {
        *ret = dev->class->config[dev->speed] + HID_CONFIG_DESCRIPTOR;
        return HID_DESCRIPTOR_BYTES;
    }
    return 0;
}

/* ---- the user's side; main thread ---- */

static void
hid_event(void *opaque, const InputEvent *event)
{
    UsbHid *hid = opaque;

    usb_lock(&hid->usb);
    if (hid->kind == HID_KEYBOARD)
        hid_key_event(hid, event);
    else
        hid_pointer_event(hid, event);
    usb_unlock(&hid->usb);
}

static void
hid_sync(void *opaque)
{
    UsbHid *hid = opaque;
    const HidPointer *last;

    usb_lock(&hid->usb);
    last = hid->n_pointers ? &hid->pointers[hid->n_pointers - 1] : &hid->told;
    if (hid->kind == HID_MOUSE ? hid->now.x || hid->now.y
                               : hid->kind == HID_TABLET &&
                                     (hid->now.x != last->x || hid->now.y != last->y))
        hid_queue_pointer(hid);
    usb_wakeup(&hid->usb, ENDPOINT_IN);
    usb_unlock(&hid->usb);
}

static const InputSinkOps hid_sink_ops[HID_KINDS] = {
    { "USB keyboard", 1u << INPUT_KEY, hid_event, hid_sync },
    { "USB mouse", 1u << INPUT_REL | 1u << INPUT_BUTTON, hid_event, hid_sync },
    { "USB tablet", 1u << INPUT_ABS | 1u << INPUT_BUTTON, hid_event, hid_sync },
};

static void
hid_configured(UsbDevice *dev, uint8_t configuration)
{
    UsbHid *hid = (UsbHid *)dev;

    if (configuration)
        input_sink_activate(hid->sink);
    else
        input_sink_deactivate(hid->sink);
}

static void
hid_reset(UsbDevice *dev)
{
    UsbHid *hid = (UsbHid *)dev;

    hid->protocol = 1;
    hid->idle = 0;
    hid->leds = hid->modifiers = 0;
    hid->n_keys = hid->n_key_queue = hid->n_pointers = 0;
    hid->changed = false;
    hid->now.wheel = hid->told.wheel = 0;
    device_timer_cancel(hid->timer);
    input_sink_set_leds(hid->sink, 0);
}

static bool
hid_realize(Device *device, GError **err)
{
    UsbHid *hid = (UsbHid *)device;
    UsbDevice *dev = &hid->usb;

    (void)err;
    hid->kind = (HidKind)dev->class->model;
    hid->timer = device_timer_new(device->machine, dev->port->bus->lock, hid_timer, dev);
    hid->sink = input_sink_new(device->machine->input, &hid_sink_ops[hid->kind], hid);
    hid->protocol = 1;
    return true;
}

static void
hid_unrealize(Device *device)
{
    UsbHid *hid = (UsbHid *)device;

    /* No packet of the guest comes to what is taken away here. */
    if (hid->usb.port) {
        usb_lock(&hid->usb);
        hid->usb.gone = true;
        usb_unlock(&hid->usb);
    }
    g_clear_pointer(&hid->sink, input_sink_free);
    g_clear_pointer(&hid->timer, device_timer_free);
}

static bool
hid_after_load(void *state, GError **err)
{
    UsbHid *hid = state;

    if (hid->n_keys > KEY_QUEUE || hid->n_key_queue > KEY_QUEUE || hid->n_pointers > POINTER_QUEUE)
        return device_error(&hid->usb.device, err, VIR_ERR_OPERATION_FAILED,
                            "its saved queue is longer than it can be");
    for (unsigned i = 0; i < hid->n_pointers; i++) {
        HidPointer *p = &hid->pointers[i];

        p->x = CLAMP(p->x, -MOVE_MAX, MOVE_MAX);
        p->y = CLAMP(p->y, -MOVE_MAX, MOVE_MAX);
        p->wheel = CLAMP(p->wheel, -MOVE_MAX, MOVE_MAX);
    }
    /* The guest's keys stay as they were; the viewer's hands are elsewhere. */
    hid->changed = true;
    input_sink_set_leds(hid->sink, hid->leds);
    return true;
}

static const SavedField pointer_fields[] = {
    SAVED(HidPointer, x, 1),
    SAVED(HidPointer, y, 1),
    SAVED(HidPointer, wheel, 1),
    SAVED(HidPointer, buttons, 1),
};

static const SavedTable pointer_saved = {
    .name = "usb-hid-pointer",
    .version = 1,
    .oldest = 1,
    .fields = pointer_fields,
    .n_fields = G_N_ELEMENTS(pointer_fields),
};

static const SavedField hid_fields[] = {
    SAVED(UsbHid, protocol, 1),       SAVED(UsbHid, idle, 1),
    SAVED(UsbHid, leds, 1),           SAVED(UsbHid, modifiers, 1),
    SAVED_BYTES(UsbHid, keys, 1),     SAVED(UsbHid, n_keys, 1),
    SAVED_ARRAY(UsbHid, key_queue, 1), SAVED(UsbHid, n_key_queue, 1),
    SAVED(UsbHid, n_pointers, 1),     SAVED_STRUCTS(UsbHid, pointers, pointer_saved, 1),
    SAVED_STRUCT(UsbHid, told, pointer_saved, 1),
};

static const SavedTable hid_saved = {
    .name = "usb-hid",
    .version = 1,
    .oldest = 1,
    .fields = hid_fields,
    .n_fields = G_N_ELEMENTS(hid_fields),
    .after_load = hid_after_load,
};

static const DeviceProp hid_props[] = {
    { "usb_version", PROP_UINT32, offsetof(UsbDevice, usb_version), "2", .min = 1, .max = 2,
      .help = "1: full speed only" },
    { "display", PROP_STRING, offsetof(UsbDevice, display),
      .help = "accepted; all screens share the pointer" },
};

#define HID_CLASS(kind, text, full, high)                                                          \
    {                                                                                              \
        .vendor = 0x0627, .product = 0x0001, .version = 0x0100, .maker = "Kiln", .name = text,     \
        .model = (kind), .config = { [USB_FULL] = (full), [USB_HIGH] = (high) },                   \
        .descriptor = hid_descriptor, .control = hid_control, .packet = hid_packet,                \
        .configured = hid_configured, .reset = hid_reset                                           \
    }

static const UsbClass keyboard_details =
    HID_CLASS(HID_KEYBOARD, "Kiln USB Keyboard", hid_keyboard_full, hid_keyboard_high);
static const UsbClass mouse_details =
    HID_CLASS(HID_MOUSE, "Kiln USB Mouse", hid_mouse_full, hid_mouse_high);
static const UsbClass tablet_details =
    HID_CLASS(HID_TABLET, "Kiln USB Tablet", hid_tablet_full, hid_tablet_high);

#define HID_DEVICE(symbol, text, what, how)                                                        \
    const DeviceClass symbol = {                                                                   \
        .name = text,                                                                              \
        .description = what,                                                                       \
        .base = &usb_device_class,                                                                 \
        .bus = BUS_USB,                                                                            \
        .hotpluggable = true,                                                                      \
        .state_size = sizeof(UsbHid),                                                              \
        .props = hid_props,                                                                        \
        .n_props = G_N_ELEMENTS(hid_props),                                                        \
        .saved = &hid_saved,                                                                       \
        .realize = hid_realize,                                                                    \
        .unrealize = hid_unrealize,                                                                \
        .details = &(how),                                                                         \
    }

HID_DEVICE(usb_kbd_class, "usb-kbd", "USB keyboard", keyboard_details);
HID_DEVICE(usb_mouse_class, "usb-mouse", "USB mouse", mouse_details);
HID_DEVICE(usb_tablet_class, "usb-tablet", "USB pointer with absolute positions", tablet_details);
