/* pci.c - virtio over PCI: interrupts, and the modern interface (virtio 1.2, section 4.1).
 *
 * One 64-bit BAR holds common configuration, interrupt status, device configuration and doorbells;
 * another holds the MSI-X table. A doorbell is an eventfd that the kernel signals; where it does
 * not, the register's callback does.
 *
 * Interrupts go through MSI-X from whatever thread has them. INTx is driven by the main loop alone,
 * because driving it takes the device's lock, which an I/O thread must not wait for.
 *
 * Leaves out: notification data, shared memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/virtio/core.h"

#include "util/error.h"

#define MAIN_LOOP_ID "#main"

enum {
    MSIX_BAR = 1,
    BAR = 4,
    COMMON = 0x0000,
    ISR = 0x1000,
    CONFIG = 0x2000,
    NOTIFY = 0x3000,
    AREA = 0x1000,
    BAR_SIZE = 0x4000,
    NOTIFY_STEP = 4, /* bytes between doorbells, */
    PAGE = 0x1000,   /* or with page-per-vq */
    MSIX_PBA_MIN = 0x800,

    CAP_COMMON = 1,
    CAP_NOTIFY = 2,
    CAP_ISR = 3,
    CAP_DEVICE = 4,
    CAP_WINDOW = 5,
    CAP_SIZE = 16,
    CAP_TYPE = 3,
    CAP_BAR = 4,
    CAP_OFFSET = 8,
    CAP_LENGTH = 12,
    CAP_EXTRA = 16,

    ISR_QUEUE = 1,
    ISR_CONFIG = 2,
    MODERN_ID_BASE = 0x1040,
    MODERN_REVISION = 1,
};

/* struct virtio_pci_common_cfg, 4.1.4.3 */
enum {
    REG_DEVICE_FEATURE_SELECT = 0x00,
    REG_DEVICE_FEATURE = 0x04,
    REG_DRIVER_FEATURE_SELECT = 0x08,
    REG_DRIVER_FEATURE = 0x0c,
    REG_CONFIG_VECTOR = 0x10,
    REG_NUM_QUEUES = 0x12,
    REG_STATUS = 0x14,
    REG_GENERATION = 0x15,
    REG_QUEUE_SELECT = 0x16,
    REG_QUEUE_SIZE = 0x18,
    REG_QUEUE_VECTOR = 0x1a,
    REG_QUEUE_ENABLE = 0x1c,
    REG_QUEUE_NOTIFY = 0x1e,
    REG_QUEUE_DESC = 0x20,
    REG_QUEUE_AVAIL = 0x28,
    REG_QUEUE_USED = 0x30,
    REG_QUEUE_RESET = 0x3a,
};

/* ---- interrupts ---- */

static void
intx_update(void *opaque)
{
    VirtioDevice *dev = opaque;

    g_atomic_int_set(&dev->intx_pending, 0);
    virtio_device_lock(dev);
    pci_intx_set(&dev->pci, g_atomic_int_get(&dev->isr) != 0);
    virtio_device_unlock(dev);
}

static void
intx_raise(VirtioDevice *dev, guint bit)
{
    g_atomic_int_or((guint *)&dev->isr, bit);
    if (g_atomic_int_compare_and_exchange(&dev->intx_pending, 0, 1))
        io_loop_defer(dev->intx_loop, intx_update, dev);
}

static void
vector_raise(VirtioDevice *dev, const uint16_t *vector)
{
    g_mutex_lock(&dev->interrupt_lock);
    if (*vector != VIRTIO_NO_VECTOR)
        pci_msix_notify(&dev->pci, *vector);
    g_mutex_unlock(&dev->interrupt_lock);
}

void
virtio_queue_interrupt(VirtQueue *q)
{
    if (pci_msix_enabled(&q->dev->pci))
        vector_raise(q->dev, &q->vector);
    else
        intx_raise(q->dev, ISR_QUEUE);
}

void
virtio_config_interrupt(VirtioDevice *dev)
{
    if (pci_msix_enabled(&dev->pci))
        vector_raise(dev, &dev->config_vector);
    else
        intx_raise(dev, ISR_CONFIG);
}

/* ---- registers ---- */

