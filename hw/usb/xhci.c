/* xhci.c - the xHCI controllers qemu-xhci (1b36:000d) and nec-usb-xhci (1033:0194): registers, and
 * the loop in which rings are walked.
 *
 * eXtensible Host Controller Interface 1.1, chapter 5. 64-bit addresses, 32-byte contexts, 16
 * interrupters with MSI-X or one with INTx. Leaves out: streams, isochronous transfers, the debug
 * capability, save and restore of internal state (the bits read as success), moderation of
 * interrupts (an IMOD of the guest is kept and not used).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/xhci.h"

#include <string.h>

#include "hw/core/bytes.h"
#include "hw/core/loop.h"
#include "util/error.h"

enum {
    BAR_SIZE = 0x4000,
    CAP_BYTES = 0x40,
    OPER = 0x40,
    PORTS = OPER + 0x400,
    PORT_BYTES = 0x10,
    RUNTIME = 0x1000,
    RUNTIME_INTERRUPTERS = 0x20,
    DOORBELLS = 0x2000,
    MSIX_TABLE = 0x3000,
    MSIX_PBA = 0x3800,
    EXTENDED = 0x20, /* supported protocols, in the capability registers */
    CMD_RUN = 1 << 0,
    CMD_RESET = 1 << 1,
    CMD_INTERRUPTS = 1 << 2,
    CMD_HS_ERROR = 1 << 3,
    CMD_SAVE = 1 << 8,
    CMD_RESTORE = 1 << 9,
    CMD_WRAP_EVENT = 1 << 10,
    CMD_WRITABLE = CMD_RUN | CMD_INTERRUPTS | CMD_HS_ERROR | CMD_WRAP_EVENT,
    STS_HALTED = 1 << 0,
    STS_EVENT = 1 << 3,
    STS_PORT = 1 << 4,
    STS_RESTORE_ERROR = 1 << 10,
    STS_ERROR = 1 << 12, /* HCE */
    STS_CLEARABLE = 1 << 2 | STS_EVENT | STS_PORT | STS_RESTORE_ERROR,
    CRCR_CYCLE = 1 << 0,
    CRCR_STOP = 1 << 1,
    CRCR_ABORT = 1 << 2,
    CRCR_RUNNING = 1 << 3,
    CC_RING_STOPPED = 24,
    IMAN_PENDING = 1,
    IMAN_ENABLE = 2,
    ERDP_BUSY = 8,
    NS_PER_MICROFRAME = 125000,
};

bool
xhci_running(const Xhci *xhci)
{
    return (xhci->usbcmd & CMD_RUN) && !(xhci->usbsts & (STS_HALTED | STS_ERROR));
}

void
xhci_fail(Xhci *xhci)
{
    xhci->usbsts |= STS_ERROR | STS_HALTED;
}

/* ---- the loop ---- */

static void
xhci_look(void *opaque)
{
    Xhci *xhci = opaque;

    g_mutex_lock(&xhci->pci.device.lock);
    xhci->scheduled = false;
    if (!xhci->paused && xhci_running(xhci) && pci_bus_master(&xhci->pci)) {
        xhci_ports_post(xhci);
        if (xhci->command_kicked) {
            xhci->command_kicked = false;
            xhci_commands_run(xhci);
        }
        for (unsigned i = 0; i < XHCI_SLOTS; i++) {
            uint32_t kicked = xhci->slots[i].kicked;

            xhci->slots[i].kicked = 0;
            for (unsigned at = 1; kicked && at <= XHCI_ENDPOINTS; at++, kicked >>= 1) {
                if (kicked & 1)
                    xhci_endpoint_run(xhci, i + 1, at);
            }
        }
    }
    g_mutex_unlock(&xhci->pci.device.lock);
}

void
xhci_schedule(Xhci *xhci)
{
    if (xhci->scheduled || xhci->paused)
        return;
    xhci->scheduled = true;
    io_loop_defer(xhci->bus.loop, xhci_look, xhci);
}

/* Whatever waits, for a device or for room in an event ring, is looked at again. */
static void
xhci_kick_all(Xhci *xhci)
{
    for (unsigned i = 0; i < XHCI_SLOTS; i++) {
        for (unsigned e = 0; e < XHCI_ENDPOINTS; e++) {
            if (xhci->slots[i].endpoints[e].waiting)
                xhci->slots[i].kicked |= 1u << e;
        }
    }
    xhci->command_kicked = true;
    xhci_schedule(xhci);
}

