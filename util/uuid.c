/* uuid.c - UUIDs: 16 bytes, their text, and tables by them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/uuid.h"

#include <string.h>

bool
kiln_uuid_parse(const char *text, uint8_t ret[16])
{
    uint8_t uuid[16];

    while (g_ascii_isspace(*text))
        text++;
    for (unsigned i = 0; i < 16; i++) {
        int hi, lo;

        while (*text == '-')
            text++;
        hi = g_ascii_xdigit_value(text[0]);
        lo = hi < 0 ? -1 : g_ascii_xdigit_value(text[1]);
        if (lo < 0)
            return false;
        uuid[i] = (uint8_t)(hi << 4 | lo);
        text += 2;
    }
    while (g_ascii_isspace(*text))
        text++;
    if (*text)
        return false;
    memcpy(ret, uuid, sizeof(uuid));
    return true;
}

char *
kiln_uuid_format(const uint8_t uuid[16])
{
    GString *out = g_string_sized_new(36);

    for (unsigned i = 0; i < 16; i++)
        g_string_append_printf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
                               uuid[i]);
    return g_string_free(out, FALSE);
}

guint
kiln_uuid_hash(gconstpointer key)
{
    guint hash;

    memcpy(&hash, key, sizeof(hash)); /* UUIDs are random enough as they are */
    return hash;
}

gboolean
kiln_uuid_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, 16) == 0;
}
