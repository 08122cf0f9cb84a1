/* connect_events.c - the calls that register and deregister event callbacks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>

#include "driver/calls/connection.h"
#include "driver/calls/events_internal.h"
#include "driver/calls/handlers.h"

bool
call_connect_domain_event_callback_register_any(
    Call *call, const ConnectDomainEventCallbackRegisterAnyArgs *args, CallbackRet *ret,
    GError **err)
{
    const uint8_t *uuid = args->dom ? (const uint8_t *)args->dom->uuid : NULL;

    ret->id = event_hub_register(call->services->events, call->connection->client,
                                 EVENT_CLASS_DOMAIN, args->event, uuid, err);
    return ret->id >= 0;
}

bool
call_connect_domain_event_callback_deregister_any(Call *call, const CallbackArgs *args,
                                                  WireVoid *ret, GError **err)
{
    (void)ret;
    return event_hub_deregister(call->services->events, call->connection->client,
                                EVENT_CLASS_DOMAIN, args->id, err);
}

bool
call_connect_network_event_register_any(Call *call, const ConnectNetworkEventRegisterAnyArgs *args,
                                        CallbackRet *ret, GError **err)
{
    const uint8_t *uuid = args->net ? (const uint8_t *)args->net->uuid : NULL;

    ret->id = event_hub_register(call->services->events, call->connection->client,
                                 EVENT_CLASS_NETWORK, args->event, uuid, err);
    return ret->id >= 0;
}

bool
call_connect_network_event_deregister_any(Call *call, const CallbackArgs *args, WireVoid *ret,
                                          GError **err)
{
    (void)ret;
    return event_hub_deregister(call->services->events, call->connection->client,
                                EVENT_CLASS_NETWORK, args->id, err);
}

bool
call_connect_secret_event_register_any(Call *call, const ConnectSecretEventRegisterAnyArgs *args,
                                       CallbackRet *ret, GError **err)
{
    const uint8_t *uuid = args->secret ? (const uint8_t *)args->secret->uuid : NULL;

    ret->id = event_hub_register(call->services->events, call->connection->client,
                                 EVENT_CLASS_SECRET, args->event, uuid, err);
    return ret->id >= 0;
}

bool
call_connect_secret_event_deregister_any(Call *call, const CallbackArgs *args, WireVoid *ret,
                                         GError **err)
{
    (void)ret;
    return event_hub_deregister(call->services->events, call->connection->client,
                                EVENT_CLASS_SECRET, args->id, err);
}

bool
call_connect_storage_pool_event_register_any(Call *call,
                                             const ConnectStoragePoolEventRegisterAnyArgs *args,
                                             CallbackRet *ret, GError **err)
{
    const uint8_t *uuid = args->pool ? (const uint8_t *)args->pool->uuid : NULL;

    ret->id = event_hub_register(call->services->events, call->connection->client, EVENT_CLASS_POOL,
                                 args->event, uuid, err);
    return ret->id >= 0;
}

bool
call_connect_storage_pool_event_deregister_any(Call *call, const CallbackArgs *args, WireVoid *ret,
                                               GError **err)
{
    (void)ret;
    return event_hub_deregister(call->services->events, call->connection->client, EVENT_CLASS_POOL,
                                args->id, err);
}

bool
call_qemu_connect_domain_monitor_event_register(Call *call,
                                                const QemuMonitorEventRegisterArgs *args,
                                                CallbackRet *ret, GError **err)
{
    const uint8_t *uuid = args->dom ? (const uint8_t *)args->dom->uuid : NULL;

    if (!call_check_flags(args->flags,
                          VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX |
                              VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE,
                          "virConnectDomainQemuMonitorEventRegister", err))
        return false;
    ret->id = event_hub_register_qemu(call->services->events, call->connection->client, uuid,
                                      wire_opt_text(args->event), args->flags, err);
    return ret->id >= 0;
}

bool
call_qemu_connect_domain_monitor_event_deregister(Call *call, const CallbackArgs *args,
                                                  WireVoid *ret, GError **err)
{
    (void)ret;
    return event_hub_deregister(call->services->events, call->connection->client, EVENT_CLASS_QEMU,
                                args->id, err);
}

bool
call_connect_domain_event_register(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    (void)args;
    ret->value = 1;
    return event_hub_register_legacy(call->services->events, call->connection->client,
                                     VIR_DOMAIN_EVENT_ID_LIFECYCLE, err);
}

bool
call_connect_domain_event_deregister(Call *call, const WireVoid *args, IntRet *ret, GError **err)
{
    (void)args;
    ret->value = 0;
    return event_hub_deregister_legacy(call->services->events, call->connection->client,
                                       VIR_DOMAIN_EVENT_ID_LIFECYCLE, err);
}

bool
call_connect_domain_event_register_any(Call *call, const CallbackArgs *args, WireVoid *ret,
                                       GError **err)
{
    (void)ret;
    return event_hub_register_legacy(call->services->events, call->connection->client, args->id,
                                     err);
}

bool
call_connect_domain_event_deregister_any(Call *call, const CallbackArgs *args, WireVoid *ret,
                                         GError **err)
{
    (void)ret;
    return event_hub_deregister_legacy(call->services->events, call->connection->client, args->id,
                                       err);
}

bool
call_connect_register_close_callback(Call *call, const WireVoid *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return event_hub_register_close(call->services->events, call->connection->client, err);
}

bool
call_connect_unregister_close_callback(Call *call, const WireVoid *args, WireVoid *ret,
                                       GError **err)
{
    (void)args;
    (void)ret;
    return event_hub_deregister_close(call->services->events, call->connection->client, err);
}
