/* ahci_port.c - a port of the AHCI controller: command list, FISes, data, errors (AHCI 1.3.1,
 * sections 3.3, 4, 5.3, 6, 10).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "hw/ata/ahci.h"
#include "hw/core/bytes.h"

enum {
    HEADER_SIZE = 32,
    HEADER_ATAPI = 1 << 5,
    FIS_SIZE = 64,
    PRDT_AT = 0x80,
    PRD_SIZE = 16,
    PACKET_AT = 0x40,

    FIS_H2D = 0x27,
    FIS_D2H = 0x34,
    FIS_PIO_SETUP = 0x5f,
    FIS_SET_BITS = 0xa1,
    FIS_INTERRUPT = 0x40,

    RX_PIO_SETUP = 0x20, /* places in the received FIS area */
    RX_D2H = 0x40,
    RX_SET_BITS = 0x58,

    CONTROL_SRST = 4,
    CMD_WRITABLE = PX_CMD_ST | PX_CMD_SUD | PX_CMD_POD | PX_CMD_FRE | PX_CMD_ATAPI,
    SSTS_UP = 0x123, /* a drive, 3 Gb/s, active */
    TFD_NO_DRIVE = 0x7f,
};
#define SIG_ATA 0x00000101u
#define SIG_ATAPI 0xeb140101u
#define SIG_NONE 0xffffffffu
#define IS_MASK 0xfdc000dfu
#define IE_MASK 0xfdc000ffu

static void ahci_slot_step(AtaRequest *req);

static GuestMemory *
port_memory(AhciPort *port)
{
    return port->ahci->pci.device.machine->memory;
}

static AtaDrive *
port_drive(AhciPort *port)
{
    return port->bus.drives[0];
}

/* The loop is to look for commands, once the lock is free. */
static void
port_call(AhciPort *port)
{
    port->ahci->called |= 1u << port->number;
}

static void
port_raise(AhciPort *port, uint32_t bits)
{
    port->is |= bits;
    ahci_update_irq(port->ahci, (bits & port->ie) != 0);
}

/* An error after which only software can get the port going again (6.2.2). */
static void
port_fatal(AhciPort *port, uint32_t bits)
{
    port->halted = true;
    port_raise(port, bits);
}

/* ---- FISes to the host ---- */

static void
port_receive(AhciPort *port, unsigned at, const uint8_t *fis, size_t size)
{
    if (port->cmd & PX_CMD_FRE)
        guest_memory_write(port_memory(port), port->fb + at, fis, size);
}

static void
fis_registers(uint8_t *fis, const AtaTaskfile *tf)
{
    fis[2] = tf->status;
    fis[3] = tf->error;
    fis[4] = (uint8_t)tf->lba;
    fis[5] = (uint8_t)(tf->lba >> 8);
    fis[6] = (uint8_t)(tf->lba >> 16);
    fis[7] = tf->device;
    fis[8] = (uint8_t)(tf->lba >> 24);
    fis[9] = (uint8_t)(tf->lba >> 32);
    fis[10] = (uint8_t)(tf->lba >> 40);
    fis[12] = (uint8_t)tf->count;
    fis[13] = (uint8_t)(tf->count >> 8);
}

static void
port_send_d2h(AhciPort *port, const AtaTaskfile *tf)
{
    uint8_t fis[20] = { FIS_D2H, FIS_INTERRUPT };

    fis_registers(fis, tf);
    port_receive(port, RX_D2H, fis, sizeof(fis));
    port->tfd = tf->status | (uint32_t)tf->error << 8;
}

static void
port_send_pio_setup(AhciPort *port, const AtaRequest *req)
{
    uint8_t fis[20] = { FIS_PIO_SETUP, FIS_INTERRUPT };

    fis_registers(fis, &req->tf);
    if (req->phase != ATA_DATA_OUT)
        fis[1] |= 0x20;
    fis[2] = ATA_SR_READY | ATA_SR_SEEK | ATA_SR_DRQ;
    fis[3] = 0;
    fis[15] = ATA_SR_READY | ATA_SR_SEEK;
    bytes_store(fis + 16, req->block ? req->block : MIN(req->length, 0xfffeu), 2);
    port_receive(port, RX_PIO_SETUP, fis, sizeof(fis));
}

