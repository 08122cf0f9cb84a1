/* hooks.c - the system calls by which the block room reads and changes files, under a test's eyes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/crash/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <sys/syscall.h>
#include <unistd.h>

static const Hooks *hooks;

void
hooks_set(const Hooks *set)
{
    hooks = set;
}

static int
begin(HookCall *call)
{
    int r = hooks ? hooks->begin(call) : 0;

    if (r == 0)
        return 0;
    errno = -r;
    return -1;
}

static int64_t
end(const HookCall *call, int64_t result)
{
    int error = errno;

    if (hooks)
        hooks->end(call, result < 0 ? -error : result);
    errno = error;
    return result;
}

static uint64_t
iov_length(const struct iovec *iov, int n)
{
    uint64_t sum = 0;

    for (int i = 0; i < n; i++)
        sum += iov[i].iov_len;
    return sum;
}

/* Less than was asked for is done by the first buffers alone. */
static int
iov_cut(const struct iovec *iov, int n, uint64_t length, struct iovec *ret)
{
    int used = 0;

    for (; used < n && used < 16 && length > 0; used++) {
        ret[used] = iov[used];
        if (ret[used].iov_len > length)
            ret[used].iov_len = length;
        length -= ret[used].iov_len;
    }
    return used;
}

static int64_t
move(HookKind kind, long number, int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
    HookCall call = { .kind = kind,
                      .fd = fd,
                      .offset = (uint64_t)offset,
                      .length = iov_length(iov, n),
                      .iov = iov,
                      .n_iov = n,
                      .durable = flags & RWF_DSYNC };
    uint64_t asked = call.length;
    struct iovec cut[16];

    if (begin(&call) < 0)
        return -1;
    if (call.length < asked) {
        n = iov_cut(iov, n, call.length, cut);
        iov = cut;
    }
    return end(&call, syscall(number, fd, iov, n, offset, 0L, flags));
}

ssize_t
pread(int fd, void *buf, size_t length, off_t offset)
{
    struct iovec iov = { .iov_base = buf, .iov_len = length };

    return move(HOOK_READ, SYS_preadv2, fd, &iov, 1, offset, 0);
}

ssize_t
pwrite(int fd, const void *buf, size_t length, off_t offset)
{
    struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = length };

    return move(HOOK_WRITE, SYS_pwritev2, fd, &iov, 1, offset, 0);
}

ssize_t
preadv(int fd, const struct iovec *iov, int n, off_t offset)
{
    return move(HOOK_READ, SYS_preadv2, fd, iov, n, offset, 0);
}

ssize_t
pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
    return move(HOOK_WRITE, SYS_pwritev2, fd, iov, n, offset, flags);
}

int
fallocate(int fd, int mode, off_t offset, off_t length)
{
    HookCall call = { .kind = mode & FALLOC_FL_PUNCH_HOLE   ? HOOK_PUNCH
                              : mode & FALLOC_FL_ZERO_RANGE ? HOOK_ZERO
                                                            : HOOK_ALLOCATE,
                      .fd = fd,
                      .offset = (uint64_t)offset,
                      .length = (uint64_t)length,
                      .keep_size = mode & FALLOC_FL_KEEP_SIZE };

    if (begin(&call) < 0)
        return -1;
    return (int)end(&call, syscall(SYS_fallocate, fd, mode, offset, length));
}

int
posix_fallocate(int fd, off_t offset, off_t length)
{
    return fallocate(fd, 0, offset, length) < 0 ? errno : 0;
}

int
ftruncate(int fd, off_t length)
{
    HookCall call = { .kind = HOOK_TRUNCATE, .fd = fd, .length = (uint64_t)length };

    if (begin(&call) < 0)
        return -1;
    return (int)end(&call, syscall(SYS_ftruncate, fd, length));
}

static int
sync_file(int fd, long number)
{
    HookCall call = { .kind = HOOK_SYNC, .fd = fd };

    if (begin(&call) < 0)
        return -1;
    return (int)end(&call, syscall(number, fd));
}

int
fdatasync(int fd)
{
    return sync_file(fd, SYS_fdatasync);
}

int
fsync(int fd)
{
    return sync_file(fd, SYS_fsync);
}

/* what copies in the kernel is done by reading and writing */
ssize_t
copy_file_range(int from, off_t *in, int to, off_t *out, size_t length, unsigned flags)
{
    if (!hooks)
        return syscall(SYS_copy_file_range, from, in, to, out, length, flags);
    errno = EXDEV;
    return -1;
}

int
io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
    (void)entries, (void)ring, (void)params;
    return -ENOSYS;
}

int
io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    (void)entries, (void)ring, (void)flags;
    return -ENOSYS;
}
