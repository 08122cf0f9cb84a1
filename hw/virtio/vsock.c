/* vsock.c - virtio socket device (virtio 1.2, section 5.10), whose two data rings the kernel serves
 * (vhost-vsock, linux/vhost.h).
 *
 * The doorbells and the MSI-X eventfds go straight to the kernel; without MSI-X it signals an
 * eventfd of ours, and the loop raises the interrupt. The event queue stays here: it tells the
 * driver of a guest that was loaded that its connections are gone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/core.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "hw/core/bytes.h"
#include "net/vhost.h"
#include "util/error.h"

#define VSOCK_DEVICE "/dev/vhost-vsock"

enum {
    RING_RX = 0,
    RING_TX = 1,
    EVENT_QUEUE = 2,
    QUEUE_SIZE = 128,
    CONFIG_SIZE = 8,
    EVENT_SIZE = 4,
    EVENT_TRANSPORT_RESET = 0,
    VIRTIO_ID_VSOCK = 19,
};

#define RING_FEATURES                                                                              \
    (VIRTIO_F(VIRTIO_F_INDIRECT_DESC_BIT) | VIRTIO_F(VIRTIO_F_EVENT_IDX_BIT) |                     \
     VIRTIO_F(VIRTIO_F_VERSION_1_BIT) | VIRTIO_F(VIRTIO_F_RING_RESET_BIT))

typedef struct {
    VirtioDevice virtio; /* first */
    /* properties */
    uint64_t guest_cid;
    char *vhostfd;

    int fd; /* of the kernel's device; -1: none */
    IoLoop *loop;
    VirtQueue *rings[2], *events;
    IoNotifier call[2]; /* the kernel's interrupts without MSI-X */
    bool open;          /* the kernel has the rings; the device's lock */
    int lost;           /* atomic: the driver is to hear that connections are gone */
    VirtChain chain;
} VirtioVsock;

/* ---- the kernel's rings; the device's lock ---- */

static void
call_signalled(void *opaque, uint32_t events)
{
    (void)events;
    virtio_queue_interrupt(opaque);
}

static int
call_fd(const VirtioVsock *vsock, unsigned ring)
{
    const VirtQueue *q = vsock->rings[ring];
    int fd = -1;

    if (pci_msix_enabled(&q->dev->pci) && q->vector != VIRTIO_NO_VECTOR)
        fd = pci_msix_fd(&q->dev->pci, q->vector);
    return fd >= 0 ? fd : vsock->call[ring].fd;
}

static int
ring_fill(const VirtioVsock *vsock, unsigned ring, VhostRing *ret)
{
    const VirtQueue *q = vsock->rings[ring];
    const GuestMemory *memory = virtio_base(q->dev)->machine->memory;

    *ret = (VhostRing){
        .size = q->size,
        .last_avail = q->last_avail,
        .desc = guest_memory_pointer(memory, q->desc, vring_desc_bytes(q->size)),
        .avail = guest_memory_pointer(memory, q->avail, vring_avail_bytes(q->size)),
        .used = guest_memory_pointer(memory, q->used, vring_used_bytes(q->size)),
        .kick_fd = q->kick.fd,
        .call_fd = call_fd(vsock, ring),
    };
    return ret->desc && ret->avail && ret->used ? 0 : -EFAULT;
}

static void
vsock_stop(VirtioDevice *dev)
{
    VirtioVsock *vsock = (VirtioVsock *)dev;
    uint16_t last_avail[2] = { vsock->rings[0]->last_avail, vsock->rings[1]->last_avail };

    if (!vsock->open)
        return;
    vsock->open = false;
    vhost_vsock_stop(vsock->fd, last_avail);
    for (unsigned i = 0; i < 2; i++) {
        VirtQueue *q = vsock->rings[i];

        io_loop_remove_fd(q->loop, vsock->call[i].fd);
        q->last_avail = last_avail[i];
        virt_queue_reload_used(q);
        q->external = false;
        /* what it signalled while interrupts were looked up is not to be lost */
        virtio_queue_interrupt(q);
    }
}

