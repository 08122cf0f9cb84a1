/* serial.c - 16550A serial port on the ISA bus.
 *
 * National Semiconductor PC16550D (June 1995). Characters take no time: the transmitter is empty
 * unless the character device is full, and received bytes below the FIFO's trigger level raise the
 * time-out interrupt at once.
 *
 * Leaves out: the OUT2 gate of the PC's interrupt line, parity and framing errors, baud rate as
 * time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/isa/serial.h"

#include "hw/isa/port.h"
#include "util/error.h"

#include <string.h>

enum {
    REG_DATA = 0,
    REG_IER = 1,
    REG_IIR = 2,
    REG_LCR = 3,
    REG_MCR = 4,
    REG_LSR = 5,
    REG_MSR = 6,
    REG_SCRATCH = 7,
    SERIAL_REGISTERS = 8,
    SERIAL_FIFO = 16,

    IER_RECEIVE = 0x01,
    IER_TRANSMIT = 0x02,
    IER_LINE = 0x04,
    IER_MODEM = 0x08,
    IER_MASK = 0x0f,
    IIR_NONE = 0x01,
    IIR_MODEM = 0x00,
    IIR_TRANSMIT = 0x02,
    IIR_RECEIVE = 0x04,
    IIR_LINE = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFOS = 0xc0,
    FCR_ENABLE = 0x01,
    FCR_CLEAR_RX = 0x02,
    FCR_CLEAR_TX = 0x04,
    FCR_KEPT = 0xc9,
    LCR_DLAB = 0x80,
    MCR_DTR = 0x01,
    MCR_RTS = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08,
    MCR_LOOP = 0x10,
    MCR_MASK = 0x1f,
    LSR_READY = 0x01,
    LSR_OVERRUN = 0x02,
    LSR_BREAK = 0x10,
    LSR_ERRORS = 0x1e,
    LSR_EMPTY = 0x20,
    LSR_IDLE = 0x40,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,
    MSR_DELTA_RI = 0x04,
};

typedef struct {
    IsaPort port; /* first */
    uint8_t ier, fcr, lcr, mcr, lsr, msr, scratch;
    uint16_t divisor;
    bool transmit_pending; /* transmitter-empty interrupt is due */
    uint8_t rx[SERIAL_FIFO], tx[SERIAL_FIFO];
    uint8_t rx_len, tx_len;
} Serial;

static unsigned
serial_depth(const Serial *s)
{
    return s->fcr & FCR_ENABLE ? SERIAL_FIFO : 1;
}

