/* pidfile.c - the lock that lets one daemon use a set of directories at a time. See pidfile.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

static int
pidfile_busy(const char *path, int fd, GError **err)
{
    char pid[32] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);

    if (n > 0)
        pid[strcspn(pid, "\n")] = '\0';
    kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                   "another virtkilnd (process %s) holds '%s'; stop it first", *pid ? pid : "?",
                   path);
    close(fd);
    return -1;
}

int
pidfile_acquire(const char *path, GError **err)
{
    /* Of the process, not of the descriptor: a child of a daemon that was killed, still on its way
     * to exec(), would hold up the next one. */
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    for (;;) {
        struct stat here, there;
        char pid[32];
        int len = g_snprintf(pid, sizeof pid, "%d\n", (int)getpid());
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

        if (fd < 0) {
            kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open '%s'", path);
            return -1;
        }
        if (fcntl(fd, F_SETLK, &whole) < 0)
            return pidfile_busy(path, fd, err);
        /* The one before may have removed the file between open and lock: take the new one. */
        if (fstat(fd, &here) < 0 || stat(path, &there) < 0 || here.st_ino != there.st_ino) {
            close(fd);
            continue;
        }
        if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)len, 0) != len) {
            kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot write '%s'", path);
            close(fd);
            return -1;
        }
        return fd;
    }
}

void
pidfile_release(const char *path, int fd)
{
    if (fd < 0)
        return;
    unlink(path);
    close(fd);
}
