/* bitmap_directory.h - the directory of persistent bitmaps of a qcow2 image.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_BITMAP_DIRECTORY_H
#define KILN_BLOCK_QCOW2_BITMAP_DIRECTORY_H

#include "block/block.h"
#include "block/image.h"

enum {
    QCOW2_BITMAPS_MAX = 65535,
    QCOW2_BITMAP_DIRECTORY_MAX = 64 << 20, /* bytes */
    QCOW2_BITMAP_NAME_MAX = 1023,
    QCOW2_BITMAP_GRANULARITY_BITS_MIN = 9,
    QCOW2_BITMAP_GRANULARITY_BITS_MAX = 31,
    QCOW2_BITMAP_BYTES_MAX = 512 << 20, /* of one bitmap's bits */

    QCOW2_BITMAP_IN_USE = 1 << 0,
    QCOW2_BITMAP_AUTO = 1 << 1,
    QCOW2_BITMAP_EXTRA_COMPATIBLE = 1 << 2,
    QCOW2_BITMAP_TYPE_DIRTY = 1,
};

#define QCOW2_BITMAPS_BYTES_MAX                                                                    \
    (UINT64_C(256) << 30) /* of all bitmaps' bits: their tables are read */
#define QCOW2_BITMAP_TABLE_OFFSET UINT64_C(0x00fffffffffffe00)
#define QCOW2_BITMAP_TABLE_ONES UINT64_C(1) /* with offset 0: all bits are set */

typedef struct {
    uint64_t table_offset;
    uint32_t table_size; /* entries */
    uint32_t flags;
    uint8_t type, granularity_bits;
    char *name;
    GBytes *extra; /* or NULL */
} Qcow2BitmapEntry;

void qcow2_bitmap_entry_free(Qcow2BitmapEntry *e);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qcow2BitmapEntry, qcow2_bitmap_entry_free)

/* Bytes of an entry of the directory. */
size_t qcow2_bitmap_entry_size(size_t name_length, size_t extra_length);

/* Reads @count entries, @size bytes together, at @offset of @file, of an image whose clusters have
 * 1 << @cluster_bits bytes. A directory that breaks the format's or our limits is -EINVAL, the read
 * error otherwise; *ret, the caller's, holds what was understood before. */
int qcow2_bitmap_directory_read(BlockNode *file, unsigned cluster_bits, uint64_t offset,
                                uint64_t size, uint32_t count, GPtrArray **ret);
GByteArray *qcow2_bitmap_directory_format(const GPtrArray *directory);

/* Bytes of the bits of a bitmap over @disk_size bytes, and entries of its table. */
uint64_t qcow2_bitmap_bytes(uint64_t disk_size, unsigned granularity_bits);
uint64_t qcow2_bitmap_table_entries(uint64_t disk_size, unsigned granularity_bits,
                                    unsigned cluster_bits);

#endif
