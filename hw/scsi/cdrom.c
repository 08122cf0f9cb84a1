/* cdrom.c - commands of a drive for CDs and DVDs (MMC-5 6): a disc of one data track, read only.
 *
 * Leaves out: audio, raw sectors (READ CD gives user data only), writing, DVD keys.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/scsi/private.h"

#include <string.h>

enum {
    SECTOR = 2048,
    CD_BLOCKS_MAX = 80 * 60 * 75, /* beyond 80 minutes it is a DVD */
    LEAD_OUT = 0xaa,
    PROFILE_CD_ROM = 0x0008,
    PROFILE_DVD_ROM = 0x0010,
};

static bool
cdrom_is_dvd(const ScsiLun *lun)
{
    return scsi_blocks(lun) > CD_BLOCKS_MAX;
}

/* An address as a number, or as minutes, seconds and frames from the start of the disc. */
static void
cdrom_address(uint8_t *p, uint64_t lba, bool msf)
{
    uint64_t frame = lba + 150;

    scsi_store(p, lba, 4);
    if (!msf)
        return;
    p[0] = 0;
    p[1] = (uint8_t)(frame / (60 * 75));
    p[2] = (uint8_t)(frame / 75 % 60);
    p[3] = (uint8_t)(frame % 75);
}

static size_t
cdrom_toc(const ScsiLun *lun, uint8_t *buf, bool msf, uint8_t first)
{
    size_t n = 4;

    buf[2] = buf[3] = 1;
    if (first <= 1) {
        buf[n + 1] = 0x14; /* data, no copy */
        buf[n + 2] = 1;
        cdrom_address(buf + n + 4, 0, msf);
        n += 8;
    }
    buf[n + 1] = 0x14;
    buf[n + 2] = LEAD_OUT;
    cdrom_address(buf + n + 4, scsi_blocks(lun), msf);
    return n + 8;
}

static size_t
cdrom_full_toc(const ScsiLun *lun, uint8_t *buf, bool msf)
{
    static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 1 };
    size_t n = 4;

    buf[2] = buf[3] = 1;
    for (size_t i = 0; i < G_N_ELEMENTS(points); i++) {
        uint8_t address[4];

        buf[n] = 1;
        buf[n + 1] = 0x14;
        buf[n + 3] = points[i];
        if (points[i] == 0xa0 || points[i] == 0xa1) {
            buf[n + 8] = 1; /* first and last track */
        } else {
            cdrom_address(address, points[i] == 0xa2 ? scsi_blocks(lun) : 0, msf);
            memcpy(buf + n + 8, address + 1, 3);
        }
        n += 11;
    }
    return n;
}

ScsiPhase
scsi_run_read_toc(ScsiRequest *req)
{
    bool msf = req->cdb[1] & 2;
    unsigned format = req->cdb[2] & 0xf;
    uint8_t *buf = scsi_buffer(req, 64);
    size_t n;

    if (format == 0)
        format = req->cdb[9] >> 6; /* where SFF-8020i had it */
    switch (format) {
    case 0:
        if (req->cdb[6] > 1 && req->cdb[6] != LEAD_OUT)
            return scsi_refuse(req, SENSE_INVALID_FIELD);
        n = cdrom_toc(req->lun, buf, msf, req->cdb[6]);
        break;
    case 1: /* one session */
        n = 12;
        buf[2] = buf[3] = 1;
        buf[5] = 0x14;
        buf[6] = 1;
        cdrom_address(buf + 8, 0, msf);
        break;
    case 2:
        n = cdrom_full_toc(req->lun, buf, msf);
        break;
    default:
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    }
    scsi_store(buf, n - 2, 2);
    return scsi_answer(req, n, scsi_load(req->cdb + 7, 2));
}

