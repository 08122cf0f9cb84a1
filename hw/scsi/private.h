/* private.h - inside of a logical unit: the command table and what its handlers use.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_SCSI_PRIVATE_H
#define KILN_HW_SCSI_PRIVATE_H

#include "hw/scsi/scsi.h"

enum {
    FOR_DISK = 1 << SCSI_DISK,
    FOR_CDROM = 1 << SCSI_CDROM,
    FOR_BOTH = FOR_DISK | FOR_CDROM,

    /* flags of a command */
    CMD_ANY_TIME = 1 << 0, /* runs while a unit attention is pending, and leaves it */
    CMD_MEDIUM = 1 << 1,   /* needs a medium, and a unit that is started */
    CMD_WRITES = 1 << 2,   /* refused on read-only media */
};

/* Sense keys and codes (SPC-4, annex D). */
#define SENSE_NO_MEDIUM SCSI_SENSE(0x02, 0x3a, 0x00)
#define SENSE_TRAY_OPEN SCSI_SENSE(0x02, 0x3a, 0x02)
#define SENSE_STOPPED SCSI_SENSE(0x02, 0x04, 0x02)
#define SENSE_READ_ERROR SCSI_SENSE(0x03, 0x11, 0x00)
#define SENSE_WRITE_ERROR SCSI_SENSE(0x03, 0x0c, 0x00)
#define SENSE_LIST_LENGTH SCSI_SENSE(0x05, 0x1a, 0x00)
#define SENSE_INVALID_OPCODE SCSI_SENSE(0x05, 0x20, 0x00)
#define SENSE_LBA_RANGE SCSI_SENSE(0x05, 0x21, 0x00)
#define SENSE_INVALID_FIELD SCSI_SENSE(0x05, 0x24, 0x00)
#define SENSE_NO_UNIT SCSI_SENSE(0x05, 0x25, 0x00)
#define SENSE_PARAMETER SCSI_SENSE(0x05, 0x26, 0x00)
#define SENSE_INCOMPATIBLE_MEDIUM SCSI_SENSE(0x05, 0x30, 0x00)
#define SENSE_SAVING SCSI_SENSE(0x05, 0x39, 0x00)
#define SENSE_REMOVAL_PREVENTED SCSI_SENSE(0x05, 0x53, 0x02)
#define SENSE_TRACK_MODE SCSI_SENSE(0x05, 0x64, 0x00)
#define SENSE_WRITE_PROTECTED SCSI_SENSE(0x07, 0x27, 0x00)
#define SENSE_NO_SPACE SCSI_SENSE(0x07, 0x27, 0x07)

/* Unit attentions in order of their turn. */
typedef enum {
    ATTENTION_RESET,  /* 29h/00h */
    ATTENTION_MEDIUM, /* 28h/00h */
    ATTENTION_MODE,   /* 2Ah/01h */
    ATTENTIONS
} ScsiAttention;

typedef struct {
    uint8_t opcode;
    uint8_t kinds; /* FOR_… */
    uint8_t flags; /* CMD_… */
    /* Begins the command; the phase it leads to. */
    ScsiPhase (*run)(ScsiRequest *req);
    /* All of a buffered DATA_OUT phase is there. */
    ScsiPhase (*received)(ScsiRequest *req);
    /* A step begun with scsi_step() is done. */
    ScsiPhase (*stepped)(ScsiRequest *req);
} ScsiCommand;

