/* vhost_pair.c - two rings of a virtio device that the kernel serves (linux/vhost.h).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/vhost_pair.h"

#include <errno.h>

#include "hw/virtio/core.h"

int
vhost_pair_init(VhostPair *pair, int fd, uint64_t *ret_features)
{
    int r = vhost_net_own(fd);

    if (r == 0)
        r = vhost_net_features(fd, ret_features);
    *ret_features &= ~VIRTIO_F(VIRTIO_F_RING_PACKED_BIT);
    if (r == 0 && !(*ret_features & VIRTIO_F(VIRTIO_F_VERSION_1_BIT)))
        r = -EOPNOTSUPP;
    for (unsigned i = 0; r == 0 && i < 2; i++)
        r = io_notifier_init(&pair->call[i]);
    return r;
}

void
vhost_pair_fini(VhostPair *pair)
{
    for (unsigned i = 0; i < 2; i++)
        io_notifier_fini(&pair->call[i]);
}

bool
vhost_pair_enabled(const VhostPair *pair)
{
    return pair->rings[0]->enabled && pair->rings[1]->enabled;
}

static const GuestMemory *
pair_memory(const VhostPair *pair)
{
    return virtio_base(pair->rings[0]->dev)->machine->memory;
}

VhostRegion *
vhost_pair_regions(const VhostPair *pair, size_t *ret_n)
{
    const GuestRam *ram = guest_memory_list(pair_memory(pair), ret_n);
    VhostRegion *regions = g_new0(VhostRegion, *ret_n);

    for (size_t i = 0; i < *ret_n; i++)
        regions[i] = (VhostRegion){ ram[i].gpa, ram[i].size, ram[i].host };
    return regions;
}

int
vhost_pair_call_fd(const VhostPair *pair, unsigned ring)
{
    const VirtQueue *q = pair->rings[ring];
    int fd = -1;

    if (pci_msix_enabled(&q->dev->pci) && q->vector != VIRTIO_NO_VECTOR)
        fd = pci_msix_fd(&q->dev->pci, q->vector);
    return fd >= 0 ? fd : pair->call[ring].fd;
}

int
vhost_pair_fill(const VhostPair *pair, VhostRing ret_rings[2])
{
    const GuestMemory *memory = pair_memory(pair);

    for (unsigned i = 0; i < 2; i++) {
        const VirtQueue *q = pair->rings[i];
        VhostRing ring = {
            .size = q->size,
            .last_avail = q->last_avail,
            .desc = guest_memory_pointer(memory, q->desc, vring_desc_bytes(q->size)),
            .avail = guest_memory_pointer(memory, q->avail, vring_avail_bytes(q->size)),
            .used = guest_memory_pointer(memory, q->used, vring_used_bytes(q->size)),
            .kick_fd = q->kick.fd,
            .call_fd = vhost_pair_call_fd(pair, i),
        };

        if (!ring.desc || !ring.avail || !ring.used)
            return -EFAULT;
        ret_rings[i] = ring;
    }
    return 0;
}

static void
call_signalled(void *opaque, uint32_t events)
{
    (void)events;
    virtio_queue_interrupt(opaque);
}

int
vhost_pair_taken(VhostPair *pair, IoLoop *loop)
{
    int r = 0;

    pair->open = true;
    for (unsigned i = 0; i < 2; i++)
        pair->rings[i]->external = true;
    for (unsigned i = 0; r == 0 && i < 2; i++)
        r = io_loop_add_fd(loop, pair->call[i].fd, EPOLLIN | EPOLLET, call_signalled,
                           pair->rings[i]);
    return r;
}

void
vhost_pair_given_back(VhostPair *pair, const uint16_t last_avail[2])
{
    pair->open = false;
    for (unsigned i = 0; i < 2; i++) {
        VirtQueue *q = pair->rings[i];

        io_loop_remove_fd(q->loop, pair->call[i].fd);
        q->last_avail = last_avail[i];
        virt_queue_reload_used(q);
        q->external = false;
        /* what it signalled while interrupts were looked up is not to be lost */
        virtio_queue_interrupt(q);
    }
}
