/* posix.c - blocking I/O of file and host_device nodes: O_DIRECT's alignment, ends of files, holes.
 *
 * lseek(2) SEEK_HOLE, fallocate(2), open(2) O_DIRECT.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

enum {
    POSIX_BOUNCE = 1 << 20,
    AHEAD_MIN = 128 << 10, /* bytes of fresh data from which on the call is worth its time */
    REFLINK_ALIGN = 4096,  /* the least block of file systems that share blocks */
};

/* Reads all; what is past the end is zero. */
static int
read_all(int fd, uint8_t *buf, size_t length, uint64_t offset)
{
    while (length > 0) {
        ssize_t n = pread(fd, buf, length, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) {
            memset(buf, 0, length);
            return 0;
        }
        buf += n;
        offset += n;
        length -= n;
    }
    return 0;
}

static int
write_all(int fd, const uint8_t *buf, size_t length, uint64_t offset)
{
    while (length > 0) {
        ssize_t n = pwrite(fd, buf, length, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ENOSPC;
        buf += n;
        offset += n;
        length -= n;
    }
    return 0;
}

static bool
is_aligned(const BlockNode *node, uint64_t offset, const void *buf, size_t length)
{
    return !node->direct ||
           ((offset | length) % node->request_align == 0 && (uintptr_t)buf % node->mem_align == 0);
}

int
block_posix_pread(BlockNode *node, uint64_t offset, void *buf, size_t length)
{
    unsigned unit = node->request_align;
    uint8_t *out = buf;
    void *bounce;
    int r = 0;

    if (is_aligned(node, offset, buf, length))
        return read_all(node->fd, buf, length, offset);
    if (posix_memalign(&bounce, MAX(unit, 4096u), POSIX_BOUNCE) != 0)
        return -ENOMEM;
    while (r == 0 && length > 0) {
        uint64_t low = offset / unit * unit, head = offset - low;
        size_t n = MIN(length, POSIX_BOUNCE - head);

        r = read_all(node->fd, bounce, (head + n + unit - 1) / unit * unit, low);
        if (r == 0)
            memcpy(out, (uint8_t *)bounce + head, n);
        out += n;
        offset += n;
        length -= n;
    }
    free(bounce);
    return r;
}

/* Writes with O_DIRECT from any buffer to any place: whole units, read first where only a part of
 * one is written. */
static int
write_bounced(BlockNode *node, uint64_t offset, const uint8_t *in, size_t length)
{
    unsigned unit = node->request_align;
    bool partial = (offset | length) % unit != 0;
    void *bounce;
    int r = 0;

    if (posix_memalign(&bounce, MAX(unit, 4096u), POSIX_BOUNCE) != 0)
        return -ENOMEM;
    while (r == 0 && length > 0) {
        uint64_t low = offset / unit * unit, head = offset - low;
        size_t n = MIN(length, POSIX_BOUNCE - head);
        size_t whole = (head + n + unit - 1) / unit * unit;

        if (partial)
            r = read_all(node->fd, bounce, whole, low);
        if (r == 0) {
            memcpy((uint8_t *)bounce + head, in, n);
            r = write_all(node->fd, bounce, whole, low);
        }
        in += n;
        offset += n;
        length -= n;
    }
    free(bounce);
    return r;
}

/* The file now reaches to @end at least. */
static void
note_end(BlockNode *node, uint64_t end)
{
    uint64_t size = __atomic_load_n(&node->size, __ATOMIC_RELAXED);

    if (node->fixed)
        return;
    end = (end + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    while (size < end && !__atomic_compare_exchange_n(&node->size, &size, end, true,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

/* What is short of space is told by the write. */
static void
ask_space_ahead(BlockNode *node, uint64_t offset, size_t length)
{
    if (length >= AHEAD_MIN && __atomic_load_n(&node->ahead, __ATOMIC_RELAXED) &&
        fallocate(node->fd, FALLOC_FL_KEEP_SIZE, offset, length) < 0 &&
        block_posix_is_unsupported(errno)) /* its older kinds cannot */
        __atomic_store_n(&node->ahead, false, __ATOMIC_RELAXED);
}

int
block_posix_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length,
                   BlockFlags flags)
{
    bool gate = node->direct && node->request_align > BLOCK_SECTOR;
    int r;

    if (node->fixed && (offset > node->size || length > node->size - offset))
        return -ENOSPC;
    if (flags & BLOCK_FRESH)
        ask_space_ahead(node, offset, length);
    if (gate)
        block_gate_enter_wait(node, (offset | length) % node->request_align != 0);
    r = is_aligned(node, offset, buf, length) ? write_all(node->fd, buf, length, offset)
                                              : write_bounced(node, offset, buf, length);
    if (gate)
        block_gate_leave_wait(node);
    if (r == 0)
        note_end(node, offset + length);
    return r;
}

bool
block_posix_is_unsupported(int errnum)
{
    return errnum == EOPNOTSUPP || errnum == ENOSYS || errnum == ENODEV || errnum == EINVAL ||
           errnum == EACCES || errnum == EPERM;
}

int
block_posix_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags)
{
    static const int modes[] = { FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE };
    struct stat st;

    if (node->fixed && (offset > node->size || length > node->size - offset))
        return -ENOSPC;
    /* a hole alone would not make the file longer */
    if (!node->fixed && flags & BLOCK_UNMAP) {
        if (fstat(node->fd, &st) < 0)
            return -errno;
        if ((uint64_t)st.st_size < offset + length && ftruncate(node->fd, offset + length) < 0)
            return -errno;
    }
    for (int i = flags & BLOCK_UNMAP ? 0 : 1; i < 2; i++) {
        if (fallocate(node->fd, modes[i] | (node->fixed ? FALLOC_FL_KEEP_SIZE : 0), offset,
                      length) == 0) {
            note_end(node, offset + length);
            return 0;
        }
        if (!block_posix_is_unsupported(errno))
            return -errno;
    }
    return -ENOTSUP;
}

int
block_posix_discard(BlockNode *node, uint64_t offset, uint64_t length)
{
    if (fallocate(node->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) == 0)
        return 0;
    return block_posix_is_unsupported(errno) ? -ENOTSUP : -errno;
}

/* The kernel looks at files and file systems before it looks at the range, which is no good here.
 */
static int
can_reflink(BlockNode *node, int fd)
{
    const struct file_clone_range nowhere = {
        .src_fd = fd, .src_offset = (UINT64_C(1) << 62) + 1, .src_length = 1, .dest_offset = 1
    };

    if (ioctl(node->fd, FICLONERANGE, &nowhere) < 0 && errno == EINVAL)
        return 0;
    return -EOPNOTSUPP;
}

int
block_posix_reflink(BlockNode *node, uint64_t offset, int fd, uint64_t from, uint64_t length)
{
    const struct file_clone_range range = {
        .src_fd = fd, .src_offset = from, .src_length = length, .dest_offset = offset
    };

    if (node->is_device || node->fd < 0 || (offset | from | length) % REFLINK_ALIGN != 0)
        return -EOPNOTSUPP;
    if (length == 0)
        return can_reflink(node, fd);
    if (ioctl(node->fd, FICLONERANGE, &range) < 0)
        return -errno;
    note_end(node, offset + length);
    return 0;
}

int
block_posix_flush(BlockNode *node)
{
    while (fdatasync(node->fd) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

bool
block_posix_is_clean(BlockNode *node)
{
    (void)node;
    return true;
}

int
block_posix_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret)
{
    off_t data, hole;

    *ret = (BlockStatus){
        .flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA | BLOCK_STATUS_OFFSET,
        .length = length,
        .host_offset = offset,
        .file = node,
    };
    data = lseek(node->fd, offset, SEEK_DATA);
    if (data < 0 && errno != ENXIO)
        return 0; /* a device, or a file system that does not tell: data everywhere */
    if (data < 0 || (uint64_t)data > offset) {
        /* the rest is a hole, or up to where data begins */
        ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_ZERO | BLOCK_STATUS_OFFSET;
        if (data >= 0)
            ret->length = MIN(length, (uint64_t)data - offset);
        return 0;
    }
    hole = lseek(node->fd, offset, SEEK_HOLE);
    if (hole > 0 && (uint64_t)hole > offset)
        ret->length = MIN(length, (uint64_t)hole - offset);
    return 0;
}

/* ---- size ---- */

static int
fill_with_zeroes(BlockNode *node, uint64_t from, uint64_t to)
{
    g_autofree uint8_t *zeroes = g_malloc0(POSIX_BOUNCE);
    int r = 0;

    while (r == 0 && from < to) {
        size_t n = MIN(to - from, POSIX_BOUNCE);

        r = block_posix_pwrite(node, from, zeroes, n, 0);
        from += n;
    }
    return r;
}

bool
block_posix_resize(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **err)
{
    uint64_t old = node->size;
    struct stat st;
    int r = 0;

    if (node->fixed) {
        if (ioctl(node->fd, BLKGETSIZE64, &node->size) < 0)
            return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                        "cannot learn the size of device '%s'", node->filename);
        if (size <= node->size)
            return true;
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "device '%s' has %" G_GUINT64_FORMAT
                              " bytes and does not grow to %" G_GUINT64_FORMAT,
                              node->filename, node->size, size);
    }
    if (fstat(node->fd, &st) == 0)
        old = st.st_size;
    if (prealloc == BLOCK_PREALLOC_METADATA)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "image '%s': a plain file has no metadata to preallocate; use "
                              "preallocation off, falloc or full",
                              node->filename);
    if (ftruncate(node->fd, size) < 0)
        r = -errno;
    else if (prealloc == BLOCK_PREALLOC_FALLOC && size > old)
        r = -posix_fallocate(node->fd, old, size - old);
    else if (prealloc == BLOCK_PREALLOC_FULL && size > old)
        r = fill_with_zeroes(node, old, size);
    if (r < 0) {
        if (size > old && ftruncate(node->fd, old) < 0)
            r = -errno;
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r,
                                    "cannot resize image '%s' to %" G_GUINT64_FORMAT " bytes",
                                    node->filename, size);
    }
    node->size = (size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    return true;
}
