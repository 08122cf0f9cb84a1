/* dmg.c - Apple disk images (UDIF) with raw, zero and zlib chunks, read only.
 *
 * Source: "Demystifying the DMG File Format" (J. Levin): a trailer of 512 bytes ("koly"), a
 * property list whose "blkx" array has base64 tables ("mish") of chunks. All numbers are big
 * endian. Not here: chunks packed by ADC, bzip2, LZFSE or LZMA, images whose tables are in a
 * resource fork.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "block/inflate.h"
#include "block/mapped.h"
#include "block/numbers.h"
#include "util/error.h"

enum {
    TRAILER = 512,
    K_DATA_AT = 24,
    K_LIST_AT = 216,
    K_LIST_LENGTH = 224,
    LIST_MAX = 16 << 20,
    MISH_HEAD = 204,
    M_FIRST = 8,
    M_DATA = 24,
    M_COUNT = 200,
    CHUNK_ENTRY = 40,
    CHUNKS_MAX = 1 << 20,
    CHUNK_BYTES_MAX = 64 << 20,
};

enum {
    CHUNK_ZERO = 0,
    CHUNK_RAW = 1,
    CHUNK_IGNORE = 2,
    CHUNK_COMMENT = 0x7ffffffe,
};
#define CHUNK_ZLIB 0x80000005u
#define CHUNK_END 0xffffffffu

typedef struct {
    uint64_t start, length; /* bytes of the disk */
    uint64_t at, packed;    /* in the file */
    uint32_t type;
} Chunk;

typedef struct {
    GArray *chunks; /* of Chunk, by start */
    GMutex lock;    /* the rest */
    bool made;
    const Chunk *cached;
    uint8_t *bytes;
} Dmg;

static int
dmg_probe(const uint8_t *head, size_t length, const char *filename)
{
    /* the trailer is at the end, so the name has to do */
    (void)head;
    (void)length;
    return filename && g_str_has_suffix(filename, ".dmg") ? 2 : 0;
}

static int
chunk_compare(gconstpointer a, gconstpointer b)
{
    const Chunk *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static bool
read_mish(BlockNode *node, const uint8_t *m, size_t length, uint64_t fork_at, GError **err)
{
    Dmg *d = node->state;
    uint32_t count = length < MISH_HEAD ? 0 : be32(m + M_COUNT);
    uint64_t first = length < MISH_HEAD ? 0 : be64(m + M_FIRST);

    if (length < MISH_HEAD || memcmp(m, "mish", 4) != 0 ||
        count > (length - MISH_HEAD) / CHUNK_ENTRY)
        return mapped_refuse(node, err, "a table of chunks is cut short");
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *e = m + MISH_HEAD + (size_t)i * CHUNK_ENTRY;
        uint64_t sectors = be64(e + 16), sector = be64(e + 8);
        Chunk chunk = { .type = be32(e), .at = be64(e + 24), .packed = be64(e + 32) };

        if (chunk.type == CHUNK_COMMENT || chunk.type == CHUNK_END || sectors == 0)
            continue;
        if (chunk.type != CHUNK_ZERO && chunk.type != CHUNK_IGNORE && chunk.type != CHUNK_RAW &&
            chunk.type != CHUNK_ZLIB)
            return mapped_refuse(node, err,
                                 "chunks of type 0x%x (packed otherwise than by zlib) are not read",
                                 chunk.type);
        if (d->chunks->len >= CHUNKS_MAX || sectors > (uint64_t)G_MAXINT64 / 2 / BLOCK_SECTOR ||
            first > (uint64_t)G_MAXINT64 / 4 / BLOCK_SECTOR ||
            sector > (uint64_t)G_MAXINT64 / 4 / BLOCK_SECTOR)
            return mapped_refuse(node, err, "chunk %u lies beyond any disk", i);
        chunk.start = (first + sector) * BLOCK_SECTOR;
        chunk.length = sectors * BLOCK_SECTOR;
        if (chunk.type == CHUNK_ZLIB &&
            (chunk.length > CHUNK_BYTES_MAX || chunk.packed > CHUNK_BYTES_MAX))
            return mapped_refuse(node, err, "chunk %u has more than %d bytes", i, CHUNK_BYTES_MAX);
        if (chunk.at > (uint64_t)G_MAXINT64 / 4 || be64(m + M_DATA) > (uint64_t)G_MAXINT64 / 4)
            return mapped_refuse(node, err, "chunk %u lies beyond any file", i);
        chunk.at += fork_at + be64(m + M_DATA);
        g_array_append_val(d->chunks, chunk);
    }
    return true;
}

