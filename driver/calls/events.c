/* events.c - the hub that brings events to the clients that asked. See events.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/calls/events_internal.h"
#include "driver/calls/table.h"
#include "driver/calls/wire.h"
#include "driver/protocol/events.h"
#include "driver/protocol/qemu.h"
#include "util/error.h"

/* Real daemons give 1, whatever the protocol's description says. */
#define EVENT_SERIAL 1

/* Events a client may ask for; those that never happen here may be asked for too. */
#define EVENT_DOMAIN_COUNT (VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE + 1)
static const struct {
    const char *name;
    int count;
} event_classes[] = {
    [EVENT_CLASS_DOMAIN] = { "domain", EVENT_DOMAIN_COUNT },
    [EVENT_CLASS_NETWORK] = { "network", VIR_NETWORK_EVENT_ID_LIFECYCLE + 1 },
    [EVENT_CLASS_NODE_DEVICE] = { "node device", VIR_NODE_DEVICE_EVENT_ID_UPDATE + 1 },
    [EVENT_CLASS_POOL] = { "storage pool", VIR_STORAGE_POOL_EVENT_ID_REFRESH + 1 },
    [EVENT_CLASS_QEMU] = { "qemu monitor", 1 },
    [EVENT_CLASS_SECRET] = { "secret", VIR_SECRET_EVENT_ID_VALUE_CHANGED + 1 },
};

/* Callbacks of one client. It needs one for each event; each that it asks for costs everyone. */
#define EVENT_CALLBACKS_MAX 1024

typedef enum { SUBSCRIPTION_MODERN, SUBSCRIPTION_LEGACY, SUBSCRIPTION_CLOSE } SubscriptionKind;

typedef struct {
    RpcClient *client; /* owned */
    SubscriptionKind kind;
    EventClass class;
    int event;
    int id; /* MODERN only */
    bool filtered;
    uint8_t uuid[16];
    GRegex *name; /* of monitor events; NULL: any */
} Subscription;

/* @lock is taken with locks of domains and networks held, and holds while packets are queued. */
struct EventHub {
    GMutex lock;
    GPtrArray *subscriptions; /* in order of registration */
    int last_id;
};

#define DEVICE_CALLBACK(what) CALL_EVENT_DOMAIN_EVENT_CALLBACK_DEVICE_##what
#define ITERATION_CALLBACK CALL_EVENT_DOMAIN_EVENT_CALLBACK_MIGRATION_ITERATION

