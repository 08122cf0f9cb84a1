/* net.c - virtio network card (virtio 1.2, section 5.1): queues, packets, configuration.
 *
 * Packets are pulled: a pair asks its back end for packets only while the driver has given it
 * buffers, so an idle or a stuck guest costs nothing. A packet is read straight into the guest's
 * buffers; only what does not fit the first chain is copied. All pairs share one I/O loop; for
 * more than that there is vhost, where the kernel moves the packets.
 *
 * Leaves out: RSS, hash reports, UDP segmentation, standby.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/net_device.h"

#include <errno.h>
#include <string.h>

#include "hw/core/bytes.h"
#include "util/error.h"

enum {
    CONFIG_SIZE = 12,
    RX_TURN = 256,      /* packets before others have their turn */
    ETHERNET_HEAD = 18, /* bytes that the filter looks at */
    CTRL_QUEUE_SIZE = 64,
};

#define GUEST_OFFLOAD_BITS                                                                         \
    (VIRTIO_F(VIRTIO_NET_F_GUEST_CSUM) | VIRTIO_F(VIRTIO_NET_F_GUEST_TSO4) |                       \
     VIRTIO_F(VIRTIO_NET_F_GUEST_TSO6) | VIRTIO_F(VIRTIO_NET_F_GUEST_ECN) |                        \
     VIRTIO_F(VIRTIO_NET_F_GUEST_UFO))

static NetPair *
pair_of(VirtQueue *q)
{
    return &((VirtioNet *)q->dev)->pairs[q->index / 2];
}

static bool
link_is_up(VirtioNet *net)
{
    return g_atomic_int_get(&net->link_up) && net_backend_link(net->backend);
}

/* ---- towards the guest ---- */

/* Receives one packet behind the first chain's header; what does not fit goes to the bounce buffer.
 * Returns its length with the header. */
static ssize_t
rx_read(NetPair *p)
{
    const VirtioNet *net = p->net;
    const struct iovec *in = virt_chain_in(&p->rx_chain);
    struct iovec iov[VIRTIO_NET_PIECES + 1];
    unsigned n = MIN(p->rx_chain.n_in, (unsigned)VIRTIO_NET_PIECES);
    uint8_t header[VIRTIO_NET_HEADER_MAX] = { 0 };
    ssize_t len;

    if (net->header) {
        memcpy(iov, in, n * sizeof(*iov));
    } else {
        iov_write(in, n, 0, header, net->header_len);
        n = iov_slice(in, n, net->header_len, SIZE_MAX, iov);
    }
    iov[n++] = (struct iovec){ p->bounce, VIRTIO_NET_BOUNCE };
    len = net_queue_receive(net->backend, p->index, iov, (int)n);
    return len >= 0 && !net->header ? len + net->header_len : len;
}

static size_t
rx_first_room(const NetPair *p)
{
    size_t room = 0;

    if (p->rx_chain.n_in <= VIRTIO_NET_PIECES)
        return p->rx_chain.in_len;
    for (unsigned i = 0; i < VIRTIO_NET_PIECES; i++)
        room += virt_chain_in(&p->rx_chain)[i].iov_len;
    return room;
}

/* Gives the packet of @len bytes to the driver. False: it needs more buffers than there are. */
static bool
rx_deliver(NetPair *p, size_t len)
{
    VirtQueue *q = p->rx;
    size_t first = MIN(len, rx_first_room(p)), left = len - first;
    uint8_t num_buffers[2];
    unsigned n = 1;

    virt_queue_fill(q, p->rx_chain.head, first, 0);
    while (left > 0) {
        size_t piece;

        if (virt_queue_pop(q, &p->rx_more) <= 0) {
            for (; n > 1; n--)
                virt_queue_unpop(q);
            return false;
        }
        piece = iov_write(virt_chain_in(&p->rx_more), p->rx_more.n_in, 0,
                          p->bounce + (len - first - left), left);
        virt_queue_fill(q, p->rx_more.head, piece, n++);
        left -= piece;
    }
    if (p->net->header_len > VIRTIO_NET_NUM_BUFFERS) {
        bytes_store(num_buffers, n, 2);
        iov_write(virt_chain_in(&p->rx_chain), p->rx_chain.n_in, VIRTIO_NET_NUM_BUFFERS,
                  num_buffers, 2);
    }
    virt_queue_publish(q, n);
    p->rx_have = false;
    p->net->stats.rx_packets++;
    p->net->stats.rx_bytes += len - p->net->header_len;
    return true;
}

