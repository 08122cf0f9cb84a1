/* bitmap_directory.c - the directory of persistent bitmaps of a qcow2 image, from and to bytes.
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Bitmap directory".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/bitmap_directory.h"

#include <errno.h>
#include <string.h>

#include "block/numbers.h"
#include "block/qcow2/layout.h"

enum {
    AT_TABLE_OFFSET = 0,
    AT_TABLE_SIZE = 8,
    AT_FLAGS = 12,
    AT_TYPE = 16,
    AT_GRANULARITY = 17,
    AT_NAME_LENGTH = 18,
    AT_EXTRA_LENGTH = 20,
    FIXED = 24,
    FLAGS_KNOWN = QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO | QCOW2_BITMAP_EXTRA_COMPATIBLE,
};

void
qcow2_bitmap_entry_free(Qcow2BitmapEntry *e)
{
    if (!e)
        return;
    g_free(e->name);
    g_clear_pointer(&e->extra, g_bytes_unref);
    g_free(e);
}

size_t
qcow2_bitmap_entry_size(size_t name_length, size_t extra_length)
{
    return (FIXED + name_length + extra_length + 7) / 8 * 8;
}

uint64_t
qcow2_bitmap_bytes(uint64_t disk_size, unsigned granularity_bits)
{
    return qcow2_layout_div(qcow2_layout_div(disk_size, UINT64_C(1) << granularity_bits), 8);
}

uint64_t
qcow2_bitmap_table_entries(uint64_t disk_size, unsigned granularity_bits, unsigned cluster_bits)
{
    return qcow2_layout_div(qcow2_bitmap_bytes(disk_size, granularity_bits), UINT64_C(1)
                                                                                 << cluster_bits);
}

/* The entry at the start of @bytes; its length, or 0 when it is none. */
static size_t
entry_parse(const uint8_t *bytes, size_t left, unsigned cluster_bits, Qcow2BitmapEntry **ret)
{
    Qcow2BitmapEntry *e;
    size_t name_length, extra_length, size;

    if (left < FIXED)
        return 0;
    name_length = be16(bytes + AT_NAME_LENGTH);
    extra_length = be32(bytes + AT_EXTRA_LENGTH);
    size = qcow2_bitmap_entry_size(name_length, extra_length);
    if (size > left || name_length == 0 || name_length > QCOW2_BITMAP_NAME_MAX ||
        memchr(bytes + FIXED + extra_length, 0, name_length))
        return 0;
    if (be32(bytes + AT_FLAGS) & ~(uint32_t)FLAGS_KNOWN ||
        bytes[AT_TYPE] != QCOW2_BITMAP_TYPE_DIRTY ||
        bytes[AT_GRANULARITY] < QCOW2_BITMAP_GRANULARITY_BITS_MIN ||
        bytes[AT_GRANULARITY] > QCOW2_BITMAP_GRANULARITY_BITS_MAX)
        return 0;
    if (be64(bytes + AT_TABLE_OFFSET) & ((UINT64_C(1) << cluster_bits) - 1) ||
        be32(bytes + AT_TABLE_SIZE) > (uint32_t)QCOW2_BITMAP_BYTES_MAX >> cluster_bits)
        return 0;
    e = g_new0(Qcow2BitmapEntry, 1);
    e->table_offset = be64(bytes + AT_TABLE_OFFSET);
    e->table_size = be32(bytes + AT_TABLE_SIZE);
    e->flags = be32(bytes + AT_FLAGS);
    e->type = bytes[AT_TYPE];
    e->granularity_bits = bytes[AT_GRANULARITY];
    if (extra_length > 0)
        e->extra = g_bytes_new(bytes + FIXED, extra_length);
    e->name = g_strndup((const char *)bytes + FIXED + extra_length, name_length);
    *ret = e;
    return size;
}

int
qcow2_bitmap_directory_read(BlockNode *file, unsigned cluster_bits, uint64_t offset, uint64_t size,
                            uint32_t count, GPtrArray **ret)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree uint8_t *bytes = NULL;
    uint64_t at = 0, bits = 0;
    int r;

    *ret = g_ptr_array_new_with_free_func((GDestroyNotify)qcow2_bitmap_entry_free);
    if (count == 0 || count > QCOW2_BITMAPS_MAX || size == 0 || size > QCOW2_BITMAP_DIRECTORY_MAX ||
        offset > (uint64_t)G_MAXINT64 - size || offset & ((UINT64_C(1) << cluster_bits) - 1))
        return -EINVAL;
    bytes = g_try_malloc(size);
    if (!bytes)
        return -ENOMEM;
    r = block_node_pread(file, offset, bytes, size);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < count; i++) {
        Qcow2BitmapEntry *e = NULL;
        size_t length = entry_parse(bytes + at, size - at, cluster_bits, &e);

        if (length == 0)
            return -EINVAL;
        g_ptr_array_add(*ret, e);
        bits += (uint64_t)e->table_size << cluster_bits;
        if (!g_hash_table_add(names, e->name) || bits > QCOW2_BITMAPS_BYTES_MAX)
            return -EINVAL;
        at += length;
    }
    return at == size ? 0 : -EINVAL;
}

GByteArray *
qcow2_bitmap_directory_format(const GPtrArray *directory)
{
    GByteArray *out = g_byte_array_new();

    for (guint i = 0; i < directory->len; i++) {
        const Qcow2BitmapEntry *e = directory->pdata[i];
        size_t extra_length = 0, name_length = strlen(e->name);
        const void *extra = e->extra ? g_bytes_get_data(e->extra, &extra_length) : NULL;
        uint8_t fixed[FIXED], padding[8] = { 0 };

        put_be64(fixed + AT_TABLE_OFFSET, e->table_offset);
        put_be32(fixed + AT_TABLE_SIZE, e->table_size);
        put_be32(fixed + AT_FLAGS, e->flags);
        fixed[AT_TYPE] = e->type;
        fixed[AT_GRANULARITY] = e->granularity_bits;
        put_be16(fixed + AT_NAME_LENGTH, name_length);
        put_be32(fixed + AT_EXTRA_LENGTH, extra_length);
        g_byte_array_append(out, fixed, sizeof(fixed));
        g_byte_array_append(out, extra, extra_length);
        g_byte_array_append(out, (const uint8_t *)e->name, name_length);
        g_byte_array_append(out, padding, (8 - out->len % 8) % 8);
    }
    return out;
}
