/* impact.c - which definitions a call is about: the running guest's, the persistent one, or both
 * (virDomainModificationImpact).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/private.h"
#include "util/error.h"

bool
domain_impact(Domain *domain, unsigned *flags, GError **err)
{
    if (!(*flags & (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)))
        *flags |= domain->live ? VIR_DOMAIN_AFFECT_LIVE : VIR_DOMAIN_AFFECT_CONFIG;
    if ((*flags & VIR_DOMAIN_AFFECT_LIVE) && !domain->live)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    if ((*flags & VIR_DOMAIN_AFFECT_CONFIG) && !domain->config)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "transient domains do not have any "
                              "persistent config");
    return true;
}

DomainDef *
domain_impact_def(Domain *domain, unsigned flags, GError **err)
{
    const unsigned both = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG;

    if ((flags & both) == both) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "the flags for the live and for the persistent "
                       "definition exclude each other here");
        return NULL;
    }
    if (!domain_impact(domain, &flags, err))
        return NULL;
    return flags & VIR_DOMAIN_AFFECT_LIVE ? domain->live : domain->config;
}

/* Changes a copy, so that a change that fails half-way leaves nothing. */
static bool
changed_copy(const DomainDef *def, DomainChange change, void *opaque, DomainDef **ret, GError **err)
{
    g_autoptr(DomainDef) copy = domain_def_copy(def);

    if (!change(copy, opaque, err))
        return false;
    *ret = g_steal_pointer(&copy);
    return true;
}

bool
domain_impact_apply(Domain *domain, unsigned flags, DomainChange change, void *opaque, GError **err)
{
    DomainManager *manager = domain->manager;
    g_autoptr(DomainDef) live = NULL;
    g_autoptr(DomainDef) config = NULL;
    bool ok;

    g_mutex_lock(&domain->lock);
    ok = domain_impact(domain, &flags, err) &&
         (!(flags & VIR_DOMAIN_AFFECT_LIVE) ||
          changed_copy(domain->live, change, opaque, &live, err)) &&
         (!(flags & VIR_DOMAIN_AFFECT_CONFIG) ||
          changed_copy(domain->config, change, opaque, &config, err));
    g_mutex_unlock(&domain->lock);
    if (!ok)
        return false;
    if (config) {
        g_mutex_lock(&manager->define_lock);
        ok = domain_config_save(manager, config, err);
        g_mutex_unlock(&manager->define_lock);
        if (!ok)
            return false;
    }
    g_mutex_lock(&domain->lock);
    if (live) {
        DomainDef *old = domain->live;

        domain->live = g_steal_pointer(&live);
        live = old;
    }
    if (config) {
        DomainDef *old = domain->config;

        domain->config = g_steal_pointer(&config);
        config = old;
    }
    g_mutex_unlock(&domain->lock);
    if (live)
        domain_status_refresh(domain);
    return true;
}
