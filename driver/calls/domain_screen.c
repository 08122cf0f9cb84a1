/* domain_screen.c - the call that takes a picture of a guest's screen.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/calls/handlers.h"
#include "driver/domain/domain.h"

/* The stream has closed the picture. */
static void
picture_sent(void *opaque)
{
    (void)opaque;
}

bool
call_domain_screenshot(Call *call, const DomainScreenshotArgs *args, DomainScreenshotRet *ret,
                       GError **err)
{
    const char *mime;
    RpcStream *stream;
    int fd;

    fd = domain_screenshot(call->domain, args->screen, &mime, err);
    if (fd < 0)
        return false;
    stream = call_open_stream_fd(call, fd, RPC_STREAM_TO_CLIENT, picture_sent, NULL);
    rpc_stream_unref(stream);
    ret->mime = wire_opt_string(mime);
    return true;
}
