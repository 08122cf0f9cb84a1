/* xhci_ring.c - rings in guest memory: commands and transfers that the guest writes, events that
 * the controller writes (xHCI 4.9), and the interrupts behind them (4.17).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/xhci.h"

#include <errno.h>

#include "hw/core/bytes.h"

enum {
    IMAN_PENDING = 1,
    IMAN_ENABLE = 2,
    ERDP_BUSY = 8,
    CMD_INTERRUPTS = 4,
    STS_EVENT = 8,
    SEGMENT_MIN = 16, /* TRBs of an event ring's segment (6.5) */
    SEGMENT_MAX = 4096,
};

int
xhci_ring_fetch(Xhci *xhci, XhciRing *ring, XhciTrb *ret)
{
    const GuestMemory *memory = xhci->pci.device.machine->memory;
    uint8_t bytes[XHCI_TRB];

    for (unsigned links = 0; links <= XHCI_LINKS; links++) {
        if (guest_memory_read(memory, ring->dequeue, bytes, sizeof(bytes)) < 0)
            return -EPROTO;
        *ret = (XhciTrb){ bytes_load64(bytes), bytes_load32(bytes + 8), bytes_load32(bytes + 12),
                          ring->dequeue };
        if (!!(ret->control & TRB_CYCLE) != ring->cycle)
            return 0;
        if ((ret->control >> 10 & 63) != TRB_LINK) {
            ring->dequeue += XHCI_TRB;
            return 1;
        }
        ring->dequeue = ret->parameter & ~UINT64_C(15);
        if (ret->control & TRB_TOGGLE)
            ring->cycle = !ring->cycle;
    }
    return -EPROTO;
}

int
xhci_ring_fetch_td(Xhci *xhci, XhciRing *ring)
{
    XhciRing at = *ring;
    int n = 0;

    for (;;) {
        int got = xhci_ring_fetch(xhci, &at, &xhci->trbs[n]);

        if (got <= 0)
            return got;
        n++;
        if (!(xhci->trbs[n - 1].control & TRB_CHAIN))
            break;
        if (n == XHCI_TD_TRBS)
            return -EPROTO;
    }
    *ring = at;
    return n;
}

/* ---- events ---- */

void
xhci_interrupter_restart(Xhci *xhci, unsigned n)
{
    XhciInterrupter *in = &xhci->interrupters[n];
    const GuestMemory *memory = xhci->pci.device.machine->memory;

    in->ready = false;
    in->segment = in->index = 0;
    in->cycle = true;
    in->n_segments = in->erstsz & 0xffff;
    if (in->n_segments == 0 || in->erstba == 0)
        return;
    if (in->n_segments > XHCI_SEGMENTS) {
        xhci_fail(xhci);
        return;
    }
    for (unsigned i = 0; i < in->n_segments; i++) {
        uint8_t entry[16];

        if (guest_memory_read(memory, in->erstba + i * sizeof(entry), entry, sizeof(entry)) < 0) {
            xhci_fail(xhci);
            return;
        }
        in->bases[i] = bytes_load64(entry) & ~UINT64_C(63);
        in->sizes[i] = bytes_load32(entry + 8) & 0xffff;
        if (in->sizes[i] < SEGMENT_MIN || in->sizes[i] > SEGMENT_MAX) {
            xhci_fail(xhci);
            return;
        }
    }
    in->ready = true;
}

/* Where ERDP points in the ring, as a number of TRBs from its start; -1: outside. */
static int64_t
interrupter_dequeue(const XhciInterrupter *in)
{
    uint64_t erdp = in->erdp & ~UINT64_C(15);
    int64_t before = 0;

    for (unsigned i = 0; i < in->n_segments; i++) {
        if (erdp >= in->bases[i] && (erdp - in->bases[i]) / XHCI_TRB < in->sizes[i])
            return before + (int64_t)((erdp - in->bases[i]) / XHCI_TRB);
        before += in->sizes[i];
    }
    return -1;
}

