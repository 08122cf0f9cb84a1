/* piix_channel.c - an IDE channel: command block registers, PIO, bus-master DMA, soft reset
 * (ATA8-APT 2; Intel 290550 chapter 3.5, "Bus Master IDE").
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/ata/piix.h"
#include "hw/core/bytes.h"

enum {
    REASON_COMMAND = 1,
    REASON_IN = 2,
    COMMAND_PACKET = 0xa0,
    COMMAND_DEVICE_RESET = 0x08,
    PRD_END = 0x80,
    PRD_MAX = 8192, /* entries of a table, which lies within 64 KiB */
};

static PiixRegs *
ch_regs(PiixChannel *ch)
{
    return &ch->regs[ch->owner];
}

static void
ch_update_irq(PiixChannel *ch)
{
    gsi_source_set(&ch->irq, ch->irq_pending && !(ch->control & CONTROL_NIEN));
}

static void
ch_raise(PiixChannel *ch)
{
    ch->irq_pending = true;
    ch->bm_status |= BM_IRQ;
    ch_update_irq(ch);
}

static void
ch_defer(PiixChannel *ch, PiixWork work)
{
    ch->work = work;
    if (!ch->queued)
        io_loop_defer(ch->piix->loop, piix_channel_run, ch);
    ch->queued = true;
}

static void
ch_empty_buffer(PiixChannel *ch)
{
    ch->pio_at = ch->pio_len = 0;
}

/* ---- resets ---- */

static void
ch_signature(PiixChannel *ch)
{
    for (unsigned i = 0; i < ATA_UNITS; i++) {
        PiixRegs *r = &ch->regs[i];
        AtaTaskfile tf = { 0 };

        *r = (PiixRegs){ 0 };
        if (!ch->bus.drives[i])
            continue;
        ata_drive_signature(ch->bus.drives[i], &tf);
        r->count[0] = (uint8_t)tf.count;
        r->low[0] = (uint8_t)tf.lba;
        r->mid[0] = (uint8_t)(tf.lba >> 8);
        r->high[0] = (uint8_t)(tf.lba >> 16);
        r->error = tf.error;
        r->status = tf.status;
    }
}

static void
ch_finish_reset(PiixChannel *ch)
{
    ch->resetting = ch->active = ch->orphan = ch->dma_wanted = ch->fetching = false;
    ch->restore = false;
    ch_empty_buffer(ch);
    for (unsigned i = 0; i < ATA_UNITS; i++) {
        if (ch->bus.drives[i])
            ata_drive_reset(ch->bus.drives[i], false);
    }
    ch_signature(ch);
    ch->unit = 0;
}

void
piix_channel_reset(PiixChannel *ch)
{
    for (unsigned i = 0; i < ATA_UNITS; i++) {
        if (ch->bus.drives[i])
            ch->regs[i].status = ATA_SR_BUSY;
    }
    ch->irq_pending = false;
    ch_update_irq(ch);
    ch_empty_buffer(ch);
    ch->orphan = ch->active;
    ch->resetting = true;
    ch_defer(ch, PIIX_RESET);
}

void
piix_channel_power_on(PiixChannel *ch)
{
    ch->control = ch->bm_command = ch->bm_status = 0;
    ch->bm_table = 0;
    ch->irq_pending = ch->waiting = false;
    ch_update_irq(ch);
    ch_finish_reset(ch);
}

/* ---- PIO ---- */

static void
ch_offer(PiixChannel *ch, uint32_t len, bool in, bool irq)
{
    PiixRegs *r = ch_regs(ch);

    ch->pio_at = 0;
    ch->pio_len = len;
    ch->pio_in = in;
    r->status = ATA_SR_READY | ATA_SR_SEEK | ATA_SR_DRQ;
    if (irq)
        ch_raise(ch);
}

/* Bytes of the next DRQ. */
static uint32_t
ch_chunk(const PiixChannel *ch)
{
    uint64_t left = ch->req.length - ch->req.moved;
    uint64_t most = ch->req.tf.command == COMMAND_PACKET ? ch->limit : ch->req.block;

    return (uint32_t)MIN(MIN(left, most), (uint64_t)PIIX_PIO_MAX);
}

