/* counts.h - how often each cluster of an image is referred to, counted by several threads.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_COUNTS_H
#define KILN_BLOCK_QCOW2_COUNTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Qcow2Counts Qcow2Counts;

/* Two bytes for each cluster below @limit that lies near one that is counted, 1 GiB of them at
 * most. NULL when the limit is too high for any memory. */
Qcow2Counts *qcow2_counts_new(uint64_t limit);
void qcow2_counts_free(Qcow2Counts *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qcow2Counts, qcow2_counts_free)

/* Adds @weight to @n clusters from @cluster on, all below the limit; any thread. False when the
 * memory is used up. */
bool qcow2_counts_add(Qcow2Counts *c, uint64_t cluster, uint64_t n, uint64_t weight);
uint64_t qcow2_counts_get(Qcow2Counts *c, uint64_t cluster);
/* Takes one reference away; one thread. */
void qcow2_counts_take(Qcow2Counts *c, uint64_t cluster);
/* Clusters up to the last that is referred to; 0 when none is. */
uint64_t qcow2_counts_end(Qcow2Counts *c);
/* Whether any of @n clusters from @cluster on is referred to. */
bool qcow2_counts_any(Qcow2Counts *c, uint64_t cluster, uint64_t n);
/* Raises the limit; one thread. */
bool qcow2_counts_grow(Qcow2Counts *c, uint64_t limit);

#endif
