/* virtio.c - a virtio device: features, status, configuration, and the life of its queues
 * (virtio 1.2, section 2 and 3.1).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/packed.h"

#include <errno.h>
#include <string.h>

#include "util/error.h"

/* ---- queues ---- */

void
virtio_queues_reserve(VirtioDevice *dev, unsigned n)
{
    dev->queues = g_new0(VirtQueue, n);
    dev->queues_room = n;
}

VirtQueue *
virtio_queue_add(VirtioDevice *dev, unsigned size, IoLoop *loop, void (*handle)(VirtQueue *queue))
{
    VirtQueue *q;

    g_return_val_if_fail(dev->n_queues < dev->queues_room, NULL);
    q = &dev->queues[dev->n_queues];
    *q = (VirtQueue){
        .dev = dev,
        .index = dev->n_queues++,
        .loop = loop,
        .handle = handle,
        .kick.fd = -1,
        .max_size = (uint16_t)size,
        .size = (uint16_t)size,
        .vector = VIRTIO_NO_VECTOR,
        .packed_held = g_byte_array_new(),
    };
    return q;
}

static void
queue_kicked(void *opaque, uint32_t events)
{
    VirtQueue *q = opaque;

    (void)events;
    if (q->running && !virtio_device_broken(q->dev))
        q->handle(q);
}

static bool
queue_can_start(const VirtQueue *q)
{
    return q->enabled && !q->running;
}

/* In the queue's loop. The kick is edge triggered, so nobody reads its counter. */
static void
queue_start(VirtQueue *q)
{
    VirtioDevice *dev = q->dev;

    q->taken = 0;
    if (virt_queue_map(q) < 0) {
        virtio_device_break(dev);
        return;
    }
    g_atomic_int_set(&q->running, true);
    if (q->external)
        return;
    if (io_loop_add_fd(q->loop, q->kick.fd, EPOLLIN | EPOLLET, queue_kicked, q) < 0) {
        virtio_device_break(dev);
        return;
    }
    if (dev->class->queue_start)
        dev->class->queue_start(q);
    virt_queue_schedule(q);
}

static void
queue_stop(VirtQueue *q)
{
    VirtioDevice *dev = q->dev;

    if (!q->running)
        return;
    if (!q->external) {
        io_loop_remove_fd(q->loop, q->kick.fd);
        if (dev->class->queue_stop)
            dev->class->queue_stop(q);
        virt_queue_flush(q);
    }
    g_atomic_int_set(&q->running, false);
    virt_queue_unmap(q);
}

typedef struct {
    VirtioDevice *dev;
    IoLoop *loop;
    VirtQueue *only; /* NULL: all of the loop */
    bool start;
} LoopCall;

static void
loop_call(void *opaque)
{
    const LoopCall *call = opaque;

    for (unsigned i = 0; i < call->dev->n_queues; i++) {
        VirtQueue *q = &call->dev->queues[i];

        if (q->loop != call->loop || (call->only && call->only != q))
            continue;
        if (call->start && queue_can_start(q))
            queue_start(q);
        else if (!call->start)
            queue_stop(q);
    }
}

static bool
loop_seen_before(const VirtioDevice *dev, unsigned i)
{
    for (unsigned j = 0; j < i; j++) {
        if (dev->queues[j].loop == dev->queues[i].loop)
            return true;
    }
    return false;
}

/* One round trip per loop, not per queue. */
static void
queues_call(VirtioDevice *dev, bool start)
{
    for (unsigned i = 0; i < dev->n_queues; i++) {
        LoopCall call = { .dev = dev, .loop = dev->queues[i].loop, .start = start };

        if (!loop_seen_before(dev, i))
            io_loop_run_sync(call.loop, loop_call, &call);
    }
}

