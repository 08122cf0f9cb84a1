/* uhci.c - the UHCI controllers piix3-usb-uhci, piix4-usb-uhci and ich9-usb-uhci1 to 6.
 *
 * Universal Host Controller Interface Design Guide 1.1. Two ports. The frame list is walked in the
 * I/O loop, a frame for each millisecond of the guest's time; while nothing moves, several frames
 * at a time, and not at all while nothing is plugged in. What a frame may visit is bounded, however
 * the guest's lists loop.
 *
 * With masterbus= its ports are two of an EHCI controller's (EHCI 1.0, 4.2): it sees a device there
 * while the other has given the port away. Everything is then guarded by the master's lock.
 *
 * Leaves out: isochronous transfers beyond their being carried out as any other, legacy keyboard
 * emulation (USBLEGSUP is kept and does nothing).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/usb.h"

#include <string.h>

#include "hw/core/bytes.h"
#include "hw/core/loop.h"
#include "hw/pci/pci.h"
#include "util/error.h"

enum {
    PORTS = 2,
    IO_BYTES = 32,
    IO_BAR = 4,
    CMD_RUN = 1 << 0,
    CMD_HOST_RESET = 1 << 1,
    CMD_GLOBAL_RESET = 1 << 2,
    CMD_CONFIGURED = 1 << 6,
    STS_DONE = 1 << 0,
    STS_ERROR = 1 << 1,
    STS_RESUME = 1 << 2,
    STS_SYSTEM_ERROR = 1 << 3,
    STS_PROCESS_ERROR = 1 << 4,
    STS_HALTED = 1 << 5,
    INTR_ERROR = 1 << 0,
    INTR_RESUME = 1 << 1,
    INTR_COMPLETE = 1 << 2,
    INTR_SHORT = 1 << 3,
    WHY_COMPLETE = 1,
    WHY_SHORT = 2,
    PORT_CONNECTED = 1 << 0,
    PORT_CONNECT_CHANGE = 1 << 1,
    PORT_ENABLED = 1 << 2,
    PORT_ENABLE_CHANGE = 1 << 3,
    PORT_RESUME = 1 << 6,
    PORT_ALWAYS = 1 << 7,
    PORT_LOW_SPEED = 1 << 8,
    PORT_RESET = 1 << 9,
    PORT_SUSPEND = 1 << 12,
    PORT_WRITABLE = PORT_ENABLED | PORT_RESUME | PORT_RESET | PORT_SUSPEND,
    LINK_END = 1,
    LINK_QH = 2,
    TD_LENGTH = 0x7ff,
    TD_BITSTUFF = 1 << 17,
    TD_TIMEOUT = 1 << 18,
    TD_NAK = 1 << 19,
    TD_BABBLE = 1 << 20,
    TD_STALLED = 1 << 22,
    TD_ACTIVE = 1 << 23,
    TD_STATUS = 0xff << 16,
    TD_IOC = 1 << 24,
    TD_SHORT_DETECT = 1 << 29,
    PID_IN = 0x69,
    PID_OUT = 0xe1,
    PID_SETUP = 0x2d,
    PACKET_BYTES = 8,       /* counted for each transfer: those of no data are no less work */
    VISITS_IDLE = 128,      /* elements of a frame without a finished transfer between them */
    FRAME_BYTES = 16 << 10, /* more than a wire's 1280: no reason to be as slow */
    FRAMES_LATE = 16,       /* frames made up for at once */
    IDLE_FRAMES = 8,        /* frames of a turn while nothing moves */
    IDLE_AFTER = 32,        /* turns without a finished transfer */
};
#define FRAME_NS INT64_C(1000000)

typedef struct {
    PciDevice pci; /* first */
    UsbBus bus;    /* not a companion's */
    char *masterbus;
    uint32_t firstport;
    UsbBus *on;     /* the bus that its ports are of: its own or its master's */
    UsbPort *roots; /* the first of them */

    uint16_t cmd, sts, intr, frnum;
    uint8_t why, sofmod;
    uint32_t list;
    uint16_t ports[PORTS];
    int64_t frame_at; /* guest's clock at the beginning of frame frnum */

    IoTimer *timer; /* the loop's */
    bool paused, scheduled;
    unsigned idle;  /* turns */
    uint32_t bytes; /* of this frame */
    bool moved;     /* a transfer of this frame has ended */
} Uhci;

