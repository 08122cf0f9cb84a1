/* command.c - the commands of ATA disks and ATAPI drives, one row each, and their data phases
 * (ATA8-ACS chapter 7; PACKET leads to hw/scsi).
 *
 * Leaves out: the security, HPA, APM, streaming and download features, which IDENTIFY does not
 * name; queued commands other than NCQ.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "hw/ata/ata.h"
#include "hw/core/bytes.h"
#include "hw/core/iov.h"

enum {
    FOR_ATA = 1,
    FOR_ATAPI = 2,
    FOR_BOTH = 3,

    EXT = 1 << 0,      /* 48 bit addresses */
    DMA = 1 << 1,      /* data by DMA */
    WRITES = 1 << 2,   /* to the medium */
    FUA = 1 << 3,      /* on the medium when done */
    MULTIPLE = 1 << 4, /* as many sectors in a DRQ as SET MULTIPLE says */
    QUEUED = 1 << 5,   /* NCQ */

    DSM_SECTORS = 1, /* as IDENTIFY word 105 says */
    DSM_RANGES = DSM_SECTORS * ATA_SECTOR / 8,
};

typedef struct {
    uint8_t first, last; /* opcodes */
    uint8_t kinds;
    uint8_t flags;
    AtaPhase (*run)(AtaRequest *req);
    AtaPhase (*received)(AtaRequest *req); /* the buffer is full */
    AtaPhase (*stepped)(AtaRequest *req);  /* a request of its own is done */
} AtaCommand;

static const AtaCommand *
command_of(const AtaRequest *req)
{
    return req->command;
}

static AtaPhase
ata_good(AtaRequest *req)
{
    req->tf.status = ATA_SR_READY | ATA_SR_SEEK;
    req->tf.error = 0;
    return req->phase = ATA_DONE;
}

AtaPhase
ata_request_abort(AtaRequest *req, uint8_t error)
{
    req->tf.status = ATA_SR_READY | ATA_SR_SEEK | ATA_SR_ERR;
    req->tf.error = error;
    return req->phase = ATA_DONE;
}

static AtaPhase
ata_abort(AtaRequest *req)
{
    return ata_request_abort(req, ATA_ER_ABORT);
}

static AtaPhase
ata_run_good(AtaRequest *req)
{
    return ata_good(req);
}

static AtaPhase
ata_failed(AtaRequest *req, int ret)
{
    uint8_t error = req->io.kind == DRIVE_READ ? ATA_ER_UNCORRECTABLE : ATA_ER_ABORT;

    if (ret == -ECANCELED)
        error = ATA_ER_ABORT;
    req->drive->failed_tag = req->queued ? req->tag : 0x80;
    req->drive->failed_lba = req->tf.lba;
    ata_request_abort(req, error);
    req->drive->failed_status = req->tf.status;
    req->drive->failed_error = error;
    return req->phase;
}

static uint8_t *
ata_buffer(AtaRequest *req)
{
    if (!req->buffer)
        req->buffer = g_malloc(ATA_SECTOR * DSM_SECTORS);
    memset(req->buffer, 0, ATA_SECTOR * DSM_SECTORS);
    return req->buffer;
}

/* One sector out of the buffer, by PIO unless the command says DMA. */
static AtaPhase
ata_answer(AtaRequest *req)
{
    req->length = req->block = ATA_SECTOR;
    req->media = false;
    req->dma = command_of(req)->flags & DMA;
    return req->phase = ATA_DATA_IN;
}

/* ---- addresses ---- */

/* Sectors [*lba, *lba + *count); false when the drive has no such. */
static bool
ata_range(const AtaRequest *req, uint64_t *lba, uint32_t *count)
{
    const AtaTaskfile *tf = &req->tf;
    const AtaDrive *drive = req->drive;
    uint64_t size = drive_size(&drive->drive) / drive->drive.logical_block_size;
    unsigned flags = command_of(req)->flags;

    if (flags & QUEUED) {
        *lba = tf->lba;
        *count = tf->features ? tf->features : 65536;
    } else if (flags & EXT) {
        *lba = tf->lba;
        *count = tf->count ? tf->count : 65536;
    } else {
        *count = tf->count & 0xff ? tf->count & 0xff : 256;
        if (tf->device & ATA_DEV_LBA) {
            *lba = (tf->lba & 0xffffff) | (uint64_t)(tf->device & 0xf) << 24;
        } else {
            uint64_t cylinder = tf->lba >> 8 & 0xffff, head = tf->device & 0xf;
            uint64_t sector = tf->lba & 0xff;

            if (sector == 0 || sector > drive->sectors || head >= drive->heads)
                return false;
            *lba = (cylinder * drive->heads + head) * drive->sectors + sector - 1;
        }
    }
    return *lba <= size && *count <= size - *lba;
}

