/* legacy.c - virtio over PCI, the legacy interface of transitional devices (virtio 1.2, sections
 * 4.1.4.10, 2.7.2 and 3.1.2).
 *
 * One I/O BAR holds all registers. A queue is one page number, from which the places of its three
 * parts follow; its size is fixed. There is no FEATURES_OK: what the driver writes is in force. All
 * numbers are in the guest's byte order, which on this machine is the modern one.
 *
 * Some drivers use a queue before they set DRIVER_OK; for them the first notification starts the
 * device. So doorbells reach this code until the device has started, and the kernel afterwards.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/core.h"

enum {
    REG_DEVICE_FEATURES = 0x00,
    REG_DRIVER_FEATURES = 0x04,
    REG_QUEUE_PAGE = 0x08,
    REG_QUEUE_SIZE = 0x0c,
    REG_QUEUE_SELECT = 0x0e,
    REG_QUEUE_NOTIFY = 0x10,
    REG_STATUS = 0x12,
    REG_ISR = 0x13,
    REG_CONFIG = 0x14, /* without MSI-X */
    REG_CONFIG_VECTOR = 0x14,
    REG_QUEUE_VECTOR = 0x16,
    REG_CONFIG_MSIX = 0x18,

    BAR = 0,
    PAGE_SHIFT = 12,
    BAR_SIZE_MIN = 32,
};

static VirtQueue *
selected(VirtioDevice *dev)
{
    return dev->queue_select < dev->n_queues ? &dev->queues[dev->queue_select] : NULL;
}

static unsigned
config_offset(const VirtioDevice *dev)
{
    return pci_msix_enabled(&dev->pci) ? REG_CONFIG_MSIX : REG_CONFIG;
}

static uint64_t
legacy_read(void *opaque, uint64_t offset, unsigned size)
{
    VirtioDevice *dev = opaque;
    const VirtQueue *q = selected(dev);

    if (offset >= config_offset(dev))
        return virtio_config_load(dev, offset - config_offset(dev), size);
    switch (offset) {
    case REG_DEVICE_FEATURES:
        return (uint32_t)dev->host_features;
    case REG_DRIVER_FEATURES:
        return (uint32_t)dev->guest_features;
    case REG_QUEUE_PAGE:
        return q ? q->desc >> PAGE_SHIFT : 0;
    case REG_QUEUE_SIZE:
        return q ? q->size : 0;
    case REG_QUEUE_SELECT:
        return dev->queue_select;
    case REG_STATUS:
        return (uint8_t)virtio_status(dev);
    case REG_ISR:
        return virtio_isr_take(dev);
    case REG_CONFIG_VECTOR:
        return dev->config_vector;
    case REG_QUEUE_VECTOR:
        return q ? q->vector : VIRTIO_NO_VECTOR;
    default:
        return 0;
    }
}

/* Before DRIVER_OK the driver may still think otherwise, even with queues in use. */
static void
features_write(VirtioDevice *dev, uint32_t value)
{
    bool started = dev->started;

    if (virtio_status(dev) & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FEATURES_OK))
        return;
    virtio_stop(dev);
    dev->guest_features = value & (uint32_t)dev->host_features;
    if (dev->class->features_ok && !dev->class->features_ok(dev, dev->guest_features))
        virtio_device_break(dev);
    else if (started)
        virtio_start(dev);
}

/* The parts follow one another; the used ring begins a page (2.7.2). */
static void
queue_place(VirtQueue *q, uint32_t page)
{
    uint64_t align = (UINT64_C(1) << PAGE_SHIFT) - 1;

    q->desc = (uint64_t)page << PAGE_SHIFT;
    q->avail = q->desc + vring_desc_bytes(q->size);
    q->used = (q->avail + vring_avail_bytes(q->size) + align) & ~align;
}

static void
queue_page_write(VirtioDevice *dev, VirtQueue *q, uint32_t page)
{
    bool started = dev->started;

    if (page == 0) {
        /* The driver takes the queue away: nothing of the device may go on in its memory. */
        if (started)
            virtio_clear(dev);
        else
            virtio_queue_clear(q);
        return;
    }
    if (q->enabled)
        return;
    virtio_stop(dev);
    queue_place(q, page);
    virtio_queue_enable(q);
    if (started)
        virtio_start(dev);
}

static void
notify(VirtioDevice *dev, uint16_t index)
{
    VirtQueue *q = index < dev->n_queues ? &dev->queues[index] : NULL;

    if (!q || !q->enabled)
        return;
    if (!dev->started && (virtio_status(dev) & VIRTIO_STATUS_DRIVER) && !virtio_modern(dev)) {
        dev->early = true;
        virtio_start(dev);
    }
    io_notifier_signal(&q->kick);
}

static void
status_write(VirtioDevice *dev, uint8_t value)
{
    if (value == 0) {
        virtio_clear(dev);
        return;
    }
    /* a driver of the modern interface has FEATURES_OK, and only the modern interface gives it */
    value &= (uint8_t) ~(VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FEATURES_OK);
    if ((value & VIRTIO_STATUS_DRIVER_OK) && virtio_modern(dev) &&
        !(virtio_status(dev) & VIRTIO_STATUS_FEATURES_OK)) {
        virtio_device_break(dev);
        return;
    }
    g_atomic_int_or((guint *)&dev->status, value);
    if (value & VIRTIO_STATUS_DRIVER_OK)
        virtio_start(dev);
}

static void
legacy_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VirtioDevice *dev = opaque;
    VirtQueue *q = selected(dev);

    if (dev->gone)
        return;
    if (offset >= config_offset(dev)) {
        virtio_config_store(dev, offset - config_offset(dev), value, size);
        return;
    }
    switch (offset) {
    case REG_DRIVER_FEATURES:
        features_write(dev, (uint32_t)value);
        break;
    case REG_QUEUE_PAGE:
        if (q && size == 4)
            queue_page_write(dev, q, (uint32_t)value);
        break;
    case REG_QUEUE_SELECT:
        dev->queue_select = (uint16_t)value;
        break;
    case REG_QUEUE_NOTIFY:
        notify(dev, (uint16_t)value);
        break;
    case REG_STATUS:
        status_write(dev, (uint8_t)value);
        break;
    case REG_CONFIG_VECTOR:
        virtio_config_set_vector(dev, (uint16_t)value);
        break;
    case REG_QUEUE_VECTOR:
        if (q)
            virtio_queue_set_vector(q, (uint16_t)value);
        break;
    }
}

void
virtio_legacy_doorbells(VirtioDevice *dev, bool add)
{
    add = add && dev->legacy && !virtio_modern(dev);
    if (dev->legacy_doorbells == add)
        return;
    dev->legacy_doorbells = add;
    for (unsigned i = 0; i < dev->n_queues; i++) {
        if (add)
            pci_doorbell_add(&dev->pci, BAR, REG_QUEUE_NOTIFY, 2, true, i, dev->queues[i].kick.fd);
        else
            pci_doorbell_remove(&dev->pci, BAR, REG_QUEUE_NOTIFY, dev->queues[i].kick.fd);
    }
}

static const IoOps legacy_ops = { legacy_read, legacy_write, .unaligned = true };

void
virtio_legacy_realize(VirtioDevice *dev)
{
    uint64_t size = BAR_SIZE_MIN;

    while (size < REG_CONFIG_MSIX + dev->class->config_size)
        size *= 2;
    pci_bar_add(&dev->pci, BAR, PCI_BAR_IO, false, size);
    pci_bar_add_region(&dev->pci, BAR, 0, size, &legacy_ops, dev, &virtio_base(dev)->lock,
                       "virtio-legacy");
}