/* Makes sure a chain is at hand. When there is none, packets stop until the driver adds one. */
static bool
rx_chain(NetPair *p)
{
    VirtQueue *q = p->rx;

    while (!p->rx_have) {
        int r = virt_queue_pop(q, &p->rx_chain);

        if (r < 0)
            return false;
        if (r > 0) {
            if (p->rx_chain.in_len < p->net->header_len) {
                virtio_device_break(q->dev);
                return false;
            }
            p->rx_have = true;
        } else if (!virt_queue_enable_notify(q)) {
            return false;
        }
    }
    virt_queue_disable_notify(q);
    return true;
}

/* A packet has waited for buffers; true when it could go. */
static bool
rx_retry(NetPair *p)
{
    while (p->rx_pending > 0) {
        if (rx_deliver(p, p->rx_pending))
            p->rx_pending = 0;
        else if (virtio_device_broken(p->rx->dev) || !virt_queue_await_more(p->rx))
            return false;
    }
    return true;
}

static bool
rx_wanted(const NetPair *p, size_t len)
{
    uint8_t frame[ETHERNET_HEAD];
    size_t n;

    if (p->net->filter.promisc)
        return true;
    n = iov_read(virt_chain_in(&p->rx_chain), p->rx_chain.n_in, p->net->header_len, frame,
                 MIN(len - p->net->header_len, sizeof(frame)));
    return virtio_net_filter_pass(p->net, frame, n);
}

static void
rx_run(NetPair *p)
{
    VirtioNet *net = p->net;

    for (unsigned turn = 0; turn < RX_TURN; turn++) {
        ssize_t len;

        if (!link_is_up(net) || !rx_retry(p) || !rx_chain(p)) {
            net_queue_want_packets(net->backend, p->index, false);
            return;
        }
        len = rx_read(p);
        if (len == -EAGAIN) {
            net_queue_want_packets(net->backend, p->index, true);
            return;
        }
        if (len < 0 && len != -EINVAL) {
            /* the back end is gone; only the driver's next doorbell tries again */
            net_queue_want_packets(net->backend, p->index, false);
            return;
        }
        if (len < net->header_len || !rx_wanted(p, (size_t)len) ||
            ((size_t)len > rx_first_room(p) &&
             !virtio_has_feature(&net->virtio, VIRTIO_NET_F_MRG_RXBUF))) {
            net->stats.rx_dropped++;
        } else if (!rx_deliver(p, (size_t)len)) {
            p->rx_pending = (size_t)len;
        }
    }
    virt_queue_schedule(p->rx);
}

static void
rx_handle(VirtQueue *q)
{
    NetPair *p = pair_of(q);

    if (p->open)
        rx_run(p);
}

static void
net_readable(void *opaque, unsigned queue)
{
    NetPair *p = &((VirtioNet *)opaque)->pairs[queue];

    if (p->open && p->rx->running && !virtio_device_broken(&p->net->virtio))
        rx_run(p);
    else
        net_queue_want_packets(p->net->backend, queue, false);
}

/* ---- from the guest ---- */

