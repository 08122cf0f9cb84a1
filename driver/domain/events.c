/* events.c - telling the daemon's clients what happened to a domain.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/private.h"

/* Sends @event, to which it adds whose it is (and the name, unless it has one); @id is the domain's
 * when it happened. */
static void
event_send(Domain *domain, int id, DomainEvent *event)
{
    DomainManager *manager = domain->manager;
    g_autofree char *name = NULL;

    if (!manager->ops || !manager->ops->event)
        return;
    if (!event->name)
        event->name = name = domain_dup_name(domain);
    event->uuid = domain->uuid;
    event->domain_id = id;
    manager->ops->event(manager->opaque, event);
}

void
domain_event_lifecycle_id(Domain *domain, int id, int event, int detail)
{
    event_send(
        domain, id,
        &(DomainEvent){ .id = VIR_DOMAIN_EVENT_ID_LIFECYCLE, .event = event, .detail = detail });
}

void
domain_event_lifecycle(Domain *domain, int event, int detail)
{
    domain_event_lifecycle_id(domain, domain_id(domain), event, detail);
}

void
domain_event_renamed(Domain *domain, const char *old)
{
    event_send(domain, -1,
               &(DomainEvent){ .id = VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                               .name = old,
                               .event = VIR_DOMAIN_EVENT_UNDEFINED,
                               .detail = VIR_DOMAIN_EVENT_UNDEFINED_RENAMED });
    domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_DEFINED, VIR_DOMAIN_EVENT_DEFINED_RENAMED);
}

void
domain_event_send(Domain *domain, int event_id, int event, int detail, uint64_t value,
                  const char *text)
{
    event_send(
        domain, domain_id(domain),
        &(DomainEvent){
            .id = event_id, .event = event, .detail = detail, .value = value, .text = text });
}

void
domain_event_io_error(Domain *domain, const char *source, const char *alias, int action,
                      const char *reason)
{
    event_send(domain, domain_id(domain),
               &(DomainEvent){ .id = VIR_DOMAIN_EVENT_ID_IO_ERROR,
                               .event = action,
                               .text = alias,
                               .source = source,
                               .reason = reason });
}

void
domain_event_graphics(Domain *domain, const DomainEventGraphics *graphics)
{
    event_send(domain, domain_id(domain),
               &(DomainEvent){ .id = VIR_DOMAIN_EVENT_ID_GRAPHICS, .graphics = graphics });
}

void
domain_event_monitor(Domain *domain, const char *name, JsonObject *data)
{
    DomainManager *manager = domain->manager;
    g_autofree char *domain_name = NULL, *text = NULL;
    g_autoptr(JsonNode) node = NULL;

    if (!manager->ops || !manager->ops->monitor)
        return;
    domain_name = domain_dup_name(domain);
    if (data) {
        node = json_node_new(JSON_NODE_OBJECT);
        json_node_set_object(node, data);
        text = json_to_string(node, FALSE);
    }
    manager->ops->monitor(
        manager->opaque,
        &(DomainEvent){ .name = domain_name, .uuid = domain->uuid, .domain_id = domain_id(domain) },
        name, text);
}

void
domain_event_tunable(Domain *domain, const DomainParam *params, unsigned n)
{
    event_send(
        domain, domain_id(domain),
        &(DomainEvent){ .id = VIR_DOMAIN_EVENT_ID_TUNABLE, .params = params, .n_params = n });
}

void
domain_event_job(Domain *domain, const DomainJobProgress *job)
{
    event_send(domain, domain_id(domain),
               &(DomainEvent){ .id = VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, .job = job });
}

void
domain_event_disk_missing(DomainRun *run, const char *alias, const char *old, int reason)
{
    Domain *domain = run->domain;
    event_send(
        domain, run->id,
        &(DomainEvent){
            .id = VIR_DOMAIN_EVENT_ID_DISK_CHANGE, .event = reason, .text = alias, .source = old });
}

void
domain_event_threshold(Domain *domain, const char *dev, const char *path, uint64_t bytes,
                       uint64_t excess)
{
    event_send(domain, domain_id(domain),
               &(DomainEvent){ .id = VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD,
                               .value = bytes,
                               .text = dev,
                               .path = path,
                               .excess = excess });
}

void
domain_manager_warn(DomainManager *manager, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    if (manager->ops && manager->ops->warn)
        manager->ops->warn(manager->opaque, text);
}
