/* net_filter.c - which frames a virtio network card lets through to its guest
 * (virtio 1.2, sections 5.1.6.5.1 to 5.1.6.5.3).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/net_device.h"

#include <string.h>

#include "util/error.h"

enum { ETHERTYPE = 12, ETHERTYPE_VLAN = 0x8100, VLAN_TAG = 14 };

void
virtio_net_filter_reset(NetFilter *filter)
{
    *filter = (NetFilter){ .promisc = 1 };
}

static bool
table_has(const uint8_t *table, unsigned n, const uint8_t *mac)
{
    for (unsigned i = 0; i < n; i++) {
        if (memcmp(table + 6 * i, mac, 6) == 0)
            return true;
    }
    return false;
}

bool
virtio_net_filter_pass(const VirtioNet *net, const uint8_t *frame, size_t len)
{
    static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    const NetFilter *f = &net->filter;
    uint64_t mac;

    if (f->promisc)
        return true;
    if (len < 14)
        return false;
    if (virtio_has_feature(&net->virtio, VIRTIO_NET_F_CTRL_VLAN) && len >= 18 &&
        (frame[ETHERTYPE] << 8 | frame[ETHERTYPE + 1]) == ETHERTYPE_VLAN) {
        unsigned vlan = (frame[VLAN_TAG] << 8 | frame[VLAN_TAG + 1]) & 0xfff;

        if (!(f->vlans[vlan / 8] & 1 << vlan % 8))
            return false;
    }
    if (memcmp(frame, broadcast, 6) == 0)
        return !f->nobcast;
    if (frame[0] & 1)
        return !f->nomulti &&
               (f->allmulti || f->multi_overflow || table_has(f->multi, f->n_multi, frame));
    mac = __atomic_load_n(&net->current_mac, __ATOMIC_RELAXED);
    return !f->nouni && (f->alluni || f->uni_overflow || memcmp(&mac, frame, 6) == 0 ||
                         table_has(f->uni, f->n_uni, frame));
}

static bool
filter_after_load(void *state, GError **err)
{
    const NetFilter *f = state;

    if (f->n_uni <= VIRTIO_NET_MAC_TABLE && f->n_multi <= VIRTIO_NET_MAC_TABLE)
        return true;
    return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                          "%u and %u addresses are more than the %d that a filter has", f->n_uni,
                          f->n_multi, VIRTIO_NET_MAC_TABLE);
}

static const SavedField filter_fields[] = {
    SAVED(NetFilter, promisc, 1),      SAVED(NetFilter, allmulti, 1),
    SAVED(NetFilter, alluni, 1),       SAVED(NetFilter, nomulti, 1),
    SAVED(NetFilter, nouni, 1),        SAVED(NetFilter, nobcast, 1),
    SAVED(NetFilter, uni_overflow, 1), SAVED(NetFilter, multi_overflow, 1),
    SAVED(NetFilter, n_uni, 1),        SAVED(NetFilter, n_multi, 1),
    SAVED_BYTES(NetFilter, uni, 1),    SAVED_BYTES(NetFilter, multi, 1),
    SAVED_BYTES(NetFilter, vlans, 1),
};

const SavedTable virtio_net_filter_saved = {
    .name = "virtio-net-filter",
    .version = 1,
    .oldest = 1,
    .fields = filter_fields,
    .n_fields = G_N_ELEMENTS(filter_fields),
    .after_load = filter_after_load,
};
