/* iov.c - copying to, from and between lists of buffers, within their bounds.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/iov.h"

#include <glib.h>
#include <stdint.h>
#include <string.h>

size_t
iov_bytes(const struct iovec *iov, unsigned n)
{
    size_t total = 0;

    for (unsigned i = 0; i < n; i++)
        total += iov[i].iov_len;
    return total;
}

size_t
iov_read(const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t len)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && done < len; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
        } else {
            size_t piece = MIN(len - done, iov[i].iov_len - offset);

            memcpy((uint8_t *)buf + done, (const uint8_t *)iov[i].iov_base + offset, piece);
            done += piece;
            offset = 0;
        }
    }
    return done;
}

size_t
iov_write(const struct iovec *iov, unsigned n, size_t offset, const void *buf, size_t len)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && done < len; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
        } else {
            size_t piece = MIN(len - done, iov[i].iov_len - offset);

            memcpy((uint8_t *)iov[i].iov_base + offset, (const uint8_t *)buf + done, piece);
            done += piece;
            offset = 0;
        }
    }
    return done;
}

unsigned
iov_slice(const struct iovec *iov, unsigned n, size_t offset, size_t len, struct iovec *out)
{
    unsigned pieces = 0;

    for (unsigned i = 0; i < n && len > 0; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
        } else {
            size_t piece = MIN(len, iov[i].iov_len - offset);

            out[pieces++] = (struct iovec){ (uint8_t *)iov[i].iov_base + offset, piece };
            len -= piece;
            offset = 0;
        }
    }
    return pieces;
}
