/* ehci_schedule.c - EHCI: the periodic and the asynchronous schedule.
 *
 * Enhanced Host Controller Interface Specification for Universal Serial Bus 1.0, chapters 3 and 4.
 * The schedules are walked in the I/O loop, once for each millisecond of the guest's time, more
 * seldom while nothing moves; what one walk may visit is bounded, however the guest's lists loop.
 * Between two walks only the place in the asynchronous list is kept.
 *
 * Leaves out: isochronous and split transfers. No device here needs them: iTD, siTD and FSTN are
 * stepped over, and a queue head of low or full speed, which needs a hub of high speed, finds
 * nobody that answers. Interrupt endpoints are looked at once in a frame, whichever microframes
 * they ask for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/ehci.h"

#include <string.h>

#include "hw/core/bytes.h"

enum {
    LINK_END = 1,
    LINK_QH = 1, /* the type, in bits 2:1 */
    QH_BYTES = 48,
    QH_CURRENT = 12, /* what the controller writes begins here */
    QH_OVERLAY = 16, /* a copy of the qTD */
    QH_HEAD = 1 << 15,
    QH_TOGGLE_FROM_QTD = 1 << 14,
    QH_HIGH_SPEED = 2, /* in bits 13:12 */
    QTD_BYTES = 32,
    QTD_ERROR = 1 << 3,
    QTD_BABBLE = 1 << 4,
    QTD_BUFFER = 1 << 5,
    QTD_HALTED = 1 << 6,
    QTD_ACTIVE = 1 << 7,
    QTD_ERRORS_LEFT = 3 << 10,
    QTD_IOC = 1 << 15,
    PAGE = 4096,
    PAGES = 5,
    VISITS = 128,           /* queue heads, or transfers of one, in a walk */
    TRANSFER_BYTES = 64,    /* counted for each transfer: those of no data are no less work */
    WALK_BYTES = 128 << 10, /* twice what a wire carries in a millisecond */
    FRAMES_LATE = 8,        /* frames made up for at once */
    FRINDEX_FRAMES = 2048,  /* 14 bits of microframes */
    FRINDEX_ROLLOVER = 0x2000,
    IDLE_FRAMES = 8, /* frames of a turn while nothing moves */
    IDLE_AFTER = 32, /* turns without a transfer */
};
#define FRAME_NS INT64_C(1000000)
#define QTD_TOGGLE (UINT32_C(1) << 31)

/* A list or a buffer is not in RAM. */
static bool
ehci_system_error(Ehci *ehci)
{
    ehci->cmd &= ~(uint32_t)EHCI_CMD_RUN;
    ehci->sts |= EHCI_STS_SYSTEM_ERROR | EHCI_STS_HALTED;
    ehci_settle_status(ehci);
    return false;
}

static bool
ehci_fetch(Ehci *ehci, uint32_t at, uint8_t *data, size_t len)
{
    if (guest_memory_read(ehci->pci.device.machine->memory, at, data, len) < 0)
        return ehci_system_error(ehci);
    return true;
}

static bool
ehci_put(Ehci *ehci, uint32_t at, const uint8_t *data, size_t len)
{
    if (guest_memory_write(ehci->pci.device.machine->memory, at, data, len) < 0)
        return ehci_system_error(ehci);
    return true;
}

/* ---- transfers ---- */

static UsbDevice *
ehci_find(Ehci *ehci, uint32_t endpoint)
{
    if ((endpoint >> 12 & 3) != QH_HIGH_SPEED)
        return NULL;
    for (unsigned i = 0; i < EHCI_PORTS; i++) {
        UsbDevice *dev = ehci->ports[i] & EHCI_PORT_ENABLED
                             ? usb_port_find(&ehci->bus.ports[i], endpoint & 127)
                             : NULL;

        if (dev)
            return dev;
    }
    return NULL;
}

