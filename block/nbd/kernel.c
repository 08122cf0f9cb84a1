/* kernel.c - the kernel's NBD devices, by the ioctls of linux/nbd.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "block/nbd/tool.h"
#include "util/error.h"

enum { KERNEL_BLOCK = 512 };

static int
device_open(const char *device, GError **err)
{
    int fd = open(device, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                             "cannot open '%s' (is the module loaded? modprobe nbd)", device);
    return fd;
}

static bool
device_set_up(int device, const NbdInfo *info, int sock, GError **err)
{
    unsigned long block = KERNEL_BLOCK;

    if (info->minimum > block)
        block = info->minimum;
    if (info->size / block > ULONG_MAX)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "%" G_GUINT64_FORMAT " bytes are more than the kernel's device can have", info->size);
    if (ioctl(device, NBD_SET_SOCK, sock) < 0)
        return kiln_error_set_errno(
            err, VIR_ERR_SYSTEM_ERROR, errno,
            "the kernel does not take the connection (is the device in use?)");
    if (ioctl(device, NBD_SET_BLKSIZE, block) < 0 ||
        ioctl(device, NBD_SET_SIZE_BLOCKS, (unsigned long)(info->size / block)) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "the kernel does not take the size of the device");
    /* kernels before 3.10 have no flags; what they would not use is not needed either */
    if (ioctl(device, NBD_SET_FLAGS, (unsigned long)info->flags) < 0 && errno != ENOTTY)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "the kernel does not take the flags of the device");
    return true;
}

bool
nbd_kernel_serve(const char *device, int fd, const char *export_name, void (*ready)(void *opaque),
                 void *opaque, GError **err)
{
    g_autoptr(NbdStream) stream = nbd_stream_new(fd);
    NbdInfo info;
    bool structured, fine;
    int node;

    if (!nbd_negotiate_hello(stream, NULL, false, &structured, err) ||
        !nbd_negotiate_go(stream, export_name, structured, &info, err))
        return false;
    node = device_open(device, err);
    fine = node >= 0 && device_set_up(node, &info, fd, err);
    if (fine) {
        ready(opaque);
        /* sits in the kernel until the device is disconnected */
        if (ioctl(node, NBD_DO_IT) < 0 && errno != EPIPE)
            fine = kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "'%s' ended", device);
        (void)ioctl(node, NBD_CLEAR_QUE);
        (void)ioctl(node, NBD_CLEAR_SOCK);
    }
    if (node >= 0)
        close(node);
    nbd_info_clear(&info);
    return fine;
}

bool
nbd_kernel_disconnect(const char *device, GError **err)
{
    int node = device_open(device, err);
    bool fine;

    if (node < 0)
        return false;
    fine = ioctl(node, NBD_CLEAR_QUE) == 0 && ioctl(node, NBD_DISCONNECT) == 0 &&
           ioctl(node, NBD_CLEAR_SOCK) == 0;
    if (!fine)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "'%s' cannot be disconnected",
                             device);
    close(node);
    return fine;
}
