/* registry.c - the tables of domains by UUID, name and id, and the rules for clashes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/private.h"
#include "xml/snapshot.h"
#include "util/error.h"
#include "util/registry.h"
#include "util/uuid.h"

void
domain_registry_init(DomainManager *manager)
{
    g_mutex_init(&manager->lock);
    g_mutex_init(&manager->define_lock);
    manager->by_uuid =
        g_hash_table_new_full(kiln_uuid_hash, kiln_uuid_equal, NULL, (GDestroyNotify)domain_unref);
    manager->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    manager->by_id = g_hash_table_new(g_direct_hash, g_direct_equal);
}

void
domain_registry_clear(DomainManager *manager)
{
    g_hash_table_unref(manager->by_id);
    g_hash_table_unref(manager->by_name);
    g_hash_table_unref(manager->by_uuid);
    g_mutex_clear(&manager->define_lock);
    g_mutex_clear(&manager->lock);
}

Domain *
domain_new(DomainManager *manager, const uint8_t uuid[16], const char *name)
{
    Domain *domain = g_new0(Domain, 1);

    domain->refs = 1;
    domain->manager = manager;
    memcpy(domain->uuid, uuid, 16);
    domain->name = g_strdup(name);
    domain->id = -1;
    domain->state = VIR_DOMAIN_SHUTOFF;
    domain->reason = VIR_DOMAIN_SHUTOFF_UNKNOWN;
    domain->agent_timeout = VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK;
    g_mutex_init(&domain->lock);
    g_queue_init(&domain->job_waiters);
    domain->consoles = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    domain->snapshots = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_def_free);
    return domain;
}

Domain *
domain_ref(Domain *domain)
{
    g_atomic_int_inc(&domain->refs);
    return domain;
}

void
domain_unref(Domain *domain)
{
    if (!domain || !g_atomic_int_dec_and_test(&domain->refs))
        return;
    domain_def_free(domain->config);
    domain_def_free(domain->live);
    g_hash_table_unref(domain->consoles);
    g_ptr_array_unref(domain->snapshots);
    g_mutex_clear(&domain->lock);
    g_free(domain->name);
    g_free(domain);
}

/* --- finding -------------------------------------------------------------------------------- */

/* A reference to a domain that has a definition; NULL for one that is only being made. */
static Domain *
take(gpointer found)
{
    Domain *domain = found;
    bool ready = false;

    if (domain) {
        g_mutex_lock(&domain->lock);
        ready = domain->config || domain->live;
        g_mutex_unlock(&domain->lock);
    }
    return ready ? domain_ref(domain) : NULL;
}

Domain *
domain_manager_lookup_uuid(DomainManager *manager, const uint8_t uuid[16], const char *name_hint,
                           GError **err)
{
    g_autofree char *text = NULL;
    Domain *domain;

    g_mutex_lock(&manager->lock);
    domain = take(g_hash_table_lookup(manager->by_uuid, uuid));
    g_mutex_unlock(&manager->lock);
    if (domain)
        return domain;
    text = kiln_uuid_format(uuid);
    if (name_hint)
        kiln_error_set(err, VIR_ERR_NO_DOMAIN, "no domain with matching uuid '%s' (%s)", text,
                       name_hint);
    else
        kiln_error_set(err, VIR_ERR_NO_DOMAIN, "no domain with matching uuid '%s'", text);
    return NULL;
}

Domain *
domain_manager_lookup_name(DomainManager *manager, const char *name, GError **err)
{
    Domain *domain;

    g_mutex_lock(&manager->lock);
    domain = take(g_hash_table_lookup(manager->by_name, name));
    g_mutex_unlock(&manager->lock);
    if (!domain)
        kiln_error_set(err, VIR_ERR_NO_DOMAIN, "no domain with matching name '%s'", name);
    return domain;
}

Domain *
domain_manager_lookup_id(DomainManager *manager, int id, GError **err)
{
    Domain *domain;

    g_mutex_lock(&manager->lock);
    domain = take(g_hash_table_lookup(manager->by_id, GINT_TO_POINTER(id)));
    g_mutex_unlock(&manager->lock);
    if (!domain)
        kiln_error_set(err, VIR_ERR_NO_DOMAIN, "no domain with matching id %d", id);
    return domain;
}

unsigned
domain_manager_count_active(DomainManager *manager)
{
    unsigned n;

    g_mutex_lock(&manager->lock);
    n = g_hash_table_size(manager->by_id);
    g_mutex_unlock(&manager->lock);
    return n;
}

static bool
state_matches(unsigned flags, int state)
{
    unsigned group = VIR_CONNECT_LIST_DOMAINS_RUNNING | VIR_CONNECT_LIST_DOMAINS_PAUSED |
                     VIR_CONNECT_LIST_DOMAINS_SHUTOFF | VIR_CONNECT_LIST_DOMAINS_OTHER;
    unsigned own = state == VIR_DOMAIN_RUNNING   ? VIR_CONNECT_LIST_DOMAINS_RUNNING
                   : state == VIR_DOMAIN_PAUSED  ? VIR_CONNECT_LIST_DOMAINS_PAUSED
                   : state == VIR_DOMAIN_SHUTOFF ? VIR_CONNECT_LIST_DOMAINS_SHUTOFF
                                                 : VIR_CONNECT_LIST_DOMAINS_OTHER;

    return !(flags & group) || (flags & own);
}

