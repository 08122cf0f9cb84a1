/* domain_agent.c - the calls that a guest's agent answers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>

#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"
#include "util/error.h"

enum { NS_PER_SECOND = 1000000000 };

bool
call_domain_fsfreeze(Call *call, const DomainMountpointsArgs *args, FilesystemsRet *ret,
                     GError **err)
{
    ret->filesystems = domain_fs_freeze(call->domain, args->mountpoints.mountpoints_val,
                                        args->mountpoints.mountpoints_len, err);
    return ret->filesystems >= 0;
}

bool
call_domain_fsthaw(Call *call, const DomainMountpointsArgs *args, FilesystemsRet *ret, GError **err)
{
    if (args->mountpoints.mountpoints_len > 0)
        return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                              "specifying mountpoints is not supported");
    ret->filesystems = domain_fs_thaw(call->domain, err);
    return ret->filesystems >= 0;
}

bool
call_domain_fstrim(Call *call, const DomainFstrimArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    if (args->mountpoint)
        return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                              "Specifying mount point is not supported for now");
    return domain_fs_trim(call->domain, args->minimum, err);
}

bool
call_domain_get_fsinfo(Call *call, const DomainFlagsArgs *args, DomainGetFsinfoRet *ret,
                       GError **err)
{
    g_autoptr(GPtrArray) list = NULL;

    (void)args;
    if (!(list = domain_guest_filesystems(call->domain, err)))
        return false;
    if (list->len > WIRE_FSINFO_MAX)
        return kiln_error_set(err, VIR_ERR_RPC,
                              "the guest has %u file systems, more than the %d of one answer",
                              list->len, WIRE_FSINFO_MAX);
    ret->count = ret->info.info_len = list->len;
    ret->info.info_val = g_new0(WireFsinfo, list->len);
    for (guint i = 0; i < list->len; i++) {
        DomainGuestFs *from = list->pdata[i];
        WireFsinfo *to = &ret->info.info_val[i];

        to->mountpoint = g_strdup(from->mountpoint);
        to->name = g_strdup(from->name);
        to->type = g_strdup(from->type);
        wire_names_steal(g_ptr_array_ref(from->disks), WIRE_FSINFO_MAX, &to->disks.disks_len,
                         &to->disks.disks_val);
    }
    return true;
}

bool
call_domain_get_time(Call *call, const DomainFlagsArgs *args, DomainGetTimeRet *ret, GError **err)
{
    int64_t ns = 0;

    (void)args;
    if (!domain_guest_time(call->domain, &ns, err))
        return false;
    ret->seconds = ns / NS_PER_SECOND;
    ret->nseconds = ns % NS_PER_SECOND;
    return true;
}

bool
call_domain_set_time(Call *call, const DomainSetTimeArgs *args, WireVoid *ret, GError **err)
{
    bool sync = args->flags & VIR_DOMAIN_TIME_SYNC;

    (void)ret;
    if (!sync && (args->seconds < 0 || args->nseconds >= NS_PER_SECOND ||
                  args->seconds > INT64_MAX / NS_PER_SECOND - 1))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Time '%lld' is too big for guest agent",
                              (long long)args->seconds);
    return domain_set_guest_time(
        call->domain, sync ? 0 : args->seconds * NS_PER_SECOND + args->nseconds, sync, err);
}

bool
call_domain_set_user_password(Call *call, const DomainSetUserPasswordArgs *args, WireVoid *ret,
                              GError **err)
{
    const char *user = wire_opt_text(args->user), *password = wire_opt_text(args->password);

    (void)ret;
    if (!user || !password)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "a user and a password are needed");
    return domain_set_user_password(call->domain, user, password,
                                    args->flags & VIR_DOMAIN_PASSWORD_ENCRYPTED, err);
}

bool
call_domain_authorized_ssh_keys_get(Call *call, const DomainSshKeysGetArgs *args,
                                    DomainSshKeysGetRet *ret, GError **err)
{
    GPtrArray *keys;

    if (!(keys = domain_ssh_keys(call->domain, args->user, err)))
        return false;
    if (keys->len > WIRE_SSH_KEYS_MAX) {
        kiln_error_set(err, VIR_ERR_RPC, "%u keys are more than the %d of one answer", keys->len,
                       WIRE_SSH_KEYS_MAX);
        g_ptr_array_unref(keys);
        return false;
    }
    wire_names_steal(keys, WIRE_SSH_KEYS_MAX, &ret->keys.keys_len, &ret->keys.keys_val);
    return true;
}

bool
call_domain_authorized_ssh_keys_set(Call *call, const DomainSshKeysSetArgs *args, WireVoid *ret,
                                    GError **err)
{
    const unsigned append = VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND;
    const unsigned remove = VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE;

    (void)ret;
    if ((args->flags & append) && (args->flags & remove))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND and "
                              "VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE exclude each other");
    return domain_set_ssh_keys(call->domain, args->user, args->keys.keys_val, args->keys.keys_len,
                               args->flags, err);
}

bool
call_domain_pm_suspend_for_duration(Call *call, const DomainPmSuspendArgs *args, WireVoid *ret,
                                    GError **err)
{
    (void)ret;
    if (args->duration)
        return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                              "Duration not supported. Use 0 for now");
    return domain_guest_suspend(call->domain, args->target, err);
}

bool
call_domain_agent_set_response_timeout(Call *call, const DomainAgentTimeoutArgs *args, IntRet *ret,
                                       GError **err)
{
    ret->value = 0;
    return domain_agent_set_timeout(call->domain, args->timeout, err);
}

bool
call_qemu_domain_agent_command(Call *call, const QemuDomainAgentCommandArgs *args,
                               QemuDomainAgentCommandRet *ret, GError **err)
{
    g_autofree char *text = NULL;

    if (!(text = domain_agent_text(call->domain, args->command, args->timeout, err)))
        return false;
    ret->result = wire_opt_string(text);
    return true;
}