/* ---- the end of a command ---- */

static void
ch_end(PiixChannel *ch, bool irq)
{
    PiixRegs *r = ch_regs(ch);
    const AtaTaskfile *tf = &ch->req.tf;

    ata_request_end(&ch->req);
    ch->active = ch->dma_wanted = false;
    r->status = tf->status;
    r->error = tf->error;
    r->count[0] = (uint8_t)tf->count;
    r->count[1] = (uint8_t)(tf->count >> 8);
    r->low[0] = (uint8_t)tf->lba;
    r->mid[0] = (uint8_t)(tf->lba >> 8);
    r->high[0] = (uint8_t)(tf->lba >> 16);
    r->low[1] = (uint8_t)(tf->lba >> 24);
    r->mid[1] = (uint8_t)(tf->lba >> 32);
    r->high[1] = (uint8_t)(tf->lba >> 40);
    if (irq)
        ch_raise(ch);
}

/* ---- bus master ---- */

/* The memory of the transfer by the table; the number of pieces, 0 with BM_ERROR set. */
static unsigned
ch_map(PiixChannel *ch)
{
    GuestMemory *memory = ch->piix->pci.device.machine->memory;
    uint64_t left = ch->req.length - ch->req.moved;
    bool end = false;
    unsigned n = 0;

    for (unsigned i = 0; i < PRD_MAX && !end && left > 0; i++) {
        uint8_t prd[8];
        uint64_t len;
        int got;

        if (guest_memory_read(memory, (uint64_t)ch->bm_table + (uint64_t)i * 8, prd, sizeof(prd)) <
            0)
            return 0;
        len = bytes_load16(prd + 4) & 0xfffeu;
        len = MIN(len ? len : 65536, left);
        end = prd[7] & PRD_END;
        if (n + 2 > ch->room) {
            ch->room = MAX(ch->room * 2, 16u);
            ch->iov = g_renew(struct iovec, ch->iov, ch->room);
        }
        got = guest_memory_iov(memory, bytes_load32(prd) & ~1u, len, ch->iov + n, ch->room - n);
        if (got < 0)
            return 0;
        n += (unsigned)got;
        left -= len;
    }
    if (end && left == 0)
        ch->bm_status &= (uint8_t)~BM_ACTIVE;
    return n;
}

static void
ch_run_dma(PiixChannel *ch)
{
    bool in = ch->req.phase == ATA_DATA_IN;
    unsigned n;

    ch->dma_wanted = false;
    if (!pci_bus_master(&ch->piix->pci) || in != !!(ch->bm_command & BM_TO_MEMORY) ||
        (n = ch_map(ch)) == 0) {
        ch->bm_status = (uint8_t)((ch->bm_status & ~BM_ACTIVE) | BM_ERROR);
        ata_request_abort(&ch->req, ATA_ER_ABORT);
        return;
    }
    ata_request_move(&ch->req, ch->iov, n);
    if (ch->req.phase == ATA_DATA_IN || ch->req.phase == ATA_DATA_OUT) {
        ch->bm_status &= (uint8_t)~BM_ACTIVE; /* the table was too short */
        ata_request_abort(&ch->req, ATA_ER_ABORT);
    }
}

void
piix_channel_dma(PiixChannel *ch)
{
    if (ch->dma_wanted)
        ch_defer(ch, PIIX_DMA);
}

/* ---- in the loop ---- */

