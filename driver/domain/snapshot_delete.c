/* snapshot_delete.c - deleting snapshots.
 *
 * Follows virDomainSnapshotDelete: internal snapshots as libvirt 9.0 does, external ones as 9.10,
 * where the new image is merged into the one it lies on (snapshot_merge.c).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/snapshot.h"
#include "util/error.h"
#include "util/flags.h"

enum {
    DELETE_FLAGS = VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN | VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY |
                   VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY,
    BELOW = VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN | VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY,
};

static bool
check_flags(unsigned flags, GError **err)
{
    if (!kiln_flags_check(flags, DELETE_FLAGS, "virDomainSnapshotDelete", err))
        return false;
    return (flags & BELOW) != BELOW ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "children and children-only flags in virDomainSnapshotDelete are "
                          "mutually exclusive");
}

/* --- one after the other ---------------------------------------------------------------------- */

static bool
delete_internal(Domain *domain, const SnapshotDef *def, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, NULL);

    return domain_snapshot_images(domain->manager, run, def, "delete", err);
}

static bool
delete_one(Domain *domain, const char *name, unsigned flags, GError **err)
{
    bool images = !(flags & VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY), external, ok;
    g_autoptr(SnapshotDef) def = domain_snapshot_copy(domain, name, err);

    if (!def)
        return false;
    external = snapshot_def_is_external(def);
    if ((images && external && !domain_snapshot_merge(domain, def, err)) ||
        !domain_job_begin(domain, "deletion of a snapshot", err))
        return false;
    ok = (!images || external || delete_internal(domain, def, err)) &&
         domain_snapshot_drop(domain, name, err);
    domain_job_end(domain);
    return ok;
}

bool
domain_snapshot_delete(Domain *domain, const char *name, unsigned flags, GError **err)
{
    g_autoptr(GPtrArray) names = NULL;

    if (!check_flags(flags, err))
        return false;
    if (flags & BELOW)
        names = domain_snapshot_list(domain, name, VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS, err);
    else if (domain_snapshot_exists(domain, name, err))
        names = g_ptr_array_new_with_free_func(g_free);
    if (!names)
        return false;
    if (!(flags & VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY))
        g_ptr_array_insert(names, 0, g_strdup(name));
    /* children first: being the current one goes up to what stays */
    for (guint i = names->len; i > 0; i--)
        if (!delete_one(domain, names->pdata[i - 1], flags, err))
            return false;
    return true;
}
