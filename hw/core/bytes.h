/* bytes.h - little-endian loads and stores on byte buffers whose bounds the caller has checked.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CORE_BYTES_H
#define KILN_HW_CORE_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* @size is 1 to 8 bytes. */
static inline uint64_t
bytes_load(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static inline void
bytes_store(uint8_t *p, uint64_t v, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint16_t
bytes_load16(const uint8_t *p)
{
    return (uint16_t)bytes_load(p, 2);
}

static inline uint32_t
bytes_load32(const uint8_t *p)
{
    return (uint32_t)bytes_load(p, 4);
}

static inline uint64_t
bytes_load64(const uint8_t *p)
{
    return bytes_load(p, 8);
}

/* What a read of @size bytes returns where nothing answers. */
static inline uint64_t
bytes_all_ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
}

#endif
