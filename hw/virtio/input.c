/* input.c - virtio-keyboard-pci, virtio-mouse-pci, virtio-tablet-pci (virtio 1.2, section 5.8).
 *
 * Events are Linux's, as struct input_event without its time. What the user does waits in a bounded
 * queue until the driver has buffers for it; a group that does not fit is dropped as a whole.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/input-event-codes.h>
#include <string.h>

#include "hw/core/bytes.h"
#include "hw/core/iov.h"
#include "hw/core/loop.h"
#include "hw/input/input.h"
#include "hw/virtio/virtio.h"
#include "util/error.h"

enum {
    CONFIG_SIZE = 136,
    CONFIG_DATA = 8,
    CONFIG_DATA_MAX = 128,
    CFG_NAME = 0x01,
    CFG_SERIAL = 0x02,
    CFG_DEVICE_IDS = 0x03,
    CFG_PROPERTIES = 0x10,
    CFG_EVENTS = 0x11,
    CFG_ABS_INFO = 0x12,
    QUEUE_SIZE = 64,
    EVENT_BYTES = 8,
    BUS_VIRTUAL_ID = 0x06,
    GROUP_MAX = 64,
};

typedef enum { INPUT_KEYBOARD, INPUT_MOUSE, INPUT_TABLET, INPUT_MODELS } InputModel;

typedef struct {
    uint16_t type, code;
    uint32_t value;
} VirtioInputEvent;

typedef struct {
    VirtioDevice virtio; /* first */
    char *serial;
    char *display;
    InputModel model;
    uint8_t select, subselect;
    InputSink *sink;
    IoLoop *loop;

    VirtChain chain, status_chain; /* the loop's */

    VirtioInputEvent group[GROUP_MAX]; /* since the last sync; main thread */
    unsigned n_group;

    GMutex queue_lock; /* the queue and the lights; innermost */
    uint32_t n_queue;
    VirtioInputEvent queue[INPUT_QUEUE];
    uint8_t leds;
} VirtioInput;

static const char *const model_names[INPUT_MODELS] = { "Kiln Virtio Keyboard", "Kiln Virtio Mouse",
                                                       "Kiln Virtio Tablet" };

static const uint16_t button_codes[INPUT_BUTTONS] = {
    [INPUT_BUTTON_LEFT] = BTN_LEFT,   [INPUT_BUTTON_MIDDLE] = BTN_MIDDLE,
    [INPUT_BUTTON_RIGHT] = BTN_RIGHT, [INPUT_BUTTON_SIDE] = BTN_SIDE,
    [INPUT_BUTTON_EXTRA] = BTN_EXTRA,
};

/* ---- configuration ---- */

/* Sets bit @n and returns the bytes that hold it and all before. */
static unsigned
set_bit(uint8_t *bits, unsigned n, unsigned size)
{
    if (n / 8 >= CONFIG_DATA_MAX)
        return size;
    bits[n / 8] |= (uint8_t)(1u << n % 8);
    return MAX(size, n / 8 + 1);
}

static unsigned
config_events(const VirtioInput *in, uint8_t type, uint8_t *data)
{
    unsigned n = 0;

    switch (type) {
    case EV_KEY:
        for (int i = 1; in->model == INPUT_KEYBOARD && i < KEYCODES; i++)
            n = set_bit(data, key_code_number((KeyCode)i, KEYSET_LINUX), n);
        for (int i = 0; in->model != INPUT_KEYBOARD && i < INPUT_BUTTONS; i++) {
            if (button_codes[i])
                n = set_bit(data, button_codes[i], n);
        }
        break;
    case EV_REL:
        if (in->model == INPUT_MOUSE) {
            n = set_bit(data, REL_X, n);
            n = set_bit(data, REL_Y, n);
        }
        if (in->model != INPUT_KEYBOARD) {
            n = set_bit(data, REL_WHEEL, n);
            n = set_bit(data, REL_HWHEEL, n);
        }
        break;
    case EV_ABS:
        if (in->model == INPUT_TABLET) {
            n = set_bit(data, ABS_X, n);
            n = set_bit(data, ABS_Y, n);
        }
        break;
    case EV_LED:
        if (in->model == INPUT_KEYBOARD) {
            n = set_bit(data, LED_NUML, n);
            n = set_bit(data, LED_CAPSL, n);
            n = set_bit(data, LED_SCROLLL, n);
        }
        break;
    case EV_REP:
        if (in->model == INPUT_KEYBOARD)
            n = 1;
        break;
    }
    return n;
}

