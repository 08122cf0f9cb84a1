/* blk.h - what the launcher's QMP asks a virtio disk.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VIRTIO_BLK_H
#define KILN_HW_VIRTIO_BLK_H

#include "block/block.h"
#include "hw/core/device.h"

typedef enum {
    VIRTIO_BLK_READ,
    VIRTIO_BLK_WRITE,
    VIRTIO_BLK_FLUSH,
    VIRTIO_BLK_UNMAP,
    VIRTIO_BLK_KINDS
} VirtioBlkKind;

/* Since the start of the device; a failed request counts in failed only. */
typedef struct {
    struct {
        uint64_t operations, failed, bytes, time_ns;
    } kind[VIRTIO_BLK_KINDS];
} VirtioBlkStats;

extern const DeviceClass virtio_blk_pci_class;

/* All: any device may be given, false (NULL) when it is no virtio disk. Main thread. */
bool virtio_blk_stats(Device *dev, VirtioBlkStats *ret);
BlockNode *virtio_blk_node(Device *dev);
bool virtio_blk_write_cache(Device *dev);

#endif
