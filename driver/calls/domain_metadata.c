/* domain_metadata.c - the calls for title, description and applications' own elements.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"

bool
call_domain_get_metadata(Call *call, const DomainGetMetadataArgs *args, StringRet *ret,
                         GError **err)
{
    ret->value =
        domain_metadata(call->domain, args->type, wire_opt_text(args->uri), args->flags, err);
    return ret->value != NULL;
}

bool
call_domain_set_metadata(Call *call, const DomainSetMetadataArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_set_metadata(call->domain, args->type, wire_opt_text(args->metadata),
                               wire_opt_text(args->key), wire_opt_text(args->uri), args->flags,
                               err);
}