/* ---- reading and writing ---- */

static AtaPhase
ata_run_transfer(AtaRequest *req)
{
    AtaDrive *drive = req->drive;
    unsigned flags = command_of(req)->flags, sector = drive->drive.logical_block_size;
    uint64_t lba;
    uint32_t count;

    if ((flags & MULTIPLE) && !drive->multiple)
        return ata_abort(req);
    if ((flags & QUEUED) && !drive->bus->serial)
        return ata_abort(req);
    if ((flags & WRITES) && drive_read_only(&drive->drive))
        return ata_abort(req);
    if (!ata_range(req, &lba, &count))
        return ata_request_abort(req, ATA_ER_NOT_FOUND);
    req->queued = flags & QUEUED;
    req->tag = req->queued ? req->tf.count >> 3 & 0x1f : 0;
    req->dma = flags & DMA;
    req->media = true;
    req->offset = lba * sector;
    req->length = (uint64_t)count * sector;
    req->block = sector * (flags & MULTIPLE ? drive->multiple : 1);
    req->io.kind = flags & WRITES ? DRIVE_WRITE : DRIVE_READ;
    req->io.zeroes = req->io.unmap = false;
    req->io.fua = (flags & FUA) || (req->queued && (req->tf.device & 0x80));
    return req->phase = flags & WRITES ? ATA_DATA_OUT : ATA_DATA_IN;
}

static AtaPhase
ata_run_verify(AtaRequest *req)
{
    uint64_t lba;
    uint32_t count;

    return ata_range(req, &lba, &count) ? ata_good(req) : ata_request_abort(req, ATA_ER_NOT_FOUND);
}

static void
ata_media_done(DriveIo *io, int ret)
{
    AtaRequest *req = (AtaRequest *)((uint8_t *)io - offsetof(AtaRequest, io));

    if (ret < 0) {
        ata_failed(req, ret);
    } else {
        req->moved += io->length;
        if (req->moved == req->length)
            ata_good(req);
        else
            req->phase = io->kind == DRIVE_READ ? ATA_DATA_IN : ATA_DATA_OUT;
    }
    req->step(req);
}

static void
ata_step_done(DriveIo *io, int ret)
{
    AtaRequest *req = (AtaRequest *)((uint8_t *)io - offsetof(AtaRequest, io));

    if (ret < 0)
        ata_failed(req, ret);
    else
        command_of(req)->stepped(req);
    if (req->phase != ATA_WAIT)
        req->step(req);
}

static AtaPhase
ata_step(AtaRequest *req, DriveKind kind, uint64_t offset, uint64_t length)
{
    req->io.drive = &req->drive->drive;
    req->io.kind = kind;
    req->io.zeroes = req->io.unmap = req->io.fua = false;
    req->io.offset = offset;
    req->io.length = length;
    req->io.iov = NULL;
    req->io.n_iov = 0;
    req->io.done = ata_step_done;
    drive_io_start(&req->io);
    return req->phase = ATA_WAIT;
}

static AtaPhase
ata_media_move(AtaRequest *req, const struct iovec *iov, unsigned n_iov)
{
    uint64_t total = iov_bytes(iov, n_iov), bytes = MIN(total, req->length - req->moved);

    bytes -= bytes % BLOCK_SECTOR;
    if (bytes == 0)
        return ata_abort(req); /* a controller's table ended inside a sector */
    if (bytes != total) {
        if (req->slice_room < n_iov) {
            g_free(req->slice);
            req->slice = g_new(struct iovec, n_iov);
            req->slice_room = n_iov;
        }
        n_iov = iov_slice(iov, n_iov, 0, bytes, req->slice);
        iov = req->slice;
    }
    req->io.drive = &req->drive->drive;
    req->io.offset = req->offset + req->moved;
    req->io.length = bytes;
    req->io.iov = iov;
    req->io.n_iov = n_iov;
    req->io.done = ata_media_done;
    drive_io_start(&req->io);
    return req->phase = ATA_WAIT;
}