static unsigned
config_answer(const VirtioInput *in, uint8_t *data)
{
    switch (in->select) {
    case CFG_NAME:
        memcpy(data, model_names[in->model], strlen(model_names[in->model]));
        return in->subselect ? 0 : (unsigned)strlen(model_names[in->model]);
    case CFG_SERIAL:
        if (!in->serial || in->subselect)
            return 0;
        strncpy((char *)data, in->serial, CONFIG_DATA_MAX);
        return (unsigned)MIN(strlen(in->serial), CONFIG_DATA_MAX);
    case CFG_DEVICE_IDS:
        bytes_store(data, BUS_VIRTUAL_ID, 2);
        bytes_store(data + 2, 0x0627, 2);
        bytes_store(data + 4, (unsigned)in->model + 1, 2);
        bytes_store(data + 6, 1, 2);
        return in->subselect ? 0 : 8;
    case CFG_EVENTS:
        return config_events(in, in->subselect, data);
    case CFG_ABS_INFO:
        if (in->model != INPUT_TABLET || in->subselect > ABS_Y)
            return 0;
        bytes_store(data + 4, INPUT_ABS_MAX, 4);
        return 20;
    default:
        return 0;
    }
}

static void
input_config_read(VirtioDevice *dev, uint8_t *config)
{
    const VirtioInput *in = (const VirtioInput *)dev;
    unsigned size;

    memset(config, 0, CONFIG_SIZE);
    size = config_answer(in, config + CONFIG_DATA);
    if (size == 0)
        memset(config, 0, CONFIG_SIZE);
    config[0] = in->select;
    config[1] = in->subselect;
    config[2] = (uint8_t)size;
}

static void
input_config_write(VirtioDevice *dev, const uint8_t *config, unsigned offset, unsigned size)
{
    VirtioInput *in = (VirtioInput *)dev;

    if (offset == 0)
        in->select = config[0];
    if (offset <= 1 && offset + size > 1)
        in->subselect = config[1];
}

/* ---- to the guest; the loop's thread ---- */

static void
input_events_handle(VirtQueue *q)
{
    VirtioInput *in = (VirtioInput *)q->dev;

    for (;;) {
        VirtioInputEvent event;
        uint8_t bytes[EVENT_BYTES];
        int got;

        g_mutex_lock(&in->queue_lock);
        event = in->queue[0];
        got = in->n_queue > 0;
        g_mutex_unlock(&in->queue_lock);
        if (!got)
            return;
        got = virt_queue_pop(q, &in->chain);
        if (got < 0)
            return;
        if (got == 0) {
            if (!virt_queue_enable_notify(q))
                return;
            continue;
        }
        if (in->chain.in_len < EVENT_BYTES || in->chain.out_len > 0) {
            virtio_device_break(q->dev);
            return;
        }
        bytes_store(bytes, event.type, 2);
        bytes_store(bytes + 2, event.code, 2);
        bytes_store(bytes + 4, event.value, 4);
        iov_write(virt_chain_in(&in->chain), in->chain.n_in, 0, bytes, EVENT_BYTES);
        virt_queue_push(q, in->chain.head, EVENT_BYTES);
        g_mutex_lock(&in->queue_lock);
        if (in->n_queue > 0)
            memmove(in->queue, in->queue + 1, --in->n_queue * sizeof(event));
        g_mutex_unlock(&in->queue_lock);
    }
}

/* Lights, one to a buffer. */
static void
input_status_handle(VirtQueue *q)
{
    static const uint8_t bits[] = { [LED_NUML] = INPUT_LED_NUM,
                                    [LED_CAPSL] = INPUT_LED_CAPS,
                                    [LED_SCROLLL] = INPUT_LED_SCROLL };
    VirtioInput *in = (VirtioInput *)q->dev;
    unsigned turn = 0;

    while (virt_queue_next(q, &in->status_chain, &turn)) {
        uint8_t bytes[EVENT_BYTES];
        unsigned code;

        if (iov_read(virt_chain_out(&in->status_chain), in->status_chain.n_out, 0, bytes,
                     EVENT_BYTES) < EVENT_BYTES) {
            virtio_device_break(q->dev);
            return;
        }
        code = bytes_load16(bytes + 2);
        if (in->model == INPUT_KEYBOARD && bytes_load16(bytes) == EV_LED &&
            code < G_N_ELEMENTS(bits)) {
            g_mutex_lock(&in->queue_lock);
            in->leds = (uint8_t)(bytes_load32(bytes + 4) ? in->leds | bits[code]
                                                         : in->leds & ~bits[code]);
            g_mutex_unlock(&in->queue_lock);
            input_sink_set_leds(in->sink, in->leds);
        }
        virt_queue_push(q, in->status_chain.head, 0);
    }
}