/* Sends the chain at hand; false when the back end has no room. */
static bool
tx_send(NetPair *p)
{
    VirtioNet *net = p->net;
    VirtChain *chain = &p->tx_chain;
    const struct iovec *iov = virt_chain_out(chain);
    struct iovec bare[VIRTIO_NET_PIECES];
    unsigned n = chain->n_out;
    ssize_t len = -EMSGSIZE;

    if (!net->header) {
        n = n <= VIRTIO_NET_PIECES ? iov_slice(iov, n, net->header_len, SIZE_MAX, bare) : 0;
        iov = bare;
    }
    if (!link_is_up(net))
        len = -ENETDOWN;
    else if (n > 0)
        len = net_queue_send(net->backend, p->index, iov, (int)n);
    if (len == -EAGAIN)
        return false;
    if (len < 0) {
        net->stats.tx_dropped++;
    } else {
        net->stats.tx_packets++;
        net->stats.tx_bytes += chain->out_len - net->header_len;
    }
    p->tx_have = false;
    virt_queue_push(p->tx, chain->head, 0);
    return true;
}

static void
tx_handle(VirtQueue *q)
{
    NetPair *p = pair_of(q);
    unsigned turn = 0;

    if (!p->open || (p->tx_have && !tx_send(p)))
        return;
    while (virt_queue_next(q, &p->tx_chain, &turn)) {
        if (p->tx_chain.out_len < p->net->header_len) {
            virtio_device_break(q->dev);
            return;
        }
        p->tx_have = true;
        if (!tx_send(p))
            return; /* notifications stay off: net_writable() goes on */
    }
}

static void
net_writable(void *opaque, unsigned queue)
{
    NetPair *p = &((VirtioNet *)opaque)->pairs[queue];

    if (p->open && p->tx->running)
        virt_queue_schedule(p->tx);
}

/* ---- pairs; the loop's thread ---- */

static void
pair_close(NetPair *p)
{
    if (!p->open)
        return;
    net_queue_stop(p->net->backend, p->index);
    p->open = false;
    if (p->rx_have)
        virt_queue_unpop(p->rx);
    if (p->tx_have)
        virt_queue_unpop(p->tx);
    p->rx_have = p->tx_have = false;
    p->rx_pending = 0;
}

static void
pair_open(NetPair *p)
{
    if (p->open || !p->rx->running || !p->tx->running)
        return;
    if (!p->bounce)
        p->bounce = g_malloc(VIRTIO_NET_BOUNCE);
    if (net_queue_start(p->net->backend, p->index, p->net->loop) < 0) {
        virtio_device_break(&p->net->virtio);
        return;
    }
    p->open = true;
    if (!link_is_up(p->net))
        net_queue_want_packets(p->net->backend, p->index, false);
    else
        virt_queue_schedule(p->rx);
    virt_queue_schedule(p->tx);
}

void
virtio_net_open_pairs(VirtioNet *net)
{
    for (unsigned i = net->current_pairs; i < net->n_pairs && !net->vhost_running; i++)
        pair_close(&net->pairs[i]);
    if (net_backend_use_queues(net->backend, net->current_pairs) < 0)
        virtio_device_break(&net->virtio);
    for (unsigned i = 0; i < net->current_pairs && !net->vhost_running; i++)
        pair_open(&net->pairs[i]);
}

bool
virtio_net_apply_offloads(VirtioNet *net, uint64_t bits)
{
    static const struct {
        unsigned feature, offload;
    } map[] = {
        { VIRTIO_NET_F_GUEST_CSUM, NET_OFFLOAD_CSUM },
        { VIRTIO_NET_F_GUEST_TSO4, NET_OFFLOAD_TSO4 },
        { VIRTIO_NET_F_GUEST_TSO6, NET_OFFLOAD_TSO6 },
        { VIRTIO_NET_F_GUEST_ECN, NET_OFFLOAD_ECN },
        { VIRTIO_NET_F_GUEST_UFO, NET_OFFLOAD_UFO },
    };
    unsigned offload = 0;

    if (bits & ~(net->virtio.guest_features & GUEST_OFFLOAD_BITS))
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(map); i++) {
        if (bits >> map[i].feature & 1)
            offload |= map[i].offload;
    }
    if (net->header && net_backend_set_offload(net->backend, offload) < 0)
        return false;
    net->guest_offloads = bits;
    return true;
}

