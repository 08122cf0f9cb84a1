/* net.h - what the launcher's QMP asks a virtio network card.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VIRTIO_NET_H
#define KILN_HW_VIRTIO_NET_H

#include "hw/core/device.h"

extern const DeviceClass virtio_net_pci_class;

/* Packets and bytes as the guest counts them; those that vhost moved are not seen. */
typedef struct {
    uint64_t rx_packets, rx_bytes, rx_dropped, tx_packets, tx_bytes, tx_dropped;
} VirtioNetStats;

/* All: any device may be given, false when it is no virtio network card. Main thread. */

/* QMP set_link on the card's id. */
bool virtio_net_set_link(Device *dev, bool up);
bool virtio_net_stats(Device *dev, VirtioNetStats *ret);
/* The address in use, which the guest may have changed. */
bool virtio_net_mac(Device *dev, uint8_t ret_mac[6]);
/* Asks the guest to announce itself (QMP announce-self). */
bool virtio_net_announce(Device *dev);

#endif
