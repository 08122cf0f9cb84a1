/* domain_device.c - the calls that give devices to guests, take them away and change them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"

#define IMPACT (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)

bool
call_domain_attach_device(Call *call, const DomainDeviceArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_attach_device(call->domain, args->xml, VIR_DOMAIN_AFFECT_LIVE, err);
}

bool
call_domain_attach_device_flags(Call *call, const DomainDeviceFlagsArgs *args, WireVoid *ret,
                                GError **err)
{
    (void)ret;
    return call_check_flags(args->flags, IMPACT, "virDomainAttachDeviceFlags", err) &&
           domain_attach_device(call->domain, args->text, args->flags, err);
}

bool
call_domain_detach_device(Call *call, const DomainDeviceArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_detach_device(call->domain, args->xml, VIR_DOMAIN_AFFECT_LIVE, err);
}

bool
call_domain_detach_device_flags(Call *call, const DomainDeviceFlagsArgs *args, WireVoid *ret,
                                GError **err)
{
    (void)ret;
    return call_check_flags(args->flags, IMPACT, "virDomainDetachDeviceFlags", err) &&
           domain_detach_device(call->domain, args->text, args->flags, err);
}

bool
call_domain_detach_device_alias(Call *call, const DomainDeviceFlagsArgs *args, WireVoid *ret,
                                GError **err)
{
    (void)ret;
    return call_check_flags(args->flags, IMPACT, "virDomainDetachDeviceAlias", err) &&
           domain_detach_alias(call->domain, args->text, args->flags, err);
}

bool
call_domain_update_device_flags(Call *call, const DomainDeviceFlagsArgs *args, WireVoid *ret,
                                GError **err)
{
    (void)ret;
    return domain_update_device(call->domain, args->text, args->flags, err);
}
