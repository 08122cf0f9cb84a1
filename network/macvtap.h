/* macvtap.h - a guest's NIC straight on a device of the host.
 *
 * Linux drivers/net/macvlan.c: the interface has the guest's own address, and frames pass by the
 * host's own network. Unlike a tap it outlives its descriptors, until it is deleted.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_MACVTAP_H
#define KILN_NETWORK_MACVTAP_H

#include "network/netlink.h"
#include "network/network.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Makes the interface @name over the device @dev, with the guest's address @mac, and opens @queues
 * (1..256) queues of it; it is left down. @ret_fds (room for @queues) gets descriptors that are
 * close-on-exec and non-blocking, owned by the caller, who also deletes the interface. Nothing is
 * left after a failure. Errors: VIR_ERR_RESOURCE_BUSY when there is an interface @name;
 * VIR_ERR_SYSTEM_ERROR naming the device and the reason. */
bool macvtap_open(Netlink *nl, const char *name, const char *dev, NetworkDirectMode mode,
                  const uint8_t mac[6], unsigned queues, bool vnet_hdr, int *ret_fds, GError **err);

/* Whether there is a macvtap interface @name with this address; @ret may be NULL. */
bool macvtap_find(Netlink *nl, const char *name, const uint8_t mac[6], NetlinkLink *ret);

#endif