/* ---- the user's side; main thread ---- */

static void
input_add(VirtioInput *in, uint16_t type, uint16_t code, uint32_t value)
{
    if (in->n_group < GROUP_MAX - 1)
        in->group[in->n_group++] = (VirtioInputEvent){ type, code, value };
}

static void
input_sink_event(void *opaque, const InputEvent *event)
{
    VirtioInput *in = opaque;
    uint32_t value = (uint32_t)event->value;
    unsigned code;

    switch (event->kind) {
    case INPUT_KEY:
        code = key_code_number((KeyCode)event->code, KEYSET_LINUX);
        if (code)
            input_add(in, EV_KEY, (uint16_t)code, value);
        break;
    case INPUT_REL:
        input_add(in, EV_REL, event->code == INPUT_X ? REL_X : REL_Y, value);
        break;
    case INPUT_ABS:
        input_add(in, EV_ABS, event->code == INPUT_X ? ABS_X : ABS_Y, value);
        break;
    default:
        if (button_codes[event->code])
            input_add(in, EV_KEY, button_codes[event->code], value);
        else if (event->value && event->code <= INPUT_BUTTON_WHEEL_DOWN)
            input_add(in, EV_REL, REL_WHEEL,
                      event->code == INPUT_BUTTON_WHEEL_UP ? 1 : (uint32_t)-1);
        else if (event->value)
            input_add(in, EV_REL, REL_HWHEEL,
                      event->code == INPUT_BUTTON_WHEEL_RIGHT ? 1 : (uint32_t)-1);
        break;
    }
}

static void
input_sink_sync(void *opaque)
{
    VirtioInput *in = opaque;
    unsigned n = in->n_group;
    bool fits;

    if (n == 0)
        return;
    in->group[n++] = (VirtioInputEvent){ EV_SYN, SYN_REPORT, 0 };
    in->n_group = 0;
    g_mutex_lock(&in->queue_lock);
    fits = in->n_queue + n <= INPUT_QUEUE;
    if (fits) {
        memcpy(in->queue + in->n_queue, in->group, n * sizeof(in->group[0]));
        in->n_queue += n;
    }
    g_mutex_unlock(&in->queue_lock);
    if (fits)
        virt_queue_schedule_remote(&in->virtio.queues[0]);
}

static const InputSinkOps input_sinks[INPUT_MODELS] = {
    { "virtio keyboard", 1u << INPUT_KEY, input_sink_event, input_sink_sync },
    { "virtio mouse", 1u << INPUT_REL | 1u << INPUT_BUTTON, input_sink_event, input_sink_sync },
    { "virtio tablet", 1u << INPUT_ABS | 1u << INPUT_BUTTON, input_sink_event, input_sink_sync },
};

/* ---- life ---- */

static int
input_start(VirtioDevice *dev)
{
    input_sink_activate(((VirtioInput *)dev)->sink);
    return 0;
}

static void
input_reset(VirtioDevice *dev)
{
    VirtioInput *in = (VirtioInput *)dev;

    in->select = in->subselect = 0;
    g_mutex_lock(&in->queue_lock);
    in->n_queue = 0;
    in->leds = 0;
    g_mutex_unlock(&in->queue_lock);
    input_sink_deactivate(in->sink);
    input_sink_set_leds(in->sink, 0);
}

static bool
input_realize_model(VirtioDevice *dev, InputModel model, GError **err)
{
    VirtioInput *in = (VirtioInput *)dev;
    Machine *machine = virtio_base(dev)->machine;

    in->model = model;
    g_mutex_init(&in->queue_lock);
    in->loop = machine_io_loop(machine, err);
    if (!in->loop)
        return false;
    virtio_queues_reserve(dev, 2);
    virtio_queue_add(dev, QUEUE_SIZE, in->loop, input_events_handle);
    virtio_queue_add(dev, QUEUE_SIZE, in->loop, input_status_handle);
    in->sink = input_sink_new(machine->input, &input_sinks[model], in);
    return true;
}