static void
xhci_reset_registers(Xhci *xhci)
{
    xhci->usbcmd = 0;
    xhci->usbsts = STS_HALTED;
    xhci->dnctrl = xhci->config = 0;
    xhci->crcr = xhci->dcbaap = 0;
    xhci->commands = (XhciRing){ 0 };
    xhci->command_running = xhci->command_kicked = false;
    xhci->mfindex_start = machine_clock_ns(xhci->pci.device.machine);
    for (unsigned i = 0; i < XHCI_INTERRUPTERS; i++)
        xhci->interrupters[i] = (XhciInterrupter){ .imod = 4000 };
    for (unsigned i = 0; i < XHCI_SLOTS; i++)
        xhci_slot_clear(&xhci->slots[i]);
    xhci_ports_reset(xhci);
    xhci_interrupts_update(xhci);
}

/* ---- capability registers ---- */

static uint32_t
xhci_capability(const Xhci *xhci, unsigned offset)
{
    switch (offset) {
    case 0x00: /* CAPLENGTH, HCIVERSION */
        return 0x01100000 | CAP_BYTES;
    case 0x04: /* HCSPARAMS1 */
        return xhci->n_ports << 24 | XHCI_INTERRUPTERS << 8 | XHCI_SLOTS;
    case 0x08: /* HCSPARAMS2: 2^4 event ring segments, a frame's isochronous threshold */
        return 0x0000004f;
    case 0x0c: /* HCSPARAMS3 */
        return 0;
    case 0x10: /* HCCPARAMS1: 64-bit addresses, extended capabilities */
        return (EXTENDED / 4) << 16 | 1;
    case 0x14:
        return DOORBELLS;
    case 0x18:
        return RUNTIME;
    case EXTENDED: /* supported protocol: USB 2.0, then 3.0 */
        return 0x02000002 | (xhci->p3 ? 4 << 8 : 0);
    case EXTENDED + 0x10:
        return xhci->p3 ? 0x03000002 : 0;
    case EXTENDED + 4:
    case EXTENDED + 0x14:
        return 0x20425355; /* "USB " */
    case EXTENDED + 8:
        return xhci->p2 << 8 | (xhci->p3 + 1);
    case EXTENDED + 0x18:
        return xhci->p3 << 8 | 1;
    default:
        return 0;
    }
}

/* ---- operational registers ---- */

static uint32_t
xhci_oper_read(Xhci *xhci, unsigned offset)
{
    switch (offset) {
    case 0x00:
        return xhci->usbcmd;
    case 0x04:
        return xhci->usbsts;
    case 0x08:
        return 1; /* pages of 4 KiB */
    case 0x14:
        return xhci->dnctrl;
    case 0x18:
        return xhci->command_running ? CRCR_RUNNING : 0;
    case 0x30:
        return (uint32_t)xhci->dcbaap;
    case 0x34:
        return (uint32_t)(xhci->dcbaap >> 32);
    case 0x38:
        return xhci->config;
    default:
        return 0;
    }
}

static void
xhci_write_command(Xhci *xhci, uint32_t value)
{
    bool was_running = xhci->usbcmd & CMD_RUN;

    if (value & CMD_RESET) {
        xhci_reset_registers(xhci);
        return;
    }
    if (value & CMD_SAVE)
        xhci->usbsts &= ~(uint32_t)STS_RESTORE_ERROR;
    if (value & CMD_RESTORE)
        xhci->usbsts |= STS_RESTORE_ERROR; /* nothing was kept: the driver starts anew */
    xhci->usbcmd = value & CMD_WRITABLE;
    if ((value & CMD_RUN) && !was_running) {
        xhci->usbsts &= ~(uint32_t)STS_HALTED;
        xhci_kick_all(xhci);
    } else if (!(value & CMD_RUN)) {
        xhci->usbsts |= STS_HALTED;
        xhci->command_running = false;
    }
    xhci_interrupts_update(xhci);
}

static void
xhci_write_crcr(Xhci *xhci, uint32_t low)
{
    if (low & (CRCR_STOP | CRCR_ABORT)) {
        if (xhci->command_running && xhci_event_room(xhci, 0) > 0) {
            xhci->command_running = false;
            xhci_event_post(xhci, 0, xhci->commands.dequeue, (uint32_t)CC_RING_STOPPED << 24,
                            TRB_COMMAND_EVENT << 10);
        }
        xhci->command_running = false;
        return;
    }
    if (xhci->command_running)
        return;
    xhci->crcr = (xhci->crcr & ~UINT64_C(0xffffffff)) | low;
    xhci->commands =
        (XhciRing){ (xhci->crcr & ~UINT64_C(63)), xhci->crcr & CRCR_CYCLE };
}

