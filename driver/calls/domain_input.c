/* domain_input.c - the calls that type on a guest's keyboard, or press its NMI button.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"
#include "util/error.h"

bool
call_domain_send_key(Call *call, const DomainSendKeyArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    if (args->keycodes.keycodes_len == 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "no keys were given");
    return domain_send_key(call->domain, args->codeset, args->holdtime, args->keycodes.keycodes_val,
                           args->keycodes.keycodes_len, err);
}

bool
call_domain_inject_nmi(Call *call, const DomainFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return domain_inject_nmi(call->domain, err);
}