static bool
keyboard_realize(VirtioDevice *dev, GError **err)
{
    return input_realize_model(dev, INPUT_KEYBOARD, err);
}

static bool
mouse_realize(VirtioDevice *dev, GError **err)
{
    return input_realize_model(dev, INPUT_MOUSE, err);
}

static bool
tablet_realize(VirtioDevice *dev, GError **err)
{
    return input_realize_model(dev, INPUT_TABLET, err);
}

static void
input_unrealize(VirtioDevice *dev)
{
    VirtioInput *in = (VirtioInput *)dev;

    g_clear_pointer(&in->sink, input_sink_free);
    virt_chain_clear(&in->chain);
    virt_chain_clear(&in->status_chain);
    g_mutex_clear(&in->queue_lock);
}

static bool
input_after_load(void *state, GError **err)
{
    VirtioInput *in = state;

    if (in->n_queue > INPUT_QUEUE)
        return device_error(virtio_base(&in->virtio), err, VIR_ERR_OPERATION_FAILED,
                            "its saved queue holds %u events, at most %d", in->n_queue,
                            INPUT_QUEUE);
    input_sink_set_leds(in->sink, in->leds);
    return true;
}

static const SavedField event_fields[] = {
    SAVED(VirtioInputEvent, type, 1),
    SAVED(VirtioInputEvent, code, 1),
    SAVED(VirtioInputEvent, value, 1),
};

static const SavedTable event_saved = {
    .name = "virtio-input-event",
    .version = 1,
    .oldest = 1,
    .fields = event_fields,
    .n_fields = G_N_ELEMENTS(event_fields),
};

static const SavedField input_fields[] = {
    SAVED(VirtioInput, select, 1),
    SAVED(VirtioInput, subselect, 1),
    SAVED(VirtioInput, leds, 1),
    SAVED(VirtioInput, n_queue, 1),
    SAVED_STRUCTS(VirtioInput, queue, event_saved, 1),
};

static const SavedTable input_saved = {
    .name = "virtio-input",
    .version = 1,
    .oldest = 1,
    .fields = input_fields,
    .n_fields = G_N_ELEMENTS(input_fields),
    .after_load = input_after_load,
};

static const DeviceProp input_props[] = {
    { "serial", PROP_STRING, offsetof(VirtioInput, serial), .help = "serial number" },
    { "display", PROP_STRING, offsetof(VirtioInput, display),
      .help = "accepted; all screens share the pointer" },
};

#define INPUT_DEVICE(symbol, text, alias, what, pci_class, how)                                    \
    static const VirtioClass how##_class = {                                                       \
        .name = "virtio-input",                                                                    \
        .id = VIRTIO_ID_INPUT,                                                                     \
        .class_code = (pci_class),                                                                 \
        .config_size = CONFIG_SIZE,                                                                \
        .realize = how##_realize,                                                                  \
        .unrealize = input_unrealize,                                                              \
        .config_read = input_config_read,                                                          \
        .config_write = input_config_write,                                                        \
        .start = input_start,                                                                      \
        .reset = input_reset,                                                                      \
    };                                                                                             \
    static const char *const how##_aliases[] = { alias, NULL };                                    \
    const DeviceClass symbol = {                                                                   \
        .name = text,                                                                              \
        .aliases = how##_aliases,                                                                  \
        .description = what,                                                                       \
        .bus = BUS_PCI,                                                                            \
        .base = &virtio_device_class,                                                              \
        .hotpluggable = true,                                                                      \
        .state_size = sizeof(VirtioInput),                                                         \
        .props = input_props,                                                                      \
        .n_props = G_N_ELEMENTS(input_props),                                                      \
        .saved = &input_saved,                                                                     \
        .details = &how##_class,                                                                   \
    }

INPUT_DEVICE(virtio_keyboard_pci_class, "virtio-keyboard-pci", "virtio-keyboard",
             "virtio keyboard", 0x090000, keyboard);
INPUT_DEVICE(virtio_mouse_pci_class, "virtio-mouse-pci", "virtio-mouse", "virtio mouse", 0x090200,
             mouse);
INPUT_DEVICE(virtio_tablet_pci_class, "virtio-tablet-pci", "virtio-tablet",
             "virtio pointer with absolute positions", 0x098000, tablet);
