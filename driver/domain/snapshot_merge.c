/* snapshot_merge.c - the images of an external snapshot become one: its new image is committed into
 * the image that it lies on, wherever in the tree that is.
 *
 * Follows the deletion of external snapshots of libvirt 9.10. An image may only be written to when
 * nobody else needs it as it was: no other image may lie on it, no other snapshot be of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "driver/domain/attach.h"
#include "driver/domain/resources.h"
#include "driver/domain/snapshot.h"
#include "driver/storage/backend.h"
#include "util/error.h"

enum { MERGE_LOOK_US = 50000, CHAIN_MAX = 200 };

/* One disk of the snapshot. */
typedef struct {
    const SnapshotDisk *entry;
    const DomainDisk *base; /* what it lies on */
    const char *over;       /* the new image */
    GPtrArray *followers;   /* char *: images that lie on it */
    char *above;            /* the image of the guest's chain that lies on it */
    bool used;              /* the guest's image is it */
    bool in_chain;          /* the guest's image is it, or lies on it somewhere below */
} Merge;

static void
merge_free(void *opaque)
{
    Merge *m = opaque;

    g_ptr_array_unref(m->followers);
    g_free(m->above);
    g_free(m);
}

/* --- what lies on what ------------------------------------------------------------------------ */

/* What @path lies on; "" for nothing. NULL with @err when it cannot be read. */
static char *
backing_of(Domain *domain, const char *path, GError **err)
{
    DomainImage image = { 0 };
    char *backing;

    if (!domain_image_probe(domain->manager, path, "qcow2", &image, err))
        return NULL;
    backing = image.backing ? g_steal_pointer(&image.backing) : g_strdup("");
    g_free(image.format);
    g_free(image.backing);
    g_free(image.backing_format);
    return backing;
}

/* The image that the guest has for @name now. */
static char *
current_path(Domain *domain, const char *name)
{
    const DomainDisk *disk;
    char *path;

    g_mutex_lock(&domain->lock);
    disk = domain_def_disk(domain->live ? domain->live : domain->config, name);
    path = disk ? g_strdup(domain_disk_path(disk)) : NULL;
    g_mutex_unlock(&domain->lock);
    return path;
}

static bool
unsupported(const char *snapshot, GError **err, const char *why, const char *a, const char *b)
{
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "deletion of external snapshot '%s' is not supported: '%s' %s '%s'",
                          snapshot, a, why, b);
}

/* Notes an image of the guest's tree of images: it may lie on the new image, but not beside it. */
static bool
check_image(Domain *domain, const char *snapshot, Merge *m, const char *path, GError **err)
{
    const char *base = domain_disk_path(m->base);
    g_autofree char *backing = NULL;

    if (!path || strcmp(path, m->over) == 0 || strcmp(path, base) == 0 ||
        g_ptr_array_find_with_equal_func(m->followers, path, g_str_equal, NULL))
        return true;
    /* What is not there, or not of this format, lies on nothing. */
    backing = backing_of(domain, path, NULL);
    if (backing && strcmp(backing, base) == 0)
        return unsupported(snapshot, err, "lies on this too:", path, base);
    if (backing && strcmp(backing, m->over) == 0)
        g_ptr_array_add(m->followers, g_strdup(path));
    return true;
}

