/* hooks.c - the administrator's scripts that are told of a guest's life.
 *
 * Follows libvirt's hooks page (hooks.html, /etc/libvirt/hooks/qemu): arguments NAME OPERATION
 * SUB-OPERATION "-", the definition on standard input.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/private.h"
#include "driver/domain/save_file.h"
#include "util/error.h"
#include "util/hook.h"

static bool
hook_with_output(DomainManager *manager, const DomainDef *def, const char *operation,
                 const char *sub_operation, char **ret_output, GError **err)
{
    g_autofree char *xml = NULL;
    HookCall call = { manager->hook_program, def->name, operation, sub_operation, NULL };

    if (hook_is_disabled(manager->hook_program))
        domain_manager_warn(manager, "hook script %s is not executable, and is not run",
                            manager->hook_program);
    call.input = xml = domain_def_format(def, DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_JOINED);
    return hook_run(&call, ret_output, err);
}

bool
domain_hook_run(DomainManager *manager, const char *operation, const char *sub_operation,
                const DomainDef *def, GError **err)
{
    return hook_with_output(manager, def, operation, sub_operation, NULL, err);
}

DomainDef *
domain_hook_filter(DomainManager *manager, const char *operation, DomainDef *def, GError **err)
{
    g_autoptr(DomainDef) taken = def;
    g_autofree char *xml = NULL;

    if (!hook_with_output(manager, def, operation, "begin", &xml, err))
        return NULL;
    if (!xml)
        return g_steal_pointer(&taken);
    taken = save_def_replace(g_steal_pointer(&taken), xml, &manager->defaults, err);
    if (!taken)
        g_prefix_error(err, "the definition that hook script %s made: ", manager->hook_program);
    return g_steal_pointer(&taken);
}
