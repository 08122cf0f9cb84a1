/* tc.h - limits on what an interface of the host carries.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_TC_H
#define KILN_NETWORK_TC_H

#include "network/netlink.h"
#include "network/network.h"

/* Holds what @name sends to @limit (for a tap or a bridge: what its guests receive), by a token
 * bucket that queues; a former limit is replaced. Nothing to do when the limit has no average. */
bool tc_limit_sent(Netlink *nl, const char *name, const NetworkLimit *limit, GError **err);

/* Holds what @name receives (what its guests send) to the average, by dropping. As libvirt, the
 * peak is not looked at in this direction. */
bool tc_limit_received(Netlink *nl, const char *name, const NetworkLimit *limit, GError **err);

/* Takes both limits away. */
bool tc_unlimit(Netlink *nl, const char *name, GError **err);

#endif
