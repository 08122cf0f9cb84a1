/* ehci.c - the EHCI controllers usb-ehci, ich9-usb-ehci1 and ich9-usb-ehci2: registers and ports.
 *
 * Enhanced Host Controller Interface Specification for Universal Serial Bus 1.0, chapters 2 and 4.
 * Six ports. What is plugged into one that a companion controller (uhci.c, masterbus=) shares is
 * the companion's until the driver sets CONFIGFLAG, and whenever it gives the port away; it runs at
 * full speed there. Without companions only devices of high speed can be plugged in, and they are
 * always this controller's. The schedules are in ehci_schedule.c; as nothing that the guest has
 * taken out of them is looked at again, the doorbell is answered at once.
 *
 * Leaves out: 64-bit addresses, frame lists of other sizes than 1024, the legacy support
 * capability, test modes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/ehci.h"

#include "hw/core/bytes.h"
#include "hw/core/loop.h"

enum {
    BAR_BYTES = 0x1000,
    CAP_BYTES = 0x20,
    OP_PORTS = 0x44,
    CMD_WRITABLE = EHCI_CMD_RUN | EHCI_CMD_PERIODIC | EHCI_CMD_ASYNC | 0xff << 16,
    CMD_START = 8 << 16,
    PORT_CONNECTED = 1 << 0,
    PORT_CONNECT_CHANGE = 1 << 1,
    PORT_ENABLED = EHCI_PORT_ENABLED,
    PORT_ENABLE_CHANGE = 1 << 3,
    PORT_RESUME = 1 << 6,
    PORT_SUSPEND = 1 << 7,
    PORT_RESET = 1 << 8,
    PORT_LINE_K = 1 << 10, /* a device of low speed */
    PORT_LINE_J = 2 << 10,
    PORT_POWER = 1 << 12,
    PORT_OWNER = 1 << 13, /* the companion has it */
    PORT_WAKE = 7 << 20,
    PORTS_OF_COMPANION = 2,
    FRINDEX_FRAMES = 2048,
};

void
ehci_interrupt(Ehci *ehci)
{
    pci_intx_set(&ehci->pci, ehci->sts & ehci->intr & EHCI_STS_CAUSES);
}

void
ehci_settle_status(Ehci *ehci)
{
    ehci->sts &= ~(uint32_t)(EHCI_STS_PERIODIC | EHCI_STS_ASYNC);
    if (ehci_running(ehci))
        ehci->sts |= (ehci->cmd & EHCI_CMD_PERIODIC ? EHCI_STS_PERIODIC : 0) |
                     (ehci->cmd & EHCI_CMD_ASYNC ? EHCI_STS_ASYNC : 0);
    ehci_interrupt(ehci);
}

/* ---- ports ---- */

static UsbDevice *
ehci_device(Ehci *ehci, unsigned i)
{
    const UsbPort *port = &ehci->bus.ports[i];

    return !port->given && port->dev && !port->dev->gone ? port->dev : NULL;
}

static void
ehci_port_settle(Ehci *ehci, unsigned i)
{
    UsbPort *port = &ehci->bus.ports[i];
    UsbDevice *dev = ehci_device(ehci, i);
    uint32_t old = ehci->ports[i];

    ehci->ports[i] = PORT_POWER | (port->given ? PORT_OWNER : 0) |
                     (old & (PORT_CONNECT_CHANGE | PORT_ENABLE_CHANGE | PORT_WAKE));
    if (!port->given)
        port->enabled = false;
    if (dev)
        ehci->ports[i] |= PORT_CONNECTED | (dev->speed == USB_LOW ? PORT_LINE_K : PORT_LINE_J);
    if ((old ^ ehci->ports[i]) & PORT_CONNECTED) {
        ehci->ports[i] |= PORT_CONNECT_CHANGE;
        ehci->sts |= EHCI_STS_PORT;
    }
}