void
virtio_start(VirtioDevice *dev)
{
    if (dev->started || !dev->vm_running || dev->gone || virtio_device_broken(dev) ||
        !(dev->early || (virtio_status(dev) & VIRTIO_STATUS_DRIVER_OK)))
        return;
    if (dev->class->start && dev->class->start(dev) < 0) {
        virtio_device_break(dev);
        return;
    }
    dev->started = true;
    queues_call(dev, true);
    virtio_legacy_doorbells(dev, true);
}

void
virtio_stop(VirtioDevice *dev)
{
    if (!dev->started)
        return;
    virtio_legacy_doorbells(dev, false);
    queues_call(dev, false);
    if (dev->class->stop)
        dev->class->stop(dev);
    dev->started = false;
}

bool
virtio_queue_size_good(const VirtQueue *q, uint64_t size)
{
    return size > 0 && size <= q->max_size &&
           (virtio_has_feature(q->dev, VIRTIO_F_RING_PACKED_BIT) || (size & (size - 1)) == 0);
}

void
virtio_queue_enable(VirtQueue *q)
{
    LoopCall call = { .dev = q->dev, .loop = q->loop, .only = q, .start = true };

    q->enabled = true;
    if (virtio_has_feature(q->dev, VIRTIO_F_RING_PACKED_BIT))
        packed_new(q);
    if (q->dev->started && !q->external)
        io_loop_run_sync(q->loop, loop_call, &call);
}

void
virtio_queue_set_vector(VirtQueue *q, uint16_t vector)
{
    VirtioDevice *dev = q->dev;
    uint16_t old;

    if (vector != VIRTIO_NO_VECTOR && pci_msix_use(&dev->pci, vector) < 0)
        vector = VIRTIO_NO_VECTOR;
    g_mutex_lock(&dev->interrupt_lock);
    old = q->vector;
    q->vector = vector;
    g_mutex_unlock(&dev->interrupt_lock);
    if (q->external && dev->started && dev->class->queue_vector)
        dev->class->queue_vector(q);
    if (old != VIRTIO_NO_VECTOR)
        pci_msix_unuse(&dev->pci, old);
}

void
virtio_config_set_vector(VirtioDevice *dev, uint16_t vector)
{
    uint16_t old;

    if (vector != VIRTIO_NO_VECTOR && pci_msix_use(&dev->pci, vector) < 0)
        vector = VIRTIO_NO_VECTOR;
    g_mutex_lock(&dev->interrupt_lock);
    old = dev->config_vector;
    dev->config_vector = vector;
    g_mutex_unlock(&dev->interrupt_lock);
    if (old != VIRTIO_NO_VECTOR)
        pci_msix_unuse(&dev->pci, old);
}

/* ---- status ---- */

bool
virtio_device_broken(VirtioDevice *dev)
{
    return (virtio_status(dev) & VIRTIO_STATUS_NEEDS_RESET) != 0;
}

void
virtio_device_break(VirtioDevice *dev)
{
    int old = (int)g_atomic_int_or((guint *)&dev->status, VIRTIO_STATUS_NEEDS_RESET);

    /* 2.1.2: a driver that is up is told by a configuration change */
    if (!(old & VIRTIO_STATUS_NEEDS_RESET) && (old & VIRTIO_STATUS_DRIVER_OK))
        virtio_config_interrupt(dev);
}

void
virtio_config_changed(VirtioDevice *dev)
{
    dev->generation++;
    if (virtio_status(dev) & VIRTIO_STATUS_DRIVER_OK)
        virtio_config_interrupt(dev);
}

void
virtio_clear(VirtioDevice *dev)
{
    virtio_stop(dev);
    if (dev->class->reset)
        dev->class->reset(dev);
    for (unsigned i = 0; i < dev->n_queues; i++)
        virtio_queue_clear(&dev->queues[i]);
    virtio_config_set_vector(dev, VIRTIO_NO_VECTOR);
    dev->guest_features = 0;
    dev->early = false;
    dev->host_features_select = dev->guest_features_select = 0;
    dev->queue_select = 0;
    g_atomic_int_set(&dev->isr, 0);
    g_atomic_int_set(&dev->status, 0);
    pci_intx_set(&dev->pci, false);
}

