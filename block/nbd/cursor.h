/* cursor.h - bounded reading of a message's bytes, in order, big-endian.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_NBD_CURSOR_H
#define KILN_BLOCK_NBD_CURSOR_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *at;
    size_t left;
} NbdCursor;

/* Each takes its bytes, or returns false when there are fewer, and then takes nothing. */
static inline bool
nbd_cursor_take(NbdCursor *cursor, void *ret, size_t length)
{
    if (cursor->left < length)
        return false;
    memcpy(ret, cursor->at, length);
    cursor->at += length;
    cursor->left -= length;
    return true;
}

static inline bool
nbd_cursor_u16(NbdCursor *cursor, uint16_t *ret)
{
    if (!nbd_cursor_take(cursor, ret, sizeof(*ret)))
        return false;
    *ret = GUINT16_FROM_BE(*ret);
    return true;
}

static inline bool
nbd_cursor_u32(NbdCursor *cursor, uint32_t *ret)
{
    if (!nbd_cursor_take(cursor, ret, sizeof(*ret)))
        return false;
    *ret = GUINT32_FROM_BE(*ret);
    return true;
}

static inline bool
nbd_cursor_u64(NbdCursor *cursor, uint64_t *ret)
{
    if (!nbd_cursor_take(cursor, ret, sizeof(*ret)))
        return false;
    *ret = GUINT64_FROM_BE(*ret);
    return true;
}

/* A text of @length bytes without a NUL among them; the caller frees it. */
static inline bool
nbd_cursor_text(NbdCursor *cursor, size_t length, char **ret)
{
    if (cursor->left < length || memchr(cursor->at, 0, length))
        return false;
    *ret = g_strndup((const char *)cursor->at, length);
    cursor->at += length;
    cursor->left -= length;
    return true;
}

#endif
