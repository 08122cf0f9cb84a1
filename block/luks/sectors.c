/* sectors.c - encrypted bytes of any alignment: whole sectors are read and written, and parts of
 * sectors by reading, changing and writing them with all other writers kept out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/luks/luks.h"

enum { PART_MAX = 1 << 20 }; /* bytes encrypted at once, in a buffer beside the caller's */

void
luks_sectors_init(LuksSectors *sectors, LuksCipher *cipher)
{
    sectors->cipher = cipher;
    g_rw_lock_init(&sectors->lock);
    sectors->made = true;
}

void
luks_sectors_clear(LuksSectors *sectors)
{
    if (sectors->made)
        g_rw_lock_clear(&sectors->lock);
    sectors->made = false;
}

static int
read_whole(LuksSectors *s, BlockNode *file, uint64_t at, uint64_t number, uint8_t *buf,
           size_t length)
{
    int r = block_node_pread(file, at, buf, length);

    return r < 0 ? r : luks_cipher_decrypt(s->cipher, number / LUKS_SECTOR, buf, length);
}

/* At most PART_MAX bytes, less when that gets to a border of sectors. */
static size_t
part_of(uint64_t number, size_t length)
{
    return MIN(length, PART_MAX - (size_t)(number % LUKS_SECTOR));
}

int
luks_sectors_read(LuksSectors *sectors, BlockNode *file, uint64_t at, uint64_t number, void *buf,
                  size_t length)
{
    uint8_t *to = buf;
    int r = 0;

    if (!sectors->cipher)
        return -ENOKEY;
    if ((number | length) % LUKS_SECTOR == 0)
        return read_whole(sectors, file, at, number, buf, length);
    while (r == 0 && length > 0) {
        size_t head = number % LUKS_SECTOR, part = part_of(number, length);
        size_t whole = (head + part + LUKS_SECTOR - 1) / LUKS_SECTOR * LUKS_SECTOR;
        g_autofree uint8_t *flat = g_try_malloc(whole);

        r = flat ? read_whole(sectors, file, at - head, number - head, flat, whole) : -ENOMEM;
        if (r == 0)
            memcpy(to, flat + head, part);
        to += part;
        at += part;
        number += part;
        length -= part;
    }
    return r;
}

/* @flat has room for the sectors around; lock held. */
static int
write_part(LuksSectors *s, BlockNode *file, uint64_t at, uint64_t number, const uint8_t *from,
           size_t part, uint8_t *flat)
{
    size_t head = number % LUKS_SECTOR;
    size_t whole = (head + part + LUKS_SECTOR - 1) / LUKS_SECTOR * LUKS_SECTOR;
    size_t last = whole - LUKS_SECTOR;
    int r = 0;

    if (head > 0)
        r = read_whole(s, file, at - head, number - head, flat, LUKS_SECTOR);
    if (r == 0 && head + part < whole && (last > 0 || head == 0))
        r = read_whole(s, file, at - head + last, number - head + last, flat + last, LUKS_SECTOR);
    if (r < 0)
        return r;
    memcpy(flat + head, from, part);
    r = luks_cipher_encrypt(s->cipher, number / LUKS_SECTOR, flat, whole);
    return r < 0 ? r : block_node_pwrite(file, at - head, flat, whole, 0);
}

int
luks_sectors_write(LuksSectors *sectors, BlockNode *file, uint64_t at, uint64_t number,
                   const void *buf, size_t length)
{
    bool whole = (number | length) % LUKS_SECTOR == 0;
    g_autofree uint8_t *flat = NULL;
    const uint8_t *from = buf;
    int r = 0;

    if (!sectors->cipher)
        return -ENOKEY;
    flat = g_try_malloc(MIN(length + 2 * LUKS_SECTOR, (size_t)PART_MAX + LUKS_SECTOR));
    if (!flat)
        return -ENOMEM;
    if (whole)
        g_rw_lock_reader_lock(&sectors->lock);
    else
        g_rw_lock_writer_lock(&sectors->lock);
    while (r == 0 && length > 0) {
        size_t part = part_of(number, length);

        r = write_part(sectors, file, at, number, from, part, flat);
        from += part;
        at += part;
        number += part;
        length -= part;
    }
    if (whole)
        g_rw_lock_reader_unlock(&sectors->lock);
    else
        g_rw_lock_writer_unlock(&sectors->lock);
    return r;
}