static bool
uhci_is_companion(const Uhci *uhci)
{
    return uhci->on != &uhci->bus;
}

/* Its port, NULL while that is the master's. */
static UsbPort *
uhci_port(Uhci *uhci, unsigned i)
{
    UsbPort *port = &uhci->roots[i];

    return uhci_is_companion(uhci) && !port->given ? NULL : port;
}

static UsbDevice *
uhci_device(Uhci *uhci, unsigned i)
{
    UsbPort *port = uhci_port(uhci, i);

    return port && port->dev && !port->dev->gone ? port->dev : NULL;
}

static void
uhci_interrupt(Uhci *uhci)
{
    bool level = ((uhci->why & WHY_COMPLETE) && (uhci->intr & INTR_COMPLETE)) ||
                 ((uhci->why & WHY_SHORT) && (uhci->intr & INTR_SHORT)) ||
                 ((uhci->sts & STS_ERROR) && (uhci->intr & INTR_ERROR)) ||
                 ((uhci->sts & STS_RESUME) && (uhci->intr & INTR_RESUME)) ||
                 (uhci->sts & (STS_SYSTEM_ERROR | STS_PROCESS_ERROR));

    if (uhci_is_companion(uhci))
        g_mutex_lock(&uhci->pci.device.lock);
    pci_intx_set(&uhci->pci, level);
    if (uhci_is_companion(uhci))
        g_mutex_unlock(&uhci->pci.device.lock);
}

static bool
uhci_running(const Uhci *uhci)
{
    return (uhci->cmd & CMD_RUN) && !(uhci->sts & STS_HALTED);
}

static void
uhci_stop_with(Uhci *uhci, uint16_t why)
{
    uhci->sts |= why | STS_HALTED;
    uhci->cmd &= (uint16_t)~CMD_RUN;
    uhci_interrupt(uhci);
}

/* ---- transfers ---- */

typedef enum { TD_DONE, TD_NEXT_QUEUE, TD_STOP } TdResult;

static UsbDevice *
uhci_find(Uhci *uhci, uint8_t address)
{
    for (unsigned i = 0; i < PORTS; i++) {
        UsbPort *port = uhci->ports[i] & PORT_ENABLED ? uhci_port(uhci, i) : NULL;
        UsbDevice *dev = port ? usb_port_find(port, address) : NULL;

        if (dev)
            return dev;
    }
    return NULL;
}

/* Carries out @td, which is active, and sets its status. */
static TdResult
uhci_td_run(Uhci *uhci, uint8_t *td)
{
    uint32_t control = bytes_load32(td + 4), token = bytes_load32(td + 8);
    uint8_t pid = (uint8_t)token;
    struct iovec iov[4];
    UsbPacket packet = { .endpoint = token >> 15 & 15, .iov = iov };
    TdResult result = TD_DONE;
    int n;

    packet.length = ((token >> 21) + 1) & TD_LENGTH;
    packet.token = pid == PID_IN ? USB_IN : pid == PID_OUT ? USB_OUT : USB_SETUP;
    n = guest_memory_iov(uhci->pci.device.machine->memory, bytes_load32(td + 12), packet.length,
                         iov, G_N_ELEMENTS(iov));
    if (n < 0 || packet.length > 0x500) {
        uhci_stop_with(uhci, STS_SYSTEM_ERROR);
        return TD_STOP;
    }
    if (pid != PID_IN && pid != PID_OUT && pid != PID_SETUP) {
        uhci_stop_with(uhci, STS_PROCESS_ERROR);
        return TD_STOP;
    }
    packet.n_iov = (unsigned)n;
    usb_packet_run(uhci_find(uhci, token >> 8 & 127), &packet);
    control &= ~(uint32_t)TD_STATUS;
    if (packet.status == USB_NAK) {
        bytes_store(td + 4, control | TD_ACTIVE | TD_NAK, 4);
        return TD_NEXT_QUEUE;
    }
    control = (control & ~(uint32_t)TD_LENGTH) | ((packet.actual - 1) & TD_LENGTH);
    uhci->moved = true;
    uhci->bytes += packet.actual + PACKET_BYTES;
    if (packet.status != USB_OK) {
        control |= TD_STALLED;
        if (packet.status == USB_BABBLE)
            control |= TD_BABBLE;
        else if (packet.status == USB_NO_DEVICE)
            control |= TD_TIMEOUT;
        uhci->sts |= STS_ERROR;
        result = TD_NEXT_QUEUE;
    } else if (pid == PID_IN && packet.actual < packet.length && (control & TD_SHORT_DETECT)) {
        uhci->why |= WHY_SHORT;
        uhci->sts |= STS_DONE;
        result = TD_NEXT_QUEUE;
    }
    if (control & TD_IOC) {
        uhci->why |= WHY_COMPLETE;
        uhci->sts |= STS_DONE;
    }
    bytes_store(td + 4, control, 4);
    return result;
}