unsigned
xhci_event_room(Xhci *xhci, unsigned n)
{
    const XhciInterrupter *in = &xhci->interrupters[n];
    int64_t total = 0, enqueue = 0, dequeue;

    if (!in->ready)
        return 0;
    for (unsigned i = 0; i < in->n_segments; i++) {
        if (i < in->segment)
            enqueue += in->sizes[i];
        total += in->sizes[i];
    }
    enqueue += in->index;
    dequeue = interrupter_dequeue(in);
    if (dequeue < 0)
        return 0;
    /* One TRB stays free, so that full and empty differ. */
    return (unsigned)((dequeue - enqueue - 1 + total) % total);
}

static void
interrupter_raise(Xhci *xhci, unsigned n)
{
    XhciInterrupter *in = &xhci->interrupters[n];

    xhci->usbsts |= STS_EVENT;
    if (in->erdp & ERDP_BUSY)
        return; /* the handler has not caught up: it will see this one too */
    in->erdp |= ERDP_BUSY;
    in->iman |= IMAN_PENDING;
    if (pci_msix_enabled(&xhci->pci)) {
        if ((in->iman & IMAN_ENABLE) && (xhci->usbcmd & CMD_INTERRUPTS)) {
            in->iman &= ~(uint32_t)IMAN_PENDING; /* by sending the message (4.17.5) */
            pci_msix_notify(&xhci->pci, n);
        }
    } else {
        xhci_interrupts_update(xhci);
    }
}

void
xhci_interrupts_update(Xhci *xhci)
{
    uint32_t iman = xhci->interrupters[0].iman;

    if (pci_msix_enabled(&xhci->pci)) {
        pci_intx_set(&xhci->pci, false);
        for (unsigned n = 0; n < XHCI_INTERRUPTERS; n++) {
            XhciInterrupter *in = &xhci->interrupters[n];

            if ((in->iman & IMAN_PENDING) && (in->iman & IMAN_ENABLE) &&
                (xhci->usbcmd & CMD_INTERRUPTS)) {
                in->iman &= ~(uint32_t)IMAN_PENDING;
                pci_msix_notify(&xhci->pci, n);
            }
        }
        return;
    }
    pci_intx_set(&xhci->pci, (iman & IMAN_PENDING) && (iman & IMAN_ENABLE) &&
                                 (xhci->usbcmd & CMD_INTERRUPTS));
}

void
xhci_event_post(Xhci *xhci, unsigned n, uint64_t parameter, uint32_t status, uint32_t control)
{
    XhciInterrupter *in;
    uint8_t bytes[XHCI_TRB];

    if (n >= XHCI_INTERRUPTERS)
        n = 0;
    in = &xhci->interrupters[n];
    /* Callers have looked for room: without it the guest has changed the ring meanwhile. */
    if (xhci_event_room(xhci, n) == 0) {
        xhci_fail(xhci);
        return;
    }
    bytes_store(bytes, parameter, 8);
    bytes_store(bytes + 8, status, 4);
    bytes_store(bytes + 12, (control & ~(uint32_t)TRB_CYCLE) | (in->cycle ? TRB_CYCLE : 0), 4);
    /* The cycle bit is what the guest looks at: it must not come before the rest. */
    if (guest_memory_write(xhci->pci.device.machine->memory,
                           in->bases[in->segment] + (uint64_t)in->index * XHCI_TRB, bytes, 12) <
            0) {
        xhci_fail(xhci);
        return;
    }
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (guest_memory_write(xhci->pci.device.machine->memory,
                           in->bases[in->segment] + (uint64_t)in->index * XHCI_TRB + 12,
                           bytes + 12, 4) < 0) {
        xhci_fail(xhci);
        return;
    }
    if (++in->index == in->sizes[in->segment]) {
        in->index = 0;
        if (++in->segment == in->n_segments) {
            in->segment = 0;
            in->cycle = !in->cycle;
        }
    }
    interrupter_raise(xhci, n);
}
