/* i8042.c - the keyboard controller: ports 0x60 and 0x64, interrupts 1 and 12, with a PS/2 keyboard
 * and mouse behind it.
 *
 * IBM PS/2 Hardware Interface Technical Reference, Keyboard and Auxiliary Device Controller; Intel
 * 8042. Every command is answered before the write that gave it ends, so that no driver waits. The
 * registers come up as firmware leaves them (translation and both interrupts on), because a kernel
 * that is booted directly has no firmware before it.
 *
 * Leaves out: the password commands, and gating address line 20, which is always open.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/device.h"
#include "hw/core/timer.h"
#include "hw/input/ps2.h"
#include "util/error.h"

#include <string.h>

enum {
    PORT_DATA = 0x60,
    PORT_COMMAND = 0x64,
    IRQ_KEYBOARD = 1,
    IRQ_MOUSE = 12,
    STATUS_FULL = 0x01,
    STATUS_SYSTEM = 0x04,
    STATUS_COMMAND = 0x08,
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20,
    MODE_KEYBOARD_IRQ = 0x01,
    MODE_AUX_IRQ = 0x02,
    MODE_SYSTEM = 0x04,
    MODE_KEYBOARD_OFF = 0x10,
    MODE_AUX_OFF = 0x20,
    MODE_TRANSLATE = 0x40,
    OUT_RUN = 0x01, /* low resets the machine */
    OUT_A20 = 0x02,
    OUT_KEYBOARD = 0x10,
    OUT_AUX = 0x20,
    OUT_IDLE = 0xcc, /* clock and data lines */
    CMD_READ_RAM = 0x20,
    CMD_WRITE_RAM = 0x60,
    CMD_PASSWORD = 0xa4,
    CMD_AUX_OFF = 0xa7,
    CMD_AUX_ON = 0xa8,
    CMD_AUX_TEST = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_KEYBOARD_TEST = 0xab,
    CMD_KEYBOARD_OFF = 0xad,
    CMD_KEYBOARD_ON = 0xae,
    CMD_READ_IN = 0xc0,
    CMD_READ_OUT = 0xd0,
    CMD_WRITE_OUT = 0xd1,
    CMD_WRITE_KEYBOARD_BUFFER = 0xd2,
    CMD_WRITE_AUX_BUFFER = 0xd3,
    CMD_WRITE_AUX = 0xd4,
    CMD_A20_OFF = 0xdd,
    CMD_A20_ON = 0xdf,
    CMD_READ_TEST = 0xe0,
    CMD_PULSE = 0xf0,
    RAM_BYTES = 32,
    RAM_MODE = 0,
    ANSWERS = 16,
};

typedef struct {
    Device device; /* first */
    uint8_t status, data;
    uint8_t command; /* waits for its parameter; 0: none */
    uint8_t out;     /* bits of the output port that are kept */
    uint8_t ram[RAM_BYTES];
    uint8_t answers[ANSWERS], answers_aux[ANSWERS]; /* of the controller itself */
    uint8_t n_answers;
    bool release; /* translation: 0xf0 has been seen */
    Ps2Keyboard keyboard;
    Ps2Mouse mouse;

    InputSink *keyboard_sink, *mouse_sink;
    DeviceTimer *repeat;
    GsiSource keyboard_line, mouse_line;
    IoRegion data_region, command_region;
} I8042;

/* Set 2 to set 1, as the controller does it; index and value without the release bit. */
static const uint8_t translation[0x80] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

static uint8_t
i8042_mode(const I8042 *kc)
{
    return kc->ram[RAM_MODE];
}

/* One byte of the keyboard into the output buffer; false when translation swallows it. */
static bool
i8042_take_keyboard(I8042 *kc)
{
    uint8_t byte = ps2_port_take(&kc->keyboard.port);

    if (i8042_mode(kc) & MODE_TRANSLATE) {
        if (byte == 0xf0) {
            kc->release = true;
            return false;
        }
        if (byte < 0x80)
            byte = translation[byte];
        else if (byte == 0x83)
            byte = 0x41;
        else if (byte == 0x84)
            byte = 0x54;
        if (kc->release && byte < 0x80)
            byte |= 0x80;
        kc->release = false;
    }
    kc->data = byte;
    kc->status = (uint8_t)((kc->status & ~STATUS_AUX) | STATUS_FULL);
    return true;
}

