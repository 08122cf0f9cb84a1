/* snapshot_create.c - making snapshots, and taking up the definitions of those that exist.
 *
 * Follows virDomainSnapshotCreateXML of libvirt 9.0 and its QEMU driver. Left out: saving memory
 * while the guest goes on (LIVE), snapshots of disks that are not files or devices of this host.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/domain/argv.h"
#include "driver/domain/attach.h"
#include "driver/domain/snapshot.h"
#include "util/error.h"
#include "util/flags.h"

enum {
    CREATE_FLAGS = VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT |
                   VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA | VIR_DOMAIN_SNAPSHOT_CREATE_HALT |
                   VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT |
                   VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC |
                   VIR_DOMAIN_SNAPSHOT_CREATE_LIVE | VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE,
};

/* --- flags ------------------------------------------------------------------------------------ */

static bool
check_flags(unsigned flags, GError **err)
{
    static const struct {
        unsigned one, other;
        bool needs; /* @one needs @other; else they exclude each other */
        const char *what;
    } rules[] = {
        { VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE, VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY, true,
          "'VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE' requires 'VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY'" },
        { VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE, true,
          "'VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT' requires 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE'" },
        { VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE, VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA, false,
          "redefining a snapshot and keeping no metadata" },
        { VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE, VIR_DOMAIN_SNAPSHOT_CREATE_HALT, false,
          "redefining a snapshot and stopping the guest" },
        { VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE, VIR_DOMAIN_SNAPSHOT_CREATE_LIVE, false,
          "redefining a snapshot and letting the guest go on" },
    };

    if (!kiln_flags_check(flags, CREATE_FLAGS, "virDomainSnapshotCreateXML", err))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(rules); i++)
        if ((flags & rules[i].one) && !(flags & rules[i].other) == rules[i].needs)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "%s%s", rules[i].what,
                                  rules[i].needs ? "" : " exclude each other");
    return true;
}

/* --- redefining ------------------------------------------------------------------------------- */

/* That @parent is there, and not below @name. */
static bool
check_parent(Domain *domain, const char *name, const char *parent, GError **err)
{
    g_autofree char *above = g_strdup(parent);

    if (parent && strcmp(parent, name) == 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "cannot set snapshot %s as its own parent",
                              name);
    while (above) {
        char *next;

        if (!domain_snapshot_exists(domain, above, NULL))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "parent %s for snapshot %s not found",
                                  above, name);
        if (strcmp(above, name) == 0)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "parent %s would create cycle to %s",
                                  parent, name);
        next = domain_snapshot_parent(domain, above, NULL);
        g_free(above);
        above = next;
    }
    return true;
}

static bool
is_offline(const SnapshotDef *def)
{
    return def->state == SNAPSHOT_STATE_SHUTOFF;
}

/* That @def is of this guest, as @old (NULL: none) is whose definition stands in for one not given.
 */
static bool
take_guest(const Domain *domain, SnapshotDef *def, SnapshotDef *old, GError **err)
{
    uint8_t own[16];

    if (!def->domain && old) {
        def->domain = g_steal_pointer(&old->domain);
        def->inactive = g_steal_pointer(&old->inactive);
    }
    if (!def->domain)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "missing domain in snapshot %s, which is not known yet", def->name);
    domain_def_uuid(def->domain, own);
    return memcmp(own, domain->uuid, sizeof(own)) == 0 ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "definition for snapshot must use the domain's own uuid, not %s",
                          def->domain->uuid);
}

/* @def is taken over. */
static bool
redefine(Domain *domain, SnapshotDef *def, unsigned flags, GError **err)
{
    g_autofree char *current = domain_snapshot_current(domain, NULL);
    g_autoptr(SnapshotDef) old = domain_snapshot_copy(domain, def->name, NULL);
    bool disks_only = def->state == SNAPSHOT_STATE_DISK_SNAPSHOT;
    bool external = disks_only || def->memory == SNAPSHOT_EXTERNAL;

    if (!check_parent(domain, def->name, def->parent, err) ||
        ((flags & VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY) && !disks_only &&
         !kiln_error_set(err, VIR_ERR_INVALID_ARG,
                         "disk-only flag for snapshot %s requires disk-snapshot state",
                         def->name)) ||
        !take_guest(domain, def, old, err) ||
        (old && is_offline(old) != is_offline(def) &&
         !kiln_error_set(err, VIR_ERR_INVALID_ARG,
                         "cannot change between online and offline snapshot state in snapshot %s",
                         def->name)) ||
        (old && (old->state == SNAPSHOT_STATE_DISK_SNAPSHOT) != disks_only &&
         !kiln_error_set(err, VIR_ERR_INVALID_ARG,
                         "cannot change between disk only and full system in snapshot %s",
                         def->name)) ||
        !snapshot_def_align(def, external ? SNAPSHOT_EXTERNAL : SNAPSHOT_INTERNAL, true, err)) {
        snapshot_def_free(def);
        return false;
    }
    return domain_snapshot_enter(
        domain, def,
        (flags & VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT) || g_strcmp0(current, def->name) == 0, err);
}

