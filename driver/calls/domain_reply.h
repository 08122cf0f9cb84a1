/* domain_reply.h - a domain as clients know it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_DOMAIN_REPLY_H
#define KILN_DRIVER_CALLS_DOMAIN_REPLY_H

#include "driver/calls/wire.h"
#include "driver/domain/domain.h"
#include "driver/protocol/domain.h"

/* Fills @wire with name, UUID and id of now. */
void domain_reply_set(Domain *domain, WireDomain *wire);

/* As above, and drops the reference. False, with *wire untouched, for NULL. */
bool domain_reply_take(Domain *domain, WireDomain *wire);

/* Fills the reply of a getter of typed parameters: the list (taken over), or only how many there
 * are when @asked is 0, as clients ask first. VIR_ERR_INVALID_ARG when @asked has no room. */
bool domain_reply_params(WireParams *params, int asked, DomainParamsRet *ret, GError **err);

/* What clients are told of a job. The caller's. */
WireParams *domain_reply_job(const DomainJobProgress *job);

#endif