ScsiPhase
scsi_run_get_configuration(ScsiRequest *req)
{
    ScsiLun *lun = req->lun;
    unsigned start = (unsigned)scsi_load(req->cdb + 2, 2), kind = req->cdb[1] & 3;
    unsigned profile = !drive_ready(lun->drive) ? 0
                       : cdrom_is_dvd(lun)      ? PROFILE_DVD_ROM
                                                : PROFILE_CD_ROM;
    /* code, version and flags (persistent 2, current 1), bytes that follow */
    struct {
        uint16_t code;
        uint8_t flags, size;
    } features[] = {
        { 0x0000, 3, 8 },                                  /* profile list */
        { 0x0001, 3 | 2 << 2, 8 },                         /* core: ATAPI */
        { 0x0002, 3 | 1 << 2, 4 },                         /* morphing */
        { 0x0003, 3 | 1 << 2, 4 },                         /* removable medium */
        { 0x0010, profile ? 1 : 0, 8 },                    /* random readable */
        { 0x001e, profile == PROFILE_CD_ROM ? 1 : 0, 4 },  /* CD read */
        { 0x001f, profile == PROFILE_DVD_ROM ? 1 : 0, 4 }, /* DVD read */
    };
    uint8_t *buf = scsi_buffer(req, 128);
    size_t n = 8;

    if (kind == 3)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    scsi_store(buf + 6, profile, 2);
    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        uint8_t *f = buf + n;

        if (kind == 2 ? features[i].code != start
                      : features[i].code < start || (kind == 1 && !(features[i].flags & 1)))
            continue;
        scsi_store(f, features[i].code, 2);
        f[2] = features[i].flags;
        f[3] = features[i].size;
        if (features[i].code == 0x0000) {
            scsi_store(f + 4, PROFILE_DVD_ROM, 2);
            f[6] = profile == PROFILE_DVD_ROM;
            scsi_store(f + 8, PROFILE_CD_ROM, 2);
            f[10] = profile == PROFILE_CD_ROM;
        } else if (features[i].code == 0x0001) {
            scsi_store(f + 4, lun->keeps_sense ? 2 : 1, 4);
            f[8] = 1;
        } else if (features[i].code == 0x0002) {
            f[4] = 2; /* operational changes are told */
        } else if (features[i].code == 0x0003) {
            f[4] = 0x39; /* tray, eject, load, lock */
        } else if (features[i].code == 0x0010) {
            scsi_store(f + 4, SECTOR, 4);
            scsi_store(f + 8, 16, 2);
            f[10] = 1;
        }
        n += 4 + (size_t)features[i].size;
    }
    scsi_store(buf, n - 4, 4);
    return scsi_answer(req, n, scsi_load(req->cdb + 7, 2));
}

/* MMC-5 6.6; polled only. Class 4: media. */
ScsiPhase
scsi_run_get_event_status(ScsiRequest *req)
{
    enum { CLASS_MEDIA = 4, EVENT_EJECT = 1, EVENT_NEW = 2, EVENT_REMOVED = 3 };
    ScsiLun *lun = req->lun;
    uint8_t *buf = scsi_buffer(req, 8);

    if (!(req->cdb[1] & 1)) /* asynchronous */
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    buf[3] = 1 << CLASS_MEDIA;
    if (!(req->cdb[4] & 1 << CLASS_MEDIA)) {
        buf[1] = 2;
        buf[2] = 0x80; /* no event of such a class */
        return scsi_answer(req, 4, scsi_load(req->cdb + 7, 2));
    }
    buf[1] = 6;
    buf[2] = CLASS_MEDIA;
    if (lun->eject_event)
        buf[4] = EVENT_EJECT;
    else if (lun->media_event)
        buf[4] = lun->media_gone ? EVENT_REMOVED : EVENT_NEW;
    if (lun->eject_event)
        lun->eject_event = false;
    else
        lun->media_event = false;
    buf[5] = (g_atomic_int_get(&lun->drive->tray_open) ? 1 : 0) | (drive_ready(lun->drive) ? 2 : 0);
    return scsi_answer(req, 8, scsi_load(req->cdb + 7, 2));
}

