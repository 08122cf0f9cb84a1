/* lun.c - a request's way through a logical unit: checks, phases, data, status and sense.
 *
 * SAM-5 sections 5.3 (status) and 5.14 (unit attentions), SPC-4 4.5 (sense data).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/scsi/private.h"

#include <errno.h>
#include <string.h>

#include "hw/core/iov.h"
#include "util/error.h"

/* ---- ends ---- */

ScsiPhase
scsi_good(ScsiRequest *req)
{
    req->status = SCSI_GOOD;
    return req->phase = SCSI_STATUS;
}

ScsiPhase
scsi_refuse(ScsiRequest *req, ScsiSense sense)
{
    req->status = SCSI_CHECK_CONDITION;
    memset(req->sense, 0, sizeof(req->sense));
    req->sense[0] = 0x70;
    req->sense[2] = sense.key;
    req->sense[7] = SCSI_SENSE_SIZE - 8;
    req->sense[12] = sense.asc;
    req->sense[13] = sense.ascq;
    req->sense_len = SCSI_SENSE_SIZE;
    if (req->lun && req->lun->keeps_sense) {
        memcpy(req->lun->last, req->sense, sizeof(req->sense));
        req->lun->has_last = true;
    }
    return req->phase = SCSI_STATUS;
}

ScsiPhase
scsi_request_fail(ScsiRequest *req, ScsiSense sense)
{
    req->sense_len = 0;
    req->length = req->moved = 0;
    return scsi_refuse(req, sense);
}

static ScsiPhase
scsi_refuse_errno(ScsiRequest *req, int ret)
{
    switch (-ret) {
    case ECANCELED:
        req->status = SCSI_TASK_ABORTED;
        return req->phase = SCSI_STATUS;
    case ENOMEDIUM:
        return scsi_refuse(req, SENSE_NO_MEDIUM);
    case ENOSPC:
        return scsi_refuse(req, SENSE_NO_SPACE);
    case EROFS:
        return scsi_refuse(req, SENSE_WRITE_PROTECTED);
    default:
        return scsi_refuse(req, req->io.kind == DRIVE_READ ? SENSE_READ_ERROR : SENSE_WRITE_ERROR);
    }
}

/* ---- data ---- */

uint8_t *
scsi_buffer(ScsiRequest *req, size_t size)
{
    if (req->room < size) {
        g_free(req->buffer);
        req->buffer = g_malloc(size);
        req->room = size;
    }
    memset(req->buffer, 0, size);
    return req->buffer;
}

ScsiPhase
scsi_answer(ScsiRequest *req, uint64_t size, uint64_t allocation)
{
    req->length = MIN(size, allocation);
    req->media = false;
    return req->length > 0 ? (req->phase = SCSI_DATA_IN) : scsi_good(req);
}

ScsiPhase
scsi_receive(ScsiRequest *req, size_t size)
{
    scsi_buffer(req, MAX(size, 1u));
    req->length = size;
    req->media = false;
    if (size > 0)
        return req->phase = SCSI_DATA_OUT;
    return ((const ScsiCommand *)req->command)->received(req);
}

ScsiPhase
scsi_transfer(ScsiRequest *req, bool in, uint64_t offset, uint64_t bytes)
{
    req->offset = offset;
    req->length = bytes;
    req->media = true;
    req->io.kind = in ? DRIVE_READ : DRIVE_WRITE;
    if (bytes == 0)
        return scsi_good(req);
    if (!in)
        scsi_buffer(req, BLOCK_SECTOR);
    return req->phase = in ? SCSI_DATA_IN : SCSI_DATA_OUT;
}

static const struct iovec *
scsi_user_part(ScsiRequest *req, uint64_t bytes, unsigned *ret_n)
{
    if (req->user_at == 0 && bytes == req->user_len &&
        req->user_len == iov_bytes(req->user, req->n_user)) {
        *ret_n = req->n_user;
        return req->user;
    }
    if (req->slice_room < req->n_user) {
        g_free(req->slice);
        req->slice = g_new(struct iovec, req->n_user);
        req->slice_room = req->n_user;
    }
    *ret_n = iov_slice(req->user, req->n_user, req->user_at, bytes, req->slice);
    return req->slice;
}

static void scsi_piece_done(DriveIo *io, int ret);

