/* shadow.h - a change of a whole qcow2 image, made beside it and put in force by one write.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_SHADOW_H
#define KILN_BLOCK_QCOW2_SHADOW_H

#include "block/qcow2/qcow2.h"
#include "block/qcow2/snapshot_table.h"

/* What the image is to be. The caller fills it from qcow2_shadow_init(). */
typedef struct {
    BlockNode *node;
    Qcow2Header next; /* strings belong to the image's own header */
    GPtrArray
        *snapshots;   /* of Qcow2Snapshot: the table to be; L1 tables in it stay where they are */
    uint64_t l1_from; /* the L1 table on disk that becomes the active one … */
    uint32_t l1_entries; /* … so many entries of it … */
    uint32_t l1_room;    /* … in a new table with so many */
} Qcow2Shadow;

/* Takes the image as it is, its snapshot table read. */
bool qcow2_shadow_init(Qcow2Shadow *s, BlockNode *node, GError **err);
void qcow2_shadow_clear(Qcow2Shadow *s);
/* Writes new tables and refcounts, and the header as the last; then reads the image again. Locked
 * alone. On failure the image is as it was. */
bool qcow2_shadow_commit(Qcow2Shadow *s, GError **err);

#endif
