/* snapshot.c - the snapshots that are known of a domain: their files, their tree, and lists of
 * them.
 *
 * Follows virDomainSnapshot* of libvirt 9.0. Domain.snapshots is changed in a job, with the state
 * lock held; the file is written first.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/snapshot.h"

#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

static const char *const suffixes[] = { "xml", "memory", "nvram" };

static char *
directory(Domain *domain)
{
    g_autofree char *name = domain_dup_name(domain);

    return g_build_filename(domain->manager->lib_dir, "snapshot", name, NULL);
}

char *
domain_snapshot_path(Domain *domain, const char *name, const char *suffix, bool make, GError **err)
{
    g_autofree char *dir = directory(domain);

    if (make && !file_make_dirs(dir, 0700, err))
        return NULL;
    return g_strdup_printf("%s/%s.%s", dir, name, suffix);
}

/* With the state lock held. */
static SnapshotDef *
find(Domain *domain, const char *name)
{
    for (guint i = 0; i < domain->snapshots->len; i++) {
        SnapshotDef *def = domain->snapshots->pdata[i];

        if (strcmp(def->name, name) == 0)
            return def;
    }
    return NULL;
}

static bool
no_snapshot(const char *name, GError **err)
{
    return kiln_error_set(err, VIR_ERR_NO_DOMAIN_SNAPSHOT,
                          "no domain snapshot with matching name '%s'", name);
}

bool
domain_snapshot_exists(Domain *domain, const char *name, GError **err)
{
    bool there;

    g_mutex_lock(&domain->lock);
    there = find(domain, name) != NULL;
    g_mutex_unlock(&domain->lock);
    return there || no_snapshot(name, err);
}

SnapshotDef *
domain_snapshot_copy(Domain *domain, const char *name, GError **err)
{
    SnapshotDef *def;

    g_mutex_lock(&domain->lock);
    def = find(domain, name);
    if (def)
        def = xml_type_copy(&snapshot_def_type, def);
    g_mutex_unlock(&domain->lock);
    if (!def)
        no_snapshot(name, err);
    return def;
}

char *
domain_snapshot_xml(Domain *domain, const char *name, unsigned flags, GError **err)
{
    g_autoptr(SnapshotDef) def = domain_snapshot_copy(domain, name, err);

    if (!def)
        return NULL;
    return snapshot_def_format(
        def, DOMAIN_FORMAT_INACTIVE |
                 (flags & VIR_DOMAIN_SNAPSHOT_XML_SECURE ? DOMAIN_FORMAT_SECURE : 0));
}

char *
domain_snapshot_current(Domain *domain, GError **err)
{
    char *name = NULL;

    g_mutex_lock(&domain->lock);
    for (guint i = 0; i < domain->snapshots->len; i++) {
        const SnapshotDef *def = domain->snapshots->pdata[i];

        if (def->active == 1)
            name = g_strdup(def->name);
    }
    g_mutex_unlock(&domain->lock);
    if (!name)
        kiln_error_set(err, VIR_ERR_NO_DOMAIN_SNAPSHOT,
                       "the domain does not have a current snapshot");
    return name;
}

char *
domain_snapshot_parent(Domain *domain, const char *name, GError **err)
{
    g_autoptr(SnapshotDef) def = domain_snapshot_copy(domain, name, err);

    if (def && !def->parent)
        kiln_error_set(err, VIR_ERR_NO_DOMAIN_SNAPSHOT, "snapshot '%s' does not have a parent",
                       name);
    return def ? g_strdup(def->parent) : NULL;
}

unsigned
domain_snapshots_count(Domain *domain)
{
    unsigned n;

    g_mutex_lock(&domain->lock);
    n = domain->snapshots->len;
    g_mutex_unlock(&domain->lock);
    return n;
}

/* --- lists ------------------------------------------------------------------------------------ */

static bool
has_children(Domain *domain, const SnapshotDef *def)
{
    for (guint i = 0; i < domain->snapshots->len; i++)
        if (g_strcmp0(((const SnapshotDef *)domain->snapshots->pdata[i])->parent, def->name) == 0)
            return true;
    return false;
}

/* Whether @flags, of the groups of virDomainSnapshotListFlags, choose @def. A group without a flag
 * chooses all. */
