/* file.c - protocols: a regular file of the host, and a block device of the host.
 *
 * Alignment for O_DIRECT: statx(2) STATX_DIOALIGN where the kernel has it, else BLKSSZGET for
 * devices, else what a trial read accepts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "block/posix.h"
#include "util/error.h"

enum { ALIGN_MAX = 65536 };

/* Whether O_DIRECT reads of @align bytes at multiples of @align are accepted. */
static bool
align_works(int fd, unsigned align)
{
    void *buf = NULL;
    ssize_t n;

    if (posix_memalign(&buf, align, align) != 0)
        return false;
    n = pread(fd, buf, align, 0);
    free(buf);
    return n >= 0;
}

static void
align_learn(BlockNode *node, uint64_t size)
{
    int sector = 0;

#ifdef STATX_DIOALIGN
    struct statx stx;

    if (statx(node->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
        stx.stx_mask & STATX_DIOALIGN && stx.stx_dio_offset_align > 0) {
        node->mem_align = MAX(stx.stx_dio_mem_align, 1u);
        node->request_align =
            CLAMP(stx.stx_dio_offset_align, (unsigned)BLOCK_SECTOR, (unsigned)ALIGN_MAX);
        return;
    }
#endif
    if (node->is_device && ioctl(node->fd, BLKSSZGET, &sector) == 0 && sector >= BLOCK_SECTOR) {
        node->mem_align = node->request_align = sector;
        return;
    }
    /* an empty file accepts any length: take the page size, which no file system exceeds */
    node->mem_align = node->request_align = 4096;
    if (size > 0 && align_works(node->fd, BLOCK_SECTOR))
        node->mem_align = node->request_align = BLOCK_SECTOR;
}

static bool
file_check_access(BlockNode *node, bool auto_read_only, GError **err)
{
    int flags = fcntl(node->fd, F_GETFL);

    if (flags < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "descriptor of image '%s'",
                                    node->filename);
    if (!node->read_only && (flags & O_ACCMODE) == O_RDONLY) {
        if (!auto_read_only)
            return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                                  "image '%s' is open for reading only; give the disk <readonly/> "
                                  "or make the file writable",
                                  node->filename);
        node->read_only = true;
    }
    if (node->direct && !(flags & O_DIRECT) && fcntl(node->fd, F_SETFL, flags | O_DIRECT) < 0)
        return kiln_error_set_errno(err, VIR_ERR_CONFIG_UNSUPPORTED, errno,
                                    "image '%s' lies on a file system without O_DIRECT; use "
                                    "cache='writeback'",
                                    node->filename);
    return true;
}

static bool
file_size(BlockNode *node, bool want_device, GError **err)
{
    struct stat st;

    if (fstat(node->fd, &st) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot stat image '%s'",
                                    node->filename);
    node->is_device = node->fixed = S_ISBLK(st.st_mode);
    if (!S_ISREG(st.st_mode) && !node->is_device)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "'%s' is neither a regular file nor a block device", node->filename);
    if (want_device != node->is_device || !(S_ISREG(st.st_mode) || node->is_device))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "'%s' is not a %s; use <disk type='%s'>", node->filename,
                              want_device ? "block device" : "regular file",
                              S_ISBLK(st.st_mode) ? "block" : "file");
    node->size = st.st_size;
    if (node->is_device && ioctl(node->fd, BLKGETSIZE64, &node->size) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "cannot learn the size of device '%s'", node->filename);
    if (node->size > G_MAXINT64 - BLOCK_SECTOR)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "image '%s' has %" G_GUINT64_FORMAT " bytes, more than a file offset "
                              "can say",
                              node->filename, node->size);
    return true;
}

/* ext4 keeps account of every single block of new data until it gives them their places, which
 * costs as much as the data do; XFS does so by ranges, and btrfs would not compress them any more.
 */
static bool
file_wants_space_ahead(const BlockNode *node)
{
    struct statfs fs;

    return !node->is_device && !node->direct && fstatfs(node->fd, &fs) == 0 &&
           fs.f_type == EXT4_SUPER_MAGIC;
}

static bool
file_open_as(BlockNode *node, bool device, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    static const char *const locking[] = { "auto", "on", "off", NULL };
    const BlockOpenOps *ops = &block_opening_image(opening)->ops;
    bool auto_read_only = false;
    int mode = BLOCK_LOCKING_AUTO;
    int flags;

    if (!block_options_take_bool(opts, "auto-read-only", &auto_read_only, err) ||
        !block_options_take_enum(opts, "locking", locking, &mode, err))
        return false;
    node->locking = mode;
    node->filename = block_options_take(opts, "filename");
    if (!node->filename)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "block driver '%s' needs the option 'filename'", node->driver->name);
    flags = O_CLOEXEC | (node->read_only ? O_RDONLY : O_RDWR) | (node->direct ? O_DIRECT : 0);
    node->fd = ops->open_file(ops->opaque, node->filename, flags, err);
    if (node->fd < 0)
        return false;
    if (!file_check_access(node, auto_read_only, err) || !file_size(node, device, err))
        return false;
    if (node->direct)
        align_learn(node, node->size);
    node->ahead = file_wants_space_ahead(node);
    return true;
}

static bool
file_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    return file_open_as(node, false, opts, opening, err);
}

static bool
host_device_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    return file_open_as(node, true, opts, opening, err);
}

static void
file_close(BlockNode *node)
{
    if (node->fd >= 0)
        close(node->fd);
}

static int
file_map(BlockNode *node, uint64_t offset, uint64_t length, BlockMapFor what, BlockExtent *ret)
{
    (void)what;
    *ret = (BlockExtent){
        .kind = BLOCK_EXTENT_DATA,
        .protocol = node,
        .fd = node->fd,
        .offset = offset,
        .length = length,
    };
    return 0;
}

const BlockDriver block_file_driver = {
    .name = "file",
    .is_protocol = true,
    .open = file_open,
    .close = file_close,
    .map = file_map,
    .pread = block_posix_pread,
    .pwrite = block_posix_pwrite,
    .write_zeroes = block_posix_write_zeroes,
    .discard = block_posix_discard,
    .reflink = block_posix_reflink,
    .flush = block_posix_flush,
    .is_clean = block_posix_is_clean,
    .status = block_posix_status,
    .resize = block_posix_resize,
};

const BlockDriver block_host_device_driver = {
    .name = "host_device",
    .is_protocol = true,
    .open = host_device_open,
    .close = file_close,
    .map = file_map,
    .pread = block_posix_pread,
    .pwrite = block_posix_pwrite,
    .write_zeroes = block_posix_write_zeroes,
    .discard = block_posix_discard,
    .flush = block_posix_flush,
    .is_clean = block_posix_is_clean,
    .status = block_posix_status,
    .resize = block_posix_resize,
};
