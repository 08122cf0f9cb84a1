/* mode.c - MODE SENSE and MODE SELECT (SPC-4 6.13 to 6.16, 7.5; SBC-3 6.4; MMC-5 7).
 *
 * Leaves out: saved pages; nothing but the write cache can be changed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/scsi/private.h"

#include <string.h>

enum {
    PAGE_ERROR_RECOVERY = 0x01,
    PAGE_CACHING = 0x08,
    PAGE_CONTROL = 0x0a,
    PAGE_CD_CAPABILITIES = 0x2a,
    PAGE_ALL = 0x3f,

    PC_CURRENT = 0,
    PC_CHANGEABLE = 1,
    PC_DEFAULT = 2,
    PC_SAVED = 3,

    WCE = 0x04,
    MODE_MAX = 256,
    DESCRIPTOR = 8,
};

/* Writes @page with its head; 0 when the unit has no such page. @control: PC_… */
static size_t
mode_page(ScsiLun *lun, uint8_t page, unsigned control, uint8_t *p)
{
    bool values = control != PC_CHANGEABLE, cdrom = lun->kind == SCSI_CDROM;
    bool cache = control == PC_DEFAULT ? lun->drive->write_cache != ONOFFAUTO_OFF
                                       : drive_writeback(lun->drive);

    p[0] = page;
    switch (page) {
    case PAGE_ERROR_RECOVERY:
        p[1] = 10;
        if (values && !cdrom)
            p[2] = 0x80; /* bad blocks are replaced by themselves */
        if (values && cdrom)
            p[3] = 0x20; /* retries */
        break;
    case PAGE_CACHING:
        if (cdrom)
            return 0;
        p[1] = 18;
        if (!values || cache)
            p[2] = WCE;
        break;
    case PAGE_CONTROL:
        if (cdrom)
            return 0;
        p[1] = 10;
        if (values)
            p[3] = 0x10; /* requests may be reordered */
        break;
    case PAGE_CD_CAPABILITIES:
        if (!cdrom)
            return 0;
        p[1] = 20;
        if (!values)
            break;
        p[2] = 0x3b; /* reads CD-R, CD-RW, method 2, DVD-ROM, DVD-R, DVD-RAM */
        p[4] = 0x70; /* mode 2 forms 1 and 2, multisession */
        p[6] = 0x29 | (g_atomic_int_get(&lun->drive->locked) ? 2 : 0); /* tray, eject, lock */
        scsi_store(p + 8, 50 * 176, 2);
        scsi_store(p + 10, 2, 2);
        scsi_store(p + 12, 2048, 2);
        scsi_store(p + 14, 16 * 176, 2);
        break;
    default:
        return 0;
    }
    return 2 + (size_t)p[1];
}

static size_t
mode_pages(ScsiLun *lun, uint8_t page, unsigned control, uint8_t *p)
{
    static const uint8_t all[] = { PAGE_ERROR_RECOVERY, PAGE_CACHING, PAGE_CONTROL,
                                   PAGE_CD_CAPABILITIES };
    size_t n = 0;

    if (page != PAGE_ALL)
        return mode_page(lun, page, control, p);
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        n += mode_page(lun, all[i], control, p + n);
    return n;
}

ScsiPhase
scsi_run_mode_sense(ScsiRequest *req)
{
    ScsiLun *lun = req->lun;
    bool six = scsi_cdb_length(req->cdb[0]) == 6, disk = lun->kind == SCSI_DISK;
    uint8_t page = req->cdb[2] & 0x3f, *buf = scsi_buffer(req, MODE_MAX);
    unsigned control = req->cdb[2] >> 6;
    size_t head = six ? 4 : 8, n = head, pages;
    uint8_t specific = 0;

    if (control == PC_SAVED)
        return scsi_refuse(req, SENSE_SAVING);
    if (req->cdb[3] != 0 && req->cdb[3] != 0xff)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    if (disk)
        specific = (drive_read_only(lun->drive) ? 0x80 : 0) | 0x10; /* write protected; FUA */
    if (disk && !(req->cdb[1] & 8)) {
        scsi_store(buf + n, MIN(scsi_blocks(lun), 0xffffff), 4);
        scsi_store(buf + n + 5, lun->drive->logical_block_size, 3);
        n += DESCRIPTOR;
    }
    pages = mode_pages(lun, page, control, buf + n);
    if (pages == 0)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    if (six) {
        buf[0] = (uint8_t)(n + pages - 1);
        buf[2] = specific;
        buf[3] = (uint8_t)(n - head);
    } else {
        scsi_store(buf, n + pages - 2, 2);
        buf[3] = specific;
        scsi_store(buf + 6, n - head, 2);
    }
    return scsi_answer(req, n + pages, six ? req->cdb[4] : scsi_load(req->cdb + 7, 2));
}

ScsiPhase
scsi_run_mode_select(ScsiRequest *req)
{
    bool six = scsi_cdb_length(req->cdb[0]) == 6;
    size_t size = six ? req->cdb[4] : scsi_load(req->cdb + 7, 2);

    if ((req->cdb[1] & 0x11) != 0x10) /* pages as the standard has them, not saved */
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    return size == 0 ? scsi_good(req) : scsi_receive(req, size);
}

/* True when what is at @given differs from the unit's page only where it may. */
static bool
mode_page_legal(ScsiLun *lun, const uint8_t *given, size_t size)
{
    uint8_t now[MODE_MAX] = { 0 }, may[MODE_MAX] = { 0 };
    size_t n = mode_page(lun, given[0] & 0x3f, PC_CURRENT, now);

    mode_page(lun, given[0] & 0x3f, PC_CHANGEABLE, may);
    if (n == 0 || n != size || (given[0] & 0x40))
        return false;
    for (size_t i = 2; i < n; i++) {
        if ((given[i] ^ now[i]) & ~may[i])
            return false;
    }
    return true;
}

ScsiPhase
scsi_mode_select_received(ScsiRequest *req)
{
    ScsiLun *lun = req->lun;
    bool six = scsi_cdb_length(req->cdb[0]) == 6, cache = drive_writeback(lun->drive);
    size_t head = six ? 4 : 8, at, descriptor;
    const uint8_t *buf = req->buffer;

    if (req->length < head)
        return scsi_refuse(req, SENSE_LIST_LENGTH);
    descriptor = six ? buf[3] : scsi_load(buf + 6, 2);
    if (descriptor > req->length - head || (descriptor != 0 && descriptor != DESCRIPTOR))
        return scsi_refuse(req, SENSE_PARAMETER);
    if (descriptor && scsi_load(buf + head + 5, 3) != (lun->drive->logical_block_size & 0xffffff))
        return scsi_refuse(req, SENSE_PARAMETER);
    for (at = head + descriptor; at < req->length;) {
        size_t size;

        if (req->length - at < 2 || req->length - at < (size = 2 + (size_t)buf[at + 1]))
            return scsi_refuse(req, SENSE_LIST_LENGTH);
        if (!mode_page_legal(lun, buf + at, size))
            return scsi_refuse(req, SENSE_PARAMETER);
        if ((buf[at] & 0x3f) == PAGE_CACHING)
            cache = buf[at + 2] & WCE;
        at += size;
    }
    if (cache == drive_writeback(lun->drive))
        return scsi_good(req);
    drive_set_writeback(lun->drive, cache);
    /* what the cache held must not be lost when it is switched off */
    req->io.kind = DRIVE_FLUSH;
    return scsi_step(req, 0, 0, NULL);
}
