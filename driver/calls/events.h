/* events.h - the hub that brings events of domains and networks to the clients that asked.
 *
 * Publishing is thread-safe, never blocks, and may be done with the lock of the domain or network
 * held: the hub's lock is a leaf but for the lock of each client's outgoing queue. All clients see
 * events in the order they were published.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_EVENTS_H
#define KILN_DRIVER_CALLS_EVENTS_H

#include <glib.h>
#include <stdint.h>

struct WireParams;

typedef struct EventHub EventHub;

/* Which domain or network an event is about; borrowed for the length of the publishing call.
 * @id is the domain's id while it runs, -1 else. libvirt gives the id the domain had in the event
 * that ends it. */
typedef struct EventDomain {
    const char *name;
    const uint8_t *uuid;
    int id;
} EventDomain;

typedef struct EventNetwork {
    const char *name;
    const uint8_t *uuid;
} EventNetwork;

typedef struct EventPool {
    const char *name;
    const uint8_t *uuid;
} EventPool;

typedef struct EventNodeDevice {
    const char *name;
} EventNodeDevice;

typedef struct EventSecret {
    const uint8_t *uuid;
    int usage_type;
    const char *usage_id; /* "" when there is none */
} EventSecret;

EventHub *event_hub_new(void);
void event_hub_free(EventHub *hub);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EventHub, event_hub_free)

/* VIR_DOMAIN_EVENT_ID_LIFECYCLE: @event is a virDomainEventType, @detail the …DetailType of it. */
void event_hub_domain_lifecycle(EventHub *hub, const EventDomain *dom, int event, int detail);
/* VIR_DOMAIN_EVENT_ID_REBOOT: the guest reset itself or was reset. */
void event_hub_domain_reboot(EventHub *hub, const EventDomain *dom);
/* VIR_DOMAIN_EVENT_ID_RTC_CHANGE: the guest's clock is now @offset seconds off UTC. */
void event_hub_domain_rtc_change(EventHub *hub, const EventDomain *dom, int64_t offset);
/* VIR_DOMAIN_EVENT_ID_PMSUSPEND and _PMWAKEUP, by @event: the guest sleeps in memory, or woke. */
void event_hub_domain_sleep(EventHub *hub, const EventDomain *dom, int event);
/* VIR_DOMAIN_EVENT_ID_WATCHDOG: the guest did not feed its watchdog; @action is a
 * virDomainEventWatchdogAction. */
void event_hub_domain_watchdog(EventHub *hub, const EventDomain *dom, int action);
/* VIR_DOMAIN_EVENT_ID_CONTROL_ERROR: the control connection to the VMM broke. */
void event_hub_domain_control_error(EventHub *hub, const EventDomain *dom);
/* VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE: memory the guest has now, in KiB. */
void event_hub_domain_balloon_change(EventHub *hub, const EventDomain *dom, uint64_t actual);
/* VIR_DOMAIN_EVENT_ID_IO_ERROR and _IO_ERROR_REASON: @action is a virDomainEventIOErrorAction. */
void event_hub_domain_io_error(EventHub *hub, const EventDomain *dom, const char *source,
                               const char *alias, int action, const char *reason);
/* VIR_DOMAIN_EVENT_ID_TRAY_CHANGE: virDomainEventTrayChangeReason. */
void event_hub_domain_tray(EventHub *hub, const EventDomain *dom, const char *alias, int reason);
/* VIR_DOMAIN_EVENT_ID_GRAPHICS: a viewer came or went. */
struct DomainGraphicsEvent;
void event_hub_domain_graphics(EventHub *hub, const EventDomain *dom,
                               struct DomainGraphicsEvent *msg);
/* Something that the VMM told on its monitor; @details is JSON, or NULL. */
void event_hub_domain_monitor(EventHub *hub, const EventDomain *dom, const char *name,
                              const char *details);
/* @params is taken over. */
void event_hub_domain_tunable(EventHub *hub, const EventDomain *dom, struct WireParams *params);
/* VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE: virConnectDomainEventAgentLifecycleState and …Reason. */
void event_hub_domain_agent_lifecycle(EventHub *hub, const EventDomain *dom, int state, int reason);
/* VIR_DOMAIN_EVENT_ID_METADATA_CHANGE: @type is virDomainMetadataType, @uri that of an element. */
void event_hub_domain_metadata_change(EventHub *hub, const EventDomain *dom, int type,
                                      const char *uri);
/* VIR_DOMAIN_EVENT_ID_BLOCK_JOB (@disk: its source) or BLOCK_JOB_2 (its target), by @event;
 * virDomainBlockJobType, virConnectDomainEventBlockJobStatus. */
void event_hub_domain_block_job(EventHub *hub, const EventDomain *dom, int event, const char *disk,
                                int type, int status);
/* VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD: @dev ("vda" or "vda[1]"), a local image's @path or NULL, and
 * bytes. */
void event_hub_domain_block_threshold(EventHub *hub, const EventDomain *dom, const char *dev,
                                      const char *path, uint64_t threshold, uint64_t excess);
/* VIR_DOMAIN_EVENT_ID_DISK_CHANGE: virConnectDomainEventDiskChangeReason; NULL: no source. */
void event_hub_domain_disk_change(EventHub *hub, const EventDomain *dom, const char *alias,
                                  const char *old_source, const char *new_source, int reason);
/* VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION */
void event_hub_domain_iteration(EventHub *hub, const EventDomain *dom, int iteration);
/* VIR_DOMAIN_EVENT_ID_JOB_COMPLETED; @params is taken over. */
void event_hub_domain_job_completed(EventHub *hub, const EventDomain *dom,
                                    struct WireParams *params);
/* VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, _REMOVED and _REMOVAL_FAILED, by @event. */
void event_hub_domain_device(EventHub *hub, const EventDomain *dom, int event, const char *alias);

/* VIR_NETWORK_EVENT_ID_LIFECYCLE: virNetworkEventLifecycleType; @detail is 0 in libvirt 9.0.0. */
void event_hub_network_lifecycle(EventHub *hub, const EventNetwork *net, int event, int detail);

/* VIR_SECRET_EVENT_ID_LIFECYCLE: virSecretEventLifecycleType; @detail is 0 in libvirt 9.0.0. */
void event_hub_secret_lifecycle(EventHub *hub, const EventSecret *secret, int event, int detail);
/* VIR_SECRET_EVENT_ID_VALUE_CHANGED */
void event_hub_secret_value_changed(EventHub *hub, const EventSecret *secret);

/* VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE: virStoragePoolEventLifecycleType; @detail is 0. */
void event_hub_pool_lifecycle(EventHub *hub, const EventPool *pool, int event, int detail);
/* VIR_STORAGE_POOL_EVENT_ID_REFRESH */
void event_hub_pool_refreshed(EventHub *hub, const EventPool *pool);

/* VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE: virNodeDeviceEventLifecycleType; @detail is 0. */
void event_hub_node_device_lifecycle(EventHub *hub, const EventNodeDevice *dev, int event,
                                     int detail);
/* VIR_NODE_DEVICE_EVENT_ID_UPDATE */
void event_hub_node_device_updated(EventHub *hub, const EventNodeDevice *dev);

/* Tells every client that asked (virConnectRegisterCloseCallback) that the daemon closes its
 * connection; @reason is a virConnectCloseReason. */
void event_hub_connection_closed(EventHub *hub, int reason);

#endif