/* One transfer descriptor at @link. Returns what to do next; *ret_next is the one behind it. */
static TdResult
uhci_td(Uhci *uhci, uint32_t link, uint32_t *ret_next)
{
    GuestMemory *memory = uhci->pci.device.machine->memory;
    uint8_t td[16];
    TdResult result;

    if (guest_memory_read(memory, link & ~15u, td, sizeof(td)) < 0) {
        uhci_stop_with(uhci, STS_SYSTEM_ERROR);
        return TD_STOP;
    }
    *ret_next = bytes_load32(td);
    if (!(bytes_load32(td + 4) & TD_ACTIVE))
        return TD_NEXT_QUEUE;
    result = uhci_td_run(uhci, td);
    if (result != TD_STOP)
        guest_memory_write(memory, (link & ~15u) + 4, td + 4, 4);
    return result;
}

/* The schedule of one frame. Queue heads may be linked in a circle, as drivers do to use what is
 * left of a frame: the walk ends when a while of it moved nothing, or enough was moved. */
static void
uhci_frame(Uhci *uhci)
{
    GuestMemory *memory = uhci->pci.device.machine->memory;
    unsigned visits = 0;
    uint8_t bytes[8];
    uint32_t link;

    uhci->bytes = 0;
    uhci->moved = false;
    if (guest_memory_read(memory, uhci->list + (uhci->frnum & 0x3ffu) * 4, bytes, 4) < 0) {
        uhci_stop_with(uhci, STS_SYSTEM_ERROR);
        return;
    }
    link = bytes_load32(bytes);
    while (!(link & LINK_END) && visits++ < VISITS_IDLE && uhci->bytes < FRAME_BYTES) {
        uint32_t head = link, element, next = LINK_END;
        bool moved = uhci->moved;
        TdResult result;

        if (!(link & LINK_QH)) {
            if (uhci_td(uhci, link, &link) == TD_STOP)
                return;
            continue;
        }
        if (guest_memory_read(memory, head & ~15u, bytes, 8) < 0) {
            uhci_stop_with(uhci, STS_SYSTEM_ERROR);
            return;
        }
        link = bytes_load32(bytes);
        element = bytes_load32(bytes + 4);
        if (element & (LINK_END | LINK_QH)) {
            /* A queue in a queue: go down into it. */
            if (!(element & LINK_END))
                link = element;
            continue;
        }
        uhci->moved = false;
        do {
            result = uhci_td(uhci, element, &next);
            if (result == TD_STOP)
                return;
            if (result == TD_DONE) {
                bytes_store(bytes, next, 4);
                guest_memory_write(memory, (head & ~15u) + 4, bytes, 4);
                element = next;
            }
            /* Down the queue at once: a frame is long. */
        } while (result == TD_DONE && !(element & (LINK_END | LINK_QH)) &&
                 uhci->bytes < FRAME_BYTES && visits++ < VISITS_IDLE);
        if (uhci->moved)
            visits = uhci->bytes ? visits / 2 : visits;
        uhci->moved |= moved;
    }
    uhci_interrupt(uhci);
}

/* ---- time ---- */

static bool
uhci_has_devices(const Uhci *uhci)
{
    return (uhci->ports[0] | uhci->ports[1]) & PORT_ENABLED;
}

/* Frames that have passed since frnum was brought up to date. */
static int64_t
uhci_frames_due(Uhci *uhci)
{
    return (machine_clock_ns(uhci->pci.device.machine) - uhci->frame_at) / FRAME_NS;
}

