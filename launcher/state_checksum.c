/* state_checksum.c - CRC-32C, by the processor's own instruction where it has one.
 *
 * RFC 3720, B.4 (polynomial 0x1edc6f41, reflected); Intel SDM volume 2, CRC32.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "launcher/state_stream.h"

#define CHECKSUM_POLYNOMIAL 0x82f63b78u

/* Four bits at a time: the table is made on the stack and the path is for old processors only. */
static uint32_t
checksum_plain(uint32_t crc, const uint8_t *p, size_t len)
{
    uint32_t table[16];

    for (uint32_t i = 0; i < G_N_ELEMENTS(table); i++) {
        table[i] = i;
        for (unsigned bit = 0; bit < 4; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? CHECKSUM_POLYNOMIAL : 0);
    }
    for (; len > 0; len--, p++) {
        crc ^= *p;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

__attribute__((target("sse4.2"))) static uint32_t
checksum_sse(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t sum = crc;

    for (; len >= 8; len -= 8, p += 8) {
        uint64_t word;

        memcpy(&word, p, sizeof(word));
        sum = __builtin_ia32_crc32di(sum, word);
    }
    for (; len > 0; len--, p++)
        sum = __builtin_ia32_crc32qi((uint32_t)sum, *p);
    return (uint32_t)sum;
}

uint32_t
state_checksum(uint32_t crc, const void *data, size_t len)
{
    return ~(__builtin_cpu_supports("sse4.2") ? checksum_sse : checksum_plain)(~crc, data, len);
}