/* --- what is to be made ----------------------------------------------------------------------- */

/* Nodes have their numbers in a running guest only. */
static bool
forget_nodes(DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->disks->len; i++) {
        DomainDisk *disk = def->disks->pdata[i];
        g_autoptr(GPtrArray) layers = NULL;

        if (!disk->backing_store)
            continue;
        layers = argv_chain_parse(disk, err);
        if (!layers)
            return false;
        for (guint j = 0; j < layers->len; j++)
            ((ChainLayer *)layers->pdata[j])->index = 0;
        g_free(disk->backing_store);
        disk->backing_store = argv_chain_xml(layers, 0);
    }
    return true;
}

/* The guest as it is goes into @def. *ret_state: virDomainState. */
static bool
describe_guest(Domain *domain, SnapshotDef *def, int *ret_state, GError **err)
{
    DomainManager *manager = domain->manager;
    g_autofree char *xml = NULL;

    g_mutex_lock(&domain->lock);
    *ret_state = domain->state;
    if (domain->live) {
        xml = domain_def_format(domain->live, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
        def->inactive = domain->config ? domain_def_copy(domain->config) : NULL;
    } else if (domain->config) {
        def->domain = domain_def_copy(domain->config);
    }
    g_mutex_unlock(&domain->lock);
    if (xml)
        def->domain = domain_def_parse(xml, 0, &manager->defaults, err);
    else if (!def->domain)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "the domain is gone");
    return def->domain && (!xml || forget_nodes(def->domain, err)) &&
           domain_disks_resolve(manager, def->domain, err);
}

/* State, memory and places of disks, as libvirt decides them. */
static bool
decide(SnapshotDef *def, int state, bool active, unsigned flags, GError **err)
{
    bool disks_only = flags & VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY;
    bool external = disks_only || def->memory == SNAPSHOT_EXTERNAL;
    int now = active ? state == VIR_DOMAIN_PAUSED ? SNAPSHOT_STATE_PAUSED : SNAPSHOT_STATE_RUNNING
                     : SNAPSHOT_STATE_SHUTOFF;

    if ((flags & VIR_DOMAIN_SNAPSHOT_CREATE_LIVE) && def->memory != SNAPSHOT_EXTERNAL)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "live snapshot creation is supported only during full system "
                              "snapshots, with memory in a file of its own");
    if (active && state != VIR_DOMAIN_RUNNING && state != VIR_DOMAIN_PAUSED)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "the guest has powered off or crashed: no snapshot can be made");
    if (disks_only && def->memory && def->memory != SNAPSHOT_NO)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "disk-only snapshot cannot hold memory state");
    if (!active && def->memory && def->memory != SNAPSHOT_NO)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "memory state cannot be saved with offline or disk-only snapshot");
    if (active && !disks_only && def->memory == SNAPSHOT_NO)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "internal snapshot of a running VM must include the memory state");
    def->state = disks_only && active ? SNAPSHOT_STATE_DISK_SNAPSHOT : now;
    if (disks_only || !active)
        def->memory = SNAPSHOT_NO;
    else if (!def->memory)
        def->memory = SNAPSHOT_INTERNAL;
    return snapshot_def_align(def, external ? SNAPSHOT_EXTERNAL : SNAPSHOT_INTERNAL, !external,
                              err);
}

static bool
check_internal(const DomainDisk *disk, bool active, bool with_memory, GError **err)
{
    if (active && !with_memory)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "active qemu domains require external disk snapshots; disk %s "
                              "requested internal",
                              disk->target);
    if (g_strcmp0(disk->format, "qcow2") == 0 && (disk->file || disk->dev))
        return true;
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "internal snapshot for disk %s unsupported for storage type %s",
                          disk->target, disk->format ? disk->format : "raw");
}

