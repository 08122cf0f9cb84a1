/* xhci_transfer.c - transfers: from TRBs to packets and back to events (xHCI 4.10, 4.11).
 *
 * A transfer is done as a whole or not at all: a device that has nothing to say leaves the ring as
 * it is, and the transfer is tried again when the device calls. Leaves out: isochronous endpoints
 * (no device here has one; such a transfer ends with a transaction error) and streams.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/xhci.h"

#include <errno.h>

#include "hw/core/bytes.h"

enum {
    TYPE_CONTROL = 4,
    TYPE_ISOCH_OUT = 1,
    TYPE_ISOCH_IN = 5,
    TRANSFERS_PER_TURN = 64,
    SETUP_BYTES = 8,
};

static unsigned
trb_type(const XhciTrb *trb)
{
    return trb->control >> 10 & 63;
}

static uint32_t
trb_length(const XhciTrb *trb)
{
    unsigned type = trb_type(trb);

    return type == TRB_NORMAL || type == TRB_DATA || type == TRB_SETUP || type == TRB_ISOCH
               ? trb->status & 0x1ffff
               : 0;
}

static unsigned
trb_interrupter(const XhciTrb *trb)
{
    unsigned n = trb->status >> 22;

    return n < XHCI_INTERRUPTERS ? n : 0;
}

static void
post_transfer(Xhci *xhci, unsigned slot, unsigned at, const XhciTrb *trb, unsigned code,
              uint32_t left)
{
    xhci_event_post(xhci, trb_interrupter(trb), trb->address, (uint32_t)code << 24 | left,
                    (uint32_t)TRB_TRANSFER_EVENT << 10 | slot << 24 | at << 16);
}

/* The packet's buffers: guest RAM, or for immediate data @immediate. Returns 0; -EFAULT when some
 * of it is not RAM; -E2BIG when it is too much. */
static int
td_buffers(Xhci *xhci, int n, uint8_t *immediate, UsbPacket *packet)
{
    const GuestMemory *memory = xhci->pci.device.machine->memory;
    unsigned pieces = 0;
    uint64_t total = 0;

    for (int i = 0; i < n; i++) {
        const XhciTrb *trb = &xhci->trbs[i];
        uint32_t len = trb_length(trb);
        int got;

        if (len == 0)
            continue;
        total += len;
        if (total > XHCI_TD_BYTES)
            return -E2BIG;
        if (trb->control & TRB_IDT) {
            if (len > 8 || n > 1)
                return -E2BIG;
            bytes_store(immediate, trb->parameter, 8);
            xhci->iov[pieces++] = (struct iovec){ immediate, len };
            continue;
        }
        got = guest_memory_iov(memory, trb->parameter, len, xhci->iov + pieces,
                               G_N_ELEMENTS(xhci->iov) - pieces);
        if (got < 0)
            return got;
        pieces += (unsigned)got;
    }
    packet->iov = xhci->iov;
    packet->n_iov = pieces;
    packet->length = (uint32_t)total;
    return 0;
}

/* Token and, for a control endpoint, stage of the transfer. False: it is none that can be. */
static bool
td_token(const XhciTrb *trb, const XhciEndpoint *ep, unsigned at, UsbToken *ret)
{
    unsigned type = trb_type(trb);

    if (ep->type != TYPE_CONTROL) {
        *ret = at & 1 ? USB_IN : USB_OUT;
        return type == TRB_NORMAL;
    }
    switch (type) {
    case TRB_SETUP:
        *ret = USB_SETUP;
        return (trb->control & TRB_IDT) && trb_length(trb) == SETUP_BYTES;
    case TRB_DATA:
    case TRB_STATUS:
        *ret = trb->control & TRB_DIR_IN ? USB_IN : USB_OUT;
        return true;
    }
    return false;
}

static unsigned
packet_code(const UsbPacket *packet)
{
    switch (packet->status) {
    case USB_OK:
        return CC_SUCCESS;
    case USB_STALL:
        return CC_STALL;
    case USB_BABBLE:
        return CC_BABBLE;
    default:
        return CC_TRANSACTION;
    }
}

/* Events of a transfer that went well, TRB by TRB. */
static void
td_report(Xhci *xhci, unsigned slot, unsigned at, XhciEndpoint *ep, int n, uint32_t actual)
{
    bool is_short = false;

    for (int i = 0; i < n; i++) {
        const XhciTrb *trb = &xhci->trbs[i];
        uint32_t len = trb_length(trb), moved = MIN(len, actual);

        if (trb_type(trb) == TRB_EVENT_DATA) {
            if (trb->control & TRB_IOC)
                xhci_event_post(xhci, trb_interrupter(trb), trb->parameter,
                                (uint32_t)(is_short ? CC_SHORT_PACKET : CC_SUCCESS) << 24 |
                                    (ep->edtla & 0xffffff),
                                (uint32_t)TRB_TRANSFER_EVENT << 10 | TRB_EVENT_ED | slot << 24 |
                                    at << 16);
            ep->edtla = 0;
            continue;
        }
        actual -= moved;
        if (trb_type(trb) != TRB_SETUP)
            ep->edtla += moved;
        if (is_short)
            continue; /* the rest of the transfer was not used */
        if (moved < len) {
            is_short = true;
            if (trb->control & (TRB_ISP | TRB_IOC))
                post_transfer(xhci, slot, at, trb, CC_SHORT_PACKET, len - moved);
        } else if (trb->control & TRB_IOC) {
            post_transfer(xhci, slot, at, trb, CC_SUCCESS, 0);
        }
    }
}

