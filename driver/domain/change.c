/* change.c - changing a domain's definitions, the live one together with the guest.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/attach.h"
#include "driver/domain/update.h"
#include "util/error.h"

bool
domain_copies(Domain *domain, unsigned *flags, DomainDef **ret_live, DomainDef **ret_config,
              GError **err)
{
    bool ok;

    g_mutex_lock(&domain->lock);
    ok = domain_impact(domain, flags, err);
    if (ok && (*flags & VIR_DOMAIN_AFFECT_LIVE))
        *ret_live = domain_def_copy(domain->live);
    if (ok && (*flags & VIR_DOMAIN_AFFECT_CONFIG))
        *ret_config = domain_def_copy(domain->config);
    g_mutex_unlock(&domain->lock);
    return ok;
}

void
domain_live_replace(Domain *domain, DomainDef *def)
{
    DomainDef *old;

    g_mutex_lock(&domain->lock);
    old = domain->live;
    for (guint i = 0; i < def->channels->len; i++) {
        DomainChar *channel = def->channels->pdata[i];
        DomainDevice before;

        if (domain_device_find_alias(old, channel->info.alias, &before) &&
            before.kind->id == DEVICE_CHANNEL)
            channel->state = ((const DomainChar *)before.device)->state;
    }
    for (guint i = 0; i < def->disks->len; i++) {
        DomainDisk *disk = def->disks->pdata[i];
        DomainDevice before;

        if (domain_device_find_alias(old, disk->info.alias, &before) &&
            before.kind->id == DEVICE_DISK)
            disk->tray = ((const DomainDisk *)before.device)->tray;
    }
    domain->live = def;
    g_mutex_unlock(&domain->lock);
    domain_def_free(old);
    domain_status_refresh(domain);
}

bool
domain_config_replace(Domain *domain, DomainDef *def, GError **err)
{
    DomainManager *manager = domain->manager;
    DomainDef *old;
    bool ok;

    g_mutex_lock(&manager->define_lock);
    ok = domain_config_save(manager, def, err);
    g_mutex_unlock(&manager->define_lock);
    if (!ok) {
        domain_def_free(def);
        return false;
    }
    g_mutex_lock(&domain->lock);
    old = domain->config;
    domain->config = def;
    g_mutex_unlock(&domain->lock);
    domain_def_free(old);
    return true;
}

static bool
tune(Domain *domain, const DomainTuning *what, void *wanted, unsigned flags, GError **err)
{
    g_autoptr(DomainDef) live = NULL;
    g_autoptr(DomainDef) config = NULL;
    g_autoptr(DomainRun) run = NULL;

    if (!domain_copies(domain, &flags, &live, &config, err) ||
        (live && !(run = domain_run_get(domain, err))) ||
        (config && !what->note(config, live, wanted, err)))
        return false;
    if (live) {
        if (!what->apply(run, live, wanted, err))
            return false;
        domain_live_replace(domain, g_steal_pointer(&live));
        if (what->tell)
            what->tell(domain, wanted);
    }
    return !config || domain_config_replace(domain, g_steal_pointer(&config), err);
}

bool
domain_tune(Domain *domain, const DomainTuning *what, void *wanted, unsigned flags, GError **err)
{
    bool ok;

    if (!domain_job_begin(domain, what->job, err))
        return false;
    ok = tune(domain, what, wanted, flags, err);
    domain_job_end(domain);
    return ok;
}
