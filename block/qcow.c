/* qcow.c - QEMU copy-on-write images of the first kind (version 1), read only.
 *
 * Source: the format as QEMU's block/qcow.c and "The QCOW Image Format" (M. McLoughlin) describe
 * it: a big endian header, two levels of tables, clusters that may be bare deflate data. Not here:
 * writing, AES encryption.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/inflate.h"
#include "block/mapped.h"
#include "block/numbers.h"

enum {
    HEAD = 48,
    VERSION = 1,
    AT_VERSION = 4,
    AT_BACKING = 8,
    AT_BACKING_LENGTH = 16,
    AT_SIZE = 24,
    AT_CLUSTER_BITS = 32,
    AT_L2_BITS = 33,
    AT_CRYPT = 36,
    AT_L1 = 40,
    BACKING_MAX = 1023,
};
#define PACKED (UINT64_C(1) << 63)

typedef struct {
    Mapped mapped;
    uint64_t *l1;
    unsigned cluster_bits, l2_bits;
} Qcow;

static int
qcow_probe(const uint8_t *head, size_t length, const char *filename)
{
    (void)filename;
    return length >= HEAD && memcmp(head, "QFI\xfb", 4) == 0 && be32(head + AT_VERSION) == VERSION
               ? 100
               : 0;
}

static int
qcow_find(BlockNode *node, uint64_t offset, MappedRun *ret)
{
    Qcow *q = node->state;
    uint64_t index = offset >> q->cluster_bits, entry;
    uint64_t l2 = GUINT64_FROM_BE(q->l1[index >> q->l2_bits]);
    uint8_t *table;
    int r = 0;

    if (l2 == 0)
        return 0;
    table = mapped_table(node, node->file, l2, (size_t)8 << q->l2_bits, &r);
    if (!table)
        return r;
    entry = be64(table + (index & ((UINT64_C(1) << q->l2_bits) - 1)) * 8);
    if (entry == 0)
        return 0;
    ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA;
    ret->file = node->file;
    if (entry & PACKED) {
        unsigned shift = 63 - q->cluster_bits;

        ret->flags |= BLOCK_STATUS_COMPRESSED;
        ret->packed = entry >> shift & (q->mapped.block - 1);
        ret->offset = entry & ((UINT64_C(1) << shift) - 1);
        return 0;
    }
    if (entry > (uint64_t)G_MAXINT64 - q->mapped.block || entry < HEAD)
        return -EUCLEAN;
    ret->offset = entry + (offset & (q->mapped.block - 1));
    return 0;
}

static int
qcow_unpack(BlockNode *node, uint64_t start, const MappedRun *run, uint8_t *buf)
{
    const Qcow *q = node->state;
    g_autofree uint8_t *packed = g_try_malloc(MAX(run->packed, 1u));
    int r = packed ? mapped_file_read(run->file, run->offset, packed, run->packed) : -ENOMEM;

    (void)start;
    return r < 0 ? r : inflate_bytes(false, packed, run->packed, buf, q->mapped.block);
}

static const MappedOps qcow_ops = { .find = qcow_find, .unpack = qcow_unpack };

static bool
read_backing_name(BlockNode *node, const uint8_t *h, GError **err)
{
    uint32_t length = be32(h + AT_BACKING_LENGTH);
    g_autofree char *name = NULL;

    if (be64(h + AT_BACKING) == 0)
        return true;
    if (length == 0 || length > BACKING_MAX)
        return mapped_refuse(node, err, "the name of its backing file has %u bytes (1 to %d)",
                             length, BACKING_MAX);
    name = g_malloc0(length + 1);
    if (!mapped_head(node, be64(h + AT_BACKING), name, length, err))
        return false;
    node->backing_filename = g_steal_pointer(&name);
    return true;
}

static bool
qcow_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    Qcow *q = node->state;
    uint8_t h[HEAD];
    uint64_t covered, count;

    (void)opts;
    (void)opening;
    if (!mapped_head(node, 0, h, sizeof(h), err))
        return false;
    if (!qcow_probe(h, sizeof(h), NULL))
        return mapped_refuse(node, err, "no header of version %d", VERSION);
    q->cluster_bits = h[AT_CLUSTER_BITS];
    q->l2_bits = h[AT_L2_BITS];
    node->size = be64(h + AT_SIZE);
    if (be32(h + AT_CRYPT) != 0)
        return mapped_refuse(node, err,
                             "it is encrypted, which is not read here; convert it with "
                             "the program that made it");
    if (q->cluster_bits < 9 || q->cluster_bits > 16)
        return mapped_refuse(node, err, "clusters of 2^%u bytes are not from 512 to 65536",
                             q->cluster_bits);
    if (q->l2_bits < 6 || q->l2_bits > 13)
        return mapped_refuse(node, err, "tables of 2^%u entries are not from 64 to 8192",
                             q->l2_bits);
    if (node->size > (uint64_t)G_MAXINT64 / 2)
        return mapped_refuse(node, err, "%" G_GUINT64_FORMAT " bytes are beyond any file",
                             node->size);
    covered = UINT64_C(1) << (q->cluster_bits + q->l2_bits);
    count = (node->size + covered - 1) / covered;
    node->size = (node->size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    mapped_init(node, &qcow_ops, 1u << q->cluster_bits);
    q->l1 = mapped_load(node, be64(h + AT_L1), MAX(count, 1u), 8, err);
    return q->l1 && read_backing_name(node, h, err);
}

static void
qcow_close(BlockNode *node)
{
    Qcow *q = node->state;

    mapped_close(node);
    g_clear_pointer(&q->l1, g_free);
}

const BlockDriver block_qcow_driver = {
    .name = "qcow",
    .has_backing = true,
    .state_size = sizeof(Qcow),
    .probe = qcow_probe,
    .open = qcow_open,
    .close = qcow_close,
    .pread = mapped_pread,
    .status = mapped_status,
    .cluster_size = mapped_cluster_size,
};
