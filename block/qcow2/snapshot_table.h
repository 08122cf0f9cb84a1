/* snapshot_table.h - the table of internal snapshots of a qcow2 image.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_SNAPSHOT_TABLE_H
#define KILN_BLOCK_QCOW2_SNAPSHOT_TABLE_H

#include "block/qcow2/qcow2.h"

enum {
    QCOW2_SNAPSHOT_EXTRA_MAX = 1024,
};

typedef struct {
    uint64_t l1_offset;
    uint32_t l1_size; /* entries */
    char *id, *name;
    uint32_t date_sec, date_nsec;
    uint64_t vm_clock_nsec, vm_state_size, disk_size;
    uint64_t icount;     /* instructions run, UINT64_MAX when not known */
    uint32_t extra_size; /* as found */
    GBytes *unknown;     /* extra data behind what is known, or NULL */
} Qcow2Snapshot;

void qcow2_snapshot_free(Qcow2Snapshot *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qcow2Snapshot, qcow2_snapshot_free)

/* Reads @count entries at @offset of @file, of an image whose disk has @disk_size bytes. *ret_bytes
 * is the length of the table. A table that breaks the format's or our limits is -EINVAL, the read
 * error otherwise; what was understood before is in *ret in both cases, which the caller owns. */
int qcow2_snapshot_table_read(BlockNode *file, uint64_t offset, uint32_t count, uint64_t disk_size,
                              GPtrArray **ret, uint64_t *ret_bytes);
/* The same as bytes of a file, with the extra data that version 3 asks for. */
GByteArray *qcow2_snapshot_table_format(const GPtrArray *table);

#endif