static void
uhci_skip_frames(Uhci *uhci, int64_t n)
{
    uhci->frnum = (uint16_t)((uhci->frnum + n) & 0x7ff);
    uhci->frame_at += n * FRAME_NS;
}

static void
uhci_tick(void *opaque)
{
    Uhci *uhci = opaque;
    bool moved = false;
    int64_t due;

    g_mutex_lock(uhci->on->lock);
    uhci->scheduled = false;
    if (uhci->paused || !uhci_running(uhci) || !uhci_has_devices(uhci)) {
        g_mutex_unlock(uhci->on->lock);
        return;
    }
    if (uhci_frames_due(uhci) > FRAMES_LATE)
        uhci_skip_frames(uhci, uhci_frames_due(uhci) - FRAMES_LATE);
    /* those that become due meanwhile are the next turn's: this one has to end on any host */
    due = uhci_frames_due(uhci);
    for (; due > 0 && uhci_running(uhci) && pci_bus_master(&uhci->pci); due--) {
        uhci_frame(uhci);
        moved |= uhci->moved;
        uhci_skip_frames(uhci, 1);
    }
    uhci->idle = moved ? 0 : MIN(uhci->idle + 1, IDLE_AFTER);
    io_timer_set(uhci->timer,
                 io_clock_ns() + FRAME_NS * (uhci->idle >= IDLE_AFTER ? IDLE_FRAMES : 1));
    g_mutex_unlock(uhci->on->lock);
}

static void
uhci_schedule(Uhci *uhci)
{
    if (uhci->scheduled || uhci->paused)
        return;
    uhci->scheduled = true;
    uhci->idle = 0;
    io_loop_defer(uhci->on->loop, uhci_tick, uhci);
}

/* ---- ports ---- */

static void
uhci_port_settle(Uhci *uhci, unsigned i)
{
    UsbDevice *dev = uhci_device(uhci, i);
    UsbPort *port = uhci_port(uhci, i);
    uint16_t old = uhci->ports[i];

    /* The port on which something has changed is no longer enabled. */
    uhci->ports[i] = PORT_ALWAYS | (old & PORT_CONNECT_CHANGE);
    if (port)
        port->enabled = false;
    if (dev)
        uhci->ports[i] |= PORT_CONNECTED | (dev->speed == USB_LOW ? PORT_LOW_SPEED : 0);
    if ((old ^ uhci->ports[i]) & PORT_CONNECTED)
        uhci->ports[i] |= PORT_CONNECT_CHANGE;
    if (old & PORT_ENABLED)
        uhci->ports[i] |= PORT_ENABLE_CHANGE;
}

static void
uhci_resume_detected(Uhci *uhci)
{
    if (uhci->cmd & CMD_RUN)
        return;
    uhci->sts |= STS_RESUME;
    uhci_interrupt(uhci);
}

static void
uhci_port_changed(void *opaque, unsigned i)
{
    uhci_port_settle(opaque, i);
    uhci_resume_detected(opaque);
}

static void
uhci_port_wakeup(void *opaque, unsigned i, UsbDevice *dev)
{
    Uhci *uhci = opaque;

    if (dev->remote_wakeup && (uhci->ports[i] & PORT_SUSPEND)) {
        uhci->ports[i] |= PORT_RESUME;
        uhci_resume_detected(uhci);
    }
    if (uhci_running(uhci) && uhci->idle >= IDLE_AFTER)
        uhci_schedule(uhci);
}

static const UsbCompanionOps uhci_companion_ops = { uhci_port_changed, uhci_port_wakeup };

static void
uhci_attached(UsbBus *bus, UsbPort *port, bool attached)
{
    if (!attached)
        port->dev = NULL;
    uhci_port_changed(bus->opaque, port->number - 1);
}

static void
uhci_wakeup(UsbBus *bus, UsbDevice *dev, unsigned endpoint)
{
    (void)endpoint;
    uhci_port_wakeup(bus->opaque, usb_device_root_port(dev)->number - 1, dev);
}

static const UsbBusOps uhci_bus_ops = { .attached = uhci_attached, .wakeup = uhci_wakeup };