static ScsiPhase
scsi_media_io(ScsiRequest *req, uint64_t offset, const struct iovec *iov, unsigned n,
              uint64_t bytes)
{
    req->io.drive = req->lun->drive;
    req->io.offset = offset;
    req->io.length = bytes;
    req->io.iov = iov;
    req->io.n_iov = n;
    req->io.done = scsi_piece_done;
    drive_io_start(&req->io);
    return req->phase = SCSI_WAIT;
}

/* Bytes of the sector at hand that the present move can still give or take. */
static uint64_t
scsi_odd_bytes(const ScsiRequest *req)
{
    return MIN(req->user_len - req->user_at, BLOCK_SECTOR - req->moved % BLOCK_SECTOR);
}

/* Goes on with the present move: whole sectors straight, pieces of sectors through the buffer. */
static ScsiPhase
scsi_media_next(ScsiRequest *req)
{
    bool in = req->io.kind == DRIVE_READ;

    while (req->user_at < req->user_len) {
        uint64_t within = req->moved % BLOCK_SECTOR, left = req->user_len - req->user_at;
        uint64_t at = req->offset + req->moved, odd = scsi_odd_bytes(req);

        if (within == 0 && left >= BLOCK_SECTOR) {
            uint64_t bytes = left - left % BLOCK_SECTOR;
            unsigned n;
            const struct iovec *iov = scsi_user_part(req, bytes, &n);

            return scsi_media_io(req, at, iov, n, bytes);
        }
        req->own = (struct iovec){ req->buffer, BLOCK_SECTOR };
        if (in) {
            req->own.iov_base = scsi_buffer(req, BLOCK_SECTOR);
            return scsi_media_io(req, at - within, &req->own, 1, BLOCK_SECTOR);
        }
        iov_read(req->user, req->n_user, req->user_at, req->buffer + within, odd);
        if (within + odd == BLOCK_SECTOR)
            return scsi_media_io(req, at - within, &req->own, 1, BLOCK_SECTOR);
        req->moved += odd;
        req->user_at += odd;
    }
    if (req->moved == req->length)
        return scsi_good(req);
    return req->phase = in ? SCSI_DATA_IN : SCSI_DATA_OUT;
}

static void
scsi_piece_done(DriveIo *io, int ret)
{
    ScsiRequest *req = (ScsiRequest *)((uint8_t *)io - offsetof(ScsiRequest, io));
    uint64_t bytes = io->iov == &req->own ? scsi_odd_bytes(req) : io->length;

    if (ret < 0) {
        scsi_refuse_errno(req, ret);
    } else {
        if (io->kind == DRIVE_READ && io->iov == &req->own)
            iov_write(req->user, req->n_user, req->user_at, req->buffer + req->moved % BLOCK_SECTOR,
                      bytes);
        req->moved += bytes;
        req->user_at += bytes;
        scsi_media_next(req);
    }
    if (req->phase != SCSI_WAIT)
        req->step(req);
}

static void
scsi_step_done(DriveIo *io, int ret)
{
    ScsiRequest *req = (ScsiRequest *)((uint8_t *)io - offsetof(ScsiRequest, io));

    if (ret < 0)
        scsi_refuse_errno(req, ret);
    else
        ((const ScsiCommand *)req->command)->stepped(req);
    if (req->phase != SCSI_WAIT)
        req->step(req);
}

ScsiPhase
scsi_step(ScsiRequest *req, uint64_t offset, uint64_t bytes, const struct iovec *iov)
{
    req->io.drive = req->lun->drive;
    req->io.offset = offset;
    req->io.length = bytes;
    req->io.iov = iov;
    req->io.n_iov = iov ? 1 : 0;
    req->io.done = scsi_step_done;
    drive_io_start(&req->io);
    return req->phase = SCSI_WAIT;
}

static ScsiPhase
scsi_buffer_move(ScsiRequest *req, const struct iovec *iov, unsigned n_iov)
{
    bool in = req->phase == SCSI_DATA_IN;
    size_t left = req->length - req->moved;

    if (in)
        req->moved += iov_write(iov, n_iov, 0, req->buffer + req->moved, left);
    else
        req->moved += iov_read(iov, n_iov, 0, req->buffer + req->moved, left);
    if (req->moved < req->length)
        return req->phase;
    return in ? scsi_good(req) : ((const ScsiCommand *)req->command)->received(req);
}