/* Message numbers of the two families by virDomainEventID; 0: not in that family. */
static const struct {
    int modern, legacy;
} domain_messages[EVENT_DOMAIN_COUNT] = {
    [VIR_DOMAIN_EVENT_ID_LIFECYCLE] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_LIFECYCLE,
                                        CALL_EVENT_DOMAIN_EVENT_LIFECYCLE },
    [VIR_DOMAIN_EVENT_ID_REBOOT] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_REBOOT,
                                     CALL_EVENT_DOMAIN_EVENT_REBOOT },
    [VIR_DOMAIN_EVENT_ID_RTC_CHANGE] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_RTC_CHANGE,
                                         CALL_EVENT_DOMAIN_EVENT_RTC_CHANGE },
    [VIR_DOMAIN_EVENT_ID_WATCHDOG] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_WATCHDOG,
                                       CALL_EVENT_DOMAIN_EVENT_WATCHDOG },
    [VIR_DOMAIN_EVENT_ID_BLOCK_JOB] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_BLOCK_JOB,
                                        CALL_EVENT_DOMAIN_EVENT_BLOCK_JOB },
    [VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2] = { CALL_EVENT_DOMAIN_EVENT_BLOCK_JOB_2, 0 },
    [VIR_DOMAIN_EVENT_ID_CONTROL_ERROR] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_CONTROL_ERROR,
                                            CALL_EVENT_DOMAIN_EVENT_CONTROL_ERROR },
    [VIR_DOMAIN_EVENT_ID_PMWAKEUP] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_PMWAKEUP,
                                       CALL_EVENT_DOMAIN_EVENT_PMWAKEUP },
    [VIR_DOMAIN_EVENT_ID_PMSUSPEND] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_PMSUSPEND,
                                        CALL_EVENT_DOMAIN_EVENT_PMSUSPEND },
    [VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_BALLOON_CHANGE,
                                             CALL_EVENT_DOMAIN_EVENT_BALLOON_CHANGE },
    [VIR_DOMAIN_EVENT_ID_IO_ERROR] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_IO_ERROR,
                                       CALL_EVENT_DOMAIN_EVENT_IO_ERROR },
    [VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_IO_ERROR_REASON,
                                              CALL_EVENT_DOMAIN_EVENT_IO_ERROR_REASON },
    [VIR_DOMAIN_EVENT_ID_GRAPHICS] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_GRAPHICS,
                                       CALL_EVENT_DOMAIN_EVENT_GRAPHICS },
    [VIR_DOMAIN_EVENT_ID_TRAY_CHANGE] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_TRAY_CHANGE,
                                          CALL_EVENT_DOMAIN_EVENT_TRAY_CHANGE },
    [VIR_DOMAIN_EVENT_ID_TUNABLE] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_TUNABLE, 0 },
    [VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_AGENT_LIFECYCLE, 0 },
    [VIR_DOMAIN_EVENT_ID_DEVICE_ADDED] = { DEVICE_CALLBACK(ADDED), 0 },
    [VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED] = { DEVICE_CALLBACK(REMOVED),
                                             CALL_EVENT_DOMAIN_EVENT_DEVICE_REMOVED },
    [VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED] = { DEVICE_CALLBACK(REMOVAL_FAILED), 0 },
    [VIR_DOMAIN_EVENT_ID_METADATA_CHANGE] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE, 0 },
    [VIR_DOMAIN_EVENT_ID_DISK_CHANGE] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_DISK_CHANGE,
                                          CALL_EVENT_DOMAIN_EVENT_DISK_CHANGE },
    [VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION] = { ITERATION_CALLBACK, 0 },
    [VIR_DOMAIN_EVENT_ID_JOB_COMPLETED] = { CALL_EVENT_DOMAIN_EVENT_CALLBACK_JOB_COMPLETED, 0 },
    [VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD] = { CALL_EVENT_DOMAIN_EVENT_BLOCK_THRESHOLD, 0 },
};

static void
subscription_free(Subscription *subscription)
{
    rpc_client_unref(subscription->client);
    g_clear_pointer(&subscription->name, g_regex_unref);
    g_free(subscription);
}

EventHub *
event_hub_new(void)
{
    EventHub *hub = g_new0(EventHub, 1);

    g_mutex_init(&hub->lock);
    hub->subscriptions = g_ptr_array_new_with_free_func((GDestroyNotify)subscription_free);
    return hub;
}

void
event_hub_free(EventHub *hub)
{
    if (!hub)
        return;
    g_ptr_array_unref(hub->subscriptions);
    g_mutex_clear(&hub->lock);
    g_free(hub);
}

/* With the lock held. @id and @event: -1 for any. */
static Subscription *
hub_find(EventHub *hub, RpcClient *client, SubscriptionKind kind, EventClass class, int event,
         int id)
{
    for (guint i = 0; i < hub->subscriptions->len; i++) {
        Subscription *s = hub->subscriptions->pdata[i];

        if (s->client == client && s->kind == kind && s->class == class &&
            (event < 0 || s->event == event) && (id < 0 || s->id == id))
            return s;
    }
    return NULL;
}

/* With the lock held. */
static guint
hub_count(EventHub *hub, RpcClient *client)
{
    guint n = 0;

    for (guint i = 0; i < hub->subscriptions->len; i++)
        n += ((Subscription *)hub->subscriptions->pdata[i])->client == client;
    return n;
}

/* With the lock held. */
static Subscription *
hub_add(EventHub *hub, RpcClient *client, SubscriptionKind kind, EventClass class, int event)
{
    Subscription *s = g_new0(Subscription, 1);

    s->client = rpc_client_ref(client);
    s->kind = kind;
    s->class = class;
    s->event = event;
    g_ptr_array_add(hub->subscriptions, s);
    return s;
}

