/* refcount.h - inside of the qcow2 driver: refcounts and free clusters. Lock held everywhere.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_REFCOUNT_H
#define KILN_BLOCK_QCOW2_REFCOUNT_H

#include "block/qcow2/cache.h"

/* Refcounts of clusters [first, end); without data all are 0. */
typedef struct {
    uint8_t *data;
    uint64_t offset, first, end;
} Qcow2RefcountSlice;

int qcow2_refcount_slice(Qcow2 *q, uint64_t cluster, Qcow2RefcountSlice *ret);

/* Makes a block that counts @cluster: 1 when something was made (which took free clusters), 0 when
 * there was one, or -errno. */
int qcow2_refcount_need(Qcow2 *q, uint64_t cluster);

/* alloc.c: the first run of @n free clusters; nothing is taken. */
int qcow2_find_free(Qcow2 *q, uint64_t n, uint64_t *ret_cluster);
/* Clusters are used now; a cluster is free now. */
void qcow2_note_used(Qcow2 *q, uint64_t cluster, uint64_t n);
void qcow2_note_unused(Qcow2 *q, uint64_t cluster);

/* As qcow2_alloc(); *ret_zero: reads as zeroes. */
int qcow2_alloc_data(Qcow2 *q, uint64_t bytes, uint64_t *ret_offset, bool *ret_zero);
/* Room for compressed data, at any byte; clusters may be shared. */
int qcow2_alloc_bytes(Qcow2 *q, uint64_t bytes, uint64_t *ret_offset);

/* Clusters given up whose metadata are on stable storage become free, unless they are held. */
int qcow2_apply_freed(Qcow2 *q);

#endif
