/* ports.c - small ports of the board: fast reset and A20 (port 0x92), and the tests' exit port.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/device.h"
#include "util/error.h"

enum {
    PORT92 = 0x92,
    PORT92_RESET = 0x01,
    PORT92_A20 = 0x02,
};

typedef struct {
    Device device;
    uint8_t value;
    IoRegion region;
} Port92;

typedef struct {
    Device device;
    uint16_t iobase;
    uint8_t iosize;
    IoRegion region;
} DebugExit;

static uint64_t
port92_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ((Port92 *)opaque)->value;
}

static void
port92_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Port92 *p = opaque;
    Machine *machine = p->device.machine;
    bool reset = (value & PORT92_RESET) && !(p->value & PORT92_RESET);

    (void)offset;
    (void)size;
    /* A20 is always open: no guest of this machine depends on wrapping at 1 MiB. */
    p->value = (uint8_t)((value & PORT92_RESET) | PORT92_A20);
    if (reset)
        machine->ops->request(machine->host, MACHINE_RESET, 0);
}

static const IoOps port92_ops = { port92_read, port92_write, .sizes = 1 };

static bool
port92_realize(Device *dev, GError **err)
{
    Port92 *p = (Port92 *)dev;

    (void)err;
    p->value = PORT92_A20;
    p->region = (IoRegion){ "port92", &port92_ops, p, &dev->lock, 1, IO_PRIORITY_BOARD };
    return address_map_add(dev->machine->pio, &p->region, PORT92) == 0;
}

static void
port92_unrealize(Device *dev)
{
    address_map_remove(dev->machine->pio, &((Port92 *)dev)->region);
    address_map_synchronize(dev->machine->pio);
}

static void
port92_reset(Device *dev)
{
    ((Port92 *)dev)->value = PORT92_A20;
}

static uint64_t
debug_exit_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return 0;
}

static void
debug_exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Machine *machine = ((DebugExit *)opaque)->device.machine;

    (void)offset;
    (void)size;
    machine->ops->request(machine->host, MACHINE_DEBUG_EXIT, (int)((value << 1 | 1) & 0xff));
}

static const IoOps debug_exit_ops = { debug_exit_read, debug_exit_write, .unaligned = true };

static bool
debug_exit_realize(Device *dev, GError **err)
{
    DebugExit *d = (DebugExit *)dev;

    d->region = (IoRegion){ "isa-debug-exit", &debug_exit_ops, d,
                            &dev->lock,       d->iosize,       IO_PRIORITY_BOARD };
    if (address_map_add(dev->machine->pio, &d->region, d->iobase) < 0)
        return device_error(dev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "ports 0x%x to 0x%x are beyond the last port", d->iobase,
                            (unsigned)d->iobase + d->iosize - 1);
    return true;
}

static void
debug_exit_unrealize(Device *dev)
{
    address_map_remove(dev->machine->pio, &((DebugExit *)dev)->region);
    address_map_synchronize(dev->machine->pio);
}

static const SavedField port92_fields[] = {
    SAVED(Port92, value, 1),
};

static const SavedTable port92_saved = {
    .name = "port92",
    .version = 1,
    .oldest = 1,
    .fields = port92_fields,
    .n_fields = G_N_ELEMENTS(port92_fields),
};

static const DeviceProp debug_exit_props[] = {
    { "iobase", PROP_UINT16, offsetof(DebugExit, iobase), "0xf4", .help = "first port" },
    { "iosize", PROP_UINT8, offsetof(DebugExit, iosize), "4", .min = 1, .max = 8,
      .help = "number of ports" },
};

const DeviceClass port92_class = {
    .name = "port92",
    .bus = BUS_SYSTEM,
    .board = true,
    .state_size = sizeof(Port92),
    .saved = &port92_saved,
    .realize = port92_realize,
    .reset = port92_reset,
    .unrealize = port92_unrealize,
};

const DeviceClass isa_debug_exit_class = {
    .name = "isa-debug-exit",
    .description = "ends the machine with the status written to it, times two plus one",
    .bus = BUS_ISA,
    .state_size = sizeof(DebugExit),
    .props = debug_exit_props,
    .n_props = G_N_ELEMENTS(debug_exit_props),
    .realize = debug_exit_realize,
    .unrealize = debug_exit_unrealize,
};
