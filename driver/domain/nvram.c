/* nvram.c - a guest's own store of UEFI variables: begun as a copy of the firmware's template.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/resources.h"
#include "util/error.h"
#include "util/file.h"

enum { NVRAM_MAX = 64 * 1024 * 1024 };

bool
domain_nvram_make(void *opaque, const char *path, const char *template, GError **err)
{
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *text = NULL;
    size_t length = 0;

    (void)opaque;
    if (access(path, F_OK) == 0)
        return true;
    if (!template)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the variable store '%s' is not there and <nvram> names no template "
                              "to make it from",
                              path);
    text = file_read_limited(template, NVRAM_MAX, &length, err);
    if (!text)
        return false;
    return file_make_dirs(dir, 0700, err) && file_write_atomic(path, text, length, 0600, err);
}
