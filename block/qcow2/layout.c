/* layout.c - how many clusters the parts of a qcow2 image take.
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Host cluster management", "Cluster mapping", "Extended L2
 * Entries".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/layout.h"

uint64_t
qcow2_layout_l2_entries(const Qcow2Geometry *g)
{
    return UINT64_C(1) << (g->cluster_bits - (g->extended_l2 ? 4 : 3));
}

uint64_t
qcow2_layout_block_entries(const Qcow2Geometry *g)
{
    return UINT64_C(1) << (g->cluster_bits + 3 - g->refcount_order);
}

Qcow2Mapping
qcow2_layout_mapping(const Qcow2Geometry *g, uint64_t size)
{
    uint64_t cluster = UINT64_C(1) << g->cluster_bits;
    Qcow2Mapping m = { .guest_clusters = qcow2_layout_div(size, cluster) };

    m.l2_tables = m.l1_entries = qcow2_layout_div(m.guest_clusters, qcow2_layout_l2_entries(g));
    m.l1_clusters = qcow2_layout_div(m.l1_entries, cluster / 8);
    return m;
}

void
qcow2_layout_refcounts(const Qcow2Geometry *g, uint64_t clusters, uint64_t *ret_blocks,
                       uint64_t *ret_table_clusters)
{
    uint64_t per_block = qcow2_layout_block_entries(g);
    uint64_t per_table_cluster = (UINT64_C(1) << g->cluster_bits) / 8;
    uint64_t blocks = 0, table = 0, before;

    /* the blocks and the table count themselves: grow until nothing more is needed */
    do {
        before = blocks + table;
        blocks = qcow2_layout_div(clusters + before, per_block);
        table = qcow2_layout_div(blocks, per_table_cluster);
    } while (blocks + table != before);
    *ret_blocks = blocks;
    *ret_table_clusters = table;
}
