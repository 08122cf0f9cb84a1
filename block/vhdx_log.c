/* vhdx_log.c - the log of a VHDX image: finds what was not carried out, and carries it out.
 *
 * Source: [MS-VHDX] sections 2.3 (log) and 2.3.3 (replay). The log is a ring of 4 KiB sectors. An
 * entry has a header, descriptors, and a sector for each data descriptor. Entries of one run have
 * rising sequence numbers and the header's log GUID; the newest entry's tail says where its run
 * begins.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/numbers.h"
#include "block/vhdx.h"
#include "util/error.h"

enum {
    SECTOR = 4096,
    LOG_MAX = 64 << 20, /* bytes of a log that is looked at */
    ENTRY_HEAD = 64,
    DESCRIPTOR = 32,
    E_CHECKSUM = 4,
    E_LENGTH = 8,
    E_TAIL = 12,
    E_SEQUENCE = 16,
    E_COUNT = 24,
    E_GUID = 32,
    E_FLUSHED = 48,
    E_LAST = 56,
};

typedef struct {
    uint8_t *bytes; /* the ring */
    uint32_t length;
    const uint8_t *guid;
} Log;

/* The entry at @at, copied out of the ring; NULL when there is no whole one. */
static uint8_t *
entry_at(const Log *log, uint32_t at, uint32_t *ret_length)
{
    const uint8_t *head = log->bytes + at;
    uint32_t length = le32(head + E_LENGTH), count = le32(head + E_COUNT);
    g_autofree uint8_t *entry = NULL;
    uint32_t first, sectors, data = 0;

    if (memcmp(head, "loge", 4) != 0 || length == 0 || length % SECTOR != 0 ||
        length > log->length || memcmp(head + E_GUID, log->guid, VHDX_GUID) != 0 ||
        le64(head + E_SEQUENCE) == 0 || le32(head + E_TAIL) % SECTOR != 0 ||
        le32(head + E_TAIL) >= log->length || count > log->length / DESCRIPTOR)
        return NULL;
    entry = g_malloc(length);
    first = MIN(length, log->length - at);
    memcpy(entry, log->bytes + at, first);
    memcpy(entry + first, log->bytes, length - first);
    if (le32(entry + E_CHECKSUM) != vhdx_checksum(entry, length, E_CHECKSUM))
        return NULL;
    sectors = (ENTRY_HEAD + count * DESCRIPTOR + SECTOR - 1) / SECTOR;
    if ((uint64_t)sectors * SECTOR > length)
        return NULL;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *d = entry + ENTRY_HEAD + i * DESCRIPTOR;

        if (le64(d + 24) != le64(entry + E_SEQUENCE))
            return NULL;
        if (memcmp(d, "desc", 4) == 0)
            data++;
        else if (memcmp(d, "zero", 4) != 0)
            return NULL;
    }
    if ((uint64_t)(sectors + data) * SECTOR > length)
        return NULL;
    *ret_length = length;
    return g_steal_pointer(&entry);
}

/* The run of entries that begins at @tail: its last sequence number, 0 when it is broken. */
static uint64_t
run_end(const Log *log, uint32_t tail, uint32_t *ret_count, bool *ret_closed)
{
    uint32_t at = tail, passed = 0;
    uint64_t sequence = 0;

    *ret_count = 0;
    *ret_closed = false;
    while (passed < log->length) {
        uint32_t length;
        g_autofree uint8_t *entry = entry_at(log, at, &length);

        if (!entry || (sequence != 0 && le64(entry + E_SEQUENCE) != sequence + 1))
            break;
        sequence = le64(entry + E_SEQUENCE);
        *ret_closed = le32(entry + E_TAIL) == tail;
        ++*ret_count;
        passed += length;
        at = (at + length) % log->length;
    }
    return sequence;
}

