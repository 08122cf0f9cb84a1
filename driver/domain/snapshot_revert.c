/* snapshot_revert.c - going back to a snapshot.
 *
 * Follows virDomainRevertToSnapshot of libvirt 9.0; external snapshots are gone back to as 9.10
 * does, with new images on those of the snapshot.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/attach.h"
#include "driver/domain/save_file.h"
#include "driver/domain/snapshot.h"
#include "util/error.h"
#include "util/flags.h"

enum {
    REVERT_FLAGS = VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING | VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED |
                   VIR_DOMAIN_SNAPSHOT_REVERT_FORCE | VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM,
    RUN_FLAGS = VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING | VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED,
};

static bool
check_flags(unsigned flags, GError **err)
{
    if (!kiln_flags_check(flags, REVERT_FLAGS, "virDomainRevertToSnapshot", err))
        return false;
    return (flags & RUN_FLAGS) != RUN_FLAGS ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "running and paused flags in virDomainRevertToSnapshot are mutually "
                          "exclusive");
}

static bool
had_memory(const SnapshotDef *def)
{
    return def->state == SNAPSHOT_STATE_RUNNING || def->state == SNAPSHOT_STATE_PAUSED;
}

static bool
check_risk(Domain *domain, const SnapshotDef *def, unsigned flags, GError **err)
{
    bool active = domain_is_active(domain);

    if (!domain_is_persistent(domain) && !had_memory(def) && !(flags & RUN_FLAGS))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "transient domain needs to request run or pause to revert to "
                              "inactive snapshot");
    if (active && !had_memory(def) && (flags & RUN_FLAGS) &&
        !(flags & VIR_DOMAIN_SNAPSHOT_REVERT_FORCE))
        return kiln_error_set(err, VIR_ERR_SNAPSHOT_REVERT_RISKY,
                              "must respawn guest to start inactive snapshot");
    return true;
}

/* New images over those the snapshot left behind: what was written since stays in the old ones. The
 * definitions get them. */
static bool
fork_images(Domain *domain, SnapshotDef *def, DomainDef *one, DomainDef *other, GError **err)
{
    g_autofree char *stamp = g_strdup_printf("%" PRIi64, g_get_real_time() / G_USEC_PER_SEC);
    g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(SnapshotDef) fork = xml_type_copy(&snapshot_def_type, def);

    g_free(fork->name);
    fork->name = g_steal_pointer(&stamp);
    for (guint i = 0; i < fork->disks->len; i++) {
        SnapshotDisk *entry = fork->disks->pdata[i];

        g_clear_pointer(&entry->file, g_free);
        g_clear_pointer(&entry->dev, g_free);
        entry->type = 0;
    }
    if (!snapshot_def_align(fork, SNAPSHOT_EXTERNAL, true, err))
        return false;
    if (!domain_snapshot_overlays(domain->manager, NULL, fork, made, err)) {
        for (guint i = 0; i < made->len; i++)
            unlink(made->pdata[i]);
        return false;
    }
    return domain_snapshot_follow(one, fork, err) &&
           (!other || domain_snapshot_follow(other, fork, err));
}

/* The guest's memory as it was; -2 when the snapshot has none, -1 with @err. */
static int
open_memory(Domain *domain, const SnapshotDef *def, GError **err)
{
    g_auto(SaveHead) head = { NULL };
    g_autofree char *path = NULL;

    if (!had_memory(def))
        return -2;
    path = def->memory == SNAPSHOT_EXTERNAL
               ? g_strdup(def->memory_file)
               : domain_snapshot_path(domain, def->name, "memory", false, NULL);
    return save_file_open(path, O_RDONLY, &head, err);
}

/* In a job, nothing running. @memory: as open_memory(). */
static bool
take_back(Domain *domain, SnapshotDef *def, int memory, unsigned flags, bool persistent,
          GError **err)
{
    g_autoptr(DomainDef) start = domain_def_copy(def->domain);
    g_autoptr(DomainDef) config = domain_def_copy(def->inactive ? def->inactive : def->domain);
    unsigned how = DOMAIN_START_FROM_SNAPSHOT;
    bool runs = memory >= 0 || (flags & RUN_FLAGS);

    if (flags & VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM)
        how |= VIR_DOMAIN_START_RESET_NVRAM;
    if (flags & VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED ||
        (def->state == SNAPSHOT_STATE_PAUSED && !(flags & VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING)))
        how |= VIR_DOMAIN_START_PAUSED;
    if (snapshot_def_is_external(def)
            ? !fork_images(domain, def, start, config, err)
            : !domain_snapshot_images(domain->manager, NULL, def, "apply", err))
        return false;
    if (!domain_snapshot_nvram(domain, def->domain, def->name, true, err))
        return false;
    if (persistent && !domain_config_replace(domain, g_steal_pointer(&config), err))
        return false;
    return !runs || domain_run_start(domain, g_steal_pointer(&start), how, NULL,
                                     memory >= 0 ? memory : -1, err);
}

/* In a job. */
static bool
revert(Domain *domain, SnapshotDef *def, unsigned flags, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, NULL);
    bool persistent = domain_is_persistent(domain), ok;
    int memory;

    if (!check_risk(domain, def, flags, err) || (memory = open_memory(domain, def, err)) == -1)
        return false;
    if (run) {
        g_mutex_lock(&domain->lock);
        domain->reverting = true; /* a transient domain stays where it is */
        g_mutex_unlock(&domain->lock);
        domain_run_quit(run, VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT,
                        VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT);
        g_mutex_lock(&domain->lock);
        domain->reverting = false;
        g_mutex_unlock(&domain->lock);
    }
    ok = take_back(domain, def, memory, flags, persistent, err) &&
         domain_snapshot_set_current(domain, def->name, err);
    if (memory >= 0)
        close(memory);
    if (ok && persistent)
        domain_event_lifecycle(domain, VIR_DOMAIN_EVENT_DEFINED,
                               VIR_DOMAIN_EVENT_DEFINED_FROM_SNAPSHOT);
    if (!persistent && !domain_is_active(domain))
        domain_registry_remove(domain);
    return ok;
}

bool
domain_snapshot_revert(Domain *domain, const char *name, unsigned flags, GError **err)
{
    g_autoptr(SnapshotDef) def = NULL;
    bool ok;

    if (!check_flags(flags, err) || !domain_job_begin(domain, "revert to a snapshot", err))
        return false;
    def = domain_snapshot_copy(domain, name, err);
    ok = def && revert(domain, def, flags, err);
    domain_job_end(domain);
    return ok;
}