static AtaPhase
ata_buffer_move(AtaRequest *req, const struct iovec *iov, unsigned n_iov)
{
    size_t left = req->length - req->moved;

    if (req->phase == ATA_DATA_IN) {
        req->moved += iov_write(iov, n_iov, 0, req->buffer + req->moved, left);
        return req->moved == req->length ? ata_good(req) : req->phase;
    }
    req->moved += iov_read(iov, n_iov, 0, req->buffer + req->moved, left);
    return req->moved == req->length ? command_of(req)->received(req) : req->phase;
}

/* ---- packets ---- */

static AtaPhase
ata_take_scsi(AtaRequest *req, ScsiPhase phase)
{
    req->length = req->scsi.length;
    req->moved = req->scsi.moved;
    switch (phase) {
    case SCSI_WAIT:
        return req->phase = ATA_WAIT;
    case SCSI_DATA_IN:
        return req->phase = ATA_DATA_IN;
    case SCSI_DATA_OUT:
        return req->phase = ATA_DATA_OUT;
    default:
        break;
    }
    scsi_request_end(&req->scsi);
    req->tf.count = 3; /* interrupt reason: status */
    if (req->scsi.status == SCSI_GOOD)
        return ata_good(req);
    return ata_request_abort(
        req, (uint8_t)((req->scsi.sense_len ? req->scsi.sense[2] << 4 : 0) | ATA_ER_ABORT));
}

static void
ata_scsi_step(ScsiRequest *scsi)
{
    AtaRequest *req = (AtaRequest *)((uint8_t *)scsi - offsetof(AtaRequest, scsi));

    ata_take_scsi(req, scsi->phase);
    req->step(req);
}

static AtaPhase
ata_run_packet(AtaRequest *req)
{
    if (req->tf.features & 2) /* overlapped */
        return ata_abort(req);
    req->dma = req->tf.features & 1;
    req->block = 0;
    return req->phase = ATA_PACKET;
}

AtaPhase
ata_request_packet(AtaRequest *req)
{
    if (req->phase != ATA_PACKET)
        return req->phase;
    req->scsi.lun = &req->drive->lun;
    req->scsi.step = ata_scsi_step;
    memset(req->scsi.cdb, 0, sizeof(req->scsi.cdb));
    memcpy(req->scsi.cdb, req->packet, ATA_PACKET_SIZE);
    return ata_take_scsi(req, scsi_request_start(&req->scsi));
}

/* ---- what the drive is and does ---- */

static AtaPhase
ata_run_identify(AtaRequest *req)
{
    if (req->drive->atapi == (req->tf.command == 0xec)) {
        /* tells by its signature what it is (7.16.6) */
        ata_drive_signature(req->drive, &req->tf);
        return ata_abort(req);
    }
    ata_identify(req->drive, ata_buffer(req));
    return ata_answer(req);
}

static AtaPhase
ata_run_diagnostic(AtaRequest *req)
{
    ata_drive_signature(req->drive, &req->tf);
    req->tf.error = 1; /* passed */
    return req->phase = ATA_DONE;
}

static AtaPhase
ata_run_device_reset(AtaRequest *req)
{
    ata_drive_reset(req->drive, false);
    ata_drive_signature(req->drive, &req->tf);
    return req->phase = ATA_DONE;
}

static AtaPhase
ata_stepped_good(AtaRequest *req)
{
    return ata_good(req);
}

static AtaPhase
ata_run_flush(AtaRequest *req)
{
    return ata_step(req, DRIVE_FLUSH, 0, 0);
}

