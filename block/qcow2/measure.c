/* measure.c - how large a qcow2 image of some data gets.
 *
 * The sum is qemu-img's: all metadata that the whole disk could ever need, and the clusters in
 * which the source has data.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/bitmap_directory.h"
#include "block/qcow2/layout.h"
#include "block/qcow2/qcow2.h"
#include "block/qcow2/upkeep.h"
#include "util/error.h"

/* Bytes of the clusters that hold @source's data. */
static int
data_bytes(BlockNode *source, uint64_t cluster, uint64_t *ret)
{
    uint64_t sum = 0, at = 0, size = block_node_size(source);

    while (at < size) {
        BlockStatus s;
        int r = block_node_status_above(source, NULL, at, size - at, &s);

        if (r < 0)
            return r;
        if (s.length == 0)
            return -EIO;
        if (s.flags & BLOCK_STATUS_DATA && !(s.flags & BLOCK_STATUS_ZERO)) {
            uint64_t from = at / cluster * cluster;
            uint64_t to = qcow2_layout_div(at + s.length, cluster) * cluster;

            sum += to - from;
            at = to;
        } else {
            at += s.length;
        }
    }
    *ret = sum;
    return 0;
}

/* Bytes that the bitmaps of @source take in an image with clusters of @cluster bytes. */
static uint64_t
bitmap_bytes(BlockNode *source, uint64_t cluster)
{
    g_autoptr(GPtrArray) list = block_image_bitmaps(source);
    uint64_t size = block_node_size(source), sum = 0, directory = 0;

    for (guint i = 0; list && i < list->len; i++) {
        const BlockBitmap *b = list->pdata[i];
        uint64_t bytes, clusters;

        if (!b->persistent || b->inconsistent)
            continue;
        bytes = qcow2_layout_div(qcow2_layout_div(size, b->granularity), 8);
        clusters = qcow2_layout_div(bytes, cluster);
        sum += clusters * cluster;                                /* the bits */
        sum += qcow2_layout_div(clusters * 8, cluster) * cluster; /* their table */
        directory += qcow2_bitmap_entry_size(strlen(b->name), 0);
    }
    return sum + qcow2_layout_div(directory, cluster) * cluster;
}

bool
qcow2_measure(GHashTable *options, BlockNode *source, BlockMeasure *ret, GError **err)
{
    uint64_t cluster, size, full, meta, blocks, table, required = 0, luks = 0;
    Qcow2CreateOptions o;
    Qcow2Geometry g;
    Qcow2Mapping map;
    int r;

    if (!qcow2_create_options_parse(options, &o, err))
        return false;
    if (!source && !o.has_size)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "measuring needs a size or an image");
    cluster = UINT64_C(1) << o.cluster_bits;
    size = source ? block_node_size(source) : o.size;
    if (size > G_MAXINT64 - cluster)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "%" G_GUINT64_FORMAT " bytes are more than an image can have", size);
    size = qcow2_layout_div(size, cluster) * cluster;
    g = (Qcow2Geometry){ o.cluster_bits, o.refcount_order, o.extended_l2 };
    map = qcow2_layout_mapping(&g, size);
    if (map.l1_entries > (QCOW2_L1_BYTES_MAX / 8))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "%" G_GUINT64_FORMAT " bytes are too many for clusters of "
                              "%" G_GUINT64_FORMAT " bytes; give a larger cluster_size",
                              size, cluster);
    if (source && (r = data_bytes(source, cluster, &required)) < 0)
        return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, source,
                               "cannot find out where image '%s' has data",
                               block_node_filename(source));
    /* how much of a source's own chain the new one shares nobody knows: at worst nothing */
    if (o.prealloc == BLOCK_PREALLOC_FALLOC || o.prealloc == BLOCK_PREALLOC_FULL ||
        (source && o.backing_file))
        required = size;
    if (o.encrypted && !luks_options_payload(&o.luks, &luks, err))
        return false;
    meta = 1 + map.l1_clusters + map.l2_tables + qcow2_layout_div(luks, cluster);
    qcow2_layout_refcounts(&g, meta + map.guest_clusters, &blocks, &table);
    full = (meta + blocks + table) * cluster + size;
    *ret = (BlockMeasure){
        .required = full - size + required,
        .fully_allocated = full,
        .has_bitmaps = o.version >= 3 && source && source->driver->bitmaps,
    };
    if (ret->has_bitmaps)
        ret->bitmaps = bitmap_bytes(source, cluster);
    return true;
}
