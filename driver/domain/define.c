/* define.c - defining, undefining, renaming, autostart.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/snapshot.h"
#include "util/error.h"

bool
domain_definition_replace(Domain *domain, DomainDef *def, GError **err)
{
    g_autoptr(DomainDef) taken = def;

    if (!domain_config_save(domain->manager, def, err))
        return false;
    g_mutex_lock(&domain->lock);
    if (domain->live)
        domain->updated = true;
    taken = domain->config;
    domain->config = def;
    g_mutex_unlock(&domain->lock);
    return true;
}

bool
domain_definition_new(Domain *domain, DomainDef *def, GError **err)
{
    const DomainDef *old;
    bool keep_cpu;

    g_mutex_lock(&domain->lock);
    old = domain->config ? domain->config : domain->live;
    keep_cpu = old && !domain_def_names_cpu(old);
    g_mutex_unlock(&domain->lock);
    return domain_def_as_new(def, keep_cpu, err);
}

static bool
has_config(Domain *domain)
{
    bool has;

    g_mutex_lock(&domain->lock);
    has = domain->config != NULL;
    g_mutex_unlock(&domain->lock);
    return has;
}

Domain *
domain_manager_define(DomainManager *manager, const char *xml, unsigned flags, GError **err)
{
    unsigned parse = flags & VIR_DOMAIN_DEFINE_VALIDATE ? DOMAIN_PARSE_VALIDATE : 0;
    DomainDef *def = domain_def_parse(xml, parse, &manager->defaults, err);
    g_autoptr(Domain) domain = NULL;
    bool is_new, was_persistent, ok;

    if (!def)
        return NULL;
    if (!(domain = domain_registry_claim_job(manager, def, "define", &is_new, err))) {
        domain_def_free(def);
        return NULL;
    }
    g_mutex_lock(&manager->define_lock);
    was_persistent = has_config(domain);
    if ((ok = domain_definition_new(domain, def, err)))
        ok = domain_definition_replace(domain, def, err);
    else
        domain_def_free(def);
    g_mutex_unlock(&manager->define_lock);
    /* a domain nobody could have seen before does not stay behind half defined */
    if (!ok && is_new)
        domain_registry_remove(domain);
    domain_job_end(domain);
    if (!ok)
        return NULL;
    domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_DEFINED,
                           was_persistent ? VIR_DOMAIN_EVENT_DEFINED_UPDATED
                                          : VIR_DOMAIN_EVENT_DEFINED_ADDED);
    return g_steal_pointer(&domain);
}

/* In a job, with define_lock held. */
static bool
definition_drop(Domain *domain, unsigned flags, GError **err)
{
    g_autoptr(DomainDef) def = NULL;
    DomainDef *dropped;
    unsigned snapshots;
    bool active;

    g_mutex_lock(&domain->lock);
    if (domain->config)
        def = domain_def_copy(domain->config);
    g_mutex_unlock(&domain->lock);
    if (!def)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "cannot undefine transient domain");
    if (domain_has_managed_save(domain) && !(flags & VIR_DOMAIN_UNDEFINE_MANAGED_SAVE))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "Refusing to undefine while domain managed save image exists");
    g_mutex_lock(&domain->lock);
    active = domain->live != NULL;
    g_mutex_unlock(&domain->lock);
    snapshots = active ? 0 : domain_snapshots_count(domain);
    if (snapshots > 0 && !(flags & VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "cannot delete inactive domain with %u snapshots", snapshots);
    if (domain_has_managed_save(domain) && !domain_managed_save_drop(domain, err))
        return false;
    if (snapshots > 0 && !domain_snapshots_forget(domain, err))
        return false;
    if (!domain_nvram_undefine(domain->manager, def, flags, err) ||
        !domain_config_remove(domain->manager, domain->name, err))
        return false;
    g_mutex_lock(&domain->lock);
    dropped = g_steal_pointer(&domain->config);
    domain->autostart = false;
    active = domain->live != NULL;
    g_mutex_unlock(&domain->lock);
    if (active) {
        domain_def_free(dropped);
    } else {
        domain_registry_remove(domain);
        /* those who still hold the domain may ask for its XML */
        g_mutex_lock(&domain->lock);
        domain->config = dropped;
        g_mutex_unlock(&domain->lock);
    }
    return true;
}

bool
domain_undefine(Domain *domain, unsigned flags, GError **err)
{
    bool ok;

    if (!domain_job_begin(domain, "undefine", err))
        return false;
    g_mutex_lock(&domain->manager->define_lock);
    ok = definition_drop(domain, flags, err);
    g_mutex_unlock(&domain->manager->define_lock);
    domain_job_end(domain);
    if (ok)
        domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_UNDEFINED,
                               VIR_DOMAIN_EVENT_UNDEFINED_REMOVED);
    return ok;
}

bool
domain_set_autostart(Domain *domain, bool autostart, GError **err)
{
    bool ok;

    if (!domain_job_begin(domain, "autostart", err))
        return false;
    g_mutex_lock(&domain->manager->define_lock);
    ok = has_config(domain) || kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                                              "cannot set autostart for transient domain");
    ok = ok && domain_config_link(domain->manager, domain->name, autostart, err);
    if (ok) {
        g_mutex_lock(&domain->lock);
        domain->autostart = autostart;
        g_mutex_unlock(&domain->lock);
    }
    g_mutex_unlock(&domain->manager->define_lock);
    domain_job_end(domain);
    return ok;
}

/* In a job, with define_lock held. The new file is written before the old one goes. */
static bool
definition_rename(Domain *domain, const char *name, GError **err)
{
    DomainManager *manager = domain->manager;
    g_autofree char *old = domain_dup_name(domain);
    g_autoptr(DomainDef) def = NULL;
    bool autostart, active;

    g_mutex_lock(&domain->lock);
    active = domain->live != NULL;
    autostart = domain->autostart;
    def = domain->config ? domain_def_copy(domain->config) : NULL;
    g_mutex_unlock(&domain->lock);
    if (!def)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "cannot rename a transient domain");
    if (active)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "cannot rename active domain");
    if (domain_has_managed_save(domain))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "domain with a managed saved state can't be renamed");
    if (domain_snapshots_count(domain) > 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "cannot rename domain with snapshots");
    if (strcmp(old, name) == 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "domain '%s' cannot be renamed to itself", name);
    if (!*name || strpbrk(name, "/\n"))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "'%s' is no name for a domain: it must not be empty, nor contain '/' "
                              "or line ends",
                              name);
    g_free(def->name);
    def->name = g_strdup(name);
    if (!domain_def_complete(def, &manager->defaults, err) ||
        !domain_registry_rename(domain, name, err))
        return false;
    if (!domain_config_save(manager, def, err) ||
        (autostart && !domain_config_link(manager, name, true, err))) {
        domain_config_remove(manager, name, NULL);
        domain_registry_rename(domain, old, NULL);
        return false;
    }
    domain_config_remove(manager, old, NULL);
    g_mutex_lock(&domain->lock);
    domain_def_free(domain->config);
    domain->config = g_steal_pointer(&def);
    g_mutex_unlock(&domain->lock);
    return true;
}

bool
domain_rename(Domain *domain, const char *name, GError **err)
{
    g_autofree char *old = NULL;
    bool ok;

    if (!domain_job_begin(domain, "rename", err))
        return false;
    old = domain_dup_name(domain);
    g_mutex_lock(&domain->manager->define_lock);
    ok = definition_rename(domain, name, err);
    g_mutex_unlock(&domain->manager->define_lock);
    domain_job_end(domain);
    if (!ok)
        return false;
    domain_event_renamed(domain, old);
    return true;
}
