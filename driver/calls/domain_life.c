/* domain_life.c - the calls that define, start, stop and change domains.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <unistd.h>

#include "driver/calls/domain_reply.h"
#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"

bool
call_domain_define_xml(Call *call, const XmlArgs *args, DomainRet *ret, GError **err)
{
    return domain_reply_take(domain_manager_define(call->services->domains, args->xml, 0, err),
                             &ret->dom);
}

bool
call_domain_define_xml_flags(Call *call, const XmlFlagsArgs *args, DomainRet *ret, GError **err)
{
    return call_check_flags(args->flags, VIR_DOMAIN_DEFINE_VALIDATE, "virDomainDefineXMLFlags",
                            err) &&
           domain_reply_take(
               domain_manager_define(call->services->domains, args->xml, args->flags, err),
               &ret->dom);
}

bool
call_domain_create_xml(Call *call, const XmlFlagsArgs *args, DomainRet *ret, GError **err)
{
    return domain_reply_take(domain_manager_create(call->services->domains, args->xml, args->flags,
                                                   call->connection, err),
                             &ret->dom);
}

bool
call_domain_create(Call *call, const DomainArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return domain_start(call->domain, 0, call->connection, err);
}

bool
call_domain_create_with_flags(Call *call, const DomainFlagsArgs *args, DomainRet *ret, GError **err)
{
    if (!domain_start(call->domain, args->flags, call->connection, err))
        return false;
    domain_reply_set(call->domain, &ret->dom);
    return true;
}

bool
call_domain_destroy(Call *call, const DomainArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return domain_destroy(call->domain, 0, err);
}

bool
call_domain_destroy_flags(Call *call, const DomainFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_destroy(call->domain, args->flags, err);
}

bool
call_domain_shutdown(Call *call, const DomainArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return domain_shutdown(call->domain, 0, err);
}

bool
call_domain_shutdown_flags(Call *call, const DomainFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_shutdown(call->domain, args->flags, err);
}

bool
call_domain_reboot(Call *call, const DomainFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_reboot(call->domain, args->flags, err);
}

bool
call_domain_reset(Call *call, const DomainFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return domain_reset(call->domain, err);
}

bool
call_domain_pm_wakeup(Call *call, const DomainFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return domain_pm_wakeup(call->domain, err);
}

bool
call_domain_suspend(Call *call, const DomainArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return domain_suspend(call->domain, err);
}

bool
call_domain_resume(Call *call, const DomainArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return domain_resume(call->domain, err);
}

bool
call_domain_undefine(Call *call, const DomainArgs *args, WireVoid *ret, GError **err)
{
    (void)args;
    (void)ret;
    return domain_undefine(call->domain, 0, err);
}

bool
call_domain_undefine_flags(Call *call, const DomainFlagsArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return domain_undefine(call->domain, args->flags, err);
}

bool
call_domain_set_autostart(Call *call, const DomainSetAutostartArgs *args, WireVoid *ret,
                          GError **err)
{
    (void)ret;
    return domain_set_autostart(call->domain, args->autostart != 0, err);
}

bool
call_domain_rename(Call *call, const DomainRenameArgs *args, IntRet *ret, GError **err)
{
    const char *name = wire_opt_text(args->name);

    if (!name)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "no new name for the domain");
    ret->value = 0;
    return domain_rename(call->domain, name, err);
}

bool
call_qemu_domain_monitor_command(Call *call, const QemuDomainMonitorCommandArgs *args,
                                 StringRet *ret, GError **err)
{
    ret->value = domain_monitor_command(call->domain, args->command, -1, args->flags & 1, err);
    return ret->value != NULL;
}

bool
call_qemu_domain_monitor_command_with_files(Call *call, const QemuDomainMonitorCommandArgs *args,
                                            StringRet *ret, GError **err)
{
    int fd, more;

    fd = call_take_fd(call, 0);
    more = call_take_fd(call, 1);
    if (more >= 0)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "at most 1 fd can be passed along with a command");
    else
        ret->value = domain_monitor_command(call->domain, args->command, fd, args->flags & 1, err);
    if (fd >= 0)
        close(fd);
    if (more >= 0)
        close(more);
    return ret->value != NULL;
}
