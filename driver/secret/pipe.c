/* pipe.c - a secret's value on its way to a program.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "driver/secret/secret.h"
#include "util/error.h"

int
secret_value_pipe(GBytes *value, GError **err)
{
    gsize length;
    const void *bytes = g_bytes_get_data(value, &length);
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot make a pipe for a secret");
        return -1;
    }
    /* a pipe takes 64 KiB, the most that a secret has */
    if (write(ends[1], bytes, length) != (ssize_t)length) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                             "cannot pass a secret of %zu bytes on", length);
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    close(ends[1]);
    return ends[0];
}
