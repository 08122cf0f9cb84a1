/* socket.c - making the daemon's listening sockets. See socket.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/rpc/socket.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "util/error.h"

/* Whether the process that listens at the other end of @fd is gone: a child of a daemon that was
 * killed, still on its way to exec(), has its sockets for that long. */
static bool
listener_is_gone(int fd)
{
    struct ucred peer = { 0 };
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0 &&
           kill(peer.pid, 0) < 0 && errno == ESRCH;
}

/* 1: someone listens there, 0: nobody, -1: not a socket or not reachable, errno set. */
static int
socket_probe(const struct sockaddr_un *addr)
{
    struct stat st;
    int fd, rc;

    if (lstat(addr->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -1;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    rc = connect(fd, (const struct sockaddr *)addr, sizeof *addr);
    /* EAGAIN: its queue is full, so it lives. */
    if (rc == 0)
        rc = listener_is_gone(fd) ? 0 : 1;
    else if (errno == EAGAIN)
        rc = 1;
    else if (errno == ECONNREFUSED || errno == ENOENT)
        rc = 0;
    close(fd);
    return rc;
}

int
rpc_socket_listen(const RpcSocketSpec *spec, GError **err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = -1, rc;

    if (g_strlcpy(addr.sun_path, spec->path, sizeof addr.sun_path) >= sizeof addr.sun_path) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "socket path '%s' is longer than the %zu bytes a socket address holds; use "
                       "a shorter directory",
                       spec->path, sizeof addr.sun_path - 1);
        return -1;
    }
    rc = socket_probe(&addr);
    if (rc > 0) {
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                       "another daemon listens on '%s'; stop it or take the name out of 'sockets'",
                       spec->path);
        return -1;
    }
    if (rc < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot use '%s' as a socket",
                             spec->path);
        return -1;
    }
    unlink(spec->path);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The descriptor's mode becomes the file's: nobody gets in between bind and chmod. */
    if (fd < 0 || fchmod(fd, 0600) < 0 ||
        bind(fd, (const struct sockaddr *)&addr, sizeof addr) < 0 ||
        (spec->gid != (gid_t)-1 && chown(spec->path, (uid_t)-1, spec->gid) < 0) ||
        chmod(spec->path, spec->mode) < 0 || listen(fd, spec->backlog) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot listen on '%s'", spec->path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static void
activated_clear(void *data)
{
    RpcActivatedSocket *socket = data;

    if (socket->fd >= 0)
        close(socket->fd);
    g_free(socket->path);
}

GArray *
rpc_socket_activated(GError **err)
{
    g_autoptr(GArray) sockets = g_array_new(FALSE, TRUE, sizeof(RpcActivatedSocket));
    int n = sd_listen_fds(1);

    g_array_set_clear_func(sockets, activated_clear);
    if (n < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, n, "cannot take the sockets of systemd");
        return NULL;
    }
    for (int i = 0; i < n; i++) {
        RpcActivatedSocket activated = { .fd = SD_LISTEN_FDS_START + i };
        struct sockaddr_un addr = { 0 };
        socklen_t len = sizeof addr - 1;

        if (sd_is_socket(activated.fd, AF_UNIX, SOCK_STREAM, 1) <= 0 ||
            getsockname(activated.fd, (struct sockaddr *)&addr, &len) < 0) {
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                           "descriptor %d passed by systemd is no listening unix stream socket",
                           activated.fd);
            return NULL;
        }
        activated.path = g_strdup(addr.sun_path);
        activated.read_only = g_str_has_suffix(addr.sun_path, "-ro");
        g_array_append_val(sockets, activated);
    }
    return g_steal_pointer(&sockets);
}
