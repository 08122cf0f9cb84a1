/* guest.h - what calls of other files ask of a guest's agent.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_GUEST_H
#define KILN_DRIVER_CALLS_GUEST_H

#include "driver/calls/call.h"

/* virDomainInterfaceAddresses() of source AGENT. */
bool call_guest_addresses(Call *call, DomainInterfaceAddressesRet *ret, GError **err);

#endif
