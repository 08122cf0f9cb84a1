/* refcount_word.h - one refcount in a refcount block, of any width.
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Refcount block entry": widths of a byte and more are big
 * endian, narrower ones count from the least significant bit of a byte.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_REFCOUNT_WORD_H
#define KILN_BLOCK_QCOW2_REFCOUNT_WORD_H

#include "block/numbers.h"

static inline uint64_t
qcow2_refcount_max(unsigned order)
{
    return order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << order)) - 1;
}

static inline uint64_t
qcow2_refcount_word(const uint8_t *block, uint64_t i, unsigned order)
{
    switch (order) {
    case 3:
        return block[i];
    case 4:
        return be16(block + i * 2);
    case 5:
        return be32(block + i * 4);
    case 6:
        return be64(block + i * 8);
    default:
        return block[(i << order) / 8] >> (i << order) % 8 & ((1u << (1u << order)) - 1);
    }
}

static inline void
qcow2_refcount_put(uint8_t *block, uint64_t i, unsigned order, uint64_t n)
{
    unsigned shift = (i << order) % 8, mask;
    uint8_t *byte = &block[(i << order) / 8];

    switch (order) {
    case 3:
        *byte = n;
        break;
    case 4:
        put_be16(block + i * 2, n);
        break;
    case 5:
        put_be32(block + i * 4, n);
        break;
    case 6:
        put_be64(block + i * 8, n);
        break;
    default:
        mask = (1u << (1u << order)) - 1;
        *byte = (*byte & ~(mask << shift)) | n << shift;
        break;
    }
}

#endif