static VirtQueue *
selected(VirtioDevice *dev)
{
    return dev->queue_select < dev->n_queues ? &dev->queues[dev->queue_select] : NULL;
}

static uint64_t
features_half(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static uint64_t
queue_read(const VirtQueue *q, uint64_t offset)
{
    switch (offset) {
    case REG_QUEUE_SIZE:
        return q->size;
    case REG_QUEUE_VECTOR:
        return q->vector;
    case REG_QUEUE_ENABLE:
        return q->enabled;
    case REG_QUEUE_NOTIFY:
        return q->index;
    case REG_QUEUE_DESC:
    case REG_QUEUE_AVAIL:
    case REG_QUEUE_USED:
        return (uint32_t)(offset == REG_QUEUE_DESC    ? q->desc
                          : offset == REG_QUEUE_AVAIL ? q->avail
                                                      : q->used);
    case REG_QUEUE_DESC + 4:
        return q->desc >> 32;
    case REG_QUEUE_AVAIL + 4:
        return q->avail >> 32;
    case REG_QUEUE_USED + 4:
        return q->used >> 32;
    default:
        return 0; /* REG_QUEUE_RESET: a reset is over when it was written */
    }
}

static uint64_t
common_read(void *opaque, uint64_t offset, unsigned size)
{
    VirtioDevice *dev = opaque;
    const VirtQueue *q = selected(dev);

    (void)size;
    switch (offset) {
    case REG_DEVICE_FEATURE_SELECT:
        return dev->host_features_select;
    case REG_DEVICE_FEATURE:
        return features_half(dev->host_features & ~VIRTIO_LEGACY_ONLY, dev->host_features_select);
    case REG_DRIVER_FEATURE_SELECT:
        return dev->guest_features_select;
    case REG_DRIVER_FEATURE:
        return features_half(dev->guest_features, dev->guest_features_select);
    case REG_CONFIG_VECTOR:
        return dev->config_vector;
    case REG_NUM_QUEUES:
        return dev->n_queues;
    case REG_STATUS:
        return (uint8_t)virtio_status(dev);
    case REG_GENERATION:
        return dev->generation;
    case REG_QUEUE_SELECT:
        return dev->queue_select;
    default:
        return q ? queue_read(q, offset) : 0;
    }
}

static void
features_write(VirtioDevice *dev, uint32_t value)
{
    unsigned shift = 32 * dev->guest_features_select;

    if (dev->guest_features_select >= 2 || dev->early || dev->started ||
        (virtio_status(dev) & (VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK)))
        return;
    dev->guest_features &= ~(UINT64_C(0xffffffff) << shift);
    dev->guest_features |= (uint64_t)value << shift;
}

static void
address_half_write(uint64_t *address, bool high, uint64_t value, unsigned size)
{
    uint64_t keep = high ? UINT64_C(0xffffffff) : UINT64_C(0xffffffff00000000);

    if (size == 4)
        *address = (*address & keep) | value << (high ? 32 : 0);
}

static void
queue_write(VirtioDevice *dev, VirtQueue *q, uint64_t offset, uint64_t value, unsigned size)
{
    if (offset == REG_QUEUE_VECTOR) {
        virtio_queue_set_vector(q, (uint16_t)value);
        return;
    }
    if (offset == REG_QUEUE_RESET) {
        if (value == 1 && virtio_has_feature(dev, VIRTIO_F_RING_RESET_BIT)) {
            if (dev->class->queue_reset)
                dev->class->queue_reset(q);
            virtio_queue_clear(q);
        }
        return;
    }
    if (q->enabled)
        return; /* 4.1.4.3.2: set up before it is enabled, and not after */
    switch (offset) {
    case REG_QUEUE_SIZE:
        if (!virtio_queue_size_good(q, value))
            virtio_device_break(dev);
        else
            q->size = (uint16_t)value;
        break;
    case REG_QUEUE_ENABLE:
        if (value == 1)
            virtio_queue_enable(q);
        break;
    case REG_QUEUE_DESC:
    case REG_QUEUE_DESC + 4:
        address_half_write(&q->desc, offset & 4, value, size);
        break;
    case REG_QUEUE_AVAIL:
    case REG_QUEUE_AVAIL + 4:
        address_half_write(&q->avail, offset & 4, value, size);
        break;
    case REG_QUEUE_USED:
    case REG_QUEUE_USED + 4:
        address_half_write(&q->used, offset & 4, value, size);
        break;
    }
}

static void
common_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VirtioDevice *dev = opaque;
    VirtQueue *q = selected(dev);

    if (dev->gone)
        return;
    switch (offset) {
    case REG_DEVICE_FEATURE_SELECT:
        dev->host_features_select = (uint32_t)value;
        break;
    case REG_DRIVER_FEATURE_SELECT:
        dev->guest_features_select = (uint32_t)value;
        break;
    case REG_DRIVER_FEATURE:
        features_write(dev, (uint32_t)value);
        break;
    case REG_CONFIG_VECTOR:
        virtio_config_set_vector(dev, (uint16_t)value);
        break;
    case REG_STATUS:
        virtio_set_status(dev, (uint8_t)value);
        break;
    case REG_QUEUE_SELECT:
        dev->queue_select = (uint16_t)value;
        break;
    default:
        if (q)
            queue_write(dev, q, offset, value, size);
        break;
    }
}