ScsiPhase
scsi_request_move(ScsiRequest *req, const struct iovec *iov, unsigned n_iov)
{
    if (req->phase != SCSI_DATA_IN && req->phase != SCSI_DATA_OUT)
        return req->phase;
    if (!req->media)
        return scsi_buffer_move(req, iov, n_iov);
    req->user = iov;
    req->n_user = n_iov;
    req->user_at = 0;
    req->user_len = MIN(iov_bytes(iov, n_iov), req->length - req->moved);
    return scsi_media_next(req);
}

/* ---- unit attentions ---- */

static const ScsiSense attention_senses[ATTENTIONS] = {
    [ATTENTION_RESET] = { 0x06, 0x29, 0x00 },
    [ATTENTION_MEDIUM] = { 0x06, 0x28, 0x00 },
    [ATTENTION_MODE] = { 0x06, 0x2a, 0x01 },
};

void
scsi_attention_raise(ScsiLun *lun, ScsiAttention attention)
{
    const ScsiSense *sense = &attention_senses[attention];

    lun->attentions |= 1u << attention;
    if (lun->attention)
        lun->attention(lun, sense->asc, sense->ascq);
}

/* Takes the next one; false when there is none. */
static bool
scsi_attention_take(ScsiLun *lun, ScsiSense *ret)
{
    for (unsigned i = 0; i < ATTENTIONS; i++) {
        if (lun->attentions & 1u << i) {
            lun->attentions &= ~(1u << i);
            *ret = attention_senses[i];
            return true;
        }
    }
    return false;
}

/* ---- requests ---- */

/* SPC-4, 6.39: pending unit attention, else the last failure if the initiator asks afterwards. */
static ScsiPhase
scsi_run_request_sense(ScsiRequest *req)
{
    ScsiLun *lun = req->lun;
    ScsiSense sense = { 0 };
    uint8_t *buf = scsi_buffer(req, SCSI_SENSE_SIZE);
    bool descriptor = req->cdb[1] & 1;

    if (lun->has_last)
        sense = SCSI_SENSE(lun->last[2], lun->last[12], lun->last[13]);
    else
        scsi_attention_take(lun, &sense);
    lun->has_last = false;
    if (descriptor) {
        buf[0] = 0x72;
        buf[1] = sense.key;
        buf[2] = sense.asc;
        buf[3] = sense.ascq;
        return scsi_answer(req, 8, req->cdb[4]);
    }
    buf[0] = 0x70;
    buf[2] = sense.key;
    buf[7] = SCSI_SENSE_SIZE - 8;
    buf[12] = sense.asc;
    buf[13] = sense.ascq;
    return scsi_answer(req, SCSI_SENSE_SIZE, req->cdb[4]);
}

static ScsiPhase
scsi_run(ScsiRequest *req, const ScsiCommand *command)
{
    ScsiLun *lun = req->lun;
    ScsiSense sense;

    if (!(command->flags & CMD_ANY_TIME) && scsi_attention_take(lun, &sense))
        return scsi_refuse(req, sense);
    if (command->flags & CMD_MEDIUM) {
        if (!drive_ready(lun->drive))
            return scsi_refuse(req, g_atomic_int_get(&lun->drive->tray_open) ? SENSE_TRAY_OPEN
                                                                             : SENSE_NO_MEDIUM);
        if (lun->stopped)
            return scsi_refuse(req, SENSE_STOPPED);
    }
    if ((command->flags & CMD_WRITES) && drive_read_only(lun->drive))
        return scsi_refuse(req, SENSE_WRITE_PROTECTED);
    return command->run(req);
}

ScsiPhase
scsi_request_start(ScsiRequest *req)
{
    static const uint8_t request_sense = 0x03;
    const ScsiCommand *command = scsi_command_find(req->lun->kind, req->cdb[0]);

    req->phase = SCSI_WAIT;
    req->length = req->moved = 0;
    req->sense_len = 0;
    req->command = command;
    req->io.zeroes = req->io.unmap = req->io.fua = false;
    if (req->cdb[0] == request_sense)
        return scsi_run_request_sense(req);
    req->lun->has_last = false;
    if (!command)
        return scsi_refuse(req, SENSE_INVALID_OPCODE);
    return scsi_run(req, command);
}