/* The speed at which a device runs depends on whose the port is. */
static void
ehci_set_speed(const UsbPort *port)
{
    UsbSpeed speed = USB_SPEEDS;

    if (!port->dev || port->dev->gone)
        return;
    if (port->given)
        speed = usb_device_best_speed(port->dev, 1u << USB_LOW | 1u << USB_FULL);
    port->dev->speed = speed == USB_SPEEDS ? usb_device_best_speed(port->dev, port->speeds) : speed;
}

/* Gives the port to its companion, or takes it back: to the one who loses it the device is gone. */
static void
ehci_port_give(Ehci *ehci, unsigned i, bool give)
{
    UsbPort *port = &ehci->bus.ports[i];

    if (!port->companion || port->given == give)
        return;
    port->given = give;
    port->enabled = false;
    ehci_set_speed(port);
    if (port->dev && !port->dev->gone)
        usb_device_reset(port->dev);
    ehci_port_settle(ehci, i);
    port->companion->changed(port->companion_opaque, port->companion_port);
}

static void
ehci_attached(UsbBus *bus, UsbPort *port, bool attached)
{
    Ehci *ehci = bus->opaque;

    if (!attached)
        port->dev = NULL;
    ehci_set_speed(port);
    if (port->given) {
        port->companion->changed(port->companion_opaque, port->companion_port);
        /* 4.2.2: what comes next is looked at by this controller first. */
        if (!attached && ehci->configured)
            ehci_port_give(ehci, port->number - 1, false);
        return;
    }
    ehci_port_settle(ehci, port->number - 1);
    ehci_interrupt(ehci);
}

static void
ehci_wakeup(UsbBus *bus, UsbDevice *dev, unsigned endpoint)
{
    Ehci *ehci = bus->opaque;
    UsbPort *root = usb_device_root_port(dev);
    unsigned i = root->number - 1;

    (void)endpoint;
    if (root->given) {
        root->companion->wakeup(root->companion_opaque, root->companion_port, dev);
        return;
    }
    if (dev->remote_wakeup && (ehci->ports[i] & PORT_SUSPEND) && !(ehci->ports[i] & PORT_RESUME)) {
        ehci->ports[i] |= PORT_RESUME;
        ehci->sts |= EHCI_STS_PORT;
        ehci_interrupt(ehci);
    }
    if (ehci_running(ehci) && !ehci->walking) {
        ehci->kicked = true;
        ehci_schedule(ehci);
    }
}

static void
ehci_joined(UsbBus *bus, UsbPort *port)
{
    Ehci *ehci = bus->opaque;

    ehci_port_give(ehci, port->number - 1, !ehci->configured);
}

static const UsbBusOps ehci_bus_ops = {
    .attached = ehci_attached,
    .wakeup = ehci_wakeup,
    .joined = ehci_joined,
};

static uint32_t
ehci_port_reset(Ehci *ehci, unsigned i, uint32_t port)
{
    UsbDevice *dev = ehci_device(ehci, i);

    if (port & PORT_RESET) {
        port &= ~(uint32_t)(PORT_ENABLED | PORT_SUSPEND | PORT_RESUME);
        if (!(ehci->ports[i] & PORT_RESET) && dev)
            usb_device_reset(dev);
    } else if ((ehci->ports[i] & PORT_RESET) && dev && dev->speed == USB_HIGH &&
               ehci_running(ehci)) {
        port |= PORT_ENABLED; /* others are left for the companion */
    }
    return port;
}

static void
ehci_port_write(Ehci *ehci, unsigned i, uint32_t value)
{
    uint32_t old, port;

    if (ehci->configured)
        ehci_port_give(ehci, i, value & PORT_OWNER);
    old = ehci->ports[i];
    port = old & ~(value & (PORT_CONNECT_CHANGE | PORT_ENABLE_CHANGE));
    port = (port & ~(uint32_t)PORT_WAKE) | (value & PORT_WAKE);
    if (ehci->bus.ports[i].given) {
        ehci->ports[i] = port;
        return;
    }
    port = (port & ~(uint32_t)PORT_RESET) | (value & PORT_RESET);
    if (!(value & PORT_ENABLED))
        port &= ~(uint32_t)(PORT_ENABLED | PORT_SUSPEND);
    port = ehci_port_reset(ehci, i, port);
    if ((port & PORT_ENABLED) && (value & PORT_SUSPEND))
        port |= PORT_SUSPEND;
    if ((old & PORT_RESUME) && !(value & PORT_RESUME))
        port &= ~(uint32_t)(PORT_RESUME | PORT_SUSPEND);
    else if ((port & PORT_SUSPEND) && (value & PORT_RESUME))
        port |= PORT_RESUME;
    ehci->ports[i] = port;
    ehci->bus.ports[i].enabled = (port & PORT_ENABLED) && !(port & PORT_SUSPEND);
    ehci_schedule(ehci);
}

