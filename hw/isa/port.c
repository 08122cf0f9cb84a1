/* port.c - what a PC's serial and parallel ports have in common.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/isa/port.h"

#include "util/error.h"

/* Firmware looks for a port's places in their order. */
static bool
port_choose(IsaPort *port, const IsaPortKind *kind, GError **err)
{
    const GPtrArray *devices = port->device.machine->devices;
    unsigned used = 0;

    for (guint i = 0; i < devices->len; i++) {
        const IsaPort *other = g_ptr_array_index(devices, i);

        if (other != port && other->device.class == port->device.class)
            used |= 1u << other->index;
    }
    if (port->index < 0)
        port->index = __builtin_ctz(~used);
    if ((unsigned)port->index >= kind->n)
        return device_error(&port->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "there are %s ports 0 to %u, which is the limit: not %d", kind->name,
                            kind->n - 1, port->index);
    if (used & 1u << port->index)
        return device_error(&port->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "%s port %d is there already: give another index", kind->name,
                            port->index);
    if (!port->iobase)
        port->iobase = kind->bases[port->index];
    if (!port->irq)
        port->irq = kind->irqs[port->index];
    return true;
}

bool
isa_port_realize(IsaPort *port, const IsaPortKind *kind, GError **err)
{
    Device *dev = &port->device;

    if (!port_choose(port, kind, err))
        return false;
    port->line = (GsiSource){ dev->machine, port->irq, false };
    port->region =
        (IoRegion){ kind->name, kind->ops, port, &dev->lock, kind->registers, IO_PRIORITY_BOARD };
    dev->class->reset(dev);
    if (!chardev_attach(port->chardev.object, kind->frontend, port, err))
        return false;
    chardev_set_frontend_open(port->chardev.object, true);
    address_map_add(dev->machine->pio, &port->region, port->iobase);
    return true;
}

void
isa_port_unrealize(Device *dev)
{
    IsaPort *port = (IsaPort *)dev;

    address_map_remove(dev->machine->pio, &port->region);
    address_map_synchronize(dev->machine->pio);
    if (port->line.machine)
        chardev_detach(port->chardev.object, port);
    gsi_source_disconnect(&port->line);
}
