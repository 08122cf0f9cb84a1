/* vsock.c - virtio socket device (virtio 1.2, section 5.10), whose two data rings the kernel serves
 * (vhost-vsock, linux/vhost.h).
 *
 * The event queue stays here: it tells the driver of a guest that was loaded that its connections
 * are gone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/core.h"
#include "hw/virtio/vhost_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "hw/core/bytes.h"
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

typedef struct {
    VirtioDevice virtio; /* first */
    /* properties */
    uint64_t guest_cid;
    char *vhostfd;

    int fd; /* of the kernel's device; -1: none */
    IoLoop *loop;
    VhostPair data;
    int lost; /* atomic: the driver is to hear that connections are gone */
    VirtChain chain;
} VirtioVsock;

/* ---- the kernel's rings; the device's lock ---- */

static void
vsock_stop(VirtioDevice *dev)
{
    VirtioVsock *vsock = (VirtioVsock *)dev;
    uint16_t last_avail[2] = { vsock->data.rings[RING_RX]->last_avail,
                               vsock->data.rings[RING_TX]->last_avail };

    if (!vsock->data.open)
        return;
    vhost_vsock_stop(vsock->fd, last_avail);
    vhost_pair_given_back(&vsock->data, last_avail);
}

static int
vsock_start(VirtioDevice *dev)
{
    VirtioVsock *vsock = (VirtioVsock *)dev;
    g_autofree VhostRegion *regions = NULL;
    VhostRing rings[2];
    size_t n;
    int r;

    if (!vhost_pair_enabled(&vsock->data))
        return 0;
    regions = vhost_pair_regions(&vsock->data, &n);
    r = vhost_pair_fill(&vsock->data, rings);
    if (r == 0)
        r = vhost_vsock_start(vsock->fd, dev->guest_features & VHOST_PAIR_FEATURES, regions, n,
                              rings);
    if (r < 0)
        return r;
    r = vhost_pair_taken(&vsock->data, vsock->loop);
    if (r < 0)
        vsock_stop(dev);
    return r;
}

static void
vsock_vector(VirtQueue *q)
{
    VirtioVsock *vsock = (VirtioVsock *)q->dev;

    if (vsock->data.open && q->index < EVENT_QUEUE)
        vhost_net_set_call(vsock->fd, q->index, vhost_pair_call_fd(&vsock->data, q->index));
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
    r = vhost_pair_init(&vsock->data, vsock->fd, &features);
    if (r == 0)
        r = vhost_vsock_set_cid(vsock->fd, vsock->guest_cid);
    if (r == -EADDRINUSE)
        return device_error(device, err, VIR_ERR_OPERATION_FAILED,
                            "guest-cid=%" G_GUINT64_FORMAT " is used by another guest",
                            vsock->guest_cid);
    if (r < 0)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "the kernel's socket device cannot be used: %s", g_strerror(-r));
    vsock->virtio.host_features &= ~VHOST_PAIR_FEATURES | features;
    return true;
}

static bool
vsock_realize(VirtioDevice *dev, GError **err)
{
    VirtioVsock *vsock = (VirtioVsock *)dev;

    vsock->fd = -1;
    vsock->data = VHOST_PAIR_NONE;
    if (!vsock_connect(vsock, err))
        return false;
    vsock->loop = machine_io_loop(virtio_base(dev)->machine, err);
    if (!vsock->loop)
        return false;
    virtio_queues_reserve(dev, EVENT_QUEUE + 1);
    for (unsigned i = 0; i < 2; i++)
        vsock->data.rings[i] = virtio_queue_add(dev, QUEUE_SIZE, vsock->loop, vsock_handle);
    virtio_queue_add(dev, QUEUE_SIZE, vsock->loop, vsock_handle);
    return true;
}

static void
vsock_unrealize(VirtioDevice *dev)
{
    VirtioVsock *vsock = (VirtioVsock *)dev;

    vhost_pair_fini(&vsock->data);
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