/* ---- registers ---- */

/* CONFIGFLAG: all ports to this controller, or to the companions (4.2.1). */
static void
ehci_configure(Ehci *ehci, bool configured)
{
    ehci->configured = configured;
    for (unsigned i = 0; i < EHCI_PORTS; i++)
        ehci_port_give(ehci, i, !configured);
}

static void
ehci_power_on(Ehci *ehci)
{
    ehci->cmd = CMD_START;
    ehci->sts = EHCI_STS_HALTED;
    ehci->intr = ehci->frindex = ehci->periodic = ehci->async = 0;
    ehci->frame_at = machine_clock_ns(ehci->pci.device.machine);
    ehci_configure(ehci, false);
    for (unsigned i = 0; i < EHCI_PORTS; i++) {
        ehci->ports[i] = 0;
        if (ehci_device(ehci, i))
            usb_device_reset(ehci_device(ehci, i));
        ehci_port_settle(ehci, i);
    }
    ehci_interrupt(ehci);
}

static void
ehci_write_command(Ehci *ehci, uint32_t value)
{
    bool was_running = ehci->cmd & EHCI_CMD_RUN;

    if (value & EHCI_CMD_RESET) {
        ehci_power_on(ehci);
        return;
    }
    ehci->cmd = value & CMD_WRITABLE;
    if ((value & EHCI_CMD_RUN) && !was_running) {
        ehci->sts &= ~(uint32_t)EHCI_STS_HALTED;
        ehci->frame_at = machine_clock_ns(ehci->pci.device.machine);
    } else if (!(value & EHCI_CMD_RUN)) {
        ehci->sts |= EHCI_STS_HALTED;
    }
    if (value & EHCI_CMD_DOORBELL)
        ehci_doorbell(ehci);
    ehci_settle_status(ehci);
    ehci_schedule(ehci);
}

/* N_PORTS, N_PCC and N_CC. */
static uint32_t
ehci_structure(const Ehci *ehci)
{
    uint32_t shared = 0;

    for (unsigned i = 0; i < EHCI_PORTS; i++)
        shared += ehci->bus.ports[i].companion != NULL;
    return EHCI_PORTS | (shared ? PORTS_OF_COMPANION << 8 | shared / PORTS_OF_COMPANION << 12 : 0);
}

static uint32_t
ehci_register(Ehci *ehci, unsigned offset)
{
    int64_t late = ehci_running(ehci) ? MAX(ehci_frames_due(ehci), 0) : 0;

    switch (offset) {
    case 0:
        return 0x01000000u | CAP_BYTES;
    case 4:
        return ehci_structure(ehci);
    case CAP_BYTES:
        return ehci->cmd;
    case CAP_BYTES + 0x04:
        return ehci->sts;
    case CAP_BYTES + 0x08:
        return ehci->intr;
    case CAP_BYTES + 0x0c:
        return (uint32_t)((ehci->frindex + late % FRINDEX_FRAMES * 8) & 0x3fff);
    case CAP_BYTES + 0x14:
        return ehci->periodic;
    case CAP_BYTES + 0x18:
        return ehci->async;
    case CAP_BYTES + 0x40:
        return ehci->configured;
    default:
        if (offset >= CAP_BYTES + OP_PORTS && offset < CAP_BYTES + OP_PORTS + 4 * EHCI_PORTS)
            return ehci->ports[(offset - CAP_BYTES - OP_PORTS) / 4];
        return 0;
    }
}

