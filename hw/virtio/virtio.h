/* virtio.h - what a virtio device is to the rest of hw/virtio: its queues, features and
 * configuration (virtio 1.2, sections 2 and 3).
 *
 * A model is a DeviceClass standing on virtio_device_class whose details are a const VirtioClass.
 * The core owns rings, feature negotiation, status, interrupts, reset and transport; a model sees
 * chains of buffers that lie in guest RAM, never guest addresses.
 *
 * Threads. Registers are accessed by vCPUs with the device's lock held. Each queue belongs to one
 * I/O loop: handlers and the virt_queue_ functions run in its thread only. Starting, stopping and
 * resetting wait for the loops with the device's lock held; therefore nothing that runs in a loop
 * may take that lock, and no queue lives in the main loop.
 *
 * A guest that puts nonsense on a ring stops only itself: the device sets DEVICE_NEEDS_RESET
 * (section 2.1.1) and does nothing more until it is reset.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VIRTIO_VIRTIO_H
#define KILN_HW_VIRTIO_VIRTIO_H

#include "hw/core/iov.h"
#include "hw/core/loop.h"
#include "hw/pci/pci.h"
#include "util/ioloop.h"

typedef struct VirtioDevice VirtioDevice;
typedef struct VirtQueue VirtQueue;
typedef struct Vring Vring;
typedef struct PackedRing PackedRing;

enum {
    VIRTIO_QUEUE_MAX = 1024,     /* most descriptors of a queue, and of one chain */
    VIRTIO_QUEUES_MAX = 1024,    /* most queues of a device */
    VIRTIO_CHAIN_IOV_MAX = 1040, /* most buffers of one chain in host memory */
    VIRTIO_CONFIG_MAX = 256,     /* most bytes of device configuration */
    VIRTIO_NO_VECTOR = 0xffff,
};

/* Device ids of section 5 */
enum {
    VIRTIO_ID_NET = 1,
    VIRTIO_ID_BLOCK = 2,
    VIRTIO_ID_CONSOLE = 3,
    VIRTIO_ID_ENTROPY = 4,
    VIRTIO_ID_BALLOON = 5,
    VIRTIO_ID_SCSI = 8,
    VIRTIO_ID_INPUT = 18,
};

#define VIRTIO_F(bit) (UINT64_C(1) << (bit))
enum {
    VIRTIO_F_NOTIFY_ON_EMPTY_BIT = 24, /* of the legacy interface */
    VIRTIO_F_ANY_LAYOUT_BIT = 27,      /* of the legacy interface */
    VIRTIO_F_INDIRECT_DESC_BIT = 28,
    VIRTIO_F_EVENT_IDX_BIT = 29,
    VIRTIO_F_VERSION_1_BIT = 32,
    VIRTIO_F_RING_PACKED_BIT = 34,
    VIRTIO_F_RING_RESET_BIT = 40,
};

enum {
    VIRTIO_STATUS_ACKNOWLEDGE = 1,
    VIRTIO_STATUS_DRIVER = 2,
    VIRTIO_STATUS_DRIVER_OK = 4,
    VIRTIO_STATUS_FEATURES_OK = 8,
    VIRTIO_STATUS_NEEDS_RESET = 64,
    VIRTIO_STATUS_FAILED = 128,
};

/* A chain of buffers taken off a queue: first those the driver wrote, then those it will read. It
 * keeps its memory between uses. */
typedef struct {
    uint16_t head;
    unsigned n_out, n_in;     /* pieces */
    uint64_t out_len, in_len; /* bytes */
    struct iovec *iov;        /* n_out, then n_in pieces */
    unsigned capacity;
} VirtChain;

static inline const struct iovec *
virt_chain_out(const VirtChain *chain)
{
    return chain->iov;
}

static inline const struct iovec *
virt_chain_in(const VirtChain *chain)
{
    return chain->iov + chain->n_out;
}

/* Frees what a zero-initialised, used chain holds. */
void virt_chain_clear(VirtChain *chain);

struct VirtQueue {
    VirtioDevice *dev;
    unsigned index;
    IoLoop *loop;
    void (*handle)(VirtQueue *queue); /* the driver has added buffers; in the loop */
    IoNotifier kick;
    bool doorbell; /* the kick is signalled by the kernel */
    uint16_t max_size;

    /* registers; the device's lock */
    uint16_t size;
    bool enabled;
    uint64_t desc, avail, used; /* guest physical */
    uint16_t vector;            /* changed under interrupt_lock too */
    uint16_t saved_vector;      /* saved state's copy */

