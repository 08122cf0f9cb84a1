/* vhost_pair.h - two rings of a virtio device that the kernel serves (linux/vhost.h).
 *
 * The driver's doorbells and the MSI-X eventfds go straight to the kernel. Without MSI-X it signals
 * an eventfd of ours, and the loop raises the interrupt.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VIRTIO_VHOST_PAIR_H
#define KILN_HW_VIRTIO_VHOST_PAIR_H

#include "hw/virtio/virtio.h"
#include "net/vhost.h"

/* The ring features that the kernel must know as well as the device. Packed queues it does not know
 * (Linux 6.12); they are not offered with it. */
#define VHOST_PAIR_FEATURES                                                                        \
    (VIRTIO_F(VIRTIO_F_INDIRECT_DESC_BIT) | VIRTIO_F(VIRTIO_F_EVENT_IDX_BIT) |                     \
     VIRTIO_F(VIRTIO_F_VERSION_1_BIT) | VIRTIO_F(VIRTIO_F_RING_PACKED_BIT) |                       \
     VIRTIO_F(VIRTIO_F_RING_RESET_BIT))

typedef struct {
    VirtQueue *rings[2]; /* by the kernel's numbers; the device puts them here when they are made */
    IoNotifier call[2];  /* the kernel's interrupts without MSI-X */
    bool open;           /* the kernel has the rings; the device's lock */
} VhostPair;

/* What a pair is before vhost_pair_init; vhost_pair_fini may follow. */
#define VHOST_PAIR_NONE ((VhostPair){ .call = { { -1 }, { -1 } } })

/* Makes this process the owner of the kernel's device @fd, and says what that can do. The main
 * thread. 0 or -errno: -EOPNOTSUPP when it does not know virtio 1. */
int vhost_pair_init(VhostPair *pair, int fd, uint64_t *ret_features);
void vhost_pair_fini(VhostPair *pair);

/* The rest with the device's lock held. */

bool vhost_pair_enabled(const VhostPair *pair);
/* All of the guest's RAM; g_free. */
VhostRegion *vhost_pair_regions(const VhostPair *pair, size_t *ret_n);
/* Both rings as the kernel takes them, or -EFAULT when the driver put one outside RAM. */
int vhost_pair_fill(const VhostPair *pair, VhostRing ret_rings[2]);
/* The kernel has the rings from here on; the interrupts without MSI-X are raised by @loop. After an
 * error (-errno) the caller takes the rings back. */
int vhost_pair_taken(VhostPair *pair, IoLoop *loop);
/* The kernel has given them back, having read the available rings so far. */
void vhost_pair_given_back(VhostPair *pair, const uint16_t last_avail[2]);
/* The eventfd that the kernel shall signal for a ring. */
int vhost_pair_call_fd(const VhostPair *pair, unsigned ring);

#endif