/* @name is taken over. */
static int
hub_register(EventHub *hub, RpcClient *client, EventClass class, int event, const uint8_t *uuid,
             GRegex *name, GError **err)
{
    g_autoptr(GRegex) owned = name;
    Subscription *s;
    int id;

    if (event < 0 || event >= event_classes[class].count) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "unsupported event ID %d", event);
        return -1;
    }
    g_mutex_lock(&hub->lock);
    if (hub_count(hub, client) >= EVENT_CALLBACKS_MAX) {
        g_mutex_unlock(&hub->lock);
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                       "a connection can have %d event callbacks; deregister some",
                       EVENT_CALLBACKS_MAX);
        return -1;
    }
    s = hub_add(hub, client, SUBSCRIPTION_MODERN, class, event);
    /* Unique over all clients, so also over the classes of one. */
    id = s->id = hub->last_id = hub->last_id == G_MAXINT ? 1 : hub->last_id + 1;
    if (uuid) {
        s->filtered = true;
        memcpy(s->uuid, uuid, sizeof s->uuid);
    }
    s->name = g_steal_pointer(&owned);
    g_mutex_unlock(&hub->lock);
    return id;
}

int
event_hub_register(EventHub *hub, RpcClient *client, EventClass class, int event,
                   const uint8_t *uuid, GError **err)
{
    return hub_register(hub, client, class, event, uuid, NULL, err);
}

int
event_hub_register_qemu(EventHub *hub, RpcClient *client, const uint8_t *uuid, const char *name,
                        unsigned flags, GError **err)
{
    bool expression = flags & VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX;
    g_autofree char *quoted = name && !expression ? g_regex_escape_string(name, -1) : NULL;
    g_autofree char *whole = quoted ? g_strdup_printf("^%s$", quoted) : g_strdup(name);
    g_autoptr(GError) failure = NULL;
    GRegex *regex = NULL;

    if (whole)
        regex = g_regex_new(
            whole,
            flags & VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE ? G_REGEX_CASELESS : 0, 0,
            &failure);
    if (whole && !regex) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "failed to compile regex '%s': %s", name,
                       failure->message);
        return -1;
    }
    return hub_register(hub, client, EVENT_CLASS_QEMU, 0, uuid, regex, err);
}

bool
event_hub_deregister(EventHub *hub, RpcClient *client, EventClass class, int id, GError **err)
{
    bool found;

    g_mutex_lock(&hub->lock);
    found =
        id >= 0 && g_ptr_array_remove(hub->subscriptions,
                                      hub_find(hub, client, SUBSCRIPTION_MODERN, class, -1, id));
    g_mutex_unlock(&hub->lock);
    if (!found)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "%s event callback %d not registered",
                              event_classes[class].name, id);
    return true;
}

bool
event_hub_register_legacy(EventHub *hub, RpcClient *client, int event, GError **err)
{
    bool known;

    if (event < 0 || event > VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "unsupported event ID %d", event);
    g_mutex_lock(&hub->lock);
    known = hub_find(hub, client, SUBSCRIPTION_LEGACY, EVENT_CLASS_DOMAIN, event, -1);
    if (!known)
        hub_add(hub, client, SUBSCRIPTION_LEGACY, EVENT_CLASS_DOMAIN, event);
    g_mutex_unlock(&hub->lock);
    if (known)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "domain event %d already registered",
                              event);
    return true;
}

bool
event_hub_deregister_legacy(EventHub *hub, RpcClient *client, int event, GError **err)
{
    bool found;

    if (event < 0 || event > VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "unsupported event ID %d", event);
    g_mutex_lock(&hub->lock);
    found = g_ptr_array_remove(hub->subscriptions, hub_find(hub, client, SUBSCRIPTION_LEGACY,
                                                            EVENT_CLASS_DOMAIN, event, -1));
    g_mutex_unlock(&hub->lock);
    if (!found)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "domain event %d not registered", event);
    return true;
}

bool
event_hub_register_close(EventHub *hub, RpcClient *client, GError **err)
{
    bool known;

    g_mutex_lock(&hub->lock);
    known = hub_find(hub, client, SUBSCRIPTION_CLOSE, 0, -1, -1);
    if (!known)
        hub_add(hub, client, SUBSCRIPTION_CLOSE, 0, 0);
    g_mutex_unlock(&hub->lock);
    if (known)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "A close callback is already registered");
    return true;
}