static void
port_send_set_bits(AhciPort *port, const AtaTaskfile *tf, uint32_t done)
{
    uint8_t fis[8] = { FIS_SET_BITS, FIS_INTERRUPT, tf->status & 0x77, tf->error };

    bytes_store(fis + 4, done, 4);
    port_receive(port, RX_SET_BITS, fis, sizeof(fis));
    port->tfd = (port->tfd & ATA_SR_BUSY) | (tf->status & 0x77) | (uint32_t)tf->error << 8;
}

/* ---- resets ---- */

static void
port_signature(AhciPort *port)
{
    AtaDrive *drive = port_drive(port);
    AtaTaskfile tf = { 0 };

    if (!drive) {
        port->sig = SIG_NONE;
        port->tfd = TFD_NO_DRIVE;
        return;
    }
    ata_drive_signature(drive, &tf);
    port->sig = drive->atapi ? SIG_ATAPI : SIG_ATA;
    port_send_d2h(port, &tf);
}

/* The part of a reset that waits until nothing runs. */
static void
port_finish_reset(AhciPort *port)
{
    port->resetting = false;
    port->tfd = TFD_NO_DRIVE;
    port->sig = SIG_NONE;
    if (port->link_down || !port_drive(port)) {
        port->ssts = port->link_down && (port->sctl & 0xf) == 4 ? 4 : 0;
        return;
    }
    ata_drive_reset(port_drive(port), false);
    port->ssts = SSTS_UP;
    port_signature(port);
}

static void
port_orphan_all(AhciPort *port)
{
    for (unsigned i = 0; i < AHCI_SLOTS; i++) {
        if (port->slots[i] && port->slots[i]->active)
            port->slots[i]->orphan = true;
    }
    port->started = 0;
}

void
ahci_port_rest(AhciPort *port)
{
    if (port->running > 0)
        return;
    if (port->resetting)
        port_finish_reset(port);
    if (!(port->cmd & PX_CMD_ST))
        port->cmd &= ~(uint32_t)PX_CMD_CR;
    ahci_port_rested(port->ahci);
}

void
ahci_port_reset(AhciPort *port)
{
    port_orphan_all(port);
    port->ci = port->sact = 0;
    port->soft_reset = false;
    port->tfd = TFD_NO_DRIVE | ATA_SR_BUSY;
    port->ssts = 0;
    port->resetting = true;
    ahci_port_rest(port);
}

/* ---- the end of commands ---- */

static void
port_store_count(AhciSlot *slot)
{
    uint8_t count[4];

    bytes_store(count, slot->req.moved, 4);
    guest_memory_write(port_memory(slot->port), slot->header + 4, count, sizeof(count));
}

static void
slot_complete(AhciSlot *slot)
{
    AhciPort *port = slot->port;
    AtaRequest *req = &slot->req;
    uint32_t bit = 1u << slot->number;
    bool failed = req->tf.status & ATA_SR_ERR;

    if (req->queued) {
        port_send_set_bits(port, &req->tf, failed ? 0 : bit);
        if (!failed)
            port->sact &= ~bit;
        if (failed)
            port_fatal(port, PX_IS_TFES | PX_IS_SDBS);
        else
            port_raise(port, PX_IS_SDBS);
        return;
    }
    port_store_count(slot);
    if (failed) {
        port_send_d2h(port, &req->tf);
        port_fatal(port, PX_IS_TFES | PX_IS_DHRS);
        return;
    }
    port->ci &= ~bit;
    if (slot->moved && !req->dma && req->tf.command != 0xa0 && req->io.kind != DRIVE_WRITE) {
        /* data by PIO: the last PIO Setup FIS is all the drive sends */
        port->tfd = req->tf.status;
        port_raise(port, PX_IS_PSS);
        return;
    }
    port_send_d2h(port, &req->tf);
    port_raise(port, PX_IS_DHRS);
}

static void
slot_end(AhciSlot *slot)
{
    AhciPort *port = slot->port;

    ata_request_end(&slot->req);
    slot->active = false;
    port->running--;
    if (!slot->orphan) {
        port->started &= ~(1u << slot->number);
        if (!port->halted)
            slot_complete(slot);
    }
    ahci_port_rest(port);
}

