/* identity.c - who is at the other end of a unix socket. See identity.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/rpc/identity.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "util/error.h"

/* Field 22 of /proc/PID/stat; the second field may hold spaces and brackets of its own. */
static uint64_t
identity_start_time(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) fields = NULL;
    const char *rest;

    if (pid <= 0 || !g_file_get_contents(path, &text, NULL, NULL))
        return 0;
    rest = strrchr(text, ')');
    if (!rest)
        return 0;
    fields = g_strsplit(rest + 1, " ", 22);
    return g_strv_length(fields) > 20 ? g_ascii_strtoull(fields[20], NULL, 10) : 0;
}

bool
rpc_identity_read(int fd, bool start_time, RpcIdentity *ret_identity, GError **err)
{
    struct ucred cred;
    socklen_t len = sizeof cred;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot learn who connected");
    ret_identity->uid = cred.uid;
    ret_identity->gid = cred.gid;
    ret_identity->pid = cred.pid;
    ret_identity->start_time = start_time ? identity_start_time(cred.pid) : 0;
    return true;
}