bool
event_hub_deregister_close(EventHub *hub, RpcClient *client, GError **err)
{
    bool found;

    g_mutex_lock(&hub->lock);
    found = g_ptr_array_remove(hub->subscriptions,
                               hub_find(hub, client, SUBSCRIPTION_CLOSE, 0, -1, -1));
    g_mutex_unlock(&hub->lock);
    if (!found)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "A different callback was requested");
    return true;
}

void
event_hub_remove_client(EventHub *hub, RpcClient *client)
{
    g_mutex_lock(&hub->lock);
    for (guint i = hub->subscriptions->len; i > 0; i--) {
        Subscription *s = hub->subscriptions->pdata[i - 1];

        if (s->client == client)
            g_ptr_array_remove_index(hub->subscriptions, i - 1);
    }
    g_mutex_unlock(&hub->lock);
}

static void
subscription_send(const Subscription *s, int number, const RpcMessage *body)
{
    RpcHeader header = { s->class == EVENT_CLASS_QEMU ? RPC_QEMU_PROGRAM : RPC_REMOTE_PROGRAM,
                         RPC_PROGRAM_VERSION,
                         number,
                         RPC_MESSAGE,
                         EVENT_SERIAL,
                         RPC_OK };
    RpcMessage *msg = rpc_message_new(&header);
    uint32_t id = GUINT32_TO_BE((uint32_t)s->id);

    if (s->kind == SUBSCRIPTION_MODERN)
        rpc_message_append(msg, &id, sizeof id);
    rpc_message_append(msg, body->bytes->data + body->payload, body->bytes->len - body->payload);
    rpc_client_send(s->client, msg);
}

void
event_hub_publish(EventHub *hub, EventClass class, int event, int modern, int legacy,
                  const uint8_t uuid[16], xdrproc_t proc, const void *value)
{
    static const RpcHeader none;
    g_autoptr(RpcMessage) body = rpc_message_new(&none);

    if (!rpc_message_encode(body, proc, value)) {
        g_warning("event %d cannot be put into a message", event);
        return;
    }
    g_mutex_lock(&hub->lock);
    for (guint i = 0; i < hub->subscriptions->len; i++) {
        const Subscription *s = hub->subscriptions->pdata[i];
        int number = s->kind == SUBSCRIPTION_MODERN   ? modern
                     : s->kind == SUBSCRIPTION_LEGACY ? legacy
                                                      : 0;

        if (number && s->class == class && s->event == event &&
            (!s->filtered || !memcmp(s->uuid, uuid, sizeof s->uuid)))
            subscription_send(s, number, body);
    }
    g_mutex_unlock(&hub->lock);
}

static WireDomain
event_wire_domain(const EventDomain *dom)
{
    WireDomain wire = { .name = (char *)dom->name, .id = dom->id };

    memcpy(wire.uuid, dom->uuid, sizeof wire.uuid);
    return wire;
}

static void
hub_publish_domain(EventHub *hub, const EventDomain *dom, int event, xdrproc_t proc,
                   const void *value)
{
    event_hub_publish(hub, EVENT_CLASS_DOMAIN, event, domain_messages[event].modern,
                      domain_messages[event].legacy, dom->uuid, proc, value);
}

void
event_hub_domain_lifecycle(EventHub *hub, const EventDomain *dom, int event, int detail)
{
    DomainLifecycleEvent msg = { event_wire_domain(dom), event, detail };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_LIFECYCLE, (xdrproc_t)xdr_DomainLifecycleEvent,
                       &msg);
}

void
event_hub_domain_reboot(EventHub *hub, const EventDomain *dom)
{
    DomainPlainEvent msg = { event_wire_domain(dom) };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_REBOOT, (xdrproc_t)xdr_DomainPlainEvent, &msg);
}

void
event_hub_domain_rtc_change(EventHub *hub, const EventDomain *dom, int64_t offset)
{
    DomainRtcChangeEvent msg = { event_wire_domain(dom), offset };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_RTC_CHANGE,
                       (xdrproc_t)xdr_DomainRtcChangeEvent, &msg);
}