static void
uhci_port_write(Uhci *uhci, unsigned i, uint16_t value)
{
    uint16_t *port = &uhci->ports[i];
    UsbDevice *dev = uhci_device(uhci, i);

    if ((value & PORT_RESET) && !(*port & PORT_RESET) && dev)
        usb_device_reset(dev);
    *port &= (uint16_t) ~(value & (PORT_CONNECT_CHANGE | PORT_ENABLE_CHANGE));
    *port = (uint16_t)((*port & ~PORT_WRITABLE) | (value & PORT_WRITABLE));
    if (!(*port & PORT_CONNECTED) || (*port & PORT_RESET))
        *port &= (uint16_t)~PORT_ENABLED;
    if (uhci_port(uhci, i))
        uhci_port(uhci, i)->enabled = *port & PORT_ENABLED;
    if (*port & PORT_ENABLED) {
        if (uhci_running(uhci) && uhci_frames_due(uhci) > 0)
            uhci_skip_frames(uhci, uhci_frames_due(uhci));
        uhci_schedule(uhci);
    }
}

/* ---- registers ---- */

static void
uhci_power_on(Uhci *uhci)
{
    uhci->cmd = 0;
    uhci->sts = STS_HALTED;
    uhci->intr = uhci->frnum = 0;
    uhci->why = 0;
    uhci->sofmod = 64;
    uhci->list = 0;
    uhci->frame_at = machine_clock_ns(uhci->pci.device.machine);
    for (unsigned i = 0; i < PORTS; i++) {
        UsbDevice *dev = uhci_device(uhci, i);

        uhci->ports[i] = PORT_ALWAYS;
        if (dev)
            usb_device_reset(dev);
        uhci_port_settle(uhci, i);
    }
    uhci_interrupt(uhci);
}

static void
uhci_write_command(Uhci *uhci, uint16_t value)
{
    bool was_running = uhci->cmd & CMD_RUN;

    if (value & (CMD_HOST_RESET | CMD_GLOBAL_RESET)) {
        uhci_power_on(uhci);
        if (value & CMD_GLOBAL_RESET)
            uhci->cmd = CMD_GLOBAL_RESET; /* the driver ends it */
        return;
    }
    uhci->cmd = value;
    if ((value & CMD_RUN) && !was_running) {
        uhci->sts &= (uint16_t)~STS_HALTED;
        uhci->frame_at = machine_clock_ns(uhci->pci.device.machine);
        uhci_schedule(uhci);
    } else if (!(value & CMD_RUN)) {
        uhci->sts |= STS_HALTED;
    }
}

static uint64_t
uhci_read(void *opaque, uint64_t offset, unsigned size)
{
    Uhci *uhci = opaque;
    uint8_t bytes[IO_BYTES + 8] = { 0 };
    int64_t late = uhci_running(uhci) ? MAX(uhci_frames_due(uhci), 0) : 0;

    bytes_store(bytes, uhci->cmd, 2);
    bytes_store(bytes + 2, uhci->sts, 2);
    bytes_store(bytes + 4, uhci->intr, 2);
    bytes_store(bytes + 6, (uint64_t)(uhci->frnum + late) & 0x7ff, 2);
    bytes_store(bytes + 8, uhci->list, 4);
    bytes[12] = uhci->sofmod;
    for (unsigned i = 0; i < PORTS; i++)
        bytes_store(bytes + 16 + 2 * i, uhci->ports[i], 2);
    memset(bytes + 20, 0xff, IO_BYTES - 20); /* drivers count ports by bit 7 */
    return bytes_load(bytes + offset, size);
}

static void
uhci_write16(Uhci *uhci, unsigned offset, uint16_t value)
{
    switch (offset) {
    case 0:
        uhci_write_command(uhci, value);
        break;
    case 2:
        uhci->sts &= (uint16_t) ~(value & 0x1f);
        if (value & STS_DONE)
            uhci->why = 0;
        uhci_interrupt(uhci);
        break;
    case 4:
        uhci->intr = value & 15;
        uhci_interrupt(uhci);
        break;
    case 6:
        if (!(uhci->cmd & CMD_RUN))
            uhci->frnum = value & 0x7ff;
        break;
    case 8:
        uhci->list = (uhci->list & 0xffff0000u) | (value & 0xf000u);
        break;
    case 10:
        uhci->list = (uhci->list & 0xffffu) | (uint32_t)value << 16;
        break;
    case 16:
    case 18:
        uhci_port_write(uhci, (offset - 16) / 2, value);
        break;
    }
}