/* Without multiqueue the control queue is the third, whatever there could be (5.1.2). */
static bool
is_ctrl(const VirtQueue *q)
{
    const VirtioNet *net = (const VirtioNet *)q->dev;

    return q->index == 2 * net->n_pairs ||
           (q->index == 2 && !virtio_has_feature(q->dev, VIRTIO_NET_F_MQ));
}

static void
net_handle(VirtQueue *q)
{
    if (is_ctrl(q))
        virtio_net_ctrl(q);
    else if (q->index & 1)
        tx_handle(q);
    else
        rx_handle(q);
}

static void
net_queue_started(VirtQueue *q)
{
    if (!is_ctrl(q) && q->index / 2 < ((VirtioNet *)q->dev)->current_pairs)
        pair_open(pair_of(q));
}

static void
net_queue_stopped(VirtQueue *q)
{
    if (!is_ctrl(q))
        pair_close(pair_of(q));
}

/* ---- the device; its lock ---- */

static int
net_start(VirtioDevice *dev)
{
    VirtioNet *net = (VirtioNet *)dev;
    int r = 0;

    /* 5.1.6.1: without the feature the legacy interface has a header without num_buffers */
    net->header_len = virtio_modern(dev) || virtio_has_feature(dev, VIRTIO_NET_F_MRG_RXBUF)
                          ? VIRTIO_NET_HEADER_MAX
                          : VIRTIO_NET_NUM_BUFFERS;
    if (net->header)
        r = net_backend_set_header_len(net->backend, net->header_len);
    if (r == 0 && !virtio_net_apply_offloads(net, net->guest_offloads))
        r = -EINVAL;
    if (r == 0)
        r = net_backend_use_queues(net->backend, net->current_pairs);
    /* the kernel would write into memory without a trace */
    if (r == 0 && net->vhost && !guest_memory_logs(virtio_base(dev)->machine->memory))
        r = virtio_net_vhost_start(net);
    return r;
}

static void
net_stop(VirtioDevice *dev)
{
    VirtioNet *net = (VirtioNet *)dev;

    if (net->vhost_running)
        virtio_net_vhost_stop(net);
}

static bool
needs(uint64_t features, unsigned feature, uint64_t any_of)
{
    return !(features & VIRTIO_F(feature)) || (features & any_of);
}

