/* state_zstd.c - unpacking a stream that was packed on its way into a file.
 *
 * RFC 8878 by libzstd, with its window limited: what a frame asks for is bounded.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/state_zstd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "hw/core/bytes.h"
#include "util/error.h"

enum { ZSTD_WINDOW_LOG = 27, INPUT = 1 << 20, ALIGN = 4096 };

struct StateUnzstd {
    ZSTD_DStream *stream;
    ssize_t (*read)(void *opaque, uint8_t *data, size_t len);
    void *opaque;
    uint8_t *input;
    ZSTD_inBuffer in;
    bool inside; /* a frame is not finished */
};

bool
state_is_zstd(const uint8_t *data)
{
    return bytes_load32(data) == ZSTD_MAGICNUMBER;
}

StateUnzstd *
state_unzstd_new(const uint8_t *data, size_t len,
                 ssize_t (*read)(void *opaque, uint8_t *data, size_t len), void *opaque,
                 GError **err)
{
    StateUnzstd *z = g_new0(StateUnzstd, 1);

    z->read = read;
    z->opaque = opaque;
    z->input = aligned_alloc(ALIGN, INPUT); /* as a descriptor with O_DIRECT wants it */
    len = MIN(len, (size_t)INPUT);
    if (z->input)
        memcpy(z->input, data, len);
    z->in = (ZSTD_inBuffer){ z->input, len, 0 };
    z->stream = ZSTD_createDStream();
    if (!z->input || !z->stream ||
        ZSTD_isError(ZSTD_DCtx_setParameter(z->stream, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG))) {
        state_unzstd_free(z);
        kiln_error_set(err, VIR_ERR_NO_MEMORY, "no memory to unpack the saved guest");
        return NULL;
    }
    return z;
}

void
state_unzstd_free(StateUnzstd *z)
{
    if (!z)
        return;
    ZSTD_freeDStream(z->stream);
    free(z->input);
    g_free(z);
}

ssize_t
state_unzstd_read(StateUnzstd *z, uint8_t *data, size_t len)
{
    ZSTD_outBuffer out = { data, len, 0 };

    for (;;) {
        size_t before = z->in.pos, ret = ZSTD_decompressStream(z->stream, &out, &z->in);
        ssize_t n;

        if (ZSTD_isError(ret))
            return -EBADMSG;
        if (out.pos > 0 || z->in.pos != before)
            z->inside = ret != 0;
        if (out.pos > 0)
            break;
        if (z->in.pos < z->in.size)
            continue;
        n = z->read(z->opaque, z->input, INPUT);
        if (n <= 0)
            return n == 0 && z->inside ? -EBADMSG : n;
        z->in.size = (size_t)n;
        z->in.pos = 0;
    }
    return (ssize_t)out.pos;
}
