/* qed.c - QEMU enhanced disk images, read only.
 *
 * Source: QEMU's docs/interop/qed_spec.txt. Two levels of tables of 64 bit file offsets, little
 * endian. Not here: writing, and with it repair of images that were not closed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/mapped.h"
#include "block/numbers.h"

enum {
    HEAD = 64,
    CLUSTER_MIN = 4096,
    CLUSTER_MAX = 64 << 20,
    TABLE_MAX = 16, /* clusters */
    TABLE_BYTES_MAX = 16 << 20,
    AT_CLUSTER = 4,
    AT_TABLE = 8,
    AT_HEADER = 12,
    AT_FEATURES = 16,
    AT_L1 = 40,
    AT_SIZE = 48,
    AT_BACKING = 56,
    AT_BACKING_LENGTH = 60,
    FEATURE_BACKING = 1,
    FEATURE_NEED_CHECK = 2,
    FEATURE_BACKING_RAW = 4,
    BACKING_MAX = 1023,
};

typedef struct {
    Mapped mapped;
    uint64_t *l1;
    uint64_t entries; /* of a table */
    uint64_t features;
} Qed;

static int
qed_probe(const uint8_t *head, size_t length, const char *filename)
{
    (void)filename;
    return length >= HEAD && memcmp(head, "QED", 4) == 0 ? 100 : 0;
}

static int
qed_find(BlockNode *node, uint64_t offset, MappedRun *ret)
{
    Qed *q = node->state;
    uint64_t index = offset / q->mapped.block;
    uint64_t l2 = GUINT64_FROM_LE(q->l1[index / q->entries]), entry;
    uint8_t *table;
    int r = 0;

    if (l2 == 0)
        return 0;
    if (l2 % q->mapped.block != 0)
        return -EUCLEAN;
    table = mapped_table(node, node->file, l2, q->entries * 8, &r);
    if (!table)
        return r;
    entry = le64(table + index % q->entries * 8);
    if (entry == 0)
        return 0;
    ret->flags = BLOCK_STATUS_ALLOCATED;
    if (entry == 1) {
        ret->flags |= BLOCK_STATUS_ZERO;
        return 0;
    }
    if (entry % q->mapped.block != 0 || entry >= node->file->size)
        return -EUCLEAN;
    ret->flags |= BLOCK_STATUS_DATA;
    ret->file = node->file;
    ret->offset = entry + offset % q->mapped.block;
    return 0;
}

static const MappedOps qed_ops = { .find = qed_find };

static bool
read_backing_name(BlockNode *node, const uint8_t *h, GError **err)
{
    Qed *q = node->state;
    uint32_t length = le32(h + AT_BACKING_LENGTH);
    g_autofree char *name = NULL;

    if (!(q->features & FEATURE_BACKING))
        return true;
    if (length == 0 || length > BACKING_MAX)
        return mapped_refuse(node, err, "the name of its backing file has %u bytes (1 to %d)",
                             length, BACKING_MAX);
    name = g_malloc0(length + 1);
    if (!mapped_head(node, le32(h + AT_BACKING), name, length, err))
        return false;
    node->backing_filename = g_steal_pointer(&name);
    if (q->features & FEATURE_BACKING_RAW)
        node->backing_format = g_strdup("raw");
    return true;
}

static bool
qed_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    Qed *q = node->state;
    uint8_t h[HEAD];
    uint32_t cluster, table;
    uint64_t reach;

    (void)opts;
    (void)opening;
    if (!mapped_head(node, 0, h, sizeof(h), err))
        return false;
    if (memcmp(h, "QED", 4) != 0)
        return mapped_refuse(node, err, "no QED signature");
    cluster = le32(h + AT_CLUSTER);
    table = le32(h + AT_TABLE);
    q->features = le64(h + AT_FEATURES);
    if (q->features & ~UINT64_C(7))
        return mapped_refuse(node, err, "unknown features 0x%" G_GINT64_MODIFIER "x", q->features);
    if (cluster < CLUSTER_MIN || cluster > CLUSTER_MAX || (cluster & (cluster - 1)) != 0)
        return mapped_refuse(node, err, "clusters of %u bytes are not a power of 2 from %d to %d",
                             cluster, CLUSTER_MIN, CLUSTER_MAX);
    if (table < 1 || table > TABLE_MAX || (table & (table - 1)) != 0 ||
        (uint64_t)table * cluster > TABLE_BYTES_MAX)
        return mapped_refuse(node, err,
                             "tables of %u clusters are not a power of 2 up to %d and %d bytes",
                             table, TABLE_MAX, TABLE_BYTES_MAX);
    q->entries = (uint64_t)table * cluster / 8;
    node->size = le64(h + AT_SIZE);
    reach = q->entries * q->entries > G_MAXINT64 / cluster ? (uint64_t)G_MAXINT64
                                                           : q->entries * q->entries * cluster;
    if (node->size > MIN(reach, (uint64_t)G_MAXINT64 - BLOCK_SECTOR) ||
        node->size % BLOCK_SECTOR != 0)
        return mapped_refuse(
            node, err, "%" G_GUINT64_FORMAT " bytes are no whole sectors up to %" G_GUINT64_FORMAT,
            node->size, reach);
    mapped_init(node, &qed_ops, cluster);
    q->l1 = mapped_load(node, le64(h + AT_L1), q->entries, 8, err);
    return q->l1 && read_backing_name(node, h, err);
}

static void
qed_close(BlockNode *node)
{
    Qed *q = node->state;

    mapped_close(node);
    g_clear_pointer(&q->l1, g_free);
}

static bool
qed_is_dirty(const BlockNode *node)
{
    const Qed *q = node->state;

    return q->features & FEATURE_NEED_CHECK;
}

const BlockDriver block_qed_driver = {
    .name = "qed",
    .has_backing = true,
    .state_size = sizeof(Qed),
    .probe = qed_probe,
    .open = qed_open,
    .close = qed_close,
    .pread = mapped_pread,
    .status = mapped_status,
    .cluster_size = mapped_cluster_size,
    .is_dirty = qed_is_dirty,
};
