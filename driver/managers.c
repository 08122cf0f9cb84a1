/* managers.c - the managers of networks, storage, domains and secrets, wired together. See
 * managers.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/managers.h"

#include <string.h>
#include <unistd.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/wire.h"
#include "driver/domain/domain.h"
#include "driver/node/node.h"
#include "driver/nodedev/nodedev.h"
#include "driver/protocol/events.h"
#include "driver/secret/secret.h"
#include "driver/storage/storage.h"
#include "network/network.h"
#include "util/uuid.h"

static void
managers_warn(void *opaque, const char *message)
{
    (void)opaque;
    g_warning("%s", message);
}

static void
managers_network_lifecycle(void *opaque, const char *name, const uint8_t uuid[16], int event,
                           int detail)
{
    const CallServices *services = opaque;
    EventNetwork net = { name, uuid };

    event_hub_network_lifecycle(services->events, &net, event, detail);
}

static WireGraphicsAddress
graphics_address(const DomainEventAddress *address)
{
    return (WireGraphicsAddress){ address->family, (char *)address->node,
                                  (char *)address->service };
}

static void
managers_graphics_event(EventHub *hub, const EventDomain *dom, const DomainEventGraphics *graphics)
{
    WireGraphicsIdentity subject[2];
    DomainGraphicsEvent msg = {
        .phase = graphics->phase,
        .local = graphics_address(&graphics->local),
        .remote = graphics_address(&graphics->remote),
        .auth = (char *)graphics->auth,
        .subject = { 0, subject },
    };

    if (*graphics->x509_name)
        subject[msg.subject.subject_len++] =
            (WireGraphicsIdentity){ (char *)"x509dname", (char *)graphics->x509_name };
    if (*graphics->sasl_name)
        subject[msg.subject.subject_len++] =
            (WireGraphicsIdentity){ (char *)"saslUsername", (char *)graphics->sasl_name };
    event_hub_domain_graphics(hub, dom, &msg);
}

static void
managers_monitor_event(void *opaque, const DomainEvent *domain, const char *name, const char *data)
{
    const CallServices *services = opaque;
    EventDomain dom = { domain->name, domain->uuid, domain->domain_id };

    event_hub_domain_monitor(services->events, &dom, name, data);
}

static void
managers_domain_event(void *opaque, const DomainEvent *event)
{
    const CallServices *services = opaque;
    EventHub *hub = services->events;
    EventDomain dom = { event->name, event->uuid, event->domain_id };
    WireParams *params;

    switch (event->id) {
    case VIR_DOMAIN_EVENT_ID_LIFECYCLE:
        event_hub_domain_lifecycle(hub, &dom, event->event, event->detail);
        break;
    case VIR_DOMAIN_EVENT_ID_REBOOT:
        event_hub_domain_reboot(hub, &dom);
        break;
    case VIR_DOMAIN_EVENT_ID_RTC_CHANGE:
        event_hub_domain_rtc_change(hub, &dom, (int64_t)event->value);
        break;
    case VIR_DOMAIN_EVENT_ID_WATCHDOG:
        event_hub_domain_watchdog(hub, &dom, event->event);
        break;
    case VIR_DOMAIN_EVENT_ID_PMSUSPEND:
    case VIR_DOMAIN_EVENT_ID_PMWAKEUP:
        event_hub_domain_sleep(hub, &dom, event->id);
        break;
    case VIR_DOMAIN_EVENT_ID_CONTROL_ERROR:
        event_hub_domain_control_error(hub, &dom);
        break;
    case VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE:
        event_hub_domain_balloon_change(hub, &dom, event->value);
        break;
    case VIR_DOMAIN_EVENT_ID_IO_ERROR:
        event_hub_domain_io_error(hub, &dom, event->source, event->text, event->event,
                                  event->reason);
        break;
    case VIR_DOMAIN_EVENT_ID_TRAY_CHANGE:
        event_hub_domain_tray(hub, &dom, event->text, event->event);
        break;
    case VIR_DOMAIN_EVENT_ID_GRAPHICS:
        managers_graphics_event(hub, &dom, event->graphics);
        break;
    case VIR_DOMAIN_EVENT_ID_TUNABLE:
        params = wire_params_new();
        for (unsigned i = 0; i < event->n_params; i++)
            if (event->params[i].text)
                wire_params_add_string(params, event->params[i].name, event->params[i].text);
            else if (event->params[i].negative)
                wire_params_add_llong(params, event->params[i].name,
                                      (int64_t)event->params[i].value);
            else
                wire_params_add_ullong(params, event->params[i].name, event->params[i].value);
        event_hub_domain_tunable(hub, &dom, params);
        break;
    case VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE:
        event_hub_domain_agent_lifecycle(hub, &dom, event->event, event->detail);
        break;
    case VIR_DOMAIN_EVENT_ID_METADATA_CHANGE:
        event_hub_domain_metadata_change(hub, &dom, event->event, event->text);
        break;
    case VIR_DOMAIN_EVENT_ID_BLOCK_JOB:
    case VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2:
        event_hub_domain_block_job(hub, &dom, event->id, event->text, event->event, event->detail);
        break;
    case VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD:
        event_hub_domain_block_threshold(hub, &dom, event->text, event->path, event->value,
                                         event->excess);
        break;
    case VIR_DOMAIN_EVENT_ID_DISK_CHANGE:
        event_hub_domain_disk_change(hub, &dom, event->text, event->source, event->path,
                                     event->event);
        break;
    case VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION:
        event_hub_domain_iteration(hub, &dom, (int)event->value);
        break;
    case VIR_DOMAIN_EVENT_ID_JOB_COMPLETED:
        event_hub_domain_job_completed(hub, &dom, domain_reply_job(event->job));
        break;
    case VIR_DOMAIN_EVENT_ID_DEVICE_ADDED:
    case VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED:
    case VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED:
        event_hub_domain_device(hub, &dom, event->id, event->text);
        break;
    default:
        g_warning("domain event %d of '%s' has no message", event->id, event->name);
    }
}

static void
managers_secret_lifecycle(void *opaque, const SecretName *name, int event)
{
    const CallServices *services = opaque;
    EventSecret secret = { name->uuid, name->usage_type, name->usage_id };

    event_hub_secret_lifecycle(services->events, &secret, event, 0);
}

static void
managers_secret_value_changed(void *opaque, const SecretName *name)
{
    const CallServices *services = opaque;
    EventSecret secret = { name->uuid, name->usage_type, name->usage_id };

    event_hub_secret_value_changed(services->events, &secret);
}

static void
managers_pool_lifecycle(void *opaque, const char *name, const uint8_t uuid[16], int event)
{
    const CallServices *services = opaque;
    EventPool pool = { name, uuid };

    event_hub_pool_lifecycle(services->events, &pool, event, 0);
}

static void
managers_pool_refreshed(void *opaque, const char *name, const uint8_t uuid[16])
{
    const CallServices *services = opaque;
    EventPool pool = { name, uuid };

    event_hub_pool_refreshed(services->events, &pool);
}

static void
managers_node_device_lifecycle(void *opaque, const char *name, int event)
{
    const CallServices *services = opaque;
    EventNodeDevice dev = { name };

    event_hub_node_device_lifecycle(services->events, &dev, event, 0);
}

static void
managers_node_device_updated(void *opaque, const char *name)
{
    const CallServices *services = opaque;
    EventNodeDevice dev = { name };

    event_hub_node_device_updated(services->events, &dev);
}

static const NodeHostModel *
managers_host_model(void *opaque, GError **err)
{
    const CallServices *services = opaque;

    return node_get_host_model(services->node, err);
}

static char *
managers_sysinfo(void *opaque, GError **err)
{
    const CallServices *services = opaque;

    return node_get_sysinfo(services->node, err);
}

static bool
managers_volume(void *opaque, const char *pool, const char *name, char **ret_path, bool *ret_block,
                GError **err)
{
    const CallServices *services = opaque;

    return storage_manager_disk(services->storage, pool, name, ret_path, ret_block, err);
}

static GBytes *
managers_secret(void *opaque, const char *uuid, int usage_type, const char *usage_id, GError **err)
{
    const CallServices *services = opaque;

    return secret_manager_get_value(services->secrets, uuid, usage_type, usage_id, err);
}

static bool
managers_has_secrets(void *opaque)
{
    const CallServices *services = opaque;
    g_autoptr(GPtrArray) secrets = secret_manager_list(services->secrets, 0);

    return secrets->len > 0;
}

static char *
managers_secret_for(void *opaque, int usage_type, const char *usage_id)
{
    const CallServices *services = opaque;
    g_autoptr(Secret) secret =
        secret_manager_lookup_usage(services->secrets, usage_type, usage_id, NULL);

    return secret ? kiln_uuid_format(secret_uuid(secret)) : NULL;
}

static const NetworkOps managers_network_ops = {
    .lifecycle = managers_network_lifecycle,
    .warn = managers_warn,
};

static const SecretOps managers_secret_ops = {
    .lifecycle = managers_secret_lifecycle,
    .value_changed = managers_secret_value_changed,
    .warn = managers_warn,
};

static const StorageOps managers_storage_ops = {
    .lifecycle = managers_pool_lifecycle,
    .refreshed = managers_pool_refreshed,
    .warn = managers_warn,
    .secret = managers_secret,
    .secret_for = managers_secret_for,
};

static const NodeDeviceOps managers_node_device_ops = {
    .lifecycle = managers_node_device_lifecycle,
    .updated = managers_node_device_updated,
};

static const DomainOps managers_domain_ops = {
    .event = managers_domain_event,
    .monitor = managers_monitor_event,
    .warn = managers_warn,
    .host_model = managers_host_model,
    .sysinfo = managers_sysinfo,
    .volume = managers_volume,
    .secret = managers_secret,
    .has_secrets = managers_has_secrets,
};

void
managers_init(CallServices *services, const DaemonConfig *config)
{
    const DaemonPaths *paths = services->paths;
    bool privileged = !paths->session && geteuid() == 0;
    g_autofree char *network_hook = g_build_filename(paths->hooks_dir, "network", NULL);
    g_autofree char *domain_hook = g_build_filename(paths->hooks_dir, "qemu", NULL);
    NetworkConfig network_config = {
        .config_dir = paths->networks_dir,
        .run_dir = paths->networks_run,
        .dnsmasq_dir = paths->dnsmasq_dir,
        .hook_program = network_hook,
        .leases_helper = paths->leases_helper,
        .privileged = privileged,
    };
    StorageConfig storage_config = {
        .config_dir = paths->storage_dir,
        .run_dir = paths->storage_run,
        .images_dir = paths->images_dir,
        .img = paths->img,
    };
    DomainConfig domain_config = {
        .config_dir = paths->domains_dir,
        .run_dir = paths->domains_run,
        .lib_dir = paths->lib_dir,
        .log_dir = paths->log_dir,
        .pki_dir = paths->pki_dir,
        .hook_program = domain_hook,
        .vmm = paths->vmm,
        .vmm_user = privileged ? config->vmm_user : NULL,
        .vnc = { .listen = config->vnc_listen,
                 .password = config->vnc_password,
                 .tls = config->vnc_tls,
                 .tls_dir = config->vnc_tls_x509_cert_dir,
                 .tls_verify = config->vnc_tls_x509_verify },
        .save_packed = strcmp(config->save_image_format, "zstd") == 0,
        .privileged = privileged,
    };

    services->node_devices = node_devices_new(&managers_node_device_ops, services);
    services->secrets = secret_manager_new(paths->secrets_dir, &managers_secret_ops, services);
    services->secret_find = secret_manager_lookup_uuid;
    services->secret_unref = secret_unref;
    services->storage = storage_manager_new(&storage_config, &managers_storage_ops, services);
    services->pool_find = storage_manager_lookup_uuid;
    services->pool_unref = storage_pool_unref;
    services->volume_find = storage_manager_find_volume;
    services->volume_unref = storage_vol_unref;
    services->networks = network_manager_new(&network_config, &managers_network_ops, services);
    services->network_find = network_manager_lookup_uuid;
    services->network_unref = network_unref;
    services->domains =
        domain_manager_new(&domain_config, services->networks, &managers_domain_ops, services);
    services->domain_find = domain_manager_lookup_uuid;
    services->domain_unref = domain_unref;
    services->domain_client_gone = domain_manager_client_gone;
}

bool
managers_load(CallServices *services, GError **err)
{
    return secret_manager_load(services->secrets, err) &&
           storage_manager_load(services->storage, err) &&
           network_manager_load(services->networks, err) &&
           domain_manager_load(services->domains, err);
}

guint
managers_count_active(const CallServices *services)
{
    g_autoptr(GPtrArray) networks =
        network_manager_list(services->networks, VIR_CONNECT_LIST_NETWORKS_ACTIVE);

    return domain_manager_count_active(services->domains) + networks->len;
}

void
managers_clear(CallServices *services)
{
    g_clear_pointer(&services->domains, domain_manager_free);
    g_clear_pointer(&services->networks, network_manager_free);
    g_clear_pointer(&services->storage, storage_manager_free);
    g_clear_pointer(&services->secrets, secret_manager_free);
    g_clear_pointer(&services->node_devices, node_devices_free);
}