/* lun.c: ways a handler ends; each returns the phase. */
ScsiPhase scsi_good(ScsiRequest *req);
ScsiPhase scsi_refuse(ScsiRequest *req, ScsiSense sense);
/* @size zeroed bytes of the request's buffer. */
uint8_t *scsi_buffer(ScsiRequest *req, size_t size);
/* Data for the initiator: the first @size bytes of the buffer, as many as @allocation lets pass. */
ScsiPhase scsi_answer(ScsiRequest *req, uint64_t size, uint64_t allocation);
/* Data from the initiator into the buffer, then the command's received(). */
ScsiPhase scsi_receive(ScsiRequest *req, size_t size);
/* A data phase between initiator and medium. */
ScsiPhase scsi_transfer(ScsiRequest *req, bool in, uint64_t offset, uint64_t bytes);
/* A request of the command's own: fills req->io.kind, zeroes, unmap before; then stepped(). */
ScsiPhase scsi_step(ScsiRequest *req, uint64_t offset, uint64_t bytes, const struct iovec *iov);
void scsi_attention_raise(ScsiLun *lun, ScsiAttention attention);

static inline uint64_t
scsi_load(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;

    while (size-- > 0)
        v = v << 8 | *p++;
    return v;
}

static inline void
scsi_store(uint8_t *p, uint64_t v, unsigned size)
{
    while (size-- > 0) {
        p[size] = (uint8_t)v;
        v >>= 8;
    }
}

/* Blocks of the unit. */
static inline uint64_t
scsi_blocks(const ScsiLun *lun)
{
    return drive_size(lun->drive) / lun->drive->logical_block_size;
}

/* inquiry.c */
ScsiPhase scsi_run_inquiry(ScsiRequest *req);
ScsiPhase scsi_run_report_luns(ScsiRequest *req);
size_t scsi_fill_report_luns(uint8_t *buf, const uint16_t *units, unsigned n);
/* mode.c */
ScsiPhase scsi_run_mode_sense(ScsiRequest *req);
ScsiPhase scsi_run_mode_select(ScsiRequest *req);
ScsiPhase scsi_mode_select_received(ScsiRequest *req);
/* disk.c */
ScsiPhase scsi_run_read(ScsiRequest *req);
ScsiPhase scsi_run_write(ScsiRequest *req);
ScsiPhase scsi_run_verify(ScsiRequest *req);
ScsiPhase scsi_run_seek(ScsiRequest *req);
ScsiPhase scsi_run_read_capacity10(ScsiRequest *req);
ScsiPhase scsi_run_service_in16(ScsiRequest *req);
ScsiPhase scsi_run_flush(ScsiRequest *req);
ScsiPhase scsi_run_start_stop(ScsiRequest *req);
ScsiPhase scsi_run_prevent_allow(ScsiRequest *req);
ScsiPhase scsi_stepped_good(ScsiRequest *req);
/* same.c: UNMAP and WRITE SAME */
ScsiPhase scsi_run_unmap(ScsiRequest *req);
ScsiPhase scsi_unmap_received(ScsiRequest *req);
ScsiPhase scsi_unmap_stepped(ScsiRequest *req);
ScsiPhase scsi_run_write_same(ScsiRequest *req);
ScsiPhase scsi_write_same_received(ScsiRequest *req);
ScsiPhase scsi_write_same_stepped(ScsiRequest *req);
/* cdrom.c */
ScsiPhase scsi_run_read_toc(ScsiRequest *req);
ScsiPhase scsi_run_get_configuration(ScsiRequest *req);
ScsiPhase scsi_run_get_event_status(ScsiRequest *req);
ScsiPhase scsi_run_read_disc_information(ScsiRequest *req);
ScsiPhase scsi_run_read_track_information(ScsiRequest *req);
ScsiPhase scsi_run_mechanism_status(ScsiRequest *req);
ScsiPhase scsi_run_get_performance(ScsiRequest *req);
ScsiPhase scsi_run_read_disc_structure(ScsiRequest *req);
ScsiPhase scsi_run_read_cd(ScsiRequest *req);
/* table.c */
const ScsiCommand *scsi_command_find(ScsiKind kind, uint8_t opcode);

/* Most of one WRITE SAME or UNMAP range, as the Block Limits page says. */
enum { SCSI_UNMAP_DESCRIPTORS = 255 };
#define SCSI_SAME_BYTES (UINT64_C(1) << 30)

#endif
