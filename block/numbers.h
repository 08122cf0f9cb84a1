/* numbers.h - numbers of image headers, little and big endian, at any address.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_NUMBERS_H
#define KILN_BLOCK_NUMBERS_H

#include <glib.h>
#include <stdint.h>
#include <string.h>

#define NUMBER_ACCESSORS(bits, order, ORDER)                                                       \
    static inline uint##bits##_t order##bits(const void *p)                                        \
    {                                                                                              \
        uint##bits##_t n;                                                                          \
                                                                                                   \
        memcpy(&n, p, sizeof(n));                                                                  \
        return GUINT##bits##_FROM_##ORDER(n);                                                      \
    }                                                                                              \
    static inline void put_##order##bits(void *p, uint##bits##_t n)                                \
    {                                                                                              \
        n = GUINT##bits##_TO_##ORDER(n);                                                           \
        memcpy(p, &n, sizeof(n));                                                                  \
    }

NUMBER_ACCESSORS(16, le, LE)
NUMBER_ACCESSORS(32, le, LE)
NUMBER_ACCESSORS(64, le, LE)
NUMBER_ACCESSORS(16, be, BE)
NUMBER_ACCESSORS(32, be, BE)
NUMBER_ACCESSORS(64, be, BE)

#undef NUMBER_ACCESSORS

#endif