/* Fills the output buffer with what comes next, and sets the interrupt lines. */
static void
i8042_update(I8042 *kc)
{
    bool full, aux;

    if (!(kc->status & STATUS_FULL) && kc->n_answers > 0) {
        kc->data = kc->answers[0];
        kc->status = (uint8_t)((kc->status & ~STATUS_AUX) | STATUS_FULL |
                               (kc->answers_aux[0] ? STATUS_AUX : 0));
        kc->n_answers--;
        memmove(kc->answers, kc->answers + 1, kc->n_answers);
        memmove(kc->answers_aux, kc->answers_aux + 1, kc->n_answers);
    }
    while (!(kc->status & STATUS_FULL) && !(i8042_mode(kc) & MODE_KEYBOARD_OFF) &&
           ps2_port_pending(&kc->keyboard.port))
        i8042_take_keyboard(kc);
    if (!(kc->status & STATUS_FULL) && !(i8042_mode(kc) & MODE_AUX_OFF)) {
        ps2_mouse_report(&kc->mouse);
        if (ps2_port_pending(&kc->mouse.port)) {
            kc->data = ps2_port_take(&kc->mouse.port);
            kc->status |= STATUS_FULL | STATUS_AUX;
        }
    }
    full = kc->status & STATUS_FULL;
    aux = kc->status & STATUS_AUX;
    gsi_source_set(&kc->keyboard_line, full && !aux && (i8042_mode(kc) & MODE_KEYBOARD_IRQ));
    gsi_source_set(&kc->mouse_line, full && aux && (i8042_mode(kc) & MODE_AUX_IRQ));
}

static void
i8042_answer(I8042 *kc, uint8_t byte, bool aux)
{
    if (kc->n_answers == ANSWERS)
        return;
    kc->answers[kc->n_answers] = byte;
    kc->answers_aux[kc->n_answers++] = aux;
}

static void
i8042_reset_machine(I8042 *kc)
{
    Machine *machine = kc->device.machine;

    machine->ops->request(machine->host, MACHINE_RESET, 0);
}

static uint8_t
i8042_out_port(const I8042 *kc)
{
    uint8_t value = (uint8_t)(OUT_IDLE | OUT_RUN | (kc->out & OUT_A20));

    if (kc->status & STATUS_FULL)
        value |= kc->status & STATUS_AUX ? OUT_AUX : OUT_KEYBOARD;
    return value;
}

static void
i8042_set_mode(I8042 *kc, uint8_t mode)
{
    kc->ram[RAM_MODE] = mode;
    kc->status = (uint8_t)((kc->status & ~STATUS_SYSTEM) | (mode & MODE_SYSTEM));
}

static void
i8042_command(I8042 *kc, uint8_t command)
{
    kc->command = 0;
    if (command >= CMD_READ_RAM && command < CMD_READ_RAM + RAM_BYTES) {
        i8042_answer(kc, kc->ram[command - CMD_READ_RAM], false);
        return;
    }
    if (command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + RAM_BYTES) {
        kc->command = command;
        return;
    }
    if (command >= CMD_PULSE) {
        /* The low nibble's zeroes are the lines pulsed; line 0 is the processor's reset. */
        if (!(command & OUT_RUN))
            i8042_reset_machine(kc);
        return;
    }
    switch (command) {
    case CMD_PASSWORD:
        i8042_answer(kc, 0xf1, false); /* none is set */
        break;
    case CMD_AUX_OFF:
        kc->ram[RAM_MODE] |= MODE_AUX_OFF;
        break;
    case CMD_AUX_ON:
        kc->ram[RAM_MODE] &= (uint8_t)~MODE_AUX_OFF;
        break;
    case CMD_AUX_TEST:
    case CMD_KEYBOARD_TEST:
    case CMD_READ_TEST:
        i8042_answer(kc, 0, false);
        break;
    case CMD_SELF_TEST:
        kc->status |= STATUS_SYSTEM;
        i8042_answer(kc, 0x55, false);
        break;
    case CMD_KEYBOARD_OFF:
        kc->ram[RAM_MODE] |= MODE_KEYBOARD_OFF;
        break;
    case CMD_KEYBOARD_ON:
        kc->ram[RAM_MODE] &= (uint8_t)~MODE_KEYBOARD_OFF;
        break;
    case CMD_READ_IN:
        i8042_answer(kc, 0x80, false); /* not locked */
        break;
    case CMD_READ_OUT:
        i8042_answer(kc, i8042_out_port(kc), false);
        break;
    case CMD_WRITE_OUT:
    case CMD_WRITE_KEYBOARD_BUFFER:
    case CMD_WRITE_AUX_BUFFER:
    case CMD_WRITE_AUX:
        kc->command = command;
        break;
    case CMD_A20_OFF:
    case CMD_A20_ON:
        kc->out = command == CMD_A20_ON ? OUT_A20 : 0;
        break;
    }
}