/* 5.1.3.1; what the driver may choose only together. Its choice of offloads is in force at once. */
static bool
net_features_ok(VirtioDevice *dev, uint64_t features)
{
    VirtioNet *net = (VirtioNet *)dev;
    uint64_t tso = VIRTIO_F(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_F(VIRTIO_NET_F_GUEST_TSO6);
    uint64_t host_tso = VIRTIO_F(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_F(VIRTIO_NET_F_HOST_TSO6);
    static const struct {
        unsigned feature, need;
    } pairs[] = {
        { VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_CSUM },
        { VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_CSUM },
        { VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_GUEST_CSUM },
        { VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_CSUM },
        { VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_CSUM },
        { VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_CSUM },
        { VIRTIO_NET_F_CTRL_RX, VIRTIO_NET_F_CTRL_VQ },
        { VIRTIO_NET_F_CTRL_VLAN, VIRTIO_NET_F_CTRL_VQ },
        { VIRTIO_NET_F_CTRL_RX_EXTRA, VIRTIO_NET_F_CTRL_VQ },
        { VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_CTRL_VQ },
        { VIRTIO_NET_F_MQ, VIRTIO_NET_F_CTRL_VQ },
        { VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_VQ },
        { VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, VIRTIO_NET_F_CTRL_VQ },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        if (!needs(features, pairs[i].feature, VIRTIO_F(pairs[i].need)))
            return false;
    }
    if (!needs(features, VIRTIO_NET_F_GUEST_ECN, tso) ||
        !needs(features, VIRTIO_NET_F_HOST_ECN, host_tso))
        return false;
    net->guest_offloads = features & GUEST_OFFLOAD_BITS;
    return true;
}

static void
net_config_read(VirtioDevice *dev, uint8_t *config)
{
    VirtioNet *net = (VirtioNet *)dev;
    uint64_t mac = __atomic_load_n(&net->current_mac, __ATOMIC_RELAXED);

    memcpy(config, &mac, 6);
    bytes_store(config + 6,
                (link_is_up(net) ? VIRTIO_NET_S_LINK_UP : 0) |
                    (g_atomic_int_get(&net->announce) ? VIRTIO_NET_S_ANNOUNCE : 0),
                2);
    bytes_store(config + 8, net->n_pairs, 2);
    bytes_store(config + 10, net->host_mtu, 2);
}

/* A legacy driver without the command for it writes its address here. */
static void
net_config_write(VirtioDevice *dev, const uint8_t *config, unsigned offset, unsigned size)
{
    VirtioNet *net = (VirtioNet *)dev;
    uint64_t mac = 0;

    (void)size;
    if (offset >= 6 || virtio_modern(dev) || virtio_has_feature(dev, VIRTIO_NET_F_CTRL_MAC_ADDR))
        return;
    memcpy(&mac, config, 6);
    __atomic_store_n(&net->current_mac, mac, __ATOMIC_RELAXED);
}

static void
mac_reset(VirtioNet *net)
{
    uint64_t mac = 0;

    memcpy(&mac, net->mac, 6);
    __atomic_store_n(&net->current_mac, mac, __ATOMIC_RELAXED);
}

static void
net_reset(VirtioDevice *dev)
{
    VirtioNet *net = (VirtioNet *)dev;

    mac_reset(net);
    virtio_net_filter_reset(&net->filter);
    net->current_pairs = 1;
    net->guest_offloads = 0;
    g_atomic_int_set(&net->announce, 0);
}

/* ---- link ---- */

static void
link_apply(void *opaque)
{
    VirtioNet *net = opaque;

    for (unsigned i = 0; i < net->n_pairs; i++) {
        NetPair *p = &net->pairs[i];

        if (!p->open)
            continue;
        if (link_is_up(net))
            virt_queue_schedule(p->rx);
        else
            net_queue_want_packets(net->backend, i, false);
    }
}

static void
link_changed(VirtioNet *net)
{
    io_loop_run_sync(net->loop, link_apply, net);
    virtio_device_lock(&net->virtio);
    if (net->vhost_running)
        virtio_net_vhost_link(net, link_is_up(net));
    virtio_config_changed(&net->virtio);
    virtio_device_unlock(&net->virtio);
}

static void
net_backend_link_changed(void *opaque, bool up)
{
    (void)up;
    link_changed(opaque);
}

static VirtioNet *
net_of(Device *dev)
{
    return device_class_is(dev->class, &virtio_net_pci_class) ? (VirtioNet *)dev : NULL;
}

bool
virtio_net_set_link(Device *dev, bool up)
{
    VirtioNet *net = net_of(dev);

    if (!net)
        return false;
    if (g_atomic_int_get(&net->link_up) != up) {
        g_atomic_int_set(&net->link_up, up);
        link_changed(net);
    }
    return true;
}

bool
virtio_net_announce(Device *dev)
{
    VirtioNet *net = net_of(dev);

    if (!net)
        return false;
    virtio_device_lock(&net->virtio);
    if (virtio_has_feature(&net->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE)) {
        g_atomic_int_set(&net->announce, 1);
        virtio_config_changed(&net->virtio);
    }
    virtio_device_unlock(&net->virtio);
    return true;
}

bool
virtio_net_stats(Device *dev, VirtioNetStats *ret)
{
    VirtioNet *net = net_of(dev);

    if (net)
        *ret = net->stats;
    return net != NULL;
}

bool
virtio_net_mac(Device *dev, uint8_t ret_mac[6])
{
    VirtioNet *net = net_of(dev);
    uint64_t mac = net ? __atomic_load_n(&net->current_mac, __ATOMIC_RELAXED) : 0;

    if (net)
        memcpy(ret_mac, &mac, 6);
    return net != NULL;
}

/* ---- making ---- */

static uint64_t
net_offer(const VirtioNet *net)
{
    bool header = net->header, ufo = net_backend_caps(net->backend) & NET_CAP_UFO;
    const struct {
        bool offer;
        unsigned feature;
    } rows[] = {
        { header && net->csum, VIRTIO_NET_F_CSUM },
        { header && net->guest_csum, VIRTIO_NET_F_GUEST_CSUM },
        { header && net->guest_csum && net->guest_tso4, VIRTIO_NET_F_GUEST_TSO4 },
        { header && net->guest_csum && net->guest_tso6, VIRTIO_NET_F_GUEST_TSO6 },
        { header && net->guest_csum && net->guest_ecn, VIRTIO_NET_F_GUEST_ECN },
        { header && ufo && net->guest_csum && net->guest_ufo, VIRTIO_NET_F_GUEST_UFO },
        { header && net->csum && net->gso && net->host_tso4, VIRTIO_NET_F_HOST_TSO4 },
        { header && net->csum && net->gso && net->host_tso6, VIRTIO_NET_F_HOST_TSO6 },
        { header && net->csum && net->gso && net->host_ecn, VIRTIO_NET_F_HOST_ECN },
        { header && ufo && net->csum && net->gso && net->host_ufo, VIRTIO_NET_F_HOST_UFO },
        { header && net->ctrl_vq && net->guest_csum && net->ctrl_guest_offloads,
          VIRTIO_NET_F_CTRL_GUEST_OFFLOADS },
        { true, VIRTIO_NET_F_MAC },
        { net->host_mtu > 0, VIRTIO_NET_F_MTU },
        { net->mrg_rxbuf, VIRTIO_NET_F_MRG_RXBUF },
        { net->status, VIRTIO_NET_F_STATUS },
        { net->ctrl_vq, VIRTIO_NET_F_CTRL_VQ },
        { net->ctrl_vq && net->ctrl_rx, VIRTIO_NET_F_CTRL_RX },
        { net->ctrl_vq && net->ctrl_vlan, VIRTIO_NET_F_CTRL_VLAN },
        { net->ctrl_vq && net->ctrl_rx_extra, VIRTIO_NET_F_CTRL_RX_EXTRA },
        { net->ctrl_vq && net->ctrl_mac_addr, VIRTIO_NET_F_CTRL_MAC_ADDR },
        { net->ctrl_vq && net->status && net->guest_announce, VIRTIO_NET_F_GUEST_ANNOUNCE },
        { net->ctrl_vq && net->n_pairs > 1, VIRTIO_NET_F_MQ },
    };
    uint64_t features = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].offer)
            features |= VIRTIO_F(rows[i].feature);
    }
    return features;
}

