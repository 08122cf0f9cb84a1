/* xhci_command.c - commands, and the device contexts they change (xHCI 4.6, 6.2).
 *
 * Contexts are 32 bytes each. Leaves out: Get Port Bandwidth, Force Event and Set Latency Tolerance
 * (answered as TRB errors), Negotiate Bandwidth, streams (MaxPSASize is 0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/xhci.h"

#include <string.h>

#include "hw/core/bytes.h"

enum {
    CONTEXT = 32,
    SLOT_DEFAULT = 1,
    SLOT_ADDRESSED = 2,
    SLOT_CONFIGURED = 3,
    NEC_VERSION = 0x3025,
    COMMANDS_PER_TURN = 64,
    SET_ADDRESS = 5,
};

void
xhci_slot_clear(XhciSlot *slot)
{
    memset(slot, 0, sizeof(*slot));
}

UsbDevice *
xhci_slot_device(Xhci *xhci, const XhciSlot *slot)
{
    const XhciPort *port;
    UsbDevice *dev;

    if (slot->port == 0 || slot->port > xhci->n_ports)
        return NULL;
    port = &xhci->ports[slot->port - 1];
    dev = usb_port_route(port->port, slot->route);
    if (!dev || dev->gone || !port->port->enabled || !dev->port->enabled ||
        (port->port->dev->speed == USB_SUPER) != port->super)
        return NULL;
    return dev;
}

static bool
context_read(Xhci *xhci, uint64_t at, uint8_t *ret)
{
    return guest_memory_read(xhci->pci.device.machine->memory, at, ret, CONTEXT) == 0;
}

static bool
context_write(Xhci *xhci, uint64_t at, const uint8_t *context)
{
    return guest_memory_write(xhci->pci.device.machine->memory, at, context, CONTEXT) == 0;
}

void
xhci_endpoint_store(Xhci *xhci, XhciEndpoint *ep)
{
    uint8_t context[CONTEXT];

    if (!ep->context || !context_read(xhci, ep->context, context))
        return;
    context[0] = (uint8_t)((context[0] & ~7) | ep->state);
    bytes_store(context + 8, ep->ring.dequeue | ep->ring.cycle, 8);
    context_write(xhci, ep->context, context);
}

/* Starts endpoint @at (from 1) as its context says. */
static bool
endpoint_enable(Xhci *xhci, XhciSlot *slot, unsigned at, uint8_t *context)
{
    XhciEndpoint *ep = &slot->endpoints[at - 1];
    uint64_t dequeue = bytes_load64(context + 8);

    *ep = (XhciEndpoint){ .state = EP_RUNNING,
                          .type = context[4] >> 3 & 7,
                          .context = slot->context + (uint64_t)at * CONTEXT,
                          .ring = { dequeue & ~UINT64_C(15), dequeue & 1 } };
    context[0] = (uint8_t)((context[0] & ~7) | EP_RUNNING);
    return context_write(xhci, ep->context, context);
}

static void
endpoint_disable(Xhci *xhci, XhciSlot *slot, unsigned at)
{
    XhciEndpoint *ep = &slot->endpoints[at - 1];

    if (ep->state == EP_DISABLED)
        return;
    ep->state = EP_DISABLED;
    xhci_endpoint_store(xhci, ep);
    *ep = (XhciEndpoint){ 0 };
    slot->kicked &= ~(1u << (at - 1));
}

static bool
slot_store_state(Xhci *xhci, XhciSlot *slot, unsigned state, unsigned address)
{
    uint8_t context[CONTEXT];

    if (!context_read(xhci, slot->context, context))
        return false;
    bytes_store(context + 12, state << 27 | address, 4);
    return context_write(xhci, slot->context, context);
}

static unsigned
slot_state(Xhci *xhci, XhciSlot *slot)
{
    uint8_t context[CONTEXT];

    return context_read(xhci, slot->context, context) ? context[15] >> 3 : 0;
}

/* ---- commands; each returns its completion code ---- */

static unsigned
command_enable_slot(Xhci *xhci, unsigned *ret_slot)
{
    for (unsigned i = 0; i < XHCI_SLOTS && i < (xhci->config & 0xff); i++) {
        if (xhci->slots[i].enabled)
            continue;
        xhci_slot_clear(&xhci->slots[i]);
        xhci->slots[i].enabled = true;
        *ret_slot = i + 1;
        return CC_SUCCESS;
    }
    return CC_NO_SLOTS;
}

static unsigned
command_disable_slot(Xhci *xhci, XhciSlot *slot)
{
    if (slot->addressed)
        slot_store_state(xhci, slot, 0, 0);
    xhci_slot_clear(slot);
    return CC_SUCCESS;
}

/* The address is the slot's number: no two devices have the same. */
static bool
device_set_address(UsbDevice *dev, unsigned address)
{
    uint8_t setup[8] = { 0, SET_ADDRESS, (uint8_t)address };
    struct iovec iov = { setup, sizeof(setup) };
    UsbPacket packet = { .token = USB_SETUP, .iov = &iov, .n_iov = 1, .length = sizeof(setup) };

    usb_packet_run(dev, &packet);
    packet = (UsbPacket){ .token = USB_IN };
    usb_packet_run(dev, &packet);
    return packet.status == USB_OK;
}