static bool
chosen(Domain *domain, const SnapshotDef *def, unsigned flags)
{
    const unsigned leaves = VIR_DOMAIN_SNAPSHOT_LIST_LEAVES;
    const unsigned inner = VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES;
    const unsigned with = VIR_DOMAIN_SNAPSHOT_LIST_METADATA;
    const unsigned without = VIR_DOMAIN_SNAPSHOT_LIST_NO_METADATA;
    const unsigned off = VIR_DOMAIN_SNAPSHOT_LIST_INACTIVE, on = VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE;
    const unsigned disks = VIR_DOMAIN_SNAPSHOT_LIST_DISK_ONLY;
    const unsigned internal = VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL;
    const unsigned external = VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL;
    unsigned state = def->state == SNAPSHOT_STATE_SHUTOFF         ? off
                     : def->state == SNAPSHOT_STATE_DISK_SNAPSHOT ? disks
                                                                  : on;
    unsigned place = snapshot_def_is_external(def) ? external : internal;

    if ((flags & (leaves | inner)) && !(flags & (has_children(domain, def) ? inner : leaves)))
        return false;
    if ((flags & (with | without)) && !(flags & with))
        return false;
    if ((flags & (off | on | disks)) && !(flags & state))
        return false;
    return !(flags & (internal | external)) || (flags & place);
}

/* Those below @parent (NULL: the roots), in order of creation; of all generations if @deep. */
static void
list_below(Domain *domain, const char *parent, bool deep, unsigned flags, GPtrArray *names)
{
    for (guint i = 0; i < domain->snapshots->len; i++) {
        const SnapshotDef *def = domain->snapshots->pdata[i];

        if (g_strcmp0(def->parent, parent) != 0)
            continue;
        if (chosen(domain, def, flags))
            g_ptr_array_add(names, g_strdup(def->name));
        if (deep)
            list_below(domain, def->name, true, flags, names);
    }
}

GPtrArray *
domain_snapshot_list(Domain *domain, const char *parent, unsigned flags, GError **err)
{
    /* the same bit: "roots only" of a domain, "all generations" of a snapshot */
    bool first = flags & VIR_DOMAIN_SNAPSHOT_LIST_ROOTS;
    GPtrArray *names = NULL;

    g_mutex_lock(&domain->lock);
    if (!parent || find(domain, parent)) {
        names = g_ptr_array_new_with_free_func(g_free);
        list_below(domain, parent, parent ? first : !first, flags, names);
    }
    g_mutex_unlock(&domain->lock);
    if (!names)
        no_snapshot(parent, err);
    return names;
}

/* --- files ------------------------------------------------------------------------------------ */

static bool
write_def(Domain *domain, const SnapshotDef *def, GError **err)
{
    g_autofree char *path = domain_snapshot_path(domain, def->name, "xml", true, err);
    g_autofree char *text = NULL;

    if (!path)
        return false;
    text = snapshot_def_format(def, DOMAIN_FORMAT_STATUS | DOMAIN_FORMAT_SECURE);
    return file_write_atomic(path, text, strlen(text), 0600, err);
}

static bool
remove_files(Domain *domain, const char *name, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *path = domain_snapshot_path(domain, name, suffixes[i], false, NULL);

        if (!file_remove(path, err))
            return false;
    }
    return true;
}

static int
by_creation(gconstpointer a, gconstpointer b)
{
    const SnapshotDef *const *left = a, *const *right = b;

    if ((*left)->creation_time != (*right)->creation_time)
        return (*left)->creation_time < (*right)->creation_time ? -1 : 1;
    return strcmp((*left)->name, (*right)->name);
}

/* Puts @def (taken over) in its place. */
static void
put(Domain *domain, SnapshotDef *def)
{
    SnapshotDef *old;

    g_mutex_lock(&domain->lock);
    old = find(domain, def->name);
    if (old)
        g_ptr_array_remove(domain->snapshots, old);
    g_ptr_array_add(domain->snapshots, def);
    g_ptr_array_sort(domain->snapshots, by_creation);
    g_mutex_unlock(&domain->lock);
}

/* Another copy of @def with this parent and state of being the current one, written and put. */
static bool
change(Domain *domain, const char *name, const char *parent, bool active, GError **err)
{
    SnapshotDef *def = domain_snapshot_copy(domain, name, err);

    if (!def)
        return false;
    if (g_strcmp0(def->parent, parent) == 0 && (def->active == 1) == active) {
        snapshot_def_free(def);
        return true;
    }
    g_free(def->parent);
    def->parent = g_strdup(parent);
    def->active = active;
    if (!write_def(domain, def, err)) {
        snapshot_def_free(def);
        return false;
    }
    put(domain, def);
    return true;
}