static bool
net_check(VirtioNet *net, GError **err)
{
    Device *device = virtio_base(&net->virtio);

    if ((net->rx_queue_size & (net->rx_queue_size - 1)) ||
        (net->tx_queue_size & (net->tx_queue_size - 1)))
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "rx_queue_size=%u and tx_queue_size=%u are not both powers of two",
                            net->rx_queue_size, net->tx_queue_size);
    if (net->host_mtu != 0 && net->host_mtu < 68)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED, "host_mtu=%u is less than 68",
                            net->host_mtu);
    if (net->mac_given && (net->mac[0] & 1))
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "mac=%02x:%02x:%02x:%02x:%02x:%02x is a multicast address", net->mac[0],
                            net->mac[1], net->mac[2], net->mac[3], net->mac[4], net->mac[5]);
    return true;
}

static const NetFrontend net_frontend = {
    .readable = net_readable,
    .writable = net_writable,
    .link = net_backend_link_changed,
};

static bool
net_realize(VirtioDevice *dev, GError **err)
{
    VirtioNet *net = (VirtioNet *)dev;

    net->backend = net->netdev.object;
    net->link_up = true;
    if (!net_check(net, err) || !net_backend_attach(net->backend, &net_frontend, net, err))
        return false;
    net->attached = true;
    net->loop = machine_io_loop(virtio_base(dev)->machine, err);
    if (!net->loop)
        return false;
    if (!net->mac_given)
        machine_default_mac(virtio_base(dev)->machine, net->mac);
    net->n_pairs = net->mq ? net_backend_queues(net->backend) : 1;
    net->header = net_backend_caps(net->backend) & NET_CAP_HEADER;
    net->vhost = net_backend_vhost_fd(net->backend, 0) >= 0;
    dev->host_features |= net_offer(net);
    net_reset(dev);
    net->pairs = g_new0(NetPair, net->n_pairs);
    virtio_queues_reserve(dev, 2 * net->n_pairs + 1);
    for (unsigned i = 0; i < net->n_pairs; i++) {
        NetPair *p = &net->pairs[i];

        *p = (NetPair){ .net = net, .index = i, .vhost = VHOST_PAIR_NONE };
        p->rx = virtio_queue_add(dev, net->rx_queue_size, net->loop, net_handle);
        p->tx = virtio_queue_add(dev, net->tx_queue_size, net->loop, net_handle);
        p->vhost.rings[VHOST_NET_RX] = p->rx;
        p->vhost.rings[VHOST_NET_TX] = p->tx;
    }
    if (net->ctrl_vq)
        virtio_queue_add(dev, CTRL_QUEUE_SIZE, net->loop, net_handle);
    return !net->vhost || virtio_net_vhost_init(net, err);
}

