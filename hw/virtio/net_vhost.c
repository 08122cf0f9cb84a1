/* net_vhost.c - a virtio network card whose rings the kernel serves (vhost-net).
 *
 * The driver's doorbells and the MSI-X eventfds go straight to the kernel. Without MSI-X it signals
 * an eventfd of ours, and the loop raises the interrupt. The control queue stays here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/core.h"
#include "hw/virtio/net_device.h"

#include <errno.h>

#include "net/vhost.h"
#include "util/error.h"

/* Features that change the rings, which the kernel must know as well. */
#define RING_FEATURES                                                                              \
    (VIRTIO_F(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_F(VIRTIO_F_INDIRECT_DESC_BIT) |                     \
     VIRTIO_F(VIRTIO_F_EVENT_IDX_BIT) | VIRTIO_F(VIRTIO_F_VERSION_1_BIT) |                         \
     VIRTIO_F(VIRTIO_F_RING_RESET_BIT) | VIRTIO_F(VIRTIO_F_NOTIFY_ON_EMPTY_BIT) |                  \
     VIRTIO_F(VIRTIO_F_ANY_LAYOUT_BIT))

bool
virtio_net_vhost_init(VirtioNet *net, GError **err)
{
    Device *device = virtio_base(&net->virtio);
    int r = 0;

    for (unsigned i = 0; r == 0 && i < net->n_pairs; i++) {
        NetPair *p = &net->pairs[i];
        int fd = net_backend_vhost_fd(net->backend, i);

        p->call[0].fd = p->call[1].fd = -1;
        r = vhost_net_own(fd);
        if (r == 0)
            r = vhost_net_features(fd, &net->vhost_features);
        for (unsigned j = 0; r == 0 && j < 2; j++)
            r = io_notifier_init(&p->call[j]);
    }
    if (r == 0 && !(net->vhost_features & VIRTIO_F(VIRTIO_F_VERSION_1_BIT)))
        r = -EOPNOTSUPP;
    if (r < 0)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "vhost=on: vhost-net cannot be used (%s); set vhost=off",
                            g_strerror(-r));
    net->virtio.host_features &= ~RING_FEATURES | net->vhost_features;
    return true;
}

void
virtio_net_vhost_fini(VirtioNet *net)
{
    for (unsigned i = 0; i < net->n_pairs; i++) {
        io_notifier_fini(&net->pairs[i].call[0]);
        io_notifier_fini(&net->pairs[i].call[1]);
    }
}

static VirtQueue *
pair_queue(const NetPair *p, unsigned ring)
{
    return ring == VHOST_NET_RX ? p->rx : p->tx;
}

static void
call_signalled(void *opaque, uint32_t events)
{
    (void)events;
    virtio_queue_interrupt(opaque);
}

/* The eventfd that the kernel shall signal. */
static int
call_fd(const NetPair *p, unsigned ring)
{
    const VirtQueue *q = pair_queue(p, ring);
    int fd = -1;

    if (pci_msix_enabled(&q->dev->pci) && q->vector != VIRTIO_NO_VECTOR)
        fd = pci_msix_fd(&q->dev->pci, q->vector);
    return fd >= 0 ? fd : p->call[ring].fd;
}

static int
ring_fill(const NetPair *p, unsigned ring, VhostRing *ret)
{
    const VirtQueue *q = pair_queue(p, ring);
    const GuestMemory *memory = virtio_base(q->dev)->machine->memory;

    *ret = (VhostRing){
        .size = q->size,
        .last_avail = q->last_avail,
        .desc = guest_memory_pointer(memory, q->desc, vring_desc_bytes(q->size)),
        .avail = guest_memory_pointer(memory, q->avail, vring_avail_bytes(q->size)),
        .used = guest_memory_pointer(memory, q->used, vring_used_bytes(q->size)),
        .kick_fd = q->kick.fd,
        .call_fd = call_fd(p, ring),
    };
    return ret->desc && ret->avail && ret->used ? 0 : -EFAULT;
}

static void
pair_stop(NetPair *p)
{
    uint16_t last_avail[2] = { p->rx->last_avail, p->tx->last_avail };

    if (!p->vhost_open)
        return;
    vhost_net_stop(net_backend_vhost_fd(p->net->backend, p->index), last_avail);
    for (unsigned i = 0; i < 2; i++) {
        VirtQueue *q = pair_queue(p, i);

        io_loop_remove_fd(q->loop, p->call[i].fd);
        q->last_avail = last_avail[i];
        virt_queue_reload_used(q);
        q->external = false;
        /* what it signalled while interrupts were looked up is not to be lost */
        virtio_queue_interrupt(q);
    }
    p->vhost_open = false;
}

static int
pair_start(NetPair *p, const VhostRegion *regions, size_t n_regions)
{
    VirtioNet *net = p->net;
    int fd = net_backend_vhost_fd(net->backend, p->index);
    bool up = net_backend_link(net->backend) && g_atomic_int_get(&net->link_up);
    VhostRing rings[2];
    int r = ring_fill(p, VHOST_NET_RX, &rings[VHOST_NET_RX]);

    if (r == 0)
        r = ring_fill(p, VHOST_NET_TX, &rings[VHOST_NET_TX]);
    if (r == 0)
        r = vhost_net_start(fd, net->virtio.guest_features & net->vhost_features & RING_FEATURES,
                            regions, n_regions, rings,
                            up ? net_backend_packet_fd(net->backend, p->index) : -1);
    if (r < 0)
        return r;
    p->vhost_open = true;
    for (unsigned i = 0; r == 0 && i < 2; i++) {
        pair_queue(p, i)->external = true;
        r = io_loop_add_fd(net->loop, p->call[i].fd, EPOLLIN | EPOLLET, call_signalled,
                           pair_queue(p, i));
    }
    if (r < 0)
        pair_stop(p);
    return r;
}

int
virtio_net_vhost_start(VirtioNet *net)
{
    size_t n;
    const GuestRam *ram = guest_memory_list(virtio_base(&net->virtio)->machine->memory, &n);
    g_autofree VhostRegion *regions = g_new0(VhostRegion, n);
    int r = 0;

    for (size_t i = 0; i < n; i++)
        regions[i] = (VhostRegion){ ram[i].gpa, ram[i].size, ram[i].host };
    for (unsigned i = 0; r == 0 && i < net->n_pairs; i++) {
        if (net->pairs[i].rx->enabled && net->pairs[i].tx->enabled)
            r = pair_start(&net->pairs[i], regions, n);
    }
    net->vhost_running = true;
    if (r < 0)
        virtio_net_vhost_stop(net);
    return r;
}

void
virtio_net_vhost_stop(VirtioNet *net)
{
    for (unsigned i = 0; i < net->n_pairs; i++)
        pair_stop(&net->pairs[i]);
    net->vhost_running = false;
}

void
virtio_net_vhost_vector(VirtQueue *q)
{
    const VirtioNet *net = (const VirtioNet *)q->dev;
    const NetPair *p = &net->pairs[q->index / 2];
    unsigned ring = q->index & 1 ? VHOST_NET_TX : VHOST_NET_RX;

    if (p->vhost_open)
        vhost_net_set_call(net_backend_vhost_fd(net->backend, p->index), ring, call_fd(p, ring));
}

void
virtio_net_vhost_link(VirtioNet *net, bool up)
{
    for (unsigned i = 0; i < net->n_pairs; i++) {
        if (net->pairs[i].vhost_open)
            vhost_net_connect(net_backend_vhost_fd(net->backend, i),
                              up ? net_backend_packet_fd(net->backend, i) : -1);
    }
}