    /* in the loop's thread while it is running */
    int running;   /* rings mapped; atomic for others */
    bool external; /* the data path is not ours (vhost) */
    Vring *ring;
    uint16_t last_avail;     /* next entry of the available ring to take */
    uint16_t used_idx;       /* next entry of the used ring to fill */
    uint16_t avail_seen;     /* available index when last read */
    uint16_t signalled_used; /* used index at the last interrupt */
    bool signalled_valid;
    bool notify_enabled;
    bool scheduled;       /* the handler is deferred to the loop's next turn */
    bool flush_scheduled; /* an interrupt check is deferred */
    bool event_idx, indirect, notify_on_empty;
    unsigned taken;                     /* chains taken and not yet given back */
    uint8_t held[VIRTIO_QUEUE_MAX / 8]; /* a bit for the head of each of them; saved */
    /* A bit for those that a device held where its state was saved: taken again first. */
    uint8_t again[VIRTIO_QUEUE_MAX / 8];
    unsigned n_again;
    uint16_t last_head; /* taken last */
    bool last_again;    /* it was one of those */
    /* Of a packed queue, from its enabling to its reset; last_avail, avail_seen and used_idx then
     * have the wrap counter in bit 15. */
    PackedRing *packed;
    GByteArray *packed_held; /* saved state's copy of what is held of it */
};

/* A model of a virtio device. Functions may be NULL. */
typedef struct {
    const char *name;     /* "virtio-blk", for messages */
    uint16_t id;          /* VIRTIO_ID_ */
    uint16_t legacy_id;   /* PCI device id of a transitional one; 0: there is none */
    uint32_t class_code;  /* PCI class */
    unsigned config_size; /* bytes, at most VIRTIO_CONFIG_MAX */

    /* Sets host_features and adds queues with virtio_queue_add(). Main thread. */
    bool (*realize)(VirtioDevice *dev, GError **err);
    /* Undoes it, also when partial; queues are stopped. Main thread. */
    void (*unrealize)(VirtioDevice *dev);

    /* Fills config_size bytes. Device's lock. */
    void (*config_read)(VirtioDevice *dev, uint8_t *config);
    /* The driver wrote [offset, offset + size) of @config, which holds the rest as it reads.
     * Device's lock. */
    void (*config_write)(VirtioDevice *dev, const uint8_t *config, unsigned offset, unsigned size);

    /* False refuses the driver's choice of features, which may come several times. Device's lock.
     */
    bool (*features_ok)(VirtioDevice *dev, uint64_t features);

    /* Before queues start (DRIVER_OK, and when a paused guest goes on): -errno breaks the device.
     * After all queues have stopped. Device's lock or vCPUs stand still. */
    int (*start)(VirtioDevice *dev);
    void (*stop)(VirtioDevice *dev);
    /* In the queue's loop, around its running: stop finishes or gives back every chain taken. */
    void (*queue_start)(VirtQueue *queue);
    void (*queue_stop)(VirtQueue *queue);
    /* The vector of an external queue changed. Device's lock. */
    void (*queue_vector)(VirtQueue *queue);
    /* The driver resets one queue (2.6.1), which the core then stops. Device's lock. */
    void (*queue_reset)(VirtQueue *queue);
    /* Power-on state of what is the model's own; queues are stopped. */
    void (*reset)(VirtioDevice *dev);
} VirtioClass;

struct VirtioDevice {
    PciDevice pci; /* first */
    const VirtioClass *class;
    uint64_t host_features; /* offered */
    VirtQueue *queues;
    uint32_t n_queues; /* set by realize */
    uint32_t queues_room;
    uint32_t default_vectors; /* set by realize; 0: one per queue and one for changes */
    bool vm_running, started, gone, initialized;
    bool legacy, modern;   /* interfaces it has */
    bool legacy_doorbells; /* are the kernel's */

    /* properties */
    uint32_t vectors;   /* UINT32_MAX: one per queue and one for changes */
    int disable_legacy; /* OnOffAuto */
    bool disable_modern, use_event_idx, use_indirect, packed, iommu_platform, ats, page_per_vq;

    /* registers; the device's lock, or atomic where noted */
    uint64_t guest_features; /* chosen by the driver */
    uint32_t host_features_select, guest_features_select;
    uint16_t queue_select, config_vector;
    bool early;       /* used by a legacy driver before DRIVER_OK */
    int status;       /* atomic: loops set NEEDS_RESET */
    int isr;          /* atomic: bit 0 queue, bit 1 configuration */
    int intx_pending; /* atomic: the main loop will look at isr */
    uint8_t generation;
    GMutex interrupt_lock; /* vectors, against interrupts from the loops; innermost */
    IoLoop *intx_loop;     /* main loop's, drives INTx for the I/O threads */
    unsigned window;       /* offset of the configuration access capability */
    uint32_t notify_step;  /* bytes from one queue's doorbell to the next */
    uint32_t notify_size;  /* bytes of all of them */

    /* saved state's copies */
    uint32_t saved_status, saved_isr;
    uint16_t saved_config_vector;
};