static unsigned
command_address(Xhci *xhci, unsigned n, const XhciTrb *trb)
{
    XhciSlot *slot = &xhci->slots[n - 1];
    uint64_t input = trb->parameter & ~UINT64_C(15);
    uint8_t control[CONTEXT], context[CONTEXT], ep0[CONTEXT], entry[8];
    bool block = trb->control & TRB_BSR;
    UsbDevice *dev;

    if (guest_memory_read(xhci->pci.device.machine->memory, xhci->dcbaap + 8ull * n, entry,
                          sizeof(entry)) < 0 ||
        !context_read(xhci, input, control) || !context_read(xhci, input + CONTEXT, context) ||
        !context_read(xhci, input + 2 * CONTEXT, ep0))
        return CC_TRB;
    if (bytes_load32(control) != 0 || bytes_load32(control + 4) != 3)
        return CC_TRB;
    slot->context = bytes_load64(entry) & ~UINT64_C(63);
    slot->route = bytes_load32(context) & 0xfffff;
    slot->port = context[6];
    dev = xhci_slot_device(xhci, slot);
    if (!dev)
        return CC_TRANSACTION;
    for (unsigned i = 0; i < XHCI_SLOTS; i++) {
        if (i != n - 1 && xhci->slots[i].addressed && xhci->slots[i].port == slot->port &&
            xhci->slots[i].route == slot->route)
            return CC_TRB; /* it is another slot's */
    }
    if (!block && !device_set_address(dev, n))
        return CC_TRANSACTION;
    bytes_store(context + 12, block ? SLOT_DEFAULT << 27 : (unsigned)SLOT_ADDRESSED << 27 | n, 4);
    if (!context_write(xhci, slot->context, context))
        return CC_TRB;
    slot->addressed = true;
    return endpoint_enable(xhci, slot, 1, ep0) ? CC_SUCCESS : CC_TRB;
}

static unsigned
command_configure(Xhci *xhci, XhciSlot *slot, const XhciTrb *trb)
{
    uint64_t input = trb->parameter & ~UINT64_C(15);
    uint8_t control[CONTEXT], context[CONTEXT], in[CONTEXT];
    uint32_t drop, add;

    if (!slot->addressed)
        return CC_CONTEXT_STATE;
    if (trb->control & TRB_BSR) {
        for (unsigned at = 2; at <= XHCI_ENDPOINTS; at++)
            endpoint_disable(xhci, slot, at);
        return slot_store_state(xhci, slot, SLOT_ADDRESSED, (unsigned)(slot - xhci->slots) + 1)
                   ? CC_SUCCESS
                   : CC_TRB;
    }
    if (slot_state(xhci, slot) < SLOT_ADDRESSED)
        return CC_CONTEXT_STATE;
    if (!context_read(xhci, input, control) || !context_read(xhci, slot->context, context) ||
        !context_read(xhci, input + CONTEXT, in))
        return CC_TRB;
    drop = bytes_load32(control);
    add = bytes_load32(control + 4);
    if ((drop & 3) || (add & 3) != 1)
        return CC_TRB;
    for (unsigned at = 2; at <= XHCI_ENDPOINTS; at++) {
        uint8_t ep[CONTEXT];

        if (drop >> at & 1)
            endpoint_disable(xhci, slot, at);
        if (!(add >> at & 1))
            continue;
        endpoint_disable(xhci, slot, at);
        if (!context_read(xhci, input + (uint64_t)(at + 1) * CONTEXT, ep) ||
            (bytes_load32(ep) >> 10 & 31) /* streams */ || !endpoint_enable(xhci, slot, at, ep))
            return CC_TRB;
    }
    /* Entries, and what a hub tells of itself. */
    context[3] = (uint8_t)((context[3] & 3) | (in[3] & ~3u));
    memcpy(context + 4, in + 4, 8);
    context[6] = slot->port;
    bytes_store(context + 12,
                (unsigned)SLOT_CONFIGURED << 27 | ((unsigned)(slot - xhci->slots) + 1), 4);
    return context_write(xhci, slot->context, context) ? CC_SUCCESS : CC_TRB;
}

static unsigned
command_evaluate(Xhci *xhci, XhciSlot *slot, const XhciTrb *trb)
{
    uint64_t input = trb->parameter & ~UINT64_C(15);
    uint8_t control[CONTEXT], in[CONTEXT], context[CONTEXT];
    uint32_t add;

    if (!slot->addressed)
        return CC_CONTEXT_STATE;
    if (!context_read(xhci, input, control))
        return CC_TRB;
    add = bytes_load32(control + 4);
    if (bytes_load32(control) != 0 || (add & ~3u))
        return CC_TRB;
    if (add & 1) { /* exit latency and interrupter */
        if (!context_read(xhci, input + CONTEXT, in) || !context_read(xhci, slot->context, context))
            return CC_TRB;
        memcpy(context + 4, in + 4, 2);
        bytes_store(context + 8,
                    (bytes_load32(context + 8) & 0x003fffff) |
                        (bytes_load32(in + 8) & 0xffc00000u),
                    4);
        if (!context_write(xhci, slot->context, context))
            return CC_TRB;
    }
    if (add & 2) { /* largest packet of the control endpoint */
        if (!context_read(xhci, input + 2 * CONTEXT, in) ||
            !context_read(xhci, slot->context + CONTEXT, context))
            return CC_TRB;
        memcpy(context + 6, in + 6, 2);
        if (!context_write(xhci, slot->context + CONTEXT, context))
            return CC_TRB;
    }
    return CC_SUCCESS;
}

