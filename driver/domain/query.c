/* query.c - what can be asked of a domain without waiting for its job.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/argv.h"
#include "driver/domain/private.h"
#include "util/error.h"

char *
domain_dup_name(Domain *domain)
{
    char *name;

    g_mutex_lock(&domain->lock);
    name = g_strdup(domain->name);
    g_mutex_unlock(&domain->lock);
    return name;
}

const uint8_t *
domain_uuid(const Domain *domain)
{
    return domain->uuid;
}

int
domain_id(Domain *domain)
{
    int id;

    g_mutex_lock(&domain->lock);
    id = domain->id;
    g_mutex_unlock(&domain->lock);
    return id;
}

bool
domain_is_active(Domain *domain)
{
    bool active;

    g_mutex_lock(&domain->lock);
    active = domain->live != NULL;
    g_mutex_unlock(&domain->lock);
    return active;
}

bool
domain_is_persistent(Domain *domain)
{
    bool persistent;

    g_mutex_lock(&domain->lock);
    persistent = domain->config != NULL;
    g_mutex_unlock(&domain->lock);
    return persistent;
}

bool
domain_is_updated(Domain *domain)
{
    bool updated;

    g_mutex_lock(&domain->lock);
    updated = domain->updated;
    g_mutex_unlock(&domain->lock);
    return updated;
}

bool
domain_autostart(Domain *domain)
{
    bool autostart;

    g_mutex_lock(&domain->lock);
    autostart = domain->autostart;
    g_mutex_unlock(&domain->lock);
    return autostart;
}

int
domain_state(Domain *domain, int *ret_reason)
{
    int state;

    g_mutex_lock(&domain->lock);
    state = domain->state;
    if (ret_reason)
        *ret_reason = domain->reason;
    g_mutex_unlock(&domain->lock);
    return state;
}

void
domain_info(Domain *domain, DomainInfo *ret_info)
{
    const DomainDef *def;
    pid_t pid = 0;

    *ret_info = (DomainInfo){ 0 };
    g_mutex_lock(&domain->lock);
    def = domain->live ? domain->live : domain->config;
    ret_info->state = domain->state;
    if (def) {
        ret_info->max_memory = def->memory;
        ret_info->memory = def->current_memory;
        ret_info->vcpus = domain_def_vcpus_current(def);
    }
    if (domain->live) {
        pid = domain->run->process.pid;
        if (domain->run->balloon_kib > 0)
            ret_info->memory = domain->run->balloon_kib;
    }
    g_mutex_unlock(&domain->lock);
    if (pid > 0)
        ret_info->cpu_time = domain_process_cpu_time(pid, 0);
}

bool
domain_cpu_times(Domain *domain, DomainCpuTimes *ret, GError **err)
{
    DomainCpuTimes times = { 0 };
    pid_t pid;

    g_mutex_lock(&domain->lock);
    pid = domain->live ? domain->run->process.pid : 0;
    g_mutex_unlock(&domain->lock);
    times.total = pid > 0 ? domain_process_cpu_time(pid, 0) : 0;
    if (pid <= 0 || !domain_process_times(pid, &times.user, &times.system))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    *ret = times;
    return true;
}

/* VIR_DOMAIN_XML_UPDATE_CPU: what host-model stands for on this host, which may have to be asked of
 * KVM first. */
static char *
updated_xml(DomainManager *manager, DomainDef *def, unsigned format, GError **err)
{
    const NodeHostModel *host = NULL;

    if (manager->ops && manager->ops->host_model)
        host = manager->ops->host_model(manager->opaque, err);
    else
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "the host's CPU model is not known");
    if (!host)
        return NULL;
    argv_resolve_host_model(def->cpu, host);
    return domain_def_format(def, format);
}

/* The sockets that the daemon chose for @live when it was started: elsewhere it chooses others. */
static void
forget_sockets(DomainDef *live, const DomainManager *manager)
{
    g_autofree char *channels = g_build_filename(manager->lib_dir, "channel", "", NULL);

    for (guint i = 0; i < live->channels->len; i++) {
        DomainChar *channel = live->channels->pdata[i];

        if (!channel->source.path || !g_str_has_prefix(channel->source.path, channels))
            continue;
        g_clear_pointer(&channel->source.path, g_free);
        channel->source.mode = DOMAIN_CHAR_MODE_ABSENT;
    }
    for (guint i = 0; i < live->graphics->len; i++) {
        DomainGraphics *graphics = live->graphics->pdata[i];

        if (!graphics->socket || !g_str_has_prefix(graphics->socket, manager->run_dir))
            continue;
        g_clear_pointer(&graphics->socket, g_free);
        for (guint k = 0; k < graphics->listens->len; k++)
            g_clear_pointer(&((DomainListen *)graphics->listens->pdata[k])->socket, g_free);
    }
}

/* A copy whose <currentMemory> is what the guest has (0: not known), not what it was told to have:
 * it takes its time, and has no driver, maybe. */
static DomainDef *
as_ballooned(const DomainDef *def, uint64_t kib)
{
    DomainDef *copy = domain_def_copy(def);

    if (kib > 0)
        copy->current_memory = kib;
    return copy;
}

char *
domain_xml(Domain *domain, unsigned flags, GError **err)
{
    unsigned format = flags & VIR_DOMAIN_XML_SECURE ? DOMAIN_FORMAT_SECURE : 0;
    bool update = flags & VIR_DOMAIN_XML_UPDATE_CPU;
    g_autoptr(DomainDef) ballooned = NULL;
    g_autoptr(DomainDef) updated = NULL;
    const DomainDef *def;
    char *xml = NULL;

    g_mutex_lock(&domain->lock);
    def = domain->live;
    if (!def || ((flags & VIR_DOMAIN_XML_INACTIVE) && domain->config))
        def = domain->config;
    /* for another host: the running guest's devices, without what this host has of them */
    if (!domain->live || (flags & (VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_MIGRATABLE)))
        format |= DOMAIN_FORMAT_INACTIVE;
    else
        format |= DOMAIN_FORMAT_JOINED;
    if (def && def == domain->live)
        def = ballooned = as_ballooned(def, domain->run->balloon_kib);
    if (ballooned && (flags & VIR_DOMAIN_XML_MIGRATABLE))
        forget_sockets(ballooned, domain->manager);
    if (def && update && def->cpu && def->cpu->mode == DOMAIN_CPU_HOST_MODEL)
        updated = domain_def_copy(def);
    else if (def)
        xml = domain_def_format(def, format);
    g_mutex_unlock(&domain->lock);
    if (updated)
        return updated_xml(domain->manager, updated, format, err);
    if (!xml)
        kiln_error_set(err, VIR_ERR_NO_DOMAIN, "the domain has been removed");
    return xml;
}