static AtaPhase
ata_run_geometry(AtaRequest *req)
{
    AtaDrive *drive = req->drive;
    unsigned heads = (req->tf.device & 0xf) + 1u, sectors = req->tf.count & 0xff;
    uint64_t size = drive_size(&drive->drive) / drive->drive.logical_block_size;

    if (sectors == 0)
        return ata_abort(req);
    drive->heads = (uint16_t)heads;
    drive->sectors = (uint16_t)sectors;
    drive->cylinders = (uint16_t)MIN(size / (heads * sectors), 65535u);
    return ata_good(req);
}

static AtaPhase
ata_run_set_multiple(AtaRequest *req)
{
    unsigned n = req->tf.count & 0xff;

    if (n > 16 || (n & (n - 1)))
        return ata_abort(req);
    req->drive->multiple = (uint8_t)n;
    return ata_good(req);
}

static AtaPhase
ata_run_power(AtaRequest *req)
{
    switch (req->tf.command) {
    case 0xe5:
    case 0x98: /* CHECK POWER MODE */
        req->tf.count = req->drive->standby ? 0x00 : 0xff;
        break;
    case 0xe0:
    case 0xe2:
    case 0x94:
    case 0x96: /* STANDBY (IMMEDIATE) */
        req->drive->standby = true;
        break;
    default:
        req->drive->standby = false;
        break;
    }
    return ata_good(req);
}

static AtaPhase
ata_run_set_features(AtaRequest *req)
{
    AtaDrive *drive = req->drive;
    unsigned mode = req->tf.count & 0xff;

    switch (req->tf.features & 0xff) {
    case 0x02: /* write cache on */
        if (drive->atapi)
            return ata_abort(req);
        drive_set_writeback(&drive->drive, true);
        return ata_good(req);
    case 0x82: /* off: and nothing of it is left */
        if (drive->atapi)
            return ata_abort(req);
        drive_set_writeback(&drive->drive, false);
        return ata_step(req, DRIVE_FLUSH, 0, 0);
    case 0x03: /* transfer mode: PIO, multiword DMA 0-2, Ultra DMA 0-5 */
        if (mode >> 3 > 1 && !(mode >> 3 == 4 && (mode & 7) <= 2) &&
            !(mode >> 3 == 8 && (mode & 7) <= 5))
            return ata_abort(req);
        drive->transfer_mode = (uint8_t)mode;
        return ata_good(req);
    case 0x55:
    case 0xaa: /* read look-ahead */
    case 0x66:
    case 0xcc: /* defaults at soft reset */
        return ata_good(req);
    default:
        return ata_abort(req);
    }
}

/* SMART (7.48 of ACS): the drive is well, and keeps no attributes worth telling. */
static AtaPhase
ata_run_smart(AtaRequest *req)
{
    AtaDrive *drive = req->drive;
    unsigned feature = req->tf.features & 0xff;
    uint8_t *page, sum = 0;

    if ((req->tf.lba >> 8 & 0xffff) != 0xc24f || (!drive->smart && feature != 0xd8))
        return ata_abort(req);
    switch (feature) {
    case 0xd8:
        drive->smart = true;
        return ata_good(req);
    case 0xd9:
        drive->smart = false;
        return ata_good(req);
    case 0xd2: /* autosave of attributes */
        return ata_good(req);
    case 0xda: /* status: no threshold is exceeded */
        req->tf.lba = (req->tf.lba & ~UINT64_C(0xffff00)) | 0xc24f00;
        return ata_good(req);
    case 0xd0:
    case 0xd1: /* data, thresholds */
        page = ata_buffer(req);
        page[0] = 1;
        if (feature == 0xd0)
            page[362] = 0; /* never ran a collection or a self-test */
        for (unsigned i = 0; i < 511; i++)
            sum += page[i];
        page[511] = (uint8_t)-sum;
        return ata_answer(req);
    default:
        return ata_abort(req);
    }
}