static unsigned
command_endpoint(Xhci *xhci, unsigned n, const XhciTrb *trb)
{
    XhciSlot *slot = &xhci->slots[n - 1];
    unsigned at = trb->control >> 16 & 31;
    XhciEndpoint *ep;

    if (at == 0)
        return CC_TRB;
    ep = &slot->endpoints[at - 1];
    if (ep->state == EP_DISABLED)
        return CC_ENDPOINT_NOT_ENABLED;
    switch (trb->control >> 10 & 63) {
    case TRB_STOP_ENDPOINT:
        if (ep->state != EP_RUNNING)
            return CC_CONTEXT_STATE;
        if (ep->waiting)
            xhci_endpoint_tell_stopped(xhci, n, at);
        ep->state = EP_STOPPED;
        break;
    case TRB_RESET_ENDPOINT:
        if (ep->state != EP_HALTED)
            return CC_CONTEXT_STATE;
        ep->state = EP_STOPPED;
        break;
    case TRB_SET_DEQUEUE:
        if (ep->state != EP_STOPPED && ep->state != EP_ERROR)
            return CC_CONTEXT_STATE;
        ep->ring = (XhciRing){ trb->parameter & ~UINT64_C(15), trb->parameter & 1 };
        ep->state = EP_STOPPED;
        ep->edtla = 0;
        break;
    }
    ep->waiting = false;
    slot->kicked &= ~(1u << (at - 1));
    xhci_endpoint_store(xhci, ep);
    return CC_SUCCESS;
}

static unsigned
command_reset_device(Xhci *xhci, XhciSlot *slot)
{
    if (!slot->addressed)
        return CC_CONTEXT_STATE;
    for (unsigned at = 2; at <= XHCI_ENDPOINTS; at++)
        endpoint_disable(xhci, slot, at);
    return slot_store_state(xhci, slot, SLOT_DEFAULT, 0) ? CC_SUCCESS : CC_TRB;
}

static unsigned
command_run(Xhci *xhci, const XhciTrb *trb, unsigned *slot, unsigned *event)
{
    unsigned type = trb->control >> 10 & 63;

    *event = TRB_COMMAND_EVENT;
    *slot = 0;
    if (type == TRB_ENABLE_SLOT)
        return command_enable_slot(xhci, slot);
    if (type == TRB_NOOP_COMMAND)
        return CC_SUCCESS;
    if (type == TRB_NEC_FIRMWARE && xhci->nec) {
        *event = TRB_NEC_EVENT;
        return CC_SUCCESS;
    }
    if (type < TRB_DISABLE_SLOT || type > TRB_RESET_DEVICE)
        return CC_TRB;
    *slot = trb->control >> 24;
    if (*slot == 0 || *slot > XHCI_SLOTS)
        return CC_TRB;
    if (!xhci->slots[*slot - 1].enabled)
        return CC_SLOT_NOT_ENABLED;
    switch (type) {
    case TRB_DISABLE_SLOT:
        return command_disable_slot(xhci, &xhci->slots[*slot - 1]);
    case TRB_ADDRESS_DEVICE:
        return command_address(xhci, *slot, trb);
    case TRB_CONFIGURE_ENDPOINT:
        return command_configure(xhci, &xhci->slots[*slot - 1], trb);
    case TRB_EVALUATE_CONTEXT:
        return command_evaluate(xhci, &xhci->slots[*slot - 1], trb);
    case TRB_RESET_DEVICE:
        return command_reset_device(xhci, &xhci->slots[*slot - 1]);
    default:
        return command_endpoint(xhci, *slot, trb);
    }
}

void
xhci_commands_run(Xhci *xhci)
{
    for (int i = 0; i < COMMANDS_PER_TURN; i++) {
        unsigned code, slot, event;
        XhciTrb trb;
        int got;

        if (!xhci->command_running || !xhci_running(xhci))
            return;
        /* A stop makes an event of its own. */
        if (xhci_event_room(xhci, 0) < 2) {
            xhci->starved = true;
            return;
        }
        got = xhci_ring_fetch(xhci, &xhci->commands, &trb);
        if (got < 0)
            xhci_fail(xhci);
        if (got <= 0)
            return;
        code = command_run(xhci, &trb, &slot, &event);
        xhci_event_post(xhci, 0, trb.address,
                        (uint32_t)code << 24 | (event == TRB_NEC_EVENT ? NEC_VERSION : 0),
                        (uint32_t)event << 10 | slot << 24);
    }
    xhci->command_kicked = true;
    xhci_schedule(xhci);
}