static bool
domain_matches(Domain *domain, unsigned flags)
{
    bool matches;

    g_mutex_lock(&domain->lock);
    matches = (domain->config || domain->live) &&
              registry_allows(flags, VIR_CONNECT_LIST_DOMAINS_ACTIVE,
                              VIR_CONNECT_LIST_DOMAINS_INACTIVE, domain->live != NULL) &&
              registry_allows(flags, VIR_CONNECT_LIST_DOMAINS_PERSISTENT,
                              VIR_CONNECT_LIST_DOMAINS_TRANSIENT, domain->config != NULL) &&
              registry_allows(flags, VIR_CONNECT_LIST_DOMAINS_AUTOSTART,
                              VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART, domain->autostart) &&
              registry_allows(flags, VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE,
                              VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE, domain->managed_save) &&
              registry_allows(flags, VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT,
                              VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT, false) &&
              registry_allows(flags, VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT,
                              VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT, false) &&
              state_matches(flags, domain->state);
    g_mutex_unlock(&domain->lock);
    return matches;
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp((*(Domain *const *)a)->name, (*(Domain *const *)b)->name);
}

GPtrArray *
domain_manager_list(DomainManager *manager, unsigned flags)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)domain_unref);
    GHashTableIter iter;
    gpointer domain;

    g_mutex_lock(&manager->lock);
    g_hash_table_iter_init(&iter, manager->by_uuid);
    while (g_hash_table_iter_next(&iter, NULL, &domain))
        if (domain_matches(domain, flags))
            g_ptr_array_add(list, domain_ref(domain));
    g_ptr_array_sort(list, compare_names); /* names are constant under the manager's lock */
    g_mutex_unlock(&manager->lock);
    return list;
}

/* --- changing ------------------------------------------------------------------------------- */

/* Called with manager->lock held. */
static void
enter_tables(DomainManager *manager, Domain *domain)
{
    g_hash_table_insert(manager->by_uuid, domain->uuid, domain_ref(domain));
    g_hash_table_insert(manager->by_name, domain->name, domain);
}

Domain *
domain_registry_claim(DomainManager *manager, const DomainDef *def, bool *ret_new, GError **err)
{
    g_autofree char *text = NULL;
    Domain *domain, *other;
    uint8_t uuid[16];

    domain_def_uuid(def, uuid);
    g_mutex_lock(&manager->lock);
    domain = g_hash_table_lookup(manager->by_uuid, uuid);
    other = g_hash_table_lookup(manager->by_name, def->name);
    if (domain && domain != other) {
        text = kiln_uuid_format(uuid);
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "domain '%s' is already defined with uuid %s",
                       domain->name, text);
        domain = NULL;
    } else if (domain) {
        *ret_new = false;
        domain_ref(domain);
    } else if (other) {
        text = kiln_uuid_format(other->uuid);
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "domain '%s' already exists with uuid %s",
                       other->name, text);
    } else {
        domain = domain_new(manager, uuid, def->name);
        enter_tables(manager, domain);
        *ret_new = true;
    }
    g_mutex_unlock(&manager->lock);
    return domain;
}

void
domain_registry_remove(Domain *domain)
{
    DomainManager *manager = domain->manager;
    bool entered;

    g_mutex_lock(&manager->lock);
    g_mutex_lock(&domain->lock);
    entered = !domain->removed;
    domain->removed = true;
    g_mutex_unlock(&domain->lock);
    if (entered) {
        g_hash_table_remove(manager->by_name, domain->name);
        g_hash_table_steal(manager->by_uuid, domain->uuid);
    }
    g_mutex_unlock(&manager->lock);
    if (entered)
        domain_unref(domain);
}

int
domain_registry_new_id(Domain *domain)
{
    DomainManager *manager = domain->manager;
    int id;

    g_mutex_lock(&manager->lock);
    do
        manager->last_id = manager->last_id == G_MAXINT ? 1 : manager->last_id + 1;
    while (g_hash_table_contains(manager->by_id, GINT_TO_POINTER(manager->last_id)));
    id = manager->last_id;
    g_mutex_unlock(&manager->lock);
    return id;
}

void
domain_registry_take_id(Domain *domain, int id)
{
    DomainManager *manager = domain->manager;

    g_mutex_lock(&manager->lock);
    g_hash_table_insert(manager->by_id, GINT_TO_POINTER(id), domain);
    manager->last_id = MAX(manager->last_id, id);
    g_mutex_unlock(&manager->lock);
}

void
domain_registry_drop_id(Domain *domain, int id)
{
    DomainManager *manager = domain->manager;

    g_mutex_lock(&manager->lock);
    if (g_hash_table_lookup(manager->by_id, GINT_TO_POINTER(id)) == domain)
        g_hash_table_remove(manager->by_id, GINT_TO_POINTER(id));
    g_mutex_unlock(&manager->lock);
}

Domain *
domain_registry_claim_job(DomainManager *manager, const DomainDef *def, const char *job,
                          bool *ret_new, GError **err)
{
    for (;;) {
        g_autoptr(GError) failure = NULL;
        Domain *domain = domain_registry_claim(manager, def, ret_new, err);

        if (!domain || domain_job_begin(domain, job, &failure))
            return domain;
        domain_unref(domain);
        /* it went away while we waited: the name and UUID are free now */
        if (failure->code == VIR_ERR_NO_DOMAIN)
            continue;
        g_propagate_error(err, g_steal_pointer(&failure));
        return NULL;
    }
}

bool
domain_registry_rename(Domain *domain, const char *name, GError **err)
{
    DomainManager *manager = domain->manager;
    bool ok;

    g_mutex_lock(&manager->lock);
    ok = !g_hash_table_contains(manager->by_name, name) ||
         kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain with name '%s' already exists",
                        name);
    if (ok) {
        g_mutex_lock(&domain->lock);
        g_hash_table_remove(manager->by_name, domain->name);
        g_free(domain->name);
        domain->name = g_strdup(name);
        g_hash_table_insert(manager->by_name, domain->name, domain);
        g_mutex_unlock(&domain->lock);
    }
    g_mutex_unlock(&manager->lock);
    return ok;
}
