/* domain_viewer.c - the calls that hand a viewer's socket to a guest's screen.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <libvirt/libvirt.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"

static bool
open_graphics(Call *call, const DomainOpenGraphicsArgs *args, int fd, GError **err)
{
    return domain_open_graphics(call->domain, args->index, fd,
                                args->flags & VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH, err);
}

bool
call_domain_open_graphics(Call *call, const DomainOpenGraphicsArgs *args, WireVoid *ret,
                          GError **err)
{
    int fd = call_take_fd(call, 0);
    bool ok;

    (void)ret;
    if (fd < 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "no descriptor came with the call");
    ok = open_graphics(call, args, fd, err);
    close(fd);
    return ok;
}

bool
call_domain_open_graphics_fd(Call *call, const DomainOpenGraphicsArgs *args, WireVoid *ret,
                             GError **err)
{
    int ends[2];
    bool ok;

    (void)ret;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot make a socket");
    ok = open_graphics(call, args, ends[1], err);
    close(ends[1]);
    if (ok)
        call_return_fd(call, ends[0]);
    else
        close(ends[0]);
    return ok;
}
