/* events_objects.c - events of what is not a domain: their messages.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/calls/events_internal.h"
#include "driver/calls/table.h"
#include "driver/protocol/events.h"

void
event_hub_network_lifecycle(EventHub *hub, const EventNetwork *net, int event, int detail)
{
    NetworkLifecycleEvent msg = { { .name = (char *)net->name }, event, detail };

    memcpy(msg.net.uuid, net->uuid, sizeof msg.net.uuid);
    event_hub_publish(hub, EVENT_CLASS_NETWORK, VIR_NETWORK_EVENT_ID_LIFECYCLE,
                      CALL_EVENT_NETWORK_EVENT_LIFECYCLE, 0, net->uuid,
                      (xdrproc_t)xdr_NetworkLifecycleEvent, &msg);
}

static WireSecret
event_wire_secret(const EventSecret *secret)
{
    WireSecret wire = { .usage_type = secret->usage_type, .usage_id = (char *)secret->usage_id };

    memcpy(wire.uuid, secret->uuid, sizeof wire.uuid);
    return wire;
}

void
event_hub_secret_lifecycle(EventHub *hub, const EventSecret *secret, int event, int detail)
{
    SecretLifecycleEvent msg = { event_wire_secret(secret), event, detail };

    event_hub_publish(hub, EVENT_CLASS_SECRET, VIR_SECRET_EVENT_ID_LIFECYCLE,
                      CALL_EVENT_SECRET_EVENT_LIFECYCLE, 0, secret->uuid,
                      (xdrproc_t)xdr_SecretLifecycleEvent, &msg);
}

void
event_hub_secret_value_changed(EventHub *hub, const EventSecret *secret)
{
    SecretPlainEvent msg = { event_wire_secret(secret) };

    event_hub_publish(hub, EVENT_CLASS_SECRET, VIR_SECRET_EVENT_ID_VALUE_CHANGED,
                      CALL_EVENT_SECRET_EVENT_VALUE_CHANGED, 0, secret->uuid,
                      (xdrproc_t)xdr_SecretPlainEvent, &msg);
}

static WirePool
event_wire_pool(const EventPool *pool)
{
    WirePool wire = { .name = (char *)pool->name };

    memcpy(wire.uuid, pool->uuid, sizeof wire.uuid);
    return wire;
}

void
event_hub_pool_lifecycle(EventHub *hub, const EventPool *pool, int event, int detail)
{
    StoragePoolLifecycleEvent msg = { event_wire_pool(pool), event, detail };

    event_hub_publish(hub, EVENT_CLASS_POOL, VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE,
                      CALL_EVENT_STORAGE_POOL_EVENT_LIFECYCLE, 0, pool->uuid,
                      (xdrproc_t)xdr_StoragePoolLifecycleEvent, &msg);
}

void
event_hub_pool_refreshed(EventHub *hub, const EventPool *pool)
{
    StoragePoolPlainEvent msg = { event_wire_pool(pool) };

    event_hub_publish(hub, EVENT_CLASS_POOL, VIR_STORAGE_POOL_EVENT_ID_REFRESH,
                      CALL_EVENT_STORAGE_POOL_EVENT_REFRESH, 0, pool->uuid,
                      (xdrproc_t)xdr_StoragePoolPlainEvent, &msg);
}

void
event_hub_key(const char *name, uint8_t ret[16])
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    uint8_t digest[32];
    gsize len = sizeof digest;

    g_checksum_update(sum, (const guchar *)name, -1);
    g_checksum_get_digest(sum, digest, &len);
    memcpy(ret, digest, 16);
}

static void
publish_node_device(EventHub *hub, const EventNodeDevice *dev, int event, int message,
                    xdrproc_t proc, const void *value)
{
    uint8_t key[16];

    event_hub_key(dev->name, key);
    event_hub_publish(hub, EVENT_CLASS_NODE_DEVICE, event, message, 0, key, proc, value);
}

void
event_hub_node_device_lifecycle(EventHub *hub, const EventNodeDevice *dev, int event, int detail)
{
    NodeDeviceLifecycleEvent msg = { { (char *)dev->name }, event, detail };

    publish_node_device(hub, dev, VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE,
                        CALL_EVENT_NODE_DEVICE_EVENT_LIFECYCLE,
                        (xdrproc_t)xdr_NodeDeviceLifecycleEvent, &msg);
}

void
event_hub_node_device_updated(EventHub *hub, const EventNodeDevice *dev)
{
    NodeDevicePlainEvent msg = { { (char *)dev->name } };

    publish_node_device(hub, dev, VIR_NODE_DEVICE_EVENT_ID_UPDATE,
                        CALL_EVENT_NODE_DEVICE_EVENT_UPDATE, (xdrproc_t)xdr_NodeDevicePlainEvent,
                        &msg);
}