/* The guest's memory that the overlay's next bytes are; false: not RAM. */
static bool
overlay_iov(Ehci *ehci, const uint8_t *overlay, unsigned page, UsbPacket *packet, struct iovec *iov,
            unsigned max)
{
    uint32_t offset = bytes_load32(overlay + 12) & (PAGE - 1), left = packet->length;

    for (; left; page++, offset = 0) {
        uint64_t at = (bytes_load32(overlay + 12 + 4 * page) & ~(uint32_t)(PAGE - 1)) + offset;
        uint32_t part = MIN(left, PAGE - offset);
        int n = guest_memory_iov(ehci->pci.device.machine->memory, at, part, iov + packet->n_iov,
                                 max - packet->n_iov);

        if (n < 0)
            return false;
        packet->n_iov += (unsigned)n;
        left -= part;
    }
    return true;
}

/* Counts @packet into the overlay: bytes left, place, toggle. Returns its token. */
static uint32_t
overlay_count(uint8_t *overlay, const UsbPacket *packet, uint32_t token, unsigned max_packet)
{
    uint32_t place = bytes_load32(overlay + 12), page = token >> 12 & 7;
    uint32_t offset = (place & (PAGE - 1)) + packet->actual, packets = 1;

    if (max_packet && packet->actual) {
        packets = (packet->actual + max_packet - 1) / max_packet;
        /* One of no data has ended a transfer that is short by whole packets. */
        packets += packet->token == USB_IN && packet->actual < packet->length &&
                   packet->actual % max_packet == 0;
    }
    page = MIN(page + offset / PAGE, PAGES - 1);
    bytes_store(overlay + 12, (place & ~(uint32_t)(PAGE - 1)) | offset % PAGE, 4);
    token &= ~(UINT32_C(0x7fff) << 16 | 7u << 12);
    token |= (packet->length - packet->actual) << 16 | page << 12;
    return packets & 1 ? token ^ QTD_TOGGLE : token;
}

/* The transfer is over: @token with how. */
static uint32_t
transfer_end(Ehci *ehci, const UsbPacket *packet, uint32_t token)
{
    token &= ~(uint32_t)QTD_ACTIVE;
    if (packet->status != USB_OK) {
        token |= QTD_HALTED;
        if (packet->status == USB_BABBLE)
            token |= QTD_BABBLE;
        else if (packet->status == USB_NO_DEVICE) /* tried until no error was left */
            token = (token & ~(uint32_t)QTD_ERRORS_LEFT) | QTD_ERROR;
        ehci->sts |= EHCI_STS_ERROR;
    }
    if ((token & QTD_IOC) || (packet->token == USB_IN && packet->actual < packet->length))
        ehci->sts |= EHCI_STS_DONE;
    return token;
}

/* Carries out the active transfer in the overlay of @qh. Returns false when the queue has to wait
 * or the controller has stopped. */
static bool
qh_execute(Ehci *ehci, uint8_t *qh)
{
    uint8_t *overlay = qh + QH_OVERLAY;
    uint32_t endpoint = bytes_load32(qh + 4), token = bytes_load32(overlay + 8);
    unsigned pid = token >> 8 & 3, page = token >> 12 & 7;
    struct iovec iov[2 * PAGES];
    UsbPacket packet = {
        .token = pid == 0   ? USB_OUT
                 : pid == 1 ? USB_IN
                            : USB_SETUP,
        .endpoint = endpoint >> 8 & 15,
        .iov = iov,
        .length = token >> 16 & 0x7fff,
    };

    if (pid == 3 ||
        page * PAGE + (bytes_load32(overlay + 12) & (PAGE - 1)) + packet.length > PAGES * PAGE) {
        token = (token & ~(uint32_t)QTD_ACTIVE) | QTD_HALTED | QTD_BUFFER;
        ehci->sts |= EHCI_STS_ERROR;
        bytes_store(overlay + 8, token, 4);
        return true;
    }
    if (!overlay_iov(ehci, overlay, page, &packet, iov, G_N_ELEMENTS(iov)))
        return ehci_system_error(ehci);
    usb_packet_run(ehci_find(ehci, endpoint), &packet);
    if (packet.status == USB_NAK && !packet.actual)
        return false;
    ehci->bytes += packet.actual + TRANSFER_BYTES;
    token = overlay_count(overlay, &packet, token, endpoint >> 16 & 0x7ff);
    if (packet.status != USB_NAK)
        token = transfer_end(ehci, &packet, token);
    bytes_store(overlay + 8, token, 4);
    return true;
}