static bool
check_others(Domain *domain, const SnapshotDef *def, Merge *m, GError **err)
{
    g_autoptr(GPtrArray) names = domain_snapshot_list(domain, NULL, 0, err);

    for (guint i = 0; names && i < names->len; i++) {
        g_autoptr(SnapshotDef) other = domain_snapshot_copy(domain, names->pdata[i], err);
        const DomainDisk *disk = other ? domain_def_disk(other->domain, m->entry->name) : NULL;
        const char *path = disk ? domain_disk_path(disk) : NULL;

        if (!other)
            return false;
        if (strcmp(other->name, def->name) == 0)
            continue;
        if (g_strcmp0(path, domain_disk_path(m->base)) == 0)
            return unsupported(def->name, err, "is a snapshot of", other->name, path);
        for (guint k = 0; k < other->disks->len; k++) {
            const SnapshotDisk *entry = other->disks->pdata[k];

            if (strcmp(entry->name, m->entry->name) != 0)
                continue;
            if (entry->location == SNAPSHOT_INTERNAL && g_strcmp0(path, m->over) == 0)
                return unsupported(def->name, err, "is a snapshot inside", other->name, path);
            if (entry->location == SNAPSHOT_EXTERNAL &&
                !check_image(domain, def->name, m, snapshot_disk_path(entry), err))
                return false;
        }
        if (!check_image(domain, def->name, m, path, err))
            return false;
    }
    return names != NULL;
}

/* Walks down from the guest's image; every image on the way is looked at like the others. */
static bool
check_current(Domain *domain, const SnapshotDef *def, Merge *m, GError **err)
{
    g_autofree char *path = current_path(domain, m->entry->name);

    m->used = g_strcmp0(path, m->over) == 0;
    if (g_strcmp0(path, domain_disk_path(m->base)) == 0)
        return unsupported(def->name, err, "is what is used of disk", path, m->entry->name);
    for (int i = 0; i < CHAIN_MAX && path && *path && !m->in_chain; i++) {
        char *next;

        if (!check_image(domain, def->name, m, path, err))
            return false;
        m->in_chain = strcmp(path, m->over) == 0;
        next = backing_of(domain, path, NULL);
        if (g_strcmp0(next, m->over) == 0)
            m->above = g_strdup(path);
        g_free(path);
        path = next;
    }
    return true;
}

static bool
check_merge(Domain *domain, const SnapshotDef *def, Merge *m, GError **err)
{
    g_autofree char *backing = NULL;

    if (!m->base || !domain_disk_path(m->base) || m->entry->type == DOMAIN_DISK_BLOCK)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "deletion of external snapshot '%s' is not supported: disk '%s' has "
                              "no files to merge",
                              def->name, m->entry->name);
    backing = backing_of(domain, m->over, err);
    if (!backing)
        return false;
    if (strcmp(backing, domain_disk_path(m->base)) != 0)
        return unsupported(def->name, err, "does not lie on", m->over, domain_disk_path(m->base));
    return check_current(domain, def, m, err) && check_others(domain, def, m, err);
}

/* --- merging ---------------------------------------------------------------------------------- */

/* The running guest's VMM merges; when it is the guest's own image, the guest goes over. Not in a
 * job. */
static bool
merge_running(Domain *domain, const Merge *m, GError **err)
{
    const char *target = m->entry->name;
    g_autofree char *backing = NULL;
    DomainBlockJob job = { 0 };
    bool found = true;

    if (!domain_block_commit(domain, target, domain_disk_path(m->base), m->used ? NULL : m->over, 0,
                             m->used ? VIR_DOMAIN_BLOCK_COMMIT_ACTIVE : 0, err))
        return false;
    do {
        g_usleep(MERGE_LOOK_US);
        if (!domain_block_job_info(domain, target, &job, &found, err))
            return false;
    } while (found && (!m->used || job.cur < job.end));
    if (m->used && found)
        return domain_block_job_abort(domain, target, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT, err);
    /* What lay on it says whether it is done. */
    if (m->above)
        backing = backing_of(domain, m->above, NULL);
    return g_strcmp0(backing, domain_disk_path(m->base)) == 0 ||
           kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                          "the images of disk '%s' could not be merged", target);
}

/* Nobody has the images open. */
static bool
merge_stopped(Domain *domain, const Merge *m, GError **err)
{
    DomainDisk *image = domain_snapshot_source(m->entry);
    bool ok = domain_image_commit(domain->manager, image, m->base, err);

    xml_type_free(&domain_backing_type, image);
    return ok;
}