uint64_t
virtio_isr_take(VirtioDevice *dev)
{
    guint value = g_atomic_int_and((guint *)&dev->isr, 0);

    pci_intx_set(&dev->pci, false);
    return value;
}

static uint64_t
isr_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return offset == 0 ? virtio_isr_take(opaque) : 0;
}

uint64_t
virtio_config_load(VirtioDevice *dev, uint64_t offset, unsigned size)
{
    uint8_t config[VIRTIO_CONFIG_MAX + 8] = { 0 };

    if (offset >= dev->class->config_size || dev->gone)
        return 0;
    dev->class->config_read(dev, config);
    return bytes_load(config + offset, size);
}

static uint64_t
config_read(void *opaque, uint64_t offset, unsigned size)
{
    return virtio_config_load(opaque, offset, size);
}

void
virtio_config_store(VirtioDevice *dev, uint64_t offset, uint64_t value, unsigned size)
{
    uint8_t config[VIRTIO_CONFIG_MAX + 8] = { 0 };

    if (offset + size > dev->class->config_size || dev->gone || !dev->class->config_write)
        return;
    dev->class->config_read(dev, config);
    bytes_store(config + offset, value, size);
    dev->class->config_write(dev, config, (unsigned)offset, size);
}

static void
config_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    virtio_config_store(opaque, offset, value, size);
}

/* Without a lock: it only signals, and the loop looks whether the queue is running. */
static void
notify_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VirtioDevice *dev = opaque;
    uint64_t i = offset / dev->notify_step;

    (void)value;
    (void)size;
    if (i < dev->n_queues && offset % dev->notify_step == 0)
        io_notifier_signal(&dev->queues[i].kick);
}

static const IoOps common_ops = { common_read, common_write, .split = true };
static const IoOps isr_ops = { isr_read, NULL, .split = true };
static const IoOps config_ops = { config_read, config_write, .split = true, .unaligned = true };
static const IoOps notify_ops = { NULL, notify_write };

/* ---- the window: access through configuration space (4.1.4.9) ---- */

static const IoOps *
window_target(const VirtioDevice *dev, uint64_t *ret_offset, unsigned *ret_size)
{
    static const IoOps *const areas[] = { &common_ops, &isr_ops, &config_ops, &notify_ops };
    uint32_t offset = pci_config_get(&dev->pci, dev->window + CAP_OFFSET, 4);
    uint32_t size = pci_config_get(&dev->pci, dev->window + CAP_LENGTH, 4);

    if (pci_config_get(&dev->pci, dev->window + CAP_BAR, 1) != BAR ||
        offset >= NOTIFY + dev->notify_size || (size != 1 && size != 2 && size != 4) ||
        offset % size != 0)
        return NULL;
    *ret_offset = offset < NOTIFY ? offset % AREA : offset - NOTIFY;
    *ret_size = size;
    return areas[MIN(offset, NOTIFY) / AREA];
}

