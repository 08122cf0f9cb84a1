/* balloon.h - what the launcher's QMP asks a virtio balloon.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VIRTIO_BALLOON_H
#define KILN_HW_VIRTIO_BALLOON_H

#include "hw/core/device.h"

extern const DeviceClass virtio_balloon_pci_class;

bool virtio_balloon_is(Device *dev);

/* All others: @dev is a balloon. Main thread. */

/* Bytes of RAM that the guest has now. */
uint64_t virtio_balloon_actual(Device *dev);
/* Asks the guest to come to @bytes of RAM; more than it has means all. */
void virtio_balloon_set_target(Device *dev, uint64_t bytes);
/* As QEMU's guest-stats property: {"stats": {"stat-free-memory": N, …}, "last-update": SECONDS};
 * -1 for what the guest did not say, and 0 before it said anything. Caller owns. */
JsonObject *virtio_balloon_stats(Device *dev);
/* Seconds between two askings, 0 for never. */
uint32_t virtio_balloon_polling_interval(Device *dev);
void virtio_balloon_set_polling_interval(Device *dev, uint32_t seconds);

#endif