static void
xhci_oper_write(Xhci *xhci, unsigned offset, uint32_t value)
{
    switch (offset) {
    case 0x00:
        xhci_write_command(xhci, value);
        break;
    case 0x04:
        xhci->usbsts &= ~(value & STS_CLEARABLE);
        break;
    case 0x14:
        xhci->dnctrl = value & 0xffff;
        break;
    case 0x18:
        xhci_write_crcr(xhci, value);
        break;
    case 0x1c:
        if (!xhci->command_running) {
            xhci->crcr = (xhci->crcr & 0xffffffffu) | (uint64_t)value << 32;
            xhci->commands.dequeue = xhci->crcr & ~UINT64_C(63);
        }
        break;
    case 0x30:
        xhci->dcbaap = (xhci->dcbaap & ~UINT64_C(0xffffffff)) | (value & ~63u);
        break;
    case 0x34:
        xhci->dcbaap = (xhci->dcbaap & 0xffffffffu) | (uint64_t)value << 32;
        break;
    case 0x38:
        xhci->config = value & 0xff;
        break;
    }
}

/* ---- runtime registers ---- */

static uint32_t
xhci_runtime_read(Xhci *xhci, unsigned offset)
{
    const XhciInterrupter *in;

    if (offset == 0) /* MFINDEX */
        return (uint32_t)((machine_clock_ns(xhci->pci.device.machine) - xhci->mfindex_start) /
                          NS_PER_MICROFRAME) &
               0x3fff;
    if (offset < RUNTIME_INTERRUPTERS)
        return 0;
    offset -= RUNTIME_INTERRUPTERS;
    if (offset / 0x20 >= XHCI_INTERRUPTERS)
        return 0;
    in = &xhci->interrupters[offset / 0x20];
    switch (offset % 0x20) {
    case 0x00:
        return in->iman;
    case 0x04:
        return in->imod;
    case 0x08:
        return in->erstsz;
    case 0x10:
        return (uint32_t)in->erstba;
    case 0x14:
        return (uint32_t)(in->erstba >> 32);
    case 0x18:
        return (uint32_t)in->erdp;
    case 0x1c:
        return (uint32_t)(in->erdp >> 32);
    default:
        return 0;
    }
}

static void
xhci_runtime_write(Xhci *xhci, unsigned offset, uint32_t value)
{
    XhciInterrupter *in;
    unsigned n;

    if (offset < RUNTIME_INTERRUPTERS)
        return;
    offset -= RUNTIME_INTERRUPTERS;
    n = offset / 0x20;
    if (n >= XHCI_INTERRUPTERS)
        return;
    in = &xhci->interrupters[n];
    switch (offset % 0x20) {
    case 0x00:
        in->iman = (in->iman & ~(value & IMAN_PENDING) & ~(uint32_t)IMAN_ENABLE) |
                   (value & IMAN_ENABLE);
        xhci_interrupts_update(xhci);
        break;
    case 0x04:
        in->imod = value;
        break;
    case 0x08:
        in->erstsz = value & 0xffff;
        break;
    case 0x10:
        in->erstba = (in->erstba & ~UINT64_C(0xffffffff)) | (value & ~63u);
        xhci_interrupter_restart(xhci, n);
        break;
    case 0x14:
        in->erstba = (in->erstba & 0xffffffffu) | (uint64_t)value << 32;
        xhci_interrupter_restart(xhci, n);
        break;
    case 0x18:
        in->erdp = (in->erdp & (~UINT64_C(0xffffffff) | ERDP_BUSY)) | (value & ~15u) | (value & 7);
        if (value & ERDP_BUSY)
            in->erdp &= ~(uint64_t)ERDP_BUSY;
        /* fall through */
    case 0x1c:
        if (offset % 0x20 == 0x1c)
            in->erdp = (in->erdp & 0xffffffffu) | (uint64_t)value << 32;
        if (xhci->starved) {
            xhci->starved = false;
            xhci_kick_all(xhci);
        }
        break;
    }
}