static bool
window_touched(const VirtioDevice *dev, unsigned offset, unsigned size)
{
    unsigned data = dev->window + CAP_EXTRA;

    /* more than a register at once is a restore, not the guest; registers behind a BAR are not
     * there in D3hot */
    return dev->window && !pci_asleep(&dev->pci) && size <= 4 && offset < data + 4 &&
           offset + size > data;
}

static void
virtio_pci_config_read(PciDevice *pci, unsigned offset, unsigned size)
{
    VirtioDevice *dev = (VirtioDevice *)pci;
    const IoOps *ops;
    uint64_t at;
    unsigned n;

    if (!window_touched(dev, offset, size) || !(ops = window_target(dev, &at, &n)))
        return;
    pci_config_set(pci, dev->window + CAP_EXTRA, 4,
                   ops->read ? (uint32_t)ops->read(dev, at, n) : UINT32_MAX);
}

static void
virtio_pci_config_written(PciDevice *pci, unsigned offset, unsigned size)
{
    VirtioDevice *dev = (VirtioDevice *)pci;
    const IoOps *ops;
    uint64_t at;
    unsigned n;

    if (!window_touched(dev, offset, size) || !(ops = window_target(dev, &at, &n)) || !ops->write)
        return;
    ops->write(dev, at, pci_config_get(pci, dev->window + CAP_EXTRA, n), n);
}

/* ---- making ---- */

static unsigned
cap_add(VirtioDevice *dev, unsigned type, uint32_t offset, uint32_t length, unsigned extra)
{
    unsigned at = pci_capability_add(&dev->pci, PCI_CAP_ID_VENDOR, CAP_SIZE + extra);

    if (!at)
        return 0;
    pci_config_set(&dev->pci, at + 2, 1, CAP_SIZE + extra);
    pci_config_set(&dev->pci, at + CAP_TYPE, 1, type);
    pci_config_set(&dev->pci, at + CAP_BAR, 1, type == CAP_WINDOW ? 0 : BAR);
    pci_config_set(&dev->pci, at + CAP_OFFSET, 4, offset);
    pci_config_set(&dev->pci, at + CAP_LENGTH, 4, length);
    return at;
}

static bool
caps_add(VirtioDevice *dev)
{
    unsigned notify, window;

    if (!cap_add(dev, CAP_COMMON, COMMON, AREA, 0) || !cap_add(dev, CAP_ISR, ISR, AREA, 0) ||
        !cap_add(dev, CAP_DEVICE, CONFIG, AREA, 0) ||
        !(notify = cap_add(dev, CAP_NOTIFY, NOTIFY, dev->notify_size, 4)) ||
        !(window = cap_add(dev, CAP_WINDOW, 0, 0, 4)))
        return false;
    pci_config_set(&dev->pci, notify + CAP_EXTRA, 4, dev->notify_step);
    pci_config_mask(&dev->pci, window + CAP_BAR, 1, 0xff);
    pci_config_mask(&dev->pci, window + CAP_OFFSET, 4, UINT32_MAX);
    pci_config_mask(&dev->pci, window + CAP_LENGTH, 4, UINT32_MAX);
    pci_config_mask(&dev->pci, window + CAP_EXTRA, 4, UINT32_MAX);
    dev->window = window;
    return true;
}

static bool
msix_add(VirtioDevice *dev, GError **err)
{
    uint32_t n = dev->vectors;
    uint64_t pba, size;

    if (n == UINT32_MAX)
        n = dev->default_vectors ? dev->default_vectors : dev->n_queues + 1;
    if (n == 0)
        return true;
    if (n > 2048)
        return device_error(virtio_base(dev), err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "vectors=%u is more than the 2048 that MSI-X has", n);
    pba = MAX(n * UINT64_C(16), MSIX_PBA_MIN);
    size = MSIX_PBA_MIN * 2;
    while (size < pba + (n + 63) / 64 * 8)
        size *= 2;
    pci_bar_add(&dev->pci, MSIX_BAR, PCI_BAR_MEM32, false, size);
    return pci_msix_init(&dev->pci, n, MSIX_BAR, 0, pba, err);
}