void
virtio_queue_clear(VirtQueue *q)
{
    LoopCall call = { .dev = q->dev, .loop = q->loop, .only = q };

    if (q->running)
        io_loop_run_sync(q->loop, loop_call, &call);
    virtio_queue_set_vector(q, VIRTIO_NO_VECTOR);
    q->size = q->max_size;
    q->enabled = q->external = false;
    q->desc = q->avail = q->used = 0;
    q->last_avail = q->used_idx = 0;
    virt_queue_drop_held(q);
    packed_free(q);
}

static bool
features_ok(VirtioDevice *dev)
{
    if (!virtio_modern(dev) || (dev->guest_features & ~(dev->host_features & ~VIRTIO_LEGACY_ONLY)))
        return false;
    return !dev->class->features_ok || dev->class->features_ok(dev, dev->guest_features);
}

void
virtio_set_status(VirtioDevice *dev, uint8_t value)
{
    int old = virtio_status(dev);

    if (value == 0) {
        virtio_clear(dev);
        return;
    }
    /* bits are only ever added (2.1.1); FEATURES_OK only if the choice can be had */
    value &= (uint8_t) ~(VIRTIO_STATUS_NEEDS_RESET | old);
    if ((value & VIRTIO_STATUS_FEATURES_OK) && !features_ok(dev))
        value &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
    if ((value & VIRTIO_STATUS_DRIVER_OK) && !((old | value) & VIRTIO_STATUS_FEATURES_OK)) {
        virtio_device_break(dev);
        return;
    }
    g_atomic_int_or((guint *)&dev->status, value);
    if (value & VIRTIO_STATUS_DRIVER_OK)
        virtio_start(dev);
}

void
virtio_device_lock(VirtioDevice *dev)
{
    g_mutex_lock(&virtio_base(dev)->lock);
}

void
virtio_device_unlock(VirtioDevice *dev)
{
    g_mutex_unlock(&virtio_base(dev)->lock);
}

/* ---- the class ---- */

/* What QEMU knows and Kiln has not built is refused, not dropped. */
static bool
props_check(VirtioDevice *dev, GError **err)
{
    static const struct {
        const char *name;
        size_t offset;
    } unbuilt[] = {
        { "iommu_platform", offsetof(VirtioDevice, iommu_platform) },
        { "ats", offsetof(VirtioDevice, ats) },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(unbuilt); i++) {
        if (*(bool *)((char *)dev + unbuilt[i].offset))
            return device_error(virtio_base(dev), err, VIR_ERR_CONFIG_UNSUPPORTED,
                                "property '%s' is not supported and must be off", unbuilt[i].name);
    }
    if (dev->packed && dev->disable_modern)
        return device_error(virtio_base(dev), err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "packed=on needs the modern interface: set disable-modern=off");
    return true;
}

/* As QEMU has it: behind a PCI Express port, where I/O space is dear, the legacy interface is there
 * only if asked for. */
static bool
interfaces_choose(VirtioDevice *dev, GError **err)
{
    if (dev->disable_legacy == ONOFFAUTO_OFF && !dev->class->legacy_id)
        return device_error(virtio_base(dev), err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "it has no legacy interface: set disable-legacy=on");
    dev->modern = !dev->disable_modern;
    dev->legacy = dev->class->legacy_id != 0 &&
                  (dev->disable_legacy == ONOFFAUTO_OFF ||
                   (dev->disable_legacy == ONOFFAUTO_AUTO && !pci_bus_is_link(dev->pci.bus)));
    if (!dev->modern && !dev->legacy)
        return device_error(virtio_base(dev), err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "it would have neither interface: set disable-modern=off%s",
                            dev->class->legacy_id ? " or disable-legacy=off" : "");
    if (dev->modern)
        dev->host_features = VIRTIO_F(VIRTIO_F_VERSION_1_BIT) | VIRTIO_F(VIRTIO_F_RING_RESET_BIT);
    if (dev->legacy)
        dev->host_features |= VIRTIO_LEGACY_ONLY;
    return true;
}