/* ---- data ---- */

/* The host's buffers of the transfer, as far as it goes: 0, or the PxIS bit of what is wrong. */
static uint32_t
slot_map(AhciSlot *slot)
{
    GuestMemory *memory = port_memory(slot->port);
    uint64_t left = slot->req.length - slot->req.moved;
    unsigned i;

    slot->n_iov = 0;
    for (i = 0; i < slot->prdtl && left > 0; i++) {
        uint8_t prd[PRD_SIZE];
        uint64_t len;
        int n;

        if (guest_memory_read(memory, slot->table + PRDT_AT + (uint64_t)i * PRD_SIZE, prd,
                              PRD_SIZE) < 0)
            return PX_IS_HBDS;
        len = MIN((bytes_load32(prd + 12) & 0x3fffff) + UINT64_C(1), left);
        if (slot->n_iov + 2 > slot->room) {
            slot->room = MAX(slot->room * 2, 16u);
            slot->iov = g_renew(struct iovec, slot->iov, slot->room);
        }
        n = guest_memory_iov(memory, bytes_load64(prd) & ~UINT64_C(1), len, slot->iov + slot->n_iov,
                             slot->room - slot->n_iov);
        if (n < 0)
            return PX_IS_HBDS;
        slot->n_iov += (unsigned)n;
        left -= len;
    }
    return 0;
}

/* Goes on with a command whose phase is not ATA_WAIT. */
static void
slot_advance(AhciSlot *slot)
{
    AhciPort *port = slot->port;
    AtaRequest *req = &slot->req;

    if (req->phase == ATA_PACKET) {
        if (guest_memory_read(port_memory(port), slot->table + PACKET_AT, req->packet,
                              sizeof(req->packet)) < 0)
            ata_request_abort(req, ATA_ER_ABORT);
        else
            ata_request_packet(req);
    }
    if (req->phase == ATA_DATA_IN || req->phase == ATA_DATA_OUT) {
        uint32_t wrong = slot->orphan ? PX_IS_OFS : slot->moved ? PX_IS_OFS : slot_map(slot);

        if (!wrong && slot->n_iov == 0)
            wrong = PX_IS_OFS;
        if (wrong) { /* no room (left) in memory for what the drive sends or wants */
            if (!slot->orphan)
                port_fatal(port, wrong);
            ata_request_abort(req, ATA_ER_ABORT);
        } else {
            if (!req->dma)
                port_send_pio_setup(port, req);
            slot->moved = true;
            ata_request_move(req, slot->iov, slot->n_iov);
            if (req->phase == ATA_DATA_IN || req->phase == ATA_DATA_OUT) {
                port_fatal(port, PX_IS_OFS);
                ata_request_abort(req, ATA_ER_ABORT);
            }
        }
    }
    if (req->phase == ATA_DONE)
        slot_end(slot);
}

static void
ahci_slot_step(AtaRequest *req)
{
    AhciSlot *slot = (AhciSlot *)req;
    AhciPort *port = slot->port;

    g_mutex_lock(&port->ahci->pci.device.lock);
    slot_advance(slot);
    /* A command may have waited for this one; and what it has begun is to be handed on. */
    if ((port->ci & ~port->started) || slot->active)
        port_call(port);
    g_mutex_unlock(&port->ahci->pci.device.lock);
    ahci_settle_later(port->ahci);
}

/* ---- commands ---- */

static AhciSlot *
port_slot(AhciPort *port, unsigned number)
{
    AhciSlot *slot = port->slots[number];

    if (!slot) {
        slot = port->slots[number] = g_new0(AhciSlot, 1);
        slot->port = port;
        slot->number = number;
        slot->req.step = ahci_slot_step;
    }
    return slot;
}

static void
fis_taskfile(const uint8_t *fis, AtaTaskfile *tf)
{
    tf->command = fis[2];
    tf->features = (uint16_t)(fis[3] | fis[11] << 8);
    tf->lba = fis[4] | (uint64_t)fis[5] << 8 | (uint64_t)fis[6] << 16 | (uint64_t)fis[8] << 24 |
              (uint64_t)fis[9] << 32 | (uint64_t)fis[10] << 40;
    tf->device = fis[7];
    tf->count = (uint16_t)(fis[12] | fis[13] << 8);
}

