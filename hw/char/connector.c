/* connector.c - a process of its own that connects to one address again and again.
 *
 * It is told nothing but "now", a byte; it answers with an error number and, where that is 0, the
 * connected socket (unix(7), SCM_RIGHTS). What is in the sandbox can thus reach this address and no
 * other.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/connector.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
} Control;

static int
connect_once(const struct sockaddr_storage *address, socklen_t len)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), saved;

    if (fd >= 0 && connect(fd, (const struct sockaddr *)address, len) == 0)
        return fd;
    saved = errno;
    if (fd >= 0)
        close(fd);
    return -saved;
}

static bool
answer(int to, int fd)
{
    int32_t status = fd < 0 ? fd : 0;
    struct iovec iov = { &status, sizeof(status) };
    Control control = { .room = { 0 } };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd >= 0) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof(control.room);
        control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
                                           .cmsg_level = SOL_SOCKET,
                                           .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    }
    return sendmsg(to, &message, MSG_NOSIGNAL) == (ssize_t)sizeof(status);
}

/* Runs in a copy of a process that may have had threads: system calls only. */
static void
serve(int to, const struct sockaddr_storage *address, socklen_t len)
{
    char byte = 0;

    prctl(PR_SET_NAME, "kiln-connector");
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setsid(); /* the terminal's keys are not for it */
    /* The guest's process empties the root directory of its mount namespace for all in there. Where
     * it has no namespace of its own, this fails, and is not needed. */
    if (unshare(CLONE_NEWNS) < 0)
        errno = 0;
    if (to > 0)
        syscall(SYS_close_range, 0, to - 1, 0);
    syscall(SYS_close_range, to + 1, ~0u, 0);
    if (!answer(to, -EAGAIN))
        return;
    while (read(to, &byte, 1) == 1) {
        int fd = connect_once(address, len);
        bool ok = answer(to, fd);

        if (fd >= 0)
            close(fd);
        if (!ok)
            return;
    }
}

int
connector_start(const struct sockaddr_storage *address, socklen_t len)
{
    int ends[2], status, ret;
    int32_t ready;
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    child = fork();
    if (child == 0) {
        /* Twice, so that nobody has to wait for it. */
        pid_t second = fork();

        if (second == 0) {
            close(ends[0]);
            serve(ends[1], address, len);
        }
        _exit(second < 0);
    }
    ret = child < 0 ? -errno : 0;
    close(ends[1]);
    if (ret == 0 && (waitpid(child, &status, 0) != child || status != 0 ||
                     recv(ends[0], &ready, sizeof(ready), 0) != (ssize_t)sizeof(ready)))
        ret = -ECHILD;
    if (ret == 0)
        return ends[0];
    close(ends[0]);
    return ret;
}

bool
connector_ask(int fd)
{
    return send(fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

int
connector_take(int fd)
{
    int32_t status = 0;
    struct iovec iov = { &status, sizeof(status) };
    Control control;
    struct msghdr message = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof(control.room) };
    const struct cmsghdr *header;
    ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int got;

    if (n < 0)
        return -errno;
    if (n != (ssize_t)sizeof(status))
        return -EPIPE;
    if (status < 0)
        return status;
    header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
        return -EPROTO;
    memcpy(&got, CMSG_DATA(header), sizeof(got));
    return got;
}