static int
vsock_start(VirtioDevice *dev)
{
    VirtioVsock *vsock = (VirtioVsock *)dev;
    size_t n;
    const GuestRam *ram = guest_memory_list(virtio_base(dev)->machine->memory, &n);
    g_autofree VhostRegion *regions = g_new0(VhostRegion, n);
    VhostRing rings[2];
    int r = 0;

    if (!vsock->rings[RING_RX]->enabled || !vsock->rings[RING_TX]->enabled)
        return 0;
    for (size_t i = 0; i < n; i++)
        regions[i] = (VhostRegion){ ram[i].gpa, ram[i].size, ram[i].host };
    for (unsigned i = 0; r == 0 && i < 2; i++)
        r = ring_fill(vsock, i, &rings[i]);
    if (r == 0)
        r = vhost_vsock_start(vsock->fd, dev->guest_features & RING_FEATURES, regions, n, rings);
    if (r < 0)
        return r;
    vsock->open = true;
    for (unsigned i = 0; r == 0 && i < 2; i++) {
        vsock->rings[i]->external = true;
        r = io_loop_add_fd(vsock->loop, vsock->call[i].fd, EPOLLIN | EPOLLET, call_signalled,
                           vsock->rings[i]);
    }
    if (r < 0)
        vsock_stop(dev);
    return r;
}

static void
vsock_vector(VirtQueue *q)
{
    VirtioVsock *vsock = (VirtioVsock *)q->dev;

    if (vsock->open && q->index < EVENT_QUEUE)
        vhost_net_set_call(vsock->fd, q->index, call_fd(vsock, q->index));
}

/* ---- events; the loop's thread ---- */

static void
vsock_handle(VirtQueue *q)
{
    VirtioVsock *vsock = (VirtioVsock *)q->dev;
    uint8_t event[EVENT_SIZE];

    if (q->index != EVENT_QUEUE || !g_atomic_int_get(&vsock->lost))
        return;
    for (;;) {
        int r = virt_queue_pop(q, &vsock->chain);

        if (r > 0)
            break;
        if (r < 0 || !virt_queue_enable_notify(q))
            return;
    }
    if (vsock->chain.in_len < sizeof(event)) {
        virtio_device_break(q->dev);
        return;
    }
    g_atomic_int_set(&vsock->lost, 0);
    bytes_store(event, EVENT_TRANSPORT_RESET, sizeof(event));
    iov_write(virt_chain_in(&vsock->chain), vsock->chain.n_in, 0, event, sizeof(event));
    virt_queue_push(q, vsock->chain.head, sizeof(event));
}

/* ---- the device ---- */

static void
vsock_config_read(VirtioDevice *dev, uint8_t *config)
{
    bytes_store(config, ((VirtioVsock *)dev)->guest_cid, 8);
}

/* An inherited descriptor by its number, or a file. */
static int
vsock_open(VirtioVsock *vsock, GError **err)
{
    Device *device = virtio_base(&vsock->virtio);
    guint64 fd;

    if (!vsock->vhostfd || !g_ascii_isdigit(*vsock->vhostfd))
        return machine_open_file(device->machine, vsock->vhostfd ? vsock->vhostfd : VSOCK_DEVICE,
                                 O_RDWR, 0, err);
    if (!g_ascii_string_to_unsigned(vsock->vhostfd, 10, 3, INT_MAX, &fd, NULL) ||
        fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0) {
        device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                     "vhostfd=%s is not an open descriptor", vsock->vhostfd);
        return -1;
    }
    return (int)fd;
}