static bool
apply_entry(BlockNode *file, const uint8_t *entry, GError **err)
{
    uint32_t count = le32(entry + E_COUNT);
    const uint8_t *data = entry + (ENTRY_HEAD + count * DESCRIPTOR + SECTOR - 1) / SECTOR * SECTOR;
    uint8_t sector[SECTOR];
    int r = 0;

    for (uint32_t i = 0; i < count && r == 0; i++) {
        const uint8_t *d = entry + ENTRY_HEAD + i * DESCRIPTOR;
        uint64_t at = le64(d + 16), length = le64(d + 8);

        if (at % SECTOR != 0 || at > (uint64_t)G_MAXINT64 / 2)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "vhdx image '%s': its log writes to byte %" G_GUINT64_FORMAT,
                                  block_node_filename(file), at);
        if (memcmp(d, "zero", 4) == 0) {
            /* past the end there are zeroes anyway */
            if (at < file->size)
                r = block_node_write_zeroes(file, at, MIN(length, file->size - at), 0);
            continue;
        }
        if (memcmp(data, "data", 4) != 0 || le32(data + 4) != le64(d + 24) >> 32 ||
            le32(data + SECTOR - 4) != (uint32_t)le64(d + 24))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "vhdx image '%s': a sector of its log is torn",
                                  block_node_filename(file));
        /* the ends of the sector made room for its marks and are in the descriptor */
        memcpy(sector, data, SECTOR);
        memcpy(sector, d + 8, 8);
        memcpy(sector + SECTOR - 4, d + 4, 4);
        r = block_node_pwrite(file, at, sector, SECTOR, 0);
        data += SECTOR;
    }
    if (r < 0)
        return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, file, "vhdx image '%s': its log",
                               block_node_filename(file));
    return true;
}

static bool
apply_run(BlockNode *node, const Log *log, uint32_t tail, uint32_t count, GError **err)
{
    uint32_t at = tail, length = 0;
    uint64_t last = 0;
    int r;

    for (uint32_t i = 0; i < count; i++, at = (at + length) % log->length) {
        g_autofree uint8_t *entry = entry_at(log, at, &length);

        if (le64(entry + E_FLUSHED) > node->file->size)
            return mapped_refuse(node, err, "it was cut short after its log was written");
        if (!apply_entry(node->file, entry, err))
            return false;
        last = le64(entry + E_LAST);
    }
    if (last > (uint64_t)G_MAXINT64 / 2)
        return mapped_refuse(node, err, "its log asks for a file of %" G_GUINT64_FORMAT " bytes",
                             last);
    r = mapped_file_grow(node->file, last);
    if (r == 0)
        r = block_node_flush(node->file);
    if (r < 0)
        return mapped_refuse(node, err, "its log could not be carried out: %s", g_strerror(-r));
    return true;
}

bool
vhdx_log_replay(BlockNode *node, const uint8_t *header, GError **err)
{
    static const uint8_t none[VHDX_GUID];
    uint64_t log_at = le64(header + VHDX_H_LOG_AT), best = 0;
    uint32_t best_tail = 0, best_count = 0;
    g_autofree uint8_t *ring = NULL;
    Log log = { .length = le32(header + VHDX_H_LOG_LENGTH), .guid = header + VHDX_H_LOG_GUID };

    if (memcmp(log.guid, none, VHDX_GUID) == 0)
        return true;
    if (log.length == 0 || log.length % VHDX_MIB != 0 || log.length > LOG_MAX ||
        log_at < VHDX_MIB || log_at % VHDX_MIB != 0)
        return mapped_refuse(node, err,
                             "a log of %u bytes at byte %" G_GUINT64_FORMAT
                             " (at most %d, both whole MiB)",
                             log.length, log_at, LOG_MAX);
    log.bytes = ring = g_malloc(log.length);
    if (!mapped_head(node, log_at, ring, log.length, err))
        return false;
    for (uint32_t tail = 0; tail < log.length; tail += SECTOR) {
        uint32_t count;
        bool closed;
        uint64_t end;

        if (memcmp(ring + tail, "loge", 4) != 0 || le32(ring + tail + E_TAIL) != tail)
            continue;
        end = run_end(&log, tail, &count, &closed);
        if (closed && end > best) {
            best = end;
            best_tail = tail;
            best_count = count;
        }
    }
    if (best_count == 0)
        return mapped_refuse(node, err, "its log is marked in use but holds no whole entry");
    if (block_node_read_only(node))
        return mapped_refuse(node, err,
                             "its log has to be carried out first: open it once for writing "
                             "('kiln-img check -r all')");
    return apply_run(node, &log, best_tail, best_count, err);
}
