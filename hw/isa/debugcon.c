/* debugcon.c - a port whose bytes go to a character device: what firmware says while it works.
 *
 * SeaBIOS and OVMF know that it is there by what a read gives.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/chardev.h"
#include "hw/core/device.h"
#include "util/error.h"

typedef struct {
    Device device;
    PropObject chardev;
    uint32_t iobase, readback;
    IoRegion region;
} Debugcon;

static uint64_t
debugcon_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ((Debugcon *)opaque)->readback;
}

static void
debugcon_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    uint8_t byte = (uint8_t)value;

    (void)offset;
    (void)size;
    /* A back end that is full loses the byte: the guest must not wait for whoever reads. */
    (void)chardev_write(((Debugcon *)opaque)->chardev.object, &byte, 1);
}

static const IoOps debugcon_ops = { debugcon_read, debugcon_write, .sizes = 1 };
static const ChardevFrontend debugcon_frontend;

static bool
debugcon_realize(Device *dev, GError **err)
{
    Debugcon *d = (Debugcon *)dev;

    if (!chardev_attach(d->chardev.object, &debugcon_frontend, d, err))
        return false;
    d->region = (IoRegion){ "isa-debugcon", &debugcon_ops, d, &dev->lock, 1, IO_PRIORITY_BOARD };
    if (address_map_add(dev->machine->pio, &d->region, d->iobase) < 0)
        return device_error(dev, err, VIR_ERR_CONFIG_UNSUPPORTED, "there is no port 0x%x",
                            d->iobase);
    return true;
}

static void
debugcon_unrealize(Device *dev)
{
    Debugcon *d = (Debugcon *)dev;

    if (!d->region.ops)
        return;
    address_map_remove(dev->machine->pio, &d->region);
    address_map_synchronize(dev->machine->pio);
    chardev_detach(d->chardev.object, d);
}

static const DeviceProp debugcon_props[] = {
    { "chardev", PROP_CHARDEV, offsetof(Debugcon, chardev), .required = true,
      .help = "where the bytes go" },
    { "iobase", PROP_UINT32, offsetof(Debugcon, iobase), "0xe9", .max = 0xffff,
      .help = "the port; firmware uses 0x402" },
    { "readback", PROP_UINT32, offsetof(Debugcon, readback), "0xe9", .max = 0xff,
      .help = "what a read gives" },
};

const DeviceClass isa_debugcon_class = {
    .name = "isa-debugcon",
    .description = "debug console of firmware",
    .bus = BUS_ISA,
    .state_size = sizeof(Debugcon),
    .props = debugcon_props,
    .n_props = G_N_ELEMENTS(debugcon_props),
    .realize = debugcon_realize,
    .unrealize = debugcon_unrealize,
};
