/* snapshot_delete.c - deleting snapshots.
 *
 * Follows virDomainSnapshotDelete: internal snapshots as libvirt 9.0 does, external ones as 9.10,
 * where the new image is merged into the one it lies on. Left out: merging where others lie on the
 * new image, or nobody uses it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "driver/domain/attach.h"
#include "driver/domain/resources.h"
#include "driver/domain/snapshot.h"
#include "driver/storage/backend.h"
#include "util/error.h"

enum {
    DELETE_FLAGS = VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN | VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY |
                   VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY,
    BELOW = VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN | VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY,
    MERGE_LOOK_US = 50000,
};

static bool
check_flags(unsigned flags, GError **err)
{
    if (flags & ~(unsigned)DELETE_FLAGS)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "unsupported flags (0x%x) in function virDomainSnapshotDelete",
                              flags & ~(unsigned)DELETE_FLAGS);
    return (flags & BELOW) != BELOW ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "children and children-only flags in virDomainSnapshotDelete are "
                          "mutually exclusive");
}

/* --- external snapshots ----------------------------------------------------------------------- */

/* That the new image of @entry is what the guest uses, and lies on that of the snapshot. */
static bool
check_merge(Domain *domain, const SnapshotDef *def, const SnapshotDisk *entry, GError **err)
{
    const DomainDisk *base = domain_def_disk(def->domain, entry->name), *disk;
    DomainImage image = { 0 };
    bool ok;

    g_mutex_lock(&domain->lock);
    disk = domain_def_disk(domain->live ? domain->live : domain->config, entry->name);
    ok = disk && g_strcmp0(domain_disk_path(disk), snapshot_disk_path(entry)) == 0;
    g_mutex_unlock(&domain->lock);
    if (!ok || !base || entry->type == DOMAIN_DISK_BLOCK)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "deletion of external snapshot '%s' is not supported: disk '%s' does "
                              "not use its image '%s'",
                              def->name, entry->name, snapshot_disk_path(entry));
    if (!domain_image_probe(domain->manager, snapshot_disk_path(entry), "qcow2", &image, err))
        return false;
    ok = g_strcmp0(image.backing, domain_disk_path(base)) == 0 ||
         kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                        "deletion of external snapshot '%s' is not supported: '%s' does not lie on "
                        "'%s'",
                        def->name, snapshot_disk_path(entry), domain_disk_path(base));
    g_free(image.backing);
    g_free(image.backing_format);
    return ok;
}

/* The running guest's VMM merges, and goes over. Not in a job. */
static bool
merge_running(Domain *domain, const char *target, const char *base, GError **err)
{
    DomainBlockJob job;
    bool found = true;

    if (!domain_block_commit(domain, target, base, NULL, 0, VIR_DOMAIN_BLOCK_COMMIT_ACTIVE, err))
        return false;
    do {
        g_usleep(MERGE_LOOK_US);
        if (!domain_block_job_info(domain, target, &job, &found, err))
            return false;
        if (!found)
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "the images of disk '%s' could not be merged", target);
    } while (job.cur < job.end);
    return domain_block_job_abort(domain, target, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT, err);
}

/* In a job, nobody having the images open. */
static bool
merge_stopped(Domain *domain, const SnapshotDef *def, GError **err)
{
    g_autofree char *program = domain_image_program(domain->manager);
    g_autoptr(DomainDef) config = NULL;

    g_mutex_lock(&domain->lock);
    config = domain->config ? domain_def_copy(domain->config) : NULL;
    g_mutex_unlock(&domain->lock);
    if (!config)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "the domain is gone");
    for (guint i = 0; i < def->disks->len; i++) {
        const SnapshotDisk *entry = def->disks->pdata[i];
        const char *const words[] = { program, "commit", "-q",           "-d",
                                      "-f",    "qcow2",  snapshot_disk_path(entry), NULL };

        if (entry->location != SNAPSHOT_EXTERNAL)
            continue;
        if (!storage_run(words, -1, NULL, err))
            return false;
        domain_disk_take_source(domain_def_disk(config, entry->name),
                                domain_def_disk(def->domain, entry->name));
    }
    return domain_config_replace(domain, g_steal_pointer(&config), err);
}

/* Not in a job. The images are merged, and the new ones removed; the snapshot is still known. */
static bool
merge(Domain *domain, const SnapshotDef *def, GError **err)
{
    bool active = domain_is_active(domain), ok = true;

    for (guint i = 0; ok && i < def->disks->len; i++) {
        const SnapshotDisk *entry = def->disks->pdata[i];

        ok = entry->location != SNAPSHOT_EXTERNAL || check_merge(domain, def, entry, err);
    }
    for (guint i = 0; ok && active && i < def->disks->len; i++) {
        const SnapshotDisk *entry = def->disks->pdata[i];

        ok = entry->location != SNAPSHOT_EXTERNAL ||
             merge_running(domain, entry->name,
                           domain_disk_path(domain_def_disk(def->domain, entry->name)), err);
    }
    if (ok && !active) {
        ok = domain_job_begin(domain, "merging images", err);
        if (ok) {
            ok = merge_stopped(domain, def, err);
            domain_job_end(domain);
        }
    }
    for (guint i = 0; ok && i < def->disks->len; i++) {
        const SnapshotDisk *entry = def->disks->pdata[i];

        if (entry->location == SNAPSHOT_EXTERNAL)
            unlink(snapshot_disk_path(entry));
    }
    if (ok && def->memory == SNAPSHOT_EXTERNAL)
        unlink(def->memory_file);
    return ok;
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
    if ((images && external && !merge(domain, def, err)) ||
        !domain_job_begin(domain, "deletion of a snapshot", err))
        return false;
    ok = (!images || external || delete_internal(domain, def, err)) &&
         domain_snapshot_drop(domain, name, err);
    domain_job_end(domain);
    return ok;
}

/* That no external snapshot of @names has children that stay. */
static bool
check_children(Domain *domain, const GPtrArray *names, bool below, GError **err)
{
    for (guint i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];
        g_autoptr(SnapshotDef) def = domain_snapshot_copy(domain, name, err);
        g_autoptr(GPtrArray) children = domain_snapshot_list(domain, name, 0, err);

        if (!def || !children)
            return false;
        if (snapshot_def_is_external(def) && children->len > 0 && !below)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "deletion of external snapshot '%s', which has children, is not "
                                  "supported",
                                  name);
    }
    return true;
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
    if (!(flags & VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY) &&
        !check_children(domain, names, flags & BELOW, err))
        return false;
    /* children first: being the current one goes up to what stays */
    for (guint i = names->len; i > 0; i--)
        if (!delete_one(domain, names->pdata[i - 1], flags, err))
            return false;
    return true;
}