/* The TRB in which the transfer ended with an error. */
static void
td_report_error(Xhci *xhci, unsigned slot, unsigned at, int n, uint32_t actual, unsigned code)
{
    for (int i = 0; i < n; i++) {
        const XhciTrb *trb = &xhci->trbs[i];
        uint32_t len = trb_length(trb);

        if (actual < len || i == n - 1) {
            post_transfer(xhci, slot, at, trb, code, len - MIN(actual, len));
            return;
        }
        actual -= len;
    }
}

static unsigned
td_events(Xhci *xhci, int n, unsigned *interrupter)
{
    unsigned count = 1;

    *interrupter = trb_interrupter(&xhci->trbs[n - 1]);
    for (int i = 0; i < n; i++) {
        if (xhci->trbs[i].control & (TRB_IOC | TRB_ISP))
            count++;
    }
    return count;
}

void
xhci_endpoint_tell_stopped(Xhci *xhci, unsigned slot, unsigned at)
{
    XhciRing ring = xhci->slots[slot - 1].endpoints[at - 1].ring;
    XhciTrb trb;

    if (xhci_ring_fetch(xhci, &ring, &trb) <= 0 || xhci_event_room(xhci, trb_interrupter(&trb)) < 2)
        return;
    post_transfer(xhci, slot, at, &trb, CC_STOPPED, trb_length(&trb));
}

/* One transfer. Returns whether to look for the next. */
static bool
transfer_run(Xhci *xhci, unsigned slot_number, unsigned at, XhciEndpoint *ep)
{
    XhciSlot *slot = &xhci->slots[slot_number - 1];
    UsbPacket packet = { .endpoint = (uint8_t)(at / 2) };
    XhciRing ring = ep->ring;
    uint8_t immediate[8];
    unsigned code = CC_TRB, interrupter;
    int n = xhci_ring_fetch_td(xhci, &ring), ret;

    if (n == 0)
        return false;
    if (n < 0) {
        /* Nothing that could be pointed at: the endpoint stands still until it is set up anew. */
        ep->state = EP_ERROR;
        xhci_endpoint_store(xhci, ep);
        xhci_fail(xhci);
        return false;
    }
    if (td_events(xhci, n, &interrupter) > xhci_event_room(xhci, interrupter)) {
        ep->waiting = xhci->starved = true; /* until the guest has read some events */
        return false;
    }
    if (trb_type(&xhci->trbs[0]) == TRB_NOOP || trb_type(&xhci->trbs[0]) == TRB_EVENT_DATA) {
        ep->ring = ring;
        td_report(xhci, slot_number, at, ep, n, 0);
        return true;
    }
    if (ep->type == TYPE_ISOCH_IN || ep->type == TYPE_ISOCH_OUT) {
        code = CC_TRANSACTION;
    } else if (td_token(&xhci->trbs[0], ep, at, &packet.token)) {
        ret = td_buffers(xhci, n, immediate, &packet);
        if (ret == 0) {
            usb_packet_run(xhci_slot_device(xhci, slot), &packet);
            if (packet.status == USB_NAK) {
                ep->waiting = true;
                return false;
            }
            code = packet_code(&packet);
        } else if (ret == -EFAULT) {
            code = CC_DATA_BUFFER;
        }
    }
    if (code == CC_SUCCESS) {
        ep->ring = ring;
        td_report(xhci, slot_number, at, ep, n, packet.actual);
        return true;
    }
    ep->state = EP_HALTED;
    ep->edtla = 0;
    /* The guest sets the dequeue pointer behind it, or tries it again. */
    ep->ring.dequeue = xhci->trbs[0].address;
    ep->ring.cycle = xhci->trbs[0].control & TRB_CYCLE;
    td_report_error(xhci, slot_number, at, n, packet.actual, code);
    xhci_endpoint_store(xhci, ep);
    return false;
}

void
xhci_endpoint_run(Xhci *xhci, unsigned slot, unsigned at)
{
    XhciEndpoint *ep = &xhci->slots[slot - 1].endpoints[at - 1];

    ep->waiting = false;
    if (ep->state == EP_STOPPED) {
        ep->state = EP_RUNNING;
        xhci_endpoint_store(xhci, ep);
    }
    for (int i = 0; i < TRANSFERS_PER_TURN; i++) {
        if (ep->state != EP_RUNNING || !xhci_running(xhci) ||
            !transfer_run(xhci, slot, at, ep))
            return;
    }
    xhci->slots[slot - 1].kicked |= 1u << (at - 1);
    xhci_schedule(xhci);
}
