/* listen.c - where kiln-nbd waits for clients.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "block/nbd/nbd.h"
#include "block/nbd/serve.h"
#include "util/error.h"

enum { BACKLOG = 128, INHERITED_FD = 3 };

/* sd_listen_fds(3): one socket that was opened for us. */
static bool
listen_inherited(int *ret_fd, GError **err)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    g_autofree char *own = g_strdup_printf("%d", (int)getpid());

    *ret_fd = -1;
    if (!pid || !fds || strcmp(pid, own) != 0)
        return true;
    if (strcmp(fds, "1") != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s sockets were handed over, one can be served", fds);
    *ret_fd = INHERITED_FD;
    return true;
}

static int
listen_unix(const char *path, GError **err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat st;
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "socket '%s': a unix socket's path has at most %zu bytes", path,
                       sizeof(address.sun_path) - 1);
        return -1;
    }
    strcpy(address.sun_path, path);
    /* one left behind by a server that was killed */
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(fd, BACKLOG) == 0)
        return fd;
    kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot listen on socket '%s'", path);
    if (fd >= 0)
        close(fd);
    return -1;
}

static int
listen_inet(const char *host, const char *port, GError **err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list = NULL;
    int r = getaddrinfo(host, port, &hints, &list), fd = -1, last = 0;

    if (r != 0) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "cannot listen at '%s' port '%s': %s",
                       host ? host : "*", port, gai_strerror(r));
        return -1;
    }
    /* without an address one socket serves IPv4 as well as IPv6: those that can come first */
    for (int v6 = 1; v6 >= 0 && fd < 0; v6--) {
        for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
            int on = 1, off = 0;

            if ((a->ai_family == AF_INET6) != v6)
                continue;
            fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
            if (fd < 0)
                continue;
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
            if (v6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, host ? &on : &off, sizeof(off));
            if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
                last = errno;
                close(fd);
                fd = -1;
            }
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, last, "cannot listen at '%s' port '%s'",
                             host ? host : "*", port);
    return fd;
}

int
nbd_listen(const NbdArgs *args, GError **err)
{
    g_autofree char *port = g_strdup_printf("%d", NBD_DEFAULT_PORT);
    int fd;

    if (!listen_inherited(&fd, err))
        return -1;
    if (fd >= 0)
        return fd;
    if (args->socket)
        return listen_unix(args->socket, err);
    return listen_inet(args->bind, args->port ? args->port : port, err);
}