static const VirtioClass *
class_of(const Device *device)
{
    const DeviceClass *class = device->class;

    while (class->base != &virtio_device_class)
        class = class->base;
    return class->details;
}

static bool
virtio_realize(Device *device, GError **err)
{
    VirtioDevice *dev = virtio_device(device);

    dev->class = class_of(device);
    g_mutex_init(&dev->interrupt_lock);
    dev->config_vector = VIRTIO_NO_VECTOR;
    dev->initialized = true;
    if (!props_check(dev, err) || !interfaces_choose(dev, err))
        return false;
    if (dev->use_event_idx)
        dev->host_features |= VIRTIO_F(VIRTIO_F_EVENT_IDX_BIT);
    if (dev->use_indirect)
        dev->host_features |= VIRTIO_F(VIRTIO_F_INDIRECT_DESC_BIT);
    if (dev->packed)
        dev->host_features |= VIRTIO_F(VIRTIO_F_RING_PACKED_BIT);
    if (!dev->class->realize(dev, err))
        return false;
    for (unsigned i = 0; i < dev->n_queues; i++) {
        int r = io_notifier_init(&dev->queues[i].kick);

        if (r < 0)
            return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r, "cannot make queue %u of %s",
                                        i, dev->class->name);
    }
    dev->vm_running = device->machine->running;
    return virtio_pci_realize(dev, err);
}

static void
virtio_unrealize(Device *device)
{
    VirtioDevice *dev = virtio_device(device);

    if (!dev->initialized)
        return;
    virtio_device_lock(dev);
    dev->gone = true;
    virtio_stop(dev);
    virtio_device_unlock(dev);
    virtio_pci_unrealize(dev);
    if (dev->class->unrealize)
        dev->class->unrealize(dev);
    for (unsigned i = 0; i < dev->n_queues; i++) {
        virtio_queue_set_vector(&dev->queues[i], VIRTIO_NO_VECTOR);
        io_loop_run_sync(dev->queues[i].loop, virt_queue_forget, &dev->queues[i]);
        io_notifier_fini(&dev->queues[i].kick);
        packed_free(&dev->queues[i]);
        g_byte_array_unref(dev->queues[i].packed_held);
    }
    virtio_config_set_vector(dev, VIRTIO_NO_VECTOR);
    g_clear_pointer(&dev->queues, g_free);
    dev->n_queues = 0;
    g_mutex_clear(&dev->interrupt_lock);
    dev->initialized = false;
}

static void
virtio_reset(Device *device)
{
    VirtioDevice *dev = virtio_device(device);

    virtio_device_lock(dev);
    virtio_clear(dev);
    virtio_device_unlock(dev);
}

static void
virtio_set_running(Device *device, bool running)
{
    VirtioDevice *dev = virtio_device(device);

    virtio_device_lock(dev);
    dev->vm_running = running;
    if (running)
        virtio_start(dev);
    else
        virtio_stop(dev);
    virtio_device_unlock(dev);
}

static void
virtio_before_save(void *state)
{
    VirtioDevice *dev = state;

    dev->saved_status = (uint32_t)virtio_status(dev);
    dev->saved_isr = (uint32_t)g_atomic_int_get(&dev->isr);
    dev->saved_config_vector = dev->config_vector;
    for (unsigned i = 0; i < dev->n_queues; i++) {
        dev->queues[i].saved_vector = dev->queues[i].vector;
        packed_save(&dev->queues[i]);
    }
}