ScsiPhase
scsi_run_read_disc_information(ScsiRequest *req)
{
    uint8_t *buf = scsi_buffer(req, 34);

    if (req->cdb[1] & 7)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    buf[1] = 32;
    buf[2] = 0x0e; /* complete disc, last session complete */
    buf[3] = buf[4] = buf[5] = buf[6] = 1;
    buf[7] = 0x20; /* unrestricted use */
    memset(buf + 17, 0xff, 7);
    return scsi_answer(req, 34, scsi_load(req->cdb + 7, 2));
}

ScsiPhase
scsi_run_read_track_information(ScsiRequest *req)
{
    uint8_t *buf = scsi_buffer(req, 36);

    if ((req->cdb[1] & 3) == 1 && scsi_load(req->cdb + 2, 4) > 1)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    buf[1] = 34;
    buf[2] = buf[3] = 1;
    buf[5] = 4; /* data */
    buf[6] = 1;
    scsi_store(buf + 24, scsi_blocks(req->lun), 4);
    return scsi_answer(req, 36, scsi_load(req->cdb + 7, 2));
}

ScsiPhase
scsi_run_mechanism_status(ScsiRequest *req)
{
    uint8_t *buf = scsi_buffer(req, 8);

    buf[1] = g_atomic_int_get(&req->lun->drive->tray_open) ? 0x10 : 0;
    buf[5] = 1;
    return scsi_answer(req, 8, scsi_load(req->cdb + 8, 2));
}

ScsiPhase
scsi_run_get_performance(ScsiRequest *req)
{
    uint8_t *buf = scsi_buffer(req, 24);
    uint64_t size = scsi_blocks(req->lun);

    if (req->cdb[10] != 0) /* performance data only */
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    if (size == 0 || scsi_load(req->cdb + 8, 2) == 0) {
        scsi_store(buf, 4, 4);
        return scsi_answer(req, 8, 8);
    }
    scsi_store(buf, 20, 4);
    scsi_store(buf + 12, 50 * 176, 4);
    scsi_store(buf + 16, size - 1, 4);
    scsi_store(buf + 20, 50 * 176, 4);
    return scsi_answer(req, 24, 24);
}

/* READ DISC STRUCTURE, physical format (MMC-5 6.22.3.1); other structures are not on the disc. */
ScsiPhase
scsi_run_read_disc_structure(ScsiRequest *req)
{
    uint64_t blocks = scsi_blocks(req->lun);
    uint8_t *buf = scsi_buffer(req, 2052);

    if (!cdrom_is_dvd(req->lun))
        return scsi_refuse(req, SENSE_INCOMPATIBLE_MEDIUM);
    if (req->cdb[7] != 0 || req->cdb[6] != 0)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    scsi_store(buf, 2050, 2);
    buf[4] = 1;   /* DVD-ROM, part version 1 */
    buf[5] = 0xf; /* 120 mm, no rate given */
    buf[6] = 1;   /* one layer, embossed */
    scsi_store(buf + 9, 0x30000, 3);
    scsi_store(buf + 13, 0x30000 + blocks - 1, 3);
    return scsi_answer(req, 2052, scsi_load(req->cdb + 8, 2));
}

ScsiPhase
scsi_run_read_cd(ScsiRequest *req)
{
    uint64_t lba = scsi_load(req->cdb + 2, 4), blocks = scsi_load(req->cdb + 6, 3);
    uint64_t size = scsi_blocks(req->lun);

    if (blocks == 0 || (req->cdb[9] & 0xf8) == 0)
        return scsi_good(req);
    if ((req->cdb[9] & 0xf8) != 0x10 || (req->cdb[10] & 7)) /* user data alone */
        return scsi_refuse(req, SENSE_TRACK_MODE);
    if (lba > size || blocks > size - lba)
        return scsi_refuse(req, SENSE_LBA_RANGE);
    return scsi_transfer(req, true, lba * SECTOR, blocks * SECTOR);
}