/* The tables in the property list: all <data> of the array after the key "blkx". */
static bool
read_list(BlockNode *node, const char *list, uint64_t fork_at, GError **err)
{
    const char *at = strstr(list, "<key>blkx</key>");
    const char *end = at ? strstr(at, "</array>") : NULL;

    if (!end)
        return mapped_refuse(node, err, "its property list has no tables of chunks");
    while ((at = strstr(at, "<data>")) && at < end) {
        const char *stop = strstr(at, "</data>");
        g_autofree char *text = NULL;
        g_autofree uint8_t *mish = NULL;
        gsize length;

        if (!stop)
            break;
        text = g_strndup(at + 6, stop - at - 6);
        /* not in place: that wants two characters, and leaves the length unset otherwise */
        mish = g_base64_decode(text, &length);
        if (!read_mish(node, mish, length, fork_at, err))
            return false;
        at = stop;
    }
    return true;
}

/* The file's size is known in sectors only, so the trailer begins somewhere in the last two. */
static bool
read_trailer(BlockNode *node, uint8_t *k, GError **err)
{
    uint8_t tail[2 * TRAILER] = { 0 };
    uint64_t size = node->file->size, at = size > sizeof(tail) ? size - sizeof(tail) : 0;

    if (!mapped_head(node, at, tail, (size_t)MIN(size, sizeof(tail)), err))
        return false;
    for (size_t i = 0; i <= sizeof(tail) - TRAILER; i++)
        if (memcmp(tail + i, "koly", 4) == 0 && be32(tail + i + 8) == TRAILER) {
            memcpy(k, tail + i, TRAILER);
            return true;
        }
    return mapped_refuse(node, err, "no trailer at its end");
}

static bool
dmg_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    Dmg *d = node->state;
    uint8_t k[TRAILER] = { 0 };
    uint64_t length, end = 0;
    g_autofree char *list = NULL;

    (void)opts;
    (void)opening;
    d->chunks = g_array_new(FALSE, FALSE, sizeof(Chunk));
    g_mutex_init(&d->lock);
    d->made = true;
    if (!read_trailer(node, k, err))
        return false;
    length = be64(k + K_LIST_LENGTH);
    if (length == 0 || length > LIST_MAX)
        return mapped_refuse(node, err,
                             "a property list of %" G_GUINT64_FORMAT " bytes (1 to %d); tables in "
                             "a resource fork are not read",
                             length, LIST_MAX);
    list = g_try_malloc0(length + 1);
    if (!list)
        return kiln_error_set(err, VIR_ERR_NO_MEMORY, "property list of an image");
    if (!mapped_head(node, be64(k + K_LIST_AT), list, length, err))
        return false;
    if (be64(k + K_DATA_AT) > (uint64_t)G_MAXINT64 / 4)
        return mapped_refuse(node, err, "its data begins beyond any file");
    if (!read_list(node, list, be64(k + K_DATA_AT), err))
        return false;
    g_array_sort(d->chunks, chunk_compare);
    for (guint i = 0; i < d->chunks->len; i++) {
        const Chunk *chunk = &g_array_index(d->chunks, Chunk, i);

        if (chunk->start < end)
            return mapped_refuse(node, err, "chunks overlap at byte %" G_GUINT64_FORMAT,
                                 chunk->start);
        end = chunk->start + chunk->length;
    }
    node->size = end;
    node->read_only = true;
    return true;
}