static void
xhci_doorbell(Xhci *xhci, unsigned n, uint32_t value)
{
    unsigned at = value & 0xff;

    if (!xhci_running(xhci) || n > XHCI_SLOTS)
        return;
    if (n == 0) {
        if (at != 0)
            return;
        xhci->command_running = true;
        xhci->command_kicked = true;
    } else {
        if (at == 0 || at > XHCI_ENDPOINTS || !xhci->slots[n - 1].enabled)
            return;
        xhci->slots[n - 1].kicked |= 1u << (at - 1);
    }
    xhci_schedule(xhci);
}

/* ---- the BAR ---- */

static uint32_t
xhci_read32(Xhci *xhci, unsigned offset)
{
    if (offset < CAP_BYTES)
        return xhci_capability(xhci, offset);
    if (offset >= PORTS && offset < PORTS + XHCI_PORTS_MAX * PORT_BYTES)
        return xhci_port_read(xhci, (offset - PORTS) / PORT_BYTES, (offset - PORTS) % PORT_BYTES);
    if (offset < RUNTIME)
        return xhci_oper_read(xhci, offset - OPER);
    if (offset < DOORBELLS)
        return xhci_runtime_read(xhci, offset - RUNTIME);
    return 0;
}

static void
xhci_write32(Xhci *xhci, unsigned offset, uint32_t value)
{
    if (offset < CAP_BYTES)
        return;
    if (offset >= PORTS && offset < PORTS + XHCI_PORTS_MAX * PORT_BYTES)
        xhci_port_write(xhci, (offset - PORTS) / PORT_BYTES, (offset - PORTS) % PORT_BYTES, value);
    else if (offset < RUNTIME)
        xhci_oper_write(xhci, offset - OPER, value);
    else if (offset < DOORBELLS)
        xhci_runtime_write(xhci, offset - RUNTIME, value);
    else
        xhci_doorbell(xhci, (offset - DOORBELLS) / 4, value);
}

static uint64_t
xhci_read(void *opaque, uint64_t offset, unsigned size)
{
    uint32_t value = xhci_read32(opaque, (unsigned)offset & ~3u);

    if (size == 8)
        return value | (uint64_t)xhci_read32(opaque, (unsigned)offset + 4) << 32;
    return value >> (offset & 3) * 8 & bytes_all_ones(size);
}

static void
xhci_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    /* Registers are written whole (5.1); the high half first, because the low one acts. */
    if (size == 8)
        xhci_write32(opaque, (unsigned)offset + 4, (uint32_t)(value >> 32));
    if (size >= 4)
        xhci_write32(opaque, (unsigned)offset, (uint32_t)value);
}

static const IoOps xhci_ops = { xhci_read, xhci_write, .sizes = 1 | 2 | 4 | 8 };

/* ---- the device ---- */

static bool
xhci_realize(Device *device, GError **err)
{
    Xhci *xhci = (Xhci *)device;
    PciDevice *pci = &xhci->pci;
    const PciDetails *details = device->class->details;
    IoLoop *loop = machine_io_loop(device->machine, err);

    if (!loop)
        return false;
    if (xhci->p2 == 0)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "p2=0: a controller without a USB 2 port is not offered");
    xhci->nec = details->vendor == 0x1033;
    pci_config_set(pci, 0x60, 1, 0x30); /* SBRN: USB 3.0 */
    pci_config_set(pci, 0x61, 1, 0x20); /* FLADJ */
    pci_config_mask(pci, 0x61, 1, 0x3f);
    pci_bar_add(pci, 0, PCI_BAR_MEM64, false, BAR_SIZE);
    pci_bar_add_region(pci, 0, 0, MSIX_TABLE, &xhci_ops, xhci, &device->lock, "xhci");
    pci_intx_init(pci);
    if (!pci_msix_init(pci, XHCI_INTERRUPTERS, 0, MSIX_TABLE, MSIX_PBA, err))
        return false;
    pci_express_add(pci, PCI_EXP_TYPE_ENDPOINT, 0);
    if (!usb_bus_init(&xhci->bus, device, "usb-bus", &xhci_bus_ops, xhci, loop,
                      MAX(xhci->p2, xhci->p3), 0, err))
        return false;
    for (unsigned i = 0; i < XHCI_INTERRUPTERS; i++)
        pci_msix_use(pci, i);
    xhci->paused = true;
    xhci_ports_init(xhci);
    g_mutex_lock(&device->lock);
    xhci_reset_registers(xhci);
    g_mutex_unlock(&device->lock);
    return true;
}

static void
xhci_nothing(void *opaque)
{
    (void)opaque;
}