static uint64_t
ehci_read(void *opaque, uint64_t offset, unsigned size)
{
    uint8_t bytes[8] = { 0 };

    bytes_store(bytes, ehci_register(opaque, (unsigned)offset & ~3u), 4);
    return bytes_load(bytes + (offset & 3), size);
}

static void
ehci_write(void *opaque, uint64_t offset, uint64_t value64, unsigned size)
{
    Ehci *ehci = opaque;
    uint32_t value = (uint32_t)value64;

    if (size != 4 || (offset & 3)) /* 2.3: written as doublewords */
        return;
    switch (offset) {
    case CAP_BYTES:
        ehci_write_command(ehci, value);
        break;
    case CAP_BYTES + 0x04:
        ehci->sts &= ~(value & EHCI_STS_CAUSES);
        ehci_interrupt(ehci);
        break;
    case CAP_BYTES + 0x08:
        ehci->intr = value & EHCI_STS_CAUSES;
        ehci_interrupt(ehci);
        ehci_schedule(ehci);
        break;
    case CAP_BYTES + 0x0c:
        if (ehci->sts & EHCI_STS_HALTED)
            ehci->frindex = value & 0x3ff8;
        break;
    case CAP_BYTES + 0x14:
        ehci->periodic = value & ~0xfffu;
        break;
    case CAP_BYTES + 0x18:
        ehci->async = value & ~31u;
        break;
    case CAP_BYTES + 0x40:
        ehci_configure(ehci, value & 1);
        ehci_interrupt(ehci);
        break;
    default:
        if (offset >= CAP_BYTES + OP_PORTS && offset < CAP_BYTES + OP_PORTS + 4 * EHCI_PORTS) {
            ehci_port_write(ehci, (unsigned)(offset - CAP_BYTES - OP_PORTS) / 4, value);
            ehci_interrupt(ehci);
        }
    }
}

static const IoOps ehci_ops = { ehci_read, ehci_write, .sizes = 1 | 2 | 4 };

/* ---- the device ---- */

static void
ehci_make_timer(void *opaque)
{
    Ehci *ehci = opaque;

    ehci->timer = io_timer_new(ehci->bus.loop, ehci_tick, ehci);
}

static bool
ehci_realize(Device *device, GError **err)
{
    Ehci *ehci = (Ehci *)device;
    IoLoop *loop = machine_io_loop(device->machine, err);

    if (!loop)
        return false;
    pci_config_set(&ehci->pci, 0x60, 1, 0x20); /* SBRN: USB 2.0 */
    pci_config_set(&ehci->pci, 0x61, 1, 0x20); /* FLADJ: 60000 bit times */
    pci_config_mask(&ehci->pci, 0x61, 1, 0x3f);
    pci_bar_add(&ehci->pci, 0, PCI_BAR_MEM32, false, BAR_BYTES);
    pci_bar_add_region(&ehci->pci, 0, 0, BAR_BYTES, &ehci_ops, ehci, &device->lock, "ehci");
    pci_intx_init(&ehci->pci);
    if (!usb_bus_init(&ehci->bus, device, "usb-bus", &ehci_bus_ops, ehci, loop, EHCI_PORTS,
                      1u << USB_HIGH, err))
        return false;
    ehci->paused = true;
    io_loop_run_sync(loop, ehci_make_timer, ehci);
    g_mutex_lock(&device->lock);
    ehci_power_on(ehci);
    g_mutex_unlock(&device->lock);
    return true;
}

static void
ehci_stop(void *opaque)
{
    Ehci *ehci = opaque;

    g_mutex_lock(ehci->bus.lock);
    ehci->paused = true;
    g_mutex_unlock(ehci->bus.lock);
    io_loop_cancel(ehci->bus.loop, ehci_tick, ehci);
    ehci->scheduled = false;
    if (ehci->timer)
        io_timer_cancel(ehci->timer);
}

static void
ehci_free_timer(void *opaque)
{
    Ehci *ehci = opaque;

    ehci_stop(ehci);
    g_clear_pointer(&ehci->timer, io_timer_free);
}