/* Lights and repetition follow what the keyboard was told. */
static void
i8042_keyboard_changed(I8042 *kc)
{
    input_sink_set_leds(kc->keyboard_sink, kc->keyboard.leds);
    if (kc->keyboard.repeating == KEYCODE_unmapped)
        device_timer_cancel(kc->repeat);
}

static void
i8042_parameter(I8042 *kc, uint8_t command, uint8_t value)
{
    if (command == CMD_WRITE_RAM + RAM_MODE) {
        i8042_set_mode(kc, value);
        return;
    }
    switch (command) {
    case CMD_WRITE_OUT:
        kc->out = value & OUT_A20;
        if (!(value & OUT_RUN))
            i8042_reset_machine(kc);
        break;
    case CMD_WRITE_KEYBOARD_BUFFER:
    case CMD_WRITE_AUX_BUFFER:
        i8042_answer(kc, value, command == CMD_WRITE_AUX_BUFFER);
        break;
    case CMD_WRITE_AUX:
        kc->ram[RAM_MODE] &= (uint8_t)~MODE_AUX_OFF;
        ps2_mouse_write(&kc->mouse, value);
        break;
    default: /* CMD_WRITE_RAM and on */
        kc->ram[(command - CMD_WRITE_RAM) % RAM_BYTES] = value;
        break;
    }
}

static uint64_t
i8042_read_status(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ((I8042 *)opaque)->status;
}

static uint64_t
i8042_read_data(void *opaque, uint64_t offset, unsigned size)
{
    I8042 *kc = opaque;
    uint8_t value = kc->data;

    (void)offset;
    (void)size;
    if (kc->status & STATUS_FULL) {
        kc->status &= (uint8_t)~STATUS_FULL;
        /* The interrupts are edges: each byte makes one of its own. */
        gsi_source_set(&kc->keyboard_line, false);
        gsi_source_set(&kc->mouse_line, false);
        i8042_update(kc);
    }
    return value;
}

static void
i8042_write_command(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8042 *kc = opaque;

    (void)offset;
    (void)size;
    kc->status |= STATUS_COMMAND;
    i8042_command(kc, (uint8_t)value);
    i8042_update(kc);
}

static void
i8042_write_data(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8042 *kc = opaque;
    uint8_t command = kc->command;

    (void)offset;
    (void)size;
    kc->status &= (uint8_t)~STATUS_COMMAND;
    kc->command = 0;
    if (command) {
        i8042_parameter(kc, command, (uint8_t)value);
    } else {
        kc->ram[RAM_MODE] &= (uint8_t)~MODE_KEYBOARD_OFF;
        ps2_keyboard_write(&kc->keyboard, (uint8_t)value);
        i8042_keyboard_changed(kc);
    }
    i8042_update(kc);
}

static const IoOps data_ops = { i8042_read_data, i8042_write_data, .sizes = 1 };
static const IoOps command_ops = { i8042_read_status, i8042_write_command, .sizes = 1 };

static void
i8042_repeat(void *opaque)
{
    I8042 *kc = opaque;

    if (kc->keyboard.repeating == KEYCODE_unmapped)
        return;
    ps2_keyboard_repeat(&kc->keyboard);
    i8042_update(kc);
    device_timer_set(kc->repeat, machine_clock_ns(kc->device.machine) +
                                     ps2_keyboard_delay(&kc->keyboard, false));
}

static void
i8042_key_event(void *opaque, const InputEvent *event)
{
    I8042 *kc = opaque;

    g_mutex_lock(&kc->device.lock);
    ps2_keyboard_key(&kc->keyboard, (KeyCode)event->code, event->value);
    if (event->value && kc->keyboard.repeating == (KeyCode)event->code)
        device_timer_set(kc->repeat, machine_clock_ns(kc->device.machine) +
                                         ps2_keyboard_delay(&kc->keyboard, true));
    i8042_keyboard_changed(kc);
    i8042_update(kc);
    g_mutex_unlock(&kc->device.lock);
}

static void
i8042_mouse_event(void *opaque, const InputEvent *event)
{
    I8042 *kc = opaque;

    g_mutex_lock(&kc->device.lock);
    ps2_mouse_event(&kc->mouse, event);
    g_mutex_unlock(&kc->device.lock);
}

static void
i8042_mouse_sync(void *opaque)
{
    I8042 *kc = opaque;

    g_mutex_lock(&kc->device.lock);
    ps2_mouse_report(&kc->mouse);
    i8042_update(kc);
    g_mutex_unlock(&kc->device.lock);
}

static const InputSinkOps keyboard_sink_ops = {
    .name = "PS/2 keyboard",
    .takes = 1u << INPUT_KEY,
    .event = i8042_key_event,
};