/* A FIS without the C bit: the control register, of which SRST resets the drive (10.4.1). */
static void
port_control(AhciPort *port, unsigned number, uint8_t control)
{
    bool set = control & CONTROL_SRST;

    port->ci &= ~(1u << number);
    port->started &= ~(1u << number);
    if (port->soft_reset && !set) {
        if (port_drive(port))
            ata_drive_reset(port_drive(port), false);
        port_signature(port);
        port_raise(port, PX_IS_DHRS);
    }
    port->soft_reset = set;
}

/* True when @fis may run beside what runs already. */
static bool
port_may_run(AhciPort *port, bool queued)
{
    if (port->running == 0)
        return true;
    for (unsigned i = 0; i < AHCI_SLOTS; i++) {
        if (port->slots[i] && port->slots[i]->active && !port->slots[i]->req.queued)
            return false;
    }
    return queued;
}

/* Takes the command in slot @number; false when it has to wait. */
static bool
port_take(AhciPort *port, unsigned number)
{
    GuestMemory *memory = port_memory(port);
    uint64_t at = port->clb + (uint64_t)number * HEADER_SIZE;
    uint8_t header[HEADER_SIZE], fis[FIS_SIZE];
    AhciSlot *slot = port_slot(port, number);
    bool queued;

    if (guest_memory_read(memory, at, header, sizeof(header)) < 0 ||
        guest_memory_read(memory, bytes_load64(header + 8) & ~UINT64_C(0x7f), fis, sizeof(fis)) <
            0) {
        port_fatal(port, PX_IS_HBFS);
        return false;
    }
    queued = fis[2] == 0x60 || fis[2] == 0x61;
    if (slot->active || !port_may_run(port, queued && (fis[1] & 0x80)))
        return false;
    port->started |= 1u << number;
    if (fis[0] != FIS_H2D || !port_drive(port)) {
        port_fatal(port, PX_IS_HBFS);
        return false;
    }
    if (!(fis[1] & 0x80)) {
        port_control(port, number, fis[15]);
        return true;
    }
    slot->header = at;
    slot->table = bytes_load64(header + 8) & ~UINT64_C(0x7f);
    slot->prdtl = bytes_load16(header + 2);
    slot->active = true;
    slot->orphan = slot->moved = false;
    slot->req.drive = port_drive(port);
    slot->req.io.kind = DRIVE_READ;
    fis_taskfile(fis, &slot->req.tf);
    port->running++;
    if (queued) {
        port->ci &= ~(1u << number); /* the drive has taken it and lets go of the bus */
        if ((slot->req.tf.count >> 3 & 0x1f) != number)
            slot->req.tf.command = 0; /* tag and slot must be one: refuse */
    } else {
        port->tfd |= ATA_SR_BUSY;
    }
    ata_request_start(&slot->req);
    if (slot->req.phase != ATA_WAIT)
        slot_advance(slot);
    return true;
}

void
ahci_port_run(void *opaque)
{
    AhciPort *port = opaque;
    AtaDrive *drive = port_drive(port);
    bool again = true;

    ahci_lock(port->ahci);
    while (again) {
        again = false;
        for (unsigned i = 0; i < AHCI_SLOTS; i++) {
            bool ready = (port->cmd & PX_CMD_ST) && !port->halted && !port->resetting &&
                         !(drive && drive->drive.paused);

            if (ready && (port->ci & ~port->started & 1u << i))
                again |= port_take(port, i);
        }
    }
    ahci_unlock(port->ahci);
    if (drive)
        drive_submit(&drive->drive);
}

/* ---- registers ---- */

uint64_t
ahci_port_read(AhciPort *port, unsigned offset)
{
    const uint32_t registers[] = {
        (uint32_t)port->clb,
        (uint32_t)(port->clb >> 32),
        (uint32_t)port->fb,
        (uint32_t)(port->fb >> 32),
        port->is,
        port->ie,
        port->cmd,
        0,
        port->tfd,
        port->sig,
        port->ssts,
        port->sctl,
        port->serr,
        port->sact,
        port->ci,
    };

    return offset / 4 < G_N_ELEMENTS(registers) ? registers[offset / 4] : 0;
}