/* Every number here comes from outside. */
static bool
virtio_after_load(void *state, GError **err)
{
    VirtioDevice *dev = state;

    if (dev->guest_features & ~dev->host_features)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the guest uses virtio features 0x%" G_GINT64_MODIFIER
                              "x that this device does not offer",
                              dev->guest_features & ~dev->host_features);
    if (dev->saved_status > 0xff || dev->saved_isr > 3)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "status 0x%x is not a virtio status",
                              dev->saved_status);
    for (unsigned i = 0; i < dev->n_queues; i++) {
        VirtQueue *q = &dev->queues[i];

        if (!virtio_queue_size_good(q, q->size))
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "queue %u has %u descriptors, at most %u can be had", i, q->size,
                                  q->max_size);
        if (!virt_queue_load_held(q))
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "queue %u has %u descriptors, and requests beyond them", i,
                                  q->size);
        virtio_queue_set_vector(q, q->saved_vector);
    }
    virtio_config_set_vector(dev, dev->saved_config_vector);
    g_atomic_int_set(&dev->status, (int)dev->saved_status);
    g_atomic_int_set(&dev->isr, (int)dev->saved_isr);
    return true;
}

static const SavedField virtio_fields[] = {
    SAVED(VirtioDevice, guest_features, 1),
    SAVED(VirtioDevice, host_features_select, 1),
    SAVED(VirtioDevice, guest_features_select, 1),
    SAVED(VirtioDevice, queue_select, 1),
    SAVED(VirtioDevice, saved_config_vector, 1),
    SAVED(VirtioDevice, saved_status, 1),
    SAVED(VirtioDevice, saved_isr, 1),
    SAVED(VirtioDevice, generation, 1),
    SAVED(VirtioDevice, early, 1),
    SAVED_STRUCTS_PTR(VirtioDevice, queues, n_queues, virt_queue_saved, 1),
};

static const SavedTable virtio_saved = {
    .name = "virtio",
    .version = 1,
    .oldest = 1,
    .fields = virtio_fields,
    .n_fields = G_N_ELEMENTS(virtio_fields),
    .before_save = virtio_before_save,
    .after_load = virtio_after_load,
};

static const DeviceProp virtio_props[] = {
    { "vectors", PROP_UINT32, offsetof(VirtioDevice, vectors), "4294967295",
      .help = "MSI-X vectors; the default is one per queue and one for changes" },
    { "disable-legacy", PROP_ONOFFAUTO, offsetof(VirtioDevice, disable_legacy), "auto",
      .help = "no legacy interface; auto: none behind a PCI Express port" },
    { "disable-modern", PROP_BOOL, offsetof(VirtioDevice, disable_modern), "off",
      .help = "no modern interface" },
    { "event_idx", PROP_BOOL, offsetof(VirtioDevice, use_event_idx), "on",
      .help = "offer event index" },
    { "indirect_desc", PROP_BOOL, offsetof(VirtioDevice, use_indirect), "on",
      .help = "offer indirect descriptors" },
    { "packed", PROP_BOOL, offsetof(VirtioDevice, packed), "off", .help = "offer packed queues" },
    { "iommu_platform", PROP_BOOL, offsetof(VirtioDevice, iommu_platform), "off",
      .help = "must be off" },
    { "ats", PROP_BOOL, offsetof(VirtioDevice, ats), "off", .help = "must be off" },
    { "page-per-vq", PROP_BOOL, offsetof(VirtioDevice, page_per_vq), "off",
      .help = "a page for each queue's doorbell" },
};

const DeviceClass virtio_device_class = {
    .name = "virtio-device",
    .abstract = true,
    .bus = BUS_PCI,
    .base = &pci_device_class,
    .state_size = sizeof(VirtioDevice),
    .props = virtio_props,
    .n_props = G_N_ELEMENTS(virtio_props),
    .saved = &virtio_saved,
    .realize = virtio_realize,
    .reset = virtio_reset,
    .unrealize = virtio_unrealize,
    .set_running = virtio_set_running,
    .details = &virtio_pci_details,
};
