/* layout.h - how many clusters the parts of a qcow2 image take.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_LAYOUT_H
#define KILN_BLOCK_QCOW2_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    unsigned cluster_bits, refcount_order;
    bool extended_l2;
} Qcow2Geometry;

typedef struct {
    uint64_t guest_clusters; /* of the virtual disk */
    uint64_t l2_tables, l1_entries, l1_clusters;
} Qcow2Mapping;

/* Of a disk of @size bytes, every cluster of it mapped. */
Qcow2Mapping qcow2_layout_mapping(const Qcow2Geometry *g, uint64_t size);
/* Entries of one L2 table, and refcounts of one refcount block. */
uint64_t qcow2_layout_l2_entries(const Qcow2Geometry *g);
uint64_t qcow2_layout_block_entries(const Qcow2Geometry *g);
/* Refcount blocks, and clusters of the refcount table, that count @clusters others and
 * themselves. */
void qcow2_layout_refcounts(const Qcow2Geometry *g, uint64_t clusters, uint64_t *ret_blocks,
                            uint64_t *ret_table_clusters);

static inline uint64_t
qcow2_layout_div(uint64_t n, uint64_t by)
{
    return n / by + (n % by != 0);
}

#endif