static bool
vsock_connect(VirtioVsock *vsock, GError **err)
{
    Device *device = virtio_base(&vsock->virtio);
    uint64_t features = 0;
    int r;

    vsock->fd = vsock_open(vsock, err);
    if (vsock->fd < 0)
        return false;
    r = vhost_net_own(vsock->fd);
    if (r == 0)
        r = vhost_net_features(vsock->fd, &features);
    if (r == 0)
        r = vhost_vsock_set_cid(vsock->fd, vsock->guest_cid);
    if (r == -EADDRINUSE)
        return device_error(device, err, VIR_ERR_OPERATION_FAILED,
                            "guest-cid=%" G_GUINT64_FORMAT " is used by another guest",
                            vsock->guest_cid);
    if (r == 0 && !(features & VIRTIO_F(VIRTIO_F_VERSION_1_BIT)))
        r = -EOPNOTSUPP;
    for (unsigned i = 0; r == 0 && i < 2; i++)
        r = io_notifier_init(&vsock->call[i]);
    if (r < 0)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "the kernel's socket device cannot be used: %s", g_strerror(-r));
    vsock->virtio.host_features &= ~RING_FEATURES | features;
    return true;
}

static bool
vsock_realize(VirtioDevice *dev, GError **err)
{
    VirtioVsock *vsock = (VirtioVsock *)dev;

    vsock->fd = vsock->call[0].fd = vsock->call[1].fd = -1;
    if (!vsock_connect(vsock, err))
        return false;
    vsock->loop = machine_io_loop(virtio_base(dev)->machine, err);
    if (!vsock->loop)
        return false;
    virtio_queues_reserve(dev, EVENT_QUEUE + 1);
    for (unsigned i = 0; i < 2; i++)
        vsock->rings[i] = virtio_queue_add(dev, QUEUE_SIZE, vsock->loop, vsock_handle);
    vsock->events = virtio_queue_add(dev, QUEUE_SIZE, vsock->loop, vsock_handle);
    return true;
}

static void
vsock_unrealize(VirtioDevice *dev)
{
    VirtioVsock *vsock = (VirtioVsock *)dev;

    io_notifier_fini(&vsock->call[0]);
    io_notifier_fini(&vsock->call[1]);
    virt_chain_clear(&vsock->chain);
    if (vsock->fd >= 0)
        close(vsock->fd);
    vsock->fd = -1;
}

/* The guest's connections stayed behind. */
static bool
vsock_after_load(void *state, GError **err)
{
    VirtioVsock *vsock = state;

    (void)err;
    g_atomic_int_set(&vsock->lost, 1);
    return true;
}

static const SavedTable vsock_saved = {
    .name = "vhost-vsock",
    .version = 1,
    .oldest = 1,
    .after_load = vsock_after_load,
};

static const DeviceProp vsock_props[] = {
    { "guest-cid", PROP_UINT64, offsetof(VirtioVsock, guest_cid), .required = true, .min = 3,
      .max = UINT32_MAX - 1, .help = "the guest's address" },
    { "vhostfd", PROP_STRING, offsetof(VirtioVsock, vhostfd),
      .help = "open descriptor of " VSOCK_DEVICE },
};

static const VirtioClass vsock_virtio_class = {
    .name = "vhost-vsock",
    .id = VIRTIO_ID_VSOCK,
    .class_code = 0x078000,
    .config_size = CONFIG_SIZE,
    .realize = vsock_realize,
    .unrealize = vsock_unrealize,
    .config_read = vsock_config_read,
    .start = vsock_start,
    .stop = vsock_stop,
    .queue_vector = vsock_vector,
};

static const char *const vsock_aliases[] = { "vhost-vsock-pci-non-transitional", NULL };

const DeviceClass vhost_vsock_pci_class = {
    .name = "vhost-vsock-pci",
    .aliases = vsock_aliases,
    .description = "virtio socket device, served by the kernel",
    .bus = BUS_PCI,
    .base = &virtio_device_class,
    .hotpluggable = true,
    .state_size = sizeof(VirtioVsock),
    .props = vsock_props,
    .n_props = G_N_ELEMENTS(vsock_props),
    .saved = &vsock_saved,
    .details = &vsock_virtio_class,
};
