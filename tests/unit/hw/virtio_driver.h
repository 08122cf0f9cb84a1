/* virtio_driver.h - the driver's side of a virtio device over PCI, for tests: finds its registers
 * by the capabilities, negotiates, and fills rings in the fake machine's RAM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_HW_VIRTIO_DRIVER_H
#define KILN_TESTS_HW_VIRTIO_DRIVER_H

#include "hw/virtio/virtio.h"
#include "tests/unit/hw/fake_machine.h"

enum {
    DRIVER_QUEUES = 16,
    DRIVER_VECTOR_DATA = 0x4000, /* MSI-X message of vector n has this data plus n */
    DESC_NEXT = 1,
    DESC_WRITE = 2,
    DESC_INDIRECT = 4,
    PACKED_AVAIL = 1 << 7,
    PACKED_USED = 1 << 15,
    PACKED_WRAP = 1 << 15,
};

typedef struct {
    uint16_t index, size;
    uint64_t desc, avail, used; /* guest physical */
    uint16_t next_desc;         /* next free descriptor; they are used in a circle */
    uint16_t avail_idx, used_seen;
    /* Of a packed queue: desc is its ring, avail and used the driver's and the device's event
     * structures, next_desc and used_seen places in the ring with the wrap counter in bit 15. */
    bool packed;
    uint8_t next_id;
    uint16_t counts[256]; /* descriptors of the chain with an id */
} DriverQueue;

typedef struct {
    FakeMachine *fake;
    VirtioDevice *dev;
    uint16_t bdf;
    uint64_t common, isr, config, notify; /* guest physical */
    uint32_t notify_step;
    uint64_t features;
    uint64_t heap; /* next free guest memory */
    DriverQueue q[DRIVER_QUEUES];
} VirtioDriver;

/* A buffer of a request, in guest RAM. */
typedef struct {
    uint64_t addr;
    uint32_t len;
    bool write; /* the device writes */
} DriverBuffer;

/* Places the BARs of @dev, a function of bus 0, and finds its registers. */
void virtio_driver_init(VirtioDriver *drv, FakeMachine *fake, Device *dev);
/* Guest memory, 64-byte aligned and zero; and the test's view of it. */
uint64_t virtio_driver_alloc(VirtioDriver *drv, uint64_t len);
void *virtio_driver_memory(VirtioDriver *drv, uint64_t addr);

uint8_t virtio_driver_status(VirtioDriver *drv);
void virtio_driver_set_status(VirtioDriver *drv, uint8_t status);
uint64_t virtio_driver_offered(VirtioDriver *drv);
/* Reset, ACKNOWLEDGE, DRIVER, @features, FEATURES_OK; returns whether that stood. */
bool virtio_driver_negotiate(VirtioDriver *drv, uint64_t features);
/* Sets up queue @i with @size descriptors, vector i + 1 of MSI-X, and enables it. */
DriverQueue *virtio_driver_queue(VirtioDriver *drv, unsigned i, uint16_t size);
void virtio_driver_ok(VirtioDriver *drv);
/* All of it: @features and VERSION_1, @queues queues of @size. */
void virtio_driver_start(VirtioDriver *drv, uint64_t features, unsigned queues, uint16_t size);

/* One descriptor; the rest is the caller's. */
void virtio_driver_desc(VirtioDriver *drv, DriverQueue *q, uint16_t i, uint64_t addr, uint32_t len,
                        uint16_t flags, uint16_t next);
/* One descriptor of a packed queue, at its next place, available. */
void virtio_driver_packed(VirtioDriver *drv, DriverQueue *q, uint64_t addr, uint32_t len,
                          uint16_t id, uint16_t flags);
/* Makes chain @head available; the device hears of it by kick. */
void virtio_driver_offer(VirtioDriver *drv, DriverQueue *q, uint16_t head);
void virtio_driver_kick(VirtioDriver *drv, DriverQueue *q);
/* Adds a chain of @n buffers, by an indirect table if @indirect, and kicks. Returns its head, of a
 * packed queue its id. */
uint16_t virtio_driver_add(VirtioDriver *drv, DriverQueue *q, const DriverBuffer *buffers,
                           unsigned n, bool indirect);
/* Waits for the next used chain and returns its id; *ret_len may be NULL. Fails after 10 s. */
uint32_t virtio_driver_wait(VirtioDriver *drv, DriverQueue *q, uint32_t *ret_len);
/* True when a chain has been used that wait did not return yet. */
bool virtio_driver_has_used(VirtioDriver *drv, DriverQueue *q);
/* Waits until the device needs a reset. */
void virtio_driver_wait_broken(VirtioDriver *drv);
/* Lets the device's loop do all that it has to do now. */
void virtio_driver_settle(VirtioDriver *drv);
/* Takes the interrupts of queue @i (its MSI-X vector); 0 when there were none. */
uint64_t virtio_driver_interrupts(VirtioDriver *drv, unsigned i);

uint64_t virtio_driver_config(VirtioDriver *drv, unsigned offset, unsigned size);

#endif
