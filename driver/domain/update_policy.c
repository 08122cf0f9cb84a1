/* update_policy.c - changing what follows a guest's power-off, reboot and crash, and where its
 * memory comes from (virDomainSetLifecycleAction, virDomainSetNumaParameters).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/argv.h"
#include "driver/domain/attach.h"
#include "util/error.h"

enum { NODES_MAX = 1023 };

/* --- what follows ----------------------------------------------------------------------------- */

static const char *const action_names[] = {
    [VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY] = "destroy",
    [VIR_DOMAIN_LIFECYCLE_ACTION_RESTART] = "restart",
    [VIR_DOMAIN_LIFECYCLE_ACTION_RESTART_RENAME] = "rename-restart",
    [VIR_DOMAIN_LIFECYCLE_ACTION_PRESERVE] = "preserve",
    [VIR_DOMAIN_LIFECYCLE_ACTION_COREDUMP_DESTROY] = "coredump-destroy",
    [VIR_DOMAIN_LIFECYCLE_ACTION_COREDUMP_RESTART] = "coredump-restart",
};

static const char *const event_names[] = {
    [VIR_DOMAIN_LIFECYCLE_POWEROFF] = "on_poweroff",
    [VIR_DOMAIN_LIFECYCLE_REBOOT] = "on_reboot",
    [VIR_DOMAIN_LIFECYCLE_CRASH] = "on_crash",
};

typedef struct {
    unsigned type, action;
} WantedAction;

static bool
action_note(DomainDef *def, const DomainDef *live, void *opaque, GError **err)
{
    const WantedAction *wanted = opaque;
    int *const places[] = {
        [VIR_DOMAIN_LIFECYCLE_POWEROFF] = &def->on_poweroff,
        [VIR_DOMAIN_LIFECYCLE_REBOOT] = &def->on_reboot,
        [VIR_DOMAIN_LIFECYCLE_CRASH] = &def->on_crash,
    };

    (void)live, (void)err;
    /* The enum of the definition begins with "not given". */
    *places[wanted->type] = (int)wanted->action + 1;
    return true;
}

/* Dumps of memory are for crashes alone, as in libvirt's schema. */
static bool
check_action(unsigned type, unsigned action, GError **err)
{
    if (type >= G_N_ELEMENTS(event_names))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unknown lifecycle type %u", type);
    if (action >= G_N_ELEMENTS(action_names))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unknown lifecycle action %u", action);
    return type == VIR_DOMAIN_LIFECYCLE_CRASH ||
           (action != VIR_DOMAIN_LIFECYCLE_ACTION_COREDUMP_DESTROY &&
            action != VIR_DOMAIN_LIFECYCLE_ACTION_COREDUMP_RESTART) ||
           kiln_error_set(err, VIR_ERR_XML_ERROR, "invalid lifecycle action '%s' for <%s>",
                          action_names[action], event_names[type]);
}

/* The VMM itself knows reboots only; the daemon sees to the rest. */
static bool
action_apply(DomainRun *run, DomainDef *live, void *opaque, GError **err)
{
    const WantedAction *wanted = opaque;
    JsonObject *arguments;

    if (!action_note(live, NULL, opaque, err) || !domain_check_actions(live, err))
        return false;
    if (wanted->type != VIR_DOMAIN_LIFECYCLE_REBOOT)
        return true;
    arguments = json_object_new();
    json_object_set_string_member(arguments, "reboot", domain_reboot_action(live));
    return qmp_command(run->qmp, "set-action", arguments, DOMAIN_QMP_SECONDS, err);
}

static const DomainTuning action_change = { "lifecycle action", action_note, action_apply, NULL };

bool
domain_set_lifecycle_action(Domain *domain, unsigned type, unsigned action, unsigned flags,
                            GError **err)
{
    WantedAction wanted = { type, action };

    return check_action(type, action, err) &&
           domain_tune(domain, &action_change, &wanted, flags, err);
}

/* --- NUMA ------------------------------------------------------------------------------------- */

typedef struct {
    int mode; /* virDomainNumatuneMemMode; -1: as it is */
    const char *nodes;
} WantedNuma;

static bool
numa_note(DomainDef *def, const DomainDef *live, void *opaque, GError **err)
{
    const WantedNuma *wanted = opaque;
    const char *nodes = wanted->nodes;
    int mode = wanted->mode;

    (void)live;
    if (!nodes && !(def->numatune && def->numatune->nodeset))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "nodeset for NUMA memory tuning must be set if 'placement' is "
                              "'static'");
    if (!def->numatune)
        def->numatune = xml_type_new(&domain_numatune_type);
    if (mode >= 0)
        def->numatune->mode = mode + 1;
    else if (!def->numatune->mode)
        def->numatune->mode = DOMAIN_NUMA_STRICT;
    if (nodes) {
        g_free(def->numatune->nodeset);
        def->numatune->nodeset = g_strdup(nodes);
        def->numatune->placement = 0; /* static, which is not said */
    }
    return true;
}

static bool
numa_apply(DomainRun *run, DomainDef *live, void *opaque, GError **err)
{
    const WantedNuma *wanted = opaque;
    const char *nodes = wanted->nodes;
    int mode = wanted->mode;
    const DomainManager *manager = run->domain->manager;
    int now = live->numatune && live->numatune->mode ? live->numatune->mode : DOMAIN_NUMA_STRICT;

    if (mode >= 0 && mode + 1 != now)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "can't change numatune mode for running domain");
    if (!nodes)
        return numa_note(live, NULL, opaque, err);
    if (now != DOMAIN_NUMA_STRICT && now != DOMAIN_NUMA_RESTRICTIVE)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "change of nodeset for running domain requires strict numa mode");
    if (!cgroup_host_has(manager->cgroups, CGROUP_CPUSET))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "cgroup cpuset controller is not mounted, or not this daemon's to "
                              "use");
    return cgroup_set_mems(run->cgroup, nodes, err) && numa_note(live, NULL, opaque, err);
}

static const DomainTuning numa_change = { "numa", numa_note, numa_apply, NULL };

bool
domain_set_numa(Domain *domain, int mode, const char *nodes, unsigned flags, GError **err)
{
    g_autofree char *canonical = NULL;
    WantedNuma wanted;

    if (!domain->manager->privileged)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "NUMA tuning is not available in session mode");
    if (mode < -1 || mode > VIR_DOMAIN_NUMATUNE_MEM_RESTRICTIVE)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unsupported numatune mode: '%d'", mode);
    if (nodes && !(canonical = xml_cpuset_canonical(nodes, NODES_MAX, err)))
        return false;
    if (canonical && !*canonical)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "Invalid nodeset of 'numatune': %s",
                              nodes);
    if (mode < 0 && !nodes)
        return true;
    wanted = (WantedNuma){ mode, canonical };
    return domain_tune(domain, &numa_change, &wanted, flags, err);
}
