/* same.c - UNMAP and WRITE SAME (SBC-3 5.28, 5.42, 5.43): commands that take steps of their own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/scsi/private.h"

#include <string.h>

enum {
    UNMAP_HEAD = 8,
    UNMAP_DESCRIPTOR = 16,
    SAME_NDOB = 1,
    SAME_UNMAP = 8,
    SAME_CHUNK = 512 << 10, /* bytes of one write of a pattern */
};

static bool
same_in_range(const ScsiLun *lun, uint64_t lba, uint64_t blocks)
{
    uint64_t size = scsi_blocks(lun);

    return lba <= size && blocks <= size - lba;
}

/* ---- UNMAP ---- */

ScsiPhase
scsi_run_unmap(ScsiRequest *req)
{
    size_t size = scsi_load(req->cdb + 7, 2);

    if (req->cdb[1] & 1) /* anchored */
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    if (!block_node_can_discard(req->lun->drive->node))
        return scsi_refuse(req, SENSE_INVALID_OPCODE);
    return size == 0 ? scsi_good(req) : scsi_receive(req, size);
}

ScsiPhase
scsi_unmap_stepped(ScsiRequest *req)
{
    uint32_t block = req->lun->drive->logical_block_size;

    while (req->next < req->todo) {
        const uint8_t *d = req->buffer + UNMAP_HEAD + (size_t)req->next++ * UNMAP_DESCRIPTOR;
        uint64_t lba = scsi_load(d, 8), blocks = scsi_load(d + 8, 4);

        if (blocks == 0)
            continue;
        req->io.kind = DRIVE_UNMAP;
        return scsi_step(req, lba * block, blocks * block, NULL);
    }
    return scsi_good(req);
}

ScsiPhase
scsi_unmap_received(ScsiRequest *req)
{
    const uint8_t *buf = req->buffer;
    size_t bytes;

    if (req->length < UNMAP_HEAD)
        return scsi_refuse(req, SENSE_LIST_LENGTH);
    bytes = scsi_load(buf + 2, 2);
    if (scsi_load(buf, 2) != bytes + 6 || bytes > req->length - UNMAP_HEAD ||
        bytes % UNMAP_DESCRIPTOR != 0)
        return scsi_refuse(req, SENSE_PARAMETER);
    req->todo = bytes / UNMAP_DESCRIPTOR;
    req->next = 0;
    if (req->todo > SCSI_UNMAP_DESCRIPTORS)
        return scsi_refuse(req, SENSE_PARAMETER);
    for (size_t i = 0; i < req->todo; i++) {
        const uint8_t *d = buf + UNMAP_HEAD + i * UNMAP_DESCRIPTOR;

        if (!same_in_range(req->lun, scsi_load(d, 8), scsi_load(d + 8, 4)))
            return scsi_refuse(req, SENSE_LBA_RANGE);
    }
    return scsi_unmap_stepped(req);
}

/* ---- WRITE SAME ---- */

ScsiPhase
scsi_run_write_same(ScsiRequest *req)
{
    ScsiLun *lun = req->lun;
    bool wide = scsi_cdb_length(req->cdb[0]) == 16;
    uint64_t lba = wide ? scsi_load(req->cdb + 2, 8) : scsi_load(req->cdb + 2, 4);
    uint64_t blocks = wide ? scsi_load(req->cdb + 10, 4) : scsi_load(req->cdb + 7, 2);
    uint32_t block = lun->drive->logical_block_size;

    if (!(req->cdb[1] & SAME_UNMAP) && (req->cdb[1] & 0x10)) /* anchor without unmap */
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    if ((req->cdb[1] & 0xf6) || (!wide && (req->cdb[1] & SAME_NDOB)))
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    if (blocks == 0) /* to the end is more than we take at once: see WSNZ */
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    if (!same_in_range(lun, lba, blocks))
        return scsi_refuse(req, SENSE_LBA_RANGE);
    if (blocks > SCSI_SAME_BYTES / block)
        return scsi_refuse(req, SENSE_INVALID_FIELD);
    req->at = lba * block;
    req->todo = blocks * block;
    if (req->cdb[1] & SAME_NDOB) {
        scsi_buffer(req, block);
        return scsi_write_same_received(req);
    }
    return scsi_receive(req, block);
}

ScsiPhase
scsi_write_same_stepped(ScsiRequest *req)
{
    uint64_t at = req->at, bytes = MIN(req->todo, req->own.iov_len);

    if (req->todo == 0)
        return scsi_good(req);
    req->at += bytes;
    req->todo -= bytes;
    req->own.iov_len = bytes;
    req->io.kind = DRIVE_WRITE;
    return scsi_step(req, at, bytes, &req->own);
}

ScsiPhase
scsi_write_same_received(ScsiRequest *req)
{
    uint32_t block = req->lun->drive->logical_block_size;
    size_t chunk = MIN(req->todo, MAX(block, (uint32_t)SAME_CHUNK));
    bool zero = true;
    uint8_t *pattern;

    for (uint32_t i = 0; i < block && zero; i++)
        zero = req->buffer[i] == 0;
    if (zero) {
        uint64_t bytes = req->todo;

        req->todo = 0;
        req->io.kind = DRIVE_WRITE;
        req->io.zeroes = true;
        req->io.unmap = req->cdb[1] & SAME_UNMAP;
        return scsi_step(req, req->at, bytes, NULL);
    }
    pattern = g_malloc(chunk);
    for (size_t i = 0; i < chunk; i += block)
        memcpy(pattern + i, req->buffer, block);
    g_free(req->buffer);
    req->buffer = pattern;
    req->room = chunk;
    req->own = (struct iovec){ pattern, chunk };
    return scsi_write_same_stepped(req);
}