/* Goes on with a command that is not waiting for the drive. */
static void
ch_advance(PiixChannel *ch)
{
    AtaRequest *req = &ch->req;
    PiixRegs *r = ch_regs(ch);
    bool packet = req->tf.command == COMMAND_PACKET;

    ch->waiting = req->phase == ATA_WAIT;
    if (ch->waiting)
        return;
    if (ch->orphan) {
        ata_request_end(req);
        ch_finish_reset(ch);
        return;
    }
    if (ch->fetching && !(req->phase == ATA_DONE && (req->tf.status & ATA_SR_ERR))) {
        ch->fetching = false;
        if (packet) {
            r->count[0] = REASON_IN;
            r->mid[0] = (uint8_t)ch->pio_len;
            r->high[0] = (uint8_t)(ch->pio_len >> 8);
        }
        ch_offer(ch, ch->pio_len, true, true);
        return;
    }
    ch->fetching = false;
    switch (req->phase) {
    case ATA_PACKET:
        r->count[0] = REASON_COMMAND;
        ch_offer(ch, ATA_PACKET_SIZE, false, false);
        break;
    case ATA_DATA_IN:
    case ATA_DATA_OUT:
        if (req->dma) {
            if (req->moved > 0) { /* the table ended before the transfer did */
                ch->bm_status &= (uint8_t)~BM_ACTIVE;
                ata_request_abort(req, ATA_ER_ABORT);
                ch_end(ch, true);
                break;
            }
            ch->dma_wanted = true;
            r->status = ATA_SR_READY | ATA_SR_SEEK | ATA_SR_DRQ;
            if (ch->bm_status & BM_ACTIVE)
                ch_defer(ch, PIIX_DMA);
        } else if (req->phase == ATA_DATA_IN) {
            ch_defer(ch, PIIX_FETCH);
        } else {
            bool first = req->moved == 0;

                if (packet) {
                r->count[0] = 0;
                r->mid[0] = (uint8_t)ch_chunk(ch);
                r->high[0] = (uint8_t)(ch_chunk(ch) >> 8);
            }
            ch_offer(ch, ch_chunk(ch), false, packet || !first);
        }
        break;
    default:
        ch_end(ch, true);
        break;
    }
}

static void
ch_start(PiixChannel *ch)
{
    PiixRegs *r = ch_regs(ch);
    AtaTaskfile *tf = &ch->req.tf;

    tf->features = (uint16_t)(r->features[0] | r->features[1] << 8);
    tf->count = (uint16_t)(r->count[0] | r->count[1] << 8);
    tf->lba = r->low[0] | (uint64_t)r->mid[0] << 8 | (uint64_t)r->high[0] << 16 |
              (uint64_t)r->low[1] << 24 | (uint64_t)r->mid[1] << 32 | (uint64_t)r->high[1] << 40;
    tf->device = r->device;
    ch->limit = (uint32_t)(r->mid[0] | r->high[0] << 8);
    if (ch->limit == 0 || ch->limit == 0xffff)
        ch->limit = 0xfffe;
    ch->limit -= ch->limit > 1 ? ch->limit & 1 : 0;
    ch->req.drive = ch->bus.drives[ch->owner];
    ch->req.step = piix_channel_step;
    ata_request_start(&ch->req);
}

static void
ch_stored(PiixChannel *ch)
{
    struct iovec iov = { ch->buffer, ch->pio_len };

    ch_empty_buffer(ch);
    if (ch->req.phase == ATA_PACKET) {
        memset(ch->req.packet, 0, sizeof(ch->req.packet));
        memcpy(ch->req.packet, ch->buffer, ATA_PACKET_SIZE);
        ata_request_packet(&ch->req);
    } else {
        ch->own = iov;
        ata_request_move(&ch->req, &ch->own, 1);
    }
}

static void
ch_fetch(PiixChannel *ch)
{
    ch->pio_len = ch_chunk(ch);
    ch->pio_at = 0;
    ch->fetching = true;
    ch->own = (struct iovec){ ch->buffer, ch->pio_len };
    ata_request_move(&ch->req, &ch->own, 1);
}

