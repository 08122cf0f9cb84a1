/* net_ctrl.c - the control queue of a virtio network card (virtio 1.2, section 5.1.6.5).
 *
 * Leaves out: receive-side scaling, hash reports, notification coalescing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/net_device.h"

#include <string.h>

#include "hw/core/bytes.h"

enum {
    CTRL_RX = 0,
    CTRL_MAC = 1,
    CTRL_VLAN = 2,
    CTRL_ANNOUNCE = 3,
    CTRL_MQ = 4,
    CTRL_OFFLOADS = 5,
    MAC_TABLE_SET = 0,
    MAC_ADDR_SET = 1,
    VLAN_ADD = 0,
    VLAN_DEL = 1,
    ANNOUNCE_ACK = 0,
    MQ_PAIRS_SET = 0,
    OFFLOADS_SET = 0,
    CTRL_HEAD = 2,
    CTRL_MAX = 16384, /* longest command taken; two full tables are 776 bytes */
};

static bool
ctrl_rx(VirtioNet *net, uint8_t command, const uint8_t *data, size_t len)
{
    NetFilter *f = &net->filter;
    uint8_t *const modes[] = { &f->promisc, &f->allmulti, &f->alluni,
                               &f->nomulti, &f->nouni,    &f->nobcast };
    unsigned feature = command < 2 ? VIRTIO_NET_F_CTRL_RX : VIRTIO_NET_F_CTRL_RX_EXTRA;

    if (len != 1 || command >= G_N_ELEMENTS(modes) || !virtio_has_feature(&net->virtio, feature))
        return false;
    *modes[command] = data[0] != 0;
    return true;
}

/* One of the two tables of a command: a count and that many addresses. */
static bool
table_read(const uint8_t **data, size_t *len, uint8_t *table, uint8_t *ret_n, uint8_t *ret_overflow)
{
    uint32_t n;

    if (*len < 4)
        return false;
    n = bytes_load32(*data);
    if (n > (*len - 4) / 6)
        return false;
    *ret_overflow = n > VIRTIO_NET_MAC_TABLE;
    *ret_n = *ret_overflow ? 0 : (uint8_t)n;
    memcpy(table, *data + 4, 6 * (size_t)*ret_n);
    *data += 4 + 6 * (size_t)n;
    *len -= 4 + 6 * (size_t)n;
    return true;
}

static bool
ctrl_mac(VirtioNet *net, uint8_t command, const uint8_t *data, size_t len)
{
    NetFilter next = net->filter;
    uint64_t mac = 0;

    if (command == MAC_ADDR_SET && len == 6 &&
        virtio_has_feature(&net->virtio, VIRTIO_NET_F_CTRL_MAC_ADDR)) {
        memcpy(&mac, data, 6);
        __atomic_store_n(&net->current_mac, mac, __ATOMIC_RELAXED);
        return true;
    }
    if (command != MAC_TABLE_SET || !virtio_has_feature(&net->virtio, VIRTIO_NET_F_CTRL_RX) ||
        !table_read(&data, &len, next.uni, &next.n_uni, &next.uni_overflow) ||
        !table_read(&data, &len, next.multi, &next.n_multi, &next.multi_overflow) || len != 0)
        return false;
    net->filter = next;
    return true;
}

static bool
ctrl_vlan(VirtioNet *net, uint8_t command, const uint8_t *data, size_t len)
{
    unsigned vlan = len == 2 ? bytes_load16(data) : 4096;

    if (vlan >= 4096 || command > VLAN_DEL ||
        !virtio_has_feature(&net->virtio, VIRTIO_NET_F_CTRL_VLAN))
        return false;
    if (command == VLAN_ADD)
        net->filter.vlans[vlan / 8] |= (uint8_t)(1 << vlan % 8);
    else
        net->filter.vlans[vlan / 8] &= (uint8_t) ~(1 << vlan % 8);
    return true;
}

static bool
ctrl_announce(VirtioNet *net, uint8_t command, size_t len)
{
    if (command != ANNOUNCE_ACK || len != 0 ||
        !virtio_has_feature(&net->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE))
        return false;
    g_atomic_int_set(&net->announce, 0);
    return true;
}

static bool
ctrl_mq(VirtioNet *net, uint8_t command, const uint8_t *data, size_t len)
{
    unsigned n = len == 2 ? bytes_load16(data) : 0;

    if (command != MQ_PAIRS_SET || n == 0 || n > net->n_pairs ||
        !virtio_has_feature(&net->virtio, VIRTIO_NET_F_MQ))
        return false;
    net->current_pairs = (uint16_t)n;
    virtio_net_open_pairs(net);
    return true;
}

static bool
ctrl_offloads(VirtioNet *net, uint8_t command, const uint8_t *data, size_t len)
{
    if (command != OFFLOADS_SET || len != 8 ||
        !virtio_has_feature(&net->virtio, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))
        return false;
    return virtio_net_apply_offloads(net, bytes_load64(data));
}

static bool
ctrl_command(VirtioNet *net, const uint8_t *data, size_t len)
{
    uint8_t class = data[0], command = data[1];

    data += CTRL_HEAD;
    len -= CTRL_HEAD;
    switch (class) {
    case CTRL_RX:
        return ctrl_rx(net, command, data, len);
    case CTRL_MAC:
        return ctrl_mac(net, command, data, len);
    case CTRL_VLAN:
        return ctrl_vlan(net, command, data, len);
    case CTRL_ANNOUNCE:
        return ctrl_announce(net, command, len);
    case CTRL_MQ:
        return ctrl_mq(net, command, data, len);
    case CTRL_OFFLOADS:
        return ctrl_offloads(net, command, data, len);
    default:
        return false;
    }
}

void
virtio_net_ctrl(VirtQueue *q)
{
    VirtioNet *net = (VirtioNet *)q->dev;
    VirtChain *chain = &net->ctrl_chain;
    unsigned turn = 0;

    while (virt_queue_next(q, chain, &turn)) {
        g_autofree uint8_t *data = NULL;
        uint8_t ack;

        if (chain->out_len < CTRL_HEAD || chain->in_len < 1) {
            virtio_device_break(q->dev);
            return;
        }
        ack = 1;
        if (chain->out_len <= CTRL_MAX) {
            data = g_malloc(chain->out_len);
            iov_read(virt_chain_out(chain), chain->n_out, 0, data, chain->out_len);
            ack = !ctrl_command(net, data, chain->out_len);
        }
        iov_write(virt_chain_in(chain), chain->n_in, 0, &ack, 1);
        virt_queue_push(q, chain->head, 1);
    }
}