/* Takes the queue's next transfer into its overlay (4.10.2). Returns false when there is none or
 * the controller has stopped. */
static bool
qh_advance(Ehci *ehci, uint8_t *qh)
{
    uint8_t *overlay = qh + QH_OVERLAY, qtd[QTD_BYTES];
    uint32_t old = bytes_load32(overlay + 8), link = bytes_load32(overlay), token;

    if ((old >> 16 & 0x7fff) && !(bytes_load32(overlay + 4) & LINK_END))
        link = bytes_load32(overlay + 4); /* what follows a short packet */
    if ((old & QTD_HALTED) || (link & LINK_END))
        return false;
    link &= ~31u;
    if (!ehci_fetch(ehci, link, qtd, sizeof(qtd)))
        return false;
    token = bytes_load32(qtd + 8);
    if (!(token & QTD_ACTIVE))
        return false;
    if (!(bytes_load32(qh + 4) & QH_TOGGLE_FROM_QTD))
        token = (token & ~QTD_TOGGLE) | (old & QTD_TOGGLE);
    bytes_store(qtd + 8, token, 4);
    bytes_store(qh + QH_CURRENT, link, 4);
    memcpy(overlay, qtd, sizeof(qtd));
    return true;
}

/* At most @max transfers of the queue head at @at, already read. Returns false when the controller
 * has stopped. */
static bool
ehci_queue(Ehci *ehci, uint32_t at, uint8_t *qh, unsigned max)
{
    for (unsigned i = 0; i < max && ehci->bytes < WALK_BYTES; i++) {
        uint8_t *overlay = qh + QH_OVERLAY;
        bool moved;

        if (!(bytes_load32(overlay + 8) & QTD_ACTIVE) && !qh_advance(ehci, qh))
            break;
        moved = qh_execute(ehci, qh);
        if (!ehci_running(ehci) ||
            !ehci_put(ehci, at + QH_CURRENT, qh + QH_CURRENT, QH_BYTES - QH_CURRENT))
            return false;
        if (!moved)
            break;
        if (!ehci_put(ehci, (bytes_load32(qh + QH_CURRENT) & ~31u) + 8, overlay + 8, 4))
            return false;
    }
    return ehci_running(ehci);
}

/* Once around the asynchronous list, to the head that finds nothing reclaimed (4.8). */
static void
ehci_walk_async(Ehci *ehci)
{
    uint8_t qh[QH_BYTES];

    ehci->bytes = 0;
    ehci->sts |= EHCI_STS_RECLAMATION;
    for (unsigned visits = 0; visits < VISITS && ehci->bytes < WALK_BYTES; visits++) {
        uint32_t at = ehci->async & ~31u, before = ehci->bytes;

        if (!ehci_fetch(ehci, at, qh, sizeof(qh)))
            return;
        if (bytes_load32(qh + 4) & QH_HEAD) {
            if (!(ehci->sts & EHCI_STS_RECLAMATION))
                return;
            ehci->sts &= ~(uint32_t)EHCI_STS_RECLAMATION;
        }
        if (!ehci_queue(ehci, at, qh, VISITS))
            return;
        if (ehci->bytes != before)
            ehci->sts |= EHCI_STS_RECLAMATION;
        if (bytes_load32(qh) & LINK_END)
            return;
        ehci->async = bytes_load32(qh) & ~31u;
    }
}

/* The interrupt endpoints of one frame (4.6). */
static void
ehci_walk_periodic(Ehci *ehci)
{
    uint8_t qh[QH_BYTES];
    uint32_t link;

    ehci->bytes = 0;
    if (!ehci_fetch(ehci, ehci->periodic + (ehci->frindex >> 3 & 0x3ff) * 4, qh, 4))
        return;
    link = bytes_load32(qh);
    for (unsigned visits = 0; !(link & LINK_END) && visits < VISITS; visits++) {
        bool queue = (link >> 1 & 3) == LINK_QH;
        uint32_t at = link & ~31u;

        if (!ehci_fetch(ehci, at, qh, queue ? sizeof(qh) : 4))
            return;
        link = bytes_load32(qh);
        if (queue && qh[8] && !ehci_queue(ehci, at, qh, 1))
            return;
    }
}

