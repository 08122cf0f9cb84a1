/* connect.c - sockets to NBD servers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "block/nbd/client.h"
#include "util/error.h"

int
nbd_connect_unix(const char *path, GError **err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "NBD socket '%s': a unix socket's path has at most %zu bytes", path,
                       sizeof(address.sun_path) - 1);
        return -1;
    }
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno, "cannot connect to NBD socket '%s'",
                         path);
    if (fd >= 0)
        close(fd);
    return -1;
}

int
nbd_connect_inet(const char *host, const char *port, GError **err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    int r = getaddrinfo(host, port, &hints, &list), last = 0;

    if (r != 0) {
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "NBD server '%s' port '%s': %s", host, port,
                       gai_strerror(r));
        return -1;
    }
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);

        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
            freeaddrinfo(list);
            return fd;
        }
        last = errno;
        if (fd >= 0)
            close(fd);
    }
    freeaddrinfo(list);
    kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, last,
                         "cannot connect to NBD server '%s' port '%s'", host, port);
    return -1;
}