static IoLoop *
main_loop(Machine *machine, GError **err)
{
    IoLoop *loop = machine_object_find(machine, OBJECT_IOTHREAD, MAIN_LOOP_ID);

    if (loop)
        return loop;
    loop = io_loop_new_for_context(machine->context, "main", err);
    if (loop && !machine_object_add(machine, OBJECT_IOTHREAD, MAIN_LOOP_ID, loop,
                                    (GDestroyNotify)io_loop_free, err)) {
        io_loop_free(loop);
        return NULL;
    }
    return loop;
}

static void
modern_realize(VirtioDevice *dev)
{
    PciDevice *pci = &dev->pci;
    GMutex *lock = &pci->device.lock;
    uint64_t size = BAR_SIZE;

    while (size < NOTIFY + dev->notify_size)
        size *= 2;
    pci_bar_add(pci, BAR, PCI_BAR_MEM64, true, size);
    pci_bar_add_region(pci, BAR, COMMON, AREA, &common_ops, dev, lock, "virtio-common");
    pci_bar_add_region(pci, BAR, ISR, AREA, &isr_ops, dev, lock, "virtio-isr");
    pci_bar_add_region(pci, BAR, CONFIG, AREA, &config_ops, dev, lock, "virtio-config");
    pci_bar_add_region(pci, BAR, NOTIFY, dev->notify_size, &notify_ops, dev, NULL, "virtio-notify");
    for (unsigned i = 0; i < dev->n_queues; i++) {
        VirtQueue *q = &dev->queues[i];

        pci_doorbell_add(pci, BAR, NOTIFY + (uint64_t)dev->notify_step * i, 0, false, 0,
                         q->kick.fd);
        q->doorbell = true;
    }
}

/* 4.1.2: a transitional device has ids of its own. */
static void
ids_set(VirtioDevice *dev)
{
    const VirtioClass *class = dev->class;

    if (dev->legacy)
        pci_set_ids(&dev->pci, PCI_SUBSYSTEM_VENDOR, class->legacy_id, PCI_SUBSYSTEM_VENDOR,
                    class->id, class->class_code, 0);
    else
        pci_set_ids(&dev->pci, PCI_SUBSYSTEM_VENDOR, (uint16_t)(MODERN_ID_BASE + class->id),
                    PCI_SUBSYSTEM_VENDOR, PCI_SUBSYSTEM_DEVICE, class->class_code, MODERN_REVISION);
}

bool
virtio_pci_realize(VirtioDevice *dev, GError **err)
{
    PciDevice *pci = &dev->pci;
    Device *device = virtio_base(dev);

    dev->intx_loop = main_loop(device->machine, err);
    if (!dev->intx_loop)
        return false;
    ids_set(dev);
    pci_intx_init(pci);
    if (dev->legacy)
        virtio_legacy_realize(dev);
    if (pci_bus_is_link(pci->bus) && !pci_express_add(pci, PCI_EXP_TYPE_ENDPOINT, 0))
        goto full;
    if (!msix_add(dev, err))
        return false;
    dev->notify_step = dev->page_per_vq ? PAGE : NOTIFY_STEP;
    dev->notify_size = MAX(AREA, dev->notify_step * dev->n_queues);
    if (dev->modern) {
        if (!caps_add(dev))
            goto full;
        modern_realize(dev);
    }
    if (pci->express_cap) {
        pci_express_add_reset(pci);
        if (!pci_power_add(pci, PCI_PM_1_2, PCI_PM_CONTROL_STATE))
            goto full;
    }
    return true;
full:
    return device_error(device, err, VIR_ERR_INTERNAL_ERROR, "no room for a capability");
}

void
virtio_pci_unrealize(VirtioDevice *dev)
{
    for (unsigned i = 0; i < dev->n_queues; i++) {
        VirtQueue *q = &dev->queues[i];

        if (q->doorbell)
            pci_doorbell_remove(&dev->pci, BAR, NOTIFY + (uint64_t)dev->notify_step * i,
                                q->kick.fd);
        q->doorbell = false;
    }
    if (dev->intx_loop)
        io_loop_cancel(dev->intx_loop, intx_update, dev);
}

static void
virtio_pci_function_reset(PciDevice *pci)
{
    virtio_clear((VirtioDevice *)pci);
}

const PciDetails virtio_pci_details = {
    .function_reset = virtio_pci_function_reset,
    .config_read = virtio_pci_config_read,
    .config_written = virtio_pci_config_written,
};