static bool
check_external(const SnapshotDisk *entry, const DomainDisk *disk, bool reuse, GError **err)
{
    const char *path = snapshot_disk_path(entry);
    bool there;
    struct stat st;

    if (!(disk->file || disk->dev) || !path)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "external snapshots of disk '%s' are not supported on '%s' disks",
                              disk->target, domain_disk_types[disk->type]);
    if (entry->format && strcmp(entry->format, "qcow2") != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "external snapshot format for disk %s is unsupported: %s (use qcow2)",
                              disk->target, entry->format);
    if (entry->encryption && (entry->encryption->format != DOMAIN_ENCRYPTION_LUKS ||
                              entry->encryption->secrets->len != 1))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<encryption> of the new image of disk '%s' wants format='luks' and "
                              "one <secret>",
                              disk->target);
    there = stat(path, &st) == 0;
    if (!there && reuse)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "missing existing file for disk %s: %s", disk->target, path);
    return !there || reuse || S_ISBLK(st.st_mode) || st.st_size == 0 ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "external snapshot file for disk %s already exists and is not a block "
                          "device: %s",
                          disk->target, path);
}

static bool
check_disks(const SnapshotDef *def, bool active, unsigned flags, GError **err)
{
    bool reuse = flags & VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT;
    unsigned internal = 0, external = 0;

    for (guint i = 0; i < def->disks->len; i++) {
        SnapshotDisk *entry = def->disks->pdata[i];
        const DomainDisk *disk = domain_def_disk(def->domain, entry->name);

        if (entry->location == SNAPSHOT_INTERNAL) {
            internal++;
            if (!check_internal(disk, active, def->memory == SNAPSHOT_INTERNAL, err))
                return false;
        } else if (entry->location == SNAPSHOT_EXTERNAL) {
            external++;
            if (!entry->type)
                entry->type = DOMAIN_DISK_FILE;
            if (!entry->format)
                entry->format = g_strdup("qcow2");
            if (!check_external(entry, disk, reuse, err))
                return false;
        }
    }
    if (internal + external == 0 && def->memory == SNAPSHOT_NO)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "nothing selected for snapshot");
    if ((internal > 0 && external > 0) || (external > 0 && def->memory == SNAPSHOT_INTERNAL) ||
        (internal > 0 && def->memory == SNAPSHOT_EXTERNAL))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "mixing internal and external targets for a snapshot is not yet "
                              "supported");
    return true;
}

/* --- making it -------------------------------------------------------------------------------- */

static void
unlink_all(GPtrArray *paths)
{
    for (guint i = 0; i < paths->len; i++)
        unlink(paths->pdata[i]);
}

static bool
make_inactive(Domain *domain, const SnapshotDef *def, unsigned flags, GError **err)
{
    g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func(g_free);
    DomainManager *manager = domain->manager;
    DomainDef *config;

    if (!snapshot_def_is_external(def))
        return domain_snapshot_images(manager, NULL, def, "create", err);
    g_mutex_lock(&domain->lock);
    config = domain_def_copy(domain->config);
    g_mutex_unlock(&domain->lock);
    if (domain_snapshot_follow(config, def, err) &&
        ((flags & VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT) ||
         domain_snapshot_overlays(manager, NULL, def, made, err))) {
        if (domain_config_replace(domain, config, err))
            return true;
    } else {
        domain_def_free(config);
    }
    unlink_all(made);
    return false;
}

/* The guest stands still, or runs and only its disks are wanted, or it is to run on as long as it
 * can. */
static bool
make_active(DomainRun *run, const SnapshotDef *def, unsigned flags, GError **err)
{
    Domain *domain = run->domain;
    g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *memory = NULL;
    bool external = snapshot_def_is_external(def), saved = false, ok = true;
    bool running = def->state == SNAPSHOT_STATE_RUNNING;
    bool live = flags & VIR_DOMAIN_SNAPSHOT_CREATE_LIVE;

    if (def->memory == SNAPSHOT_EXTERNAL)
        memory = g_strdup(def->memory_file);
    else if (def->memory == SNAPSHOT_INTERNAL)
        memory = domain_snapshot_path(domain, def->name, "memory", true, err);
    if (def->memory != SNAPSHOT_NO)
        ok = saved = memory && domain_save_memory(run, memory, running, running && live, err);
    if (ok && external) {
        ok = ((flags & VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT) ||
              domain_snapshot_overlays(domain->manager, run, def, made, err)) &&
             domain_snapshot_switch(run, def, err);
        if (!ok)
            unlink_all(made);
    } else if (ok) {
        ok = domain_snapshot_images(domain->manager, run, def, "create", err);
    }
    if (!ok && saved) /* a save that failed leaves what was there before */
        unlink(memory);
    return ok;
}