static void
xhci_stop(void *opaque)
{
    Xhci *xhci = opaque;

    g_mutex_lock(&xhci->pci.device.lock);
    xhci->paused = true;
    g_mutex_unlock(&xhci->pci.device.lock);
    io_loop_cancel(xhci->bus.loop, xhci_look, xhci);
    xhci->scheduled = false;
}

static void
xhci_unrealize(Device *device)
{
    Xhci *xhci = (Xhci *)device;

    if (!xhci->bus.ports)
        return;
    for (unsigned i = 0; i < xhci->bus.n_ports; i++) {
        if (xhci->bus.ports[i].dev)
            device_free(&xhci->bus.ports[i].dev->device);
    }
    io_loop_run_sync(xhci->bus.loop, xhci_stop, xhci);
    io_loop_run_sync(xhci->bus.loop, xhci_nothing, NULL);
    /* The registers are still there for the guest, the ports are not any more. */
    g_mutex_lock(&device->lock);
    xhci->n_ports = 0;
    g_mutex_unlock(&device->lock);
    for (unsigned i = 0; i < XHCI_INTERRUPTERS; i++)
        pci_msix_unuse(&xhci->pci, i);
    usb_bus_fini(&xhci->bus);
}

static void
xhci_reset(Device *device)
{
    Xhci *xhci = (Xhci *)device;

    g_mutex_lock(&device->lock);
    xhci_reset_registers(xhci);
    g_mutex_unlock(&device->lock);
}

static void
xhci_set_running(Device *device, bool running)
{
    Xhci *xhci = (Xhci *)device;

    if (!running) {
        io_loop_run_sync(xhci->bus.loop, xhci_stop, xhci);
        return;
    }
    g_mutex_lock(&device->lock);
    xhci->paused = false;
    xhci_kick_all(xhci);
    g_mutex_unlock(&device->lock);
}

static bool
xhci_after_load(void *state, GError **err)
{
    Xhci *xhci = state;

    for (unsigned i = 0; i < XHCI_INTERRUPTERS; i++) {
        XhciInterrupter *in = &xhci->interrupters[i];
        bool ok = in->n_segments <= XHCI_SEGMENTS &&
                  (!in->ready || (in->n_segments > 0 && in->segment < in->n_segments));

        for (unsigned s = 0; ok && in->ready && s < in->n_segments; s++)
            ok = in->sizes[s] >= 16 && in->sizes[s] <= 4096;
        if (!ok || (in->ready && in->index >= in->sizes[in->segment]))
            return device_error(&xhci->pci.device, err, VIR_ERR_OPERATION_FAILED,
                                "its saved event ring %u makes no sense", i);
    }
    for (unsigned i = 0; i < XHCI_SLOTS; i++) {
        for (unsigned e = 0; e < XHCI_ENDPOINTS; e++) {
            XhciEndpoint *ep = &xhci->slots[i].endpoints[e];

            if (ep->state > EP_ERROR || ep->type > 7)
                return device_error(&xhci->pci.device, err, VIR_ERR_OPERATION_FAILED,
                                    "its saved slot %u makes no sense", i + 1);
            ep->waiting = ep->state == EP_RUNNING; /* all are looked at when the guest goes on */
        }
    }
    for (unsigned i = 0; i < xhci->n_ports; i++) {
        if (xhci->ports[i].port->dev &&
            (xhci->ports[i].port->dev->speed == USB_SUPER) == xhci->ports[i].super)
            xhci->ports[i].port->enabled = xhci->ports[i].portsc & 2;
    }
    return true;
}

static const SavedField endpoint_fields[] = {
    SAVED(XhciEndpoint, state, 1),        SAVED(XhciEndpoint, type, 1),
    SAVED(XhciEndpoint, ring.dequeue, 1), SAVED(XhciEndpoint, ring.cycle, 1),
    SAVED(XhciEndpoint, context, 1),      SAVED(XhciEndpoint, edtla, 1),
};

static const SavedTable endpoint_saved = {
    .name = "xhci-endpoint",
    .version = 1,
    .oldest = 1,
    .fields = endpoint_fields,
    .n_fields = G_N_ELEMENTS(endpoint_fields),
};

static const SavedField slot_fields[] = {
    SAVED(XhciSlot, enabled, 1), SAVED(XhciSlot, addressed, 1),
    SAVED(XhciSlot, port, 1),    SAVED(XhciSlot, route, 1),
    SAVED(XhciSlot, context, 1), SAVED(XhciSlot, kicked, 1),
    SAVED_STRUCTS(XhciSlot, endpoints, endpoint_saved, 1),
};