/* The list's place may be in a queue head that was taken out; what that one points to is still in
 * it (4.8.2). */
void
ehci_doorbell(Ehci *ehci)
{
    uint8_t link[4];

    if (!(ehci->cmd & EHCI_CMD_ASYNC) || !ehci_running(ehci))
        return;
    if (pci_bus_master(&ehci->pci)) {
        if (!ehci_fetch(ehci, ehci->async, link, sizeof(link)))
            return;
        if (!(bytes_load32(link) & LINK_END))
            ehci->async = bytes_load32(link) & ~31u;
    }
    ehci->sts |= EHCI_STS_ADVANCED;
}

/* ---- time ---- */

int64_t
ehci_frames_due(Ehci *ehci)
{
    return (machine_clock_ns(ehci->pci.device.machine) - ehci->frame_at) / FRAME_NS;
}

static void
ehci_skip_frames(Ehci *ehci, int64_t n)
{
    uint32_t next = (uint32_t)((ehci->frindex + n % FRINDEX_FRAMES * 8) & 0x3fff);

    if (n >= FRINDEX_FRAMES / 2 || ((ehci->frindex ^ next) & FRINDEX_ROLLOVER))
        ehci->sts |= EHCI_STS_ROLLOVER;
    ehci->frindex = next;
    ehci->frame_at += n * FRAME_NS;
}

static bool
ehci_has_work(const Ehci *ehci)
{
    uint32_t any = 0;

    if (!ehci_running(ehci))
        return false;
    for (unsigned i = 0; i < EHCI_PORTS; i++)
        any |= ehci->ports[i];
    return ((any & EHCI_PORT_ENABLED) && (ehci->cmd & (EHCI_CMD_PERIODIC | EHCI_CMD_ASYNC))) ||
           (ehci->intr & EHCI_STS_ROLLOVER);
}

/* Walks for the frames that are due now, not for those that become so meanwhile: a host on which a
 * walk takes longer than a frame would never leave, and nobody else would get the lock. Returns
 * whether a transfer has moved. */
static bool
ehci_walk(Ehci *ehci)
{
    int64_t due = ehci_frames_due(ehci);
    bool moved = false;

    if (ehci->kicked && (ehci->cmd & EHCI_CMD_ASYNC) && pci_bus_master(&ehci->pci)) {
        ehci_walk_async(ehci);
        moved = ehci->bytes > 0;
    }
    for (; due > 0 && ehci_running(ehci) && pci_bus_master(&ehci->pci); due--) {
        if (ehci->cmd & EHCI_CMD_PERIODIC) {
            ehci_walk_periodic(ehci);
            moved |= ehci->bytes > 0;
        }
        if (ehci_running(ehci) && (ehci->cmd & EHCI_CMD_ASYNC)) {
            ehci_walk_async(ehci);
            moved |= ehci->bytes > 0;
        }
        ehci_skip_frames(ehci, 1);
    }
    return moved;
}

void
ehci_tick(void *opaque)
{
    Ehci *ehci = opaque;

    g_mutex_lock(ehci->bus.lock);
    ehci->scheduled = false;
    if (ehci->paused || !ehci_has_work(ehci)) {
        g_mutex_unlock(ehci->bus.lock);
        return;
    }
    if (ehci_frames_due(ehci) > FRAMES_LATE)
        ehci_skip_frames(ehci, ehci_frames_due(ehci) - FRAMES_LATE);
    ehci->walking = true;
    ehci->idle = ehci_walk(ehci) ? 0 : MIN(ehci->idle + 1, IDLE_AFTER);
    ehci->walking = ehci->kicked = false;
    ehci_interrupt(ehci);
    io_timer_set(ehci->timer,
                 io_clock_ns() + FRAME_NS * (ehci->idle >= IDLE_AFTER ? IDLE_FRAMES : 1));
    g_mutex_unlock(ehci->bus.lock);
}

void
ehci_schedule(Ehci *ehci)
{
    if (ehci->scheduled || ehci->paused)
        return;
    ehci->scheduled = true;
    ehci->idle = 0;
    io_loop_defer(ehci->bus.loop, ehci_tick, ehci);
}