static unsigned
serial_trigger(const Serial *s)
{
    static const uint8_t levels[] = { 1, 4, 8, 14 };

    return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

/* What the interrupt identification register says, by priority. */
static uint8_t
serial_cause(const Serial *s)
{
    if ((s->ier & IER_LINE) && (s->lsr & LSR_ERRORS))
        return IIR_LINE;
    if ((s->ier & IER_RECEIVE) && s->rx_len > 0)
        return s->rx_len >= serial_trigger(s) ? IIR_RECEIVE : IIR_TIMEOUT;
    if ((s->ier & IER_TRANSMIT) && s->transmit_pending)
        return IIR_TRANSMIT;
    if ((s->ier & IER_MODEM) && (s->msr & 0x0f))
        return IIR_MODEM;
    return IIR_NONE;
}

static void
serial_update(Serial *s)
{
    gsi_source_set(&s->port.line, serial_cause(s) != IIR_NONE);
}

static void
serial_receive_byte(Serial *s, uint8_t byte)
{
    if (s->rx_len == serial_depth(s)) {
        s->lsr |= LSR_OVERRUN;
        return;
    }
    s->rx[s->rx_len++] = byte;
    s->lsr |= LSR_READY;
}

/* Offers what waits to the character device. The transmitter is empty once it has taken all. */
static void
serial_transmit(Serial *s)
{
    size_t taken = chardev_write(s->port.chardev.object, s->tx, s->tx_len);

    s->tx_len -= (uint8_t)taken;
    memmove(s->tx, s->tx + taken, s->tx_len);
    if (s->tx_len == 0) {
        s->lsr |= LSR_EMPTY | LSR_IDLE;
        s->transmit_pending = true;
    }
}

static void
serial_write_data(Serial *s, uint8_t byte)
{
    s->transmit_pending = false;
    if (s->mcr & MCR_LOOP) {
        serial_receive_byte(s, byte);
        s->transmit_pending = true;
    } else if (s->tx_len < serial_depth(s)) {
        s->tx[s->tx_len++] = byte;
        s->lsr &= (uint8_t) ~(LSR_EMPTY | LSR_IDLE);
        serial_transmit(s);
    }
    /* Beyond that the driver has not waited for the transmitter: the byte is lost. */
}

static uint8_t
serial_read_data(Serial *s)
{
    uint8_t byte = s->rx[0];

    if (s->rx_len == 0)
        return 0;
    s->rx_len--;
    memmove(s->rx, s->rx + 1, s->rx_len);
    if (s->rx_len == 0) {
        s->lsr &= (uint8_t)~LSR_READY;
        chardev_accept_input(s->port.chardev.object);
    }
    return byte;
}

static void
serial_set_modem_lines(Serial *s)
{
    uint8_t lines = MSR_CTS | MSR_DSR | MSR_DCD, changed;

    if (s->mcr & MCR_LOOP)
        lines = (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
                          (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
    changed = (uint8_t)((s->msr ^ lines) >> 4);
    /* The ring indicator's delta marks only its end. */
    if (lines & MSR_RI)
        changed &= (uint8_t)~MSR_DELTA_RI;
    s->msr = (uint8_t)(lines | (s->msr & 0x0f) | changed);
}

static void
serial_write_fcr(Serial *s, uint8_t value)
{
    if ((value ^ s->fcr) & FCR_ENABLE)
        value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
    if (value & FCR_CLEAR_RX) {
        s->rx_len = 0;
        s->lsr &= (uint8_t)~LSR_READY;
        chardev_accept_input(s->port.chardev.object);
    }
    if (value & FCR_CLEAR_TX) {
        s->tx_len = 0;
        s->lsr |= LSR_EMPTY | LSR_IDLE;
        s->transmit_pending = true;
    }
    s->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
}

static uint64_t
serial_read(void *opaque, uint64_t offset, unsigned size)
{
    Serial *s = opaque;
    uint8_t value = 0;

    (void)size;
    switch (offset) {
    case REG_DATA:
        value = s->lcr & LCR_DLAB ? s->divisor & 0xff : serial_read_data(s);
        break;
    case REG_IER:
        value = s->lcr & LCR_DLAB ? s->divisor >> 8 : s->ier;
        break;
    case REG_IIR:
        value = serial_cause(s);
        if (value == IIR_TRANSMIT)
            s->transmit_pending = false;
        if (s->fcr & FCR_ENABLE)
            value |= IIR_FIFOS;
        break;
    case REG_LCR:
        value = s->lcr;
        break;
    case REG_MCR:
        value = s->mcr;
        break;
    case REG_LSR:
        value = s->lsr;
        s->lsr &= (uint8_t)~LSR_ERRORS;
        break;
    case REG_MSR:
        value = s->msr;
        s->msr &= 0xf0;
        break;
    case REG_SCRATCH:
        value = s->scratch;
        break;
    }
    serial_update(s);
    return value;
}

static void
serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Serial *s = opaque;
    uint8_t byte = (uint8_t)value;

    (void)size;
    switch (offset) {
    case REG_DATA:
        if (s->lcr & LCR_DLAB)
            s->divisor = (uint16_t)((s->divisor & 0xff00) | byte);
        else
            serial_write_data(s, byte);
        break;
    case REG_IER:
        if (s->lcr & LCR_DLAB) {
            s->divisor = (uint16_t)((s->divisor & 0x00ff) | byte << 8);
        } else {
            /* Enabling the transmitter's interrupt while it is empty raises it. */
            if ((byte & ~s->ier & IER_TRANSMIT) && (s->lsr & LSR_EMPTY))
                s->transmit_pending = true;
            s->ier = byte & IER_MASK;
        }
        break;
    case REG_IIR:
        serial_write_fcr(s, byte);
        break;
    case REG_LCR:
        s->lcr = byte;
        break;
    case REG_MCR:
        s->mcr = byte & MCR_MASK;
        serial_set_modem_lines(s);
        chardev_accept_input(s->port.chardev.object);
        break;
    case REG_SCRATCH:
        s->scratch = byte;
        break;
    }
    serial_update(s);
}

static const IoOps serial_ops = { serial_read, serial_write, .sizes = 1, .split = true };

static size_t
serial_can_read(void *opaque)
{
    Serial *s = opaque;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&s->port.device.lock);

    return s->mcr & MCR_LOOP ? 0 : serial_depth(s) - MIN(s->rx_len, serial_depth(s));
}

static void
serial_read_input(void *opaque, const uint8_t *data, size_t len)
{
    Serial *s = opaque;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&s->port.device.lock);

    for (size_t i = 0; i < len; i++)
        serial_receive_byte(s, data[i]);
    serial_update(s);
}

