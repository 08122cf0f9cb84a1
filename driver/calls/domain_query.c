/* domain_query.c - the calls that ask for the state and definition of a domain.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"

bool
call_domain_get_xml_desc(Call *call, const DomainFlagsArgs *args, StringRet *ret, GError **err)
{
    ret->value = domain_xml(call->domain, args->flags, err);
    return ret->value != NULL;
}

bool
call_domain_get_autostart(Call *call, const DomainArgs *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = domain_autostart(call->domain);
    return true;
}

bool
call_domain_is_active(Call *call, const DomainArgs *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = domain_is_active(call->domain);
    return true;
}

bool
call_domain_is_persistent(Call *call, const DomainArgs *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = domain_is_persistent(call->domain);
    return true;
}

bool
call_domain_is_updated(Call *call, const DomainArgs *args, IntRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->value = domain_is_updated(call->domain);
    return true;
}

bool
call_domain_get_state(Call *call, const DomainFlagsArgs *args, DomainGetStateRet *ret, GError **err)
{
    (void)args;
    (void)err;
    ret->state = domain_state(call->domain, &ret->reason);
    return true;
}

bool
call_domain_get_info(Call *call, const DomainArgs *args, DomainGetInfoRet *ret, GError **err)
{
    DomainInfo info;

    (void)args;
    (void)err;
    domain_info(call->domain, &info);
    ret->state = info.state;
    ret->max_memory = info.max_memory;
    ret->memory = info.memory;
    ret->vcpus = info.vcpus;
    ret->cpu_time = info.cpu_time;
    return true;
}

bool
call_domain_get_max_memory(Call *call, const DomainArgs *args, HyperRet *ret, GError **err)
{
    DomainInfo info;

    (void)args;
    (void)err;
    domain_info(call->domain, &info);
    ret->value = info.max_memory;
    return true;
}

bool
call_domain_get_os_type(Call *call, const DomainArgs *args, StringRet *ret, GError **err)
{
    (void)args;
    (void)err;
    (void)call;
    ret->value = g_strdup("hvm"); /* the definition takes no other */
    return true;
}

bool
call_domain_get_control_info(Call *call, const DomainFlagsArgs *args, DomainGetControlInfoRet *ret,
                             GError **err)
{
    uint64_t ms = 0;
    int state;

    (void)args;
    state = domain_control_state(call->domain, &ret->details, &ms, err);
    if (state < 0)
        return false;
    ret->state = state;
    ret->state_time = ms;
    return true;
}

/* No security driver of libvirt's kind: an empty label, as libvirt without one. */
bool
call_domain_get_security_label(Call *call, const DomainArgs *args, WireSecurityLabel *ret,
                               GError **err)
{
    (void)call;
    (void)args;
    (void)err;
    wire_chars_set("", &ret->label.label_len, &ret->label.label_val);
    return true;
}

bool
call_domain_get_messages(Call *call, const DomainFlagsArgs *args, DomainMessagesRet *ret,
                         GError **err)
{
    (void)call;
    (void)err;
    (void)args;
    (void)ret;
    return true;
}
