/* events.c - telling the daemon's clients what happened to a domain.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/private.h"

static void
event_send(Domain *domain, const DomainEvent *event)
{
    DomainManager *manager = domain->manager;

    if (manager->ops && manager->ops->event)
        manager->ops->event(manager->opaque, event);
}

void
domain_event_lifecycle_id(Domain *domain, int id, int event, int detail)
{
    g_autofree char *name = domain_dup_name(domain);

    event_send(domain, &(DomainEvent){ .id = VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                       .name = name,
                                       .uuid = domain->uuid,
                                       .domain_id = id,
                                       .event = event,
                                       .detail = detail });
}

void
domain_event_lifecycle(Domain *domain, int event, int detail)
{
    domain_event_lifecycle_id(domain, domain_id(domain), event, detail);
}

void
domain_event_send(Domain *domain, int event_id, int event, int detail, uint64_t value,
                  const char *text)
{
    g_autofree char *name = domain_dup_name(domain);

    event_send(domain, &(DomainEvent){ .id = event_id,
                                       .name = name,
                                       .uuid = domain->uuid,
                                       .domain_id = domain_id(domain),
                                       .event = event,
                                       .detail = detail,
                                       .value = value,
                                       .text = text });
}

void
domain_event_tunable(Domain *domain, const DomainParam *params, unsigned n)
{
    g_autofree char *name = domain_dup_name(domain);

    event_send(domain, &(DomainEvent){ .id = VIR_DOMAIN_EVENT_ID_TUNABLE,
                                       .name = name,
                                       .uuid = domain->uuid,
                                       .domain_id = domain_id(domain),
                                       .params = params,
                                       .n_params = n });
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
