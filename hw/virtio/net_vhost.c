/* net_vhost.c - a virtio network card whose rings the kernel serves (vhost-net). The
 * control queue stays here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/core.h"
#include "hw/virtio/net_device.h"

#include <errno.h>

#include "util/error.h"

/* Features that change the rings, which the kernel must know as well. */
#define RING_FEATURES                                                                              \
    (VHOST_PAIR_FEATURES | VIRTIO_F(VIRTIO_NET_F_MRG_RXBUF) |                                      \
     VIRTIO_F(VIRTIO_F_NOTIFY_ON_EMPTY_BIT) | VIRTIO_F(VIRTIO_F_ANY_LAYOUT_BIT))

bool
virtio_net_vhost_init(VirtioNet *net, GError **err)
{
    Device *device = virtio_base(&net->virtio);
    int r = 0;

    for (unsigned i = 0; r == 0 && i < net->n_pairs; i++)
        r = vhost_pair_init(&net->pairs[i].vhost, net_backend_vhost_fd(net->backend, i),
                            &net->vhost_features);
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
    for (unsigned i = 0; i < net->n_pairs; i++)
        vhost_pair_fini(&net->pairs[i].vhost);
}

static void
pair_stop(NetPair *p)
{
    uint16_t last_avail[2] = { p->rx->last_avail, p->tx->last_avail };

    if (!p->vhost.open)
        return;
    vhost_net_stop(net_backend_vhost_fd(p->net->backend, p->index), last_avail);
    vhost_pair_given_back(&p->vhost, last_avail);
}

static int
pair_start(NetPair *p, const VhostRegion *regions, size_t n_regions)
{
    VirtioNet *net = p->net;
    int fd = net_backend_vhost_fd(net->backend, p->index);
    bool up = net_backend_link(net->backend) && g_atomic_int_get(&net->link_up);
    VhostRing rings[2];
    int r = vhost_pair_fill(&p->vhost, rings);

    if (r == 0)
        r = vhost_net_start(fd, net->virtio.guest_features & net->vhost_features & RING_FEATURES,
                            regions, n_regions, rings,
                            up ? net_backend_packet_fd(net->backend, p->index) : -1);
    if (r < 0)
        return r;
    r = vhost_pair_taken(&p->vhost, net->loop);
    if (r < 0)
        pair_stop(p);
    return r;
}

int
virtio_net_vhost_start(VirtioNet *net)
{
    size_t n;
    g_autofree VhostRegion *regions = vhost_pair_regions(&net->pairs[0].vhost, &n);
    int r = 0;

    for (unsigned i = 0; r == 0 && i < net->n_pairs; i++) {
        if (vhost_pair_enabled(&net->pairs[i].vhost))
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

    if (p->vhost.open)
        vhost_net_set_call(net_backend_vhost_fd(net->backend, p->index), ring,
                           vhost_pair_call_fd(&p->vhost, ring));
}

void
virtio_net_vhost_link(VirtioNet *net, bool up)
{
    for (unsigned i = 0; i < net->n_pairs; i++) {
        if (net->pairs[i].vhost.open)
            vhost_net_connect(net_backend_vhost_fd(net->backend, i),
                              up ? net_backend_packet_fd(net->backend, i) : -1);
    }
}
