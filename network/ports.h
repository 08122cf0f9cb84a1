/* ports.h - the ports of a network as clients see them: by which running guests have joined it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_PORTS_H
#define KILN_NETWORK_PORTS_H

#include "network/network.h"

typedef struct {
    uint8_t id[16];
} NetworkPortId;

/* NetworkPortId each, in order. */
GArray *network_ports(Network *network, GError **err);

/* VIR_ERR_NO_NETWORK_PORT, VIR_ERR_OPERATION_INVALID when the network does not run. */
bool network_has_port(Network *network, const uint8_t id[16], GError **err);

/* <networkport>, without <bandwidth>; g_free() it. Fails as above. */
char *network_port_xml(Network *network, const uint8_t id[16], GError **err);

#endif