static void
ch_work(PiixChannel *ch)
{
    if (ch->resetting) {
        if (!ch->waiting && !(ch->control & CONTROL_SRST)) {
            if (ch->active)
                ata_request_end(&ch->req);
            ch_finish_reset(ch);
        }
        return;
    }
    if (!ch->active || ch->waiting)
        return;
    switch (ch->work) {
    case PIIX_START:
        ch_start(ch);
        break;
    case PIIX_FETCH:
        ch_fetch(ch);
        break;
    case PIIX_STORED:
        ch_stored(ch);
        break;
    case PIIX_DMA:
        if (!ch->dma_wanted)
            return;
        ch_run_dma(ch);
        break;
    default:
        return;
    }
    ch_advance(ch);
    drive_submit(&ch->req.drive->drive);
}

void
piix_channel_run(void *opaque)
{
    PiixChannel *ch = opaque;
    GMutex *lock = &ch->piix->pci.device.lock;

    g_mutex_lock(lock);
    ch->queued = false;
    ch_work(ch);
    g_mutex_unlock(lock);
}

void
piix_channel_step(AtaRequest *req)
{
    PiixChannel *ch = (PiixChannel *)((uint8_t *)req - offsetof(PiixChannel, req));
    GMutex *lock = &ch->piix->pci.device.lock;

    g_mutex_lock(lock);
    ch->waiting = false;
    if (ch->resetting)
        ch_work(ch);
    else
        ch_advance(ch);
    g_mutex_unlock(lock);
}

void
piix_channel_restore(PiixChannel *ch)
{
    AtaRequest *req = &ch->req;
    uint8_t phase = ch->saved_phase;

    req->tf.command = ch->saved_command;
    if (!ch->active || !ch->bus.drives[ch->owner]) {
        ch->active = false;
        return;
    }
    ch_start(ch);
    req->tf.command = ch->saved_command;
    if (req->phase == ATA_PACKET && phase != ATA_PACKET) {
        memcpy(req->packet, ch->saved_packet, sizeof(req->packet));
        ata_request_packet(req);
    }
    if (req->phase == ATA_WAIT) {
        ch->waiting = true;
        return;
    }
    if (phase == ATA_DONE) { /* all that is left is in the buffer */
        req->phase = ATA_DONE;
        req->tf.status = ATA_SR_READY | ATA_SR_SEEK;
        req->tf.error = 0;
        return;
    }
    if (ch->saved_moved <= req->length)
        req->moved = req->scsi.moved = ch->saved_moved;
    if (ch->dma_wanted && ch->bm_status & BM_ACTIVE)
        ch_defer(ch, PIIX_DMA);
    else if (ch->pio_len == 0 && !ch->dma_wanted)
        ch_advance(ch);
}

/* ---- registers; a vCPU with the lock held ---- */

static uint8_t
ch_status(PiixChannel *ch)
{
    return ch->bus.drives[ch->unit] ? ch->regs[ch->unit].status : 0;
}

/* The buffer is empty (or full): what comes then. */
static void
ch_pio_over(PiixChannel *ch)
{
    PiixRegs *r = ch_regs(ch);

    if (ch->pio_in && ch->req.phase == ATA_DONE) {
        ch_empty_buffer(ch);
        ch_end(ch, ch->req.tf.command == COMMAND_PACKET);
        return;
    }
    r->status = ATA_SR_BUSY;
    if (ch->pio_in)
        ch_empty_buffer(ch);
    ch_defer(ch, ch->pio_in ? PIIX_FETCH : PIIX_STORED);
}

static bool
ch_pio_open(const PiixChannel *ch, bool in)
{
    return ch->active && !ch->waiting && ch->unit == ch->owner && ch->pio_in == in &&
           ch->pio_at < ch->pio_len && (ch->regs[ch->owner].status & ATA_SR_DRQ);
}

static uint64_t
ch_data_read(PiixChannel *ch, unsigned size)
{
    uint64_t value;

    if (!ch_pio_open(ch, true))
        return 0;
    size = MIN(size, ch->pio_len - ch->pio_at);
    value = bytes_load(ch->buffer + ch->pio_at, size);
    ch->pio_at += size;
    if (ch->pio_at == ch->pio_len)
        ch_pio_over(ch);
    return value;
}

