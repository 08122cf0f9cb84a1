/* sockets.c - sockets for character devices of guests, made by the daemon and handed to the VMM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/domain/resources.h"
#include "util/error.h"

enum { SOCKET_BACKLOG = 8, SOCKET_CONNECT_SECONDS = 10 };

static int
unix_socket(const char *path, struct sockaddr_un *address, GError **err)
{
    int fd;

    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (g_strlcpy(address->sun_path, path, sizeof(address->sun_path)) >=
        sizeof(address->sun_path)) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "socket path '%s' is longer than the %zu bytes that the system allows", path,
                       sizeof(address->sun_path) - 1);
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot make a unix socket");
    return fd;
}

/* Unlinks what a dead process left at @path. False with errno when somebody listens there, or it is
 * not a socket. */
static bool
remove_stale(const char *path, const struct sockaddr_un *address)
{
    struct stat st;
    bool dead;
    int fd;

    if (lstat(path, &st) < 0)
        return errno == ENOENT;
    errno = EEXIST;
    if (!S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    dead = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
           errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    errno = EADDRINUSE;
    return dead && (unlink(path) == 0 || errno == ENOENT);
}

int
domain_socket_listen_unix(const char *path, GError **err)
{
    struct sockaddr_un address;
    int fd = unix_socket(path, &address, err);

    if (fd < 0)
        return -1;
    if (!remove_stale(path, &address) ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0660) < 0 ||
        listen(fd, SOCKET_BACKLOG) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot listen on unix socket '%s'",
                             path);
        close(fd);
        return -1;
    }
    return fd;
}

int
domain_socket_connect_unix(const char *path, GError **err)
{
    struct sockaddr_un address;
    int fd = unix_socket(path, &address, err);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot connect to unix socket '%s'",
                             path);
        close(fd);
        return -1;
    }
    return fd;
}

static bool
tcp_ready(int fd, const struct addrinfo *info, bool connected)
{
    struct timeval limit = { .tv_sec = SOCKET_CONNECT_SECONDS };
    int on = 1;

    if (connected)
        return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
               connect(fd, info->ai_addr, info->ai_addrlen) == 0;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
           bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, SOCKET_BACKLOG) == 0;
}

int
domain_socket_tcp(const char *host, const char *service, bool connected, GError **err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = connected ? 0 : AI_PASSIVE };
    struct addrinfo *list = NULL;
    int fd = -1, r = getaddrinfo(host, service, &hints, &list);

    if (r != 0) {
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "cannot resolve '%s' port '%s': %s",
                       host ? host : "*", service ? service : "", gai_strerror(r));
        return -1;
    }
    for (const struct addrinfo *info = list; info && fd < 0; info = info->ai_next) {
        fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, info->ai_protocol);
        if (fd >= 0 && !tcp_ready(fd, info, connected)) {
            r = errno;
            close(fd);
            errno = r;
            fd = -1;
        }
    }
    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot %s '%s' port '%s'",
                             connected ? "connect to" : "listen on", host ? host : "*",
                             service ? service : "");
    freeaddrinfo(list);
    return fd;
}
