/* bytes.h - numbers of a qcow2 image in its byte order, big endian, at any address.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_BYTES_H
#define KILN_BLOCK_QCOW2_BYTES_H

#include <glib.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t
qcow2_get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static inline uint32_t
qcow2_get32(const uint8_t *p)
{
    uint32_t n;

    memcpy(&n, p, sizeof(n));
    return GUINT32_FROM_BE(n);
}

static inline uint64_t
qcow2_get64(const uint8_t *p)
{
    uint64_t n;

    memcpy(&n, p, sizeof(n));
    return GUINT64_FROM_BE(n);
}

static inline void
qcow2_put16(uint8_t *p, uint16_t n)
{
    p[0] = n >> 8;
    p[1] = n;
}

static inline void
qcow2_put32(uint8_t *p, uint32_t n)
{
    n = GUINT32_TO_BE(n);
    memcpy(p, &n, sizeof(n));
}

static inline void
qcow2_put64(uint8_t *p, uint64_t n)
{
    n = GUINT64_TO_BE(n);
    memcpy(p, &n, sizeof(n));
}

#endif