static void
port_write_cmd(AhciPort *port, uint32_t value)
{
    uint32_t old = port->cmd;

    port->cmd = (old & ~(uint32_t)CMD_WRITABLE) | (value & CMD_WRITABLE) | PX_CMD_SUD | PX_CMD_POD;
    if ((value & PX_CMD_CLO) && !(old & PX_CMD_ST))
        port->tfd &= ~(uint32_t)(ATA_SR_BUSY | ATA_SR_DRQ);
    if (port->cmd & PX_CMD_FRE) {
        port->cmd |= PX_CMD_FR;
        if (!(old & PX_CMD_FRE) && port->running == 0 && !port->resetting && port_drive(port) &&
            port->ssts == SSTS_UP && (port->tfd & 0xff00) == 0x100)
            port_signature(port); /* the first FIS has waited for room to be put */
    } else {
        port->cmd &= ~(uint32_t)PX_CMD_FR;
    }
    if ((port->cmd & PX_CMD_ST) && !(old & PX_CMD_ST)) {
        port->cmd |= PX_CMD_CR;
        port_call(port);
    } else if (!(port->cmd & PX_CMD_ST) && (old & PX_CMD_ST)) {
        port_orphan_all(port);
        port->ci = port->sact = 0;
        port->halted = false;
        port->tfd &= ~(uint32_t)ATA_SR_BUSY;
        ahci_port_rest(port);
    }
}

static void
port_write_sctl(AhciPort *port, uint32_t value)
{
    uint32_t old = port->sctl & 0xf, now = value & 0xf;

    port->sctl = value & 0xfff;
    if (now == 1 || now == 4) {
        port->link_down = true;
        ahci_port_reset(port);
    } else if (old == 1 || old == 4) {
        port->link_down = false;
        if (port_drive(port)) {
            port->serr |= 1u << 26; /* the drive was exchanged, as far as anybody can know */
            port->is |= PX_IS_PCS;
        }
        ahci_port_reset(port);
        ahci_update_irq(port->ahci, true);
    }
}

void
ahci_port_write(AhciPort *port, unsigned offset, uint32_t value)
{
    switch (offset) {
    case 0x00:
        port->clb = (port->clb & ~UINT64_C(0xffffffff)) | (value & ~0x3ffu);
        break;
    case 0x04:
        port->clb = (port->clb & 0xffffffff) | (uint64_t)value << 32;
        break;
    case 0x08:
        port->fb = (port->fb & ~UINT64_C(0xffffffff)) | (value & ~0xffu);
        break;
    case 0x0c:
        port->fb = (port->fb & 0xffffffff) | (uint64_t)value << 32;
        break;
    case 0x10:
        port->is &= ~(value & IS_MASK);
        ahci_update_irq(port->ahci, false);
        break;
    case 0x14:
        port->ie = value & IE_MASK;
        ahci_update_irq(port->ahci, (port->is & port->ie) != 0);
        break;
    case 0x18:
        port_write_cmd(port, value);
        break;
    case 0x2c:
        port_write_sctl(port, value);
        break;
    case 0x30:
        port->serr &= ~value;
        if (!(port->serr & 1u << 26))
            port->is &= ~(uint32_t)PX_IS_PCS;
        ahci_update_irq(port->ahci, false);
        break;
    case 0x34:
        if (port->cmd & PX_CMD_ST)
            port->sact |= value;
        break;
    case 0x38:
        if (!(port->cmd & PX_CMD_ST))
            break;
        port->ci |= value;
        port_call(port);
        break;
    default:
        break;
    }
}

void
ahci_port_clear(AhciPort *port)
{
    for (unsigned i = 0; i < AHCI_SLOTS; i++) {
        AhciSlot *slot = port->slots[i];

        if (!slot)
            continue;
        ata_request_clear(&slot->req);
        g_free(slot->iov);
        g_free(slot);
        port->slots[i] = NULL;
    }
}