static void
net_unrealize(VirtioDevice *dev)
{
    VirtioNet *net = (VirtioNet *)dev;

    if (net->pairs)
        virtio_net_vhost_fini(net);
    for (unsigned i = 0; net->pairs && i < net->n_pairs; i++) {
        virt_chain_clear(&net->pairs[i].rx_chain);
        virt_chain_clear(&net->pairs[i].rx_more);
        virt_chain_clear(&net->pairs[i].tx_chain);
        g_free(net->pairs[i].bounce);
    }
    g_clear_pointer(&net->pairs, g_free);
    virt_chain_clear(&net->ctrl_chain);
    if (net->attached)
        net_backend_detach(net->backend);
    net->attached = false;
}

/* Loads after the base, which has checked the features. */
static bool
net_after_load(void *state, GError **err)
{
    VirtioNet *net = state;

    if (net->current_pairs == 0 || net->current_pairs > net->n_pairs)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "%u queue pairs are in use, this card has %u", net->current_pairs,
                              net->n_pairs);
    if (net->guest_offloads & ~(net->virtio.guest_features & GUEST_OFFLOAD_BITS))
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "offloads are in use that the guest never accepted");
    if (virtio_has_feature(&net->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE))
        g_atomic_int_set(&net->announce, 1);
    return true;
}

static const SavedField net_fields[] = {
    SAVED(VirtioNet, current_mac, 1),
    SAVED(VirtioNet, current_pairs, 1),
    SAVED(VirtioNet, guest_offloads, 1),
    SAVED_STRUCT(VirtioNet, filter, virtio_net_filter_saved, 1),
};

static const SavedTable net_saved = {
    .name = "virtio-net",
    .version = 1,
    .oldest = 1,
    .fields = net_fields,
    .n_fields = G_N_ELEMENTS(net_fields),
    .after_load = net_after_load,
};

#define NET_BOOL(text, field, fallback)                                                            \
    {                                                                                              \
        text, PROP_BOOL, offsetof(VirtioNet, field), fallback                                      \
    }