static void
ehci_unrealize(Device *device)
{
    Ehci *ehci = (Ehci *)device;

    if (!ehci->bus.ports)
        return;
    for (unsigned i = 0; i < EHCI_PORTS; i++) {
        if (ehci->bus.ports[i].dev)
            device_free(&ehci->bus.ports[i].dev->device);
    }
    io_loop_run_sync(ehci->bus.loop, ehci_free_timer, ehci);
    usb_bus_fini(&ehci->bus);
}

static void
ehci_reset(Device *device)
{
    g_mutex_lock(&device->lock);
    ehci_power_on((Ehci *)device);
    g_mutex_unlock(&device->lock);
}

static void
ehci_set_running(Device *device, bool running)
{
    Ehci *ehci = (Ehci *)device;

    if (!running) {
        io_loop_run_sync(ehci->bus.loop, ehci_stop, ehci);
        return;
    }
    g_mutex_lock(&device->lock);
    ehci->paused = false;
    ehci_schedule(ehci);
    g_mutex_unlock(&device->lock);
}

static bool
ehci_after_load(void *state, GError **err)
{
    Ehci *ehci = state;

    (void)err;
    ehci->cmd &= CMD_WRITABLE;
    ehci->frindex &= 0x3fff;
    ehci->periodic &= ~0xfffu;
    ehci->async &= ~31u;
    ehci->configured &= 1;
    ehci->frame_at = machine_clock_ns(ehci->pci.device.machine);
    g_mutex_lock(&ehci->pci.device.lock);
    for (unsigned i = 0; i < EHCI_PORTS; i++) {
        UsbPort *port = &ehci->bus.ports[i];

        port->given = port->companion && (ehci->ports[i] & PORT_OWNER);
        if (!port->given) {
            ehci->ports[i] &= ~(uint32_t)PORT_OWNER;
            port->enabled =
                port->dev && (ehci->ports[i] & PORT_ENABLED) && !(ehci->ports[i] & PORT_SUSPEND);
        }
        ehci_set_speed(port);
    }
    ehci_interrupt(ehci);
    g_mutex_unlock(&ehci->pci.device.lock);
    return true;
}

static const SavedField ehci_fields[] = {
    SAVED(Ehci, cmd, 1),      SAVED(Ehci, sts, 1),         SAVED(Ehci, intr, 1),
    SAVED(Ehci, frindex, 1),  SAVED(Ehci, async, 1),       SAVED(Ehci, configured, 1),
    SAVED(Ehci, periodic, 1), SAVED_ARRAY(Ehci, ports, 1),
};

static const SavedTable ehci_saved = {
    .name = "ehci",
    .version = 1,
    .oldest = 1,
    .fields = ehci_fields,
    .n_fields = G_N_ELEMENTS(ehci_fields),
    .after_load = ehci_after_load,
};

#define EHCI_DEVICE(symbol, text, id, rev)                                                         \
    static const PciDetails symbol##_details = {                                                   \
        .vendor = 0x8086,                                                                          \
        .device = (id),                                                                            \
        .class_code = 0x0c0320,                                                                    \
        .revision = (rev),                                                                         \
    };                                                                                             \
    const DeviceClass symbol = {                                                                   \
        .name = text,                                                                              \
        .description = "USB 2.0 controller",                                                       \
        .base = &pci_device_class,                                                                 \
        .bus = BUS_PCI,                                                                            \
        .state_size = sizeof(Ehci),                                                                \
        .saved = &ehci_saved,                                                                      \
        .realize = ehci_realize,                                                                   \
        .reset = ehci_reset,                                                                       \
        .unrealize = ehci_unrealize,                                                               \
        .set_running = ehci_set_running,                                                           \
        .details = &symbol##_details,                                                              \
    }

EHCI_DEVICE(usb_ehci_class, "usb-ehci", 0x24cd, 0x10);
EHCI_DEVICE(ich9_usb_ehci1_class, "ich9-usb-ehci1", 0x293a, 3);
EHCI_DEVICE(ich9_usb_ehci2_class, "ich9-usb-ehci2", 0x293c, 3);
