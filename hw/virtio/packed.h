/* packed.h - packed virtqueues, for ring.c: each function is what the one of virtio.h with the same
 * name does for a queue whose `packed` is there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VIRTIO_PACKED_H
#define KILN_HW_VIRTIO_PACKED_H

#include "hw/virtio/core.h"

enum {
    PACKED_EVENT_BYTES = 4,
    /* Most bytes of saved chains: each descriptor one of its own. */
    PACKED_HELD_MAX = VIRTIO_QUEUE_MAX * 18,
};

/* Makes queue->packed for an enabled queue of its size, at its beginning; and undoes that. */
void packed_new(VirtQueue *queue);
void packed_free(VirtQueue *queue);
/* Where the ring and the two event structures lie, or -EFAULT. */
int packed_map(VirtQueue *queue, Vring *ret_ring);

int packed_pop(VirtQueue *queue, VirtChain *chain);
void packed_unpop(VirtQueue *queue);
bool packed_pending(VirtQueue *queue);
void packed_disable_notify(VirtQueue *queue);
bool packed_enable_notify(VirtQueue *queue);
bool packed_await_more(VirtQueue *queue);
bool packed_wants_interrupt(VirtQueue *queue);
void packed_fill(VirtQueue *queue, uint16_t head, uint64_t written, unsigned n);
void packed_publish(VirtQueue *queue, unsigned n);

/* Chains that are held, into packed_held; and from there, where every number is foreign. */
void packed_save(VirtQueue *queue);
bool packed_load(VirtQueue *queue);

#endif