/* The newer family's messages have a reason, always 0, before what the older one's have. */
void
event_hub_domain_sleep(EventHub *hub, const EventDomain *dom, int event)
{
    DomainSleepEvent msg = { 0, { event_wire_domain(dom) } };

    event_hub_publish(hub, EVENT_CLASS_DOMAIN, event, domain_messages[event].modern, 0, dom->uuid,
                      (xdrproc_t)xdr_DomainSleepEvent, &msg);
    event_hub_publish(hub, EVENT_CLASS_DOMAIN, event, 0, domain_messages[event].legacy, dom->uuid,
                      (xdrproc_t)xdr_DomainPlainEvent, &msg.msg);
}

void
event_hub_domain_watchdog(EventHub *hub, const EventDomain *dom, int action)
{
    DomainWatchdogEvent msg = { event_wire_domain(dom), action };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_WATCHDOG, (xdrproc_t)xdr_DomainWatchdogEvent,
                       &msg);
}

void
event_hub_domain_control_error(EventHub *hub, const EventDomain *dom)
{
    DomainPlainEvent msg = { event_wire_domain(dom) };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_CONTROL_ERROR, (xdrproc_t)xdr_DomainPlainEvent,
                       &msg);
}

void
event_hub_domain_balloon_change(EventHub *hub, const EventDomain *dom, uint64_t actual)
{
    DomainBalloonChangeEvent msg = { event_wire_domain(dom), actual };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE,
                       (xdrproc_t)xdr_DomainBalloonChangeEvent, &msg);
}

void
event_hub_domain_io_error(EventHub *hub, const EventDomain *dom, const char *source,
                          const char *alias, int action, const char *reason)
{
    DomainIoErrorEvent msg = { event_wire_domain(dom), (char *)source, (char *)alias, action };
    DomainIoErrorReasonEvent more = { msg.dom, msg.source, msg.alias, action, (char *)reason };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_IO_ERROR, (xdrproc_t)xdr_DomainIoErrorEvent,
                       &msg);
    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON,
                       (xdrproc_t)xdr_DomainIoErrorReasonEvent, &more);
}

void
event_hub_domain_tray(EventHub *hub, const EventDomain *dom, const char *alias, int reason)
{
    DomainTrayEvent msg = { event_wire_domain(dom), (char *)alias, reason };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, (xdrproc_t)xdr_DomainTrayEvent,
                       &msg);
}

void
event_hub_domain_graphics(EventHub *hub, const EventDomain *dom, DomainGraphicsEvent *msg)
{
    msg->dom = event_wire_domain(dom);
    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_GRAPHICS, (xdrproc_t)xdr_DomainGraphicsEvent,
                       msg);
}

void
event_hub_domain_tunable(EventHub *hub, const EventDomain *dom, WireParams *params)
{
    DomainTunableEvent msg = { event_wire_domain(dom), { 0, NULL } };

    wire_params_steal(params, &msg.params.params_len, &msg.params.params_val);
    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_TUNABLE, (xdrproc_t)xdr_DomainTunableEvent,
                       &msg);
    msg.dom = (WireDomain){ 0 }; /* the caller's */
    xdr_free((xdrproc_t)xdr_DomainTunableEvent, (char *)&msg);
}

void
event_hub_domain_agent_lifecycle(EventHub *hub, const EventDomain *dom, int state, int reason)
{
    DomainAgentLifecycleEvent msg = { event_wire_domain(dom), state, reason };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
                       (xdrproc_t)xdr_DomainAgentLifecycleEvent, &msg);
}

void
event_hub_domain_metadata_change(EventHub *hub, const EventDomain *dom, int type, const char *uri)
{
    char *text = (char *)uri;
    DomainMetadataChangeEvent msg = { event_wire_domain(dom), type, uri ? &text : NULL };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
                       (xdrproc_t)xdr_DomainMetadataChangeEvent, &msg);
}

void
event_hub_domain_device(EventHub *hub, const EventDomain *dom, int event, const char *alias)
{
    DomainDeviceEvent msg = { event_wire_domain(dom), (char *)alias };

    hub_publish_domain(hub, dom, event, (xdrproc_t)xdr_DomainDeviceEvent, &msg);
}

void
event_hub_domain_block_job(EventHub *hub, const EventDomain *dom, int event, const char *disk,
                           int type, int status)
{
    DomainBlockJobEvent msg = { event_wire_domain(dom), (char *)disk, type, status };

    hub_publish_domain(hub, dom, event, (xdrproc_t)xdr_DomainBlockJobEvent, &msg);
}