static void
uhci_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Uhci *uhci = opaque;

    if (offset == 12)
        uhci->sofmod = (uint8_t)value;
    else if (size >= 2)
        uhci_write16(uhci, (unsigned)offset, (uint16_t)value);
    if (size == 4)
        uhci_write16(uhci, (unsigned)offset + 2, (uint16_t)(value >> 16));
}

static const IoOps uhci_ops = { uhci_read, uhci_write, .sizes = 1 | 2 | 4 };

/* ---- the device ---- */

static void
uhci_make_timer(void *opaque)
{
    Uhci *uhci = opaque;

    uhci->timer = io_timer_new(uhci->on->loop, uhci_tick, uhci);
}

/* Finds its ports: two of its own, or of its master. */
static bool
uhci_find_ports(Uhci *uhci, GError **err)
{
    Device *device = &uhci->pci.device;
    IoLoop *loop;
    Bus *bus;

    if (uhci->masterbus) {
        bus = bus_find(device->machine, BUS_USB, uhci->masterbus, err);
        if (!bus) {
            g_prefix_error(err, "device %s: masterbus: ", device->class->name);
            return false;
        }
        uhci->on = bus->impl;
        uhci->roots = uhci->on->ports + MIN(uhci->firstport, uhci->on->n_ports);
        return true;
    }
    if (uhci->firstport > 0)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "firstport=%u is a port of the masterbus, and there is none",
                            uhci->firstport);
    loop = machine_io_loop(device->machine, err);
    if (!loop)
        return false;
    uhci->on = &uhci->bus;
    if (!usb_bus_init(&uhci->bus, device, "usb-bus", &uhci_bus_ops, uhci, loop, PORTS,
                      1u << USB_LOW | 1u << USB_FULL, err))
        return false;
    uhci->roots = uhci->bus.ports;
    return true;
}

static bool
uhci_realize(Device *device, GError **err)
{
    Uhci *uhci = (Uhci *)device;

    if (!uhci_find_ports(uhci, err))
        return false;
    pci_config_set(&uhci->pci, 0x60, 1, 0x10); /* SBRN: USB 1.0 */
    pci_config_set(&uhci->pci, 0xc0, 2, 0x2000);
    pci_config_mask(&uhci->pci, 0xc0, 2, 0x20bf);
    pci_bar_add(&uhci->pci, IO_BAR, PCI_BAR_IO, false, IO_BYTES);
    pci_bar_add_region(&uhci->pci, IO_BAR, 0, IO_BYTES, &uhci_ops, uhci, uhci->on->lock, "uhci");
    pci_intx_init(&uhci->pci);
    uhci->paused = true;
    io_loop_run_sync(uhci->on->loop, uhci_make_timer, uhci);
    if (uhci->masterbus &&
        !usb_bus_join(uhci->on, device, uhci->firstport, PORTS, &uhci_companion_ops, uhci, err))
        return false;
    g_mutex_lock(uhci->on->lock);
    uhci_power_on(uhci);
    g_mutex_unlock(uhci->on->lock);
    return true;
}

static void
uhci_stop(void *opaque)
{
    Uhci *uhci = opaque;

    g_mutex_lock(uhci->on->lock);
    uhci->paused = true;
    g_mutex_unlock(uhci->on->lock);
    io_loop_cancel(uhci->on->loop, uhci_tick, uhci);
    uhci->scheduled = false;
    if (uhci->timer)
        io_timer_cancel(uhci->timer);
}

static void
uhci_free_timer(void *opaque)
{
    Uhci *uhci = opaque;

    uhci_stop(uhci);
    g_clear_pointer(&uhci->timer, io_timer_free);
}

static void
uhci_unrealize(Device *device)
{
    Uhci *uhci = (Uhci *)device;

    if (!uhci->on)
        return;
    if (uhci_is_companion(uhci)) {
        usb_bus_leave(uhci->on, uhci);
        io_loop_run_sync(uhci->on->loop, uhci_free_timer, uhci);
        return;
    }
    for (unsigned i = 0; i < PORTS; i++) {
        if (uhci->bus.ports[i].dev)
            device_free(&uhci->bus.ports[i].dev->device);
    }
    io_loop_run_sync(uhci->bus.loop, uhci_free_timer, uhci);
    usb_bus_fini(&uhci->bus);
}

