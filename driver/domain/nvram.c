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
    const DomainResources *resources = opaque;
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *text = NULL;
    size_t length = 0;

    if (!resources->run->reset_nvram && access(path, F_OK) == 0)
        return true;
    if (!template)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the variable store '%s' cannot be made: <nvram> names no template "
                              "to make it from",
                              path);
    text = file_read_limited(template, NVRAM_MAX, &length, err);
    if (!text)
        return false;
    return file_make_dirs(dir, 0700, err) && file_write_atomic(path, text, length, 0600, err);
}

char *
domain_nvram_path(const DomainManager *manager, const DomainDef *def)
{
    const DomainOs *os = &def->os;

    if (os->nvram)
        return g_strdup(os->nvram);
    if (os->firmware != DOMAIN_FIRMWARE_EFI && os->loader_type != DOMAIN_LOADER_PFLASH)
        return NULL;
    return g_strdup_printf("%s/nvram/%s_VARS.fd", manager->lib_dir, def->name);
}

bool
domain_nvram_undefine(const DomainManager *manager, const DomainDef *def, unsigned flags,
                      GError **err)
{
    g_autofree char *path = domain_nvram_path(manager, def);

    if (!path || access(path, F_OK) < 0 || (flags & VIR_DOMAIN_UNDEFINE_KEEP_NVRAM))
        return true;
    if (!(flags & VIR_DOMAIN_UNDEFINE_NVRAM))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "cannot undefine domain with nvram: '%s' is to be removed (--nvram) "
                              "or kept (--keep-nvram)",
                              path);
    return unlink(path) == 0 ||
           kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "failed to remove nvram: %s",
                                path);
}
