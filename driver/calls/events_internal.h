/* events_internal.h - the subscribing side of the event hub: the handlers that register callbacks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_EVENTS_INTERNAL_H
#define KILN_DRIVER_CALLS_EVENTS_INTERNAL_H

#include <rpc/rpc.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/calls/events.h"
#include "driver/rpc/client.h"

typedef enum {
    EVENT_CLASS_DOMAIN,
    EVENT_CLASS_NETWORK,
    EVENT_CLASS_SECRET,
    EVENT_CLASS_POOL,
    EVENT_CLASS_NODE_DEVICE,
    EVENT_CLASS_QEMU, /* what a guest's VMM tells on its monitor */
} EventClass;

/* What stands for the UUID of an object that has none, made from its name. */
void event_hub_key(const char *name, uint8_t ret[16]);

/* Modern registration: sends events @event of @class (about the object @uuid only, unless NULL) to
 * @client. Returns the callback's id, unique among all of the client's, or -1 with @err
 * (VIR_ERR_INTERNAL_ERROR for an event that does not exist). */
int event_hub_register(EventHub *hub, RpcClient *client, EventClass class, int event,
                       const uint8_t *uuid, GError **err);
/* VIR_ERR_INTERNAL_ERROR when the client has no such callback of @class. */
bool event_hub_deregister(EventHub *hub, RpcClient *client, EventClass class, int id, GError **err);

/* Registers for monitor events @name (NULL: all) of the domain @uuid (NULL: all); @flags are
 * virConnectDomainQemuMonitorEventRegisterFlags. VIR_ERR_INVALID_ARG for an expression that is
 * none. */
int event_hub_register_qemu(EventHub *hub, RpcClient *client, const uint8_t *uuid, const char *name,
                            unsigned flags, GError **err);

/* Legacy registration of a domain event: one for each event, without an id. */
bool event_hub_register_legacy(EventHub *hub, RpcClient *client, int event, GError **err);
bool event_hub_deregister_legacy(EventHub *hub, RpcClient *client, int event, GError **err);

/* Registers for event_hub_connection_closed(). */
bool event_hub_register_close(EventHub *hub, RpcClient *client, GError **err);
bool event_hub_deregister_close(EventHub *hub, RpcClient *client, GError **err);

/* Sends @value to everyone who asked for @event of @class about @uuid, as message @modern or
 * @legacy (0: not in that family). */
void event_hub_publish(EventHub *hub, EventClass class, int event, int modern, int legacy,
                       const uint8_t uuid[16], xdrproc_t proc, const void *value);

/* Forgets everything the client registered. */
void event_hub_remove_client(EventHub *hub, RpcClient *client);

#endif
