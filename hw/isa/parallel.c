/* parallel.c - a PC's parallel port with a printer at its other end, which is a character device.
 *
 * IEEE 1284-1994, compatibility mode, with the registers of IBM's Parallel Printer Adapter and the
 * direction bit of the PS/2's. A byte is taken at the end of the strobe and acknowledged at once;
 * while the character device is full the printer is busy. Leaves out: EPP, ECP and their DMA; input
 * (nothing drives the data lines, which then read as ones).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/isa/parallel.h"

#include "hw/isa/port.h"
#include "util/error.h"

enum {
    REG_DATA = 0,
    REG_STATUS = 1,
    REG_CONTROL = 2,
    PARALLEL_REGISTERS = 3,
    STATUS_NOT_BUSY = 0x80,
    STATUS_ONLINE = 0x58, /* no acknowledgement now; selected; no error; and there is paper */
    STATUS_UNUSED = 0x06,
    CONTROL_STROBE = 0x01,
    CONTROL_INIT = 0x04,
    CONTROL_SELECT = 0x08,
    CONTROL_INTERRUPT = 0x10,
    CONTROL_INPUT = 0x20,
    CONTROL_MASK = 0x3f,
};

typedef struct {
    IsaPort port; /* first */
    uint8_t data, control;
    uint8_t waiting; /* byte that the character device did not take yet */
    bool busy;       /* there is one */
    bool interrupt;  /* a byte was acknowledged since the status was read */
} Parallel;

static void
parallel_update(Parallel *p)
{
    gsi_source_set(&p->port.line, p->interrupt && (p->control & CONTROL_INTERRUPT));
}

/* Offers the byte; once taken it is acknowledged. */
static void
parallel_print(Parallel *p)
{
    p->busy = chardev_write(p->port.chardev.object, &p->waiting, 1) == 0;
    if (!p->busy)
        p->interrupt = (p->control & CONTROL_INTERRUPT) != 0;
}

static void
parallel_strobe(Parallel *p)
{
    /* A driver that does not wait loses the byte, as on the wire. */
    if (p->busy || (p->control & CONTROL_INPUT))
        return;
    p->waiting = p->data;
    parallel_print(p);
}

static uint64_t
parallel_read(void *opaque, uint64_t offset, unsigned size)
{
    Parallel *p = opaque;

    (void)size;
    switch (offset) {
    case REG_DATA:
        return p->control & CONTROL_INPUT ? 0xff : p->data;
    case REG_STATUS:
        p->interrupt = false;
        parallel_update(p);
        return (p->busy ? 0 : STATUS_NOT_BUSY) | STATUS_ONLINE | STATUS_UNUSED;
    default:
        return (uint8_t)(p->control | (uint8_t)~CONTROL_MASK);
    }
}

static void
parallel_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Parallel *p = opaque;
    uint8_t old = p->control;

    (void)size;
    if (offset == REG_DATA)
        p->data = (uint8_t)value;
    if (offset != REG_CONTROL)
        return;
    p->control = (uint8_t)value & CONTROL_MASK;
    if (!(p->control & CONTROL_INTERRUPT))
        p->interrupt = false;
    if ((old & CONTROL_STROBE) && !(p->control & CONTROL_STROBE))
        parallel_strobe(p);
    parallel_update(p);
}

static const IoOps parallel_ops = { parallel_read, parallel_write, .sizes = 1, .split = true };

static void
parallel_writable(void *opaque)
{
    Parallel *p = opaque;

    g_mutex_lock(&p->port.device.lock);
    if (p->busy)
        parallel_print(p);
    parallel_update(p);
    g_mutex_unlock(&p->port.device.lock);
}

static const ChardevFrontend parallel_frontend = { .writable = parallel_writable };

static void
parallel_reset(Device *dev)
{
    Parallel *p = (Parallel *)dev;

    g_mutex_lock(&dev->lock);
    p->data = 0;
    p->control = CONTROL_SELECT | CONTROL_INIT;
    p->busy = p->interrupt = false;
    parallel_update(p);
    g_mutex_unlock(&dev->lock);
}

/* LPT1 to LPT3 */
static const uint16_t parallel_bases[] = { 0x378, 0x278, 0x3bc };
static const uint8_t parallel_irqs[] = { 7, 5, 7 };

static const IsaPortKind parallel_kind = {
    .name = "parallel",
    .bases = parallel_bases,
    .irqs = parallel_irqs,
    .n = G_N_ELEMENTS(parallel_bases),
    .registers = PARALLEL_REGISTERS,
    .ops = &parallel_ops,
    .frontend = &parallel_frontend,
};

static bool
parallel_realize(Device *dev, GError **err)
{
    return isa_port_realize((IsaPort *)dev, &parallel_kind, err);
}

static bool
parallel_after_load(void *state, GError **err)
{
    Parallel *p = state;

    (void)err;
    g_mutex_lock(&p->port.device.lock);
    p->control &= CONTROL_MASK;
    parallel_update(p);
    g_mutex_unlock(&p->port.device.lock);
    parallel_writable(p);
    return true;
}

static const SavedField parallel_fields[] = {
    SAVED(Parallel, data, 1), SAVED(Parallel, control, 1),   SAVED(Parallel, waiting, 1),
    SAVED(Parallel, busy, 1), SAVED(Parallel, interrupt, 1),
};

static const SavedTable parallel_saved = {
    .name = "isa-parallel",
    .version = 1,
    .oldest = 1,
    .fields = parallel_fields,
    .n_fields = G_N_ELEMENTS(parallel_fields),
    .after_load = parallel_after_load,
};

static const DeviceProp parallel_props[] = {
    { "chardev", PROP_CHARDEV, offsetof(Parallel, port.chardev), .required = true,
      .help = "what prints" },
    { "index", PROP_INT32, offsetof(Parallel, port.index), "-1",
      .help = "0 for LPT1 to 2 for LPT3; by default the first that is free" },
    { "iobase", PROP_UINT16, offsetof(Parallel, port.iobase), .min = 8, .max = 0xfffc,
      .help = "first port" },
    { "irq", PROP_UINT8, offsetof(Parallel, port.irq), .min = 3, .max = 15, .help = "interrupt" },
};

const DeviceClass isa_parallel_class = {
    .name = "isa-parallel",
    .description = "parallel port with a printer",
    .bus = BUS_ISA,
    .state_size = sizeof(Parallel),
    .props = parallel_props,
    .n_props = G_N_ELEMENTS(parallel_props),
    .saved = &parallel_saved,
    .realize = parallel_realize,
    .reset = parallel_reset,
    .unrealize = isa_port_unrealize,
};

bool
parallel_port(const Device *dev, ParallelPort *ret)
{
    const Parallel *p = (const Parallel *)dev;

    if (dev->class != &isa_parallel_class)
        return false;
    *ret = (ParallelPort){ (unsigned)p->port.index, p->port.iobase, p->port.irq };
    return true;
}
