/* domain_iothread.c - the calls that add, remove and change I/O threads.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/calls/params.h"
#include "driver/domain/domain.h"
#include "xml/xmltab.h"

#define IMPACT (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)

bool
call_domain_add_iothread(Call *call, const DomainIothreadArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_add_iothread(call->domain, args->id, args->flags, err);
}

bool
call_domain_del_iothread(Call *call, const DomainIothreadArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_del_iothread(call->domain, args->id, args->flags, err);
}

bool
call_domain_set_iothread_params(Call *call, const DomainSetIothreadParamsArgs *args, WireVoid *ret,
                                GError **err)
{
    DomainIothreadParams p = { XML_UNSET, XML_UNSET, XML_UNSET, XML_UNSET_INT, XML_UNSET_INT };
    const CallParam all[] = {
        { VIR_DOMAIN_IOTHREAD_POLL_MAX_NS, VIR_TYPED_PARAM_ULLONG, &p.poll_max_ns, NULL },
        { VIR_DOMAIN_IOTHREAD_POLL_GROW, VIR_TYPED_PARAM_UINT, &p.poll_grow, NULL },
        { VIR_DOMAIN_IOTHREAD_POLL_SHRINK, VIR_TYPED_PARAM_UINT, &p.poll_shrink, NULL },
        { VIR_DOMAIN_IOTHREAD_THREAD_POOL_MIN, VIR_TYPED_PARAM_INT, &p.pool_min, NULL },
        { VIR_DOMAIN_IOTHREAD_THREAD_POOL_MAX, VIR_TYPED_PARAM_INT, &p.pool_max, NULL },
    };

    (void)ret;
    return call_params_take(args->params.params_val, args->params.params_len, all,
                            G_N_ELEMENTS(all), err) &&
           domain_set_iothread(call->domain, args->id, &p, args->flags, err);
}
