/* driver.c - the qcow2 format, versions 2 and 3.
 *
 * Source: QEMU's docs/interop/qcow2.txt.
 *
 * Leaves out: encryption (refused by name).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/open.h"
#include "block/qcow2/tables.h"
#include "block/qcow2/upkeep.h"

static int
qcow2_probe(const uint8_t *head, size_t length, const char *filename)
{
    (void)filename;
    return length >= 8 && be32(head) == QCOW2_MAGIC && be32(head + 4) >= 2 ? 100 : 0;
}

static uint32_t
qcow2_cluster_size(const BlockNode *node)
{
    return qcow2_of(node)->cluster_size;
}

static bool
qcow2_needs_zstd(const BlockNode *node)
{
    return qcow2_of(node)->header.compression_type == QCOW2_COMPRESSION_ZSTD;
}

const BlockDriver block_qcow2_driver = {
    .name = "qcow2",
    .has_backing = true,
    .state_size = sizeof(Qcow2),
    .create_options = qcow2_create_options,
    .probe = qcow2_probe,
    .open = qcow2_open,
    .opened = qcow2_opened,
    .close = qcow2_close,
    .set_access = qcow2_set_access,
    .deactivate = qcow2_deactivate,
    .activate = qcow2_activate,
    .map = qcow2_map,
    .unmap = qcow2_unmap,
    .pread = qcow2_pread,
    .pwrite = qcow2_pwrite,
    .write_zeroes = qcow2_write_zeroes,
    .discard = qcow2_discard,
    .reflink = qcow2_reflink,
    .flush = qcow2_flush,
    .is_clean = qcow2_is_clean,
    .pwrite_compressed = qcow2_pwrite_compressed,
    .status = qcow2_status,
    .cluster_size = qcow2_cluster_size,
    .needs_zstd = qcow2_needs_zstd,
    .create = qcow2_create,
    .resize = qcow2_resize,
    .check = qcow2_check,
    .specific = qcow2_specific,
    .is_encrypted = qcow2_is_encrypted,
    .is_dirty = qcow2_is_dirty,
    .snapshots = &qcow2_snapshot_driver,
    .bitmaps = &qcow2_bitmap_driver,
    .make_empty = qcow2_make_empty,
    .change_backing = qcow2_change_backing,
    .amend = qcow2_amend,
    .measure = qcow2_measure,
};
