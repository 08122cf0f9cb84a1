/* inflate.c - deflate data inside images: read by zlib, written by libdeflate or zlib.
 *
 * A guest's own I/O uses only zlib, which is in every process anyway; libdeflate is for the tools.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/inflate.h"

#include <errno.h>
#include <libdeflate.h>
#include <zlib.h>

enum { LEVEL = 6, LEVEL_FAST = 1 }; /* libdeflate's 1 packs about as well as zlib's 5 */

int
inflate_bytes(bool zlib_frame, const void *in, size_t length, void *out, size_t size)
{
    z_stream z = {
        .next_in = (Bytef *)in, .avail_in = (uInt)length, .next_out = out, .avail_out = (uInt)size
    };
    int r;

    if (length > UINT32_MAX || size > UINT32_MAX)
        return -EUCLEAN;
    if (inflateInit2(&z, zlib_frame ? MAX_WBITS : -MAX_WBITS) != Z_OK)
        return -ENOMEM;
    r = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    /* full with more to come is a stream that is too long, but for a bare one's end mark */
    return z.avail_out == 0 && (r == Z_STREAM_END || (r == Z_BUF_ERROR && !zlib_frame)) ? 0
                                                                                        : -EUCLEAN;
}

long
deflate_bytes_fast(const void *in, size_t length, void *out, size_t room)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(LEVEL_FAST);
    size_t packed;

    if (!c)
        return -ENOMEM;
    packed = libdeflate_zlib_compress(c, in, length, out, room);
    libdeflate_free_compressor(c);
    return (long)packed;
}

long
deflate_bytes(const void *in, size_t length, void *out, size_t room)
{
    uLongf packed = room;
    int r = compress2(out, &packed, in, length, LEVEL);

    return r == Z_OK ? (long)packed : r == Z_MEM_ERROR ? -ENOMEM : 0;
}