static void
serial_writable(void *opaque)
{
    Serial *s = opaque;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&s->port.device.lock);

    if (s->tx_len == 0)
        return;
    serial_transmit(s);
    serial_update(s);
}

/* A character of nothing, with its mark. */
static void
serial_line_break(void *opaque)
{
    Serial *s = opaque;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&s->port.device.lock);

    if (s->mcr & MCR_LOOP)
        return;
    serial_receive_byte(s, 0);
    s->lsr |= LSR_BREAK;
    serial_update(s);
}

static const ChardevFrontend serial_frontend = {
    .can_read = serial_can_read,
    .read = serial_read_input,
    .writable = serial_writable,
    .line_break = serial_line_break,
};

static void
serial_reset(Device *dev)
{
    Serial *s = (Serial *)dev;

    g_mutex_lock(&dev->lock);
    s->ier = s->fcr = s->lcr = s->mcr = s->scratch = 0;
    s->lsr = LSR_EMPTY | LSR_IDLE;
    s->msr = MSR_CTS | MSR_DSR | MSR_DCD;
    s->divisor = 12; /* 9600 baud */
    s->transmit_pending = false;
    s->rx_len = s->tx_len = 0;
    serial_update(s);
    g_mutex_unlock(&dev->lock);
    chardev_accept_input(s->port.chardev.object);
}

/* COM1 to COM4 */
static const uint16_t serial_bases[] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
static const uint8_t serial_irqs[] = { 4, 3, 4, 3 };

static const IsaPortKind serial_kind = {
    .name = "serial",
    .bases = serial_bases,
    .irqs = serial_irqs,
    .n = G_N_ELEMENTS(serial_bases),
    .registers = SERIAL_REGISTERS,
    .ops = &serial_ops,
    .frontend = &serial_frontend,
};

static bool
serial_realize(Device *dev, GError **err)
{
    return isa_port_realize((IsaPort *)dev, &serial_kind, err);
}

static bool
serial_after_load(void *state, GError **err)
{
    Serial *s = state;

    if (s->rx_len > SERIAL_FIFO || s->tx_len > SERIAL_FIFO)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the FIFOs hold %u and %u bytes, at most %d fit", s->rx_len,
                              s->tx_len, SERIAL_FIFO);
    g_mutex_lock(&s->port.device.lock);
    s->ier &= IER_MASK;
    s->mcr &= MCR_MASK;
    serial_update(s);
    g_mutex_unlock(&s->port.device.lock);
    serial_writable(s);
    return true;
}

static const SavedField serial_fields[] = {
    SAVED(Serial, ier, 1),      SAVED(Serial, fcr, 1),     SAVED(Serial, lcr, 1),
    SAVED(Serial, mcr, 1),      SAVED(Serial, lsr, 1),     SAVED(Serial, msr, 1),
    SAVED(Serial, scratch, 1),  SAVED(Serial, divisor, 1), SAVED(Serial, transmit_pending, 1),
    SAVED_BYTES(Serial, rx, 1), SAVED(Serial, rx_len, 1),  SAVED_BYTES(Serial, tx, 1),
    SAVED(Serial, tx_len, 1),
};

static const SavedTable serial_saved = {
    .name = "isa-serial",
    .version = 1,
    .oldest = 1,
    .fields = serial_fields,
    .n_fields = G_N_ELEMENTS(serial_fields),
    .after_load = serial_after_load,
};

static const DeviceProp serial_props[] = {
    { "chardev", PROP_CHARDEV, offsetof(Serial, port.chardev), .required = true,
      .help = "what it is connected to" },
    { "index", PROP_INT32, offsetof(Serial, port.index), "-1",
      .help = "0 for COM1 to 3 for COM4; by default the first that is free" },
    { "iobase", PROP_UINT16, offsetof(Serial, port.iobase), .min = 8, .max = 0xfff8,
      .help = "first port" },
    { "irq", PROP_UINT8, offsetof(Serial, port.irq), .min = 3, .max = 15, .help = "interrupt" },
};

const DeviceClass isa_serial_class = {
    .name = "isa-serial",
    .description = "16550A serial port",
    .bus = BUS_ISA,
    .state_size = sizeof(Serial),
    .props = serial_props,
    .n_props = G_N_ELEMENTS(serial_props),
    .saved = &serial_saved,
    .realize = serial_realize,
    .reset = serial_reset,
    .unrealize = isa_port_unrealize,
};

bool
serial_port(const Device *dev, SerialPort *ret)
{
    const Serial *s = (const Serial *)dev;

    if (dev->class != &isa_serial_class)
        return false;
    *ret = (SerialPort){ (unsigned)s->port.index, s->port.iobase, s->port.irq };
    return true;
}
