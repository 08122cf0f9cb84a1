/* disk.c - commands that move data to and from the medium, or the medium itself (SBC-3 5).
 *
 * Leaves out: protection information, VERIFY with BYTCHK, power conditions, caching hints (DPO).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/scsi/private.h"

#include <errno.h>

/* Where READ, WRITE and VERIFY of 6 to 16 bytes say what they want. */
static void
disk_range(const uint8_t *cdb, uint64_t *lba, uint64_t *blocks)
{
    switch (scsi_cdb_length(cdb[0])) {
    case 6:
        *lba = scsi_load(cdb + 1, 3) & 0x1fffff;
        *blocks = cdb[4] ? cdb[4] : 256;
        break;
    case 10:
        *lba = scsi_load(cdb + 2, 4);
        *blocks = scsi_load(cdb + 7, 2);
        break;
    case 12:
        *lba = scsi_load(cdb + 2, 4);
        *blocks = scsi_load(cdb + 6, 4);
        break;
    default:
        *lba = scsi_load(cdb + 2, 8);
        *blocks = scsi_load(cdb + 10, 4);
        break;
    }
}

static bool
disk_in_range(const ScsiLun *lun, uint64_t lba, uint64_t blocks)
{
    uint64_t size = scsi_blocks(lun);

    return lba <= size && blocks <= size - lba;
}

static ScsiPhase
disk_transfer(ScsiRequest *req, bool in)
{
    ScsiLun *lun = req->lun;
    bool long_form = scsi_cdb_length(req->cdb[0]) > 6;
    uint64_t lba, blocks;

    disk_range(req->cdb, &lba, &blocks);
    if (lun->kind == SCSI_DISK && long_form && (req->cdb[1] & 0xe0))
        return scsi_refuse(req, SENSE_INVALID_FIELD); /* no protection information */
    if (!disk_in_range(lun, lba, blocks))
        return scsi_refuse(req, SENSE_LBA_RANGE);
    if (!in) /* FUA; WRITE AND VERIFY is on the medium when done */
        req->io.fua = (long_form && (req->cdb[1] & 8)) || (req->cdb[0] & 0x1f) == 0x0e;
    return scsi_transfer(req, in, lba * lun->drive->logical_block_size,
                         blocks * lun->drive->logical_block_size);
}

ScsiPhase
scsi_run_read(ScsiRequest *req)
{
    return disk_transfer(req, true);
}

ScsiPhase
scsi_run_write(ScsiRequest *req)
{
    return disk_transfer(req, false);
}

/* The image has no error that reading would not show: what is in range is good. */
ScsiPhase
scsi_run_verify(ScsiRequest *req)
{
    uint64_t lba, blocks;

    disk_range(req->cdb, &lba, &blocks);
    if (req->cdb[1] & 0xe6)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    return disk_in_range(req->lun, lba, blocks) ? scsi_good(req)
                                                : scsi_refuse(req, SENSE_LBA_RANGE);
}

ScsiPhase
scsi_run_seek(ScsiRequest *req)
{
    return disk_in_range(req->lun, scsi_load(req->cdb + 2, 4), 1)
               ? scsi_good(req)
               : scsi_refuse(req, SENSE_LBA_RANGE);
}

ScsiPhase
scsi_run_read_capacity10(ScsiRequest *req)
{
    uint64_t last = scsi_blocks(req->lun);
    uint8_t *buf = scsi_buffer(req, 8);

    if (last == 0)
        return scsi_refuse(req, SENSE_INCOMPATIBLE_MEDIUM);
    if ((req->cdb[8] & 1) == 0 && scsi_load(req->cdb + 2, 4) != 0)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    scsi_store(buf, MIN(last - 1, UINT32_MAX), 4);
    scsi_store(buf + 4, req->lun->drive->logical_block_size, 4);
    return scsi_answer(req, 8, 8);
}

/* READ CAPACITY (16) (SBC-3 5.16); other service actions are not there. */
ScsiPhase
scsi_run_service_in16(ScsiRequest *req)
{
    enum { READ_CAPACITY_16 = 0x10, LBPME = 0x80 };
    ScsiLun *lun = req->lun;
    Drive *drive = lun->drive;
    uint8_t *buf;

    if ((req->cdb[1] & 0x1f) != READ_CAPACITY_16)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    if (scsi_blocks(lun) == 0)
        return scsi_refuse(req, SENSE_INCOMPATIBLE_MEDIUM);
    buf = scsi_buffer(req, 32);
    scsi_store(buf, scsi_blocks(lun) - 1, 8);
    scsi_store(buf + 8, drive->logical_block_size, 4);
    buf[13] = (uint8_t)(g_bit_nth_lsf(drive->physical_block_size, -1) -
                        g_bit_nth_lsf(drive->logical_block_size, -1));
    if (block_node_can_discard(drive->node))
        buf[14] = LBPME;
    return scsi_answer(req, 32, scsi_load(req->cdb + 10, 4));
}

ScsiPhase
scsi_stepped_good(ScsiRequest *req)
{
    return scsi_good(req);
}

/* IMMED is not looked at: the status comes when the data are safe. */
ScsiPhase
scsi_run_flush(ScsiRequest *req)
{
    req->io.kind = DRIVE_FLUSH;
    return scsi_step(req, 0, 0, NULL);
}

ScsiPhase
scsi_run_start_stop(ScsiRequest *req)
{
    ScsiLun *lun = req->lun;
    bool start = req->cdb[4] & 1, load = req->cdb[4] & 2;

    if (req->cdb[4] >> 4) /* power conditions change nothing here */
        return scsi_good(req);
    if (load && !lun->drive->removable)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    if (load && drive_tray(lun->drive, !start) == -EBUSY)
        return scsi_refuse(req, SENSE_REMOVAL_PREVENTED);
    if (!load)
        lun->stopped = !start;
    return scsi_good(req);
}

ScsiPhase
scsi_run_prevent_allow(ScsiRequest *req)
{
    if (req->lun->drive->removable)
        drive_lock_tray(req->lun->drive, req->cdb[4] & 1);
    return scsi_good(req);
}
