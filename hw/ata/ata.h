/* ata.h - ATA and ATAPI drives and the commands made of them: what AHCI and PIIX IDE share.
 *
 * ATA8-ACS (T13/1699-D). A controller fills an AtaRequest's task file, starts it, and moves data as
 * with a SCSI request (hw/scsi/scsi.h):
 *
 *   ATA_DATA_IN, ATA_DATA_OUT: length bytes are to move, moved have: ata_request_move()
 *   ATA_PACKET:                the drive wants req->packet: fill it and call ata_request_packet()
 *   ATA_WAIT:                  step() is called later
 *   ATA_DONE:                  the task file holds status, error and registers
 *
 * All of it in the thread of the bus's loop; step() is never called from inside a call.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ATA_ATA_H
#define KILN_HW_ATA_ATA_H

#include "hw/scsi/scsi.h"

typedef struct AtaDrive AtaDrive;
typedef struct AtaRequest AtaRequest;
typedef struct AtaBus AtaBus;

enum {
    ATA_SR_ERR = 0x01,
    ATA_SR_DRQ = 0x08,
    ATA_SR_SEEK = 0x10,
    ATA_SR_FAULT = 0x20,
    ATA_SR_READY = 0x40,
    ATA_SR_BUSY = 0x80,

    ATA_ER_ABORT = 0x04,
    ATA_ER_NOT_FOUND = 0x10,
    ATA_ER_UNCORRECTABLE = 0x40,

    ATA_DEV_LBA = 0x40,
    ATA_DEV_SLAVE = 0x10,

    ATA_PACKET_SIZE = 12,
    ATA_SECTOR = 512,
    ATA_QUEUE = 32, /* commands at once with NCQ */
};

/* Registers; the upper byte of 16 bit ones is what was written before the last ("previous"). */
typedef struct {
    uint8_t command, device, status, error;
    uint16_t features, count;
    uint64_t lba; /* 48 bits */
} AtaTaskfile;

typedef enum { ATA_WAIT, ATA_DATA_IN, ATA_DATA_OUT, ATA_PACKET, ATA_DONE } AtaPhase;

struct AtaRequest {
    /* the controller's, set before start */
    AtaDrive *drive;
    AtaTaskfile tf;
    uint8_t packet[SCSI_CDB_MAX];
    void (*step)(AtaRequest *req);

    /* the drive's */
    AtaPhase phase;
    uint64_t length, moved; /* bytes of the data phase */
    bool dma;               /* the data phase is DMA, not PIO */
    bool queued;            /* NCQ; the tag is */
    uint8_t tag;
    unsigned block; /* PIO: bytes for each DRQ */

    /*< private >*/
    const void *command; /* row of the command table */
    DriveIo io;
    ScsiRequest scsi;
    uint64_t offset;
    bool media;
    uint8_t *buffer; /* of ATA_SECTOR times what DATA SET MANAGEMENT takes */
    struct iovec *slice;
    unsigned slice_room;
    unsigned next;
};

/* State of ide-hd and ide-cd. */
struct AtaDrive {
    Device device; /* first */
    Drive drive;
    ScsiLun lun; /* of an ATAPI drive */
    bool atapi;
    char *model, *version;
    uint64_t wwn;
    uint16_t rotation_rate;
    uint32_t unit; /* property: UINT32_MAX for the next free one */
    AtaBus *bus;
    bool plugged;

    /* in the loop */
    uint16_t cylinders, heads, sectors; /* of CHS addresses, as INITIALIZE DEVICE PARAMETERS says */
    uint8_t multiple;                   /* sectors of a DRQ of READ MULTIPLE, 0: off */
    uint8_t transfer_mode;              /* SET FEATURES 03h */
    uint8_t smart, standby;
    uint8_t failed_tag, failed_status, failed_error; /* for log page 10h */
    uint64_t failed_lba;
};

enum { ATA_UNITS = 2 };

struct AtaBus {
    Bus bus; /* kind BUS_IDE, impl is this */
    IoLoop *loop;
    unsigned number; /* port or channel */
    unsigned units;  /* how many it has room for */
    AtaDrive *drives[ATA_UNITS];
    bool serial; /* SATA */
    /* Optional. A drive has come or gone; in the loop. */
    void (*changed)(AtaBus *bus);
};

bool ata_bus_init(AtaBus *bus, Device *owner, const char *name, unsigned number, IoLoop *loop,
                  unsigned units, bool serial, GError **err);
void ata_bus_fini(AtaBus *bus);

/* Power-on and soft reset: puts the signature into @tf (status, error, count, lba, device). */
void ata_drive_reset(AtaDrive *drive, bool power_on);
void ata_drive_signature(const AtaDrive *drive, AtaTaskfile *tf);

AtaPhase ata_request_start(AtaRequest *req);
AtaPhase ata_request_packet(AtaRequest *req);
/* Moves the next bytes of the data phase; pieces other than the last are whole sectors. */
AtaPhase ata_request_move(AtaRequest *req, const struct iovec *iov, unsigned n_iov);
void ata_request_end(AtaRequest *req);
void ata_request_clear(AtaRequest *req);
/* Ends a request as aborted, for controllers. */
AtaPhase ata_request_abort(AtaRequest *req, uint8_t error);

/* identify.c: the 512 bytes of IDENTIFY (PACKET) DEVICE. */
void ata_identify(const AtaDrive *drive, uint8_t *page);

#endif
