/* fuzz_telnet.c - bytes from a telnet client, in pieces: cut differently they give the same data.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/telnet.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes @data in pieces of @piece bytes; a break becomes a 'B'. */
static GByteArray *
decode(const uint8_t *data, size_t size, size_t piece, GByteArray *reply)
{
    GByteArray *out = g_byte_array_new();
    Telnet telnet = { 0 };

    telnet_greet(&telnet, reply);
    while (size > 0) {
        size_t n = MIN(size, piece), used, got;
        g_autofree uint8_t *copy = g_memdup2(data, n);
        bool line_break;

        got = telnet_decode(&telnet, copy, n, &used, &line_break, reply);
        if (got > used || used > n || (used < n && !line_break))
            abort();
        g_byte_array_append(out, copy, (guint)got);
        if (line_break)
            g_byte_array_append(out, (const uint8_t *)"B", 1);
        data += used;
        size -= used;
    }
    return out;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GByteArray) first_reply = g_byte_array_new(), second_reply = g_byte_array_new();
    g_autoptr(GByteArray) first = decode(data, size, 1, first_reply);
    g_autoptr(GByteArray) second = decode(data, size, 1 + size % 7, second_reply);

    if (first->len != second->len || memcmp(first->data, second->data, first->len) != 0 ||
        first_reply->len != second_reply->len || first_reply->len > 12 + 3 * 512)
        abort();
    return 0;
}
