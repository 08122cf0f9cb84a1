/* compress.c - compressed clusters: raw deflate (RFC 1951) and zstd (RFC 8878).
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Compressed Clusters Descriptor". What is written is
 * compressed outside of the image's lock, so several threads may work at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <libdeflate.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "block/qcow2/refcount.h"
#include "block/qcow2/tables.h"
#include "block/qcow2/upkeep.h"

enum { DEFLATE_LEVEL = 1, ZSTD_LEVEL = 1 };

int
qcow2_compress(unsigned type, const uint8_t *in, size_t length, uint8_t *out, size_t room)
{
    size_t n;

    if (type == QCOW2_COMPRESSION_ZSTD) {
        n = ZSTD_compress(out, room, in, length, ZSTD_LEVEL);
        return ZSTD_isError(n) ? -E2BIG : (int)n;
    } else {
        struct libdeflate_compressor *c = libdeflate_alloc_compressor(DEFLATE_LEVEL);

        if (!c)
            return -ENOMEM;
        n = libdeflate_deflate_compress(c, in, length, out, room);
        libdeflate_free_compressor(c);
        return n == 0 ? -E2BIG : (int)n;
    }
}

/* The frame ends somewhere in @in: what follows belongs to others. */
static int
decompress_zstd(const uint8_t *in, size_t in_length, uint8_t *out, size_t length)
{
    ZSTD_inBuffer from = { .src = in, .size = in_length };
    ZSTD_outBuffer to = { .dst = out, .size = length };
    ZSTD_DStream *c = ZSTD_createDStream();
    int r = c ? 0 : -ENOMEM;

    while (r == 0 && to.pos < to.size) {
        size_t in_before = from.pos, out_before = to.pos;
        size_t n = ZSTD_decompressStream(c, &to, &from);

        if (ZSTD_isError(n) || (from.pos == in_before && to.pos == out_before))
            r = -EIO;
    }
    ZSTD_freeDStream(c);
    return r;
}

/* By zlib, which is in every process that has GIO. */
static int
decompress_deflate(const uint8_t *in, size_t in_length, uint8_t *out, size_t length)
{
    z_stream z = {
        .next_in = (Bytef *)in, .avail_in = in_length, .next_out = out, .avail_out = length
    };
    int r;

    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return -ENOMEM;
    r = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    /* some writers leave the end of the stream out of the space that the entry gives */
    return (r == Z_STREAM_END || r == Z_BUF_ERROR) && z.avail_out == 0 ? 0 : -EIO;
}

int
qcow2_decompress(unsigned type, const uint8_t *in, size_t in_length, uint8_t *out, size_t length)
{
    return type == QCOW2_COMPRESSION_ZSTD ? decompress_zstd(in, in_length, out, length)
                                          : decompress_deflate(in, in_length, out, length);
}

/* Room in the file for @bytes of compressed data of an unused cluster, and its entry. */
static int
compressed_place(Qcow2 *q, uint64_t cluster, uint64_t bytes, Qcow2Entry *ret, uint64_t *ret_at)
{
    unsigned shift = 62 - (q->header.cluster_bits - 8);
    Qcow2Entry old;
    uint64_t sectors;
    int r = qcow2_table_need(q, cluster);

    if (r == 0)
        r = qcow2_entry_get(q, cluster, &old);
    if (r == 0 && (old.entry != 0 || old.bitmap != 0))
        r = -EINVAL;
    if (r == 0)
        r = qcow2_alloc_bytes(q, bytes, ret_at);
    if (r == 0 && *ret_at >> shift) {
        qcow2_free(q, *ret_at, bytes, false);
        r = -EFBIG;
    }
    if (r < 0)
        return r;
    sectors = (*ret_at + bytes - 1) / 512 - *ret_at / 512;
    *ret = (Qcow2Entry){ .entry = QCOW2_COMPRESSED | sectors << shift | *ret_at };
    return 0;
}

int
qcow2_pwrite_compressed(BlockNode *node, uint64_t offset, const void *buf, size_t length)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t cluster = offset >> q->header.cluster_bits, at = 0;
    g_autofree uint8_t *in = NULL, *out = g_try_malloc(q->cluster_size);
    Qcow2Change change = { .first = cluster, .end = cluster + 1 };
    Qcow2Entry entry;
    int bytes, r;

    /* a data file has no compressed clusters, and compressed ones are not encrypted */
    if (q->has_data_file || q->crypt)
        return -ENOTSUP;
    if (!out)
        return -ENOMEM;
    if (length < q->cluster_size) {
        in = g_try_malloc0(q->cluster_size);
        if (!in)
            return -ENOMEM;
        memcpy(in, buf, length);
        buf = in;
    }
    bytes =
        qcow2_compress(q->header.compression_type, buf, q->cluster_size, out, q->cluster_size - 1);
    if (bytes == -E2BIG) {
        /* not smaller: as it is */
        return qcow2_pwrite(node, offset, buf, length, 0);
    }
    if (bytes < 0)
        return bytes;
    g_mutex_lock(&q->lock);
    qcow2_change_wait(q, change.first, change.end);
    r = g_atomic_int_get(&q->corrupt) ? -EIO : compressed_place(q, cluster, bytes, &entry, &at);
    if (r < 0) {
        g_mutex_unlock(&q->lock);
        return r;
    }
    qcow2_change_begin(q, &change);
    qcow2_bitmaps_dirty(node, offset, length);
    g_mutex_unlock(&q->lock);
    r = block_node_pwrite(node->file, at, out, bytes, 0);
    g_mutex_lock(&q->lock);
    if (r == 0)
        r = qcow2_entry_set(q, cluster, entry);
    if (r < 0)
        qcow2_free(q, at, bytes, false);
    qcow2_change_end(q, &change);
    g_mutex_unlock(&q->lock);
    return r;
}
