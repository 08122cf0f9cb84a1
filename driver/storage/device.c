/* device.c - what is on a block device before a pool is made of it.
 *
 * wipefs(8) finds and erases the signatures: of file systems, swap, RAID, LVM and partition tables,
 * more than one where there is more than one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "driver/storage/private.h"
#include "util/error.h"

bool
storage_device_content(const char *device, char **ret, GError **err)
{
    const char *const words[] = {
        "wipefs", "--noheadings", "--output", "TYPE", "--", device, NULL
    };
    g_autofree char *out = NULL;

    if (!storage_run(words, -1, &out, err))
        return false;
    g_strstrip(out);
    out[strcspn(out, "\n")] = '\0';
    *ret = *out ? g_steal_pointer(&out) : NULL;
    return true;
}

/* A wipefs that is forced does not tell the kernel. What is no disk has no partitions to forget. */
static void
forget_partitions(const char *device)
{
    int fd = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return;
    ioctl(fd, BLKRRPART);
    close(fd);
}

bool
storage_device_clear(const char *device, GError **err)
{
    /* Without force the tables of partitions that lie in partitions stay. */
    const char *const words[] = { "wipefs", "--all", "--force", "--quiet", "--", device, NULL };
    int fd = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st = { 0 };
    bool busy;

    if (fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open '%s'", device);
    fstat(fd, &st);
    close(fd);
    /* Force would erase what is mounted, too. */
    fd = S_ISBLK(st.st_mode) ? open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_EXCL) : -1;
    busy = S_ISBLK(st.st_mode) && fd < 0 && errno == EBUSY;
    if (fd >= 0)
        close(fd);
    if (busy)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "device '%s' is in use", device);
    if (!storage_run(words, -1, NULL, err))
        return false;
    forget_partitions(device);
    return true;
}

bool
storage_device_prepare(const StoragePoolDef *def, const char *device, unsigned flags, GError **err)
{
    g_autofree char *content = NULL;

    if (access(device, F_OK) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "source device of pool '%s' is not there: '%s'", def->name,
                                    device);
    if (!storage_device_content(device, &content, err))
        return false;
    if (!content)
        return true;
    if (!(flags & VIR_STORAGE_POOL_BUILD_OVERWRITE))
        return kiln_error_set(err, VIR_ERR_STORAGE_POOL_BUILT,
                              "'%s' is on device '%s' already; forced overwrite is necessary",
                              content, device);
    return storage_device_clear(device, err);
}

bool
storage_device_check_new(const StorageNewVol *vol, GError **err)
{
    if (vol->def->target->encryption)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "volume '%s': storage pool does not support encrypted volumes",
                              vol->def->name);
    if (vol->flags & (VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA | VIR_STORAGE_VOL_CREATE_REFLINK))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "volume '%s': devices have no metadata to preallocate and share no "
                              "blocks",
                              vol->def->name);
    return true;
}

bool
storage_device_set_permissions(const StorageVolDef *def, GError **err)
{
    g_autofree char *real = def->target->permissions ? realpath(def->target->path, NULL) : NULL;

    /* The path may be a link, and permissions are not set through those. */
    return !def->target->permissions ||
           storage_image_set_permissions(real ? real : def->target->path, def->target->permissions,
                                         0, err);
}
