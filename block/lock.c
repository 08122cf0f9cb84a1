/* lock.c - locks on images in use, compatible with QEMU's.
 *
 * QEMU (docs/system/images, "Disk image file locking") takes open-file-description locks on single
 * bytes of the image: byte 100 + p says "I use permission p", byte 200 + p says "nobody else may".
 * Locks are shared ones, so that many may stand on one byte; a conflict is seen by asking whether
 * an exclusive one would fit. Taking comes before asking: of two that start at once at most one
 * goes on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/driver.h"

#include <errno.h>
#include <fcntl.h>

#include "util/error.h"

enum {
    PERM_BASE = 100,
    SHARED_BASE = 200,
    PERM_CONSISTENT_READ = 0,
    PERM_WRITE = 1,
    PERM_RESIZE = 3,
    PERM_COUNT = 5,
};

static int
lock_byte(int fd, off_t at, short type)
{
    struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };

    return fcntl(fd, F_OFD_SETLK, &l) < 0 ? -errno : 0;
}

/* 1 when another description holds a lock on the byte. */
static int
lock_is_held(int fd, off_t at)
{
    struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };

    if (fcntl(fd, F_OFD_GETLK, &l) < 0)
        return -errno;
    return l.l_type != F_UNLCK;
}

static int
locks_set(int fd, unsigned used, unsigned refused)
{
    for (unsigned p = 0; p < PERM_COUNT; p++) {
        int r = lock_byte(fd, PERM_BASE + p, used & 1u << p ? F_RDLCK : F_UNLCK);

        if (r == 0)
            r = lock_byte(fd, SHARED_BASE + p, refused & 1u << p ? F_RDLCK : F_UNLCK);
        if (r < 0)
            return r;
    }
    return 0;
}

static int
locks_conflict(int fd, unsigned used, unsigned refused)
{
    for (unsigned p = 0; p < PERM_COUNT; p++) {
        int r = used & 1u << p ? lock_is_held(fd, SHARED_BASE + p) : 0;

        if (r == 0 && refused & 1u << p)
            r = lock_is_held(fd, PERM_BASE + p);
        if (r != 0)
            return r;
    }
    return 0;
}

bool
block_lock_image(BlockNode *protocol, bool writable, bool share_rw, GError **err)
{
    unsigned used = 1u << PERM_CONSISTENT_READ | (writable ? 1u << PERM_WRITE : 0);
    unsigned refused = 1u << PERM_RESIZE | (share_rw ? 0 : 1u << PERM_WRITE);
    int r;

    if (protocol->locking == BLOCK_LOCKING_OFF || protocol->inactive)
        return true;
    r = locks_set(protocol->fd, used, refused);
    if (r == 0)
        r = locks_conflict(protocol->fd, used, refused);
    if (r == 0) {
        protocol->locks_used = used;
        protocol->locks_refused = refused;
        return true;
    }
    /* an earlier claim on the same node keeps what it has */
    locks_set(protocol->fd, protocol->locks_used, protocol->locks_refused);
    if (r > 0)
        return kiln_error_set(
            err, VIR_ERR_OPERATION_INVALID,
            "image '%s' is in use by another process or disk (locked for %s); stop its "
            "user, or give both disks <shareable/> (share-rw=on) if their guests "
            "can share it",
            protocol->filename, writable ? "writing" : "reading");
    /* a file system without locks: only a user who insists is refused */
    if (protocol->locking == BLOCK_LOCKING_AUTO)
        return true;
    return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r, "cannot lock image '%s'",
                                protocol->filename);
}

void
block_unlock_image(BlockNode *protocol)
{
    if (protocol->locking != BLOCK_LOCKING_OFF)
        locks_set(protocol->fd, 0, 0);
    protocol->locks_used = protocol->locks_refused = 0;
}
