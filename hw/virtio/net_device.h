/* net_device.h - what the files of the virtio network card share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VIRTIO_NET_DEVICE_H
#define KILN_HW_VIRTIO_NET_DEVICE_H

#include "hw/virtio/net.h"
#include "hw/virtio/vhost_pair.h"
#include "hw/virtio/virtio.h"
#include "net/net.h"

enum {
    VIRTIO_NET_F_CSUM = 0,
    VIRTIO_NET_F_GUEST_CSUM = 1,
    VIRTIO_NET_F_CTRL_GUEST_OFFLOADS = 2,
    VIRTIO_NET_F_MTU = 3,
    VIRTIO_NET_F_MAC = 5,
    VIRTIO_NET_F_GUEST_TSO4 = 7,
    VIRTIO_NET_F_GUEST_TSO6 = 8,
    VIRTIO_NET_F_GUEST_ECN = 9,
    VIRTIO_NET_F_GUEST_UFO = 10,
    VIRTIO_NET_F_HOST_TSO4 = 11,
    VIRTIO_NET_F_HOST_TSO6 = 12,
    VIRTIO_NET_F_HOST_ECN = 13,
    VIRTIO_NET_F_HOST_UFO = 14,
    VIRTIO_NET_F_MRG_RXBUF = 15,
    VIRTIO_NET_F_STATUS = 16,
    VIRTIO_NET_F_CTRL_VQ = 17,
    VIRTIO_NET_F_CTRL_RX = 18,
    VIRTIO_NET_F_CTRL_VLAN = 19,
    VIRTIO_NET_F_CTRL_RX_EXTRA = 20,
    VIRTIO_NET_F_GUEST_ANNOUNCE = 21,
    VIRTIO_NET_F_MQ = 22,
    VIRTIO_NET_F_CTRL_MAC_ADDR = 23,

    VIRTIO_NET_HEADER_MAX = 12,  /* struct virtio_net_hdr with num_buffers (5.1.6) */
    VIRTIO_NET_NUM_BUFFERS = 10, /* its offset, or the length of a header without */
    VIRTIO_NET_S_LINK_UP = 1,
    VIRTIO_NET_S_ANNOUNCE = 2,
    VIRTIO_NET_MAC_TABLE = 64, /* addresses filtered; with more everything passes */
    VIRTIO_NET_BOUNCE = NET_MAX_PACKET,
    VIRTIO_NET_PIECES = 64, /* buffers of one chain that a packet is received into */
};

typedef struct VirtioNet VirtioNet;

/* A pair of queues; its loop's thread. */
typedef struct {
    VirtioNet *net;
    unsigned index;
    VirtQueue *rx, *tx;
    bool open; /* started at the back end */
    VirtChain rx_chain, rx_more, tx_chain;
    bool rx_have, tx_have; /* a chain is taken and held */
    size_t rx_pending;     /* length of a packet that waits for more buffers, or 0 */
    uint8_t *bounce;       /* what does not fit the first chain; VIRTIO_NET_BOUNCE */
    VhostPair vhost;       /* when the kernel moves the packets */
} NetPair;

/* What the driver lets through (5.1.6.5.1 to 3). The loop's thread. */
typedef struct {
    uint8_t promisc, allmulti, alluni, nomulti, nouni, nobcast;
    uint8_t uni_overflow, multi_overflow;
    uint8_t n_uni, n_multi;
    uint8_t uni[VIRTIO_NET_MAC_TABLE * 6], multi[VIRTIO_NET_MAC_TABLE * 6];
    uint8_t vlans[4096 / 8];
} NetFilter;

struct VirtioNet {
    VirtioDevice virtio; /* first */
    /* properties */
    PropObject netdev;
    uint8_t mac[6];
    bool mac_given;
    bool mq, csum, gso, guest_csum, guest_tso4, guest_tso6, guest_ecn, guest_ufo, host_tso4,
        host_tso6, host_ecn, host_ufo, mrg_rxbuf, status, ctrl_vq, ctrl_rx, ctrl_vlan,
        ctrl_rx_extra, ctrl_mac_addr, ctrl_guest_offloads, guest_announce;
    uint16_t host_mtu, rx_queue_size, tx_queue_size;
    int32_t bootindex;

    NetBackend *backend;
    bool attached;
    IoLoop *loop;
    NetPair *pairs;
    unsigned n_pairs;
    bool header;        /* the back end has virtio-net headers */
    uint8_t header_len; /* bytes, in the guest's buffers */
    bool vhost;         /* the kernel moves the packets */
    bool vhost_running;
    uint64_t vhost_features;
    VirtChain ctrl_chain;

    int link_up;             /* atomic */
    int announce;            /* atomic: the driver shall announce itself */
    uint64_t current_mac;    /* atomic; little-endian number of the six bytes */
    uint16_t current_pairs;  /* as the driver set it; the loop's thread */
    uint64_t guest_offloads; /* feature bits in force */
    NetFilter filter;
    VirtioNetStats stats; /* the loop's thread */
};

/* net.c: the loop's thread */
void virtio_net_open_pairs(VirtioNet *net);
bool virtio_net_apply_offloads(VirtioNet *net, uint64_t bits);

/* net_filter.c */
void virtio_net_filter_reset(NetFilter *filter);
/* Whether a frame beginning with these bytes (14, or 18 with a VLAN tag) is for the guest. */
bool virtio_net_filter_pass(const VirtioNet *net, const uint8_t *frame, size_t len);
extern const SavedTable virtio_net_filter_saved;

/* net_ctrl.c: the control queue's handler */
void virtio_net_ctrl(VirtQueue *queue);

/* net_vhost.c. init and fini in the main thread: host_features becomes what the kernel can do too.
 * The others with the device's lock. */
bool virtio_net_vhost_init(VirtioNet *net, GError **err);
void virtio_net_vhost_fini(VirtioNet *net);
int virtio_net_vhost_start(VirtioNet *net);
void virtio_net_vhost_stop(VirtioNet *net);
void virtio_net_vhost_vector(VirtQueue *queue);
void virtio_net_vhost_link(VirtioNet *net, bool up);

#endif
