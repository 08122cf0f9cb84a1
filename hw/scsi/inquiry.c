/* inquiry.c - who the unit is: INQUIRY with its vital product data, REPORT LUNS (SPC-4 6.6, 6.33,
 * 7.8; SBC-3 6.6).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/scsi/private.h"

#include <string.h>

enum {
    TYPE_DISK = 0x00,
    TYPE_CDROM = 0x05,
    VERSION_SPC3 = 5,
    STANDARD_SIZE = 36,
    PAGE_MAX = 255,
    ID_MAX = 247, /* most text of a designator: the page's length is one byte here */
};

/* Text, cut or padded with spaces. */
static void
inquiry_text(uint8_t *to, const char *text, size_t size)
{
    size_t len = strnlen(text, size);

    memcpy(to, text, len);
    memset(to + len, ' ', size - len);
}

static ScsiPhase
inquiry_standard(ScsiRequest *req, uint64_t allocation)
{
    ScsiLun *lun = req->lun;
    bool cdrom = lun->kind == SCSI_CDROM;
    uint8_t *buf = scsi_buffer(req, STANDARD_SIZE);

    buf[0] = cdrom ? TYPE_CDROM : TYPE_DISK;
    buf[1] = lun->drive->removable ? 0x80 : 0;
    buf[2] = VERSION_SPC3;
    buf[3] = 0x12; /* hierarchical addresses, format of SPC-2 and later */
    buf[4] = STANDARD_SIZE - 5;
    buf[7] = 0x02; /* command queueing */
    inquiry_text(buf + 8, lun->vendor ? lun->vendor : "KILN", 8);
    inquiry_text(buf + 16,
                 lun->product ? lun->product
                 : cdrom      ? "KILN CD-ROM"
                              : "KILN HARDDISK",
                 16);
    inquiry_text(buf + 32, lun->revision ? lun->revision : "1.0", 4);
    return scsi_answer(req, STANDARD_SIZE, allocation);
}

static size_t
inquiry_identification(ScsiLun *lun, uint8_t *p)
{
    const char *id = lun->device_id ? lun->device_id : lun->drive->serial;
    uint8_t *at = p;

    if (id && *id) {
        size_t len = MIN(strlen(id), (size_t)ID_MAX - 36);

        at[0] = 0x2; /* ASCII */
        at[1] = 0x0; /* vendor specific */
        at[3] = (uint8_t)len;
        memcpy(at + 4, id, len);
        at += 4 + len;
    }
    if (lun->wwn) {
        at[0] = 0x1; /* binary */
        at[1] = 0x3; /* NAA */
        at[3] = 8;
        scsi_store(at + 4, lun->wwn, 8);
        at += 12;
    }
    if (lun->port_wwn) {
        at[0] = 0x61; /* SAS, binary */
        at[1] = 0x93; /* of the target port, NAA */
        at[3] = 8;
        scsi_store(at + 4, lun->port_wwn, 8);
        at += 12;
    }
    return (size_t)(at - p);
}

static size_t
inquiry_block_limits(ScsiLun *lun, uint8_t *p)
{
    Drive *drive = lun->drive;
    uint32_t block = drive->logical_block_size;
    uint32_t granularity = MAX(drive->discard_granularity, block) / block;

    p[0] = 1; /* WRITE SAME wants a number of blocks */
    scsi_store(p + 2, MIN(drive->min_io_size / block, UINT16_MAX), 2);
    scsi_store(p + 8, drive->opt_io_size / block, 4);
    if (block_node_can_discard(drive->node)) {
        scsi_store(p + 16, SCSI_SAME_BYTES / block, 4);
        scsi_store(p + 20, SCSI_UNMAP_DESCRIPTORS, 4);
        scsi_store(p + 24, granularity, 4);
        p[28] = 0x80; /* alignment 0 is meant */
    }
    scsi_store(p + 32, SCSI_SAME_BYTES / block, 8);
    return 60;
}

static size_t
inquiry_page(ScsiLun *lun, uint8_t page, uint8_t *p)
{
    bool disk = lun->kind == SCSI_DISK, serial = lun->drive->serial && *lun->drive->serial;
    size_t n = 0;

    switch (page) {
    case 0x00:
        p[n++] = 0x00;
        if (serial)
            p[n++] = 0x80;
        p[n++] = 0x83;
        if (disk) {
            p[n++] = 0xb0;
            p[n++] = 0xb1;
            p[n++] = 0xb2;
        }
        return n;
    case 0x80:
        if (!serial)
            return 0;
        n = MIN(strlen(lun->drive->serial), (size_t)PAGE_MAX - 4);
        memcpy(p, lun->drive->serial, n);
        return n;
    case 0x83:
        return inquiry_identification(lun, p);
    case 0xb0:
        return disk ? inquiry_block_limits(lun, p) : 0;
    case 0xb1:
        scsi_store(p, lun->rotation_rate, 2);
        return disk ? 60 : 0;
    case 0xb2:
        if (!disk)
            return 0;
        p[1] = block_node_can_discard(lun->drive->node) ? 0xe0 : 0; /* UNMAP, both WRITE SAME */
        p[2] = p[1] ? 2 : 0;                                        /* thin: space may run out */
        return 4;
    default:
        return 0;
    }
}

ScsiPhase
scsi_run_inquiry(ScsiRequest *req)
{
    uint64_t allocation = scsi_load(req->cdb + 3, 2);
    uint8_t page = req->cdb[2], *buf;
    size_t n;

    if (!(req->cdb[1] & 1))
        return page ? scsi_refuse(req, SENSE_INVALID_FIELD) : inquiry_standard(req, allocation);
    buf = scsi_buffer(req, 4 + PAGE_MAX + 32);
    buf[0] = req->lun->kind == SCSI_CDROM ? TYPE_CDROM : TYPE_DISK;
    buf[1] = page;
    n = inquiry_page(req->lun, page, buf + 4);
    if (n == 0 && page != 0x83)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    scsi_store(buf + 2, n, 2);
    return scsi_answer(req, 4 + n, allocation);
}

size_t
scsi_fill_report_luns(uint8_t *buf, const uint16_t *units, unsigned n)
{
    scsi_store(buf, 8 * (uint64_t)n, 4);
    for (unsigned i = 0; i < n; i++) {
        uint8_t *entry = buf + 8 + 8 * (size_t)i;

        /* peripheral addressing up to 255, flat above (SAM-5 4.7.7) */
        scsi_store(entry, units[i] < 256 ? units[i] : 0x4000 | units[i], 2);
    }
    return 8 + 8 * (size_t)n;
}

ScsiPhase
scsi_run_report_luns(ScsiRequest *req)
{
    enum { UNITS_MAX = 1024 };
    ScsiLun *lun = req->lun;
    uint64_t allocation = scsi_load(req->cdb + 6, 4);
    uint16_t units[UNITS_MAX] = { lun->number };
    unsigned n = 1;
    uint8_t *buf;

    if (allocation < 16 || req->cdb[2] > 2)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    if (req->cdb[2] == 1) /* well-known units: there are none */
        n = 0;
    else if (lun->list_units)
        n = MIN(lun->list_units(lun, units, UNITS_MAX), (unsigned)UNITS_MAX);
    buf = scsi_buffer(req, 8 + 8 * (size_t)n);
    return scsi_answer(req, scsi_fill_report_luns(buf, units, n), allocation);
}
