/* scsi.h - a SCSI logical unit and the requests made of it: what virtio-scsi, ATAPI and USB storage
 * share.
 *
 * SAM-5 (requests, status, unit attentions), SPC-4, SBC-3, MMC-5. A ScsiLun sits on a Drive
 * (hw/block/drive.h) and is embedded in the device that offers it. An initiator fills a
 * ScsiRequest's CDB, starts it, and moves data through its own buffers in as many pieces as it
 * likes:
 *
 *   phase = scsi_request_start(req);
 *   SCSI_DATA_IN, SCSI_DATA_OUT: req->length bytes are to move, req->moved have;
 *                                phase = scsi_request_move(req, iov, n)
 *   SCSI_WAIT:                   req->step(req) is called later, with the new req->phase
 *   SCSI_STATUS:                 req->status and sense are set
 *   scsi_request_end(req)        in any phase but SCSI_WAIT; the request may be started again
 *
 * All of it in the thread of the drive's loop, under no lock of ours; req->step is never called
 * from inside start or move.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_SCSI_SCSI_H
#define KILN_HW_SCSI_SCSI_H

#include "hw/block/drive.h"

typedef struct ScsiLun ScsiLun;
typedef struct ScsiRequest ScsiRequest;
typedef struct ScsiBus ScsiBus;

enum {
    SCSI_CDB_MAX = 16,
    SCSI_SENSE_SIZE = 18, /* fixed format */

    SCSI_GOOD = 0x00,
    SCSI_CHECK_CONDITION = 0x02,
    SCSI_BUSY = 0x08,
    SCSI_RESERVATION_CONFLICT = 0x18,
    SCSI_TASK_ABORTED = 0x40,
};

typedef enum { SCSI_WAIT, SCSI_DATA_IN, SCSI_DATA_OUT, SCSI_STATUS } ScsiPhase;
typedef enum { SCSI_DISK, SCSI_CDROM } ScsiKind;

/* Sense data in short: key, additional code and qualifier. */
typedef struct {
    uint8_t key, asc, ascq;
} ScsiSense;
#define SCSI_SENSE(key, asc, ascq) ((ScsiSense){ (key), (asc), (ascq) })

struct ScsiRequest {
    /* the initiator's, set before start */
    ScsiLun *lun;
    uint8_t cdb[SCSI_CDB_MAX]; /* bytes beyond the command's own are ignored */
    void (*step)(ScsiRequest *req);

    /* the unit's */
    ScsiPhase phase;
    uint64_t length, moved; /* bytes of the data phase */
    uint8_t status;
    uint8_t sense[SCSI_SENSE_SIZE];
    unsigned sense_len; /* 0 or SCSI_SENSE_SIZE */

    /*< private >*/
    DriveIo io;
    const void *command; /* row of the command table */
    uint64_t offset;     /* on the medium, of the data phase's first byte */
    bool media;          /* the data phase is the medium's, else the buffer's */
    uint8_t *buffer;     /* answers, parameters, odd pieces of sectors; kept for reuse */
    size_t room;
    const struct iovec *user; /* of the present move */
    unsigned n_user;
    uint64_t user_at, user_len; /* bytes of it done, and in all */
    struct iovec *slice;        /* part of it */
    unsigned slice_room;
    uint64_t todo, at; /* of commands that take several steps: bytes left, place on the medium */
    unsigned next;     /* descriptor that comes next */
    struct iovec own;
};

struct ScsiLun {
    Drive *drive;
    Device *dev;
    ScsiKind kind;
    uint8_t number; /* of the unit in its target, for REPORT LUNS */

    /* identity, borrowed from the device's properties; NULL: ours */
    const char *vendor, *product, *revision, *device_id;
    uint64_t wwn, port_wwn;
    uint16_t rotation_rate; /* 0: not told, 1: no rotation, else per minute */