static bool
wants_monitor(const Subscription *s, const uint8_t *uuid, const char *name)
{
    return s->kind == SUBSCRIPTION_MODERN && s->class == EVENT_CLASS_QEMU &&
           (!s->filtered || !memcmp(s->uuid, uuid, sizeof s->uuid)) &&
           (!s->name || g_regex_match(s->name, name, 0, NULL));
}

void
event_hub_domain_monitor(EventHub *hub, const EventDomain *dom, const char *name,
                         const char *details)
{
    gint64 now = g_get_real_time();
    char *text = (char *)details;
    QemuMonitorEvent event = { event_wire_domain(dom), (char *)name, now / G_USEC_PER_SEC,
                               (unsigned)(now % G_USEC_PER_SEC), details ? &text : NULL };
    static const RpcHeader none;
    g_autoptr(RpcMessage) body = rpc_message_new(&none);

    if (!rpc_message_encode(body, (xdrproc_t)xdr_QemuMonitorEvent, &event)) {
        g_warning("monitor event %s cannot be put into a message", name);
        return;
    }
    g_mutex_lock(&hub->lock);
    for (guint i = 0; i < hub->subscriptions->len; i++)
        if (wants_monitor(hub->subscriptions->pdata[i], dom->uuid, name))
            subscription_send(hub->subscriptions->pdata[i], CALL_EVENT_QEMU_DOMAIN_MONITOR_EVENT,
                              body);
    g_mutex_unlock(&hub->lock);
}

void
event_hub_domain_block_threshold(EventHub *hub, const EventDomain *dom, const char *dev,
                                 const char *path, uint64_t threshold, uint64_t excess)
{
    char *text = (char *)path;
    DomainBlockThresholdEvent msg = { event_wire_domain(dom), (char *)dev, path ? &text : NULL,
                                      threshold, excess };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD,
                       (xdrproc_t)xdr_DomainBlockThresholdEvent, &msg);
}

void
event_hub_domain_disk_change(EventHub *hub, const EventDomain *dom, const char *alias,
                             const char *old_source, const char *new_source, int reason)
{
    char *was = (char *)old_source, *now = (char *)new_source;
    DomainDiskChangeEvent msg = { event_wire_domain(dom), was ? &was : NULL, now ? &now : NULL,
                                  (char *)alias, reason };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_DISK_CHANGE,
                       (xdrproc_t)xdr_DomainDiskChangeEvent, &msg);
}

void
event_hub_domain_iteration(EventHub *hub, const EventDomain *dom, int iteration)
{
    DomainMigrationIterationEvent msg = { event_wire_domain(dom), iteration };

    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION,
                       (xdrproc_t)xdr_DomainMigrationIterationEvent, &msg);
}

void
event_hub_domain_job_completed(EventHub *hub, const EventDomain *dom, WireParams *params)
{
    DomainJobCompletedEvent msg = { event_wire_domain(dom), { 0, NULL } };

    wire_params_steal(params, &msg.params.params_len, &msg.params.params_val);
    hub_publish_domain(hub, dom, VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                       (xdrproc_t)xdr_DomainJobCompletedEvent, &msg);
    msg.dom = (WireDomain){ 0 }; /* the caller's */
    xdr_free((xdrproc_t)xdr_DomainJobCompletedEvent, (char *)&msg);
}

void
event_hub_connection_closed(EventHub *hub, int reason)
{
    ConnectionClosedEvent event = { reason };
    static const RpcHeader none;
    g_autoptr(RpcMessage) body = rpc_message_new(&none);

    rpc_message_encode(body, (xdrproc_t)xdr_ConnectionClosedEvent, &event);
    g_mutex_lock(&hub->lock);
    for (guint i = 0; i < hub->subscriptions->len; i++) {
        const Subscription *s = hub->subscriptions->pdata[i];

        if (s->kind == SUBSCRIPTION_CLOSE)
            subscription_send(s, CALL_EVENT_CONNECT_EVENT_CONNECTION_CLOSED, body);
    }
    g_mutex_unlock(&hub->lock);
}
