/* core.h - what the files of the virtio core share: rings, device and transport.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VIRTIO_CORE_H
#define KILN_HW_VIRTIO_CORE_H

#include "hw/virtio/virtio.h"

enum {
    VRING_DESC_NEXT = 1,
    VRING_DESC_WRITE = 2,
    VRING_DESC_INDIRECT = 4,
    VRING_AVAIL_NO_INTERRUPT = 1,
    VRING_USED_NO_NOTIFY = 1,
};

typedef struct {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} VringDesc;

typedef struct {
    uint32_t id, len;
} VringUsedElem;

/* Pointers into guest RAM, whose contents may change at any moment. Of a packed queue: descriptors,
 * the driver's and the device's event structure. */
struct Vring {
    VringDesc *desc;
    uint16_t *avail; /* flags, index, ring[size], used event */
    uint16_t *used;  /* flags, index, VringUsedElem[size], available event */
};

/* Offered through the legacy interface only. */
#define VIRTIO_LEGACY_ONLY                                                                         \
    (VIRTIO_F(VIRTIO_F_NOTIFY_ON_EMPTY_BIT) | VIRTIO_F(VIRTIO_F_ANY_LAYOUT_BIT))

/* Bytes of the three parts for @size descriptors, with the event fields. */
static inline uint64_t
vring_desc_bytes(unsigned size)
{
    return 16 * (uint64_t)size;
}

static inline uint64_t
vring_avail_bytes(unsigned size)
{
    return 6 + 2 * (uint64_t)size;
}

static inline uint64_t
vring_used_bytes(unsigned size)
{
    return 6 + 8 * (uint64_t)size;
}

/* Maps the rings whose addresses the driver wrote. -EFAULT when they are not in RAM or askew. */
int virt_queue_map(VirtQueue *queue);
void virt_queue_unmap(VirtQueue *queue);

/* Nonsense from the driver: breaks the device. -EPROTO. */
int virt_queue_nonsense(VirtQueue *queue);
/* An empty chain, keeping its memory; and one buffer more: usually one piece, more where RAM is not
 * contiguous. False: not in RAM, too many, or one to read behind one to write. */
void virt_chain_begin(VirtChain *chain, uint16_t head);
bool virt_chain_add(const GuestMemory *memory, VirtChain *chain, uint64_t addr, uint32_t len,
                    bool write);

/* Takes back what is deferred for the queue. In its loop; @queue is a VirtQueue. */
void virt_queue_forget(void *queue);

extern const SavedTable virt_queue_saved;

/* ---- virtio.c: register writes; the device's lock held ---- */

void virtio_set_status(VirtioDevice *dev, uint8_t value);
/* Starts the queues when all is there that it takes; stops them; and puts all back. */
void virtio_start(VirtioDevice *dev);
void virtio_stop(VirtioDevice *dev);
void virtio_clear(VirtioDevice *dev);
void virtio_queue_enable(VirtQueue *queue);
/* Whether the driver may choose @size: a power of two, unless the queues are packed. */
bool virtio_queue_size_good(const VirtQueue *queue, uint64_t size);
/* Stops the queue and puts its registers back (2.6.1). */
void virtio_queue_clear(VirtQueue *queue);
/* VIRTIO_NO_VECTOR is taken instead of a vector that cannot be had. */
void virtio_queue_set_vector(VirtQueue *queue, uint16_t vector);
void virtio_config_set_vector(VirtioDevice *dev, uint16_t vector);

/* ---- pci.c: the transport ---- */

extern const PciDetails virtio_pci_details;
bool virtio_pci_realize(VirtioDevice *dev, GError **err);
/* Also after a partial realize. */
void virtio_pci_unrealize(VirtioDevice *dev);
/* Raise interrupts without asking the ring. Any thread. */
void virtio_config_interrupt(VirtioDevice *dev);
/* The interrupt status, which reading takes (4.1.4.5). Device's lock. */
uint64_t virtio_isr_take(VirtioDevice *dev);
/* The driver's accesses to the device's configuration. Device's lock. */
uint64_t virtio_config_load(VirtioDevice *dev, uint64_t offset, unsigned size);
void virtio_config_store(VirtioDevice *dev, uint64_t offset, uint64_t value, unsigned size);

/* ---- legacy.c: the interface of before virtio 1.0 ---- */

/* Adds its BAR. */
void virtio_legacy_realize(VirtioDevice *dev);
/* Gives the doorbells of a driver that uses it to the kernel, or takes them back. Device's lock. */
void virtio_legacy_doorbells(VirtioDevice *dev, bool add);

#endif