static const InputSinkOps mouse_sink_ops = {
    .name = "PS/2 mouse",
    .takes = 1u << INPUT_REL | 1u << INPUT_BUTTON,
    .event = i8042_mouse_event,
    .sync = i8042_mouse_sync,
};

static void
i8042_power_on(I8042 *kc)
{
    memset(kc->ram, 0, sizeof(kc->ram));
    kc->status = STATUS_COMMAND | STATUS_UNLOCKED;
    i8042_set_mode(kc, MODE_KEYBOARD_IRQ | MODE_AUX_IRQ | MODE_SYSTEM | MODE_TRANSLATE);
    kc->data = kc->command = kc->n_answers = 0;
    kc->out = OUT_A20;
    kc->release = false;
    ps2_keyboard_power_on(&kc->keyboard);
    ps2_mouse_power_on(&kc->mouse);
    i8042_keyboard_changed(kc);
    i8042_update(kc);
}

static bool
i8042_realize(Device *dev, GError **err)
{
    I8042 *kc = (I8042 *)dev;
    Machine *machine = dev->machine;

    (void)err;
    kc->keyboard_line = (GsiSource){ machine, IRQ_KEYBOARD, false };
    kc->mouse_line = (GsiSource){ machine, IRQ_MOUSE, false };
    kc->repeat = device_timer_new(machine, &dev->lock, i8042_repeat, kc);
    kc->keyboard_sink = input_sink_new(machine->input, &keyboard_sink_ops, kc);
    kc->mouse_sink = input_sink_new(machine->input, &mouse_sink_ops, kc);
    g_mutex_lock(&dev->lock);
    i8042_power_on(kc);
    g_mutex_unlock(&dev->lock);
    kc->data_region =
        (IoRegion){ "i8042-data", &data_ops, kc, &dev->lock, 1, IO_PRIORITY_BOARD };
    kc->command_region =
        (IoRegion){ "i8042-cmd", &command_ops, kc, &dev->lock, 1, IO_PRIORITY_BOARD };
    return address_map_add(machine->pio, &kc->data_region, PORT_DATA) == 0 &&
           address_map_add(machine->pio, &kc->command_region, PORT_COMMAND) == 0;
}

static void
i8042_unrealize(Device *dev)
{
    I8042 *kc = (I8042 *)dev;

    address_map_remove(dev->machine->pio, &kc->data_region);
    address_map_remove(dev->machine->pio, &kc->command_region);
    address_map_synchronize(dev->machine->pio);
    g_clear_pointer(&kc->keyboard_sink, input_sink_free);
    g_clear_pointer(&kc->mouse_sink, input_sink_free);
    g_clear_pointer(&kc->repeat, device_timer_free);
    gsi_source_disconnect(&kc->keyboard_line);
    gsi_source_disconnect(&kc->mouse_line);
}

static void
i8042_reset(Device *dev)
{
    I8042 *kc = (I8042 *)dev;

    g_mutex_lock(&dev->lock);
    i8042_power_on(kc);
    g_mutex_unlock(&dev->lock);
}

static bool
i8042_after_load(void *state, GError **err)
{
    I8042 *kc = state;

    if (kc->n_answers > ANSWERS)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the keyboard controller's queue holds %u bytes, at most %d",
                              kc->n_answers, ANSWERS);
    g_mutex_lock(&kc->device.lock);
    i8042_keyboard_changed(kc);
    i8042_update(kc);
    g_mutex_unlock(&kc->device.lock);
    return true;
}

static const SavedField i8042_fields[] = {
    SAVED(I8042, status, 1),
    SAVED(I8042, data, 1),
    SAVED(I8042, command, 1),
    SAVED(I8042, out, 1),
    SAVED_BYTES(I8042, ram, 1),
    SAVED_BYTES(I8042, answers, 1),
    SAVED_BYTES(I8042, answers_aux, 1),
    SAVED(I8042, n_answers, 1),
    SAVED(I8042, release, 1),
    SAVED_STRUCT(I8042, keyboard, ps2_keyboard_saved, 1),
    SAVED_STRUCT(I8042, mouse, ps2_mouse_saved, 1),
};

static const SavedTable i8042_saved = {
    .name = "i8042",
    .version = 1,
    .oldest = 1,
    .fields = i8042_fields,
    .n_fields = G_N_ELEMENTS(i8042_fields),
    .after_load = i8042_after_load,
};

const DeviceClass i8042_class = {
    .name = "i8042",
    .bus = BUS_SYSTEM,
    .board = true,
    .state_size = sizeof(I8042),
    .saved = &i8042_saved,
    .realize = i8042_realize,
    .reset = i8042_reset,
    .unrealize = i8042_unrealize,
};
