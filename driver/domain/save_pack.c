/* save_pack.c - packing the stream of a saved guest on its way into a file.
 *
 * Zstandard (RFC 8878) by libzstd. Only packing is done here: what a guest may have made is
 * unpacked by the VMM, behind its sandbox.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#include "driver/domain/save_file.h"
#include "util/file.h"

enum { PACK_BUFFER = 1 << 20, PACK_BLOCK = 4096, PACK_LEVEL = 1 };

typedef struct {
    int to;
    uint8_t *in, *out;
    size_t used; /* of @out */
    ZSTD_CCtx *context;
} Pack;

/* Full buffers only, so that a descriptor with O_DIRECT takes them. */
static int
pack_some(Pack *pack, size_t len, ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = { pack->in, len, 0 };
    size_t left;

    do {
        ZSTD_outBuffer out = { pack->out, PACK_BUFFER, pack->used };

        left = ZSTD_compressStream2(pack->context, &out, &in, end);
        if (ZSTD_isError(left))
            return -EIO;
        pack->used = out.pos;
        if (pack->used == PACK_BUFFER) {
            int ret = file_write_all(pack->to, pack->out, PACK_BUFFER);

            if (ret < 0)
                return ret;
            pack->used = 0;
        }
    } while (end == ZSTD_e_end ? left > 0 : in.pos < in.size);
    return 0;
}

static int
pack_end(Pack *pack)
{
    int ret = pack_some(pack, 0, ZSTD_e_end), flags = fcntl(pack->to, F_GETFL);

    if (ret < 0)
        return ret;
    /* the last piece is no whole block */
    if (flags < 0 || fcntl(pack->to, F_SETFL, flags & ~O_DIRECT) < 0)
        return -errno;
    return file_write_all(pack->to, pack->out, pack->used);
}

int
save_pack(int from, int to)
{
    Pack pack = { .to = to,
                  .in = malloc(PACK_BUFFER),
                  .out = aligned_alloc(PACK_BLOCK, PACK_BUFFER),
                  .context = ZSTD_createCCtx() };
    int ret = pack.in && pack.out && pack.context ? 0 : -ENOMEM;
    ssize_t n = 1;

    if (ret == 0 &&
        (ZSTD_isError(ZSTD_CCtx_setParameter(pack.context, ZSTD_c_compressionLevel, PACK_LEVEL)) ||
         ZSTD_isError(ZSTD_CCtx_setParameter(pack.context, ZSTD_c_checksumFlag, 1))))
        ret = -EIO;
    while (ret == 0 && n != 0) {
        n = read(from, pack.in, PACK_BUFFER);
        if (n < 0 && errno != EINTR)
            ret = -errno;
        else if (n > 0)
            ret = pack_some(&pack, (size_t)n, ZSTD_e_continue);
    }
    if (ret == 0)
        ret = pack_end(&pack);
    ZSTD_freeCCtx(pack.context);
    free(pack.out);
    free(pack.in);
    return ret;
}