    /* Optional: the unit has a unit attention that the initiator may report by itself (virtio-scsi
     * event queue): additional sense code and qualifier. In the loop. */
    void (*attention)(ScsiLun *lun, uint8_t asc, uint8_t ascq);
    /* REPORT LUNS: optional, fills up to @max unit numbers of this target and returns how many
     * there are; NULL: this one only. */
    unsigned (*list_units)(ScsiLun *lun, uint16_t *units, unsigned max);

    /* An initiator without autosense (ATAPI, USB): REQUEST SENSE tells of the last failure. */
    bool keeps_sense;

    /*< private >*/
    uint32_t attentions; /* bit per kind, see private.h */
    uint8_t last[SCSI_SENSE_SIZE];
    bool has_last;
    bool stopped;                  /* START STOP UNIT */
    bool media_event, eject_event; /* GET EVENT STATUS NOTIFICATION */
    bool media_gone;               /* its kind: removal */
};

/* Saved with the device's own state. */
extern const SavedTable scsi_lun_saved;

/* @drive is open. */
void scsi_lun_init(ScsiLun *lun, Device *dev, Drive *drive, ScsiKind kind);
/* Power-on or bus reset: unit attention, nothing reserved, unlocked. In the loop; requests have
 * been drained. */
void scsi_lun_reset(ScsiLun *lun);
/* For DriveOps of the device: what they tell becomes unit attentions. */
void scsi_lun_medium(ScsiLun *lun, bool loaded);
void scsi_lun_eject_request(ScsiLun *lun);

ScsiPhase scsi_request_start(ScsiRequest *req);
ScsiPhase scsi_request_move(ScsiRequest *req, const struct iovec *iov, unsigned n_iov);
void scsi_request_end(ScsiRequest *req);
/* Frees what a request keeps between uses. */
void scsi_request_clear(ScsiRequest *req);
/* Completes a request with CHECK CONDITION, for initiators that refuse one by themselves. */
ScsiPhase scsi_request_fail(ScsiRequest *req, ScsiSense sense);
/* Bytes of the CDB by its first byte: 6, 10, 12 or 16; 0 for codes of variable or unknown length.
 */
unsigned scsi_cdb_length(uint8_t opcode);

/* Answers of a target that has no unit @lun: INQUIRY with qualifier 3, REPORT LUNS from @units,
 * REQUEST SENSE; all else is refused. Same phases as a unit's requests; @req->lun is NULL. */
ScsiPhase scsi_request_start_no_unit(ScsiRequest *req, const uint16_t *units, unsigned n_units);

/* ---- a bus of scsi-hd and scsi-cd devices ---- */

struct ScsiBus {
    Bus bus; /* kind BUS_SCSI, impl is this */
    IoLoop *loop;
    unsigned max_target, max_unit; /* highest numbers */
    unsigned depth;                /* requests expected in flight per unit */
    GPtrArray *units;              /* ScsiUnit; changed in the loop */
    /* Both optional, in the loop: a unit has come or gone, or has news. */
    void (*plugged)(ScsiBus *bus, unsigned target, unsigned unit, bool present);
    void (*attention)(ScsiBus *bus, unsigned target, unsigned unit, uint8_t asc, uint8_t ascq);
};

bool scsi_bus_init(ScsiBus *bus, Device *owner, const char *name, IoLoop *loop, GError **err);
void scsi_bus_fini(ScsiBus *bus);
/* The unit, or NULL. In the loop. */
ScsiLun *scsi_bus_find(ScsiBus *bus, unsigned target, unsigned unit);
/* Numbers of the units of a target; returns how many there are. In the loop. */
unsigned scsi_bus_units(ScsiBus *bus, unsigned target, uint16_t *units, unsigned max);
/* For all units, in the loop: what drive.h says of drain, pause, resume, submit and reset. */
void scsi_bus_drain(ScsiBus *bus);
void scsi_bus_pause(ScsiBus *bus);
void scsi_bus_resume(ScsiBus *bus);
void scsi_bus_submit(ScsiBus *bus);
void scsi_bus_reset(ScsiBus *bus);

#endif