/* And not for an error, or because somebody wants it to. */
static bool
stands_for_snapshot(Domain *domain)
{
    int reason;

    return domain_state(domain, &reason) == VIR_DOMAIN_PAUSED &&
           reason == VIR_DOMAIN_PAUSED_SNAPSHOT;
}

static bool
make_running(Domain *domain, DomainRun *run, const SnapshotDef *def, unsigned flags, GError **err)
{
    bool quiesce = flags & VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE;
    bool live = flags & VIR_DOMAIN_SNAPSHOT_CREATE_LIVE, ok;
    g_autoptr(GError) why = NULL;

    if (quiesce && domain_fs_freeze(domain, NULL, 0, err) < 0) {
        domain_fs_thaw(domain, NULL);
        return false;
    }
    if (def->memory != SNAPSHOT_NO && def->state == SNAPSHOT_STATE_RUNNING && !live &&
        !domain_guest_hold(run, VIR_DOMAIN_PAUSED_SNAPSHOT, err))
        return false;
    ok = make_active(run, def, flags, err);
    if (ok && (flags & VIR_DOMAIN_SNAPSHOT_CREATE_HALT)) {
        domain_run_quit(run, VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT,
                        VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT);
        return true;
    }
    if (def->state == SNAPSHOT_STATE_RUNNING && stands_for_snapshot(domain))
        domain_guest_let_go(run, VIR_DOMAIN_RUNNING_UNPAUSED);
    /* what is made is made: that the guest stays frozen is not the snapshot's failure */
    if (quiesce && domain_fs_thaw(domain, &why) < 0)
        domain_manager_warn(domain->manager, "the file systems of domain '%s' stay frozen: %s",
                            domain->name, why->message);
    return ok;
}

/* In a job. */
static char *
make(Domain *domain, SnapshotDef *made, unsigned flags, GError **err)
{
    g_autoptr(SnapshotDef) def = made;
    g_autoptr(DomainRun) run = domain_run_get(domain, NULL);
    g_autofree char *name = g_strdup(def->name);
    int state = VIR_DOMAIN_SHUTOFF;

    if (domain_snapshot_exists(domain, name, NULL)) {
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "domain moment %s already exists", name);
        return NULL;
    }
    def->parent = domain_snapshot_current(domain, NULL);
    if (!describe_guest(domain, def, &state, err) || !decide(def, state, run != NULL, flags, err) ||
        !check_disks(def, run != NULL, flags, err))
        return NULL;
    if (run ? !make_running(domain, run, def, flags, err) : !make_inactive(domain, def, flags, err))
        return NULL;
    if (flags & VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA)
        return g_steal_pointer(&name);
    if (!domain_snapshot_nvram(domain, def->domain, name, false, err) ||
        !domain_snapshot_enter(domain, g_steal_pointer(&def), true, err)) {
        g_prefix_error(err, "the snapshot is made, but not known: ");
        return NULL;
    }
    return g_steal_pointer(&name);
}

char *
domain_snapshot_create(Domain *domain, const char *xml, unsigned flags, GError **err)
{
    bool existing = flags & VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE;
    unsigned how = (existing ? SNAPSHOT_PARSE_REDEFINE : 0) |
                   (flags & VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE ? SNAPSHOT_PARSE_VALIDATE : 0);
    g_autofree char *name = NULL;
    SnapshotDef *def;
    bool ok = true;

    if (!check_flags(flags, err) ||
        !(def = snapshot_def_parse(xml, how, &domain->manager->defaults, err)))
        return NULL;
    if (!domain_job_begin(domain, "snapshot", err)) {
        snapshot_def_free(def);
        return NULL;
    }
    if (existing) {
        name = g_strdup(def->name);
        ok = redefine(domain, def, flags, err);
    } else {
        name = make(domain, def, flags, err);
    }
    domain_job_end(domain);
    return ok ? g_steal_pointer(&name) : NULL;
}