/* The other names of a device that has the legacy interface: DeviceClass.variants. */
#define VIRTIO_VARIANTS(name)                                                                      \
    {                                                                                              \
        { name "-transitional", { "disable-legacy", "off", "disable-modern", "off", NULL } },      \
            { name "-non-transitional",                                                            \
              { "disable-legacy", "on", "disable-modern", "off", NULL } },                         \
            { NULL, { NULL } },                                                                    \
    }

/* Base of all virtio devices, on pci_device_class. */
extern const DeviceClass virtio_device_class;

static inline VirtioDevice *
virtio_device(Device *dev)
{
    return (VirtioDevice *)dev;
}

static inline Device *
virtio_base(VirtioDevice *dev)
{
    return &dev->pci.device;
}

/* ---- for models, in realize ---- */

/* Room for @n queues; before the first virtio_queue_add(). */
void virtio_queues_reserve(VirtioDevice *dev, unsigned n);
/* Adds a queue of at most @size descriptors (a power of two). */
VirtQueue *virtio_queue_add(VirtioDevice *dev, unsigned size, IoLoop *loop,
                            void (*handle)(VirtQueue *queue));

/* ---- for models at run time ---- */

/* True when the driver has accepted feature @bit. */
static inline bool
virtio_has_feature(const VirtioDevice *dev, unsigned bit)
{
    return (dev->guest_features >> bit & 1) != 0;
}

/* True when the driver uses the device as virtio 1.0 and later has it. */
static inline bool
virtio_modern(const VirtioDevice *dev)
{
    return virtio_has_feature(dev, VIRTIO_F_VERSION_1_BIT);
}

static inline int
virtio_status(VirtioDevice *dev)
{
    return g_atomic_int_get(&dev->status);
}

/* Nonsense from the driver: DEVICE_NEEDS_RESET; queues stand still. Any thread. */
void virtio_device_break(VirtioDevice *dev);
bool virtio_device_broken(VirtioDevice *dev);

/* Device configuration has changed. With the device's lock held. */
void virtio_config_changed(VirtioDevice *dev);

/* Takes the device's lock for main-thread callers such as QMP. */
void virtio_device_lock(VirtioDevice *dev);
void virtio_device_unlock(VirtioDevice *dev);

/* ---- queues; in the loop's thread, while running ---- */

/* Takes the next chain. 1 when there was one, 0 when there is none, -EPROTO when the driver's ring
 * is nonsense (the device is then broken). */
int virt_queue_pop(VirtQueue *queue, VirtChain *chain);
/* Gives back the chain taken last, unused. */
void virt_queue_unpop(VirtQueue *queue);
/* True when the driver has added buffers that were not taken. */
bool virt_queue_pending(VirtQueue *queue);

/* The driver need not (need) signal new buffers. enable returns true when some came meanwhile: look
 * again. */
void virt_queue_disable_notify(VirtQueue *queue);
bool virt_queue_enable_notify(VirtQueue *queue);
/* As enable, for a handler to which the chains that are there were too few: signal and result are
 * for still more. */
bool virt_queue_await_more(VirtQueue *queue);

/* For handlers: `unsigned turn = 0; while (virt_queue_next(queue, &chain, &turn))`. Takes chains
 * until there are none and then asks for notification; after a fair number it lets the loop's other
 * work go first and comes back. */
bool virt_queue_next(VirtQueue *queue, VirtChain *chain, unsigned *turn);

/* Calls the handler in the loop's next turn. */
void virt_queue_schedule(VirtQueue *queue);
/* The same from any thread. */
void virt_queue_schedule_remote(VirtQueue *queue);

/* Gives a chain back with @written bytes in its writable part. The driver sees it at once; the
 * interrupt, if it wants one, follows at the end of the loop's turn. */
void virt_queue_push(VirtQueue *queue, uint16_t head, uint64_t written);
/* As virt_queue_push() for the @n-th of several chains that become visible together with
 * virt_queue_publish(). */
void virt_queue_fill(VirtQueue *queue, uint16_t head, uint64_t written, unsigned n);
void virt_queue_publish(VirtQueue *queue, unsigned n);
/* Interrupts now, if the driver wants it. */
void virt_queue_flush(VirtQueue *queue);
/* Interrupts without asking the ring. Any thread. */
void virtio_queue_interrupt(VirtQueue *queue);
/* Reads back the used index that someone else (vhost) has moved. Device's lock. */
void virt_queue_reload_used(VirtQueue *queue);
/* After the state was loaded: what the device held of the queue (requests that wait for the guest
 * to go on) will be taken once more before anything else. False when @held is nonsense. */
bool virt_queue_load_held(VirtQueue *queue);
/* The queue is reset: nothing is held of it. */
void virt_queue_drop_held(VirtQueue *queue);

#endif