static const DeviceProp net_props[] = {
    { "netdev", PROP_NETDEV, offsetof(VirtioNet, netdev), .required = true,
      .help = "id of a -netdev" },
    { "mac", PROP_MAC, offsetof(VirtioNet, mac), .set_offset = offsetof(VirtioNet, mac_given) },
    { "host_mtu", PROP_UINT16, offsetof(VirtioNet, host_mtu), "0",
      .help = "largest packet the guest may send, 0: not said" },
    { "rx_queue_size", PROP_UINT16, offsetof(VirtioNet, rx_queue_size), "256", .min = 64,
      .max = VIRTIO_QUEUE_MAX },
    { "tx_queue_size", PROP_UINT16, offsetof(VirtioNet, tx_queue_size), "256", .min = 64,
      .max = VIRTIO_QUEUE_MAX },
    { "bootindex", PROP_INT32, offsetof(VirtioNet, bootindex), "-1",
      .help = "place in boot order" },
    NET_BOOL("mq", mq, "off"),
    NET_BOOL("csum", csum, "on"),
    NET_BOOL("gso", gso, "on"),
    NET_BOOL("guest_csum", guest_csum, "on"),
    NET_BOOL("guest_tso4", guest_tso4, "on"),
    NET_BOOL("guest_tso6", guest_tso6, "on"),
    NET_BOOL("guest_ecn", guest_ecn, "on"),
    NET_BOOL("guest_ufo", guest_ufo, "on"),
    NET_BOOL("host_tso4", host_tso4, "on"),
    NET_BOOL("host_tso6", host_tso6, "on"),
    NET_BOOL("host_ecn", host_ecn, "on"),
    NET_BOOL("host_ufo", host_ufo, "on"),
    NET_BOOL("mrg_rxbuf", mrg_rxbuf, "on"),
    NET_BOOL("status", status, "on"),
    NET_BOOL("ctrl_vq", ctrl_vq, "on"),
    NET_BOOL("ctrl_rx", ctrl_rx, "on"),
    NET_BOOL("ctrl_vlan", ctrl_vlan, "on"),
    NET_BOOL("ctrl_rx_extra", ctrl_rx_extra, "on"),
    NET_BOOL("ctrl_mac_addr", ctrl_mac_addr, "on"),
    NET_BOOL("ctrl_guest_offloads", ctrl_guest_offloads, "on"),
    NET_BOOL("guest_announce", guest_announce, "on"),
};

static const VirtioClass net_virtio_class = {
    .name = "virtio-net",
    .id = VIRTIO_ID_NET,
    .legacy_id = 0x1000,
    .class_code = 0x020000,
    .config_size = CONFIG_SIZE,
    .realize = net_realize,
    .unrealize = net_unrealize,
    .config_read = net_config_read,
    .config_write = net_config_write,
    .features_ok = net_features_ok,
    .start = net_start,
    .stop = net_stop,
    .queue_start = net_queue_started,
    .queue_stop = net_queue_stopped,
    .queue_vector = virtio_net_vhost_vector,
    .reset = net_reset,
};

static const char *const net_aliases[] = { "virtio-net", NULL };
static const DeviceVariant net_variants[] = VIRTIO_VARIANTS("virtio-net-pci");

static char *
net_firmware_node(Device *dev)
{
    (void)dev;
    return g_strdup("ethernet-phy@0");
}

const DeviceClass virtio_net_pci_class = {
    .name = "virtio-net-pci",
    .aliases = net_aliases,
    .variants = net_variants,
    .description = "virtio network card",
    .bus = BUS_PCI,
    .base = &virtio_device_class,
    .hotpluggable = true,
    .state_size = sizeof(VirtioNet),
    .props = net_props,
    .n_props = G_N_ELEMENTS(net_props),
    .saved = &net_saved,
    .firmware_node = net_firmware_node,
    .option_rom = "efi-virtio.rom",
    .details = &net_virtio_class,
};