static void
dmg_close(BlockNode *node)
{
    Dmg *d = node->state;

    if (!d || !d->made)
        return;
    g_array_unref(d->chunks);
    g_mutex_clear(&d->lock);
    g_clear_pointer(&d->bytes, g_free);
    d->made = false;
}

/* The chunk at @offset; NULL: none, and *ret_length bytes on there is the next. */
static const Chunk *
chunk_find(const Dmg *d, uint64_t offset, uint64_t *ret_length)
{
    guint low = 0, high = d->chunks->len;

    while (low < high) {
        guint mid = low + (high - low) / 2;
        const Chunk *chunk = &g_array_index(d->chunks, Chunk, mid);

        if (offset < chunk->start) {
            high = mid;
        } else if (offset - chunk->start < chunk->length) {
            *ret_length = chunk->start + chunk->length - offset;
            return chunk;
        } else {
            low = mid + 1;
        }
    }
    *ret_length =
        low < d->chunks->len ? g_array_index(d->chunks, Chunk, low).start - offset : UINT64_MAX;
    return NULL;
}

/* With the lock held: the chunk's bytes are in d->bytes. */
static int
chunk_unpack(BlockNode *node, const Chunk *chunk)
{
    Dmg *d = node->state;
    g_autofree uint8_t *packed = NULL;
    int r;

    if (d->cached == chunk)
        return 0;
    d->cached = NULL;
    g_clear_pointer(&d->bytes, g_free);
    d->bytes = g_try_malloc(chunk->length);
    packed = g_try_malloc(MAX(chunk->packed, 1u));
    if (!d->bytes || !packed)
        return -ENOMEM;
    r = mapped_file_read(node->file, chunk->at, packed, chunk->packed);
    if (r == 0)
        r = inflate_bytes(true, packed, chunk->packed, d->bytes, chunk->length);
    if (r == 0)
        d->cached = chunk;
    return r;
}

static int
dmg_pread(BlockNode *node, uint64_t offset, void *buf, size_t length)
{
    Dmg *d = node->state;
    uint8_t *out = buf;
    int r = 0;

    while (length > 0 && r == 0) {
        uint64_t there;
        const Chunk *chunk = chunk_find(d, offset, &there);
        size_t part = (size_t)MIN((uint64_t)length, there);

        if (!chunk || chunk->type == CHUNK_ZERO || chunk->type == CHUNK_IGNORE) {
            memset(out, 0, part);
        } else if (chunk->type == CHUNK_RAW) {
            r = mapped_file_read(node->file, chunk->at + (offset - chunk->start), out, part);
        } else {
            g_mutex_lock(&d->lock);
            r = chunk_unpack(node, chunk);
            if (r == 0)
                memcpy(out, d->bytes + (offset - chunk->start), part);
            g_mutex_unlock(&d->lock);
        }
        offset += part;
        out += part;
        length -= part;
    }
    return r;
}

static int
dmg_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret)
{
    const Dmg *d = node->state;
    uint64_t there;
    const Chunk *chunk = chunk_find(d, offset, &there);

    *ret = (BlockStatus){ .flags = BLOCK_STATUS_ALLOCATED, .length = MIN(length, there) };
    ret->flags |= !chunk || chunk->type == CHUNK_ZERO || chunk->type == CHUNK_IGNORE
                      ? BLOCK_STATUS_ZERO
                      : BLOCK_STATUS_DATA;
    return 0;
}

const BlockDriver block_dmg_driver = {
    .name = "dmg",
    .state_size = sizeof(Dmg),
    .probe = dmg_probe,
    .open = dmg_open,
    .close = dmg_close,
    .pread = dmg_pread,
    .status = dmg_status,
};