static const SavedTable slot_saved = {
    .name = "xhci-slot",
    .version = 1,
    .oldest = 1,
    .fields = slot_fields,
    .n_fields = G_N_ELEMENTS(slot_fields),
};

static const SavedField interrupter_fields[] = {
    SAVED(XhciInterrupter, iman, 1),        SAVED(XhciInterrupter, imod, 1),
    SAVED(XhciInterrupter, erstsz, 1),      SAVED(XhciInterrupter, erstba, 1),
    SAVED(XhciInterrupter, erdp, 1),        SAVED(XhciInterrupter, ready, 1),
    SAVED(XhciInterrupter, n_segments, 1),  SAVED(XhciInterrupter, segment, 1),
    SAVED(XhciInterrupter, index, 1),       SAVED(XhciInterrupter, cycle, 1),
    SAVED_ARRAY(XhciInterrupter, bases, 1), SAVED_ARRAY(XhciInterrupter, sizes, 1),
};

static const SavedTable interrupter_saved = {
    .name = "xhci-interrupter",
    .version = 1,
    .oldest = 1,
    .fields = interrupter_fields,
    .n_fields = G_N_ELEMENTS(interrupter_fields),
};

static const SavedField port_fields[] = {
    SAVED(XhciPort, portsc, 1),
    SAVED(XhciPort, event, 1),
};

static const SavedTable port_saved = {
    .name = "xhci-port",
    .version = 1,
    .oldest = 1,
    .fields = port_fields,
    .n_fields = G_N_ELEMENTS(port_fields),
};

static const SavedField xhci_fields[] = {
    SAVED(Xhci, usbcmd, 1),
    SAVED(Xhci, usbsts, 1),
    SAVED(Xhci, dnctrl, 1),
    SAVED(Xhci, config, 1),
    SAVED(Xhci, crcr, 1),
    SAVED(Xhci, dcbaap, 1),
    SAVED(Xhci, commands.dequeue, 1),
    SAVED(Xhci, commands.cycle, 1),
    SAVED(Xhci, command_running, 1),
    SAVED(Xhci, mfindex_start, 1),
    SAVED_STRUCTS(Xhci, interrupters, interrupter_saved, 1),
    SAVED_STRUCTS(Xhci, slots, slot_saved, 1),
    SAVED_STRUCTS(Xhci, ports, port_saved, 1),
};

static const SavedTable xhci_saved = {
    .name = "xhci",
    .version = 1,
    .oldest = 1,
    .fields = xhci_fields,
    .n_fields = G_N_ELEMENTS(xhci_fields),
    .after_load = xhci_after_load,
};

static const DeviceProp xhci_props[] = {
    { "p2", PROP_UINT32, offsetof(Xhci, p2), "4", .max = USB_PORTS_MAX,
      .help = "number of USB 2 ports" },
    { "p3", PROP_UINT32, offsetof(Xhci, p3), "4", .max = USB_PORTS_MAX,
      .help = "number of USB 3 ports" },
};

static const PciDetails qemu_details = {
    .vendor = 0x1b36,
    .device = 0x000d,
    .class_code = 0x0c0330,
    .revision = 1,
};

static const PciDetails nec_details = {
    .vendor = 0x1033,
    .device = 0x0194,
    .class_code = 0x0c0330,
    .revision = 3,
};

#define XHCI_DEVICE(symbol, text, what, how)                                                       \
    const DeviceClass symbol = {                                                                   \
        .name = text,                                                                              \
        .description = what,                                                                       \
        .base = &pci_device_class,                                                                 \
        .bus = BUS_PCI,                                                                            \
        .hotpluggable = true,                                                                      \
        .state_size = sizeof(Xhci),                                                                \
        .props = xhci_props,                                                                       \
        .n_props = G_N_ELEMENTS(xhci_props),                                                       \
        .saved = &xhci_saved,                                                                      \
        .realize = xhci_realize,                                                                   \
        .reset = xhci_reset,                                                                       \
        .unrealize = xhci_unrealize,                                                               \
        .set_running = xhci_set_running,                                                           \
        .details = &(how),                                                                         \
    }

XHCI_DEVICE(qemu_xhci_class, "qemu-xhci", "USB 3 controller", qemu_details);
XHCI_DEVICE(nec_usb_xhci_class, "nec-usb-xhci", "USB 3 controller, as NEC's", nec_details);