bool
domain_snapshot_set_current(Domain *domain, const char *name, GError **err)
{
    g_autofree char *old = domain_snapshot_current(domain, NULL);

    if (g_strcmp0(old, name) == 0)
        return true;
    if (name) {
        g_autofree char *parent = domain_snapshot_parent(domain, name, NULL);

        if (!change(domain, name, parent, true, err))
            return false;
    }
    if (old) {
        g_autofree char *parent = domain_snapshot_parent(domain, old, NULL);

        return change(domain, old, parent, false, err);
    }
    return true;
}

bool
domain_snapshot_enter(Domain *domain, SnapshotDef *def, bool current, GError **err)
{
    g_autofree char *old = domain_snapshot_current(domain, NULL);

    def->active = current;
    if (!write_def(domain, def, err)) {
        snapshot_def_free(def);
        return false;
    }
    if (current && old && strcmp(old, def->name) != 0) {
        g_autofree char *parent = domain_snapshot_parent(domain, old, NULL);

        put(domain, def);
        return change(domain, old, parent, false, err);
    }
    put(domain, def);
    return true;
}

bool
domain_snapshot_drop(Domain *domain, const char *name, GError **err)
{
    g_autoptr(SnapshotDef) def = domain_snapshot_copy(domain, name, err);
    g_autoptr(GPtrArray) children = NULL;
    SnapshotDef *there;

    if (!def || !(children = domain_snapshot_list(domain, name, 0, err)))
        return false;
    for (guint i = 0; i < children->len; i++) {
        g_autoptr(SnapshotDef) child = domain_snapshot_copy(domain, children->pdata[i], err);

        if (!child || !change(domain, child->name, def->parent, child->active == 1, err))
            return false;
    }
    if (def->active == 1 && !domain_snapshot_set_current(domain, def->parent, err))
        return false;
    if (!remove_files(domain, name, err))
        return false;
    g_mutex_lock(&domain->lock);
    there = find(domain, name);
    if (there)
        g_ptr_array_remove(domain->snapshots, there);
    g_mutex_unlock(&domain->lock);
    return true;
}

bool
domain_snapshots_forget(Domain *domain, GError **err)
{
    g_autoptr(GPtrArray) names = domain_snapshot_list(domain, NULL, 0, err);
    g_autofree char *dir = directory(domain);

    for (guint i = 0; names && i < names->len; i++)
        if (!remove_files(domain, names->pdata[i], err))
            return false;
    rmdir(dir);
    g_mutex_lock(&domain->lock);
    g_ptr_array_set_size(domain->snapshots, 0);
    g_mutex_unlock(&domain->lock);
    return true;
}

/* --- reading them in -------------------------------------------------------------------------- */

static void
load_one(Domain *domain, const char *path)
{
    DomainManager *manager = domain->manager;
    g_autoptr(GError) err = NULL;
    g_autofree char *text = file_read_limited(path, XML_MAX_LENGTH, NULL, &err);
    SnapshotDef *def =
        text ? snapshot_def_parse(text, SNAPSHOT_PARSE_STATUS, &manager->defaults, &err) : NULL;
    g_autofree char *expected =
        def ? domain_snapshot_path(domain, def->name, "xml", false, NULL) : NULL;

    if (def && strcmp(expected, path) != 0) {
        kiln_error_set(&err, VIR_ERR_INTERNAL_ERROR, "it holds snapshot '%s'", def->name);
        g_clear_pointer(&def, snapshot_def_free);
    }
    if (def)
        put(domain, def);
    else
        domain_manager_warn(manager, "cannot take up the snapshot of '%s': %s", path, err->message);
}

/* One whose parent is gone, or that is its own ancestor, becomes a root, so that every snapshot is
 * found from one. */
static void
mend_tree(Domain *domain)
{
    g_mutex_lock(&domain->lock);
    for (guint i = 0; i < domain->snapshots->len; i++) {
        SnapshotDef *def = domain->snapshots->pdata[i];
        const SnapshotDef *above = def;
        guint steps = 0;

        while (above && above->parent && steps++ <= domain->snapshots->len)
            above = find(domain, above->parent);
        if (!above || steps > domain->snapshots->len)
            g_clear_pointer(&def->parent, g_free);
    }
    g_mutex_unlock(&domain->lock);
}

void
domain_snapshots_load(DomainManager *manager)
{
    g_autoptr(GPtrArray) all = domain_manager_list(manager, 0);

    for (guint i = 0; i < all->len; i++) {
        Domain *domain = all->pdata[i];
        g_autofree char *path = directory(domain);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
            g_autofree char *file = g_build_filename(path, name, NULL);

            if (g_str_has_suffix(name, ".xml") && name[0] != '.')
                load_one(domain, file);
        }
        if (dir)
            mend_tree(domain);
    }
}