/* Log 10h tells which queued command failed (ATA8-ACS A.7). */
static AtaPhase
ata_run_read_log(AtaRequest *req)
{
    AtaDrive *drive = req->drive;
    unsigned log = req->tf.lba & 0xff, first = req->tf.lba >> 8 & 0xff;
    uint8_t *page, sum = 0;

    if (req->tf.count != 1 || first != 0 || (log != 0x00 && log != 0x10))
        return ata_abort(req);
    page = ata_buffer(req);
    if (log == 0) {
        page[0] = 1;
        page[0x20] = 1; /* one page of log 10h */
        return ata_answer(req);
    }
    page[0] = drive->failed_tag;
    page[2] = drive->failed_status;
    page[3] = drive->failed_error;
    for (unsigned i = 0; i < 3; i++) {
        page[4 + i] = (uint8_t)(drive->failed_lba >> (8 * i));
        page[8 + i] = (uint8_t)(drive->failed_lba >> (24 + 8 * i));
    }
    page[7] = ATA_DEV_LBA;
    for (unsigned i = 0; i < 511; i++)
        sum += page[i];
    page[511] = (uint8_t)-sum;
    drive->failed_tag = 0x80;
    return ata_answer(req);
}

/* ---- DATA SET MANAGEMENT: TRIM ---- */

static AtaPhase
ata_run_dsm(AtaRequest *req)
{
    AtaDrive *drive = req->drive;

    if (!(req->tf.features & 1) || !block_node_can_discard(drive->drive.node) ||
        req->tf.count == 0 || req->tf.count > DSM_SECTORS)
        return ata_abort(req);
    ata_buffer(req);
    req->length = ATA_SECTOR * (size_t)req->tf.count;
    req->media = false;
    req->dma = true;
    return req->phase = ATA_DATA_OUT;
}

static AtaPhase
ata_dsm_stepped(AtaRequest *req)
{
    uint32_t sector = req->drive->drive.logical_block_size;

    while (req->next < DSM_RANGES) {
        uint64_t entry = bytes_load64(req->buffer + (size_t)req->next++ * 8);
        uint64_t lba = entry & 0xffffffffffff, count = entry >> 48;

        if (count > 0)
            return ata_step(req, DRIVE_UNMAP, lba * sector, count * sector);
    }
    return ata_good(req);
}

static AtaPhase
ata_dsm_received(AtaRequest *req)
{
    uint64_t size = drive_size(&req->drive->drive) / req->drive->drive.logical_block_size;

    for (unsigned i = 0; i < DSM_RANGES; i++) {
        uint64_t entry = bytes_load64(req->buffer + (size_t)i * 8);
        uint64_t lba = entry & 0xffffffffffff, count = entry >> 48;

        if (lba > size || count > size - lba)
            return ata_request_abort(req, ATA_ER_NOT_FOUND);
    }
    req->next = 0;
    return ata_dsm_stepped(req);
}

/* ---- the table ---- */