static void
uhci_reset(Device *device)
{
    Uhci *uhci = (Uhci *)device;

    g_mutex_lock(uhci->on->lock);
    uhci_power_on(uhci);
    g_mutex_unlock(uhci->on->lock);
}

static void
uhci_set_running(Device *device, bool running)
{
    Uhci *uhci = (Uhci *)device;

    if (!running) {
        io_loop_run_sync(uhci->on->loop, uhci_stop, uhci);
        return;
    }
    g_mutex_lock(uhci->on->lock);
    uhci->paused = false;
    uhci_schedule(uhci);
    g_mutex_unlock(uhci->on->lock);
}

static bool
uhci_after_load(void *state, GError **err)
{
    Uhci *uhci = state;

    (void)err;
    uhci->frnum &= 0x7ff;
    uhci->list &= ~0xfffu;
    uhci->frame_at = machine_clock_ns(uhci->pci.device.machine);
    g_mutex_lock(uhci->on->lock);
    /* The master, which stands before its companions, has said whose the ports are. */
    for (unsigned i = 0; i < PORTS; i++) {
        UsbPort *port = uhci_port(uhci, i);

        if (port)
            port->enabled = port->dev && (uhci->ports[i] & PORT_ENABLED);
    }
    uhci_interrupt(uhci);
    g_mutex_unlock(uhci->on->lock);
    return true;
}

static const SavedField uhci_fields[] = {
    SAVED(Uhci, cmd, 1), SAVED(Uhci, sts, 1),    SAVED(Uhci, intr, 1), SAVED(Uhci, frnum, 1),
    SAVED(Uhci, why, 1), SAVED(Uhci, sofmod, 1), SAVED(Uhci, list, 1), SAVED_ARRAY(Uhci, ports, 1),
};

static const SavedTable uhci_saved = {
    .name = "uhci",
    .version = 1,
    .oldest = 1,
    .fields = uhci_fields,
    .n_fields = G_N_ELEMENTS(uhci_fields),
    .after_load = uhci_after_load,
};

static const DeviceProp uhci_props[] = {
    { "masterbus", PROP_STRING, offsetof(Uhci, masterbus),
      .help = "bus of the EHCI controller whose companion it is" },
    { "firstport", PROP_UINT32, offsetof(Uhci, firstport), "0",
      .help = "first of its two ports there, from 0" },
};

#define UHCI_DEVICE(symbol, text, id, rev)                                                         \
    static const PciDetails symbol##_details = {                                                   \
        .vendor = 0x8086,                                                                          \
        .device = (id),                                                                            \
        .class_code = 0x0c0300,                                                                    \
        .revision = (rev),                                                                         \
    };                                                                                             \
    const DeviceClass symbol = {                                                                   \
        .name = text,                                                                              \
        .description = "USB 1.1 controller",                                                       \
        .base = &pci_device_class,                                                                 \
        .bus = BUS_PCI,                                                                            \
        .state_size = sizeof(Uhci),                                                                \
        .props = uhci_props,                                                                       \
        .n_props = G_N_ELEMENTS(uhci_props),                                                       \
        .saved = &uhci_saved,                                                                      \
        .realize = uhci_realize,                                                                   \
        .reset = uhci_reset,                                                                       \
        .unrealize = uhci_unrealize,                                                               \
        .set_running = uhci_set_running,                                                           \
        .details = &symbol##_details,                                                              \
    }

UHCI_DEVICE(piix3_usb_uhci_class, "piix3-usb-uhci", 0x7020, 1);
UHCI_DEVICE(piix4_usb_uhci_class, "piix4-usb-uhci", 0x7112, 1);
UHCI_DEVICE(ich9_usb_uhci1_class, "ich9-usb-uhci1", 0x2934, 3);
UHCI_DEVICE(ich9_usb_uhci2_class, "ich9-usb-uhci2", 0x2935, 3);
UHCI_DEVICE(ich9_usb_uhci3_class, "ich9-usb-uhci3", 0x2936, 3);
UHCI_DEVICE(ich9_usb_uhci4_class, "ich9-usb-uhci4", 0x2937, 3);
UHCI_DEVICE(ich9_usb_uhci5_class, "ich9-usb-uhci5", 0x2938, 3);
UHCI_DEVICE(ich9_usb_uhci6_class, "ich9-usb-uhci6", 0x2939, 3);
