/* domain_reply.h - a domain as clients know it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_DOMAIN_REPLY_H
#define KILN_DRIVER_CALLS_DOMAIN_REPLY_H

#include "driver/calls/wire.h"
#include "driver/domain/domain.h"

/* Fills @wire with name, UUID and id of now. */
void domain_reply_set(Domain *domain, WireDomain *wire);

/* As above, and drops the reference. False, with *wire untouched, for NULL. */
bool domain_reply_take(Domain *domain, WireDomain *wire);

#endif