static const AtaCommand *
command_find(bool atapi, uint8_t opcode)
{
    static const AtaCommand commands[] = {
        { 0x06, 0x06, FOR_ATA, DMA, ata_run_dsm, ata_dsm_received, ata_dsm_stepped },
        { 0x08, 0x08, FOR_ATAPI, 0, ata_run_device_reset, NULL, NULL },
        { 0x10, 0x1f, FOR_ATA, 0, ata_run_good, NULL, NULL }, /* RECALIBRATE */
        { 0x20, 0x21, FOR_ATA, 0, ata_run_transfer, NULL, NULL },
        { 0x24, 0x24, FOR_ATA, EXT, ata_run_transfer, NULL, NULL },
        { 0x25, 0x25, FOR_ATA, EXT | DMA, ata_run_transfer, NULL, NULL },
        { 0x29, 0x29, FOR_ATA, EXT | MULTIPLE, ata_run_transfer, NULL, NULL },
        { 0x2f, 0x2f, FOR_ATA, EXT, ata_run_read_log, NULL, NULL },
        { 0x30, 0x31, FOR_ATA, WRITES, ata_run_transfer, NULL, NULL },
        { 0x34, 0x34, FOR_ATA, EXT | WRITES, ata_run_transfer, NULL, NULL },
        { 0x35, 0x35, FOR_ATA, EXT | DMA | WRITES, ata_run_transfer, NULL, NULL },
        { 0x39, 0x39, FOR_ATA, EXT | MULTIPLE | WRITES, ata_run_transfer, NULL, NULL },
        { 0x3d, 0x3d, FOR_ATA, EXT | DMA | WRITES | FUA, ata_run_transfer, NULL, NULL },
        { 0x40, 0x41, FOR_ATA, 0, ata_run_verify, NULL, NULL },
        { 0x42, 0x42, FOR_ATA, EXT, ata_run_verify, NULL, NULL },
        { 0x47, 0x47, FOR_ATA, EXT | DMA, ata_run_read_log, NULL, NULL },
        { 0x60, 0x60, FOR_ATA, DMA | QUEUED, ata_run_transfer, NULL, NULL },
        { 0x61, 0x61, FOR_ATA, DMA | QUEUED | WRITES, ata_run_transfer, NULL, NULL },
        { 0x70, 0x7f, FOR_ATA, 0, ata_run_good, NULL, NULL }, /* SEEK */
        { 0x90, 0x90, FOR_BOTH, 0, ata_run_diagnostic, NULL, NULL },
        { 0x91, 0x91, FOR_ATA, 0, ata_run_geometry, NULL, NULL },
        { 0x94, 0x98, FOR_BOTH, 0, ata_run_power, NULL, NULL },
        { 0xa0, 0xa0, FOR_ATAPI, 0, ata_run_packet, NULL, NULL },
        { 0xa1, 0xa1, FOR_BOTH, 0, ata_run_identify, NULL, NULL },
        { 0xb0, 0xb0, FOR_ATA, 0, ata_run_smart, NULL, NULL },
        { 0xc4, 0xc4, FOR_ATA, MULTIPLE, ata_run_transfer, NULL, NULL },
        { 0xc5, 0xc5, FOR_ATA, MULTIPLE | WRITES, ata_run_transfer, NULL, NULL },
        { 0xc6, 0xc6, FOR_ATA, 0, ata_run_set_multiple, NULL, NULL },
        { 0xc8, 0xc9, FOR_ATA, DMA, ata_run_transfer, NULL, NULL },
        { 0xca, 0xcb, FOR_ATA, DMA | WRITES, ata_run_transfer, NULL, NULL },
        { 0xce, 0xce, FOR_ATA, EXT | MULTIPLE | WRITES | FUA, ata_run_transfer, NULL, NULL },
        { 0xe0, 0xe3, FOR_BOTH, 0, ata_run_power, NULL, NULL },
        { 0xe5, 0xe6, FOR_BOTH, 0, ata_run_power, NULL, NULL },
        { 0xe7, 0xe7, FOR_BOTH, 0, ata_run_flush, NULL, ata_stepped_good },
        { 0xea, 0xea, FOR_ATA, EXT, ata_run_flush, NULL, ata_stepped_good },
        { 0xec, 0xec, FOR_BOTH, 0, ata_run_identify, NULL, NULL },
        { 0xef, 0xef, FOR_BOTH, 0, ata_run_set_features, NULL, ata_stepped_good },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        const AtaCommand *c = &commands[i];

        if (opcode >= c->first && opcode <= c->last && (c->kinds & (atapi ? FOR_ATAPI : FOR_ATA)))
            return c;
    }
    return NULL;
}

AtaPhase
ata_request_start(AtaRequest *req)
{
    const AtaCommand *command = command_find(req->drive->atapi, req->tf.command);

    req->command = command;
    req->length = req->moved = 0;
    req->dma = req->queued = false;
    req->block = ATA_SECTOR;
    if (!command)
        return ata_abort(req);
    if (req->tf.command < 0xe0 && command->run != ata_run_power)
        req->drive->standby = false;
    return command->run(req);
}

AtaPhase
ata_request_move(AtaRequest *req, const struct iovec *iov, unsigned n_iov)
{
    if (req->phase != ATA_DATA_IN && req->phase != ATA_DATA_OUT)
        return req->phase;
    if (req->tf.command == 0xa0)
        return ata_take_scsi(req, scsi_request_move(&req->scsi, iov, n_iov));
    return req->media ? ata_media_move(req, iov, n_iov) : ata_buffer_move(req, iov, n_iov);
}

void
ata_request_end(AtaRequest *req)
{
    if (req->tf.command == 0xa0)
        scsi_request_end(&req->scsi);
}

void
ata_request_clear(AtaRequest *req)
{
    g_clear_pointer(&req->buffer, g_free);
    g_clear_pointer(&req->slice, g_free);
    req->slice_room = 0;
    drive_io_clear(&req->io);
    scsi_request_clear(&req->scsi);
}