/* What lay on the new image lies on the old one, in the images that the VMM has not told so. */
static bool
move_followers(Domain *domain, const Merge *m, GError **err)
{
    g_autofree char *program = domain_image_program(domain->manager);
    const char *format = argv_image_driver(m->base);

    for (guint i = 0; i < m->followers->len; i++) {
        const char *path = m->followers->pdata[i];
        const char *const words[] = {
            program,
            "rebase",
            "-q",
            "-u",
            "--keyless",
            "-f",
            "qcow2",
            "-F",
            format,
            "-b",
            domain_disk_path(m->base),
            path,
            NULL,
        };
        g_autofree char *backing = backing_of(domain, path, err);

        if (!backing)
            return false;
        if (strcmp(backing, m->over) == 0 && !storage_run(words, -1, NULL, err))
            return false;
    }
    return true;
}

/* Disks of @def that have the new image get the old one, and those that are said to lie on it lie
 * on the old one. */
static bool
def_follow(DomainDef *def, const Merge *m)
{
    DomainDisk *disk = def ? domain_def_disk(def, m->entry->name) : NULL;

    if (!disk)
        return false;
    if (g_strcmp0(domain_disk_path(disk), m->over) != 0)
        return argv_chain_remove(disk, m->over);
    domain_disk_take_source(disk, m->base);
    if (disk->backing_store) {
        g_free(disk->backing_store);
        disk->backing_store = g_strdup(m->base->backing_store);
    }
    return true;
}

/* In a job. */
static bool
definitions_follow(Domain *domain, const SnapshotDef *def, const Merge *m, GError **err)
{
    g_autoptr(GPtrArray) names = domain_snapshot_list(domain, NULL, 0, err);
    g_autoptr(DomainDef) config = NULL;

    for (guint i = 0; names && i < names->len; i++) {
        g_autoptr(SnapshotDef) other = domain_snapshot_copy(domain, names->pdata[i], err);
        bool changed, active;

        if (!other)
            return false;
        if (strcmp(other->name, def->name) == 0)
            continue;
        changed = def_follow(other->domain, m);
        changed = def_follow(other->inactive, m) || changed;
        active = other->active == 1;
        if (changed && !domain_snapshot_enter(domain, g_steal_pointer(&other), active, err))
            return false;
    }
    g_mutex_lock(&domain->lock);
    config = domain->config ? domain_def_copy(domain->config) : NULL;
    g_mutex_unlock(&domain->lock);
    return names &&
           (!def_follow(config, m) || domain_config_replace(domain, g_steal_pointer(&config), err));
}

static bool
merge_disk(Domain *domain, const SnapshotDef *def, const Merge *m, GError **err)
{
    bool running = domain_is_active(domain) && m->in_chain, ok;

    if (running && !merge_running(domain, m, err))
        return false;
    if (!domain_job_begin(domain, "merging images", err))
        return false;
    ok = (running || merge_stopped(domain, m, err)) && move_followers(domain, m, err) &&
         definitions_follow(domain, def, m, err);
    domain_job_end(domain);
    return ok;
}

bool
domain_snapshot_merge(Domain *domain, const SnapshotDef *def, GError **err)
{
    g_autoptr(GPtrArray) merges = g_ptr_array_new_with_free_func(merge_free);

    for (guint i = 0; i < def->disks->len; i++) {
        const SnapshotDisk *entry = def->disks->pdata[i];
        Merge *m;

        if (entry->location != SNAPSHOT_EXTERNAL)
            continue;
        m = g_new0(Merge, 1);
        m->entry = entry;
        m->base = domain_def_disk(def->domain, entry->name);
        m->over = snapshot_disk_path(entry);
        m->followers = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(merges, m);
        if (!check_merge(domain, def, m, err))
            return false;
    }
    for (guint i = 0; i < merges->len; i++)
        if (!merge_disk(domain, def, merges->pdata[i], err))
            return false;
    for (guint i = 0; i < merges->len; i++)
        unlink(((const Merge *)merges->pdata[i])->over);
    if (def->memory == SNAPSHOT_EXTERNAL)
        unlink(def->memory_file);
    return true;
}