ScsiPhase
scsi_request_start_no_unit(ScsiRequest *req, const uint16_t *units, unsigned n_units)
{
    uint8_t *buf;

    req->phase = SCSI_WAIT;
    req->length = req->moved = 0;
    req->sense_len = 0;
    req->command = NULL;
    switch (req->cdb[0]) {
    case 0x03:
        buf = scsi_buffer(req, SCSI_SENSE_SIZE);
        buf[0] = 0x70;
        buf[2] = SENSE_NO_UNIT.key;
        buf[7] = SCSI_SENSE_SIZE - 8;
        buf[12] = SENSE_NO_UNIT.asc;
        return scsi_answer(req, SCSI_SENSE_SIZE, req->cdb[4]);
    case 0x12:
        if (req->cdb[1] & 1)
            return scsi_refuse(req, SENSE_INVALID_FIELD);
        buf = scsi_buffer(req, 36);
        buf[0] = 0x7f; /* no device can be there */
        buf[2] = 5;
        buf[3] = 2;
        buf[4] = 36 - 5;
        return scsi_answer(req, 36, scsi_load(req->cdb + 3, 2));
    case 0xa0:
        buf = scsi_buffer(req, 8 + 8 * (size_t)n_units);
        return scsi_answer(req, scsi_fill_report_luns(buf, units, n_units),
                           scsi_load(req->cdb + 6, 4));
    default:
        return scsi_refuse(req, SENSE_NO_UNIT);
    }
}

void
scsi_request_end(ScsiRequest *req)
{
    enum { KEPT = 64 << 10 };

    if (req->room > KEPT) {
        g_clear_pointer(&req->buffer, g_free);
        req->room = 0;
    }
}

void
scsi_request_clear(ScsiRequest *req)
{
    g_clear_pointer(&req->buffer, g_free);
    g_clear_pointer(&req->slice, g_free);
    req->room = 0;
    req->slice_room = 0;
    drive_io_clear(&req->io);
}

unsigned
scsi_cdb_length(uint8_t opcode)
{
    static const uint8_t lengths[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };

    return lengths[opcode >> 5];
}

/* ---- the unit ---- */

void
scsi_lun_init(ScsiLun *lun, Device *dev, Drive *drive, ScsiKind kind)
{
    lun->dev = dev;
    lun->drive = drive;
    lun->kind = kind;
    lun->attentions = 1u << ATTENTION_RESET;
}

void
scsi_lun_reset(ScsiLun *lun)
{
    lun->attentions = 1u << ATTENTION_RESET;
    lun->has_last = lun->stopped = false;
    lun->media_event = lun->eject_event = lun->media_gone = false;
    drive_lock_tray(lun->drive, false);
}

void
scsi_lun_medium(ScsiLun *lun, bool loaded)
{
    lun->media_event = true;
    lun->media_gone = !loaded;
    lun->stopped = false;
    if (loaded)
        scsi_attention_raise(lun, ATTENTION_MEDIUM);
    else
        lun->attentions &= ~(1u << ATTENTION_MEDIUM);
}

void
scsi_lun_eject_request(ScsiLun *lun)
{
    lun->eject_event = true;
}

static bool
scsi_lun_after_load(void *state, GError **err)
{
    ScsiLun *lun = state;

    if (lun->attentions >> ATTENTIONS)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the unit's saved unit attentions %#x are more than there are",
                              lun->attentions);
    return true;
}

static const SavedField scsi_lun_fields[] = {
    SAVED(ScsiLun, attentions, 1), SAVED_BYTES(ScsiLun, last, 1),  SAVED(ScsiLun, has_last, 1),
    SAVED(ScsiLun, stopped, 1),    SAVED(ScsiLun, media_event, 1), SAVED(ScsiLun, eject_event, 1),
    SAVED(ScsiLun, media_gone, 1),
};

const SavedTable scsi_lun_saved = {
    .name = "scsi-lun",
    .version = 1,
    .oldest = 1,
    .fields = scsi_lun_fields,
    .n_fields = G_N_ELEMENTS(scsi_lun_fields),
    .after_load = scsi_lun_after_load,
};