static void
ch_data_write(PiixChannel *ch, uint64_t value, unsigned size)
{
    if (!ch_pio_open(ch, false))
        return;
    size = MIN(size, ch->pio_len - ch->pio_at);
    bytes_store(ch->buffer + ch->pio_at, value, size);
    ch->pio_at += size;
    if (ch->pio_at == ch->pio_len)
        ch_pio_over(ch);
}

static uint8_t
ch_read(PiixChannel *ch, unsigned reg)
{
    const PiixRegs *r = &ch->regs[ch->unit];
    unsigned hob = ch->control & CONTROL_HOB ? 1 : 0;

    if (!ch->bus.drives[0] && !ch->bus.drives[1])
        return reg == 7 ? 0 : 0xff;
    switch (reg) {
    case 1:
        return r->error;
    case 2:
        return r->count[hob];
    case 3:
        return r->low[hob];
    case 4:
        return r->mid[hob];
    case 5:
        return r->high[hob];
    case 6:
        return (uint8_t)(r->device | 0xa0);
    default:
        ch->irq_pending = false;
        ch_update_irq(ch);
        return ch_status(ch);
    }
}

static void
ch_command(PiixChannel *ch, uint8_t command)
{
    AtaDrive *drive = ch->bus.drives[ch->unit];

    if (!drive || ch->resetting)
        return;
    ch->irq_pending = false;
    ch_update_irq(ch);
    if (drive->atapi && command == COMMAND_DEVICE_RESET && ch->active) {
        piix_channel_reset(ch);
        return;
    }
    if (ch->active)
        return;
    ch->active = true;
    ch->owner = ch->unit;
    ch->req.tf.command = command;
    ch->regs[ch->unit].status = ATA_SR_BUSY;
    ch->regs[ch->unit].error = 0;
    ch_empty_buffer(ch);
    ch_defer(ch, PIIX_START);
}

static void
push(uint8_t *reg, uint8_t value)
{
    reg[1] = reg[0];
    reg[0] = value;
}

static void
ch_write(PiixChannel *ch, unsigned reg, uint8_t value)
{
    ch->control &= (uint8_t)~CONTROL_HOB;
    if (reg == 7) {
        ch_command(ch, value);
        return;
    }
    if (reg == 6) {
        ch->unit = value & ATA_DEV_SLAVE ? 1 : 0;
    } else if (ch->active) {
        return; /* BSY or DRQ: the drive does not listen */
    }
    for (unsigned i = 0; i < ATA_UNITS; i++) {
        PiixRegs *r = &ch->regs[i];

        switch (reg) {
        case 1:
            push(r->features, value);
            break;
        case 2:
            push(r->count, value);
            break;
        case 3:
            push(r->low, value);
            break;
        case 4:
            push(r->mid, value);
            break;
        case 5:
            push(r->high, value);
            break;
        default:
            r->device = value;
            break;
        }
    }
}

static uint64_t
ports_read(void *opaque, uint64_t offset, unsigned size)
{
    PiixChannel *ch = opaque;
    uint64_t value = 0;

    if (offset == 0)
        return ch_data_read(ch, size);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)ch_read(ch, (unsigned)offset + i) << (8 * i);
    return value;
}

static void
ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PiixChannel *ch = opaque;

    if (offset == 0) {
        ch_data_write(ch, value, size);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        ch_write(ch, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
}

static uint64_t
alternate_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ch_status(opaque);
}

static void
alternate_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PiixChannel *ch = opaque;
    uint8_t old = ch->control;

    (void)offset;
    (void)size;
    ch->control = (uint8_t)value & (CONTROL_NIEN | CONTROL_SRST | CONTROL_HOB);
    if (!(old & CONTROL_SRST) && (value & CONTROL_SRST))
        piix_channel_reset(ch);
    else if ((old & CONTROL_SRST) && !(value & CONTROL_SRST))
        ch_defer(ch, PIIX_RESET);
    ch_update_irq(ch);
}

const IoOps piix_port_ops = { ports_read, ports_write, .sizes = 1 | 2 | 4, .unaligned = true };
const IoOps piix_alternate_ops = { alternate_read, alternate_write, .sizes = 1 };
